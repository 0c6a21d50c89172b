//! Functions on sequences by oid, and `pg_notify()`: judged however they are called, with a tenant and without.

use plio_tests::{Cluster, Layers, SUPERUSER, TwoTenants, psql, refused};
use postgres::Client;

use crate::judge::{Judge, copy_from};
use crate::trust::unprepared;
use crate::world::{value, world};

/// A sequence of bravo's, by oid; and one of nobody's, which everybody may use.
fn sequences(world: &TwoTenants) -> String {
    let mut admin = world.db.superuser();
    admin
        .batch_execute(
            "CREATE SEQUENCE public.numbers; GRANT ALL ON SEQUENCE public.numbers TO PUBLIC;
             CREATE TABLE public.orders (id bigint DEFAULT nextval('public.numbers'), t text); GRANT ALL ON public.orders TO PUBLIC;
             CREATE PROCEDURE public.take(a bigint) LANGUAGE plpgsql AS 'BEGIN END';
             SELECT plio.share('public.orders', 'write'), plio.share('public.numbers', 'write')",
        )
        .unwrap();
    value(&mut admin, "SELECT 'tenant_bravo.users_id_seq'::regclass::oid")
}

/// Every way to call a function on a sequence by oid; `{}` is the sequence.
const CALLS: &[&str] = &[
    "SELECT nextval({})",
    "SELECT currval({}::oid::regclass)",
    "SELECT setval({}, 99)",
    "SELECT setval({}, 99, true)",
    "SELECT nextval((SELECT {}::oid)::regclass)",
    "DO $$ DECLARE n bigint := nextval({}); BEGIN END $$",
    "CREATE FUNCTION pg_temp.sv(x regclass) RETURNS bigint LANGUAGE sql AS 'SELECT setval(x, 99)'; SELECT pg_temp.sv({})",
    "CALL public.take(nextval({}))",
    "PREPARE pp (bigint) AS SELECT $1; EXECUTE pp (nextval({}))",
    "PREPARE pp (bigint) AS SELECT $1; EXPLAIN ANALYZE EXECUTE pp (1 + nextval({}))",
    "PREPARE pp (bigint) AS SELECT $1; CREATE TEMP TABLE t AS EXECUTE pp (nextval({}))",
    "CREATE OPERATOR pg_temp.@@@ (function = nextval, rightarg = regclass); SELECT OPERATOR(pg_temp.@@@) {}::oid::regclass",
    "CREATE DOMAIN pg_temp.d AS int CHECK (setval({}, 99) > 0); SELECT 1::pg_temp.d",
    "CREATE DOMAIN pg_temp.d AS int CHECK (setval({}, 99) > 0); SELECT '1'::text::pg_temp.d",
    "CREATE FUNCTION pg_temp.keep(regclass, bigint) RETURNS regclass LANGUAGE sql AS 'SELECT $2::oid::regclass'; CREATE AGGREGATE pg_temp.last_one(bigint) (sfunc = pg_temp.keep, stype = regclass, finalfunc = nextval); SELECT pg_temp.last_one({}::bigint)",
    "CREATE TEMP TABLE t (id bigint DEFAULT nextval({})); INSERT INTO t DEFAULT VALUES",
    "CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1); ALTER TABLE t ADD COLUMN id bigint DEFAULT nextval({})",
    "CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1); ALTER TABLE t ADD CHECK (nextval({}) > 0)",
    "CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1); ALTER TABLE t ALTER a TYPE bigint USING nextval({})",
    "CREATE FUNCTION pg_temp.d(a bigint DEFAULT nextval({})) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN a; END'; SELECT pg_temp.d()",
    "CREATE FUNCTION pg_temp.d(a bigint DEFAULT nextval({})) RETURNS bigint LANGUAGE sql AS 'SELECT $1'; SELECT pg_temp.d()",
];

/// The call on that thing, with a name for what it prepares that nobody used before.
fn fresh(call: &str, thing: &str) -> String {
    unprepared(&call.replace("{}", thing))
}

/// The last value of bravo's sequence, which nobody may have moved.
fn last_value(world: &TwoTenants) -> String {
    value(&mut world.db.superuser(), "SELECT last_value FROM tenant_bravo.users_id_seq")
}

#[test]
fn a_sequence_by_oid_is_judged_in_every_context() {
    let world = world();
    let theirs = sequences(&world);
    let (app, before) = (world.app.as_str(), last_value(&world));
    for role in [app, world.carol.as_str()] {
        let mut client = world.db.connect(role);
        let mut outside = Judge::outside(&mut client);
        for call in CALLS {
            outside.refused(&fresh(call, &theirs), "55000");
        }
        outside.gives(&format!("SELECT pg_sequence_last_value({theirs})"), &["NULL"]);
        outside.gives("SELECT count(last_value) FROM pg_sequences WHERE schemaname LIKE 'tenant%'", &["0"]);
    }
    for role in [app, SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        for call in CALLS.iter().filter(|call| !call.contains("OPERATOR") || crate::LAYERS == Layers::Two) {
            acme.refused(&fresh(call, &theirs), "42501");
        }
    }
    if Cluster::major() == "18" {
        let data = format!("SELECT last_value FROM pg_get_sequence_data({theirs})");
        Judge::outside(&mut world.db.connect(app)).gives(&data, &["NULL"]);
        Judge::outside(&mut world.db.superuser()).gives(&data, &[&before]);
    }
    assert_eq!(copy_from(&world.db, app, "", "public.orders (t)", "x"), Ok(()));
    assert_eq!(last_value(&world), before);
}

/// What is not another tenant's works as ever, raw or exchanged.
#[test]
fn sequences_within_reach_work_as_ever() {
    let world = world();
    sequences(&world);
    let mut client = world.db.connect(&world.app);
    for (org, sequence) in [("", "public.numbers"), ("acme", "public.numbers"), ("acme", "users_id_seq")] {
        let mut judge =
            if org.is_empty() { Judge::outside(&mut client) } else { Judge::inside(&mut client, org) };
        for call in [
            "SELECT nextval('{}'), currval('{}'), lastval() > 0",
            "SELECT nextval('{}'::text::regclass), pg_sequence_last_value('{}')",
            "DO $$ DECLARE n bigint := nextval('{}'); BEGIN n := nextval('{}'); PERFORM nextval('{}'); END $$",
            "CALL public.take(nextval('{}'))",
            "CALL public.take(coalesce(nextval('{}'), 1))",
            "PREPARE pp (bigint) AS SELECT $1; EXECUTE pp (nextval('{}')); EXPLAIN EXECUTE pp (pg_catalog.nextval('{}') + 1)",
            "PREPARE pp (bigint) AS SELECT $1; CREATE TEMP TABLE t AS EXECUTE pp (nextval('{}'))",
            "CREATE FUNCTION pg_temp.n() RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('{}') $$; SELECT pg_temp.n()",
            "CREATE FUNCTION pg_temp.n(a int DEFAULT 1, b bigint DEFAULT nextval('{}')) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN b; END'; SELECT pg_temp.n(), pg_temp.n(7), pg_temp.n(a => 2); DO $$ DECLARE n bigint := pg_temp.n(); BEGIN END $$",
            "CREATE PROCEDURE pg_temp.p(b bigint DEFAULT nextval('{}')) LANGUAGE plpgsql AS 'BEGIN END'; CALL pg_temp.p()",
            "CREATE TEMP TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'); ALTER TABLE t ALTER a TYPE bigint USING nextval('{}') + a, ALTER b TYPE varchar USING b || nextval('{}')",
            "CREATE TEMP TABLE t (id bigint DEFAULT nextval('{}'), a int); INSERT INTO t (a) SELECT 1 FROM generate_series(1, 9)",
            "CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1); ALTER TABLE t ADD COLUMN id bigint DEFAULT nextval('{}'), ADD COLUMN b bigserial",
            "CREATE TEMP TABLE t (a int GENERATED BY DEFAULT AS IDENTITY); INSERT INTO t DEFAULT VALUES; INSERT INTO t DEFAULT VALUES",
        ] {
            judge.allowed(&fresh(call, sequence));
        }
        judge.allowed("INSERT INTO public.orders (t) VALUES ('x'), ('y')");
    }
    for org in ["", "acme"] {
        assert_eq!(copy_from(&world.db, &world.app, org, "public.orders (t)", "x"), Ok(()));
        assert_eq!(copy_from(&world.db, &world.app, org, "public.orders", "7\tx"), Ok(()));
    }
    assert_eq!(copy_from(&world.db, &world.app, "acme", "users (name)", "x"), Ok(()));
    let mut admin = world.db.superuser();
    let mut outside = Judge::outside(&mut admin);
    for call in [
        "SELECT nextval('tenant_bravo.users_id_seq')",
        "CALL public.take(nextval('tenant_bravo.users_id_seq'))",
    ] {
        outside.allowed(call);
    }
    outside.allowed("CREATE DOMAIN pg_temp.d AS int CHECK (setval('tenant_bravo.users_id_seq', 99) > 0); SELECT 1::pg_temp.d");
}

/// A call by oid locks nothing that it may not reach, whatever the oid is of, and keeps nothing past ROLLBACK TO.
#[test]
fn a_refused_call_leaves_no_lock() {
    let world = world();
    let theirs = sequences(&world);
    let mut admin = world.db.superuser();
    let things = [
        theirs,
        value(&mut admin, "SELECT 'tenant_bravo.users'::regclass::oid"),
        value(&mut admin, "SELECT 'tenant_bravo'::regnamespace::oid"),
        value(&mut admin, "SELECT 'tenant_acme'::regnamespace::oid"),
        value(&mut admin, "SELECT 'plio'::regnamespace::oid"),
    ];
    for enter in ["", "SELECT plio.set_tenant('acme')"] {
        let mut app = world.db.connect(&world.app);
        for thing in &things {
            for call in [
                "SELECT nextval({}::oid::regclass)",
                "SELECT setval({}, 1)",
                "CALL public.take(nextval({}))",
                "SELECT pg_sequence_last_value({})",
            ] {
                let call = call.replace("{}", thing);
                app.batch_execute(&format!("BEGIN; {enter}; SAVEPOINT s")).unwrap();
                let answer = app.batch_execute(&call);
                assert!(answer.is_err() || call.contains("last_value"), "{call}");
                app.batch_execute("ROLLBACK TO s").unwrap();
                let held = format!(
                    "SELECT string_agg(mode, ', ') FROM pg_locks WHERE pid = pg_backend_pid() AND relation = {thing}
                        AND mode NOT IN ('AccessShareLock')"
                );
                let held = value(&mut app, &held);
                app.batch_execute("ROLLBACK").unwrap();
                let is_own = thing == &things[3] && !enter.is_empty();
                assert!(is_own || held == "NULL", "{call} {enter}: {held}");
            }
        }
        let not_a_sequence = value(&mut admin, "SELECT 'public.orders'::regclass::oid");
        app.batch_execute(&format!("BEGIN; {enter}")).unwrap();
        let error = plio_tests::expect_sqlstate(
            app.batch_execute(&format!("SELECT nextval({not_a_sequence})")),
            "42809",
        );
        assert_eq!(error.message(), "\"orders\" is not a sequence");
        app.batch_execute("ROLLBACK").unwrap();
    }
}

/// A query that starts while another is being started has calls of its own; neither hides the other's. COPY's trigger runs with
/// none of the calls that COPY's own defaults may make.
#[test]
fn a_query_inside_anothers_start_hides_no_call() {
    let world = world();
    let theirs = sequences(&world);
    let before = last_value(&world);
    let mut app = world.db.connect(&world.app);
    let attack = format!(
        "CREATE FUNCTION pg_temp.sv(x bigint) RETURNS bigint LANGUAGE sql AS 'SELECT setval(x::oid::regclass, 5)';
         CREATE FUNCTION pg_temp.look(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN PERFORM 1 FROM pg_class LIMIT 1; BEGIN PERFORM 1/0; EXCEPTION WHEN OTHERS THEN END; RETURN true; END';
         CREATE DOMAIN pg_temp.looked AS int CHECK (pg_temp.look(VALUE));
         CREATE FUNCTION pg_temp.add(pg_temp.looked, int) RETURNS pg_temp.looked LANGUAGE sql AS 'SELECT 1::pg_temp.looked';
         CREATE AGGREGATE pg_temp.odd(int) (sfunc = pg_temp.add, stype = pg_temp.looked, initcond = '1');
         SELECT (SELECT pg_temp.sv({theirs})), (SELECT pg_temp.odd(1)); SELECT 1"
    );
    let copied = format!(
        "CREATE DOMAIN pg_temp.d AS int CHECK (setval({theirs}, 5) > 0);
         CREATE TEMP TABLE t (id bigserial, a text);
         CREATE FUNCTION pg_temp.fire() RETURNS trigger LANGUAGE plpgsql AS $f$ DECLARE d pg_temp.d; BEGIN d := '5'::text; RETURN NEW; END $f$;
         CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION pg_temp.fire();"
    );
    for (enter, code) in [("", "55000"), ("SELECT plio.set_tenant('acme');", "42501")] {
        app.batch_execute(&format!("BEGIN; {enter}")).unwrap();
        let error = plio_tests::expect_sqlstate(app.batch_execute(&attack), code);
        assert!(error.hint().is_some(), "{error:?}");
        app.batch_execute("ROLLBACK").unwrap();
        for columns in ["t (a)", "t (id, a)"] {
            let row = if columns == "t (a)" { "x" } else { "1\tx" };
            let output = psql(
                &world.db,
                &world.app,
                &format!(
                    "\\set VERBOSITY sqlstate\nBEGIN;\n{enter}\n{copied}\nCOPY {columns} FROM STDIN;\n{row}\n\\.\nROLLBACK;\n"
                ),
            );
            assert!(output.stderr.contains(code), "{output:?}");
        }
    }
    assert_eq!(last_value(&world), before);
}

/// Statistics hold values of rows: without a tenant they are refused to whoever may read a tenant's table by PostgreSQL's
/// privileges, through a group, too. Others read those of their tables.
#[test]
fn statistics_without_a_tenant() {
    let world = world();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(
            "CREATE TABLE public.board AS SELECT 'words' AS note FROM generate_series(1, 100); GRANT SELECT ON public.board TO PUBLIC;
             ANALYZE public.board",
        )
        .unwrap();
    for views in ["pg_stats", "pg_stats_ext", "pg_stats_ext_exprs"] {
        let query = format!("SELECT count(*) FROM {views}");
        let mut app = world.db.connect(&world.app);
        match crate::LAYERS {
            Layers::One => Judge::outside(&mut app).refused(&query, "55000"),
            Layers::Two => Judge::outside(&mut app).allowed(&query),
        }
        Judge::outside(&mut world.db.connect(&world.carol)).allowed(&query);
        Judge::outside(&mut admin).allowed(&query);
    }
    let group = world.db.login_role("group");
    admin.batch_execute(&format!("GRANT {group} TO {}", world.carol)).unwrap();
    let mut carol = world.db.connect(&world.carol);
    Judge::outside(&mut carol).allowed("SELECT count(*) FROM pg_stats");
    crate::world::unguarded(&world.db, &format!("GRANT SELECT ON tenant_bravo.users TO {group}"));
    Judge::outside(&mut carol).refused("SELECT count(*) FROM pg_stats", "55000");
    crate::world::unguarded(&world.db, &format!("REVOKE SELECT ON tenant_bravo.users FROM {group}"));
    // Everybody is no role: pg_shdepend says nothing of a grant to PUBLIC. The schema need not be open.
    let mut nobody = world.db.connect(&world.db.login_role("nobody"));
    for what in ["SELECT", "SELECT (id)"] {
        crate::world::unguarded(&world.db, &format!("GRANT {what} ON tenant_bravo.users TO PUBLIC"));
        for view in ["pg_stats", "pg_stats_ext", "pg_stats_ext_exprs"] {
            Judge::outside(&mut nobody).refused(&format!("SELECT count(*) FROM {view}"), "55000");
        }
        crate::world::unguarded(&world.db, &format!("REVOKE {what} ON tenant_bravo.users FROM PUBLIC"));
        Judge::outside(&mut nobody).allowed("SELECT count(*) FROM pg_stats");
    }
    Judge::outside(&mut carol)
        .gives("SELECT most_common_vals FROM pg_stats WHERE tablename = 'board'", &["{words}"]);
}

fn reserved(client: &mut Client) -> String {
    let id = value(client, "SELECT tenant_id FROM plio.tenants WHERE org = 'bravo'");
    format!("plio:{id}:news")
}

/// Channels of tenants are reached by no call, wherever it stands; plain ones by all that could reach them before.
#[test]
fn reserved_channels_are_refused_however_pg_notify_is_called() {
    let world = world();
    let mut admin = world.db.superuser();
    sequences(&world);
    admin
        .batch_execute("CREATE PROCEDURE public.hear(a text) LANGUAGE plpgsql AS 'BEGIN END'; GRANT ALL ON SCHEMA public TO PUBLIC")
        .unwrap();
    let channel = reserved(&mut admin);
    let calls = [
        "SELECT pg_notify('{}', 'x')",
        "CALL public.hear(pg_notify('{}', 'x')::text)",
        "PREPARE pp (text) AS SELECT $1; EXECUTE pp (pg_notify('{}', 'x')::text)",
        "PREPARE pp (text) AS SELECT $1; EXPLAIN EXECUTE pp (pg_catalog.pg_notify('{}', 'x')::text)",
        "DO $$ BEGIN CALL public.hear(pg_notify('{}', 'x')::text); END $$",
        "CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql AS $$ SELECT pg_notify('{}', 'x')::text $$; SELECT pg_temp.f()",
        "CREATE FUNCTION pg_temp.f(a text DEFAULT pg_notify('{}', 'x')::text) RETURNS text LANGUAGE sql AS 'SELECT $1'; SELECT pg_temp.f()",
        "CREATE TEMP TABLE t (a text, b text); INSERT INTO t VALUES ('x', 'y'); ALTER TABLE t ALTER a TYPE text USING pg_notify('{}', b)::text",
    ];
    let raw = [
        "CREATE DOMAIN pg_temp.d AS int CHECK (pg_notify('{}', 'x')::text IS NULL); SELECT 1::pg_temp.d",
        "CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1); ALTER TABLE t ADD COLUMN b text DEFAULT pg_notify('{}', 'x')::text",
        "CREATE TEMP TABLE t (a int CHECK (pg_notify('{}', 'x')::text IS NOT NULL)); INSERT INTO t VALUES (1)",
    ];
    for role in [world.carol.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut outside = Judge::outside(&mut client);
        for call in calls {
            outside.refused(&fresh(call, &channel), "42939");
            outside.allowed(&fresh(call, "news"));
        }
        for call in raw {
            outside.refused(&fresh(call, &channel), "42501");
        }
    }
    let mut client = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut client, "acme");
    for call in calls {
        acme.allowed(&fresh(call, "news"));
    }
    for call in raw {
        acme.refused(&fresh(call, "news"), "42501");
    }
    drop(acme);
    let mut carol = world.db.connect(&world.carol);
    carol
        .batch_execute(&format!(
            "CREATE TABLE public.loud (a int, b text DEFAULT pg_notify('{channel}', 'x')::text)"
        ))
        .unwrap();
    assert_eq!(copy_from(&world.db, &world.carol, "", "public.loud (a)", "1"), Err("42501".to_owned()));
    refused(carol.batch_execute("INSERT INTO public.loud (a) VALUES (1)"), "42939");
}

/// `set_config()` as a default of an argument and in ALTER COLUMN .. USING: judged as anywhere.
#[test]
fn set_config_is_judged_in_defaults_and_conversions() {
    let world = world();
    let mut client = world.db.connect(&world.app);
    let calls = [
        "CREATE FUNCTION pg_temp.f(a text DEFAULT set_config({}, false)) RETURNS text LANGUAGE sql AS 'SELECT $1'; SELECT pg_temp.f()",
        "CREATE TEMP TABLE t (a text); INSERT INTO t VALUES ('x'); ALTER TABLE t ALTER a TYPE text USING set_config({}, false)",
    ];
    let mut acme = Judge::inside(&mut client, "acme");
    for call in calls {
        acme.allowed(&fresh(call, "'app.user', 'x'"));
        acme.denied(&fresh(call, "'plio.tenant', 'bravo'"), "42501");
        acme.refused(&fresh(call, "'search_path', 'tenant_bravo'"), "42501");
    }
}

/// Refused though harmless. A trigger's condition is kept in the catalog and evaluated without a plan: a checked function in it
/// would stand in dumps, and tie the table to the extension. The trigger's function may call all of these.
#[test]
fn a_triggers_condition_calls_none_of_them() {
    let world = world();
    sequences(&world);
    let mut client = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut client, "acme");
    let with = |condition: &str, body: &str| {
        format!(
            "CREATE TABLE watched (a int); CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $w$ BEGIN {body} RETURN NEW; END $w$; CREATE TRIGGER t BEFORE INSERT ON watched FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION watch(); INSERT INTO watched VALUES (1)"
        )
    };
    for condition in [
        "nextval('public.numbers') > 0",
        "pg_notify('news', 'x') IS NULL",
        "set_config('app.x', 'y', true) = 'y'",
    ] {
        acme.refused(&with(condition, ""), "42501");
        acme.allowed(&with("true", &format!("IF {condition} THEN NULL; END IF;")));
    }
}
