//! Many sessions at once, a small ring, and a backend that dies in the middle.

use super::{denied_in_acme, first, two_tenants, wait_until};
use plio_tests::{Cluster, TwoTenants};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

const SESSIONS: usize = 10;

/// Each session is refused so many times, each time in a transaction of its own; their process ids.
fn be_refused(fixture: &TwoTenants, times: usize) -> Vec<i32> {
    thread::scope(|scope| {
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|_| {
                scope.spawn(|| {
                    let mut app = fixture.db.connect(&fixture.app);
                    for _ in 0..times {
                        denied_in_acme(&mut app, "SELECT * FROM tenant_bravo.users");
                    }
                    first::<i32>(&mut app, "SELECT pg_backend_pid()")
                })
            })
            .collect();
        sessions.into_iter().map(|session| session.join().unwrap()).collect()
    })
}

// No denial is lost, no row is torn, while others read.
#[test]
fn under_load_every_denial_is_there_once_and_whole() {
    let fixture = two_tenants("load");
    let done = AtomicBool::new(false);
    let whole = format!(
        "SELECT count(*) FILTER (WHERE kind = 'other_tenant' AND org = 'acme' AND login_role = '{}' AND sqlstate = '42501'
             AND message = 'access to another tenant is not allowed' AND enforced) = count(*) FROM plio.denials",
        fixture.app
    );
    let pids = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut admin = fixture.db.superuser();
            while !done.load(Relaxed) {
                assert!(first::<bool>(&mut admin, &whole), "a torn row");
            }
        });
        let pids = be_refused(&fixture, 300);
        done.store(true, Relaxed);
        reader.join().unwrap();
        pids
    });
    let mut admin = fixture.db.superuser();
    assert!(first::<bool>(&mut admin, &whole));
    let rows = admin
        .query("SELECT pid, sum(times)::bigint FROM (SELECT DISTINCT denial_id, pid, times FROM plio.denials) d GROUP BY 1", &[])
        .unwrap();
    let counts: BTreeSet<(i32, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(counts, pids.into_iter().map(|pid| (pid, 300)).collect());
    assert_eq!(first::<i64>(&mut admin, "SELECT denials FROM plio.stat_tenants WHERE org = 'acme'"), 3_000);
}

// A ring of 16: the newest are there, the others are counted, health() warns.
#[test]
fn a_small_ring_says_what_it_has_lost() {
    let cluster =
        Cluster::start(&["shared_preload_libraries = 'plio_tenancy'", "plio.denials_ring_size = 16"]);
    let fixture = cluster.database("small").two_tenants();
    let mut admin = fixture.db.superuser();
    // Each session's own are counted in one row.
    be_refused(&fixture, 20);
    let written: i64 = first(&mut admin, "SELECT written FROM plio._shared_totals()");
    assert_eq!(written, 200);
    be_refused(&fixture, 1);
    let (there, overwritten): (i64, i64) = (
        first(&mut admin, "SELECT count(*) FROM plio.denials"),
        first(&mut admin, "SELECT overwritten FROM plio._shared_totals()"),
    );
    assert_eq!((there, overwritten), (16, 4));
    // The newest 16 are there.
    (0..16).for_each(|_| {
        denied_in_acme(&mut fixture.db.connect(&fixture.app), "SELECT * FROM tenant_bravo.users")
    });
    let newest = "SELECT count(*) = 16 AND max(denial_id) - min(denial_id) = 15 FROM plio.denials";
    assert!(first::<bool>(&mut admin, newest));
    let warning =
        "SELECT count(*) FROM plio.health() WHERE finding = 'denials_overrun' AND severity = 'warning'";
    assert_eq!(first::<i64>(&mut admin, warning), 1);
}

// SIGKILL for a session that is being refused in a loop: the server recovers, the ring is there, ids go on.
#[test]
fn a_killed_backend_wedges_no_one() {
    let cluster = Cluster::start(&[
        "shared_preload_libraries = 'plio_tenancy'",
        "plio.denials_ring_size = 8",
        // What was committed before the crash is there after it.
        "synchronous_commit = on",
        "fsync = on",
        "full_page_writes = on",
    ]);
    let fixture = cluster.database("killed").two_tenants();
    let last = "SELECT coalesce(max(denial_id), 0) FROM plio.denials";
    for _ in 0..3 {
        let mut app = fixture.db.connect(&fixture.app);
        let pid: i32 = first(&mut app, "SELECT pg_backend_pid()");
        let looping = thread::spawn(move || {
            app.batch_execute(
                "BEGIN; SELECT plio.set_tenant('acme');
                 DO $$ BEGIN LOOP
                     BEGIN PERFORM * FROM tenant_bravo.users; EXCEPTION WHEN insufficient_privilege THEN NULL; END;
                 END LOOP; END $$",
            )
            .is_err()
        });
        let mut admin = fixture.db.superuser();
        wait_until("it is being refused", || first::<i64>(&mut admin, last) > 0);
        let before: i64 = first(&mut admin, last);
        cluster.kill_backend(pid);
        assert!(looping.join().unwrap());
        let mut admin = fixture.db.superuser();
        assert_eq!(first::<i64>(&mut admin, "SELECT count(*) FROM plio.denials"), 0);
        denied_in_acme(&mut fixture.db.connect(&fixture.app), "SELECT * FROM tenant_bravo.users");
        assert!(first::<i64>(&mut admin, last) > before, "ids go on");
    }
}
