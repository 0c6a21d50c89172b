//! Functions as PostgreSQL looks them up to call them: also those that no object access announces, such as trigger functions,
//! the input and output of types, support functions of operator classes and ranges.
//!
//! `needs_fmgr_hook` is asked about every function that is not built in, when it is made ready for calling; for a trigger,
//! once in each statement that fires it. Functions with a SET clause or their owner's rights are not asked about then:
//! `fmgr_hook` is told of each of their calls. Inside a tenant a function is refused if it (a) is refused when a query calls it
//! (object_access.rs: another tenant's, one that leads out of the database, a stranger's), or (b) is a trigger function of
//! [`cache::NOTIFIER`], which sends what no statement sent. Without a tenant nothing is looked at: what such a function reads is
//! judged as ever.
//!
//! The answer to PostgreSQL is the previous hook's, but for these, of which it is told yes:
//! - To the planner, bodies of SQL functions that must not be inlined: those that replaced.rs exchanges something in, those of a
//!   tenant that is not active, and inside a tenant those of strangers. They would run without being announced.
//! - What PostgreSQL keeps made ready for as long as the session lives (a range type's own functions): so each call is seen.

use crate::cache::code::{self, Trust};
use crate::denial::{self, Subject};
use crate::error::{Error, Result, or_raise};
use crate::hooks::{self, object_access, planner, replaced};
use crate::pg::{FIRST_NORMAL_OID, catalog, raw, session};
use crate::policy::Why;
use crate::{cache, context, guc, lifecycle};
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
        planner::note_look_up(function);
        (planner::is_running() && is_kept_whole(function))
            || is_kept_ready(function)
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
    if !session::is_in_progress() || cache::location().is_none() {
        return false;
    }
    replaced::holds_replaced(function)
        || is_strangers(function)
        || is_other_tenants(function)
        || is_own_on_a_functions_path(function)
}

/// Whether a function is the active tenant's own, in a plan that a function with a search_path of its own keeps: without the tenant
/// its path is the same, and the plan as good.
fn is_own_on_a_functions_path(function: Oid) -> bool {
    let active = context::active_schema();
    active.is_some()
        && function.to_u32() >= FIRST_NORMAL_OID
        && guc::reverting_at_function_exit().is_some()
        && catalog::function_schema(function) == active
}

/// Whether a function lies in the schema of a tenant that is not active: found on the path, inlined it would not be announced.
fn is_other_tenants(function: Oid) -> bool {
    if function.to_u32() < FIRST_NORMAL_OID {
        return false;
    }
    let schema = catalog::function_schema(function);
    schema != context::active_schema()
        && schema.is_some_and(|schema| cache::schema_kind(schema) == cache::SchemaKind::Tenant)
}

/// Whether a function is not trusted where we are. Outside a tenant it is inlined, and the plan made anew inside one.
fn is_strangers(function: Oid) -> bool {
    let active = context::active_schema();
    if function.to_u32() < FIRST_NORMAL_OID || code::is_known(function, active) {
        return false;
    }
    match code::trust_in_function(function) {
        Trust::Everywhere => false,
        Trust::Here => {
            planner::note_foreign_code();
            false
        }
        Trust::Nowhere => {
            planner::note_foreign_code();
            active.is_some() && hooks::is_judged()
        }
    }
}

/// Whether a function is not trusted everywhere, and may be one of a range type's own (`canonical`, `subtype_diff`): those are
/// kept by the type cache (typcache.c).
unsafe fn is_kept_ready(function: Oid) -> bool {
    if function.to_u32() < FIRST_NORMAL_OID || code::is_known(function, None) {
        return false;
    }
    // SAFETY: the function is being made ready, so it is there; any type may be asked for.
    unsafe {
        let result = raw::get_func_rettype(function);
        (result == pg_sys::FLOAT8OID || raw::get_typtype(result) as u8 == pg_sys::TYPTYPE_RANGE)
            && is_not_trusted_everywhere(function)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn is_not_trusted_everywhere(function: Oid) -> bool {
    session::is_in_progress()
        && cache::location().is_some()
        && code::trust_in_function(function) != Trust::Everywhere
}

/// Fast exit: PostgreSQL's own, the tenant's own, known to be trusted; without a tenant, all but trigger functions in a schema
/// that may be a tenant's.
unsafe fn is_interesting(function: Oid) -> bool {
    if function.to_u32() < FIRST_NORMAL_OID {
        return false;
    }
    let active = context::active_schema();
    // SAFETY: any function's oid may be looked up.
    unsafe {
        if active.is_none() {
            return !cache::is_known_neutral(raw::get_func_namespace(function))
                && raw::get_func_rettype(function) == pg_sys::TRIGGEROID;
        }
        !code::is_known(function, active) && active != Some(raw::get_func_namespace(function))
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn check(function: Oid) {
    if session::is_in_progress() && hooks::is_judged() && or_raise(hooks::has_registry()) {
        or_raise(denial::decide(ensure_allowed(function), Subject::Function(function)));
    }
}

/// A tenant's trigger fires for whoever changes a row of its tables, also by a cascade from a shared table: without that
/// tenant it would run with an administrator's rights (before 18 always, later still for TRUNCATE).
fn ensure_no_tenants_trigger(function: Oid) -> Result<()> {
    let schema = catalog::function_schema(function);
    if schema.map(cache::schema_kind) == Some(cache::SchemaKind::Tenant) && !lifecycle::is_managing() {
        return Err(Error::Denied { why: Why::NoTenantSet, relation: None, active: None });
    }
    schema.into_iter().for_each(cache::remember_neutral);
    Ok(())
}

fn ensure_allowed(function: Oid) -> Result<()> {
    if !context::is_active() {
        return ensure_no_tenants_trigger(function);
    }
    if cache::connector_of(function) == Some(cache::NOTIFIER) && catalog::is_trigger(function) {
        return Err(Error::StatementRefused { tag: "NOTIFY".to_owned() });
    }
    // As of any other function: `lo_manage()`, say, unlinks large objects, which no check tells from another tenant's.
    object_access::ensure_function(function)
}
