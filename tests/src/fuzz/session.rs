//! One attacking connection: sends the steps of a scene in batches and judges each answer.

use std::collections::{HashMap, VecDeque};
use std::io;

use crate::Cluster;
use crate::fuzz::oracle::{self, Finding, Kind};
use crate::fuzz::scene::Step;
use crate::fuzz::summary::Summary;
use crate::fuzz::wire::{Request, Wire};
use crate::fuzz::world::World;

/// Requests under way at once: what they and their answers need fits into the socket's buffers.
const BATCH: usize = 24;
/// What a finding says of the time before.
const REMEMBERED: usize = 40;

/// What holds for a stint.
#[derive(Clone, Copy, Debug)]
pub struct Stint {
    /// The tenants that the attacker may enter.
    pub granted: [bool; 3],
    /// Whether it also speaks while no tenant is set.
    pub speaks_outside: bool,
    /// Whether the role may read every tenant's rows anyhow: an administrator, a reporter.
    pub reads_all: bool,
}

/// A connection and what it sent lately.
#[derive(Debug)]
pub struct Session {
    role: String,
    wire: Option<Wire>,
    before: VecDeque<String>,
    /// What was parsed under a name of the protocol.
    parsed: HashMap<&'static str, VecDeque<String>>,
    /// The tenant that was in force last.
    last: String,
}

impl Session {
    /// Of a role; not yet connected.
    pub fn new(role: &str) -> Self {
        Self {
            role: role.to_owned(),
            wire: None,
            before: VecDeque::new(),
            parsed: HashMap::new(),
            last: String::new(),
        }
    }

    /// Ends an open transaction; the session's tenant and its leftovers stay.
    pub fn settle(&mut self) {
        if let Some(wire) = &mut self.wire {
            let request = [Request::Simple("ROLLBACK".into())];
            if wire.send(&request).is_err() || wire.receive().is_err() {
                self.wire = None;
            }
        }
    }

    /// The connection is given up: the next scene opens a new one.
    pub fn hang_up(&mut self) {
        self.wire = None;
    }

    /// Plays a scene.
    pub fn play(&mut self, world: &World, stint: Stint, steps: &[Step], summary: &mut Summary) {
        let mut rest = steps;
        while !rest.is_empty() {
            let alone = usize::from(rest[0].0.goes_alone());
            let until = rest.iter().position(|(request, _)| request.goes_alone()).unwrap_or(rest.len());
            let size = if alone == 1 || !stint.speaks_outside { 1 } else { until.min(BATCH) };
            let (batch, later) = rest.split_at(size);
            rest = later;
            if !stint.speaks_outside && !self.stays_inside(&batch[0]) {
                continue;
            }
            if let Err(error) = self.batch(world, stint, batch, summary) {
                self.lost(world, &error, summary);
                return;
            }
        }
    }

    /// Savepoints and the like say nothing by themselves.
    fn stays_inside(&self, (request, counts): &Step) -> bool {
        let tenant = self.wire.as_ref().map_or("", Wire::tenant);
        *counts == 0 || oracle::stays_inside(tenant, &request.text())
    }

    fn batch(
        &mut self,
        world: &World,
        stint: Stint,
        steps: &[Step],
        summary: &mut Summary,
    ) -> io::Result<()> {
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            // ALTER ROLE CURRENT_USER SET local_preload_libraries, of a library that is none, keeps the role out.
            None => self.connect(world).or_else(|_| {
                world.settle_login(&self.role);
                self.connect(world)
            })?,
        };
        let requests: Vec<Request> = steps.iter().map(|(request, _)| request.clone()).collect();
        let mut before = wire.tenant().to_owned();
        wire.send(&requests)?;
        for (request, counts) in steps {
            let text = self.full_text(request);
            let sent = format!("[{before}] {text}");
            self.remember(&sent);
            let answer = wire.receive()?;
            summary.count(*counts, answer.failure.as_ref().map_or("00000", |failure| &failure.code));
            let leaks = oracle::leaks(world, stint, &before, &self.last, &text, &answer);
            if !leaks.is_empty() {
                let what = format!("{leaks:?} in {}", excerpt(answer.bytes));
                summary.find(self.finding(Kind::Leak, what, &sent));
            }
            let fault = answer.failure.as_ref().and_then(|failure| Some((oracle::fault(failure)?, failure)));
            if let Some((kind, failure)) = fault {
                let what = format!("{} {} ({})", failure.code, failure.message, failure.file);
                summary.find(self.finding(kind, what, &sent));
            }
            before.clear();
            before.push_str(answer.tenant);
            if !before.is_empty() {
                self.last.clone_from(&before);
            }
        }
        self.wire = Some(wire);
        Ok(())
    }

    fn connect(&self, world: &World) -> io::Result<Wire> {
        let cluster: &Cluster = world.db.cluster();
        Wire::connect(cluster.socket_dir(), cluster.port(), &self.role, world.db.name())
    }

    /// With the text that a bound statement was parsed from: one of the last, since parsing may have failed.
    fn full_text(&mut self, request: &Request) -> String {
        let text = request.text();
        let (Request::Extended(name, ..) | Request::Bound(name, _)) = request else { return text };
        let known = self.parsed.entry(name).or_default();
        if matches!(request, Request::Bound(..)) {
            return format!("{text} {known:?}");
        }
        if !name.is_empty() {
            known.truncate(3);
            known.push_front(text.clone());
        }
        text
    }

    fn remember(&mut self, sent: &str) {
        if self.before.len() == REMEMBERED {
            self.before.pop_front();
        }
        self.before.push_back(sent.chars().take(600).collect());
    }

    fn finding(&self, kind: Kind, what: String, statement: &str) -> Finding {
        let before = self.before.iter().take(self.before.len().saturating_sub(1)).cloned().collect();
        Finding { kind, what, statement: statement.to_owned(), before }
    }

    fn lost(&mut self, world: &World, error: &io::Error, summary: &mut Summary) {
        self.wire = None;
        let is_timeout = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        if is_timeout && world.end_endless(&self.role) {
            return;
        }
        let last = self.before.back().cloned().unwrap_or_default();
        summary.find(self.finding(Kind::Crash, format!("the connection ended: {error}"), &last));
        world.db.cluster().wait_ready();
    }
}

/// The printable part of an answer's beginning.
fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(700).collect()
}
