//! Autovacuum: whether this process is one of its, and what it is at.

use pgrx::pg_sys;

/// Whether this process is one of autovacuum's.
#[inline]
pub fn is_running() -> bool {
    // SAFETY: reads a global that is set when the process starts.
    unsafe { pg_sys::MyBackendType == pg_sys::BackendType::B_AUTOVAC_WORKER }
}

/// The table that VACUUM or ANALYZE is at in this process, as `pg_stat_progress_*` shows it; `None` where `track_activities`
/// is off, or none is.
pub fn table() -> Option<pg_sys::Oid> {
    use pg_sys::ProgressCommandType::{PROGRESS_COMMAND_ANALYZE, PROGRESS_COMMAND_VACUUM};
    // SAFETY: the process's own entry, which nobody else writes; NULL before there is one.
    unsafe {
        let own = pg_sys::MyBEEntry;
        let is_at_work = !own.is_null()
            && matches!((*own).st_progress_command, PROGRESS_COMMAND_ANALYZE | PROGRESS_COMMAND_VACUUM);
        is_at_work.then(|| (*own).st_progress_command_target).filter(|table| *table != pg_sys::InvalidOid)
    }
}
