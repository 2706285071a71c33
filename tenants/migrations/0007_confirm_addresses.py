"""Who is here already was vouched for by an operator: their addresses count as confirmed."""

from django.db import migrations


def confirm(apps, schema_editor):
    User, EmailAddress = apps.get_model("tenants", "User"), apps.get_model("account", "EmailAddress")
    for user in User.objects.iterator():
        EmailAddress.objects.update_or_create(
            user=user, email=user.email, defaults={"verified": True, "primary": True}
        )


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_people"), ("account", "0009_emailaddress_unique_primary_email")]
    operations = [migrations.RunPython(confirm, migrations.RunPython.noop)]
