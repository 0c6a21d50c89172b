//! What a report's visit to a tenant refuses besides what every tenant refuses.
//!
//! (a) Relations that were changed after the report began: its snapshot would find them empty, or with others' rows. Asked for each
//! range table as its plan starts, in functions of the tenant's, too (hooks/check_perms.rs).
//! (b) Functions that leave something behind which PostgreSQL's rollback does not take away (hooks/object_access.rs). The list is
//! from going through pg_proc for what acts outside the transaction and may be called by an ordinary role: locks of the
//! session, the state of random(), messages in the write-ahead log.
//! (c) Two settings with which the tenant's code could end the reporter's session or timeout (guc/visit.rs).

use crate::error::Error;
use crate::pg::nodes::pointers;
use crate::pg::{FIRST_NORMAL_OID, catalog, since};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

/// Refuses a plan that reads what has changed since the report began.
///
/// # Safety
/// The range table of a plan that is about to start.
#[pg_guard]
pub unsafe extern "C-unwind" fn ensure_unchanged(range_table: *mut pg_sys::List) {
    // SAFETY: the caller's promise; its entries are valid.
    for entry in unsafe { pointers::<pg_sys::RangeTblEntry>(range_table) } {
        // SAFETY: as above; InvalidOid where the entry is no relation.
        let relation = unsafe { (**entry).relid };
        if relation.to_u32() >= FIRST_NORMAL_OID && since::is_changed(relation) {
            let name = catalog::relation_names(relation).map_or_else(String::new, |(_, name)| name);
            Error::ReportChanged { relation: name }.raise();
        }
    }
}

/// Whether a function of PostgreSQL's does what a rollback does not undo: setseed(), the session's advisory locks (taken and
/// given back), pg_logical_emit_message().
pub fn is_lasting(function: Oid) -> bool {
    matches!(
        function.to_u32(),
        pg_sys::F_SETSEED | pg_sys::F_PG_ADVISORY_LOCK_INT8..=pg_sys::F_PG_ADVISORY_UNLOCK_ALL | 3577 | 3578
    )
}
