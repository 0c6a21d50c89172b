//! Work in a subtransaction that is always rolled back, and the error that ended it, if one did.
//!
//! Whatever the work sets, locks or writes is undone by PostgreSQL itself; what must outlive it (a tuplestore) is made
//! before. A cancelled statement is no failure of the work: it goes on.

use super::{guc, owned, raw};
use pgrx::pg_sys::panic::CaughtError;
use pgrx::{PgSqlErrorCode, PgTryBuilder, pg_sys};
use std::panic::UnwindSafe;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// How the work failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Five characters.
    pub sqlstate: String,
    /// The error's first line.
    pub message: String,
}

/// The last SQLSTATE that was raised while some work ran.
static LAST_CODE: AtomicI32 = AtomicI32::new(0);

/// Runs `work` in a subtransaction and rolls it back, whatever comes of it.
///
/// # Errors
/// The error that ended the work, unless it was a cancellation: that is raised anew.
pub fn undone<R>(work: impl FnOnce() -> R + UnwindSafe) -> Result<R, Failure> {
    undone_unless(work, |_| false)
}

/// The same; a failure that `must_go_on` is raised anew, too.
///
/// # Errors
/// As [`undone`].
pub fn undone_unless<R>(
    work: impl FnOnce() -> R + UnwindSafe,
    must_go_on: fn(&Failure) -> bool,
) -> Result<R, Failure> {
    // SAFETY: reads the memory context and the resource owner, which are put back below, as plpgsql does (pl_exec.c).
    let (memory, owner) = unsafe { (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner) };
    // SAFETY: in a transaction; the subtransaction ends below on every way out of `work`.
    unsafe {
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(memory);
    }
    LAST_CODE.store(0, Relaxed);
    // SAFETY: reads a global.
    let outer_frames = unsafe { pg_sys::error_context_stack };
    let mut frame = pg_sys::ErrorContextCallback {
        previous: outer_frames,
        callback: Some(note_code),
        arg: std::ptr::null_mut(),
    };
    // SAFETY: the frame outlives the work; the stack is put back right after it.
    unsafe { pg_sys::error_context_stack = &raw mut frame };
    let outcome = PgTryBuilder::new(|| Ok(work())).catch_others(|cause| Err(Box::new(cause))).execute();
    // SAFETY: as above; the subtransaction that was begun is the current one.
    unsafe {
        pg_sys::error_context_stack = outer_frames;
        pg_sys::MemoryContextSwitchTo(memory);
        pg_sys::RollbackAndReleaseCurrentSubTransaction();
        pg_sys::MemoryContextSwitchTo(memory);
        pg_sys::CurrentResourceOwner = owner;
    }
    outcome.or_else(|cause| failure(cause, must_go_on).map_or_else(|cause| cause.rethrow(), Err))
}

/// Notes the SQLSTATE of the error that is being raised: pgrx keeps only those on PostgreSQL's own list.
unsafe extern "C-unwind" fn note_code(_argument: *mut std::ffi::c_void) {
    // SAFETY: called by errfinish, so an error is being raised.
    LAST_CODE.store(unsafe { raw::geterrcode() }, Relaxed);
}

/// What failed; the cause itself where it must go on.
fn failure(cause: Box<CaughtError>, must_go_on: fn(&Failure) -> bool) -> Result<Failure, Box<CaughtError>> {
    let (code, message) = match &*cause {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => {
            (report.sql_error_code(), report.message().to_owned())
        }
        CaughtError::RustPanic { .. } => return Err(cause),
    };
    if matches!(code, PgSqlErrorCode::ERRCODE_QUERY_CANCELED | PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN) {
        return Err(cause);
    }
    let raised = LAST_CODE.load(Relaxed);
    let is_unlisted = code == PgSqlErrorCode::ERRCODE_INTERNAL_ERROR && raised != 0;
    let failure = Failure { sqlstate: text(if is_unlisted { raised } else { code as i32 }), message };
    if must_go_on(&failure) { Err(cause) } else { Ok(failure) }
}

/// A packed SQLSTATE as text.
pub fn text(code: i32) -> String {
    // SAFETY: any number will do; the result is a static buffer, copied at once.
    owned(unsafe { pg_sys::unpack_sql_state(code) }).unwrap_or_default()
}

/// Makes the (sub)transaction read only: nobody can take that back inside it.
pub fn forbid_writes() {
    guc::set_local(c"transaction_read_only", c"on");
}

/// Makes no plan with parallel workers.
pub fn forbid_workers() {
    guc::set_local(c"max_parallel_workers_per_gather", c"0");
}

/// Whether nothing may be written now.
pub fn is_read_only() -> bool {
    // SAFETY: reads globals.
    unsafe { pg_sys::XactReadOnly || pg_sys::RecoveryInProgress() }
}

/// Bounds every wait for a lock, where the session sets no bound of its own.
pub fn bound_waits(bound: &std::ffi::CStr) {
    // SAFETY: reads a global.
    if unsafe { pg_sys::LockTimeout } == 0 {
        guc::set_local(c"lock_timeout", bound);
    }
}
