"""A machine's new tenant has it from the moment on in which the row says so, whoever wrote it."""

from django.db import migrations

APPLY = """
    CREATE FUNCTION machine_changed_hands() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.tenant_id IS NULL THEN
            NEW.owned_at = NULL;
        ELSIF TG_OP = 'INSERT' THEN
            NEW.owned_at = coalesce(NEW.owned_at, NEW.first_seen_at);
        ELSE
            NEW.owned_at = clock_timestamp();
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER machine_came_to_tenant BEFORE INSERT ON vprotect_bridge_machine
    FOR EACH ROW EXECUTE FUNCTION machine_changed_hands();
    CREATE TRIGGER machine_changed_hands BEFORE UPDATE OF tenant_id ON vprotect_bridge_machine
    FOR EACH ROW WHEN (OLD.tenant_id IS DISTINCT FROM NEW.tenant_id) EXECUTE FUNCTION machine_changed_hands();
    UPDATE vprotect_bridge_machine SET owned_at = first_seen_at WHERE tenant_id IS NOT NULL;
"""
REMOVE = """
    DROP TRIGGER machine_came_to_tenant ON vprotect_bridge_machine;
    DROP TRIGGER machine_changed_hands ON vprotect_bridge_machine;
    DROP FUNCTION machine_changed_hands();
"""


class Migration(migrations.Migration):
    dependencies = [("vprotect_bridge", "0020_alerts")]
    operations = [migrations.RunSQL(APPLY, REMOVE)]
