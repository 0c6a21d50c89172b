//! The sessions, what each is waiting for, and the judge.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use postgres::Client;

use crate::fuzz::attack::{administrator_of, plain};
use crate::fuzz::oracle::{Finding, Kind};
use crate::fuzz::pairs::Pairs;
use crate::fuzz::pairs::model::{Model, Registry, Shared};
use crate::fuzz::pairs::moves::{self, Change, Move};
use crate::fuzz::random::Random;
use crate::fuzz::summary::Summary;
use crate::fuzz::wire::{Answer, Failure, Request, Wire};
use crate::fuzz::world::{Guard, run as execute};
use crate::{Cluster, Db, SUPERUSER};

/// What is not answered by then is left to wait.
const MOMENT: Duration = Duration::from_millis(15);
/// When everybody waits, somebody's limit or the look for deadlocks ends it long before.
const LIMIT: Duration = Duration::from_secs(20);
const REMEMBERED: usize = 300;
/// Catalogs that look-ups of ours read: locked up for a while.
const CATALOGS: [&str; 7] = [
    "pg_authid",
    "pg_auth_members",
    "plio.tenants",
    "plio.access",
    "plio.shares",
    "pg_namespace",
    "pg_extension",
];

/// What a change ends with that somebody's lock was in the way of.
const WAITED: [&str; 4] = ["55P03", "55006", "40P01", "57014"];

/// A session of the application.
#[derive(Debug)]
struct Player {
    /// Its role's place.
    role: usize,
    wire: Wire,
    /// The step that is not answered yet, and the version in which it was sent.
    waits: Option<(Move, usize, String)>,
    /// In this block the session was in a tenant: its number, and the version in which it was admitted.
    inside: Option<(usize, usize)>,
    /// In this block a statement was judged in the tenant, whichever it is by number: the version in which it was sent.
    judged: Option<usize>,
    /// The last version of which the session is known to have run a statement, for a session's tenant kept in autocommit.
    is_block: bool,
}

/// Everything of one database.
#[derive(Debug)]
pub struct Stage {
    pairs: Pairs,
    db: Db,
    model: Model,
    players: Vec<Player>,
    manager: Wire,
    elsewhere: Wire,
    staller: Wire,
    /// The change under way, its messages that are still to be sent, and where it runs.
    change: Option<(Change, VecDeque<String>)>,
    stalls: bool,
    stall_waits: bool,
    made: usize,
    canary: u64,
    before: VecDeque<String>,
}

impl Stage {
    /// A database with the extension, two roles, a table in `public`; tenants are made by the first steps.
    ///
    /// # Panics
    /// When the server does not do it.
    pub fn build(cluster: &Cluster, pairs: &Pairs) -> Self {
        let db = cluster.database("pairs");
        db.extension();
        let names = [db.login_role("one"), db.login_role("other")];
        let mut admin = db.superuser();
        execute(
            &mut admin,
            &format!(
                "CREATE TABLE public.sh (n int); INSERT INTO public.sh VALUES (1); GRANT SELECT, UPDATE ON public.sh TO {0}, {1};
                 CREATE SCHEMA lookup; GRANT USAGE ON SCHEMA lookup TO PUBLIC;
                 CREATE FUNCTION lookup.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO journal VALUES (NEW.who); RETURN NULL; END'",
                names[0], names[1]
            ),
        );
        for name in &names {
            execute(
                &mut admin,
                &format!(
                    "ALTER ROLE {name} SET lock_timeout = '300ms'; ALTER ROLE {name} SET statement_timeout = '8s'"
                ),
            );
            if pairs.guard == Guard::Off {
                execute(&mut admin, &format!("ALTER ROLE {name} SET plio.enforcement = off"));
            }
        }
        let wire = |role: &str, database: &str| {
            Wire::connect(cluster.socket_dir(), cluster.port(), role, database)
                .unwrap_or_else(|error| panic!("{role}: {error}"))
        };
        let player = |role: usize| Player {
            role,
            wire: wire(&names[role], db.name()),
            waits: None,
            inside: None,
            judged: None,
            is_block: false,
        };
        let players = vec![player(0), player(1), player(0)];
        let (mut manager, elsewhere) = (wire(SUPERUSER, db.name()), wire(SUPERUSER, "postgres"));
        let settle = [Request::Simple("SET lock_timeout = '400ms'".to_owned())];
        manager.send(&settle).and_then(|()| manager.receive().map(drop)).expect("the manager's connection");
        let staller = wire(SUPERUSER, db.name());
        let canary = crate::fuzz::canary::Canaries::unknown();
        let canary = canary.digits(crate::fuzz::canary::Owner::Unshared)[..9].parse().unwrap_or(1);
        Self {
            pairs: *pairs,
            db,
            model: Model::new(names),
            players,
            manager,
            elsewhere,
            staller,
            change: None,
            stalls: false,
            stall_waits: false,
            made: 0,
            canary,
            before: VecDeque::new(),
        }
    }

    /// A finding, with the steps before it.
    pub fn finding(&self, kind: Kind, what: String) -> Finding {
        Finding { before: self.before.iter().cloned().collect(), ..plain(kind, what) }
    }

    /// Plays a scene; at its end nobody is in a tenant, and what stands in the tenants is their own.
    ///
    /// # Errors
    /// A connection is gone.
    pub fn scene(&mut self, steps: usize, random: &mut Random, summary: &mut Summary) -> io::Result<()> {
        for _ in 0..steps {
            summary.count(1, "");
            self.poll(Duration::from_micros(200), summary)?;
            match random.below(100) {
                0..=74 => self.play(random, summary)?,
                75..=91 => self.manage(random, summary)?,
                92..=93 => self.overtake(random, summary)?,
                _ => self.stall(random)?,
            }
        }
        self.end(random, summary)
    }

    fn remember(&mut self, who: &str, text: &str) {
        if self.before.len() == REMEMBERED {
            self.before.pop_front();
        }
        self.before.push_back(format!("{who}: {text}"));
    }

    fn play(&mut self, random: &mut Random, summary: &mut Summary) -> io::Result<()> {
        let at = random.below(self.players.len());
        if self.players[at].waits.is_some() {
            return Ok(());
        }
        let player = &self.players[at];
        let (status, tenant) = (player.wire.status(), player.wire.tenant().to_owned());
        let next = moves::of_session(random, self.model.last(), status, &tenant);
        self.say(at, next, MOMENT, summary)
    }

    fn say(&mut self, at: usize, next: Move, limit: Duration, summary: &mut Summary) -> io::Result<()> {
        let player = &mut self.players[at];
        let tenant = player.wire.tenant().to_owned();
        let request = match &next {
            Move::Held => Request::Held("h"),
            _ => Request::Simple(next.sql().to_owned()),
        };
        player.wire.send(&[request])?;
        let text = format!("[{tenant}] {}", next.sql());
        player.waits = Some((next, self.model.now(), tenant));
        let who = format!("session {at} (role {}, process {})", player.role, player.wire.process());
        self.remember(&who, &text);
        self.hear(at, limit, summary)
    }

    /// The answer of a session, if it comes within the limit.
    fn hear(&mut self, at: usize, limit: Duration, summary: &mut Summary) -> io::Result<()> {
        let player = &mut self.players[at];
        let Some((said, since, tenant)) = player.waits.clone() else { return Ok(()) };
        let Some(answer) = player.wire.receive_within(limit)? else { return Ok(()) };
        player.waits = None;
        let code = answer.failure.as_ref().map_or("00000", |failure| failure.code.as_str()).to_owned();
        summary.count(0, &code);
        let (role, inside, judged) = (player.role, player.inside, player.judged);
        let heard = Heard { said: &said, since, tenant: &tenant, role, inside, judged };
        let seen = numbers(answer.bytes, self.canary, self.made);
        let found = judge(&self.model, &heard, &seen, &answer);
        let (status, after, is_done) = (answer.status, answer.tenant.to_owned(), answer.failure.is_none());
        let is_strict = is_done && matches!(said, Move::Enter(..)) && status == b'T';
        let player = &mut self.players[at];
        player.is_block = status != b'I';
        if !player.is_block || after != tenant || code != "00000" {
            player.judged = None;
        } else if said.is_judged() && !after.is_empty() {
            // It shows no tenant's rows, but what it admitted goes on to the end of the block.
            player.judged = player.judged.or(Some(since));
        }
        if !player.is_block {
            player.inside = None;
        } else if after.is_empty() {
            // A savepoint may have taken the tenant back; its lock may be gone with it.
            player.inside = None;
        } else if is_done && player.inside.is_none() {
            // Where versions that it may have seen differ in who has the name, nothing says which tenant it is.
            let named = |registry: &Registry| registry.of(&after).map(|tenant| tenant.number);
            let last = named(self.model.last());
            let is_one = !self.model.ever(since, |registry| named(registry) != last);
            let number = seen.first().copied().or(last.filter(|_| is_strict && is_one));
            player.inside = number.map(|number| (number, since));
        }
        self.remember(&format!("session {at}"), &format!("-> {code} [{after}] {}", answer_text(&code)));
        if !found.is_empty() {
            // A new connection would wait for a catalog that is locked.
            let is_free = !self.stalls && !self.stall_waits;
            self.remember("registry", &if is_free { self.registry() } else { String::new() });
            self.remember("model", &format!("from {since} on: {:?}", self.model.versions_from(since)));
        }
        for (kind, what) in found {
            summary.find(self.finding(kind, format!("session {at}: {}: {what}", said.sql())));
        }
        // In a block it holds the tenant: had it been closed and open again, it would be another version.
        if is_strict
            && self.change.is_none()
            && let Move::Enter(_, org) = said
        {
            let now = self.model.last();
            if now.of(org).is_none_or(|tenant| tenant.is_suspended) {
                let what = format!("session {at} is in {org}, which is closed");
                summary.find(self.finding(Kind::Admission, what));
            }
        }
        Ok(())
    }

    fn manage(&mut self, random: &mut Random, summary: &mut Summary) -> io::Result<()> {
        if self.change.is_some() {
            return Ok(());
        }
        let canary = canary_of(self.canary, self.made);
        let change = moves::of_management(random, self.model.last(), self.made, &canary, &self.pairs);
        if change.next.tenants.iter().any(|tenant| tenant.number == self.made) {
            self.made += 1;
        }
        self.model.expect(change.next.clone());
        let mut messages: VecDeque<String> = change.messages.iter().cloned().collect();
        let closes = !change.closes.is_empty() || messages.iter().any(|sql| sql.contains("revoke_access"));
        if self.pairs.lies && closes && !messages.iter().any(|sql| sql.contains("drop_tenant")) {
            messages = VecDeque::from(["SELECT 'a lie'".to_owned()]);
        }
        self.change = Some((change, messages));
        self.go_on(summary)
    }

    /// Sends the next message of the change, if there is one.
    fn go_on(&mut self, summary: &mut Summary) -> io::Result<()> {
        let Some((change, messages)) = &mut self.change else { return Ok(()) };
        let Some(sql) = messages.pop_front() else {
            self.finish(true, summary);
            return Ok(());
        };
        let wire = if change.elsewhere { &mut self.elsewhere } else { &mut self.manager };
        wire.send(&[Request::Simple(sql.clone())])?;
        self.remember("management", &sql);
        self.hear_management(MOMENT, summary)
    }

    fn hear_management(&mut self, limit: Duration, summary: &mut Summary) -> io::Result<()> {
        let Some((change, _)) = &self.change else { return Ok(()) };
        let wire = if change.elsewhere { &mut self.elsewhere } else { &mut self.manager };
        let Some(answer) = wire.receive_within(limit)? else { return Ok(()) };
        let failure = answer.failure;
        match failure {
            None => {
                self.remember("management", "-> done");
                self.go_on(summary)
            }
            Some(failure) => {
                self.remember("management", &format!("-> {} {}", failure.code, failure.message));
                if is_strange(&failure) || !WAITED.contains(&failure.code.as_str()) {
                    summary.find(self.finding(Kind::Internal, format!("management: {failure:?}")));
                }
                self.undo(summary)?;
                self.finish(false, summary);
                Ok(())
            }
        }
    }

    /// A change of several messages that failed on its way leaves no half of it: a tenant whose making failed is dropped. Everybody
    /// goes out for that.
    fn undo(&mut self, summary: &mut Summary) -> io::Result<()> {
        let Some((change, _)) = &self.change else { return Ok(()) };
        if change.messages.len() < 2 {
            return Ok(());
        }
        let made = change.next.tenants.last().map(|tenant| (tenant.org.clone(), tenant.schema.clone()));
        let Some((org, schema)) = made else { return Ok(()) };
        if self.stall_waits {
            self.hear_staller(LIMIT)?;
        }
        if self.stalls {
            self.stalls = false;
            self.staller.send(&[Request::Simple("ROLLBACK".to_owned())])?;
            self.staller.receive()?;
        }
        for sql in [
            "ROLLBACK".to_owned(),
            format!("SELECT plio.drop_tenant('{org}', '{org}')"),
            format!("DROP SCHEMA IF EXISTS {schema} CASCADE"),
        ] {
            // A session may wait for what this one holds, or hold what this one waits for.
            for _ in 0..100 {
                self.leave_blocks(summary)?;
                self.manager.send(&[Request::Simple(sql.clone())])?;
                let code = self.manager.receive()?.failure.map(|failure| failure.code);
                if !code.is_some_and(|code| WAITED.contains(&code.as_str())) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whoever waits for nothing ends his transaction.
    fn leave_blocks(&mut self, summary: &mut Summary) -> io::Result<()> {
        for at in 0..self.players.len() {
            if self.players[at].waits.is_none() && self.players[at].wire.status() != b'I' {
                self.say(at, Move::Other("ROLLBACK".to_owned()), MOMENT, summary)?;
            } else {
                self.hear(at, Duration::from_micros(200), summary)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, is_done: bool, summary: &mut Summary) {
        let Some((change, _)) = self.change.take() else { return };
        self.model.settle(is_done);
        if !is_done || self.pairs.lies {
            return;
        }
        for (at, player) in self.players.iter().enumerate() {
            let is_in = player.inside.is_some_and(|(number, _)| change.closes.contains(&number));
            if is_in && player.waits.is_none() && player.wire.status() == b'T' {
                let what = format!("{:?} is done while session {at} is inside", change.messages);
                summary.find(self.finding(Kind::Admission, what));
            }
        }
    }

    /// A look-up is overtaken: a tenant is being closed, not yet committed; a session that knows nothing yet asks for it, and waits
    /// for a catalog, having read some of what the change changes; the change is committed, and the catalog let go. What the
    /// session says next is judged by what is in force then: whatever it kept of its look-up must not count.
    fn overtake(&mut self, random: &mut Random, summary: &mut Summary) -> io::Result<()> {
        let at = random.below(self.players.len());
        let is_idle = |player: &Player| player.waits.is_none() && player.wire.status() == b'I';
        if self.change.is_some() || self.stalls || self.stall_waits || !is_idle(&self.players[at]) {
            return Ok(());
        }
        let is_free = self.players.iter().all(is_idle);
        let role = self.players[at].role;
        let Some((change, org)) = moves::of_closing(random, self.model.last(), role, is_free) else {
            return Ok(());
        };
        let cluster = self.db.cluster();
        let name = &self.model.last().names[role];
        self.players[at].wire = Wire::connect(cluster.socket_dir(), cluster.port(), name, self.db.name())?;
        let sql = format!("BEGIN; {}", change.messages[0]);
        self.remember("management", &sql);
        self.model.expect(change.next.clone());
        self.manager.send(&[Request::Simple(sql)])?;
        if self.manager.receive()?.failure.is_some() {
            self.manager.send(&[Request::Simple("ROLLBACK".to_owned())])?;
            self.manager.receive()?;
            self.model.settle(false);
            return Ok(());
        }
        // The first enters one way or the other.
        self.stall(random)?;
        let enter = format!("SET plio.tenant = '{org}'");
        self.say(at, Move::Enter(enter.clone(), org), MOMENT, summary)?;
        let end = if self.pairs.lies { "ROLLBACK" } else { "COMMIT" };
        self.remember("management", end);
        self.manager.send(&[Request::Simple(end.to_owned())])?;
        let is_done = self.manager.receive()?.failure.is_none();
        self.model.settle(is_done);
        if self.stall_waits {
            self.hear_staller(LIMIT)?;
        }
        if self.stalls {
            self.stall(random)?;
        }
        self.hear(at, LIMIT, summary)?;
        if self.players[at].waits.is_none() {
            for next in [Move::Own("SELECT who FROM mark".to_owned()), Move::Enter(enter, org)] {
                self.say(at, next, LIMIT, summary)?;
            }
        }
        Ok(())
    }

    /// A catalog is locked for a while.
    fn stall(&mut self, random: &mut Random) -> io::Result<()> {
        if self.stall_waits {
            return Ok(());
        }
        let sql = if self.stalls {
            "ROLLBACK".to_owned()
        } else {
            let catalog = CATALOGS[random.below(CATALOGS.len())];
            format!("BEGIN; SET LOCAL lock_timeout = '200ms'; LOCK TABLE {catalog} IN ACCESS EXCLUSIVE MODE")
        };
        self.stalls = !self.stalls;
        self.staller.send(&[Request::Simple(sql.clone())])?;
        self.remember("staller", &sql);
        self.stall_waits = true;
        self.hear_staller(MOMENT)
    }

    fn hear_staller(&mut self, limit: Duration) -> io::Result<()> {
        if self.stall_waits
            && let Some(answer) = self.staller.receive_within(limit)?
        {
            let is_in = answer.failure.is_none();
            self.stall_waits = false;
            self.stalls &= is_in;
            if !is_in {
                self.staller.send(&[Request::Simple("ROLLBACK".to_owned())])?;
                self.staller.receive()?;
            }
        }
        Ok(())
    }

    /// What has come meanwhile.
    fn poll(&mut self, limit: Duration, summary: &mut Summary) -> io::Result<()> {
        self.hear_staller(limit)?;
        self.hear_management(limit, summary)?;
        for at in 0..self.players.len() {
            self.hear(at, limit, summary)?;
        }
        Ok(())
    }

    /// Everybody goes out.
    fn end(&mut self, random: &mut Random, summary: &mut Summary) -> io::Result<()> {
        let began = Instant::now();
        let waits = |stage: &Self| {
            stage.change.is_some()
                || stage.stalls
                || stage.stall_waits
                || stage.players.iter().any(|player| player.waits.is_some())
        };
        loop {
            if self.stalls && !self.stall_waits {
                self.stall(random)?;
            }
            self.leave_blocks(summary)?;
            self.poll(MOMENT, summary)?;
            let is_open = self.players.iter().any(|player| player.wire.status() != b'I');
            if !waits(self) && !is_open {
                break;
            }
            if began.elapsed() > LIMIT {
                summary
                    .find(self.finding(Kind::Hang, "at the end of a scene somebody still waits".to_owned()));
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        let mut admin = administrator_of(&self.db);
        for what in self.carried(&mut admin) {
            summary.find(self.finding(Kind::Carry, what));
        }
        for at in 0..self.players.len() {
            if random.chance(15) {
                // A new connection, as its role is called now: nothing is cached in it.
                let cluster = self.db.cluster();
                let name = &self.model.last().names[self.players[at].role];
                self.players[at].wire =
                    Wire::connect(cluster.socket_dir(), cluster.port(), name, self.db.name())?;
            } else {
                self.say(at, Move::Other("RESET plio.tenant".to_owned()), LIMIT, summary)?;
            }
        }
        Ok(())
    }

    /// What stands in the registry, for a finding; empty when it is locked just now.
    fn registry(&self) -> String {
        let mut admin = administrator_of(&self.db);
        let query = "SELECT concat_ws(' ', 'tenant', tenant_id, org, schema_name, status) FROM plio.tenants
                     UNION ALL SELECT 'access ' || a::text FROM plio.access a UNION ALL SELECT 'share ' || s::text FROM plio.shares s
                     UNION ALL SELECT concat_ws(' ', 'role', oid, rolname) FROM pg_roles WHERE rolname ~ '^(one|other)_'";
        let _ = admin.batch_execute("SET lock_timeout = '200ms'");
        let rows = admin.query(query, &[]).unwrap_or_default();
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("; ")
    }

    /// Rows of one tenant in another's tables; locks and prepared transactions left behind.
    fn carried(&self, admin: &mut Client) -> Vec<String> {
        let mut found = Vec::new();
        for tenant in &self.model.last().tenants {
            let query = format!(
                "SELECT who FROM {0}.journal UNION ALL SELECT who FROM {0}.mark UNION ALL SELECT who FROM {0}.later",
                tenant.schema
            );
            let rows = admin.query(&query, &[]).unwrap_or_default();
            let own = canary_of(self.canary, tenant.number);
            let strange = rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default());
            let is_canary = |who: &String| who.starts_with(&self.canary.to_string());
            found.extend(
                strange
                    .filter(|who| is_canary(who) && *who != own)
                    .map(|who| format!("{who} stands in {}", tenant.schema)),
            );
        }
        // A lock on a tenant is one on an oid that is a schema's, or on a relation of its.
        let holds = "SELECT gid, EXISTS (SELECT FROM pg_locks l WHERE pid IS NULL AND (l.objid IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 's\\_%')
                            OR l.relation IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 's\\_%')
                            OR l.relation IN (SELECT oid FROM pg_class WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 's\\_%'))))
                       FROM pg_prepared_xacts WHERE database = current_database()";
        for row in admin.query(holds, &[]).unwrap_or_default() {
            let gid: String = row.get(0);
            if row.get(1) {
                found.push(format!("a prepared transaction {gid} holds a tenant"));
            }
            let _ = admin.batch_execute(&format!("ROLLBACK PREPARED '{gid}'"));
        }
        found
    }
}

/// What was said, and when.
struct Heard<'a> {
    said: &'a Move,
    since: usize,
    tenant: &'a str,
    role: usize,
    inside: Option<(usize, usize)>,
    judged: Option<usize>,
}

/// What is wrong with an answer.
fn judge(model: &Model, heard: &Heard<'_>, seen: &[usize], answer: &Answer<'_>) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    let Heard { said, since, tenant, role, inside, judged } = *heard;
    // In a block it goes on where it was admitted; another snapshot changes nothing in that.
    let since_admitted = inside.map(|(_, admitted)| admitted).or(judged).unwrap_or(since);
    let named: Vec<&str> =
        moves::ORGS.iter().copied().filter(|org| said.sql().contains(&format!("'{org}'"))).collect();
    let orgs: Vec<&str> =
        [tenant, answer.tenant].into_iter().chain(named).filter(|org| !org.is_empty()).collect();
    for number in seen {
        let is_inside = inside.is_some_and(|(inside, _)| inside == *number) && !orgs.is_empty();
        let is_shown =
            orgs.iter().any(|org| model.ever(since_admitted, |registry| registry.shows(role, org, *number)));
        if !is_inside && !is_shown {
            let kind = if orgs.is_empty() || !is_name_of(model, &orgs, *number) {
                Kind::Leak
            } else {
                Kind::Admission
            };
            found.push((kind, format!("rows of tenant {number}, while {orgs:?} is in force")));
        }
    }
    match (said, &answer.failure) {
        // The tenant that is in force already is not asked for anew: the next statement is judged.
        (Move::Enter(_, org), None)
            if inside.is_none()
                && tenant != *org
                && !model.ever(since, |registry| registry.admits(role, org)) =>
        {
            found.push((Kind::Admission, format!("{org} was entered, which no version admits")));
        }
        (Move::Enter(_, org), Some(failure))
            if tenant.is_empty()
                && matches!(failure.code.as_str(), "42501" | "42704" | "55000")
                && !model.ever(since, |registry| !registry.admits(role, org)) =>
        {
            found.push((Kind::Refusal, format!("{org} may be entered: {}", failure.message)));
        }
        // In a block the snapshot may be older than the tenant.
        (Move::Own(_), None) if seen.is_empty() && !answer.tenant.is_empty() && answer.status == b'I' => {
            found.push((Kind::Change, "the tenant's own rows are not there".to_owned()));
        }
        (Move::Shared(_, mode), None)
            if !tenant.is_empty() && !model.ever(since, |registry| registry.shared >= *mode) =>
        {
            found.push((Kind::Leak, "a table that is not shared so".to_owned()));
        }
        (Move::Shared(_, mode), Some(failure)) if failure.code == "42501" && !tenant.is_empty() => {
            let admits =
                |registry: &super::model::Registry| registry.admits(role, tenant) && registry.shared >= *mode;
            if !model.ever(since, |registry| !admits(registry)) && *mode != Shared::No {
                found.push((Kind::Refusal, format!("it is shared: {}", failure.message)));
            }
        }
        _ => {}
    }
    if let Some(failure) = answer.failure.as_ref().filter(|failure| is_strange(failure)) {
        found.push((Kind::Internal, format!("{} {} ({})", failure.code, failure.message, failure.file)));
    }
    found
}

/// Whether one of the orgs was ever that tenant's name.
fn is_name_of(model: &Model, orgs: &[&str], number: usize) -> bool {
    model.ever(0, |registry| {
        registry.tenants.iter().any(|tenant| tenant.number == number && orgs.contains(&tenant.org.as_str()))
    })
}

/// Two sessions that change one catalog row are PostgreSQL's own affair.
fn is_strange(failure: &Failure) -> bool {
    let known = ["tuple concurrently", "cache lookup failed", "could not open relation with OID"];
    failure.code.starts_with("XX")
        && (failure.file.ends_with(".rs") || !known.iter().any(|known| failure.message.contains(known)))
}

fn answer_text(code: &str) -> &'static str {
    if code == "00000" { "" } else { "refused" }
}

/// Nine random digits and the tenant's number.
fn canary_of(canary: u64, number: usize) -> String {
    format!("{canary}{number:05}")
}

/// The tenants whose canaries are in these bytes.
fn numbers(bytes: &[u8], canary: u64, made: usize) -> Vec<usize> {
    let needle = canary.to_string();
    let mut found: Vec<usize> = memchr::memmem::find_iter(bytes, needle.as_bytes())
        .filter_map(|at| {
            std::str::from_utf8(bytes.get(at + needle.len()..at + needle.len() + 5)?).ok()?.parse().ok()
        })
        .filter(|number| *number < made)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}
