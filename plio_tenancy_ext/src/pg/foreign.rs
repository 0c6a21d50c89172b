//! What a foreign data wrapper needs of PostgreSQL: paths, options, and how a scan is to begin.

use super::{nodes, owned};
use pgrx::pg_sys;
use std::ffi::CStr;

/// Whether a scan begins for EXPLAIN alone, and fetches nothing.
pub fn is_explained_only(flags: i32) -> bool {
    flags & pg_sys::EXEC_FLAG_EXPLAIN_ONLY as i32 != 0
}

/// Whether parameters have no values: EXPLAIN (GENERIC_PLAN), from 16 on.
#[cfg(not(feature = "pg15"))]
pub fn has_no_values(flags: i32) -> bool {
    flags & pg_sys::EXEC_FLAG_EXPLAIN_GENERIC as i32 != 0
}

/// 15 has no plan without values.
#[cfg(feature = "pg15")]
pub fn has_no_values(_flags: i32) -> bool {
    false
}

/// One way to read a foreign table, with nothing pushed down from outside.
///
/// # Safety
/// The planner's own pointers, of a base relation that is being planned.
pub unsafe fn path(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    startup: f64,
    total: f64,
) -> *mut pg_sys::ForeignPath {
    let nil = std::ptr::null_mut();
    // SAFETY: the caller's relation; lateral references are what a path must wait for.
    unsafe {
        let (rows, outer) = ((*rel).rows, (*rel).lateral_relids);
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        return pg_sys::create_foreignscan_path(
            root,
            rel,
            std::ptr::null_mut(),
            rows,
            startup,
            total,
            nil,
            outer,
            std::ptr::null_mut(),
            nil,
        );
        #[cfg(feature = "pg17")]
        return pg_sys::create_foreignscan_path(
            root,
            rel,
            std::ptr::null_mut(),
            rows,
            startup,
            total,
            nil,
            outer,
            std::ptr::null_mut(),
            nil,
            nil,
        );
        #[cfg(feature = "pg18")]
        return pg_sys::create_foreignscan_path(
            root,
            rel,
            std::ptr::null_mut(),
            rows,
            0,
            startup,
            total,
            nil,
            outer,
            std::ptr::null_mut(),
            nil,
            nil,
        );
    }
}

/// An option of a foreign table or the like.
///
/// # Safety
/// `options` is the list of options as PostgreSQL keeps it.
pub unsafe fn option(options: *mut pg_sys::List, name: &CStr) -> Option<String> {
    // SAFETY: a list of DefElem nodes with string values, as reloptions.c builds it.
    unsafe {
        let found = nodes::pointers::<pg_sys::DefElem>(options)
            .iter()
            .find(|element| CStr::from_ptr((***element).defname) == name)?;
        owned(pg_sys::defGetString(*found))
    }
}
