//! The state of `random()`: what a tenant set, or could work out from the numbers that it was given, is not the next tenant's.
//!
//! PostgreSQL keeps one for the session (`setseed()`, the setting `seed`). Where it was used or set while a tenant was active, it
//! is begun anew when the tenant changes.

#![forbid(unsafe_code)]

use crate::pg::session;
use pgrx::pg_sys::Oid;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether `random()` and its like were made ready to be called in this transaction: they stay so until it ends, plpgsql asks once.
static IS_READY: AtomicBool = AtomicBool::new(false);

/// Whether they may have been called, or the state was set, since it was begun anew.
static IS_USED: AtomicBool = AtomicBool::new(false);

/// A function of PostgreSQL's is made ready to be run: `random()`, `setseed()`, and from 16 and 17 on `random_normal()` and
/// `random()` of a range.
#[inline]
pub fn note_function(function: Oid) {
    if matches!(function.to_u32(), 1598 | 1599 | 6212 | 6339..=6341) {
        IS_READY.store(true, Relaxed);
        note();
    }
}

/// The state is set.
pub fn note() {
    IS_USED.store(true, Relaxed);
}

/// The tenant has changed. Never raises.
pub fn on_tenant_change() {
    if IS_USED.swap(IS_READY.load(Relaxed), Relaxed) {
        session::begin_random_anew();
    }
}

/// A transaction has ended.
pub(super) fn on_transaction_end() {
    IS_READY.store(false, Relaxed);
    if !super::is_active() {
        IS_USED.store(false, Relaxed);
    }
}
