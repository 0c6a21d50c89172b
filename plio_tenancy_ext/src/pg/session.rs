//! The session's users and transaction, and what it leaves behind (leftovers.rs).
//!
//! What only reads a global, and so cannot raise, is called without pgrx's guard.

mod leftovers;

pub use self::leftovers::{
    begin_random_anew, close_large_objects, drop_statement_of_sql, drop_temporary_objects, forget_sequences,
    has_statement, has_touched_temporary, unlisten,
};
use super::{owned, raw};
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// The login role, or what it `SET ROLE` to; not a definer function's owner.
pub fn outer_user() -> pg_sys::Oid {
    // SAFETY: reads a global; the user is set before any statement runs.
    unsafe { raw::GetOuterUserId() }
}

/// Whose rights are in force: the outer user's, or a definer function's owner's.
#[inline]
pub fn current_user() -> pg_sys::Oid {
    // SAFETY: reads a global.
    unsafe { raw::GetUserId() }
}

/// The login role (or what SET SESSION AUTHORIZATION made of it).
pub fn session_user() -> pg_sys::Oid {
    // SAFETY: as above.
    unsafe { pg_sys::GetSessionUserId() }
}

/// How deep in subtransactions we are; 1 in none.
pub fn nest_level() -> i32 {
    // SAFETY: reads the transaction state.
    unsafe { raw::GetCurrentTransactionNestLevel() }
}

/// When the client's statement began, as PostgreSQL counts time: tells one statement from the next.
pub fn statement_start() -> i64 {
    // SAFETY: reads a global.
    unsafe { pg_sys::GetCurrentStatementStartTimestamp() }
}

/// Whether this process runs statements for a client: a backend, a parallel worker of one, or a walsender, which takes SQL
/// where it is connected to a database (`replication=database`).
pub fn is_client_backend() -> bool {
    use pg_sys::BackendType::{B_BACKEND, B_WAL_SENDER};
    // SAFETY: reads globals that are set when the process starts.
    unsafe { matches!(pg_sys::MyBackendType, B_BACKEND | B_WAL_SENDER) || pg_sys::ParallelWorkerNumber >= 0 }
}

/// The cluster, by the number that initdb gave it (`pg_control_system()`). pg_upgrade makes a new cluster.
pub fn cluster() -> i64 {
    // SAFETY: reads shared memory that is there from the start.
    unsafe { pg_sys::GetSystemIdentifier() }.cast_signed()
}

/// Whether pg_upgrade is restoring the catalogs of another cluster.
pub fn is_binary_upgrade() -> bool {
    // SAFETY: reads a global.
    unsafe { pg_sys::IsBinaryUpgrade }
}

/// Whether the server is this one process (`postgres --single`).
pub fn is_single_user() -> bool {
    // SAFETY: reads a global that is set when the process starts.
    unsafe { !pg_sys::IsPostmasterEnvironment }
}

/// Whether a parallel worker is being given its leader's state.
pub fn is_initializing_worker() -> bool {
    // SAFETY: reads a global.
    unsafe { pg_sys::InitializingParallelWorker }
}

/// Whether a transaction is in progress: neither being committed nor aborted.
pub fn is_in_progress() -> bool {
    // SAFETY: reads the transaction state.
    unsafe { raw::IsTransactionState() }
}

/// Raises PostgreSQL's own 25006 in a transaction that may only read, as every one of a standby.
pub fn ensure_may_write(function: &str) {
    let Ok(name) = CString::new(format!("plio.{function}()")) else { return };
    // SAFETY: a NUL-terminated name, which the message copies.
    unsafe { pg_sys::PreventCommandIfReadOnly(name.as_ptr()) };
}

/// Whether a transaction block is open, an implicit one of a multi-statement query included.
pub fn is_in_block() -> bool {
    // SAFETY: reads the transaction state.
    unsafe { raw::IsTransactionBlock() }
}

/// Whether a security-definer function (or core in another user's name) is running.
pub fn is_in_definer_function() -> bool {
    // SAFETY: reads the security context.
    unsafe { raw::InLocalUserIdChange() }
}

/// Whether a definer function, or core in somebody else's name (maintenance, REFRESH), is running.
pub fn is_in_restricted_code() -> bool {
    // SAFETY: reads the security context.
    is_in_definer_function() || unsafe { pg_sys::InSecurityRestrictedOperation() }
}

/// Whether a foreign key's own query is running: no other code has this security context (ri_triggers.c).
pub fn is_in_foreign_key() -> bool {
    // SAFETY: reads the security context.
    unsafe { pg_sys::InNoForceRLSOperation() }
}

/// Whether the library is being loaded by the postmaster.
pub fn is_postmaster_loading() -> bool {
    // SAFETY: reads a global.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}

/// Whether the backend is still starting: session_preload_libraries are loaded before its first statement, on 15
/// outside any transaction, later in the one that InitPostgres runs (postinit.c).
pub fn is_starting() -> bool {
    // SAFETY: reads a global.
    let is_initializing = unsafe { pg_sys::Mode == pg_sys::ProcessingMode::InitProcessing };
    is_initializing || !is_in_progress()
}

/// Whether CREATE EXTENSION or ALTER EXTENSION UPDATE is running, of whatever extension.
pub fn is_creating_extension() -> bool {
    // SAFETY: reads a global.
    unsafe { pg_sys::creating_extension }
}

/// Whether CREATE EXTENSION or ALTER EXTENSION UPDATE of that extension is running, or pg_upgrade.
pub fn is_making(extension: pg_sys::Oid) -> bool {
    // SAFETY: reads globals.
    unsafe {
        pg_sys::IsBinaryUpgrade || pg_sys::creating_extension && pg_sys::CurrentExtensionObject == extension
    }
}

/// Whether a superuser has turned event triggers off (`event_triggers`, from 17 on).
pub fn is_without_event_triggers() -> bool {
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    // SAFETY: reads a setting's value.
    unsafe {
        !pg_sys::event_triggers
    }
    #[cfg(not(any(feature = "pg17", feature = "pg18")))]
    false
}

/// The database's oid.
pub fn database_oid() -> pg_sys::Oid {
    // SAFETY: reads a global.
    unsafe { pg_sys::MyDatabaseId }
}

/// Whether texts and names in this database are UTF-8. SQL_ASCII takes any bytes, so it does not count.
pub fn is_database_utf8() -> bool {
    // SAFETY: reads a global.
    unsafe { pg_sys::GetDatabaseEncoding() == pg_sys::pg_enc::PG_UTF8 as i32 }
}

/// The database's name.
pub fn database_name() -> Option<String> {
    // SAFETY: reads the catalog; NULL when it is gone.
    unsafe { owned(pg_sys::get_database_name(database_oid())) }
}

/// Whether the SPI stack is empty, that is: no procedural language's code is calling.
///
/// `SPI_unregister_relation` is the one function of SPI that tells the two apart and changes nothing: it answers
/// SPI_ERROR_UNCONNECTED first of all (`_SPI_begin_call`, spi.c).
pub fn is_outside_spi() -> bool {
    // SAFETY: an empty name is never registered, so nothing can be removed.
    unsafe { pg_sys::SPI_unregister_relation(c"".as_ptr()) == pg_sys::SPI_ERROR_UNCONNECTED }
}

/// Whether the function of this call runs below the client's own query, in a SQL function's.
///
/// A SQL function runs its statements without SPI, each in an executor state of its own; a function's call record
/// lives in the memory of the executor that calls it (execExpr.c), so the client's own query is told by that.
///
/// # Safety
/// The call's record, or NULL.
pub unsafe fn is_in_nested_query(fcinfo: pg_sys::FunctionCallInfo) -> bool {
    // SAFETY: the active portal, its query and the call's flinfo are valid while the call runs, or NULL.
    unsafe {
        let portal = pg_sys::ActivePortal;
        if fcinfo.is_null() || (*fcinfo).flinfo.is_null() || portal.is_null() || (*portal).queryDesc.is_null()
        {
            return false;
        }
        let executor = (*(*portal).queryDesc).estate;
        if executor.is_null() {
            return false;
        }
        // VALUES and the like keep calls in a context below the executor's.
        let mut context = (*(*fcinfo).flinfo).fn_mcxt;
        while !context.is_null() && context != (*executor).es_query_cxt {
            let name = (*context).name;
            if !name.is_null() && CStr::from_ptr(name) == c"ExecutorState" {
                return true;
            }
            context = (*context).parent;
        }
        context.is_null()
    }
}

/// Every plan that the session keeps is to be made anew. Reads no catalog, frees nothing, cannot fail: PostgreSQL's own
/// invalidation callbacks do the same (plancache.c).
pub fn reset_plans() {
    // SAFETY: marks the session's saved plans as invalid.
    unsafe { pg_sys::ResetPlanCache() };
}

/// Whether the running portal is a utility statement's: a function's call is then below it (CALL, DO).
pub fn is_in_utility() -> bool {
    // SAFETY: the active portal is NULL or valid.
    unsafe { !pg_sys::ActivePortal.is_null() && (*pg_sys::ActivePortal).queryDesc.is_null() }
}

/// Whether a statement's portal is running.
pub fn is_in_portal() -> bool {
    // SAFETY: reads a global.
    unsafe { !pg_sys::ActivePortal.is_null() }
}

/// Ends the statement if it was cancelled meanwhile, as PostgreSQL's own loops do.
pub fn check_for_interrupts() {
    // SAFETY: reads a flag that signal handlers set; what there is to do is done where an error may be raised.
    unsafe {
        if pg_sys::InterruptPending != 0 {
            pg_sys::ProcessInterrupts();
        }
    }
}

/// Waits; ends the statement if it is cancelled meanwhile.
pub fn pause(length: std::time::Duration) {
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: the process's own latch, as pg_sleep() waits on it (misc.c).
    unsafe {
        let milliseconds = length.as_millis().min(1000) as std::ffi::c_long;
        pg_sys::WaitLatch(pg_sys::MyLatch, events as i32, milliseconds, pg_sys::PG_WAIT_EXTENSION);
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
    check_for_interrupts();
}

/// Runs `f` in a transaction: the one that is open, or one of its own.
pub fn in_transaction(f: impl FnOnce()) {
    let is_open = is_in_progress();
    // SAFETY: at the start of a backend no transaction is open on 15; an error there ends the process.
    unsafe {
        if !is_open {
            pg_sys::StartTransactionCommand();
        }
        f();
        if !is_open {
            pg_sys::CommitTransactionCommand();
        }
    }
}

/// Whether this process is a parallel worker.
pub fn is_parallel_worker() -> bool {
    // SAFETY: reads a global that is set when the process starts.
    unsafe { pg_sys::ParallelWorkerNumber >= 0 }
}

/// Tells every backend, at commit, to forget what it knows of that relation.
pub fn invalidate_relation(relation: pg_sys::Oid) {
    // SAFETY: any relation may be named; raises an error when there is none.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(relation) };
}

/// Takes in what other backends have invalidated up to now.
pub fn accept_invalidations() {
    // SAFETY: in a transaction; calls the registered callbacks.
    unsafe { pg_sys::AcceptInvalidationMessages() };
}

/// Runs `f` as the bootstrap superuser with a pinned search_path, as a well-made security-definer function would.
///
/// For the few moments when PostgreSQL's own commands must be followed up in the registry, whoever ran them: without
/// the pinned path, an operator of the caller's could run with a superuser's rights.
pub fn as_superuser<R>(f: impl FnOnce() -> R) -> R {
    as_user(pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID), pg_sys::SECURITY_LOCAL_USERID_CHANGE, f)
}

/// The same as another user, and as core runs others' code in maintenance (REINDEX, REFRESH): a trigger that
/// somebody put in the way runs with no more than that user's rights, and leaves nothing behind.
pub fn as_restricted<R>(user: pg_sys::Oid, f: impl FnOnce() -> R) -> R {
    as_user(user, pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION, f)
}

fn as_user<R>(as_whom: pg_sys::Oid, flags: u32, f: impl FnOnce() -> R) -> R {
    struct Restore(pg_sys::Oid, i32, i32);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: puts back what was in force. While an error unwinds, the transaction's abort closes the level.
            unsafe {
                if !std::thread::panicking() {
                    pg_sys::AtEOXact_GUC(true, self.2);
                }
                pg_sys::SetUserIdAndSecContext(self.0, self.1);
            }
        }
    }
    let (mut user, mut security) = (pg_sys::InvalidOid, 0);
    // SAFETY: reads, then sets, the current user; Restore undoes it on every way out, abort included.
    let _restore = unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut security);
        let restore = Restore(user, security, pg_sys::NewGUCNestLevel());
        pg_sys::SetUserIdAndSecContext(as_whom, security | flags as i32);
        restore
    };
    super::guc::set_until_level_ends(c"search_path", c"pg_catalog, pg_temp");
    f()
}

/// What to call when transactions of this process begin and end. Only the first may raise.
pub struct Callbacks {
    /// A transaction is about to be committed; whatever was deferred has been done.
    pub on_commit: fn(),
    /// A transaction has ended; whether it was committed.
    pub on_end: fn(bool),
    /// A subtransaction has begun.
    pub on_subtransaction_start: fn(),
    /// A subtransaction has ended; whether it was committed.
    pub on_subtransaction_end: fn(bool),
}

/// Registers the callbacks.
pub fn install(callbacks: Callbacks) {
    static CALLBACKS: std::sync::OnceLock<Callbacks> = std::sync::OnceLock::new();
    unsafe extern "C-unwind" fn on_transaction(
        event: pg_sys::XactEvent::Type,
        _argument: *mut std::ffi::c_void,
    ) {
        use pg_sys::XactEvent::{
            XACT_EVENT_ABORT, XACT_EVENT_COMMIT, XACT_EVENT_PRE_COMMIT, XACT_EVENT_PREPARE,
        };
        let Some(callbacks) = CALLBACKS.get() else { return };
        match event {
            // SAFETY: plain data only in this frame.
            XACT_EVENT_PRE_COMMIT => unsafe { before_commit() },
            XACT_EVENT_ABORT | XACT_EVENT_COMMIT | XACT_EVENT_PREPARE => {
                (callbacks.on_end)(event != XACT_EVENT_ABORT);
            }
            _ => {}
        }
    }
    #[pgrx::pg_guard]
    unsafe extern "C-unwind" fn before_commit() {
        if let Some(callbacks) = CALLBACKS.get() {
            (callbacks.on_commit)();
        }
    }
    unsafe extern "C-unwind" fn on_subtransaction(
        event: pg_sys::SubXactEvent::Type,
        _subtransaction: pg_sys::SubTransactionId,
        _parent: pg_sys::SubTransactionId,
        _argument: *mut std::ffi::c_void,
    ) {
        use pg_sys::SubXactEvent::{
            SUBXACT_EVENT_ABORT_SUB, SUBXACT_EVENT_COMMIT_SUB, SUBXACT_EVENT_START_SUB,
        };
        let Some(callbacks) = CALLBACKS.get() else { return };
        match event {
            SUBXACT_EVENT_START_SUB => (callbacks.on_subtransaction_start)(),
            SUBXACT_EVENT_COMMIT_SUB => (callbacks.on_subtransaction_end)(true),
            SUBXACT_EVENT_ABORT_SUB => (callbacks.on_subtransaction_end)(false),
            _ => {}
        }
    }
    if CALLBACKS.set(callbacks).is_ok() {
        // SAFETY: registered once a process; the callbacks live as long as the library.
        unsafe {
            pg_sys::RegisterXactCallback(Some(on_transaction), std::ptr::null_mut());
            pg_sys::RegisterSubXactCallback(Some(on_subtransaction), std::ptr::null_mut());
        }
    }
}
