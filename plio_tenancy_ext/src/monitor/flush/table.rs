//! `plio.denials_history`: what the ring held, in a table of the database.

use crate::error::Result;
use crate::guc::monitoring as settings;
use crate::pg::{catalog, session};
use crate::registry::{self, bug};
use pgrx::prelude::*;
use std::cell::Cell;

/// The schema and the name of the table.
pub const TABLE: (&str, &str) = ("plio", "denials_history");

/// Adds what is new. A flush by hand may run beside the worker's, and the worker's begins where it must, not where it
/// ended: the key says what is there already. Room is an estimate, so that nobody counts a million rows each time.
const ADD: &str = "
    INSERT INTO plio.denials_history
           (at, denial_id, pid, session_id, login_role, org, kind, message, sqlstate, query_id, enforced)
    SELECT d.at, d.denial_id, d.pid, d.session_id, d.login_role, d.org, d.kind, d.message, d.sqlstate, d.query_id, d.enforced
      FROM plio._denials($1) d
     WHERE d.at IS NOT NULL
     ORDER BY d.denial_id
     LIMIT GREATEST(0, $2 - (SELECT GREATEST(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid))
                               FROM pg_class c WHERE c.oid = 'plio.denials_history'::regclass))
    ON CONFLICT DO NOTHING";
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
    let added = Spi::connect_mut(|client| {
        let most = settings::history_rows();
        client.update(ADD, None, &[first.into(), most.into()]).map(|rows| rows.len())
    });
    let added = added.map_err(bug)?;
    if let Some(minutes) = settings::history_retention() {
        let _pruning = Pruning::begin();
        Spi::run_with_args(PRUNE, &[minutes.into()]).map_err(bug)?;
    }
    Ok(added as u64)
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
