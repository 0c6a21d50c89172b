//! LOCK TABLE on a view: PostgreSQL goes on to the relations below it, with the rights of the view's owner.

use crate::error::Result;
use crate::hooks::check_perms::ensure_access_to_all;
use crate::pg::{catalog, depend, nodes};
use crate::policy::Access;
use pgrx::pg_sys::{self, Oid};
use std::collections::HashSet;

/// Judges what lies below the views among these relations, views below views included.
///
/// # Errors
/// As [`ensure_access_to_all`].
///
/// # Safety
/// `relations` is a list of RangeVar nodes.
pub unsafe fn ensure_below_views(relations: *mut pg_sys::List) -> Result<()> {
    let mut seen = HashSet::new();
    // SAFETY: the caller's promise.
    for relation in unsafe { nodes::pointers::<pg_sys::RangeVar>(relations) } {
        // SAFETY: as above.
        let mut open: Vec<Oid> = unsafe { nodes::relation_of(*relation) }.into_iter().collect();
        while let Some(next) = open.pop() {
            if catalog::relation_kind(next) == Some('v') && seen.insert(next) {
                for below in depend::below_view(next) {
                    ensure_access_to_all(below, Access::Read)?;
                    open.push(below);
                }
            }
        }
    }
    Ok(())
}
