//! One area of shared memory, as words: only with `shared_preload_libraries`, of the size that the settings ask for.
//!
//! Plain atomic words, so that everything built on them (monitor/ring.rs, monitor/counters.rs) is safe Rust, and nothing
//! that a process does to them, or dies in the middle of, can hold up another. After a crash the postmaster makes the
//! area anew.

use pgrx::pg_sys;
use pgrx::prelude::*;
use std::ffi::c_void;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What the area is for.
#[derive(Clone, Copy)]
pub struct Area {
    /// How many words it has; asked once the settings are known.
    pub words: fn() -> usize,
    /// Makes sense of words that are all 0.
    pub init: fn(&[AtomicU64]),
    /// Called as the server stops in good order.
    pub save: fn(&[AtomicU64]),
}

static AREA: OnceLock<Area> = OnceLock::new();
/// Set in the postmaster; its children inherit both.
static START: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());
static LENGTH: AtomicUsize = AtomicUsize::new(0);

static mut PREVIOUS_REQUEST: pg_sys::shmem_request_hook_type = None;
static mut PREVIOUS_STARTUP: pg_sys::shmem_startup_hook_type = None;

/// Asks for the area. Only while the postmaster loads shared_preload_libraries.
pub fn install(area: Area) {
    if AREA.set(area).is_err() {
        return;
    }
    // SAFETY: `_PG_init` runs once, in one thread.
    unsafe {
        PREVIOUS_REQUEST = pg_sys::shmem_request_hook;
        pg_sys::shmem_request_hook = Some(on_request);
        PREVIOUS_STARTUP = pg_sys::shmem_startup_hook;
        pg_sys::shmem_startup_hook = Some(on_startup);
    }
}

/// The area; `None` when the library was not loaded by the postmaster.
pub fn words() -> Option<&'static [AtomicU64]> {
    let start = START.load(Relaxed);
    // SAFETY: the postmaster allocated that many words for as long as its children live; words are only ever reached
    // through shared references to atomics.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start, LENGTH.load(Relaxed)) })
}

unsafe extern "C-unwind" fn on_request() {
    // SAFETY: set before the hook.
    if let Some(previous) = unsafe { PREVIOUS_REQUEST } {
        // SAFETY: a hook of PostgreSQL's signature.
        unsafe { previous() };
    }
    // SAFETY: guarded.
    unsafe { request() };
}

#[pg_guard]
unsafe extern "C-unwind" fn request() {
    if let Some(area) = AREA.get() {
        // SAFETY: called from shmem_request_hook, where space may be asked for.
        unsafe { pg_sys::RequestAddinShmemSpace((area.words)() * size_of::<AtomicU64>()) };
    }
}

unsafe extern "C-unwind" fn on_startup() {
    // SAFETY: set before the hook.
    if let Some(previous) = unsafe { PREVIOUS_STARTUP } {
        // SAFETY: a hook of PostgreSQL's signature.
        unsafe { previous() };
    }
    // SAFETY: guarded.
    unsafe { start_up() };
}

/// Also after a crash: then in new memory. No lock: in the postmaster, before it has a child.
#[pg_guard]
unsafe extern "C-unwind" fn start_up() {
    let Some(area) = AREA.get() else { return };
    let count = (area.words)();
    let mut is_found = false;
    // SAFETY: called from shmem_startup_hook; ShmemAlloc aligns to cache lines.
    let start: *mut c_void = unsafe {
        pg_sys::ShmemInitStruct(c"plio_tenancy".as_ptr(), count * size_of::<AtomicU64>(), &mut is_found)
    };
    let start = start.cast::<AtomicU64>();
    if !is_found {
        // SAFETY: that many words, ours alone as yet.
        unsafe { std::ptr::write_bytes(start, 0, count) };
    }
    LENGTH.store(count, Relaxed);
    START.store(start, Relaxed);
    if let (false, Some(words)) = (is_found, words()) {
        (area.init)(words);
    }
    // SAFETY: reads a global; in the postmaster, or in a server of one process, exit callbacks may be added.
    unsafe {
        if !pg_sys::IsUnderPostmaster {
            pg_sys::on_shmem_exit(Some(on_exit), pg_sys::Datum::from(0));
        }
    }
}

/// Shared memory is still there; after a crash (a code other than 0) nothing in it is trusted.
#[pg_guard]
unsafe extern "C-unwind" fn on_exit(code: i32, _argument: pg_sys::Datum) {
    if let (0, Some(area), Some(words)) = (code, AREA.get(), words()) {
        (area.save)(words);
    }
}
