//! What becomes of the rows on their way: whole or not at all, the same values, in memory or beyond it.

use crate::world::{assert_outside, rows, world};

const COVERAGE: &str = "SELECT org, outcome, rows, sqlstate FROM plio.report_coverage() ORDER BY org";

// acme's query gives one row and fails at the next; bravo's gives all. What acme gave before is not in the result.
#[test]
fn of_a_tenant_that_fails_half_way_no_row_is_in_the_result() {
    let world = world("half_way");
    world.inside("acme", "INSERT INTO users SELECT 1000 + i, 'more' FROM generate_series(1, 50) i");
    world.inside(
        "acme",
        "ALTER TABLE users RENAME TO people;
         CREATE VIEW users AS SELECT id, name, 1 / (1049 - id) AS n FROM people ORDER BY id",
    );
    world.inside(
        "bravo",
        "ALTER TABLE users RENAME TO people; CREATE VIEW users AS SELECT id, name, id AS n FROM people",
    );
    world.admin().batch_execute("SELECT plio.create_report_view('users', 'users')").unwrap();
    let mut reporter = world.reporter();
    reporter.batch_execute("SET plio.allow_partial_reports = on").unwrap();
    for query in [
        "SELECT org, count(*) FROM plio.report('SELECT n FROM users', allow_partial => true) AS (org text, n bigint) GROUP BY org",
        "SELECT org, count(*) FROM plio.report_json('SELECT n FROM users', allow_partial => true) GROUP BY org",
        "SELECT org, count(n) FROM plio_reports.users GROUP BY org",
    ] {
        assert_eq!(rows(&mut reporter, query), ["bravo|3"], "{query}");
        assert_eq!(rows(&mut reporter, COVERAGE), ["acme|failed|0|22012", "bravo|counted|3|-"], "{query}");
    }
    let bravo = "SELECT org, id, n, name FROM plio_reports.users ORDER BY id LIMIT 1";
    assert_eq!(rows(&mut reporter, bravo), ["bravo|1|1|canary-bravo"]);
    assert_outside(&mut reporter, &world.reporter);
}

const KINDS: &str = "CREATE TABLE kinds (id int, flag boolean, small smallint, big bigint, real8 float8, letter \"char\",
        fixed uuid, span interval, identifier name, money numeric, padded char(5), txt text, numbers int[], doc jsonb,
        point point, never text);
    ALTER TABLE kinds ALTER COLUMN txt SET STORAGE EXTERNAL;
    INSERT INTO kinds SELECT i, i % 2 = 0, i % 100, i::bigint << 40, i / 3.0, 'x', md5(i::text)::uuid, make_interval(secs => i),
        'name ' || i, i / 7.0, i % 100, repeat(md5(i::text), i % 90), ARRAY[i, NULL, i + 1],
        jsonb_build_object('i', i, 't', repeat('t', i % 300)), point(i, -i), NULL FROM generate_series(1, 2000) i;
    UPDATE kinds SET flag = NULL, small = NULL, fixed = NULL, span = NULL, txt = NULL, doc = NULL WHERE id % 5 = 0";

const DIGEST: &str = "count(*), md5(string_agg(k::text, '|' ORDER BY k.id))";
const COLUMNS: &str = "id, flag, small, big, real8, letter, fixed, span, identifier, money, padded, txt, numbers, doc, point, never";

#[test]
fn values_of_every_kind_arrive_as_they_were_in_memory_and_beyond_it() {
    let world = world("kinds");
    world.inside("acme", KINDS);
    world.inside("bravo", &KINDS.replace("1, 2000", "1, 300"));
    world.admin().batch_execute("SELECT plio.create_report_view('kinds', 'kinds')").unwrap();
    let mut reporter = world.reporter();
    for work_mem in ["64kB", "64MB"] {
        reporter.batch_execute(&format!("SET work_mem = '{work_mem}'")).unwrap();
        for org in ["acme", "bravo"] {
            let mut app = world.app();
            app.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')")).unwrap();
            let own = rows(&mut app, &format!("SELECT {DIGEST} FROM (SELECT {COLUMNS} FROM kinds) k"));
            let from = format!("plio_reports.kinds WHERE org = '{org}'");
            let seen = rows(&mut reporter, &format!("SELECT {DIGEST} FROM (SELECT {COLUMNS} FROM {from}) k"));
            assert_eq!(seen, own, "{org}, {work_mem}");
        }
        // The rows are read again, and to both sides; one tenant's do not take the other's name.
        let again = "SELECT count(*), count(DISTINCT k.org) FROM generate_series(1, 3) g,
            LATERAL (SELECT org FROM plio_reports.kinds WHERE id + 0 * g <= 300 OFFSET 0) k";
        assert_eq!(rows(&mut reporter, again), ["1800|2"]);
        assert_eq!(rows(&mut reporter, "SELECT count(*) FROM plio_reports.kinds"), ["2300"]);
        let cursor =
            "BEGIN; DECLARE c SCROLL CURSOR FOR SELECT id FROM plio_reports.kinds WHERE org = 'bravo'";
        reporter.batch_execute(cursor).unwrap();
        let mut forward = rows(&mut reporter, "FETCH ALL FROM c");
        forward.reverse();
        assert_eq!(rows(&mut reporter, "FETCH BACKWARD ALL FROM c"), forward);
        reporter.batch_execute("ROLLBACK").unwrap();
    }
    assert_eq!(
        rows(&mut reporter, "SELECT never FROM plio_reports.kinds WHERE org = 'acme' AND id = 1"),
        ["-"]
    );
    reporter.batch_execute("RESET work_mem").unwrap();
    assert_outside(&mut reporter, &world.reporter);
}

// Where no column is asked for, a tenant counts its rows instead of giving them: as many come out, with its name.
#[test]
fn rows_that_nothing_is_asked_of_are_as_many_as_there_are() {
    let world = world("counted");
    world.inside("acme", "INSERT INTO users SELECT 1000 + i, 'more' FROM generate_series(1, 50) i");
    world.inside("bravo", "CREATE TABLE empty (id int)");
    world.inside("acme", "CREATE TABLE empty (id int)");
    world
        .admin()
        .batch_execute(
            "SELECT plio.create_report_view('users', 'users'), plio.create_report_view('empty', 'empty')",
        )
        .unwrap();
    let mut app = world.app();
    let mut reporter = world.reporter();
    let mut all = 0;
    for org in ["acme", "bravo"] {
        app.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')")).unwrap();
        let own: i64 = app.query_one("SELECT count(*) FROM users", &[]).unwrap().get(0);
        app.batch_execute("COMMIT").unwrap();
        all += own;
        for (query, expected) in [
            ("SELECT count(*) FROM plio_reports.users WHERE org = $1", own.to_string()),
            ("SELECT count(name) FROM plio_reports.users WHERE org = $1", own.to_string()),
            (
                "SELECT count(*) FILTER (WHERE u = $1) FROM (SELECT org AS u FROM plio_reports.users) v",
                own.to_string(),
            ),
            // Read again and again, and not to its end.
            (
                "SELECT count(*) FROM generate_series(1, 3) g, LATERAL (SELECT FROM plio_reports.users WHERE org = $1 AND g > 0 OFFSET 0) u",
                (3 * own).to_string(),
            ),
            (
                "SELECT count(*) FROM (SELECT FROM plio_reports.users WHERE org = $1 LIMIT 2) u",
                "2".to_owned(),
            ),
            ("SELECT count(*) FROM plio_reports.empty WHERE org = $1", "0".to_owned()),
        ] {
            let found: i64 = reporter.query_one(query, &[&org]).unwrap().get(0);
            assert_eq!(found.to_string(), expected, "{query}");
        }
    }
    assert_eq!(rows(&mut reporter, "SELECT count(*) FROM plio_reports.users"), [all.to_string()]);
    assert_eq!(
        rows(&mut reporter, "SELECT min(org), max(org), count(DISTINCT org) FROM plio_reports.users"),
        ["acme|bravo|2"]
    );
    // A tenant that cannot count is missing, and its rows are none; that of the count before it is not taken for its own.
    world.inside(
        "bravo",
        "ALTER TABLE users RENAME TO people; CREATE VIEW users AS SELECT id, name FROM people WHERE 1 / (id - id) > 0",
    );
    let failed = reporter.query("SELECT count(*) FROM plio_reports.users", &[]).unwrap_err();
    assert_eq!(failed.code().unwrap().code(), "55000");
    reporter.batch_execute("SET plio.allow_partial_reports = on").unwrap();
    assert_eq!(
        rows(&mut reporter, "SELECT org, count(*) > 50 FROM plio_reports.users GROUP BY org"),
        ["acme|t"]
    );
    let covered = rows(&mut reporter, COVERAGE);
    assert!(covered.contains(&"bravo|failed|0|22012".to_owned()), "{covered:?}");
    assert_outside(&mut reporter, &world.reporter);
}
