//! How the library comes into a session and out of a database again, and what health() says about it.

mod broken;
mod encoding;
mod groups;
mod health;
mod walsender;

use plio_tests::{Cluster, Db, SUPERUSER, TwoTenants, expect_sqlstate, first, refused};
use postgres::Client;

fn two_tenants(prefix: &str) -> TwoTenants {
    Cluster::shared().database(prefix).two_tenants()
}

/// What health() finds, worst first; "loading" stands for nothing wrong. That there is no shared memory is another
/// test's matter (monitoring::denials).
#[track_caller]
fn findings(client: &mut Client) -> Vec<String> {
    let rows = client.query("SELECT severity, finding, detail, fix FROM plio.health()", &[]).unwrap();
    rows.iter()
        .filter(|row| row.get::<_, &str>(1) != "denials_log_only")
        .map(|row| {
            assert!(["critical", "warning", "info"].contains(&row.get::<_, &str>(0)));
            assert!(!row.get::<_, &str>(2).is_empty());
            row.get(1)
        })
        .collect()
}

/// What ALTER DATABASE has set.
fn preloaded(db: &Db) -> String {
    let mut admin = db.cluster().config(SUPERUSER, "postgres").connect(postgres::NoTls).unwrap();
    let query = format!(
        "SELECT coalesce((SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase
                           WHERE setrole = 0 AND datname = '{}'), '-')",
        db.name()
    );
    first(&mut admin, &query)
}

#[test]
fn creating_the_extension_protects_new_sessions_without_a_restart() {
    let fixture = two_tenants("new");
    assert_eq!(preloaded(&fixture.db), "{session_preload_libraries=plio_tenancy}");
    let mut app = fixture.db.connect(&fixture.app);
    refused(app.query("SELECT * FROM tenant_acme.users", &[]), "55000");
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
    let mut admin = fixture.db.superuser();
    assert_eq!(findings(&mut admin), ["loading"]);
    let detail = "SELECT detail FROM plio.health() WHERE finding = 'loading'";
    assert!(first(&mut admin, detail).contains("session"));
}

// In the session that runs CREATE EXTENSION, and in one that was there before.
#[test]
fn a_session_that_was_there_before_must_connect_again() {
    let db = Cluster::shared().database("before");
    let role = db.login_role("early");
    let (mut early, mut admin) = (db.connect(&role), db.superuser());
    early.batch_execute("SELECT 1").unwrap();
    admin.batch_execute("CREATE EXTENSION plio_tenancy; SELECT plio.create_tenant('acme')").unwrap();
    admin.execute("SELECT plio.grant_access($1, 'acme')", &[&role]).unwrap();
    // The creating session is protected from here on.
    admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); CREATE TABLE users (); COMMIT").unwrap();
    refused(early.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "55000");
    early.batch_execute("ROLLBACK").unwrap();
    db.connect(&role).batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
}

#[test]
fn what_stands_in_the_setting_is_kept() {
    let db = Cluster::shared().database("kept");
    let mut admin = db.superuser();
    for (before, with, after) in [
        ("", "{session_preload_libraries=plio_tenancy}", "-"),
        (
            "'auto_explain'",
            "{\"session_preload_libraries=auto_explain, plio_tenancy\"}",
            "{session_preload_libraries=auto_explain}",
        ),
        (
            "'auto_explain', '$libdir/pg_prewarm'",
            "{\"session_preload_libraries=auto_explain, \\\"$libdir/pg_prewarm\\\", plio_tenancy\"}",
            "{\"session_preload_libraries=auto_explain, \\\"$libdir/pg_prewarm\\\"\"}",
        ),
    ] {
        if !before.is_empty() {
            admin
                .batch_execute(&format!(
                    "ALTER DATABASE \"{}\" SET session_preload_libraries = {before}",
                    db.name()
                ))
                .unwrap();
        }
        admin.batch_execute("CREATE EXTENSION plio_tenancy").unwrap();
        assert_eq!(preloaded(&db), with);
        db.superuser().batch_execute("SELECT * FROM plio.health()").unwrap();
        admin.batch_execute("DROP EXTENSION plio_tenancy").unwrap();
        assert_eq!(preloaded(&db), after);
        db.superuser().batch_execute("SELECT 1").unwrap();
        admin.batch_execute(&format!("ALTER DATABASE \"{}\" RESET ALL", db.name())).unwrap();
    }
}

// However it goes, nobody is locked out, and it can come back.
// The session's own preloading came from the setting that DROP EXTENSION took away: that is no reason not to set it.
#[test]
fn dropped_and_created_again_in_one_session_it_protects() {
    for kept in ["", "auto_explain"] {
        let db = Cluster::shared().database("again");
        let mut admin = db.superuser();
        if !kept.is_empty() {
            let set = format!("ALTER DATABASE {} SET session_preload_libraries = {kept}", db.name());
            admin.batch_execute(&set).unwrap();
        }
        db.extension();
        let before = preloaded(&db);
        db.superuser().batch_execute("DROP EXTENSION plio_tenancy; CREATE EXTENSION plio_tenancy").unwrap();
        assert_eq!(preloaded(&db), before);
        let enter = "SELECT plio.create_tenant('acme'); BEGIN; SELECT plio.set_tenant('acme'); COMMIT";
        db.superuser().batch_execute(enter).unwrap();
    }
}

#[test]
fn dropping_the_extension_leaves_a_database_one_can_log_in_to() {
    let db = Cluster::shared().database("dropped");
    let owner = db.login_role("owner");
    db.superuser().batch_execute(&format!("ALTER ROLE \"{owner}\" SUPERUSER")).unwrap();
    for (creator, statement) in [
        (SUPERUSER, "DROP EXTENSION plio_tenancy"),
        (SUPERUSER, "DROP EXTENSION plio_tenancy CASCADE"),
        (SUPERUSER, "DROP SCHEMA plio CASCADE"),
        (SUPERUSER, "BEGIN; DROP EXTENSION plio_tenancy; COMMIT"),
        (&owner, "DROP OWNED BY CURRENT_USER CASCADE"),
    ] {
        db.connect(creator)
            .batch_execute("CREATE EXTENSION plio_tenancy; SELECT plio.create_tenant('acme')")
            .unwrap();
        assert_eq!(preloaded(&db), "{session_preload_libraries=plio_tenancy}");
        let mut warm = db.superuser();
        warm.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); CREATE TABLE IF NOT EXISTS t (); COMMIT")
            .unwrap();
        // Undone first: the protection stays.
        let mut dropper = db.connect(creator);
        for statement in
            ["SET plio.enforcement = off", "BEGIN; DROP EXTENSION plio_tenancy CASCADE; ROLLBACK"]
        {
            dropper.batch_execute(statement).unwrap();
        }
        assert_eq!(preloaded(&db), "{session_preload_libraries=plio_tenancy}");
        dropper.batch_execute(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        assert_eq!(preloaded(&db), "-", "{statement}");
        // New sessions, the dropping one and one with the library and warm caches work on.
        for client in [&mut db.superuser(), &mut dropper, &mut warm] {
            client
                .batch_execute("SELECT count(*) FROM tenant_acme.t; SET search_path = public; RESET ALL")
                .unwrap();
        }
        warm.batch_execute("DROP SCHEMA tenant_acme CASCADE").unwrap();
    }
    // The roles of the lost tenants are still there; the same orgs come back all the same.
    let mut admin = db.superuser();
    admin.batch_execute("CREATE EXTENSION plio_tenancy; SELECT plio.create_tenant('acme')").unwrap();
    assert_eq!(findings(&mut db.superuser()), ["loading"]);
    db.superuser().batch_execute("BEGIN; SELECT plio.set_tenant('acme'); CREATE TABLE t (); COMMIT").unwrap();
}

#[test]
fn an_extension_is_not_dropped_inside_a_tenant() {
    let fixture = two_tenants("within");
    let mut admin = fixture.db.superuser();
    for statement in ["DROP EXTENSION plio_tenancy CASCADE", "DROP SCHEMA plio CASCADE"] {
        admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
        assert!(admin.batch_execute(statement).is_err());
        admin.batch_execute("ROLLBACK").unwrap();
    }
    assert_eq!(preloaded(&fixture.db), "{session_preload_libraries=plio_tenancy}");
}

// A cluster with the library in every process: databases without the extension notice nothing.
#[test]
fn shared_preload_serves_databases_with_and_without_the_extension() {
    let cluster = Cluster::start(&["shared_preload_libraries = 'plio_tenancy'"]);
    let plain = cluster.database("plain");
    let mut client = plain.superuser();
    client
        .batch_execute(
            "CREATE SCHEMA tenant_acme; CREATE TABLE tenant_acme.users AS SELECT 1 AS id;
             SET search_path = tenant_acme; SELECT * FROM users; SET ROLE pg_monitor; RESET ROLE; RESET ALL;
             CREATE SCHEMA plio; CREATE TABLE plio.tenants (x int); DROP SCHEMA plio CASCADE;
             ALTER SCHEMA tenant_acme RENAME TO other; DROP SCHEMA other CASCADE;
             BEGIN; SAVEPOINT s; SET LOCAL ROLE pg_monitor; ROLLBACK TO s; COMMIT",
        )
        .unwrap();
    assert!(client.batch_execute("SET plio.tenant = 'acme'").is_err());
    let fixture = cluster.database("with").two_tenants();
    let mut app = fixture.db.connect(&fixture.app);
    refused(app.query("SELECT * FROM tenant_acme.users", &[]), "55000");
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
    refused(app.query("SELECT * FROM tenant_bravo.users", &[]), "42501");
    let mut admin = fixture.db.superuser();
    assert_eq!(findings(&mut admin), ["loading"]);
    assert!(first(&mut admin, "SELECT detail FROM plio.health()").contains("shared"));
    // Here a role's own setting takes nothing away.
    admin
        .batch_execute(&format!(
            "ALTER ROLE \"{}\" SET session_preload_libraries = 'auto_explain'",
            fixture.app
        ))
        .unwrap();
    fixture.db.connect(&fixture.app).batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
}

// An ordinary role cannot keep the library out; a superuser can, and then nothing pretends to be protected.
#[test]
fn a_session_without_the_library_cannot_set_a_tenant() {
    let fixture = two_tenants("without");
    let mut app = fixture.db.connect(&fixture.app);
    expect_sqlstate(app.batch_execute("SET session_preload_libraries = ''"), "42501");
    expect_sqlstate(
        app.batch_execute(&format!(
            "ALTER ROLE \"{}\" SET session_preload_libraries = 'auto_explain'",
            fixture.app
        )),
        "42501",
    );
    let mut config = fixture.db.config(&fixture.app);
    config.options("-c session_preload_libraries=");
    if let Ok(mut client) = config.connect(postgres::NoTls) {
        client.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    }
    let mut admin = fixture.db.superuser();
    let alter = format!("ALTER ROLE \"{}\" IN DATABASE \"{}\"", fixture.app, fixture.db.name());
    admin.batch_execute(&format!("{alter} SET session_preload_libraries = 'auto_explain'")).unwrap();
    assert_eq!(findings(&mut admin), ["preload_overridden", "loading"]);
    let mut late = fixture.db.connect(&fixture.app);
    refused(late.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "55000");
    late.batch_execute("ROLLBACK").unwrap();
    refused(late.batch_execute("SET plio.tenant = 'acme'"), "55000");
    // The function above has loaded the library: from here on even that session is judged.
    assert!(late.query("SELECT * FROM tenant_acme.users", &[]).is_err());
    admin.batch_execute(&format!("{alter} RESET ALL")).unwrap();
    // A role's setting for all databases goes before the database's, too, unless it has one for this database.
    let everywhere = format!("ALTER ROLE \"{}\"", fixture.app);
    admin.batch_execute(&format!("{everywhere} SET session_preload_libraries = 'auto_explain'")).unwrap();
    assert_eq!(findings(&mut admin), ["preload_overridden", "loading"]);
    let mut late = fixture.db.connect(&fixture.app);
    refused(late.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "55000");
    admin.batch_execute(&format!("{alter} SET session_preload_libraries = 'plio_tenancy'")).unwrap();
    assert_eq!(findings(&mut admin), ["loading"]);
    fixture.db.connect(&fixture.app).batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    admin.batch_execute(&format!("{alter} RESET ALL")).unwrap();
    let fix = first(&mut admin, "SELECT fix FROM plio.health() WHERE finding = 'preload_overridden'");
    admin.batch_execute(&fix).unwrap();
    assert_eq!(findings(&mut admin), ["loading"]);
    fixture.db.connect(&fixture.app).batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
}

// The owner of a database is no superuser: the library stays, and so does the judging.
#[test]
fn the_owner_of_the_database_cannot_take_the_library_out() {
    let fixture = two_tenants("owner");
    let name = fixture.db.name();
    fixture
        .db
        .superuser()
        .batch_execute(&format!("ALTER DATABASE \"{name}\" OWNER TO \"{}\"", fixture.app))
        .unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    for change in [
        "RESET session_preload_libraries",
        "SET session_preload_libraries = 'auto_explain'",
        "SET plio.enforcement = off",
    ] {
        expect_sqlstate(app.batch_execute(&format!("ALTER DATABASE \"{name}\" {change}")), "42501");
    }
    app.batch_execute(&format!("ALTER DATABASE \"{name}\" RESET ALL")).unwrap();
    assert_eq!(preloaded(&fixture.db), "{session_preload_libraries=plio_tenancy}");
    // Nor by the connection's options: they are refused, or without effect.
    let mut config = fixture.db.config(&fixture.app);
    config.options("-c plio.enforcement=off");
    if let Ok(mut client) = config.connect(postgres::NoTls) {
        assert_eq!(first(&mut client, "SHOW plio.enforcement"), "on");
        refused(client.query("SELECT * FROM tenant_acme.users", &[]), "55000");
    }
    for change in ["SET plio.enforcement = off", "SELECT set_config('plio.enforcement', 'off', false)"] {
        expect_sqlstate(app.batch_execute(change), "42501");
    }
}

// A value that a setting of the extension's got before the library was there is nobody's tenant, and in nobody's way.
#[test]
fn a_setting_from_before_the_library_is_taken_over_as_empty() {
    for before in [
        "SET plio.tenant = 'x'",
        "SET plio.tenant = 'acme 1 0 1 session'",
        "BEGIN; SET plio.tenant = 'x'; SAVEPOINT s; SET LOCAL plio.tenant = 'y'; RELEASE s",
    ] {
        let db = Cluster::shared().database("placeholder");
        let mut admin = db.superuser();
        admin.batch_execute(before).unwrap();
        admin
            .batch_execute("CREATE EXTENSION plio_tenancy")
            .unwrap_or_else(|error| panic!("{before}: {error:?}"));
        admin.batch_execute("COMMIT").unwrap();
        let text = |client: &mut Client| -> String {
            client
                .query_one(
                    "SELECT current_setting('plio.tenant') || coalesce(plio.current_tenant(), '-')",
                    &[],
                )
                .unwrap()
                .get(0)
        };
        assert_eq!(text(&mut admin), "-", "{before}");
        admin.batch_execute("SELECT plio.create_tenant('acme')").unwrap();
        admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); CREATE TABLE t (); COMMIT").unwrap();
        admin.batch_execute("SET plio.tenant = 'acme'").unwrap();
        assert_eq!(text(&mut admin), "acmeacme", "{before}");
        admin.batch_execute("RESET plio.tenant").unwrap();
        assert_eq!(text(&mut admin), "-", "{before}");
    }
}
