//! Counters for each tenant in shared words: found by hash, without a lock. Pure: no PostgreSQL.
//!
//! A tenant's key is taken with one atomic exchange; from then on counting is one atomic addition. Who finds no place
//! near the one that the hash names is counted with the rest. A tenant that is gone gives its place back: its key becomes
//! a gap, which the next one fills. Nobody counts for it by then: its transactions have ended before it could be dropped, and
//! whoever remembers the place looks whose it is.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// How often places were given back, and how often there was a reason to.
const HEAD_WORDS: usize = 2;
const SLOT_WORDS: usize = 4;
/// The slot for whoever finds no place in the table comes first.
const REST: usize = 0;
/// So many slots are looked at for one tenant.
const MOST_LOOKS: usize = 64;
/// The key of a slot that was given back. No tenant has it: no database has that oid.
const GAP: u64 = u64::MAX;

/// A tenant of a database; or, with tenant 0, those of the database's sessions that have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u64);

impl Key {
    /// The key; `None` for a tenant whose number does not fit, which is counted with the rest.
    pub fn new(database: u32, tenant: i64) -> Option<Self> {
        let tenant = u32::try_from(tenant).ok()?;
        (database != 0).then_some(Self(u64::from(database) << 32 | u64::from(tenant)))
    }

    /// The database.
    pub fn database(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The tenant.
    pub fn tenant(self) -> i64 {
        (self.0 & u64::from(u32::MAX)) as i64
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Transactions that were committed.
    Commit = 1,
    /// Transactions that were rolled back.
    Rollback = 2,
    /// Refusals.
    Denial = 3,
}

/// A tenant's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Whose they are; `None` for the rest.
    pub key: Option<Key>,
    pub commits: u64,
    pub rollbacks: u64,
    pub denials: u64,
}

/// What a look at the slots near a hash gives.
enum Look {
    Found(usize),
    /// A free slot, and what was its key.
    Free(usize, u64),
    None,
}

/// The table over words that all who use it share.
#[derive(Clone, Copy)]
pub struct Counters<'a> {
    given_back: &'a AtomicU64,
    reasons: &'a AtomicU64,
    slots: &'a [AtomicU64],
}

/// Where a tenant's counters are, as long as [`Counters::is_good`] says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    slot: usize,
    /// The slot's key; for the rest, how often places had been given back.
    mark: u64,
}

impl<'a> Counters<'a> {
    /// How many words a table for so many tenants takes.
    pub const fn words(tenants: usize) -> usize {
        // Half of it stays empty, so that looking does not take long.
        HEAD_WORDS + (2 * tenants + 1) * SLOT_WORDS
    }

    /// The table that lies in these words, 0 at first; `None` when there is not one slot, that of the rest.
    pub fn over(words: &'a [AtomicU64]) -> Option<Self> {
        let [given_back, reasons, slots @ ..] = words else { return None };
        (slots.len() >= SLOT_WORDS).then_some(Self { given_back, reasons, slots })
    }

    fn key_of(self, slot: usize) -> &'a AtomicU64 {
        &self.slots[slot * SLOT_WORDS]
    }

    /// The counters of that key, from now on.
    pub fn place(self, key: Option<Key>) -> Place {
        let given_back = self.given_back.load(Acquire);
        let found = key.and_then(|Key(key)| Some(Place { slot: self.slot(key)?, mark: key }));
        found.unwrap_or_else(|| {
            if key.is_some() {
                self.reasons.fetch_add(1, Relaxed);
            }
            Place { slot: REST, mark: given_back }
        })
    }

    /// The slot of that key, taken if it is not there; `None` when all that may be looked at are others'.
    fn slot(self, key: u64) -> Option<usize> {
        for _ in 0..MOST_LOOKS {
            match self.look(key) {
                Look::Found(slot) => return Some(slot),
                Look::None => return None,
                Look::Free(slot, seen) => {
                    match self.key_of(slot).compare_exchange(seen, key, AcqRel, Acquire) {
                        Ok(_) => return Some(slot),
                        Err(other) if other == key => return Some(slot),
                        // Another tenant took it.
                        Err(_) => {}
                    }
                }
            }
        }
        None
    }

    /// Looks for the key, and for a free slot on the way.
    fn look(self, key: u64) -> Look {
        let slots = self.slots.len() / SLOT_WORDS - 1;
        let start = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        let mut free = Look::None;
        for step in 0..slots.min(MOST_LOOKS) {
            let slot = 1 + (start + step) % slots;
            let seen = self.key_of(slot).load(Acquire);
            if seen == key {
                return Look::Found(slot);
            }
            if (seen == 0 || seen == GAP) && matches!(free, Look::None) {
                free = Look::Free(slot, seen);
            }
            if seen == 0 {
                break;
            }
        }
        free
    }

    /// Whether what was found still holds.
    pub fn is_good(self, place: Place) -> bool {
        let mark = if place.slot == REST { self.given_back } else { self.key_of(place.slot) };
        mark.load(Acquire) == place.mark
    }

    /// Counts one.
    pub fn add(self, place: Place, what: What) {
        if let Some(word) = self.slots.get(place.slot * SLOT_WORDS + what as usize) {
            word.fetch_add(1, Relaxed);
        }
    }

    /// A tenant was dropped, so that there may be places to give back.
    pub fn note_reason(self) {
        self.reasons.fetch_add(1, Relaxed);
    }

    /// A number that changes with each reason to give places back: a drop, or a tenant that found no place.
    pub fn reasons(self) -> u64 {
        self.reasons.load(Relaxed)
    }

    /// Gives the places back of those that are gone. Nobody may enter one of them any more.
    pub fn give_back(self, is_gone: impl Fn(Key) -> bool) {
        let mut given_back = 0;
        for slot in self.slots.chunks_exact(SLOT_WORDS).skip(1) {
            let [key, counts @ ..] = slot else { continue };
            let seen = key.load(Acquire);
            if seen != 0 && seen != GAP && is_gone(Key(seen)) {
                counts.iter().for_each(|count| count.store(0, Relaxed));
                key.store(GAP, Release);
                given_back += 1;
            }
        }
        if given_back > 0 {
            self.given_back.fetch_add(1, Release);
        }
    }

    /// All that are counted. Two slots may be the same tenant's: who reads adds them up.
    pub fn all(self) -> impl Iterator<Item = Counts> + 'a {
        self.slots.chunks_exact(SLOT_WORDS).enumerate().filter_map(|(slot, words)| {
            let [key, commits, rollbacks, denials] = words else { return None };
            let key = match key.load(Acquire) {
                _ if slot == REST => None,
                0 | GAP => return None,
                key => Some(Key(key)),
            };
            let [commits, rollbacks, denials] = [commits, rollbacks, denials].map(|word| word.load(Relaxed));
            Some(Counts { key, commits, rollbacks, denials })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn words(tenants: usize) -> Vec<AtomicU64> {
        (0..Counters::words(tenants)).map(|_| AtomicU64::new(0)).collect()
    }

    fn key(database: u32, tenant: i64) -> Option<Key> {
        Key::new(database, tenant)
    }

    #[test]
    fn keys_tell_database_and_tenant() {
        let one = key(16_384, 7).unwrap();
        assert_eq!((one.database(), one.tenant()), (16_384, 7));
        assert_ne!(key(1, 2), key(2, 1));
        assert!(key(1, 0).is_some());
        assert_eq!([key(0, 1), key(1, -1), key(1, 1 << 32)], [None; 3]);
    }

    // Many threads, the same tenants: each tenant has one place, and no count is lost.
    #[test]
    fn no_count_is_lost() {
        let words = words(50);
        let counters = Counters::over(&words).unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(move || {
                    for n in 0..5_000 {
                        counters.add(counters.place(key(1, n % 50)), What::Commit);
                    }
                });
            }
        });
        let all: Vec<Counts> = counters.all().filter(|one| one.key.is_some()).collect();
        assert_eq!(all.len(), 50);
        assert!(all.iter().all(|one| one.commits == 800 && one.denials == 0), "{all:?}");
    }

    #[test]
    fn when_the_table_is_full_the_rest_is_counted_together() {
        let words = words(2);
        let counters = Counters::over(&words).unwrap();
        for tenant in 1..=10 {
            counters.add(counters.place(key(1, tenant)), What::Denial);
        }
        counters.add(counters.place(None), What::Rollback);
        let all: Vec<Counts> = counters.all().collect();
        assert_eq!(all.len(), 5);
        assert_eq!(all[0], Counts { key: None, commits: 0, rollbacks: 1, denials: 6 });
    }

    // Places come back, for tenants that had none, too; the gaps hide nobody behind them.
    #[test]
    fn who_is_gone_gives_its_place_back() {
        let words = words(8);
        let counters = Counters::over(&words).unwrap();
        let places: Vec<Place> = (1..=16).map(|tenant| counters.place(key(1, tenant))).collect();
        places.iter().for_each(|place| counters.add(*place, What::Commit));
        let reasons = counters.reasons();
        let rest = counters.place(key(1, 17));
        assert_eq!((rest.slot, counters.reasons()), (REST, reasons + 1));
        assert!(counters.is_good(rest) && places.iter().all(|place| counters.is_good(*place)));
        counters.give_back(|key| key.tenant() % 2 == 0);
        assert!(!counters.is_good(rest));
        for (place, tenant) in places.iter().zip(1..=16) {
            assert_eq!(counters.is_good(*place), tenant % 2 == 1);
            assert!(tenant % 2 == 0 || counters.place(key(1, tenant)) == *place);
        }
        let again: Vec<Place> = (17..=24).map(|tenant| counters.place(key(1, tenant))).collect();
        assert!(again.iter().all(|place| place.slot != REST && counters.is_good(*place)));
        assert_eq!(counters.place(key(1, 25)).slot, REST);
        let all = counters.all().filter(|one| one.key.is_some_and(|key| key.tenant() > 16));
        let new: Vec<Counts> = all.collect();
        assert!(new.len() == 8 && new.iter().all(|one| one.commits == 0), "{new:?}");
    }

    // Full or not, a few slots are looked at, not all.
    #[test]
    fn looking_is_bounded() {
        let words = words(50_000);
        let counters = Counters::over(&words).unwrap();
        let start = (key(1, 7).unwrap().0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        for step in 0..MOST_LOOKS {
            counters.key_of(1 + (start + step) % 100_000).store(5, Relaxed);
        }
        assert_eq!(counters.place(key(1, 7)).slot, REST);
    }

    // Tenants come and go while others count: no count of one who stays is lost, and none stands under another.
    #[test]
    fn places_are_used_again_while_others_count() {
        let words = words(16);
        let counters = Counters::over(&words).unwrap();
        thread::scope(|scope| {
            for staying in 1..=4 {
                scope.spawn(move || {
                    let place = counters.place(key(1, staying));
                    (0..20_000).for_each(|_| counters.add(place, What::Commit));
                    assert!(counters.is_good(place));
                });
            }
            scope.spawn(move || {
                for tenant in 100..5_000 {
                    counters.add(counters.place(key(1, tenant)), What::Rollback);
                    counters.give_back(|key| key.tenant() >= 100);
                }
            });
        });
        let all: Vec<Counts> = counters.all().filter(|one| one.key.is_some()).collect();
        assert_eq!(all.len(), 4);
        assert!(all.iter().all(|one| (one.commits, one.rollbacks) == (20_000, 0)), "{all:?}");
    }
}
