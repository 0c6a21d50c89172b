//! `plio.selftest()` tries fifty bypasses: nobody's, so they are nobody's denials.

use super::{cluster, denied_in_acme, first, two_tenants};

const DENIALS: &str = "SELECT sum(times)::bigint FROM plio.denials";
const COUNTED: &str = "SELECT sum(denials)::bigint FROM plio._tenant_counters()";
const COUNTERS: &str = "SELECT count(*) FROM plio._tenant_counters()";

#[test]
fn a_selftest_is_logged_as_such_and_counts_for_nobody() {
    let fixture = two_tenants("selftested");
    let (mut admin, mut app) = (fixture.db.superuser(), fixture.db.connect(&fixture.app));
    denied_in_acme(&mut app, "SELECT * FROM tenant_bravo.users");
    assert_eq!((first::<i64>(&mut admin, DENIALS), first::<i64>(&mut admin, COUNTED)), (1, 1));
    let counters = first::<i64>(&mut admin, COUNTERS);
    // Not even where PostgreSQL would have parallel workers for everything.
    let parallel = "SELECT count(set_config(name, 'on', false)) FROM pg_settings WHERE name IN ('debug_parallel_query', 'force_parallel_mode')";
    assert_eq!(first::<i64>(&mut app, parallel), 1);
    let refused: i64 =
        first(&mut app, "SELECT count(sqlstate) FROM plio.selftest() WHERE verdict = 'refused'");
    assert!(refused > 40, "{refused}");
    assert_eq!((first::<i64>(&mut admin, DENIALS), first::<i64>(&mut admin, COUNTED)), (1, 1));
    assert_eq!(first::<i64>(&mut admin, COUNTERS), counters, "throw-away tenants take no counter");
    let log = cluster().log();
    let login = format!("login=\"{}\"", fixture.app);
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("plio denial: ") && line.contains(&login)).collect();
    let own = lines.iter().filter(|line| line.contains(" selftest=true")).count();
    // Some attacks are PostgreSQL's own to refuse.
    assert!(own > 20 && own + 1 == lines.len(), "{own} of {}", lines.len());
    // It ends with the call, also where that fails; what comes then is somebody's again.
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert!(app.batch_execute("SELECT * FROM plio.selftest()").is_err());
    app.batch_execute("ROLLBACK").unwrap();
    let before = first::<i64>(&mut admin, DENIALS);
    denied_in_acme(&mut app, "SELECT * FROM tenant_bravo.users");
    assert_eq!(first::<i64>(&mut admin, DENIALS), before + 1);
}
