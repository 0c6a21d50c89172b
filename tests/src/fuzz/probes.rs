//! Looks that a superuser, or an honest application, takes between the scenes: whether management goes on, whether a tenant that
//! was closed a moment ago is closed, whose code runs, who hears what, whether audit and reports answer.
//!
//! Each is a function that returns what it found, so that a control can show that it finds something.

use std::time::{Duration, Instant};

use postgres::Client;

use crate::Cluster;
use crate::fuzz::canary::Owner;
use crate::fuzz::session::Session;
use crate::fuzz::wire::{Request, Wire};
use crate::fuzz::world::{ORGS, SCHEMAS, VICTIM, World};

/// An administrator who waits this long for what no attacker may hold waits for good.
const PATIENCE: &str = "1500ms";

/// Whether the victim can be suspended, and a tenant made: both are undone.
pub fn management_waits(admin: &mut Client, world: &World) -> Option<String> {
    let attempt = format!(
        "BEGIN; SET LOCAL lock_timeout = '{PATIENCE}'; SELECT plio.suspend_tenant('{}'); SELECT plio.create_tenant('probe'); ROLLBACK",
        ORGS[VICTIM]
    );
    let error = admin.batch_execute(&attempt).err()?;
    let holders = admin.query("SELECT DISTINCT concat_ws(' ', usename, state, left(query, 200)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename IS NOT NULL AND state <> 'idle'
                UNION ALL SELECT concat_ws(' ', gid, owner) FROM pg_prepared_xacts", &[]);
    let _ = admin.batch_execute("ROLLBACK");
    let holders: Vec<String> = holders.unwrap_or_default().iter().map(|row| row.get(0)).collect();
    let database = world.db.name();
    match error.code().map(|code| code.code()) {
        Some("55P03" | "55006" | "40P01" | "57014") => {
            Some(format!("management of {database} waits: {}; {holders:?}", words(&error)))
        }
        Some(_) => Some(format!("management of {database} fails: {}", words(&error))),
        None => None,
    }
}

/// How a tenant is closed, and opened again.
#[derive(Clone, Debug)]
pub struct Closing {
    /// Run by a superuser.
    pub close: String,
    /// Takes it back.
    pub open: String,
}

impl Closing {
    /// Of acme, to the attacker.
    pub fn all(world: &World) -> Vec<Self> {
        let (org, attacker) = (ORGS[0], &world.attacker);
        // On 15, a member always inherits what its group may.
        let inherited = (Cluster::major() == "15").then_some(&world.group);
        let for_each = |call: &dyn Fn(&String) -> String| {
            [attacker].into_iter().chain(inherited).map(call).collect::<Vec<_>>().join(", ")
        };
        let pair = |close: String, open: String| Self { close, open };
        vec![
            pair(
                format!("SELECT plio.suspend_tenant('{org}')"),
                format!("SELECT plio.resume_tenant('{org}')"),
            ),
            pair(
                format!("SELECT {}", for_each(&|role| format!("plio.revoke_access('{role}', '{org}')"))),
                format!("SELECT {}", for_each(&|role| format!("plio.grant_access('{role}', '{org}')"))),
            ),
            pair(
                format!("SELECT plio.rename_tenant('{org}', 'elsewhere')"),
                format!("SELECT plio.rename_tenant('elsewhere', '{org}')"),
            ),
        ]
    }
}

/// What a session that was in acme, or prepared for it, still does once acme is closed to it; and whether it may go in again
/// once acme is open.
pub fn stale_admission(
    admin: &mut Client,
    world: &World,
    session: &mut Session,
    closing: &Closing,
) -> Vec<String> {
    let mut found = Vec::new();
    let org = ORGS[0];
    let prepare = [
        "ROLLBACK".to_owned(),
        // In a tenant the role that entered it is locked.
        "RESET plio.tenant".to_owned(),
        "RESET ROLE".to_owned(),
        format!("SET plio.tenant = '{org}'"),
        "SELECT count(*) FROM users".to_owned(),
        "CLOSE ALL".to_owned(),
        "DECLARE held CURSOR WITH HOLD FOR SELECT * FROM users".to_owned(),
    ];
    for sql in &prepare {
        if session.ask(world, sql).is_err() {
            return found;
        }
    }
    // Somebody else may be in it just now.
    if admin.batch_execute(&format!("SET lock_timeout = '300ms'; {}", closing.close)).is_err() {
        return found;
    }
    // No statement is planned or run for that: the protocol hands on what is stored.
    if let Ok((_, seen)) = session.ask_for(world, Request::Held("held"))
        && seen.contains(&Owner::Tenant(0))
    {
        found.push(format!("after {} is done: rows of a held cursor", closing.close));
    }
    let tries = [
        "SELECT count(*) FROM users".to_owned(),
        format!("SET plio.tenant = '{org}'"),
        format!("SET LOCAL plio.tenant = '{org}'; SELECT count(*) FROM users"),
        format!("SELECT plio.set_tenant('{org}'), plio.require_tenant()"),
    ];
    for sql in &tries {
        if let Ok(Ok(tenant)) = session.ask(world, sql)
            && tenant == org
        {
            found.push(format!("after {} is done: {sql}", closing.close));
        }
    }
    let _ = session.ask(world, "RESET plio.tenant");
    let open = format!("SET lock_timeout = '30s'; {}", closing.open);
    if let Err(error) = admin.batch_execute(&open) {
        // The server has restarted, or acme stays closed for this stint.
        if !admin.is_closed() {
            found.push(format!("{open}: {}", words(&error)));
        }
        return found;
    }
    // Somebody else may be changing the tenant just now, and the attacker's own limit is short.
    let mut entered = session.ask(world, &format!("SET plio.tenant = '{org}'"));
    for _ in 0..50 {
        if !matches!(&entered, Ok(Err(failure)) if failure.code == "55P03") {
            break;
        }
        entered = session.ask(world, &format!("SET plio.tenant = '{org}'"));
    }
    match entered {
        Ok(Err(failure)) if failure.code != "42P01" => {
            found.push(format!("after {} is done: {failure:?}", closing.open));
        }
        _ => {}
    }
    found
}

/// What an honest application in coral runs: every function that somebody may have planted another for.
///
/// In an adopted tenant the role that owns its schema is trusted (docs/guarantees.md, "code of strangers"), which is the attacker's
/// own there: its functions count only where the tenant has a role.
pub fn planted_code(world: &World) -> Option<String> {
    let mut teller = world.db.try_connect(&world.teller).ok()?;
    teller.batch_execute(&format!("SET plio.tenant = '{}'", ORGS[VICTIM])).ok()?;
    for call in [
        "lower(name::varchar)",
        "upper(name::varchar)",
        "length(name::varchar)",
        "btrim(name::varchar)",
        "name::varchar = 'x'::varchar",
    ] {
        // A refusal is as good as PostgreSQL's own function.
        let _ = teller.batch_execute(&format!("SELECT {call} FROM users"));
        let caught =
            teller.query_one("SELECT coalesce(current_setting('fuzz.caught', true), '')", &[]).ok()?;
        let caught: String = caught.get(0);
        if !caught.is_empty() && !is_of_the_schemas_owner(world) {
            return Some(format!("{call} in coral ran code of the attackers as {caught}"));
        }
    }
    None
}

/// What a superuser changes in the tenants without entering them: code of theirs that runs then as the superuser.
pub fn strange_triggers(world: &World) -> Vec<String> {
    let mut admin = world.db.superuser();
    let tables = "SELECT DISTINCT format('%I.%I', n.nspname, c.relname), (SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum LIMIT 1)
                    FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = relnamespace AND n.nspname = ANY ($1)
                   WHERE NOT tgisinternal AND relkind IN ('r', 'p') ORDER BY 1";
    let tables = admin.query(tables, &[&SCHEMAS.to_vec()]).unwrap_or_default();
    let mut found = Vec::new();
    for row in &tables {
        let (table, column): (String, Option<String>) = (row.get(0), row.get(1));
        let column = column.unwrap_or_else(|| "id".to_owned());
        let changes = [
            format!("UPDATE {table} SET {column} = {column}"),
            format!("INSERT INTO {table} ({column}) SELECT {column} FROM {table} LIMIT 1"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table} CASCADE"),
        ];
        for change in changes {
            let attempt = format!(
                "BEGIN; SET LOCAL statement_timeout = '5s'; SET LOCAL lock_timeout = '1s'; SELECT set_config('fuzz.caught', '', true); {change}; SET CONSTRAINTS ALL IMMEDIATE"
            );
            if admin.batch_execute(&attempt).is_ok() {
                let caught =
                    admin.query_one("SELECT coalesce(current_setting('fuzz.caught', true), '')", &[]);
                let caught: String = caught.map(|row| row.get(0)).unwrap_or_default();
                if caught.split(' ').next() == Some(crate::SUPERUSER) {
                    found.push(format!("{change} without a tenant ran code of the attackers as {caught}"));
                }
            }
            let _ = admin.batch_execute("ROLLBACK");
        }
    }
    found
}

/// Whether nobody but the owner of coral's schema has a function that sets what tells.
fn is_of_the_schemas_owner(world: &World) -> bool {
    let query = "SELECT bool_and(proowner = (SELECT nspowner FROM pg_namespace WHERE nspname = $1)) FROM pg_proc WHERE prosrc LIKE '%fuzz.caught%'";
    let owned = world.db.superuser().query_one(query, &[&SCHEMAS[VICTIM]]);
    owned.is_ok_and(|row| row.get::<_, Option<bool>>(0) == Some(true))
}

/// Two who listen: in coral, and without a tenant.
#[derive(Debug)]
pub struct Listeners {
    inside: Wire,
    outside: Wire,
}

impl Listeners {
    /// They begin to listen.
    ///
    /// # Panics
    /// When they may not.
    pub fn begin(world: &World) -> Self {
        let connect = |statements: &[String]| {
            let cluster = world.db.cluster();
            let mut wire =
                Wire::connect(cluster.socket_dir(), cluster.port(), &world.teller, world.db.name())
                    .unwrap_or_else(|error| panic!("the listener: {error}"));
            for sql in statements {
                wire.send(&[Request::Simple(sql.clone())]).expect("the listener's connection");
                let failure = wire.receive().expect("the listener's connection").failure;
                assert!(failure.is_none(), "{sql}: {failure:?}");
            }
            wire
        };
        let listen = "LISTEN fuzz".to_owned();
        Self {
            inside: connect(&[format!("SET plio.tenant = '{}'", ORGS[VICTIM]), listen.clone()]),
            outside: connect(&[listen]),
        }
    }

    /// What they heard that was not for them.
    pub fn heard(&mut self, world: &World) -> Vec<String> {
        let mut found = Vec::new();
        for (wire, who) in [(&mut self.inside, "coral"), (&mut self.outside, "nobody's tenant")] {
            if wire.send(&[Request::Simple("SELECT 1".to_owned())]).is_err() {
                continue;
            }
            let Ok(answer) = wire.receive() else { continue };
            let is_coral = who == "coral";
            for owner in world.canaries.seen(answer.bytes) {
                if !(is_coral && owner == Owner::Tenant(VICTIM)) {
                    found.push(format!("a listener in {who} hears {owner:?}"));
                }
            }
            if is_coral && memchr::memmem::find(answer.bytes, b"forged").is_some() {
                found.push("a listener in coral hears what no session in coral has sent".to_owned());
            }
        }
        found
    }
}

/// Whether `plio.audit()` and a report answer, whatever the tenants hold.
pub fn audit_and_report(admin: &mut Client) -> Vec<String> {
    let mut found = Vec::new();
    for call in [
        "SELECT count(*) FROM plio.audit()",
        "SELECT count(*) FROM plio.report_json('SELECT id, name FROM listing', NULL, true)",
        "SELECT count(*) FROM plio.report_json('SELECT id FROM users', NULL, true)",
    ] {
        let began = Instant::now();
        if let Err(error) = admin.query(call, &[]) {
            found.push(format!("{call}: {}", words(&error)));
        } else if began.elapsed() > Duration::from_secs(10) {
            found.push(format!("{call}: took {:.0} s", began.elapsed().as_secs_f64()));
        }
    }
    found
}

/// Whether somebody who may enter nothing can tell a tenant from none.
pub fn enumeration(world: &World, role: &str) -> Option<String> {
    let mut nobody = Session::new(role);
    let mut said = |org: &str| {
        let _ = nobody.ask(world, "ROLLBACK");
        nobody.ask(world, "BEGIN").ok()?.ok()?;
        let failure = nobody.ask(world, &format!("SELECT plio.set_tenant('{org}')")).ok()?.err()?;
        let hide = |text: String| text.replace(org, "@");
        Some((failure.code.clone(), hide(failure.message), hide(failure.hint)))
    };
    let (there, none) = (said("coral")?, said("nosuch")?);
    (there != none)
        .then(|| format!("who may enter nothing sees {there:?} for a tenant and {none:?} for none"))
}

fn words(error: &postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |db| format!("{} {}", db.code().code(), db.message()))
}
