//! What a session leaves behind for the next tenant, and how PostgreSQL removes each of it.

use crate::pg::raw;
use pgrx::pg_sys;
use std::ffi::CString;

/// Drops the prepared statement of that name, if SQL's PREPARE made it.
pub fn drop_statement_of_sql(name: &str) {
    let Ok(name) = CString::new(name) else { return };
    // SAFETY: a NUL-terminated name; NULL when there is no such statement. As DEALLOCATE does (prepare.c).
    unsafe {
        let statement = pg_sys::FetchPreparedStatement(name.as_ptr(), false);
        if !statement.is_null() && (*statement).from_sql {
            pg_sys::DropPreparedStatement(name.as_ptr(), false);
        }
    }
}

/// Drops every temporary table of the session, as DISCARD TEMP does; undone by a rollback.
pub fn drop_temporary_tables() {
    // SAFETY: in a transaction; raises an error when an object is in use.
    unsafe { pg_sys::ResetTempTableNamespace() };
}

/// Forgets `lastval` and `currval`, as DISCARD SEQUENCES does.
pub fn forget_sequences() {
    // SAFETY: frees backend-local memory; never raises.
    unsafe { raw::ResetSequenceCaches() };
}

/// Closes the descriptors of large objects that this transaction has opened, as its end would.
pub fn close_large_objects() {
    // SAFETY: in a transaction; releases what the descriptors hold, or does nothing when there are none.
    unsafe { raw::AtEOXact_LargeObject(true) };
}

/// Listens on that channel no more, from the end of the transaction, as UNLISTEN does.
pub fn unlisten(channel: &str) {
    let Ok(channel) = CString::new(channel) else { return };
    // SAFETY: in a transaction; a NUL-terminated name, which is copied.
    unsafe { raw::Async_Unlisten(channel.as_ptr()) };
}
