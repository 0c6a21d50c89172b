//! The random attack, bounded: `make fuzz` is the long one. The control shows that it finds what there is to find.

mod controls;
mod pairs;

use plio_tests::Cluster;
use plio_tests::fuzz::{self, Attack, Finding, Guard, Kind, Part, Summary, Surface, TURNS, Tenants};

/// Statements in `make test`; PLIO_FUZZ_STATEMENTS says otherwise.
const STATEMENTS: usize = 12_000;

fn statements() -> usize {
    std::env::var("PLIO_FUZZ_STATEMENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(STATEMENTS)
}

/// Nothing was found. Internal errors that PostgreSQL itself raises, at arguments that only a fuzzer gives, differ between
/// its versions: the long run lists them.
#[track_caller]
fn assert_clean(summary: &Summary) {
    let is_postgresqls = |found: &Finding| found.kind == Kind::Internal && found.what.ends_with(".c)");
    assert!(summary.findings.iter().all(is_postgresqls), "{summary}");
    assert!(summary.found.keys().all(|kind| *kind == Kind::Internal), "{summary}");
}

/// Each role had its turn.
#[track_caller]
fn assert_whole_cast(summary: &Summary) {
    let is_missing = |part: &&Part| !summary.parts.contains(part);
    assert_eq!(TURNS.iter().find(is_missing), None, "{:?}", summary.parts);
}

#[test]
fn a_random_attack_finds_no_way_out() {
    let summary = fuzz::run(&Attack::of_all_parts(20_261_125, statements()));
    assert_clean(&summary);
    assert_whole_cast(&summary);
    // It said something: most kinds of answers were seen, and hundreds of each of the two that matter.
    let count = |code| summary.outcomes.get(code).copied().unwrap_or(0);
    assert!(count("42501") > 300 && count("00000") > 3000, "{summary}");
    assert!(summary.outcomes.len() > 25 && summary.functions > 2000, "{summary}");
}

/// The same on adopted tenants, which the attacker's own role owns: in two of four stints it speaks inside tenants alone, and
/// then nothing is left out of the comparison.
#[test]
fn a_random_attack_on_adopted_tenants_finds_no_way_out() {
    let attack = Attack { tenants: Tenants::Adopted, ..Attack::of_all_parts(20_261_126, statements() / 2) };
    let summary = fuzz::run(&attack);
    assert_clean(&summary);
    assert_whole_cast(&summary);
    let count = |code| summary.outcomes.get(code).copied().unwrap_or(0);
    assert!(count("42501") > 300 && count("00000") > 1500 && summary.stints >= 4, "{summary}");
}

/// The control for them. There the attacker's own role reaches everything without any grant.
#[test]
fn the_same_attack_on_adopted_tenants_leaks_without_us() {
    let attack = Attack {
        guard: Guard::Off,
        tenants: Tenants::Adopted,
        stops_when_proven: true,
        stint: 1000,
        ..Attack::new(20_261_126, 10_000)
    };
    let summary = fuzz::run(&attack);
    // It ends when both are found: with the first change there may be few leaks.
    assert!(summary.count_of(Kind::Leak) > 0, "{summary}");
    assert!(summary.count_of(Kind::Change) > 0, "{summary}");
}

/// Every function of the schema `plio`, as every kind of role, with arguments of every kind.
#[test]
fn no_call_of_our_own_functions_does_harm() {
    let summary = fuzz::run_surface(&Surface { seed: 1, calls: 500, stint: 250, shows_progress: false });
    assert_clean(&summary);
    let count = |code| summary.outcomes.get(code).copied().unwrap_or(0);
    assert!(summary.functions > 50 && count("00000") > 300, "{summary}");
    for code in ["42501", "22023", "42602", "25001"] {
        assert!(count(code) > 0, "{code}: {summary}");
    }
}

/// With enforcement off, and everything granted to everybody, the same statements leak and destroy at once.
#[test]
fn the_same_attack_without_us_leaks_at_once() {
    let attack =
        Attack { guard: Guard::Off, stops_when_proven: true, stint: 2500, ..Attack::new(20_261_125, 10_000) };
    let summary = fuzz::run(&attack);
    assert!(summary.count_of(Kind::Leak) > 0, "{summary}");
    assert!(summary.count_of(Kind::Change) > 0, "{summary}");
    assert!(summary.count_of(Kind::Crash) == 0, "{summary}");
}

/// Found by the calls. A jsonb is handed on as it is, however deep, and with its numbers; a name of a million quotes would
/// have been taken apart for minutes, and nothing could have stopped it.
#[test]
fn arguments_are_neither_parsed_twice_nor_for_ever() {
    let db = Cluster::shared().database("arguments");
    let mut admin = db.extension().superuser();
    let deep = format!("{}1.00000000000000000001{}", "[".repeat(1000), "]".repeat(1000));
    admin.execute("SELECT plio.create_tenant('deep', NULL, $1::text::jsonb)", &[&deep]).unwrap();
    let kept: String = admin.query_one("SELECT settings::text FROM plio.tenants", &[]).unwrap().get(0);
    assert_eq!(kept, deep);
    for call in ["plio.unshare(repeat('\"', 4000000))", "plio.share(repeat('\"x', 2000000), 'read')"] {
        let statement = format!("SET statement_timeout = '20s'; SELECT {call}");
        plio_tests::expect_sqlstate(admin.batch_execute(&statement), "22023");
    }
    // As PostgreSQL's own trigger functions answer.
    for (function, code) in [
        ("_on_sql_drop", "39P03"),
        ("_on_ddl_command_end", "39P03"),
        ("_on_registry_change", "39P01"),
        ("_refuse_history_change", "39P01"),
    ] {
        let error =
            plio_tests::expect_sqlstate(admin.batch_execute(&format!("SELECT plio.{function}()")), code);
        plio_tests::assert_refusal(&error, code, &[]);
    }
}

/// Found by the attack. PostgreSQL's own look for open cursors leaves a scan of its table behind, and the hundredth in a
/// transaction made even the abort fail: the whole server went down.
#[test]
fn looking_for_open_cursors_leaves_nothing_behind() {
    let fixture = Cluster::shared().database("cursors").two_tenants();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("DECLARE held CURSOR WITH HOLD FOR SELECT 1").unwrap();
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
