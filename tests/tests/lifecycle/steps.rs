//! A tenant that one transaction cannot drop, since the server has no room for so many locks.

use plio_tests::{Cluster, assert_refusal, expect_sqlstate, first, refused};
use postgres::Client;

const TABLES: usize = 120;

/// A server with room for a few hundred locks, and a tenant that takes some thousands.
fn large() -> (Cluster, plio_tests::TwoTenants) {
    let cluster = Cluster::start(&["max_locks_per_transaction = 10", "max_connections = 20"]);
    let fixture = cluster.database("large").two_tenants();
    let mut admin = fixture.db.superuser();
    for start in (0..TABLES).step_by(10) {
        admin
            .batch_execute(&format!(
                "BEGIN; SELECT plio.set_tenant('acme');
                 DO $$ BEGIN FOR i IN {start}..{start} + 9 LOOP
                     EXECUTE format('CREATE TABLE t%s (id serial PRIMARY KEY, x text DEFAULT ''x'', y int CHECK (y > 0))', i);
                 END LOOP; END $$; COMMIT"
            ))
            .unwrap();
    }
    admin
        .batch_execute(
            "BEGIN; SELECT plio.set_tenant('acme');
             CREATE VIEW seen AS SELECT * FROM t0; CREATE TABLE child (t int REFERENCES t1); CREATE TABLE heir () INHERITS (t2);
             CREATE TABLE parted (x int) PARTITION BY LIST (x); CREATE TABLE part PARTITION OF parted DEFAULT;
             CREATE TYPE mood AS ENUM ('calm'); CREATE TABLE moods (m mood); CREATE FUNCTION f(m mood) RETURNS int LANGUAGE sql AS 'SELECT 1';
             CREATE MATERIALIZED VIEW stock AS SELECT * FROM t3; CREATE STATISTICS st ON id, y FROM t4;
             SELECT lo_from_bytea(0, 'x') FROM generate_series(1, 50); COMMIT",
        )
        .unwrap();
    (cluster, fixture)
}

fn counted(admin: &mut Client) -> usize {
    let query = "SELECT count(*)::text FROM pg_class WHERE relnamespace = 'tenant_acme'::regnamespace AND relkind = 'r'";
    first(admin, query).parse().unwrap()
}

#[test]
fn it_is_counted_first_and_dropped_in_steps() {
    let (_cluster, fixture) = large();
    let mut admin = fixture.db.superuser();
    let error = expect_sqlstate(admin.batch_execute("SELECT plio.drop_tenant('acme', 'acme')"), "53400");
    assert_refusal(&error, "53400", &["canary"]);
    assert!(error.hint().unwrap().contains("CALL plio.drop_tenant_in_steps('acme', 'acme')"), "{error:?}");
    let before = counted(&mut admin);
    assert!(before > TABLES, "{before}");
    // Nothing has happened; nor without the confirmation, nor by who may not.
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SELECT * FROM t0; COMMIT").unwrap();
    refused(admin.batch_execute("CALL plio.drop_tenant_in_steps('acme', 'bravo')"), "22023");
    expect_sqlstate(app.batch_execute("CALL plio.drop_tenant_in_steps('acme', 'acme')"), "42501");

    // Cut off in the middle: what was dropped stays so, and the tenant is closed.
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut watcher = fixture.db.superuser();
        let pid = first(&mut admin, "SELECT pg_backend_pid()::text");
        let is_over = &is_over;
        scope.spawn(move || {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                if counted(&mut watcher) < before {
                    watcher.batch_execute(&format!("SELECT pg_cancel_backend({pid})")).unwrap();
                    return;
                }
            }
        });
        let cut_off = admin.batch_execute("CALL plio.drop_tenant_in_steps('acme', 'acme')");
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        expect_sqlstate(cut_off, "57014");
    });
    let left = counted(&mut admin);
    assert!(left > 0 && left < before, "{left} of {before}");
    let error = refused(app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "55000");
    assert_eq!(error.message(), "tenant \"acme\" is being dropped");
    assert!(error.hint().unwrap().contains("plio.drop_tenant_in_steps()"), "{error:?}");
    app.batch_execute("ROLLBACK").unwrap();
    for call in ["resume_tenant('acme')", "suspend_tenant('acme')", "rename_tenant('acme', 'new')"] {
        let error = expect_sqlstate(admin.batch_execute(&format!("SELECT plio.{call}")), "55000");
        assert_refusal(&error, "55000", &["canary"]);
    }
    let finding =
        "SELECT coalesce(string_agg(fix, ''), '') FROM plio.health() WHERE finding = 'drop_unfinished'";
    assert_eq!(first(&mut admin, finding), "CALL plio.drop_tenant_in_steps('acme', 'acme')");
    // Commits of its own: not inside a transaction.
    expect_sqlstate(admin.batch_execute("BEGIN; CALL plio.drop_tenant_in_steps('acme', 'acme')"), "2D000");
    admin.batch_execute("ROLLBACK").unwrap();
    assert_eq!(counted(&mut admin), left);

    admin.batch_execute("CALL plio.drop_tenant_in_steps('acme', 'acme')").unwrap();
    assert_eq!(
        first(&mut admin, "SELECT count(*)::text FROM pg_namespace WHERE nspname = 'tenant_acme'"),
        "0"
    );
    assert_eq!(first(&mut admin, "SELECT count(*)::text FROM pg_largeobject_metadata"), "0");
    assert_eq!(
        first(&mut admin, "SELECT count(*)::text FROM pg_roles WHERE rolname LIKE 'tenant\\_acme%'"),
        "0"
    );
    assert_eq!(first(&mut admin, finding), "");
    let history = "SELECT string_agg(action, ' ' ORDER BY history_id) FROM plio.history WHERE org = 'acme' AND action ~ 'drop'";
    assert_eq!(first(&mut admin, history), "drop_tenant_in_steps drop_tenant");
    // The other one is whole, and small enough.
    app.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
    assert_eq!(first(&mut app, "SELECT count(*)::text FROM users"), "3");
    app.batch_execute("COMMIT").unwrap();
    refused(admin.batch_execute("CALL plio.drop_tenant_in_steps('acme', 'acme')"), "42704");
    admin.batch_execute("SELECT plio.drop_tenant('bravo', 'bravo')").unwrap();
}
