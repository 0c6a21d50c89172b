//! A hot standby, and a crash: what the primary committed counts for the very next transaction once it is replayed.

use plio_tests::{Cluster, TwoTenants, expect_sqlstate};

use super::sessions::{enter, first, refused, wait_for, warm};

fn pair() -> (TwoTenants, TwoTenants, Cluster) {
    let primary = Cluster::start(&["wal_level = replica", "hot_standby = on"]);
    let fixture = primary.database("standby").two_tenants();
    let standby = primary.standby();
    standby.wait_replayed(&primary);
    let there = TwoTenants { db: fixture.db.on(&standby), ..fixture.clone() };
    (fixture, there, standby)
}

/// What the primary does; what entering acme on the standby gives then; how it is taken back.
const CHANGES: [(&str, &str, &str); 6] = [
    ("SELECT plio.suspend_tenant('acme')", "55000", "SELECT plio.resume_tenant('acme')"),
    ("SELECT plio.revoke_access('{app}', 'acme')", "42501", "SELECT plio.grant_access('{app}', 'acme')"),
    ("SELECT plio.rename_tenant('acme', 'other')", "42501", "SELECT plio.rename_tenant('other', 'acme')"),
    (
        "SET plio.enforcement = off; ALTER SCHEMA tenant_acme RENAME TO moved",
        "55000",
        "SET plio.enforcement = off; ALTER SCHEMA moved RENAME TO tenant_acme",
    ),
    (
        "DELETE FROM plio.access",
        "42501",
        "SELECT plio.grant_access('{app}', 'acme'), plio.grant_access('{app}', 'bravo')",
    ),
    (
        "SELECT plio.drop_tenant('acme', 'acme')",
        "42501",
        "SELECT plio.create_tenant('acme'), plio.grant_access('{app}', 'acme')",
    ),
];

// app on the standby has warm caches. The primary commits a change; once it is replayed, app's next transaction, and a
// session's tenant of another connection, are judged by it; the same when it is taken back.
#[test]
fn what_the_primary_committed_counts_on_the_standby() {
    let (fixture, there, standby) = pair();
    let primary = fixture.db.cluster().clone();
    let (mut admin, mut app, mut session) =
        (fixture.db.superuser(), warm(&there, &there.app), there.db.connect(&there.app));
    session.batch_execute("SET plio.tenant = 'acme'").unwrap();
    assert_eq!(first(&mut session, "SELECT name FROM users WHERE id = 1"), "canary-acme");
    for (change, code, back) in CHANGES {
        admin.batch_execute(&change.replace("{app}", &fixture.app)).unwrap();
        standby.wait_replayed(&primary);
        refused(enter(&mut app, "acme"), code);
        assert!(session.batch_execute("SELECT name FROM users").is_err(), "{change}");
        admin.batch_execute(&back.replace("{app}", &fixture.app)).unwrap();
        standby.wait_replayed(&primary);
        enter(&mut app, "acme").unwrap_or_else(|error| panic!("{back}: {error:?}"));
        app.batch_execute("COMMIT").unwrap();
    }
    // The last one made another tenant of the name: the session's is gone for good.
    refused(session.batch_execute("SELECT 1"), "42501");
}

// The lock of a change is in the WAL, as a table's: the standby waits with it for the transactions in the tenant, up to
// max_standby_streaming_delay, and then ends them. None of them sees the change half done.
#[test]
fn a_change_waits_for_the_standbys_transactions_or_ends_them() {
    let (fixture, there, standby) = pair();
    let primary = fixture.db.cluster().clone();
    let (mut admin, mut watcher) = (fixture.db.superuser(), there.db.superuser());
    let mut delay = |value: &str| {
        watcher.batch_execute(&format!("ALTER SYSTEM SET max_standby_streaming_delay = {value}")).unwrap();
        watcher.batch_execute("SELECT pg_reload_conf()").unwrap();
    };
    delay("-1");
    let (mut app, mut bravo) = (warm(&there, &there.app), warm(&there, &there.app));
    enter(&mut app, "acme").unwrap();
    enter(&mut bravo, "bravo").unwrap();
    admin.batch_execute("SELECT plio.suspend_tenant('acme')").unwrap();
    let replay_waits =
        "SELECT (wait_event_type = 'Lock') IS TRUE FROM pg_stat_activity WHERE backend_type = 'startup'";
    wait_for(&mut there.db.superuser(), replay_waits, || {});
    assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
    app.batch_execute("COMMIT").unwrap();
    standby.wait_replayed(&primary);
    refused(enter(&mut app, "acme"), "55000");
    // Another tenant's transaction holds nothing up.
    assert_eq!(first(&mut bravo, "SELECT name FROM users WHERE id = 1"), "canary-bravo");
    delay("0");
    admin.batch_execute("SELECT plio.suspend_tenant('bravo')").unwrap();
    standby.wait_replayed(&primary);
    // Idle in its transaction, it is ended whole: class 40, or the connection is gone.
    let ended = bravo.batch_execute("SELECT name FROM users").unwrap_err();
    assert!(bravo.is_closed() || ended.code().is_some_and(|code| code.code().starts_with("40")), "{ended:?}");
    refused(enter(&mut there.db.connect(&there.app), "bravo"), "55000");
}

// The boundary on the standby is the primary's; shares arrive; nothing is written; promoted, it goes on.
#[test]
fn the_boundary_holds_on_a_standby_and_after_its_promotion() {
    let (fixture, there, standby) = pair();
    let primary = fixture.db.cluster().clone();
    let (mut admin, mut app) = (fixture.db.superuser(), warm(&there, &there.app));
    refused(app.batch_execute("SELECT * FROM tenant_acme.users"), "55000");
    enter(&mut app, "acme").unwrap();
    assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
    app.batch_execute("SAVEPOINT s").unwrap();
    refused(app.batch_execute("SELECT * FROM tenant_bravo.users"), "42501");
    app.batch_execute("ROLLBACK TO s").unwrap();
    expect_sqlstate(app.batch_execute("INSERT INTO users (name) VALUES ('x')"), "25006");
    app.batch_execute("ROLLBACK").unwrap();
    // A share ends, and begins, for a transaction that is running there.
    enter(&mut app, "acme").unwrap();
    app.batch_execute("SELECT * FROM public.countries; SAVEPOINT s").unwrap();
    for (change, is_shared) in [
        ("SELECT plio.unshare('public.countries')", false),
        ("SELECT plio.share('public.countries', 'read')", true),
    ] {
        admin.batch_execute(change).unwrap();
        standby.wait_replayed(&primary);
        let answer = app.batch_execute("SELECT * FROM public.countries");
        if is_shared {
            answer.unwrap()
        } else {
            refused(answer, "42501")
        }
        app.batch_execute("ROLLBACK TO s").unwrap();
    }
    app.batch_execute("COMMIT").unwrap();
    refused(
        there
            .db
            .superuser()
            .batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SELECT * FROM tenant_bravo.users"),
        "42501",
    );
    standby.promote();
    enter(&mut app, "bravo").unwrap();
    app.batch_execute("INSERT INTO users (name) VALUES ('written'); SAVEPOINT s").unwrap();
    refused(app.batch_execute("SELECT * FROM tenant_acme.users"), "42501");
    app.batch_execute("ROLLBACK TO s; COMMIT").unwrap();
    there.db.superuser().batch_execute("SELECT plio.suspend_tenant('bravo')").unwrap();
    refused(enter(&mut app, "bravo"), "55000");
}

// The change is committed, the server is lost at once and recovers: the first transaction after it is judged by it.
#[test]
fn a_committed_change_outlives_a_crash() {
    let cluster = Cluster::start(&["synchronous_commit = on", "fsync = on", "full_page_writes = on"]);
    let fixture = cluster.database("crash").two_tenants();
    drop(warm(&fixture, &fixture.app));
    for (change, code, back) in &CHANGES[..3] {
        for (statement, code) in [(change, *code), (back, "")] {
            fixture.db.superuser().batch_execute(&statement.replace("{app}", &fixture.app)).unwrap();
            cluster.crash();
            cluster.resume();
            let mut app = fixture.db.connect(&fixture.app);
            let answer = enter(&mut app, "acme");
            if code.is_empty() { answer.unwrap() } else { refused(answer, code) }
        }
    }
}
