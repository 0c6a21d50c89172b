//! A ring of fixed entries in shared words: many writers, many readers, no lock. Pure: no PostgreSQL.
//!
//! An entry's id counts up for ever; it lies in the slot of that number. A slot's first word says whose entry it holds:
//! twice the id, plus 1 while it is being written. A writer claims the slot by that word and a reader looks at it before
//! and after, so nobody ever sees half of one entry and half of another. A writer that finds its slot claimed waits
//! for a moment and then gives its entry up (counted): whoever stops in the middle of a write holds up no one.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

/// Words of an entry.
pub const ENTRY_WORDS: usize = 48;
/// Words of the ring's head.
pub const HEAD_WORDS: usize = 3;

const SLOT_WORDS: usize = ENTRY_WORDS + 1;
/// How often a claimed slot is looked at before an entry is given up.
const PATIENCE: u32 = 10_000;

/// An entry's words.
pub type Entry = [u64; ENTRY_WORDS];

/// The ring over words that all who use it share.
#[derive(Clone, Copy)]
pub struct Ring<'a> {
    first: &'a AtomicU64,
    next: &'a AtomicU64,
    given_up: &'a AtomicU64,
    slots: &'a [AtomicU64],
}

/// How many entries there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Since the ring was made.
    pub written: u64,
    /// Of these, no longer (or never) in the ring.
    pub overwritten: u64,
}

impl<'a> Ring<'a> {
    /// How many words a ring of so many entries takes.
    pub const fn words(entries: usize) -> usize {
        HEAD_WORDS + entries * SLOT_WORDS
    }

    /// The ring that lies in these words; `None` when there is not one slot.
    pub fn over(words: &'a [AtomicU64]) -> Option<Self> {
        let [first, next, given_up, slots @ ..] = words else { return None };
        (slots.len() >= SLOT_WORDS).then_some(Self { first, next, given_up, slots })
    }

    /// Makes words that are all 0 a ring whose first entry gets that id. An id of a slot never written must not be 0.
    pub fn init(self, first: u64) {
        self.first.store(first.max(1), Relaxed);
        self.next.store(first.max(1), Relaxed);
    }

    fn len(self) -> u64 {
        (self.slots.len() / SLOT_WORDS) as u64
    }

    /// The slot of an entry: its state, and the entry's words.
    fn slot(self, id: u64) -> Option<(&'a AtomicU64, &'a [AtomicU64])> {
        let start = (id % self.len()) as usize * SLOT_WORDS;
        self.slots.get(start..start + SLOT_WORDS)?.split_first()
    }

    /// Writes an entry over the oldest one, and gives its id back.
    pub fn push(self, entry: &Entry) -> u64 {
        let id = self.next.fetch_add(1, Relaxed);
        let Some((state, words)) = self.slot(id) else { return id };
        for _ in 0..PATIENCE {
            let seen = state.load(Relaxed);
            if seen / 2 > id {
                // Others went round the whole ring meanwhile: the entry would be overwritten by now.
                return id;
            }
            if seen % 2 == 1 {
                std::hint::spin_loop();
            } else if state.compare_exchange(seen, id * 2 + 1, Acquire, Relaxed).is_ok() {
                // The claim must be seen before any of the words.
                fence(Release);
                words.iter().zip(entry).for_each(|(word, value)| word.store(*value, Relaxed));
                state.store(id * 2, Release);
                return id;
            }
        }
        self.given_up.fetch_add(1, Relaxed);
        id
    }

    /// The entry of that id, if it is there, whole.
    fn read(self, id: u64) -> Option<Entry> {
        let (state, words) = self.slot(id)?;
        for _ in 0..PATIENCE {
            let seen = state.load(Acquire);
            if seen == id * 2 {
                let mut entry = [0; ENTRY_WORDS];
                entry.iter_mut().zip(words).for_each(|(value, word)| *value = word.load(Relaxed));
                // The words must be read before the state is looked at again.
                fence(Acquire);
                return (state.load(Relaxed) == seen).then_some(entry);
            }
            if seen / 2 > id {
                return None;
            }
            // Its writer is at it.
            std::hint::spin_loop();
        }
        None
    }

    /// The id that the next entry gets.
    pub fn next(self) -> u64 {
        self.next.load(Acquire)
    }

    /// How many ids half of the ring is: who writes a multiple of it may tell others that they have half a ring to read.
    pub fn half(self) -> u64 {
        (self.len() / 2).max(1)
    }

    /// The oldest id that may be there, from `first` on.
    pub fn oldest_from(self, first: u64) -> u64 {
        self.next().saturating_sub(self.len()).max(self.first.load(Relaxed)).max(first)
    }

    /// The entries that are there, the oldest first, with their ids, from an id on.
    pub fn entries_from(self, first: u64) -> impl Iterator<Item = (u64, Entry)> + 'a {
        let next = self.next();
        (self.oldest_from(first)..next).filter_map(move |id| Some((id, self.read(id)?)))
    }

    /// The entries that are there, the oldest first, with their ids.
    pub fn entries(self) -> impl Iterator<Item = (u64, Entry)> + 'a {
        self.entries_from(0)
    }

    /// Whether no reader will ever see more of that entry than now: it is written, or overwritten.
    fn is_settled(self, id: u64) -> bool {
        self.slot(id).is_none_or(|(state, _)| {
            let seen = state.load(Acquire);
            seen == id * 2 || seen / 2 > id
        })
    }

    /// The first id, from `first` on, whose writer may still be at it.
    pub fn first_unsettled(self, first: u64) -> u64 {
        let next = self.next();
        (self.oldest_from(first)..next).find(|id| !self.is_settled(*id)).unwrap_or(next)
    }

    /// Fills a ring that was just made with older entries, in the order of their ids; new ones get higher ids.
    pub fn restore(self, entries: impl IntoIterator<Item = (u64, Entry)>) {
        let mut first = None;
        for (id, entry) in entries {
            let Some((state, words)) = self.slot(id) else { return };
            words.iter().zip(&entry).for_each(|(word, value)| word.store(*value, Relaxed));
            state.store(id * 2, Release);
            self.first.store(*first.get_or_insert(id), Relaxed);
            self.next.store(id + 1, Release);
        }
    }

    /// How many entries there were.
    pub fn totals(self) -> Totals {
        let written = self.next.load(Relaxed).saturating_sub(self.first.load(Relaxed));
        let gone = written.saturating_sub(self.len()) + self.given_up.load(Relaxed);
        Totals { written, overwritten: gone.min(written) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    fn words(entries: usize) -> Vec<AtomicU64> {
        (0..Ring::words(entries)).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn the_newest_entries_are_there_in_order() {
        let words = words(4);
        let ring = Ring::over(&words).unwrap();
        ring.init(100);
        assert_eq!(ring.entries().count(), 0);
        for value in 0..6 {
            assert_eq!(ring.push(&[value; ENTRY_WORDS]), 100 + value);
        }
        let there: Vec<(u64, u64)> = ring.entries().map(|(id, entry)| (id, entry[0])).collect();
        assert_eq!(there, [(102, 2), (103, 3), (104, 4), (105, 5)]);
        assert_eq!(ring.totals(), Totals { written: 6, overwritten: 2 });
    }

    #[test]
    fn an_entry_that_is_being_written_is_not_settled() {
        let words = words(4);
        let ring = Ring::over(&words).unwrap();
        ring.init(100);
        assert_eq!(ring.first_unsettled(0), 100);
        for value in 0..3 {
            ring.push(&[value; ENTRY_WORDS]);
        }
        assert_eq!(ring.first_unsettled(0), 103);
        let (state, _) = ring.slot(101).unwrap();
        state.store(101 * 2 + 1, Relaxed);
        assert_eq!((ring.first_unsettled(0), ring.first_unsettled(102)), (101, 103));
        assert_eq!(ring.entries_from(101).map(|(id, _)| id).collect::<Vec<_>>(), [102]);
        // Overwritten meanwhile: nobody waits for it any more.
        state.store(105 * 2, Relaxed);
        assert_eq!(ring.first_unsettled(0), 103);
    }

    #[test]
    fn a_restored_ring_goes_on_where_the_other_ended() {
        let words = words(2);
        let ring = Ring::over(&words).unwrap();
        ring.init(1_000_000);
        ring.restore((7..10).map(|id| (id, [id; ENTRY_WORDS])));
        assert_eq!(ring.entries().map(|(id, entry)| (id, entry[0])).collect::<Vec<_>>(), [(8, 8), (9, 9)]);
        assert_eq!(ring.push(&[0; ENTRY_WORDS]), 10);
        ring.restore([]);
        assert_eq!(ring.next(), 11);
    }

    #[test]
    fn words_for_no_slot_are_no_ring() {
        assert!(Ring::over(&words(0)).is_none());
        assert!(Ring::over(&[]).is_none());
    }

    // A writer that died in the middle: its entry is not seen, others go on, and the next round takes its slot... never,
    // since nobody knows that it is dead; PostgreSQL makes the memory anew after such a death.
    #[test]
    fn a_writer_that_stops_in_the_middle_holds_up_no_one() {
        let words = words(2);
        let ring = Ring::over(&words).unwrap();
        ring.init(10);
        ring.push(&[1; ENTRY_WORDS]);
        words[HEAD_WORDS].store(10 * 2 + 1, Relaxed);
        for value in 2..=5 {
            ring.push(&[value; ENTRY_WORDS]);
        }
        let there: Vec<u64> = ring.entries().map(|(_, entry)| entry[0]).collect();
        assert_eq!(there, [4]);
        assert_eq!(ring.totals(), Totals { written: 5, overwritten: 5 });
    }

    // Eight writers in a small ring, a reader all the while: no entry is ever half of one and half of another.
    #[test]
    fn no_entry_is_torn() {
        let words = words(8);
        let ring = Ring::over(&words).unwrap();
        ring.init(1);
        let done = AtomicBool::new(false);
        let (written, read) = thread::scope(|scope| {
            let writers: Vec<_> = (0..8_u64)
                .map(|writer| {
                    scope.spawn(move || {
                        for n in 0..5_000_u64 {
                            ring.push(&[writer << 32 | n; ENTRY_WORDS]);
                        }
                        5_000
                    })
                })
                .collect();
            let reader = scope.spawn(|| {
                let mut read = 0;
                loop {
                    let is_last = done.load(Relaxed);
                    let mut last = 0;
                    for (id, entry) in ring.entries() {
                        assert!(entry.iter().all(|word| *word == entry[0]), "torn: {entry:?}");
                        assert!(id > last);
                        last = id;
                        read += 1;
                    }
                    if is_last {
                        return read;
                    }
                }
            });
            let written: u64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
            done.store(true, Relaxed);
            (written, reader.join().unwrap())
        });
        assert_eq!(ring.totals().written, written);
        assert!(read > 0);
    }

    // A ring that is large enough loses nothing.
    #[test]
    fn nothing_is_lost_where_there_is_room() {
        let words = words(8 * 500);
        let ring = Ring::over(&words).unwrap();
        ring.init(7);
        thread::scope(|scope| {
            for writer in 0..8_u64 {
                scope.spawn(move || {
                    for n in 0..500_u64 {
                        ring.push(&[writer * 500 + n; ENTRY_WORDS]);
                    }
                });
            }
        });
        let mut there: Vec<u64> = ring.entries().map(|(_, entry)| entry[0]).collect();
        there.sort_unstable();
        assert_eq!(there, (0..8 * 500).collect::<Vec<u64>>());
        assert_eq!(ring.totals(), Totals { written: 4_000, overwritten: 0 });
    }
}
