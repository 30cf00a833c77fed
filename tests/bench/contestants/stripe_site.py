"""(d) A Django site with dj-stripe's webhook, as its documentation sets it up; for gunicorn.

    python -m tests.bench.contestants.stripe_site          the schema, and one endpoint's row
    gunicorn tests.bench.contestants.stripe_site:application

It verifies Stripe's signature and writes each delivery into PostgreSQL before it answers: the one
contestant whose 2xx stands behind a durable write, too.
"""

from __future__ import annotations

import os

import django
from django.conf import settings

#: Opens nothing: only its form matters.
KEY = f"sk_test_{'0' * 24}"

settings.configure(
    SECRET_KEY="bench",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "djstripe"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["BENCH_DATABASE"],
            "USER": os.environ["BENCH_DATABASE_USER"],
            "PASSWORD": os.environ["BENCH_DATABASE_PASSWORD"],
            "HOST": "127.0.0.1",
            "PORT": os.environ["BENCH_DATABASE_PORT"],
            "CONN_MAX_AGE": None,  # a session is kept open, not made for each request
        }
    },
    # The same tables, straight from the models: the migrations would run for a minute.
    MIGRATION_MODULES={"djstripe": None, "auth": None, "contenttypes": None},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    STRIPE_TEST_SECRET_KEY=KEY,
    STRIPE_LIVE_MODE=False,
    DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
)
django.setup()

from django.core.management import call_command  # noqa: E402 - Django must be set up first
from django.core.wsgi import get_wsgi_application  # noqa: E402 - as above
from django.urls import include, path  # noqa: E402 - as above

urlpatterns = [path("stripe/", include("djstripe.urls", namespace="djstripe"))]
application = get_wsgi_application()


def prepare() -> None:
    """Make the schema and the row of the endpoint."""
    from djstripe.models import Account, APIKey, WebhookEndpoint  # noqa: PLC0415 - not when gunicorn imports us

    call_command("migrate", run_syncdb=True, verbosity=0)
    # Both are known already, so that no delivery makes it ask Stripe.
    account = Account.objects.create(id="acct_bench", livemode=False)
    APIKey.objects.create(
        id="djstripe_mk_bench",
        type="secret",
        secret=KEY,
        livemode=False,
        djstripe_owner_account=account,
    )
    WebhookEndpoint.objects.create(
        id="we_bench",
        livemode=False,
        api_version="2024-06-20",
        enabled_events=["*"],
        secret=os.environ["BENCH_SECRET"],
        status="enabled",
        url="https://bench.example/stripe",
        djstripe_uuid=os.environ["BENCH_ENDPOINT"],
    )


if __name__ == "__main__":
    prepare()
