//! What belongs to the database, the cluster or another schema is refused inside a tenant.

use plio_tests::{Cluster, Layers, SUPERUSER, TwoTenants, assert_refusal, expect_sqlstate};

use super::judge::Judge;

fn fixture() -> TwoTenants {
    let fixture = Cluster::shared().database("ddl").tenants(Layers::of(module_path!()));
    fixture
        .db
        .superuser()
        .batch_execute(
            "CREATE SCHEMA other; GRANT ALL ON SCHEMA other, public TO PUBLIC;
             CREATE TABLE other.t (a int); CREATE TABLE public.unshared (a int PRIMARY KEY);
             GRANT ALL ON other.t, public.unshared TO PUBLIC;
             CREATE FUNCTION public.helper() RETURNS int LANGUAGE sql AS 'SELECT 1';
             CREATE SEQUENCE public.counter; GRANT ALL ON public.counter TO PUBLIC;
             CREATE TYPE public.mood AS ENUM ('calm')",
        )
        .unwrap();
    fixture
}

/// Everything that lies in no schema, or outside the tenant's work: whoever asks, ours is the refusal.
const DATABASE_WIDE: &[&str] = &[
    "CREATE SCHEMA mine",
    "CREATE SCHEMA AUTHORIZATION CURRENT_USER",
    "DROP SCHEMA tenant_acme CASCADE",
    "DROP SCHEMA IF EXISTS nothing",
    "ALTER SCHEMA tenant_acme RENAME TO mine",
    "ALTER SCHEMA tenant_acme OWNER TO postgres",
    "COMMENT ON SCHEMA tenant_acme IS 'x'",
    "GRANT ALL ON SCHEMA tenant_acme TO PUBLIC",
    "GRANT SELECT ON users TO PUBLIC",
    "REVOKE ALL ON users FROM PUBLIC",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA tenant_acme TO PUBLIC",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "REASSIGN OWNED BY CURRENT_USER TO postgres",
    "DROP OWNED BY CURRENT_USER",
    "ALTER TABLE users OWNER TO postgres",
    "ALTER SEQUENCE users_id_seq OWNER TO postgres",
    "CREATE EXTENSION hstore",
    "ALTER EXTENSION plio_tenancy UPDATE",
    "ALTER EXTENSION plio_tenancy SET SCHEMA public",
    "ALTER EXTENSION plio_tenancy ADD TABLE users",
    "DROP EXTENSION plio_tenancy",
    "CREATE ROLE mine",
    "CREATE USER mine SUPERUSER",
    "ALTER ROLE CURRENT_USER LOGIN",
    "ALTER ROLE CURRENT_USER SET work_mem = '1MB'",
    "DROP ROLE IF EXISTS nobody",
    "GRANT plio_admin TO CURRENT_USER",
    "CREATE DATABASE mine",
    "DROP DATABASE IF EXISTS nothing",
    "ALTER DATABASE postgres SET work_mem = '1MB'",
    "ALTER SYSTEM SET work_mem = '1MB'",
    "ALTER SYSTEM RESET ALL",
    "CREATE TABLESPACE mine LOCATION '/tmp/mine'",
    "DROP TABLESPACE IF EXISTS mine",
    "CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION plio._on_ddl_command_end()",
    "ALTER EVENT TRIGGER plio_sql_drop DISABLE",
    "DROP EVENT TRIGGER plio_sql_drop",
    "CREATE PUBLICATION mine FOR TABLE users",
    "CREATE PUBLICATION mine FOR ALL TABLES",
    "DROP PUBLICATION IF EXISTS mine",
    "CREATE SUBSCRIPTION mine CONNECTION '' PUBLICATION x WITH (connect = false)",
    "DROP SUBSCRIPTION IF EXISTS mine",
    "CREATE FOREIGN DATA WRAPPER mine",
    "CREATE SERVER mine FOREIGN DATA WRAPPER mine",
    "CREATE USER MAPPING FOR CURRENT_USER SERVER mine",
    "CREATE FOREIGN TABLE f (a int) SERVER mine",
    "IMPORT FOREIGN SCHEMA x FROM SERVER mine INTO tenant_acme",
    "DROP SERVER IF EXISTS mine",
    "CREATE LANGUAGE plperl",
    "DROP LANGUAGE IF EXISTS plperl",
    "CREATE CAST (users AS text) WITH INOUT",
    "CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION f(internal))",
    "CREATE ACCESS METHOD mine TYPE TABLE HANDLER heap_tableam_handler",
    "CREATE OPERATOR FAMILY mine USING btree",
    "CREATE CONVERSION mine FOR 'UTF8' TO 'LATIN1' FROM utf8_to_iso8859_1",
    "SECURITY LABEL ON TABLE users IS 'x'",
    "COMMENT ON DATABASE postgres IS 'x'",
    "COMMENT ON ROLE postgres IS 'x'",
    "COMMENT ON EXTENSION plio_tenancy IS 'x'",
    "ALTER FUNCTION public.helper() DEPENDS ON EXTENSION plio_tenancy",
    "ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE pg_default",
    "ALTER LARGE OBJECT 1 OWNER TO CURRENT_USER",
    "REINDEX SCHEMA tenant_acme",
    "ANALYZE",
    "CLUSTER",
    "CHECKPOINT",
    "LOAD 'auto_explain'",
    "LISTEN news",
    "COPY users TO '/tmp/x'",
    "COPY users FROM PROGRAM 'true'",
    "DO $$ BEGIN CREATE SCHEMA mine; END $$",
    "DO $$ BEGIN EXECUTE 'CREATE ROLE mine'; END $$",
];

/// An ordinary role and a superuser get the same answer; with no tenant a superuser may.
#[test]
fn what_belongs_to_the_database_is_refused() {
    let fixture = fixture();
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        for statement in DATABASE_WIDE {
            acme.refused(statement, "42501");
        }
    }
    let mut admin = fixture.db.superuser();
    let mut outside = Judge::outside(&mut admin);
    for statement in [
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "GRANT SELECT ON public.countries TO PUBLIC",
        "CREATE EXTENSION hstore",
        "CREATE PUBLICATION mine",
        "CHECKPOINT",
        "LISTEN news",
        "ANALYZE",
    ] {
        outside.allowed(statement);
    }
}

/// Statements that may not run in a transaction block, in a session's tenant: the tenant's own tables only.
#[test]
fn maintenance_is_the_tenants_own() {
    let fixture = fixture();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("SET plio.tenant = 'acme'").unwrap();
    for statement in [
        "VACUUM users",
        "VACUUM (ANALYZE) users",
        "CREATE INDEX CONCURRENTLY i ON users (name)",
        "REINDEX INDEX CONCURRENTLY i",
        "DROP INDEX CONCURRENTLY i",
        "REINDEX TABLE CONCURRENTLY users",
    ] {
        app.batch_execute(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    for statement in [
        "VACUUM",
        "VACUUM tenant_bravo.users",
        "VACUUM users, tenant_bravo.users",
        "VACUUM public.unshared",
        "VACUUM public.countries",
        "REINDEX SCHEMA tenant_acme",
        "REINDEX SCHEMA tenant_bravo",
        "REINDEX TABLE CONCURRENTLY tenant_bravo.users",
        "CREATE DATABASE x",
        "DROP INDEX CONCURRENTLY tenant_bravo.users_pkey",
        "CREATE INDEX CONCURRENTLY ON tenant_bravo.users (name)",
    ] {
        let error = expect_sqlstate(app.batch_execute(statement), "42501");
        assert_refusal(&error, "42501", &["canary", "bravo"]);
    }
    // Without a tenant: by one who may enter both, and owns both where there is one layer; by one who may enter none.
    for role in [&fixture.app, &fixture.carol] {
        let mut client = fixture.db.connect(role);
        for statement in [
            "VACUUM tenant_bravo.users",
            "VACUUM FULL tenant_bravo.users",
            "VACUUM (ANALYZE) public.countries, tenant_bravo.users",
            "ANALYZE tenant_bravo.users",
            "REINDEX SCHEMA tenant_bravo",
            "REINDEX TABLE tenant_bravo.users",
            "REINDEX TABLE CONCURRENTLY tenant_bravo.users",
            "REINDEX INDEX CONCURRENTLY tenant_bravo.users_pkey",
            "CLUSTER tenant_bravo.users USING users_pkey",
            "DROP INDEX CONCURRENTLY tenant_bravo.users_pkey",
            "CREATE INDEX CONCURRENTLY ON tenant_bravo.users (name)",
        ] {
            let error = expect_sqlstate(client.batch_execute(statement), "55000");
            assert_refusal(&error, "55000", &["canary", "bravo"]);
        }
    }
}

/// Nothing is created in, moved to or taken from another schema: another tenant's, `public`, one of the application's.
#[test]
fn targets_in_other_schemas_are_refused() {
    let fixture = fixture();
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        for schema in ["tenant_bravo", "public", "other"] {
            for template in [
                "CREATE TABLE {s}.x (a int)",
                "CREATE TABLE {s}.x AS SELECT 1 AS a",
                "SELECT 1 AS a INTO {s}.x",
                "CREATE VIEW {s}.x AS SELECT 1 AS a",
                "CREATE MATERIALIZED VIEW {s}.x AS SELECT 1 AS a",
                "CREATE SEQUENCE {s}.x",
                "CREATE FUNCTION {s}.x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                "CREATE PROCEDURE {s}.x() LANGUAGE sql AS ''",
                "CREATE AGGREGATE {s}.x (int) (SFUNC = int4pl, STYPE = int)",
                "CREATE OPERATOR {s}.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)",
                "CREATE TYPE {s}.x AS ENUM ('a')",
                "CREATE TYPE {s}.x AS (a int)",
                "CREATE DOMAIN {s}.x AS int",
                "CREATE TYPE {s}.x AS RANGE (subtype = int4)",
                "CREATE COLLATION {s}.x (LOCALE = 'C')",
                "CREATE STATISTICS {s}.x ON id, name FROM users",
                "CREATE TEXT SEARCH CONFIGURATION {s}.x (COPY = pg_catalog.simple)",
                "ALTER TABLE users SET SCHEMA {s}",
                "CREATE SEQUENCE s; ALTER SEQUENCE s SET SCHEMA {s}",
                "CREATE VIEW v AS SELECT 1 AS a; ALTER VIEW v SET SCHEMA {s}",
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION f() SET SCHEMA {s}",
                "CREATE TYPE e AS ENUM ('a'); ALTER TYPE e SET SCHEMA {s}",
                "CREATE DOMAIN d AS int; ALTER DOMAIN d SET SCHEMA {s}",
            ] {
                acme.refused(&template.replace("{s}", schema), "42501");
            }
        }
        for statement in [
            "CREATE TABLE plio.x (a int)",
            "CREATE TABLE pg_catalog.x (a int)",
            "ALTER TABLE other.t SET SCHEMA tenant_acme",
            "ALTER TABLE public.unshared SET SCHEMA tenant_acme",
            "ALTER TABLE public.countries ADD COLUMN x int",
            "DROP TABLE public.countries",
            "DROP TABLE public.unshared",
            "DROP TABLE users, public.unshared",
            "DROP FUNCTION public.helper()",
            "DROP SEQUENCE public.counter",
            "DROP TYPE public.mood",
            "ALTER TYPE public.mood ADD VALUE 'x'",
            "CREATE OR REPLACE FUNCTION public.helper() RETURNS int LANGUAGE sql AS 'SELECT 2'",
            "ALTER FUNCTION public.helper() STABLE",
            "CREATE INDEX ON public.unshared (a)",
            "CREATE TRIGGER t BEFORE INSERT ON public.unshared FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "CREATE RULE r AS ON INSERT TO public.countries DO ALSO NOTHING",
            "CREATE POLICY p ON public.countries USING (true)",
            "COMMENT ON TABLE public.countries IS 'x'",
            "ALTER TABLE public.countries RENAME TO lands",
            "CREATE STATISTICS stat ON code, name FROM public.countries",
            "REFRESH MATERIALIZED VIEW public.nothing; SELECT * FROM public.unshared",
        ] {
            let is_one = Layers::of(module_path!()) == Layers::One;
            if is_one && role == SUPERUSER && statement.starts_with("CREATE STATISTICS") {
                continue; // It lies in the tenant's schema, and a superuser keeps the right to make it there.
            }
            for answer in acme.answers(statement) {
                let error = answer.expect_err(statement);
                assert!(["42501", "42P01"].contains(&error.code().code()), "{statement}: {error:?}");
            }
        }
    }
}

/// With no tenant, a tenant's schema and role change by our functions only, administrators included; nothing else does.
#[test]
fn a_tenants_schema_and_role_are_ours_to_change() {
    let fixture = fixture();
    let mut admin = fixture.db.superuser();
    if Layers::of(module_path!()) == Layers::One {
        adopted_schemas_are_ours_to_change(&fixture);
        return; // There is no role of the tenant's.
    }
    let role: String =
        admin.query_one("SELECT role_name FROM plio.tenants WHERE org = 'acme'", &[]).unwrap().get(0);
    let mut outside = Judge::outside(&mut admin).silent_about(&["canary"]);
    for statement in [
        "DROP SCHEMA tenant_acme CASCADE",
        "DROP SCHEMA other, tenant_acme CASCADE",
        "ALTER SCHEMA tenant_acme RENAME TO mine",
        "ALTER SCHEMA tenant_acme OWNER TO postgres",
        &format!("DROP ROLE {role}"),
        &format!("DROP OWNED BY {role} CASCADE"),
    ] {
        outside.refused(statement, "2BP01");
    }
    // What happens to a role in other ways leaves the tenant as it is, or is seen by plio.health().
    for statement in
        [&format!("ALTER ROLE {role} RENAME TO somebody"), &format!("ALTER ROLE {role} SUPERUSER")]
    {
        outside.refused(statement, "2BP01");
    }
    for statement in
        ["ALTER SCHEMA other RENAME TO mine", "DROP SCHEMA other CASCADE", "CREATE ROLE x; DROP ROLE x"]
    {
        outside.allowed(statement);
    }
    drop(outside);
    Judge::inside(&mut admin, "acme").allowed("SELECT * FROM users");
}

/// By an administrator, and by the schemas' owner, though PostgreSQL would let him.
fn adopted_schemas_are_ours_to_change(fixture: &TwoTenants) {
    let (db, app) = (&fixture.db, &fixture.app);
    let mut admin = db.superuser();
    let heir = db.login_role("heir");
    admin
        .batch_execute(&format!(
            "GRANT CREATE ON DATABASE {} TO {app}, {heir}; GRANT {heir} TO {app}",
            db.name()
        ))
        .unwrap();
    for (role, dropped) in [(SUPERUSER, "2BP01"), (app, "55000")] {
        let mut client = db.connect(role);
        let mut outside = Judge::outside(&mut client).silent_about(&["canary"]);
        outside.refused("DROP SCHEMA tenant_acme CASCADE", dropped);
        outside.refused("ALTER SCHEMA tenant_acme RENAME TO mine", "2BP01");
        outside.refused(&format!("ALTER SCHEMA tenant_acme OWNER TO {heir}"), "2BP01");
        outside.allowed(&format!(
            "CREATE SCHEMA made; ALTER SCHEMA made RENAME TO mine; ALTER SCHEMA mine OWNER TO {heir}; DROP SCHEMA mine"
        ));
    }
}

/// Without a tenant an ordinary role creates, alters and drops nothing in a tenant's schema, though it owns it and all that
/// is in it, and however it finds the names.
#[test]
fn without_a_tenant_nothing_is_made_or_dropped_in_a_tenants_schema() {
    let fixture = fixture();
    let owns = Layers::of(module_path!()) == Layers::One;
    if owns {
        fixture
            .db
            .superuser()
            .batch_execute(&format!(
                "ALTER TABLE public.unshared OWNER TO {0}; ALTER FUNCTION public.helper() OWNER TO {0}",
                fixture.app
            ))
            .unwrap();
    }
    let mut app = fixture.db.connect(&fixture.app);
    for preamble in ["SET LOCAL search_path = public", "SET LOCAL search_path = tenant_acme, public"] {
        let mut outside = Judge::after(&mut app, preamble).silent_about(&["canary"]);
        for statement in [
            "CREATE TABLE tenant_acme.x (a int)",
            "CREATE TABLE tenant_acme.x AS SELECT 1",
            "CREATE VIEW tenant_acme.x AS SELECT 1",
            "CREATE SEQUENCE tenant_acme.x",
            "CREATE FUNCTION tenant_acme.x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE TYPE tenant_acme.x AS ENUM ('a')",
            "CREATE DOMAIN tenant_acme.x AS int",
            "DROP TABLE tenant_acme.users",
            "ALTER TABLE tenant_acme.users ADD COLUMN x int",
            "COMMENT ON TABLE tenant_acme.users IS 'x'",
            "GRANT SELECT ON tenant_acme.users TO PUBLIC",
            "REINDEX SCHEMA tenant_acme",
        ] {
            outside.refused(statement, "55000");
        }
        // By the owner alone: others are refused by PostgreSQL, or find nothing.
        for statement in [
            "ALTER TABLE public.unshared SET SCHEMA tenant_acme",
            "ALTER FUNCTION public.helper() SET SCHEMA tenant_acme",
        ] {
            if owns {
                outside.refused(statement, "55000");
            }
        }
    }
    if owns {
        let mut outside =
            Judge::after(&mut app, "SET LOCAL search_path = tenant_acme").silent_about(&["canary"]);
        for statement in [
            "CREATE TABLE x (a int)",
            "CREATE FUNCTION x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE INDEX ON users (name)",
            "ALTER TABLE users ADD COLUMN x int",
            "DROP TABLE users",
            "DROP TABLE users CASCADE",
            "COMMENT ON TABLE users IS 'x'",
            "GRANT SELECT ON users TO PUBLIC",
            "DO $$ BEGIN CREATE TABLE x (a int); END $$",
        ] {
            outside.refused(statement, "55000");
        }
        outside.refused("DROP OWNED BY CURRENT_USER CASCADE", "55000");
        drop(outside);
        // What commits half-way is judged before.
        for preamble in [
            "RESET plio.tenant; SET search_path = tenant_acme",
            "RESET search_path; SET plio.tenant = 'acme'",
        ] {
            app.batch_execute(preamble).unwrap();
            let table = if preamble.ends_with("tenant_acme") { "users" } else { "public.unshared" };
            let code = if table == "users" { "55000" } else { "42501" };
            app.batch_execute(&format!("CREATE INDEX CONCURRENTLY left_over ON {table} ((1))"))
                .map_err(|error| assert_eq!(error.code().map(|c| c.code()), Some(code)))
                .unwrap_err();
        }
        app.batch_execute("RESET plio.tenant").unwrap();
        let left =
            fixture.db.superuser().query("SELECT FROM pg_class WHERE relname = 'left_over'", &[]).unwrap();
        assert!(left.is_empty());
    }
    // Administrators may, and what is no tenant's stays free.
    let mut admin = fixture.db.superuser();
    let mut outside = Judge::outside(&mut admin);
    outside.allowed(
        "CREATE TABLE tenant_acme.x (a int); ALTER TABLE tenant_acme.x ADD b int; DROP TABLE tenant_acme.x",
    );
    drop(outside);
    Judge::outside(&mut app)
        .allowed("CREATE TABLE other.x (a int); ALTER TABLE other.x ADD b int; DROP TABLE other.x");
}

/// A tenant moves nothing that is not its own into its schema, though its role owns both.
#[test]
fn a_tenant_takes_nothing_in() {
    let fixture = fixture();
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute("CREATE DOMAIN public.short AS text; CREATE OPERATOR public.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)")
        .unwrap();
    for kind in [
        "TABLE public.unshared",
        "SEQUENCE public.counter",
        "FUNCTION public.helper()",
        "TYPE public.mood",
        "DOMAIN public.short",
    ] {
        admin.batch_execute(&format!("ALTER {kind} OWNER TO {}", fixture.app)).unwrap();
    }
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        for kind in [
            "TABLE public.unshared",
            "SEQUENCE public.counter",
            "FUNCTION public.helper()",
            "TYPE public.mood",
            "TYPE public.short",
            "DOMAIN public.short",
            "OPERATOR public.=== (text, text)",
        ] {
            acme.refused(&format!("ALTER {kind} SET SCHEMA tenant_acme"), "42501");
        }
        acme.allowed("CREATE TYPE own AS ENUM ('a'); ALTER TYPE own SET SCHEMA tenant_acme; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION f() SET SCHEMA tenant_acme");
        for (made, kind) in [
            ("DOMAIN own AS int", "DOMAIN own"),
            ("DOMAIN own AS int", "TYPE own"),
            ("TYPE own AS (a int)", "TYPE own"),
            ("TYPE own AS RANGE (SUBTYPE = int)", "TYPE own"),
        ] {
            acme.allowed(&format!("CREATE {made}; ALTER {kind} SET SCHEMA tenant_acme"));
            for schema in ["public", "tenant_bravo", "pg_catalog"] {
                acme.refused(&format!("CREATE {made}; ALTER {kind} SET SCHEMA {schema}"), "42501");
            }
            acme.denied(&format!("CREATE {made}; ALTER {kind} SET SCHEMA pg_temp"), "0A000");
        }
        acme.denied("ALTER TYPE tenant_acme.nothing SET SCHEMA tenant_acme", "42704");
    }
}
