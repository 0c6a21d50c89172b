//! Dropping a tenant: everything goes, and nothing of anybody else's.

use super::{first, refused, two_tenants, with_extension};
use plio_tests::expect_sqlstate;

/// Objects of every kind that a tenant may make.
const KINDS: &[&str] = &[
    "CREATE TABLE parent (id int PRIMARY KEY, note text, tags text[], body tsvector)",
    "CREATE TABLE child (id int GENERATED ALWAYS AS IDENTITY, parent int REFERENCES parent ON DELETE CASCADE)",
    "CREATE TABLE heir () INHERITS (parent)",
    "CREATE TABLE parted (x int, y int) PARTITION BY RANGE (x)",
    "CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (10) PARTITION BY LIST (y)",
    "CREATE TABLE subpart PARTITION OF part DEFAULT",
    "CREATE INDEX ON parted (x)",
    "CREATE UNLOGGED TABLE fast (x int, big text)",
    "CREATE VIEW seen AS SELECT * FROM parent",
    "CREATE MATERIALIZED VIEW stored AS SELECT * FROM parent",
    "CREATE UNIQUE INDEX ON stored (id)",
    "CREATE SEQUENCE counter OWNED BY fast.x",
    "CREATE SEQUENCE lonely",
    "CREATE TYPE mood AS ENUM ('good', 'bad')",
    "CREATE TYPE pair AS (a int, b mood)",
    "CREATE TYPE span AS RANGE (subtype = float8)",
    "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
    "CREATE TABLE typed OF pair",
    "CREATE FUNCTION twice(x int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT x * 2'",
    "CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE PROCEDURE work() LANGUAGE plpgsql AS 'BEGIN END'",
    "CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int)",
    "CREATE OPERATOR @@@ (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl)",
    "CREATE COLLATION plain FROM \"C\"",
    "CREATE TEXT SEARCH DICTIONARY words (TEMPLATE = simple)",
    "CREATE TEXT SEARCH CONFIGURATION config (COPY = simple)",
    "CREATE STATISTICS stats ON id, note FROM parent",
    "CREATE TRIGGER touch BEFORE UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION touched()",
    "CREATE RULE quiet AS ON DELETE TO fast DO INSTEAD NOTHING",
    "CREATE POLICY own ON parent USING (true)",
    "ALTER TABLE parent ENABLE ROW LEVEL SECURITY",
    "CREATE INDEX computed ON parent (twice(id))",
    "COMMENT ON TABLE parent IS 'a comment'",
    "INSERT INTO parent (id, note) SELECT i, repeat(md5(i::text), 500) FROM generate_series(1, 50) i",
    "CREATE TEMPORARY TABLE passing (m mood)",
];

/// Everything in this database and cluster that says anything about `acme`.
const LEFT: &str = "
    SELECT coalesce(string_agg(what, ' '), '-') FROM (
      SELECT 'schema' FROM pg_namespace WHERE nspname ~ 'acme'
      UNION ALL SELECT 'role' FROM pg_roles WHERE rolname ~ ('^tenant_acme_' || (SELECT oid FROM pg_database WHERE datname = current_database()))
      UNION ALL SELECT 'tenant' FROM plio.tenants WHERE org = 'acme'
      UNION ALL SELECT 'access' FROM plio.access WHERE org = 'acme'
      UNION ALL SELECT 'share' FROM plio.shares WHERE schema_name ~ 'acme'
      UNION ALL SELECT 'large object' FROM pg_largeobject_metadata
      UNION ALL SELECT 'relation ' || oid::regclass FROM pg_class WHERE relnamespace NOT IN (SELECT oid FROM pg_namespace)
      UNION ALL SELECT 'shdepend' FROM pg_shdepend d WHERE refclassid = 'pg_authid'::regclass
                   AND refobjid NOT IN (SELECT oid FROM pg_authid)
      UNION ALL SELECT 'setting' FROM pg_db_role_setting WHERE setrole <> 0 AND setrole NOT IN (SELECT oid FROM pg_authid)
      UNION ALL SELECT 'default' FROM pg_default_acl
      UNION ALL SELECT 'health ' || finding FROM plio.health() WHERE severity <> 'info'
    ) AS found (what)";

#[test]
fn objects_of_every_kind_go_with_the_tenant() {
    let fixture = two_tenants("everything");
    let mut admin = fixture.db.superuser();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    for statement in KINDS {
        app.batch_execute(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    app.batch_execute("COMMIT").unwrap();
    drop(app);
    let role = first(&mut admin, "SELECT role_name FROM plio.tenants WHERE org = 'acme'");
    admin
        .batch_execute(&format!(
            "CREATE TABLE tenant_acme.by_admin AS SELECT 1 AS x;
             SELECT lo_create(0);
             DO $$ BEGIN EXECUTE format('ALTER LARGE OBJECT %s OWNER TO \"{role}\"',
                                        (SELECT oid FROM pg_largeobject_metadata)); END $$;
             GRANT SELECT ON tenant_acme.by_admin TO \"{role}\";
             ALTER DEFAULT PRIVILEGES FOR ROLE \"{role}\" GRANT SELECT ON TABLES TO plio_auditor"
        ))
        .unwrap();
    admin.batch_execute("SELECT plio.drop_tenant('acme', 'acme')").unwrap();
    assert_eq!(first(&mut admin, LEFT), "-");
    // The other one is as it was, and the org is free again, for an empty tenant.
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
    assert_eq!(first(&mut app, "SELECT count(*)::text FROM users"), "3");
    app.batch_execute("ROLLBACK").unwrap();
    admin.batch_execute("SELECT plio.create_tenant('acme')").unwrap();
    refused(app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "42501");
    admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert_eq!(
        first(
            &mut admin,
            "SELECT count(*)::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
        ),
        "0"
    );
}

// What an application leaves inside a tenant itself: large objects are the tenant's role's.
#[test]
fn a_tenants_own_large_objects_go_with_it() {
    let fixture = two_tenants("large");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SAVEPOINT s").unwrap();
    if app.batch_execute("SELECT lo_from_bytea(0, 'canary-acme')").is_ok() {
        app.batch_execute("COMMIT; BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
        expect_sqlstate(app.batch_execute("SELECT lo_get(oid) FROM pg_largeobject_metadata"), "42501");
    }
    app.batch_execute("ROLLBACK").unwrap();
    let mut admin = fixture.db.superuser();
    admin.batch_execute("SELECT plio.drop_tenant('acme', 'acme')").unwrap();
    assert_eq!(first(&mut admin, LEFT), "-");
}

#[test]
fn a_dropped_tenant_that_is_rolled_back_is_whole() {
    let fixture = two_tenants("undropped");
    let mut admin = fixture.db.superuser();
    let mut app = fixture.db.connect(&fixture.app);
    for undone in [
        "SELECT plio.drop_tenant('acme', 'acme')",
        "SELECT plio.rename_tenant('acme', 'other')",
        "SELECT plio.suspend_tenant('acme')",
        "SELECT plio.drop_tenant('acme', 'acme'); SELECT plio.create_tenant('acme')",
        "SELECT plio.rename_tenant('acme', 'other'); SELECT plio.drop_tenant('other', 'other')",
    ] {
        admin.batch_execute(&format!("BEGIN; {undone}; ROLLBACK")).unwrap();
        for client in [&mut app, &mut admin] {
            client.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
            assert_eq!(first(client, "SELECT name FROM users WHERE id = 1"), "canary-acme", "{undone}");
            client.batch_execute("COMMIT").unwrap();
        }
    }
}

// Several of them in one transaction, each seeing what the last one did.
#[test]
fn one_transaction_may_hold_a_whole_life() {
    let db = with_extension("life");
    let mut admin = db.superuser();
    admin
        .batch_execute(
            "BEGIN;
             SELECT plio.create_tenant('one'); SELECT plio.create_tenant('two');
             SELECT plio.rename_tenant('one', 'three'); SELECT plio.rename_tenant('two', 'one');
             SELECT plio.suspend_tenant('three'); SELECT plio.drop_tenant('three', 'three');
             SELECT plio.create_tenant('three');
             SELECT plio.set_tenant('three');
             CREATE TABLE t AS SELECT 1 AS x;
             COMMIT",
        )
        .unwrap();
    assert_eq!(
        first(&mut admin, super::WHOLE),
        "one|active|tenant_one|t|f|t three|active|tenant_three|t|f|t"
    );
    assert_eq!(first(&mut admin, "SELECT x::text FROM tenant_three.t"), "1");
}

// By no other way: a tenant's schema and role belong to the registry.
#[test]
fn a_tenants_schema_and_role_are_dropped_by_drop_tenant_alone() {
    let fixture = two_tenants("alone");
    let mut admin = fixture.db.superuser();
    let role = first(&mut admin, "SELECT role_name FROM plio.tenants WHERE org = 'acme'");
    for statement in [
        "DROP SCHEMA tenant_acme CASCADE".to_owned(),
        "ALTER SCHEMA tenant_acme RENAME TO other".to_owned(),
        "ALTER SCHEMA tenant_acme OWNER TO CURRENT_USER".to_owned(),
        format!("DROP ROLE \"{role}\""),
        format!("DROP OWNED BY \"{role}\" CASCADE; DROP ROLE \"{role}\""),
        format!("REASSIGN OWNED BY \"{role}\" TO CURRENT_USER; DROP ROLE \"{role}\""),
        format!("ALTER ROLE \"{role}\" RENAME TO other"),
    ] {
        refused(admin.batch_execute(&statement), "2BP01");
    }
    admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert_eq!(first(&mut admin, "SELECT name FROM users WHERE id = 1"), "canary-acme");
}
