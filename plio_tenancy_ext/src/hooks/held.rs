//! Rows of a session's tenant's cursors WITH HOLD, fetched by the protocol's Execute.
//!
//! PostgreSQL has stored these rows, so no plan starts, and no other hook is asked whether the session's tenant is open still. The
//! rows pass PostgreSQL's table of send functions (pg/wire.rs), in which ours stands from the first transaction on that leaves such
//! a cursor. FETCH is a statement: the utility hook has confirmed the tenant then.

use crate::denial::{self, Subject};
use crate::error::or_raise;
use crate::pg::{portal, session, wire};
use crate::{context, hooks};

/// From now on the rows of held cursors are judged.
pub fn watch() {
    wire::watch_rows(wire::Rows { is_due: context::needs_confirmation, judge });
}

/// A row is on its way to the client, in a transaction that has not confirmed the session's tenant.
fn judge() {
    if session::is_in_progress()
        && portal::is_running_held()
        && hooks::is_judged()
        && or_raise(hooks::has_registry())
    {
        or_raise(denial::decide(hooks::ensure_confirmed(), Subject::Statement));
    }
}
