//! pgaudit, plpgsql_check and auto_explain: they see what happens inside tenants.

use crate::{assert_bound, inside, orders, try_value, value, world};
use plio_tests::{Cluster, expect_sqlstate, neighbour};
use postgres::Client;

const CONF: [&str; 2] = ["pgaudit.log = 'all'", "pgaudit.log_catalog = off"];

/// Each in a message of its own: pgaudit of 15 logs the text of the whole message.
fn stepwise(client: &mut Client, org: &str, statement: &str) {
    for step in ["BEGIN", &format!("SELECT plio.set_tenant('{org}')"), statement, "COMMIT"] {
        client.batch_execute(step).unwrap_or_else(|error| panic!("{step}: {error:?}"));
    }
}

/// pgaudit leaves out reads and writes of a role that the session's user is no member of (`log_select_dml`, pgaudit.c), and
/// nobody is a member of a tenant's role: so it logs everything inside tenants but ordinary roles' reads and writes. A
/// membership without INHERIT and SET, which gives no right, brings those back (16 and later).
#[test]
fn pgaudit_logs_what_runs_inside_tenants() {
    if neighbour("pgaudit").is_none() {
        return;
    }
    for order in orders("pgaudit") {
        let fixture = world(&[&order, CONF[0], CONF[1]], &["pgaudit"]);
        assert_bound(&fixture);
        let cluster = fixture.db.cluster();
        let has = |words: &[&str]| {
            let audited =
                |line: &str| line.contains("AUDIT: ") && words.iter().all(|word| line.contains(word));
            cluster.log().lines().any(audited)
        };
        let mut app = fixture.db.connect(&fixture.app);
        stepwise(&mut app, "acme", "SELECT name AS unmarked FROM users");
        stepwise(&mut app, "acme", "CREATE TABLE marked_table (a int)");
        app.batch_execute("SET plio.tenant = 'bravo'").unwrap();
        app.batch_execute("RESET plio.tenant").unwrap();
        stepwise(&mut fixture.db.superuser(), "acme", "SELECT name AS administrators FROM users");
        for words in [
            &["DDL,CREATE TABLE", "marked_table"][..],
            &["plio.set_tenant('acme')"],
            &["MISC", "SET plio.tenant = 'bravo'"],
            &["MISC", "RESET plio.tenant"],
            &["READ,SELECT", "administrators"],
        ] {
            assert!(has(words), "{order}: no audit line with {words:?} in\n{}", cluster.log());
        }
        assert!(
            !has(&["unmarked"]),
            "pgaudit logs ordinary roles' reads by itself: say so in docs/guarantees.md"
        );
        if Cluster::major() != "15" {
            let mut admin = fixture.db.superuser();
            let role = value(&mut admin, "SELECT role_name FROM plio.tenants WHERE org = 'acme'");
            let grant = format!("GRANT \"{role}\" TO {} WITH INHERIT FALSE, SET FALSE", fixture.app);
            admin.batch_execute(&grant).unwrap();
            stepwise(&mut app, "acme", "SELECT name AS members FROM users");
            assert!(has(&["READ,SELECT", "members FROM users"]), "{order}: {}", cluster.log());
            assert_bound(&fixture);
            expect_sqlstate(try_value(&mut app, &format!("SET ROLE \"{role}\"")), "42501");
        }
    }
}

#[test]
fn plpgsql_check_works_inside_tenants() {
    if neighbour("plpgsql_check").is_none() {
        return;
    }
    for order in orders("plpgsql_check") {
        let fixture = world(&[&order], &["plpgsql_check"]);
        assert_bound(&fixture);
        let mut app = fixture.db.connect(&fixture.app);
        let body = "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT nothing FROM users); END'";
        let found = value(
            &mut app,
            &inside(
                "acme",
                &format!("{body}; SELECT string_agg(f, '') FROM plpgsql_check_function('f()') f"),
            ),
        );
        assert!(found.contains("nothing"), "{order}: {found}");
        let body = "CREATE FUNCTION g() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT name FROM tenant_bravo.users); END'";
        let answer = try_value(
            &mut app,
            &inside(
                "acme",
                &format!("{body}; SELECT string_agg(f, '') FROM plpgsql_check_function('g()') f"),
            ),
        );
        let said = format!("{answer:?}");
        assert!(
            said.contains("access to another tenant is not allowed") && !said.contains("canary"),
            "{said}"
        );
    }
}

#[test]
fn auto_explain_explains_inside_tenants() {
    let conf = [
        "auto_explain.log_min_duration = 0",
        "auto_explain.log_nested_statements = on",
        "auto_explain.log_analyze = on",
    ];
    for order in orders("auto_explain") {
        let fixture = world(&[&order, conf[0], conf[1], conf[2]], &[]);
        assert_bound(&fixture);
        let mut app = fixture.db.connect(&fixture.app);
        value(&mut app, &inside("acme", "SELECT name AS explained FROM users"));
        let log = fixture.db.cluster().log();
        assert!(log.contains("Query Text") && log.contains("Seq Scan on users"), "{order}: {log}");
        expect_sqlstate(try_value(&mut app, "SELECT * FROM tenant_acme.users"), "55000");
    }
}
