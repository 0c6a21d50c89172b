"""A project of its own; the connections come from the environment that the test sets."""

import os


def database(options="", **more):
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "NAME": os.environ["PGDATABASE"],
        "USER": os.environ["PGUSER"],
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"options": options} if options else {},
        **more,
    }


DATABASES = {
    "default": database(),
    # What `manage.py` is run with for one tenant, migrations that are not atomic included.
    "acme": database("-c plio.tenant=acme"),
    # psycopg's prepared statements of the protocol, and parameters bound by the server.
    "prepared": {**database(), "OPTIONS": {"server_side_binding": True, "prepare_threshold": 0}},
}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "shop"]
MIDDLEWARE = [
    "django.middleware.common.CommonMiddleware",
    "tenants.TenantMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = [".example.org"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SECRET_KEY = "for tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGGING = {"version": 1, "loggers": {"django.request": {"level": "ERROR"}}}
