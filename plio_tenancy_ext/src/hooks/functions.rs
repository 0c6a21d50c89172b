//! Functions as PostgreSQL looks them up to call them: those that no object access announces, trigger functions above all.
//!
//! `needs_fmgr_hook` is asked about every function that is not built in, when it is made ready for calling; for a trigger,
//! once in each statement that fires it. Functions with a SET clause or their owner's rights are not asked about then:
//! `fmgr_hook` is told of each of their calls. Inside a tenant a trigger function may be neither another tenant's nor one
//! that sends what no statement sent ([`cache::NOTIFIER`]), nor, where the tenant has no role, of an extension that is denied there. Without a tenant nothing is looked at: what such a function reads is
//! judged as ever. The answer to PostgreSQL stays the previous hook's: ours watches, and refuses. Only to the planner it
//! says yes for bodies of SQL functions in which replaced.rs has something to exchange: so they are not inlined.

use crate::denial::{self, Subject};
use crate::error::{Error, Result, or_raise};
use crate::hooks::{self, object_access, planner, replaced};
use crate::pg::{FIRST_NORMAL_OID, raw, session};
use crate::{cache, context};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

static mut PREVIOUS_NEEDS: pg_sys::needs_fmgr_hook_type = None;
static mut PREVIOUS: pg_sys::fmgr_hook_type = None;

/// Sets the hooks.
pub fn install() {
    // SAFETY: `_PG_init` runs once, in one thread.
    unsafe {
        PREVIOUS_NEEDS = pg_sys::needs_fmgr_hook;
        pg_sys::needs_fmgr_hook = Some(on_look_up);
        PREVIOUS = pg_sys::fmgr_hook;
        pg_sys::fmgr_hook = Some(on_call);
    }
}

unsafe extern "C-unwind" fn on_look_up(function: Oid) -> bool {
    // SAFETY: plain data only in this frame; the argument is PostgreSQL's and handed on as it came.
    unsafe {
        if is_interesting(function) {
            check(function);
        }
        (planner::is_running() && is_kept_whole(function))
            || PREVIOUS_NEEDS.is_some_and(|previous| previous(function))
    }
}

unsafe extern "C-unwind" fn on_call(
    event: pg_sys::FmgrHookEventType::Type,
    info: *mut pg_sys::FmgrInfo,
    argument: *mut pg_sys::Datum,
) {
    // SAFETY: plain data only in this frame; the arguments are PostgreSQL's and handed on as they came.
    unsafe {
        if event == pg_sys::FmgrHookEventType::FHET_START && is_interesting((*info).fn_oid) {
            check((*info).fn_oid);
        }
        if let Some(previous) = PREVIOUS {
            previous(event, info, argument);
        }
    }
}

/// Whether the planner, which asks before it inlines a SQL function's body, must leave it alone.
#[pg_guard]
unsafe extern "C-unwind" fn is_kept_whole(function: Oid) -> bool {
    session::is_in_progress() && cache::location().is_some() && replaced::holds_replaced(function)
}

/// Fast exit: no tenant, PostgreSQL's own, the tenant's own, no trigger function.
unsafe fn is_interesting(function: Oid) -> bool {
    // SAFETY: any function's oid may be looked up.
    unsafe {
        context::is_active()
            && function.to_u32() >= FIRST_NORMAL_OID
            && context::active_schema() != Some(raw::get_func_namespace(function))
            && raw::get_func_rettype(function) == pg_sys::TRIGGEROID
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn check(function: Oid) {
    if session::is_in_progress() && hooks::is_judged() && or_raise(hooks::has_registry()) {
        or_raise(denial::decide(ensure_trigger(function), Subject::Function(function)));
    }
}

fn ensure_trigger(function: Oid) -> Result<()> {
    if cache::connector_of(function) == Some(cache::NOTIFIER) {
        return Err(Error::StatementRefused { tag: "NOTIFY".to_owned() });
    }
    // As of any other function: `lo_manage()`, say, unlinks large objects, which no check tells from another tenant's.
    object_access::ensure_function(function)
}
