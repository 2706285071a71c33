from django.db import migrations, models


class Migration(migrations.Migration):
    """Cancelling is a wish beside the state: it may come at any moment, and the work may end before it counts."""

    dependencies = [("vprotect_bridge", "0003_accepted_inventory")]

    operations = [
        migrations.AddField("operation", "cancel_wanted_at", models.DateTimeField(null=True)),
        migrations.AddField("operation", "cancel_sent_at", models.DateTimeField(null=True)),
        # Its name sorts behind operation_moves, so it sees what that one left.
        migrations.RunSQL(
            """
            CREATE FUNCTION operation_versions() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF (NEW.submission, NEW.phase, NEW.outcome, NEW.progress, NEW.place_in_line, NEW.made_type,
                    NEW.user_message, NEW.backup_guid, NEW.started_at, NEW.finished_at, NEW.cancel_wanted_at)
                   IS DISTINCT FROM
                   (OLD.submission, OLD.phase, OLD.outcome, OLD.progress, OLD.place_in_line, OLD.made_type,
                    OLD.user_message, OLD.backup_guid, OLD.started_at, OLD.finished_at, OLD.cancel_wanted_at)
                THEN
                    NEW.version := OLD.version + 1;
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER operation_versions BEFORE UPDATE ON vprotect_bridge_operation
                FOR EACH ROW EXECUTE FUNCTION operation_versions();
            """,
            "DROP TRIGGER operation_versions ON vprotect_bridge_operation; DROP FUNCTION operation_versions();",
        ),
    ]
