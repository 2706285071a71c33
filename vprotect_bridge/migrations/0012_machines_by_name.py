from django.db import migrations, models
from django.db.models.functions import Lower


class Migration(migrations.Migration):
    """The list of machines sorts names as people do: capital letters make no difference."""

    dependencies = [("vprotect_bridge", "0011_owners_and_their_changes")]

    operations = [
        migrations.RemoveIndex(model_name="machine", name="machine_tenant_name"),
        migrations.AddIndex(
            model_name="machine",
            index=models.Index("tenant", Lower("name"), "guid", name="machine_tenant_name"),
        ),
    ]
