//! `plio.selftest()`: the known bypasses, tried on this very installation as whoever calls it, and undone.
//!
//! Two throw-away tenants are made as the bootstrap superuser, with fixed statements that take nothing from the caller
//! but the process number; then each attack runs with the caller's own rights, in a subtransaction of its own. The
//! subtransaction around all of it is rolled back. It holds nothing that management or another session waits for: no lock on the
//! registry, no grant on a schema or to a role that others use. So the function needs no privilege and gives none: whatever the
//! caller's role could do inside is gone afterwards, and it can do nothing there that it could not do elsewhere.

#![forbid(unsafe_code)]

mod attacks;
mod world;

use self::attacks::{ATTACKS, Attack, Place};
use self::world::World;
use crate::error::{self, Error};
use crate::monitor::refusals;
use crate::pg::part::{self, Failure};
use crate::pg::{self, catalog, session};
use crate::{cache, context, guc, registry};
use pgrx::prelude::*;
use std::ffi::CStr;
use std::panic::AssertUnwindSafe;

/// One attack's row: attack, verdict, SQLSTATE, detail.
type Row = (&'static str, &'static str, Option<String>, Option<String>);

const REFUSED: &str = "refused";
const LEAKED: &str = "LEAKED";
const NOT_APPLICABLE: &str = "not applicable";

/// The SQLSTATEs of a refusal; any other error says that the attack itself went wrong.
const REFUSALS: [&str; 4] = ["42501", "55000", "25001", "2BP01"];

/// Settings of the caller's that would make it slow, or something else: it holds locks on what it makes.
const PINNED: [(&CStr, &CStr); 9] = [
    // A parallel worker would not know that a refusal is the self-test's own.
    (c"max_parallel_workers_per_gather", c"0"),
    (c"max_parallel_maintenance_workers", c"0"),
    (c"vacuum_cost_delay", c"0"),
    (c"jit", c"off"),
    (c"default_statistics_target", c"100"),
    (c"default_tablespace", c""),
    (c"temp_tablespaces", c""),
    (c"default_table_access_method", c"heap"),
    (c"client_min_messages", c"warning"),
];

#[pg_extern(volatile, parallel_unsafe)]
#[allow(clippy::type_complexity, reason = "the shape of the SQL function's rows")]
pub(crate) fn selftest() -> TableIterator<
    'static,
    (
        name!(attack, String),
        name!(verdict, String),
        name!(sqlstate, Option<String>),
        name!(detail, Option<String>),
    ),
> {
    let rows = pg::errors::unchanged(|| error::or_raise(run()));
    TableIterator::new(
        rows.into_iter()
            .map(|(attack, verdict, code, detail)| (attack.to_owned(), verdict.to_owned(), code, detail)),
    )
}

/// All rows.
///
/// # Errors
/// 25001 (inside a tenant), 25006 (a standby).
fn run() -> error::Result<Vec<Row>> {
    context::ensure_no_tenant("selftest")?;
    cache::ensure_location()?;
    if crate::hooks::running::is_any() || session::is_in_restricted_code() {
        return Err(Error::BadArgument {
            message: "selftest() cannot run inside another query or function".to_owned(),
            hint: "Use SELECT * FROM plio.selftest() alone.",
        });
    }
    let mut rows = vec![preloaded(), enforced()];
    let own_refusals = refusals::Selftest::begin();
    let tried = undone(|| {
        for (setting, value) in PINNED {
            pg::guc::set_until_level_ends(setting, value);
        }
        pg::guc::limit_waits(c"5s");
        let world = World::create()?;
        rows.push(own_rights(&world));
        rows.extend(attack_all(&world));
        Ok(world.orgs())
    });
    drop(own_refusals);
    let orgs = match tried {
        Ok(orgs) => orgs?,
        Err(Failure { sqlstate, message }) => {
            return Err(Error::Bug(format!("selftest() could not be set up: {message} ({sqlstate})")));
        }
    };
    let is_left = context::is_active() || orgs.iter().any(|org| cache::tenant(org).is_some());
    rows.push(row("nothing is left", is_left, None, "the throw-away tenants, or one of them in force"));
    Ok(rows)
}

/// Runs `f` and undoes it. Limits, shutdown and a read-only server are nothing that an attack's verdict may swallow.
fn undone<R>(f: impl FnOnce() -> R) -> Result<R, Failure> {
    part::undone_unless(AssertUnwindSafe(f), |failure| {
        // Cut off, no resources, to be tried again, a lock that was not to be had, read only.
        let passed_on = ["57", "53", "40", "55P03", "25006"];
        passed_on.iter().any(|code| failure.sqlstate.starts_with(code))
    })
}

fn row(attack: &'static str, is_leak: bool, sqlstate: Option<String>, leak: &str) -> Row {
    (attack, if is_leak { LEAKED } else { REFUSED }, sqlstate, is_leak.then(|| leak.to_owned()))
}

fn preloaded() -> Row {
    let detail =
        "this session ran before the library was loaded; others may never load it: see plio.health()";
    row("a session without the library", !crate::is_preloaded(), None, detail)
}

fn enforced() -> Row {
    let detail = "plio.enforcement is not on in this session: nothing is refused";
    row("enforcement turned off", !guc::is_judging() || guc::is_only_reporting(), None, detail)
}

/// What the caller's role reaches of the tenants that are really there, by PostgreSQL's own privileges alone.
fn own_rights(world: &World) -> Row {
    const ATTACK: &str = "own privileges on tenants' objects";
    match world.reachable_by_caller() {
        Ok(0) => row(ATTACK, false, None, ""),
        Ok(count) => {
            let detail = format!(
                "without a tenant this login role has privileges of its own on {count} tenants' objects: only the access check guards them"
            );
            row(ATTACK, true, None, &detail)
        }
        Err(error) => (ATTACK, NOT_APPLICABLE, None, Some(error.to_string())),
    }
}

fn attack_all(world: &World) -> Vec<Row> {
    // Without a tenant that works, nothing inside it proves anything.
    let control = undone(|| inside(world).and_then(|()| world.own_names()));
    let broken = match control {
        Ok(Ok(names)) if names.as_deref() == Some(world::OWN_NAMES) => None,
        Ok(Ok(names)) => Some((None, format!("the tenant's own rows are {names:?}"))),
        Ok(Err(error)) => Some((Some(error.sqlstate_text()), error.to_string())),
        Err(Failure { sqlstate, message }) => Some((Some(sqlstate), message)),
    };
    let each = ATTACKS.iter().map(|attack| match (&broken, attack.place) {
        (Some((sqlstate, why)), Place::Inside) => {
            let detail = format!("the tenant cannot be used, so nothing was tried inside it: {why}");
            (attack.name, NOT_APPLICABLE, sqlstate.clone(), Some(detail))
        }
        _ => try_one(world, attack),
    });
    each.collect()
}

fn inside(world: &World) -> error::Result<()> {
    context::enter_throw_away(world.own_org())
}

/// Runs one attack with the caller's rights and undoes it.
fn try_one(world: &World, attack: &Attack) -> Row {
    if attack.place == Place::Ungranted && world.may_enter_all {
        let detail = "this login role may enter every tenant";
        return (attack.name, NOT_APPLICABLE, None, Some(detail.to_owned()));
    }
    let outcome = undone(|| -> error::Result<Option<String>> {
        if attack.place == Place::Inside {
            inside(world)?;
        } else {
            // What the caller has on its path is not what is tried here.
            registry::run("SET LOCAL search_path = pg_catalog, pg_temp")?;
        }
        let (before, last) = attack.statements(world);
        for statement in before {
            registry::run(&statement)?;
        }
        if attack.gives_rows {
            Spi::get_one::<String>(&last).map_err(|error| Error::Bug(error.to_string()))
        } else {
            registry::run(&last).map(|()| Some("it was carried out".to_owned()))
        }
    });
    match outcome {
        // The refusal came as a Rust error, not yet raised: from entering.
        Ok(Err(error)) => refusal(attack, error.sqlstate_text(), error.to_string()),
        Ok(Ok(None)) => (attack.name, REFUSED, None, Some("it saw nothing".to_owned())),
        Ok(Ok(Some(what))) => {
            let detail =
                format!("{}{what}", if is_administrator() { "an administrator's role: " } else { "" });
            (attack.name, LEAKED, None, Some(detail))
        }
        Err(Failure { sqlstate, message }) => refusal(attack, sqlstate, message),
    }
}

fn refusal(attack: &Attack, sqlstate: String, message: String) -> Row {
    if REFUSALS.contains(&sqlstate.as_str()) {
        (attack.name, REFUSED, Some(sqlstate), None)
    } else {
        (
            attack.name,
            NOT_APPLICABLE,
            Some(sqlstate),
            Some(format!("it failed for another reason: {message}")),
        )
    }
}

fn is_administrator() -> bool {
    let user = session::outer_user();
    catalog::is_superuser(user) || cache::actor(user) == crate::policy::Actor::Administrator
}
