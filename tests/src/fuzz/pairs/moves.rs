//! What each of the four may do next.

use crate::fuzz::Random;
use crate::fuzz::pairs::Pairs;
use crate::fuzz::pairs::model::{Registry, Shared};
use crate::fuzz::world::Tenants;

/// The names that tenants may have.
pub const ORGS: [&str; 3] = ["acme", "bravo", "coral"];

/// A step of a session of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Asks for a tenant: the statement, and the org.
    Enter(String, &'static str),
    /// Reads the tenant's own rows.
    Own(String),
    /// Reads or writes the table in `public`.
    Shared(String, Shared),
    /// Execute of the protocol, of a cursor that is there.
    Held,
    /// Whatever else: BEGIN, COMMIT, another's schema, cursors, what is kept.
    Other(String),
}

impl Move {
    /// The statement.
    pub fn sql(&self) -> &str {
        match self {
            Self::Enter(sql, _) | Self::Own(sql) | Self::Shared(sql, _) | Self::Other(sql) => sql,
            Self::Held => "-- execute h",
        }
    }

    /// Whether it is judged in the tenant that is in force, and need not show a row that says which tenant that is by number: all
    /// but what controls the transaction and its settings.
    pub fn is_judged(&self) -> bool {
        let controls =
            ["BEGIN", "SAVEPOINT", "ROLLBACK", "COMMIT", "RESET", "DISCARD", "PREPARE TRANSACTION"];
        !matches!(self, Self::Enter(..) | Self::Held)
            && !controls.iter().any(|word| self.sql().starts_with(word))
    }
}

/// The next step of a session: `status` is its transaction's, `tenant` the one in force.
pub fn of_session(random: &mut Random, registry: &Registry, status: u8, tenant: &str) -> Move {
    let org = ORGS[random.below(ORGS.len())];
    let other = |sql: &str| Move::Other(sql.to_owned());
    let foreign = |random: &mut Random| {
        let schemas = &registry.tenants;
        if schemas.is_empty() { "nothing".to_owned() } else { random.pick(schemas).schema.clone() }
    };
    if status == b'E' {
        return other(if random.chance(80) { "ROLLBACK" } else { "ROLLBACK TO s" });
    }
    let is_block = status == b'T';
    match random.below(if is_block { 100 } else { 80 }) {
        0..=13 if is_block => Move::Enter(format!("SELECT plio.set_tenant('{org}')"), org),
        0..=9 => other("BEGIN"),
        10..=13 => other("BEGIN ISOLATION LEVEL REPEATABLE READ"),
        14..=20 => Move::Enter(format!("SET plio.tenant = '{org}'"), org),
        21 => other("RESET plio.tenant"),
        22..=23 => other("DISCARD ALL"),
        24..=45 if !tenant.is_empty() => Move::Own("SELECT who FROM mark".to_owned()),
        24..=35 => Move::Enter(format!("SET plio.tenant = '{org}'"), org),
        36..=45 => other("SELECT who FROM mark"),
        46..=49 => Move::Other(format!("SELECT who FROM {}.mark", foreign(random))),
        50..=54 => Move::Shared("SELECT 'sh:' || n FROM public.sh".to_owned(), Shared::Read),
        55..=57 => {
            Move::Shared("UPDATE public.sh SET n = n + 1 RETURNING 'sh:' || n".to_owned(), Shared::Write)
        }
        58..=60 => other("INSERT INTO later SELECT who FROM mark"),
        61 => other("EXECUTE q"),
        62 => other("PREPARE q AS SELECT who FROM mark"),
        63 => other("INSERT INTO journal SELECT who FROM mark LIMIT 1"),
        64 => other("CREATE TABLE more (i int)"),
        65 => other("DROP TABLE more"),
        66 => other("ALTER TABLE mark ADD COLUMN IF NOT EXISTS more int"),
        67 => other("SELECT pg_notify('news', (SELECT min(who) FROM mark))"),
        68 => other("LISTEN news"),
        69 => other("UPDATE mark SET who = who RETURNING who"),
        70 => Move::Other(format!("INSERT INTO {}.journal VALUES ('x')", foreign(random))),
        71 => Move::Other(format!("TRUNCATE {}.journal", foreign(random))),
        72 => Move::Other(format!(
            "DO $$BEGIN SET LOCAL plio.tenant = '{org}'; RAISE NOTICE '%', (SELECT min(who) FROM mark); END$$"
        )),
        73 => other("DECLARE h CURSOR WITH HOLD FOR SELECT who FROM mark"),
        74 => other("CREATE TEMP TABLE kept AS SELECT who FROM mark"),
        75 => other("SELECT who FROM pg_temp.kept"),
        76 if random.chance(50) => Move::Held,
        76 => other("FETCH ALL FROM h"),
        77 => other("SELECT plio.current_tenant(), plio.require_tenant()"),
        78 => other("SET CONSTRAINTS ALL IMMEDIATE"),
        79 => other("SELECT who FROM only_there.mark"),
        80..=88 => other("COMMIT"),
        89..=93 => other("ROLLBACK"),
        94 => other("SAVEPOINT s"),
        95 => other("ROLLBACK TO s"),
        96 => other("DECLARE c CURSOR FOR SELECT who FROM mark"),
        97 => other("FETCH ALL FROM c"),
        98 => other("LOCK TABLE mark"),
        _ => other("PREPARE TRANSACTION 'pairs'"),
    }
}

/// A step of management: what it runs, in messages of their own, the version that it makes, and the tenants in which nobody may
/// be meanwhile.
#[derive(Clone, Debug)]
pub struct Change {
    /// The statements.
    pub messages: Vec<String>,
    /// What they make.
    pub next: Registry,
    /// Closed to whoever is in one now.
    pub closes: Vec<usize>,
    /// From another database.
    pub elsewhere: bool,
}

/// A change that closes a tenant to a role which may enter it now, and the org. Access alone is taken away where somebody may be
/// inside, whom a suspension waits for.
pub fn of_closing(
    random: &mut Random,
    registry: &Registry,
    role: usize,
    is_free: bool,
) -> Option<(Change, &'static str)> {
    let org = ORGS[random.below(ORGS.len())];
    let number = registry.of(org).filter(|_| registry.admits(role, org))?.number;
    let mut next = registry.clone();
    let sql = if is_free && random.chance(50) {
        next.tenants.iter_mut().filter(|tenant| tenant.number == number).for_each(|t| t.is_suspended = true);
        format!("SELECT plio.suspend_tenant('{org}')")
    } else {
        next.access.remove(&(role, number));
        format!("SELECT plio.revoke_access('{}', '{org}')", registry.names[role])
    };
    Some((Change { messages: vec![sql], next, closes: Vec::new(), elsewhere: false }, org))
}

/// The next step of management; `number` is a new tenant's.
pub fn of_management(
    random: &mut Random,
    registry: &Registry,
    number: usize,
    canary: &str,
    pairs: &Pairs,
) -> Change {
    let mut next = registry.clone();
    let change = |messages: Vec<String>, next, closes| Change { messages, next, closes, elsewhere: false };
    let missing = ORGS.iter().find(|org| registry.of(org).is_none());
    if let Some(org) = missing.filter(|_| random.chance(60)) {
        let schema = format!("s_{number}");
        next.tenants.push(super::model::Tenant {
            number,
            org: (*org).to_owned(),
            schema: schema.clone(),
            is_suspended: false,
        });
        let mut messages = make(org, &schema, canary, pairs.tenants, registry);
        for role in 0..registry.names.len() {
            if random.chance(70) {
                next.access.insert((role, number));
                messages.push(format!("SELECT plio.grant_access('{}', '{org}')", registry.names[role]));
            }
        }
        return change(messages, next, Vec::new());
    }
    if registry.tenants.is_empty() {
        return change(vec!["SELECT 1".to_owned()], next, Vec::new());
    }
    let at = random.below(registry.tenants.len());
    let (org, number) = (registry.tenants[at].org.clone(), registry.tenants[at].number);
    let role = random.below(registry.names.len());
    let name = &registry.names[role];
    match random.below(20) {
        0..=5 if registry.tenants[at].is_suspended => {
            next.tenants[at].is_suspended = false;
            change(vec![format!("SELECT plio.resume_tenant('{org}')")], next, Vec::new())
        }
        0..=5 => {
            next.tenants[at].is_suspended = true;
            change(vec![format!("SELECT plio.suspend_tenant('{org}')")], next, vec![number])
        }
        6..=11 if registry.access.contains(&(role, number)) => {
            next.access.remove(&(role, number));
            change(vec![format!("SELECT plio.revoke_access('{name}', '{org}')")], next, Vec::new())
        }
        6..=11 => {
            next.access.insert((role, number));
            change(vec![format!("SELECT plio.grant_access('{name}', '{org}')")], next, Vec::new())
        }
        12 => {
            next.tenants.remove(at);
            next.access.retain(|(_, of)| *of != number);
            change(vec![format!("SELECT plio.drop_tenant('{org}', '{org}')")], next, vec![number])
        }
        13 | 14 if registry.tenants.len() > 1 => {
            let with = (at + 1) % registry.tenants.len();
            let second = registry.tenants[with].org.clone();
            next.tenants[at].org.clone_from(&second);
            next.tenants[with].org.clone_from(&org);
            let swap = format!(
                "SELECT plio.rename_tenant('{org}', 'between'); SELECT plio.rename_tenant('{second}', '{org}'); SELECT plio.rename_tenant('between', '{second}')"
            );
            change(vec![swap], next, vec![number, registry.tenants[with].number])
        }
        15..=17 => {
            let (to, sql) = match random.below(3) {
                0 => (Shared::No, "SELECT plio.unshare('public.sh')"),
                1 => (Shared::Read, "SELECT plio.share('public.sh', 'read')"),
                _ => (Shared::Write, "SELECT plio.share('public.sh', 'write')"),
            };
            // What is shared is not shared anew in another mode without being unshared.
            if (to == Shared::No) == (registry.shared == Shared::No) {
                return change(vec!["SELECT 1".to_owned()], next, Vec::new());
            }
            next.shared = to;
            change(vec![sql.to_owned()], next, Vec::new())
        }
        18 if pairs.renames_roles => {
            let [one, other] = &registry.names;
            next.names.swap(0, 1);
            let swap = format!(
                "ALTER ROLE {one} RENAME TO between_roles; ALTER ROLE {other} RENAME TO {one}; ALTER ROLE between_roles RENAME TO {other}"
            );
            Change { elsewhere: true, ..change(vec![swap], next, Vec::new()) }
        }
        _ => change(vec!["SELECT count(*) FROM plio.audit()".to_owned()], next, Vec::new()),
    }
}

fn make(org: &str, schema: &str, canary: &str, tenants: Tenants, registry: &Registry) -> Vec<String> {
    let tables = format!(
        "CREATE TABLE mark AS SELECT '{canary}'::text AS who; CREATE TABLE later (who text); CREATE TABLE journal (who text);
         CREATE CONSTRAINT TRIGGER keep AFTER INSERT ON later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lookup.keep()"
    );
    match tenants {
        Tenants::OwnRole => vec![
            format!("SELECT plio.create_tenant('{org}', '{schema}')"),
            format!("BEGIN; SELECT plio.set_tenant('{org}'); {tables}; COMMIT"),
        ],
        Tenants::Adopted => {
            let [one, other] = &registry.names;
            vec![
                format!(
                    "BEGIN; CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}; {tables}; GRANT USAGE, CREATE ON SCHEMA {schema} TO {one}, {other};
                     GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {one}, {other}; COMMIT"
                ),
                format!("SELECT plio.adopt_tenant('{org}', '{schema}')"),
            ]
        }
    }
}
