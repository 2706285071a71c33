"""Since when a machine is in its plan, by a trigger, and a plan runs as it does: older runs are not held against them."""

from django.db import migrations, models

APPLY = """
    CREATE FUNCTION machine_came_into_plan() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.policy_guid = '' THEN
            NEW.planned_at = NULL;
        ELSIF TG_OP = 'INSERT' THEN
            NEW.planned_at = coalesce(NEW.planned_at, NEW.first_seen_at);
        ELSE
            NEW.planned_at = clock_timestamp();
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER machine_is_in_plan BEFORE INSERT ON vprotect_bridge_machine
    FOR EACH ROW EXECUTE FUNCTION machine_came_into_plan();
    CREATE TRIGGER machine_came_into_plan BEFORE UPDATE OF policy_guid ON vprotect_bridge_machine
    FOR EACH ROW WHEN (OLD.policy_guid IS DISTINCT FROM NEW.policy_guid) EXECUTE FUNCTION machine_came_into_plan();
    UPDATE vprotect_bridge_machine SET planned_at = first_seen_at WHERE policy_guid <> '';
    UPDATE vprotect_bridge_plan SET held_since = clock_timestamp() WHERE policy_guid <> '';
"""
REMOVE = """
    DROP TRIGGER machine_is_in_plan ON vprotect_bridge_machine;
    DROP TRIGGER machine_came_into_plan ON vprotect_bridge_machine;
    DROP FUNCTION machine_came_into_plan();
"""


class Migration(migrations.Migration):
    dependencies = [("vprotect_bridge", "0022_targets")]
    operations = [
        migrations.AddField("machine", "planned_at", models.DateTimeField(editable=False, null=True)),
        migrations.AddField("plan", "held_since", models.DateTimeField(null=True)),
        migrations.RunSQL(APPLY, REMOVE),
    ]
