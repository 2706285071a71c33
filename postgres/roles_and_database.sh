#!/usr/bin/env bash
# Runs once, after roles.sql, when docker-compose.yml makes its PostgreSQL: passwords from the secrets, then the database.
set -euo pipefail

psql --set ON_ERROR_STOP=1 --username postgres --dbname postgres \
    --set owner="$(cat /run/secrets/owner_password)" --set web="$(cat /run/secrets/web_password)" \
    --set operator="$(cat /run/secrets/operator_password)" --set worker="$(cat /run/secrets/worker_password)" <<'SQL'
ALTER ROLE portal_owner PASSWORD :'owner';
ALTER ROLE portal_web PASSWORD :'web';
ALTER ROLE portal_operator PASSWORD :'operator';
ALTER ROLE portal_worker PASSWORD :'worker';
CREATE DATABASE portal OWNER portal_owner;
REVOKE ALL ON DATABASE portal FROM PUBLIC;
GRANT CONNECT ON DATABASE portal TO portal_owner, portal_web, portal_operator, portal_worker;
SQL
