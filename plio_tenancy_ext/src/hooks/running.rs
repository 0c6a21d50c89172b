//! How many plans that read or change tables are running, one inside the other: while one is, no tenant can be set.
//!
//! Its rows would go on coming, or going, after the change: `INSERT .. SELECT` and the queries of a procedural
//! language are no portal's own, so the portal cannot be asked. `ExecutorStart` (check_perms.rs calls [`on_start`]) and
//! `ExecutorEnd_hook` count. A plan that an error cuts off has no end: a subtransaction's abort puts the count back to
//! what it was when it began, a transaction's end to none. The count can be too high after that, never too low: the
//! tenant is refused then until the transaction ends.

use crate::hooks::{folded, planner};
use crate::pg::nodes::{self, pointers};
use crate::pg::raw;
use pgrx::pg_sys::{self, NodeTag};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

static mut PREVIOUS: pg_sys::ExecutorEnd_hook_type = None;

static RUNNING: AtomicU32 = AtomicU32::new(0);
/// How many EXECUTE and EXPLAIN are running, one inside the other.
static EXECUTING: AtomicU32 = AtomicU32::new(0);
/// How many EXPLAIN without ANALYZE are running: what they plan is not executed.
static EXPLAINING: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The counts when each open subtransaction began.
    static BEFORE: RefCell<Vec<Counts>> = const { RefCell::new(Vec::new()) };
}

/// All that an error leaves too high.
#[derive(Clone, Copy)]
pub struct Counts {
    running: u32,
    executing: u32,
    explaining: u32,
    planning: u32,
}

impl Counts {
    fn now() -> Self {
        Self {
            running: RUNNING.load(Relaxed),
            executing: EXECUTING.load(Relaxed),
            explaining: EXPLAINING.load(Relaxed),
            planning: planner::depth(),
        }
    }

    fn put_back(self) {
        RUNNING.store(self.running, Relaxed);
        EXECUTING.store(self.executing, Relaxed);
        EXPLAINING.store(self.explaining, Relaxed);
        planner::put_back(self.planning);
    }
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

/// Whether a statement that SQL's PREPARE made may be running.
pub fn is_executing() -> bool {
    EXECUTING.load(Relaxed) > 0
}

/// Whether a plan is only made to be shown.
pub fn is_explaining() -> bool {
    EXPLAINING.load(Relaxed) > 0
}

/// Whether EXPLAIN has no option ANALYZE, or one that is off. What is not read for sure counts as ANALYZE.
///
/// # Safety
/// An ExplainStmt.
unsafe fn is_explained_only(statement: *const pg_sys::ExplainStmt) -> bool {
    // SAFETY: the caller's promise; the options are DefElem nodes with NULL or a constant (explain.c, defGetBoolean).
    unsafe {
        pointers::<pg_sys::DefElem>((*statement).options).iter().all(|option| {
            let (name, value) = ((**option).defname, (**option).arg);
            if name.is_null() || std::ffi::CStr::from_ptr(name) != c"analyze" {
                return true;
            }
            if value.is_null() {
                return false;
            }
            match nodes::tag(value) {
                NodeTag::T_Boolean => !(*value.cast::<pg_sys::Boolean>()).boolval,
                NodeTag::T_Integer => (*value.cast::<pg_sys::Integer>()).ival == 0,
                NodeTag::T_String => {
                    let text = std::ffi::CStr::from_ptr((*value.cast::<pg_sys::String>()).sval).to_bytes();
                    text.eq_ignore_ascii_case(b"false") || text.eq_ignore_ascii_case(b"off")
                }
                _ => false,
            }
        })
    }
}

/// A utility statement is about to run. COPY and DDL count as plans on tables: what they evaluate runs in their middle.
///
/// # Safety
/// `statement` is a utility statement.
pub unsafe fn enter_utility(statement: *const pg_sys::Node) -> Counts {
    use NodeTag::*;
    let before = Counts::now();
    // SAFETY: the caller's promise.
    match unsafe { nodes::tag(statement) } {
        T_ExecuteStmt => {
            EXECUTING.fetch_add(1, Relaxed);
        }
        T_ExplainStmt => {
            EXECUTING.fetch_add(1, Relaxed);
            // SAFETY: the tag says so.
            if unsafe { is_explained_only(statement.cast()) } {
                EXPLAINING.fetch_add(1, Relaxed);
            }
        }
        T_CopyStmt | T_CreateTableAsStmt | T_RefreshMatViewStmt | T_AlterTableStmt | T_IndexStmt
        | T_ReindexStmt | T_ClusterStmt | T_VacuumStmt => {
            RUNNING.fetch_add(1, Relaxed);
        }
        _ => {}
    }
    before
}

/// It has ended.
pub fn leave_utility(before: Counts) {
    RUNNING.store(before.running, Relaxed);
    EXECUTING.store(before.executing, Relaxed);
    EXPLAINING.store(before.explaining, Relaxed);
}

/// A plan has been started.
///
/// # Safety
/// `planned` is a planned statement.
pub unsafe fn on_start(planned: *const pg_sys::PlannedStmt) {
    // SAFETY: the caller's promise.
    if unsafe { has_table(planned) } {
        RUNNING.fetch_add(1, Relaxed);
        folded::note_read();
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
    EXECUTING.store(0, Relaxed);
    EXPLAINING.store(0, Relaxed);
    BEFORE.with_borrow_mut(Vec::clear);
}

/// A subtransaction has begun.
pub fn on_subtransaction_start() {
    BEFORE.with_borrow_mut(|before| before.push(Counts::now()));
}

/// A subtransaction has ended.
pub fn on_subtransaction_end(is_commit: bool) {
    let before = BEFORE.with_borrow_mut(Vec::pop);
    if let (false, Some(before)) = (is_commit, before) {
        before.put_back();
    }
}
