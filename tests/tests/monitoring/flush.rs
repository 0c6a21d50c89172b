//! `plio.denials_history`: denials outlive the ring, a stop and a crash of the server, each once; and neither a database
//! that fails nor one that is dropped is in anybody's way.

use super::{auditor, denied_in_acme, first, wait_until};
use plio_tests::{Cluster, Db, TwoTenants, expect_sqlstate};
use postgres::Client;
use std::thread;
use std::time::Duration;

pub const PRELOADED: &str = "shared_preload_libraries = 'plio_tenancy'";
pub const OFTEN: &str = "plio.denials_flush_interval = 1s";

pub fn deny(fixture: &TwoTenants) {
    denied_in_acme(&mut fixture.db.connect(&fixture.app), "SELECT * FROM tenant_bravo.users");
}

pub fn count(client: &mut Client) -> i64 {
    first(client, "SELECT count(*) FROM plio.denials_history")
}

#[track_caller]
pub fn wait_for_rows(db: &Db, rows: i64) {
    let mut client = db.superuser();
    wait_until(&format!("{} has {rows} rows", db.name()), || count(&mut client) == rows);
}

pub fn alter_system(db: &Db, what: &str) {
    let mut admin = db.superuser();
    admin.batch_execute(&format!("ALTER SYSTEM {what}")).unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").unwrap();
}

/// Findings of health() about the flush.
pub fn findings(db: &Db) -> String {
    let query = "SELECT coalesce(string_agg(finding, ' '), '') FROM plio.health() WHERE finding ~ '^denials_(flush|history|lost)'";
    first(&mut db.superuser(), query)
}

/// What the table and the ring have, which is in every column the same.
pub const DIFFERENCE: &str = "SELECT count(*) FROM (
    SELECT denial_id, at, pid, session_id, login_role, org, kind, message, sqlstate, query_id, enforced FROM plio.denials
    EXCEPT ALL
    SELECT denial_id, at, pid, session_id, login_role, org, kind, message, sqlstate, query_id, enforced FROM plio.denials_history) d";

// Two databases, each with its own; a stop in which the last denial is not written yet; a crash.
#[test]
fn denials_outlive_a_stop_and_a_crash_and_are_there_once() {
    let cluster = Cluster::start(&[PRELOADED, OFTEN]);
    let (one, other) = (cluster.database("one").two_tenants(), cluster.database("other").two_tenants());
    deny(&one);
    deny(&one);
    deny(&other);
    wait_for_rows(&one.db, 2);
    wait_for_rows(&other.db, 1);
    assert_eq!(first::<i64>(&mut one.db.superuser(), DIFFERENCE), 0);
    assert_eq!(findings(&one.db), "");

    alter_system(&one.db, "SET plio.denials_flush_interval = '1d'");
    deny(&one);
    let ids = "SELECT string_agg(denial_id::text, ' ' ORDER BY denial_id) FROM plio.denials";
    let before: String = first(&mut one.db.superuser(), ids);
    cluster.restart();
    assert_eq!(first::<String>(&mut one.db.superuser(), ids), before, "the ring outlives a stop");
    wait_for_rows(&one.db, 3);
    assert_eq!(first::<i64>(&mut one.db.superuser(), DIFFERENCE), 0);
    assert!(!cluster.data_dir().join("pg_stat/plio_denials.stat").exists());

    cluster.crash();
    cluster.resume();
    alter_system(&one.db, "RESET plio.denials_flush_interval");
    deny(&one);
    wait_for_rows(&one.db, 4);
    let newest = "SELECT (SELECT max(denial_id) FROM plio.denials) = (SELECT max(denial_id) FROM plio.denials_history)";
    assert!(first::<bool>(&mut one.db.superuser(), newest));
    assert_eq!(count(&mut other.db.superuser()), 1);

    // A backend that is killed takes the shared memory with it: the launcher comes back by itself.
    let mut victim = other.db.superuser();
    cluster.kill_backend(first(&mut victim, "SELECT pg_backend_pid()"));
    cluster.wait_ready();
    assert_eq!(first::<i64>(&mut one.db.superuser(), "SELECT count(*) FROM plio.denials"), 0);
    assert_eq!(count(&mut one.db.superuser()), 4);
    deny(&other);
    wait_for_rows(&other.db, 2);
    // So it does when somebody ends it.
    let launcher = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'plio_tenancy denials launcher'";
    let mut admin = other.db.superuser();
    let pid: i32 = first(&mut admin, launcher);
    admin.query("SELECT pg_terminate_backend($1, 10000)", &[&pid]).unwrap();
    wait_until("it is gone", || findings(&other.db) == "denials_flush_stopped");
    deny(&other);
    wait_until("it is back", || findings(&other.db).is_empty());
    wait_for_rows(&other.db, 3);
}

// A table that cannot be written: the other database goes on, health() says so, and once it is mended nothing is missing. A
// database that is dropped between a denial and the flush, with no FORCE; one whose owner puts a table with a trigger in the
// place of ours, in the hope that it runs as a superuser.
#[test]
fn a_database_that_fails_or_is_gone_is_in_nobodys_way() {
    let cluster = Cluster::start(&[PRELOADED, "plio.denials_flush_interval = 1d"]);
    let fixtures: Vec<_> =
        ["failing", "dropped", "planted", "last"].map(|name| cluster.database(name).two_tenants()).into();
    let [failing, dropped, planted, last] = &fixtures[..] else { unreachable!() };
    let mut admin = failing.db.superuser();
    admin
        .batch_execute(
            "SET plio.enforcement = off; ALTER TABLE plio.denials_history ADD CONSTRAINT broken CHECK (pid < 0)",
        )
        .unwrap();
    fixtures.iter().for_each(deny);
    admin.batch_execute(&format!("DROP DATABASE {}", dropped.db.name())).unwrap();
    let owner = planted.db.login_role("owner");
    planted
        .db
        .superuser()
        .batch_execute(&format!(
            "ALTER DATABASE {} OWNER TO {owner}; SET plio.enforcement = off; DROP SCHEMA tenant_acme, tenant_bravo CASCADE;
             DROP EXTENSION plio_tenancy; DROP SCHEMA plio",
            planted.db.name()
        ))
        .unwrap();
    planted
        .db
        .connect(&owner)
        .batch_execute(
            "CREATE SCHEMA plio; CREATE TABLE plio.seen (who text);
             CREATE TABLE plio.denials_history (LIKE pg_stat_activity);
             CREATE FUNCTION plio.spring() RETURNS trigger LANGUAGE plpgsql AS
                 $$BEGIN INSERT INTO plio.seen VALUES (CURRENT_USER); RETURN NULL; END$$;
             CREATE TRIGGER spring BEFORE INSERT ON plio.denials_history FOR EACH STATEMENT EXECUTE FUNCTION plio.spring()",
        )
        .unwrap();
    alter_system(&failing.db, "SET plio.denials_flush_interval = '1s'");
    // The databases come in the order of their oids, so the last one was made last.
    wait_for_rows(&last.db, 1);
    assert_eq!(first::<i64>(&mut planted.db.superuser(), "SELECT count(*) FROM plio.seen"), 0);
    assert_eq!((findings(&last.db).as_str(), count(&mut admin)), ("denials_flush_fails", 0));
    assert!(cluster.log().contains("violates check constraint \"broken\""));
    admin
        .batch_execute("SET plio.enforcement = off; ALTER TABLE plio.denials_history DROP CONSTRAINT broken; RESET plio.enforcement")
        .unwrap();
    wait_for_rows(&failing.db, 1);
    wait_until("nothing fails any more", || findings(&last.db).is_empty());
    deny(last);
    wait_for_rows(&last.db, 2);
}

// The interval is a day, but half a ring of new denials is reason enough; what comes too fast is lost, and said to be.
#[test]
fn half_a_ring_of_new_denials_is_written_at_once() {
    let cluster =
        Cluster::start(&[PRELOADED, "plio.denials_flush_interval = 1d", "plio.denials_ring_size = 16"]);
    let fixture = cluster.database("half").two_tenants();
    let mut app = fixture.db.connect(&fixture.app);
    (0..16).for_each(|_| deny(&fixture));
    let mut admin = fixture.db.superuser();
    wait_until("they are written", || count(&mut admin) >= 8);
    assert_eq!(findings(&fixture.db), "");
    // Each with another message: the same would be counted in one entry.
    let flood = "DO $$BEGIN FOR n IN 1..500 LOOP
                     BEGIN PERFORM plio.set_tenant('org-' || n); EXCEPTION WHEN OTHERS THEN NULL; END;
                 END LOOP; END$$";
    app.batch_execute(flood).unwrap();
    wait_until("the loss is told", || findings(&fixture.db) == "denials_lost");
    let metrics = "SELECT count(*) FROM plio.metrics WHERE name IN ('plio_denials_lost_total', 'plio_denials_flushed_total') AND value > 0";
    assert_eq!(first::<i64>(&mut admin, metrics), 2);
}

// Only administrators write by hand, outside a tenant; any number of them at once add each denial once. Rows go when they are
// too old, and in no other way; a table that is full stays as it is.
#[test]
fn by_hand_and_by_whom_and_for_how_long() {
    let cluster = Cluster::start(&[PRELOADED]);
    let fixture = cluster.database("hand").two_tenants();
    let mut app = fixture.db.connect(&fixture.app);
    (0..20).for_each(|_| deny(&fixture));
    expect_sqlstate(app.batch_execute("SELECT plio.flush_denials()"), "42501");
    expect_sqlstate(app.batch_execute("SELECT * FROM plio.denials_history"), "42501");
    let mut auditor = fixture.db.connect(&auditor(&fixture.db));
    expect_sqlstate(auditor.batch_execute("SELECT plio.flush_denials()"), "42501");
    let operator = fixture.db.login_role("operator");
    let mut admin = fixture.db.superuser();
    admin.batch_execute(&format!("GRANT plio_admin TO {operator}")).unwrap();
    let inside = fixture
        .db
        .connect(&operator)
        .batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SELECT plio.flush_denials()");
    expect_sqlstate(inside, "42501");
    let kept: i64 = first(&mut auditor, "SELECT count(*) FROM plio.denials");
    let added: i64 = thread::scope(|scope| {
        let flush = || first::<i64>(&mut fixture.db.connect(&operator), "SELECT plio.flush_denials()");
        let all: Vec<_> = (0..4).map(|_| scope.spawn(flush)).collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!((added, count(&mut auditor)), (kept, kept));
    assert_eq!(first::<i64>(&mut auditor, DIFFERENCE), 0);

    for statement in [
        "DELETE FROM plio.denials_history",
        "UPDATE plio.denials_history SET org = NULL",
        "TRUNCATE plio.denials_history",
    ] {
        expect_sqlstate(admin.batch_execute(statement), "42501");
    }
    expect_sqlstate(admin.batch_execute("DROP TRIGGER only_appended ON plio.denials_history"), "42501");
    admin
        .batch_execute(
            "INSERT INTO plio.denials_history SELECT at - interval '91 days', denial_id, pid, session_id, login_role, org, kind, message,
                    sqlstate, query_id, enforced FROM plio.denials_history",
        )
        .unwrap();
    let flushed: i64 = first(&mut admin, "SELECT plio.flush_denials()");
    let refused: i64 = first(&mut admin, "SELECT count(*) FROM plio.denials");
    assert_eq!(count(&mut admin), refused, "what is older than 90 days is gone");
    assert!(flushed > 0, "the refusals of this test itself");
    expect_sqlstate(admin.batch_execute("DELETE FROM plio.denials_history"), "42501");

    alter_system(&fixture.db, "SET plio.denials_history_rows = 10");
    admin.batch_execute("ANALYZE plio.denials_history").unwrap();
    wait_until("it is full", || findings(&fixture.db) == "denials_history_full");
    assert_eq!(first::<i64>(&mut admin, "SELECT plio.flush_denials()"), 0);
    assert_eq!(count(&mut admin), refused);
}

// An interval without a ring is a mistake that health() tells.
#[test]
fn without_a_ring_nothing_is_written_and_health_says_so() {
    let fixture =
        Cluster::start(&[PRELOADED, OFTEN, "plio.denials_ring_size = 0"]).database("none").two_tenants();
    deny(&fixture);
    assert_eq!(findings(&fixture.db), "denials_flush_off");
    assert_eq!(first::<i64>(&mut fixture.db.superuser(), "SELECT plio.flush_denials()"), 0);
}

// A standby judges, keeps its denials in its ring and writes nothing; promoted, it writes them.
#[test]
fn a_standby_writes_its_denials_once_it_is_promoted() {
    let primary = Cluster::start(&[PRELOADED, OFTEN, "wal_level = replica", "hot_standby = on"]);
    let fixture = primary.database("standby").two_tenants();
    let standby = primary.standby();
    standby.wait_replayed(&primary);
    let there = TwoTenants { db: fixture.db.on(&standby), ..fixture.clone() };
    deny(&there);
    expect_sqlstate(there.db.superuser().batch_execute("SELECT plio.flush_denials()"), "25006");
    assert_eq!(findings(&there.db), "denials_flush_waits");
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(count(&mut there.db.superuser()), 0);
    standby.promote();
    wait_for_rows(&there.db, 1);
    assert_eq!(findings(&there.db), "");
    assert_eq!(count(&mut fixture.db.superuser()), 0);
}
