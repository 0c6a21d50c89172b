//! Parse trees and lists, read only.

use pgrx::pg_sys;
use std::ffi::CStr;

/// The pointers of a `List *`; empty for NIL. The list must outlive the slice's use.
///
/// # Safety
/// `list` is NIL or a pointer list whose cells stay in place while the slice is used.
pub unsafe fn pointers<'a, T>(list: *mut pg_sys::List) -> &'a [*mut T] {
    if list.is_null() {
        return &[];
    }
    // SAFETY: a pointer list's cells are a union as wide as a pointer, `length` of them (pg_list.h).
    unsafe { std::slice::from_raw_parts((*list).elements.cast::<*mut T>(), (*list).length as usize) }
}

/// The cells of an oid list; empty for NIL.
///
/// # Safety
/// As [`pointers`], of an oid list.
pub unsafe fn oids<'a>(list: *mut pg_sys::List) -> &'a [pg_sys::ListCell] {
    if list.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise (pg_list.h).
    unsafe { std::slice::from_raw_parts((*list).elements, (*list).length as usize) }
}

/// The node's tag; `T_Invalid` for NULL.
///
/// # Safety
/// `node` is NULL or points at a node.
pub unsafe fn tag(node: *const pg_sys::Node) -> pg_sys::NodeTag {
    // SAFETY: every node starts with its tag (nodes.h).
    if node.is_null() { pg_sys::NodeTag::T_Invalid } else { unsafe { (*node).type_ } }
}

/// The name of a utility statement's command, as in its completion tag.
///
/// # Safety
/// `node` is a utility statement.
pub unsafe fn command_name(node: *mut pg_sys::Node) -> String {
    // SAFETY: the caller's promise; the name is static text.
    unsafe { CStr::from_ptr(pg_sys::GetCommandTagName(pg_sys::CreateCommandTag(node))) }
        .to_string_lossy()
        .into_owned()
}

/// Whether a range variable of that name was resolved to, and to which relation: no lock, missing is fine.
///
/// # Safety
/// `range_var` is NULL or points at a RangeVar.
pub unsafe fn relation_of(range_var: *const pg_sys::RangeVar) -> Option<pg_sys::Oid> {
    if range_var.is_null() {
        return None;
    }
    // SAFETY: the caller's promise; RVR_MISSING_OK makes a missing relation InvalidOid; no callback.
    let oid = unsafe {
        pg_sys::RangeVarGetRelidExtended(
            range_var,
            pg_sys::NoLock as i32,
            pg_sys::RVROption::RVR_MISSING_OK,
            None,
            std::ptr::null_mut(),
        )
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The function without arguments that a list of names was resolved to; `None` when there is none.
///
/// # Safety
/// `names` is a list of String nodes.
pub unsafe fn function_without_arguments(names: *mut pg_sys::List) -> Option<pg_sys::Oid> {
    // SAFETY: the caller's promise; no arguments are read for a count of 0; missing_ok.
    let oid = unsafe { pg_sys::LookupFuncName(names, 0, std::ptr::null(), true) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// Whether a statement is all that its query's text holds.
///
/// # Safety
/// `planned` is a planned statement of the query, whose text is NULL or a C string.
pub unsafe fn is_alone(planned: *const pg_sys::PlannedStmt, query: *const std::ffi::c_char) -> bool {
    if query.is_null() {
        return false;
    }
    // SAFETY: the caller's promise; a location that is not known is negative, a length of 0 means the rest (parsenodes.h).
    let (text, start, length) =
        unsafe { (CStr::from_ptr(query).to_bytes(), (*planned).stmt_location, (*planned).stmt_len) };
    let start = usize::try_from(start).unwrap_or(0).min(text.len());
    let length = usize::try_from(length).unwrap_or(0);
    let end = if length == 0 { text.len() } else { (start + length).min(text.len()) };
    let is_blank = |rest: &[u8]| rest.iter().all(|byte| byte.is_ascii_whitespace() || *byte == b';');
    is_blank(&text[..start]) && is_blank(&text[end..])
}
