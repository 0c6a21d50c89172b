//! Prepared statements that an earlier tenant's work left on the connection, and prepared transactions.

use plio_tests::{SUPERUSER, expect_sqlstate};

use crate::judge::Judge;
use crate::world::{inside, value, world};

const LIST: &str = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%canary%'";

/// Their texts are listed only while they can be nobody else's.
#[test]
fn the_texts_of_another_tenants_prepared_statements_are_not_listed() {
    let world = world();
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        inside(&mut client, "bravo", "PREPARE p AS SELECT 'canary-bravo' FROM users");
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
        // One that fails cleans nothing.
        inside(&mut client, "bravo", "PREPARE p AS SELECT 'canary-bravo' FROM users");
        drop(client.batch_execute("BEGIN; DISCARD ALL"));
        client.batch_execute("ROLLBACK").unwrap();
        Judge::inside(&mut client, "acme").refused(LIST, "42501");
    }
}

/// Whoever knows the name does not run it: it went when the other tenant was entered.
#[test]
fn a_prepared_statement_of_another_tenant_is_gone() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    inside(&mut app, "bravo", "PREPARE p AS SELECT 'canary-text', name FROM users WHERE id = 1");
    Judge::inside(&mut app, "bravo").gives("EXECUTE p", &["canary-text|canary-bravo"]);
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
