//! The attack on plio's own SQL surface: every function of the schema `plio`, read from `pg_proc`, with random, missing,
//! empty, huge and hostile arguments, by every kind of role, inside tenants and outside.
//!
//! Statements are judged as those of [`Attack`](super::Attack) are. After each stint the registry must be whole:
//! `plio.health()` and `plio.audit()` find nothing critical that was not there, and what tenants hold is theirs still.

use std::collections::BTreeSet;
use std::time::Instant;

use postgres::Client;

use crate::fuzz::attack::{CONF, administrator, plain};
use crate::fuzz::calls;
use crate::fuzz::canary::Canaries;
use crate::fuzz::grammar::Grammar;
use crate::fuzz::oracle::{self, Kind};
use crate::fuzz::pools::{Pools, literal};
use crate::fuzz::random::Random;
use crate::fuzz::scene::Step;
use crate::fuzz::session::{Session, Stint};
use crate::fuzz::summary::Summary;
use crate::fuzz::wire::Request;
use crate::fuzz::world::{Guard, ORGS, Tenants, World, run as execute};
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

/// Functions that take long: called less often.
const SLOW: &[&str] = &["selftest", "audit", "_audit_"];
/// What plio's arguments of type text stand for, and what is nearly that.
const WORDS: &[&str] = &[
    "acme",
    "bravo",
    "coral",
    "nova",
    "zeta",
    "tenant_acme",
    "tenant_bravo",
    "tenant_nova",
    "Co\"ral ü",
    "\"Co\"\"ral ü\"",
    "public",
    "lookup",
    "plio",
    "pg_catalog",
    "information_schema",
    "pg_temp",
    "plio_reports",
    "public.board",
    "public.countries",
    "public.secrets",
    "lookup.codes",
    "lookup.counter",
    "tenant_acme.users",
    "plio.tenants",
    "public.nothing",
    "users",
    "read",
    "write",
    "READ",
    "critical",
    "warning",
    "info",
    "org",
    "id",
    "plio_admin",
    "plio_tenant",
    "plio_reporter",
    "pg_monitor",
    "nobody",
    "postgres",
    "public.\"",
    "a.b.c.d",
    "\"\"",
    "\"\".\"\"",
    ".",
    "acme ",
    "-acme",
    "ACME",
    "SELECT * FROM users",
    "SELECT count(*) FROM users",
    "SELECT 1; SELECT 2",
    "DELETE FROM users RETURNING *",
    "SELECT plio.set_tenant('coral')",
    "SELECT pg_sleep(9)",
    "SELECT * FROM \"Co\"\"ral ü\".users",
    "VALUES (1)",
    "TABLE users",
    "WITH w AS (UPDATE users SET n = 0 RETURNING *) SELECT * FROM w",
    "COPY users TO STDOUT",
    "SELECT $1",
    "SELECT name::int FROM users",
    "%s%n%I",
    "\u{202e}acme",
    "ａcme",
    "🦀",
    "a\u{301}",
    "\u{7f}\u{1b}[0m",
    "'; DROP SCHEMA plio CASCADE; --",
    "",
];

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

/// Writes scenes of calls.
struct Author<'a> {
    functions: &'a [Function],
    pools: &'a Pools,
    random: &'a mut Random,
}

impl Author<'_> {
    fn scene(&mut self, is_privileged: bool) -> Vec<Step> {
        let mut steps = vec![
            simple("ROLLBACK; RESET plio.tenant", 0),
            simple("SET statement_timeout = '2s'; SET lock_timeout = '30ms'", 0),
        ];
        let count = 1 + self.random.below(6);
        match self.random.below(10) {
            // Outside, each call a transaction.
            0..=2 => (0..count).for_each(|_| steps.push(self.step())),
            // Outside, in one transaction.
            3 | 4 => {
                steps.push(simple(
                    self.random.word(&["BEGIN", "BEGIN READ ONLY", "BEGIN ISOLATION LEVEL SERIALIZABLE"]),
                    0,
                ));
                self.guarded(count, &mut steps);
                // What was done is undone as often as it is kept.
                let keeps = !is_privileged || self.random.chance(50);
                steps.push(simple(if keeps { "COMMIT" } else { "ROLLBACK" }, 0));
            }
            5..=7 => {
                let org = self.random.word(&ORGS);
                steps.push(simple(&format!("BEGIN; SELECT plio.set_tenant('{org}')"), 0));
                self.guarded(count, &mut steps);
                steps.push(simple(self.random.word(&["COMMIT", "ROLLBACK"]), 0));
            }
            8 => {
                let org = self.random.word(&ORGS);
                steps.push(simple(&format!("SET plio.tenant = '{org}'"), 0));
                (0..count).for_each(|_| steps.push(self.step()));
            }
            _ => {
                let calls: Vec<String> = (0..count).map(|_| self.call()).collect();
                steps.push((Request::Pipeline(calls), count));
            }
        }
        steps
    }

    fn guarded(&mut self, count: usize, steps: &mut Vec<Step>) {
        for _ in 0..count {
            steps.push(simple("SAVEPOINT s", 0));
            steps.push(self.step());
            steps.push(simple(
                self.random.word(&["ROLLBACK TO s", "RELEASE s", "ROLLBACK TO s; RELEASE s"]),
                0,
            ));
        }
    }

    fn step(&mut self) -> Step {
        if self.random.chance(70) {
            return simple(&self.call(), 1);
        }
        let function = self.function();
        let values: Vec<Option<String>> = function.kinds.iter().map(|_| self.parameter()).collect();
        let places: Vec<String> = (1..=values.len()).map(|i| format!("${i}")).collect();
        (Request::Extended("", format!("SELECT {}({})", function.name, places.join(", ")), values), 1)
    }

    fn function(&mut self) -> Function {
        loop {
            let function = self.random.pick(self.functions);
            let is_slow = SLOW.iter().any(|slow| function.name.contains(slow));
            if !is_slow || self.random.chance(15) {
                return function.clone();
            }
        }
    }

    /// A call as a statement.
    fn call(&mut self) -> String {
        let function = self.function();
        // One word for all, so that what must agree does.
        let word = self.random.chance(40).then(|| literal(self.random.word(WORDS)));
        let arguments: Vec<String> = function
            .kinds
            .iter()
            .map(|kind| match &word {
                Some(word) if kind == "text" => word.clone(),
                _ => self.argument(kind),
            })
            .collect();
        let call = format!("{}({})", function.name, arguments.join(", "));
        match self.random.below(8) {
            _ if function.is_record => format!("SELECT * FROM {call} AS t (org text, a text)"),
            0 => format!("SELECT * FROM {call}"),
            1 => format!("DO $d$BEGIN PERFORM {call}; END$d$"),
            2 => format!("EXPLAIN ANALYZE SELECT {call}"),
            _ => format!("SELECT {call}"),
        }
    }

    /// A value of a type, as an expression.
    fn argument(&mut self, kind: &str) -> String {
        let random = &mut *self.random;
        match (kind, random.below(12)) {
            (_, 0) => format!("NULL::{kind}"),
            ("text", 1) => format!("repeat({}, 1000000)", literal(random.word(WORDS))),
            ("text", 2) => random
                .word(&[
                    "repeat('a', 63)",
                    "repeat('a', 64)",
                    "repeat('é', 63)",
                    "repeat('\"', 8000000)",
                    "E'\\x01\\n\\t'",
                ])
                .into(),
            ("text", 3..=10) => literal(random.word(WORDS)),
            ("text[]", _) => {
                random
                    .word(&[
                        "'{}'",
                        "'{NULL}'",
                        "'{acme,coral}'",
                        "'{{acme},{bravo}}'",
                        "'{acme,acme}'",
                        "array_fill('x'::text, '{100000}')",
                        "'[0:0]={acme}'",
                        "'{\"\"}'",
                    ])
                    .to_owned()
                    + "::text[]"
            }
            ("jsonb", 1) => "jsonb_build_object('k', repeat('x', 2000000))".into(),
            ("jsonb", 2) => "(repeat('[', 5000) || repeat(']', 5000))::jsonb".into(),
            ("bigint", 1) => random.word(&["9223372036854775807", "-9223372036854775808::bigint"]).into(),
            _ => calls::argument(kind, random, self.pools),
        }
    }

    /// A value of any type, as the text that the protocol carries.
    fn parameter(&mut self) -> Option<String> {
        let (pools, random) = (self.pools, &mut *self.random);
        match random.below(12) {
            0 => None,
            1 => Some(random.word(WORDS).repeat(50_000)),
            2 => Some(pools.oid(random)),
            3 => Some(pools.f_name(random)),
            4 => Some(pools.query(random).to_owned()),
            5 => Some(pools.text(random).to_owned()),
            6 => Some(pools.number(random)),
            7 => Some(pools.boolean(random).to_owned()),
            8 => Some(random.word(&["{}", "{acme}", "{\"a\": 1}", "99999999999999999999"]).to_owned()),
            _ => Some(random.word(WORDS).to_owned()),
        }
    }
}

fn simple(text: &str, counts: usize) -> Step {
    (Request::Simple(text.to_owned()), counts)
}
