//! What a tenant made in the session ends when the tenant ends, however it ends.

use super::{LAYERS, assert_outside, refused, text, two_tenants};
use plio_tests::{Layers, SUPERUSER, expect_sqlstate};
use postgres::Client;

/// Work that leaves something behind, and what finds it with the SQLSTATE when it is gone.
const LEFT: [(&str, &str, &str); 5] = [
    ("CREATE TEMPORARY TABLE copied AS SELECT * FROM users", "SELECT * FROM copied", "42P01"),
    ("CREATE FUNCTION pg_temp.motto() RETURNS text RETURN 'canary-acme'", "SELECT pg_temp.motto()", "42883"),
    ("SELECT nextval('users_id_seq')", "SELECT lastval()", "55000"),
    ("PREPARE p AS SELECT 'canary-acme'", "EXECUTE p", "26000"),
    ("DO $$ BEGIN EXECUTE 'PREPARE p AS SELECT name FROM users'; END $$", "EXECUTE p", "26000"),
];

fn find_nothing(client: &mut Client, find: &str, code: &str) {
    let error = client.simple_query(find).expect_err(find);
    // No temporary schema is there when its making was undone.
    let found = error.code().map(postgres::error::SqlState::code).unwrap_or_default();
    assert!([code, "3F000"].contains(&found), "{find}: {error:?}");
    client.batch_execute("ROLLBACK").unwrap();
}

#[test]
fn nothing_outlives_a_transactions_tenant() {
    let fixture = two_tenants("outlives");
    for role in [fixture.app.as_str(), SUPERUSER] {
        for (work, find, code) in LEFT {
            for end in ["COMMIT", "ROLLBACK", "ROLLBACK TO s"] {
                let mut client = fixture.db.connect(role);
                client
                    .batch_execute(&format!(
                        "BEGIN; SAVEPOINT s; SELECT plio.set_tenant('acme'); {work}; {find}"
                    ))
                    .unwrap_or_else(|error| panic!("{work}: {error:?}"));
                client.batch_execute(end).unwrap();
                find_nothing(&mut client, find, code);
            }
        }
    }
}

#[test]
fn nothing_outlives_a_sessions_tenant() {
    let fixture = two_tenants("session");
    for role in [fixture.app.as_str(), SUPERUSER] {
        let held = ("DECLARE held CURSOR WITH HOLD FOR SELECT name FROM users", "FETCH held", "34000");
        for (work, find, code) in LEFT.into_iter().chain([held]) {
            for leave in [
                "RESET plio.tenant",
                "SET plio.tenant = ''",
                "RESET ALL",
                "DISCARD ALL",
                "SET plio.tenant = 'bravo'",
            ] {
                let mut client = fixture.db.connect(role);
                client.batch_execute("SET plio.tenant = 'acme'").unwrap();
                client.batch_execute(work).unwrap();
                // Within the tenant it lasts from one transaction to the next.
                client.batch_execute(find).unwrap_or_else(|error| panic!("{work}: {error:?}"));
                client.batch_execute(leave).unwrap_or_else(|error| panic!("{work}, {leave}: {error:?}"));
                find_nothing(&mut client, find, code);
            }
        }
    }
}

// What a transaction of the same tenant inside the session's made is the session's tenant's.
#[test]
fn the_same_tenant_around_the_transaction_keeps_it() {
    let fixture = two_tenants("around");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("SET plio.tenant = 'acme'; BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    app.batch_execute("CREATE TEMPORARY TABLE copied AS SELECT * FROM users; PREPARE p AS SELECT 1; COMMIT")
        .unwrap();
    app.batch_execute("SELECT * FROM copied; EXECUTE p").unwrap();
    app.batch_execute("RESET plio.tenant").unwrap();
    find_nothing(&mut app, "SELECT * FROM copied", "42P01");
}

// Temporary tables of a connection without a tenant stay, unless a tenant's transaction touched them.
#[test]
fn what_no_tenant_touched_stays() {
    let fixture = two_tenants("stays");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("CREATE TEMPORARY TABLE own (x int); DECLARE held CURSOR WITH HOLD FOR SELECT 1")
        .unwrap();
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SELECT * FROM users; COMMIT").unwrap();
    app.batch_execute("SET plio.tenant = 'acme'; RESET plio.tenant").unwrap();
    app.batch_execute("SELECT * FROM own; FETCH held").unwrap();
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); INSERT INTO own SELECT id FROM users; COMMIT")
        .unwrap_or_default();
}

#[test]
fn a_cursor_with_hold_is_the_sessions() {
    let fixture = two_tenants("hold");
    let mut app = fixture.db.connect(&fixture.app);
    let declare = "DECLARE held CURSOR WITH HOLD FOR SELECT name FROM users ORDER BY id";
    for declare in
        [declare, "DO $$ BEGIN EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT name FROM users'; END $$"]
    {
        app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SAVEPOINT s").unwrap();
        refused(app.batch_execute(declare), "42501");
        app.batch_execute("ROLLBACK TO s; DECLARE c CURSOR FOR SELECT name FROM users; FETCH c; COMMIT")
            .unwrap();
    }
    app.batch_execute("SET plio.tenant = 'acme'").unwrap();
    app.batch_execute(declare).unwrap();
    assert_eq!(text(&mut app, "FETCH held").as_deref(), Some("canary-acme"));
}

// The cursor would go on with the tenant's rows.
#[test]
fn a_sessions_tenant_with_an_open_cursor_is_not_left() {
    let fixture = two_tenants("left");
    let mut app = fixture.db.connect(&fixture.app);
    for leave in [
        "RESET plio.tenant",
        "SET plio.tenant TO DEFAULT",
        "SET plio.tenant = ''",
        "RESET ALL",
        "SET plio.tenant = 'bravo'",
    ] {
        app.batch_execute("SET plio.tenant = 'acme'").unwrap();
        app.batch_execute("BEGIN; DECLARE c CURSOR FOR SELECT name FROM users; SAVEPOINT s").unwrap();
        refused(app.batch_execute(leave), "25001");
        app.batch_execute("ROLLBACK TO s; CLOSE c").unwrap();
        app.batch_execute(leave).unwrap();
        app.batch_execute("ROLLBACK").unwrap();
        // The refused one counts: nothing of acme's is reached until the next good one.
        refused(app.batch_execute("SELECT name FROM users"), "55000");
    }
    // Nor in the middle of a query that reads its rows.
    fixture
        .db
        .superuser()
        .batch_execute(
            "CREATE FUNCTION public.leave() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RESET plio.tenant; RETURN 1; END $$",
        )
        .unwrap();
    app.batch_execute("SET plio.tenant = 'acme'").unwrap();
    refused(app.batch_execute("SELECT public.leave(), name FROM users"), "25001");
    // Nor in a function or a DO block at all: a tenant's own code would go on in another tenant, or in none.
    for inside in [
        "SELECT public.leave()",
        "DO $$ BEGIN RESET plio.tenant; END $$",
        "DO $$ BEGIN PERFORM plio.set_tenant('bravo'); END $$",
    ] {
        app.batch_execute("SET plio.tenant = 'acme'").unwrap();
        refused(app.batch_execute(inside), "25001");
        app.batch_execute("RESET plio.tenant").unwrap();
        assert_outside(&mut app, &fixture.app);
    }
}

// A transaction's tenant ends with the transaction; what goes on in the same call is the tenant's own code.
#[test]
fn a_tenants_procedure_that_ends_the_transaction_does_nothing_more() {
    let fixture = two_tenants("ended");
    let mut app = fixture.db.connect(&fixture.app);
    fixture
        .db
        .superuser()
        .batch_execute(
            "CREATE PROCEDURE public.enter_and_call() LANGUAGE plpgsql
                 AS $$ BEGIN PERFORM plio.set_tenant('acme'); CALL act(); END $$",
        )
        .unwrap();
    for (end, next) in [
        ("COMMIT", "PERFORM count(*) FROM tenant_bravo.users"),
        ("ROLLBACK", "PERFORM count(*) FROM tenant_bravo.users"),
        ("COMMIT", "PERFORM plio.set_tenant(''bravo'')"),
        ("COMMIT", "SET plio.tenant = ''bravo''"),
        ("COMMIT", "PERFORM pg_sleep(0)"),
    ] {
        app.batch_execute(&format!(
            "BEGIN; SELECT plio.set_tenant('acme');
             CREATE OR REPLACE PROCEDURE act() LANGUAGE plpgsql AS 'BEGIN {end}; {next}; END'; COMMIT"
        ))
        .unwrap();
        for role in [fixture.app.as_str(), SUPERUSER] {
            let mut client = fixture.db.connect(role);
            refused(client.batch_execute("CALL public.enter_and_call()"), "55000");
            // The client's next message counts again.
            client
                .batch_execute("BEGIN; SELECT plio.set_tenant('bravo'); SELECT * FROM users; COMMIT")
                .unwrap();
        }
    }
}

// PostgreSQL notes that a transaction looked at a temporary table, and nothing of functions, types and comments.
#[test]
fn what_is_no_table_in_pg_temp_ends_with_the_transaction() {
    let fixture = two_tenants("pg_temp");
    let mut app = fixture.db.connect(&fixture.app);
    for made in [
        "CREATE FUNCTION pg_temp.kept() RETURNS text LANGUAGE sql AS $$SELECT 'of acme'$$",
        "CREATE TYPE pg_temp.kept AS ENUM ('of acme')",
        "CREATE DOMAIN pg_temp.kept AS text DEFAULT 'of acme'",
    ] {
        // Refused or gone: nothing of it is left.
        let sql = format!("BEGIN; SELECT plio.set_tenant('acme'); {made}; COMMIT");
        if app.batch_execute(&sql).is_err() {
            app.batch_execute("ROLLBACK").unwrap();
        }
        let left = "SELECT (SELECT count(*) FROM pg_proc WHERE pronamespace = pg_my_temp_schema())
                         + (SELECT count(*) FROM pg_type WHERE typnamespace = pg_my_temp_schema())";
        assert_eq!(app.query_one(left, &[]).unwrap().get::<_, i64>(0), 0, "{made}");
    }
}

// The residue was looked for by a query, whose own check looked for it again, and so on.
#[test]
fn removing_the_residue_asks_for_no_confirmation() {
    let fixture = two_tenants("again");
    let mut admin = fixture.db.superuser();
    admin.batch_execute(&format!("ALTER ROLE {} SET max_stack_depth = '200kB'", fixture.app)).unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("SET statement_timeout = '20s'; DECLARE h CURSOR WITH HOLD FOR SELECT 1").unwrap();
    for n in 0..3 {
        app.batch_execute("SET plio.tenant = 'bravo'").unwrap();
        app.batch_execute(&format!(
            "DECLARE h{n} CURSOR WITH HOLD FOR SELECT 1; CREATE TEMPORARY TABLE t{n} (x text)"
        ))
        .unwrap();
        app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); COMMIT").unwrap();
        assert_eq!(text(&mut app, "SELECT count(*) FROM users").as_deref(), Some("3"));
        app.batch_execute("SET plio.tenant = 'acme'").unwrap();
    }
}

// The rows of catalogs are deleted where a statement brings no snapshot along.
#[test]
fn the_residue_is_removed_by_statements_without_a_snapshot() {
    let fixture = two_tenants("snapshot");
    let long = "x".repeat(20_000);
    for first in [
        "SHOW work_mem",
        "LISTEN c",
        "BEGIN; LOCK TABLE users; COMMIT",
        "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; COMMIT",
    ] {
        let mut app = fixture.db.connect(&fixture.app);
        app.batch_execute("SET plio.tenant = 'acme'").unwrap();
        app.batch_execute(&format!(
            "CREATE TEMPORARY TABLE x (i int); CREATE FUNCTION pg_temp.long() RETURNS text RETURN '{long}'"
        ))
        .unwrap();
        app.batch_execute("SET plio.tenant = 'bravo'").unwrap();
        app.batch_execute(first).unwrap_or_else(|error| panic!("{first}: {error:?}"));
        expect_sqlstate(app.batch_execute("SELECT pg_temp.long()"), "42883");
    }
}

// A procedure's loop goes on with stored rows after its COMMIT; the rows of one tenant are read in no other.
#[test]
fn a_procedure_works_for_one_tenant_after_the_other() {
    let fixture = two_tenants("loops");
    let mut app = fixture.db.connect(&fixture.app);
    let looped = |before: &str, loop_over: &str, inside: &str| {
        format!(
            "DO $$ DECLARE r record; BEGIN {before} FOR r IN {loop_over} LOOP {inside}; COMMIT; END LOOP; END $$"
        )
    };
    let orgs = "SELECT unnest(ARRAY['acme', 'bravo', 'acme']) AS org";
    let work = "PERFORM plio.set_tenant(r.org); INSERT INTO users (name) VALUES ('looped')";
    app.batch_execute(&looped("", orgs, &format!("COMMIT; {work}"))).unwrap();
    let count =
        "SELECT (SELECT count(*) FROM tenant_acme.users) || '|' || (SELECT count(*) FROM tenant_bravo.users)";
    assert_eq!(text(&mut fixture.db.superuser(), count).as_deref(), Some("5|4"));
    // The loop is a cursor that is open still.
    let hint = |error: &postgres::error::DbError| error.hint().unwrap_or_default().to_owned();
    let error = expect_sqlstate(app.batch_execute(&looped("", orgs, work)), "25001");
    assert!(hint(&error).contains("loop over an array"), "{error:?}");
    // It holds acme's rows.
    let error = expect_sqlstate(
        app.batch_execute(&looped(
            "PERFORM plio.set_tenant('acme');",
            "SELECT name FROM users",
            "COMMIT; PERFORM plio.set_tenant('bravo')",
        )),
        "25001",
    );
    assert!(hint(&error).contains("loop over an array"), "{error:?}");
    app.batch_execute(&looped(
        "PERFORM plio.set_tenant('acme');",
        "SELECT name FROM users",
        "COMMIT; PERFORM plio.set_tenant('acme')",
    ))
    .unwrap();
}

// What the statement says is not looked at once a procedure has ended the transaction.
#[test]
fn a_call_by_the_extended_protocol_may_end_its_transaction() {
    let fixture = two_tenants("call");
    fixture
        .db
        .superuser()
        .batch_execute(
            "CREATE PROCEDURE public.ends(how text) LANGUAGE plpgsql AS $$ BEGIN
                 FOR i IN 1..3 LOOP
                     PERFORM plio.set_tenant('acme'); PERFORM name FROM users;
                     IF how = 'rollback' THEN ROLLBACK; ELSE COMMIT; END IF;
                 END LOOP; END $$",
        )
        .unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    let statement = app.prepare("CALL public.ends($1)").unwrap();
    for how in ["rollback", "commit", "rollback"] {
        app.execute(&statement, &[&how]).unwrap();
        app.execute("CALL public.ends($1)", &[&how]).unwrap();
    }
    assert_outside(&mut app, &fixture.app);
}

/// What is not as the server's configuration has it, but for what entering a tenant sets and what begins with each transaction; and
/// two names of the application's own.
const ALL_SETTINGS: &str = r"SELECT string_agg(name || '=' || setting || ' by ' || source, ', ' ORDER BY name)
         || ', app.who=' || coalesce(nullif(current_setting('app.who', true), ''), '-')
         || ', app.before=' || coalesce(nullif(current_setting('app.before', true), ''), '-') FROM pg_settings
     WHERE source NOT IN ('default', 'configuration file', 'command line', 'override', 'database') AND name NOT LIKE 'transaction\_%' AND name NOT IN ('role', 'search_path', 'plio.tenant', 'is_superuser')";

/// What was set before, without a tenant: it stays.
const BEFORE: &str = "SET work_mem = '5MB'; SET app.before = 'own'; SET geqo_seed = 0.123456789012345; SET bytea_output = 'escape';
     SET xmloption = 'document'";

/// Each way to change a setting for the session, with settings of each type: those that change how the next statements are
/// read or judged first.
const SETS: [&str; 19] = [
    "SET standard_conforming_strings = off",
    "SET NAMES 'LATIN1'",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE",
    "SET default_text_search_config = 'pg_catalog.simple'",
    "SET DateStyle = 'SQL, DMY'; SET TIME ZONE 'Asia/Tokyo'",
    "SET row_security = off; SET check_function_bodies = off",
    "SET statement_timeout = '7min'",
    // Settings that have two names.
    "SET vacuum_mem = '11MB'; SET maintenance_work_mem = '12MB'; SET sort_mem = '13MB'",
    "SET seq_page_cost = 1.23456789012345",
    "SET app.who = 'canary-acme'; SET app.before = 'canary-acme'",
    "SELECT set_config('bytea_output', 'hex', false), set_config('app.who', 'canary-acme', NULL)",
    "SELECT set_config('work_mem', NULL, false)",
    "UPDATE pg_settings SET setting = '0' WHERE name = 'extra_float_digits'",
    "DO $$ BEGIN SET plan_cache_mode = force_generic_plan; PERFORM set_config('array_nulls', 'off', false); END $$",
    "RESET work_mem; RESET geqo_seed; RESET app.before; RESET xmloption",
    "SET work_mem TO DEFAULT; SET XML OPTION CONTENT",
    "SET work_mem = '6MB'; SET work_mem = '7MB'; SET SESSION geqo_seed FROM CURRENT",
    "SET lock_timeout = 77; SET transform_null_equals = on; SET quote_all_identifiers = on",
    "DO $$ BEGIN SET work_mem = '8MB'; PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN SET work_mem = '9MB'; END $$",
];

// The settings are after the tenant what they were before it.
#[test]
fn settings_end_with_a_transactions_tenant() {
    let fixture = two_tenants("settings");
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        client.batch_execute(BEFORE).unwrap();
        let before = text(&mut client, ALL_SETTINGS);
        for set in SETS {
            for end in ["COMMIT", "ROLLBACK", "ROLLBACK TO s; COMMIT", "COMMIT AND CHAIN; COMMIT"] {
                client.batch_execute("BEGIN; SAVEPOINT s; SELECT plio.set_tenant('acme')").unwrap();
                client.batch_execute(set).unwrap_or_else(|error| panic!("{set}: {error:?}"));
                assert_ne!(text(&mut client, ALL_SETTINGS), before, "{set}");
                client.batch_execute(end).unwrap();
                assert_eq!(text(&mut client, ALL_SETTINGS), before, "{set}: {end}");
            }
        }
        // Set without a tenant in the same transaction, it stays.
        client
            .batch_execute(
                "BEGIN; SET work_mem = '11MB'; SELECT plio.set_tenant('acme'); SET work_mem = '12MB'; COMMIT",
            )
            .unwrap();
        assert_eq!(text(&mut client, "SHOW work_mem").as_deref(), Some("11MB"));
    }
}

#[test]
fn settings_end_with_a_sessions_tenant() {
    let fixture = two_tenants("settings");
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        client.batch_execute(BEFORE).unwrap();
        let before = text(&mut client, ALL_SETTINGS);
        for set in SETS {
            for leave in [
                "RESET plio.tenant",
                "SET plio.tenant = ''",
                "SET plio.tenant = 'bravo'",
                // A refused change, and one that is rolled back.
                "SELECT 1/0",
                "BEGIN; RESET plio.tenant; ROLLBACK",
                "BEGIN; SAVEPOINT s; SET plio.tenant = 'bravo'; SET work_mem = '10MB'; ROLLBACK TO s; COMMIT",
                "SET plio.tenant = 'acme'",
                "SET plio.tenant = 'nobody'",
            ] {
                client.batch_execute("SET plio.tenant = 'acme'").unwrap();
                client.batch_execute(set).unwrap_or_else(|error| panic!("{set}: {error:?}"));
                let inside = text(&mut client, ALL_SETTINGS);
                assert_ne!(inside, before, "{set}");
                // Within the tenant they last from one transaction to the next.
                client.batch_execute("BEGIN READ WRITE; SET LOCAL work_mem = '4MB'; COMMIT").unwrap();
                assert_eq!(text(&mut client, ALL_SETTINGS), inside, "{set}");
                let has_left = client.batch_execute(leave).is_ok() && leave.contains("plio.tenant = ''")
                    || leave == "RESET plio.tenant"
                    || leave == "SET plio.tenant = 'bravo'";
                if has_left {
                    assert_eq!(text(&mut client, ALL_SETTINGS), before, "{set}: {leave}");
                }
                client.batch_execute("RESET plio.tenant").unwrap();
                assert_eq!(text(&mut client, ALL_SETTINGS), before, "{set}: {leave}");
            }
        }
        // What was refused is not put back.
        client.batch_execute("SET plio.tenant = 'acme'; SET work_mem = '12MB'").unwrap();
        for refused in [
            "SELECT set_config('plio.tenant', 'bravo', false)",
            "SELECT set_config('role', 'none', false)",
            "SET plio.enforcement = off",
            "SET plio.allow_partial_reports = on",
            "SET no_such_setting = 1",
            "SELECT set_config('search_path', 'tenant_bravo', false)",
        ] {
            client.batch_execute(refused).expect_err(refused);
        }
        client.batch_execute("RESET plio.tenant").unwrap();
        assert_eq!(text(&mut client, ALL_SETTINGS), before);
        // What a savepoint took back is not put back.
        client
            .batch_execute(
                "BEGIN; SAVEPOINT s; SET work_mem = '11MB'; SET plio.tenant = 'acme'; SET work_mem = '12MB'; ROLLBACK TO s;
                 SET plio.tenant = 'acme'; SET work_mem = '13MB'; COMMIT; RESET plio.tenant",
            )
            .unwrap();
        assert_eq!(text(&mut client, ALL_SETTINGS), before);
        // Nor is a value of SET LOCAL, or one that the tenant of a transaction set.
        client
            .batch_execute(
                "SET plio.tenant = 'acme'; BEGIN; SET LOCAL work_mem = '11MB'; SET work_mem = '12MB'; COMMIT;
                 BEGIN; SELECT plio.set_tenant('bravo'); SET work_mem = '13MB'; COMMIT",
            )
            .unwrap();
        assert_eq!(text(&mut client, "SHOW work_mem").as_deref(), Some("12MB"));
        client.batch_execute("RESET plio.tenant").unwrap();
        assert_eq!(text(&mut client, ALL_SETTINGS), before);
        for all in ["RESET ALL", "DISCARD ALL"] {
            client.batch_execute("SET plio.tenant = 'acme'; SET work_mem = '12MB'").unwrap();
            client.batch_execute(all).unwrap();
            assert_eq!(text(&mut client, "SHOW work_mem").as_deref(), Some("4MB"));
        }
    }
}

// The tenant's role may not use what the session uses without it.
#[test]
fn a_setting_that_the_tenant_could_not_make_comes_back() {
    let fixture = two_tenants("tablespace");
    let space = format!("{}_space", fixture.app);
    let mut admin = fixture.db.superuser();
    admin.batch_execute("SET allow_in_place_tablespaces = on").unwrap();
    admin.batch_execute(&format!("CREATE TABLESPACE {space} LOCATION ''")).unwrap();
    admin.batch_execute(&format!("GRANT CREATE ON TABLESPACE {space} TO {}", fixture.app)).unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute(&format!("SET temp_tablespaces = {space}")).unwrap();
    for leave in ["RESET plio.tenant", "SET plio.tenant = 'bravo'"] {
        app.batch_execute("SET plio.tenant = 'acme'").unwrap();
        let own = app.batch_execute(&format!("SET temp_tablespaces = {space}"));
        assert_eq!(own.is_ok(), LAYERS == Layers::One);
        app.batch_execute("SET temp_tablespaces = ''").unwrap();
        app.batch_execute(leave).unwrap();
        assert_eq!(text(&mut app, "SHOW temp_tablespaces"), Some(space.clone()), "{leave}");
        app.batch_execute("RESET plio.tenant").unwrap();
    }
    admin.batch_execute(&format!("DROP TABLESPACE {space}")).unwrap();
}

// Who knows the state of random() knows what comes next.
#[test]
fn the_state_of_random_ends_with_the_tenant() {
    const SEED: &str = "SELECT setseed(0.5)";
    let fixture = two_tenants("random");
    fixture
        .db
        .superuser()
        .batch_execute(
            "CREATE FUNCTION public.plain_seed() RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM setseed(0.5); END';
             CREATE FUNCTION public.ready_seed() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog
                AS 'DECLARE is_set boolean; BEGIN is_set := setseed(0.5) IS NULL; END'",
        )
        .unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute(SEED).unwrap();
    let numbers = [text(&mut app, "SELECT random()"), text(&mut app, "SELECT random()")];
    for (begin, end) in [
        ("BEGIN; SELECT plio.set_tenant('acme')", "COMMIT"),
        ("BEGIN; SELECT plio.set_tenant('acme')", "ROLLBACK"),
        ("SET plio.tenant = 'acme'", "RESET plio.tenant"),
        ("SET plio.tenant = 'acme'; BEGIN", "ROLLBACK; SET plio.tenant = 'bravo'"),
        ("BEGIN; SELECT public.plain_seed(); SET plio.tenant = 'acme'", "RESET plio.tenant; COMMIT"),
        // What is made ready before the tenant is not announced again inside.
        ("BEGIN; SELECT public.ready_seed(); SELECT plio.set_tenant('acme')", "COMMIT"),
    ] {
        for seed in [
            SEED,
            "SET seed = 0.5",
            "SELECT set_config('seed', '0.5', true)",
            "SELECT public.plain_seed()",
            "SELECT public.ready_seed()",
            "DO 'BEGIN PERFORM setseed(0.5); END'",
        ] {
            app.batch_execute(begin).unwrap();
            app.batch_execute(seed).unwrap();
            assert_eq!(text(&mut app, "SELECT random()"), numbers[0], "{seed}");
            app.batch_execute(end).unwrap();
            assert_ne!(text(&mut app, "SELECT random()"), numbers[1], "{begin}: {seed}: {end}");
            app.batch_execute("RESET plio.tenant").unwrap();
            app.batch_execute(begin).unwrap();
            app.batch_execute(seed).unwrap();
            app.batch_execute(end).unwrap();
            assert_ne!(text(&mut app, "SELECT random()"), numbers[0], "{begin}: {seed}: {end}");
            app.batch_execute("RESET plio.tenant").unwrap();
        }
        // A number that the tenant was given, of a state that it did not set.
        app.batch_execute(&format!("{SEED}; {begin}; SELECT random(); {end}")).unwrap();
        assert_ne!(text(&mut app, "SELECT random()"), numbers[1], "{begin}: {end}");
        app.batch_execute("RESET plio.tenant").unwrap();
    }
    // Where a tenant did not use it, it goes on.
    app.batch_execute(SEED).unwrap();
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SELECT * FROM users; COMMIT").unwrap();
    assert_eq!(text(&mut app, "SELECT random()"), numbers[0]);
}

// What a sequence was set to is not rolled back.
#[test]
fn a_temporary_sequence_of_before_tells_the_next_tenant_nothing() {
    let fixture = two_tenants("sequence");
    for (begin, end) in [
        ("BEGIN; SELECT plio.set_tenant('acme')", "ROLLBACK"),
        ("BEGIN; SELECT plio.set_tenant('acme')", "COMMIT"),
        ("SET plio.tenant = 'acme'; BEGIN", "ROLLBACK; RESET plio.tenant"),
        ("SET plio.tenant = 'acme'", "RESET plio.tenant"),
    ] {
        let mut app = fixture.db.connect(&fixture.app);
        app.batch_execute("CREATE TEMPORARY SEQUENCE s").unwrap();
        app.batch_execute(begin).unwrap();
        // A tenant's own role may not use it at all.
        let is_set = app.batch_execute("SELECT setval('s', 42)").is_ok();
        assert_eq!(is_set, LAYERS == Layers::One, "{begin}");
        app.batch_execute(end).unwrap();
        for next in ["BEGIN; SELECT plio.set_tenant('bravo')", "SET plio.tenant = 'bravo'; BEGIN"] {
            app.batch_execute(next).unwrap();
            let error = app.batch_execute("SELECT nextval('s')").expect_err(next);
            assert!(!format!("{error:?}").contains("42 "), "{error:?}");
            app.batch_execute("ROLLBACK").unwrap();
        }
    }
}

/// plpgsql keeps an expression ready until the transaction ends. What it calls is asked about again in the next tenant, and without one.
#[test]
fn what_was_made_ready_in_a_tenant_is_judged_after_it() {
    let fixture = two_tenants("ready");
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "BEGIN; SELECT plio.set_tenant('acme');
             CREATE FUNCTION who() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN current_user; END';
             CREATE FUNCTION body() RETURNS text LANGUAGE sql AS 'SELECT current_user::text'; COMMIT;
             CREATE FUNCTION public.ask_who() RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog
                AS 'DECLARE x text; BEGIN x := tenant_acme.who(); RETURN x; END';
             CREATE FUNCTION public.ask_body() RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog
                AS 'DECLARE x text; BEGIN SELECT tenant_acme.body() INTO x; RETURN x; END'",
        )
        .unwrap();
    for ask in ["SELECT public.ask_who()", "SELECT public.ask_body()"] {
        for (enter, leave, sqlstate) in [
            ("BEGIN; SET plio.tenant = 'acme'", "RESET plio.tenant", "55000"),
            ("BEGIN; SET plio.tenant = 'acme'", "SET plio.tenant = 'bravo'", "42501"),
            ("BEGIN; SAVEPOINT s; SELECT plio.set_tenant('acme')", "ROLLBACK TO s", "55000"),
            ("BEGIN; SELECT plio.set_tenant('acme')", "COMMIT; BEGIN", "55000"),
        ] {
            let mut app = fixture.db.connect(&fixture.app);
            app.batch_execute(enter).unwrap();
            assert!(text(&mut app, ask).is_some(), "{ask}: {enter}");
            app.batch_execute(leave).unwrap();
            expect_sqlstate(app.batch_execute(ask), sqlstate);
            app.batch_execute("ROLLBACK").unwrap();
        }
    }
}

/// In another tenant's transaction the settings are those that the session had before its own tenant changed them.
#[test]
fn settings_of_a_sessions_tenant_are_not_another_ones() {
    let fixture = two_tenants("between");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute(
        "SET work_mem = '7MB'; SET plio.tenant = 'acme'; SET work_mem = '9MB'; SET my.secret = 'canary'; SET standard_conforming_strings = off",
    )
    .unwrap();
    let shown = "SELECT concat_ws(' ', current_setting('work_mem'), nullif(current_setting('my.secret'), ''), current_setting('standard_conforming_strings'))";
    app.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
    assert_eq!(text(&mut app, shown).as_deref(), Some("7MB on"));
    app.batch_execute("COMMIT").unwrap();
    assert_eq!(text(&mut app, shown).as_deref(), Some("9MB canary off"));
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert_eq!(text(&mut app, shown).as_deref(), Some("9MB canary off"));
    app.batch_execute("COMMIT; RESET plio.tenant").unwrap();
    assert_eq!(text(&mut app, shown).as_deref(), Some("7MB on"));
}
