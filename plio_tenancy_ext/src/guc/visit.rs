//! Settings of a report's visit to a tenant: its limit, and two of PostgreSQL's own that the tenant's code may not change there.
//!
//! `exit_on_error` makes every error end the session, and `transaction_timeout` (17 and later) takes effect at once, not with the
//! next statement: with either a tenant's view could end the reporter's session, or outlive the reporter's own timeout. Other
//! timeouts begin with a statement of the client's, and the rest of a visit's changes goes with its subtransaction.

use super::locked_by_tenant;
use crate::context;
use crate::error::Error;
use crate::pg::{guc, session};
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::prelude::*;
use std::cell::Cell;
use std::ffi::{c_int, c_void};

/// Five minutes: no query of a report on one tenant takes longer by accident alone.
const DEFAULT_TIMEOUT: i32 = 300_000;

static VISIT_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(DEFAULT_TIMEOUT);

/// How many milliseconds a report may stay in one tenant; 0 for no limit.
pub fn timeout() -> i32 {
    VISIT_TIMEOUT.get()
}

thread_local! {
    static EXIT_ON_ERROR: Cell<pg_sys::GucBoolCheckHook> = const { Cell::new(None) };
    static TRANSACTION_TIMEOUT: Cell<(pg_sys::GucIntCheckHook, pg_sys::GucIntAssignHook)> =
        const { Cell::new((None, None)) };
}

/// Defines the limit.
pub fn define() {
    // SAFETY: the hook is guarded.
    unsafe {
        GucRegistry::define_int_guc_with_hooks(
            c"plio.report_visit_timeout",
            c"How long a report or a report view may stay in one tenant.",
            c"A tenant that takes longer counts as failed. 0: no limit.",
            &VISIT_TIMEOUT,
            0,
            i32::MAX,
            GucContext::Userset,
            GucFlags::UNIT_MS,
            Some(check_visit_timeout),
            None,
            None,
        );
    }
}

locked_by_tenant!(check_visit_timeout, "plio.report_visit_timeout", i32);

/// Puts the locks in front of PostgreSQL's own settings.
pub fn install_locks() {
    // SAFETY: the settings are of these types; the hooks hand on to the old ones.
    unsafe {
        if let Some(record) = guc::Record::find(c"exit_on_error") {
            EXIT_ON_ERROR.set(record.wrap_bool(Some(check_exit_on_error)));
        }
        if let Some(record) = guc::Record::find(c"transaction_timeout") {
            let old = record.wrap_int(Some(check_transaction_timeout), Some(assign_transaction_timeout));
            TRANSACTION_TIMEOUT.set(old);
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn refuse(is_timeout: bool) {
    let setting = if is_timeout { "transaction_timeout" } else { "exit_on_error" };
    if context::is_visit() && session::is_in_progress() && !session::is_initializing_worker() {
        Error::LockedSetting { setting }.raise();
    }
}

unsafe extern "C-unwind" fn check_exit_on_error(
    value: *mut bool,
    extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: plain data only; arguments are handed on as they came.
    unsafe {
        refuse(false);
        EXIT_ON_ERROR.get().is_none_or(|check| check(value, extra, source))
    }
}

unsafe extern "C-unwind" fn check_transaction_timeout(
    value: *mut c_int,
    extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: plain data only; arguments are handed on as they came.
    unsafe {
        refuse(true);
        TRANSACTION_TIMEOUT.get().0.is_none_or(|check| check(value, extra, source))
    }
}

/// RESET reaches no check hook.
unsafe extern "C-unwind" fn assign_transaction_timeout(value: c_int, extra: *mut c_void) {
    // SAFETY: plain data only; arguments are handed on as they came.
    unsafe {
        refuse(true);
        if let Some(assign) = TRANSACTION_TIMEOUT.get().1 {
            assign(value, extra);
        }
    }
}
