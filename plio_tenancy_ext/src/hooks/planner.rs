//! Notices rows that were read while a plan was made.
//!
//! The planner evaluates IMMUTABLE functions of constants and keeps the result in the plan. A function that is
//! declared so wrongly, and reads a table, leaves one tenant's row there; and where a function's SET clause makes the
//! search_path equal, the plan serves the next tenant. So while a plan is made, every user relation that an executor
//! opens is noted (check_perms.rs calls [`note_relation`]), and the session's plans are made anew when the tenant
//! changes or the transaction ends. What no table was read for (`current_user`, say) is nobody's row, and not noted.
//!
//! Code that is not trusted in every tenant (cache/code.rs) is judged where it is made ready: an IMMUTABLE function of that
//! kind may be folded, a body inlined, an expression kept. So the plans are made anew when the tenant changes.
//!
//! The same goes for plans that name a relation by a constant (`nextval('s')`) and were not made with the tenant's own
//! rights: made anew, the name is judged again.
//!
//! Functions may read a tenant's values without a relation, too: `lo_get()`, the statistics behind `pg_stats`, `lastval()`.
//! What PostgreSQL ships is declared rightly and never kept; so inside a tenant every other function is noted that is looked
//! up or made ready while a plan is made ([`note_function`]). Left out are functions in C, which a superuser vouches for, and
//! those that the planner runs only to estimate: what they give is kept in no plan.
//!
//! The previous hook, or the standard planner, runs in the middle. An error leaves the counter too high: a subtransaction's
//! abort puts it back (running.rs), a transaction's end sets it to 0.

use crate::hooks::{folded, replaced};
use crate::pg::nodes::{oids, pointers};
use crate::pg::{FIRST_NORMAL_OID, catalog, raw};
use crate::{cache, context};
use pgrx::pg_sys;
use std::cell::Cell;
use std::ffi::c_char;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

static mut PREVIOUS: pg_sys::planner_hook_type = None;

/// How many planners are running, one inside the other.
static PLANNING: AtomicU32 = AtomicU32::new(0);

/// Whether code that is not trusted in every tenant was made ready since the tenant changed last.
static HAS_FOREIGN_CODE: AtomicBool = AtomicBool::new(false);

thread_local! {
    static HAS_READ: Cell<bool> = const { Cell::new(false) };
}

/// Sets the hook.
pub fn install() {
    // SAFETY: `_PG_init` runs once, in one thread.
    unsafe {
        PREVIOUS = pg_sys::planner_hook;
        pg_sys::planner_hook = Some(on_plan);
    }
}

unsafe extern "C-unwind" fn on_plan(
    query: *mut pg_sys::Query,
    text: *const c_char,
    options: i32,
    params: pg_sys::ParamListInfo,
) -> *mut pg_sys::PlannedStmt {
    // SAFETY: the planner may change the query it is given (planner.c).
    unsafe {
        folded::forget_relations();
        replaced::replace(query);
    }
    PLANNING.fetch_add(1, Relaxed);
    // SAFETY: plain data only in this frame; the arguments are PostgreSQL's and handed on as they came.
    let planned = unsafe { PREVIOUS.unwrap_or(raw::standard_planner)(query, text, options, params) };
    PLANNING.fetch_sub(1, Relaxed);
    // SAFETY: a planner gives a planned statement.
    if unsafe { names_relations_by_constant(planned) } {
        HAS_READ.set(true);
    }
    planned
}

/// Whether the plan holds a relation that may be a tenant's as a constant, as in `nextval('s'::regclass)`: no range table
/// has it, so nobody judges it when the plan runs. It stands in `relationOids` all the same (setrefs.c), beside the
/// range table's.
unsafe fn names_relations_by_constant(planned: *const pg_sys::PlannedStmt) -> bool {
    // SAFETY: the caller passes a planned statement; its range table is a list of valid entries, and the named
    // relations are a list of oids. Any relation's oid may be looked up.
    unsafe {
        let named = oids((*planned).relationOids);
        if named.is_empty() {
            return false;
        }
        let entries = pointers::<pg_sys::RangeTblEntry>((*planned).rtable);
        let ranged = entries.iter().filter(|entry| (***entry).relid != pg_sys::InvalidOid).count();
        named.len() > ranged
            && !is_the_tenants_own_plan()
            && named.iter().any(|cell| {
                let relation = cell.oid_value;
                relation.to_u32() >= FIRST_NORMAL_OID
                    && !cache::is_known_neutral(raw::get_rel_namespace(relation))
            })
    }
}

/// A plan of the tenant's own role runs with that role's rights only; others are a definer function's or an
/// administrator's.
fn is_the_tenants_own_plan() -> bool {
    // SAFETY: reads a global.
    context::active_role() == Some(unsafe { raw::GetUserId() })
}

/// Whether a plan is being made.
pub fn is_running() -> bool {
    PLANNING.load(Relaxed) > 0
}

/// How many planners are running, for [`put_back`].
pub fn depth() -> u32 {
    PLANNING.load(Relaxed)
}

/// A subtransaction was rolled back, which began when so many were running.
pub fn put_back(depth: u32) {
    PLANNING.store(depth, Relaxed);
}

/// The function that the planner is about to run for an estimate: its look-up follows.
static ESTIMATING: AtomicU32 = AtomicU32::new(0);

/// A function that is not built in is made ready to be run by an expression.
///
/// # Safety
/// In a transaction.
pub unsafe fn note_function(function: pg_sys::Oid) {
    // SAFETY: the caller's promise; any function may be asked about, and was found a moment ago.
    unsafe {
        if !is_watched(function) || catalog::language_of(function) == catalog::C_LANGUAGE {
            return;
        }
        if raw::func_volatile(function) as u8 == pg_sys::PROVOLATILE_IMMUTABLE {
            HAS_READ.set(true);
        } else {
            ESTIMATING.store(function.to_u32(), Relaxed);
        }
    }
}

/// A function that is not built in is looked up to be called, by whatever: an operator class, a type's input, another
/// function. Of functions in SQL the planner itself asks, before it puts their bodies into its plan.
///
/// # Safety
/// In a transaction.
pub unsafe fn note_look_up(function: pg_sys::Oid) {
    // SAFETY: as above.
    unsafe {
        if is_watched(function)
            && ESTIMATING.swap(0, Relaxed) != function.to_u32()
            && ![catalog::C_LANGUAGE, catalog::SQL_LANGUAGE].contains(&catalog::language_of(function))
        {
            HAS_READ.set(true);
        }
    }
}

/// Whether a plan is being made inside a tenant, and the function is not built in.
fn is_watched(function: pg_sys::Oid) -> bool {
    function.to_u32() >= FIRST_NORMAL_OID && is_running() && context::is_active()
}

/// An executor opens a user relation.
pub fn note_relation() {
    if is_running() {
        HAS_READ.set(true);
    }
}

/// Code was made ready that is not trusted in every tenant: a plan or an expression that is kept would not ask again.
pub fn note_foreign_code() {
    HAS_FOREIGN_CODE.store(true, Relaxed);
}

/// Whether the session's plans will be made anew when the tenant changes.
pub fn has_foreign_code() -> bool {
    HAS_FOREIGN_CODE.load(Relaxed)
}

/// Every plan that the session keeps is to be made anew.
pub fn forget_all_plans() {
    // SAFETY: as below.
    unsafe { pg_sys::ResetPlanCache() };
}

/// The tenant changes: plans that may hold a row, or a stranger's code, are made anew.
pub fn forget_plans() {
    if HAS_READ.replace(false) | HAS_FOREIGN_CODE.swap(false, Relaxed) {
        // SAFETY: marks the session's saved plans as invalid; reads no catalog, frees nothing, cannot fail.
        unsafe { pg_sys::ResetPlanCache() };
    }
}

/// The transaction has ended: no planner is running.
pub fn on_transaction_end() {
    PLANNING.store(0, Relaxed);
    if HAS_READ.replace(false) {
        forget_all_plans();
    }
}
