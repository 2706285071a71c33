from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [
        migrations.RunSQL(
            """
            CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
            END $$;
            CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON tenants_auditentry
                FOR EACH ROW EXECUTE FUNCTION refuse_change();
            CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON tenants_auditentry
                FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
            """,
            """
            DROP TRIGGER append_only ON tenants_auditentry;
            DROP TRIGGER append_only_truncate ON tenants_auditentry;
            DROP FUNCTION refuse_change();
            """,
        ),
    ]
