//! What is committed in the registry, version by version, and what each version lets a session do.
//!
//! A statement that runs while management goes on may see any version from when it was sent to when it answered. A tenant
//! is known by its number, which no other gets: an org may be another tenant's name later.

use std::collections::BTreeSet;

/// A tenant, as long as it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Counted up; its canary is made from it.
    pub number: usize,
    /// Its name now.
    pub org: String,
    /// Its schema.
    pub schema: String,
    /// Nobody may enter.
    pub is_suspended: bool,
}

/// How the table in `public` is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shared {
    /// Not.
    No,
    /// To read.
    Read,
    /// To write.
    Write,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// In the order in which they were made.
    pub tenants: Vec<Tenant>,
    /// Roles, by their place, and tenants, by number.
    pub access: BTreeSet<(usize, usize)>,
    /// The table in `public`.
    pub shared: Shared,
    /// The roles' names, by their place: they may be swapped.
    pub names: [String; 2],
}

impl Registry {
    /// The tenant of that name.
    pub fn of(&self, org: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.org == org)
    }

    /// Whether the role may enter what is called so now.
    pub fn admits(&self, role: usize, org: &str) -> bool {
        self.of(org)
            .is_some_and(|tenant| !tenant.is_suspended && self.access.contains(&(role, tenant.number)))
    }

    /// Whether the role may see a tenant's rows while a tenant of this name is in force for it.
    pub fn shows(&self, role: usize, org: &str, number: usize) -> bool {
        self.admits(role, org) && self.of(org).is_some_and(|tenant| tenant.number == number)
    }
}

/// All versions so far, and the one that a change under way may already have made.
#[derive(Clone, Debug)]
pub struct Model {
    versions: Vec<Registry>,
    coming: Option<Registry>,
}

impl Model {
    /// Begins with nothing.
    pub fn new(names: [String; 2]) -> Self {
        let first = Registry { tenants: Vec::new(), access: BTreeSet::new(), shared: Shared::No, names };
        Self { versions: vec![first], coming: None }
    }

    /// The last version's number.
    pub fn now(&self) -> usize {
        self.versions.len() - 1
    }

    /// The last version.
    pub fn last(&self) -> &Registry {
        &self.versions[self.now()]
    }

    /// The versions from `since` on.
    pub fn versions_from(&self, since: usize) -> &[Registry] {
        &self.versions[since..]
    }

    /// A change is under way.
    pub fn expect(&mut self, next: Registry) {
        self.coming = Some(next);
    }

    /// It is done, or it has failed.
    pub fn settle(&mut self, is_done: bool) {
        if let Some(next) = self.coming.take().filter(|_| is_done) {
            self.versions.push(next);
        }
    }

    /// Whether some version from `since` on, the coming one included, is so.
    pub fn ever(&self, since: usize, is_so: impl Fn(&Registry) -> bool) -> bool {
        self.versions[since..].iter().chain(&self.coming).any(is_so)
    }
}
