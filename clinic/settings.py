"""All settings, read from the environment (docs/operations.md lists them).

Embedded default: ``DATABASE_URL`` and ``REDIS_URL`` unset, everything in one process on SQLite.
Production: ``DATABASE_URL`` set and ``DEBUG`` unset.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from clinic import env

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"  # what the embedded default writes; never in git

SAMPLE_SECRET_KEY = "sample-key-for-the-embedded-default-only-never-in-production"  # noqa: S105

# --- Which mode -----------------------------------------------------------------------------
DATABASE_URL = env.text("DATABASE_URL", "")
DEBUG = env.flag("DEBUG", False)
PRODUCTION = bool(DATABASE_URL) and not DEBUG
ALLOW_HTTP = env.flag("ALLOW_HTTP", not PRODUCTION)

SECRET_KEY = env.text(
    "SECRET_KEY",
    None if PRODUCTION else SAMPLE_SECRET_KEY,
    how="Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(50))'",
)
if PRODUCTION and (SECRET_KEY == SAMPLE_SECRET_KEY or len(SECRET_KEY) < 32):
    raise ImproperlyConfigured(
        "SECRET_KEY is the sample key or shorter than 32 characters, which would let anybody forge "
        "sign-ins. Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(50))'"
    )
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")

# Where links in mails lead. Unset, it follows from the first name in ALLOWED_HOSTS, and the other
# way round; production needs one of the two.
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS")
_names = [name for name in ALLOWED_HOSTS if name[0] not in "*."]
PUBLIC_URL_GUESSED = PRODUCTION and not env.text("PUBLIC_URL", "")
PUBLIC_URL = env.origin(
    "PUBLIC_URL",
    "http://127.0.0.1:8000"
    if not PRODUCTION
    else f"{'http' if ALLOW_HTTP else 'https'}://{_names[0]}"
    if _names
    else None,
    how="Set it to the address people type, such as https://clinic.example.org.",
)
if not ALLOWED_HOSTS:
    ALLOWED_HOSTS = (
        [urlsplit(PUBLIC_URL).hostname or ""] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]"]
    )
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS")
TRUSTED_PROXY_COUNT = env.number("TRUSTED_PROXY_COUNT", 1 if PRODUCTION else 0)

STORAGE = env.bucket("STORAGE_URL")  # where uploaded files go; None: into the database
if STORAGE and (find_spec("storages") is None or find_spec("boto3") is None):
    raise ImproperlyConfigured(
        "STORAGE_URL is set, but django-storages and boto3 are not installed. Install "
        "requirements.txt, or unset STORAGE_URL."
    )
CLINIC_NAME = env.text("CLINIC_NAME", "Harbour Health")
EMERGENCY_NUMBER = env.text("EMERGENCY_NUMBER", "911")

# --- Applications ---------------------------------------------------------------------------
INSTALLED_APPS = [
    # Both bring a runserver; WhiteNoise's wraps daphne's, so that static files pass through the
    # middleware and get its headers.
    "whitenoise.runserver_nostatic",
    "daphne",  # before staticfiles: its runserver speaks ASGI
    "clinic.workplace.apps.WorkplaceAdminConfig",  # django.contrib.admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",  # lets FORM_RENDERER find Django's own widget templates
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "csp",
    "django_htmx",
    "django_prometheus",
    "django_structlog",
    "django_tasks",
    "django_tasks_db",
    "clinic.apps.ClinicConfig",
    "clinic.jobs",
    "clinic.uploads",
    "accounts",
    "clinic.directory",
    "appointments",
    "records",
    "chat",
    "clinic.workplace.apps.WorkplaceConfig",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    # Outermost, so that answers of every other one have the headers too.
    "clinic.middleware.SecurityHeaders",
    "csp.middleware.CSPMiddleware",
    "clinic.middleware.Probes",
    "clinic.middleware.RequestLog",
    "django.middleware.security.SecurityMiddleware",
    "clinic.middleware.BodyLimit",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "accounts.middleware.WhoAsks",
    "accounts.middleware.RequestFacts",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.SignInLimits",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.PersonalPages",
    "clinic.middleware.DatabaseOutage",  # innermost but one: sees the views' exceptions first
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
PROMETHEUS_EXPORT_MIGRATIONS = False  # it would ask the database at each start

ROOT_URLCONF = "clinic.urls"
CSRF_FAILURE_VIEW = "clinic.views.csrf_failure"
ASGI_APPLICATION = "clinic.asgi.application"
WSGI_APPLICATION = "clinic.wsgi.application"

_loaders: list[Any] = [
    "django.template.loaders.filesystem.Loader",
    "django.template.loaders.app_directories.Loader",
]
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.context.site",
                "chat.context.unread",
            ],
            "loaders": _loaders if DEBUG else [("django.template.loaders.cached.Loader", _loaders)],
        },
    }
]
FORM_RENDERER = "clinic.forms.GovukRenderer"

# --- Data -----------------------------------------------------------------------------------
# The application's database user may not change the audit trail or any table's shape; migrations
# may, by a user of their own.
MIGRATE_DATABASE_URL = env.text("MIGRATE_DATABASE_URL", "")
_urls = {"DATABASE_URL": DATABASE_URL or f"sqlite:///{VAR_DIR / 'clinic.sqlite3'}"}
if MIGRATE_DATABASE_URL:
    _urls["MIGRATE_DATABASE_URL"] = MIGRATE_DATABASE_URL
_read = {name: env.database(name, url) for name, url in _urls.items()}
_migrating = "MIGRATE_DATABASE_URL" in _read and bool(
    {"migrate", "database_grants", "prepare_database", "check_restored"} & set(sys.argv[1:2])
)
_database = _read["MIGRATE_DATABASE_URL" if _migrating else "DATABASE_URL"]
DATABASES: dict[str, dict[str, Any]] = {"default": _database}
if "sqlite" in _database["ENGINE"]:
    _database["OPTIONS"] = {
        # IMMEDIATE takes the write lock with BEGIN, so that the first statement of a booking is
        # already inside it; FULL makes an acknowledged booking survive a power cut.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
    # A file, as the site has: SQLite in memory locks by other rules, so races would prove nothing.
    _database["TEST"] = {"NAME": VAR_DIR / "test.sqlite3"}
    VAR_DIR.mkdir(exist_ok=True)
else:
    _database["ENGINE"] = "clinic.mysql"  # Django's; while the server is away nobody waits for it
    _database["OPTIONS"] = {
        "charset": "utf8mb4",
        "isolation_level": "read committed",
        "connect_timeout": 5,
        "init_command": "SET sql_mode='STRICT_TRANS_TABLES', innodb_lock_wait_timeout=5",
        **_database.get("OPTIONS", {}),
    }
    # Seconds after which a query without an answer is given up, for what serves people: a server
    # that is frozen or cut off would keep each of their threads waiting.
    if _patience := env.number("DATABASE_TIMEOUT", 0):
        _database["OPTIONS"] |= {"read_timeout": _patience, "write_timeout": _patience}
    # The authority of a managed server, whose certificate and name are then checked.
    if _authority := env.file("DATABASE_CA"):
        _database["OPTIONS"] |= {"ssl_mode": "VERIFY_IDENTITY", "ssl": {"ca": _authority}}
    _database["CONN_MAX_AGE"] = env.number("CONN_MAX_AGE", 60)
    _database["CONN_HEALTH_CHECKS"] = True
    _database["TEST"] = {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_unicode_ci"}
if _migrating:  # whose rights `database_grants` sets
    DATABASES["app"] = {**_database, **_read["DATABASE_URL"], "TEST": {"MIRROR": "default"}}
# Where the backup service says how far it is; empty where backups are somebody else's.
BACKUP_STATUS_URL = env.address("BACKUP_STATUS_URL", {"http"}, example="http://backup:9101/state")
# Tables to which the site's own database user may only add rows.
AUDIT_TABLES = env.words("AUDIT_TABLES", "accounts_auditevent,accounts_auditanchor,chat_event")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URLS = env.redis("REDIS_URL")
if REDIS_URLS:
    CACHES: dict[str, dict[str, Any]] = {
        "default": {
            "BACKEND": "clinic.cache.RedisWithFallback",
            "LOCATION": REDIS_URLS,
            "KEY_PREFIX": "clinic",
            "OPTIONS": {
                "SOCKET_CONNECT_TIMEOUT": 0.5,
                "SOCKET_TIMEOUT": 0.5,
            },
        },
        "counts": {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "clinic_cached_counts",  # clinic.jobs.models.CachedCount
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        },
    }
else:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "OPTIONS": {"MAX_ENTRIES": 50_000},
        }
    }

# --- Chat (docs/chat-protocol.md) -----------------------------------------------------------
CHAT_FRAMES_PER_MINUTE = env.number("CHAT_FRAMES_PER_MINUTE", 100, least=1)
CHAT_WAITS_TOO_LONG_HOURS = env.number("CHAT_WAITS_TOO_LONG_HOURS", 4, least=1)
CHAT_MAIL_AFTER_MINUTES = env.number("CHAT_MAIL_AFTER_MINUTES", 30, least=1)
CHAT_THREADS = env.number("CHAT_THREADS", 6, least=1)  # database work of one socket server
# Threads that wait for a conversation whose row somebody else holds.
CHAT_SLOW_THREADS = env.number("CHAT_SLOW_THREADS", 4, least=1)
if REDIS_URLS:
    from chat.layer import PREFIX, host_settings

    CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
        "default": {
            "BACKEND": "chat.layer.PipelinedLayer",
            "CONFIG": {"hosts": [host_settings(url) for url in REDIS_URLS], "prefix": PREFIX},
        }
    }
else:
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels.layers.InMemoryChannelLayer",
            # What is full is dropped, and what expires takes its reader along: neither may happen.
            "CONFIG": {"capacity": 1_000_000, "expiry": 86_400},
        }
    }

TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default"]}}

# Run by `manage.py worker`: name, function, seconds between runs. Each due run is claimed once.
REGULAR_JOBS: list[tuple[str, str, int]] = [
    ("send_due_mails", "clinic.jobs.outbox.send_due", 20),
    ("mail_about_unread_messages", "chat.mails.mail_about_unread", 60),
    ("remove_unsent_uploads", "chat.attachments.remove_unsent", 3600),
    ("remove_unfinished_documents", "records.documents.remove_unfinished", 3600),
    ("remove_orphaned_files", "clinic.uploads.orphans.remove_orphans", 86_400),
    ("prune_holds", "appointments.upkeep.prune_holds", 300),
    ("send_reminders", "appointments.reminders.send_due", 60),
    ("offer_freed_times", "appointments.waitlist_offers.offer_due", 20),
    ("remove_ended_waiting", "appointments.waitlist.remove_ended", 86_400),
    ("prune_reminders", "appointments.reminders.prune", 86_400),
    ("prune_finished_tasks", "clinic.jobs.upkeep.prune_finished_tasks", 3600),
    ("requeue_lost_tasks", "clinic.jobs.upkeep.requeue_lost_tasks", 60),
    ("prune_sent_mails", "clinic.jobs.upkeep.prune_sent_mails", 3600),
    ("prune_counts", "clinic.jobs.upkeep.prune_counts", 3600),
    ("check_bookings", "clinic.nightly.check_bookings", 86_400),
    ("check_audit", "clinic.nightly.check_audit", 86_400),
    ("note_backup", "clinic.nightly.note_backup", 60),
    ("clear_sessions", "clinic.jobs.upkeep.clear_sessions", 86_400),
    ("forget_old_sign_ins", "accounts.sessions.forget_old", 86_400),
    ("encrypt_second_factors_anew", "accounts.second_factor.encrypt_anew", 86_400),
    ("anchor_audit_trail", "accounts.anchors.add_anchor", 86_400),
]

# Longer than the longest attempt: EMAIL_TIMEOUT counts for each of a delivery's exchanges.
MAIL_LEASE_SECONDS = env.number("MAIL_LEASE_SECONDS", 300, least=1)
TASK_LEASE_SECONDS = env.number("TASK_LEASE_SECONDS", 600, least=1)

# --- Booking (seconds, counts) --------------------------------------------------------------
HOLD_SECONDS = 600
HOLD_EXTENSIONS = 12
HOLDS_PER_ADDRESS = env.number("HOLDS_PER_ADDRESS", 30, least=1)
HOLDS_PER_ADDRESS_AND_DOCTOR = 5  # or one visitor could keep a whole day of a small practice
OPEN_BOOKINGS_PER_PATIENT = env.number("OPEN_BOOKINGS_PER_PATIENT", 10, least=1)
WAITLIST_ENTRIES_PER_PATIENT = 5
WAITLIST_ENTRIES_PER_HOUR = 20  # added by one account, removed ones included
LINK_CODE_ATTEMPTS = 5  # wrong one-time codes per account in 15 minutes

# --- People ---------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = ["accounts.hashers.ClinicArgon2"]
AUTHENTICATION_BACKENDS = ["accounts.backends.ByAddress"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in [
        ("MinimumLengthValidator", {"min_length": 8}),
        ("CommonPasswordValidator", {}),
        ("UserAttributeSimilarityValidator", {"user_attributes": ("email", "name")}),
    ]
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "appointments"
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_USER_MODEL_EMAIL_FIELD = "email"
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True  # a link would write a session on GET
ACCOUNT_PASSWORD_RESET_BY_CODE_TIMEOUT = 900
ACCOUNT_CHANGE_EMAIL = True  # one address per account; the old one stays until the code is in
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # to change the address, the password again
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_FORMS = {
    "signup": "accounts.forms.PatientSignupForm",
    "login": "accounts.forms.SignInForm",
    "confirm_email_verification_code": "accounts.forms.ConfirmAddressForm",
    "reset_password": "accounts.forms.ResetPasswordForm",
    "confirm_password_reset_code": "accounts.forms.ConfirmResetForm",
    "reset_password_from_key": "accounts.forms.NewPasswordForm",
    "change_password": "accounts.forms.ChangePasswordForm",
    "add_email": "accounts.forms.NewAddressForm",
    "reauthenticate": "accounts.forms.ReauthenticateForm",
}
# Failures are counted per account, successes per address: a hospital's whole network is one
# address, so a limit of failures per address would lock colleagues out together.
ACCOUNT_RATE_LIMITS = {
    "login": "300/m/ip",
    "login_failed": "5/5m/key",
    "signup": "60/m/ip",
    "reset_password": "60/m/ip,5/m/key",
}
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXY_COUNT
STAFF_MFA_REQUIRED = env.flag("STAFF_MFA_REQUIRED", PRODUCTION)
STAFF_IDLE_MINUTES = env.number("STAFF_IDLE_MINUTES", 15, least=1)
STAFF_SESSION_HOURS = env.number("STAFF_SESSION_HOURS", 8, least=1)
# What pages ask for by themselves: nobody needs to sit there. Also every request that says so with
# the header X-Background-Request.
BACKGROUND_PATHS = r"/messages/(?:[0-9a-f-]{36}/(?:events|marks/)|unread|heads)"
MFA_ADAPTER = "accounts.second_factor.FactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_TOLERANCE = 1  # 30 s either way, for clocks that are off (RFC 6238 §5.2)
MFA_FORMS = {
    "authenticate": "accounts.second_factor_forms.CodeForm",
    "reauthenticate": "accounts.second_factor_forms.CodeAgainForm",
    "activate_totp": "accounts.second_factor_forms.AddAppForm",
    "add_webauthn": "accounts.second_factor_forms.AddPasskeyForm",
    "edit_webauthn": "accounts.second_factor_forms.RenamePasskeyForm",
    "authenticate_webauthn": "accounts.second_factor_forms.PasskeyForm",
    "reauthenticate_webauthn": "accounts.second_factor_forms.PasskeyAgainForm",
}
TERMS_VERSION = "2026-11-01"  # shown on the terms page and stored with each acceptance

# --- Mail -----------------------------------------------------------------------------------
_mail = env.mail("EMAIL_URL", "consolemail://")
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_FILE_PATH = _mail.get("EMAIL_FILE_PATH")  # filemail:////folder, for tests
if EMAIL_BACKEND.endswith(".console.EmailBackend"):
    EMAIL_BACKEND = "clinic.jobs.console.ReadableConsoleBackend"
EMAIL_HOST = _mail.get("EMAIL_HOST") or "localhost"
EMAIL_PORT = _mail.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = _mail.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = _mail.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = _mail.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _mail.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", f"{CLINIC_NAME} <clinic@example.org>")

# --- Browser and transport ------------------------------------------------------------------
_secure = PRODUCTION and not ALLOW_HTTP
SECURE_SSL_REDIRECT = _secure
SECURE_HSTS_SECONDS = 63_072_000 if _secure else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _secure
SECURE_HSTS_PRELOAD = _secure
if TRUSTED_PROXY_COUNT:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SESSION_COOKIE_NAME = "__Host-session" if _secure else "session"
CSRF_COOKIE_NAME = "__Host-csrf" if _secure else "csrf"
LANGUAGE_COOKIE_NAME = "__Host-language" if _secure else "language"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = _secure
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = LANGUAGE_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = LANGUAGE_COOKIE_SAMESITE = "Lax"
SESSION_ENGINE = (
    "django.contrib.sessions.backends.cached_db"
    if REDIS_URLS
    else "django.contrib.sessions.backends.db"
)
SESSION_COOKIE_AGE = 14 * 86_400
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024  # the longest form is a few kilobytes
MAX_BODY_BYTES = DATA_UPLOAD_MAX_MEMORY_SIZE  # a whole body without a file
UPLOAD_MAX_BYTES = 10 * 1024 * 1024  # a file: a phone's largest photos, a scanned letter
MAX_UPLOAD_BODY_BYTES = UPLOAD_MAX_BYTES + MAX_BODY_BYTES  # a file with the form around it
# The addresses that take a file.
UPLOAD_PATHS = (
    r"/messages/[0-9a-f-]{36}/(?:attachments/)?"
    r"|/admin/charts/[0-9a-f-]{36}/documents/|/record/documents/"
)
# Files are taken in memory: servers have no disk to write to, and the limit above bounds them.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = MAX_UPLOAD_BODY_BYTES
DATA_UPLOAD_MAX_NUMBER_FILES = 1
# Of one person; attempts that were refused count for the minute.
UPLOADS_PER_MINUTE = env.number("UPLOADS_PER_MINUTE", 20, least=1)
UPLOADS_PER_DAY = env.number("UPLOADS_PER_DAY", 100, least=1)
UPLOAD_BYTES_PER_DAY = 200 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
    }
}

# --- Static files ---------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Never under an address of their own: files go out through views that check who asks.
UPLOADS: dict[str, Any]
if STORAGE:
    UPLOADS = {
        "BACKEND": "clinic.uploads.bucket.BucketStorage",
        "OPTIONS": {"place": STORAGE},
    }
elif PRODUCTION:
    UPLOADS = {"BACKEND": "clinic.uploads.storage.DatabaseStorage"}
else:
    UPLOADS = {
        "BACKEND": "clinic.uploads.storage.FolderStorage",
        "OPTIONS": {"location": VAR_DIR / "uploads"},
    }
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "uploads": UPLOADS,
    "staticfiles": {
        "BACKEND": "clinic.static_files.ModuleStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = not PRODUCTION
WHITENOISE_AUTOREFRESH = not PRODUCTION

# --- Language and time ----------------------------------------------------------------------
LANGUAGE_CODE = "en-us"
LANGUAGES = [("en", _("English"))]  # a language is added with its catalogue, never before
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"  # stored and computed in UTC; pages show each hospital's own zone
USE_I18N = True
USE_TZ = True

# --- Logs -----------------------------------------------------------------------------------
METRICS_PORT = env.number("METRICS_PORT", 0)  # of the worker; servers answer at /metrics
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
DJANGO_STRUCTLOG_USER_ID_FIELD = None  # who did what stands in the audit trail
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False
from clinic.logs import configure  # noqa: E402  (needs LOG_LEVEL)

LOGGING = configure(level=LOG_LEVEL, plain=not PRODUCTION, exception_texts=DEBUG)
