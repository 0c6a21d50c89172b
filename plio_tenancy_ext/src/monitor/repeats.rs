//! What this session was refused lately, and where it is in the ring: the same refusal again is counted there.
//!
//! The same: of the same kind, in the same tenant, with the same message and query id. So a loop that runs into a refusal
//! takes one entry of the ring a minute, whatever it does.

#![forbid(unsafe_code)]

use super::ring::{Entry, Place, Ring};
use std::cell::RefCell;
use std::collections::VecDeque;

/// So many different refusals are remembered.
const MOST: usize = 8;
/// For so long after the first of them, in microseconds, a refusal is counted where that one is.
const WITHIN: i64 = 60_000_000;

thread_local! {
    static RECENT: RefCell<VecDeque<Recent>> = const { RefCell::new(VecDeque::new()) };
}

struct Recent {
    entry: Entry,
    place: Place,
}

impl Recent {
    /// Word 0 is the time, as `Denial::encode` writes it.
    fn at(&self) -> i64 {
        self.entry[0] as i64
    }

    fn is_same(&self, entry: &Entry) -> bool {
        self.entry[1..] == entry[1..] && (0..WITHIN).contains(&(entry[0] as i64).wrapping_sub(self.at()))
    }
}

/// Counts the refusal in the entry of the same one; its id, if there is such an entry.
pub fn count(ring: Ring<'_>, entry: &Entry) -> Option<u64> {
    RECENT.with_borrow_mut(|recent| {
        let index = recent.iter().position(|one| one.is_same(entry))?;
        let place = recent[index].place;
        if ring.repeat(place, entry[0] as i64) {
            return Some(place.id);
        }
        // It was overwritten, or is in the history by now.
        recent.remove(index);
        None
    })
}

/// Remembers where a refusal is.
pub fn remember(entry: &Entry, place: Place) {
    RECENT.with_borrow_mut(|recent| {
        recent.truncate(MOST - 1);
        recent.push_front(Recent { entry: *entry, place });
    });
}

#[cfg(test)]
mod tests {
    use super::super::ring::ENTRY_WORDS;
    use super::*;
    use std::sync::atomic::AtomicU64;

    fn entry(at: i64, what: u64) -> Entry {
        let mut entry = [what; ENTRY_WORDS];
        entry[0] = at as u64;
        entry
    }

    fn keep(ring: Ring<'_>, entry: &Entry) -> u64 {
        count(ring, entry).unwrap_or_else(|| {
            let place = ring.push(entry, 1, entry[0] as i64).unwrap();
            remember(entry, place);
            place.id
        })
    }

    #[test]
    fn the_same_within_a_minute_is_counted_in_one_entry() {
        let words: Vec<AtomicU64> = (0..Ring::words(64)).map(|_| AtomicU64::new(0)).collect();
        let ring = Ring::over(&words).unwrap();
        ring.init(1);
        assert_eq!([keep(ring, &entry(0, 5)), keep(ring, &entry(7, 5)), keep(ring, &entry(9, 6))], [1, 1, 2]);
        assert_eq!(keep(ring, &entry(WITHIN - 1, 5)), 1);
        assert_eq!(keep(ring, &entry(WITHIN, 5)), 3);
        // Read for good: what happens again has an entry of its own.
        assert_eq!(ring.sealed_from(0).map(|kept| kept.times).collect::<Vec<_>>(), [3, 1, 1]);
        assert_eq!(keep(ring, &entry(WITHIN + 1, 5)), 4);
        // Too many different ones in between.
        (100..110).for_each(|what| {
            keep(ring, &entry(WITHIN + 2, what));
        });
        assert_eq!(keep(ring, &entry(WITHIN + 3, 5)), 15);
    }
}
