//! PostgreSQL functions called without pgrx's guard: for the hot path, and for handing a call on.
//!
//! An error raised in one of them jumps over the calling Rust frames. A caller therefore holds only plain data
//! (no destructor, no borrow), which is also why an error that is not ours arrives at the client untouched.

use pgrx::pg_sys;
use std::ffi::{CStr, c_char, c_int};

/// What nodeFuncs.c calls for each node.
pub type Walker = Option<unsafe extern "C-unwind" fn(*mut pg_sys::Node, *mut std::ffi::c_void) -> bool>;

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
    /// postgres.c: the handler of SIGTERM.
    pub fn die(signal: c_int);
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
    /// nodeFuncs.c: walks an expression, or a query's parts; renamed in 16.
    #[cfg_attr(not(feature = "pg15"), link_name = "expression_tree_walker_impl")]
    pub fn expression_tree_walker(
        node: *mut pg_sys::Node,
        walker: Walker,
        context: *mut std::ffi::c_void,
    ) -> bool;
    /// nodeFuncs.c: walks a query.
    #[cfg_attr(not(feature = "pg15"), link_name = "query_tree_walker_impl")]
    pub fn query_tree_walker(
        query: *mut pg_sys::Query,
        walker: Walker,
        context: *mut std::ffi::c_void,
        flags: i32,
    ) -> bool;
    /// nodeFuncs.c: walks what the grammar made; renamed in 16.
    #[cfg_attr(not(feature = "pg15"), link_name = "raw_expression_tree_walker_impl")]
    pub fn raw_expression_tree_walker(
        node: *mut pg_sys::Node,
        walker: Walker,
        context: *mut std::ffi::c_void,
    ) -> bool;
    /// xact.c: whether a transaction is in progress.
    pub fn IsTransactionState() -> bool;
    /// xact.c: how deep the transaction is nested.
    pub fn GetCurrentTransactionNestLevel() -> c_int;
    /// xact.c: whether a transaction block is open.
    pub fn IsTransactionBlock() -> bool;
    /// xlog.c: whether this server is a standby, or recovers.
    pub fn RecoveryInProgress() -> bool;
    /// miscinit.c: whether a security-definer function runs.
    pub fn InLocalUserIdChange() -> bool;
    /// lsyscache.c: a relation's schema, `InvalidOid` when there is none.
    pub fn get_rel_namespace(relid: pg_sys::Oid) -> pg_sys::Oid;
    /// lsyscache.c: a relation's kind, NUL when there is none.
    pub fn get_rel_relkind(relid: pg_sys::Oid) -> c_char;
    /// guc.c: closes a level of settings.
    pub fn AtEOXact_GUC(is_commit: bool, level: c_int);
    /// sequence.c: `nextval(regclass)`.
    pub fn nextval_oid(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    /// sequence.c: `currval(regclass)`.
    pub fn currval_oid(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    /// sequence.c: `setval(regclass, bigint)`.
    pub fn setval_oid(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    /// sequence.c: `setval(regclass, bigint, boolean)`.
    pub fn setval3_oid(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    /// lsyscache.c: a function's schema, `InvalidOid` when there is none.
    pub fn get_func_namespace(funcid: pg_sys::Oid) -> pg_sys::Oid;
    /// lsyscache.c: the type that a function gives; an error when there is no such function.
    pub fn get_func_rettype(funcid: pg_sys::Oid) -> pg_sys::Oid;
    /// lsyscache.c: whether a function is immutable, stable or volatile; an error when there is no such function.
    pub fn func_volatile(funcid: pg_sys::Oid) -> c_char;
    /// syscache.c: a row of a catalog, NULL when there is none.
    pub fn SearchSysCache1(cache: c_int, key: pg_sys::Datum) -> pg_sys::HeapTuple;
    /// syscache.c: gives it back.
    pub fn ReleaseSysCache(tuple: pg_sys::HeapTuple);
    /// lsyscache.c: a type's kind, NUL when there is none.
    pub fn get_typtype(typid: pg_sys::Oid) -> std::ffi::c_char;
    /// miscinit.c: the session's user, or what it `SET ROLE` to.
    pub fn GetOuterUserId() -> pg_sys::Oid;
    /// miscinit.c: the session's user.
    pub fn GetSessionUserId() -> pg_sys::Oid;
    /// miscinit.c: the user whose privileges are in force.
    pub fn GetUserId() -> pg_sys::Oid;
    /// guc.c: sets a setting; from 17 on its record saves looking the name up (NULL makes PostgreSQL look).
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    fn set_config_with_handle(
        name: *const c_char,
        handle: *mut pg_sys::config_generic,
        value: *const c_char,
        context: pg_sys::GucContext::Type,
        source: pg_sys::GucSource::Type,
        role: pg_sys::Oid,
        action: pg_sys::GucAction::Type,
        change: bool,
        level: c_int,
        is_reload: bool,
    ) -> c_int;
    /// guc.c: sets a setting.
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    fn set_config_option(
        name: *const c_char,
        value: *const c_char,
        context: pg_sys::GucContext::Type,
        source: pg_sys::GucSource::Type,
        action: pg_sys::GucAction::Type,
        change: bool,
        level: c_int,
        is_reload: bool,
    ) -> c_int;
    /// be-fsstubs.c: closes every descriptor of a large object. Not in pgrx's bindings.
    pub fn AtEOXact_LargeObject(is_commit: bool);
    /// elog.c: begins a message; false when nobody wants it.
    fn errstart(level: c_int, domain: *const c_char) -> bool;
    /// elog.c: ends and sends it.
    fn errfinish(file: *const c_char, line: c_int, function: *const c_char);
    /// elog.c: the SQLSTATE of the error that is being raised.
    pub fn geterrcode() -> i32;
    /// elog.c: a copy of the error that is being raised, in the current memory context.
    pub fn CopyErrorData() -> *mut pg_sys::ErrorData;
    /// elog.c: frees such a copy.
    pub fn FreeErrorData(error: *mut pg_sys::ErrorData);
    /// elog.c: changes the SQLSTATE of the error that is being raised, as all below change one of its fields.
    pub fn errcode(code: c_int) -> c_int;
    /// elog.c: a name: of a table, a constraint or the like.
    pub fn err_generic_string(field: c_int, text: *const c_char) -> c_int;
    /// elog.c: a detail for the server's log alone.
    pub fn errdetail_log(format: *const c_char, ...) -> c_int;
    /// elog.c: a line of context more.
    pub fn errcontext_msg(format: *const c_char, ...) -> c_int;
    /// elog.c: a query that a function runs.
    pub fn internalerrquery(query: *const c_char) -> c_int;
    /// elog.c: a place in the client's query.
    pub fn errposition(position: c_int) -> c_int;
    /// elog.c: a place in a function's query.
    pub fn internalerrposition(position: c_int) -> c_int;
    /// mcxt.c: a copy of a text.
    pub fn pstrdup(text: *const c_char) -> *mut c_char;
    /// mcxt.c: frees memory.
    pub fn pfree(memory: *mut std::ffi::c_void);
    /// latch.c: wakes who waits.
    pub fn SetLatch(latch: *mut pg_sys::Latch);
    /// timeout.c: makes a timer. Not in pgrx's bindings, as all of timeout.h.
    pub fn RegisterTimeout(id: c_int, handler: Option<unsafe extern "C-unwind" fn()>) -> c_int;
    /// timeout.c: starts one.
    pub fn enable_timeout_after(id: c_int, milliseconds: c_int);
    /// timeout.c: stops one.
    pub fn disable_timeout(id: c_int, keeps_indicator: bool);
    /// timeout.c: whether one has gone off.
    pub fn get_timeout_indicator(id: c_int, resets: bool) -> bool;
    /// execTuples.c: fetches a slot's first columns.
    pub fn slot_getsomeattrs_int(slot: *mut pg_sys::TupleTableSlot, attributes: i32);
    /// tuplestore.c: stores a row.
    pub fn tuplestore_putvalues(
        store: *mut pg_sys::Tuplestorestate,
        described: pg_sys::TupleDesc,
        values: *const pg_sys::Datum,
        nulls: *const bool,
    );
    /// tuplestore.c: goes on where another reader is.
    pub fn tuplestore_select_read_pointer(store: *mut pg_sys::Tuplestorestate, pointer: c_int);
    /// tuplestore.c: fetches a row.
    pub fn tuplestore_gettupleslot(
        store: *mut pg_sys::Tuplestorestate,
        forward: bool,
        copy: bool,
        slot: *mut pg_sys::TupleTableSlot,
    ) -> bool;
    /// detoast.c: a value that lies elsewhere, as it is stored in line.
    pub fn detoast_external_attr(value: *mut pg_sys::varlena) -> *mut pg_sys::varlena;
    /// execTuples.c: says that a slot's arrays hold a row.
    pub fn ExecStoreVirtualTuple(slot: *mut pg_sys::TupleTableSlot) -> *mut pg_sys::TupleTableSlot;
    /// mcxt.c: memory of a context; an error when there is none.
    pub fn MemoryContextAlloc(context: pg_sys::MemoryContext, size: usize) -> *mut std::ffi::c_void;
    /// mcxt.c: has a function called when a context is reset or deleted.
    pub fn MemoryContextRegisterResetCallback(
        context: pg_sys::MemoryContext,
        callback: *mut pg_sys::MemoryContextCallback,
    );
    /// relcache.c: forgets all that is known of relations, and reads anew what is in use.
    pub fn RelationCacheInvalidate(debug_discard: bool);
    /// mcxt.c: frees all memory of a context.
    pub fn MemoryContextReset(context: pg_sys::MemoryContext);
    /// trigger.c: fires what is deferred.
    pub fn AfterTriggerFireDeferred();
    /// trigger.c: SET CONSTRAINTS.
    pub fn AfterTriggerSetState(statement: *mut pg_sys::ConstraintsSetStmt);
    /// trigger.c: how many triggers are running, one inside the other.
    pub fn pg_trigger_depth(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    /// xact.c: makes what was done visible to what follows.
    pub fn CommandCounterIncrement();
    /// xact.c: whether a subtransaction is open.
    pub fn IsSubTransaction() -> bool;
    /// guc_funcs.c (guc.c on 15): the SQL function set_config().
    pub fn set_config_by_name(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    /// float.c (pseudorandomfuncs.c from 17 on): the SQL function setseed().
    pub fn setseed(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    /// async.c: UNLISTEN of one channel. Not in pgrx's bindings.
    pub fn Async_Unlisten(channel: *const c_char);
    /// sequence.c: forgets `lastval` and `currval`. Not in pgrx's bindings.
    pub fn ResetSequenceCaches();
}

/// `ERROR`, elog.h.
pub const ERROR: c_int = 21;

/// Of timeout.h's enumeration: statement_timeout's.
pub const STATEMENT_TIMEOUT: c_int = 3;
/// The first that is free for others.
#[cfg(any(feature = "pg15", feature = "pg16"))]
pub const USER_TIMEOUT: c_int = 12;
/// The first that is free for others.
#[cfg(any(feature = "pg17", feature = "pg18"))]
pub const USER_TIMEOUT: c_int = 13;

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

/// Sets a setting with PGC_SUSET, because the extension, not the user, sets it; a NULL value puts the default back.
///
/// # Safety
/// Strings are NUL-terminated or, for the value, NULL; the record is the named setting's or NULL.
pub unsafe fn set_setting(
    name: *const c_char,
    record: *mut pg_sys::config_generic,
    value: *const c_char,
    action: pg_sys::GucAction::Type,
) {
    let (context, source) = (pg_sys::GucContext::PGC_SUSET, pg_sys::GucSource::PGC_S_SESSION);
    // SAFETY: the caller's promise; PostgreSQL copies the strings.
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    unsafe {
        set_config_with_handle(name, record, value, context, source, GetUserId(), action, true, 0, false);
    }
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    // SAFETY: as above.
    unsafe {
        let _ = record;
        set_config_option(name, value, context, source, action, true, 0, false);
    }
}

/// Writes a line to the server's log alone. The context callbacks are left out: they would describe the statement.
///
/// # Safety
/// As for all of this module; an interrupt that is pending may be raised at the end.
pub unsafe fn log_server_only(text: &CStr) {
    // SAFETY: the caller's promise; the strings are NUL-terminated and copied. The stack of context callbacks is put back;
    // after an error whoever catches it puts back its own.
    unsafe {
        let callbacks = pg_sys::error_context_stack;
        pg_sys::error_context_stack = std::ptr::null_mut();
        if errstart(pg_sys::LOG_SERVER_ONLY as c_int, std::ptr::null()) {
            pg_sys::errmsg_internal(c"%s".as_ptr(), text.as_ptr());
            pg_sys::errhidestmt(true);
            pg_sys::errhidecontext(true);
            errfinish(std::ptr::null(), 0, std::ptr::null());
        }
        pg_sys::error_context_stack = callbacks;
    }
}

/// The first byte of a varlena that is only a pointer (`VARATT_IS_1B_E`, varatt.h; little-endian machines, which x86-64
/// is).
const EXTERNAL: u8 = 0x01;

/// What the hot path wants to know of a column.
#[derive(Clone, Copy)]
pub struct Attribute {
    /// A value is the datum itself, not a pointer.
    pub is_by_value: bool,
    length: i16,
}

impl Attribute {
    /// Whether a value lies elsewhere, and is only a pointer to there.
    ///
    /// # Safety
    /// `value` is one of the column's, and not NULL.
    #[inline]
    pub unsafe fn is_elsewhere(self, value: pg_sys::Datum) -> bool {
        // SAFETY: the caller's promise: a varlena has a first byte.
        self.length == -1 && unsafe { *value.cast_mut_ptr::<u8>() } == EXTERNAL
    }

    /// The bytes of a value that is passed by reference and lies in line.
    ///
    /// # Safety
    /// `value` is one of the column's, and not NULL.
    #[inline]
    pub unsafe fn size(self, value: pg_sys::Datum) -> usize {
        // SAFETY: the caller's promise: a varlena, a NUL-terminated text, or a value of a fixed length.
        unsafe {
            match self.length {
                -1 => pgrx::varsize_any(value.cast_mut_ptr::<pg_sys::varlena>()),
                -2 => CStr::from_ptr(value.cast_mut_ptr::<c_char>()).count_bytes() + 1,
                length => length.max(0) as usize,
            }
        }
    }
}

/// A column, from 0.
///
/// # Safety
/// The description has that column.
pub unsafe fn attribute(described: pg_sys::TupleDesc, column: usize) -> Attribute {
    #[cfg(feature = "pg18")]
    // SAFETY: the caller's promise; from 18 on the compact attributes come first (tupdesc.h).
    let found = unsafe { &*(*described).compact_attrs.as_ptr().add(column) };
    #[cfg(not(feature = "pg18"))]
    // SAFETY: the caller's promise.
    let found = unsafe { &*(*described).attrs.as_ptr().add(column) };
    Attribute { is_by_value: found.attbyval, length: found.attlen }
}

/// A column's description, from 0.
///
/// # Safety
/// The description has that column.
pub unsafe fn column(described: pg_sys::TupleDesc, column: usize) -> *mut pg_sys::FormData_pg_attribute {
    #[cfg(feature = "pg18")]
    // SAFETY: the caller's promise; from 18 on they follow the compact ones (tupdesc.h).
    unsafe {
        pg_sys::TupleDescAttr(described, column as i32)
    }
    #[cfg(not(feature = "pg18"))]
    // SAFETY: the caller's promise.
    unsafe {
        (*described).attrs.as_mut_ptr().add(column)
    }
}
