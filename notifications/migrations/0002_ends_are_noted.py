"""Triggers note what ended, in the transaction in which it did: no way of ending something forgets it, none is late."""

from django.db import migrations

# With the rights of the tables' owner: nobody else makes events.
NOTE = """
    CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    BEGIN
        INSERT INTO notifications_event (tenant_id, source, source_id, what, happened_at,
            topic, machine_guid, machine_name, plan_name, reason, facts)
        VALUES (NEW.tenant_id, {values}, '', {machine}, '', '', '', '{{}}')
        ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$;
"""
OF_OPERATIONS = NOTE.format(
    name="notifications_note_operation",
    values="""'operation', NEW.id, CASE WHEN NEW.outcome <> '' THEN NEW.outcome ELSE NEW.submission END,
            coalesce(NEW.finished_at, clock_timestamp())""",
    machine="NEW.subject_guid",
)
OF_PLAN_CHANGES = NOTE.format(
    name="notifications_note_plan_change",
    values="'plan_change', NEW.id, NEW.state, coalesce(NEW.finished_at, clock_timestamp())",
    machine="''",
)
# What had ended long before anybody noticed is history, not news.
TRIGGERS = """
    CREATE TRIGGER notifications_ended_unseen AFTER INSERT ON vprotect_bridge_operation FOR EACH ROW
        WHEN (NEW.outcome <> '' AND NEW.finished_at > now() - interval '2 days')
        EXECUTE FUNCTION notifications_note_operation();
    CREATE TRIGGER notifications_ended AFTER UPDATE OF outcome ON vprotect_bridge_operation FOR EACH ROW
        WHEN (OLD.outcome = '' AND NEW.outcome <> '')
        EXECUTE FUNCTION notifications_note_operation();
    CREATE TRIGGER notifications_stuck AFTER UPDATE OF submission ON vprotect_bridge_operation FOR EACH ROW
        WHEN (OLD.submission <> NEW.submission AND NEW.submission = 'needs_attention' AND NEW.outcome = '')
        EXECUTE FUNCTION notifications_note_operation();
    CREATE TRIGGER notifications_plan_changed AFTER UPDATE OF state ON vprotect_bridge_planchange FOR EACH ROW
        WHEN (OLD.state <> NEW.state AND NEW.state IN ('done', 'refused', 'conflict', 'stuck', 'undone')
            AND NOT (NEW.kind = 'clock' AND NEW.state = 'done'))
        EXECUTE FUNCTION notifications_note_plan_change();
"""
AWAY = """
    DROP TRIGGER notifications_ended_unseen ON vprotect_bridge_operation;
    DROP TRIGGER notifications_ended ON vprotect_bridge_operation;
    DROP TRIGGER notifications_stuck ON vprotect_bridge_operation;
    DROP TRIGGER notifications_plan_changed ON vprotect_bridge_planchange;
    DROP FUNCTION notifications_note_operation();
    DROP FUNCTION notifications_note_plan_change();
"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0001_initial"), ("vprotect_bridge", "0019_indexes_for_many_machines")]

    operations = [migrations.RunSQL(OF_OPERATIONS + OF_PLAN_CHANGES + TRIGGERS, AWAY)]
