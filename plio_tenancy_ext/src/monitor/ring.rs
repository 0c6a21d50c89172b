//! A ring of fixed entries in shared words: many writers, many readers, no lock. Pure: no PostgreSQL.
//!
//! An entry's id counts up for ever. A slot's state says whose entry it holds: twice the id, plus 1 while it is being
//! written. A writer claims a slot by that word, and a reader looks at it before and after, so nobody ever sees half of one
//! entry and half of another. A writer that finds no slot to claim gives its entry up (counted): whoever stops in the middle
//! of a write holds up no one.
//!
//! Which entry is overwritten: an empty slot first; then the oldest entry of an owner that has more than its share (a
//! quarter of the ring, or as much as that with the new entry where others have entries, too); else the oldest of all. So
//! no owner washes away what others did. What happens again is counted in the entry that is there.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

/// Words of an entry.
pub const ENTRY_WORDS: usize = 48;
/// Words of the ring's head.
pub const HEAD_WORDS: usize = 4;
/// Words of a slot beside its entry: state, owner, times, last time.
pub const STATE_WORDS: usize = 4;

const SLOT_WORDS: usize = ENTRY_WORDS + STATE_WORDS;
/// How often a claimed slot is looked at before it is left alone.
const PATIENCE: u32 = 10_000;
/// How often a writer looks for a slot before its entry is given up.
const ATTEMPTS: u32 = 1_000;
/// How many slots a writer looks at: all of a ring up to this size, evenly spread ones of a larger one.
const LOOKED_AT: usize = 1_024;
/// An owner's share is one in so many.
const SHARE: u64 = 4;
/// The states of a slot that was never written, and of one that is claimed by a writer without an id as yet.
const EMPTY: u64 = 0;
const CLAIMED: u64 = 1;
/// In the word that counts: the entry was read for good, and what happens again needs a new one.
const SEALED: u64 = 1 << 31;

/// An entry's words.
pub type Entry = [u64; ENTRY_WORDS];

/// Who wrote an entry: the login role's oid. 0 stands for those whose owner is not known.
pub type Owner = u32;

/// Where an entry was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its id.
    pub id: u64,
    slot: usize,
}

/// An entry as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub id: u64,
    pub owner: Owner,
    /// How often it happened,
    pub times: u32,
    /// and when for the last time.
    pub last_at: i64,
    pub entry: Entry,
}

/// The ring over words that all who use it share.
#[derive(Clone, Copy)]
pub struct Ring<'a> {
    first: &'a AtomicU64,
    next: &'a AtomicU64,
    given_up: &'a AtomicU64,
    repeated: &'a AtomicU64,
    /// A word for each slot, all slots' beside each other, since a writer looks at many.
    states: &'a [AtomicU64],
    owners: &'a [AtomicU64],
    times: &'a [AtomicU64],
    last_at: &'a [AtomicU64],
    /// The entries, one behind the other.
    entries: &'a [AtomicU64],
}

/// How many denials there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Since the ring was made, those that were counted in another's entry included.
    pub written: u64,
    /// Entries that are no longer (or never were) in the ring.
    pub overwritten: u64,
}

/// The word that counts how often an entry's denial happened; it knows its entry, so that nobody counts in another one.
fn times_word(id: u64, times: u32) -> u64 {
    id << 32 | u64::from(times)
}

impl<'a> Ring<'a> {
    /// How many words a ring of so many entries takes.
    pub const fn words(entries: usize) -> usize {
        HEAD_WORDS + entries * SLOT_WORDS
    }

    /// The ring that lies in these words; `None` when there is not one slot.
    pub fn over(words: &'a [AtomicU64]) -> Option<Self> {
        let [first, next, given_up, repeated, slots @ ..] = words else { return None };
        let len = slots.len() / SLOT_WORDS;
        let (states, rest) = slots.split_at_checked(len)?;
        let (owners, rest) = rest.split_at_checked(len)?;
        let (times, rest) = rest.split_at_checked(len)?;
        let (last_at, entries) = rest.split_at_checked(len)?;
        (len > 0).then_some(Self { first, next, given_up, repeated, states, owners, times, last_at, entries })
    }

    /// Makes words that are all 0 a ring whose first entry gets that id. An id of a slot never written must not be 0.
    pub fn init(self, first: u64) {
        self.first.store(first.max(1), Relaxed);
        self.next.store(first.max(1), Relaxed);
    }

    fn len(self) -> usize {
        self.states.len()
    }

    fn words_of(self, slot: usize) -> &'a [AtomicU64] {
        self.entries.get(slot * ENTRY_WORDS..(slot + 1) * ENTRY_WORDS).unwrap_or_default()
    }

    /// Writes an entry of that owner; `None` when it was given up.
    pub fn push(self, entry: &Entry, owner: Owner, at: i64) -> Option<Place> {
        for _ in 0..ATTEMPTS {
            let Some((slot, seen)) = self.to_overwrite(owner) else {
                std::hint::spin_loop();
                continue;
            };
            let state = &self.states[slot];
            if state.compare_exchange(seen, CLAIMED, Acquire, Relaxed).is_ok() {
                // Whoever sees the new `next` sees the claim: see `first_unsettled`.
                let id = self.next.fetch_add(1, AcqRel);
                state.store(id * 2 + 1, Release);
                // The claim must be seen before any of the words.
                fence(Release);
                self.fill(slot, &Kept { id, owner, times: 1, last_at: at, entry: *entry });
                return Some(Place { id, slot });
            }
        }
        self.given_up.fetch_add(1, Relaxed);
        None
    }

    /// Writes a slot that is claimed.
    fn fill(self, slot: usize, kept: &Kept) {
        self.owners[slot].store(kept.owner.into(), Relaxed);
        self.times[slot].store(times_word(kept.id, kept.times), Relaxed);
        self.last_at[slot].store(kept.last_at as u64, Relaxed);
        self.words_of(slot).iter().zip(&kept.entry).for_each(|(word, value)| word.store(*value, Relaxed));
        self.states[slot].store(kept.id * 2, Release);
    }

    /// The slots that a writer looks at, the one that was empty longest first.
    fn looked_at(self) -> impl Iterator<Item = usize> + Clone {
        let len = self.len();
        let step = len.div_ceil(LOOKED_AT);
        let start = (self.next.load(Relaxed) % len as u64) as usize;
        (0..len.div_ceil(step)).map(move |index| (start + index * step) % len)
    }

    /// The slot for a new entry of that owner, and its state; `None` when others write all of them now.
    fn to_overwrite(self, owner: Owner) -> Option<(usize, u64)> {
        let slots = self.looked_at();
        let (mut hogs, mut oldest, mut written) = (Hogs::of(owner), None, 0);
        for slot in slots.clone() {
            let state = self.states[slot].load(Relaxed);
            if state == EMPTY {
                return Some((slot, state));
            }
            if state.is_multiple_of(2) {
                written += 1;
                oldest = older(oldest, (slot, state));
                hogs.see(self.owners[slot].load(Relaxed) as Owner);
            }
        }
        // Evenly spread ones may be full while others are not.
        let is_filling = self.next.load(Relaxed) - self.first.load(Relaxed) < self.len() as u64;
        if is_filling && let Some(slot) = self.states.iter().position(|state| state.load(Relaxed) == EMPTY) {
            return Some((slot, EMPTY));
        }
        for slot in slots {
            let state = self.states[slot].load(Relaxed);
            if state.is_multiple_of(2) {
                hogs.count(self.owners[slot].load(Relaxed) as Owner, (slot, state));
            }
        }
        hogs.oldest(owner, written).or(oldest)
    }

    /// Counts once more what was written there; false when that entry is overwritten or sealed.
    pub fn repeat(self, place: Place, at: i64) -> bool {
        let (Some(times), Some(last_at)) = (self.times.get(place.slot), self.last_at.get(place.slot)) else {
            return false;
        };
        let is_counted = times.fetch_update(AcqRel, Relaxed, |word| {
            let is_full = word & (SEALED - 1) == SEALED - 1;
            (word >> 32 == place.id & u64::from(u32::MAX) && word & SEALED == 0 && !is_full)
                .then_some(word + 1)
        });
        if is_counted.is_ok() {
            // Overwritten meanwhile, the other entry's time is this moment's, too.
            last_at.fetch_max(at as u64, Relaxed);
            self.repeated.fetch_add(1, Relaxed);
        }
        is_counted.is_ok()
    }

    /// A slot's state, once it is no longer being written, or after a while.
    fn settled(self, slot: usize) -> u64 {
        let state = &self.states[slot];
        for _ in 0..PATIENCE {
            let seen = state.load(Acquire);
            if seen.is_multiple_of(2) {
                return seen;
            }
            std::hint::spin_loop();
        }
        state.load(Acquire)
    }

    /// The entry of that id, if it is still in that slot, whole.
    fn read(self, id: u64, slot: usize) -> Option<Kept> {
        if self.states[slot].load(Acquire) != id * 2 {
            return None;
        }
        let mut entry = [0; ENTRY_WORDS];
        entry.iter_mut().zip(self.words_of(slot)).for_each(|(value, word)| *value = word.load(Relaxed));
        let owner = self.owners[slot].load(Relaxed) as Owner;
        let times = (self.times[slot].load(Relaxed) & (SEALED - 1)) as u32;
        let last_at = self.last_at[slot].load(Relaxed) as i64;
        // The words must be read before the state is looked at again.
        fence(Acquire);
        (self.states[slot].load(Relaxed) == id * 2).then_some(Kept { id, owner, times, last_at, entry })
    }

    /// What happens again needs a new entry from now on: this one is read for good.
    fn seal(self, id: u64, slot: usize) {
        let own = id & u64::from(u32::MAX);
        // Nothing to do when the entry is another's by now.
        let _ = self.times[slot]
            .fetch_update(AcqRel, Relaxed, |word| (word >> 32 == own).then_some(word | SEALED));
    }

    /// The id that the next entry gets.
    pub fn next(self) -> u64 {
        self.next.load(Acquire)
    }

    /// Whether half a ring was written with that entry, once more.
    pub fn completes_half(self, id: u64) -> bool {
        (id + 1).saturating_sub(self.first.load(Relaxed)).is_multiple_of(self.half())
    }

    /// How many entries half of the ring is.
    pub fn half(self) -> u64 {
        (self.len() as u64 / 2).max(1)
    }

    /// The ids that are there, from `first` on and in their order, with their slots.
    fn places_from(self, first: u64) -> Vec<(u64, usize)> {
        let states = (0..self.len()).map(|slot| (self.settled(slot), slot));
        let written = states.filter(|(state, _)| state % 2 == 0 && *state != EMPTY);
        let mut places: Vec<_> =
            written.map(|(state, slot)| (state / 2, slot)).filter(|(id, _)| *id >= first).collect();
        places.sort_unstable();
        places
    }

    /// The entries that are there, the oldest first, from an id on.
    pub fn entries_from(self, first: u64) -> impl Iterator<Item = Kept> + 'a {
        self.places_from(first).into_iter().filter_map(move |(id, slot)| self.read(id, slot))
    }

    /// The same; each is sealed before it is read, so it says the same whenever it is read again.
    pub fn sealed_from(self, first: u64) -> impl Iterator<Item = Kept> + 'a {
        self.places_from(first).into_iter().filter_map(move |(id, slot)| {
            self.seal(id, slot);
            self.read(id, slot)
        })
    }

    /// The entries that are there, the oldest first.
    pub fn entries(self) -> impl Iterator<Item = Kept> + 'a {
        self.entries_from(0)
    }

    /// The first id, from `first` on, whose writer may still be at it.
    pub fn first_unsettled(self, first: u64) -> u64 {
        let next = self.next();
        let being_written = (0..self.len()).map(|slot| self.settled(slot)).filter(|state| state % 2 == 1);
        being_written.map(|state| state / 2).filter(|id| *id >= first.max(1)).min().unwrap_or(next).min(next)
    }

    /// Fills a ring that was just made with older entries, in the order of their ids; new ones get higher ids.
    pub fn restore(self, entries: impl IntoIterator<Item = Kept>) {
        let mut first = None;
        for (index, kept) in entries.into_iter().enumerate() {
            self.fill(index % self.len(), &kept);
            self.first.store(*first.get_or_insert(kept.id), Relaxed);
            self.next.store(kept.id + 1, Release);
        }
    }

    /// How many denials there were.
    pub fn totals(self) -> Totals {
        let given_up = self.given_up.load(Relaxed);
        let entries = self.next.load(Relaxed).saturating_sub(self.first.load(Relaxed)) + given_up;
        let there = self.states.iter().filter(|state| state.load(Relaxed) != EMPTY).count() as u64;
        Totals { written: entries + self.repeated.load(Relaxed), overwritten: entries.saturating_sub(there) }
    }
}

type Seen = (usize, u64);

/// Of two slots the one with the older entry.
fn older(one: Option<Seen>, other: Seen) -> Option<Seen> {
    Some(one.filter(|one| one.1 <= other.1).unwrap_or(other))
}

/// Finds those who own more than their share, in two passes without a table of all owners: in the first the candidates
/// (Misra and Gries: whoever has more than one in `SHARE` is among them), in the second how much they have.
struct Hogs {
    candidates: [(Owner, u64); SHARE as usize - 1],
    /// The candidates, and the one who writes now: entries, and the oldest.
    found: [(Owner, u64, Option<Seen>); SHARE as usize],
    is_counting: bool,
}

impl Hogs {
    fn of(writer: Owner) -> Self {
        let mut found = [(0, 0, None); SHARE as usize];
        found[SHARE as usize - 1].0 = writer;
        Self { candidates: [(0, 0); SHARE as usize - 1], found, is_counting: false }
    }

    fn see(&mut self, owner: Owner) {
        let mut free = None;
        for (index, candidate) in self.candidates.iter_mut().enumerate() {
            if candidate.1 > 0 && candidate.0 == owner {
                candidate.1 += 1;
                return;
            }
            if candidate.1 == 0 {
                free = Some(index);
            }
        }
        match free {
            Some(index) => self.candidates[index] = (owner, 1),
            None => self.candidates.iter_mut().for_each(|candidate| candidate.1 -= 1),
        }
    }

    fn count(&mut self, owner: Owner, seen: Seen) {
        if !self.is_counting {
            self.is_counting = true;
            let writer = self.found[SHARE as usize - 1].0;
            for (found, candidate) in self.found.iter_mut().zip(self.candidates) {
                // The one who writes is counted once.
                *found = (if candidate.1 > 0 { candidate.0 } else { writer }, 0, None);
            }
        }
        if let Some(found) = self.found.iter_mut().find(|found| found.0 == owner) {
            found.1 += 1;
            found.2 = older(found.2, seen);
        }
    }

    /// The oldest entry of those who have more than their share of so many.
    fn oldest(&self, writer: Owner, written: u64) -> Option<Seen> {
        let has_too_many = |owner: Owner, entries: u64| {
            let with_new_one = u64::from(owner == writer && entries < written);
            (entries + with_new_one) * SHARE > written.max(SHARE)
        };
        let hogs = self.found.iter().filter(|found| has_too_many(found.0, found.1));
        hogs.filter_map(|found| found.2).reduce(|one, other| older(Some(one), other).unwrap_or(one))
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

    fn push(ring: Ring<'_>, owner: Owner, value: u64) -> Place {
        ring.push(&[value; ENTRY_WORDS], owner, value as i64).unwrap()
    }

    fn there(ring: Ring<'_>) -> Vec<(u64, u64)> {
        ring.entries().map(|kept| (kept.id, kept.entry[0])).collect()
    }

    fn owned(ring: Ring<'_>, owner: Owner) -> usize {
        ring.entries().filter(|kept| kept.owner == owner).count()
    }

    #[test]
    fn the_newest_entries_are_there_in_order() {
        let words = words(4);
        let ring = Ring::over(&words).unwrap();
        ring.init(100);
        assert_eq!(ring.entries().count(), 0);
        for value in 0..6 {
            assert_eq!(push(ring, 7, value).id, 100 + value);
        }
        assert_eq!(there(ring), [(102, 2), (103, 3), (104, 4), (105, 5)]);
        assert_eq!((100..106).filter(|id| ring.completes_half(*id)).collect::<Vec<_>>(), [101, 103, 105]);
        assert_eq!(ring.totals(), Totals { written: 6, overwritten: 2 });
    }

    // A flood before, between and after what others do: theirs stays; the flood has the rest of the ring.
    #[test]
    fn nobody_washes_away_what_others_did() {
        for entries in [8, 100, 1_024, 5_000] {
            let words = words(entries);
            let ring = Ring::over(&words).unwrap();
            ring.init(1);
            for value in 0..3 * entries as u64 {
                push(ring, 66, value);
            }
            assert_eq!(owned(ring, 66), entries);
            for owner in [1, 2] {
                push(ring, owner, 0);
                for value in 0..3 * entries as u64 {
                    push(ring, 66, value);
                }
            }
            assert_eq!((owned(ring, 1), owned(ring, 2), owned(ring, 66)), (1, 1, entries - 2), "{entries}");
        }
    }

    // Two floods push each other back, never a third one who has less than a quarter.
    #[test]
    fn who_has_more_than_a_quarter_gives_way() {
        let words = words(100);
        let ring = Ring::over(&words).unwrap();
        ring.init(1);
        for value in 0..1_000 {
            push(ring, 66, value);
            push(ring, 67, value);
            if value % 50 == 0 {
                push(ring, 1 + (value / 50) as Owner, value);
            }
        }
        assert!((1..=20).all(|owner| owned(ring, owner) == 1), "{:?}", there(ring));
        for value in 0..1_000 {
            push(ring, 3, value);
        }
        assert!((1..=20).all(|owner| owned(ring, owner) >= 1));
        assert!(owned(ring, 3) > 20 && owned(ring, 66) + owned(ring, 67) >= 20);
    }

    #[test]
    fn what_happens_again_is_counted_until_it_is_read_for_good() {
        let words = words(2);
        let ring = Ring::over(&words).unwrap();
        ring.init(u64::from(u32::MAX) + 5);
        let place = push(ring, 1, 10);
        assert!(ring.repeat(place, 12) && ring.repeat(place, 11));
        let counted = |kept: Kept| (kept.times, kept.last_at);
        assert_eq!(ring.entries().map(counted).collect::<Vec<_>>(), [(3, 12)]);
        assert_eq!(ring.sealed_from(place.id).map(counted).collect::<Vec<_>>(), [(3, 12)]);
        assert!(!ring.repeat(place, 13));
        assert_eq!(ring.entries().map(counted).collect::<Vec<_>>(), [(3, 12)]);
        assert_eq!(ring.totals(), Totals { written: 3, overwritten: 0 });
        let other = push(ring, 1, 20);
        push(ring, 1, 30);
        assert!(!ring.repeat(place, 31));
        assert!(ring.repeat(other, 31));
        assert_eq!(ring.totals(), Totals { written: 6, overwritten: 1 });
    }

    #[test]
    fn an_entry_that_is_being_written_is_not_settled() {
        let words = words(4);
        let ring = Ring::over(&words).unwrap();
        ring.init(100);
        assert_eq!(ring.first_unsettled(0), 100);
        for value in 0..3 {
            push(ring, 1, value);
        }
        assert_eq!(ring.first_unsettled(0), 103);
        let slot = ring.places_from(0)[1].1;
        ring.states[slot].store(101 * 2 + 1, Relaxed);
        assert_eq!((ring.first_unsettled(0), ring.first_unsettled(102)), (101, 103));
        assert_eq!(ring.entries_from(101).map(|kept| kept.id).collect::<Vec<_>>(), [102]);
        // Overwritten meanwhile: nobody waits for it any more.
        ring.states[slot].store(105 * 2, Relaxed);
        assert_eq!(ring.first_unsettled(0), 103);
    }

    #[test]
    fn a_restored_ring_goes_on_where_the_other_ended() {
        let words = words(2);
        let ring = Ring::over(&words).unwrap();
        ring.init(1_000_000);
        ring.restore((7..10).map(|id| Kept { id, owner: 1, times: 2, last_at: 3, entry: [id; ENTRY_WORDS] }));
        assert_eq!(there(ring), [(8, 8), (9, 9)]);
        assert!(ring.entries().all(|kept| (kept.owner, kept.times, kept.last_at) == (1, 2, 3)));
        assert_eq!(push(ring, 1, 0).id, 10);
        ring.restore([]);
        assert_eq!(ring.next(), 11);
    }

    #[test]
    fn words_for_no_slot_are_no_ring() {
        assert!(Ring::over(&words(0)).is_none());
        assert!(Ring::over(&[]).is_none());
    }

    // A writer that died in the middle: its entry is not seen, and others go on in the other slots. PostgreSQL makes the
    // memory anew after such a death.
    #[test]
    fn a_writer_that_stops_in_the_middle_holds_up_no_one() {
        let words = words(2);
        let ring = Ring::over(&words).unwrap();
        ring.init(10);
        let slot = push(ring, 1, 1).slot;
        ring.states[slot].store(10 * 2 + 1, Relaxed);
        for value in 2..=5 {
            push(ring, 1, value);
        }
        assert_eq!(there(ring), [(14, 5)]);
        ring.states[1 - slot].store(CLAIMED, Relaxed);
        assert!(ring.push(&[6; ENTRY_WORDS], 1, 6).is_none());
        assert_eq!(ring.totals(), Totals { written: 6, overwritten: 4 });
    }

    // Eight writers in a small ring, a reader all the while: no entry is ever half of one and half of another.
    #[test]
    fn no_entry_is_torn() {
        let words = words(16);
        let ring = Ring::over(&words).unwrap();
        ring.init(1);
        let done = AtomicBool::new(false);
        let (written, read) = thread::scope(|scope| {
            let writers: Vec<_> = (0..8_u64)
                .map(|writer| {
                    scope.spawn(move || {
                        for n in 0..5_000_u64 {
                            let entry = [writer << 32 | n; ENTRY_WORDS];
                            let place = ring.push(&entry, writer as Owner, entry[0] as i64);
                            if let Some(place) = place {
                                ring.repeat(place, entry[0] as i64);
                            }
                        }
                        10_000
                    })
                })
                .collect();
            let reader = scope.spawn(|| {
                let mut read = 0;
                loop {
                    let is_last = done.load(Relaxed);
                    let mut last = 0;
                    for Kept { id, owner, times, entry, .. } in ring.entries() {
                        assert!(entry.iter().all(|word| *word == entry[0]), "torn: {entry:?}");
                        assert!(u64::from(owner) == entry[0] >> 32 && (1..=2).contains(&times));
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
        // What was overwritten before it could be counted again is missing.
        let totals = ring.totals();
        assert!(totals.written > written / 2 && totals.written <= written, "{totals:?}");
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
                        push(ring, writer as Owner, writer * 500 + n);
                    }
                });
            }
        });
        let mut there: Vec<u64> = ring.entries().map(|kept| kept.entry[0]).collect();
        there.sort_unstable();
        assert_eq!(there, (0..8 * 500).collect::<Vec<u64>>());
        assert_eq!(ring.totals(), Totals { written: 4_000, overwritten: 0 });
    }
}
