//! What seeing costs: a denial that is kept and logged, counting on the hot path, and the statistics of many tenants.
//!
//! Two clusters that differ in nothing but how the library is loaded, in turns within one run.

use std::time::Instant;

use plio_tests::{Cluster, Db, processor_clock};

use super::{Args, ENTER, Outcome, Script, TABLE, alternate, report};

/// Of the tables of a Plio-shaped tenant.
const TABLES: usize = 14;
const REFUSED: &str = "SELECT name FROM tenant_acme.users WHERE id = 1";

/// One cluster's database with one tenant, and the role that may enter it.
struct Side {
    db: Db,
    role: String,
}

impl Side {
    fn start(conf: &[&str]) -> Outcome<Self> {
        let quiet = [
            "autovacuum = off",
            "checkpoint_timeout = '1h'",
            "shared_buffers = '256MB'",
            "max_locks_per_transaction = 1024",
        ];
        let db = Cluster::start(&[&quiet, conf].concat()).database("side");
        let role = db.extension().login_role("app");
        let mut admin = db.superuser();
        admin.batch_execute("SELECT plio.create_tenant('acme')")?;
        admin.execute("SELECT plio.grant_access($1, 'acme')", &[&role])?;
        admin.batch_execute(&format!("BEGIN; {ENTER}; {TABLE}; COMMIT"))?;
        admin.batch_execute("VACUUM ANALYZE")?;
        Ok(Self { db, role })
    }
}

/// All of it; false when a target is missed.
pub fn run(args: &Args) -> Outcome<bool> {
    let shared =
        Side::start(&["shared_preload_libraries = 'plio_tenancy'", "plio.denials_log_rate = 2147483647"])?;
    // Neither ring nor counters nor a line in the log: the bare error.
    let bare = Side::start(&["plio.denials_log_rate = 0"])?;
    println!("with shared memory | with session preload, nothing kept or logged:");
    let mut good = report(
        "  a denial, kept and logged | the bare error",
        Some(1.0 / 1.2),
        &denials(args, &shared, &bare)?,
    );
    good &= report("  set_tenant, counted | not counted", Some(0.99), &transactions(args, &shared, &bare)?);
    good &= statistics(&shared.db, args.tenants)?;
    Ok(good)
}

fn denials(args: &Args, shared: &Side, bare: &Side) -> Outcome<Vec<super::Round>> {
    let (mut one, mut other) = (shared.db.connect(&shared.role), bare.db.connect(&bare.role));
    let refused = |client: &mut postgres::Client| match client.batch_execute(REFUSED) {
        Err(error) if error.code().is_some_and(|code| code.code() == "55000") => Ok(()),
        other => Err(format!("not refused: {other:?}").into()),
    };
    alternate(args, |_| refused(&mut one), |_| refused(&mut other))
}

fn transactions(args: &Args, shared: &Side, bare: &Side) -> Outcome<Vec<super::Round>> {
    let (mut one, mut other) = (shared.db.connect(&shared.role), bare.db.connect(&bare.role));
    let (in_one, in_other) = (Script::prepare(&mut one, ENTER)?, Script::prepare(&mut other, ENTER)?);
    alternate(args, |id| in_one.run(&mut one, id), |id| in_other.run(&mut other, id))
}

/// `plio.stat_tenants` and `plio.audit()` over so many tenants, in the best of five: what they take when the machine is idle.
fn statistics(db: &Db, tenants: usize) -> Outcome<bool> {
    db.plio_shaped_tenants(tenants);
    let mut admin = db.superuser();
    admin.batch_execute("ANALYZE")?;
    let clock = processor_clock(&mut admin);
    let mut best = [(f64::INFINITY, f64::INFINITY); 4];
    let queries = [
        "SELECT * FROM plio.stat_tenants",
        "SELECT * FROM plio.metrics",
        "SELECT * FROM plio.tenant_sizes()",
        "SELECT count(*) FROM plio.audit()",
    ];
    for (query, (seconds, processor)) in queries.iter().zip(&mut best) {
        for _ in 0..5 {
            let (began, before) = (Instant::now(), clock());
            admin.query(*query, &[])?;
            *seconds = began.elapsed().as_secs_f64().min(*seconds);
            *processor = (clock() - before).as_secs_f64().min(*processor);
        }
    }
    let [(statistics, _), (metrics, _), (sizes, _), (audit, audit_processor)] = best;
    let verdict = |is_good: bool| if is_good { "met" } else { "MISSED" };
    println!(
        "plio.stat_tenants over {tenants} tenants of {TABLES} tables: {statistics:.2} s, target 1.00 {} (metrics {metrics:.2} s, tenant_sizes() {sizes:.2} s)",
        verdict(statistics < 1.0)
    );
    println!(
        "plio.audit() over {tenants} tenants: {audit:.2} s, target 5.00 {} (processor time {audit_processor:.2} s)",
        verdict(audit < 5.0)
    );
    Ok(statistics < 1.0 && audit < 5.0)
}
