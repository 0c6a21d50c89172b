//! Prepared statements that an earlier tenant's work left on the connection, and prepared transactions.

use plio_tests::{SUPERUSER, expect_sqlstate};

use crate::judge::Judge;
use crate::wire::Wire;
use crate::world::{inside, value, world};

const LIST: &str = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%canary%'";

/// Their texts are listed only while they can be nobody else's.
#[test]
fn the_texts_of_another_tenants_prepared_statements_are_not_listed() {
    let world = world();
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        client.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
        let driver = client.prepare("SELECT 'canary-bravo' FROM users").unwrap();
        client.batch_execute("COMMIT").unwrap();
        Judge::inside(&mut client, "bravo").gives(LIST, &["1"]);
        for list in [LIST, "SELECT pg_prepared_statement()", "TABLE pg_catalog.pg_prepared_statements"] {
            Judge::inside(&mut client, "acme").refused(list, "42501");
        }
        // A session's tenant, too; and bravo itself, since acme's may be among them now.
        client.batch_execute("SET plio.tenant = 'acme'").unwrap();
        expect_sqlstate(client.batch_execute(LIST), "42501");
        client.batch_execute("RESET plio.tenant").unwrap();
        Judge::inside(&mut client, "bravo").refused(LIST, "42501");
        for clean in ["DEALLOCATE ALL", "DISCARD ALL"] {
            inside(&mut client, "bravo", "SELECT 1");
            Judge::inside(&mut client, "acme").refused(LIST, "42501");
            client.batch_execute(clean).unwrap();
            Judge::inside(&mut client, "acme").gives(LIST, &["0"]);
        }
        drop(driver);
        // One that fails cleans nothing.
        inside(&mut client, "bravo", "SELECT 1");
        drop(client.batch_execute("BEGIN; DISCARD ALL"));
        client.batch_execute("ROLLBACK").unwrap();
        Judge::inside(&mut client, "acme").refused(LIST, "42501");
    }
}

/// Whoever knows the name does not run it: it went when its tenant ended.
#[test]
fn a_prepared_statement_of_another_tenant_is_gone() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    let prepare = "PREPARE p AS SELECT 'canary-text', name FROM users WHERE id = 1";
    Judge::inside(&mut app, "bravo").gives(&format!("{prepare}; EXECUTE p"), &["canary-text|canary-bravo"]);
    inside(&mut app, "bravo", prepare);
    expect_sqlstate(app.batch_execute("EXECUTE p"), "26000");
    Judge::inside(&mut app, "acme").denied("EXECUTE p", "26000");
}

/// Two-phase commit: nothing is prepared inside a tenant, a session's included, and nobody's is finished there.
#[test]
fn two_phase_commit_stays_outside() {
    let world = world();
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        let (theirs, again) = (format!("theirs-{role}"), format!("again-{role}"));
        client
            .batch_execute("SET plio.tenant = 'acme'; BEGIN; INSERT INTO users (name) VALUES ('x')")
            .unwrap();
        expect_sqlstate(client.batch_execute("PREPARE TRANSACTION 'inside'"), "42501");
        client.batch_execute("ROLLBACK; RESET plio.tenant").unwrap();
        // Made outside, finished outside: as ever.
        client.batch_execute(&format!("BEGIN; CREATE TABLE pg_temp.nothing (a int); DROP TABLE nothing; ROLLBACK; BEGIN; SELECT 1; PREPARE TRANSACTION '{theirs}'")).unwrap();
        client.batch_execute("SET plio.tenant = 'acme'").unwrap();
        expect_sqlstate(client.batch_execute(&format!("COMMIT PREPARED '{theirs}'")), "42501");
        expect_sqlstate(client.batch_execute(&format!("ROLLBACK PREPARED '{theirs}'")), "42501");
        client.batch_execute("RESET plio.tenant").unwrap();
        client.batch_execute(&format!("COMMIT PREPARED '{theirs}'; ")).unwrap();
        client.batch_execute(&format!("BEGIN; SELECT 1; PREPARE TRANSACTION '{again}'")).unwrap();
        client.batch_execute(&format!("ROLLBACK PREPARED '{again}'")).unwrap();
    }
    assert_eq!(
        value(
            &mut world.db.superuser(),
            "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"
        ),
        "0"
    );
}

/// The names that drivers and poolers give: psycopg's, pgjdbc's, Rails', PgBouncer's, asyncpg's.
const NAMES: [&str; 6] = ["_pg3_0", "S_1", "s0", "a1", "PGBOUNCER_1", "__asyncpg_stmt_1__"];

/// SQL inside a tenant, injected, by which the next request's prepared set_tenant would be another statement.
fn injected(name: &str) -> [String; 5] {
    let prepare = format!("PREPARE \"{name}\" (text) AS SELECT plio.set_tenant('acme') WHERE $1 IS NOT NULL");
    let execute = |statement: &str| format!("DO $do$ BEGIN EXECUTE $q${statement}$q$; END $do$");
    [
        format!("{}; {}", execute(&format!("DEALLOCATE \"{name}\"")), execute(&prepare)),
        format!("SELECT 1; DEALLOCATE \"{name}\"; {prepare}"),
        format!("SELECT 1; DEALLOCATE ALL; {prepare}"),
        execute("DEALLOCATE ALL"),
        execute("DISCARD PLANS"),
    ]
}

/// A driver's prepared statements: the next request on the connection runs what its driver prepared, whatever SQL ran before.
#[test]
fn sql_inside_a_tenant_replaces_no_statement_of_the_drivers() {
    let world = world();
    for role in [world.app.as_str(), SUPERUSER] {
        for name in NAMES {
            let mut driver = Wire::connect(&world.db, role);
            driver.prepare(name, "SELECT plio.set_tenant($1)");
            for enter in ["BEGIN; SELECT plio.set_tenant('acme')", "SET plio.tenant = 'acme'; BEGIN"] {
                for attack in injected(name) {
                    for end in ["ROLLBACK", "COMMIT"] {
                        // Refused or not: what counts is what the next request finds.
                        for statements in [enter, &attack, end, "RESET plio.tenant; BEGIN"] {
                            driver.query(statements);
                        }
                        let entered = driver.execute(name, "bravo");
                        assert!(!entered[0].starts_with("ERROR"), "{name}: {attack}: {entered:?}");
                        let found = driver.query("SELECT name FROM users WHERE id = 1; COMMIT");
                        assert_eq!(found[0], "canary-bravo", "{name}: {attack}");
                    }
                }
            }
            // What the driver closes itself, by either way, is closed.
            driver.query("BEGIN; SELECT plio.set_tenant('acme')");
            assert_eq!(driver.query(&format!("DEALLOCATE \"{name}\"")), ["DEALLOCATE"]);
            assert_eq!(driver.execute(name, "bravo"), ["ERROR 26000"]);
        }
    }
}

/// What a tenant may do: prepare, run and remove its own, and drivers that remove theirs by a DEALLOCATE of their own.
#[test]
fn sql_inside_a_tenant_removes_its_own_statements() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    app.batch_execute("PREPARE outside AS SELECT 1").unwrap();
    let mut acme = Judge::inside(&mut app, "acme");
    acme.gives("PREPARE own AS SELECT 'own'; EXECUTE own; DEALLOCATE own", &["own"]);
    acme.gives("PREPARE own AS SELECT 'own'; DEALLOCATE ALL; PREPARE own AS SELECT 'anew'; EXECUTE own; DEALLOCATE own", &["anew"]);
    acme.gives("DEALLOCATE ALL; EXECUTE outside", &["1"]);
    acme.denied("SELECT 1; DEALLOCATE nosuch", "26000");
    acme.refused("SELECT 1; DEALLOCATE outside", "42501");
    drop(acme);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    app.batch_execute(" DEALLOCATE outside ; ").unwrap();
    app.batch_execute("COMMIT").unwrap();
}
