//! What SQL reads of the shared memory; the views are in sql/schema/60_monitoring.sql. Only this database's.

#![forbid(unsafe_code)]

use super::counters::Counts;
use super::entry::Denial;
use super::ring::Kept;
use crate::context;
use crate::error::or_raise;
use crate::guc::monitoring as settings;
use crate::pg::{log, session};
use pgrx::prelude::*;
use std::collections::BTreeMap;

fn timestamp(at: i64) -> Option<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(at).ok()
}

fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// For plio.denials: what the ring holds of this database from an id on, the oldest first. With `for_good`, what happens again
/// gets an entry of its own: what was read does not change any more. Not inside a tenant: they are all tenants'.
#[pg_extern(volatile, parallel_restricted)]
#[allow(clippy::type_complexity, reason = "pgrx reads the columns off the type")]
pub(crate) fn _kept_denials(
    first: i64,
    for_good: bool,
) -> TableIterator<
    'static,
    (
        name!(denial_id, i64),
        name!(at, Option<TimestampWithTimeZone>),
        name!(pid, i32),
        name!(session_id, Option<String>),
        name!(login_role, Option<String>),
        name!(org, Option<String>),
        name!(kind, String),
        name!(message, String),
        name!(sqlstate, String),
        name!(query_id, Option<i64>),
        name!(enforced, bool),
        name!(times, i64),
        name!(last_at, Option<TimestampWithTimeZone>),
    ),
> {
    or_raise(context::ensure_no_tenant("_kept_denials"));
    let here = session::database_oid().to_u32();
    let first = u64::try_from(first).unwrap_or_default();
    let kept: Vec<Kept> = match super::ring() {
        Some(ring) if for_good => ring.sealed_from(first).collect(),
        Some(ring) => ring.entries_from(first).collect(),
        None => Vec::new(),
    };
    let rows = kept.into_iter().filter_map(move |kept| {
        let denial = Denial::decode(&kept.entry).filter(|denial| denial.database == here)?;
        Some((
            bigint(kept.id),
            timestamp(denial.at),
            denial.pid,
            (denial.started != 0).then(|| denial.session_id()),
            non_empty(denial.login),
            non_empty(denial.org),
            denial.kind.to_string(),
            denial.message,
            log::unpack_sqlstate(denial.sqlstate),
            (denial.query_id != 0).then_some(denial.query_id),
            denial.is_enforced,
            kept.times.into(),
            timestamp(kept.last_at),
        ))
    });
    TableIterator::new(rows)
}

/// As 0.1.0's plio.denials calls it, until ALTER EXTENSION UPDATE: there it is declared.
#[pg_extern(volatile, parallel_restricted, sql = false)]
#[allow(clippy::type_complexity, reason = "as above")]
pub(crate) fn _denials(
    first: i64,
) -> TableIterator<
    'static,
    (
        name!(denial_id, i64),
        name!(at, Option<TimestampWithTimeZone>),
        name!(pid, i32),
        name!(session_id, Option<String>),
        name!(login_role, Option<String>),
        name!(org, Option<String>),
        name!(kind, String),
        name!(message, String),
        name!(sqlstate, String),
        name!(query_id, Option<i64>),
        name!(enforced, bool),
    ),
> {
    let rows = _kept_denials(first, false);
    TableIterator::new(rows.map(
        |(id, at, pid, session, login, org, kind, message, sqlstate, query, enforced, ..)| {
            (id, at, pid, session, login, org, kind, message, sqlstate, query, enforced)
        },
    ))
}

/// For plio.stat_tenants: what was counted for this database's tenants; tenant 0 stands for no tenant.
#[pg_extern(volatile, parallel_restricted)]
#[allow(clippy::type_complexity, reason = "as above")]
pub(crate) fn _tenant_counters() -> TableIterator<
    'static,
    (name!(tenant_id, i64), name!(commits, i64), name!(rollbacks, i64), name!(denials, i64)),
> {
    or_raise(context::ensure_no_tenant("_tenant_counters"));
    let here = session::database_oid().to_u32();
    // A tenant that took its place twice at once has two.
    let mut sums: BTreeMap<i64, [u64; 3]> = BTreeMap::new();
    for one in super::counters().into_iter().flat_map(|counters| counters.all()) {
        let Counts { key: Some(key), commits, rollbacks, denials } = one else { continue };
        if key.database() == here {
            let sum = sums.entry(key.tenant()).or_default();
            sum.iter_mut().zip([commits, rollbacks, denials]).for_each(|(sum, count)| *sum += count);
        }
    }
    TableIterator::new(sums.into_iter().map(|(tenant, [commits, rollbacks, denials])| {
        (tenant, bigint(commits), bigint(rollbacks), bigint(denials))
    }))
}

/// For health(): denials that were not written to plio.denials_history for lack of room, every database's.
#[pg_extern(volatile, parallel_restricted)]
pub(crate) fn _denials_left_out() -> i64 {
    super::flush_state().map_or(0, |state| bigint(state.left_out()))
}

/// For health() and plio.metrics: the shared memory as a whole, every database's; no row when there is none.
#[pg_extern(volatile, parallel_restricted)]
#[allow(clippy::type_complexity, reason = "as above")]
pub(crate) fn _shared_totals() -> TableIterator<
    'static,
    (
        name!(ring_size, i32),
        name!(written, i64),
        name!(overwritten, i64),
        name!(oldest, Option<TimestampWithTimeZone>),
        name!(uncounted, i64),
    ),
> {
    let Some(counters) = super::counters() else { return TableIterator::empty() };
    let uncounted = counters.all().filter(|one| one.key.is_none());
    let uncounted: u64 = uncounted.map(|one| one.commits + one.rollbacks + one.denials).sum();
    let totals = super::ring().map(|ring| ring.totals());
    let oldest = super::ring().and_then(|ring| ring.entries().find_map(|kept| Denial::decode(&kept.entry)));
    TableIterator::once((
        i32::try_from(settings::ring_size()).unwrap_or(i32::MAX),
        bigint(totals.map_or(0, |totals| totals.written)),
        bigint(totals.map_or(0, |totals| totals.overwritten)),
        oldest.and_then(|denial| timestamp(denial.at)),
        bigint(uncounted),
    ))
}
