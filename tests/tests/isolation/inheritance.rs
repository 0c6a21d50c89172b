//! Parents and children in different schemas, as only a superuser with enforcement off can make them: the table that a
//! statement names is not all that it touches.

use crate::judge::{Judge, copy_from};
use crate::world::{unguarded, world};

/// Statements that reach a child through its parent; `{p}` is the parent.
const THROUGH_THE_PARENT: &[&str] = &[
    "SELECT * FROM {p}",
    "SELECT count(*) FROM {p}",
    "EXPLAIN SELECT * FROM {p}",
    "UPDATE {p} SET name = 'x'",
    "DELETE FROM {p}",
    "SELECT * FROM {p} FOR UPDATE",
    "COPY (SELECT * FROM {p}) TO STDOUT",
    "LOCK TABLE {p}",
    "TRUNCATE {p}",
    "ANALYZE {p}",
    "MERGE INTO {p} p USING users u ON p.id = u.id WHEN MATCHED THEN DELETE",
    "CREATE TABLE copied AS SELECT * FROM {p}",
];

/// A child of an own table that lies in another tenant is refused with its parent; ONLY the parent is fine.
#[test]
fn inherited_rows_of_another_tenant_are_refused() {
    let world = world();
    unguarded(
        &world.db,
        "DO $$ DECLARE acme text := (SELECT rolname FROM pg_roles r, pg_namespace n WHERE r.oid = n.nspowner AND nspname = 'tenant_acme'); BEGIN
           EXECUTE format('SET LOCAL ROLE %I', acme);
           CREATE TABLE tenant_acme.parent (id int, name text);
           CREATE TABLE tenant_acme.harmless (id int, name text);
           CREATE TABLE tenant_acme.child () INHERITS (tenant_acme.harmless);
         END $$;
         RESET ROLE;
         INSERT INTO tenant_acme.child VALUES (1, 'mine');
         CREATE TABLE tenant_bravo.child () INHERITS (tenant_acme.parent);
         INSERT INTO tenant_bravo.child VALUES (1, 'canary-bravo')",
    );
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.gives("SELECT name FROM harmless", &["mine"]);
    acme.allowed("SELECT * FROM ONLY parent");
    acme.allowed("INSERT INTO parent VALUES (1, 'x')");
    for statement in THROUGH_THE_PARENT {
        acme.allowed(&statement.replace("{p}", "harmless"));
        acme.refused(&statement.replace("{p}", "parent"), "42501");
    }
}

/// The same for partitions: no row is read from, nor routed into, another tenant's partition.
#[test]
fn partitions_of_another_tenant_are_refused() {
    let world = world();
    unguarded(
        &world.db,
        "DO $$ DECLARE acme text := (SELECT rolname FROM pg_roles r, pg_namespace n WHERE r.oid = n.nspowner AND nspname = 'tenant_acme'); BEGIN
           EXECUTE format('SET LOCAL ROLE %I', acme);
           CREATE TABLE tenant_acme.parent (id int, name text) PARTITION BY LIST (id);
           CREATE TABLE tenant_acme.one PARTITION OF tenant_acme.parent FOR VALUES IN (1);
           CREATE TABLE tenant_acme.harmless (id int, name text) PARTITION BY LIST (id);
           CREATE TABLE tenant_acme.all_of_it PARTITION OF tenant_acme.harmless DEFAULT;
         END $$;
         RESET ROLE;
         INSERT INTO tenant_acme.harmless VALUES (1, 'mine');
         CREATE TABLE tenant_bravo.two PARTITION OF tenant_acme.parent FOR VALUES IN (2);
         INSERT INTO tenant_acme.parent VALUES (1, 'mine'), (2, 'canary-bravo')",
    );
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.gives("SELECT name FROM harmless", &["mine"]);
    acme.gives("SELECT name FROM parent WHERE id = 1", &["mine"]);
    for statement in THROUGH_THE_PARENT {
        acme.allowed(&statement.replace("{p}", "harmless"));
        acme.refused(&statement.replace("{p}", "parent"), "42501");
    }
    acme.refused("SELECT name FROM parent WHERE id = 2", "42501");
    acme.refused("SELECT name FROM parent WHERE id = (SELECT 2)", "42501");
    acme.refused("INSERT INTO parent VALUES (2, 'smuggled')", "42501");
    acme.refused("INSERT INTO parent SELECT 2, name FROM users", "42501");
    acme.refused("UPDATE parent SET id = 2 WHERE id = 1", "42501");
    // Whoever writes to such a parent is refused, wherever the row would go.
    acme.allowed("INSERT INTO harmless VALUES (2, 'x')");
    assert_eq!(copy_from(&world.db, &world.app, "acme", "harmless", "2\tmine"), Ok(()));
    assert_eq!(copy_from(&world.db, &world.app, "acme", "parent", "2\tsmuggled"), Err("42501".to_owned()));
    acme.refused(
        "MERGE INTO parent p USING (SELECT 2 AS id) s ON false WHEN NOT MATCHED THEN INSERT VALUES (2, 'x')",
        "42501",
    );
}
