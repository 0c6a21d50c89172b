//! The extension's trigger functions and event triggers: what PostgreSQL calls, and what is done then.
//!
//! Written by hand: pgrx 0.18 has no event triggers, and answers a call by hand of a trigger function with an internal
//! error. Called in any other way than by their trigger they refuse, as PostgreSQL's own do.

use crate::error::{Error, Result, or_raise};
use crate::pg::nodes;
use crate::{cache, ddl, history};
use pgrx::pg_sys::{self, NodeTag, Oid};
use pgrx::prelude::*;

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

/// A function that PostgreSQL finds by its name, with its call record. All are fired for a statement: no row is handed back.
macro_rules! trigger {
    ($function:ident, $record:ident, $body:path) => {
        #[unsafe(no_mangle)]
        #[doc(hidden)]
        pub extern "C" fn $record() -> &'static pg_sys::Pg_finfo_record {
            const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
            &V1
        }

        #[unsafe(no_mangle)]
        #[doc(hidden)]
        #[pg_guard]
        pub unsafe extern "C-unwind" fn $function(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            or_raise($body(fcinfo));
            pg_sys::Datum::null()
        }
    };
}

trigger!(plio_on_ddl_command_end, pg_finfo_plio_on_ddl_command_end, on_command_end);
trigger!(plio_on_sql_drop, pg_finfo_plio_on_sql_drop, on_drop);
trigger!(plio_on_registry_change, pg_finfo_plio_on_registry_change, on_registry_change);
trigger!(plio_refuse_history_change, pg_finfo_plio_refuse_history_change, on_history_change);
