//! Each look of the random attack finds what it is for: here somebody does the wrong who is allowed to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use plio_tests::Cluster;
use plio_tests::fuzz::probes::{self, Closing, Listeners};
use plio_tests::fuzz::wire::Request;
use plio_tests::fuzz::{Canaries, Guard, Kind, Owner, Session, Stint, Summary, Tenants, World};
use plio_tests::fuzz::{carried, left_behind, rights, watch};
use postgres::Client;

fn world() -> (World, Client) {
    world_in(Cluster::shared())
}

fn world_in(cluster: &Cluster) -> (World, Client) {
    let world = World::build(cluster, Canaries::unknown(), Tenants::OwnRole, Guard::On);
    let admin = world.db.superuser();
    (world, admin)
}

fn run(client: &mut Client, sql: &str) {
    client.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// What a session finds in a scene of its own.
fn play(world: &World, steps: Vec<Request>) -> Summary {
    let mut session = Session::new(&world.attacker);
    let stint = Stint { granted: [true, true, false], speaks_outside: true, reads_all: false };
    let steps: Vec<_> = steps.into_iter().map(|request| (request, 1)).collect();
    let mut summary = Summary::default();
    session.play(world, stint, &steps, &mut summary);
    summary
}

fn simple(sql: &str) -> Request {
    Request::Simple(sql.to_owned())
}

#[test]
fn a_right_that_somebody_gains_is_found() {
    // Rights are the whole cluster's: in the shared one others make roles meanwhile.
    let cluster = Cluster::start(&[]);
    let (world, mut admin) = world_in(&cluster);
    let before = rights(&mut admin, false).unwrap();
    assert_eq!(rights(&mut admin, false).unwrap(), before);
    run(&mut admin, &format!("ALTER ROLE {} BYPASSRLS", world.attacker));
    assert_ne!(rights(&mut admin, false).unwrap(), before);
    run(&mut admin, &format!("ALTER ROLE {} NOBYPASSRLS", world.attacker));
    let before = rights(&mut admin, true).unwrap();
    run(
        &mut admin,
        "CREATE FUNCTION public.strong() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    );
    assert_ne!(rights(&mut admin, true).unwrap(), before);
}

#[test]
fn rows_of_one_tenant_in_another_are_found() {
    let (world, mut admin) = world();
    assert_eq!(carried(&mut admin, &world), Vec::<String>::new());
    let digits = world.canaries.digits(Owner::Tenant(0));
    run(&mut admin, &format!("INSERT INTO tenant_bravo.journal VALUES (1, 'x{digits}x')"));
    assert_eq!(carried(&mut admin, &world).len(), 1);
}

#[test]
fn locks_and_prepared_transactions_left_behind_are_found() {
    let (world, mut admin) = world();
    let mut mallory = world.db.connect(&world.attacker);
    run(&mut mallory, "BEGIN; SELECT plio.set_tenant('acme'); SELECT * FROM users");
    assert_eq!(left_behind(&mut admin, &world).unwrap(), Vec::<String>::new());
    run(&mut mallory, "COMMIT");
    assert_eq!(probes::management_waits(&mut admin, &world), None);
    // As the attacker, with rights that it does not have.
    run(
        &mut admin,
        &format!(
            "SET plio.enforcement = off; GRANT ALL ON plio.tenants TO {}; RESET plio.enforcement",
            world.attacker
        ),
    );
    run(&mut mallory, "BEGIN; LOCK TABLE plio.tenants IN ACCESS EXCLUSIVE MODE");
    let found = left_behind(&mut admin, &world);
    run(&mut mallory, "ROLLBACK");
    run(&mut admin, &format!("REVOKE ALL ON plio.tenants FROM {}", world.attacker));
    assert!(!found.unwrap().is_empty());
    run(&mut mallory, "BEGIN");
    let mut other = world.db.superuser();
    run(&mut other, "BEGIN; SELECT plio.suspend_tenant('coral')");
    let found = probes::management_waits(&mut admin, &world).unwrap();
    assert!(found.contains("waits"), "{found}");
}

#[test]
fn a_tenant_that_is_not_closed_is_found() {
    let (world, mut admin) = world();
    let mut session = Session::new(&world.attacker);
    for closing in Closing::all(&world) {
        let found = probes::stale_admission(&mut admin, &world, &mut session, &closing);
        assert_eq!(found, Vec::<String>::new(), "{closing:?}");
    }
    let lie = Closing { close: "SELECT 'a lie'".to_owned(), open: "SELECT 1".to_owned() };
    let found = probes::stale_admission(&mut admin, &world, &mut session, &lie);
    assert!(found.len() >= 3, "{found:?}");
}

#[test]
fn code_and_messages_of_others_are_found() {
    let (world, mut admin) = world();
    assert_eq!(probes::planted_code(&world), None);
    run(
        &mut admin,
        "CREATE FUNCTION public.lower(x varchar) RETURNS text LANGUAGE plpgsql
             AS 'BEGIN PERFORM set_config(''fuzz.caught'', current_user, false); RETURN x; END'",
    );
    assert!(probes::planted_code(&world).is_some());
    let mut listeners = Listeners::begin(&world);
    assert_eq!(listeners.heard(&world), Vec::<String>::new());
    run(&mut admin, "BEGIN; SELECT plio.set_tenant('coral'); NOTIFY fuzz, 'forged'; COMMIT");
    assert_eq!(listeners.heard(&world).len(), 1);
    let digits = world.canaries.digits(Owner::Tenant(0));
    run(&mut admin, &format!("NOTIFY fuzz, '{digits}'"));
    assert_eq!(listeners.heard(&world).len(), 1);
}

#[test]
fn what_a_session_keeps_is_found() {
    let (world, _admin) = world();
    let kept = play(
        &world,
        vec![
            simple("SET plio.tenant = 'acme'"),
            simple("SET plio.tenant = 'bravo'"),
            simple("SELECT 'kept:' || 'channel x'"),
        ],
    );
    assert_eq!(kept.count_of(Kind::Carry), 1, "{kept}");
    // Another role than before, and nobody said SET ROLE in this scene.
    let who = "SELECT 'who:' || current_user";
    let sly = format!("DO $$BEGIN PERFORM set_config('role', '{}', false); END$$", world.group);
    let changed = play(&world, vec![simple(who), simple(&sly), simple(who)]);
    assert_eq!(changed.count_of(Kind::Rights), 1, "{changed}");
    // The driver's statement is another's.
    let enter = |org: &str| vec![Some(org.to_owned())];
    let driver = vec![
        Request::Extended("_pg3_0", "SELECT $1::text".to_owned(), enter("acme")),
        simple("BEGIN"),
        Request::Bound("_pg3_0", enter("bravo")),
        simple("ROLLBACK"),
    ];
    let driver = play(&world, driver);
    assert_eq!(driver.count_of(Kind::Admission), 1, "{driver}");
}

#[test]
fn a_procedure_that_goes_on_after_its_tenant_is_found() {
    let (world, mut admin) = world();
    let roams = |procedure: &str| {
        let call = format!(
            "DO $d$BEGIN PERFORM plio.set_tenant('acme'); CALL {procedure}('COMMIT', 'SELECT 1'); END$d$"
        );
        let asks =
            "SELECT 'kept:setting roamed ' || x FROM current_setting('fuzz.roamed', true) x WHERE x <> ''";
        play(&world, vec![simple(&call), simple(asks)])
    };
    let refused = roams("roam");
    assert_eq!(refused.count_of(Kind::Carry), 0, "{refused}");
    assert_eq!(refused.outcomes.get("55000"), Some(&1), "{refused}");
    // A superuser's own procedure does the same, and may go on.
    run(
        &mut admin,
        "CREATE PROCEDURE lookup.roam(how text, what text) LANGUAGE plpgsql
             AS 'BEGIN PERFORM 1 FROM users; COMMIT; EXECUTE what; PERFORM set_config(''fuzz.roamed'', how, false); END'",
    );
    let found = roams("lookup.roam");
    assert_eq!(found.count_of(Kind::Carry), 1, "{found}");
}

#[test]
fn a_tenants_trigger_that_a_superuser_fires_is_found() {
    let (world, mut admin) = world();
    run(
        &mut admin,
        "BEGIN; SELECT plio.set_tenant('acme');
         CREATE OR REPLACE FUNCTION on_write() RETURNS trigger LANGUAGE plpgsql
             AS $$BEGIN PERFORM set_config('fuzz.caught', current_user || ' ' || session_user, true); RETURN NEW; END$$; COMMIT",
    );
    assert_eq!(probes::strange_triggers(&world), Vec::<String>::new());
    run(&mut admin, &format!("ALTER DATABASE {} SET plio.enforcement = off", world.db.name()));
    assert!(!probes::strange_triggers(&world).is_empty());
}

#[test]
fn rows_that_execute_brings_of_a_held_cursor_are_seen() {
    let (world, _admin) = world();
    let held = |org: &str| {
        vec![
            simple(&format!("SET plio.tenant = '{org}'")),
            simple("DECLARE h CURSOR WITH HOLD FOR SELECT name FROM users"),
            Request::Held("h"),
        ]
    };
    let mut session = Session::new(&world.attacker);
    for request in held("acme") {
        let (said, seen) = session.ask_for(&world, request.clone()).unwrap();
        assert_eq!(said.unwrap(), "acme");
        assert_eq!(seen.contains(&Owner::Tenant(0)), matches!(request, Request::Held(_)), "{request:?}");
    }
}

#[test]
fn a_statement_that_a_cancel_does_not_end_is_found() {
    let (world, mut admin) = world();
    run(&mut admin, &format!("ALTER ROLE {} SET statement_timeout = 0", world.attacker));
    let mut mallory = world.db.connect(&world.attacker);
    let is_over = AtomicBool::new(false);
    let found = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&world, Some("100 ms"), &is_over));
        let stubborn = "DO $$BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END$$";
        // Ends by being terminated.
        mallory.batch_execute(stubborn).unwrap_err();
        is_over.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    });
    assert!(found.iter().any(|finding| finding.kind == Kind::Hang), "{found:?}");
}
