from django.db import migrations


class Migration(migrations.Migration):
    """The table of Django's database cache, as `createcachetable` makes it: migrations own every table."""

    dependencies = [("tenants", "0002_audit_is_append_only")]

    operations = [
        migrations.RunSQL(
            """
            CREATE TABLE portal_cache (
                cache_key varchar(255) PRIMARY KEY, value text NOT NULL, expires timestamptz NOT NULL
            );
            CREATE INDEX portal_cache_expires ON portal_cache (expires);
            """,
            "DROP TABLE portal_cache;",
        ),
    ]
