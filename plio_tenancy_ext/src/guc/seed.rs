//! PostgreSQL's setting `seed`, by which SET, `set_config()` and functions' SET clauses set the state of `random()`.

use crate::context::random;
use crate::pg::guc;
use pgrx::prelude::*;
use std::cell::Cell;
use std::ffi::c_void;

thread_local! {
    static SEED: Cell<pg_sys::GucRealAssignHook> = const { Cell::new(None) };
}

/// Puts a hook in front of the setting's own.
pub fn install() {
    if let Some(record) = guc::Record::find(c"seed") {
        // SAFETY: the setting is a floating-point number; the hook hands on to the old one.
        SEED.set(unsafe { record.wrap_real(Some(assign)) });
    }
}

unsafe extern "C-unwind" fn assign(value: f64, extra: *mut c_void) {
    random::note();
    if let Some(assign) = SEED.get() {
        // SAFETY: plain data only; arguments are handed on as they came.
        unsafe { assign(value, extra) };
    }
}
