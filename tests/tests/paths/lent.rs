//! A tenant's code that an administrator runs without the tenant: checks, defaults, indexes, domains and types call it for
//! whoever changes a row or a definition. It runs with its owner's rights, and reaches no other tenant.

use plio_tests::{Layers, TwoTenants, expect_sqlstate};
use postgres::Client;

use crate::world::{inside, unguarded, value, world};

/// `judge` writes down as whom it runs, and what it can read of bravo's. It is declared IMMUTABLE, as an index wants it.
const CODE: &str = "
    CREATE TABLE seen (who text, loot text);
    CREATE FUNCTION note(loot text) RETURNS void LANGUAGE plpgsql
        AS 'BEGIN INSERT INTO tenant_acme.seen VALUES (current_user, loot); END';
    CREATE FUNCTION judge(given text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
        DECLARE loot text;
        BEGIN
            BEGIN
                EXECUTE 'SELECT min(name) FROM tenant_bravo.users' INTO loot;
            EXCEPTION WHEN OTHERS THEN loot := NULL;
            END;
            PERFORM tenant_acme.note(loot);
            RETURN given IS DISTINCT FROM 'bad';
        END $$;
    CREATE FUNCTION inlined(given text) RETURNS boolean LANGUAGE sql AS 'SELECT tenant_acme.judge(given)';
    CREATE FUNCTION with_setting(given text) RETURNS boolean LANGUAGE plpgsql SET work_mem = '1MB'
        AS 'BEGIN RETURN tenant_acme.judge(given); END';
    CREATE FUNCTION rows_of(given text) RETURNS SETOF boolean LANGUAGE plpgsql
        AS 'BEGIN RETURN NEXT tenant_acme.judge(given); RETURN NEXT tenant_acme.judge(given); END';
    CREATE FUNCTION again(depth int) RETURNS boolean LANGUAGE plpgsql
        AS 'BEGIN RETURN CASE WHEN depth > 0 THEN tenant_acme.again(depth - 1) ELSE tenant_acme.judge(NULL) END; END';
    CREATE FUNCTION set_path() RETURNS text LANGUAGE sql AS $$ SELECT set_config('search_path', 'tenant_acme', false) $$;
    CREATE FUNCTION held() RETURNS void LANGUAGE plpgsql
        AS 'BEGIN EXECUTE ''DECLARE c CURSOR WITH HOLD FOR SELECT tenant_acme.judge(NULL)''; END';
    CREATE FUNCTION role_back() RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE ''SET ROLE postgres''; END';
    CREATE PROCEDURE ends() LANGUAGE plpgsql AS 'BEGIN COMMIT; PERFORM tenant_acme.judge(NULL); END';
    CREATE TYPE pair AS (a int, b text);
    CREATE TABLE typed OF pair;
    ALTER TABLE typed ADD CHECK (judge(b));
    INSERT INTO typed VALUES (1, 'x');
    CREATE DOMAIN tag AS text CHECK (judge(VALUE));
    CREATE TABLE tagged (t tag);
    INSERT INTO tagged VALUES ('x');
    ALTER DOMAIN tag ADD CONSTRAINT later CHECK (judge(VALUE)) NOT VALID;
    CREATE TABLE checked (a text CHECK (judge(a)), d boolean DEFAULT judge(NULL));
    CREATE TABLE late (a text);
    INSERT INTO late VALUES ('x');
    ALTER TABLE late ADD CONSTRAINT later CHECK (judge(a)) NOT VALID;
    CREATE VIEW judged AS SELECT judge(name) FROM users;
    CREATE MATERIALIZED VIEW kept AS SELECT inlined(name) AS it FROM users;
    DELETE FROM seen";

const UPKEEP: &str = "CREATE INDEX by_judge ON late (judge(a)); CREATE STATISTICS of_late ON (judge(a)) FROM late; DELETE FROM seen";

/// What an administrator does without a tenant.
const STATEMENTS: &[&str] = &[
    "ALTER TYPE tenant_acme.pair ALTER ATTRIBUTE b TYPE varchar CASCADE",
    "ALTER DOMAIN tenant_acme.tag ADD CHECK (tenant_acme.judge(VALUE))",
    "ALTER DOMAIN tenant_acme.tag VALIDATE CONSTRAINT later",
    "ALTER TABLE tenant_acme.late VALIDATE CONSTRAINT later",
    "ALTER TABLE tenant_acme.late ALTER a TYPE varchar",
    "ALTER TABLE tenant_acme.late ADD b boolean DEFAULT tenant_acme.judge(NULL)",
    "INSERT INTO tenant_acme.checked VALUES ('x')",
    "INSERT INTO tenant_acme.tagged VALUES ('x')",
    "UPDATE tenant_acme.typed SET b = 'y'",
    "SELECT 'x'::tenant_acme.tag",
    "SELECT tenant_acme.judge('x')",
    "SELECT tenant_acme.inlined('x')",
    "SELECT tenant_acme.with_setting('x')",
    "SELECT * FROM tenant_acme.rows_of('x')",
    "SELECT tenant_acme.rows_of('x')",
    "SELECT tenant_acme.again(3)",
    "SELECT * FROM tenant_acme.judged",
    "DO $$ BEGIN PERFORM tenant_acme.judge('x'); END $$",
    "REFRESH MATERIALIZED VIEW tenant_acme.kept",
];

/// The same, of an index and statistics.
const MAINTENANCE: &[&str] = &[
    "REINDEX TABLE tenant_acme.late",
    "VACUUM FULL tenant_acme.late",
    "CLUSTER tenant_acme.late USING by_judge",
    "ANALYZE tenant_acme.late",
    "CREATE INDEX ON tenant_acme.late ((tenant_acme.judge(a)))",
    "INSERT INTO tenant_acme.late VALUES ('z')",
];

fn planted() -> TwoTenants {
    let world = world();
    let mut app = world.db.connect(&world.app);
    inside(&mut app, "acme", CODE);
    match crate::LAYERS {
        Layers::Two => inside(&mut app, "acme", UPKEEP),
        // The tenant may not make them itself.
        Layers::One => unguarded(&world.db, &format!("SET search_path = tenant_acme; {UPKEEP}")),
    }
    world
}

/// As whom it ran since the last time, and whether it read anything.
fn seen(admin: &mut Client) -> (String, Option<String>) {
    let who = value(admin, "SELECT coalesce(string_agg(DISTINCT who, ','), '') FROM tenant_acme.seen");
    let loot = admin.query_one("SELECT max(loot) FROM tenant_acme.seen", &[]).unwrap().get(0);
    admin.batch_execute("DELETE FROM tenant_acme.seen").unwrap();
    (who, loot)
}

#[test]
fn a_tenants_code_has_no_rights_of_an_administrators() {
    let world = planted();
    let mut admin = world.db.superuser();
    let owner = value(
        &mut admin,
        "SELECT pg_get_userbyid(proowner)::text FROM pg_proc WHERE oid = 'tenant_acme.judge(text)'::regprocedure",
    );
    let superuser = value(&mut admin, "SELECT current_user::text");
    // The control: without us it runs as the superuser, and reads bravo's rows.
    admin.batch_execute("SET plio.enforcement = off; INSERT INTO tenant_acme.checked VALUES ('x')").unwrap();
    let (who, loot) = seen(&mut admin);
    assert_eq!((who, loot.as_deref()), (superuser.clone(), Some("canary-bravo")));
    admin.batch_execute("SET plio.enforcement = on").unwrap();
    for statement in STATEMENTS.iter().chain(MAINTENANCE) {
        admin.batch_execute(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        assert_eq!(value(&mut admin, "SELECT current_user::text"), superuser, "{statement}");
        assert_eq!(seen(&mut admin), (owner.clone(), None), "{statement}");
    }
    // An error, caught or not, gives the administrator's rights back.
    expect_sqlstate(admin.batch_execute("INSERT INTO tenant_acme.checked VALUES ('bad')"), "23514");
    admin
        .batch_execute(
            "DO $$ BEGIN
                 BEGIN PERFORM tenant_acme.role_back(); EXCEPTION WHEN OTHERS THEN NULL; END;
                 IF current_user <> session_user THEN RAISE 'still %', current_user; END IF;
                 PERFORM FROM tenant_bravo.users;
             END $$",
        )
        .unwrap();
    expect_sqlstate(admin.batch_execute("SELECT tenant_acme.role_back()"), "42501");
    // Nothing is left behind that would run later, as the administrator.
    expect_sqlstate(admin.batch_execute("BEGIN; SELECT tenant_acme.held(); COMMIT"), "42501");
    admin.batch_execute("ROLLBACK").unwrap();
    let path = value(&mut admin, "SELECT current_setting('search_path')");
    admin.batch_execute("SELECT tenant_acme.set_path()").unwrap();
    assert_eq!(value(&mut admin, "SELECT current_setting('search_path')"), path);
    // A procedure could end the transaction, and go on as the administrator.
    for call in ["CALL tenant_acme.ends()", "DO $$ BEGIN CALL tenant_acme.ends(); END $$"] {
        expect_sqlstate(admin.batch_execute(call), "2D000");
        assert_eq!(value(&mut admin, "SELECT current_user::text"), superuser, "{call}");
    }
    // Names are found as inside the tenant.
    admin.batch_execute("SET search_path = tenant_bravo").unwrap();
    assert_eq!(value(&mut admin, "SELECT tenant_acme.peek()"), "canary-acme");
    admin.batch_execute("CALL tenant_acme.tidy(); RESET search_path").unwrap();
    // Other tenants stay the administrator's to reach.
    assert_eq!(value(&mut admin, "SELECT count(*) FROM tenant_bravo.users"), "3");
}

/// What an administrator put into a tenant's schema runs as he does, and inside the tenant nothing changes.
#[test]
fn an_administrators_code_is_his_own() {
    let world = planted();
    unguarded(
        &world.db,
        "CREATE FUNCTION tenant_acme.trusted() RETURNS text LANGUAGE sql AS 'SELECT current_user::text || min(name) FROM tenant_bravo.users'",
    );
    let mut admin = world.db.superuser();
    let superuser = value(&mut admin, "SELECT current_user::text");
    assert_eq!(value(&mut admin, "SELECT tenant_acme.trusted()"), format!("{superuser}canary-bravo"));
    let mut app = world.db.connect(&world.app);
    inside(
        &mut app,
        "acme",
        "INSERT INTO checked VALUES ('x'); INSERT INTO typed VALUES (2, 'x'); CALL tidy()",
    );
    // Who is no superuser takes on no role that he may not SET ROLE to.
    let plain = world.db.login_role("plain");
    admin
        .batch_execute(&format!("GRANT plio_admin TO {plain}; GRANT USAGE ON SCHEMA tenant_acme TO {plain}"))
        .unwrap();
    expect_sqlstate(world.db.connect(&plain).batch_execute("SELECT tenant_acme.judge('x')"), "55000");
}

/// Rows come back from a dump: the checks of a tenant's table call the tenant's functions.
#[test]
fn rows_are_loaded_by_an_administrator() {
    let world = planted();
    let mut admin = world.db.superuser();
    use std::io::Write;
    let mut rows = admin.copy_in("COPY tenant_acme.checked (a) FROM STDIN").unwrap();
    rows.write_all(b"x\ny\n").unwrap();
    rows.finish().unwrap();
    assert_eq!(value(&mut admin, "SELECT count(*) FROM tenant_acme.checked"), "2");
    assert_eq!(seen(&mut admin).1, None);
}

/// What stays open: PostgreSQL's own functions in a default or a check are no code of the tenant's. One that runs a text of the
/// tenant's runs it with the administrator's rights.
#[test]
fn postgresqls_own_functions_run_as_the_administrator() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    let text = "query_to_xml('SELECT min(name) FROM tenant_bravo.users', true, false, '')::text";
    inside(&mut app, "acme", &format!("CREATE TABLE notes (a int, loot text DEFAULT {text})"));
    // Inside the tenant it is refused; so is what the administrator does there.
    for role in [world.app.as_str(), plio_tests::SUPERUSER] {
        let mut client = world.db.connect(role);
        client.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
        expect_sqlstate(client.batch_execute("INSERT INTO notes (a) VALUES (1)"), "42501");
    }
    let mut admin = world.db.superuser();
    admin.batch_execute("INSERT INTO tenant_acme.notes (a) VALUES (1)").unwrap();
    assert!(value(&mut admin, "SELECT loot FROM tenant_acme.notes").contains("canary-bravo"));
}
