//! What a tenant locks stays as it is, however it is set.

use super::{assert_inside, assert_outside, two_tenants};
use plio_tests::{SUPERUSER, assert_refusal, expect_sqlstate};

/// Statements that would change what a tenant locks; `$role` is the login role, `$database` the database.
const CHANGES: &[(&str, &str)] = &[
    ("42501", "SET search_path = tenant_bravo"),
    ("42501", "SET LOCAL search_path = tenant_acme, tenant_bravo"),
    ("42501", "SELECT set_config('search_path', 'tenant_bravo', true)"),
    ("25001", "RESET role"),
    ("25001", "SET ROLE NONE"),
    ("25001", "SET ROLE \"$role\""),
    ("25001", "SET LOCAL ROLE NONE"),
    ("25001", "SET SESSION ROLE \"$role\""),
    ("25001", "SET role = 'none'"),
    ("25001", "SELECT set_config('role', 'none', true)"),
    ("25001", "SELECT set_config('role', '$role', false)"),
    ("25001", "SELECT set_config('role', NULL, true)"),
    ("25001", "SELECT set_config('role', NULL, false)"),
    ("25001", "SET SESSION AUTHORIZATION DEFAULT"),
    ("25001", "SET SESSION AUTHORIZATION \"$role\""),
    ("25001", "SET LOCAL SESSION AUTHORIZATION \"$role\""),
    ("25001", "RESET SESSION AUTHORIZATION"),
    ("25001", "SELECT set_config('session_authorization', '$role', true)"),
    ("25001", "SELECT set_config('session_authorization', NULL, true)"),
    ("25001", "SET plio.tenant = 'bravo'"),
    ("25001", "SET plio.tenant = ''"),
    ("25001", "SET plio.tenant TO DEFAULT"),
    ("25001", "SET LOCAL plio.tenant = 'bravo'"),
    ("25001", "RESET plio.tenant"),
    ("25001", "RESET ALL"),
    ("25001", "DO $$ BEGIN RESET ALL; END $$"),
    ("25001", "DO $$ BEGIN SET LOCAL plio.tenant = 'bravo'; END $$"),
    // PostgreSQL's own refusals, which need not be ours.
    ("*", "SET plio.tenant FROM CURRENT"),
    ("*", "SET \"plio.Tenant\" = 'bravo'"),
    ("*", "SELECT set_config('plio.tenant', 'bravo', true)"),
    ("*", "SELECT set_config('plio.tenant', 'bravo 1 0 1 transaction', true)"),
    ("*", "SELECT set_config('plio.tenant', '', true)"),
    ("*", "SELECT set_config('plio.tenant', NULL, true)"),
    ("*", "SELECT set_config('plio.tenant', NULL, false)"),
    ("*", "SELECT set_config('PLIO.TENANT', NULL, false)"),
    ("*", "UPDATE pg_settings SET setting = 'bravo' WHERE name = 'plio.tenant'"),
    ("*", "SET plio.enforcement = off"),
    ("*", "SET LOCAL plio.enforcement = off"),
    ("*", "SET plio.enforcement TO DEFAULT"),
    ("*", "RESET plio.enforcement"),
    ("*", "SELECT set_config('plio.enforcement', 'off', true)"),
    ("*", "UPDATE pg_settings SET setting = 'off' WHERE name = 'plio.enforcement'"),
    ("*", "DISCARD ALL"),
    ("*", "SET plio.other = 'x'"),
    ("*", "ALTER ROLE \"$role\" SET search_path = public"),
    ("*", "ALTER ROLE ALL SET search_path = public"),
    ("*", "ALTER ROLE CURRENT_USER SET search_path = public"),
    ("*", "ALTER ROLE \"$role\" SET plio.tenant = 'bravo'"),
    ("*", "ALTER DATABASE \"$database\" SET search_path = public"),
    ("*", "ALTER DATABASE \"$database\" SET plio.enforcement = off"),
    ("*", "ALTER SYSTEM SET plio.enforcement = off"),
    ("*", "CREATE FUNCTION f() RETURNS void LANGUAGE sql SET search_path = tenant_bravo AS ''"),
    ("*", "CREATE FUNCTION f() RETURNS void LANGUAGE sql SET role = 'none' AS ''"),
    ("*", "CREATE FUNCTION f() RETURNS void LANGUAGE sql SET plio.tenant = 'bravo' AS ''"),
    ("*", "CREATE FUNCTION f() RETURNS void LANGUAGE sql SET plio.enforcement = off AS ''"),
    ("*", "CREATE FUNCTION f() RETURNS void LANGUAGE sql SET session_authorization = '$role' AS ''"),
];

#[test]
fn path_role_and_tenant_are_locked_however_they_are_set() {
    let fixture = two_tenants("locks");
    let mut failures = Vec::new();
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        for (code, change) in CHANGES {
            let change = change.replace("$role", role).replace("$database", fixture.db.name());
            client.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SAVEPOINT s").unwrap();
            match client.batch_execute(&change) {
                Ok(()) => failures.push(format!("{role}: accepted: {change}")),
                Err(_) if *code == "*" => {}
                Err(error) => {
                    let found = error.as_db_error().map(|db| db.code().code().to_owned());
                    if found.as_deref() == Some(*code) {
                        assert_refusal(&expect_sqlstate::<()>(Err(error), code), code, &["canary"]);
                    } else {
                        failures.push(format!("{role}: {change}: {error:?}"));
                    }
                }
            }
            client.batch_execute("ROLLBACK TO s").unwrap();
            assert_inside(&mut client, "acme");
            client.batch_execute("COMMIT").unwrap();
            assert_outside(&mut client, role);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

// What a change is worth that nobody refuses: the state after it, and the role, must be the tenant's.
#[test]
fn harmless_settings_stay_free_inside_a_tenant() {
    let fixture = two_tenants("free");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    for harmless in [
        "SET work_mem = '8MB'",
        "SET LOCAL statement_timeout = '1min'",
        "RESET work_mem",
        "SELECT set_config('application_name', 'x', true)",
        "UPDATE pg_settings SET setting = '9MB' WHERE name = 'work_mem'",
        "SET my.own = 'x'",
        "RESET my.own",
        "SET CONSTRAINTS ALL DEFERRED",
        "SET LOCAL plio.tenant = 'acme'",
        "SHOW ALL",
    ] {
        app.batch_execute(harmless).unwrap_or_else(|error| panic!("{harmless}: {error:?}"));
        assert_inside(&mut app, "acme");
    }
}

// An ordinary role reaches plio.tenant by none of the ways that set other settings, in a session without a tenant.
#[test]
fn the_setting_is_reached_only_through_the_checked_ways() {
    let fixture = two_tenants("ways");
    let mut app = fixture.db.connect(&fixture.app);
    let values = ["acme", "acme 1 0 1 transaction", "acme 1 0 1 session", "x y z"];
    for value in values {
        for statement in [
            format!("SELECT set_config('plio.tenant', '{value}', false)"),
            format!("UPDATE pg_settings SET setting = '{value}' WHERE name = 'plio.tenant'"),
            format!("ALTER ROLE \"{}\" SET plio.tenant = '{value}'", fixture.app),
            format!(
                "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql SET plio.tenant = '{value}' AS 'SELECT 1'"
            ),
        ] {
            assert!(app.batch_execute(&statement).is_err(), "accepted: {statement}");
            assert_outside(&mut app, &fixture.app);
        }
    }
    // Nor does a superuser write the raw value by accident.
    let mut admin = fixture.db.superuser();
    for value in values {
        let statement = format!("SELECT set_config('plio.tenant', '{value}', false)");
        assert!(admin.batch_execute(&statement).is_err(), "accepted: {statement}");
        let statement = format!("ALTER ROLE \"{}\" SET plio.tenant = '{value}'", fixture.app);
        if admin.batch_execute(&statement).is_ok() {
            // A default for the role, then: it must be checked when the session starts.
            drop(fixture.db.try_connect(&fixture.carol));
            admin.batch_execute(&format!("ALTER ROLE \"{}\" RESET plio.tenant", fixture.app)).unwrap();
        }
    }
}

// Settings in force before a tenant come back after it.
#[test]
fn what_the_session_had_before_comes_back() {
    let fixture = two_tenants("before");
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(&format!(
            "CREATE ROLE \"{0}_group\"; GRANT \"{0}_group\" TO \"{0}\";
             SELECT plio.grant_access('{0}_group', 'acme'); GRANT SELECT ON tenant_acme.users TO \"{0}_group\"",
            fixture.app
        ))
        .unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute(&format!("SET search_path = public, pg_catalog; SET ROLE \"{}_group\"", fixture.app))
        .unwrap();
    for end in ["COMMIT", "ROLLBACK"] {
        app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
        assert_inside(&mut app, "acme");
        app.batch_execute(end).unwrap();
        let row = app.query_one("SELECT current_user::text, current_setting('search_path')", &[]).unwrap();
        assert_eq!(row.get::<_, String>(0), format!("{}_group", fixture.app));
        assert_eq!(row.get::<_, &str>(1), "public, pg_catalog");
    }
    // The role that was set counts, not the one behind it: the group may not enter bravo, its member may.
    super::refused(app.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')"), "42501");
    app.batch_execute("ROLLBACK; RESET ROLE; BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
}

// Who asks is the role that was set, or the user that the session was given to.
#[test]
fn a_superuser_in_somebody_elses_name_enters_what_that_one_may_enter() {
    let fixture = two_tenants("names");
    let mut admin = fixture.db.superuser();
    for (set, reset) in
        [("SET ROLE", "RESET ROLE"), ("SET SESSION AUTHORIZATION", "RESET SESSION AUTHORIZATION")]
    {
        admin.batch_execute(&format!("{set} \"{}\"", fixture.carol)).unwrap();
        super::refused(admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "42501");
        admin.batch_execute("ROLLBACK").unwrap();
        super::refused(admin.query("SELECT * FROM tenant_acme.users", &[]), "55000");
        admin.batch_execute(&format!("{reset}; {set} \"{}\"", fixture.app)).unwrap();
        admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
        assert_inside(&mut admin, "acme");
        admin.batch_execute("ROLLBACK").unwrap();
        admin.batch_execute(reset).unwrap();
    }
}
