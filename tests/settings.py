"""The product's settings with what a test run needs; the servers come from `tests.services`."""

import os

os.environ.setdefault("SECRET_KEY", "a key for tests only, worth nothing elsewhere, 0123456789")
os.environ.setdefault("DATABASE_URL", "postgres://nobody@localhost/nowhere")
os.environ.setdefault("REDIS_URL", "redis://localhost:1/0")
os.environ.setdefault("INSECURE_COOKIES", "yes")
os.environ.setdefault("ALLOWED_HOSTS", "testserver,localhost,127.0.0.1")
os.environ.setdefault("PORTAL_URL", "http://testserver")

from portal.settings import *  # noqa: F403
from portal.settings import STORAGES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
WHITENOISE_AUTOREFRESH = True
