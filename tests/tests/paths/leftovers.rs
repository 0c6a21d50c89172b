//! What a session's work for bravo leaves for acme on the same connection: removed, or, where it is left by decision, what
//! exactly is left.

use plio_tests::{SUPERUSER, expect_sqlstate};

use crate::judge::Judge;
use crate::world::{inside, value, world};

/// Temporary objects of every kind go, also those that hide in pg_temp.
#[test]
fn temporary_objects_of_every_kind_are_gone() {
    let world = world();
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        let make = "CREATE TEMPORARY TABLE t AS SELECT * FROM users; CREATE TEMPORARY VIEW v AS SELECT * FROM users;
            CREATE TEMPORARY SEQUENCE s START 777; CREATE TYPE pg_temp.c AS (a int); CREATE DOMAIN pg_temp.d AS text;
            CREATE TYPE pg_temp.e AS ENUM ('canary-bravo'); CREATE INDEX i ON t (name);
            CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql AS 'SELECT ''canary-bravo''';
            CREATE OPERATOR pg_temp.=== (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int)";
        let found = "SELECT pg_temp.f(), count(*) FROM t";
        inside(&mut client, "bravo", &format!("{make}; {found}"));
        // A session's tenant has them until it is left for another, for a transaction or for good.
        client.batch_execute(&format!("SET plio.tenant = 'bravo'; {make}")).unwrap();
        client.batch_execute(found).unwrap();
        let mut acme = Judge::inside(&mut client, "acme");
        let left = [
            "pg_class.relnamespace",
            "pg_proc.pronamespace",
            "pg_type.typnamespace",
            "pg_operator.oprnamespace",
        ];
        for column in left {
            let catalog = column.split('.').next().unwrap_or_default();
            acme.gives(
                &format!("SELECT count(*) FROM {catalog} WHERE {column} = pg_my_temp_schema()"),
                &["0"],
            );
        }
        acme.denied("SELECT pg_temp.f()", "42883");
        acme.denied("SELECT nextval('pg_temp.s')", "42P01");
        acme.denied("SELECT 'canary'::pg_temp.e", "42704");
    }
}

/// What functions keep: plpgsql's plans and simple expressions, SQL functions' plans (cached across calls from 18 on).
#[test]
fn what_functions_keep_is_made_anew() {
    let world = world();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(
            "SET check_function_bodies = off; CREATE FUNCTION public.by_plpgsql() RETURNS text LANGUAGE plpgsql AS
                 'DECLARE n text; BEGIN SELECT min(name) INTO n FROM users; RETURN n; END';
             CREATE FUNCTION public.by_expression() RETURNS text LANGUAGE plpgsql AS
                 'DECLARE n text; BEGIN n := (SELECT min(name) FROM users); RETURN n; END';
             CREATE FUNCTION public.by_sql() RETURNS text LANGUAGE sql VOLATILE AS 'SELECT min(name) FROM users';
             CREATE FUNCTION public.by_sql_set() RETURNS SETOF text LANGUAGE sql VOLATILE AS 'SELECT name FROM users ORDER BY 1 LIMIT 1'",
        )
        .unwrap();
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        for org in ["bravo", "acme", "bravo", "acme"] {
            let canary = format!("canary-{org}");
            let mut judge = Judge::inside(&mut client, org).silent_about(&[]);
            for function in ["by_plpgsql", "by_expression", "by_sql", "by_sql_set"] {
                for _ in 0..7 {
                    judge.gives(&format!("SELECT public.{function}()"), &[&canary]);
                }
            }
        }
    }
}

/// DISCARD in all its forms works inside and outside a tenant, and takes what it says.
#[test]
fn discard_works_inside_and_outside() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    app.batch_execute("PREPARE p AS SELECT 1").unwrap();
    let make = "CREATE TEMPORARY TABLE t AS SELECT * FROM users; INSERT INTO users (name) VALUES ('x')";
    let mut acme = Judge::inside(&mut app, "acme");
    acme.gives(&format!("{make}; DISCARD PLANS; SELECT count(*) FROM t"), &["3"]);
    acme.denied(&format!("{make}; DISCARD TEMP; SELECT count(*) FROM t"), "42P01");
    acme.denied(&format!("{make}; DISCARD SEQUENCES; SELECT lastval()"), "55000");
    acme.denied("DISCARD ALL", "25001");
    drop(acme);
    for scope in ["", "SET plio.tenant = 'acme'"] {
        app.batch_execute(scope).unwrap();
        app.batch_execute("DISCARD ALL").unwrap();
        expect_sqlstate(app.batch_execute("EXECUTE p"), "26000");
        assert_eq!(value(&mut app, "SELECT plio.current_tenant()"), "NULL");
        assert_eq!(value(&mut app, "SELECT current_user = session_user"), "t");
    }
}

/// Open by decision: what the application set without a tenant stays in every tenant, its own names and PostgreSQL's. What is
/// set inside a tenant ends with it (`context::left`).
#[test]
fn the_applications_settings_stay() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    app.batch_execute(
        "SET app.who = 'canary-user'; SET statement_timeout = '7min'; SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    )
    .unwrap();
    for org in ["bravo", "acme"] {
        inside(
            &mut app,
            org,
            "SET app.who = 'somebody else'; SET app.other = 'canary-other'; SET statement_timeout = 0; RESET app.who",
        );
        let mut tenant = Judge::inside(&mut app, org);
        tenant.gives("SELECT current_setting('app.who')", &["canary-user"]);
        tenant.gives("SELECT coalesce(current_setting('app.other', true), '')", &[""]);
        tenant.gives("SHOW statement_timeout", &["7min"]);
        tenant.gives("SHOW transaction_read_only", &["on"]);
    }
    for clean in ["DISCARD ALL", "RESET ALL"] {
        app.batch_execute(clean).unwrap();
        let mut acme = Judge::inside(&mut app, "acme");
        acme.gives("SELECT coalesce(current_setting('app.who', true), '')", &[""]);
        acme.gives("SHOW transaction_read_only", &["off"]);
        drop(acme);
        app.batch_execute("SET app.who = 'canary-user'").unwrap();
    }
}

/// Open by decision: a session's advisory locks stay, and keys are the database's. Those of a transaction end with it.
#[test]
fn advisory_locks_stay_and_meet() {
    let world = world();
    let (mut app, mut other) = (world.db.connect(&world.app), world.db.connect(&world.app));
    inside(&mut app, "bravo", "SELECT pg_advisory_lock(11), pg_advisory_xact_lock(12)");
    Judge::inside(&mut other, "acme")
        .gives("SELECT pg_try_advisory_lock(11), pg_try_advisory_xact_lock(12)", &["f|t"]);
    Judge::inside(&mut app, "acme").gives("SELECT pg_advisory_unlock(11)", &["t"]);
    Judge::inside(&mut other, "acme").gives("SELECT pg_try_advisory_xact_lock(11)", &["t"]);
}

/// Open: LISTEN of a session without a tenant stays when it enters one, and hears what is sent without a tenant; never
/// what is sent in any.
#[test]
fn a_listener_from_outside_goes_on_listening() {
    use postgres::fallible_iterator::FallibleIterator;
    let world = world();
    let (mut app, mut other) = (world.db.connect(&world.app), world.db.connect(&world.app));
    app.batch_execute("LISTEN news").unwrap();
    app.batch_execute("SET plio.tenant = 'acme'").unwrap();
    assert_eq!(value(&mut app, "SELECT pg_listening_channels()"), "news");
    for org in ["bravo", "acme"] {
        inside(&mut other, org, "NOTIFY news, 'canary'; SELECT pg_notify('news', 'canary')");
    }
    other.batch_execute("NOTIFY news, 'from outside'").unwrap();
    let heard = app.notifications().timeout_iter(std::time::Duration::from_secs(10)).next().unwrap();
    assert_eq!(heard.map(|notification| notification.payload().to_owned()).as_deref(), Some("from outside"));
}
