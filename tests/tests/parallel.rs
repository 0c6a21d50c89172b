//! Parallel workers are judged as their leader: the tenant, its role and the refusals are theirs, too.

use plio_tests::{Cluster, Layers, TwoTenants, assert_refusal, expect_sqlstate};
use postgres::{Client, SimpleQueryMessage};

#[path = "common/judge.rs"]
#[allow(clippy::duplicate_mod, reason = "adopted_more takes this file in as a module")]
mod judge;

/// Tables worth a parallel plan in both tenants, and functions that may run in a worker.
fn fixture() -> TwoTenants {
    let fixture = Cluster::shared().database("parallel").tenants(Layers::of(module_path!()));
    let mut admin = fixture.db.superuser();
    for org in ["acme", "bravo"] {
        admin
            .batch_execute(&format!(
                "BEGIN; SELECT plio.set_tenant('{org}');
                 CREATE TABLE big AS SELECT n, 'canary-{org}' AS name FROM generate_series(1, 20000) n;
                 ANALYZE big; COMMIT"
            ))
            .unwrap();
    }
    admin
        .batch_execute(
            "CREATE FUNCTION public.foreign_count(n int) RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER COST 10000
               AS 'BEGIN RETURN (SELECT count(*) FROM tenant_bravo.users); END';
             CREATE FUNCTION public.foreign_sql(n int) RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER COST 10000
               AS 'SELECT count(*) FROM tenant_bravo.users';
             CREATE FUNCTION public.foreign_dynamic(n int) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER COST 10000
               AS 'DECLARE found text; BEGIN EXECUTE ''SELECT min(name) FROM tenant_bravo.users'' INTO found; RETURN found; END';
             CREATE FUNCTION public.own_count(n int) RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE COST 10000
               AS 'BEGIN RETURN (SELECT count(*) FROM users); END';
             CREATE FUNCTION public.whoami(n int) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE COST 10000
               AS 'BEGIN RETURN concat_ws('' '', plio.current_tenant(), current_schema(), current_user = session_user, pg_backend_pid()); END'",
        )
        .unwrap();
    fixture
}

/// Makes every plan that can be parallel so, with workers only.
fn force(client: &mut Client) {
    let name = if Cluster::major() == "15" { "force_parallel_mode" } else { "debug_parallel_query" };
    client
        .batch_execute(&format!(
            "SET {name} = off; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
             SET min_parallel_index_scan_size = 0; SET max_parallel_workers_per_gather = 3; SET parallel_leader_participation = off"
        ))
        .unwrap();
}

fn texts(client: &mut Client, query: &str) -> Vec<String> {
    let messages = client.simple_query(query).unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    messages.into_iter().filter_map(row).collect()
}

fn enter(client: &mut Client, org: &str) {
    client.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')")).unwrap();
}

/// The plan is parallel, and workers read the tenant's own rows, as the tenant, without its leader's help.
#[test]
fn workers_read_the_tenants_rows() {
    let fixture = fixture();
    let mut app = fixture.db.connect(&fixture.app);
    force(&mut app);
    for org in ["acme", "bravo"] {
        enter(&mut app, org);
        let plan =
            texts(&mut app, "EXPLAIN (ANALYZE, COSTS off) SELECT count(*), min(name) FROM big").join("\n");
        assert!(plan.contains("Workers Launched: ") && !plan.contains("Workers Launched: 0"), "{plan}");
        assert_eq!(texts(&mut app, "SELECT min(name) || count(*) FROM big"), [format!("canary-{org}20000")]);
        assert_eq!(texts(&mut app, "SELECT sum(own_count(n)) FROM big WHERE n <= 10"), ["30"]);
        let leader = texts(&mut app, "SELECT pg_backend_pid()").remove(0);
        for answer in texts(&mut app, "SELECT DISTINCT whoami(n) FROM big WHERE n <= 500") {
            let words: Vec<&str> = answer.split(' ').collect();
            // Without a role of the tenant's it is the login role.
            let is_login = if Layers::of(module_path!()) == Layers::One { "t" } else { "f" };
            assert_eq!(&words[..3], [org, &format!("tenant_{org}"), is_login], "{answer}");
            assert_ne!(words[3], leader, "the leader answered: {answer}");
        }
        app.batch_execute("COMMIT").unwrap();
    }
}

/// A worker refuses what its leader would: another tenant's rows in a definer function, over both protocols.
#[test]
fn workers_refuse_another_tenant() {
    let fixture = fixture();
    let mut app = fixture.db.connect(&fixture.app);
    force(&mut app);
    for function in ["foreign_count", "foreign_sql", "foreign_dynamic"] {
        let query = format!("SELECT max({function}(n)::text) FROM big WHERE n <= 500");
        enter(&mut app, "acme");
        let plan = texts(&mut app, &format!("EXPLAIN {query}")).join("\n");
        assert!(plan.contains("Gather"), "{plan}");
        app.batch_execute("SAVEPOINT s").unwrap();
        let error = expect_sqlstate(app.batch_execute(&query), "42501");
        assert_refusal(&error, "42501", &["canary-bravo", "tenant_bravo"]);
        app.batch_execute("ROLLBACK TO s").unwrap();
        let error = expect_sqlstate(app.query(&query, &[]), "42501");
        assert_refusal(&error, "42501", &["canary-bravo", "tenant_bravo"]);
        app.batch_execute("ROLLBACK").unwrap();
        enter(&mut app, "bravo");
        assert_eq!(texts(&mut app, &query).len(), 1, "the control");
        app.batch_execute("ROLLBACK").unwrap();
    }
}

/// A forced Gather over everything, as PostgreSQL's own tests run: nothing changes for the tenant.
#[test]
fn every_query_through_a_worker() {
    let fixture = fixture();
    let mut app = fixture.db.connect(&fixture.app);
    let name = if Cluster::major() == "15" { "force_parallel_mode" } else { "debug_parallel_query" };
    app.batch_execute(&format!("SET {name} = on; SET parallel_leader_participation = off")).unwrap();
    let mut acme = judge::Judge::inside(&mut app, "acme");
    acme.gives("SELECT name FROM users WHERE id = 1", &["canary-acme"]);
    acme.gives("SELECT plio.current_tenant()", &["acme"]);
    acme.gives("SELECT plio.require_tenant(), current_setting('plio.tenant')", &["acme|acme"]);
    acme.gives("SELECT name FROM countries WHERE code = 'IN'", &["India"]);
    acme.allowed("INSERT INTO users (name) VALUES ('x')");
    acme.allowed("CREATE TABLE copied AS SELECT * FROM users");
    acme.refused("SELECT * FROM tenant_bravo.users", "42501");
    acme.refused("SELECT foreign_count(1)", "42501");
    drop(acme);
    let mut nobody = judge::Judge::outside(&mut app);
    nobody.refused("SELECT * FROM tenant_bravo.users", "55000");
    nobody.refused("SELECT public.foreign_count(1)", "55000");
    nobody.gives("SELECT plio.current_tenant()", &["NULL"]);
}

/// A tenant that exists only in this transaction: its schema and role are not committed, and the workers hold them all
/// the same.
#[test]
fn workers_serve_a_tenant_made_in_the_same_transaction() {
    let fixture = fixture();
    let mut admin = fixture.db.superuser();
    force(&mut admin);
    admin
        .batch_execute(
            "BEGIN; SELECT plio.create_tenant('fresh'); SELECT plio.set_tenant('fresh');
             CREATE TABLE users AS SELECT n, 'canary-fresh' AS name FROM generate_series(1, 20000) n; ANALYZE users",
        )
        .unwrap();
    let plan = texts(&mut admin, "EXPLAIN (ANALYZE, COSTS off) SELECT count(*) FROM users").join("\n");
    assert!(plan.contains("Workers Launched: ") && !plan.contains("Workers Launched: 0"), "{plan}");
    assert_eq!(texts(&mut admin, "SELECT min(name) || count(*) FROM users"), ["canary-fresh20000"]);
    for answer in texts(&mut admin, "SELECT DISTINCT whoami(n) FROM users WHERE n <= 500") {
        assert!(answer.starts_with("fresh tenant_fresh f "), "{answer}");
    }
    let error = expect_sqlstate(
        admin.batch_execute("SELECT sum(foreign_count(n)) FROM users WHERE n <= 500"),
        "42501",
    );
    assert_refusal(&error, "42501", &["canary-bravo", "tenant_bravo"]);
    admin.batch_execute("ROLLBACK").unwrap();
}

/// With no tenant a worker of an administrator reads what it may, and an ordinary role's gets 55000.
#[test]
fn workers_without_a_tenant() {
    let fixture = fixture();
    let mut admin = fixture.db.superuser();
    force(&mut admin);
    let query = "SELECT min(name) || count(*) FROM tenant_bravo.big";
    assert_eq!(texts(&mut admin, query), ["canary-bravo20000"]);
    admin.batch_execute("CREATE TABLE public.plain AS SELECT n FROM generate_series(1, 20000) n; GRANT SELECT ON public.plain TO PUBLIC").unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    force(&mut app);
    let error =
        expect_sqlstate(app.batch_execute("SELECT sum(foreign_count(n)) FROM plain WHERE n <= 500"), "55000");
    assert_refusal(&error, "55000", &["canary-bravo"]);
    assert_eq!(texts(&mut app, "SELECT count(*) FROM plain"), ["20000"]);
}
