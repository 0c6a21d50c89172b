//! `plio.enforcement = report`: nothing is refused, what would be is in the server's log.

use plio_tests::expect_sqlstate;

use crate::judge::Judge;
use crate::{legacy, value};

/// The lines of one database's log that tell of denials, after `mark`.
fn denials(world: &crate::Legacy, mark: &str) -> Vec<String> {
    let log = world.db.cluster().log();
    let after = log.split_once(mark).map(|(_, after)| after).unwrap_or_default();
    let of_database = format!("@{} ", world.db.name());
    after
        .lines()
        .filter(|line| line.contains(&of_database) && line.contains("plio denial:"))
        .map(str::to_owned)
        .collect()
}

/// Every refusal becomes a line, once for each statement, kind and object; the statement goes through.
#[test]
fn nothing_is_refused_and_everything_is_logged() {
    let world = legacy().adopted();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(&format!(
            "ALTER DATABASE {} SET plio.enforcement = report; GRANT CREATE ON SCHEMA public TO {}",
            world.db.name(),
            world.app
        ))
        .unwrap();
    let mut app = world.db.connect(&world.app);
    assert_eq!(value(&mut app, "SHOW plio.enforcement"), "report");
    let theirs = value(
        &mut app,
        "SELECT oid FROM pg_class WHERE relname = 'users_id_seq' AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'bravo')",
    );
    app.batch_execute("DO $$ BEGIN RAISE LOG 'mark-one'; END $$").unwrap();
    Judge::outside(&mut app).gives("SELECT min(name) FROM bravo.users", &["canary-bravo"]);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.gives("SELECT min(name) FROM users", &["canary-acme"]);
    for statement in [
        "SELECT name FROM bravo.users",
        "SELECT name FROM public.plans",
        "UPDATE public.plans SET name = 'x'",
        "SET LOCAL search_path = bravo; SELECT name FROM users",
        "SELECT set_config('search_path', 'public', true)",
        "SET LOCAL ROLE NONE",
        "SELECT tablename FROM pg_stats",
        "NOTIFY x",
        "LOCK TABLE bravo.users",
        "TRUNCATE bravo.users",
        "CREATE TABLE public.made (a int)",
        "DROP TABLE bravo.events",
        "CREATE VIEW spy AS SELECT * FROM bravo.users; SELECT * FROM spy",
        "DO $$ BEGIN FOR i IN 1..100 LOOP PERFORM name FROM bravo.users; END LOOP; END $$",
    ] {
        acme.allowed(statement);
    }
    acme.allowed(&format!("SELECT nextval({theirs}::oid::regclass)"));
    drop(acme);
    let lines = denials(&world, "mark-one");
    for part in [
        r#"kind=no_tenant sqlstate=55000 enforced=false org="" "#,
        r#"kind=other_tenant sqlstate=42501 enforced=false org="acme" "#,
        r#"object="bravo.users""#,
        "kind=shared_read_only ",
        "kind=locked_setting",
        "kind=one_layer",
        "kind=statement",
        "kind=ddl_outside",
        "kind=tie",
    ] {
        assert!(lines.iter().any(|line| line.contains(part)), "{part}: {lines:#?}");
    }
    assert!(lines.iter().all(|line| line.contains(&format!(r#"login="{}""#, world.app))), "{lines:#?}");
    assert!(lines.iter().all(|line| !line.contains("canary")), "{lines:#?}");
    // A loop of a hundred: one line for the name, one for the table.
    app.batch_execute("DO $$ BEGIN RAISE LOG 'mark-two'; END $$").unwrap();
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    app.batch_execute(
        "DO $$ BEGIN FOR i IN 1..100 LOOP EXECUTE 'SELECT name FROM bravo.users'; END LOOP; END $$",
    )
    .unwrap();
    app.batch_execute("COMMIT").unwrap();
    let lines = denials(&world, "mark-two");
    assert!((1..=2).contains(&lines.len()), "{lines:#?}");
    // The client is told nothing, whatever it asks to be told.
    let mut config = world.db.config(&world.app);
    let notices = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = std::sync::Arc::clone(&notices);
    config.notice_callback(move |notice| kept.lock().unwrap().push(notice.message().to_owned()));
    let mut loud = config.connect(postgres::NoTls).unwrap();
    loud.batch_execute("SET client_min_messages = debug5; SELECT name FROM bravo.users").unwrap();
    assert!(notices.lock().unwrap().iter().all(|notice| !notice.contains("plio denial")));
    assert_eq!(
        value(
            &mut world.db.superuser(),
            "SELECT severity FROM plio.health() WHERE finding = 'enforcement_report'"
        )
        .as_str(),
        "warning"
    );
}

/// What is no refusal at the boundary is an error as ever; the setting is the superuser's, and is locked inside a tenant.
#[test]
fn errors_stay_errors() {
    let world = legacy().adopted();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(&format!("ALTER DATABASE {} SET plio.enforcement = report", world.db.name()))
        .unwrap();
    let mut app = world.db.connect(&world.app);
    let mut nobody = Judge::outside(&mut app);
    for (statement, code) in [
        ("SELECT plio.set_tenant('missing')", "42501"),
        ("SELECT plio.set_tenant('NO')", "42602"),
        ("SELECT plio.set_tenant(NULL)", "22023"),
        ("SELECT plio.require_tenant()", "55000"),
    ] {
        nobody.refused(statement, code);
    }
    nobody.denied("SET plio.enforcement = on", "42501");
    nobody.denied("SELECT * FROM plio.tenants", "42501");
    drop(nobody);
    expect_sqlstate(app.batch_execute("SELECT plio.set_tenant('acme')"), "25P01");
    let mut acme = Judge::inside(&mut app, "acme");
    acme.refused("SELECT plio.set_tenant('bravo')", "25001");
    acme.refused("SET plio.tenant = 'bravo'", "25001");
    drop(acme);
    let mut stranger = world.db.connect(&world.db.login_role("stranger"));
    Judge::outside(&mut stranger).refused("SELECT plio.set_tenant('acme')", "42501");
    let mut admin = world.db.superuser();
    for value in ["on", "off", "report"] {
        Judge::inside(&mut admin, "acme").refused(&format!("SET plio.enforcement = {value}"), "25001");
    }
    // A tenant with a role keeps its first layer: PostgreSQL's own privileges refuse as ever.
    admin.batch_execute("SELECT plio.assign_role('acme')").unwrap();
    Judge::inside(&mut app, "acme").denied("SELECT name FROM bravo.users", "42501");
}

/// LISTEN and NOTIFY are the database's while nothing is enforced, and each use inside a tenant is told of.
#[test]
fn channels_are_the_databases_still() {
    use postgres::fallible_iterator::FallibleIterator;
    let world = legacy().adopted();
    let set = format!("ALTER DATABASE {} SET plio.enforcement = report", world.db.name());
    world.db.superuser().batch_execute(&set).unwrap();
    let (mut app, mut listener) = (world.db.connect(&world.app), world.db.connect(&world.app));
    listener.batch_execute("LISTEN news").unwrap();
    app.batch_execute("DO $$ BEGIN RAISE LOG 'mark-channels'; END $$").unwrap();
    for send in ["NOTIFY news, 'by a statement'", "SELECT pg_notify('news', 'by a function')"] {
        app.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('acme'); {send}; COMMIT")).unwrap();
        let heard = listener.notifications().timeout_iter(std::time::Duration::from_secs(30)).next().unwrap();
        let heard = heard.map(|one| format!("NOTIFY {}, '{}'", one.channel(), one.payload()));
        assert!(heard.as_ref().is_some_and(|heard| heard.starts_with("NOTIFY news, 'by a ")), "{heard:?}");
    }
    let lines = denials(&world, "mark-channels");
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(
        lines.iter().all(|line| line.contains("kind=statement") && line.contains("enforced=false")),
        "{lines:#?}"
    );
}
