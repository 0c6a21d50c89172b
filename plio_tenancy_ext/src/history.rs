//! The history of what administrators did: rows are added and nothing else, whoever asks.
//!
//! Of two: what administrators did, and the denials that were written down; old denials may go (monitor/flush/table.rs).
//! A trigger refuses UPDATE, DELETE and TRUNCATE; the event triggers (ddl.rs) refuse what would take the trigger or the
//! table away. With `plio.enforcement = off` a superuser can do both.

#![forbid(unsafe_code)]

use crate::error::{self, Error};
use crate::monitor::flush::table;
use crate::pg::catalog;
use crate::{guc, hooks};
use pgrx::pg_sys::Oid;

/// The schema of both histories,
const SCHEMA: &str = "plio";
/// and their names: what administrators did, and what was denied.
const TABLES: [&str; 2] = ["history", "denials_history"];

/// The statement-level trigger on the histories; `history` is the one that it was fired on.
///
/// # Errors
/// 42501.
pub fn refuse_change(history: Oid) -> error::Result<()> {
    let is_denials = || catalog::relation_names(history).is_some_and(|(_, name)| name == table::TABLE.1);
    let may_go = table::is_pruning() && is_denials();
    // Whatever process it is: a replica's apply worker may not, either.
    if guc::is_judging() && !may_go { Err(Error::HistoryChange) } else { Ok(()) }
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
