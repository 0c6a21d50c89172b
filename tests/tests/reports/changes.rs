//! What happens to tenants and tables while a report runs: a row is never another organization's, and a part is counted only
//! as the report's snapshot sees it.

use crate::world::{World, one, rows, world};
use postgres::Client;
use std::thread;
use std::time::{Duration, Instant};

const REPORT: &str = "SELECT * FROM plio.report('SELECT count(*), min(name) FROM users', allow_partial => true) AS (org text, n bigint, name text)";
const COVERAGE: &str = "SELECT org, outcome, rows, sqlstate FROM plio.report_coverage() ORDER BY org";

/// Makes the first tenant's part wait for whoever holds the lock 42.
fn gate(world: &World) {
    world.inside(
        "acme",
        "ALTER TABLE users RENAME TO people;
         CREATE VIEW users AS SELECT people.* FROM people, pg_advisory_xact_lock(42)",
    );
}

/// Runs `change` while `statements` wait in the first tenant; what they answer.
fn meanwhile(
    world: &World,
    statements: &'static str,
    change: impl FnOnce(&mut Client),
) -> (Client, Vec<String>) {
    let mut admin = world.admin();
    admin.batch_execute("SELECT pg_advisory_lock(42)").unwrap();
    let mut reporter = world.reporter();
    let reporting = thread::spawn(move || {
        let found = rows(&mut reporter, statements);
        (reporter, found)
    });
    let waits = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                  WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted";
    let end = Instant::now() + Duration::from_secs(30);
    while one(&mut admin, waits) != "1" {
        assert!(Instant::now() < end, "the report does not wait");
        thread::sleep(Duration::from_millis(10));
    }
    change(&mut admin);
    admin.batch_execute("SELECT pg_advisory_unlock(42)").unwrap();
    reporting.join().unwrap()
}

fn in_tenant(admin: &mut Client, org: &str, statements: &str) {
    admin
        .batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}'); {statements}; COMMIT"))
        .unwrap_or_else(|error| panic!("{org}: {statements}: {error:?}"));
}

/// Tenants with rows that say whose they are, in the order of a report.
fn tenants(world: &World, orgs: &[&str]) {
    let mut admin = world.admin();
    for org in orgs {
        admin.batch_execute(&format!("SELECT plio.create_tenant('{org}')")).unwrap();
        let table = "CREATE TABLE users (id bigint, name text)";
        in_tenant(&mut admin, org, &format!("{table}; INSERT INTO users VALUES (1, '{org}'), (2, '{org}')"));
    }
}

#[test]
fn who_takes_a_name_meanwhile_is_not_counted_under_it() {
    let world = world("swapped");
    gate(&world);
    tenants(&world, &["dropped", "left", "made_again", "right"]);
    let (mut reporter, found) = meanwhile(&world, REPORT, |admin| {
        admin
            .batch_execute(
                "SELECT plio.rename_tenant('left', 'between'); SELECT plio.rename_tenant('right', 'left');
                 SELECT plio.rename_tenant('between', 'right');
                 SELECT plio.drop_tenant('dropped', 'dropped'); SELECT plio.drop_tenant('made_again', 'made_again');
                 SELECT plio.create_tenant('made_again'); SELECT plio.create_tenant('new')",
            )
            .unwrap();
        in_tenant(admin, "made_again", "CREATE TABLE users (id bigint, name text)");
    });
    assert_eq!(found, ["acme|3|canary-acme", "bravo|3|canary-bravo"]);
    assert_eq!(
        rows(&mut reporter, COVERAGE),
        [
            "acme|counted|1|-",
            "bravo|counted|1|-",
            "dropped|gone|0|42704",
            "left|gone|0|42704",
            "made_again|gone|0|42704",
            "right|gone|0|42704"
        ]
    );
    // The next report knows them by their new names.
    let found = rows(&mut reporter, REPORT);
    assert!(
        found.contains(&"left|2|right".to_owned()) && found.contains(&"made_again|0|-".to_owned()),
        "{found:?}"
    );
}

#[test]
fn a_table_that_was_changed_meanwhile_is_not_read_as_empty() {
    const CHANGES: [(&str, &str); 7] = [
        ("clustered", "CLUSTER users USING users_pkey"),
        ("column", "ALTER TABLE users ADD COLUMN more int"),
        (
            "replaced",
            "CREATE TABLE fresh AS TABLE users; DROP TABLE users; ALTER TABLE fresh RENAME TO users",
        ),
        ("rewritten", "ALTER TABLE users ALTER id TYPE numeric"),
        ("swapped", "ALTER TABLE users RENAME TO old; ALTER TABLE spare RENAME TO users"),
        ("truncated", "TRUNCATE users"),
        ("view", "CREATE OR REPLACE VIEW users AS SELECT 1::bigint AS id, 'made up'::text AS name"),
    ];
    let world = world("replaced");
    gate(&world);
    let mut admin = world.admin();
    for (org, _) in CHANGES {
        tenants(&world, &[org]);
        in_tenant(&mut admin, org, "ALTER TABLE users ADD PRIMARY KEY (id); CREATE TABLE spare (LIKE users)");
    }
    in_tenant(
        &mut admin,
        "view",
        "ALTER TABLE users RENAME TO people; CREATE VIEW users AS SELECT id, name FROM people",
    );
    tenants(&world, &["analyzed", "detached", "written"]);
    in_tenant(
        &mut admin,
        "detached",
        "DROP TABLE users; CREATE TABLE users (id bigint, name text) PARTITION BY RANGE (id);
         CREATE TABLE few PARTITION OF users FOR VALUES FROM (0) TO (10);
         CREATE TABLE many PARTITION OF users FOR VALUES FROM (10) TO (20); INSERT INTO users VALUES (1, 'x'), (11, 'x')",
    );
    let app = &world.tenants.app;
    for org in ["swapped", "truncated"] {
        admin.batch_execute(&format!("SELECT plio.grant_access('{app}', '{org}')")).unwrap();
        let own = format!(
            "DO $$ BEGIN EXECUTE format('ALTER TABLE users OWNER TO %I; ALTER TABLE spare OWNER TO %I', (SELECT role_name FROM plio.tenants WHERE org = '{org}'), (SELECT role_name FROM plio.tenants WHERE org = '{org}')); END $$; "
        );
        admin.batch_execute(&format!("SET search_path = tenant_{org}; {own} RESET search_path")).unwrap();
    }
    let (mut reporter, found) = meanwhile(&world, REPORT, |admin| {
        for (org, change) in CHANGES {
            // By a superuser inside the tenant, or by the application.
            if ["swapped", "truncated"].contains(&org) {
                in_tenant(&mut world.app(), org, change);
            } else {
                in_tenant(admin, org, change);
            }
        }
        in_tenant(admin, "detached", "ALTER TABLE users DETACH PARTITION many");
        in_tenant(admin, "written", "INSERT INTO users VALUES (3, 'later'); DELETE FROM users WHERE id = 1");
        for statement in ["SET plio.tenant = 'analyzed'", "VACUUM ANALYZE users", "RESET plio.tenant"] {
            admin.batch_execute(statement).unwrap();
        }
    });
    let expected = ["acme|3|canary-acme", "analyzed|2|analyzed", "bravo|3|canary-bravo", "written|2|written"];
    assert_eq!(found, expected, "what is written meanwhile, and analyzed, is read as it was");
    let failed = rows(
        &mut reporter,
        "SELECT org, sqlstate, message FROM plio.report_coverage() WHERE outcome = 'failed' ORDER BY org",
    );
    let orgs = ["clustered", "column", "detached", "replaced", "rewritten", "swapped", "truncated", "view"];
    let expected =
        orgs.map(|org| format!("{org}|55000|relation \"users\" was changed after the report began"));
    assert_eq!(failed, expected);
    assert_eq!(rows(&mut reporter, REPORT).len(), 12, "the next report takes them as they are now");
}

// The same by a report view, and in a function of the tenant's; the reporter's own changes are none.
#[test]
fn views_and_functions_are_held_to_the_same_snapshot() {
    let world = world("same_snapshot");
    world.admin().batch_execute("SELECT plio.create_report_view('users', 'users')").unwrap();
    gate(&world);
    world.inside(
        "bravo",
        "CREATE TABLE kept AS TABLE users; CREATE FUNCTION of_kept() RETURNS text LANGUAGE plpgsql AS
            $$ BEGIN RETURN (SELECT string_agg(name, ',') FROM kept); END $$;
         ALTER TABLE users RENAME TO people; CREATE VIEW users AS SELECT id, of_kept() AS name FROM people",
    );
    let view = "SET plio.allow_partial_reports = on; SELECT org, count(*), min(name) FROM plio_reports.users GROUP BY org";
    let (mut reporter, found) = meanwhile(&world, view, |admin| in_tenant(admin, "bravo", "TRUNCATE kept"));
    assert_eq!(found, ["acme|3|canary-acme"]);
    assert_eq!(rows(&mut reporter, COVERAGE), ["acme|counted|3|-", "bravo|failed|0|55000"]);
    let mut admin = world.admin();
    admin.batch_execute("BEGIN; ALTER TABLE tenant_bravo.kept ADD COLUMN more int").unwrap();
    let own = "SELECT org, count(*) FROM plio_reports.users WHERE org = 'bravo' GROUP BY org";
    assert_eq!(rows(&mut admin, own), ["bravo|3"]);
    admin.batch_execute("ROLLBACK").unwrap();
}
