//! The extension's trigger functions and event triggers: what PostgreSQL calls, and what is done then.
//!
//! Written by hand: pgrx 0.18 has no event triggers, and answers a call by hand of a trigger function with an internal
//! error. Called in any other way than by their trigger they refuse, as PostgreSQL's own do.

use crate::error::{Error, Result, or_raise};
use crate::pg::function::c_function;
use crate::pg::nodes;
use crate::{cache, ddl, history};
use pgrx::pg_sys::{self, NodeTag, Oid};

/// The call's context, if it is of that kind.
///
/// # Errors
/// 39P01, 39P03.
fn context_of(fcinfo: pg_sys::FunctionCallInfo, kind: NodeTag) -> Result<*mut pg_sys::Node> {
    // SAFETY: PostgreSQL passes the call's record, whose context is NULL or a node.
    let context = unsafe { if fcinfo.is_null() { std::ptr::null_mut() } else { (*fcinfo).context } };
    // SAFETY: as above.
    if unsafe { nodes::tag(context) } == kind {
        Ok(context)
    } else if kind == NodeTag::T_TriggerData {
        Err(Error::NotATrigger)
    } else {
        Err(Error::NotAnEventTrigger)
    }
}

/// The relation that a trigger was fired on.
fn relation_of(fcinfo: pg_sys::FunctionCallInfo) -> Result<Oid> {
    let data = context_of(fcinfo, NodeTag::T_TriggerData)?.cast::<pg_sys::TriggerData>();
    // SAFETY: the tag says what the context is; its relation is open while the trigger runs (trigger.h).
    Ok(unsafe { (*(*data).tg_relation).rd_id })
}

fn on_registry_change(fcinfo: pg_sys::FunctionCallInfo) -> Result<()> {
    cache::on_registry_change(relation_of(fcinfo)?);
    Ok(())
}

fn on_history_change(fcinfo: pg_sys::FunctionCallInfo) -> Result<()> {
    history::refuse_change(relation_of(fcinfo)?)
}

fn on_command_end(fcinfo: pg_sys::FunctionCallInfo) -> Result<()> {
    context_of(fcinfo, NodeTag::T_EventTriggerData)?;
    ddl::on_command_end()
}

fn on_drop(fcinfo: pg_sys::FunctionCallInfo) -> Result<()> {
    context_of(fcinfo, NodeTag::T_EventTriggerData)?;
    ddl::on_drop()
}

/// All are fired for a statement: no row is handed back.
fn fired(result: Result<()>) -> pg_sys::Datum {
    or_raise(result);
    pg_sys::Datum::null()
}

c_function!(plio_on_ddl_command_end, pg_finfo_plio_on_ddl_command_end, |call| fired(on_command_end(call)));
c_function!(plio_on_sql_drop, pg_finfo_plio_on_sql_drop, |call| fired(on_drop(call)));
c_function!(plio_on_registry_change, pg_finfo_plio_on_registry_change, |call| fired(on_registry_change(
    call
)));
c_function!(plio_refuse_history_change, pg_finfo_plio_refuse_history_change, |call| fired(
    on_history_change(call)
));
