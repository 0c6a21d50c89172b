//! A role for an adopted tenant, and back.

use plio_tests::{assert_refusal, expect_sqlstate};
use postgres::Client;

use crate::judge::Judge;
use crate::{Legacy, legacy, value};

/// Objects of every kind with an owner of its own, of two owners.
fn furnish(world: &Legacy, other: &str) {
    let app = &world.app;
    world
        .db
        .superuser()
        .batch_execute(&format!(
            "SET plio.enforcement = off; SET search_path = acme, pg_catalog;
             GRANT ALL ON SCHEMA acme TO {other};
             SET ROLE {app};
             CREATE SEQUENCE tickets; CREATE VIEW seen AS SELECT name FROM users;
             CREATE MATERIALIZED VIEW stock AS SELECT name FROM users;
             CREATE TABLE parted (id int, name text) PARTITION BY LIST (id);
             CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
             CREATE TYPE mood AS ENUM ('calm'); CREATE TYPE pair AS (a int, b int); CREATE DOMAIN short AS text;
             CREATE TYPE spread AS RANGE (subtype = int);
             CREATE FUNCTION peek(VARIADIC a int[]) RETURNS text LANGUAGE sql AS 'SELECT ''x''';
             CREATE PROCEDURE tidy(INOUT a int) LANGUAGE plpgsql AS 'BEGIN END';
             CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int, initcond = '0');
             CREATE AGGREGATE nothing(*) (sfunc = int8inc, stype = bigint, initcond = '0');
             CREATE OPERATOR === (function = int4eq, leftarg = int, rightarg = int);
             CREATE COLLATION plain FROM \"C\"; CREATE STATISTICS both_of ON id, name FROM users;
             CREATE TEXT SEARCH CONFIGURATION words (COPY = simple);
             CREATE TEXT SEARCH DICTIONARY dull (TEMPLATE = pg_catalog.simple);
             CREATE FUNCTION \"odd \"\"name\"() RETURNS int LANGUAGE sql AS 'SELECT 1';
             GRANT SELECT ON users TO {other}; GRANT UPDATE (name) ON users TO {other};
             ALTER DEFAULT PRIVILEGES IN SCHEMA acme GRANT SELECT ON TABLES TO {other};
             SET ROLE {other};
             CREATE TABLE theirs (id serial, name text); GRANT ALL ON theirs TO {app};
             CREATE FUNCTION their_function() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 2';
             RESET ROLE;
             CREATE CONVERSION odd FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
             CREATE OPERATOR FAMILY kin USING btree;
             ALTER CONVERSION odd OWNER TO {other}; ALTER OPERATOR FAMILY kin USING btree OWNER TO {app}"
        ))
        .unwrap();
}

/// Whose everything in acme is, and what is granted, as PostgreSQL stands it.
fn snapshot(admin: &mut Client) -> String {
    value(
        admin,
        "SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
           SELECT concat('schema ', nspowner::regrole, nspacl) FROM pg_namespace WHERE nspname = 'acme'
           UNION ALL SELECT concat_ws(' ', type, identity, owner) FROM plio._owned_objects('acme'::regnamespace)
           UNION ALL SELECT concat_ws(' ', relname, relowner::regrole, (SELECT array_agg(a ORDER BY a::text) FROM unnest(relacl) a)) FROM pg_class
                      WHERE relnamespace = 'acme'::regnamespace
           UNION ALL SELECT concat_ws(' ', attrelid::regclass, attname, attacl) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
                      WHERE relnamespace = 'acme'::regnamespace AND attacl IS NOT NULL
           UNION ALL SELECT concat_ws(' ', typname, typowner::regrole, typacl) FROM pg_type WHERE typnamespace = 'acme'::regnamespace
           UNION ALL SELECT concat_ws(' ', proname, proowner::regrole, proacl) FROM pg_proc WHERE pronamespace = 'acme'::regnamespace
           UNION ALL SELECT concat_ws(' ', 'default', defaclrole::regrole, defaclobjtype, defaclacl) FROM pg_default_acl
           ) AS found (line)",
    )
}

/// With a role the tenant is as one that plio.create_tenant() made; without it again, owners and grants are to the letter
/// what they were, and what was made meanwhile is the schema owner's.
#[test]
fn a_role_is_assigned_and_taken_back() {
    let world = legacy().adopted();
    let other = world.db.login_role("other");
    furnish(&world, &other);
    let mut admin = world.db.superuser();
    // Known to everybody before, so that nothing need be granted.
    admin.batch_execute("GRANT USAGE ON SCHEMA acme TO PUBLIC").unwrap();
    let before = snapshot(&mut admin);
    let role = value(&mut admin, "SELECT plio.assign_role('acme')");
    let others = "SELECT count(*) FROM plio._owned_objects('acme'::regnamespace) WHERE owner <> (SELECT role_name FROM plio.tenants WHERE org = 'acme')";
    assert_eq!(value(&mut admin, others), "0");
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.gives("SELECT current_user", &[&role]);
    acme.gives("SELECT min(name) FROM users", &["canary-acme"]);
    acme.allowed("INSERT INTO users (name, plan) VALUES ('new', 1); INSERT INTO theirs (name) VALUES ('x'); SELECT nextval('tickets')");
    acme.allowed("ALTER TABLE theirs ADD COLUMN b int; REFRESH MATERIALIZED VIEW stock; DROP FUNCTION peek");
    acme.denied("SELECT nextval((SELECT oid FROM pg_class WHERE relname = 'users_id_seq' AND relnamespace = 'bravo'::regnamespace)::regclass)", "42501");
    acme.gives("SELECT count(*) FROM pg_stats WHERE schemaname = 'bravo'", &["0"]);
    drop(acme);
    Judge::outside(&mut app).refused("SELECT * FROM acme.users", "55000");
    let refusal = expect_sqlstate(admin.batch_execute("SELECT plio.assign_role('acme')"), "42710");
    assert_refusal(&refusal, "42710", &[]);
    // What is made inside, default privileges included.
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); CREATE TABLE made (id serial); SELECT lo_from_bytea(4711, 'kept'); COMMIT").unwrap();
    assert_eq!(
        value(&mut admin, &format!("SELECT has_table_privilege('{other}', 'acme.made', 'SELECT')")),
        "t"
    );
    admin.batch_execute("DROP TABLE acme.made").unwrap();
    admin.batch_execute("SELECT plio.unassign_role('acme')").unwrap();
    assert_eq!(snapshot(&mut admin), before);
    assert_eq!(
        value(&mut admin, "SELECT lomowner::regrole FROM pg_largeobject_metadata WHERE oid = 4711"),
        world.app
    );
    assert_eq!(value(&mut admin, &format!("SELECT count(*) FROM pg_roles WHERE rolname = '{role}'")), "0");
    assert_eq!(value(&mut admin, "SELECT count(*) FROM plio.previous_owners"), "0");
    Judge::inside(&mut app, "acme")
        .gives("SELECT current_user, min(name) FROM users", &[&format!("{}|canary-acme", world.app)]);
    // A rollback takes all of it back.
    admin.batch_execute("BEGIN; SELECT plio.assign_role('acme'); ROLLBACK").unwrap();
    assert_eq!(snapshot(&mut admin), before);
}

/// Only what was assigned is taken back; a previous owner follows its new name, and is missed when it is gone.
#[test]
fn only_an_assigned_role_is_taken_back() {
    let world = legacy().adopted();
    let mut admin = world.db.superuser();
    admin.batch_execute("SELECT plio.create_tenant('made')").unwrap();
    for (call, code) in [
        ("unassign_role('made')", "55000"),
        ("unassign_role('acme')", "55000"),
        ("assign_role('made')", "42710"),
        ("release_tenant('made', 'made')", "55000"),
        ("assign_role('nobody')", "42704"),
        ("unassign_role('nobody')", "42704"),
        ("assign_role(NULL)", "22023"),
    ] {
        let error = expect_sqlstate(admin.batch_execute(&format!("SELECT plio.{call}")), code);
        assert_refusal(&error, code, &[]);
    }
    let role = value(&mut admin, "SELECT plio.assign_role('acme')");
    assert!(role.starts_with("tenant_acme"), "{role}");
    let mut app = world.db.connect(&world.app);
    // Names are public, as in a created tenant, so that an outsider is told to set a tenant.
    Judge::outside(&mut app).refused("SELECT * FROM acme.users", "55000");
    expect_sqlstate(admin.batch_execute("SELECT plio.release_tenant('acme', 'acme')"), "55000");
    let renamed = format!("{}_renamed", world.app);
    admin.batch_execute(&format!("ALTER ROLE {} RENAME TO {renamed}", world.app)).unwrap();
    admin.batch_execute("SELECT plio.unassign_role('acme')").unwrap();
    assert_eq!(
        value(&mut admin, "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'acme'"),
        renamed
    );
    assert_eq!(value(&mut admin, "SELECT has_schema_privilege('public', 'acme', 'USAGE')"), "f");
}

/// Owners of before are roles, not names: renamed elsewhere they get theirs back; a new role under an old name gets nothing; of
/// another cluster's an administrator says which role here is meant.
#[test]
fn previous_owners_are_roles_and_not_names() {
    let world = legacy().adopted();
    let mut admin = world.db.superuser();
    let mut elsewhere = plio_tests::Cluster::shared().database("elsewhere").superuser();
    let other = world.db.login_role("other");
    let owners = "SELECT concat(nspowner::regrole, ' ', (SELECT relowner::regrole FROM pg_class WHERE relname = 'theirs'))
                    FROM pg_namespace WHERE nspname = 'acme'";
    admin
        .batch_execute(&format!(
            "SET plio.enforcement = off; CREATE TABLE acme.theirs (); ALTER TABLE acme.theirs OWNER TO {other}; RESET plio.enforcement;
             SELECT plio.assign_role('acme')"
        ))
        .unwrap();
    let found =
        "SELECT coalesce(string_agg(finding, ' '), '') FROM plio.health() WHERE finding = 'untied_owner'";
    // Both are renamed, and others take their names.
    let app = &world.app;
    elsewhere
        .batch_execute(&format!(
            "ALTER ROLE {app} RENAME TO {app}_was; ALTER ROLE {other} RENAME TO {app}; CREATE ROLE {other}"
        ))
        .unwrap();
    assert_eq!(value(&mut admin, found), "");
    admin.batch_execute("SELECT plio.unassign_role('acme'), plio.assign_role('bravo')").unwrap();
    assert_eq!(value(&mut admin, owners), format!("{app}_was {app}"));
    // A rename that is seen, and repair(), keep the names.
    let names = "SELECT string_agg(DISTINCT owner_name, ' ') FROM plio.previous_owners";
    assert_eq!(value(&mut admin, names), format!("{app}_was"));
    elsewhere.batch_execute(&format!("ALTER ROLE {app}_was RENAME TO {app}_is")).unwrap();
    admin.batch_execute("SELECT plio.repair()").unwrap();
    assert_eq!(value(&mut admin, names), format!("{app}_is"));
    // As it comes from another cluster, or from release 0.1.0's dump.
    for foreign in ["cluster = cluster + 1, owner_oid = 1", "cluster = NULL, owner_oid = NULL"] {
        admin
            .batch_execute(&format!(
                "SET plio.enforcement = off; UPDATE plio.previous_owners SET {foreign}; RESET plio.enforcement"
            ))
            .unwrap();
        assert_eq!(value(&mut admin, found), "untied_owner");
        let error = expect_sqlstate(admin.batch_execute("SELECT plio.unassign_role('bravo')"), "42704");
        assert_refusal(&error, "42704", &[]);
        assert!(error.hint().unwrap().contains("plio.unassign_role('bravo', '<role>')"), "{error:?}");
        assert_eq!(value(&mut admin, "SELECT string_agg(action, ' ') FROM plio.repair()"), "owner_tied");
        assert_eq!(value(&mut admin, found), "");
    }
    admin.batch_execute("BEGIN; SELECT plio.unassign_role('bravo'); ROLLBACK").unwrap();
    // Gone, and a new one under its name.
    admin
        .batch_execute(
            "SET plio.enforcement = off; UPDATE plio.previous_owners SET owner_oid = 1; RESET plio.enforcement",
        )
        .unwrap();
    expect_sqlstate(admin.batch_execute("SELECT plio.unassign_role('bravo')"), "42704");
    assert_eq!(value(&mut admin, "SELECT count(*) FROM plio.repair()"), "0");
    let fix = value(&mut admin, "SELECT fix FROM plio.health() WHERE finding = 'untied_owner'");
    assert_eq!(fix, "name another owner: plio.unassign_role('bravo', <role>)");
    admin.batch_execute(&format!("SELECT plio.unassign_role('bravo', '{other}')")).unwrap();
    assert_eq!(
        value(&mut admin, "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'bravo'"),
        other
    );
}

/// Four hundred tables in one transaction; a tenant with somebody in it is waited for.
#[test]
fn a_large_schema_changes_hands_at_once() {
    let world = legacy().adopted();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(&format!(
            "SET plio.enforcement = off; SET ROLE {}; DO $$ BEGIN FOR i IN 1..400 LOOP EXECUTE format('CREATE TABLE acme.t%s (id serial PRIMARY KEY, x text)', i); END LOOP; END $$; RESET ROLE; RESET plio.enforcement",
            world.app
        ))
        .unwrap();
    let mut app = world.db.connect(&world.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SELECT 1 FROM users").unwrap();
    admin.batch_execute("SET lock_timeout = '100ms'").unwrap();
    expect_sqlstate(admin.batch_execute("SELECT plio.assign_role('acme')"), "55006");
    app.batch_execute("COMMIT; BEGIN").unwrap();
    admin.batch_execute("SET lock_timeout = 0; SELECT plio.assign_role('acme')").unwrap();
    app.batch_execute("SELECT plio.set_tenant('acme'); INSERT INTO t400 (x) VALUES ('x'); COMMIT").unwrap();
    admin
        .batch_execute("SELECT plio.unassign_role('acme'); SELECT plio.drop_tenant('acme', 'acme')")
        .unwrap();
    assert_eq!(value(&mut admin, "SELECT count(*) FROM pg_namespace WHERE nspname = 'acme'"), "0");
}
