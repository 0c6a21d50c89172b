//! How what watches all tenants grows with their number: audit(), statistics, metrics, selftest(), and one tenant of many.
//!
//! Each step has a cluster of its own with tenants as Plio's own look: 14 tables, 14 sequences and 39 indexes each, four shared
//! tables below their foreign keys. A step of five times the tenants may take 5.5 times as long; one tenant of all 1.5 times
//! what one of ten takes. Of the processor's time, which others at work on the machine hardly change; the shortest of several
//! runs.

use plio_tests::{Cluster, processor_clock};

use super::{Args, Outcome};

/// What is measured, and whether it is about one tenant.
const QUERIES: &[(&str, bool)] = &[
    ("SELECT * FROM plio.audit()", false),
    ("SELECT * FROM plio.health()", false),
    ("SELECT * FROM plio.stat_tenants", false),
    ("SELECT * FROM plio.metrics", false),
    ("SELECT * FROM plio.selftest()", false),
    ("SELECT * FROM plio.stat_tenants WHERE org = 't7'", true),
    ("SELECT * FROM plio.tenant_sizes('t7')", true),
];
const RUNS: usize = 7;
/// Of a step to five times the tenants.
const MOST_GROWTH: f64 = 5.5;
/// Of one tenant, against one of ten.
const MOST_OF_ONE: f64 = 1.5;

/// All of it; false when a target is missed.
pub fn run(args: &Args) -> Outcome<bool> {
    let steps: &[usize] = if args.many { &[10, 100, 200, 1_000, 5_000] } else { &[10, 100, 200, 1_000] };
    let mut columns = Vec::new();
    for tenants in steps {
        columns.push(measure(*tenants)?);
    }
    let heads: String = steps.iter().map(|tenants| format!("{tenants:>10}")).collect();
    println!("{:<50} {heads}   milliseconds of the processor, by tenants", "what watches all tenants");
    let mut good = true;
    for (row, (query, is_one)) in QUERIES.iter().enumerate() {
        let times: Vec<f64> = columns.iter().map(|column| column[row]).collect();
        let cells: String = times.iter().map(|time| format!("{time:>10.1}")).collect();
        let verdict = match (*is_one, &times[..]) {
            (true, [first, .., last]) => Some((last / first, MOST_OF_ONE)),
            (false, [.., one, five]) => Some((five / one, MOST_GROWTH)),
            _ => None,
        };
        let verdict = verdict.map_or_else(
            || "-".to_owned(),
            |(ratio, most)| {
                let is_met = ratio <= most;
                good &= is_met;
                format!("{ratio:.2} times, target {most:.1} {}", if is_met { "met" } else { "MISSED" })
            },
        );
        println!("{:<50} {cells}   {verdict}", query.trim_start_matches("SELECT * FROM "));
    }
    Ok(good)
}

/// The shortest time of each query, in milliseconds.
fn measure(tenants: usize) -> Outcome<Vec<f64>> {
    let cluster = Cluster::start(&[
        "shared_preload_libraries = 'plio_tenancy'",
        "autovacuum = off",
        // What a worker uses is not counted.
        "max_parallel_workers_per_gather = 0",
        "checkpoint_timeout = '1h'",
        "max_wal_size = '8GB'",
        "shared_buffers = '512MB'",
        "max_locks_per_transaction = 1024",
        "plio.counted_tenants = 8192",
    ]);
    let db = cluster.database("scale");
    db.extension().plio_shaped_tenants(tenants);
    let mut admin = db.superuser();
    admin.batch_execute("VACUUM ANALYZE")?;
    let clock = processor_clock(&mut admin);
    let mut best = vec![f64::INFINITY; QUERIES.len()];
    for ((query, _), best) in QUERIES.iter().zip(&mut best) {
        // The first fills the session's caches.
        for run in 0..=RUNS {
            let before = clock();
            admin.query(*query, &[])?;
            let spent = clock() - before;
            if run > 0 {
                *best = best.min(spent.as_secs_f64() * 1_000.0);
            }
        }
    }
    Ok(best)
}
