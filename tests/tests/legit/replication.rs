//! Logical replication of one tenant, to a database with the extension and to one without.

use super::{column, inside, run, world};
use plio_tests::{Cluster, Db};
use std::time::{Duration, Instant};

/// Waits for the apply worker's work to be seen, not for a time.
#[track_caller]
fn wait_for(db: &Db, query: &str, wanted: &[&str]) {
    let mut admin = db.superuser();
    let end = Instant::now() + Duration::from_secs(60);
    while column(&mut admin, query) != wanted {
        assert!(
            Instant::now() < end,
            "{query}: {:?}, not {wanted:?}\n{}",
            column(&mut admin, query),
            db.cluster().log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_tenant_is_replicated_by_schema_and_by_table() {
    let cluster = Cluster::start(&["wal_level = logical"]);
    let fixture = world(&cluster);
    let mut admin = fixture.db.superuser();
    run(&mut admin, "CREATE PUBLICATION whole FOR TABLES IN SCHEMA tenant_acme");
    run(&mut admin, "CREATE PUBLICATION one FOR TABLE tenant_acme.users");
    let other = Cluster::start(&["wal_level = logical"]);
    let (bare, guarded) = (other.database("bare"), other.database("guarded"));
    run(
        &mut bare.superuser(),
        "CREATE SCHEMA tenant_acme; CREATE TABLE tenant_acme.users (id bigint PRIMARY KEY, name text)",
    );
    run(&mut guarded.superuser(), "CREATE EXTENSION plio_tenancy; SELECT plio.create_tenant('acme')");
    inside(
        &mut guarded.superuser(),
        "acme",
        "CREATE TABLE users (id bigint PRIMARY KEY, name text); CREATE TABLE orders (id int PRIMARY KEY, user_id bigint, country text);
         CREATE TABLE events (id int, day date) PARTITION BY RANGE (day);
         CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
    );
    for (copy, publication) in [(&bare, "one"), (&guarded, "whole")] {
        let connection = fixture.db.conninfo("postgres");
        let name = copy.name();
        run(
            &mut copy.superuser(),
            &format!("CREATE SUBSCRIPTION \"{name}\" CONNECTION '{connection}' PUBLICATION {publication}"),
        );
        wait_for(
            copy,
            "SELECT name FROM tenant_acme.users ORDER BY id",
            &["canary-acme", "canary-acme-2", "canary-acme-3"],
        );
    }
    let mut app = fixture.db.connect(&fixture.app);
    inside(
        &mut app,
        "acme",
        "UPDATE users SET name = 'changed' WHERE id = 1; INSERT INTO orders VALUES (9, 2, 'IN')",
    );
    for copy in [&bare, &guarded] {
        wait_for(copy, "SELECT name FROM tenant_acme.users WHERE id = 1", &["changed"]);
    }
    wait_for(&guarded, "SELECT country FROM tenant_acme.orders WHERE id = 9", &["IN"]);
    for copy in [&bare, &guarded] {
        run(&mut copy.superuser(), &format!("DROP SUBSCRIPTION \"{}\"", copy.name()));
    }
}
