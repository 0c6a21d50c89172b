//! What an answer may not hold.

use std::fmt;

use crate::fuzz::canary::Owner;
use crate::fuzz::session::Stint;
use crate::fuzz::wire::{Answer, Failure};
use crate::fuzz::world::{ORGS, Tenants, World};

/// Its table of SQLSTATEs, which `tests/tests/docs.rs` holds to the extension.
const README: &str = include_str!("../../../README.md");

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
    // 15 to 17: oids of classes, kinds of objects and rows that are none, given to functions that describe something.
    "invalid non-zero objectSubId for object class",
    "unrecognized objtype abbreviation",
    "currtid cannot handle views with no CTID",
    "cannot look at latest visible tid for relation",
    // 15 to 17: xpath() of what is no XPath.
    "invalid XPath expression",
    // pg_isolation_test_session_is_blocked(), called by hand.
    "array must not contain nulls",
    "could not create XPath object",
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
    // Two sessions that replace one function, or grant on one object, at a time.
    "tuple concurrently updated",
    // A column is added whose default reads the table, before its children have it.
    "could not find inherited attribute",
    "is not a range type",
    "is not a multirange type",
    "variadic arguments must be name/value pairs",
    // bpchar() and the like, called by hand with a length of 2 GB.
    "invalid memory alloc request size",
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
    /// An error of ours without a hint, or with a SQLSTATE that the README does not list.
    Refusal,
    /// What `plio.health()` or `plio.audit()` finds critical, and did not before.
    Defect,
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

/// What a statement calls or reads that one layer leaves open while no tenant is set (docs/guarantees.md, "tenants without a
/// role, seen without a tenant"): the login role's own privileges show statistics, sequences and large objects of every
/// schema that it owns, and query texts of its other sessions.
const OPEN_OUTSIDE: [&str; 11] = [
    "pg_stat",
    "pg_get_sequence_data",
    "pg_sequence",
    "nextval",
    "currval",
    "setval",
    "lastval",
    "lo_",
    "loread",
    "largeobject",
    "information_schema.sequences",
];

/// Whether what a statement shows without a tenant is known and open for adopted tenants.
fn is_open_outside(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    OPEN_OUTSIDE.iter().any(|word| text.contains(word))
}

/// Whether a request may go out in a stint in which the attacker never speaks without a tenant: nothing but entering one
/// where none is set, and nothing that names what is open outside beside what may lead out.
pub fn stays_inside(tenant: &str, text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let enters = ["set plio.tenant = '", "set local plio.tenant = '", "select plio.set_tenant("];
    let is_entry = enters.iter().any(|beginning| lower.contains(beginning)) && !is_open_outside(text);
    let leads_out =
        ["commit", "rollback", "reset", "discard", "plio."].iter().any(|word| lower.contains(word));
    (!tenant.is_empty() || is_entry) && !(leads_out && is_open_outside(text))
}

/// The canaries of others in an answer. `before` is the tenant in force when it was sent, `last` the one that was in force
/// before it, `stint` says which tenants the attacker may enter now.
///
/// Open, as docs/guarantees.md says: a cursor WITH HOLD of a tenant's can be fetched from by the session that made it when
/// no tenant is set any more, until another is entered.
pub fn leaks(
    world: &World,
    stint: Stint,
    before: &str,
    last: &str,
    text: &str,
    answer: &Answer<'_>,
) -> Vec<Owner> {
    let in_force = |org: &str| before == org || answer.tenant == org;
    let enters = || may_enter(text);
    let is_held = |org: &str| before.is_empty() && last == org;
    // What is no tenant's and was read without one: the session keeps it in temporary tables, which are the login role's
    // own where a tenant has no role, and in cursors WITH HOLD.
    let is_fetched = ["c1", "c2"].iter().any(|cursor| text.contains(cursor));
    let is_kept = stint.speaks_outside && (is_fetched || world.tenants == Tenants::Adopted);
    // The value of a sequence that was called without a tenant goes along, too.
    let is_open = || {
        let is_seen = in_force("") || text.contains("lastval");
        stint.speaks_outside && world.tenants == Tenants::Adopted && is_seen && is_open_outside(text)
    };
    let is_allowed = |owner: &Owner| match owner {
        Owner::Tenant(tenant) => {
            let is_entered = in_force(ORGS[*tenant]) || is_held(ORGS[*tenant]) || enters();
            (stint.granted[*tenant] && is_entered) || is_open()
        }
        Owner::Unshared => in_force("") || enters() || is_kept,
    };
    if stint.reads_all {
        return Vec::new();
    }
    world.canaries.seen(answer.bytes).filter(|owner| !is_allowed(owner)).collect()
}

/// What is wrong with an error: an internal one that our library raised, or one of PostgreSQL's that nobody has looked at;
/// one of ours that does not say what the README promises.
pub fn fault(failure: &Failure) -> Option<Kind> {
    let is_ours = failure.file.ends_with(".rs");
    let is_known = KNOWN_INTERNAL.iter().any(|known| failure.message.contains(known));
    if failure.code.starts_with("XX") {
        return (is_ours || !is_known).then_some(Kind::Internal);
    }
    let is_listed = || README.contains(&format!("\n| `{}` |", failure.code));
    (is_ours && (failure.hint.is_empty() || !is_listed())).then_some(Kind::Refusal)
}

/// What the server's log says of processes that died.
pub fn crashes(log: &str) -> Vec<String> {
    let signs = ["PANIC:", "was terminated by signal", "internal error in plio_tenancy", "panicked at"];
    log.lines().filter(|line| signs.iter().any(|sign| line.contains(sign))).map(str::to_owned).collect()
}
