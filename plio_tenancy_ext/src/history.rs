//! The two histories: `plio.history` (what administrators did) and `plio.denials_history`. Rows are only ever added; old
//! denials are removed by the extension itself (monitor/flush/table.rs).
//!
//! A trigger refuses UPDATE, DELETE and TRUNCATE in every process. The trigger and the tables are the extension's own objects,
//! which house.rs protects. With `plio.enforcement = off` a superuser can change rows, trigger and tables.

#![forbid(unsafe_code)]

use crate::error::{self, Error};
use crate::guc;
use crate::monitor::flush::table;
use crate::pg::catalog;
use pgrx::pg_sys::Oid;

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
