//! The worker that writes `plio.denials_history` has to wait for the table: what ends it, and what comes of that.

use super::flush::{DIFFERENCE, OFTEN, PRELOADED, alter_system, count, deny, findings, wait_for_rows};
use super::{first, wait_until};
use plio_tests::Cluster;
use postgres::Client;

/// The worker's process that waits for the lock on the table, once there is one.
#[track_caller]
fn waiting_worker(client: &mut Client) -> i32 {
    let query = "SELECT a.pid FROM pg_stat_activity a JOIN pg_locks l USING (pid)
                  WHERE backend_type = 'plio_tenancy denials worker' AND NOT l.granted AND l.relation = 'plio.denials_history'::regclass";
    let mut pid = None;
    wait_until("a worker waits", || {
        pid = client.query_opt(query, &[]).unwrap().map(|row| row.get(0));
        pid.is_some()
    });
    pid.unwrap()
}

const LOCK: &str = "BEGIN; LOCK TABLE plio.denials_history IN ACCESS EXCLUSIVE MODE";

// The worker waits for the table, and a database's transaction_timeout (17 and later) would end it meanwhile; that of a session
// counts as ever.
#[test]
fn a_databases_transaction_timeout_does_not_end_the_worker() {
    if Cluster::major().parse::<u32>().unwrap() < 17 {
        return;
    }
    let cluster = Cluster::start(&[PRELOADED, "plio.denials_flush_interval = 1d"]);
    let fixture = cluster.database("timeout").two_tenants();
    deny(&fixture);
    // These sessions were there before the setting.
    let (mut admin, mut holder) = (fixture.db.superuser(), fixture.db.superuser());
    holder.batch_execute(LOCK).unwrap();
    admin
        .batch_execute(&format!("ALTER DATABASE {} SET transaction_timeout = '300ms'", fixture.db.name()))
        .unwrap();
    admin.batch_execute("ALTER SYSTEM SET plio.denials_flush_interval = '1s'").unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").unwrap();
    let worker = waiting_worker(&mut admin);
    // The control, which takes longer than the worker's time would be.
    let told = fixture.db.superuser().batch_execute("SELECT pg_sleep(60)");
    assert!(told.is_err(), "the setting counts");
    assert_eq!(waiting_worker(&mut admin), worker, "it waits on");
    holder.batch_execute("COMMIT").unwrap();
    wait_until("it is written", || count(&mut admin) == 1);
    let log = cluster.log();
    let ended = log.matches("terminating connection due to transaction timeout").count();
    assert_eq!(ended, 1, "only the control: {log}");
}

// holder: LOCK the table | worker: waits | somebody: ends the worker | more denials | holder: COMMIT | the next worker writes all.
#[test]
fn a_worker_that_is_ended_while_it_waits_loses_nothing() {
    let cluster = Cluster::start(&[PRELOADED, OFTEN]);
    let fixture = cluster.database("ended").two_tenants();
    let mut admin = fixture.db.superuser();
    deny(&fixture);
    wait_for_rows(&fixture.db, 1);
    let mut holder = fixture.db.superuser();
    holder.batch_execute(LOCK).unwrap();
    deny(&fixture);
    deny(&fixture);
    let worker = waiting_worker(&mut admin);
    assert!(admin.query_one("SELECT pg_terminate_backend($1, 10000)", &[&worker]).unwrap().get::<_, bool>(0));
    wait_until("health() tells", || findings(&fixture.db) == "denials_flush_fails");
    deny(&fixture);
    assert_ne!(waiting_worker(&mut admin), worker, "another one tries");
    holder.batch_execute("COMMIT").unwrap();
    wait_until("all are written", || count(&mut admin) == 4);
    wait_until("nothing fails any more", || findings(&fixture.db).is_empty());
    assert_eq!(first::<i64>(&mut admin, DIFFERENCE), 0);
    let twice = "SELECT count(*) - count(DISTINCT denial_id) FROM plio.denials_history";
    assert_eq!((count(&mut admin), first::<i64>(&mut admin, twice)), (4, 0));
}

// A lock that is held for longer than the worker waits, ten seconds: it gives up, the log and health() say so, the other
// database has its turn, and the lock's end is all that is needed.
#[test]
fn a_worker_gives_up_waiting_and_is_followed_by_another() {
    let cluster = Cluster::start(&[PRELOADED, "plio.denials_flush_interval = 1d"]);
    let (locked, other) = (cluster.database("locked").two_tenants(), cluster.database("other").two_tenants());
    let (mut admin, mut holder) = (locked.db.superuser(), locked.db.superuser());
    deny(&locked);
    deny(&other);
    holder.batch_execute(LOCK).unwrap();
    alter_system(&locked.db, "SET plio.denials_flush_interval = '1s'");
    waiting_worker(&mut admin);
    // The databases come in the order of their oids, so the locked one is tried first.
    wait_for_rows(&other.db, 1);
    assert_eq!(findings(&other.db), "denials_flush_fails");
    assert!(cluster.log().contains("canceling statement due to lock timeout"));
    deny(&locked);
    holder.batch_execute("COMMIT").unwrap();
    wait_until("all are written", || count(&mut admin) == 2);
    wait_until("nothing fails any more", || findings(&other.db).is_empty());
    assert_eq!(first::<i64>(&mut admin, DIFFERENCE), 0);
}
