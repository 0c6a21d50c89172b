//! `plio.denials_history`: what the ring held, in a table of the database.

use crate::error::Result;
use crate::guc::monitoring as settings;
use crate::monitor;
use crate::pg::{catalog, session};
use crate::registry::{self, bug};
use pgrx::prelude::*;
use std::cell::Cell;

/// The schema and the name of the table.
pub const TABLE: (&str, &str) = ("plio", "denials_history");

/// Adds what is new, and says how much of it was added and how much was left out for lack of room. A flush by hand may run
/// beside the worker's, and the worker's begins where it must, not where it ended: the key says what is there already.
///
/// Room is $2 rows in all and $3 for a login role. All are an estimate, and a role's are counted only where the table is so
/// large that it may have its share, or the share so small that counting is quick.
const ADD: &str = "
    WITH size AS MATERIALIZED (
        SELECT GREATEST(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid)) AS rows
          FROM pg_class c WHERE c.oid = 'plio.denials_history'::regclass
    ),
    new AS MATERIALIZED (
        SELECT d.*, row_number() OVER (ORDER BY d.denial_id) AS nth,
               row_number() OVER (PARTITION BY d.login_role ORDER BY d.denial_id) AS nth_of_role
          FROM plio._kept_denials($1, true) d
         WHERE d.at IS NOT NULL
           AND NOT EXISTS (SELECT FROM plio.denials_history h WHERE h.at = d.at AND h.denial_id = d.denial_id)
    ),
    roles AS MATERIALIZED (
        SELECT n.login_role,
               CASE WHEN $3 > 10000 AND s.rows + (SELECT count(*) FROM new) < $3 THEN 0
                    WHEN n.login_role IS NULL
                    THEN (SELECT count(*) FROM (SELECT FROM plio.denials_history h WHERE h.login_role IS NULL LIMIT $3) h)
                    ELSE (SELECT count(*) FROM (SELECT FROM plio.denials_history h
                                                 WHERE h.login_role = n.login_role LIMIT $3) h) END AS rows
          FROM (SELECT DISTINCT login_role FROM new) n CROSS JOIN size s
    ),
    judged AS MATERIALIZED (
        SELECT n.*, n.nth <= $2 - s.rows AND n.nth_of_role <= $3 - r.rows AS has_room
          FROM new n JOIN roles r ON r.login_role IS NOT DISTINCT FROM n.login_role CROSS JOIN size s
    ),
    added AS (
        INSERT INTO plio.denials_history
               (at, denial_id, pid, session_id, login_role, org, kind, message, sqlstate, query_id, enforced, times, last_at)
        SELECT d.at, d.denial_id, d.pid, d.session_id, d.login_role, d.org, d.kind, d.message, d.sqlstate, d.query_id, d.enforced,
               d.times, d.last_at
          FROM judged d WHERE d.has_room ORDER BY d.denial_id
        ON CONFLICT DO NOTHING
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM added), (SELECT count(*) FROM judged WHERE NOT has_room)";
/// A login role's share of the table's rows is one in this many.
const SHARE: i64 = 4;
/// Takes out what is too old.
const PRUNE: &str = "DELETE FROM plio.denials_history WHERE at < now() - make_interval(mins => $1)";

thread_local! {
    static IS_PRUNING: Cell<bool> = const { Cell::new(false) };
}

/// Whether rows are being taken out because they are too old: nobody else may.
pub fn is_pruning() -> bool {
    IS_PRUNING.get()
}

/// Until it is dropped, rows may be taken out.
struct Pruning;

impl Pruning {
    fn begin() -> Self {
        IS_PRUNING.set(true);
        Self
    }
}

impl Drop for Pruning {
    fn drop(&mut self) {
        IS_PRUNING.set(false);
    }
}

/// The table's owner, where the extension is installed: whoever else made a table of that name is not asked.
pub fn owner() -> Option<pg_sys::Oid> {
    let extension = catalog::extension_oid(registry::EXTENSION)?;
    let table = catalog::relation_oid(TABLE.1, catalog::schema_oid(TABLE.0)?)?;
    catalog::relation_owner_in(table, extension)
}

/// Adds the ring's denials of this database, from an id on, and takes out what is older than
/// `plio.denials_history_retention`; how many were added.
///
/// # Errors
/// PostgreSQL's own, such as 25006 on a standby.
pub fn flush(first: i64) -> Result<u64> {
    let counts = Spi::connect_mut(|client| {
        let most = settings::history_rows();
        let share = (most / SHARE).max(1);
        client.update(ADD, Some(1), &[first.into(), most.into(), share.into()])?.first().get_two::<i64, i64>()
    });
    let (added, left_out) = counts.map_err(bug)?;
    if let (Some(state), Some(left_out)) = (monitor::flush_state(), left_out) {
        state.leave_out(u64::try_from(left_out).unwrap_or_default());
    }
    if let Some(minutes) = settings::history_retention() {
        let _pruning = Pruning::begin();
        Spi::run_with_args(PRUNE, &[minutes.into()]).map_err(bug)?;
    }
    Ok(u64::try_from(added.unwrap_or_default()).unwrap_or_default())
}

/// The same in a worker: as the table's owner, in whose name no foreign code can then run; `None` where the extension is
/// not installed.
///
/// # Errors
/// As [`flush`].
pub fn flush_as_owner(first: u64) -> Result<Option<u64>> {
    let Some(owner) = owner() else { return Ok(None) };
    let first = i64::try_from(first).unwrap_or(i64::MAX);
    session::as_restricted(owner, || flush(first)).map(Some)
}
