//! Names as settings and dotted names spell them, taken apart by PostgreSQL's own rules.

use super::c_name;
use crate::pg::{nodes, owned};
use pgrx::pg_sys;

/// The names in a setting's list such as search_path; empty when it is no list of identifiers.
pub fn split_identifiers(list: &str) -> Vec<String> {
    split(list, b',', pg_sys::SplitIdentifierString)
}

/// The parts of a dotted name as SQL spells it, quotes and folding included; empty when it is none.
///
/// PostgreSQL's function takes the square of the quotes' number, and cannot be cancelled; no name needs so many.
pub fn split_qualified(name: &str) -> Vec<String> {
    const LONGEST: usize = 1000;
    if name.len() > LONGEST {
        return Vec::new();
    }
    split(name, b'.', pg_sys::SplitIdentifierString)
}

/// The libraries in a setting such as session_preload_libraries, spelled as they are.
pub fn split_libraries(list: &str) -> Vec<String> {
    split(list, b',', pg_sys::SplitDirectoriesString)
}

type Splitter = unsafe fn(*mut std::ffi::c_char, std::ffi::c_char, *mut *mut pg_sys::List) -> bool;

fn split(list: &str, separator: u8, splitter: Splitter) -> Vec<String> {
    let Some(list) = c_name(list) else { return Vec::new() };
    // SAFETY: the splitter scribbles on a palloc'd copy; its list holds C strings of the current memory context.
    unsafe {
        let copy = pg_sys::pstrdup(list.as_ptr());
        let mut names: *mut pg_sys::List = std::ptr::null_mut();
        if !splitter(copy, separator as _, &mut names) {
            return Vec::new();
        }
        nodes::pointers::<std::ffi::c_char>(names).iter().filter_map(|name| owned(*name)).collect()
    }
}
