//! How many plans that read or change tables are running, one inside the other: while one is, no tenant can be set.
//!
//! Its rows would go on coming, or going, after the change: `INSERT .. SELECT` and the queries of a procedural
//! language are no portal's own, so the portal cannot be asked. `ExecutorStart` (check_perms.rs calls [`on_start`]) and
//! `ExecutorEnd_hook` count. A plan that an error cuts off has no end: a subtransaction's abort puts the count back to
//! what it was when it began, a transaction's end to none. The count can be too high after that, never too low: the
//! tenant is refused then until the transaction ends.

use crate::pg::nodes::pointers;
use crate::pg::raw;
use pgrx::pg_sys;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

static mut PREVIOUS: pg_sys::ExecutorEnd_hook_type = None;

static RUNNING: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The count when each open subtransaction began.
    static BEFORE: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// Sets the hook.
pub fn install() {
    // SAFETY: `_PG_init` runs once, in one thread.
    unsafe {
        PREVIOUS = pg_sys::ExecutorEnd_hook;
        pg_sys::ExecutorEnd_hook = Some(on_end);
    }
}

/// Whether a plan on tables is running.
pub fn is_any() -> bool {
    RUNNING.load(Relaxed) > 0
}

/// A plan has been started.
///
/// # Safety
/// `planned` is a planned statement.
pub unsafe fn on_start(planned: *const pg_sys::PlannedStmt) {
    // SAFETY: the caller's promise.
    if unsafe { has_table(planned) } {
        RUNNING.fetch_add(1, Relaxed);
    }
}

unsafe extern "C-unwind" fn on_end(query: *mut pg_sys::QueryDesc) {
    // SAFETY: plain data only in this frame; the argument is the executor's and handed on as it came.
    unsafe {
        if has_table((*query).plannedstmt) {
            RUNNING.store(RUNNING.load(Relaxed).saturating_sub(1), Relaxed);
        }
        PREVIOUS.unwrap_or(raw::standard_ExecutorEnd)(query);
    }
}

unsafe fn has_table(planned: *const pg_sys::PlannedStmt) -> bool {
    // SAFETY: the caller passes a planned statement; its range table is a list of valid entries.
    unsafe {
        pointers::<pg_sys::RangeTblEntry>((*planned).rtable)
            .iter()
            .any(|entry| (**entry).rtekind == pg_sys::RTEKind::RTE_RELATION)
    }
}

/// A transaction has ended.
pub fn on_transaction_end() {
    RUNNING.store(0, Relaxed);
    BEFORE.with_borrow_mut(Vec::clear);
}

/// A subtransaction has begun.
pub fn on_subtransaction_start() {
    BEFORE.with_borrow_mut(|before| before.push(RUNNING.load(Relaxed)));
}

/// A subtransaction has ended.
pub fn on_subtransaction_end(is_commit: bool) {
    let before = BEFORE.with_borrow_mut(Vec::pop);
    if let (false, Some(before)) = (is_commit, before) {
        RUNNING.store(before, Relaxed);
    }
}
