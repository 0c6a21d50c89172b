//! What one tenant leaves in a session, and what the next one must not find there.

use plio_tests::{Cluster, Layers, SUPERUSER, TwoTenants, assert_refusal, expect_sqlstate};
use postgres::{Client, Error};

fn two_tenants(prefix: &str) -> TwoTenants {
    Cluster::shared().database(prefix).tenants(Layers::of(module_path!()))
}

fn first(client: &mut Client, query: &str) -> Result<String, Error> {
    client.query_one(query, &[]).map(|row| row.get(0))
}

/// Runs `work` in one transaction of that tenant.
#[track_caller]
fn inside(client: &mut Client, org: &str, work: &str) {
    client
        .batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}'); {work}; COMMIT"))
        .unwrap_or_else(|error| panic!("{org}: {work}: {error:?}"));
}

/// The leak that plain search_path has, on the same server: a temporary table masks the next tenant's.
#[test]
fn without_us_a_temporary_table_masks_the_next_tenants() {
    let db = Cluster::shared().database("plain");
    let mut client = db.superuser();
    client
        .batch_execute(
            "CREATE SCHEMA a; CREATE TABLE a.users AS SELECT 'canary-a' AS name;
             CREATE SCHEMA b; CREATE TABLE b.users AS SELECT 'canary-b' AS name;
             SET search_path = a; CREATE TEMPORARY TABLE users AS SELECT * FROM a.users;
             SET search_path = b",
        )
        .unwrap();
    assert_eq!(first(&mut client, "SELECT name FROM users").unwrap(), "canary-a");
}

#[test]
fn a_temporary_table_neither_masks_nor_outlives_its_tenant() {
    let fixture = two_tenants("temporary");
    let mut app = fixture.db.connect(&fixture.app);
    // pg_temp is last on the path: not even in its own tenant does it mask the real one.
    app.batch_execute(
        "SET plio.tenant = 'acme'; CREATE TEMPORARY TABLE users AS SELECT * FROM users;
         CREATE TEMPORARY TABLE copied AS SELECT * FROM users; INSERT INTO users (name) VALUES ('fourth')",
    )
    .unwrap();
    // A session's tenant keeps it from one transaction to the next, in transactions of its own, too.
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert_eq!(first(&mut app, "SELECT count(*)::text FROM copied").unwrap(), "3");
    assert_eq!(first(&mut app, "SELECT count(*)::text FROM users").unwrap(), "4");
    app.batch_execute("COMMIT; BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
    assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1").unwrap(), "canary-bravo");
    expect_sqlstate(first(&mut app, "SELECT count(*)::text FROM copied"), "42P01");
    app.batch_execute("ROLLBACK; RESET plio.tenant").unwrap();
    // A transaction's tenant takes it along.
    inside(&mut app, "acme", "CREATE TEMPORARY TABLE copied AS SELECT * FROM users; SELECT * FROM copied");
    for org in ["acme", "bravo"] {
        app.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')")).unwrap();
        expect_sqlstate(first(&mut app, "SELECT count(*)::text FROM copied"), "42P01");
        app.batch_execute("ROLLBACK").unwrap();
    }
}

// A switch that is rolled back brings the dropped tables back: the next switch must drop them again.
#[test]
fn a_switch_that_was_rolled_back_does_not_bring_the_residue_into_the_tenant() {
    let fixture = two_tenants("rolledback");
    for (undo, again) in
        [("ROLLBACK", "BEGIN"), ("ROLLBACK TO s", "SAVEPOINT t"), ("SELECT 1/0", "ROLLBACK TO s")]
    {
        let mut app = fixture.db.connect(&fixture.app);
        app.batch_execute("SET plio.tenant = 'acme'; CREATE TEMPORARY TABLE copied AS SELECT * FROM users")
            .unwrap();
        app.batch_execute("BEGIN; SAVEPOINT s; SELECT plio.set_tenant('bravo')").unwrap();
        expect_sqlstate(app.batch_execute("SAVEPOINT u; SELECT * FROM copied"), "42P01");
        app.batch_execute("ROLLBACK TO u").unwrap();
        // The error of the third case is what undoes it.
        drop(app.batch_execute(undo));
        app.batch_execute(&format!("{again}; SELECT plio.set_tenant('bravo')")).unwrap();
        let found = first(&mut app, "SELECT name FROM copied LIMIT 1");
        expect_sqlstate(
            found.map_err(|error| {
                assert!(!format!("{error:?}").contains("canary"));
                error
            }),
            "42P01",
        );
    }
}

// The same where the transaction commits, what it entered having been undone by a savepoint.
#[test]
fn a_switch_undone_in_a_transaction_that_commits_counts_for_nothing() {
    let fixture = two_tenants("savepoint");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("SET plio.tenant = 'acme'; CREATE TEMPORARY TABLE copied AS SELECT * FROM users")
        .unwrap();
    app.batch_execute("BEGIN; SAVEPOINT s; SELECT plio.set_tenant('bravo'); ROLLBACK TO s; COMMIT").unwrap();
    app.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
    expect_sqlstate(first(&mut app, "SELECT name FROM copied LIMIT 1"), "42P01");
}

// A session's tenant and a transaction's take turns on one connection.
#[test]
fn a_sessions_tenant_and_a_transactions_leave_each_other_nothing() {
    let fixture = two_tenants("turns");
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        client.batch_execute("SET plio.tenant = 'acme'").unwrap();
        inside(&mut client, "bravo", "CREATE TEMPORARY TABLE copied AS SELECT * FROM users");
        expect_sqlstate(first(&mut client, "SELECT name FROM copied LIMIT 1"), "42P01");
        // Made by the session's tenant after the transaction's.
        client.batch_execute("CREATE TEMPORARY TABLE later AS SELECT * FROM users").unwrap();
        client.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
        expect_sqlstate(first(&mut client, "SELECT name FROM later LIMIT 1"), "42P01");
        client.batch_execute("ROLLBACK").unwrap();
    }
}

// The same where entering itself fails after the leftovers were looked at.
#[test]
fn a_refused_switch_leaves_nothing_half_removed() {
    let fixture = two_tenants("refused");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("SET plio.tenant = 'acme'; CREATE TEMPORARY TABLE copied AS SELECT * FROM users")
        .unwrap();
    let refusal = "BEGIN; DECLARE c CURSOR FOR SELECT 1; SELECT plio.set_tenant('bravo')";
    assert_refusal(&expect_sqlstate(app.batch_execute(refusal), "25001"), "25001", &["canary"]);
    app.batch_execute("ROLLBACK; SET plio.tenant = 'acme'").unwrap();
    app.batch_execute("SELECT count(*) FROM copied").unwrap();
    app.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
    expect_sqlstate(first(&mut app, "SELECT name FROM copied LIMIT 1"), "42P01");
}

#[test]
fn a_held_cursor_ends_with_the_switch() {
    let fixture = two_tenants("held");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute(
        "SET plio.tenant = 'acme'; DECLARE h CURSOR WITH HOLD FOR SELECT name FROM users ORDER BY id",
    )
    .unwrap();
    // In its own tenant it is kept, as PostgreSQL keeps it.
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert_eq!(first(&mut app, "FETCH 1 FROM h").unwrap(), "canary-acme");
    app.batch_execute("COMMIT; BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
    expect_sqlstate(first(&mut app, "FETCH 1 FROM h"), "34000");
    app.batch_execute("ROLLBACK").unwrap();
    // Nor does a switch that is rolled back bring it back.
    expect_sqlstate(first(&mut app, "FETCH 1 FROM h"), "34000");
}

#[test]
fn sequence_values_are_forgotten() {
    let fixture = two_tenants("sequences");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); INSERT INTO users (name) VALUES ('fourth')")
        .unwrap();
    assert_eq!(first(&mut app, "SELECT lastval()::text").unwrap(), "4");
    app.batch_execute("COMMIT").unwrap();
    for query in ["SELECT lastval()::text", "SELECT currval('users_id_seq')::text"] {
        app.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
        expect_sqlstate(first(&mut app, query), "55000");
        app.batch_execute("ROLLBACK").unwrap();
    }
}

// Prepared by the driver in one tenant, run in the other and back, planned anew and from the cache.
#[test]
fn a_prepared_statement_sees_the_rows_of_the_tenant_it_runs_in() {
    let fixture = two_tenants("prepared");
    for mode in ["auto", "force_generic_plan", "force_custom_plan"] {
        let mut app = fixture.db.connect(&fixture.app);
        app.batch_execute(&format!("SET plan_cache_mode = {mode}")).unwrap();
        app.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
        let statement = app.prepare("SELECT name FROM users WHERE id = $1").unwrap();
        app.batch_execute("COMMIT").unwrap();
        for round in 0..8 {
            let org = if round % 2 == 0 { "acme" } else { "bravo" };
            app.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')")).unwrap();
            for _ in 0..2 {
                let row = app.query_one(&statement, &[&1i64]).unwrap();
                assert_eq!(row.get::<_, &str>(0), format!("canary-{org}"));
            }
            app.batch_execute("COMMIT").unwrap();
            // Without a tenant it finds nobody's rows.
            assert!(app.query_one(&statement, &[&1i64]).is_err());
        }
    }
}

// SQL's PREPARE inside a tenant is that tenant's: under a name that the application uses it would be run by the next one.
// What was prepared outside stays, and so does what the driver prepared, whatever its name.
#[test]
fn what_a_tenant_prepared_by_name_is_gone_for_the_next() {
    let fixture = two_tenants("by_name");
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        client.batch_execute("PREPARE neutral AS SELECT plio.current_tenant()").unwrap();
        client.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
        client.batch_execute("PREPARE trap AS DELETE FROM users; PREPARE kept AS SELECT 'acme'").unwrap();
        assert_eq!(first(&mut client, "EXECUTE kept").unwrap(), "acme");
        client.batch_execute("COMMIT; BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
        assert_eq!(first(&mut client, "EXECUTE neutral").unwrap(), "bravo");
        client.batch_execute("SAVEPOINT s").unwrap();
        for name in ["trap", "kept"] {
            expect_sqlstate(client.batch_execute(&format!("EXECUTE {name}")), "26000");
            client.batch_execute("ROLLBACK TO s").unwrap();
        }
        assert_eq!(first(&mut client, "SELECT count(*)::text FROM users").unwrap(), "3");
        client.batch_execute("COMMIT").unwrap();
        // A name is free again.
        inside(&mut client, "acme", "PREPARE again AS SELECT 1");
        client.batch_execute("PREPARE again AS SELECT plio.current_tenant()").unwrap();
        client.batch_execute("SET plio.tenant = 'bravo'").unwrap();
        assert_eq!(first(&mut client, "EXECUTE again").unwrap(), "bravo");
    }
}

// A plan that names the schema is refused where it is foreign, however warm it is.
#[test]
fn a_cached_plan_of_a_qualified_name_is_refused_in_the_other_tenant() {
    let fixture = two_tenants("plans");
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        client.batch_execute("SET plan_cache_mode = force_generic_plan").unwrap();
        client.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
        let warm = client.prepare("SELECT name FROM tenant_acme.users WHERE id = 1").unwrap();
        client.query_one(&warm, &[]).unwrap();
        client.batch_execute("COMMIT; BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
        let error = expect_sqlstate(client.query_one(&warm, &[]), "42501");
        assert_refusal(&error, "42501", &["canary", "tenant_acme", "users"]);
        client.batch_execute("ROLLBACK; BEGIN; SELECT plio.set_tenant('acme')").unwrap();
        assert_eq!(client.query_one(&warm, &[]).unwrap().get::<_, &str>(0), "canary-acme");
        client.batch_execute("COMMIT").unwrap();
    }
}

#[test]
fn path_role_and_tenant_end_with_the_transaction() {
    let fixture = two_tenants("ends");
    let mut app = fixture.db.connect(&fixture.app);
    let state = "SELECT concat_ws('|', current_setting('search_path'), current_setting('role'), current_user,
                                  session_user, current_setting('plio.tenant'), plio.current_tenant())";
    let before = first(&mut app, state).unwrap();
    for end in ["COMMIT", "ROLLBACK"] {
        for org in ["acme", "bravo"] {
            app.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')")).unwrap();
            assert_ne!(first(&mut app, state).unwrap(), before);
            app.batch_execute(end).unwrap();
            assert_eq!(first(&mut app, state).unwrap(), before);
            // What the transaction left is nobody's without a tenant.
            let refusal =
                expect_sqlstate(first(&mut app, "SELECT name FROM tenant_acme.users LIMIT 1"), "55000");
            assert_refusal(&refusal, "55000", &["canary"]);
        }
    }
}

// A plan that reads a shared table does not go on reading it once the share is taken back, whatever the tenant has.
#[test]
fn a_cached_plan_of_a_shared_table_ends_with_the_share() {
    let fixture = two_tenants("later");
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "CREATE TABLE public.later AS SELECT 'public' AS name; SELECT plio.share('public.later', 'read')",
        )
        .unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("SET plan_cache_mode = force_generic_plan").unwrap();
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    let statement = app.prepare("SELECT name FROM later").unwrap();
    assert_eq!(app.query_one(&statement, &[]).unwrap().get::<_, &str>(0), "public");
    app.batch_execute("COMMIT").unwrap();
    admin.batch_execute("SELECT plio.unshare('public.later')").unwrap();
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert!(app.query_one(&statement, &[]).is_err());
    app.batch_execute("ROLLBACK").unwrap();
    admin
        .batch_execute(
            "BEGIN; SELECT plio.set_tenant('acme'); CREATE TABLE later AS SELECT 'own' AS name; COMMIT",
        )
        .unwrap();
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    // PostgreSQL does not notice that the name means another table now; the access check does.
    expect_sqlstate(app.query_one(&statement, &[]), "42501");
    app.batch_execute("ROLLBACK; BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert_eq!(first(&mut app, "SELECT name FROM later").unwrap(), "own");
}
