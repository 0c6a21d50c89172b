//! What the flush says of itself, in shared words that health() and the metrics read. Pure: no PostgreSQL.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Words of the state.
pub const WORDS: usize = 7;

/// The state over words that all who use it share.
#[derive(Clone, Copy)]
pub struct State<'a> {
    launcher: &'a AtomicU64,
    finished: &'a AtomicU64,
    last_success: &'a AtomicU64,
    failing: &'a AtomicU64,
    rows: &'a AtomicU64,
    lost: &'a AtomicU64,
    left_out: &'a AtomicU64,
}

impl<'a> State<'a> {
    /// The state in these words; `None` when there are not as many.
    pub fn over(words: &'a [AtomicU64]) -> Option<Self> {
        let [launcher, finished, last_success, failing, rows, lost, left_out] = words else { return None };
        Some(Self { launcher, finished, last_success, failing, rows, lost, left_out })
    }

    /// The launcher's process; `None` when it has not started yet. It may be gone.
    pub fn launcher(self) -> Option<i32> {
        i32::try_from(self.launcher.load(Relaxed)).ok().filter(|pid| *pid != 0)
    }

    /// This process is the launcher.
    pub fn set_launcher(self, pid: i32) {
        self.launcher.store(u64::try_from(pid).unwrap_or_default(), Relaxed);
    }

    /// A worker has committed what the launcher gave that number.
    pub fn finish(self, ticket: u64, rows: u64) {
        self.rows.fetch_add(rows, Relaxed);
        self.finished.store(ticket, Relaxed);
    }

    /// Whether that was the last to be committed.
    pub fn has_finished(self, ticket: u64) -> bool {
        self.finished.load(Relaxed) == ticket
    }

    /// A database was flushed, at that time, as a `timestamptz` holds it.
    pub fn succeed(self, at: i64) {
        self.last_success.store(at as u64, Relaxed);
    }

    /// So many databases could not be flushed when that was last tried.
    pub fn set_failing(self, databases: u64) {
        self.failing.store(databases, Relaxed);
    }

    /// Denials were overwritten before they were flushed.
    pub fn lose(self, denials: u64) {
        self.lost.fetch_add(denials, Relaxed);
    }

    /// Denials were not written, since the table, or a login role's share of it, is full.
    pub fn leave_out(self, denials: u64) {
        self.left_out.fetch_add(denials, Relaxed);
    }

    /// Denials that were not written for lack of room.
    pub fn left_out(self) -> u64 {
        self.left_out.load(Relaxed)
    }

    /// When a database was last flushed.
    pub fn last_success(self) -> Option<i64> {
        let at = self.last_success.load(Relaxed) as i64;
        (at != 0).then_some(at)
    }

    /// Databases that could not be flushed when that was last tried.
    pub fn failing(self) -> u64 {
        self.failing.load(Relaxed)
    }

    /// Rows written since the server started.
    pub fn rows(self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// Denials overwritten unflushed since then.
    pub fn lost(self) -> u64 {
        self.lost.load(Relaxed)
    }
}
