//! SIGKILL in the middle of a management function: after recovery the old state or the new one, never half of either.

use plio_tests::{Cluster, Db, TwoTenants, first};
use std::thread;
use std::time::{Duration, Instant};

/// Everything that tenants are made of: rows, schemas with their owners, roles, access, tables, and what health() says.
const STATE: &str = "SELECT concat_ws(E'\\n',
    (SELECT string_agg(concat_ws('|', tenant_id, org, schema_name, role_name, status), ' ' ORDER BY org) FROM plio.tenants),
    (SELECT string_agg(nspname || '=' || nspowner::regrole, ' ' ORDER BY nspname) FROM pg_namespace WHERE nspname LIKE 'tenant%'),
    (SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE pg_has_role(oid, 'plio_tenant', 'member') AND NOT rolsuper),
    (SELECT string_agg(org, ' ' ORDER BY org) FROM plio.access),
    (SELECT string_agg(oid::regclass || '=' || relfilenode || '=' || pg_relation_size(oid), ' ' ORDER BY oid)
       FROM pg_class WHERE relnamespace::regnamespace::text LIKE 'tenant%'),
    (SELECT string_agg(action, ' ' ORDER BY history_id) FROM plio.history),
    (SELECT string_agg(finding, ' ') FROM plio.health()))";

/// What is killed, with the state that it leads to: org and canary of the tenants that can be entered then.
const STATEMENTS: [(&str, &[(&str, &str)]); 5] = [
    ("SELECT plio.create_tenant('new')", &[("acme", "acme"), ("bravo", "bravo"), ("new", "")]),
    ("SELECT plio.rename_tenant('acme', 'other')", &[("other", "acme"), ("bravo", "bravo")]),
    ("SELECT plio.drop_tenant('acme', 'acme')", &[("bravo", "bravo")]),
    ("SELECT plio.suspend_tenant('acme')", &[("bravo", "bravo")]),
    (
        "SELECT plio.drop_tenant('acme', 'acme'); SELECT plio.create_tenant('acme')",
        &[("acme", ""), ("bravo", "bravo")],
    ),
];

fn assert_entered(fixture: &TwoTenants, tenants: &[(&str, &str)]) {
    let mut admin = fixture.db.superuser();
    for (org, canary) in tenants {
        admin.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')")).unwrap();
        if !canary.is_empty() {
            let name = first(&mut admin, "SELECT name FROM users WHERE id = 1");
            assert_eq!(name, format!("canary-{canary}"));
        }
        admin.batch_execute("CREATE TABLE IF NOT EXISTS probe (); DROP TABLE probe; COMMIT").unwrap();
    }
    let loading = "SELECT coalesce(string_agg(finding, ' '), '') FROM plio.health() WHERE severity <> 'info'";
    assert_eq!(first(&mut admin, loading), "");
}

/// A cluster that recovers as after a crash: written data only survive by the log.
fn cluster() -> Cluster {
    Cluster::start(&["synchronous_commit = on", "fsync = on", "full_page_writes = on"])
}

const OLD: &[(&str, &str)] = &[("acme", "acme"), ("bravo", "bravo")];

/// Waits until the backend waits for a lock.
fn wait_until_blocked(db: &Db, pid: i32) {
    let mut watcher = db.superuser();
    let end = Instant::now() + Duration::from_secs(30);
    while !watcher
        .query_one("SELECT cardinality(pg_blocking_pids($1)) > 0", &[&pid])
        .unwrap()
        .get::<_, bool>(0)
    {
        assert!(Instant::now() < end, "it does not wait");
        thread::sleep(Duration::from_millis(5));
    }
}

// The function has done all its work, and the transaction is open.
#[test]
fn killed_before_the_commit_nothing_has_happened() {
    let cluster = cluster();
    for (statement, _) in STATEMENTS {
        let fixture = cluster.database("before").two_tenants();
        let old = first(&mut fixture.db.superuser(), STATE);
        let mut admin = fixture.db.superuser();
        admin.batch_execute(&format!("BEGIN; {statement}")).unwrap();
        assert_ne!(first(&mut admin, STATE), old, "{statement} has done something");
        let pid: i32 = admin.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
        cluster.kill_backend(pid);
        assert_eq!(first(&mut fixture.db.superuser(), STATE), old, "{statement}");
        assert_entered(&fixture, OLD);
        // It can be done now.
        fixture.db.superuser().batch_execute(statement).unwrap();
    }
}

// The function is half way: it waits for the history, which another session has locked, with schema and role
// made, renamed or dropped already.
#[test]
fn killed_inside_the_function_nothing_has_happened() {
    let cluster = cluster();
    for (statement, _) in STATEMENTS {
        let fixture = cluster.database("inside").two_tenants();
        let old = first(&mut fixture.db.superuser(), STATE);
        let mut locker = fixture.db.superuser();
        locker.batch_execute("BEGIN; LOCK plio.history IN SHARE MODE").unwrap();
        let mut admin = fixture.db.superuser();
        let pid: i32 = admin.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
        let running = thread::spawn(move || admin.batch_execute(statement).is_err());
        wait_until_blocked(&fixture.db, pid);
        cluster.kill_backend(pid);
        assert!(running.join().unwrap());
        assert_eq!(first(&mut fixture.db.superuser(), STATE), old, "{statement}");
        assert_entered(&fixture, OLD);
        fixture.db.superuser().batch_execute(statement).unwrap();
    }
}

// The commit has returned, and the whole server dies at once.
#[test]
fn killed_after_the_commit_everything_has_happened() {
    let cluster = cluster();
    for (statement, tenants) in STATEMENTS {
        let fixture = cluster.database("after").two_tenants();
        let mut admin = fixture.db.superuser();
        admin.batch_execute(statement).unwrap();
        let new = first(&mut admin, STATE);
        cluster.crash();
        cluster.resume();
        assert_eq!(first(&mut fixture.db.superuser(), STATE), new, "{statement}");
        assert_entered(&fixture, tenants);
    }
}

// A session inside a tenant dies with everything it had: no lock, no tenant and no role is left of it.
#[test]
fn a_killed_session_leaves_no_lock_on_its_tenant() {
    let cluster = cluster();
    let fixture = cluster.database("session").two_tenants();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); DELETE FROM users").unwrap();
    let pid: i32 = app.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    cluster.kill_backend(pid);
    assert_entered(&fixture, OLD);
    fixture.db.superuser().batch_execute("SELECT plio.drop_tenant('acme', 'acme')").unwrap();
}
