//! What an answer may not hold.

use std::fmt;

use crate::fuzz::canary::{Canaries, Owner};
use crate::fuzz::wire::{Answer, Failure};
use crate::fuzz::world::ORGS;

/// Internal errors of PostgreSQL's own that functions called with random arguments raise without us, too. Each was
/// looked at.
const KNOWN_INTERNAL: &[&str] = &[
    // An oid that is no relation's, given to nextval() and the like.
    "could not open relation with OID",
    // An oid that is nobody's, given to a function that describes something.
    "cache lookup failed for",
    "unrecognized class ID",
    "unsupported object class",
    "unrecognized object class",
    "unrecognized object type abbreviation",
    "could not find tuple for",
    "could not find element type",
    // The support functions of aggregates, called by hand.
    "-element float8 array",
    "-element int8 array",
    "-element interval array",
    "non-aggregate context",
    "failed to find conversion function from unknown",
    // The input and output functions of types, called by hand.
    "invalid INTERVAL typmod",
    "unrecognized interval typmod",
    // pg_get_multixact_members() of a number that is none.
    "has not been created yet -- apparent wraparound",
    // A foreign key to a table on which the tenant made a rule.
    "gave unexpected result",
    "is not a range type",
    "is not a multirange type",
    "variadic arguments must be name/value pairs",
    // A text search configuration that is none.
    "unexpected end of flag array",
];

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A canary where it may not be.
    Leak,
    /// Another tenant's data, a shared table that is read only, the registry or a grant has changed.
    Change,
    /// A lock on another tenant's table.
    Lock,
    /// A process of the server died, or a connection ended by itself.
    Crash,
    /// SQLSTATE XX000 and its kin.
    Internal,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// Whose data, which error.
    pub what: String,
    /// The statement, and the tenant it was sent in.
    pub statement: String,
    /// What the same session sent before, oldest first.
    pub before: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}: {}", self.kind, self.what)?;
        for statement in &self.before {
            writeln!(f, "    {statement}")?;
        }
        write!(f, " >> {}", self.statement)
    }
}

/// Whether a statement may itself enter a tenant, so that more than one tenant's rows may come back.
pub fn may_enter(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("set_tenant") || text.contains("plio.tenant") || text.contains("tenant\"")
}

/// The canaries of others in an answer. `before` is the tenant in force when it was sent, `last` the one that was in force
/// before it, `granted` say which tenants the attacker may enter now.
///
/// Open, as docs/guarantees.md says: a cursor WITH HOLD of a tenant's can be fetched from by the session that made it when
/// no tenant is set any more, until another is entered.
pub fn leaks(
    canaries: &Canaries,
    granted: &[bool; 3],
    before: &str,
    last: &str,
    text: &str,
    answer: &Answer<'_>,
) -> Vec<Owner> {
    let in_force = |org: &str| before == org || answer.tenant == org;
    let enters = || may_enter(text);
    let is_held = |org: &str| before.is_empty() && last == org;
    let is_allowed = |owner: &Owner| match owner {
        Owner::Tenant(tenant) => {
            granted[*tenant] && (in_force(ORGS[*tenant]) || is_held(ORGS[*tenant]) || enters())
        }
        Owner::Unshared => in_force("") || enters(),
    };
    canaries.seen(answer.bytes).filter(|owner| !is_allowed(owner)).collect()
}

/// Whether an error is a bug: an internal one that our library raised, or one of PostgreSQL's that nobody has looked at.
pub fn is_internal(failure: &Failure) -> bool {
    let is_ours = failure.file.ends_with(".rs");
    let is_known = KNOWN_INTERNAL.iter().any(|known| failure.message.contains(known));
    failure.code.starts_with("XX") && (is_ours || !is_known)
}

/// What the server's log says of processes that died.
pub fn crashes(log: &str) -> Vec<String> {
    let signs = ["PANIC:", "was terminated by signal", "internal error in plio_tenancy", "panicked at"];
    log.lines().filter(|line| signs.iter().any(|sign| line.contains(sign))).map(str::to_owned).collect()
}
