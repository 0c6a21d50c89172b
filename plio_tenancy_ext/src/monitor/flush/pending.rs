//! Which databases have denials that are not in their tables yet: the launcher's own memory. Pure: no PostgreSQL.
//!
//! Times are microseconds of any clock. Nothing has to survive the launcher: a flush from an id on that was flushed
//! before adds nothing twice.

use std::collections::BTreeMap;

/// After a failure a database is tried again after so long, twice as long each time,
const FIRST_DELAY: i64 = 2_000_000;
/// but never longer.
const LONGEST_DELAY: i64 = 600_000_000;

/// A database's share of what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    /// The first of its denials that may not be in the table.
    from: u64,
    /// Not before that time.
    not_before: i64,
    /// How long it waits after the next failure.
    delay: i64,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Pending {
    /// Denials below this id are in their tables, or in a share.
    scanned: u64,
    /// The ring's next id when it was looked at last: who has not written an entry below it by now never will.
    last_next: u64,
    shares: BTreeMap<u32, Share>,
}

/// The ring, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The first id whose writer may still be at it.
    pub first_unsettled: u64,
    /// The id that the next entry gets.
    pub next: u64,
}

impl Pending {
    /// Where to look from.
    pub fn scanned(&self) -> u64 {
        self.scanned
    }

    /// Takes in the ring's entries from [`Pending::scanned`] on, each with its database, 0 for none. How many were
    /// overwritten before anybody looked: at the first look nobody knows, and none were.
    pub fn take_in(&mut self, view: View, entries: impl IntoIterator<Item = (u64, u32)>) -> u64 {
        let is_first = self.last_next == 0;
        let before = self.scanned;
        self.scanned = view.first_unsettled.max(self.last_next).max(before);
        self.last_next = view.next;
        let mut lost = self.scanned - before;
        for (id, database) in entries {
            if id >= before && id < self.scanned {
                lost = lost.saturating_sub(1);
            }
            if database != 0 {
                let share = Share { from: id, not_before: 0, delay: FIRST_DELAY };
                self.shares.entry(database).or_insert(share);
            }
        }
        if is_first { 0 } else { lost }
    }

    /// A database is to be visited although it has no denials.
    pub fn visit(&mut self, database: u32) {
        let share = Share { from: self.scanned, not_before: 0, delay: FIRST_DELAY };
        self.shares.entry(database).or_insert(share);
    }

    /// The databases whose time has come, with the ids from which to flush.
    pub fn due(&self, now: i64) -> Vec<(u32, u64)> {
        let due = self.shares.iter().filter(|(_, share)| share.not_before <= now);
        due.map(|(database, share)| (*database, share.from)).collect()
    }

    /// A database is up to date, or gone.
    pub fn done(&mut self, database: u32) {
        self.shares.remove(&database);
    }

    /// A database could not be flushed.
    pub fn failed(&mut self, database: u32, now: i64) {
        if let Some(share) = self.shares.get_mut(&database) {
            share.not_before = now.saturating_add(share.delay);
            share.delay = (share.delay * 2).min(LONGEST_DELAY);
        }
    }

    /// How many databases wait after a failure.
    pub fn failing(&self) -> u64 {
        self.shares.values().filter(|share| share.delay > FIRST_DELAY).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(first_unsettled: u64, next: u64) -> View {
        View { first_unsettled, next }
    }

    #[test]
    fn each_database_is_flushed_from_its_first_new_denial_on() {
        let mut pending = Pending::default();
        assert_eq!(pending.take_in(view(104, 104), [(100, 5), (101, 7), (102, 5), (103, 7)]), 0);
        assert_eq!(pending.due(0), [(5, 100), (7, 101)]);
        pending.done(5);
        assert_eq!(pending.scanned(), 104);
        assert_eq!(pending.take_in(view(105, 105), [(104, 5)]), 0);
        assert_eq!(pending.due(0), [(5, 104), (7, 101)]);
    }

    #[test]
    fn an_entry_that_is_being_written_is_waited_for_once() {
        let mut pending = Pending::default();
        pending.take_in(view(3, 5), [(1, 9), (2, 9), (4, 9)]);
        assert_eq!(pending.scanned(), 3);
        pending.done(9);
        // Still not written: its writer is stopped, or gave it up.
        pending.take_in(view(3, 6), [(4, 9), (5, 9)]);
        assert_eq!((pending.scanned(), pending.due(0)), (5, vec![(9, 4)]));
        pending.take_in(view(3, 6), []);
        assert_eq!(pending.scanned(), 6);
    }

    #[test]
    fn what_was_overwritten_unseen_is_counted() {
        let mut pending = Pending::default();
        assert_eq!(pending.take_in(view(60, 60), []), 0);
        assert_eq!(pending.take_in(view(70, 70), [(64, 1), (66, 0), (69, 1)]), 7);
        assert_eq!(pending.take_in(view(70, 70), []), 0);
        // Still being written, and seen when it is.
        assert_eq!(pending.take_in(view(71, 73), [(70, 1), (72, 1)]), 0);
        assert_eq!(pending.take_in(view(73, 73), [(71, 1), (72, 1)]), 0);
    }

    #[test]
    fn a_failure_is_tried_again_later_and_later() {
        let mut pending = Pending::default();
        pending.take_in(view(2, 2), [(1, 3)]);
        assert_eq!(pending.failing(), 0);
        pending.failed(3, 0);
        assert_eq!(pending.failing(), 1);
        assert_eq!(pending.due(FIRST_DELAY - 1), []);
        assert_eq!(pending.due(FIRST_DELAY), [(3, 1)]);
        for _ in 0..80 {
            pending.failed(3, 0);
        }
        assert_eq!(pending.due(LONGEST_DELAY - 1), []);
        assert_eq!(pending.due(LONGEST_DELAY), [(3, 1)]);
        pending.failed(4, 0);
        pending.done(3);
        assert_eq!((pending.due(i64::MAX), pending.failing()), (vec![], 0));
    }

    #[test]
    fn a_visit_does_not_take_a_share_away() {
        let mut pending = Pending::default();
        pending.take_in(view(2, 2), [(1, 3)]);
        pending.visit(3);
        pending.visit(4);
        assert_eq!(pending.due(0), [(3, 1), (4, 2)]);
    }
}
