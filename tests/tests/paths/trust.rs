//! Whose code runs inside a tenant: that of a superuser, an administrator, the login role and its groups, the tenant, and what
//! was shared; a stranger's does not, however it is reached.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use plio_tests::{Db, Layers, SUPERUSER, TwoTenants, refused};
use postgres::Client;

use crate::judge::Judge;
use crate::world::{inside, value, world};

/// Lets everybody create in public, as databases that began on 14 do, and gives it an object of an extension, so that it is on
/// every tenant's path; carol makes `lower(varchar)` and the like there.
fn open_public(world: &TwoTenants) -> Client {
    world
        .db
        .superuser()
        .batch_execute("GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE EXTENSION citext SCHEMA public")
        .unwrap();
    let mut carol = world.db.connect(&world.carol);
    carol
        .batch_execute(
            "CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'carols'; END $$;
             CREATE FUNCTION public.upper(varchar) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'carols' $$;
             CREATE FUNCTION public.all_of(varchar) RETURNS SETOF text LANGUAGE sql STABLE AS $$ SELECT 'carols' $$;
             CREATE FUNCTION public.definer(varchar) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN 'carols'; END $$;
             CREATE FUNCTION public.pinned(varchar) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $$ BEGIN RETURN 'carols'; END $$;
             CREATE FUNCTION public.add(varchar, varchar) RETURNS varchar LANGUAGE sql AS $$ SELECT 'carols'::varchar $$;
             CREATE AGGREGATE public.max(varchar) (sfunc = add, stype = varchar);
             CREATE AGGREGATE public.longest(text) (sfunc = textcat, stype = text);
             CREATE OPERATOR public.=@ (leftarg = varchar, rightarg = varchar, function = add);
             CREATE OPERATOR public.% (leftarg = text, rightarg = text, function = textne);
             CREATE PROCEDURE public.tidy_up() LANGUAGE plpgsql AS $$ BEGIN END $$;
             CREATE FUNCTION public.fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
             CREATE TYPE public.pair AS (a int);
             CREATE FUNCTION public.to_pair(int) RETURNS public.pair LANGUAGE sql AS $$ SELECT ROW($1)::public.pair $$;
             CREATE CAST (int AS public.pair) WITH FUNCTION public.to_pair(int)",
        )
        .unwrap();
    carol
}

/// Each way to call what carol made; all of them work without a tenant.
const CALLS: &[&str] = &[
    "SELECT lower('X'::varchar)",
    "SELECT upper('X'::varchar)",
    "SELECT * FROM all_of('X')",
    "SELECT definer('X')",
    "SELECT pinned('X')",
    "SELECT max('X'::varchar)",
    "SELECT max('X'::varchar) OVER ()",
    "SELECT longest('X')",
    "SELECT 'a'::varchar =@ 'b'::varchar",
    "SELECT 'a'::text % 'b'::text",
    "SELECT 'a'::text % ANY (ARRAY['b', relname]) FROM pg_class",
    "CALL tidy_up()",
    "SELECT 1::pair",
    "SELECT count(*) FROM pg_class WHERE lower(relname::varchar) = 'x'",
    "DO $$ BEGIN PERFORM lower('X'::varchar); END $$",
    "DO $$ DECLARE t text; BEGIN t := lower('X'::varchar); END $$",
    "DO $$ DECLARE t text; BEGIN t := upper('X'::varchar); END $$",
    "PREPARE pp AS SELECT lower('X'::varchar); EXECUTE pp",
    "CREATE TEMP TABLE t (x varchar DEFAULT lower('X'::varchar)); INSERT INTO t DEFAULT VALUES",
    "CREATE TEMP TABLE t AS SELECT lower('X'::varchar)",
    "CREATE TEMP TABLE t (x varchar); CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION fire(); INSERT INTO t VALUES ('x')",
];

/// The statement, with a name for what it prepares that nobody used before: a tenant may not take away what was prepared outside.
pub fn unprepared(statement: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    statement.replace(" pp", &format!(" pp{}", NUMBER.fetch_add(1, Relaxed)))
}

#[test]
fn a_strangers_code_is_refused() {
    let world = world();
    let _carol = open_public(&world);
    let app = world.app.as_str();
    for role in [app, SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut outside = Judge::outside(&mut client);
        CALLS.iter().for_each(|call| outside.allowed(&unprepared(call)));
        drop(outside);
        let mut acme = Judge::inside(&mut client, "acme");
        for call in CALLS {
            acme.refused(&unprepared(call), "42501");
        }
        for control in ["SELECT lower('X'), 'A'::citext = 'a'", "SELECT peek()", "CALL tidy()"] {
            acme.allowed(control);
        }
    }
    let mut client = world.db.connect(app);
    client.batch_execute("SET plio.tenant = 'acme'").unwrap();
    let error = refused(client.batch_execute("SELECT lower('X'::varchar)"), "42501");
    assert!(
        error.hint().unwrap().contains("plio.share('public.lower(character varying)', 'read')"),
        "{error:?}"
    );
}

/// The owners that are trusted: an administrator, the login role, a role that it is a member of, the tenant.
#[test]
fn trusted_owners_code_runs() {
    let world = world();
    let mut carol = open_public(&world);
    let (db, app) = (&world.db, world.app.as_str());
    let (team, other) = (db.login_role("team"), db.login_role("other"));
    let mut admin = db.superuser();
    admin
        .batch_execute(&format!("GRANT {team} TO {app}; SELECT plio.grant_access('{other}', 'acme')"))
        .unwrap();
    let make = |client: &mut Client, name: &str| {
        let text =
            format!("CREATE FUNCTION public.{name}() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'");
        client.batch_execute(&text).unwrap();
    };
    make(&mut db.connect(app), "of_app");
    make(&mut db.connect(&team), "of_team");
    make(&mut admin, "of_admin");
    make(&mut carol, "of_carol");
    let manager = db.login_role("manager");
    admin.batch_execute(&format!("GRANT plio_admin TO {manager}")).unwrap();
    make(&mut db.connect(&manager), "of_manager");
    let mut client = db.connect(app);
    let mut acme = Judge::inside(&mut client, "acme");
    for name in ["of_app", "of_team", "of_admin", "of_manager"] {
        acme.allowed(&format!("SELECT public.{name}()"));
    }
    acme.refused("SELECT public.of_carol()", "42501");
    drop(acme);
    let mut client = db.connect(&other);
    let mut acme = Judge::inside(&mut client, "acme");
    acme.allowed("SELECT public.of_admin()");
    acme.refused("SELECT public.of_team()", "42501");
    // Where the tenant has no role, whoever owns its schema is the tenant.
    match crate::LAYERS {
        Layers::Two => acme.refused("SELECT public.of_app()", "42501"),
        Layers::One => acme.allowed("SELECT public.of_app()"),
    }
    drop(acme);
    // What was trusted a moment ago is so no longer.
    let mut client = db.connect(app);
    client.batch_execute("SET plio.tenant = 'acme'; SELECT public.of_team(), public.of_admin()").unwrap();
    admin.batch_execute(&format!("REVOKE {team} FROM {app}")).unwrap();
    refused(client.batch_execute("SELECT public.of_team()"), "42501");
    admin.batch_execute(&format!("ALTER FUNCTION public.of_admin() OWNER TO {}", world.carol)).unwrap();
    refused(client.batch_execute("SELECT public.of_admin()"), "42501");
    admin.batch_execute("ALTER FUNCTION public.of_admin() OWNER TO postgres").unwrap();
    client.batch_execute("SELECT public.of_admin()").unwrap();
}

fn shares(db: &Db) -> String {
    let query = "SELECT string_agg(schema_name || '.' || relation_name, ' ' ORDER BY relation_name) FROM plio.shares WHERE is_function";
    value(&mut db.superuser(), query)
}

/// A function is shared by name, follows renames, and ends with the function; a schema that is shared includes its code.
#[test]
fn code_is_shared_by_name_or_with_its_schema() {
    let world = world();
    let mut carol = open_public(&world);
    let db = &world.db;
    let mut admin = db.superuser();
    admin.batch_execute("SELECT plio.share('public.lower(varchar)', 'read'), plio.share('public.tidy_up()', 'read'), plio.share('public.max(varchar)', 'read')").unwrap();
    let mut client = db.connect(&world.app);
    let mut acme = Judge::inside(&mut client, "acme");
    acme.gives("SELECT lower('X'::varchar)", &["carols"]);
    acme.allowed("CALL tidy_up()");
    // The aggregate is shared, what it is made of is not.
    acme.refused("SELECT max(x::varchar) FROM (VALUES ('a'), ('b')) v (x)", "42501");
    acme.refused("SELECT upper('X'::varchar)", "42501");
    drop(acme);
    carol.batch_execute("ALTER FUNCTION public.lower(varchar) RENAME TO \"Lower it\"").unwrap();
    assert!(shares(db).contains("public.\"Lower it\"(character varying)"), "{}", shares(db));
    let mut acme = Judge::inside(&mut client, "acme");
    acme.gives("SELECT \"Lower it\"('X'::varchar)", &["carols"]);
    drop(acme);
    carol.batch_execute("DROP FUNCTION public.\"Lower it\"(varchar)").unwrap();
    assert!(!shares(db).contains("Lower"), "{}", shares(db));
    // Who makes it again shares nothing.
    carol
        .batch_execute(
            "CREATE FUNCTION public.\"Lower it\"(varchar) RETURNS text LANGUAGE sql AS $$ SELECT 'again' $$",
        )
        .unwrap();
    let mut acme = Judge::inside(&mut client, "acme");
    acme.refused("SELECT \"Lower it\"('X'::varchar)", "42501");
    drop(acme);
    admin.batch_execute("SELECT plio.unshare('public.tidy_up()')").unwrap();
    let mut acme = Judge::inside(&mut client, "acme");
    acme.refused("CALL tidy_up()", "42501");
    drop(acme);
    admin
        .batch_execute(&format!(
            "CREATE SCHEMA tools; GRANT USAGE, CREATE ON SCHEMA tools TO {}; SELECT plio.share('tools', 'read')",
            world.carol
        ))
        .unwrap();
    carol.batch_execute("CREATE FUNCTION tools.f() RETURNS int LANGUAGE sql AS 'SELECT 1'").unwrap();
    let mut acme = Judge::inside(&mut client, "acme");
    acme.allowed("SELECT f()");
    drop(acme);
    // A plain administrator opens nothing that its owner has closed.
    let manager = db.login_role("manager");
    admin
        .batch_execute(&format!(
            "GRANT plio_admin TO {manager}; CREATE FUNCTION public.closed() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
             REVOKE ALL ON FUNCTION public.closed() FROM PUBLIC"
        ))
        .unwrap();
    let mut manager = db.connect(&manager);
    refused(manager.batch_execute("SELECT plio.share('public.closed()', 'read')"), "42501");
    manager
        .batch_execute(
            "SELECT plio.share('public.upper(varchar)', 'read'), plio.unshare('public.upper(varchar)')",
        )
        .unwrap();
    for (call, code) in [
        ("plio.share('public.upper(varchar)', 'write')", "22023"),
        ("plio.share('public.no_such(int)', 'read')", "42704"),
        ("plio.share('pg_catalog.lower(text)', 'read')", "22023"),
        ("plio.share('tenant_acme.peek()', 'read')", "22023"),
        ("plio.unshare('public.upper(varchar)')", "42704"),
    ] {
        refused(admin.batch_execute(&format!("SELECT {call}")), code);
    }
}

/// Plans and expressions that a session made before it entered the tenant ask again.
#[test]
fn what_was_made_ready_before_is_judged() {
    let world = world();
    let _carol = open_public(&world);
    let mut admin = world.db.superuser();
    admin
        .batch_execute(
            "CREATE FUNCTION public.simple() RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog
               AS $$ DECLARE t text; BEGIN t := public.lower('X'::varchar); RETURN t; END $$;
             CREATE FUNCTION public.folded() RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog
               AS $$ BEGIN RETURN (SELECT public.upper('X'::varchar) FROM pg_class LIMIT 1); END $$;
             CREATE FUNCTION public.compared() RETURNS bool LANGUAGE plpgsql SET search_path = pg_catalog
               AS $$ BEGIN RETURN (SELECT 'a'::text OPERATOR(public.%) 'a'::text FROM pg_class LIMIT 1); END $$",
        )
        .unwrap();
    for function in ["simple", "folded", "compared"] {
        let mut app = world.db.connect(&world.app);
        let call = format!("SELECT public.{function}()");
        for _ in 0..8 {
            app.batch_execute(&call).unwrap();
        }
        app.batch_execute(&format!("BEGIN; {call}; SELECT plio.set_tenant('acme')")).unwrap();
        refused(app.batch_execute(&call), "42501");
        app.batch_execute("ROLLBACK; SET plio.tenant = 'acme'").unwrap();
        refused(app.batch_execute(&call), "42501");
    }
}

/// A role that may create in the database installs a trusted extension and puts its own table into it.
#[test]
fn an_extension_is_trusted_only_with_its_owner() {
    let world = world();
    let (db, app) = (&world.db, world.app.as_str());
    let dev = db.login_role("dev");
    let mut admin = db.superuser();
    admin.batch_execute(&format!("GRANT CREATE ON DATABASE {} TO {dev}", db.name())).unwrap();
    let mut maker = db.connect(&dev);
    maker
        .batch_execute("CREATE SCHEMA dev; CREATE EXTENSION hstore SCHEMA dev; CREATE TABLE dev.sink (t text);
             GRANT USAGE ON SCHEMA dev TO PUBLIC; GRANT ALL ON dev.sink TO PUBLIC;
             ALTER EXTENSION hstore ADD TABLE dev.sink;
             CREATE FUNCTION dev.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER EXTENSION hstore ADD FUNCTION dev.f();
             CREATE SEQUENCE dev.ear; GRANT ALL ON dev.ear TO PUBLIC; ALTER EXTENSION hstore ADD SEQUENCE dev.ear")
        .unwrap();
    let mut client = db.connect(app);
    let mut acme = Judge::inside(&mut client, "acme");
    acme.refused("SELECT * FROM dev.sink", "42501");
    acme.refused("INSERT INTO dev.sink VALUES ('x')", "42501");
    acme.refused("SELECT dev.f()", "42501");
    // A value that a tenant sets there would be read outside.
    for call in
        ["nextval('dev.ear')", "setval('dev.ear', 42)", "setval('dev.ear', 42, false)", "currval('dev.ear')"]
    {
        acme.refused(&format!("SELECT {call}"), "42501");
    }
    acme.gives("SELECT 'dev' = ANY (current_schemas(false))", &["f"]);
    // What the extension itself made belongs to the superuser, whoever installed it.
    acme.allowed("SELECT 'a=>1'::dev.hstore OPERATOR(dev.->) 'a'");
    drop(acme);
    for org in ["acme", "bravo"] {
        refused(maker.batch_execute(&format!("CREATE EXTENSION citext SCHEMA tenant_{org}")), "55000");
        refused(maker.batch_execute(&format!("ALTER EXTENSION hstore SET SCHEMA tenant_{org}")), "55000");
    }
    // What else the right to create in the database is good for.
    for (statement, code) in [
        ("CREATE EXTENSION pgcrypto SCHEMA plio", "42501"),
        ("CREATE SCHEMA made CREATE VIEW v AS SELECT * FROM tenant_bravo.users", "55000"),
        ("CREATE SCHEMA made CREATE TABLE t (a bigint REFERENCES tenant_bravo.users)", "55000"),
        ("CREATE PUBLICATION p FOR TABLE tenant_bravo.users", "55000"),
    ] {
        refused(maker.batch_execute(statement), code);
    }
    for statement in [
        "CREATE FOREIGN TABLE dev.far (a int) SERVER plio_tenants",
        "CREATE PUBLICATION p FOR TABLES IN SCHEMA tenant_bravo",
        "CREATE PUBLICATION p FOR ALL TABLES",
        "CREATE SCHEMA made AUTHORIZATION plio_admin",
        "ALTER SCHEMA tenant_bravo OWNER TO CURRENT_USER",
    ] {
        plio_tests::expect_sqlstate(maker.batch_execute(statement), "42501");
    }
    maker.batch_execute("BEGIN; CREATE SCHEMA made CREATE VIEW v AS SELECT 1; CREATE PUBLICATION p FOR TABLE dev.sink; ROLLBACK").unwrap();
    let findings =
        "SELECT string_agg(object, ' ') FROM plio.audit() WHERE check_name = 'untrusted_extension'";
    assert_eq!(value(&mut admin, findings), "hstore");
    // The control: an administrator's extension is open, and on the path.
    admin
        .batch_execute(
            "CREATE SCHEMA extensions; GRANT USAGE ON SCHEMA extensions TO PUBLIC; CREATE EXTENSION citext SCHEMA extensions;
             CREATE TABLE extensions.words (w text); GRANT SELECT ON extensions.words TO PUBLIC;
             ALTER EXTENSION citext ADD TABLE extensions.words",
        )
        .unwrap();
    let mut acme = Judge::inside(&mut client, "acme");
    acme.allowed("SELECT 'A'::citext = 'a', (SELECT count(*) FROM words)");
}

/// What would be refused is said by audit(), with the statement that mends it.
#[test]
fn audit_says_it_before_it_bites() {
    let world = world();
    let _carol = open_public(&world);
    let mut admin = world.db.superuser();
    let find = |admin: &mut Client, check: &str, object: &str| {
        value(
            admin,
            &format!(
                "SELECT min(fix) FROM plio.audit() WHERE check_name = '{check}' AND object = '{object}'"
            ),
        )
    };
    assert_eq!(find(&mut admin, "open_schema", "public"), "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let object = "public.lower(character varying)";
    let fix = find(&mut admin, "untrusted_code", object);
    assert_eq!(fix, format!("SELECT plio.share('{object}', 'read')"));
    admin.batch_execute(&format!("{fix}; REVOKE CREATE ON SCHEMA public FROM PUBLIC")).unwrap();
    assert_eq!(find(&mut admin, "untrusted_code", object), "NULL");
    assert_eq!(find(&mut admin, "open_schema", "public"), "NULL");
    inside(&mut world.db.connect(&world.app), "acme", "SELECT lower('X'::varchar)");
    let health = "SELECT string_agg(detail, ' ') FROM plio.health() WHERE finding = 'stale_share'";
    assert_eq!(value(&mut admin, health), "NULL");
}
