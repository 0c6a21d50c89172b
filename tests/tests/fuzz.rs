//! The random attack, bounded: `make fuzz` is the long one. The control shows that it finds what there is to find.

use plio_tests::Cluster;
use plio_tests::fuzz::{self, Attack, Finding, Guard, Kind};

/// Statements in `make test`; PLIO_FUZZ_STATEMENTS says otherwise.
const STATEMENTS: usize = 12_000;

fn statements() -> usize {
    std::env::var("PLIO_FUZZ_STATEMENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(STATEMENTS)
}

#[test]
fn a_random_attack_finds_no_way_out() {
    let attack = Attack { stint: 3000, ..Attack::new(20_261_125, statements()) };
    let summary = fuzz::run(&attack);
    // Internal errors that PostgreSQL itself raises, at arguments that only a fuzzer gives, differ between its versions: the
    // long run lists them.
    let is_postgresqls = |found: &Finding| found.kind == Kind::Internal && found.what.ends_with(".c)");
    assert!(summary.findings.iter().all(is_postgresqls), "{summary}");
    assert!(summary.found.keys().all(|kind| *kind == Kind::Internal), "{summary}");
    // It said something: most kinds of answers were seen, and hundreds of each of the two that matter.
    let count = |code| summary.outcomes.get(code).copied().unwrap_or(0);
    assert!(count("42501") > 300 && count("00000") > 3000, "{summary}");
    assert!(summary.outcomes.len() > 25 && summary.functions > 2000, "{summary}");
}

/// With enforcement off, and everything granted to everybody, the same statements leak and destroy at once.
#[test]
fn the_same_attack_without_us_leaks_at_once() {
    let attack = Attack { guard: Guard::Off, stops_when_proven: true, ..Attack::new(20_261_125, 2500) };
    let summary = fuzz::run(&attack);
    assert!(summary.count_of(Kind::Leak) > 20, "{summary}");
    assert!(summary.count_of(Kind::Change) > 0, "{summary}");
    assert!(summary.count_of(Kind::Crash) == 0, "{summary}");
}

/// Found by the attack. PostgreSQL's own look for open cursors leaves a scan of its table behind, and the hundredth in a
/// transaction made even the abort fail: the whole server went down.
#[test]
fn looking_for_open_cursors_leaves_nothing_behind() {
    let fixture = Cluster::shared().database("cursors").two_tenants();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); DECLARE held CURSOR WITH HOLD FOR SELECT * FROM users; COMMIT").unwrap();
    let pid: i32 = app.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    app.batch_execute("BEGIN").unwrap();
    for _ in 0..150 {
        // The first is refused inside; the held cursor is looked at each time.
        app.batch_execute("SET plio.tenant = 'acme'; RESET plio.tenant").unwrap();
    }
    app.batch_execute("COMMIT").unwrap();
    app.batch_execute("DECLARE again CURSOR WITH HOLD FOR SELECT 1").unwrap();
    app.batch_execute("BEGIN").unwrap();
    for _ in 0..150 {
        let refused = "DO $$BEGIN PERFORM plio.set_tenant('acme'); RAISE 'undo'; EXCEPTION WHEN raise_exception THEN NULL; END$$";
        app.batch_execute(refused).unwrap();
    }
    app.batch_execute("ROLLBACK").unwrap();
    let same: i32 = app.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    assert_eq!(same, pid, "the session has survived");
}
