"""The product's settings, with the reference views beside its pages; the servers come from `bench.stack`."""

from portal.settings import *  # noqa: F403
from portal.settings import STORAGES

ROOT_URLCONF = "bench.reference.urls"
WSGI_APPLICATION = "bench.wsgi.application"
# Files of pages are not measured, so none are collected.
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
