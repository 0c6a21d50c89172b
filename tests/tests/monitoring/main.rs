//! What a DBA can see of refusals, sessions and cost, with the library in shared_preload_libraries and without.

#![forbid(unsafe_code)]

mod budget;
mod denials;
mod flush;
mod flush_waits;
mod load;
mod log;
mod metrics;
mod selftest;
mod single_user;
mod tenants;

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use plio_tests::{Cluster, Db, TwoTenants};
use postgres::Client;

/// One cluster with shared memory for these tests.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        Cluster::start(&[
            "shared_preload_libraries = 'pg_stat_statements, plio_tenancy'",
            "plio.denials_ring_size = 16384",
            "plio.denials_log_rate = 1000000",
            "compute_query_id = on",
        ])
    })
}

fn two_tenants(prefix: &str) -> TwoTenants {
    cluster().database(prefix).two_tenants()
}

/// A login role that is an auditor.
fn auditor(db: &Db) -> String {
    let role = db.login_role("auditor");
    db.superuser().batch_execute(&format!("GRANT plio_auditor TO {role}")).unwrap();
    role
}

#[track_caller]
fn first<T: for<'a> postgres::types::FromSql<'a>>(client: &mut Client, query: &str) -> T {
    client.query_one(query, &[]).unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "waited until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Runs one statement in a transaction in acme, which fails; rolls back.
#[track_caller]
fn denied_in_acme(client: &mut Client, statement: &str) {
    client.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    let result = client.batch_execute(statement);
    assert!(result.is_err(), "{statement}");
    client.batch_execute("ROLLBACK").unwrap();
}
