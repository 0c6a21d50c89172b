//! What is deferred to COMMIT fires before the tenant changes, under the tenant in which it was queued.

use super::{assert_inside, refused, text, two_tenants};
use plio_tests::{TwoTenants, expect_sqlstate};
use postgres::Client;

/// Ways to change the tenant in the middle of a transaction that began in acme.
const SWITCHES: [&str; 5] = [
    "SET plio.tenant = 'bravo'",
    "SELECT plio.set_tenant('bravo')",
    "SET LOCAL plio.tenant = 'bravo'",
    "RESET plio.tenant",
    "RESET ALL",
];

/// In both tenants: tables with a deferred foreign key, as Django makes them, and a deferred trigger whose function is nobody's
/// and writes to the table that it finds on the path.
fn with_deferred(prefix: &str) -> (TwoTenants, Client) {
    let fixture = two_tenants(prefix);
    fixture
        .db
        .superuser()
        .batch_execute(
            "CREATE SCHEMA shared; GRANT USAGE ON SCHEMA shared TO PUBLIC;
             CREATE FUNCTION shared.keep() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN INSERT INTO audit_log VALUES (NEW.name); RETURN NULL; END $$",
        )
        .unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    for org in ["acme", "bravo"] {
        app.batch_execute(&format!(
            "BEGIN; SELECT plio.set_tenant('{org}');
             CREATE TABLE audit_log (name text); CREATE TABLE parents (id int PRIMARY KEY);
             CREATE TABLE children (parent int CONSTRAINT of_parent REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
             CREATE CONSTRAINT TRIGGER keep AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION shared.keep(); COMMIT"
        ))
        .unwrap();
    }
    (fixture, app)
}

/// How many rows each tenant's audit_log has.
fn logged(fixture: &TwoTenants) -> String {
    let count = "SELECT (SELECT count(*) FROM tenant_acme.audit_log) || '|' || (SELECT count(*) FROM tenant_bravo.audit_log)";
    text(&mut fixture.db.superuser(), count).unwrap()
}

#[test]
fn a_deferred_trigger_fires_in_its_own_tenant() {
    let (fixture, mut app) = with_deferred("deferred");
    for (n, switch) in SWITCHES.iter().enumerate() {
        app.batch_execute(&format!(
            "SET plio.tenant = 'acme'; BEGIN; INSERT INTO users (name) VALUES ('of acme'); {switch}; COMMIT; RESET plio.tenant"
        ))
        .unwrap_or_else(|error| panic!("{switch}: {error:?}"));
        assert_eq!(logged(&fixture), format!("{}|0", n + 1), "{switch}");
    }
    // Of an administrator's own row, queued without a tenant.
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "BEGIN; SET LOCAL search_path = tenant_acme; INSERT INTO users (name) VALUES ('of acme');
             SELECT plio.set_tenant('bravo'); COMMIT",
        )
        .unwrap();
    assert_eq!(logged(&fixture), "6|0");
}

// As Django works: the row that a deferred foreign key names comes after the one that names it.
#[test]
fn a_deferred_foreign_key_holds_across_switches() {
    let (fixture, mut app) = with_deferred("foreign");
    for switch in SWITCHES {
        let work = "INSERT INTO children VALUES (1); INSERT INTO parents VALUES (1) ON CONFLICT DO NOTHING";
        app.batch_execute(&format!(
            "SET plio.tenant = 'acme'; BEGIN; {work}; {switch}; COMMIT; RESET plio.tenant"
        ))
        .unwrap_or_else(|error| panic!("{switch}: {error:?}"));
        app.batch_execute("SET plio.tenant = 'acme'; BEGIN; INSERT INTO children VALUES (99)").unwrap();
        let error = expect_sqlstate(app.batch_execute(switch), "23503");
        assert_eq!(error.constraint(), Some("of_parent"), "{switch}");
        assert_eq!(error.table(), Some("children"), "{switch}");
        app.batch_execute("ROLLBACK; RESET plio.tenant").unwrap();
    }
    // The same tenant again is no switch: nothing fires early.
    app.batch_execute(
        "SET plio.tenant = 'acme'; BEGIN; INSERT INTO children VALUES (5); SET plio.tenant = 'acme';
         SELECT plio.set_tenant('acme'); INSERT INTO parents VALUES (5); COMMIT; RESET plio.tenant",
    )
    .unwrap();
    // What one request does for several tenants in one transaction.
    app.batch_execute(
        "SET plio.tenant = 'acme'; BEGIN; INSERT INTO children VALUES (6); INSERT INTO parents VALUES (6);
         SET plio.tenant = 'bravo'; INSERT INTO children VALUES (6); INSERT INTO parents VALUES (6); COMMIT; RESET plio.tenant",
    )
    .unwrap();
    drop(fixture);
}

// Inside a savepoint what was fired must be queued again by a rollback to it.
#[test]
fn a_rollback_brings_back_what_was_fired() {
    let (fixture, mut app) = with_deferred("brought");
    app.batch_execute(
        "SET plio.tenant = 'acme'; BEGIN; SAVEPOINT s; INSERT INTO children VALUES (7); SAVEPOINT t;
         INSERT INTO parents VALUES (7); INSERT INTO users (name) VALUES ('of acme'); SET plio.tenant = 'bravo'; ROLLBACK TO t",
    )
    .unwrap();
    assert_inside(&mut app, "acme");
    let error = expect_sqlstate(app.batch_execute("COMMIT"), "23503");
    assert_eq!(error.constraint(), Some("of_parent"));
    assert_eq!(logged(&fixture), "0|0");
    // Released, it stays fired.
    app.batch_execute(
        "SET plio.tenant = 'acme'; BEGIN; SAVEPOINT s; INSERT INTO users (name) VALUES ('of acme');
         SET plio.tenant = 'bravo'; RELEASE s; COMMIT; RESET plio.tenant",
    )
    .unwrap();
    assert_eq!(logged(&fixture), "1|0");
}

// Behind a trigger there is a statement, or a queue, that would go on in the other tenant.
#[test]
fn a_trigger_changes_no_tenant() {
    let (fixture, mut app) = with_deferred("inside");
    let mut admin = fixture.db.superuser();
    for (n, switch) in SWITCHES.iter().enumerate() {
        admin
            .batch_execute(&format!(
                "CREATE FUNCTION shared.switch_{n}() RETURNS trigger LANGUAGE plpgsql
                     AS $f$ BEGIN EXECUTE $s${switch}$s$; RETURN NULL; END $f$"
            ))
            .unwrap();
        for timing in ["DEFERRABLE INITIALLY DEFERRED", "NOT DEFERRABLE"] {
            app.batch_execute("SET plio.tenant = 'acme'").unwrap();
            app.batch_execute(&format!(
                "CREATE CONSTRAINT TRIGGER z AFTER INSERT ON users {timing}
                     FOR EACH ROW EXECUTE FUNCTION shared.switch_{n}()"
            ))
            .unwrap();
            app.batch_execute("BEGIN").unwrap();
            let insert = "INSERT INTO users (name) VALUES ('x')";
            let result = app.batch_execute(insert).and_then(|()| app.batch_execute("COMMIT"));
            refused(result, "25001");
            app.batch_execute("ROLLBACK").unwrap();
            // Nor does the switch that fires it. The refused one has left no tenant in force.
            app.batch_execute("SET plio.tenant = 'acme'; BEGIN").unwrap();
            let result =
                app.batch_execute(insert).and_then(|()| app.batch_execute("SELECT plio.set_tenant('bravo')"));
            refused(result, "25001");
            app.batch_execute(
                "ROLLBACK; SET plio.tenant = 'acme'; DROP TRIGGER z ON users; RESET plio.tenant",
            )
            .unwrap();
        }
    }
    assert_eq!(logged(&fixture), "0|0");
}

// A procedure that ends its transactions, a tenant in each.
#[test]
fn a_procedure_fires_what_is_deferred_at_its_commit() {
    let (fixture, mut app) = with_deferred("procedure");
    app.batch_execute(
        "DO $$ DECLARE org text; BEGIN
             FOREACH org IN ARRAY ARRAY['acme', 'bravo', 'acme'] LOOP
                 PERFORM plio.set_tenant(org); INSERT INTO users (name) VALUES (org);
                 INSERT INTO children VALUES (8); INSERT INTO parents VALUES (8) ON CONFLICT DO NOTHING; COMMIT;
             END LOOP; END $$",
    )
    .unwrap();
    assert_eq!(logged(&fixture), "2|1");
}
