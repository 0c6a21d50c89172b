//! Inside a tenant without a role of its own: what no check of relations sees is denied, or judged by its argument.

use plio_tests::SUPERUSER;

use crate::judge::{Judge, copy_from};
use crate::{legacy, value};

/// Another tenant's sequence by oid, however the call is written and wherever it runs; the own one in every usual form.
#[test]
fn sequences_are_judged_by_their_argument() {
    let world = legacy().adopted();
    let mut admin = world.db.superuser();
    let theirs = value(&mut admin, "SELECT 'bravo.users_id_seq'::regclass::oid");
    admin
        .batch_execute(&format!("SET ROLE {}; SET search_path = acme; SET plio.enforcement = on", world.app))
        .ok();
    admin.batch_execute("RESET ROLE; RESET search_path").unwrap();
    let control = format!("SELECT nextval({theirs}::oid::regclass)");
    let mut app = world.db.connect(&world.app);
    let mut nobody = Judge::outside(&mut app);
    nobody.refused(&control, "55000");
    // Found by the attack on our own functions: those are judged without a tenant, too.
    for call in ["_nextval({})", "_setval({}, 1)", "_setval({}, 1, true)", "_currval({})"] {
        nobody.refused(&format!("SELECT plio.{}", call.replace("{}", &theirs)), "55000");
    }
    nobody.gives(&format!("SELECT plio._sequence_last_value({theirs})"), &["NULL"]);
    nobody.allowed("CREATE TEMP SEQUENCE t; SELECT plio._nextval('t'), plio._setval('t', 4)");
    drop(nobody);
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        for statement in [
            "SELECT nextval('users_id_seq'), currval('users_id_seq'), lastval() > 0",
            "SELECT setval('users_id_seq', 100), setval('users_id_seq', 100, false)",
            "SELECT nextval('users_id_seq'::text::regclass)",
            "SELECT setval(pg_get_serial_sequence('users', 'id'), coalesce(max(id), 1)) FROM users",
            "SELECT last_value FROM users_id_seq",
            "SELECT * FROM pg_sequences WHERE schemaname = 'acme'",
            "SELECT pg_sequence_last_value('users_id_seq')",
            "INSERT INTO users (name) SELECT 'x' FROM generate_series(1, 3)",
            "INSERT INTO events (name) VALUES ('x')",
            "WITH n AS (INSERT INTO users (name) VALUES ('x') RETURNING id) SELECT * FROM n",
            "DO $$ DECLARE n bigint := nextval('users_id_seq'); BEGIN n := nextval('users_id_seq'); PERFORM nextval('users_id_seq'); END $$",
            "CREATE FUNCTION next_one() RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('users_id_seq') $$; SELECT next_one(); INSERT INTO users (id) SELECT next_one()",
            "CREATE TABLE n (id bigint DEFAULT nextval('users_id_seq')); INSERT INTO n DEFAULT VALUES",
            "CREATE TABLE n (a int); INSERT INTO n VALUES (1); ALTER TABLE n ADD COLUMN id bigserial",
            "CREATE TABLE n AS SELECT nextval('users_id_seq') AS id",
            "CREATE TEMP SEQUENCE t; SELECT nextval('t'), setval('t', 4)",
            "PREPARE p AS SELECT nextval('users_id_seq')",
        ] {
            acme.allowed(statement);
        }
        for call in [
            "nextval({})",
            "nextval({}::oid::regclass)",
            "setval({}, 1)",
            "setval({}, 1, true)",
            "currval({})",
            "nextval((SELECT {}::oid)::regclass)",
            "nextval(x::regclass) FROM (SELECT {}::oid AS x) t",
            "nextval((array[{}])[1]::regclass)",
            "coalesce(NULL, nextval({}))",
        ] {
            let call = call.replace("{}", &theirs);
            acme.refused(&format!("SELECT {call}"), "42501");
            acme.refused(&format!("INSERT INTO users (id) SELECT {call}"), "42501");
            acme.refused(&format!("DO $$ BEGIN PERFORM {call}; END $$"), "42501");
            acme.refused(&format!("DO $$ DECLARE n bigint; BEGIN n := (SELECT {call}); END $$"), "42501");
            acme.refused(
                &format!(
                    "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS $$ SELECT {call} $$; SELECT f()"
                ),
                "42501",
            );
        }
        for statement in [
            "DO $$ DECLARE n bigint := nextval({}); BEGIN END $$",
            "DO $$ DECLARE n bigint; BEGIN n := nextval({}); END $$",
            "CREATE FUNCTION f(s regclass) RETURNS bigint LANGUAGE sql AS $$ SELECT nextval(s) $$; SELECT f({})",
            "CREATE TABLE n (id bigint DEFAULT nextval({})); INSERT INTO n DEFAULT VALUES",
            "CREATE TABLE n (a int); INSERT INTO n VALUES (1); ALTER TABLE n ADD COLUMN id bigint DEFAULT nextval({})",
            "CREATE TABLE n (a int); INSERT INTO n VALUES (1); ALTER TABLE n ADD CHECK (nextval({}) > 0)",
            "CREATE TABLE n (a int); INSERT INTO n VALUES (1); ALTER TABLE n ALTER a TYPE bigint USING nextval({})",
            "CREATE TABLE n (a int CHECK (nextval({}) > 0)); INSERT INTO n VALUES (1)",
            "CREATE DOMAIN d AS int CHECK (nextval({}) > 0); SELECT 1::d",
            "CREATE DOMAIN d AS int CHECK (nextval({}) > 0); CREATE TABLE n (a d); INSERT INTO n VALUES (1)",
            "CREATE OPERATOR @@@ (function = nextval, rightarg = regclass); SELECT @@@ {}::oid::regclass",
            "CREATE PROCEDURE p(a bigint) LANGUAGE plpgsql AS 'BEGIN END'; CALL p(nextval({}))",
            "PREPARE pp (bigint) AS SELECT $1; EXECUTE pp (nextval({}))",
            "CREATE FUNCTION keep(regclass, bigint) RETURNS regclass LANGUAGE sql AS 'SELECT $2::oid::regclass'; CREATE AGGREGATE last_one(bigint) (sfunc = keep, stype = regclass, finalfunc = nextval); SELECT last_one({}::bigint)",
            "SELECT plio._nextval({})",
            "SELECT plio._setval({}, 1)",
            "SELECT setval(oid::regclass, 1) FROM pg_class WHERE oid = {}",
            "COPY (SELECT nextval({})) TO STDOUT",
            "SELECT query_to_xml('SELECT nextval({})', true, false, '')",
            "EXPLAIN ANALYZE SELECT nextval({})",
        ] {
            acme.refused(&statement.replace("{}", &theirs), "42501");
        }
        acme.gives("SELECT count(last_value) FROM pg_sequences WHERE schemaname = 'bravo'", &["0"]);
        acme.gives(&format!("SELECT pg_sequence_last_value({theirs})"), &["NULL"]);
    }
    // COPY evaluates defaults by itself.
    assert_eq!(copy_from(&world.db, &world.app, "acme", "users (name)", "x"), Ok(()));
    assert_eq!(copy_from(&world.db, &world.app, "acme", "users", "99\tx\t1"), Ok(()));
    admin
        .batch_execute(&format!(
            "ALTER TABLE acme.events ADD COLUMN stolen bigint; ALTER TABLE acme.events ALTER stolen SET DEFAULT nextval({theirs}::oid::regclass)"
        ))
        .unwrap();
    assert_eq!(copy_from(&world.db, &world.app, "acme", "events (name)", "x"), Err("42501".to_owned()));
}

/// A plan made without a tenant, under a path that stays the same, is judged where it runs.
#[test]
fn plans_of_before_are_judged() {
    let world = legacy().adopted();
    let mut admin = world.db.superuser();
    let theirs = value(&mut admin, "SELECT 'bravo.users_id_seq'::regclass::oid");
    admin
        .batch_execute(&format!(
            "CREATE FUNCTION public.simple() RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
               AS 'BEGIN RETURN nextval({theirs}); END';
             CREATE FUNCTION public.query() RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
               AS 'DECLARE n bigint; BEGIN SELECT nextval({theirs}) INTO n FROM pg_class LIMIT 1; RETURN n; END'"
        ))
        .unwrap();
    // Warmed by an administrator, who may.
    let mut app = admin;
    for _ in 0..8 {
        app.batch_execute("SELECT public.simple(), public.query()").unwrap();
    }
    let mut acme = Judge::inside(&mut app, "acme");
    for _ in 0..3 {
        acme.refused("SELECT public.simple()", "42501");
        acme.refused("SELECT public.query()", "42501");
    }
    drop(acme);
    world
        .db
        .connect(&world.app)
        .batch_execute("PREPARE p AS SELECT nextval('bravo.users_id_seq')")
        .unwrap_err();
    app.batch_execute(&format!("PREPARE p AS SELECT nextval({theirs}::oid::regclass); EXECUTE p")).unwrap();
    let mut acme = Judge::inside(&mut app, "acme");
    acme.refused("EXECUTE p", "42501");
}

/// Statistics of values, query texts, other sessions, large objects, files: denied by default, for a superuser, too.
#[test]
fn what_no_check_sees_is_denied() {
    let world = legacy().adopted();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(&format!(
            "CREATE STATISTICS bravo.both_of ON id, name FROM bravo.users; CREATE STATISTICS acme.both_of ON (lower(name)), id FROM acme.users;
             ANALYZE bravo.users; ANALYZE acme.users; CREATE EXTENSION pgstattuple; GRANT pg_read_server_files TO {app};
             GRANT EXECUTE ON FUNCTION pgstattuple(regclass), pgstattuple(text), pg_read_file(text), pg_ls_dir(text) TO {app}",
            app = world.app
        ))
        .unwrap();
    let mut app = world.db.connect(&world.app);
    // Without a tenant the login role's privileges would show bravo's values.
    Judge::outside(&mut app).refused("SELECT count(*) > 0 FROM pg_stats WHERE schemaname = 'bravo'", "55000");
    app.batch_execute("SELECT lo_from_bytea(777, 'canary-bravo')").unwrap();
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        for statement in [
            "SELECT * FROM pg_stats",
            "SELECT * FROM pg_stats_ext",
            "SELECT * FROM pg_stats_ext_exprs",
            "SELECT * FROM pg_stat_activity",
            "SELECT * FROM pg_stat_get_activity(NULL)",
            "SELECT pg_stat_get_backend_activity(1)",
            "SELECT pg_stat_get_backend_idset()",
            "SELECT pg_terminate_backend(1)",
            "SELECT pg_cancel_backend(1)",
            "SELECT lo_get(777)",
            "SELECT lo_open(777, 262144)",
            "SELECT lo_create(778)",
            "SELECT lo_unlink(777)",
            "SELECT pg_read_file('postgresql.conf')",
            "SELECT pg_ls_dir('.')",
            "SELECT brin_summarize_new_values(1)",
            "SELECT * FROM pgstattuple('users')",
            "DO $$ DECLARE t text; BEGIN t := lo_get(777); END $$",
        ] {
            acme.refused(statement, "42501");
        }
        if role == SUPERUSER {
            for statement in [
                "SELECT * FROM pg_statistic",
                "SELECT * FROM pg_largeobject",
                "SELECT * FROM pg_statistic_ext_data",
            ] {
                acme.refused(statement, "42501");
            }
        }
        acme.allowed("SELECT * FROM pg_class, information_schema.columns LIMIT 1");
        acme.allowed("ANALYZE users");
    }
    let mut acme = Judge::inside(&mut app, "acme");
    acme.denied("COMMENT ON LARGE OBJECT 777 IS 'x'", "42501");
}

/// LOCK goes on through a view to what it names.
#[test]
fn a_lock_through_a_view_is_refused() {
    let world = legacy().adopted();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(&format!(
            "SET plio.enforcement = off; CREATE VIEW acme.spy AS SELECT * FROM bravo.users; CREATE VIEW acme.nested AS SELECT 1 WHERE EXISTS (SELECT 1 FROM acme.spy);
             CREATE VIEW acme.own AS SELECT * FROM acme.users; ALTER VIEW acme.spy OWNER TO {app}; ALTER VIEW acme.nested OWNER TO {app}; ALTER VIEW acme.own OWNER TO {app}",
            app = world.app
        ))
        .unwrap();
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.allowed("LOCK TABLE own");
    acme.refused("LOCK TABLE spy", "42501");
    acme.refused("LOCK TABLE own, nested IN ACCESS SHARE MODE", "42501");
}
