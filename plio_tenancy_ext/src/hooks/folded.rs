//! Notices rows that were read while PostgreSQL made a constant of an expression, outside a query.
//!
//! PostgreSQL evaluates IMMUTABLE functions of constants not only in plans (planner.rs), but also in what it keeps of a domain's
//! checks (typcache.c), of an index's expressions and condition, and of a partitioned table's key (relcache.c). A function that
//! is declared so wrongly, and reads a tenant's rows, leaves one there for the next tenant, since what is shared is kept once.
//!
//! Such an evaluation announces its function to the object access hook, with an executor's memory context that was made a moment
//! ago and is empty but for the expression (`evaluate_expr`, clauses.c). PostgreSQL deletes that context when the evaluation is
//! over: a callback tells. What reads a table meanwhile, or calls a function that gives a tenant's value without one
//! ([`gives_rows`], [`is_source`]), is noted. When the tenant changes after that, what PostgreSQL keeps is forgotten: domains' checks and plans at
//! once, what it knows of relations before the next statement is planned or run, since that may read catalogs.
//!
//! Functions in C are left out: a superuser vouches for them. The hooks that ask this module come first in their chain.

use crate::pg::{FIRST_NORMAL_OID, catalog, portal, raw, session};
use crate::{cache, one_layer};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// How many evaluations are running, one inside the other.
static FOLDING: AtomicU32 = AtomicU32::new(0);

/// Whether a function that gives a tenant's value was made ready in this transaction: a function that calls it may not make it
/// ready again.
static HAS_SOURCE: AtomicBool = AtomicBool::new(false);

/// Whether one of them read something since the tenant changed last.
static HAS_READ: AtomicBool = AtomicBool::new(false);

/// Whether what PostgreSQL knows of relations is to be forgotten.
static IS_DUE: AtomicBool = AtomicBool::new(false);

/// A function is made ready to be run by an expression.
///
/// # Safety
/// In a transaction.
pub unsafe fn note_function(function: Oid) {
    // SAFETY: the caller's promise; any function may be asked about, and was found a moment ago.
    unsafe {
        if function.to_u32() >= FIRST_NORMAL_OID && is_in_fresh_executor() && is_folded(function) {
            begin();
        } else if gives_rows(function.to_u32()) {
            HAS_SOURCE.store(true, Relaxed);
            note_read();
        } else if FOLDING.load(Relaxed) > 0 && !HAS_READ.load(Relaxed) {
            note_source(function);
        }
    }
}

/// A plan on tables has been started, or a statement that is no query (SHOW, EXECUTE, FETCH, CALL).
#[inline]
pub fn note_read() {
    if FOLDING.load(Relaxed) > 0 {
        HAS_READ.store(true, Relaxed);
    }
}

/// Whether the memory context in use is an executor's in which nothing was made yet but an expression.
fn is_in_fresh_executor() -> bool {
    // SAFETY: the current memory context is always valid, and its name a C string.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        (*context).firstchild.is_null() && CStr::from_ptr((*context).name) == c"ExecutorState"
    }
}

unsafe fn is_folded(function: Oid) -> bool {
    // SAFETY: the caller passes a function that is there.
    unsafe {
        raw::func_volatile(function) as u8 == pg_sys::PROVOLATILE_IMMUTABLE
            && catalog::language_of(function) != catalog::C_LANGUAGE
    }
}

/// Counts an evaluation until its memory context goes.
unsafe fn begin() {
    unsafe extern "C-unwind" fn end(_nothing: *mut c_void) {
        FOLDING.store(FOLDING.load(Relaxed).saturating_sub(1), Relaxed);
    }
    // SAFETY: plain data only in this frame; the callback's record lies in the context itself.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let size = size_of::<pg_sys::MemoryContextCallback>();
        let callback = raw::MemoryContextAlloc(context, size).cast::<pg_sys::MemoryContextCallback>();
        callback.write(pg_sys::MemoryContextCallback {
            func: Some(end),
            arg: std::ptr::null_mut(),
            next: std::ptr::null_mut(),
        });
        raw::MemoryContextRegisterResetCallback(context, callback);
    }
    FOLDING.store(FOLDING.load(Relaxed) + 1, Relaxed);
    // An open cursor can be fetched from without a plan being started.
    if HAS_SOURCE.load(Relaxed) || portal::has_ready() {
        note_read();
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn note_source(function: Oid) {
    if session::is_in_progress() && is_source(function) {
        HAS_READ.store(true, Relaxed);
    }
}

/// Whether a function of PostgreSQL's gives a tenant's values without reading a table: `lastval()`, `lo_get()`, `loread()`, settings.
/// Other functions on sequences are exchanged (replaced.rs), or announce themselves.
fn gives_rows(function: u32) -> bool {
    matches!(
        function,
        pg_sys::F_LASTVAL
            | pg_sys::F_LOREAD
            | 3458
            | pg_sys::F_LO_GET_OID_INT8_INT4
            | pg_sys::F_CURRENT_SETTING_TEXT
            | pg_sys::F_CURRENT_SETTING_TEXT_BOOL
            | pg_sys::F_PG_SHOW_ALL_SETTINGS
    ) || one_layer::SEQUENCE_FUNCTIONS.contains(&function)
}

/// Whether a function tells the tenant in another way: other sessions, and our own functions.
fn is_source(function: Oid) -> bool {
    if function.to_u32() >= FIRST_NORMAL_OID {
        let schema = catalog::function_schema(function);
        return schema.is_some() && schema == cache::location().map(|registry| registry.schema);
    }
    catalog::function_name(function).is_some_and(|name| one_layer::is_function_denied(&name))
}

/// A transaction has ended.
pub fn on_transaction_end() {
    HAS_SOURCE.store(false, Relaxed);
}

/// The tenant has changed: what may hold a row of the last one's is forgotten. Reads no catalog and never raises.
pub fn forget() {
    if HAS_READ.swap(false, Relaxed) {
        // SAFETY: both mark what the session keeps as invalid. The second tells those who keep something of constraints, as
        // an invalidation by another session would: the type cache (TypeCacheConstrCallback).
        unsafe {
            pg_sys::ResetPlanCache();
            pg_sys::CallSyscacheCallbacks(pg_sys::SysCacheIdentifier::CONSTROID as i32, 0);
        }
        IS_DUE.store(true, Relaxed);
    }
}

/// A statement is about to be planned or run: what PostgreSQL knows of relations is forgotten first, if it is due.
///
/// # Safety
/// In a hook that may raise, with plain data only in the callers' frames.
#[inline]
pub unsafe fn forget_relations() {
    if IS_DUE.load(Relaxed) {
        // SAFETY: the caller's promise.
        unsafe { forget_relations_now() };
    }
}

unsafe fn forget_relations_now() {
    if session::is_in_progress() {
        IS_DUE.store(false, Relaxed);
        // SAFETY: in a transaction, as when too many invalidations have come at once; what is in use is read anew.
        unsafe { raw::RelationCacheInvalidate(false) };
    }
}
