//! Every way to write another tenant's name down.

use crate::judge::{Judge, copy_from};
use crate::world::{administrator, plain_twin, world};

/// `{s}` is a schema: the active tenant's own in the control, another tenant's in the attack.
const STATEMENTS: &[&str] = &[
    "SELECT * FROM {s}.users",
    "TABLE {s}.users",
    "SELECT name FROM {s}.users WHERE false",
    "SELECT name FROM ONLY {s}.users FOR UPDATE",
    "SELECT * FROM {s}.listing",
    "SELECT * FROM {s}.summary",
    "SELECT last_value FROM {s}.users_id_seq",
    "SELECT * FROM users u JOIN {s}.users f USING (id)",
    "SELECT * FROM users u LEFT JOIN {s}.users f ON false",
    "SELECT (SELECT count(*) FROM {s}.users) FROM users",
    "SELECT EXISTS (SELECT 1 FROM {s}.users)",
    "SELECT * FROM users WHERE false AND id IN (SELECT id FROM {s}.users)",
    "SELECT 1 WHERE false AND EXISTS (SELECT 1 FROM {s}.users)",
    "WITH f AS (SELECT * FROM {s}.users) SELECT 1",
    "WITH f AS MATERIALIZED (SELECT * FROM {s}.users) SELECT * FROM f",
    "WITH gone AS (DELETE FROM {s}.users RETURNING name) SELECT * FROM gone",
    "SELECT name FROM users UNION ALL SELECT name FROM {s}.users",
    "SELECT * FROM users TABLESAMPLE system (0) UNION SELECT * FROM {s}.users TABLESAMPLE system (0)",
    "INSERT INTO {s}.users (name) VALUES ('x')",
    "INSERT INTO {s}.users (id, name) VALUES (1, 'x') ON CONFLICT DO NOTHING",
    "INSERT INTO users (name) SELECT name FROM {s}.users",
    "UPDATE {s}.users SET name = 'x' WHERE id = 1 RETURNING name",
    "UPDATE users u SET name = f.name FROM {s}.users f WHERE u.id = f.id",
    "DELETE FROM {s}.users WHERE id = 1",
    "DELETE FROM users u USING {s}.users f WHERE u.id = f.id",
    "MERGE INTO {s}.users u USING (SELECT 1 AS id) s ON u.id = s.id WHEN MATCHED THEN UPDATE SET name = 'x'",
    "MERGE INTO users u USING {s}.users s ON u.id = s.id WHEN MATCHED THEN DO NOTHING",
    "COPY {s}.users TO STDOUT",
    "COPY (SELECT * FROM {s}.users) TO STDOUT",
    "TRUNCATE {s}.users",
    "TRUNCATE users, {s}.users",
    "LOCK TABLE {s}.users IN ACCESS SHARE MODE",
    "LOCK TABLE {s}.listing IN ACCESS EXCLUSIVE MODE",
    "EXPLAIN SELECT * FROM {s}.users",
    "EXPLAIN (ANALYZE, COSTS off) SELECT * FROM {s}.users",
    "EXPLAIN INSERT INTO {s}.users (name) VALUES ('x')",
    "ANALYZE {s}.users",
    "ANALYZE users, {s}.users (name)",
    "REINDEX TABLE {s}.users",
    "REINDEX INDEX {s}.users_pkey",
    "CLUSTER {s}.users USING users_pkey",
    "REFRESH MATERIALIZED VIEW {s}.summary",
    "SELECT '{s}.users'::regclass",
    "SELECT '{s}.users_pkey'::regclass::oid",
    "SELECT '{s}.peek'::regproc",
    "SELECT '{s}.peek()'::regprocedure",
    "SELECT '{s}.mood'::regtype",
    "SELECT to_regclass('{s}.users')",
    "SELECT to_regtype('{s}.mood')",
    "SELECT to_regproc('{s}.peek')",
    "SELECT to_regprocedure('{s}.peek()')",
    "SELECT has_table_privilege('{s}.users', 'SELECT')",
    "SELECT has_column_privilege('{s}.users', 'name', 'SELECT')",
    "SELECT has_sequence_privilege('{s}.users_id_seq', 'USAGE')",
    "SELECT has_function_privilege('{s}.peek()', 'EXECUTE')",
    "SELECT has_type_privilege('{s}.mood', 'USAGE')",
    "SELECT pg_get_serial_sequence('{s}.users', 'id')",
    "SELECT nextval('{s}.users_id_seq')",
    "SELECT setval('{s}.users_id_seq', 1)",
    "SELECT nextval('{s}.users_id_seq'), currval('{s}.users_id_seq')",
    "SELECT pg_relation_size('{s}.users')",
    "SELECT {s}.peek()",
    "SELECT * FROM {s}.peek()",
    "CALL {s}.tidy()",
    "SELECT 'calm'::{s}.mood",
    "SELECT CAST('x' AS {s}.short)",
    "SELECT NULL::{s}.users",
    "SELECT (ROW(1, 'x')::{s}.users).name",
    "SELECT * FROM json_to_record('{\"a\": 1}') AS r (a {s}.short)",
    "SELECT * FROM jsonb_populate_record(NULL::{s}.users, '{}')",
    "SELECT table_to_xml('{s}.users', true, false, '')",
    "SELECT table_to_xmlschema('{s}.users', true, false, '')",
    "SELECT query_to_xml('SELECT * FROM {s}.users', true, false, '')",
    "SELECT query_to_xml_and_xmlschema('SELECT * FROM {s}.users', true, false, '')",
    "SELECT schema_to_xml('{s}', true, false, '')",
    "SELECT * FROM ts_stat('SELECT to_tsvector(name) FROM {s}.users')",
    "CREATE TEMP TABLE copied (LIKE {s}.users INCLUDING ALL)",
    "CREATE TEMP TABLE copied AS TABLE {s}.users",
    "CREATE TEMP TABLE copied AS TABLE {s}.users WITH NO DATA",
    "SELECT * INTO TEMP copied FROM {s}.users",
    "CREATE TEMP TABLE heir () INHERITS ({s}.users)",
    "CREATE TEMP VIEW seen AS SELECT * FROM {s}.users",
    "CREATE TEMP TABLE typed OF {s}.pair",
    "CREATE FUNCTION pg_temp.look() RETURNS SETOF {s}.users LANGUAGE sql AS 'SELECT NULL::bigint, NULL::text'",
    "CREATE FUNCTION pg_temp.look() RETURNS text LANGUAGE sql AS 'SELECT min(name) FROM {s}.users'",
    "PREPARE p AS SELECT * FROM {s}.users",
    "DECLARE c CURSOR FOR SELECT * FROM {s}.users",
    "DO $$ BEGIN PERFORM 1 FROM {s}.users; END $$",
    "DO $$ BEGIN EXECUTE 'SELECT 1 FROM {s}.users'; END $$",
    "DO $$ DECLARE found {s}.users%ROWTYPE; BEGIN END $$",
    "DO $$ DECLARE found {s}.users.name%TYPE; BEGIN END $$",
    "DO $$ BEGIN FOR i IN 1..1 LOOP UPDATE {s}.users SET name = 'x'; END LOOP; END $$",
    "ALTER TABLE {s}.users ADD COLUMN extra int",
    "ALTER TABLE IF EXISTS {s}.users RENAME TO people",
    "ALTER TABLE {s}.users RENAME COLUMN name TO label",
    "ALTER INDEX {s}.users_pkey RENAME TO users_key",
    "ALTER SEQUENCE {s}.users_id_seq RESTART",
    "ALTER TYPE {s}.mood ADD VALUE 'sad'",
    "ALTER DOMAIN {s}.short SET NOT NULL",
    "ALTER FUNCTION {s}.peek() STABLE",
    "COMMENT ON TABLE {s}.users IS 'x'",
    "COMMENT ON COLUMN {s}.users.name IS 'x'",
    "CREATE INDEX ON {s}.users (name)",
    "CREATE STATISTICS {s}.stat ON id, name FROM {s}.users",
    "CREATE RULE quiet AS ON DELETE TO {s}.users DO INSTEAD NOTHING",
    "CREATE POLICY mine ON {s}.users USING (true)",
    "DROP TABLE {s}.users CASCADE",
    "DROP TABLE IF EXISTS {s}.users CASCADE",
    "DROP VIEW {s}.listing",
    "DROP MATERIALIZED VIEW {s}.summary",
    "DROP FUNCTION {s}.peek()",
    "DROP TYPE {s}.mood",
    "DROP DOMAIN {s}.short",
    "DROP INDEX {s}.users_pkey",
];

/// Allowed to fail in the control by themselves: what is looked up is not there, or wanted by something else.
const NOT_IN_CONTROL: &[&str] = &["typed OF", "DROP INDEX", "jsonb_populate_record(NULL::{s}.users, '{}')"];

fn statements(schema: &str) -> impl Iterator<Item = (String, bool)> {
    STATEMENTS.iter().map(move |template| {
        let in_control = !NOT_IN_CONTROL.iter().any(|part| template.contains(part));
        (template.replace("{s}", schema), in_control)
    })
}

/// Inside acme every statement on acme's schema goes through, and the same on bravo's is refused, silently about it.
#[test]
fn a_qualified_name_reaches_only_the_active_tenant() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    let mut judge = Judge::inside(&mut app, "acme");
    for (statement, in_control) in statements("tenant_acme") {
        if in_control {
            judge.allowed(&statement);
        }
    }
    for (statement, _) in statements("tenant_bravo") {
        judge.refused(&statement, "42501");
    }
}

/// The superuser inside acme is refused the same, and so is a member of plio_admin. Neither reads the registry there.
#[test]
fn a_superuser_in_a_tenant_is_bound() {
    let world = world();
    for role in [plio_tests::SUPERUSER.to_owned(), administrator(&world)] {
        let mut admin = world.db.connect(&role);
        let mut judge = Judge::inside(&mut admin, "acme");
        // Without a role of the tenant's, PostgreSQL's privileges are the login role's own.
        if role == plio_tests::SUPERUSER || crate::LAYERS == plio_tests::Layers::Two {
            judge.gives("SELECT name FROM users WHERE id = 1", &["canary-acme"]);
        }
        for (statement, _) in statements("tenant_bravo") {
            judge.refused(&statement, "42501");
        }
        for relation in ["tenants", "access", "shares", "history", "denials", "denials_history"] {
            judge.denied(&format!("SELECT * FROM plio.{relation}"), "42501");
        }
    }
}

/// With no tenant, an ordinary role is told to set one, whoever it is and whatsoever it may enter.
#[test]
fn without_a_tenant_every_tenants_name_is_refused() {
    let world = world();
    for role in [&world.app, &world.carol] {
        let mut client = world.db.connect(role);
        let mut judge = Judge::outside(&mut client);
        judge.allowed("SELECT 1");
        for (statement, _) in statements("tenant_bravo") {
            // There is no table `users` outside a tenant: whichever PostgreSQL looks up first.
            let words = ["FROM users", "UPDATE users", "INTO users", "users, "];
            if !words.iter().any(|word| statement.contains(word)) {
                judge.refused(&statement, "55000");
            }
        }
    }
}

/// With no tenant an administrator works on any of them.
#[test]
fn without_a_tenant_an_administrator_works_freely() {
    let world = world();
    let mut admin = world.db.superuser();
    let mut judge = Judge::after(&mut admin, "SET LOCAL search_path = tenant_acme");
    for (statement, in_control) in statements("tenant_bravo") {
        // A view of an administrator's ties, temporary or not, are judged in ddl.rs.
        if in_control {
            judge.allowed(&statement);
        }
    }
}

/// The leak without us: search_path alone lets all of this through, from acme's path into bravo's rows.
#[test]
fn without_the_extension_every_one_of_these_leaks() {
    let world = world();
    let twin = plain_twin(&world.app);
    let mut app = twin.connect(&world.app);
    let mut judge = Judge::after(&mut app, "SET LOCAL search_path = tenant_acme");
    judge.gives("SELECT min(name) FROM tenant_bravo.users", &["canary-bravo"]);
    for (statement, in_control) in statements("tenant_bravo") {
        if in_control {
            judge.allowed(&statement);
        }
    }
}

/// A name that is there and one that is not get the same answer: no oracle.
#[test]
fn a_refusal_does_not_say_whether_the_object_exists() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    for preamble in ["SELECT plio.set_tenant('acme')", ""] {
        let mut judge = Judge::after(&mut app, preamble);
        for (there, missing) in [
            ("SELECT * FROM tenant_bravo.users", "SELECT * FROM tenant_bravo.losers"),
            ("SELECT to_regclass('tenant_bravo.users')", "SELECT to_regclass('tenant_bravo.losers')"),
            ("SELECT tenant_bravo.peek()", "SELECT tenant_bravo.leak()"),
            ("SELECT 'calm'::tenant_bravo.mood", "SELECT 'calm'::tenant_bravo.food"),
            ("SELECT 'calm'::tenant_bravo.mood", "SELECT 'bad!'::tenant_bravo.mood"),
            (
                "INSERT INTO tenant_bravo.users (id) VALUES (1)",
                "INSERT INTO tenant_bravo.users (id) VALUES (9)",
            ),
            ("SELECT * FROM tenant_bravo.users", "SELECT missing FROM tenant_bravo.users"),
            ("DROP TABLE IF EXISTS tenant_bravo.users", "DROP TABLE IF EXISTS tenant_bravo.losers"),
            ("LOCK TABLE tenant_bravo.users", "LOCK TABLE tenant_bravo.losers"),
        ] {
            assert_eq!(told(judge.answers(there)), told(judge.answers(missing)), "{there}");
        }
    }
}

fn told(answers: Vec<crate::judge::Answer>) -> Vec<(String, String, Option<String>, Option<String>)> {
    let fields = |answer: crate::judge::Answer| {
        let error = answer.expect_err("a refusal");
        (
            error.code().code().to_owned(),
            error.message().to_owned(),
            error.hint().map(str::to_owned),
            error.where_().map(str::to_owned),
        )
    };
    answers.into_iter().map(fields).collect()
}

/// COPY FROM is judged like any other way to write: by name, with and without a tenant, and into what is shared.
#[test]
fn copy_from_is_judged() {
    let world = world();
    let (db, app) = (&world.db, &world.app);
    db.superuser()
        .batch_execute("CREATE TABLE public.secret (id int); GRANT ALL ON public.secret TO PUBLIC")
        .unwrap();
    assert_eq!(copy_from(db, app, "acme", "users", "7\tseven"), Ok(()));
    assert_eq!(copy_from(db, app, "acme", "tenant_acme.users (name)", "seven"), Ok(()));
    assert_eq!(copy_from(db, app, "acme", "tenant_bravo.users", "7\tseven"), Err("42501".to_owned()));
    assert_eq!(copy_from(db, app, "acme", "countries", "NP\tNepal"), Err("42501".to_owned()));
    assert_eq!(copy_from(db, app, "acme", "secret", "7"), Err("42501".to_owned()));
    assert_eq!(copy_from(db, app, "", "tenant_bravo.users", "7\tseven"), Err("55000".to_owned()));
    assert_eq!(copy_from(db, app, "", "secret", "7"), Ok(()));
    assert_eq!(copy_from(db, plio_tests::SUPERUSER, "acme", "secret", "7"), Err("42501".to_owned()));
    assert_eq!(copy_from(db, plio_tests::SUPERUSER, "", "tenant_bravo.users", "7\tseven"), Ok(()));
}
