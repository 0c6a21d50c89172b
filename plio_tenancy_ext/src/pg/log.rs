//! Lines for the server's log alone, and what PostgreSQL knows of the running session for them.

use super::{owned, raw, session};
use pgrx::pg_sys;
use std::cell::OnceCell;
use std::ffi::{CStr, CString};
use std::thread::LocalKey;

/// Writes one line to the server's log: no client sees it, and neither the statement nor its context follow it.
pub fn server_line(text: &str) {
    let Ok(text) = CString::new(text.replace('\0', "")) else { return };
    // SAFETY: LOG_SERVER_ONLY comes back; the strings are NUL-terminated and copied.
    unsafe {
        pg_sys::ffi::pg_guard_ffi_boundary(|| raw::log_server_only(&text));
    }
}

thread_local! {
    static LOGIN_ROLE: OnceCell<String> = const { OnceCell::new() };
    static DATABASE_NAME: OnceCell<String> = const { OnceCell::new() };
}

/// The role that logged in, by the name it had when this was first asked; empty where the catalogs cannot be read.
pub fn login_role() -> String {
    // SAFETY: reads a global; a role that is gone gives NULL. In a transaction, see `once`.
    once(&LOGIN_ROLE, || unsafe { owned(pg_sys::GetUserNameFromId(pg_sys::GetAuthenticatedUserId(), true)) })
}

/// The oid of the role that logged in: it cannot be changed by SET ROLE or SET SESSION AUTHORIZATION.
pub fn login_role_oid() -> u32 {
    // SAFETY: reads a global.
    unsafe { pg_sys::GetAuthenticatedUserId() }.to_u32()
}

/// The database's name, likewise.
pub fn database_name() -> String {
    once(&DATABASE_NAME, session::database_name)
}

/// Asks once a process, and only in a transaction.
fn once(place: &'static LocalKey<OnceCell<String>>, ask: impl FnOnce() -> Option<String>) -> String {
    if let Some(known) = place.with(|cell| cell.get().cloned()) {
        return known;
    }
    let found = if session::is_in_progress() { ask() } else { None };
    let Some(found) = found else { return String::new() };
    place.with(|cell| cell.get_or_init(|| found).clone())
}

/// The process's id, and when it started in seconds since 1970: together the `%c` of log_line_prefix.
pub fn process() -> (i32, i64) {
    // SAFETY: reads globals that are set when the process starts.
    unsafe { (pg_sys::MyProcPid, pg_sys::MyStartTime) }
}

/// The process's id of a parallel worker's leader; the own one elsewhere.
pub fn leader_pid() -> i32 {
    // SAFETY: a worker's leader outlives it; the entries lie in shared memory for ever.
    unsafe {
        let own = pg_sys::MyProc;
        if own.is_null() || (*own).lockGroupLeader.is_null() {
            pg_sys::MyProcPid
        } else {
            (*(*own).lockGroupLeader).pid
        }
    }
}

/// The id of the running query; 0 when it has none (compute_query_id is off, or it is still being parsed).
pub fn query_id() -> i64 {
    // SAFETY: reads the backend's own entry.
    unsafe { pg_sys::pgstat_get_my_query_id() as i64 }
}

/// The clock, as a `timestamptz` holds it.
pub fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// A SQLSTATE's five characters, from PostgreSQL's packed form (elog.h, MAKE_SQLSTATE).
pub fn unpack_sqlstate(code: i32) -> String {
    // SAFETY: gives a NUL-terminated string in a static buffer, copied at once.
    unsafe { CStr::from_ptr(pg_sys::unpack_sql_state(code)) }.to_string_lossy().into_owned()
}
