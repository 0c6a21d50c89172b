from contextlib import contextmanager

from django.db import connections, transaction


@contextmanager
def tenant(org, using="default"):
    """One transaction in one tenant; atomic() and savepoints work inside."""
    with transaction.atomic(using=using):
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT plio.set_tenant(%s)", [org])
        yield


class TenantMiddleware:
    """The last one in MIDDLEWARE. ATOMIC_REQUESTS is not needed: a request is a transaction."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        with tenant(request.headers["X-Org"]):  # as your application knows it
            return self.get_response(request)

    def process_exception(self, request, exception):
        transaction.set_rollback(True)  # Django is about to make an answer of it
