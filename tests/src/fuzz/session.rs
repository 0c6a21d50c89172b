//! One attacking connection: sends the steps of a scene in batches and judges each answer.

use std::collections::{HashMap, VecDeque};
use std::io;

use crate::Cluster;
use crate::fuzz::canary::Owner;
use crate::fuzz::oracle::{self, Finding, Kind};
use crate::fuzz::scene::Step;
use crate::fuzz::summary::Summary;
use crate::fuzz::wire::{Answer, Failure, Request, Wire};
use crate::fuzz::world::{ORGS, World};

/// Requests under way at once: what they and their answers need fits into the socket's buffers.
const BATCH: usize = 24;
/// What a finding says of the time before.
const REMEMBERED: usize = 40;

/// Names that drivers give to their statements.
pub const DRIVERS: [&str; 2] = ["_pg3_0", "S_1"];

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
    /// Connects as for replication.
    replicates: bool,
    /// The last entry was refused: no tenant may be in force until the next.
    is_out: bool,
    /// The first tenant was in force in this scene.
    was_in: bool,
    /// The driver's statement was prepared in this scene.
    has_prepared: bool,
    /// Who the session said it was when no tenant was set.
    who: Option<String>,
}

impl Session {
    /// Of a role; not yet connected.
    pub fn new(role: &str) -> Self {
        Self {
            role: role.to_owned(),
            wire: None,
            before: VecDeque::new(),
            parsed: HashMap::new(),
            replicates: false,
            is_out: false,
            was_in: false,
            has_prepared: false,
            who: None,
        }
    }

    /// Of a role that connects as for replication: it sends SQL all the same.
    pub fn replicating(role: &str) -> Self {
        Self { replicates: true, ..Self::new(role) }
    }

    /// Whose it is.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// What it sent lately, oldest first.
    pub fn lately(&self) -> Vec<String> {
        self.before.iter().cloned().collect()
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
        self.who = None;
        self.has_prepared = false;
        self.is_out = false;
        self.was_in = false;
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
            let code = answer.failure.as_ref().map_or("00000", |failure| &failure.code);
            summary.count(*counts, code);
            self.recall(answer.failure.as_ref());
            let leaks = oracle::leaks(world, stint, &before, &text, &answer);
            if !leaks.is_empty() {
                let what = format!("{leaks:?} in {}", excerpt(answer.bytes));
                summary.find(self.finding(Kind::Leak, what, &sent));
            }
            let fault = answer.failure.as_ref().and_then(|failure| Some((oracle::fault(failure)?, failure)));
            if let Some((kind, failure)) = fault {
                let what = format!("{} {} ({})", failure.code, failure.message, failure.file);
                summary.find(self.finding(kind, what, &sent));
            }
            for (kind, what) in self.strange(stint, &before, request, &text, &answer) {
                summary.find(self.finding(kind, what, &sent));
            }
            before.clear();
            before.push_str(answer.tenant);
        }
        self.wire = Some(wire);
        Ok(())
    }

    /// What is wrong with an answer beside what it shows.
    fn strange(
        &mut self,
        stint: Stint,
        before: &str,
        request: &Request,
        text: &str,
        answer: &Answer<'_>,
    ) -> Vec<(Kind, String)> {
        let mut strange = Vec::new();
        if oracle::shows_backtrace(answer.bytes) {
            strange.push((Kind::Refusal, "a backtrace".to_owned()));
        }
        // Of what the first tenant left, the second says; of settings, who is outside. A refused switch is no switch.
        let asks_outside = text.contains("kept:setting") || text.contains("kept:left");
        let asked_in = if asks_outside { "" } else { ORGS[1] };
        // What was done where the first tenant had not been entered at all is the session's own.
        let is_own = !text.contains("kept:setting") && !self.was_in;
        self.was_in |= answer.tenant == ORGS[0];
        if let Some(what) = oracle::kept(text, answer).filter(|_| before == asked_in && !is_own) {
            strange.push((Kind::Carry, format!("kept: {what}")));
        }
        if let Some(who) = oracle::who(text, answer).filter(|_| before.is_empty()) {
            match &self.who {
                Some(set) if *set != who => {
                    strange.push((Kind::Rights, format!("{set} is {who} after a tenant")));
                }
                _ => {}
            }
            self.who = Some(who);
        }
        if text.to_ascii_lowercase().contains(" role") {
            self.who = None;
        }
        // The client itself leaves a session's tenant whenever it likes, but for the limits on its own statements and locks.
        let is_cut_off = |failure: &Failure| ["57014", "55P03", "40P01"].contains(&failure.code.as_str());
        if let Some(failure) = answer.failure.as_ref().filter(|failure| !is_cut_off(failure))
            && text == "RESET plio.tenant"
            && answer.status == b'I'
        {
            strange.push((Kind::Refusal, format!("not left: {} {}", failure.code, failure.message)));
        }
        // A session's tenant: refused outside a transaction, so nothing is rolled back to.
        if oracle::is_refused_entry(text) && answer.status == b'I' {
            self.is_out = answer.failure.is_some();
        } else if oracle::may_enter(text) || text.to_ascii_lowercase().contains("reset all") {
            self.is_out = false;
        } else if self.is_out && !stint.reads_all && answer.failure.is_none() && !answer.tenant.is_empty() {
            let reads = text.to_ascii_lowercase().contains("from users");
            if reads {
                strange.push((Kind::Admission, format!("{} after a refused SET", answer.tenant)));
            }
        }
        // What the driver prepared is what runs.
        match request {
            Request::Extended(name, ..) if DRIVERS.contains(name) => {
                self.has_prepared |= answer.failure.is_none();
            }
            Request::Bound(name, parameters) if DRIVERS.contains(name) => {
                strange.extend(self.driver(parameters, answer));
                self.has_prepared = false;
            }
            _ => {}
        }
        strange
    }

    fn driver(&self, parameters: &[Option<String>], answer: &Answer<'_>) -> Option<(Kind, String)> {
        let [Some(wanted)] = parameters else { return None };
        let code = answer.failure.as_ref().map(|failure| failure.code.as_str());
        match code {
            None if answer.tenant != wanted.as_str() => Some((
                Kind::Admission,
                format!("the driver asked for {wanted} and is in {:?}", answer.tenant),
            )),
            // Nobody but SQL inside the tenant can have removed it.
            Some("26000") if self.has_prepared => {
                Some((Kind::Change, "the driver's statement is gone".to_owned()))
            }
            _ => None,
        }
    }

    fn connect(&self, world: &World) -> io::Result<Wire> {
        let cluster: &Cluster = world.db.cluster();
        let database = world.db.name();
        Wire::connect_as(cluster.socket_dir(), cluster.port(), &self.role, database, self.replicates)
    }

    /// With the text that a bound statement was parsed from: one of the last, since parsing may have failed.
    fn full_text(&mut self, request: &Request) -> String {
        let text = request.text();
        let (Request::Extended(name, ..) | Request::Bound(name, _)) = request else { return text };
        if DRIVERS.contains(name) {
            return format!("{text} /* plio.set_tenant */");
        }
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

    /// What came of the statement that was remembered last.
    fn recall(&mut self, failure: Option<&Failure>) {
        let (Some(last), Some(failure)) = (self.before.back_mut(), failure) else { return };
        last.push_str("  -> ");
        last.push_str(&failure.code);
        if failure.file.ends_with(".rs") {
            last.push(' ');
            last.push_str(&failure.message);
        }
    }

    fn finding(&self, kind: Kind, what: String, statement: &str) -> Finding {
        let before = self.before.iter().take(self.before.len().saturating_sub(1)).cloned().collect();
        Finding { kind, what: format!("{}: {what}", self.role), statement: statement.to_owned(), before }
    }

    /// Sends one statement outside of any scene: the tenant in force afterwards, or the error.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn ask(&mut self, world: &World, sql: &str) -> io::Result<Result<String, Failure>> {
        Ok(self.ask_for(world, Request::Simple(sql.to_owned()))?.0)
    }

    /// The same for any request, and whose canaries came back.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn ask_for(
        &mut self,
        world: &World,
        request: Request,
    ) -> io::Result<(Result<String, Failure>, Vec<Owner>)> {
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => self.connect(world)?,
        };
        self.remember(&format!("[{}] {}", wire.tenant(), request.text()));
        wire.send(&[request])?;
        let answer = wire.receive()?;
        self.recall(answer.failure.as_ref());
        let seen = world.canaries.seen(answer.bytes).collect();
        let said = match answer.failure {
            Some(failure) => Err(failure),
            None => Ok(answer.tenant.to_owned()),
        };
        self.wire = Some(wire);
        Ok((said, seen))
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
