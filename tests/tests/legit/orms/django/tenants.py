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
    """Before SessionMiddleware in MIDDLEWARE: sessions and users are the tenant's, too. A request is a transaction."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        with tenant(request.get_host().partition(".")[0]):  # acme.example.org
            response = self.get_response(request)
            if response.status_code >= 500 or hasattr(request, "failure"):
                transaction.set_rollback(True)
            return response

    def process_exception(self, request, exception):
        request.failure = exception  # Django is about to make an answer of it
