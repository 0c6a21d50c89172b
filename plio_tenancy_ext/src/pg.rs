//! The fence: small wrappers over PostgreSQL's C side, safe to call from a transaction unless they say otherwise.
//!
//! Every `cfg` on a PostgreSQL version is in here. A wrapper that can raise a PostgreSQL error does so as pgrx
//! does (an unwind), so Rust destructors run; only `raw` is different, and says so.

pub mod autovacuum;
pub mod catalog;
pub mod deferred;
pub mod depend;
pub mod errors;
pub mod foreign;
pub mod function;
pub mod guc;
pub mod jsonb;
pub mod limit;
pub mod lock;
pub mod log;
pub mod nodes;
pub mod parse;
pub mod part;
pub mod portal;
pub mod raw;
pub mod rows;
pub mod scan;
pub mod session;
pub mod shmem;
pub mod since;
pub mod spool;
pub mod types;
pub mod wire;
pub mod worker;

use pgrx::pg_sys;
use std::borrow::Cow;
use std::ffi::{CStr, c_char};

/// The first oid that initdb does not use (`FirstNormalObjectId`, transam.h).
pub const FIRST_NORMAL_OID: u32 = 16384;

/// Drops the context lines that PostgreSQL would add to the error about to be raised.
pub fn forget_error_context() {
    // SAFETY: the stack is a list of frames that are still alive; the handler that catches the error puts its own
    // saved value back (PG_TRY and pgrx's guard both do).
    unsafe { pg_sys::error_context_stack = std::ptr::null_mut() };
}

/// A C string of PostgreSQL's as an owned Rust string; `None` for NULL. Invalid UTF-8 is replaced.
///
/// # Safety
/// `text` is NULL or a C string.
pub unsafe fn owned(text: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise; it lives at least as long as this call.
    unsafe { borrowed(text) }.map(Cow::into_owned)
}

/// The same without a copy, unless invalid UTF-8 must be replaced.
///
/// # Safety
/// `text` is NULL or a C string that outlives what is given back.
pub unsafe fn borrowed<'a>(text: *const c_char) -> Option<Cow<'a, str>> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy())
}

/// The five characters of a SQLSTATE.
pub fn sqlstate_text(code: pgrx::PgSqlErrorCode) -> String {
    // SAFETY: unpack_sql_state gives a NUL-terminated text in a static buffer.
    let text = unsafe { CStr::from_ptr(pg_sys::unpack_sql_state(code as i32)) };
    text.to_string_lossy().into_owned()
}

/// Whether it is UTF-8 in fact. A role's or a database's name may have been given in a database of another encoding, and
/// pgrx makes a `str` of whatever is in a UTF8 database.
pub fn is_utf8(text: &str) -> bool {
    std::str::from_utf8(text.as_bytes()).is_ok()
}

/// `name` as SQL writes it: quoted where it must be. What is no UTF-8 is replaced, and so names nothing.
pub fn quote_identifier(name: &str) -> String {
    pgrx::spi::quote_identifier(&*String::from_utf8_lossy(name.as_bytes()))
}

/// `text` as a SQL literal; as [`quote_identifier`].
pub fn quote_literal(text: &str) -> String {
    pgrx::spi::quote_literal(&*String::from_utf8_lossy(text.as_bytes()))
}

/// A memory context that lives as long as the current one at most: no destructor of Rust's ends it earlier.
pub fn memory_below_current(name: &'static CStr) -> pg_sys::MemoryContext {
    const LARGEST_BLOCK: usize = 8 << 20;
    // SAFETY: the name is static, as PostgreSQL wants it; an error when there is no memory.
    unsafe {
        pg_sys::AllocSetContextCreateInternal(
            pg_sys::CurrentMemoryContext,
            name.as_ptr(),
            0,
            8 << 10,
            LARGEST_BLOCK,
        )
    }
}
