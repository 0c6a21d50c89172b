//! selftest() makes tenants as a superuser, whoever calls it: it leaves nothing, and gives nobody a superuser's rights.

use std::thread;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use plio_tests::{assert_refusal, expect_sqlstate};
use postgres::Client;

use crate::{assert_all_refused, clean, selftest};

/// What a run might leave behind in the catalogs; roles, which other tests make, too, by their names.
fn inventory(client: &mut Client) -> Vec<i64> {
    let counts = "SELECT count(*) FROM pg_authid WHERE rolname LIKE '%selftest%' UNION ALL SELECT count(*) FROM pg_namespace
        UNION ALL SELECT count(*) FROM pg_class UNION ALL SELECT count(*) FROM pg_proc
        UNION ALL SELECT count(*) FROM pg_largeobject_metadata UNION ALL SELECT count(*) FROM pg_depend
        UNION ALL SELECT count(*) FROM plio.tenants UNION ALL SELECT count(*) FROM plio.access
        UNION ALL SELECT count(*) FROM plio.history";
    client.query(counts, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

#[test]
fn nothing_is_left() {
    let fixture = clean("selftest_left");
    let mut admin = fixture.db.superuser();
    let before = inventory(&mut admin);
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("CREATE TEMP TABLE mine (id int); INSERT INTO mine VALUES (1)").unwrap();
    let with_temporary = inventory(&mut admin);
    assert_all_refused(&selftest(&mut app));
    assert_eq!(inventory(&mut admin)[..], with_temporary[..]);
    // The session goes on where it was: its temporary table, its role, no tenant.
    let row =
        app.query_one("SELECT count(*), current_user::text, plio.current_tenant() FROM mine", &[]).unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, &str>(1)), (1, fixture.app.as_str()));
    assert_eq!(row.get::<_, Option<&str>>(2), None);
    drop(app);
    assert_eq!(before.len(), inventory(&mut admin).len());

    // In a transaction, after a savepoint, before a tenant.
    let mut app = fixture.db.connect(&fixture.app);
    let mut transaction = app.transaction().unwrap();
    transaction
        .batch_execute(
            "SAVEPOINT s; SELECT * FROM plio.selftest(); RELEASE s; SELECT plio.set_tenant('acme')",
        )
        .unwrap();
    let name: String = transaction.query_one("SELECT name FROM users WHERE id = 1", &[]).unwrap().get(0);
    assert_eq!(name, "canary-acme");
    transaction.commit().unwrap();
}

// Anybody may call it, as often as he likes and with whatever makes it slow: management goes on beside it.
#[test]
fn nobody_waits_for_it() {
    let fixture = clean("selftest_waits");
    let mut admin = fixture.db.superuser();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..10 {
            let mut carol = fixture.db.connect(&fixture.carol);
            let is_over = &is_over;
            scope.spawn(move || {
                carol.batch_execute("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1").unwrap();
                while !is_over.load(Relaxed) {
                    carol.batch_execute("SELECT * FROM plio.selftest()").unwrap();
                }
            });
        }
        let mut longest = (Duration::ZERO, "");
        for _ in 0..5 {
            for call in [
                "SELECT plio.create_tenant('new')",
                "SELECT plio.suspend_tenant('acme')",
                "SELECT plio.resume_tenant('acme')",
                "SELECT plio.grant_access('postgres', 'new')",
                "SELECT plio.revoke_access('postgres', 'new')",
                "SELECT plio.drop_tenant('new', 'new')",
            ] {
                let start = Instant::now();
                admin.batch_execute(call).unwrap_or_else(|error| panic!("{call}: {error:?}"));
                longest = longest.max((start.elapsed(), call));
            }
        }
        is_over.store(true, Relaxed);
        assert!(longest.0 < Duration::from_secs(2), "{longest:?}");
    });
}

// Whatever is on the caller's path, nothing of the caller's runs as a superuser. A sequence tells: a rollback does not
// take it back.
#[test]
fn nothing_of_the_callers_runs_as_a_superuser() {
    let fixture = clean("selftest_path");
    let (mut admin, app) = (fixture.db.superuser(), &fixture.app);
    admin.batch_execute(&format!("CREATE SCHEMA evil AUTHORIZATION {app}")).unwrap();
    let mut client = fixture.db.connect(app);
    client
        .batch_execute(
            "CREATE SEQUENCE evil.caught; GRANT ALL ON SEQUENCE evil.caught TO PUBLIC;
             CREATE FUNCTION evil.spring(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
                 IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user) THEN
                     PERFORM pg_catalog.nextval('evil.caught');
                 END IF;
                 RETURN true; END $$;
             CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.spring);
             CREATE OPERATOR evil.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.spring);
             CREATE FUNCTION evil.lo_from_bytea(int, text) RETURNS oid LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM evil.spring('', ''); RETURN 1; END $$;
             CREATE FUNCTION evil.has_table_privilege(oid, oid, text) RETURNS bool LANGUAGE sql AS $$ SELECT evil.spring('', '') $$;
             SET search_path = evil, pg_catalog",
        )
        .unwrap();
    assert_all_refused(&selftest(&mut client));
    // The positive control: the trap works.
    let is_called = "SELECT is_called FROM evil.caught";
    assert!(!admin.query_one(is_called, &[]).unwrap().get::<_, bool>(0));
    admin.batch_execute("SELECT evil.spring('', '')").unwrap();
    assert!(admin.query_one(is_called, &[]).unwrap().get::<_, bool>(0));
}

#[test]
fn it_is_refused_where_it_could_mean_something_else() {
    let fixture = clean("selftest_place");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert_refusal(
        &expect_sqlstate(app.query("SELECT * FROM plio.selftest()", &[]), "25001"),
        "25001",
        &["bravo"],
    );
    app.batch_execute("ROLLBACK; CREATE TEMP TABLE mine AS SELECT 1 AS id").unwrap();
    let refused = app.query("SELECT * FROM mine, plio.selftest()", &[]);
    assert_refusal(&expect_sqlstate(refused, "22023"), "22023", &["bravo"]);
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "CREATE FUNCTION public.as_owner() RETURNS bigint LANGUAGE sql SECURITY DEFINER
             AS 'SELECT count(*) FROM plio.selftest()'",
        )
        .unwrap();
    let refused = app.query("SELECT public.as_owner()", &[]);
    assert_refusal(&expect_sqlstate(refused, "22023"), "22023", &["bravo"]);
}

// Cut off half-way, it leaves nothing either.
#[test]
fn cut_off_it_leaves_nothing() {
    let fixture = clean("selftest_cut");
    let mut admin = fixture.db.superuser();
    let before = inventory(&mut admin);
    let mut app = fixture.db.connect(&fixture.app);
    let mut cut = 0;
    for milliseconds in [1, 5, 10, 20, 40] {
        app.batch_execute(&format!("SET statement_timeout = {milliseconds}")).unwrap();
        if let Err(error) = app.query("SELECT * FROM plio.selftest()", &[]) {
            assert_eq!(error.code().map(|code| code.code()), Some("57014"), "{error:?}");
            cut += 1;
        }
    }
    assert!(cut > 0);
    app.batch_execute("RESET statement_timeout").unwrap();
    assert_all_refused(&selftest(&mut app));
    assert_eq!(inventory(&mut admin), before);
}

// Several sessions at once, beside an administrator who makes tenants: each waits for the other and nobody fails.
#[test]
fn several_at_once_do_not_meet() {
    let fixture = clean("selftest_many");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut app = fixture.db.connect(&fixture.app);
                (0..3).for_each(|_| assert_all_refused(&selftest(&mut app)));
            });
        }
        let mut admin = fixture.db.superuser();
        for number in 0..5 {
            admin.execute("SELECT plio.create_tenant($1)", &[&format!("made-{number}")]).unwrap();
        }
    });
}
