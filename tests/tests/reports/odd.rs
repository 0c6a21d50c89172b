//! Report views of odd shape, and odd questions to them: dropped columns, longer values, plans without values.

use crate::world::{assert_outside, rows, world};

// An administrator drops a column of the view: a row as a whole does without it.
#[test]
fn a_column_that_the_view_lost_is_not_asked_for() {
    let world = world("lost_column");
    let mut admin = world.admin();
    admin.batch_execute("SELECT plio.create_report_view('users', 'users')").unwrap();
    admin.batch_execute("ALTER FOREIGN TABLE plio_reports.users DROP COLUMN name").unwrap();
    let mut reporter = world.reporter();
    for query in [
        "SELECT * FROM plio_reports.users WHERE id = 1 ORDER BY org",
        "SELECT (u).* FROM plio_reports.users u WHERE id = 1 ORDER BY org",
        "SELECT r.org, r.id FROM (SELECT u FROM plio_reports.users u WHERE u.id = 1 ORDER BY u.org OFFSET 0) v, LATERAL (SELECT (v.u).org, (v.u).id) r",
    ] {
        assert_eq!(rows(&mut reporter, query), ["acme|1", "bravo|1"], "{query}");
    }
}

// A tenant that has gone ahead with longer and finer values is not cut to what the view knew.
#[test]
fn values_are_not_cut_to_the_views_modifiers() {
    let world = world("modifiers");
    let table = "CREATE TABLE codes (code varchar(3), padded char(2), amount numeric(5,1), at timestamp(0), flags bit(2), span interval(0));
                 INSERT INTO codes VALUES ('abc', 'x', 1.5, '2026-01-01 00:00:00', B'10', '1.5 s')";
    world.inside("acme", table);
    world.inside("bravo", table);
    world.admin().batch_execute("SELECT plio.create_report_view('codes', 'codes')").unwrap();
    world.inside(
        "bravo",
        "ALTER TABLE codes ALTER code TYPE text, ALTER padded TYPE char(4), ALTER amount TYPE numeric, ALTER at TYPE timestamp,
            ALTER flags TYPE bit(4) USING B'1011', ALTER span TYPE interval;
         UPDATE codes SET code = 'abcdef', padded = 'wxyz', amount = 1.2345, at = '2026-01-01 00:00:00.75', span = '1.25 s'",
    );
    let all = "SELECT org, code, padded, amount, at, flags, span FROM plio_reports.codes ORDER BY org";
    assert_eq!(
        rows(&mut world.reporter(), all),
        [
            "acme|abc|x |1.5|2026-01-01 00:00:00|10|00:00:02",
            "bravo|abcdef|wxyz|1.2345|2026-01-01 00:00:00.75|1011|00:00:01.25"
        ]
    );
    let longer = "SELECT org FROM plio_reports.codes WHERE code = 'abcdef'";
    assert_eq!(rows(&mut world.reporter(), longer), ["bravo"]);
}

// EXPLAIN of what has no values yet: PostgreSQL's GENERIC_PLAN, from 16 on.
#[test]
fn a_plan_is_explained_without_its_values() {
    let world = world("generic");
    world.admin().batch_execute("SELECT plio.create_report_view('users', 'users')").unwrap();
    let mut reporter = world.reporter();
    if rows(&mut reporter, "SHOW server_version_num")[0].as_str() < "160000" {
        return;
    }
    let query =
        "EXPLAIN (GENERIC_PLAN, COSTS OFF) SELECT name FROM plio_reports.users WHERE org = $1 AND id = $2";
    let plan = rows(&mut reporter, query).join("\n");
    assert!(plan.contains("Tenant Query: SELECT") && plan.contains("r.id = $1"), "{plan}");
}

// A text's equality is sent to tenants, whose collation may find more equal, never less. What must differ is judged outside.
#[test]
fn only_what_cannot_lose_rows_is_sent() {
    let world = world("collations");
    world.admin().batch_execute("SELECT plio.create_report_view('users', 'users')").unwrap();
    let mut reporter = world.reporter();
    for (condition, is_sent) in [
        ("name = 'x'", true),
        ("name = 'x' AND id > 0", true),
        ("name = ANY ('{x,y}')", true),
        ("NOT (id = 1 OR id = 2)", true),
        ("NOT (name = 'x' AND id = 1)", false),
        ("id = 1 OR NOT (name = 'x' AND id = 1)", false),
        ("name < 'x'", false),
    ] {
        let plan =
            rows(&mut reporter, &format!("EXPLAIN SELECT id FROM plio_reports.users WHERE {condition}"));
        assert_eq!(plan.join("\n").contains("AS r WHERE"), is_sent, "{condition}: {plan:#?}");
    }
    let all = "SELECT count(*) FROM plio_reports.users WHERE NOT (name = 'canary-acme' AND id = 1)";
    assert_eq!(rows(&mut reporter, all), ["5"]);
}

// A condition on the organization that fails does so before any tenant is visited, and leaves the session as it was.
#[test]
fn a_condition_that_fails_is_the_reporters_own_error() {
    let world = world("failing");
    world.admin().batch_execute("SELECT plio.create_report_view('users', 'users')").unwrap();
    let mut reporter = world.reporter();
    for condition in
        ["org = (1 / (id - id))::text", "org LIKE 'a\\'", "org = (1 / length(repeat('', 2)))::text"]
    {
        let query = format!("SELECT count(*) FROM plio_reports.users WHERE {condition}");
        let code = reporter.simple_query(&query).unwrap_err().code().map(|code| code.code().to_owned());
        assert!(matches!(code.as_deref(), Some("22012" | "22025")), "{condition}: {code:?}");
        assert_outside(&mut reporter, &world.reporter);
    }
    let like =
        "SELECT org, count(*) FROM plio_reports.users WHERE org LIKE 'a%' OR org = upper('x') GROUP BY org";
    assert_eq!(rows(&mut reporter, like), ["acme|3"]);
}
