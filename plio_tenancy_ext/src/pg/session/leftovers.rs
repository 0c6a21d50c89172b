//! What a session leaves behind for the next tenant, and how PostgreSQL removes each of it.

use crate::pg::raw;
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// Drops the prepared statement of that name, if SQL's PREPARE made it. Frees memory and never raises.
pub fn drop_statement_of_sql(name: &CStr) {
    // SAFETY: a NUL-terminated name; NULL when there is no such statement. As DEALLOCATE does (prepare.c).
    unsafe {
        let statement = pg_sys::FetchPreparedStatement(name.as_ptr(), false);
        if !statement.is_null() && (*statement).from_sql {
            pg_sys::DropPreparedStatement(name.as_ptr(), false);
        }
    }
}

/// Whether there is a prepared statement of that name, whoever made it.
pub fn has_statement(name: &CStr) -> bool {
    // SAFETY: as above.
    unsafe { !pg_sys::FetchPreparedStatement(name.as_ptr(), false).is_null() }
}

/// Drops every temporary object of the session, as DISCARD TEMP does; undone by a rollback. Does nothing where the session
/// has never had one.
///
/// # Errors
/// Raises PostgreSQL's 55006 when one of them is in use.
pub fn drop_temporary_objects() {
    let (mut schema, mut toast_schema) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
    // SAFETY: in a transaction. Rows of catalogs are deleted, and long values of theirs with them: that needs a snapshot, which
    // no LOCK, FETCH or COMMIT brings along. A catalog's snapshot is not the transaction's own: SET TRANSACTION may follow.
    unsafe {
        pg_sys::GetTempNamespaceState(&mut schema, &mut toast_schema);
        if schema != pg_sys::InvalidOid {
            pg_sys::PushActiveSnapshot(pg_sys::GetCatalogSnapshot(pg_sys::RelationRelationId));
            pg_sys::ResetTempTableNamespace();
            pg_sys::PopActiveSnapshot();
        }
    }
}

/// Whether this transaction made or touched a temporary object.
pub fn has_touched_temporary() -> bool {
    // SAFETY: reads a global.
    unsafe { pg_sys::MyXactFlags & pg_sys::XACT_FLAGS_ACCESSEDTEMPNAMESPACE as i32 != 0 }
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

/// Begins the session's sequence of `random()` anew, at a place that nobody can tell. Never raises.
pub fn begin_random_anew() {
    let mut bits: u64 = 0;
    // SAFETY: fills so many bytes, or says that it could not; then the clock has to do.
    let is_filled = unsafe { pg_sys::pg_strong_random((&raw mut bits).cast(), size_of::<u64>()) };
    if !is_filled {
        // SAFETY: reads the clock.
        bits = unsafe { pg_sys::GetCurrentTimestamp() }.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    // The highest 53 bits, as a number from -1 to 1, which setseed() takes.
    let seed = (bits >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
    // SAFETY: computes, and raises an error for numbers out of that range alone; float8 is passed by value.
    unsafe {
        pg_sys::DirectFunctionCall1Coll(Some(raw::setseed), pg_sys::InvalidOid, seed.to_bits().into());
    }
}
