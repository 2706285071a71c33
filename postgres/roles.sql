-- The portal's roles, one for each kind of process (docs/architecture.md, "Two walls").
-- Run once by an administrator of the server, before the first migration; running it again changes nothing.
-- Passwords are set apart from this: ALTER ROLE portal_web PASSWORD '…'.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['portal_owner', 'portal_web', 'portal_operator', 'portal_worker'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', role_name);
        END IF;
    END LOOP;
END $$;

-- A migration that waits for a table keeps everybody behind it waiting: it gives up and is started again.
ALTER ROLE portal_owner SET lock_timeout = '10s';
ALTER ROLE portal_web SET statement_timeout = '15s';
ALTER ROLE portal_web SET lock_timeout = '5s';
ALTER ROLE portal_web SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE portal_operator SET statement_timeout = '60s';
ALTER ROLE portal_operator SET idle_in_transaction_session_timeout = '30s';
