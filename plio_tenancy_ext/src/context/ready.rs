//! What was made ready to be called in this transaction, and would not be announced again in the next tenant.
//!
//! plpgsql keeps a simple expression (`x := f(y)`) ready until the transaction ends, and asks anew only if its plan is no longer
//! valid: where a function's own SET clause keeps the search_path the same, a change of the tenant alone does not see to that. So
//! when the tenant changes inside a transaction, what the session keeps is planned anew, if a function that has to be judged was made
//! ready before. A new transaction makes everything ready anew by itself.

#![forbid(unsafe_code)]

use crate::pg::session;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static IS_READY: AtomicBool = AtomicBool::new(false);

/// A function that is judged by the tenant it is called in has been made ready.
pub fn note() {
    IS_READY.store(true, Relaxed);
}

/// A function that is not PostgreSQL's own has been made ready: by a procedural language, perhaps. `set_tenant` itself, in a
/// statement of the client's, is not.
#[inline]
pub fn note_by_language() {
    if !IS_READY.load(Relaxed) && !session::is_outside_spi() {
        note();
    }
}

/// The tenant has changed. Never raises.
pub fn on_tenant_change() {
    if IS_READY.swap(false, Relaxed) {
        session::reset_plans();
    }
}

/// A transaction has ended.
pub(super) fn on_transaction_end() {
    IS_READY.store(false, Relaxed);
}
