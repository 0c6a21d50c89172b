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
///
/// # Safety
/// The record of a call, or NULL.
unsafe fn context_of(fcinfo: pg_sys::FunctionCallInfo, kind: NodeTag) -> Result<*mut pg_sys::Node> {
    // SAFETY: the caller's promise; a call's context is NULL or a node.
    unsafe {
        let context = if fcinfo.is_null() { std::ptr::null_mut() } else { (*fcinfo).context };
        if nodes::tag(context) == kind {
            return Ok(context);
        }
    }
    Err(if kind == NodeTag::T_TriggerData { Error::NotATrigger } else { Error::NotAnEventTrigger })
}

/// The relation that a trigger was fired on.
///
/// # Safety
/// As [`context_of`].
unsafe fn relation_of(fcinfo: pg_sys::FunctionCallInfo) -> Result<Oid> {
    // SAFETY: the tag says what the context is; its relation is open while the trigger runs (trigger.h).
    unsafe {
        let data = context_of(fcinfo, NodeTag::T_TriggerData)?.cast::<pg_sys::TriggerData>();
        Ok((*(*data).tg_relation).rd_id)
    }
}

/// # Safety
/// As [`context_of`].
unsafe fn ensure_event_trigger(fcinfo: pg_sys::FunctionCallInfo) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { context_of(fcinfo, NodeTag::T_EventTriggerData) }.map(drop)
}

/// All are fired for a statement: no row is handed back.
fn fired(result: Result<()>) -> pg_sys::Datum {
    or_raise(result);
    pg_sys::Datum::null()
}

/// Whether the event trigger was fired for REINDEX, which PostgreSQL announces from 17 on.
///
/// # Safety
/// `call` is the record of a call by the event trigger manager.
unsafe fn is_reindex(call: pg_sys::FunctionCallInfo) -> bool {
    // SAFETY: the caller's promise; the parse tree is NULL or a node.
    unsafe {
        let data = (*call).context.cast::<pg_sys::EventTriggerData>();
        nodes::tag((*data).parsetree) == NodeTag::T_ReindexStmt
    }
}

c_function!(plio_on_ddl_command_end, pg_finfo_plio_on_ddl_command_end, |call| {
    // SAFETY: PostgreSQL passes the call's record, here and below.
    fired(unsafe { ensure_event_trigger(call).and_then(|()| ddl::on_command_end(is_reindex(call))) })
});
c_function!(plio_on_sql_drop, pg_finfo_plio_on_sql_drop, |call| {
    // SAFETY: as above.
    fired(unsafe { ensure_event_trigger(call) }.and_then(|()| ddl::on_drop()))
});
c_function!(plio_on_registry_change, pg_finfo_plio_on_registry_change, |call| {
    // SAFETY: as above.
    fired(unsafe { relation_of(call) }.map(cache::on_registry_change))
});
c_function!(plio_refuse_history_change, pg_finfo_plio_refuse_history_change, |call| {
    // SAFETY: as above.
    fired(unsafe { relation_of(call) }.and_then(history::refuse_change))
});
