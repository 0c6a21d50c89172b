//! What outlives a transaction that fails: the ring of denials and each tenant's counters, in shared memory.
//!
//! There only when the library is in `shared_preload_libraries`; without it nothing is allocated, and denials are lines in
//! the server's log. Refusals write the ring; the hot path does one atomic addition as a transaction in a tenant
//! ends. Counters start anew with the server; the ring outlives a stop (kept.rs), its tables a crash, too (flush.rs).

#![forbid(unsafe_code)]

pub(crate) mod api;
pub mod counters;
pub mod entry;
pub mod flush;
pub mod kept;
pub mod refusals;
pub mod ring;

use self::counters::{Counters, Key, Place, What};
use self::entry::Denial;
use self::flush::state;
use self::ring::Ring;
use crate::guc::monitoring as settings;
use crate::pg::{log, session, shmem};
use crate::tenant::TenantId;
use std::cell::Cell;
use std::sync::atomic::AtomicU64;

/// PostgreSQL's clock counts microseconds.
const MICROSECONDS: i64 = 1_000;
/// Ids begin at the millisecond in which the server started, so that they go on growing after a restart.
const IDS_A_MILLISECOND: u64 = 1 << 10;

/// Asks for the shared memory; only while the postmaster loads the library.
pub fn install() {
    shmem::install(shmem::Area { words, init, save });
    if settings::ring_size() > 0 {
        flush::install();
    }
}

fn words() -> usize {
    state::WORDS + Ring::words(settings::ring_size()) + Counters::words(settings::counted_tenants())
}

fn init(words: &[AtomicU64]) {
    let Some(ring) = Ring::over(Parts::of(words).ring) else { return };
    let milliseconds = u64::try_from(log::now() / MICROSECONDS).unwrap_or_default();
    ring.init(milliseconds.saturating_mul(IDS_A_MILLISECOND));
    if let Err(error) = kept::restore(ring) {
        log::server_line(&format!("could not read all denials of before the server was stopped: {error}"));
    }
}

fn save(words: &[AtomicU64]) {
    if let Some(Err(error)) = Ring::over(Parts::of(words).ring).map(kept::save) {
        log::server_line(&format!("could not keep plio.denials while the server is stopped: {error}"));
    }
}

/// What lies where in the shared words.
struct Parts<'a> {
    flush_state: &'a [AtomicU64],
    ring: &'a [AtomicU64],
    counters: &'a [AtomicU64],
}

impl<'a> Parts<'a> {
    fn of(words: &'a [AtomicU64]) -> Self {
        let (flush_state, rest) = words.split_at_checked(state::WORDS).unwrap_or_default();
        let (ring, counters) = rest.split_at_checked(Ring::words(settings::ring_size())).unwrap_or_default();
        Self { flush_state, ring, counters }
    }
}

/// The ring of denials, where there is one.
pub fn ring() -> Option<Ring<'static>> {
    Ring::over(Parts::of(shmem::words()?).ring)
}

/// The counters, where there are some.
pub fn counters() -> Option<Counters<'static>> {
    Counters::over(Parts::of(shmem::words()?).counters)
}

/// How the flush is doing, where there is shared memory.
pub fn flush_state() -> Option<state::State<'static>> {
    state::State::over(Parts::of(shmem::words()?).flush_state)
}

thread_local! {
    /// The tenant counted last, and where.
    static LAST: Cell<(i64, Option<Place>)> = const { Cell::new((0, None)) };
}

fn count(tenant: i64, what: What) {
    let Some(counters) = counters() else { return };
    let place = match LAST.get() {
        (last, Some(place)) if last == tenant => place,
        _ => {
            let place = counters.place(Key::new(session::database_oid().to_u32(), tenant));
            LAST.set((tenant, Some(place)));
            place
        }
    };
    counters.add(place, what);
}

/// A transaction in a tenant has ended. Cannot fail.
pub fn count_transaction(tenant: TenantId, is_commit: bool) {
    count(tenant.0, if is_commit { What::Commit } else { What::Rollback });
}

/// Keeps a denial; its id, where there is a ring. `tenant`: the one in force.
pub fn keep(denial: &Denial, tenant: Option<TenantId>) -> Option<u64> {
    count(tenant.map_or(0, |tenant| tenant.0), What::Denial);
    let ring = ring()?;
    let id = ring.push(&denial.encode());
    flush::on_entry(ring, id);
    Some(id)
}
