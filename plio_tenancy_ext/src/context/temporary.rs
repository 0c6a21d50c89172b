//! Temporary objects of a transaction's tenant: those that the transaction made or touched are gone at its COMMIT.
//!
//! PostgreSQL tells whether a transaction used a temporary relation, but not which one, and nothing about functions, types and
//! comments. So all temporary objects of the session are dropped, also after any DDL inside the tenant. They stay if the session
//! itself is in the same tenant.

#![forbid(unsafe_code)]

use super::residue;
use super::state::{self, Scope};
use crate::pg::session;
use crate::tenant::TenantId;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The transaction's tenant made or altered something, perhaps in the session's temporary schema.
static HAS_CHANGED: AtomicBool = AtomicBool::new(false);

/// An object was created, altered or commented on.
pub fn note_change() {
    if super::is_locked() {
        HAS_CHANGED.store(true, Relaxed);
    }
}

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
    let has_changed = HAS_CHANGED.swap(false, Relaxed);
    if super::is_locked() && !IS_BENEATH.get() && (has_changed || session::has_touched_temporary()) {
        session::drop_temporary_objects();
    }
}

/// The transaction has ended. A temporary sequence that was there before keeps, also when it is rolled back, what it was set to.
pub(super) fn on_transaction_end(is_commit: bool) {
    if !is_commit
        && session::has_touched_temporary()
        && let Some(tenant) = super::active_tenant()
    {
        residue::note_session(tenant);
    }
    HAS_CHANGED.store(false, Relaxed);
}
