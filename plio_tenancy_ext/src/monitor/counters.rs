//! Counters for each tenant in shared words: found by hash, never removed, no lock. Pure: no PostgreSQL.
//!
//! A tenant's key is taken once, with one atomic exchange; from then on counting is one atomic addition. When the
//! table is full, further tenants are counted together.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

const SLOT_WORDS: usize = 4;
/// The slot for whoever finds no place in the table comes first.
const REST: usize = 0;

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

/// The table over words that all who use it share.
#[derive(Clone, Copy)]
pub struct Counters<'a>(&'a [AtomicU64]);

/// Where a tenant's counters are; good for as long as the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize);

impl<'a> Counters<'a> {
    /// How many words a table for so many tenants takes.
    pub const fn words(tenants: usize) -> usize {
        // Half of it stays empty, so that looking does not take long.
        (2 * tenants + 1) * SLOT_WORDS
    }

    /// The table that lies in these words, 0 at first; `None` when there is not one slot, that of the rest.
    pub fn over(words: &'a [AtomicU64]) -> Option<Self> {
        (words.len() >= SLOT_WORDS).then_some(Self(words))
    }

    fn len(self) -> usize {
        self.0.len() / SLOT_WORDS
    }

    /// The counters of that key, from now on.
    pub fn place(self, key: Option<Key>) -> Place {
        let Some(Key(key)) = key else { return Place(REST) };
        let slots = self.len() - 1;
        let start = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        for step in 0..slots {
            let place = 1 + (start + step) % slots;
            let word = &self.0[place * SLOT_WORDS];
            let seen = word.load(Acquire);
            if seen == key
                || (seen == 0
                    && word
                        .compare_exchange(0, key, AcqRel, Acquire)
                        .map_or_else(|other| other == key, |_| true))
            {
                return Place(place);
            }
        }
        Place(REST)
    }

    /// Counts one.
    pub fn add(self, place: Place, what: What) {
        if let Some(word) = self.0.get(place.0 * SLOT_WORDS + what as usize) {
            word.fetch_add(1, Relaxed);
        }
    }

    /// All that were ever counted.
    pub fn all(self) -> impl Iterator<Item = Counts> + 'a {
        self.0.chunks_exact(SLOT_WORDS).enumerate().filter_map(|(place, words)| {
            let [key, commits, rollbacks, denials] = words else { return None };
            let key = match key.load(Acquire) {
                0 if place == REST => None,
                0 => return None,
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
}
