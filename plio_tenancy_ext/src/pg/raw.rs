//! PostgreSQL functions called without pgrx's guard: for the hot path, and for handing a call on.
//!
//! An error raised in one of them jumps over the calling Rust frames. A caller therefore holds only plain data
//! (no destructor, no borrow), which is also why an error that is not ours arrives at the client untouched.

use pgrx::pg_sys;
use std::ffi::c_char;

unsafe extern "C-unwind" {
    /// utility.c: runs any utility statement.
    pub fn standard_ProcessUtility(
        pstmt: *mut pg_sys::PlannedStmt,
        query_string: *const c_char,
        read_only_tree: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        params: pg_sys::ParamListInfo,
        query_env: *mut pg_sys::QueryEnvironment,
        dest: *mut pg_sys::DestReceiver,
        qc: *mut pg_sys::QueryCompletion,
    );
    /// execMain.c: prepares a plan for execution.
    pub fn standard_ExecutorStart(query: *mut pg_sys::QueryDesc, flags: i32);
    /// execMain.c: releases a plan's execution.
    pub fn standard_ExecutorEnd(query: *mut pg_sys::QueryDesc);
    /// planner.c: makes a plan.
    pub fn standard_planner(
        query: *mut pg_sys::Query,
        text: *const c_char,
        options: i32,
        params: pg_sys::ParamListInfo,
    ) -> *mut pg_sys::PlannedStmt;
    /// xact.c: whether a transaction is in progress.
    pub fn IsTransactionState() -> bool;
    /// xact.c: whether a transaction block is open.
    pub fn IsTransactionBlock() -> bool;
    /// miscinit.c: whether a security-definer function runs.
    pub fn InLocalUserIdChange() -> bool;
    /// portalmem.c: whether no portal can be fetched from.
    pub fn ThereAreNoReadyPortals() -> bool;
    /// lsyscache.c: a relation's schema, `InvalidOid` when there is none.
    pub fn get_rel_namespace(relid: pg_sys::Oid) -> pg_sys::Oid;
    /// lsyscache.c: a function's schema, `InvalidOid` when there is none.
    pub fn get_func_namespace(funcid: pg_sys::Oid) -> pg_sys::Oid;
    /// miscinit.c: the session's user, or what it `SET ROLE` to.
    pub fn GetOuterUserId() -> pg_sys::Oid;
    /// be-fsstubs.c: closes every descriptor of a large object. Not in pgrx's bindings.
    pub fn AtEOXact_LargeObject(is_commit: bool);
    /// miscinit.c: the user in force, a definer function's owner included.
    pub fn GetUserId() -> pg_sys::Oid;
    /// sequence.c: forgets `lastval` and `currval`. Not in pgrx's bindings.
    pub fn ResetSequenceCaches();
}

/// The permission infos that belong to a plan's range table; NIL on 15, where the entries carry them.
///
/// # Safety
/// `planned` points at a planned statement.
pub unsafe fn permission_infos(planned: *const pg_sys::PlannedStmt) -> *mut pg_sys::List {
    #[cfg(feature = "pg15")]
    {
        let _ = planned;
        std::ptr::null_mut()
    }
    #[cfg(not(feature = "pg15"))]
    // SAFETY: the caller's promise.
    unsafe {
        (*planned).permInfos
    }
}
