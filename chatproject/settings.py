"""All settings, by topic. Every variable read here has a line in `docs/settings.md`."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP

from chat.providers.base import EndpointConfig
from chatproject import env, installation, keys
from chatproject.provider_file import ProviderFile

BASE_DIR = installation.BASE_DIR
DATA_DIR = installation.data_directory()

# --- Name and address ----------------------------------------------------------------------------

DEBUG = env.boolean("DEBUG", False)
SECRET_KEY = env.secret("SECRET_KEY") or keys.stored_secret_key(DATA_DIR)
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")

# The address for browsers. Hosts, origins, HTTPS and cookies depend on it.
DEFAULT_URL = "http://127.0.0.1:8000"
STEADY_URL = env.text("STEADY_URL", DEFAULT_URL).rstrip("/")
_url = urlsplit(STEADY_URL)
if _url.scheme not in {"http", "https"} or not _url.hostname:
    raise ImproperlyConfigured(f"STEADY_URL={STEADY_URL!r} must be like https://chat.example.org")
HTTPS = _url.scheme == "https"
LOCAL = _url.hostname in {"127.0.0.1", "localhost", "::1"}

# The machine's own names are always allowed, because health checks use them.
ALLOWED_HOSTS = [
    *(env.words("ALLOWED_HOSTS") or [_url.hostname]),
    *["localhost", "127.0.0.1", "[::1]"],
]
# Complete origins (scheme, host and port), for CSRF and for the WebSocket handshake. On a local installation
# `transports.origins` adds the page's own origin, whatever its port.
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS") or [STEADY_URL]

# --- The application -----------------------------------------------------------------------------

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "chat",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "chatproject.middleware.links_from_steady_url",
    "chatproject.middleware.metrics_at_any_host",
    "chatproject.middleware.responses_stay_private",
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "chatproject.middleware.SessionsLiveWhileUsed",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "chat.admin.guard.watching",
]

ROOT_URLCONF = "chatproject.urls"
ASGI_APPLICATION = "chatproject.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    ["chatproject.template_loader.Loader", "django.template.loaders.app_directories.Loader"],
                )
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.csp",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "chat.views.preferences.appearance",
            ],
        },
    },
]

# --- Database ------------------------------------------------------------------------------------

DATABASES = {"default": installation.database()}
_database = DATABASES["default"]
SQLITE = _database["ENGINE"].endswith("sqlite3")
if SQLITE:
    _database["ENGINE"] = "chat.backends.sqlite3"
    _database["CONN_MAX_AGE"] = None  # a thread keeps its connection: opening one takes 0.5 ms
    # IMMEDIATE: a writing transaction gets its lock at the start and waits for it, while a DEFERRED one fails
    # later with "database is locked" (1,094 of 1,200, measured).
    _database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # A cache of 4 MB for each connection: with SQLite's 2 MB, a chat of 2,000 messages is read from the
        # file again for each of its requests, which takes a tenth of the time to prepare one.
        "init_command": (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
            "PRAGMA cache_size=-4000;"
        ),
    }
    _database["TEST"] = {"NAME": str(DATA_DIR / f"test-{os.getpid()}.sqlite3")}
else:
    from chat.backends import patience
    from chat.backends.connection import PatientConnection, check

    _database["OPTIONS"] = {
        **patience.options(_database.get("OPTIONS", {})),
        # An unreachable database is reported soon: by default a thread would wait for 30 s.
        "pool": {
            "min_size": 2,
            "max_size": env.integer("DATABASE_POOL_SIZE", 16, least=2),
            "timeout": 5,
            # A database that is reachable again is used at once: by default the pool doubles its wait after
            # each attempt, up to minutes. After it gave up, it tries again for the next caller.
            "reconnect_timeout": 1,
            "connection_class": PatientConnection,
            "check": check,
        },
    }

# --- Channels ------------------------------------------------------------------------------------

REDIS_URL = env.redis("REDIS_URL")
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "steady"},
    }
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}

# --- Users ---------------------------------------------------------------------------------------

AUTH_USER_MODEL = "chat.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
STEADY_OPEN_SIGNUP = env.boolean("STEADY_OPEN_SIGNUP", False)
STEADY_ADMIN_EMAIL = env.text("STEADY_ADMIN_EMAIL")
PASSWORD_RESET_TIMEOUT = 24 * 3600  # seconds; also for the link of the first administrator
STEADY_ADMIN_PASSWORD = env.secret("STEADY_ADMIN_PASSWORD")
ACCOUNT_ADAPTER = "chat.accounts.AccountAdapter"
MFA_ADAPTER = "chat.accounts.SecondFactorAdapter"
MFA_TOTP_ISSUER = "Steady"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # no mail to unknown addresses
ACCOUNT_EMAIL_SUBJECT_PREFIX = "Steady: "  # by default the host of the request
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_CHANGE_EMAIL = True  # one address each; a new one replaces it after it is verified
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_EMAIL_NOTIFICATIONS = True  # of a new password, address or second factor, to the previous address
ACCOUNT_FORMS = {
    "add_email": "chat.account_forms.AddEmailForm",
    "change_password": "chat.account_forms.ChangePasswordForm",
    "reset_password": "chat.account_forms.ResetPasswordForm",
}
MFA_FORMS = {
    "authenticate": "chat.account_forms.AuthenticateForm",
    "reauthenticate": "chat.account_forms.ReauthenticateForm",
}
# Failed log-ins are counted by `chat.actions.throttle`, in the database. The other limits (sign-up, mails)
# are coarse, so each process keeps its own counts.
ACCOUNT_RATE_LIMITS = {"login_failed": None}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    }
}
SESSION_ENGINE = "chat.sessions"
STEADY_IDLE_MINUTES = env.integer(
    "STEADY_IDLE_MINUTES", 0
)  # 0: a session ends by its age alone, after 2 weeks

STEADY_API_TOKENS = env.boolean("STEADY_API_TOKENS", True)  # off: no token is made, and none is accepted

MAILERS = {"default": env.mailer("EMAIL_URL")}
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("EMAIL_FROM", f"steady@{_url.hostname}")

# --- Security ------------------------------------------------------------------------------------

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
if (
    HTTPS
):  # `__Host-`: the browser accepts it from this host alone, over TLS; no other host of the domain can set it
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
# The warnings concern settings that depend on STEADY_URL; `chat/checks.py` checks that variable instead. No
# preload (W021): the owner of the domain must request the entry in the browsers' list, because it is hard to
# remove.
SILENCED_SYSTEM_CHECKS = [f"security.W{number}" for number in ("004", "008", "012", "016", "021")]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Steady has no TLS of its own: an https address means a proxy, which sends the scheme of the original
# request.
TRUST_PROXY = env.boolean("TRUST_PROXY", HTTPS)
if TRUST_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    ALLAUTH_TRUSTED_PROXY_COUNT = 1  # the last address in X-Forwarded-For, which clients cannot forge
SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF, CSP.NONCE],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "manifest-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "frame-ancestors": [CSP.NONE],
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2_000  # the page of a tool server has five for each of 200 tools

# --- Static files --------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.text("STATIC_ROOT", str(DATA_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": env.file_storage("STEADY_FILES", DATA_DIR / "files"),
    "staticfiles": {"BACKEND": "chatproject.storage.StaticStorage"},
}

# --- Files of people: never served from a public address -----------------------------------------

CHAT_UPLOADS_DIR = DATA_DIR / "uploads"  # of uploads that are not complete

# --- Language and time ---------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env.time_zone("TIME_ZONE", "UTC")
USE_TZ = True

# --- The chat ------------------------------------------------------------------------------------

CHAT_MAX_PROMPT_CHARS = env.integer("CHAT_MAX_PROMPT_CHARS", 200_000, least=1)
CHAT_DEFAULT_MODEL = env.text("CHAT_DEFAULT_MODEL")
CHAT_SYSTEM_PROMPT = env.text("CHAT_SYSTEM_PROMPT")
CHAT_MAX_OUTPUT_TOKENS = env.integer("CHAT_MAX_OUTPUT_TOKENS", 0)  # 0: the provider's own limit
CHAT_MAX_REPLY_COST = env.number("CHAT_MAX_REPLY_COST", 0)  # US dollars; 0: no limit
CHAT_TRANSFORMERS = env.words("CHAT_TRANSFORMERS")  # dotted paths, see chat/pipeline/transform.py
CHAT_VALIDATORS = env.words("CHAT_VALIDATORS")  # dotted paths, see chat/pipeline/validate.py
CHAT_RUNNING_PER_PERSON = env.integer("CHAT_RUNNING_PER_PERSON", 8, least=1)
CHAT_PAGES_PER_PERSON = env.integer("CHAT_PAGES_PER_PERSON", 20, least=1)
CHAT_MODELS_AT_ONCE = env.integer("CHAT_MODELS_AT_ONCE", 4, least=1, most=8)
CHAT_CONNECT_SECONDS = env.number("CHAT_CONNECT_SECONDS", 10, least=0.1)
CHAT_FIRST_TOKEN_SECONDS = env.number("CHAT_FIRST_TOKEN_SECONDS", 120, least=0.1)
CHAT_SILENCE_SECONDS = env.number("CHAT_SILENCE_SECONDS", 60, least=0.1)
CHAT_TOTAL_SECONDS = env.number("CHAT_TOTAL_SECONDS", 1800, least=1)
CHAT_ATTEMPTS = env.integer("CHAT_ATTEMPTS", 3, least=1)
# Off by default, because it costs a second call that nobody asked for.
CHAT_CONTINUE_INTERRUPTED = env.boolean("CHAT_CONTINUE_INTERRUPTED", False)
CHAT_KEEP_DELETED_DAYS = env.integer("CHAT_KEEP_DELETED_DAYS", 30, least=1)
CHAT_DRAIN_SECONDS = env.number("CHAT_DRAIN_SECONDS", 20)

# --- Model providers of the environment: their keys live here, in memory, and nowhere else -----------

CHAT_ENDPOINTS = {
    endpoint.slug: endpoint
    for endpoint in (
        EndpointConfig(
            "openai",
            "openai",
            "OpenAI",
            env.web_address("OPENAI_BASE_URL") or None,
            env.secret("OPENAI_API_KEY"),
        ),
        EndpointConfig(
            "anthropic",
            "anthropic",
            "Anthropic",
            env.web_address("ANTHROPIC_BASE_URL") or None,
            env.secret("ANTHROPIC_API_KEY"),
        ),
        EndpointConfig(
            "gemini",
            "gemini",
            "Google Gemini",
            env.web_address("GOOGLE_GEMINI_BASE_URL") or None,
            env.secret("GEMINI_API_KEY"),
        ),
    )
    if endpoint.api_key
}
_compatible = env.web_address("OPENAI_COMPATIBLE_URL")
if _compatible:
    CHAT_ENDPOINTS["compatible"] = EndpointConfig(
        "compatible",
        "openai_compatible",
        env.text("OPENAI_COMPATIBLE_NAME", "Own server"),
        _compatible,
        env.secret("OPENAI_COMPATIBLE_API_KEY"),
    )
if env.text("OLLAMA_URL") != "off":
    _ollama = env.web_address("OLLAMA_URL", "http://127.0.0.1:11434").rstrip("/")
    CHAT_ENDPOINTS["ollama"] = EndpointConfig("ollama", "openai_compatible", "Ollama", f"{_ollama}/v1")
if env.boolean("STEADY_DEMO", True):
    CHAT_ENDPOINTS["demo"] = EndpointConfig("demo", "demo", "Demo")
CHAT_ENDPOINTS = {
    slug: replace(account, connect_seconds=CHAT_CONNECT_SECONDS) for slug, account in CHAT_ENDPOINTS.items()
}
# A file with more of them. A relative path begins at the data directory.
_provider_file = env.text("STEADY_PROVIDERS")
CHAT_PROVIDER_FILE = ProviderFile(
    str(DATA_DIR / _provider_file) if _provider_file else "", CHAT_CONNECT_SECONDS
)

# --- Metrics: off until one of these is set ------------------------------------------------------

METRICS_TOKEN = env.secret("STEADY_METRICS_TOKEN")
METRICS_ADDRESSES = env.networks("STEADY_METRICS_ADDRESSES")

# --- Logging -------------------------------------------------------------------------------------

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {
            "()": "chatproject.log.Line",
            "format": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        },
        "json": {"()": "chatproject.log.Json"},
    },
    "filters": {
        "refusals": {"()": "chatproject.log.NoTraceOfRefusals"},
        "probes": {"()": "chatproject.log.NoRefusalsOfProbes"},
        "once": {"()": "chatproject.log.OncePerCause"},
        "content": {"()": "chatproject.log.NoContent"},
        "context": {"()": "chatproject.log.Context"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": env.choice("LOG_FORMAT", "text", ("text", "json")),
            "filters": ["refusals", "probes", "once", "content", "context"],
        },
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "chat": {"level": env.choice("LOG_LEVEL", "INFO", _LEVELS)},
        # The client for MCP servers logs what they send, so these loggers are off.
        "mcp": {"level": logging.CRITICAL + 1},
        "client": {"level": logging.CRITICAL + 1},
    },
}
