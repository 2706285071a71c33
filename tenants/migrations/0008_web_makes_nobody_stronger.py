"""Libraries save whole people, so web may update all columns; what a person is, only others may change."""

from django.db import migrations

APPLY = """
CREATE FUNCTION web_makes_nobody_stronger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'web may not change who somebody is' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER web_makes_nobody_stronger BEFORE UPDATE ON tenants_user FOR EACH ROW
    WHEN (current_user = 'portal_web' AND (OLD.id, OLD.email, OLD.is_staff, OLD.is_superuser, OLD.is_active)
        IS DISTINCT FROM (NEW.id, NEW.email, NEW.is_staff, NEW.is_superuser, NEW.is_active))
    EXECUTE FUNCTION web_makes_nobody_stronger();
"""
REMOVE = """
DROP TRIGGER web_makes_nobody_stronger ON tenants_user;
DROP FUNCTION web_makes_nobody_stronger();
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0007_confirm_addresses")]
    operations = [migrations.RunSQL(APPLY, REMOVE)]
