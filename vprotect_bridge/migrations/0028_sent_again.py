from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("vprotect_bridge", "0027_operation_as_seen")]
    operations = [
        migrations.AddIndex(
            "operation",
            models.Index(
                fields=["sent_at"], name="operation_sent_again", condition=models.Q(("attempts__gt", 1))
            ),
        ),
    ]
