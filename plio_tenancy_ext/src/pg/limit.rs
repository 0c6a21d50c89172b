//! A limit for a piece of work: when it is reached, PostgreSQL cancels what runs, as a client's cancel request would.
//!
//! A timer of PostgreSQL's (timeout.c). pg/errors.rs tells its cancellation from others.

use super::raw;
use pgrx::pg_sys;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};

/// The timer; 0 until it is needed: a process starts with none.
static TIMER: AtomicI32 = AtomicI32::new(0);
static IS_REACHED: AtomicBool = AtomicBool::new(false);

/// Starts the timer. Limits do not nest.
pub fn begin(milliseconds: i32) {
    IS_REACHED.store(false, Relaxed);
    // SAFETY: timers are ready once a backend runs statements; the handler does what a handler may.
    unsafe {
        if TIMER.load(Relaxed) == 0 {
            TIMER.store(raw::RegisterTimeout(raw::USER_TIMEOUT, Some(on_reached)), Relaxed);
        }
        raw::enable_timeout_after(TIMER.load(Relaxed), milliseconds);
    }
}

/// Stops it; whether the limit was reached. A cancellation that is still to be raised for it is not.
pub fn end() -> bool {
    let timer = TIMER.load(Relaxed);
    if timer != 0 {
        // SAFETY: a timer that is registered.
        unsafe { raw::disable_timeout(timer, false) };
    }
    let is_reached = IS_REACHED.swap(false, Relaxed);
    // SAFETY: reads and writes flags; the statement's own timeout stays.
    unsafe {
        if is_reached && !raw::get_timeout_indicator(raw::STATEMENT_TIMEOUT, false) {
            pg_sys::QueryCancelPending = 0;
        }
    }
    is_reached
}

/// Whether the limit has been reached.
pub fn is_reached() -> bool {
    IS_REACHED.load(Relaxed)
}

/// In a signal handler: flags, and the latch that wakes who waits.
unsafe extern "C-unwind" fn on_reached() {
    // SAFETY: reads and writes flags; a latch may be set in a signal handler.
    unsafe {
        // A cancellation that is to be raised already is the client's.
        if pg_sys::QueryCancelPending == 0 {
            IS_REACHED.store(true, Relaxed);
            pg_sys::QueryCancelPending = 1;
            pg_sys::InterruptPending = 1;
        }
        raw::SetLatch(pg_sys::MyLatch);
    }
}
