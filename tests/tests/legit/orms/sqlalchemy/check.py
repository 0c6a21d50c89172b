"""What an application does with SQLAlchemy, in two tenants on one connection. The tenants are acme and bravo of the tests'
fixture, with `users` in each and the same ids in both."""

import os

from sqlalchemy import (CheckConstraint, ForeignKey, Index, MetaData, Table, create_engine, event, func, insert, inspect,
                        select, text, update)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert as upsert
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload, sessionmaker
from sqlalchemy.types import Text

from tenants import TenantSession, tenant

ORGS = ("acme", "bravo")
# Host, port, role and database come from the PG* variables.
URL = "postgresql+psycopg://"


def engine_of(**options):
    """One connection, so that the tenants must share it; each statement is a prepared one from the first."""
    return create_engine(URL, pool_size=1, max_overflow=0, pool_pre_ping=True,
                         connect_args={"prepare_threshold": 0, **options})


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
    title: Mapped[str] = mapped_column(unique=True)
    facts: Mapped[dict] = mapped_column(JSONB, default=dict)
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)
    sold: Mapped[int] = mapped_column(default=0)
    author: Mapped[Author] = relationship(back_populates="books")
    __table_args__ = (Index("books_by_author", "author_id", "title"), CheckConstraint("sold <= 1000", name="sold_few"))


ENGINE = engine_of()
SESSIONS = sessionmaker(ENGINE, class_=TenantSession)


def session(org):
    return SESSIONS(info={"org": org})


def backend(connection):
    return connection.scalar(text("SELECT pg_backend_pid()"))


def refused(sqlstate, work, words=("canary", "tenant_bravo")):
    """The error as SQLAlchemy hands it on."""
    try:
        work()
    except DBAPIError as error:
        assert error.orig.sqlstate == sqlstate, (error.orig.sqlstate, error)
        assert not any(word in str(error.orig) for word in words), error
        return error.orig
    raise AssertionError("not refused: expected %s" % sqlstate)


def tables_are_made_in_the_tenant():
    for org in ORGS:
        with tenant(ENGINE, org) as connection:
            Base.metadata.create_all(connection)
            Base.metadata.drop_all(connection)
            assert not inspect(connection).has_table("books")
            Base.metadata.create_all(connection)
            Base.metadata.create_all(connection)


def reflection_sees_this_tenant():
    with tenant(ENGINE, "acme") as connection:
        look = inspect(connection)
        assert look.default_schema_name
        names = look.get_table_names()
        assert {"users", "authors", "books"} <= set(names), names
        assert look.has_table("books") and not look.has_table("nothing")
        assert [c["name"] for c in look.get_columns("books")][:3] == ["id", "author_id", "title"]
        assert look.get_pk_constraint("books")["constrained_columns"] == ["id"]
        (key,) = look.get_foreign_keys("books")
        assert (key["referred_table"], key["referred_schema"]) == ("authors", None), key
        assert {"books_by_author"} <= {index["name"] for index in look.get_indexes("books")}
        assert [c["name"] for c in look.get_check_constraints("books")] == ["sold_few"]
        assert look.get_unique_constraints("books")[0]["column_names"] == ["title"]
        assert look.get_sequence_names() and "tenant_acme" in look.get_schema_names()
        meta = MetaData()
        meta.reflect(connection)
        assert meta.tables["books"].c.author_id.references(meta.tables["authors"].c.id)
        countries = Table("countries", MetaData(), schema="public", autoload_with=connection)
        assert connection.execute(select(countries.c.name).where(countries.c.code == "IN")).scalar() == "India"
        assert len(connection.execute(select(meta.tables["users"])).all()) == 3


def rows_stay_in_their_tenant():
    pids = set()
    for org in ORGS:
        with session(org) as work:
            work.add(Author(name="canary-" + org, books=[Book(title="one", facts={"in": org}, tags=["a", org])]))
            work.commit()
            pids.add(backend(work))
    for org in ORGS * 3:
        with session(org) as work:
            author = work.scalars(select(Author).options(selectinload(Author.books))).one()
            assert author.name == "canary-" + org and author.books[0].facts == {"in": org}
            assert work.get(Author, 1).name == "canary-" + org
            assert work.scalar(select(Book.title).where(Book.tags.contains([org]))) == "one"
            assert work.scalar(text("SELECT plio.current_tenant()")) == org
            work.commit()
            # The next transaction of the same session.
            assert work.scalar(select(func.count()).select_from(Book)) == 1
            pids.add(backend(work))
    assert len(pids) == 1, pids
    with ENGINE.connect() as connection:
        kept = text("SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql AND statement LIKE '%FROM authors%'")
        assert connection.scalar(kept) > 0
        assert connection.scalar(text("SELECT plio.current_tenant()")) is None


def the_usual_queries():
    with session("acme") as work:
        author = work.scalars(select(Author)).one()
        work.execute(insert(Book), [{"author_id": author.id, "title": "b%d" % i, "sold": i} for i in range(500)])
        work.add_all([Book(author=author, title="c%d" % i) for i in range(5)])
        work.flush()
        again = upsert(Book).values(author_id=author.id, title="b1", sold=7)
        work.execute(again.on_conflict_do_update(index_elements=["title"], set_={"sold": again.excluded.sold}))
        assert work.scalar(select(Book.sold).where(Book.title == "b1")) == 7
        stream = work.execute(select(Book.title), execution_options={"stream_results": True, "yield_per": 100})
        assert sum(1 for _ in stream) == 506
        locked = work.scalars(select(Book).where(Book.title == "one").with_for_update(skip_locked=True)).one()
        locked.title = "first"
        work.execute(update(Book).where(Book.sold > 498).values(sold=Book.sold + 1))
        work.commit()
        assert work.scalar(select(func.max(Book.sold))) == 500
        work.execute(text("DELETE FROM books WHERE title <> 'first'"))
        work.commit()
    with session("bravo") as work:
        assert work.scalars(select(Book.title)).all() == ["one"]


def savepoints_and_errors():
    with session("acme") as work, work.begin_nested():
        assert work.scalar(text("SELECT plio.current_tenant()")) == "acme"
    with session("acme") as work:
        author = work.scalars(select(Author)).one()
        try:
            with work.begin_nested():
                work.add(Book(author_id=author.id, title="first"))
        except IntegrityError as error:
            assert error.orig.diag.constraint_name == "books_title_key", error
        with work.begin_nested():
            work.add(Book(author_id=author.id, title="after"))
        point = work.begin_nested()
        work.execute(text("DELETE FROM books"))
        point.rollback()
        work.commit()
        assert work.scalars(select(Book.title).order_by(Book.id)).all() == ["first", "after"]
        work.execute(text("DELETE FROM books"))
        work.rollback()
        assert work.scalar(select(func.count()).select_from(Book)) == 2


def what_is_refused():
    foreign = {"schema_translate_map": {None: "tenant_bravo"}}
    with session("acme") as work:
        def read():
            with work.begin_nested():
                work.connection().execute(select(Author.__table__), execution_options=foreign).all()

        def make():
            with work.begin_nested():
                Base.metadata.tables["authors"].to_metadata(MetaData(), schema="tenant_bravo", name="made").create(
                    work.connection())

        def enter():
            with work.begin_nested():
                work.execute(text("SELECT plio.set_tenant('bravo')"))

        refused("42501", read, ["canary"])
        refused("42501", make, ["canary"])
        refused("25001", enter)
        assert work.scalars(select(Author.name)).all() == ["canary-acme"]
        own = {"schema_translate_map": {None: "tenant_acme"}}
        assert len(work.connection().execute(select(Author.__table__), execution_options=own).all()) == 1
    with session("nobody") as work:
        refused("42501", lambda: work.connection())


def a_forgotten_tenant_is_an_error():
    with session("acme") as work:
        assert work.scalars(select(Author.name)).all() == ["canary-acme"]
    with Session(ENGINE) as work:
        # The table is in no schema of the path: PostgreSQL's own error. By its full name, ours.
        refused("42P01", lambda: work.scalars(select(Author)).all())
        work.rollback()
        error = refused("55000", lambda: work.execute(text("SELECT * FROM tenant_acme.authors")), ["canary"])
        assert "plio.set_tenant" in error.diag.message_hint, error.diag.message_hint
        work.rollback()
        refused("55000", lambda: work.execute(text("SELECT plio.require_tenant()")))
    with ENGINE.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        refused("25P01", lambda: connection.execute(text("SELECT plio.set_tenant('acme')")))


def a_session_of_one_tenant():
    """`options=-c plio.tenant=acme`: autocommit, reflection of a whole engine; and SET, which DISCARD ALL resets."""
    engine = engine_of(options="-c plio.tenant=acme")
    meta = MetaData()
    meta.reflect(engine)
    assert {"users", "authors", "books"} <= set(meta.tables), list(meta.tables)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        assert connection.scalars(select(Author.name)).all() == ["canary-acme"]
        connection.execute(insert(Author).values(name="autocommit"))
        connection.execute(text("DELETE FROM authors WHERE name = 'autocommit'"))
        connection.execute(text("CREATE INDEX CONCURRENTLY authors_name ON authors (name)"))
    engine.dispose()
    with Session(ENGINE) as work:
        for org in ORGS:
            work.execute(text("SET plio.tenant = '%s'" % org))
            work.commit()
            assert work.scalars(select(Author.name)).all() == ["canary-" + org]
            work.commit()


def a_pool_that_resets():
    """What was SET in a session is still set for the next user of the connection, unless the pool resets it."""
    engine = engine_of()

    @event.listens_for(engine, "reset")
    def forget(connection, record, state):
        connection.rollback()
        connection.execute("RESET plio.tenant")
        connection.commit()

    for org in ORGS * 2:
        with Session(engine) as work:
            refused("55000", lambda: work.execute(text("SELECT plio.require_tenant()")))
            work.rollback()
            work.execute(text("SET plio.tenant = '%s'" % org))
            assert work.execute(text("SELECT name FROM authors")).scalar() == "canary-" + org
            work.commit()
    engine.dispose()


for step in (tables_are_made_in_the_tenant, reflection_sees_this_tenant, rows_stay_in_their_tenant, the_usual_queries,
             savepoints_and_errors, what_is_refused, a_forgotten_tenant_is_an_error, a_session_of_one_tenant,
             a_pool_that_resets):
    print(step.__name__, flush=True)
    step()
print("done")
