//! Background workers: one that the postmaster keeps running, and those that it starts for the length of a transaction.

use super::scan::{self, Row};
use super::{memory_below_current, raw};
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder, SignalWakeFlags};
use pgrx::{IntoDatum, pg_guard, pg_sys};
use std::ffi::CStr;
use std::sync::OnceLock;
use std::time::Duration;

const LIBRARY: &str = "plio_tenancy";
/// After an error the launcher is started again.
const RESTART_AFTER: Duration = Duration::from_secs(2);

/// What a worker's settings must be, whatever the database's are: it writes, waits neither for a lock nor for a standby for ever.
const WORKER_SETTINGS: &[(&CStr, &CStr)] = &[
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_isolation", c"read committed"),
    (c"lock_timeout", c"10s"),
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"synchronous_commit", c"local"),
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    (c"transaction_timeout", c"0"),
];

/// What the two kinds of process do. They come to life by fork, so they know it from the postmaster.
#[derive(Clone, Copy)]
pub struct Mains {
    /// In the one that the postmaster keeps running, connected to no database; it is started again when it comes back.
    pub launcher: fn(),
    /// In those for one transaction, connected to a database, with their order.
    pub worker: fn(&str),
}

static MAINS: OnceLock<Mains> = OnceLock::new();

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Time, a signal or somebody's call.
    Look,
    /// The process must end.
    End,
}

/// A database of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Database {
    pub oid: u32,
    /// Whether anybody may connect.
    pub is_open: bool,
}

fn builder(name: &str, main: &str) -> BackgroundWorkerBuilder {
    // Starts once recovery has finished: on a standby after its promotion.
    BackgroundWorkerBuilder::new(name).set_library(LIBRARY).set_function(main).enable_spi_access()
}

/// Has the postmaster keep a launcher running. Only while it loads the library.
pub fn register(name: &str, mains: Mains) {
    if MAINS.set(mains).is_ok() {
        builder(name, "plio_launcher_main").set_restart_time(Some(RESTART_AFTER)).load();
    }
}

#[pg_guard]
#[unsafe(no_mangle)]
extern "C-unwind" fn plio_launcher_main(_argument: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    BackgroundWorker::connect_worker_to_spi(None, None);
    if let Some(mains) = MAINS.get() {
        (mains.launcher)();
    }
    // What exits with 0 has finished, and is not started again.
    // SAFETY: no transaction is open, and nothing of ours waits for a destructor.
    unsafe { pg_sys::proc_exit(1) };
}

/// Sleeps until somebody wakes the launcher, or for so long. Takes in the configuration file when it was told to.
pub fn wait(longest: Option<Duration>) -> Wake {
    // A signal that came while a worker was waited for has set the latch in vain.
    if BackgroundWorker::sigterm_received() {
        return Wake::End;
    }
    if was_reconfigured() {
        return Wake::Look;
    }
    let goes_on = BackgroundWorker::wait_latch(longest);
    was_reconfigured();
    if goes_on { Wake::Look } else { Wake::End }
}

/// Takes in the configuration file when SIGHUP has come; whether it has.
fn was_reconfigured() -> bool {
    let has_come = BackgroundWorker::sighup_received();
    if has_come {
        // SAFETY: no transaction is open.
        unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
    }
    has_come
}

/// Wakes a process of this cluster; nothing happens when it is gone.
pub fn wake(pid: i32) {
    // SAFETY: NULL when there is no such process; a PGPROC lies in shared memory for ever, and a latch may be set needlessly.
    unsafe {
        let process = pg_sys::BackendPidGetProc(pid);
        if !process.is_null() {
            pg_sys::SetLatch(&raw mut (*process).procLatch);
        }
    }
}

/// Whether it is a process of this cluster.
pub fn is_running(pid: i32) -> bool {
    // SAFETY: NULL when there is no such process.
    !unsafe { pg_sys::BackendPidGetProc(pid) }.is_null()
}

/// Every database, read in a transaction of its own; no database needs to be connected to.
pub fn databases() -> Vec<Database> {
    // SAFETY: no transaction is open in the launcher; an error in this one ends the process.
    unsafe { pg_sys::StartTransactionCommand() };
    let found = databases_seen();
    // SAFETY: the one that was started.
    unsafe { pg_sys::CommitTransactionCommand() };
    found
}

/// The same inside a transaction.
pub fn databases_seen() -> Vec<Database> {
    let is_true = |row: &Row, attribute: u32| row.char(attribute as usize).is_some_and(|value| value != '\0');
    let mut found = Vec::new();
    scan::for_each_shared_row(pg_sys::DatabaseRelationId, |row| {
        let oid = row.oid(pg_sys::Anum_pg_database_oid as usize);
        let is_open = is_true(row, pg_sys::Anum_pg_database_datallowconn);
        found.extend(oid.map(|oid| Database { oid: oid.to_u32(), is_open }));
    });
    found
}

/// Starts a worker in a database and waits until it has ended; false when there was no slot for it.
pub fn run(database: u32, name: &str, order: &str) -> bool {
    // PostgreSQL allocates a handle for each worker and leaves it to whoever started it.
    let memory = memory_below_current(c"plio_tenancy worker");
    // SAFETY: the context was just made; reads a global.
    let (before, own_pid) = unsafe { (pg_sys::MemoryContextSwitchTo(memory), pg_sys::MyProcPid) };
    let worker = builder(name, "plio_worker_main")
        .set_argument(pg_sys::Oid::from(database).into_datum())
        .set_extra(order)
        .set_notify_pid(own_pid)
        .load_dynamic();
    let has_ended = worker.is_ok_and(|worker| worker.wait_for_shutdown().is_ok());
    // SAFETY: what was current; the handle in the context is used no more. An error before ends the launcher.
    unsafe {
        pg_sys::MemoryContextSwitchTo(before);
        pg_sys::MemoryContextDelete(memory);
    }
    has_ended
}

/// Connects as the bootstrap superuser.
#[pg_guard]
#[unsafe(no_mangle)]
extern "C-unwind" fn plio_worker_main(argument: pg_sys::Datum) {
    let database = pg_sys::Oid::from(argument.value() as u32);
    // SAFETY: `die` is PostgreSQL's own handler: SIGTERM ends the worker where interrupts are looked at.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(pg_sys::SIGTERM as i32, Some(raw::die));
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(pg_sys::SIGTERM as i32, Some(raw::die));
        pg_sys::BackgroundWorkerUnblockSignals();
        let flags = pg_sys::BGWORKER_BYPASS_ALLOWCONN;
        pg_sys::BackgroundWorkerInitializeConnectionByOid(database, pg_sys::InvalidOid, flags);
    }
    for (name, value) in WORKER_SETTINGS {
        let (context, source) = (pg_sys::GucContext::PGC_SUSET, pg_sys::GucSource::PGC_S_OVERRIDE);
        // SAFETY: NUL-terminated strings that PostgreSQL copies.
        unsafe { pg_sys::SetConfigOption(name.as_ptr(), value.as_ptr(), context, source) };
    }
    if let Some(mains) = MAINS.get() {
        (mains.worker)(BackgroundWorker::get_extra());
    }
}

/// Runs `f` in a transaction that is committed when it comes back.
pub fn transaction<R>(f: impl FnOnce() -> R + std::panic::UnwindSafe + std::panic::RefUnwindSafe) -> R {
    BackgroundWorker::transaction(f)
}
