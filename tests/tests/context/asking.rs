//! Who is asked about when a tenant is entered, which role comes back, and what a refused change leaves in force.

use super::{LAYERS, refused, text, two_tenants};
use plio_tests::{Cluster, Layers, SUPERUSER, TwoTenants, expect_sqlstate};
use postgres::Client;

/// A role that may enter acme alone; with one layer it has the rights of `app`, who owns the tables.
fn helper(fixture: &TwoTenants) -> String {
    let role = fixture.db.login_role("helper");
    let mut admin = fixture.db.superuser();
    admin.execute("SELECT plio.grant_access($1, 'acme')", &[&role]).unwrap();
    if LAYERS == Layers::One {
        let tables = "GRANT SELECT ON tenant_acme.users, tenant_bravo.users TO";
        admin.batch_execute(&format!("{tables} {role}")).unwrap();
    }
    role
}

fn user(client: &mut Client) -> String {
    text(client, "SELECT current_user").unwrap()
}

#[track_caller]
fn assert_sees(client: &mut Client, org: &str) {
    let name = text(client, "SELECT name FROM users WHERE id = 1");
    assert_eq!(name, Some(format!("canary-{org}")));
}

#[test]
fn the_role_in_force_enters_and_comes_back() {
    let fixture = two_tenants("in_force");
    let role = helper(&fixture);
    let login = fixture.db.login_role("login");
    fixture.db.superuser().batch_execute(&format!("GRANT {role} TO {login}")).unwrap();
    for login in [SUPERUSER, login.as_str()] {
        let mut client = fixture.db.connect(login);
        client.batch_execute(&format!("SET ROLE {role}")).unwrap();
        for leave in ["RESET plio.tenant", "SET plio.tenant = ''", "SET plio.tenant TO DEFAULT", "RESET ALL"]
        {
            client.batch_execute("SET plio.tenant = 'acme'").unwrap();
            assert_sees(&mut client, "acme");
            client.batch_execute(leave).unwrap();
            assert_eq!(user(&mut client), role, "{leave}");
        }
        // What the login role may do counts for nothing, from a session's tenant to the next either.
        for before in ["RESET plio.tenant", "SET plio.tenant = 'acme'"] {
            client.batch_execute(before).unwrap();
            refused(client.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')"), "42501");
            client.batch_execute("ROLLBACK").unwrap();
            refused(client.batch_execute("SET plio.tenant = 'bravo'"), "42501");
        }
        client.batch_execute("SET plio.tenant = 'acme'; BEGIN; SELECT plio.set_tenant('acme')").unwrap();
        assert_sees(&mut client, "acme");
        client.batch_execute("COMMIT").unwrap();
        assert_sees(&mut client, "acme");
        // A change that is rolled back leaves the role of before.
        client.batch_execute("BEGIN; RESET plio.tenant; ROLLBACK").unwrap();
        assert_sees(&mut client, "acme");
        client.batch_execute("BEGIN; RESET plio.tenant; COMMIT").unwrap();
        assert_eq!(user(&mut client), role);
        client.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); COMMIT").unwrap();
        assert_eq!(user(&mut client), role);
        client.batch_execute("SET plio.tenant = 'acme'").unwrap();
        client.batch_execute("DISCARD ALL").unwrap();
        assert_eq!(user(&mut client), login);
    }
}

#[test]
fn access_that_is_taken_from_the_role_in_force_ends_for_its_sessions() {
    let fixture = two_tenants("taken");
    let role = helper(&fixture);
    let mut admin = fixture.db.superuser();
    let mut client = fixture.db.superuser();
    client.batch_execute(&format!("SET ROLE {role}; SET plio.tenant = 'acme'")).unwrap();
    assert_sees(&mut client, "acme");
    admin.execute("SELECT plio.revoke_access($1, 'acme')", &[&role]).unwrap();
    refused(client.batch_execute("SELECT name FROM users"), "42501");
    client.batch_execute("RESET plio.tenant").unwrap();
    assert_eq!(user(&mut client), role);
}

// The role of before may be out of reach by now: PostgreSQL's own rule on SET ROLE decides, and else it is the login role.
#[test]
fn a_role_that_may_not_be_set_any_more_does_not_come_back() {
    let fixture = two_tenants("gone");
    let role = helper(&fixture);
    let login = fixture.db.login_role("login");
    let mut admin = fixture.db.superuser();
    for (harm, mend) in [
        (format!("REVOKE {role} FROM {login}"), format!("GRANT {role} TO {login}")),
        (format!("DROP OWNED BY {role}; DROP ROLE {role}"), String::new()),
    ] {
        if !mend.is_empty() {
            admin.batch_execute(&mend).unwrap();
        }
        admin.batch_execute(&format!("GRANT {role} TO {login}")).unwrap();
        let mut client = fixture.db.connect(&login);
        client.batch_execute(&format!("SET ROLE {role}; SET plio.tenant = 'acme'")).unwrap();
        assert_sees(&mut client, "acme");
        admin.batch_execute(&harm).unwrap();
        client.batch_execute("RESET plio.tenant").unwrap();
        if LAYERS == Layers::Two {
            assert_eq!(user(&mut client), login, "{harm}");
        }
        if !mend.is_empty() {
            admin.batch_execute(&mend).unwrap();
        }
    }
}

// From a tenant with a role to one without: the role that entered works there, not the login role.
#[test]
fn between_tenants_with_and_without_a_role_the_role_that_entered_stays() {
    let fixture = two_tenants("mixed");
    let role = helper(&fixture);
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(&format!(
            "CREATE SCHEMA other AUTHORIZATION {role}; SELECT plio.adopt_tenant('other', 'other'), plio.grant_access('{role}', 'other')"
        ))
        .unwrap();
    let mut client = fixture.db.superuser();
    client
        .batch_execute(&format!("SET ROLE {role}; SET plio.tenant = 'acme'; SET plio.tenant = 'other'"))
        .unwrap();
    assert_eq!(user(&mut client), role);
    client.batch_execute("SET plio.tenant = 'acme'").unwrap();
    client.batch_execute("BEGIN; SELECT plio.set_tenant('other')").unwrap();
    assert_eq!(user(&mut client), role);
    client.batch_execute("COMMIT").unwrap();
    assert_sees(&mut client, "acme");
    client.batch_execute("RESET plio.tenant").unwrap();
    assert_eq!(user(&mut client), role);
}

#[test]
fn a_session_does_not_outlive_a_role_of_the_transaction() {
    let fixture = two_tenants("local");
    let role = helper(&fixture);
    let mut client = fixture.db.superuser();
    let local = format!("BEGIN; SET LOCAL ROLE {role}");
    client.batch_execute(&local).unwrap();
    refused(client.batch_execute("SET plio.tenant = 'acme'"), "25001");
    client.batch_execute(&format!("ROLLBACK; {local}; SAVEPOINT s")).unwrap();
    refused(client.batch_execute("SET plio.tenant = 'acme'"), "25001");
    client.batch_execute("ROLLBACK").unwrap();
    for enter in ["SELECT plio.set_tenant('acme')", "SET LOCAL plio.tenant = 'acme'"] {
        client.batch_execute(&format!("{local}; {enter}")).unwrap();
        assert_sees(&mut client, "acme");
        client.batch_execute("COMMIT").unwrap();
        assert_eq!(user(&mut client), SUPERUSER);
        client.batch_execute(&local).unwrap();
        refused(client.batch_execute(&enter.replace("acme", "bravo")), "42501");
        client.batch_execute("ROLLBACK").unwrap();
    }
}

// A member that does not inherit gets one answer: refused at once as itself, admitted for good as the group.
#[test]
fn a_member_without_inheritance_enters_as_the_group() {
    let fixture = two_tenants("thrifty");
    let group = helper(&fixture);
    let login = fixture.db.login_role("thrifty");
    let mut admin = fixture.db.superuser();
    admin.batch_execute(&format!("ALTER ROLE {login} NOINHERIT; GRANT {group} TO {login}")).unwrap();
    if Cluster::major() != "15" {
        admin.batch_execute(&format!("GRANT {group} TO {login} WITH INHERIT FALSE, SET TRUE")).unwrap();
    }
    let mut client = fixture.db.connect(&login);
    refused(client.batch_execute("SET plio.tenant = 'acme'"), "42501");
    client.batch_execute(&format!("SET ROLE {group}; SET plio.tenant = 'acme'")).unwrap();
    for _ in 0..2 {
        assert_sees(&mut client, "acme");
    }
    client.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert_sees(&mut client, "acme");
    client.batch_execute("COMMIT; RESET plio.tenant").unwrap();
    assert_eq!(user(&mut client), group);
}

/// Changes that are refused, and with what.
const REFUSED: &[(&str, &str)] = &[
    ("SET plio.tenant = 'nosuch'", "42501"),
    ("SET plio.tenant = 'No Such'", "42602"),
    ("SET plio.tenant = 4.5", "42501"),
    ("SET plio.tenant = 'bravo', 'acme'", "42501"),
    ("SET LOCAL plio.tenant = 'nosuch'", "42501"),
    ("SELECT plio.set_tenant('nosuch')", "42501"),
    ("SELECT plio.set_tenant('shut')", "55000"),
    ("SELECT plio.set_tenant(NULL)", "22023"),
    ("SELECT set_config('plio.tenant', 'bravo', false)", "42501"),
    ("SELECT set_config('PLIO.tenant', 'bravo', true)", "42501"),
    ("UPDATE pg_settings SET setting = 'bravo' WHERE name = 'plio.tenant'", "42501"),
    ("SET plio.tenant = 'shut'", "55000"),
    ("DO $$ BEGIN SET plio.tenant = 'nosuch'; END $$", "25001"),
];

fn session_in_acme(fixture: &TwoTenants) -> Client {
    let mut client = fixture.db.connect(&fixture.app);
    client.batch_execute("SET plio.tenant = 'acme'").unwrap();
    assert_sees(&mut client, "acme");
    client
}

/// No tenant is in force: not the one of before, nor does the login role's own right count.
#[track_caller]
fn assert_none_in_force(client: &mut Client) {
    for statement in
        ["SELECT name FROM users", "SELECT * FROM tenant_acme.users", "LOCK TABLE users", "TABLE countries"]
    {
        let hint = plio_tests::refused(client.batch_execute(statement), "55000").hint().map(str::to_owned);
        assert!(hint.is_some_and(|hint| hint.contains("RESET plio.tenant")), "{statement}");
    }
    expect_sqlstate(client.prepare("SELECT name FROM users"), "55000");
}

#[test]
fn after_a_refused_change_no_tenant_is_in_force() {
    let fixture = two_tenants("swallowed");
    let mut admin = fixture.db.superuser();
    admin.batch_execute("SELECT plio.create_tenant('shut'), plio.suspend_tenant('shut')").unwrap();
    admin.execute("SELECT plio.grant_access($1, 'shut')", &[&fixture.app]).unwrap();
    for (change, code) in REFUSED {
        // Swallowed by the driver, by a savepoint, by an exception block.
        let mut client = session_in_acme(&fixture);
        client.batch_execute("BEGIN").unwrap();
        expect_sqlstate(client.batch_execute(change), code);
        client.batch_execute("ROLLBACK").unwrap();
        assert_none_in_force(&mut client);
        client.batch_execute("SET plio.tenant = 'bravo'").unwrap();
        assert_sees(&mut client, "bravo");
        client.batch_execute("BEGIN; SAVEPOINT s").unwrap();
        expect_sqlstate(client.batch_execute(change), code);
        client.batch_execute("ROLLBACK TO s").unwrap();
        refused(client.batch_execute("SELECT name FROM users"), "55000");
        client.batch_execute("ROLLBACK").unwrap();
        assert_none_in_force(&mut client);
        client.batch_execute("RESET plio.tenant").unwrap();
        client.batch_execute("SELECT * FROM countries").ok();
        refused(client.batch_execute("SELECT * FROM tenant_acme.users"), "55000");
        client.batch_execute("SET plio.tenant = 'acme'").unwrap();
        let swallowed =
            change.replace("DO $$ BEGIN ", "").replace("; END $$", "").replace("SELECT ", "PERFORM ");
        let swallowed = format!(
            "DO $do$ BEGIN BEGIN {swallowed}; EXCEPTION WHEN others THEN NULL; END; PERFORM name FROM users; END $do$"
        );
        refused(client.batch_execute(&swallowed), "55000");
        assert_none_in_force(&mut client);
    }
}

#[test]
fn a_refused_change_outlasts_rollbacks_and_ends_with_the_next_good_one() {
    let fixture = two_tenants("outlasts");
    let mut client = session_in_acme(&fixture);
    refused(client.batch_execute("SET plio.tenant = 'nosuch'"), "42501");
    // A good change that is rolled back was none.
    for good in ["SET plio.tenant = 'bravo'", "RESET plio.tenant"] {
        client.batch_execute(&format!("BEGIN; {good}")).unwrap();
        client.batch_execute("ROLLBACK").unwrap();
        assert_none_in_force(&mut client);
        client.batch_execute(&format!("BEGIN; SAVEPOINT s; {good}; ROLLBACK TO s")).unwrap();
        refused(client.batch_execute("SELECT name FROM users"), "55000");
        client.batch_execute("ROLLBACK").unwrap();
    }
    // A transaction's own tenant is its own matter; no query runs before it is set.
    refused(client.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')"), "55000");
    client.batch_execute("ROLLBACK; BEGIN; SET LOCAL plio.tenant = 'bravo'").unwrap();
    assert_sees(&mut client, "bravo");
    client.batch_execute("COMMIT").unwrap();
    assert_none_in_force(&mut client);
    client.batch_execute("BEGIN; SET plio.tenant = 'bravo'; COMMIT").unwrap();
    assert_sees(&mut client, "bravo");
    // The transaction's tenant stays through a refused second one; the session's beneath it does not.
    client.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SAVEPOINT s").unwrap();
    refused(client.batch_execute("SELECT plio.set_tenant('bravo')"), "25001");
    client.batch_execute("ROLLBACK TO s").unwrap();
    assert_sees(&mut client, "acme");
    client.batch_execute("COMMIT").unwrap();
    assert_none_in_force(&mut client);
    // Nor where a superuser, who has no other role inside, is refused by the setting itself.
    if LAYERS == Layers::One {
        let mut admin = fixture.db.superuser();
        for change in ["set_config('plio.tenant', 'bravo', false)", "set_config('plio.tenant', NULL, false)"]
        {
            admin.batch_execute("SET plio.tenant = 'acme'").unwrap();
            assert!(admin.batch_execute(&format!("SELECT {change}")).is_err(), "{change}");
            assert_none_in_force(&mut admin);
        }
    }
    client.batch_execute("RESET plio.tenant; SET plio.tenant = 'acme'").unwrap();
    // Other errors change nothing.
    expect_sqlstate(client.batch_execute("SELECT 1/0"), "22012");
    expect_sqlstate(client.batch_execute("SET work_mem = 'much'"), "22023");
    assert_sees(&mut client, "acme");
}

// A change that waits and gives up, or is cancelled, is refused as well.
#[test]
fn a_change_that_was_cut_off_counts_as_refused() {
    let fixture = two_tenants("cut_off");
    let mut admin = fixture.db.superuser();
    for (limit, code) in [("lock_timeout", "55P03"), ("statement_timeout", "57014")] {
        let mut client = session_in_acme(&fixture);
        client.batch_execute(&format!("SET {limit} = '100ms'")).unwrap();
        admin.batch_execute("BEGIN; SELECT plio.suspend_tenant('bravo')").unwrap();
        expect_sqlstate(client.batch_execute("SET plio.tenant = 'bravo'"), code);
        admin.batch_execute("ROLLBACK").unwrap();
        assert_none_in_force(&mut client);
        client.batch_execute("SET plio.tenant = 'bravo'").unwrap();
        assert_sees(&mut client, "bravo");
    }
}
