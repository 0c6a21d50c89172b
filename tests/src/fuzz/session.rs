//! One attacking connection: sends the steps of a scene in batches and judges each answer.

use std::collections::VecDeque;
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

/// A connection and what it sent lately.
#[derive(Debug)]
pub struct Session {
    wire: Option<Wire>,
    before: VecDeque<String>,
    /// The tenant that was in force last.
    last: String,
}

impl Session {
    /// Not yet connected.
    pub fn new() -> Self {
        Self { wire: None, before: VecDeque::new(), last: String::new() }
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
    pub fn play(&mut self, world: &World, granted: &[bool; 3], steps: &[Step], summary: &mut Summary) {
        let mut rest = steps;
        while !rest.is_empty() {
            let alone = usize::from(rest[0].0.may_copy_in());
            let until = rest.iter().position(|(request, _)| request.may_copy_in()).unwrap_or(rest.len());
            let size = if alone == 1 { 1 } else { until.min(BATCH) };
            let (batch, later) = rest.split_at(size);
            rest = later;
            if let Err(error) = self.batch(world, granted, batch, summary) {
                self.lost(world, &error, summary);
                return;
            }
        }
    }

    fn batch(
        &mut self,
        world: &World,
        granted: &[bool; 3],
        steps: &[Step],
        summary: &mut Summary,
    ) -> io::Result<()> {
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => connect(world)?,
        };
        let requests: Vec<Request> = steps.iter().map(|(request, _)| request.clone()).collect();
        let mut before = wire.tenant().to_owned();
        wire.send(&requests)?;
        for (request, counts) in steps {
            let text = request.text();
            let sent = format!("[{before}] {text}");
            self.remember(&sent);
            let answer = wire.receive()?;
            summary.count(*counts, answer.failure.as_ref().map_or("00000", |failure| &failure.code));
            let leaks = oracle::leaks(&world.canaries, granted, &before, &self.last, &text, &answer);
            if !leaks.is_empty() {
                let what = format!("{leaks:?} in {}", excerpt(answer.bytes));
                summary.find(self.finding(Kind::Leak, what, &sent));
            }
            if let Some(failure) = &answer.failure
                && oracle::is_internal(failure)
            {
                let what = format!("{} {} ({})", failure.code, failure.message, failure.file);
                summary.find(self.finding(Kind::Internal, what, &sent));
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
        let last = self.before.back().cloned().unwrap_or_default();
        summary.find(self.finding(Kind::Crash, format!("the connection ended: {error}"), &last));
        world.db.cluster().wait_ready();
    }
}

fn connect(world: &World) -> io::Result<Wire> {
    let cluster: &Cluster = world.db.cluster();
    Wire::connect(cluster.socket_dir(), cluster.port(), &world.attacker, world.db.name())
}

/// The printable part of an answer's beginning.
fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(700).collect()
}
