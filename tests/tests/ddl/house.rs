//! The extension's own objects: nobody changes them by hand while enforcement is on; and DROP EXTENSION loses no tenant.

use plio_tests::{Cluster, assert_refusal, assert_silent_about, expect_sqlstate};
use postgres::Client;

use super::judge::Judge;

/// What a superuser may do by mistake.
const MISTAKES: &[&str] = &[
    "CREATE OR REPLACE FUNCTION plio._refuse_history_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "CREATE OR REPLACE FUNCTION plio._on_ddl_command_end() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "SET search_path = plio; CREATE OR REPLACE FUNCTION _on_sql_drop() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "ALTER FUNCTION plio.set_tenant(text) SET plio.enforcement = off",
    "ALTER FUNCTION plio.set_tenant(text) RENAME TO enter",
    "ALTER FUNCTION plio.set_tenant(text) OWNER TO {app}",
    "ALTER FUNCTION plio.drop_tenant(text, text) SECURITY INVOKER",
    "ALTER FUNCTION plio.health() SET SCHEMA public",
    "ALTER FUNCTION plio.health() DEPENDS ON EXTENSION plpgsql",
    "CREATE FUNCTION plio.set_tenant(varchar) RETURNS void LANGUAGE sql AS ''",
    "SET search_path = plio, public; CREATE FUNCTION set_tenant(varchar) RETURNS void LANGUAGE sql AS ''",
    "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION public.f() SET SCHEMA plio",
    "CREATE TABLE plio.x (a int)",
    "CREATE VIEW plio.x AS SELECT 1",
    "CREATE TYPE plio.x AS ENUM ('a')",
    "CREATE OPERATOR plio.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)",
    "ALTER TABLE plio.tenants RENAME TO gone",
    "ALTER TABLE plio.tenants SET SCHEMA public",
    "ALTER TABLE plio.tenants ADD COLUMN x int",
    "ALTER TABLE plio.tenants DROP CONSTRAINT tenants_org_check",
    "ALTER TABLE plio.access DISABLE TRIGGER ALL",
    "ALTER TABLE plio.tenants OWNER TO {app}",
    "ALTER TABLE plio.tenants ENABLE ROW LEVEL SECURITY",
    "ALTER VIEW plio.denials RENAME TO gone",
    "CREATE OR REPLACE VIEW plio.denials AS SELECT * FROM plio.denials_history",
    "ALTER SEQUENCE plio.tenants_tenant_id_seq RESTART",
    "CREATE TRIGGER t BEFORE INSERT ON plio.tenants FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE r AS ON INSERT TO plio.access DO INSTEAD NOTHING",
    "CREATE POLICY p ON plio.shares USING (false)",
    "CREATE INDEX ON plio.history (at)",
    "ALTER EVENT TRIGGER plio_ddl_command_end DISABLE",
    "ALTER EVENT TRIGGER plio_sql_drop RENAME TO x",
    "ALTER EVENT TRIGGER plio_sql_drop OWNER TO {super}",
    "ALTER SCHEMA plio OWNER TO {app}",
    "ALTER SCHEMA plio RENAME TO olip",
    "ALTER SCHEMA plio_reports OWNER TO {app}",
    "ALTER SERVER plio_tenants OWNER TO {super}",
    "ALTER FOREIGN DATA WRAPPER plio_tenants NO HANDLER",
    "ALTER EXTENSION plio_tenancy ADD TABLE public.countries",
    "CREATE EXTENSION hstore SCHEMA plio",
    "GRANT CREATE ON SCHEMA plio TO {app}",
    "GRANT ALL ON SCHEMA plio TO {app}",
    "GRANT INSERT ON plio.tenants TO {app}",
    "GRANT REFERENCES ON plio.tenants TO {app}",
    "CREATE TABLE public.heir () INHERITS (plio.tenants)",
    "GRANT ALL ON plio.access TO {app}",
    "GRANT UPDATE (status) ON plio.tenants TO {app}",
    "GRANT DELETE ON ALL TABLES IN SCHEMA plio TO {app}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA plio GRANT ALL ON TABLES TO {app}",
    "UPDATE plio.tenants SET status = 'suspended'",
    "UPDATE plio.tenants SET settings = '{}', schema_name = 'x'",
    "DELETE FROM plio.tenants",
    "DELETE FROM plio.tenants WHERE false",
    "DELETE FROM plio.access",
    "UPDATE plio.shares SET mode = 'write'",
    "DELETE FROM plio.previous_owners",
    "TRUNCATE plio.tenants",
    "TRUNCATE plio.access, plio.shares",
    "WITH gone AS (DELETE FROM plio.access RETURNING 1) SELECT count(*) FROM gone",
    "MERGE INTO plio.shares s USING (SELECT 1) x ON true WHEN MATCHED THEN DELETE",
    "INSERT INTO plio.shares (schema_name, mode) VALUES ('x', 'read') ON CONFLICT (schema_name, relation_name, is_function) DO UPDATE SET mode = 'read'",
    "DO $$ BEGIN DELETE FROM plio.access; END $$",
    // What a sequence has given out is never given out again.
    "SELECT setval('plio.tenants_tenant_id_seq', 1)",
    "SELECT setval('plio.history_history_id_seq', 1, false)",
    "ALTER TABLE plio.tenants REPLICA IDENTITY FULL",
    "ALTER TABLE plio.tenants SET (fillfactor = 50), ADD COLUMN x int",
    "ALTER VIEW plio.denials SET (security_invoker = true)",
    "CREATE STATISTICS public.s ON org, status FROM plio.tenants",
    "CREATE PUBLICATION p FOR TABLE plio.tenants",
    "CREATE PUBLICATION p FOR TABLES IN SCHEMA plio",
    "CREATE PUBLICATION p; ALTER PUBLICATION p ADD TABLE plio.access",
    "CREATE PUBLICATION p; ALTER PUBLICATION p SET TABLES IN SCHEMA plio",
    "CREATE USER MAPPING FOR {app} SERVER plio_tenants",
    "CREATE SERVER s FOREIGN DATA WRAPPER plio_tenants",
    "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION plio._on_ddl_command_end()",
    "GRANT UPDATE (settings, status) ON plio.tenants TO {app}",
    "GRANT UPDATE (settings), DELETE ON plio.tenants TO {app}",
    "GRANT INSERT (settings) ON plio.tenants TO {app}",
    "GRANT UPDATE (org) ON plio.access TO {app}",
    "GRANT UPDATE ON SEQUENCE plio.tenants_tenant_id_seq TO {app}",
    "CREATE TABLE plio_reports.x (a int)",
];

/// What a DBA, an application or a restore does.
const LEGITIMATE: &[&str] = &[
    "GRANT USAGE ON SCHEMA plio TO {app}",
    "GRANT SELECT ON plio.tenants, plio.history TO {app}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA plio TO {app}",
    "GRANT EXECUTE ON FUNCTION plio.create_tenant(text, text, jsonb) TO {app}",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA plio TO {app}",
    "GRANT ALL ON plio.tenants TO {super}",
    "REVOKE EXECUTE ON FUNCTION plio.set_tenant(text) FROM PUBLIC",
    "GRANT UPDATE (settings) ON plio.tenants TO {app}",
    "GRANT SELECT, UPDATE (settings) ON TABLE plio.tenants TO {app}",
    "CREATE PUBLICATION p FOR ALL TABLES",
    "CREATE PUBLICATION p FOR TABLE public.countries; DROP PUBLICATION p",
    "CREATE STATISTICS public.s ON code, name FROM public.countries; DROP STATISTICS public.s",
    "ALTER TABLE plio.denials_history SET (autovacuum_vacuum_scale_factor = 0.01, fillfactor = 90)",
    "ALTER TABLE plio.denials_history RESET (autovacuum_vacuum_scale_factor)",
    // What a restore does with the numbers, and with the tables of report views.
    "SELECT setval('plio.tenants_tenant_id_seq', (SELECT last_value + 5 FROM plio.tenants_tenant_id_seq), true)",
    "SELECT setval('plio.history_history_id_seq', (SELECT last_value FROM plio.history_history_id_seq), true)",
    "CREATE FOREIGN TABLE plio_reports.x (org text, id bigint) SERVER plio_tenants OPTIONS (table_name 'users')",
    "COMMENT ON EXTENSION plio_tenancy IS 'x'",
    "COMMENT ON TABLE plio.tenants IS 'x'",
    "ANALYZE plio.history",
    "REINDEX TABLE plio.tenants",
    "CLUSTER plio.tenants USING tenants_pkey",
    "LOCK TABLE plio.tenants IN SHARE MODE",
    "SELECT * FROM plio.tenants FOR UPDATE",
    "UPDATE plio.tenants SET settings = '{\"plan\": 1}' WHERE org = 'acme'",
    "INSERT INTO plio.shares (schema_name, mode) VALUES ('x', 'read')",
    "CREATE TABLE public.bills (org text REFERENCES plio.tenants (org) ON DELETE CASCADE); DROP TABLE public.bills",
    "CREATE VIEW public.orgs AS SELECT org FROM plio.tenants; DROP VIEW public.orgs",
    "CREATE TABLE public.x (a int); ALTER TABLE public.x ADD b int; DROP TABLE public.x",
    "CREATE EXTENSION hstore SCHEMA public; DROP EXTENSION hstore",
    "SELECT plio.create_tenant('c'), plio.suspend_tenant('c'), plio.rename_tenant('c', 'd'), plio.drop_tenant('d', 'd')",
    "SELECT plio.unshare('public.countries'), plio.share('public.countries', 'write'), plio.share('public.countries', 'read')",
    "SELECT plio.grant_access('{app}', 'acme'), plio.revoke_access('{app}', 'acme')",
    "ALTER ROLE {app} RENAME TO app_renamed",
];

#[test]
fn nobody_changes_what_is_the_extensions_own() {
    let fixture = Cluster::shared().database("house").two_tenants();
    let mut admin = fixture.db.superuser();
    let other: String = {
        let role = fixture.db.login_role("dba");
        admin.batch_execute(&format!("ALTER ROLE {role} SUPERUSER")).unwrap();
        role
    };
    let named = |statement: &str| statement.replace("{app}", &fixture.app).replace("{super}", &other);
    for mode in ["on", "report"] {
        admin.batch_execute(&format!("SET plio.enforcement = {mode}")).unwrap();
        for mistake in MISTAKES {
            let tried = admin.batch_execute(&format!("BEGIN; {}", named(mistake)));
            assert!(tried.is_err(), "{mode}: {mistake}");
            let refused = expect_sqlstate(tried, "42501");
            assert_refusal(&refused, "42501", &["canary"]);
            assert!(refused.hint().unwrap().contains("plio.enforcement"), "{mistake}: {refused:?}");
            admin.batch_execute("ROLLBACK").unwrap();
        }
        for statement in LEGITIMATE {
            admin
                .batch_execute(&format!("BEGIN; {}; ROLLBACK", named(statement)))
                .unwrap_or_else(|error| panic!("{mode}: {statement}: {error:?}"));
        }
    }
    // A member of plio_admin that is no superuser has not even PostgreSQL's leave.
    let ann = fixture.db.login_role("ann");
    admin.batch_execute(&format!("GRANT plio_admin TO {ann}")).unwrap();
    let mut ann = fixture.db.connect(&ann);
    ann.batch_execute("SELECT * FROM plio.tenants").unwrap();
    for mistake in
        MISTAKES.iter().chain(&["ALTER TABLE plio.history DISABLE TRIGGER ALL", "DELETE FROM plio.history"])
    {
        let tried = ann.batch_execute(&format!("BEGIN; {}", named(mistake)));
        assert!(tried.is_err(), "{mistake}");
        assert_silent_about(&expect_sqlstate(tried, "42501"), &["canary"]);
        ann.batch_execute("ROLLBACK").unwrap();
    }
    admin.batch_execute("SET plio.enforcement = off").unwrap();
    for mistake in MISTAKES.iter().filter(|mistake| !mistake.contains("WHERE false")) {
        // PostgreSQL may still have its reasons, we have none.
        if let Err(error) = admin.batch_execute(&format!("BEGIN; {}", named(mistake))) {
            let message = error.as_db_error().unwrap().message();
            assert!(!message.starts_with("cannot change what belongs to extension"), "{mistake}: {error:?}");
        }
        admin.batch_execute("ROLLBACK").unwrap();
    }
}

/// What does not run in a transaction; and what a grant of the one column that is the application's is good for.
#[test]
fn maintenance_and_the_settings_stay_open() {
    let fixture = Cluster::shared().database("house_open").two_tenants();
    let mut admin = fixture.db.superuser();
    for statement in ["VACUUM plio.tenants", "VACUUM (FULL, ANALYZE) plio.history", "REINDEX SCHEMA plio"] {
        admin.batch_execute(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    let app = &fixture.app;
    admin
        .batch_execute(&format!(
            "GRANT USAGE ON SCHEMA plio TO {app}; GRANT SELECT, UPDATE (settings) ON plio.tenants TO {app}"
        ))
        .unwrap();
    let mut client = fixture.db.connect(app);
    client.batch_execute("UPDATE plio.tenants SET settings = '{\"plan\": 2}' WHERE org = 'acme'").unwrap();
    expect_sqlstate(client.batch_execute("UPDATE plio.tenants SET status = 'suspended'"), "42501");
}

/// ALTER EXTENSION .. UPDATE changes all of it, with enforcement on and tenants there.
#[test]
fn an_update_of_the_extension_may() {
    let db = Cluster::shared().database("house_update");
    let mut admin = db.superuser();
    admin.batch_execute("CREATE EXTENSION plio_tenancy VERSION '0.1.0'").unwrap();
    let mut admin = db.superuser();
    admin
        .batch_execute(
            "CREATE SCHEMA acme; SET plio.enforcement = off;
             INSERT INTO plio.tenants (org, schema_name) VALUES ('acme', 'acme'); RESET plio.enforcement",
        )
        .unwrap();
    admin.batch_execute("ALTER EXTENSION plio_tenancy UPDATE").unwrap();
    let version = "SELECT extversion <> '0.1.0' FROM pg_extension WHERE extname = 'plio_tenancy'";
    assert!(admin.query_one(version, &[]).unwrap().get::<_, bool>(0));
    expect_sqlstate(admin.batch_execute("CREATE TABLE plio.x (a int)"), "42501");
}

/// Functions of somebody else's in a schema of this name would be found before ours.
#[test]
fn the_extension_moves_into_no_schema_of_somebody_elses() {
    let db = Cluster::shared().database("house_taken");
    let squatter = db.login_role("squatter");
    let mut admin = db.superuser();
    admin.batch_execute(&format!("GRANT CREATE ON DATABASE {} TO {squatter}", db.name())).unwrap();
    for (taken, client) in [
        ("CREATE SCHEMA plio", &squatter),
        ("CREATE SCHEMA plio; CREATE FUNCTION plio.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", &squatter),
    ] {
        db.connect(client).batch_execute(taken).unwrap();
        expect_sqlstate(admin.batch_execute("CREATE EXTENSION plio_tenancy"), "55000");
        admin.batch_execute("DROP SCHEMA plio CASCADE").unwrap();
    }
    admin.batch_execute("CREATE SCHEMA plio; CREATE TYPE plio.t AS ENUM ()").unwrap();
    expect_sqlstate(admin.batch_execute("CREATE EXTENSION plio_tenancy"), "55000");
    admin.batch_execute("DROP TYPE plio.t; CREATE EXTENSION plio_tenancy").unwrap();
}

fn orgs(admin: &mut Client) -> Vec<String> {
    admin
        .query("SELECT org FROM plio.tenants ORDER BY 1", &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// While there are tenants the extension stays, whichever statement would take it along.
#[test]
fn the_extension_is_not_dropped_while_tenants_exist() {
    let fixture = Cluster::start(&[]).database("house_drop").two_tenants();
    let mut admin = fixture.db.superuser();
    for mode in ["on", "report"] {
        admin.batch_execute(&format!("SET plio.enforcement = {mode}")).unwrap();
        for statement in [
            "DROP EXTENSION plio_tenancy",
            "DROP EXTENSION plio_tenancy CASCADE",
            "DROP EXTENSION IF EXISTS plpgsql, plio_tenancy CASCADE",
            "DROP SCHEMA plio CASCADE",
            "DO $$ BEGIN DROP EXTENSION plio_tenancy; END $$",
        ] {
            let refused = expect_sqlstate(admin.batch_execute(statement), "2BP01");
            assert_refusal(&refused, "2BP01", &["canary", "acme"]);
            assert!(refused.hint().unwrap().contains("plio.enforcement"), "{statement}: {refused:?}");
        }
    }
    admin.batch_execute("SET plio.enforcement = on").unwrap();
    assert_eq!(orgs(&mut admin), ["acme", "bravo"]);
    // The owner of the database owns neither the extension nor its schema.
    admin.batch_execute(&format!("ALTER DATABASE {} OWNER TO {}", fixture.db.name(), fixture.app)).unwrap();
    let mut owner = fixture.db.connect(&fixture.app);
    for statement in [
        "DROP EXTENSION plio_tenancy CASCADE",
        "DROP SCHEMA plio CASCADE",
        "ALTER EXTENSION plio_tenancy DROP TABLE plio.tenants",
        "ALTER EXTENSION plio_tenancy UPDATE",
        "ALTER SCHEMA plio RENAME TO gone",
        "DROP TABLE plio.tenants CASCADE",
        "DROP EVENT TRIGGER plio_sql_drop",
        "DROP OWNED BY postgres CASCADE",
        "REASSIGN OWNED BY postgres TO CURRENT_USER",
    ] {
        expect_sqlstate(owner.batch_execute(statement), "42501");
    }
    owner.batch_execute("BEGIN; CREATE SCHEMA made; DROP SCHEMA made; ROLLBACK").unwrap();
    // Without tenants it goes without ado.
    admin
        .batch_execute("SELECT plio.drop_tenant('acme', 'acme'), plio.drop_tenant('bravo', 'bravo')")
        .unwrap();
    for statement in ["DROP SCHEMA plio CASCADE", "DROP EXTENSION plio_tenancy"] {
        admin.batch_execute(&format!("BEGIN; {statement}; ROLLBACK")).unwrap();
    }
    admin.batch_execute("DROP EXTENSION plio_tenancy").unwrap();
    let preloaded = "SELECT count(*) FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE c LIKE '%plio%'";
    assert_eq!(admin.query_one(preloaded, &[]).unwrap().get::<_, i64>(0), 0);
}

/// An owner who installed the extension does not take it along either.
#[test]
fn an_owner_does_not_take_the_extension_along() {
    let db = Cluster::start(&[]).database("house_owner");
    let role = db.login_role("dba");
    db.superuser().batch_execute(&format!("ALTER ROLE {role} SUPERUSER")).unwrap();
    db.connect(&role).batch_execute("CREATE EXTENSION plio_tenancy").unwrap();
    let mut admin = db.superuser();
    admin.batch_execute("SELECT plio.create_tenant('acme')").unwrap();
    expect_sqlstate(admin.batch_execute(&format!("DROP OWNED BY {role} CASCADE")), "2BP01");
    expect_sqlstate(admin.batch_execute(&format!("REASSIGN OWNED BY {role} TO CURRENT_USER")), "42501");
    assert_eq!(orgs(&mut admin), ["acme"]);
}

/// The way back that docs/rollout.md shows: the schemas are adopted again, with their data.
#[test]
fn after_a_drop_the_schemas_are_adopted_again() {
    let fixture = Cluster::start(&[]).database("house_back").two_tenants();
    let app = &fixture.app;
    let mut admin = fixture.db.superuser();
    admin.batch_execute("SET plio.enforcement = off; DROP EXTENSION plio_tenancy").unwrap();
    let docs = include_str!("../../../docs/rollout.md");
    let section = docs.split("## After DROP EXTENSION").nth(1).expect("the section");
    let statements =
        section.split("```sql").nth(1).and_then(|rest| rest.split("```").next()).expect("its statements");
    let mut admin = fixture.db.superuser();
    admin.batch_execute(&statements.replace("app", app)).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(orgs(&mut fixture.db.superuser()), ["acme", "bravo"]);
    let mut client = fixture.db.connect(app);
    let mut acme = Judge::inside(&mut client, "acme");
    acme.gives("SELECT count(*) FROM users", &["3"]);
    acme.refused("SELECT * FROM tenant_bravo.users", "42501");
    acme.allowed("INSERT INTO users (name) VALUES ('x')");
}
