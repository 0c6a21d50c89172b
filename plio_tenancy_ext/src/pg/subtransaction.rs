//! Work that is always undone: a subtransaction that is rolled back, whatever happened in it.

use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;
use std::panic::AssertUnwindSafe;

/// An error that ended the work.
#[derive(Debug)]
pub struct Caught {
    /// Its SQLSTATE.
    pub sqlstate: String,
    /// Its message.
    pub message: String,
}

/// Runs `f` in a subtransaction and rolls that back; gives what `f` gave, or its error. What asks the session to end or
/// the statement to stop is passed on.
pub fn undone<R>(f: impl FnOnce() -> R) -> Result<R, Caught> {
    // SAFETY: as plpgsql's EXCEPTION block does (pl_exec.c): the context and the owner of before are put back.
    let (context, owner) = unsafe { (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner) };
    // SAFETY: in a transaction; ended below on every way out.
    unsafe {
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
    }
    let outcome = PgTryBuilder::new(AssertUnwindSafe(|| Ok(f()))).catch_others(Err).execute();
    // SAFETY: ends the subtransaction begun above, whatever subtransactions `f` left in it were ended with their errors.
    unsafe {
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::RollbackAndReleaseCurrentSubTransaction();
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
    }
    outcome.map_err(|error| if must_pass(&error) { error.rethrow() } else { describe(&error) })
}

/// Canceling, time limits, shutdown: nothing that an attack's verdict may swallow.
fn must_pass(error: &CaughtError) -> bool {
    let class = describe(error).sqlstate;
    class.starts_with("57") || class.starts_with("53") || class == "25006"
}

fn describe(error: &CaughtError) -> Caught {
    let report = match error {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => report,
        CaughtError::RustPanic { ereport, .. } => ereport,
    };
    Caught { sqlstate: super::sqlstate_text(report.sql_error_code()), message: report.message().to_owned() }
}
