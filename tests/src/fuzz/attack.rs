//! A run: stints of some thousand statements on one or more connections, each on freshly made tenants; in between, what
//! must not have changed is compared.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use postgres::Client;

use crate::fuzz::canary::{Canaries, Owner};
use crate::fuzz::cast::{self, Part, TURNS};
use crate::fuzz::grammar::Grammar;
use crate::fuzz::integrity;
use crate::fuzz::mutate::Corpus;
use crate::fuzz::oracle::{self, Finding, Kind};
use crate::fuzz::pools::Pools;
use crate::fuzz::probes::{self, Closing, Listeners};
use crate::fuzz::random::Random;
use crate::fuzz::scene::Author;
use crate::fuzz::session::{Session, Stint};
use crate::fuzz::summary::Summary;
use crate::fuzz::watch::watch;
use crate::fuzz::world::{Guard, Loading, ORGS, Tenants, World, run as execute};
use crate::{Cluster, Db, SUPERUSER};

/// Settings of the cluster that is attacked: the log says what the server itself has to say, not each refused statement.
pub const CONF: &[&str] = &["log_min_messages = 'log'", "log_checkpoints = off", "max_worker_processes = 4"];
/// Between two looks at the locks that are held.
const SCENES_BETWEEN_LOOKS: usize = 60;
/// Between two notifications that are another's secret.
const SCENES_BETWEEN_SECRETS: usize = 5;
/// Between two attempts of an administrator to manage what the attackers may not hold.
const SCENES_BETWEEN_MANAGEMENT: usize = 50;
/// Between two closings of a tenant under a session that is in it.
const SCENES_BETWEEN_CLOSINGS: usize = 70;

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
    /// How the library is loaded.
    pub loading: Loading,
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
            loading: Loading::Session,
            stops_when_proven: false,
            shows_progress: false,
        }
    }

    /// A short one: each of the cast has its turn.
    pub fn of_all_parts(seed: u64, statements: usize) -> Self {
        Self { stint: statements.div_ceil(TURNS.len()), ..Self::new(seed, statements) }
    }
}

/// Starts a cluster, attacks, and says what was found.
///
/// # Panics
/// When the server does not do what the attack's own preparations need.
pub fn run(attack: &Attack) -> Summary {
    let began = Instant::now();
    let cluster = Cluster::start(&[CONF, attack.loading.conf()].concat());
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
    administrator_of(&world.db)
}

/// The same, of any database.
///
/// # Panics
/// When it is refused.
pub fn administrator_of(db: &Db) -> Client {
    // After a crash, which the server's log tells of, it must come up first.
    let mut admin = db.try_connect(SUPERUSER).unwrap_or_else(|_| {
        db.cluster().wait_ready();
        db.superuser()
    });
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
    /// The tenants have been attacked.
    is_used: bool,
    /// The first connection is an administrator's.
    manages: bool,
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
        Self {
            attack,
            world,
            admin,
            grammar: Grammar::read(),
            random,
            sessions,
            log_read: 0,
            is_used: false,
            manages: false,
        }
    }

    fn is_over(&self, summary: &Summary) -> bool {
        let is_proven = summary.count_of(Kind::Leak) > 0 && summary.count_of(Kind::Change) > 0;
        (self.attack.stops_when_proven && is_proven) || summary.count_of(Kind::Crash) > 20
    }

    /// Every second stint the attacker may enter acme alone, so that bravo must not change at all. On adopted tenants it
    /// speaks inside tenants alone in the two of four in which nothing that is its own by privilege may change either.
    /// The second connection is in turn of each role of the cast.
    fn stint(&mut self, summary: &mut Summary) {
        let is_guarded = self.attack.guard == Guard::On;
        let part = if is_guarded { TURNS[summary.stints % TURNS.len()] } else { Part::Mallory };
        summary.parts.push(part);
        if part == Part::Administrator {
            self.stint_of_an_administrator(summary);
            self.read_log(summary);
            summary.stints += 1;
            return;
        }
        let is_narrow = summary.stints % 2 == 1;
        let granted = [true, !is_narrow, false];
        let speaks_outside = self.world.tenants == Tenants::OwnRole || summary.stints % 4 >= 2;
        let stint = Stint { granted, speaks_outside, reads_all: false };
        if self.is_used {
            self.world.rebuild(&mut self.admin);
        }
        self.is_used = true;
        if is_narrow {
            let revoke = format!("SELECT plio.revoke_access('{}', '{}')", self.world.attacker, ORGS[1]);
            execute(&mut self.admin, &revoke);
        }
        if !speaks_outside {
            // Nothing is left of the time without a tenant.
            self.sessions.iter_mut().for_each(|(session, _, _)| session.hang_up());
        }
        let guest = self.invite(part);
        let pools = Pools::read(&mut self.admin, self.world, &self.grammar, &mut self.random);
        summary.functions = pools.callable();
        let others: Vec<usize> = (0..ORGS.len()).filter(|tenant| !granted[*tenant]).collect();
        // What the owner of adopted schemas may do without a tenant includes what its guests' stints leave open.
        let is_open = speaks_outside || part != Part::Mallory;
        let before = integrity::snapshot(&mut self.admin, self.world, &others, is_open);
        let mut listeners = is_guarded.then(|| Listeners::begin(self.world));
        self.attack_once(self.world, &pools, [stint, guest.unwrap_or(stint)], &others, summary);
        self.read_log(summary);
        if self.admin.is_closed() || self.admin.simple_query("SELECT").is_err() {
            // The server has restarted, or somebody ended the superuser's session.
            summary.find(plain(Kind::Crash, "the superuser's connection ended".to_owned()));
            self.world.db.cluster().wait_ready();
            self.admin = administrator(self.world);
        }
        let after = integrity::snapshot(&mut self.admin, self.world, &others, is_open);
        let mut find = |kind, what: String| {
            summary.find(plain(kind, format!("in stint {} ({part:?}): {what}", summary.stints)));
        };
        for what in integrity::differences(&before, &after) {
            find(Kind::Change, what);
        }
        if is_guarded {
            integrity::carried(&mut self.admin, self.world)
                .into_iter()
                .for_each(|what| find(Kind::Carry, what));
            probes::strange_triggers(self.world).into_iter().for_each(|what| find(Kind::Rights, what));
            probes::planted_code(self.world).into_iter().for_each(|what| find(Kind::Carry, what));
            probes::audit_and_report(&mut self.admin).into_iter().for_each(|what| find(Kind::Defect, what));
            if let Some(listeners) = &mut listeners {
                listeners.heard(self.world).into_iter().for_each(|what| find(Kind::Carry, what));
            }
            if let Some((_, role)) = self.world.cast.iter().find(|(other, _)| *other == Part::Nobody) {
                probes::enumeration(self.world, role).into_iter().for_each(|what| find(Kind::Leak, what));
            }
        }
        summary.stints += 1;
    }

    /// The second connection becomes this role's; what holds for it.
    fn invite(&mut self, part: Part) -> Option<Stint> {
        let (session, _, _) = self.sessions.get_mut(1)?;
        let name = self.world.cast.iter().find(|(other, _)| *other == part).map(|(_, name)| name);
        let name = name.unwrap_or(&self.world.attacker);
        if session.role() != name {
            // Sessions for replication load no `session_preload_libraries` (docs/guarantees.md, open).
            let is_judged = self.attack.loading == Loading::Shared;
            *session = if part == Part::Replicator && is_judged {
                Session::replicating(name)
            } else {
                Session::new(name)
            };
        }
        let granted = [part == Part::Replicator, false, false];
        let guest = Stint { granted, speaks_outside: true, reads_all: false };
        (part != Part::Mallory).then_some(guest)
    }

    /// In a database of its own, since it may make and drop tenants: what counts is that nobody has become more than before.
    fn stint_of_an_administrator(&mut self, summary: &mut Summary) {
        let cluster = self.world.db.cluster();
        let world = World::build(cluster, Canaries::unknown(), self.world.tenants, Guard::On);
        let mut admin = administrator(&world);
        if world.tenants == Tenants::Adopted {
            let function = format!("{}.boom()", super::world::schema(0));
            execute(&mut admin, &format!("ALTER FUNCTION {function} OWNER TO postgres"));
        }
        let name =
            &world.cast.iter().find(|(part, _)| *part == Part::Administrator).expect("the cast is whole").1;
        let stint = Stint { granted: [true, true, false], speaks_outside: true, reads_all: true };
        let sessions = vec![
            (Session::new(name), Corpus::default(), Random::new(self.random.bits())),
            (Session::new(&world.attacker), Corpus::default(), Random::new(self.random.bits())),
        ];
        let own = std::mem::replace(&mut self.sessions, sessions);
        let own_admin = std::mem::replace(&mut self.admin, admin);
        let pools = Pools::read(&mut self.admin, &world, &self.grammar, &mut self.random);
        let before = integrity::rights(&mut self.admin, true);
        self.manages = true;
        self.attack_once(&world, &pools, [stint, stint], &[], summary);
        self.manages = false;
        if self.admin.simple_query("SELECT").is_err() {
            world.db.cluster().wait_ready();
            self.admin = administrator(&world);
        }
        let after = integrity::rights(&mut self.admin, true);
        if let Some(what) = before.zip(after).and_then(|(before, after)| integrity::changed(&before, &after))
        {
            summary.find(plain(Kind::Rights, format!("in stint {} (Administrator): {what}", summary.stints)));
        }
        // Roles that may now be more than they were are no more.
        cast::clear(&world, &mut self.admin);
        for (_, role) in &world.cast {
            execute(&mut self.admin, &format!("ALTER ROLE {role} NOSUPERUSER NOLOGIN"));
        }
        self.sessions = own;
        self.admin = own_admin;
        if self.admin.is_closed() || self.admin.simple_query("SELECT").is_err() {
            self.admin = administrator(self.world);
        }
    }

    fn attack_once(
        &mut self,
        world: &World,
        pools: &Pools,
        stints: [Stint; 2],
        others: &[usize],
        summary: &mut Summary,
    ) {
        let left = self.attack.statements.saturating_sub(summary.statements).min(self.attack.stint);
        let quota = left.div_ceil(self.sessions.len());
        let (grammar, manages) = (&self.grammar, self.manages);
        let looks = self.attack.guard == Guard::On;
        let mut admin = Some(&mut self.admin);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let watcher = looks.then(|| scope.spawn(|| watch(world, None, &is_over)));
            let workers: Vec<_> = self
                .sessions
                .iter_mut()
                .enumerate()
                .map(|(i, (session, corpus, random))| {
                    // The first connection also looks at the locks that are held, and sends what others must not hear.
                    let admin = admin.take();
                    let stint = stints[i.min(1)];
                    scope.spawn(move || {
                        let mut summary = Summary::default();
                        let mut author = Author { grammar, pools, corpus, random };
                        let mut looker = admin.map(|admin| Looker::new(admin, world, others, looks, manages));
                        while summary.statements < quota {
                            let scene = author.scene();
                            session.play(world, stint, &scene, &mut summary);
                            if let Some(looker) = &mut looker {
                                looker.look(session, author.random, &mut summary);
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
            let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            is_over.store(true, Ordering::Relaxed);
            for worker in ended {
                summary.add(worker.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            if let Some(watcher) = watcher {
                let found = watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                found.into_iter().for_each(|finding| summary.find(finding));
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

/// What is looked at between two scenes.
struct Looker<'a> {
    admin: &'a mut Client,
    world: &'a World,
    others: &'a [usize],
    /// With the guard on; the control has its own.
    looks: bool,
    manages: bool,
    scenes: usize,
    rights: Option<Vec<String>>,
}

/// Between two looks at what idle sessions hold and at rights that only the catalog of functions shows.
const SCENES_BETWEEN_LEFTOVERS: usize = 4;

impl<'a> Looker<'a> {
    fn new(admin: &'a mut Client, world: &'a World, others: &'a [usize], looks: bool, manages: bool) -> Self {
        let rights = if looks { integrity::rights(admin, manages) } else { None };
        Self { admin, world, others, looks, manages, scenes: 0, rights }
    }

    fn look(&mut self, session: &mut Session, random: &mut Random, summary: &mut Summary) {
        self.scenes += 1;
        // A superuser's definer function may have been there for a moment alone.
        if self.looks && (self.manages || self.scenes.is_multiple_of(2)) {
            self.look_at_rights(session, summary);
        }
        if self.manages {
            return;
        }
        if self.scenes.is_multiple_of(SCENES_BETWEEN_SECRETS) {
            send_canaries(self.admin, self.world);
        }
        if self.scenes.is_multiple_of(SCENES_BETWEEN_LOOKS) {
            look_at_locks(self.admin, self.world, self.others, summary);
        }
        if !self.looks {
            return;
        }
        let left = if self.scenes.is_multiple_of(SCENES_BETWEEN_LEFTOVERS) {
            integrity::left_behind(self.admin, self.world).unwrap_or_default()
        } else {
            Vec::new()
        };
        for what in left {
            summary.find(after(Kind::Lock, what, session));
            let _ = session.ask(self.world, "ROLLBACK");
            let _ = self.admin.batch_execute("ROLLBACK PREPARED 'fuzz_1'");
        }
        if self.scenes.is_multiple_of(SCENES_BETWEEN_MANAGEMENT)
            && let Some(what) = probes::management_waits(self.admin, self.world)
        {
            summary.find(after(Kind::Lock, what, session));
        }
        if self.scenes.is_multiple_of(SCENES_BETWEEN_CLOSINGS) {
            let closings = Closing::all(self.world);
            let closing = &closings[random.below(closings.len())];
            for what in probes::stale_admission(self.admin, self.world, session, closing) {
                summary.find(after(Kind::Admission, what, session));
            }
        }
    }

    fn look_at_rights(&mut self, session: &Session, summary: &mut Summary) {
        let Some(now) = integrity::rights(self.admin, self.manages) else { return };
        if let Some(what) = self.rights.as_ref().and_then(|before| integrity::changed(before, &now)) {
            summary.find(after(Kind::Rights, what, session));
        }
        self.rights = Some(now);
    }
}

/// A finding after a scene.
fn after(kind: Kind, what: String, session: &Session) -> Finding {
    Finding { before: session.lately(), ..plain(kind, what) }
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
