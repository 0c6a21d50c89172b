//! The history of what administrators did: rows are added and nothing else, whoever asks.
//!
//! Of two: what administrators did, and the denials that were written down; old denials may go (monitor/flush/table.rs).
//! A trigger refuses UPDATE, DELETE and TRUNCATE; the event triggers (ddl.rs) refuse what would take the trigger or the
//! table away. With `plio.enforcement = off` a superuser can do both.

#![forbid(unsafe_code)]

use crate::error::{self, Error, or_raise};
use crate::monitor::flush::table;
use crate::{guc, hooks};
use pgrx::prelude::*;

/// The schema of both histories,
const SCHEMA: &str = "plio";
/// and their names: what administrators did, and what was denied.
const TABLES: [&str; 2] = ["history", "denials_history"];

/// The statement-level trigger on the histories.
#[pg_trigger]
pub(crate) fn _refuse_history_change<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByRust>>, std::convert::Infallible> {
    // Whatever process it is: a replica's apply worker may not, either.
    let may_go = table::is_pruning() && trigger.table_name().is_ok_and(|name| name == table::TABLE.1);
    if guc::is_judging() && !may_go {
        or_raise(Err(Error::HistoryChange))
    }
    Ok(None)
}

/// Refuses DDL on a history: it is created and altered by the extension's scripts alone.
///
/// # Errors
/// 42501.
pub fn ensure_untouched(schema: Option<&str>, relation: Option<&str>) -> error::Result<()> {
    let is_history = schema == Some(SCHEMA) && relation.is_some_and(|name| TABLES.contains(&name));
    if is_history && hooks::is_judged() && !crate::pg::session::is_creating_extension() {
        return Err(Error::HistoryChange);
    }
    Ok(())
}
