//! Entering a tenant: who may, when, from where; what is in force then, what undoes it, what cannot change it.

mod asking;
mod cursors;
mod deferred;
mod functions;
mod left;
mod locks;
mod path;
mod reload;
mod report;
mod undo;

use plio_tests::{Cluster, Layers, SUPERUSER, TwoTenants, expect_sqlstate};
use postgres::{Client, Error};

/// What is entered: the target `adopted_more` runs the tests again.
const LAYERS: Layers = Layers::of(module_path!());

/// Two tenants of a fresh database.
fn two_tenants(prefix: &str) -> TwoTenants {
    Cluster::shared().database(prefix).tenants(LAYERS)
}

/// A refusal of ours with this SQLSTATE; gives its message.
#[track_caller]
fn refused<T>(result: Result<T, Error>, code: &str) -> String {
    plio_tests::refused(result, code).message().to_owned()
}

/// The first column of the only row, as text.
#[track_caller]
fn text(client: &mut Client, query: &str) -> Option<String> {
    let messages = client.simple_query(query).unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let rows: Vec<_> = messages
        .into_iter()
        .filter_map(|message| match message {
            postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })
        .collect();
    rows.last().unwrap_or_else(|| panic!("{query}: no row")).get(0).map(str::to_owned)
}

/// The tenant, the path, the role and the setting are those of no tenant.
#[track_caller]
fn assert_outside(client: &mut Client, role: &str) {
    let state = "SELECT concat_ws('|', coalesce(plio.current_tenant(), '-'), current_setting('plio.tenant'),
                        current_setting('role'), current_user, current_setting('search_path'))";
    let expected = format!("-||none|{role}|\"$user\", public");
    assert_eq!(text(client, state).as_deref(), Some(expected.as_str()));
}

/// The tenant, its path, its role and the setting are all in force, and only its rows are seen.
#[track_caller]
fn assert_inside(client: &mut Client, org: &str) {
    // Without a role of the tenant's the session's own stays.
    let user = match LAYERS {
        Layers::Two => "regexp_replace(current_user, '_[0-9]+$', '')",
        Layers::One => "'tenant_' || plio.current_tenant()",
    };
    let state = &format!(
        "SELECT concat_ws('|', plio.current_tenant(), plio.require_tenant(),
                        current_setting('plio.tenant'), {user},
                        current_setting('search_path'), (SELECT name FROM users WHERE id = 1))"
    );
    let expected = format!("{org}|{org}|{org}|tenant_{org}|tenant_{org}, public, pg_temp|canary-{org}");
    assert_eq!(text(client, state).as_deref(), Some(expected.as_str()));
}

#[test]
fn a_tenant_lasts_as_long_as_the_transaction() {
    let fixture = two_tenants("lasts");
    let mut app = fixture.db.connect(&fixture.app);
    for org in ["acme", "bravo", "acme"] {
        assert_outside(&mut app, &fixture.app);
        let mut transaction = app.transaction().unwrap();
        transaction.execute("SELECT plio.set_tenant($1)", &[&org]).unwrap();
        let row =
            transaction.query_one("SELECT session_user::text, name FROM users WHERE id = 1", &[]).unwrap();
        assert_eq!(row.get::<_, &str>(0), fixture.app);
        assert_eq!(row.get::<_, &str>(1), format!("canary-{org}"));
        transaction.commit().unwrap();
    }
    assert_outside(&mut app, &fixture.app);
}

// Alone it would have no effect, in whatever query it stands and by either protocol.
#[test]
fn alone_in_autocommit_it_is_refused() {
    let fixture = two_tenants("alone");
    fixture
        .db
        .superuser()
        .batch_execute(
            "CREATE FUNCTION public.inlined(org text) RETURNS void LANGUAGE sql
             AS 'SELECT plio.set_tenant(org)'",
        )
        .unwrap();
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        let mut accepted = Vec::new();
        for query in [
            "SELECT plio.set_tenant('acme')",
            "SELECT * FROM plio.set_tenant('acme')",
            "SELECT 1 WHERE plio.set_tenant('acme') IS NOT NULL",
            "SELECT (SELECT plio.set_tenant('acme'))",
            "SELECT count(*) FROM (SELECT plio.set_tenant('acme') OFFSET 0) AS s",
            "WITH entered AS MATERIALIZED (SELECT plio.set_tenant('acme')) SELECT * FROM entered",
            "SELECT plio.set_tenant(org) FROM (VALUES ('acme'), ('acme')) AS o (org)",
            "VALUES (plio.set_tenant('acme'))",
            "VALUES (1, plio.set_tenant('acme')), (2, plio.set_tenant('acme'))",
            "SELECT count(*) FILTER (WHERE plio.set_tenant('acme') IS NOT NULL) FROM pg_database",
            "SELECT 1 ORDER BY plio.set_tenant('acme')::text",
            "SELECT CASE WHEN random() >= 0 THEN plio.set_tenant('acme') END",
            "SELECT max(plio.set_tenant('acme')::text) OVER () FROM pg_database",
            "EXPLAIN ANALYZE SELECT plio.set_tenant('acme')",
            "SET LOCAL plio.tenant = 'acme'",
        ] {
            for result in [client.batch_execute(query), client.execute(query, &[]).map(|_| ())] {
                if result.is_ok() {
                    accepted.push(query);
                } else {
                    refused(result, "25P01");
                }
            }
            assert_outside(&mut client, role);
        }
        assert!(accepted.is_empty(), "{accepted:#?}");
        refused(client.execute("SELECT plio.set_tenant($1)", &[&"acme"]), "25P01");
        refused(client.execute("SELECT * FROM plio.set_tenant($1)", &[&"acme"]), "25P01");
        client.batch_execute("PREPARE enter AS SELECT plio.set_tenant('acme')").unwrap();
        refused(client.batch_execute("EXECUTE enter"), "25P01");
        assert_outside(&mut client, role);
    }
}

// Several statements in one message are one transaction.
#[test]
fn a_message_of_several_statements_is_a_transaction() {
    let fixture = two_tenants("several");
    let mut app = fixture.db.connect(&fixture.app);
    let name = text(&mut app, "SELECT plio.set_tenant('acme'); SELECT name FROM users WHERE id = 1");
    assert_eq!(name.as_deref(), Some("canary-acme"));
    assert_outside(&mut app, &fixture.app);
    let mixed = "SELECT plio.set_tenant('acme'); COMMIT; SELECT coalesce(plio.current_tenant(), '-')";
    assert_eq!(text(&mut app, mixed).as_deref(), Some("-"));
}

#[test]
fn the_same_org_again_changes_nothing_and_another_is_refused() {
    let fixture = two_tenants("again");
    let mut app = fixture.db.connect(&fixture.app);
    for _ in 0..2 {
        app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SELECT plio.set_tenant('acme')").unwrap();
        assert_inside(&mut app, "acme");
        // Known and unknown alike: the lock says nothing about other tenants.
        for other in ["bravo", "nobody"] {
            app.batch_execute("SAVEPOINT before").unwrap();
            let message = refused(app.execute("SELECT plio.set_tenant($1)", &[&other]), "25001");
            assert!(message.contains("acme") && !message.contains(other), "{message}");
            app.batch_execute("ROLLBACK TO before").unwrap();
            assert_inside(&mut app, "acme");
        }
        // Also where the two are set by one statement.
        let both = "SELECT plio.set_tenant(org) FROM (VALUES ('acme'), ('bravo')) AS o (org)";
        refused(app.batch_execute(both), "25001");
        app.batch_execute("ROLLBACK").unwrap();
        refused(app.batch_execute(&format!("BEGIN; {both}")), "25001");
        app.batch_execute("ROLLBACK").unwrap();
    }
}

#[test]
fn each_bad_argument_has_an_error_of_its_own() {
    let fixture = two_tenants("bad");
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "SELECT plio.create_tenant('shut'), plio.create_tenant('mine'), plio.suspend_tenant('shut')",
        )
        .unwrap();
    admin.execute("SELECT plio.grant_access($1, 'shut')", &[&fixture.app]).unwrap();
    let long = "a".repeat(64);
    let cases: [(Option<&str>, &str); 10] = [
        (None, "22023"),
        (Some(""), "42602"),
        (Some(&long), "42602"),
        (Some("-acme"), "42602"),
        (Some("ac me"), "42602"),
        (Some("Acme"), "42602"),
        (Some("acmé"), "42602"),
        (Some("nobody"), "42501"),
        (Some("shut"), "55000"),
        (Some("mine"), "42501"),
    ];
    let mut app = fixture.db.connect(&fixture.app);
    let mut messages = Vec::new();
    app.batch_execute("BEGIN").unwrap();
    for (org, code) in cases {
        app.batch_execute("SAVEPOINT before").unwrap();
        messages.push(refused(app.execute("SELECT plio.set_tenant($1)", &[&org]), code));
        app.batch_execute("ROLLBACK TO before").unwrap();
        assert_outside(&mut app, &fixture.app);
    }
    messages.sort();
    messages.dedup();
    // "ac me", "Acme" and "acmé" have the same fault.
    assert_eq!(messages.len(), 8, "{messages:?}");
    // The transaction goes on, and a good org is admitted.
    app.batch_execute("SELECT plio.set_tenant('acme')").unwrap();
    assert_inside(&mut app, "acme");
    // Whoever may not enter learns nothing about the tenant's state; an administrator needs no grant.
    let mut carol = fixture.db.connect(&fixture.carol);
    refused(carol.batch_execute("BEGIN; SELECT plio.set_tenant('shut')"), "42501");
    admin.batch_execute("BEGIN; SELECT plio.set_tenant('mine'); COMMIT").unwrap();
}

#[test]
fn requiring_a_tenant_is_an_error_without_one() {
    let fixture = two_tenants("require");
    let mut app = fixture.db.connect(&fixture.app);
    assert_eq!(text(&mut app, "SELECT plio.current_tenant()"), None);
    assert_eq!(text(&mut app, "SHOW plio.tenant").as_deref(), Some(""));
    refused(app.execute("SELECT plio.require_tenant()", &[]), "55000");
    refused(app.execute("SELECT count(*) FROM tenant_acme.users", &[]), "55000");
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert_eq!(text(&mut app, "SELECT plio.require_tenant()").as_deref(), Some("acme"));
    assert_eq!(text(&mut app, "SHOW plio.tenant").as_deref(), Some("acme"));
}

// The tenant's role alone has the tenant's privileges; nobody becomes it in any other way.
#[test]
fn a_superuser_is_bound_inside_and_nobody_is_a_member_of_the_tenants_role() {
    let fixture = two_tenants("bound");
    let mut admin = fixture.db.superuser();
    admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert_inside(&mut admin, "acme");
    // Where a tenant has no role he keeps his rights, and is bound by the access check.
    let is_superuser = if LAYERS == Layers::Two { "off" } else { "on" };
    assert_eq!(text(&mut admin, "SHOW is_superuser").as_deref(), Some(is_superuser));
    refused(admin.execute("SELECT * FROM tenant_bravo.users", &[]), "42501");
    admin.batch_execute("ROLLBACK").unwrap();
    if LAYERS == Layers::One {
        return;
    }
    let role = text(&mut admin, "SELECT role_name FROM plio.tenants WHERE org = 'acme'").unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    let error = expect_sqlstate(app.batch_execute(&format!("SET ROLE \"{role}\"")), "42501");
    assert!(error.message().contains("permission denied to set role"), "{error:?}");
    assert!(fixture.db.try_connect(&role).is_err());
}

// The registry is read as it is now, not as it was when the transaction took its snapshot.
#[test]
fn an_old_snapshot_does_not_hide_what_the_registry_says_now() {
    let fixture = two_tenants("snapshot");
    let mut admin = fixture.db.superuser();
    let mut app = fixture.db.connect(&fixture.app);
    for level in ["REPEATABLE READ", "SERIALIZABLE", "REPEATABLE READ, READ ONLY", "SERIALIZABLE, READ ONLY"]
    {
        // Warm caches, and an old snapshot.
        app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); COMMIT").unwrap();
        let begin = format!("BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM pg_catalog.pg_class");
        app.batch_execute(&begin).unwrap();
        admin.batch_execute("SELECT plio.suspend_tenant('acme')").unwrap();
        refused(app.batch_execute("SELECT plio.set_tenant('acme')"), "55000");
        app.batch_execute("ROLLBACK").unwrap();
        app.batch_execute(&begin).unwrap();
        admin.batch_execute("SELECT plio.resume_tenant('acme')").unwrap();
        app.batch_execute("SELECT plio.set_tenant('acme')").unwrap();
        assert_inside(&mut app, "acme");
        app.batch_execute("COMMIT").unwrap();
        app.batch_execute(&begin).unwrap();
        admin.execute("SELECT plio.revoke_access($1, 'acme')", &[&fixture.app]).unwrap();
        refused(app.batch_execute("SELECT plio.set_tenant('acme')"), "42501");
        app.batch_execute("ROLLBACK").unwrap();
        admin.execute("SELECT plio.grant_access($1, 'acme')", &[&fixture.app]).unwrap();
    }
}

#[test]
fn a_read_only_transaction_may_enter_and_may_not_write() {
    let fixture = two_tenants("readonly");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN READ ONLY; SELECT plio.set_tenant('acme')").unwrap();
    assert_inside(&mut app, "acme");
    expect_sqlstate(app.batch_execute("INSERT INTO users (name) VALUES ('x')"), "25006");
}
