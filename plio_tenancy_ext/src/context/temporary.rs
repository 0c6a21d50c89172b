//! Temporary objects of a transaction's tenant: those that the transaction made or touched are gone at its COMMIT.
//!
//! PostgreSQL tells whether a transaction looked at any of them, not at which: all of the session's go then. Where the
//! transaction only goes back to the same tenant of the session, they stay.

#![forbid(unsafe_code)]

use super::residue;
use super::state::{self, Scope};
use crate::pg::session;
use crate::tenant::TenantId;
use std::cell::Cell;

thread_local! {
    /// The transaction's end goes back to a session's tenant which is the same.
    static IS_BENEATH: Cell<bool> = const { Cell::new(false) };
}

/// A transaction's tenant is about to be entered.
pub(super) fn note_beneath(entering: TenantId) {
    let here = state::current();
    let is_beneath = state::is_active() && here.scope == Scope::Session && here.tenant == entering;
    if is_beneath {
        residue::note_session(entering);
    }
    IS_BENEATH.set(is_beneath);
}

/// The transaction is about to be committed.
///
/// # Errors
/// Raises PostgreSQL's 55006 when a temporary object is in use.
pub(super) fn on_commit() {
    if super::is_locked() && !IS_BENEATH.get() && session::has_touched_temporary() {
        session::drop_temporary_objects();
    }
}
