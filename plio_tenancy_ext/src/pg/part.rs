//! Work in a subtransaction that is always rolled back, and the error that ended it, if one did.
//!
//! Whatever the work sets, locks or writes is undone by PostgreSQL itself; what must outlive it (a tuplestore) is made
//! before. A cancelled statement is no failure of the work: it goes on, whatever the work does about it.

use super::errors::{self, Frame};
use super::{guc, limit, owned};
use pgrx::pg_sys::panic::CaughtError;
use pgrx::{PgTryBuilder, pg_sys};
use std::panic::UnwindSafe;

/// How the work failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Five characters.
    pub sqlstate: String,
    /// The error's first line.
    pub message: String,
}

/// What the work came to.
#[derive(Debug)]
pub enum Stopped {
    /// It failed.
    Failed(Failure),
    /// It took longer than its limit.
    LimitReached,
}

/// Runs `work` in a subtransaction and rolls it back, whatever comes of it. It may take that long, in milliseconds; 0 is no limit.
///
/// # Errors
/// What stopped the work, unless that was a cancellation of the statement: that is raised, also when the work caught it.
pub fn undone<R>(milliseconds: i32, work: impl FnOnce() -> R + UnwindSafe) -> Result<R, Stopped> {
    let mut is_limit_reached = false;
    let begin = || {
        if milliseconds > 0 {
            limit::begin(milliseconds);
        }
    };
    let end = || is_limit_reached = milliseconds > 0 && limit::end();
    let outcome = run(begin, work, end, |_| false);
    if is_limit_reached { Err(Stopped::LimitReached) } else { outcome.map_err(Stopped::Failed) }
}

/// The same without a limit; a failure that `must_go_on` is raised anew, too.
///
/// # Errors
/// As [`undone`].
pub fn undone_unless<R>(
    work: impl FnOnce() -> R + UnwindSafe,
    must_go_on: fn(&Failure) -> bool,
) -> Result<R, Failure> {
    run(|| {}, work, || {}, must_go_on)
}

fn run<R>(
    begin: impl FnOnce(),
    work: impl FnOnce() -> R + UnwindSafe,
    end: impl FnOnce(),
    must_go_on: fn(&Failure) -> bool,
) -> Result<R, Failure> {
    // SAFETY: reads the memory context and the resource owner, which are put back below, as plpgsql does (pl_exec.c).
    let (memory, owner) = unsafe { (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner) };
    // SAFETY: taken off below.
    let frame = unsafe { errors::push(true) };
    // SAFETY: in a transaction; the subtransaction ends below on every way out of `work`.
    unsafe {
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(memory);
    }
    begin();
    let outcome = PgTryBuilder::new(|| Ok(work())).catch_others(|cause| Err(Box::new(cause))).execute();
    end();
    // SAFETY: the frame was pushed above; the subtransaction that was begun is the current one.
    unsafe {
        errors::take_off(frame);
        pg_sys::MemoryContextSwitchTo(memory);
        pg_sys::RollbackAndReleaseCurrentSubTransaction();
        pg_sys::MemoryContextSwitchTo(memory);
        pg_sys::CurrentResourceOwner = owner;
        errors::raise_cancellation(frame);
    }
    let result = outcome.map_err(|cause| match failure(&cause, frame) {
        Some(failure) if !must_go_on(&failure) => failure,
        _ => cause.rethrow(),
    });
    // SAFETY: taken off above, not freed yet.
    unsafe { errors::free_frame(frame) };
    result
}

/// What failed; `None` for a bug of ours.
fn failure(cause: &CaughtError, frame: *mut Frame) -> Option<Failure> {
    let (code, message) = match cause {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => {
            (report.sql_error_code() as i32, report.message())
        }
        CaughtError::RustPanic { .. } => return None,
    };
    // SAFETY: the frame of the work.
    let raised = unsafe { errors::code_of(frame, cause) };
    Some(Failure { sqlstate: text(raised.unwrap_or(code)), message: first_line(message) })
}

/// The beginning of a message that may be anybody's: no later line, and not without end.
fn first_line(message: &str) -> String {
    const MOST: usize = 500;
    let line = message.lines().next().unwrap_or_default();
    let shown: String =
        line.chars().take(MOST).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if shown.len() < message.len() { shown + "..." } else { shown }
}

/// A packed SQLSTATE as text.
pub fn text(code: i32) -> String {
    // SAFETY: any number will do; the result is a static buffer, copied at once.
    unsafe { owned(pg_sys::unpack_sql_state(code)) }.unwrap_or_default()
}

/// Makes the (sub)transaction read only: nobody can take that back inside it.
pub fn forbid_writes() {
    guc::set_local(c"transaction_read_only", c"on");
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
