# Needs Python 3.11 with pip, and make; everything else comes from the locked requirements.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
FAULTS_TESTS := tests/model tests/faults tests/end_to_end/test_faults.py tests/end_to_end/test_fault_matrix.py tests/vprotect_bridge/test_plans.py
DIALECT_TESTS := tests/vprotect_bridge tests/portal tests/end_to_end/test_journeys.py
ACCESS_TESTS := tests/access tests/tenants tests/portal/test_single_sign_on.py tests/portal/test_second_factor.py tests/portal/test_people.py
# A throwaway environment for checks that read the production settings but serve nobody.
CHECK_ENVIRONMENT := PORTAL_PROCESS=migrations SECRET_KEY=only-for-checks-$$(head -c 32 /dev/urandom | base64 | tr -d '/+=') \
	DATABASE_URL=postgres://nobody@localhost/nowhere REDIS_URL=redis://localhost:1/0 PORTAL_URL=https://portal.example

.DEFAULT_GOAL := help

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv/ready: requirements/bootstrap.lock requirements/dev.lock
	@# --without-pip: Debian's Python comes without ensurepip.
	@echo "Installing the locked requirements into .venv …"
	@$(PYTHON) -m venv --without-pip .venv
	@$(PYTHON) -m pip --python $(BIN)/python install --quiet --require-hashes -r requirements/bootstrap.lock
	@VIRTUAL_ENV=.venv $(BIN)/uv pip sync --quiet --require-hashes requirements/dev.lock
	@touch $@

.PHONY: demo
demo: .venv/ready ## start everything on this machine (PORT=8000 and the two after it, VPROTECT_DIALECT=classic)
	@PORT=$(PORT) $(BIN)/python -m demo

.PHONY: demo-reset
demo-reset: .venv/ready ## forget the demo's data
	@$(BIN)/python -m demo reset

.PHONY: test
test: .venv/ready ## run every test but the long ones of make faults and make access
	$(BIN)/python -m pytest -n 2 -m "not slow"

.PHONY: dialects
dialects: .venv/ready ## run bridge, pages and journeys against a current vProtect, and all journeys against a classic one
	DIALECT=current $(BIN)/python -m pytest -n 2 -qq -m "not slow" $(DIALECT_TESTS)
	DIALECT=classic $(BIN)/python -m pytest -n 2 -qq tests/end_to_end/test_journeys.py

.PHONY: faults
faults: .venv/ready ## try every single fault: killed anywhere, answered anyhow, with real processes too
	$(BIN)/python -m pytest -n 2 -qq $(FAULTS_TESTS)

.PHONY: faults-all
faults-all: .venv/ready ## try all pairs of faults as well (an hour or so)
	FAULTS=all $(BIN)/python -m pytest -n 2 -qq $(FAULTS_TESTS)

.PHONY: bench-quick
bench-quick: .venv/ready ## measure the portal at its size in short (under three minutes, once the data is made)
	@$(BIN)/python -m bench --quick

.PHONY: bench
bench: .venv/ready ## measure the portal at its size, against references in the same run (docs/scaling.md)
	@$(BIN)/python -m bench

.PHONY: production
production: .venv/ready ## run docker-compose.yml's commands as processes behind nginx, from the login to a backup
	$(BIN)/python -m pytest -qq tests/production/test_compose_journey.py

.PHONY: upgrade
upgrade: .venv/ready ## let the version before serve on a database that this one migrates (UPGRADE_FROM=)
	$(BIN)/python -m pytest -qq tests/production/test_upgrade.py

.PHONY: install-debian
install-debian: .venv/ready ## run the commands of docs/install-debian.md in a copy of this Debian (needs root)
	@$(BIN)/python -m tests.production.rehearse_debian

.PHONY: degraded
degraded: .venv/ready ## take vProtect, Redis and PostgreSQL away from real processes, for a minute to a day
	$(BIN)/python -m pytest -qq tests/degraded

.PHONY: soak
soak: .venv/ready ## kill half the workers at random under load (SOAK_MINUTES=10), and count what came of each wish
	@$(BIN)/python -m tests.degraded.soak

.PHONY: access
access: .venv/ready ## try every route, role, foreign id and attack, with each wall alone
	ACCESS=all $(BIN)/python -m pytest -n 2 -qq -p tests.access.ledger $(ACCESS_TESTS)

.PHONY: lint
lint: .venv/ready ## check style, types, imports, migrations and production settings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(CHECK_ENVIRONMENT) $(BIN)/mypy
	$(CHECK_ENVIRONMENT) $(BIN)/lint-imports
	$(CHECK_ENVIRONMENT) $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(CHECK_ENVIRONMENT) $(BIN)/python manage.py check --deploy --fail-level WARNING

.PHONY: format
format: .venv/ready ## put the code into its one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: screenshots
screenshots: .venv/ready ## take a picture of every page into build/screenshots (needs Chromium)
	@$(BIN)/python -m demo.screenshots

.PHONY: messages
messages: .venv/ready ## bring the translations in locale/ up to date (LANGUAGES="de" begins one)
	@$(CHECK_ENVIRONMENT) $(BIN)/python -W ignore::RuntimeWarning manage.py messages $(LANGUAGES)

.PHONY: secrets
secrets: .venv/ready ## make the secrets that docker-compose.yml wants
	@$(BIN)/python -m demo.compose_secrets

.PHONY: lock
lock: .venv/ready ## renew the locked requirements
	for name in bootstrap production dev; do \
		$(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-header \
			-o requirements/$$name.lock requirements/$$name.in; done
