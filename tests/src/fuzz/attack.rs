//! A run: stints of some thousand statements on one or more connections, each on freshly made tenants; in between, what
//! must not have changed is compared.

use std::thread;
use std::time::Instant;

use postgres::Client;

use crate::Cluster;
use crate::fuzz::canary::{Canaries, Owner};
use crate::fuzz::grammar::Grammar;
use crate::fuzz::integrity;
use crate::fuzz::mutate::Corpus;
use crate::fuzz::oracle::{self, Finding, Kind};
use crate::fuzz::pools::Pools;
use crate::fuzz::random::Random;
use crate::fuzz::scene::Author;
use crate::fuzz::session::{Session, Stint};
use crate::fuzz::summary::Summary;
use crate::fuzz::world::{Guard, ORGS, Tenants, World, run as execute};

/// Settings of the cluster that is attacked: the log says what the server itself has to say, not each refused statement.
pub const CONF: &[&str] = &["log_min_messages = 'log'", "log_checkpoints = off", "max_worker_processes = 4"];
/// Between two looks at the locks that are held.
const SCENES_BETWEEN_LOOKS: usize = 60;
/// Between two notifications that are another's secret.
const SCENES_BETWEEN_SECRETS: usize = 5;

/// What to do.
#[derive(Clone, Debug)]
pub struct Attack {
    /// Repeats a run.
    pub seed: u64,
    /// How many statements, in all.
    pub statements: usize,
    /// How many connections at once.
    pub connections: usize,
    /// Statements in a stint.
    pub stint: usize,
    /// How the tenants are made.
    pub tenants: Tenants,
    /// What stands in the attacker's way.
    pub guard: Guard,
    /// Ends the run once a leak and a change were found: for the control.
    pub stops_when_proven: bool,
    /// Lines on stderr.
    pub shows_progress: bool,
}

impl Attack {
    /// With the guard on, tenants with roles of their own, two connections.
    pub fn new(seed: u64, statements: usize) -> Self {
        Self {
            seed,
            statements,
            connections: 2,
            stint: 12_000,
            tenants: Tenants::OwnRole,
            guard: Guard::On,
            stops_when_proven: false,
            shows_progress: false,
        }
    }
}

/// Starts a cluster, attacks, and says what was found.
///
/// # Panics
/// When the server does not do what the attack's own preparations need.
pub fn run(attack: &Attack) -> Summary {
    let began = Instant::now();
    let cluster = Cluster::start(CONF);
    let world = World::build(&cluster, Canaries::unknown(), attack.tenants, attack.guard);
    let mut run = Run::new(attack, &world);
    let mut shown = 0;
    let mut summary = Summary { seed: attack.seed, ..Summary::default() };
    while summary.statements < attack.statements && !run.is_over(&summary) {
        run.stint(&mut summary);
        summary.took = began.elapsed();
        if attack.shows_progress {
            summary.findings[shown..].iter().for_each(|finding| eprintln!("{finding}\n"));
            shown = summary.findings.len();
            let rate = summary.statements as f64 / summary.took.as_secs_f64();
            eprintln!("fuzz: {} statements, {rate:.0} a second, {:?}", summary.statements, summary.found);
        }
    }
    summary.took = began.elapsed();
    summary
}

/// The superuser's connection. Nothing that the attacker left may hold its looks up.
///
/// # Panics
/// When it is refused.
pub fn administrator(world: &World) -> Client {
    let mut admin = world.db.superuser();
    execute(&mut admin, "SET statement_timeout = '20s'");
    admin
}

struct Run<'a> {
    attack: &'a Attack,
    world: &'a World,
    admin: Client,
    grammar: Grammar,
    random: Random,
    sessions: Vec<(Session, Corpus, Random)>,
    log_read: usize,
}

impl<'a> Run<'a> {
    fn new(attack: &'a Attack, world: &'a World) -> Self {
        let random = Random::new(attack.seed);
        let sessions = (0..attack.connections)
            .map(|i| {
                (
                    Session::new(&world.attacker),
                    Corpus::default(),
                    Random::new(attack.seed.wrapping_add(1 + i as u64)),
                )
            })
            .collect();
        let admin = administrator(world);
        Self { attack, world, admin, grammar: Grammar::read(), random, sessions, log_read: 0 }
    }

    fn is_over(&self, summary: &Summary) -> bool {
        let is_proven = summary.count_of(Kind::Leak) > 0 && summary.count_of(Kind::Change) > 0;
        (self.attack.stops_when_proven && is_proven) || summary.count_of(Kind::Crash) > 20
    }

    /// Every second stint the attacker may enter acme alone, so that bravo must not change at all. On adopted tenants it
    /// speaks inside tenants alone in the two of four in which nothing that is its own by privilege may change either.
    fn stint(&mut self, summary: &mut Summary) {
        let is_narrow = summary.stints % 2 == 1;
        let granted = [true, !is_narrow, false];
        let speaks_outside = self.world.tenants == Tenants::OwnRole || summary.stints % 4 >= 2;
        let stint = Stint { granted, speaks_outside, reads_all: false };
        if summary.stints > 0 {
            self.world.rebuild(&mut self.admin);
        }
        if is_narrow {
            let revoke = format!("SELECT plio.revoke_access('{}', '{}')", self.world.attacker, ORGS[1]);
            execute(&mut self.admin, &revoke);
        }
        if !speaks_outside {
            // Nothing is left of the time without a tenant.
            self.sessions.iter_mut().for_each(|(session, _, _)| session.hang_up());
        }
        let pools = Pools::read(&mut self.admin, self.world, &self.grammar, &mut self.random);
        summary.functions = pools.callable();
        let others: Vec<usize> = (0..ORGS.len()).filter(|tenant| !granted[*tenant]).collect();
        let before = integrity::snapshot(&mut self.admin, self.world, &others, speaks_outside);
        self.attack_once(&pools, stint, &others, summary);
        self.read_log(summary);
        if self.admin.is_closed() || self.admin.simple_query("SELECT").is_err() {
            // The server has restarted, or somebody ended the superuser's session.
            summary.find(plain(Kind::Crash, "the superuser's connection ended".to_owned()));
            self.world.db.cluster().wait_ready();
            self.admin = administrator(self.world);
        }
        let after = integrity::snapshot(&mut self.admin, self.world, &others, speaks_outside);
        for what in integrity::differences(&before, &after) {
            summary.find(plain(Kind::Change, format!("in stint {}: {what}", summary.stints)));
        }
        summary.stints += 1;
    }

    fn attack_once(&mut self, pools: &Pools, stint: Stint, others: &[usize], summary: &mut Summary) {
        let left = self.attack.statements.saturating_sub(summary.statements).min(self.attack.stint);
        let quota = left.div_ceil(self.sessions.len());
        let (world, grammar) = (self.world, &self.grammar);
        let mut admin = Some(&mut self.admin);
        thread::scope(|scope| {
            let workers: Vec<_> = self
                .sessions
                .iter_mut()
                .map(|(session, corpus, random)| {
                    // The first connection also looks at the locks that are held, and sends what others must not hear.
                    let mut admin = admin.take();
                    scope.spawn(move || {
                        let mut summary = Summary::default();
                        let mut author = Author { grammar, pools, corpus, random };
                        let mut scenes = 0;
                        while summary.statements < quota {
                            let scene = author.scene();
                            session.play(world, stint, &scene, &mut summary);
                            scenes += 1;
                            let Some(admin) = &mut admin else { continue };
                            if scenes % SCENES_BETWEEN_LOOKS == 0 {
                                look_at_locks(admin, world, others, &mut summary);
                            }
                            if scenes % SCENES_BETWEEN_SECRETS == 0 {
                                send_canaries(admin, world);
                            }
                        }
                        // A new connection now and then: nothing is cached in it.
                        if author.random.chance(30) {
                            session.hang_up()
                        } else {
                            session.settle()
                        }
                        summary
                    })
                })
                .collect();
            for worker in workers {
                summary.add(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
        });
    }

    fn read_log(&mut self, summary: &mut Summary) {
        let log = self.world.db.cluster().log();
        let new = log.get(self.log_read..).unwrap_or_default();
        for what in oracle::crashes(new) {
            summary.find(plain(Kind::Crash, what));
        }
        self.log_read = log.len();
    }
}

/// Tells each tenant's listeners a secret of that tenant's. A tenant that is being made anew is left out.
fn send_canaries(admin: &mut Client, world: &World) {
    for (tenant, org) in ORGS.iter().enumerate() {
        let digits = world.canaries.digits(Owner::Tenant(tenant));
        let send = format!("BEGIN; SELECT plio.set_tenant('{org}'); NOTIFY fuzz, '{digits}'; COMMIT");
        if admin.batch_execute(&send).is_err() {
            let _ = admin.batch_execute("ROLLBACK");
        }
    }
}

/// The answer to a look that fails is the end of the stint, which finds out why.
fn look_at_locks(admin: &mut Client, world: &World, others: &[usize], summary: &mut Summary) {
    for what in integrity::foreign_locks(admin, &world.attacker, others).unwrap_or_default() {
        summary.find(plain(Kind::Lock, what));
    }
}

/// A finding that no statement stands for.
pub fn plain(kind: Kind, what: String) -> Finding {
    Finding { kind, what, statement: String::new(), before: Vec::new() }
}
