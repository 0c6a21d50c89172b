//! Fills the cluster: roles, the database `plio` with the extension, the database `plain` without it.
//!
//! `plain` is what services do today: the same tables and rows for a few of the organizations, all owned by
//! the login role of the application, which sets search_path. Relies on the files of tests/demo.

use std::sync::Mutex;
use std::thread;

use postgres::{Client, SimpleQueryMessage};

use crate::Outcome;
use crate::layout::Screen;
use crate::place::Place;
use crate::progress::{Bar, Stage};

/// The organizations of the story; only they are in `plain`.
const IN_PLAIN: [&str; 4] = ["banyan", "cedar", "driftwood", "sundial"];

/// tenant.sql has this line between the tables and what is made after the rows.
const AFTER_THE_ROWS: &str = "-- == after the rows ==";

/// Two at a time: the demo is made for a machine of two cores.
const WORKERS: usize = 2;

/// How much there is in the end.
pub struct Sizes {
    pub organizations: usize,
    pub tables: i64,
    pub rows: u64,
    pub bytes: i64,
}

/// What organization.config says about the rows of one organization.
#[derive(Clone)]
struct Plan {
    org: String,
    size: String,
    plios: i64,
    sessions: i64,
}

/// The files that make a tenant, read once.
struct Scripts {
    tables: String,
    rows: String,
    after: String,
    drift: String,
}

/// Which of the two databases, because they enter a schema in two ways.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    SetTenant,
    SearchPath,
}

/// Builds both databases.
pub fn everything(place: &Place, screen: &Screen) -> Outcome<Sizes> {
    let scripts = Scripts::read(place)?;
    let stage = Stage::begin(screen, "roles");
    let mut server = place.connect("postgres", "postgres")?;
    server.batch_execute("CREATE ROLE app LOGIN; CREATE ROLE dba LOGIN; CREATE ROLE banyan_reader")?;
    server.batch_execute("GRANT banyan_reader TO app")?;
    server.execute("CREATE DATABASE plio OWNER dba", &[])?;
    server.execute("CREATE DATABASE plain OWNER app", &[])?;
    stage.end("app (the service), dba (administrator), postgres");

    let plans = plio(place, screen, &scripts)?;
    let bar = Bar::begin(screen, "organizations", plans.len());
    fill(place, &scripts, &bar, largest_first(&plans), Way::SetTenant)?;
    let rows = bar.end("organizations");

    plain(place, screen, &scripts, &plans)?;
    analyze(place, screen)?;
    sizes(place, plans.len(), rows)
}

impl Scripts {
    fn read(place: &Place) -> Outcome<Self> {
        let tenant = place.read_sql("tenant.sql")?;
        let (tables, after) = tenant
            .split_once(AFTER_THE_ROWS)
            .ok_or_else(|| format!("tenant.sql has no line {AFTER_THE_ROWS:?}"))?;
        Ok(Self {
            tables: tables.to_owned(),
            after: after.to_owned(),
            rows: place.read_sql("rows.sql")?,
            drift: place.read_sql("drift.sql")?,
        })
    }
}

/// The database with the extension, up to tenants that have no tables yet.
fn plio(place: &Place, screen: &Screen, scripts: &Scripts) -> Outcome<Vec<Plan>> {
    let stage = Stage::begin(screen, "extension");
    let mut superuser = place.connect("postgres", "plio")?;
    superuser.batch_execute("CREATE EXTENSION plio_tenancy; GRANT plio_admin TO dba")?;
    stage.end("plio_tenancy is in the database plio");

    let stage = Stage::begin(screen, "shared tables");
    // Connected only now: the library is loaded when a session begins.
    let mut dba = place.connect("dba", "plio")?;
    let rows = shared(place, &mut dba, scripts)?;
    dba.batch_execute(&place.read_sql("sharing.sql")?)?;
    stage.end(&format!("6,000 people and what is in public, {} rows", crate::progress::thousands(rows)));

    let plans = plans(&mut dba)?;
    let stage = Stage::begin(screen, "tenants");
    for plan in &plans {
        dba.query("SELECT plio.create_tenant($1)", &[&plan.org])?;
    }
    dba.batch_execute("SELECT plio.grant_access_to_every_tenant('app')")?;
    stage.end(&format!("{} made, app may enter them", plans.len()));
    Ok(plans)
}

/// The database without the extension, as services have it today.
fn plain(place: &Place, screen: &Screen, scripts: &Scripts, plans: &[Plan]) -> Outcome<()> {
    let mut app = place.connect("app", "plain")?;
    shared(place, &mut app, scripts)?;
    let plans: Vec<_> = plans.iter().filter(|plan| IN_PLAIN.contains(&plan.org.as_str())).cloned().collect();
    let bar = Bar::begin(screen, "without extension", plans.len());
    for plan in &plans {
        app.batch_execute(&format!("CREATE SCHEMA {}", schema(&plan.org)))?;
    }
    fill(place, scripts, &bar, plans, Way::SearchPath)?;
    app.batch_execute(
        "GRANT USAGE ON SCHEMA tenant_banyan TO banyan_reader;
         GRANT SELECT ON ALL TABLES IN SCHEMA tenant_banyan TO banyan_reader",
    )?;
    bar.end("organizations again, in the database plain");
    Ok(())
}

/// The shared tables, and tables of the tenants' names in public, which hold rows of their own.
fn shared(place: &Place, client: &mut Client, scripts: &Scripts) -> Outcome<u64> {
    client.batch_execute("BEGIN; SET LOCAL search_path = public")?;
    let mut rows = run(client, &place.read_sql("shared.sql")?)?;
    rows += run(client, &place.read_sql("people.sql")?)?;
    let settings =
        Plan { org: "personal".into(), size: "personal".into(), plios: 10, sessions: 40 }.settings("public");
    client.batch_execute(&settings)?;
    client.batch_execute(&scripts.tables)?;
    rows += run(client, &scripts.rows)?;
    client.batch_execute(&scripts.after)?;
    client.batch_execute("COMMIT")?;
    Ok(rows)
}

fn plans(client: &mut Client) -> Outcome<Vec<Plan>> {
    let rows = client.query(
        "SELECT short_code, config ->> 'size', (config #>> '{demo,plios}')::bigint,
                (config #>> '{demo,sessions}')::bigint
         FROM public.organization ORDER BY id",
        &[],
    )?;
    Ok(rows
        .iter()
        .map(|row| Plan { org: row.get(0), size: row.get(1), plios: row.get(2), sessions: row.get(3) })
        .collect())
}

/// So that no worker starts on a large one when the others are done.
fn largest_first(plans: &[Plan]) -> Vec<Plan> {
    let mut plans = plans.to_vec();
    plans.sort_by_key(|plan| -plan.sessions);
    plans
}

/// Tables and rows of all these organizations, one transaction each.
fn fill(place: &Place, scripts: &Scripts, bar: &Bar<'_>, plans: Vec<Plan>, way: Way) -> Outcome<()> {
    let queue = Mutex::new(plans.into_iter());
    let next = || queue.lock().ok().and_then(|mut queue| queue.next());
    let work = || -> Outcome<()> {
        let mut client = match way {
            Way::SetTenant => place.connect("dba", "plio")?,
            Way::SearchPath => place.connect("app", "plain")?,
        };
        while let Some(plan) = next() {
            let rows = fill_one(&mut client, scripts, &plan, way);
            bar.step(rows.map_err(|error| format!("{}: {}", plan.org, crate::with_causes(&*error)))?);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a loading thread panicked")?)
    })
}

fn fill_one(client: &mut Client, scripts: &Scripts, plan: &Plan, way: Way) -> Outcome<u64> {
    client.batch_execute("BEGIN")?;
    client.batch_execute(&plan.settings(&plan.org))?;
    match way {
        Way::SetTenant => client.batch_execute(&format!("SELECT plio.set_tenant('{}')", plan.org))?,
        Way::SearchPath => {
            client.batch_execute(&format!("SET LOCAL search_path = {}, public", schema(&plan.org)))?;
        }
    }
    client.batch_execute(&scripts.tables)?;
    let rows = run(client, &scripts.rows)?;
    client.batch_execute(&scripts.after)?;
    if plan.size == "drift" {
        client.batch_execute(&scripts.drift)?;
    }
    client.batch_execute("COMMIT")?;
    if plan.size == "suspended" && way == Way::SetTenant {
        client.query("SELECT plio.suspend_tenant($1)", &[&plan.org])?;
    }
    Ok(rows)
}

impl Plan {
    /// The settings that rows.sql reads, to the end of the transaction.
    fn settings(&self, canary: &str) -> String {
        format!(
            "SET LOCAL demo.org = '{}'; SET LOCAL demo.canary = 'canary.{canary}';
             SET LOCAL demo.plios = '{}'; SET LOCAL demo.sessions = '{}'",
            self.org, self.plios, self.sessions
        )
    }
}

fn schema(org: &str) -> String {
    format!("\"tenant_{org}\"")
}

/// Runs a script and counts the rows it touched.
fn run(client: &mut Client, script: &str) -> Outcome<u64> {
    let messages = client.simple_query(script)?;
    let count = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::CommandComplete(rows) => *rows,
        _ => 0,
    };
    Ok(messages.iter().map(count).sum())
}

/// Statistics, so that whoever goes on with psql gets the plans of a database in use.
fn analyze(place: &Place, screen: &Screen) -> Outcome<()> {
    let stage = Stage::begin(screen, "statistics");
    for database in ["plio", "plain"] {
        place.connect("postgres", database)?.batch_execute("ANALYZE")?;
    }
    stage.end("both databases analyzed");
    Ok(())
}

fn sizes(place: &Place, organizations: usize, rows: u64) -> Outcome<Sizes> {
    let mut superuser = place.connect("postgres", "plio")?;
    let row = superuser.query_one(
        "SELECT count(*), pg_database_size(current_database())
         FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text ~ '^\"?tenant_'",
        &[],
    )?;
    Ok(Sizes { organizations, tables: row.get(0), rows, bytes: row.get(1) })
}
