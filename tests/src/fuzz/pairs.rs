//! The second attacker: two sessions of an application, one that manages and one that holds locks up, step by step in a random
//! order; one thread drives them all, so that a seed gives the same steps again. What waits is left to wait, and goes on
//! being part of the scene.
//!
//! A small model ([`model`]) says what each session may see: the registry's versions from when its statement was sent to when
//! its answer came. Found are rows that no such version shows, entries that none admits, refusals that none asks for, management
//! that was done in a tenant that somebody was in, and what hangs.

pub mod model;
mod moves;
mod stage;

use std::time::Instant;

use crate::Cluster;
use crate::fuzz::attack::{CONF, plain};
use crate::fuzz::oracle::{self, Kind};
use crate::fuzz::pairs::stage::Stage;
use crate::fuzz::random::Random;
use crate::fuzz::summary::Summary;
use crate::fuzz::world::{Guard, Loading, Tenants};

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Pairs {
    /// Repeats a run.
    pub seed: u64,
    /// How many steps, in all.
    pub steps: usize,
    /// How the tenants are made.
    pub tenants: Tenants,
    /// How the library is loaded.
    pub loading: Loading,
    /// Off: the control in which foreign rows are seen.
    pub guard: Guard,
    /// The other control: management says that it has closed a tenant, and has not.
    pub lies: bool,
    /// Another database swaps the roles' names.
    pub renames_roles: bool,
    /// Ends the run with the first of these.
    pub until: Option<Kind>,
    /// Lines on stderr.
    pub shows_progress: bool,
}

impl Pairs {
    /// With the guard on and true management.
    pub fn new(seed: u64, steps: usize, tenants: Tenants) -> Self {
        Self {
            seed,
            steps,
            tenants,
            loading: Loading::Session,
            guard: Guard::On,
            lies: false,
            renames_roles: true,
            until: None,
            shows_progress: false,
        }
    }
}

/// Steps in a scene: then everybody is outside again, and what stands in the tenants is looked at.
const SCENE: usize = 60;
/// Scenes on one database.
const SCENES: usize = 60;

/// Starts a cluster, plays, and says what was found.
///
/// # Panics
/// When the server does not do what the preparations need.
pub fn run(pairs: &Pairs) -> Summary {
    let began = Instant::now();
    let cluster = Cluster::start(&[CONF, pairs.loading.conf(), &["deadlock_timeout = '100ms'"]].concat());
    let mut random = Random::new(pairs.seed);
    let mut summary = Summary { seed: pairs.seed, ..Summary::default() };
    let (mut shown, mut log_read) = (0, 0);
    let is_over = |summary: &Summary| pairs.until.is_some_and(|kind| summary.count_of(kind) > 0);
    while summary.statements < pairs.steps && summary.count_of(Kind::Crash) < 10 && !is_over(&summary) {
        let mut stage = Stage::build(&cluster, pairs);
        for _ in 0..SCENES {
            let steps = SCENE.min(pairs.steps.saturating_sub(summary.statements));
            if steps == 0 || is_over(&summary) {
                break;
            }
            let ended = stage.scene(steps, &mut random, &mut summary);
            let log = cluster.log();
            let dead = oracle::crashes(log.get(log_read..).unwrap_or_default());
            log_read = log.len();
            let is_dead = !dead.is_empty();
            dead.into_iter().for_each(|what| summary.find(plain(Kind::Crash, what)));
            if let Err(error) = &ended {
                summary.find(stage.finding(Kind::Crash, format!("a connection ended: {error}")));
            }
            if ended.is_err() || is_dead {
                cluster.wait_ready();
                break;
            }
        }
        summary.stints += 1;
        summary.took = began.elapsed();
        if pairs.shows_progress {
            summary.findings[shown..].iter().for_each(|finding| eprintln!("{finding}\n"));
            shown = summary.findings.len();
            let seconds = summary.took.as_secs_f64();
            eprintln!("pairs: {} steps, {seconds:.0} s, {:?}", summary.statements, summary.found);
        }
    }
    summary.took = began.elapsed();
    summary
}
