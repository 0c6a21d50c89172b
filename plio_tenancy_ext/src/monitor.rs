//! What outlives a transaction that fails: the ring of denials and each tenant's counters, in shared memory.
//!
//! There only when the library is in `shared_preload_libraries`; without it nothing is allocated, and denials are lines in
//! the server's log. Refusals write the ring; the hot path does one atomic addition as a transaction in a tenant
//! ends. Counters start anew with the server; the ring outlives a stop (kept.rs), its tables a crash, too (flush.rs).
//! A login role that is refused again and again takes little of the ring (repeats.rs), and washes nothing away that other
//! roles did (ring.rs).

#![forbid(unsafe_code)]

pub(crate) mod api;
pub mod counters;
pub mod entry;
pub mod flush;
pub mod kept;
pub mod refusals;
pub mod repeats;
pub mod ring;

use self::counters::{Counters, Key, Place, What};
use self::entry::Denial;
use self::flush::state;
use self::ring::Ring;
use crate::cache;
use crate::guc::monitoring as settings;
use crate::pg::{log, session, shmem, worker};
use crate::tenant::TenantId;
use std::cell::Cell;
use std::collections::HashSet;
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
    /// The reasons that there were when this process gave places back last.
    static GAVE_BACK: Cell<u64> = const { Cell::new(0) };
}

fn count(tenant: i64, what: What) {
    let Some(counters) = counters() else { return };
    let place = match LAST.get() {
        (last, Some(place)) if last == tenant && counters.is_good(place) => place,
        _ => {
            let place = counters.place(Key::new(session::database_oid().to_u32(), tenant));
            LAST.set((tenant, Some(place)));
            place
        }
    };
    counters.add(place, what);
}

/// A tenant is being dropped: when the next one is created, its counters are given back.
pub fn note_dropped() {
    if let Some(counters) = counters() {
        counters.note_reason();
    }
}

/// Gives the counters back of tenants that are not in this database's registry, and of databases that are gone. For
/// management functions: whoever else creates a tenant at the same time loses at most what was counted for it so far.
pub fn give_counters_back() {
    let (Some(counters), Some(location)) = (counters(), cache::location()) else { return };
    let reasons = counters.reasons();
    if GAVE_BACK.replace(reasons) == reasons {
        return;
    }
    let here = session::database_oid().to_u32();
    let tenants: HashSet<i64> = location.every_tenant().iter().map(|tenant| tenant.id.0).collect();
    let databases: HashSet<u32> = worker::databases_seen().iter().map(|database| database.oid).collect();
    counters.give_back(|key| {
        let is_lost = key.tenant() != 0 && !tenants.contains(&key.tenant());
        if key.database() == here { is_lost } else { !databases.contains(&key.database()) }
    });
}

/// A transaction in a tenant has ended. Cannot fail.
pub fn count_transaction(tenant: TenantId, is_commit: bool) {
    count(tenant.0, if is_commit { What::Commit } else { What::Rollback });
}

/// Keeps a denial; its id, where there is a ring. `tenant`: the one in force.
pub fn keep(denial: &Denial, tenant: Option<TenantId>) -> Option<u64> {
    count(tenant.map_or(0, |tenant| tenant.0), What::Denial);
    let ring = ring()?;
    let entry = denial.encode();
    if let Some(id) = repeats::count(ring, &entry) {
        return Some(id);
    }
    let place = ring.push(&entry, log::login_role_oid(), denial.at)?;
    repeats::remember(&entry, place);
    flush::on_entry(ring, place.id);
    Some(place.id)
}
