//! The ring's denials into a table of each database, where `plio.denials_flush_interval` asks for it.
//!
//! A launcher, started with the server (after recovery, so on a standby once it is promoted), looks at the ring: whenever
//! the interval has passed, or half of the ring is new. For each database with new denials it starts a worker, which
//! lives for one transaction: nothing stays connected, so nobody's DROP DATABASE is held up, and one failing database
//! holds up no other. Relies on the table's key for exactly once (table.rs).

#![forbid(unsafe_code)]

pub mod pending;
pub mod state;
pub mod table;

use self::pending::{Pending, View};
use self::state::State;
use super::entry::Denial;
use super::ring::{Kept, Ring};
use crate::context;
use crate::error::or_raise;
use crate::guc::monitoring as settings;
use crate::pg::worker::{self, Mains, Wake};
use crate::pg::{log, session};
use pgrx::prelude::*;
use std::time::{Duration, Instant};

const LAUNCHER: &str = "plio_tenancy denials launcher";
const WORKER: &str = "plio_tenancy denials worker";

/// Rounds are no closer together, however fast the ring fills.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// How often every database is visited for rows that are too old, in microseconds.
const VISIT_EVERY: i64 = 24 * 3_600_000_000;

/// Has the launcher started with the server. Only while the postmaster loads the library.
pub fn install() {
    worker::register(LAUNCHER, Mains { launcher: launch, worker: work });
}

/// An entry was written: half a ring of new ones is worth a round.
pub fn on_entry(ring: Ring<'_>, id: u64) {
    if ring.completes_half(id)
        && settings::flush_interval().is_some()
        && let Some(pid) = super::flush_state().and_then(State::launcher)
    {
        worker::wake(pid);
    }
}

/// The launcher. Ends with the server only: after an error, or when somebody terminates it, it is started anew.
fn launch() {
    let (Some(ring), Some(state)) = (super::ring(), super::flush_state()) else { return };
    state.set_launcher(log::process().0);
    let mut launcher = Launcher { ring, state, pending: Pending::default(), ticket: 0, visited: None };
    loop {
        let wake = match settings::flush_interval() {
            Some(interval) => {
                launcher.round();
                rest(interval, launcher.is_behind())
            }
            None => worker::wait(None),
        };
        if wake == Wake::End {
            return;
        }
    }
}

/// Sleeps through the pause, whoever calls; then until somebody has called, or the interval is over.
fn rest(interval: Duration, mut is_called: bool) -> Wake {
    let end = Instant::now() + SHORTEST_PAUSE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.as_millis() == 0 {
            break;
        }
        if worker::wait(Some(left)) == Wake::End {
            return Wake::End;
        }
        is_called |= Instant::now() < end;
    }
    if is_called { Wake::Look } else { worker::wait(Some(interval.saturating_sub(SHORTEST_PAUSE))) }
}

struct Launcher<'a> {
    ring: Ring<'a>,
    state: State<'a>,
    pending: Pending,
    /// The last worker's number.
    ticket: u64,
    /// When every database was last visited.
    visited: Option<i64>,
}

impl Launcher<'_> {
    fn round(&mut self) {
        self.look();
        let now = log::now();
        let is_visit =
            settings::history_retention().is_some() && self.visited.is_none_or(|at| now - at > VISIT_EVERY);
        let due = self.pending.due(now);
        if due.is_empty() && !is_visit {
            return;
        }
        let databases = worker::databases();
        if is_visit {
            self.visited = Some(now);
            databases.iter().filter(|one| one.is_open).for_each(|one| self.pending.visit(one.oid));
        }
        for (database, from) in self.pending.due(now) {
            let is_there = databases.iter().any(|one| one.oid == database);
            if !is_there || self.flush(database, from) {
                self.pending.done(database);
            } else {
                self.pending.failed(database, log::now());
            }
            self.state.set_failing(self.pending.failing());
        }
    }

    /// Whether half a ring is new again: a call that came while a worker was waited for is not heard.
    fn is_behind(&self) -> bool {
        self.ring.next().saturating_sub(self.pending.scanned()) >= self.ring.half()
    }

    /// Takes in what is new in the ring.
    fn look(&mut self) {
        let from = self.pending.scanned();
        // In this order: what is written meanwhile belongs to the next look.
        let next = self.ring.next();
        let first_unsettled = self.ring.first_unsettled(from);
        let view = View { first_unsettled, next };
        let database = |kept: &Kept| Denial::decode(&kept.entry).map_or(0, |denial| denial.database);
        let entries = self.ring.entries_from(from).map(|kept| (kept.id, database(&kept)));
        self.state.lose(self.pending.take_in(view, entries));
    }

    /// Has a worker flush a database; whether it did.
    fn flush(&mut self, database: u32, from: u64) -> bool {
        self.ticket += 1;
        let is_done = worker::run(database, WORKER, &format!("{} {from}", self.ticket))
            && self.state.has_finished(self.ticket);
        if is_done {
            self.state.succeed(log::now());
        }
        is_done
    }
}

/// A worker: one database, one transaction. An error ends it, and is in the server's log.
fn work(order: &str) {
    let mut numbers = order.split(' ').filter_map(|number| number.parse::<u64>().ok());
    let (Some(ticket), Some(from), Some(state)) = (numbers.next(), numbers.next(), super::flush_state())
    else {
        return;
    };
    let rows = worker::transaction(|| or_raise(table::flush_as_owner(from)));
    state.finish(ticket, rows.unwrap_or_default());
}

/// Adds the denials of this database that are in the ring to `plio.denials_history` now; how many were new.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
pub(crate) fn flush_denials() -> i64 {
    or_raise(context::ensure_no_tenant("flush_denials"));
    session::ensure_may_write("flush_denials");
    i64::try_from(or_raise(table::flush(0))).unwrap_or(i64::MAX)
}

/// For health() and plio.metrics: how the flush is doing; no row without shared memory.
#[pg_extern(volatile, parallel_restricted)]
#[allow(clippy::type_complexity, reason = "pgrx reads the columns off the type")]
pub(crate) fn _flush_state() -> TableIterator<
    'static,
    (
        name!(is_running, bool),
        name!(last_success, Option<TimestampWithTimeZone>),
        name!(failing, i64),
        name!(written, i64),
        name!(lost, i64),
    ),
> {
    let Some(state) = super::flush_state() else { return TableIterator::empty() };
    let bigint = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    TableIterator::once((
        state.launcher().is_some_and(worker::is_running),
        state.last_success().and_then(|at| TimestampWithTimeZone::try_from(at).ok()),
        bigint(state.failing()),
        bigint(state.rows()),
        bigint(state.lost()),
    ))
}
