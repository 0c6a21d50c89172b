"""What a Django application does with its database, in two tenants on one connection. The tenants are acme and bravo of the
tests' fixture: empty but for `users`, the same ids in both."""

import io
import os
import sys

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

import django

django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, close_old_connections, connection, connections, transaction
from django.db.models import Count, F, Q
from django.test import Client

from shop.models import Author, Book, Country
from tenants import tenant

ORGS = ("acme", "bravo")


def backend(using="default"):
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def refused(sqlstate, work, words=("canary", "tenant_bravo")):
    """The error as the ORM hands it on."""
    try:
        with transaction.atomic():
            work()
    except DatabaseError as error:
        assert error.__cause__.sqlstate == sqlstate, (error.__cause__.sqlstate, error)
        assert not any(word in str(error) for word in words), error
        return error
    raise AssertionError("not refused: expected %s" % sqlstate)


def migrations_come_into_the_tenants_schema():
    for org in ORGS:
        with tenant(org):
            call_command("migrate", verbosity=0)
            assert Author.objects.get().name == "first"
            Author.objects.all().delete()
    with tenant("acme"):
        call_command("migrate", "shop", "0001", verbosity=0)
        assert "sold" not in [column.name for column in columns("shop_book")]
    with tenant("bravo"):
        call_command("migrate", check_unapplied=True, verbosity=0)
        assert "sold" in [column.name for column in columns("shop_book")]
    with tenant("acme"):
        call_command("migrate", "shop", verbosity=0)
        Author.objects.all().delete()


def columns(table):
    with connection.cursor() as cursor:
        return connection.introspection.get_table_description(cursor, table)


def introspection_sees_this_tenant():
    with tenant("acme"):
        with connection.cursor() as cursor:
            look = connection.introspection
            tables = look.table_names(cursor)
            assert {"users", "shop_book", "shop_author", "django_migrations", "countries"} <= set(tables), tables
            assert len(tables) == len(set(tables)), tables
            assert look.get_primary_key_column(cursor, "shop_book") == "id"
            assert look.get_relations(cursor, "shop_book")["author_id"][:2] == ("id", "shop_author")
            made = look.get_constraints(cursor, "shop_book")
            assert made["book_by_author"]["columns"] == ["author_id", "title"] and made["sold_few"]["check"], made
            assert [s["column"] for s in look.get_sequences(cursor, "shop_book")] == ["id"]
        out = io.StringIO()
        call_command("inspectdb", stdout=out)
        for line in ("class ShopBook(models.Model):", "class Users(models.Model):", "facts = models.JSONField()",
                     "author = models.ForeignKey(ShopAuthor, models.DO_NOTHING)"):
            assert line in out.getvalue(), out.getvalue()
        assert "rror" not in out.getvalue(), out.getvalue()


def rows_stay_in_their_tenant():
    pid = backend()
    for org in ORGS:
        with tenant(org):
            author = Author.objects.create(name="canary-" + org)
            Book.objects.create(author=author, title="one", facts={"pages": 10, "in": [org]}, tags=["a", org])
    for org in ORGS * 2:
        with tenant(org):
            assert backend() == pid
            assert list(Author.objects.values_list("name", flat=True)) == ["canary-" + org]
            book = Book.objects.select_related("author").get(facts__pages=10, tags__contains=[org])
            assert book.author.name == "canary-" + org and book.facts["in"] == [org]
            assert Country.objects.get(code="IN").name == "India"


def the_usual_queries():
    with tenant("acme"):
        author = Author.objects.get()
        Book.objects.bulk_create([Book(author=author, title="b%d" % i, sold=i) for i in range(500)], batch_size=200)
        Book.objects.bulk_create([Book(author=author, title="b1", sold=7)], update_conflicts=True,
                                 update_fields=["sold"], unique_fields=["title"])
        assert Book.objects.get(title="b1").sold == 7
        assert sum(1 for _ in Book.objects.iterator(chunk_size=100)) == 501
        assert Book.objects.filter(Q(title="one") | Q(sold__gt=498)).update(sold=F("sold") + 1) == 2
        locked = Book.objects.select_for_update(of=("self",), skip_locked=True).filter(title="one").get()
        locked.title = "first"
        locked.save()
        assert Author.objects.annotate(n=Count("books")).get().n == 501
        assert Book.objects.get_or_create(title="first", defaults={"author": author})[1] is False
        assert "Index" in Book.objects.filter(id=3).explain(analyze=True)
        Book.objects.filter(title__startswith="b").delete()
    with tenant("bravo"):
        assert list(Book.objects.values_list("title", flat=True)) == ["one"]


def savepoints_and_errors():
    with tenant("acme"):
        author = Author.objects.get()
        try:
            with transaction.atomic():
                Book.objects.create(author=author, title="first")
        except IntegrityError as error:
            assert error.__cause__.diag.constraint_name == "shop_book_title_key", error
        Book.objects.create(author=author, title="after")
        try:
            with transaction.atomic():
                Book.objects.create(author=author, title="undone")
                raise KeyError
        except KeyError:
            pass
        point = transaction.savepoint()
        Author.objects.all().delete()
        transaction.savepoint_rollback(point)
    with tenant("acme"):
        assert list(Book.objects.order_by("id").values_list("title", flat=True)) == ["first", "after"]
    try:
        with tenant("acme"):
            Author.objects.all().delete()
            raise KeyError
    except KeyError:
        pass
    with tenant("acme"):
        assert Author.objects.count() == 1
        done = []
        transaction.on_commit(lambda: done.append(1))
    assert done == [1]


def what_is_refused():
    with tenant("acme"):
        refused("42501", lambda: Author.objects.raw('SELECT * FROM tenant_bravo.shop_author')[0], ["canary"])
        refused("25001", lambda: tenant("bravo").__enter__())
        refused("42501", lambda: connection.cursor().execute("SET search_path = tenant_bravo"), ["canary"])
        assert Author.objects.get().name == "canary-acme"
    refused("42501", lambda: tenant("nobody").__enter__())


def a_forgotten_tenant_is_an_error():
    with tenant("acme"):
        assert Author.objects.count() == 1
    # The table is in no schema of the path: PostgreSQL's own error. By its full name, ours.
    refused("42P01", lambda: Author.objects.count())
    error = refused("55000", lambda: Author.objects.raw("SELECT * FROM tenant_acme.shop_author")[0])
    assert "plio.set_tenant" in error.__cause__.diag.message_hint, error.__cause__.diag.message_hint
    refused("55000", lambda: connection.cursor().execute("SELECT plio.require_tenant()"))


def request(client, org, path, **query):
    return client.get(path, query, headers={"Host": org + ".example.org"})


def requests_through_the_middleware():
    client = Client(raise_request_exception=True)
    pids = set()
    for org in ORGS * 2:
        close_old_connections()
        answer = request(client, org, "/add", name="by request")
        assert answer.status_code == 200 and answer.content.decode().startswith("canary-%s,by request" % org), answer
        assert request(client, org, "/fail", name="undone").status_code == 404
        assert request(client, org, "/broken", name="undone").status_code == 500
        pids.add(backend())
    assert len(pids) == 1, pids
    for org in ORGS:
        with tenant(org):
            names = list(Author.objects.order_by("id").values_list("name", flat=True))
            assert names == ["canary-" + org, "by request", "by request"], names
            Author.objects.filter(name="by request").delete()


def who_signed_in_in_one_tenant_is_nobody_in_the_other():
    with tenant("acme"):
        User.objects.create_user("asha")
    client = Client()
    assert request(client, "acme", "/sign-in", name="asha").content == b"welcome"
    assert request(client, "acme", "/who").content == b"asha"
    with_her_cookie = Client()
    with_her_cookie.cookies["sessionid"] = client.cookies["sessionid"].value
    assert request(with_her_cookie, "bravo", "/who").content == b"nobody"
    assert request(client, "acme", "/who").content == b"asha"


def prepared_statements_follow_the_tenant():
    pid = backend("prepared")
    for org in ORGS * 3:
        with tenant(org, using="prepared"):
            assert backend("prepared") == pid
            assert Author.objects.using("prepared").get(name__startswith="canary").name == "canary-" + org
    with connections["prepared"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql")
        assert cursor.fetchone()[0] > 0


def sessions_of_one_tenant():
    """`options=-c plio.tenant=acme`: manage.py for one tenant, autocommit; and SET in a session."""
    out = io.StringIO()
    call_command("inspectdb", "shop_author", database="acme", stdout=out)
    assert "class ShopAuthor" in out.getvalue(), out.getvalue()
    call_command("migrate", "shop", "0001", database="acme", verbosity=0)
    call_command("migrate", database="acme", verbosity=0)
    Author.objects.using("acme").filter(name="first").delete()
    Author.objects.using("acme").create(name="autocommit")
    assert sum(1 for _ in Author.objects.using("acme").iterator(chunk_size=1)) == 2
    with transaction.atomic(using="acme"):
        assert Author.objects.using("acme").select_for_update().get(name="autocommit").delete()[0] == 1
    with connection.cursor() as cursor:
        for org in ORGS:
            cursor.execute("SET plio.tenant = '%s'" % org)
            assert Author.objects.get().name == "canary-" + org
        cursor.execute("RESET plio.tenant")
    refused("42P01", lambda: Author.objects.count())


for step in (migrations_come_into_the_tenants_schema, introspection_sees_this_tenant, rows_stay_in_their_tenant,
             the_usual_queries, savepoints_and_errors, what_is_refused, a_forgotten_tenant_is_an_error,
             requests_through_the_middleware, who_signed_in_in_one_tenant_is_nobody_in_the_other,
             prepared_statements_follow_the_tenant, sessions_of_one_tenant):
    print(step.__name__, flush=True)
    step()
print("done")
