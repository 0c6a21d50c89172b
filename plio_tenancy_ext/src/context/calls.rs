//! A tenant's own code does not lead out of the tenant.
//!
//! A transaction's tenant ends with the transaction, and a procedure may end that (COMMIT, ROLLBACK). A procedure of the tenant's,
//! called inside, would go on with the rights of whoever called it: so nothing that it runs is allowed until the client's next
//! message. A session's tenant changes in statements of the client alone, never in a function or a procedure.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::pg::session;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed};

/// How many CALLs of tenants' procedures are running, one inside the other.
static DEPTH: AtomicU32 = AtomicU32::new(0);
/// The same, when the transaction's tenant was entered.
static ENTERED_AT: AtomicU32 = AtomicU32::new(0);
/// When the client's message began in which a tenant's procedure ended the tenant that it runs in; 0 for none.
static ENDED_IN: AtomicI64 = AtomicI64::new(0);

/// A statement of the client's begins: no procedure is running. One that failed has not said so.
#[inline]
pub fn on_top_level() {
    DEPTH.store(0, Relaxed);
}

/// A CALL begins; gives what [`leave`] puts back.
#[inline]
pub fn enter(is_tenants: bool) -> u32 {
    let outer = DEPTH.load(Relaxed);
    DEPTH.store(outer + u32::from(is_tenants), Relaxed);
    outer
}

/// It has ended.
#[inline]
pub fn leave(outer: u32) {
    DEPTH.store(outer, Relaxed);
}

/// A transaction's tenant is entered.
pub(super) fn note_entered() {
    ENTERED_AT.store(DEPTH.load(Relaxed), Relaxed);
}

/// A transaction has ended; the state is still that of its end.
pub(super) fn on_transaction_end() {
    if super::is_locked() && DEPTH.load(Relaxed) > ENTERED_AT.load(Relaxed) {
        ENDED_IN.store(session::statement_start(), Relaxed);
    }
}

/// Whether a tenant's procedure goes on that has ended its tenant.
#[inline]
pub fn is_ended() -> bool {
    let ended = ENDED_IN.load(Relaxed);
    ended != 0 && ended == session::statement_start()
}

/// Refuses whatever such a procedure runs.
///
/// # Errors
/// 55000.
pub fn ensure_not_ended() -> Result<()> {
    if is_ended() { Err(Error::TenantEnded) } else { Ok(()) }
}

/// Refuses to change a session's tenant below a function or a procedure. `is_nested`: the caller knows that it is.
///
/// # Errors
/// 25001.
pub(super) fn ensure_clients_own(is_nested: bool) -> Result<()> {
    if super::is_active() && (is_nested || !session::is_outside_spi()) {
        Err(Error::InFunction)
    } else {
        Ok(())
    }
}
