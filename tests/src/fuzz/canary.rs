//! Canaries: twelve random digits for each owner, in every text, number and sequence that the owner has.
//!
//! Digits look the same in every case, quoting and client encoding; their hexadecimal form (bytea) is looked for as well.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::fuzz::Random;

/// Whose data a canary stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A tenant, by its place in `ORGS`.
    Tenant(usize),
    /// Tables in `public` that are shared with nobody, and the registry's settings.
    Unshared,
}

/// The digits of each owner.
#[derive(Clone, Debug)]
pub struct Canaries {
    owners: Vec<(Owner, String, String)>,
}

impl Canaries {
    /// New ones that no seed tells: no statement can know them.
    pub fn unknown() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
        Self::new(&mut Random::new(now ^ u64::from(std::process::id()) << 32))
    }

    /// New ones for three tenants and `public`.
    pub fn new(random: &mut Random) -> Self {
        let owners = [Owner::Tenant(0), Owner::Tenant(1), Owner::Tenant(2), Owner::Unshared];
        let owners = owners.map(|owner| {
            let digits = (100_000_000_000 + random.bits() % 900_000_000_000).to_string();
            let hex = digits.bytes().map(|byte| format!("{byte:02x}")).collect();
            (owner, digits, hex)
        });
        Self { owners: owners.into() }
    }

    /// The digits of one owner.
    ///
    /// # Panics
    /// Never: each owner has some.
    pub fn digits(&self, owner: Owner) -> &str {
        let found = self.owners.iter().find(|(other, _, _)| *other == owner);
        &found.unwrap_or_else(|| panic!("{owner:?} has no canary")).1
    }

    /// Whose canaries are in what the server sent.
    pub fn seen<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = Owner> + 'a {
        self.owners.iter().filter_map(|(owner, digits, hex)| {
            let is_there =
                [digits, hex].iter().any(|needle| memchr::memmem::find(bytes, needle.as_bytes()).is_some());
            is_there.then_some(*owner)
        })
    }
}
