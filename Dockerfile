# syntax=docker/dockerfile:1
FROM python:3.11-slim AS requirements
WORKDIR /build
COPY requirements/ requirements/
RUN python -m venv --without-pip /opt/portal \
    && python -m pip --python /opt/portal/bin/python install --no-cache-dir --require-hashes -r requirements/production.lock

FROM python:3.11-slim AS portal
ENV PATH=/opt/portal/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 STATIC_ROOT=/srv/static
RUN useradd --system --uid 10001 --no-create-home portal && install -d -o portal -m 700 /srv/spool
WORKDIR /srv/portal
COPY --from=requirements /opt/portal /opt/portal
COPY manage.py ./
COPY portal/ portal/
COPY reports/ reports/
COPY vprotect_bridge/ vprotect_bridge/
COPY tenants/ tenants/
COPY tokens/ tokens/
COPY api/ api/
COPY templates/ templates/
COPY static/ static/
COPY locale/ locale/
# The settings want these three; gathering static files uses none of them.
RUN PORTAL_PROCESS=migrations SECRET_KEY=only-for-this-step-and-worth-nothing-elsewhere DATABASE_URL=postgres://nobody@localhost/nowhere \
    REDIS_URL=redis://localhost:1/0 python manage.py collectstatic --no-input
USER portal

FROM requirements AS demo-requirements
RUN python -m pip --python /opt/portal/bin/python install --no-cache-dir --require-hashes -r requirements/dev.lock

# The stand-in vProtect of `docker compose --profile demo`; never part of the product's image.
FROM portal AS demo
USER root
COPY --from=demo-requirements /opt/portal /opt/portal
COPY vprotect_simulator/ vprotect_simulator/
RUN mkdir /srv/simulator && chown portal /srv/simulator
USER portal

FROM portal
