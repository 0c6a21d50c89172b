//! A report view over 1,000 tenants with a condition on one org, against the same query inside that tenant.
//!
//! The aim is at most twice the time, that is half the throughput. Both sides are the same database; inside the tenant
//! a transaction is BEGIN, set_tenant, the query and COMMIT, as an application would send it.

use plio_tests::Cluster;
use postgres::{Client, Statement};

use crate::{Args, Outcome, alternate, report};

const TENANTS: usize = 1000;
const TARGET: Option<f64> = Some(0.5);

/// What is measured, and the query with `{}` for the table, on rows of (id, name, n).
const QUERIES: [(&str, &str, &str); 4] = [
    ("  one row by its key", "SELECT name FROM {}", "id = 77"),
    ("  one row in ten, grouped", "SELECT n, count(*) FROM {}", "n < 10"),
    ("  how many of 10,000 rows", "SELECT count(*) FROM {}", "true"),
    ("  an aggregate over all of 10,000 rows", "SELECT count(*), avg(n), max(name) FROM {}", "true"),
];

/// Measures and prints; false when a ratio is below its target.
pub fn run(args: &Args) -> Outcome<bool> {
    let cluster =
        Cluster::start(&["autovacuum = off", "shared_buffers = '256MB'", "max_locks_per_transaction = 1024"]);
    let db = cluster.database("reports");
    db.extension();
    let role = db.login_role("reporter");
    let mut admin = db.superuser();
    for i in 1..=TENANTS {
        let rows = if i == TENANTS / 2 { 10_000 } else { 20 };
        admin.batch_execute(&format!(
            "SELECT plio.create_tenant('t{i}'); BEGIN; SELECT plio.set_tenant('t{i}');
             CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, n int);
             INSERT INTO users SELECT i, 'name ' || i, i % 100 FROM generate_series(1, {rows}) AS i; COMMIT"
        ))?;
    }
    admin.batch_execute(&format!(
        "SELECT plio.create_report_view('users', 'users'); SELECT plio.grant_access_to_every_tenant('{role}');
         GRANT plio_reporter TO {role}"
    ))?;
    admin.batch_execute("VACUUM ANALYZE")?;
    println!("a report view over {TENANTS} tenants WHERE org = .. | the query in that tenant:");
    let mut good = true;
    for (what, select, condition) in QUERIES {
        let (mut outside, mut inside) = (db.connect(&role), db.connect(&role));
        let tail = if what.contains("grouped") { " GROUP BY n" } else { "" };
        let org = format!("t{}", TENANTS / 2);
        let view = format!(
            "{} WHERE org = '{org}' AND {condition}{tail}",
            select.replace("{}", "plio_reports.users")
        );
        let view = outside.prepare(&view)?;
        let own = Inside::prepare(
            &mut inside,
            &org,
            &format!("{} WHERE {condition}{tail}", select.replace("{}", "users")),
        )?;
        let rounds = alternate(args, |_| Ok(outside.query(&view, &[]).map(drop)?), |_| own.run(&mut inside))?;
        good &= report(what, TARGET, &rounds);
    }
    Ok(good)
}

/// A transaction in the tenant.
struct Inside {
    enter: Statement,
    query: Statement,
}

impl Inside {
    fn prepare(client: &mut Client, org: &str, query: &str) -> Outcome<Self> {
        let enter = format!("SELECT plio.set_tenant('{org}')");
        client.batch_execute(&format!("BEGIN; {enter}"))?;
        let inside = Self { enter: client.prepare(&enter)?, query: client.prepare(query)? };
        client.batch_execute("COMMIT")?;
        Ok(inside)
    }

    fn run(&self, client: &mut Client) -> Outcome<()> {
        client.batch_execute("BEGIN")?;
        client.execute(&self.enter, &[])?;
        client.query(&self.query, &[])?;
        client.batch_execute("COMMIT")?;
        Ok(())
    }
}
