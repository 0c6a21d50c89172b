//! Inside a tenant the search_path is free within the tenant's reach, and ends with the tenant. Its role and the settings of
//! the extension are not free.

use super::{assert_inside, assert_outside, refused, text, two_tenants};
use plio_tests::{SUPERUSER, expect_sqlstate};

/// Paths within reach: the tenant's own schema, PostgreSQL's, none, what is shared, what is nobody's, what is not there.
const PATHS: [&str; 8] = [
    "tenant_acme",
    "pg_catalog, pg_temp",
    "",
    "public",
    "tenant_acme, public",
    "\"$user\"",
    "nosuch, pg_temp",
    "information_schema",
];

/// Ways to set it, with the path as a list or as a SQL literal.
const WAYS: [&str; 6] = [
    "SET search_path TO {list}",
    "SET LOCAL search_path TO {list}",
    "SELECT set_config('search_path', {path}, false)",
    "SELECT pg_catalog.set_config('SEARCH_PATH', {path}, true)",
    "DO $$ BEGIN PERFORM set_config('search_path', {path}, false); END $$",
    "UPDATE pg_settings SET setting = {path} WHERE name = 'search_path'",
];

fn set(way: &str, path: &str) -> String {
    let list = if path.is_empty() { "''" } else { path };
    way.replace("{list}", list).replace("{path}", &format!("'{path}'"))
}

#[test]
fn a_path_within_reach_is_taken_and_ends_with_the_tenant() {
    let fixture = two_tenants("within");
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        for path in PATHS {
            for way in WAYS {
                for end in ["COMMIT", "ROLLBACK"] {
                    let set = set(way, path);
                    client
                        .batch_execute(&format!("BEGIN; SELECT plio.set_tenant('acme'); {set}"))
                        .unwrap_or_else(|error| panic!("{set}: {error:?}"));
                    assert_eq!(
                        text(&mut client, "SELECT name FROM tenant_acme.users WHERE id = 1").as_deref(),
                        Some("canary-acme")
                    );
                    client.batch_execute(end).unwrap();
                    assert_outside(&mut client, role);
                }
            }
        }
    }
}

#[test]
fn a_path_into_another_tenant_is_refused() {
    let fixture = two_tenants("out");
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        for enter in ["BEGIN; SELECT plio.set_tenant('acme')", "SET plio.tenant = 'acme'; BEGIN"] {
            for path in ["tenant_bravo", "tenant_acme, tenant_bravo", "public, \"tenant_bravo\", nosuch"] {
                for way in WAYS {
                    client.batch_execute(&format!("{enter}; SAVEPOINT s")).unwrap();
                    refused(client.batch_execute(&set(way, path)), "42501");
                    client.batch_execute("ROLLBACK TO s").unwrap();
                    assert_inside(&mut client, "acme");
                    client.batch_execute("ROLLBACK; RESET plio.tenant").unwrap();
                }
            }
        }
    }
}

// RESET gives the tenant's own path; the session's is back when the tenant ends.
#[test]
fn resetting_the_path_gives_the_tenants() {
    let fixture = two_tenants("resetting");
    let mut app = fixture.db.connect(&fixture.app);
    for reset in [
        "RESET search_path",
        "SET search_path TO DEFAULT",
        "SET LOCAL search_path TO DEFAULT",
        "SELECT set_config('search_path', NULL, false)",
        "DO $$ BEGIN PERFORM set_config('search_path', NULL, true); END $$",
    ] {
        app.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('acme'); SET search_path = ''; {reset}"))
            .unwrap();
        assert_inside(&mut app, "acme");
        app.batch_execute("COMMIT").unwrap();
        assert_outside(&mut app, &fixture.app);
        app.batch_execute("SET plio.tenant = 'acme'").unwrap();
        app.batch_execute(&format!("BEGIN; SET search_path = ''; {reset}")).unwrap();
        assert_inside(&mut app, "acme");
        app.batch_execute("COMMIT; RESET plio.tenant").unwrap();
        assert_outside(&mut app, &fixture.app);
    }
    // In a session's tenant a path lasts as SET does, and no longer than the tenant.
    app.batch_execute("SET plio.tenant = 'acme'").unwrap();
    app.batch_execute("SET search_path = pg_catalog").unwrap();
    assert_eq!(text(&mut app, "SHOW search_path").as_deref(), Some("pg_catalog"));
    app.batch_execute("SET plio.tenant = 'bravo'").unwrap();
    assert_inside(&mut app, "bravo");
    app.batch_execute("RESET plio.tenant").unwrap();
    assert_outside(&mut app, &fixture.app);
}

/// What changes a setting that the tenant locks, `{}` for its name: no value is admitted.
const CHANGES: [&str; 5] = [
    "SET {} = {value}",
    "RESET {}",
    "SET {} TO DEFAULT",
    "SELECT set_config('{}', {value}, false)",
    "SELECT set_config('{}', NULL, true)",
];

#[test]
fn the_extensions_settings_are_locked_in_both_scopes() {
    let fixture = two_tenants("settings");
    let mut app = fixture.db.connect(&fixture.app);
    let mut admin = fixture.db.superuser();
    // Without a tenant each of them is as free as ever.
    app.batch_execute("SET plio.allow_partial_reports = on; RESET plio.allow_partial_reports").unwrap();
    for enter in ["BEGIN; SELECT plio.set_tenant('acme')", "SET plio.tenant = 'acme'; BEGIN"] {
        for change in CHANGES {
            let change = change.replace("{}", "plio.allow_partial_reports").replace("{value}", "'on'");
            app.batch_execute(enter).unwrap();
            refused(app.batch_execute(&change), "25001");
            app.batch_execute("ROLLBACK; RESET plio.tenant").unwrap();
        }
        app.batch_execute(enter).unwrap();
        let update = "UPDATE pg_settings SET setting = 'on' WHERE name = 'plio.allow_partial_reports'";
        refused(app.batch_execute(update), "25001");
        app.batch_execute("ROLLBACK; RESET plio.tenant").unwrap();
        for (name, value) in [
            ("plio.allowed_connections", "'x'"),
            ("plio.denials_log_rate", "'7'"),
            ("plio.enforcement", "'off'"),
        ] {
            for change in CHANGES {
                let change = change.replace("{}", name).replace("{value}", value);
                admin.batch_execute(enter).unwrap();
                // With the tenant's role PostgreSQL's own answer comes first.
                let error = admin.batch_execute(&change).unwrap_err();
                let code = error.code().unwrap().code();
                assert!(["25001", "42501"].contains(&code), "{change}: {error:?}");
                admin.batch_execute("ROLLBACK; RESET plio.tenant").unwrap();
            }
        }
    }
    assert_eq!(text(&mut admin, "SHOW plio.enforcement").as_deref(), Some("on"));
    // The list is PostgreSQL's own: no setting of the extension's is forgotten.
    let list =
        "SELECT name, setting FROM pg_settings WHERE name LIKE 'plio.%' AND context IN ('user', 'superuser')";
    let settings = admin.query(list, &[]).unwrap();
    assert!(settings.len() >= 6, "{}", settings.len());
    for (setting, change) in
        settings.iter().flat_map(|setting| CHANGES.iter().map(move |change| (setting, change)))
    {
        let (name, value): (&str, &str) = (setting.get(0), setting.get(1));
        let change = change.replace("{}", name).replace("{value}", &format!("'{value}'"));
        admin.batch_execute("SET plio.tenant = 'acme'; BEGIN").unwrap();
        let refused = admin.batch_execute(&change);
        assert!(refused.is_err() || name == "plio.tenant", "{change}");
        admin.batch_execute("ROLLBACK; RESET plio.tenant").unwrap();
    }
}

// Refused in the assign hook, each value stayed in memory to the session's end.
#[test]
fn a_refused_value_is_not_kept() {
    let fixture = two_tenants("kept");
    let mut app = fixture.db.connect(&fixture.app);
    let path = format!("tenant_bravo, {}", "x".repeat(60_000));
    let used = "SELECT (sum(used_bytes) / 1000000)::int FROM pg_catalog.pg_get_backend_memory_contexts()";
    let mut superuser = fixture.db.superuser();
    for client in [&mut app, &mut superuser] {
        client
            .batch_execute(&format!(
                "DO $do$ BEGIN PERFORM plio.set_tenant('acme');
                     FOR i IN 1..300 LOOP BEGIN PERFORM set_config('search_path', '{path}', false);
                         EXCEPTION WHEN insufficient_privilege THEN NULL; END; END LOOP; END $do$"
            ))
            .unwrap();
    }
    let used: i32 = text(&mut superuser, used).unwrap().parse().unwrap();
    assert!(used < 18, "{used} MB");
}

// set_config() is exchanged for a checked form; what PostgreSQL says comes out whole.
#[test]
fn set_config_goes_on_as_ever() {
    let fixture = two_tenants("config");
    let mut app = fixture.db.connect(&fixture.app);
    for enter in ["BEGIN", "BEGIN; SELECT plio.set_tenant('acme')"] {
        app.batch_execute(enter).unwrap();
        let row = app.query_one("SELECT set_config('app.user', 'ann', true)", &[]).unwrap();
        assert_eq!((row.columns()[0].name(), row.get::<_, &str>(0)), ("set_config", "ann"));
        assert_eq!(text(&mut app, "SELECT current_setting('app.user')").as_deref(), Some("ann"));
        app.batch_execute("SAVEPOINT s").unwrap();
        let error = expect_sqlstate(app.batch_execute("SELECT set_config('work_mem', 'x', true)"), "22023");
        assert_eq!(error.routine(), Some("parse_and_validate_value"));
        app.batch_execute("ROLLBACK TO s").unwrap();
        expect_sqlstate(app.batch_execute("SELECT set_config(NULL, 'x', true)"), "22004");
        app.batch_execute("ROLLBACK").unwrap();
    }
    fixture
        .db
        .superuser()
        .batch_execute("REVOKE EXECUTE ON FUNCTION set_config(text, text, boolean) FROM PUBLIC")
        .unwrap();
    expect_sqlstate(app.batch_execute("SELECT set_config('app.user', 'ann', true)"), "42501");
    fixture
        .db
        .superuser()
        .batch_execute("GRANT EXECUTE ON FUNCTION set_config(text, text, boolean) TO PUBLIC")
        .unwrap();
}
