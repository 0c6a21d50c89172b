//! Renaming and moving the history: once it has another name, the event triggers would not know it.

use crate::error::Result;
use crate::history;
use crate::pg::{catalog, nodes};
use pgrx::pg_sys::{self, NodeTag};

/// Refuses to rename or move the history, or what is part of it.
///
/// # Safety
/// The statement has that tag.
///
/// # Errors
/// 42501.
pub unsafe fn ensure_no_history(tag: NodeTag, statement: *mut pg_sys::Node) -> Result<()> {
    // SAFETY: each branch casts to the struct that its tag stands for; the relation is NULL or a RangeVar.
    let relation = unsafe {
        match tag {
            NodeTag::T_RenameStmt => nodes::relation_of((*statement.cast::<pg_sys::RenameStmt>()).relation),
            NodeTag::T_AlterObjectSchemaStmt => {
                nodes::relation_of((*statement.cast::<pg_sys::AlterObjectSchemaStmt>()).relation)
            }
            _ => None,
        }
    };
    match relation.and_then(catalog::relation_names) {
        Some((schema, name)) => history::ensure_untouched(Some(&schema), Some(&name)),
        None => Ok(()),
    }
}
