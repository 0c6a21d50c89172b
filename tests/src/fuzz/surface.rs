//! The attack on plio's own SQL surface: every function of the schema `plio`, read from `pg_proc`, with random, missing,
//! empty, huge and hostile arguments, by every kind of role, inside tenants and outside.
//!
//! Statements are judged as those of [`Attack`](super::Attack) are. After each stint the registry must be whole:
//! `plio.health()` and `plio.audit()` find nothing critical that was not there, and what tenants hold is theirs still.

mod author;

use std::collections::BTreeSet;
use std::time::Instant;

use postgres::Client;

use self::author::Author;
use crate::fuzz::attack::{CONF, administrator, plain};
use crate::fuzz::canary::Canaries;
use crate::fuzz::grammar::Grammar;
use crate::fuzz::oracle::{self, Kind};
use crate::fuzz::pools::Pools;
use crate::fuzz::random::Random;
use crate::fuzz::session::{Session, Stint};
use crate::fuzz::summary::Summary;
use crate::fuzz::world::{Guard, Tenants, World, run as execute};
use crate::{Cluster, SUPERUSER};

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Surface {
    /// Repeats a run, up to oids.
    pub seed: u64,
    /// How many calls, in all.
    pub calls: usize,
    /// Calls in a stint, each of which has a database of its own.
    pub stint: usize,
    /// Lines on stderr.
    pub shows_progress: bool,
}

/// A function of plio's.
#[derive(Clone, Debug)]
struct Function {
    name: String,
    kinds: Vec<String>,
    is_record: bool,
}

/// Who calls.
#[derive(Debug)]
struct Caller {
    session: Session,
    is_privileged: bool,
}

/// Starts a cluster, calls, and says what was found.
///
/// # Panics
/// When the server does not do what the preparations need.
pub fn run(surface: &Surface) -> Summary {
    let began = Instant::now();
    let cluster = Cluster::start(CONF);
    let mut random = Random::new(surface.seed);
    let mut summary = Summary { seed: surface.seed, ..Summary::default() };
    let mut log_read = 0;
    while summary.statements < surface.calls && summary.count_of(Kind::Crash) < 20 {
        let tenants = if summary.stints.is_multiple_of(2) { Tenants::OwnRole } else { Tenants::Adopted };
        let world = World::build(&cluster, Canaries::unknown(), tenants, Guard::On);
        let until = surface.calls.min(summary.statements + surface.stint);
        stint(&world, &mut random, until, &mut summary);
        let log = cluster.log();
        let dead = oracle::crashes(log.get(log_read..).unwrap_or_default());
        dead.into_iter().for_each(|what| summary.find(plain(Kind::Crash, what)));
        log_read = log.len();
        summary.stints += 1;
        summary.took = began.elapsed();
        if surface.shows_progress {
            eprintln!(
                "fuzz: {} calls, {:.0} s, {:?}",
                summary.statements,
                summary.took.as_secs_f64(),
                summary.found
            );
        }
    }
    summary
}

fn stint(world: &World, random: &mut Random, until: usize, summary: &mut Summary) {
    let mut admin = administrator(world);
    let mut callers = callers(world, &mut admin);
    let pools = Pools::read(&mut admin, world, &Grammar::read(), random);
    let functions = functions(&mut admin);
    summary.functions = functions.len();
    let before = critical(&mut admin);
    while summary.statements < until {
        let caller = random.below(callers.len());
        let caller = &mut callers[caller];
        let scene = Author { functions: &functions, pools: &pools, random }.scene(caller.is_privileged);
        let stint =
            Stint { granted: [true, true, false], speaks_outside: true, reads_all: caller.is_privileged };
        caller.session.play(world, stint, &scene, summary);
    }
    drop(callers);
    if admin.simple_query("SELECT").is_err() {
        world.db.cluster().wait_ready();
        admin = administrator(world);
    }
    for defect in critical(&mut admin).difference(&before) {
        summary.find(plain(Kind::Defect, format!("in stint {}: {defect}", summary.stints)));
    }
}

/// Nobody in particular, the application, an administrator, an auditor, a reporter, a superuser.
fn callers(world: &World, admin: &mut Client) -> Vec<Caller> {
    let mut callers = vec![
        Caller { session: Session::new(&world.attacker), is_privileged: false },
        Caller { session: Session::new(&world.db.login_role("nobody")), is_privileged: false },
        Caller { session: Session::new(SUPERUSER), is_privileged: true },
    ];
    for group in ["plio_admin", "plio_auditor", "plio_reporter"] {
        let role = world.db.login_role(group);
        execute(admin, &format!("GRANT {group} TO \"{role}\""));
        callers.push(Caller { session: Session::new(&role), is_privileged: true });
    }
    callers
}

fn functions(admin: &mut Client) -> Vec<Function> {
    let query = "SELECT format('plio.%I', p.proname), ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY a(t, i) ORDER BY i),
               p.prorettype = 'record'::regtype AND p.proargmodes IS NULL
          FROM pg_proc p WHERE p.pronamespace = 'plio'::regnamespace AND p.prokind = 'f' ORDER BY p.proname, p.oid::regprocedure::text";
    let rows = admin.query(query, &[]).unwrap_or_else(|error| panic!("{error:?}"));
    let functions =
        rows.iter().map(|row| Function { name: row.get(0), kinds: row.get(1), is_record: row.get(2) });
    functions.collect()
}

/// What is critical, but for what an administrator may do by a right call (let a superuser enter); and whatever keeps the two from answering.
fn critical(admin: &mut Client) -> BTreeSet<String> {
    let query = "SELECT h::text FROM plio.health() h WHERE severity = 'critical'
         UNION ALL SELECT a::text FROM plio.audit('critical') a WHERE a::text NOT LIKE '(critical,application_superuser,%'
         UNION ALL SELECT concat('no schema: ', t) FROM plio.tenants t WHERE NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = t.schema_name)
         UNION ALL SELECT concat('no role: ', t) FROM plio.tenants t WHERE t.role_name IS NOT NULL AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = t.role_name)
         UNION ALL SELECT concat('no tenant: ', a) FROM plio.access a WHERE a.org IS NOT NULL AND NOT EXISTS (SELECT FROM plio.tenants t WHERE t.org = a.org)";
    match admin.query(query, &[]) {
        Ok(rows) => rows.iter().map(|row| row.get(0)).collect(),
        Err(error) => BTreeSet::from([format!("{error:?}")]),
    }
}
