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
    /// Somebody has more rights than before, or another role than it set.
    Rights,
    /// What belongs to one tenant is found in another, or after it.
    Carry,
    /// A tenant that may not be entered was entered, or stayed in force.
    Admission,
    /// What is cancelled does not end.
    Hang,
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
/// role, seen without a tenant"): the login role's own privileges show its large objects and query texts of its other sessions.
const OPEN_OUTSIDE: [&str; 6] =
    ["pg_stat_", "lo_", "loread", "largeobject", "lookup.folded()", "lookup.through()"];

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

/// The canaries of others in an answer. `before` is the tenant in force when it was sent, `stint` says which tenants the
/// attacker may enter now.
pub fn leaks(world: &World, stint: Stint, before: &str, text: &str, answer: &Answer<'_>) -> Vec<Owner> {
    let in_force = |org: &str| before == org || answer.tenant == org;
    let enters = || may_enter(text);
    // What is no tenant's and was read without one: the session keeps it in temporary tables, which are the login role's
    // own where a tenant has no role, or granted to everybody, and in cursors WITH HOLD.
    let kept = ["c1", "c2", "t1", "t2", "t3", "T 4", "pg_temp"];
    let is_fetched = kept.iter().any(|name| text.contains(name));
    let is_kept = stint.speaks_outside && (is_fetched || world.tenants == Tenants::Adopted);
    let is_open = || {
        // What the owner grants to PUBLIC without a tenant, others read there, too.
        let is_owners = stint.speaks_outside && world.tenants == Tenants::Adopted;
        is_owners && in_force("") && is_open_outside(text)
    };
    let is_allowed = |owner: &Owner| match owner {
        Owner::Tenant(tenant) => {
            let is_entered = in_force(ORGS[*tenant]) || enters();
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
    let signs =
        ["PANIC:", "TRAP:", "was terminated by signal", "internal error in plio_tenancy", "panicked at"];
    log.lines().filter(|line| signs.iter().any(|sign| line.contains(sign))).map(str::to_owned).collect()
}

/// What a story's probe has found: text after `kept:` in an answer to a statement that asks for it.
pub fn kept(text: &str, answer: &Answer<'_>) -> Option<String> {
    if !text.starts_with("SELECT 'kept:") {
        return None;
    }
    word_after(answer.bytes, b"kept:")
}

/// Who the session says it is, when that was asked.
pub fn who(text: &str, answer: &Answer<'_>) -> Option<String> {
    if text == "SELECT 'who:' || current_user" { word_after(answer.bytes, b"who:") } else { None }
}

fn word_after(bytes: &[u8], mark: &[u8]) -> Option<String> {
    let at = memchr::memmem::find(bytes, mark)? + mark.len();
    // The tag of the next message comes behind it.
    let word = bytes[at..].iter().take_while(|byte| !byte.is_ascii_control() && **byte < 128);
    let mut word: String = word.map(|byte| char::from(*byte)).collect();
    word.pop();
    Some(word)
}

/// Whether a statement does nothing but ask for a session's tenant that there is not.
pub fn is_refused_entry(text: &str) -> bool {
    let rest = text.strip_prefix("SET plio.tenant = '");
    rest.and_then(|rest| rest.strip_suffix('\''))
        .is_some_and(|org| !org.is_empty() && !org.contains(['\'', ';']))
}

/// What no client may see of a process: a backtrace.
pub fn shows_backtrace(bytes: &[u8]) -> bool {
    [b"stack backtrace".as_slice(), b"rust_begin_unwind", b"core::panicking"]
        .iter()
        .any(|mark| memchr::memmem::find(bytes, mark).is_some())
}
