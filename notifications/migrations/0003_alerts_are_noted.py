"""The same of what should have happened and did not."""

from django.db import migrations

NOTE = """
    CREATE FUNCTION notifications_note_alert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    BEGIN
        INSERT INTO notifications_event (tenant_id, source, source_id, what, happened_at,
            topic, machine_guid, machine_name, plan_name, reason, facts)
        VALUES (NEW.tenant_id, 'alert', NEW.id, CASE WHEN NEW.closed_at IS NULL THEN 'opened' ELSE 'closed' END,
            coalesce(NEW.closed_at, NEW.opened_at), '', '', '', '', '', '{}')
        ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$;
    CREATE TRIGGER notifications_alert_opened AFTER INSERT ON vprotect_bridge_alert FOR EACH ROW
        WHEN (NEW.closed_at IS NULL)
        EXECUTE FUNCTION notifications_note_alert();
    CREATE TRIGGER notifications_alert_closed AFTER UPDATE OF closed_at ON vprotect_bridge_alert FOR EACH ROW
        WHEN (OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL)
        EXECUTE FUNCTION notifications_note_alert();
"""
AWAY = """
    DROP TRIGGER notifications_alert_opened ON vprotect_bridge_alert;
    DROP TRIGGER notifications_alert_closed ON vprotect_bridge_alert;
    DROP FUNCTION notifications_note_alert();
"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0002_ends_are_noted"), ("vprotect_bridge", "0020_alerts")]

    operations = [migrations.RunSQL(NOTE, AWAY)]
