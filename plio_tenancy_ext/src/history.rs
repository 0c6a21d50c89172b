//! The history of what administrators did: rows are added and nothing else, whoever asks.
//!
//! A trigger refuses UPDATE, DELETE and TRUNCATE; the event triggers (ddl.rs) refuse what would take the trigger or the
//! table away. With `plio.enforcement = off` a superuser can do both.

#![forbid(unsafe_code)]

use crate::error::{self, Error, or_raise};
use crate::{guc, hooks};
use pgrx::prelude::*;

/// The schema and the name of the table.
pub const TABLE: (&str, &str) = ("plio", "history");

/// The statement-level trigger on the history.
#[pg_trigger]
pub(crate) fn _refuse_history_change<'a>(
    _trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByRust>>, std::convert::Infallible> {
    // Whatever process it is: a replica's apply worker may not, either.
    if guc::is_judging() {
        or_raise(Err(Error::HistoryChange))
    }
    Ok(None)
}

/// Refuses DDL on the history: it is created and altered by the extension's scripts alone.
///
/// # Errors
/// 42501.
pub fn ensure_untouched(schema: Option<&str>, relation: Option<&str>) -> error::Result<()> {
    let is_history = schema == Some(TABLE.0) && relation == Some(TABLE.1);
    if is_history && hooks::is_judged() && !crate::pg::session::is_creating_extension() {
        return Err(Error::HistoryChange);
    }
    Ok(())
}
