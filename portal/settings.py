"""All settings, from the environment (`.env.example` has a sentence for each)."""

from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
from celery.schedules import schedule
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from portal import environment

ACCENTS = ("teal", "ocean", "indigo", "violet", "plum", "bronze", "forest", "graphite")
BASE_DIR = Path(__file__).resolve().parent.parent

# ── Process ──────────────────────────────────────────────────────────────────
# One code base, several processes, each with the rights that it needs and no others.
PROCESS = environment.text(
    "PORTAL_PROCESS", "web", choices=("web", "operator", "worker", "notifier", "beat", "migrations")
)
DEBUG = False
SECRET_KEY = environment.secret("SECRET_KEY")
# Former keys: what they signed and encrypted is read until `manage.py reencrypt` and the sessions' end.
SECRET_KEY_FALLBACKS = environment.secret("SECRET_KEY_FALLBACKS", "").replace(",", " ").split()
environment.secrets.update(SECRET_KEY_FALLBACKS)
for _key in (SECRET_KEY, *SECRET_KEY_FALLBACKS):
    if len(_key) < 32:
        raise ImproperlyConfigured(f"SECRET_KEY has {len(_key)} characters, but must have at least 32 random ones.")
ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS", "localhost,127.0.0.1")
# What the installation is called and looks like; a tenant may have a brand of its own.
PORTAL_NAME = environment.text("PORTAL_NAME", "Backup portal")
PORTAL_LOGO_FILE = environment.file("PORTAL_LOGO_FILE")
PORTAL_ACCENT = environment.text("PORTAL_ACCENT", "teal", choices=ACCENTS)
SUPPORT_URL = environment.text("SUPPORT_URL", "") and environment.address("SUPPORT_URL")
SUPPORT_EMAIL = environment.text("SUPPORT_EMAIL", "")
if SUPPORT_EMAIL and "@" not in SUPPORT_EMAIL:
    raise ImproperlyConfigured(f"SUPPORT_EMAIL is {SUPPORT_EMAIL!r}, but must be an address with an @.")
PORTAL_URL = environment.address("PORTAL_URL", "https://localhost", schemes=("https", "http"))
OPERATOR_URL = environment.address("OPERATOR_URL", PORTAL_URL, schemes=("https", "http"))
CSRF_TRUSTED_ORIGINS = sorted({PORTAL_URL, OPERATOR_URL})

ROOT_URLCONF = "portal.operator_urls" if PROCESS == "operator" else "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"

INSTALLED_APPS = [
    "portal",
    "notifications",
    "api",
    "tokens",
    "reports",
    "vprotect_bridge",
    "tenants",
    "portal.apps.OperatorSiteConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "django_htmx",
    "template_partials",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.usersessions",
    "csp",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "tenants.correlation.CorrelationMiddleware",
    "portal.lean_polls.LeanPollMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # With a random length of its own in each answer, so that nobody learns a token by what it compresses with.
    "django.middleware.gzip.GZipMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tenants.preferences.PreferencesMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "tenants.single_sign_on.SingleSignOnMiddleware",
    "tenants.middleware.TenantMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
# Only a demo may switch this off, whose operator has no second factor to show.
STAFF_SECOND_FACTOR = environment.flag("STAFF_SECOND_FACTOR", default=True)
if PROCESS == "operator" and STAFF_SECOND_FACTOR:
    MIDDLEWARE.append("tenants.second_factor.StaffSecondFactorMiddleware")

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context_processors.portal",
            ],
        },
    }
]

# ── Database ─────────────────────────────────────────────────────────────────
# Each process signs in as its own role (docs/architecture.md, "Two walls").
try:
    DATABASES = {"default": dj_database_url.parse(environment.secret("DATABASE_URL"), conn_max_age=60)}
except (ValueError, dj_database_url.UnknownSchemeError) as error:
    raise ImproperlyConfigured("DATABASE_URL is not a database address (postgres://…).") from error
if DATABASES["default"].get("ENGINE") != "django.db.backends.postgresql":
    raise ImproperlyConfigured("DATABASE_URL must be a PostgreSQL address (postgres://…).")
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# PgBouncer in transaction mode cannot hold server-side cursors for web.
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = PROCESS in {"web", "operator"}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Rate limits of the login live in the database, so that signing in does not need Redis.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "portal_cache"},
}

# ── People ───────────────────────────────────────────────────────────────────
AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_ADAPTER = "tenants.accounts.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
# An operator is made at a terminal, before any mail may leave.
ACCOUNT_EMAIL_VERIFICATION = "none" if PROCESS == "operator" else "mandatory"
ACCOUNT_REAUTHENTICATION_TIMEOUT = 900
ACCOUNT_SESSION_REMEMBER = False
# Beside django-allauth's own; `tenants.accounts` says what is counted of failed logins.
ACCOUNT_RATE_LIMITS = {
    "open_invitation": "20/m/ip",
    "read_calendar": "60/m/ip",
    "single_sign_on": "30/m/ip",
    "login_failed_anywhere": "60/h/key",
}
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
SOCIALACCOUNT_ADAPTER = "tenants.openid_connect.SingleSignOnAdapter"
# Whose mailbox an address is, no customer's provider proves to the others; and signing in by it needs no proof.
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
MFA_ADAPTER = "tenants.second_factor.MFAAdapter"
MFA_SUPPORTED_TYPES = ["webauthn", "totp", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = PROCESS == "operator"
MFA_TOTP_ISSUER = PORTAL_NAME
MFA_TOTP_TOLERANCE = 1

# Between a tenant's suspension and the first moment at which an operator may remove what it has.
TENANT_RETENTION_DAYS = environment.whole_number("TENANT_RETENTION_DAYS", 30)

# Days for which an API token works at most.
API_TOKEN_DAYS = environment.whole_number("API_TOKEN_DAYS", 365, least=1)

SESSION_COOKIE_AGE = 8 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

# ── Transport security ───────────────────────────────────────────────────────
# INSECURE_COOKIES is for the demo, which speaks plain HTTP on loopback.
_SECURE = not environment.flag("INSECURE_COOKIES")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = _SECURE
LANGUAGE_COOKIE_NAME = "language"
SESSION_COOKIE_NAME = f"{'__Host-' if _SECURE else ''}portal_{PROCESS}_session"
CSRF_COOKIE_NAME = f"{'__Host-' if _SECURE else ''}portal_{PROCESS}_csrf"
CSRF_COOKIE_HTTPONLY = True
SECURE_HSTS_SECONDS = 31_536_000 if _SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _SECURE
SECURE_REFERRER_POLICY = "same-origin"
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
X_FRAME_OPTIONS = "DENY"
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not _SECURE
if environment.flag("BEHIND_PROXY"):
    # The address that the one proxy saw, for the audit, for limits of tries, for the list of sessions.
    ALLAUTH_TRUSTED_PROXY_COUNT = 1
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Calls to sign-in providers and webhooks of customers, who could name any address.
OUTBOUND_CA_FILE = environment.certificates("OUTBOUND_CA_FILE")
OUTBOUND_PRIVATE_NETWORKS = environment.networks("OUTBOUND_PRIVATE_NETWORKS")

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# ── Language, time, files ────────────────────────────────────────────────────
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_TZ = True
# How dates look on the operator site; the portal's own pages choose for themselves.
FORMAT_MODULE_PATH = "portal.formats"
TIME_ZONE = "UTC"
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = environment.text("STATIC_ROOT", BASE_DIR / "staticfiles")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576
# A plan names each of its machines, of which a tenant may have thousands.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000

EMAIL_BACKEND = environment.text("EMAIL_BACKEND", "django.core.mail.backends.smtp.EmailBackend")
EMAIL_HOST = environment.text("EMAIL_HOST", "localhost")
EMAIL_PORT = environment.whole_number("EMAIL_PORT", 25, least=1, most=65535)
_EMAIL_SECURITY = environment.text("EMAIL_SECURITY", "none", choices=("none", "starttls", "tls"))
EMAIL_USE_TLS, EMAIL_USE_SSL = _EMAIL_SECURITY == "starttls", _EMAIL_SECURITY == "tls"
EMAIL_HOST_USER = environment.text("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = environment.secret("EMAIL_HOST_PASSWORD", "")
# An invitation is sent within its request.
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = environment.text("DEFAULT_FROM_EMAIL", "portal@localhost")
if "@" not in DEFAULT_FROM_EMAIL:
    raise ImproperlyConfigured(f"DEFAULT_FROM_EMAIL is {DEFAULT_FROM_EMAIL!r}, but must be an address with an @.")

# ── vProtect ─────────────────────────────────────────────────────────────────
# Only a worker has the address and the password; in any other process they are not even read.
VPROTECT_DIALECT = environment.text("VPROTECT_DIALECT", "classic", choices=("classic", "current"))
# What `unmountTime` means to this server: nothing, a moment (5.0, 5.1), or a length (docs/vprotect-api.md, 2).
VPROTECT_UNMOUNT_TIME = environment.text(
    "VPROTECT_UNMOUNT_TIME",
    {"classic": "absent", "current": "duration"}[VPROTECT_DIALECT],
    choices=("absent", "absolute", "duration"),
)
VPROTECT_SECONDS = {
    "timeout": environment.number("VPROTECT_TIMEOUT", 20, least=1),
    "follow": environment.number("VPROTECT_FOLLOW_SECONDS", 3, least=0.1),
    "inventory": environment.number("VPROTECT_INVENTORY_SECONDS", 60, least=1),
    "reconcile": environment.number("VPROTECT_RECONCILE_SECONDS", 15, least=0.1),
    "settle": environment.number("VPROTECT_SETTLE_SECONDS", 90, least=0.1),
}
if PROCESS == "worker":
    VPROTECT_URL = environment.address("VPROTECT_URL")
    VPROTECT_LOGIN = environment.text("VPROTECT_LOGIN")
    VPROTECT_PASSWORD = environment.secret("VPROTECT_PASSWORD")
    # Read again at each login, so that a new password needs no restart.
    VPROTECT_PASSWORD_FILE = environment.source("VPROTECT_PASSWORD")
    VPROTECT_CA_FILE = environment.certificates("VPROTECT_CA_FILE")

# ── History ──────────────────────────────────────────────────────────────────
# Days for which operations are kept, and backups and machines after they vanished from vProtect; 0 = for ever.
HISTORY_RETENTION_DAYS = int(environment.number("HISTORY_RETENTION_DAYS", 730))
if 0 < HISTORY_RETENTION_DAYS < 30:
    raise ImproperlyConfigured("HISTORY_RETENTION_DAYS must be 0, for ever, or at least 30: pages show a month.")

# Days for which it is kept how much was stored for whom; 0 = for ever. Reports look back that far.
USAGE_RETENTION_DAYS = environment.whole_number("USAGE_RETENTION_DAYS", 400, least=0)
if 0 < USAGE_RETENTION_DAYS < 62:
    raise ImproperlyConfigured("USAGE_RETENTION_DAYS must be 0, for ever, or at least 62: a month is billed after it.")

# Days for which it is kept of what people were told, and what became of mails and webhooks.
NOTIFICATION_RETENTION_DAYS = environment.whole_number("NOTIFICATION_RETENTION_DAYS", 60, least=8)

# ── Single files ─────────────────────────────────────────────────────────────
# Where files lie on their way from vProtect to a browser; web and the workers of downloads share it.
SPOOL_FOLDER = Path(environment.text("SPOOL_FOLDER", BASE_DIR / "spool"))
SPOOL_FILE_BYTES = int(environment.number("SPOOL_FILE_GIB", 20, least=0.001) * 1024**3)
SPOOL_BYTES = int(environment.number("SPOOL_GIB", 100, least=0.001) * 1024**3)
SPOOL_HOURS = environment.number("SPOOL_HOURS", 24, least=0.01)
# So many threads of a process of web may hand out files, the others are for pages; or the proxy does, below this path.
SPOOL_STREAMS = int(environment.number("SPOOL_STREAMS", 2, least=1))
SPOOL_ACCEL = environment.text("SPOOL_ACCEL", "")

# ── Celery ───────────────────────────────────────────────────────────────────
# A message is a doorbell that may be lost or rung twice; all truth is in PostgreSQL (docs/submit-protocol.md).
CELERY_BROKER_URL = environment.secret("REDIS_URL")
if urlsplit(CELERY_BROKER_URL).scheme not in {"redis", "rediss", "redis+socket"}:
    raise ImproperlyConfigured("REDIS_URL must be an address of Redis or Valkey (redis://…, rediss://…).")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SOFT_TIME_LIMIT = 40
CELERY_TASK_TIME_LIMIT = 50
CELERY_WORKER_MAX_TASKS_PER_CHILD = 1000
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
_web_process = PROCESS in {"web", "operator"}
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 1 if _web_process else 10,
    "socket_connect_timeout": 1 if _web_process else 10,
}
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1}
CELERY_TASK_DEFAULT_QUEUE = "submit"
CELERY_TASK_ROUTES = {
    "vprotect_bridge.tasks.submit": {"queue": "submit"},
    "vprotect_bridge.tasks.answer": {"queue": "submit"},
    "vprotect_bridge.tasks.plans": {"queue": "submit"},
    "vprotect_bridge.tasks.mounts": {"queue": "follow"},
    # A file can take hours: these have workers of their own.
    "vprotect_bridge.tasks.fetch": {"queue": "downloads"},
    "vprotect_bridge.tasks.sweep_spool": {"queue": "downloads"},
    "vprotect_bridge.tasks.follow": {"queue": "follow"},
    "vprotect_bridge.tasks.reconcile": {"queue": "follow"},
    "vprotect_bridge.tasks.sync_inventory": {"queue": "inventory"},
    "vprotect_bridge.tasks.sync_plans": {"queue": "inventory"},
    "vprotect_bridge.tasks.sync_backups": {"queue": "inventory"},
    "vprotect_bridge.tasks.remove_old": {"queue": "inventory"},
    "vprotect_bridge.tasks.watch": {"queue": "follow"},
    "notifications.tasks.sort": {"queue": "follow"},
    "notifications.tasks.remove_old": {"queue": "inventory"},
    "reports.tasks.record_usage": {"queue": "inventory"},
    "reports.tasks.read_chargeback": {"queue": "inventory"},
    # Out to mail servers and to addresses of customers' goes a process that does not know vProtect.
    "notifications.tasks.send_mails": {"queue": "notifications"},
    # Beside the other files: these workers write the spool.
    "reports.tasks.make_files": {"queue": "downloads"},
    "reports.tasks.sweep_files": {"queue": "downloads"},
    "notifications.tasks.call_webhooks": {"queue": "notifications"},
    "reports.tasks.send_mails": {"queue": "notifications"},
}


def _every(task: str, seconds: float, app: str = "vprotect_bridge") -> dict[str, object]:
    # A late message is worth nothing: the next tick does the same work.
    return {
        "task": f"{app}.tasks.{task}",
        "schedule": schedule(seconds),
        "options": {"expires": max(seconds, 1)},
    }


CELERY_BEAT_SCHEDULE = {
    "follow": _every("follow", VPROTECT_SECONDS["follow"]),
    "reconcile": _every("reconcile", VPROTECT_SECONDS["reconcile"]),
    "sync-inventory": _every("sync_inventory", VPROTECT_SECONDS["inventory"]),
    "sync-plans": _every("sync_plans", VPROTECT_SECONDS["inventory"]),
    "watch": _every("watch", VPROTECT_SECONDS["inventory"]),
    "plans": _every("plans", VPROTECT_SECONDS["reconcile"]),
    "mounts": _every("mounts", VPROTECT_SECONDS["reconcile"]),
    "sweep-spool": _every("sweep_spool", VPROTECT_SECONDS["reconcile"]),
    "remove-old": _every("remove_old", 3600),
    "sort-notifications": _every("sort", 5, "notifications"),
    "sweep-report-files": _every("sweep_files", VPROTECT_SECONDS["reconcile"], "reports"),
    "send-report-mails": _every("send_mails", 60, "reports"),
    "read-chargeback": _every("read_chargeback", 6 * 3600, "reports"),
    "record-usage": _every("record_usage", 3600, "reports"),
    "send-mails": _every("send_mails", 5, "notifications"),
    "call-webhooks": _every("call_webhooks", 5, "notifications"),
    "remove-old-notifications": _every("remove_old", 3600, "notifications"),
    "sync-backups": _every("sync_backups", min(VPROTECT_SECONDS["inventory"], 5)),
}

# Where this process tells Prometheus its figures (portal/metrics_port.py); nobody from outside may reach it.
METRICS_ADDRESS = environment.host_and_port("METRICS_ADDRESS")
# By view, which is what a page is; their other figures tell as much as gunicorn's log.
PROMETHEUS_LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 15)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"correlation": {"()": "tenants.correlation.CorrelationFilter"}},
    "formatters": {
        "line": {"()": "tenants.logs.LineFormatter", "secrets": environment.secrets},
        "json": {"()": "tenants.logs.JSONFormatter", "secrets": environment.secrets, "process": PROCESS},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": environment.text("LOG_FORMAT", "line", choices=("line", "json")),
            "filters": ["correlation"],
        }
    },
    # They tell every letter of a printed report.
    "loggers": {name: {"level": "ERROR"} for name in ("fontTools", "fpdf")},
    "root": {
        "handlers": ["stderr"],
        "level": environment.text("LOG_LEVEL", "INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR")),
    },
}
