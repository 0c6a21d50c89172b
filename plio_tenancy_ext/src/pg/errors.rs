//! PostgreSQL's errors, kept whole while Rust code stands between the place that raises and the client.
//!
//! pgrx turns an error that passes one of its guards into a new one: the names of a constraint, table and column, the context,
//! the cursor position and every SQLSTATE that is not on PostgreSQL's list are lost. A [`Frame`] in PostgreSQL's stack of error
//! context callbacks sees each error as it is raised, before the guard does, and keeps a copy of the last. When the guard raises
//! its own, the frame puts the lost fields back, as PostgreSQL's own callbacks change an error's fields (spi.c).

use super::{limit, memory_below_current, raw};
use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::{self, ErrorData};
use pgrx::{PgSqlErrorCode, PgTryBuilder};
use std::ffi::{CStr, c_char, c_void};
use std::panic::AssertUnwindSafe;

/// What has been raised since the frame was put onto the stack. It lives, with its copies, in a memory context of its own below
/// the one that was current then: where an error passes by, it is freed with the statement.
pub struct Frame {
    callback: pg_sys::ErrorContextCallback,
    memory: pg_sys::MemoryContext,
    /// The last error.
    last: *mut ErrorData,
    /// The first cancellation of the statement: by its client, its timeout or an administrator.
    cancellation: *mut ErrorData,
    /// A cancellation that somebody catches is raised again.
    is_insisting: bool,
    has_insisted: bool,
    /// The next error is `last`, which one of pgrx's guards raises anew.
    is_rebuilt: bool,
}

/// Runs `f`. What PostgreSQL raises in it leaves the guard around this call with all its fields.
pub fn unchanged<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: taken off below, unless an error passes by.
    let frame = unsafe { push(false) };
    let outcome =
        PgTryBuilder::new(AssertUnwindSafe(|| Ok(f()))).catch_others(|cause| Err(Box::new(cause))).execute();
    match outcome {
        Ok(result) => {
            // SAFETY: the frame that was pushed above; those above it are gone.
            unsafe {
                take_off(frame);
                free_frame(frame);
            }
            result
        }
        Err(cause) => {
            // SAFETY: the frame lives in the caller's memory, and whoever catches the error puts back its own stack.
            unsafe {
                pg_sys::error_context_stack = &raw mut (*frame).callback;
                (*frame).is_rebuilt = is_of((*frame).last, &cause);
            }
            cause.rethrow()
        }
    }
}

/// Puts a frame on top of the stack. `is_insisting`: a cancellation that is caught above it is raised again.
///
/// # Safety
/// It is taken off before the memory context that is current now ends, unless an error does so: whoever catches that puts back
/// its own stack.
pub unsafe fn push(is_insisting: bool) -> *mut Frame {
    let memory = memory_below_current(c"plio errors");
    // SAFETY: the memory is large enough, and filled before it is used; the rest is the caller's promise.
    unsafe {
        let frame = pg_sys::MemoryContextAlloc(memory, size_of::<Frame>()).cast::<Frame>();
        frame.write(Frame {
            callback: pg_sys::ErrorContextCallback {
                previous: pg_sys::error_context_stack,
                callback: Some(on_error),
                arg: frame.cast(),
            },
            memory,
            last: std::ptr::null_mut(),
            cancellation: std::ptr::null_mut(),
            is_insisting,
            has_insisted: false,
            is_rebuilt: false,
        });
        pg_sys::error_context_stack = &raw mut (*frame).callback;
        frame
    }
}

/// Takes the frame and all above it off the stack. It stays readable until
/// [`free_frame`].
///
/// # Safety
/// The frame was pushed and not yet popped.
pub unsafe fn take_off(frame: *mut Frame) {
    // SAFETY: the caller's promise; reads and writes globals.
    unsafe {
        pg_sys::error_context_stack = (*frame).callback.previous;
        // The statement's own timeout may have come meanwhile: that is no repetition.
        if (*frame).has_insisted && !raw::get_timeout_indicator(raw::STATEMENT_TIMEOUT, false) {
            pg_sys::QueryCancelPending = 0;
        }
    }
}

/// Frees a frame and its copies.
///
/// # Safety
/// The frame was taken off.
pub unsafe fn free_frame(frame: *mut Frame) {
    // SAFETY: the caller's promise: the context is the frame's own.
    unsafe { pg_sys::MemoryContextDelete((*frame).memory) };
}

/// Raises the cancellation that the frame has seen, whatever became of it; nothing if there was none.
///
/// # Safety
/// As [`take_off`].
pub unsafe fn raise_cancellation(frame: *mut Frame) {
    // SAFETY: the caller's promise; the copy is whole.
    unsafe {
        if !(*frame).cancellation.is_null() {
            pg_sys::ThrowErrorData((*frame).cancellation);
        }
    }
}

/// The SQLSTATE of an error that was caught, also one that is not on PostgreSQL's list, if the frame has seen it.
///
/// # Safety
/// As [`take_off`].
pub unsafe fn code_of(frame: *mut Frame, cause: &CaughtError) -> Option<i32> {
    // SAFETY: the caller's promise.
    unsafe { is_of((*frame).last, cause).then(|| (*(*frame).last).sqlerrcode) }
}

/// Whether an error that was caught is the one of that copy.
unsafe fn is_of(copy: *const ErrorData, cause: &CaughtError) -> bool {
    let CaughtError::PostgresError(report) = cause else { return false };
    let is_same = |text: *const c_char, other: Option<&str>| {
        // SAFETY: NULL or a C string of the copy's.
        unsafe { super::borrowed(text) }.as_deref() == other
    };
    // SAFETY: NULL or a copy in the frame's memory.
    let Some(copy) = (unsafe { copy.as_ref() }) else { return false };
    copy.lineno as u32 == report.line_number()
        && is_same(copy.message, Some(report.message()))
        && is_same(copy.filename, Some(report.file()))
        && is_same(copy.detail, report.detail())
        && is_same(copy.hint, report.hint())
}

/// Whether it comes from where PostgreSQL cancels statements: a SQLSTATE can be anybody's.
unsafe fn is_cancellation(error: *const ErrorData) -> bool {
    // SAFETY: the caller's copy: NULL or C strings.
    unsafe {
        (*error).sqlerrcode == PgSqlErrorCode::ERRCODE_QUERY_CANCELED as i32
            && text((*error).funcname) == c"ProcessInterrupts"
            && text((*error).filename).to_bytes().ends_with(b"postgres.c")
    }
}

/// Whether it is the limit of [`super::limit`] that cancels: its message is that of a client's wish.
unsafe fn is_limit(error: *const ErrorData) -> bool {
    // SAFETY: as above; the untranslated message is a constant of PostgreSQL's.
    limit::is_reached() && unsafe { text((*error).message_id) == c"canceling statement due to user request" }
}

unsafe fn text<'a>(text: *const c_char) -> &'a CStr {
    // SAFETY: the caller passes NULL or a C string.
    if text.is_null() { c"" } else { unsafe { CStr::from_ptr(text) } }
}

/// An error, or something less, is being raised. Unguarded: plain data only, and what is raised here is PostgreSQL's to bear.
unsafe extern "C-unwind" fn on_error(frame: *mut c_void) {
    // SAFETY: called by errfinish (elog.c) with the frame that stands on the stack; in error handling memory is current that
    // copies must not be made in.
    unsafe {
        let frame = frame.cast::<Frame>();
        let code = raw::geterrcode();
        if code == 0 || code == PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as i32 {
            return;
        }
        if std::mem::replace(&mut (*frame).is_rebuilt, false) {
            put_back((*frame).last);
            return;
        }
        let before = pg_sys::CurrentMemoryContext;
        pg_sys::CurrentMemoryContext = (*frame).memory;
        let copy = copy();
        pg_sys::CurrentMemoryContext = before;
        if (*copy).elevel < raw::ERROR {
            free(copy);
            return;
        }
        let last = std::mem::replace(&mut (*frame).last, copy);
        if !last.is_null() && last != (*frame).cancellation {
            free(last);
        }
        if (*frame).is_insisting && is_cancellation(copy) {
            if (*frame).cancellation.is_null() && !is_limit(copy) {
                (*frame).cancellation = copy;
            }
            (*frame).has_insisted = true;
            pg_sys::QueryCancelPending = 1;
            pg_sys::InterruptPending = 1;
        }
    }
}

/// A copy of the error that is being raised, its places included, which PostgreSQL's own copy only points to.
unsafe fn copy() -> *mut ErrorData {
    // SAFETY: an error is being raised; a copy belongs to the current memory context.
    unsafe {
        let copy = raw::CopyErrorData();
        for place in [&mut (*copy).filename, &mut (*copy).funcname] {
            if !place.is_null() {
                *place = raw::pstrdup(*place);
            }
        }
        copy
    }
}

/// Frees what [`copy`] made.
unsafe fn free(copy: *mut ErrorData) {
    // SAFETY: the caller's copy.
    unsafe {
        for place in [(*copy).filename, (*copy).funcname] {
            if !place.is_null() {
                raw::pfree(place.cast_mut().cast());
            }
        }
        raw::FreeErrorData(copy);
    }
}

/// Gives the error that is being raised what a guard has lost of it.
unsafe fn put_back(copy: *const ErrorData) {
    // SAFETY: the caller's copy; an error is being raised.
    unsafe {
        raw::errcode((*copy).sqlerrcode);
        for (field, value) in [
            (pg_sys::PG_DIAG_SCHEMA_NAME, (*copy).schema_name),
            (pg_sys::PG_DIAG_TABLE_NAME, (*copy).table_name),
            (pg_sys::PG_DIAG_COLUMN_NAME, (*copy).column_name),
            (pg_sys::PG_DIAG_DATATYPE_NAME, (*copy).datatype_name),
            (pg_sys::PG_DIAG_CONSTRAINT_NAME, (*copy).constraint_name),
        ] {
            if !value.is_null() {
                raw::err_generic_string(i32::from(field), value);
            }
        }
        if !(*copy).detail_log.is_null() {
            raw::errdetail_log(c"%s".as_ptr(), (*copy).detail_log);
        }
        if !(*copy).context.is_null() {
            raw::errcontext_msg(c"%s".as_ptr(), (*copy).context);
        }
        if !(*copy).internalquery.is_null() {
            raw::internalerrquery((*copy).internalquery);
        }
        raw::errposition((*copy).cursorpos);
        raw::internalerrposition((*copy).internalpos);
    }
}

/// Makes pgrx capture no Rust backtraces, whatever RUST_BACKTRACE says: it would put them into the client's DETAIL, and walk
/// the whole stack for each of its guards that an error passes.
///
/// The standard library decides once, at its first backtrace. Each library of Rust's has a standard library of its own, so
/// this one's decision is nobody else's.
pub fn forbid_backtraces() {
    const VARIABLE: &str = "RUST_LIB_BACKTRACE";
    let before = std::env::var_os(VARIABLE);
    // SAFETY: the library is loaded by a process of one thread.
    unsafe { std::env::set_var(VARIABLE, "0") };
    let _ = std::backtrace::Backtrace::capture();
    // SAFETY: as above.
    unsafe {
        match before {
            Some(value) => std::env::set_var(VARIABLE, value),
            None => std::env::remove_var(VARIABLE),
        }
    }
}
