from django.db import migrations

# One call for the poll of an operation's page (portal/lean_polls.py). It reads as whoever calls it, so that both
# policies of row-level security hold: the person is set before a row of theirs is looked at, the tenant before the
# operation's is. Within a function PostgreSQL keeps the plans of its statements, which would cost more than they do.
APPLY = """
    CREATE FUNCTION operation_as_seen(person bigint, slug_of_tenant text, provider_key text, operation uuid)
    RETURNS TABLE (
        password text, tenant_id bigint, needs_second_factor boolean, version integer, away_since timestamptz
    )
    LANGUAGE plpgsql SECURITY INVOKER SET search_path = public, pg_temp AS $$
    DECLARE
        only_these text[];
    BEGIN
        PERFORM set_config('app.user', person::text, true);
        SELECT member.password, tenant.id, tenant.second_factor_required, membership.machine_guids
            INTO password, tenant_id, needs_second_factor, only_these
            FROM tenants_membership membership
            JOIN tenants_user member ON member.id = membership.user_id
            JOIN tenants_tenant tenant ON tenant.id = membership.tenant_id
            LEFT JOIN tenants_identityprovider provider ON provider.tenant_id = tenant.id
            WHERE membership.user_id = person AND member.is_active AND tenant.slug = slug_of_tenant AND tenant.is_active
            AND CASE WHEN provider_key = '' THEN provider.only_single_sign_on IS NOT TRUE
                ELSE provider.key = provider_key END;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        PERFORM set_config('app.tenant', tenant_id::text, true);
        SELECT shown.version INTO version FROM vprotect_bridge_operation shown
            WHERE shown.id = operation AND shown.tenant_id = operation_as_seen.tenant_id
            AND (only_these IS NULL OR shown.subject_guid = ANY (only_these));
        IF FOUND THEN
            SELECT upstream.unreachable_since INTO away_since FROM vprotect_bridge_upstreamstatus upstream
                WHERE upstream.id = 1;
            RETURN NEXT;
        END IF;
    END $$;
"""
REMOVE = "DROP FUNCTION operation_as_seen(bigint, text, text, uuid);"


class Migration(migrations.Migration):
    dependencies = [("vprotect_bridge", "0026_new_machines"), ("tenants", "0015_targets")]
    operations = [migrations.RunSQL(APPLY, REMOVE)]
