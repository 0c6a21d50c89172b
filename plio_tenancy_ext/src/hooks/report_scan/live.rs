//! The scans that are running, so that a recheck of a row (EvalPlanQual) takes the rows of the scan that it belongs to.
//!
//! After a concurrent change PostgreSQL runs a part of the plan again for one row, and begins that part's scans anew. Each
//! tenant would be visited again for each such row, and the statement would see rows of another moment.

use crate::pg::rows::Rows;
use pgrx::pg_sys;
use std::cell::RefCell;
use std::ffi::c_void;

struct Live {
    plan: *const pg_sys::Plan,
    state: *const pg_sys::EState,
    rows: *mut Rows,
}

thread_local! {
    static LIVE: RefCell<Vec<Live>> = const { RefCell::new(Vec::new()) };
}

/// Notes the rows of a scan until its query's memory is freed, however the query ends.
///
/// # Safety
/// `node` is a scan that begins, whose rows live as long as its query's memory.
pub unsafe fn note(node: *const pg_sys::ForeignScanState, rows: *mut Rows) {
    // SAFETY: the caller's promise; the callback lives in the memory that it is called for.
    unsafe {
        let (plan, state) = ((*node).ss.ps.plan.cast_const(), (*node).ss.ps.state);
        let size = size_of::<pg_sys::MemoryContextCallback>();
        let callback = pg_sys::MemoryContextAlloc((*state).es_query_cxt, size);
        let callback = callback.cast::<pg_sys::MemoryContextCallback>();
        callback.write(pg_sys::MemoryContextCallback {
            func: Some(forget),
            arg: state.cast(),
            next: std::ptr::null_mut(),
        });
        pg_sys::MemoryContextRegisterResetCallback((*state).es_query_cxt, callback);
        LIVE.with_borrow_mut(|live| live.push(Live { plan, state, rows }));
    }
}

/// A query's memory is being freed.
unsafe extern "C-unwind" fn forget(state: *mut c_void) {
    LIVE.with_borrow_mut(|live| live.retain(|one| !std::ptr::addr_eq(one.state, state)));
}

/// The rows of the scan that a recheck begins anew; `None` when it is no recheck.
///
/// # Safety
/// `node` is a scan that begins.
pub unsafe fn of_recheck(node: *const pg_sys::ForeignScanState) -> Option<*mut Rows> {
    // SAFETY: the caller's promise; a recheck knows the state of the query that it belongs to (execnodes.h).
    let (plan, main) = unsafe {
        let recheck = (*(*node).ss.ps.state).es_epq_active;
        if recheck.is_null() {
            return None;
        }
        ((*node).ss.ps.plan.cast_const(), (*recheck).parentestate.cast_const())
    };
    LIVE.with_borrow(|live| {
        live.iter()
            .find(|one| std::ptr::eq(one.plan, plan) && std::ptr::eq(one.state, main))
            .map(|one| one.rows)
    })
}
