//! `plio.activity`, `plio.stat_tenants` and `plio.tenant_sizes()`.

use super::{auditor, denied_in_acme, first, two_tenants, wait_until};
use plio_tests::{Cluster, Db, TwoTenants};
use postgres::Client;

fn activity(client: &mut Client) -> Vec<(i32, String, String, String)> {
    client
        .query("SELECT pid, login_role, org, state FROM plio.activity ORDER BY org", &[])
        .unwrap_or_else(|error| panic!("{error:?}"))
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect()
}

/// Who is in which tenant, with shared memory and without.
fn assert_activity(fixture: &TwoTenants) {
    let mut auditor = fixture.db.connect(&auditor(&fixture.db));
    assert_eq!(activity(&mut auditor), []);
    let (mut one, mut other) = (fixture.db.connect(&fixture.app), fixture.db.connect(&fixture.app));
    let pids: Vec<i32> = [&mut one, &mut other].map(|app| first(app, "SELECT pg_backend_pid()")).to_vec();
    one.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SELECT 'canary-text' FROM users").unwrap();
    other.batch_execute("SET plio.tenant = 'bravo'; BEGIN; SELECT FROM users").unwrap();
    let is = |pid, org: &str| (pid, fixture.app.clone(), org.to_owned(), "idle in transaction".to_owned());
    assert_eq!(activity(&mut auditor), [is(pids[0], "acme"), is(pids[1], "bravo")]);
    let whole: String = first(&mut auditor, "SELECT string_agg(a::text, ' ') FROM plio.activity a");
    assert!(!whole.contains("canary") && !whole.contains("SELECT"), "{whole}");
    let sessions =
        "SELECT string_agg(concat_ws(':', org, sessions, longest_session > interval '0'), ' ' ORDER BY org)
                      FROM plio.stat_tenants";
    assert_eq!(first::<String>(&mut auditor, sessions), "acme:1:t bravo:1:t");
    one.batch_execute("COMMIT").unwrap();
    other.batch_execute("COMMIT").unwrap();
    assert_eq!(activity(&mut auditor), []);
    assert_eq!(first::<String>(&mut auditor, sessions), "acme:0 bravo:0");
}

#[test]
fn activity_says_who_is_where() {
    assert_activity(&two_tenants("activity"));
}

#[test]
fn activity_needs_no_shared_memory() {
    assert_activity(&Cluster::shared().database("activity").two_tenants());
}

fn counted(db: &Db) -> (i64, i64, i64) {
    let row = db
        .superuser()
        .query_one("SELECT transactions, rollbacks, denials FROM plio.stat_tenants WHERE org = 'acme'", &[])
        .unwrap();
    (row.get(0), row.get(1), row.get(2))
}

// One transaction, one count, however it ends and however often the tenant is named in it.
#[test]
fn transactions_and_denials_are_counted_for_their_tenant() {
    let fixture = two_tenants("counted");
    let (mut app, before) = (fixture.db.connect(&fixture.app), counted(&fixture.db));
    let since = |fixture: &TwoTenants| {
        let now = counted(&fixture.db);
        (now.0 - before.0, now.1 - before.1, now.2 - before.2)
    };
    let enter = "BEGIN; SELECT plio.set_tenant('acme');";
    app.batch_execute(&format!("{enter} SELECT plio.set_tenant('acme'); SELECT FROM users; COMMIT")).unwrap();
    assert_eq!(since(&fixture), (1, 0, 0));
    app.batch_execute(&format!("{enter} SAVEPOINT s; SELECT 1; ROLLBACK TO s; ROLLBACK")).unwrap();
    assert_eq!(since(&fixture), (2, 1, 0));
    denied_in_acme(&mut app, "SELECT FROM tenant_bravo.users");
    assert_eq!(since(&fixture), (3, 2, 1));
    // Undone by the savepoint: the transaction ends in no tenant.
    app.batch_execute("BEGIN; SAVEPOINT s; SELECT plio.set_tenant('acme'); ROLLBACK TO s; COMMIT").unwrap();
    assert_eq!(since(&fixture), (3, 2, 1));
    // A session's tenant counts in the transactions that use it.
    app.batch_execute("SET plio.tenant = 'acme'").unwrap();
    let entered = since(&fixture).0;
    app.batch_execute("SELECT FROM users").unwrap();
    assert_eq!(since(&fixture).0, entered + 1);
    app.batch_execute("RESET plio.tenant; SELECT 1").unwrap();
    // What has no tenant is counted for none.
    assert!(app.batch_execute("SELECT FROM tenant_acme.users").is_err());
    let none = "SELECT value FROM plio.metrics WHERE name = 'plio_untenanted_denials_total'";
    assert_eq!(first::<f64>(&mut fixture.db.superuser(), none), 1.0);
    assert_eq!(since(&fixture).2, 1);
    assert_eq!(
        first::<i64>(
            &mut fixture.db.superuser(),
            "SELECT denials FROM plio.stat_tenants WHERE org = 'bravo'"
        ),
        0
    );
}

#[test]
fn without_shared_memory_the_counters_are_null_and_the_rest_is_there() {
    let fixture = Cluster::shared().database("stats").two_tenants();
    let mut admin = fixture.db.superuser();
    let row = "SELECT concat_ws(' ', org, status, tables, transactions, denials) FROM plio.stat_tenants ORDER BY org LIMIT 1";
    assert_eq!(first::<String>(&mut admin, row), "acme active 1");
}

#[test]
fn sizes_rows_and_scans_are_each_tenants_own() {
    let fixture = two_tenants("sizes");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute(
        "BEGIN; SELECT plio.set_tenant('acme');
         CREATE TABLE texts (id int PRIMARY KEY, body text);
         ALTER TABLE texts ALTER body SET STORAGE EXTERNAL;
         INSERT INTO texts SELECT i, repeat('x', 5000) FROM generate_series(1, 200) i;
         DELETE FROM texts WHERE id <= 50; UPDATE users SET name = name; COMMIT;
         BEGIN; SELECT plio.set_tenant('acme'); SET LOCAL enable_seqscan = off; SELECT FROM texts WHERE id = 100; COMMIT",
    )
    .unwrap();
    let mut admin = fixture.db.superuser();
    let never =
        "SELECT last_vacuum IS NULL AND last_analyze IS NULL FROM plio.stat_tenants WHERE org = 'bravo'";
    assert!(first::<bool>(&mut admin, never));
    // A session sends its statistics a little later, at the latest when it ends; after VACUUM they would be added to its own.
    drop(app);
    let sent = "SELECT rows_inserted = 203 FROM plio.stat_tenants WHERE org = 'acme'";
    wait_until("the session has sent its statistics", || first::<bool>(&mut admin, sent));
    admin.batch_execute("VACUUM ANALYZE").unwrap();
    let good = "SELECT live_rows = 153 AND rows_inserted = 203 AND rows_updated = 3 AND rows_deleted = 50 AND index_scans > 0
                   AND last_vacuum IS NOT NULL AND last_analyze IS NOT NULL AND tables = 2 FROM plio.stat_tenants WHERE org = 'acme'";
    wait_until("the statistics have arrived", || first::<bool>(&mut admin, good));
    let row = admin.query_one("SELECT s.table_bytes, s.index_bytes, s.toast_bytes, e.table_bytes, e.index_bytes, e.toast_bytes, e.total_bytes
        FROM plio.stat_tenants s, plio.tenant_sizes('acme') e WHERE s.org = 'acme'", &[]).unwrap();
    let [table, index, toast, exact_table, exact_index, exact_toast, total] =
        [0, 1, 2, 3, 4, 5, 6].map(|i| row.get::<_, i64>(i));
    assert!(toast >= 150 * 5000 && index > 0 && table > 0, "{row:?}");
    // The estimate leaves out the free space and visibility maps.
    for (estimate, exact) in [(table, exact_table), (index, exact_index), (toast, exact_toast)] {
        assert!(estimate <= exact && exact - estimate <= 3 * 48 * 1024, "{row:?}");
    }
    assert_eq!(exact_table + exact_index + exact_toast, total);
    // Independent of us.
    let sum = "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
                WHERE relnamespace = 'tenant_acme'::regnamespace AND relkind = 'r'";
    assert_eq!(first::<i64>(&mut admin, sum), total);
    let orgs = "SELECT string_agg(org, ' ' ORDER BY org) FROM plio.tenant_sizes()";
    assert_eq!(first::<String>(&mut fixture.db.connect(&auditor(&fixture.db)), orgs), "acme bravo");
    assert_eq!(first::<i64>(&mut admin, "SELECT count(*) FROM plio.tenant_sizes('nobody')"), 0);
}

// A migration holds a table of the tenant's: whoever asks for sizes waits 5 s at most.
#[test]
fn sizes_wait_no_longer_than_their_limit() {
    let fixture = two_tenants("sizes_wait");
    let mut holder = fixture.db.connect(&fixture.app);
    holder.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); LOCK TABLE users").unwrap();
    let mut auditor = fixture.db.connect(&auditor(&fixture.db));
    let start = std::time::Instant::now();
    plio_tests::expect_sqlstate(auditor.batch_execute("SELECT FROM plio.tenant_sizes('acme')"), "55P03");
    let waited = start.elapsed().as_secs();
    assert!((4..20).contains(&waited), "{waited} s");
    // Others' sizes, and the tenant's own once the table is free.
    assert_eq!(first::<i64>(&mut auditor, "SELECT count(*) FROM plio.tenant_sizes('bravo')"), 1);
    holder.batch_execute("COMMIT").unwrap();
    assert_eq!(first::<i64>(&mut auditor, "SELECT count(*) FROM plio.tenant_sizes('acme')"), 1);
}

// Where there are more tenants than counters, those are counted together, and health() says so.
#[test]
fn more_tenants_than_counters_are_counted_together() {
    let cluster = Cluster::start(&["shared_preload_libraries = 'plio_tenancy'", "plio.counted_tenants = 1"]);
    let fixture = cluster.database("few").two_tenants();
    let mut admin = fixture.db.superuser();
    for n in 0..3 {
        admin
            .batch_execute(&format!(
                "SELECT plio.create_tenant('t{n}'); BEGIN; SELECT plio.set_tenant('t{n}'); COMMIT"
            ))
            .unwrap();
    }
    assert!(first::<i64>(&mut admin, "SELECT uncounted FROM plio._shared_totals()") > 0);
    let warning =
        "SELECT count(*) FROM plio.health() WHERE finding = 'tenants_uncounted' AND severity = 'warning'";
    assert_eq!(first::<i64>(&mut admin, warning), 1);
}

// Dropped tenants give their counters back, also to those who found none; whoever may have been counted with the rest has
// null, not 0.
#[test]
fn counters_come_back_and_uncounted_is_null() {
    let cluster = Cluster::start(&["shared_preload_libraries = 'plio_tenancy'", "plio.counted_tenants = 2"]);
    let db = cluster.database("given_back");
    db.extension();
    let mut admin = db.superuser();
    let enter = |admin: &mut Client, org: &str, times: usize| {
        for _ in 0..times {
            admin.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}'); COMMIT")).unwrap();
        }
    };
    let transactions = |admin: &mut Client, org: &str| {
        first::<Option<i64>>(
            admin,
            &format!("SELECT transactions FROM plio.stat_tenants WHERE org = '{org}'"),
        )
    };
    for org in ["a", "b", "c", "d", "never"] {
        admin.batch_execute(&format!("SELECT plio.create_tenant('{org}')")).unwrap();
    }
    for org in ["a", "b", "c", "d"] {
        enter(&mut admin, org, 2);
        assert_eq!(transactions(&mut admin, org), Some(2));
    }
    // All are counted so far.
    assert_eq!(transactions(&mut admin, "never"), Some(0));
    admin.batch_execute("SELECT plio.create_tenant('e'), plio.create_tenant('f')").unwrap();
    let mut other = db.superuser();
    enter(&mut other, "e", 3);
    assert_eq!(["e", "never"].map(|org| transactions(&mut admin, org)), [None, None]);
    let metrics = "SELECT count(*) FROM plio.metrics WHERE name = 'plio_tenant_transactions_total'";
    assert_eq!(first::<i64>(&mut admin, metrics), 4);
    // Undone, nothing is given back.
    admin.batch_execute("BEGIN; SELECT plio.drop_tenant('a', 'a'); ROLLBACK").unwrap();
    admin.batch_execute("SELECT plio.create_tenant('g')").unwrap();
    enter(&mut admin, "a", 1);
    assert_eq!(transactions(&mut admin, "a"), Some(3));
    // The places of two are free; the one who was in `e` all the while notices.
    admin.batch_execute("SELECT plio.drop_tenant('a', 'a'), plio.drop_tenant('b', 'b')").unwrap();
    admin.batch_execute("SELECT plio.create_tenant('h')").unwrap();
    enter(&mut other, "e", 4);
    enter(&mut admin, "h", 1);
    let counted = ["c", "d", "e", "h"].map(|org| transactions(&mut admin, org));
    assert_eq!(counted, [Some(2), Some(2), Some(4), Some(1)]);
}
