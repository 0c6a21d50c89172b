from contextlib import contextmanager

from sqlalchemy import event, text
from sqlalchemy.orm import Session

SET_TENANT = text("SELECT plio.set_tenant(:org)")


class TenantSession(Session):
    """Session(engine, info={"org": "acme"}): every transaction that it begins is in that tenant."""


@event.listens_for(TenantSession, "after_begin")
def enter(session, transaction, connection):
    if not transaction.nested:
        connection.execute(SET_TENANT, {"org": session.info["org"]})


@contextmanager
def tenant(engine, org):
    """The same for Core: one connection, one transaction, one tenant."""
    with engine.begin() as connection:
        connection.execute(SET_TENANT, {"org": org})
        yield connection
