//! Report views that somebody altered, and columns of other types than the view's: never memory read as what it is not, never a
//! value that is not the tenant's.

use crate::world::{one, refused, rows, world};

const NOT_A_VIEW: &str = "22023";

// The first column is where the organization goes, as a text.
#[test]
fn the_first_column_is_the_organization() {
    let world = world("first_column");
    let mut admin = world.admin();
    let make = "SELECT plio.create_report_view('users', 'users')";
    admin
        .batch_execute("CREATE TYPE public.pair AS (a int, b text); CREATE DOMAIN public.word AS text")
        .unwrap();
    let mut alterations: Vec<String> = [
        "name",
        "varchar",
        "varchar(3)",
        "bigint",
        "tsvector",
        "int",
        "public.pair",
        "public.word",
        "text[]",
        "xid8",
    ]
    .iter()
    .map(|type_| format!("ALTER FOREIGN TABLE plio_reports.users ALTER COLUMN org TYPE {type_}"))
    .collect();
    alterations.push("ALTER FOREIGN TABLE plio_reports.users DROP COLUMN org".to_owned());
    alterations.push(
        "ALTER FOREIGN TABLE plio_reports.users DROP COLUMN org, DROP COLUMN id, DROP COLUMN name".to_owned(),
    );
    alterations.push(
        "DROP FOREIGN TABLE plio_reports.users; CREATE FOREIGN TABLE plio_reports.users () SERVER plio_tenants OPTIONS (table_name 'users')"
            .to_owned(),
    );
    alterations.push(
        "DROP FOREIGN TABLE plio_reports.users; CREATE FOREIGN TABLE plio_reports.users (id bigint, org text) SERVER plio_tenants OPTIONS (table_name 'users')"
            .to_owned(),
    );
    for alteration in alterations {
        admin.batch_execute(make).unwrap();
        // A plan of before, too.
        admin
            .batch_execute("DEALLOCATE ALL; PREPARE before AS SELECT count(*) FROM plio_reports.users")
            .unwrap();
        assert_eq!(one(&mut admin, "EXECUTE before"), "6");
        admin.batch_execute(&alteration).unwrap();
        for query in [
            "SELECT * FROM plio_reports.users",
            "SELECT 1 FROM plio_reports.users",
            "SELECT u FROM plio_reports.users u",
            "EXPLAIN SELECT count(*) FROM plio_reports.users",
            "EXECUTE before",
            "TABLE plio_reports.users",
            "DECLARE c CURSOR WITH HOLD FOR SELECT count(*) FROM plio_reports.users",
        ] {
            let error = refused(admin.simple_query(query), NOT_A_VIEW);
            assert!(
                error.message().starts_with("the first column of report view \"plio_reports.users\""),
                "{error:?}"
            );
        }
        for query in [
            "SELECT count(*) FROM plio_reports.users WHERE org = 'acme'",
            "SELECT 1 FROM plio_reports.users WHERE org::text LIKE 'a%'",
        ] {
            let code = admin.simple_query(query).unwrap_err().code().map(|code| code.code().to_owned());
            assert!(
                code.as_deref().is_some_and(
                    |code| code.starts_with("42") || [NOT_A_VIEW, "22P02", "0A000"].contains(&code)
                ),
                "{alteration}: {code:?}"
            );
        }
    }
    admin.batch_execute(make).unwrap();
    assert_eq!(
        rows(&mut world.reporter(), "SELECT org, count(*) FROM plio_reports.users GROUP BY org ORDER BY org"),
        ["acme|3", "bravo|3"]
    );
}

// Other alterations: a renamed column is the organization's all the same, a missing option is said, a child and a partition work.
#[test]
fn other_shapes_work_or_are_refused() {
    let world = world("other_shapes");
    let mut admin = world.admin();
    admin
        .batch_execute(
            "SELECT plio.create_report_view('users', 'users'); ALTER FOREIGN TABLE plio_reports.users RENAME COLUMN org TO who;
             CREATE TABLE public.parent (org text, id bigint, name text) PARTITION BY LIST (org);
             CREATE FOREIGN TABLE plio_reports.part PARTITION OF public.parent FOR VALUES IN ('acme', 'bravo')
                SERVER plio_tenants OPTIONS (table_name 'users');
             CREATE TABLE public.base (org text, id bigint);
             CREATE FOREIGN TABLE plio_reports.heir (name text) INHERITS (public.base) SERVER plio_tenants OPTIONS (table_name 'users');
             CREATE FOREIGN TABLE plio_reports.no_option (org text, id bigint) SERVER plio_tenants;
             CREATE FOREIGN TABLE plio_reports.made (org text, id bigint, twice bigint GENERATED ALWAYS AS (id * 2) STORED)
                SERVER plio_tenants OPTIONS (table_name 'users')",
        )
        .unwrap();
    for (query, count) in [
        ("SELECT count(*) FROM plio_reports.users WHERE who = 'acme'", "3"),
        ("SELECT count(name) FROM public.parent", "6"),
        ("SELECT count(*) FROM public.base", "6"),
        ("SELECT count(id) FROM plio_reports.made", "6"),
        (
            "SELECT count(*) FROM public.base b JOIN plio_reports.users u ON u.who = b.org AND u.id = b.id",
            "6",
        ),
    ] {
        assert_eq!(one(&mut admin, query), count, "{query}");
    }
    refused(admin.simple_query("SELECT * FROM plio_reports.no_option"), "22023");
    refused(admin.simple_query("SELECT twice FROM plio_reports.made"), "55000");
}

/// Makes the table `things (value <type>)` with these values in both tenants, and a report view; the view's type, and what comes of
/// each tenant.
fn report_on(acme: (&str, &str), bravo: (&str, &str)) -> (String, Vec<String>) {
    let world = world("types");
    let mut admin = world.admin();
    // Most tenants are as acme.
    admin.batch_execute("SELECT plio.create_tenant('also')").unwrap();
    for (org, (type_, values)) in [("acme", acme), ("also", acme), ("bravo", bravo)] {
        admin
            .batch_execute(&format!(
                "BEGIN; SELECT plio.set_tenant('{org}'); CREATE TABLE things (value {type_}); INSERT INTO things VALUES {values}; COMMIT"
            ))
            .unwrap();
    }
    admin.batch_execute("SELECT plio.create_report_view('things', 'things')").unwrap();
    let type_ = "SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = 'plio_reports.things'::regclass AND attname = 'value'";
    let type_ = one(&mut admin, type_);
    admin.batch_execute("SET plio.allow_partial_reports = on").unwrap();
    let found = rows(
        &mut admin,
        "SELECT org, value FROM plio_reports.things WHERE org <> 'also' ORDER BY org, value::text",
    );
    let outcome =
        rows(&mut admin, "SELECT org, outcome FROM plio.report_coverage() WHERE outcome <> 'counted'");
    (type_, found.into_iter().chain(outcome).collect())
}

// A view takes the type that holds the values of all, whoever has it.
#[test]
fn a_view_takes_the_type_that_holds_every_value() {
    for (acme, bravo, type_, found) in [
        (("int", "(1)"), ("numeric", "(0.4), (0.4)"), "numeric", vec!["acme|1", "bravo|0.4", "bravo|0.4"]),
        (("int", "(1)"), ("bigint", "(9000000000)"), "bigint", vec!["acme|1", "bravo|9000000000"]),
        (
            ("numeric(5,1)", "(1.5)"),
            ("numeric(9,4)", "(1.2345)"),
            "numeric",
            vec!["acme|1.5", "bravo|1.2345"],
        ),
        (
            ("date", "('2026-01-02')"),
            ("timestamp", "('2026-01-02 03:04:05.6')"),
            "timestamp without time zone",
            vec!["acme|2026-01-02 00:00:00", "bravo|2026-01-02 03:04:05.6"],
        ),
        (("real", "(0.5)"), ("float8", "(0.1)"), "double precision", vec!["acme|0.5", "bravo|0.1"]),
        (("int", "(1)"), ("text", "('one')"), "text", vec!["acme|1", "bravo|one"]),
        (
            ("varchar(3)", "('abc')"),
            ("text", "('abcdef')"),
            "character varying",
            vec!["acme|abc", "bravo|abcdef"],
        ),
        (("int[]", "('{1,2}')"), ("numeric[]", "('{0.5}')"), "numeric[]", vec!["acme|{1,2}", "bravo|{0.5}"]),
    ] {
        assert_eq!(
            report_on(acme, bravo),
            (type_.to_owned(), found.iter().map(|one| (*one).to_owned()).collect()),
            "{acme:?} {bravo:?}"
        );
    }
}

// Where there is none, the tenants that differ have drifted.
#[test]
fn what_cannot_be_held_exactly_has_drifted() {
    for (acme, bravo) in [
        (("bigint", "(1)"), ("float8", "(0.4)")),
        (("timestamp", "('2026-01-02')"), ("timestamptz", "('2026-01-02')")),
        (("uuid", "('00000000-0000-0000-0000-000000000001')"), ("bytea", "('x')")),
        (("text", "('x')"), ("char(4)", "('x')")),
        (("json", "('{}')"), ("xml", "('<a/>')")),
        (("boolean", "(true)"), ("int", "(1)")),
        (("time", "('01:00')"), ("interval", "('25 h')")),
    ] {
        let (_, found) = report_on(acme, bravo);
        let of_bravo: Vec<&str> =
            found.iter().map(String::as_str).filter(|row| row.starts_with("bravo|")).collect();
        assert_eq!(of_bravo, ["bravo|drifted"], "{acme:?} {bravo:?}");
    }
}

// Who makes such a view is told, and told what to do; so is who reads it.
#[test]
fn who_makes_a_view_that_cannot_hold_every_value_is_told() {
    let world = world("told");
    world.inside("acme", "CREATE TABLE things (value bigint, other int)");
    world.inside("bravo", "CREATE TABLE things (value float8, other bigint)");
    let notices = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = std::sync::Arc::clone(&notices);
    let mut config = world.tenants.db.config("postgres");
    config.notice_callback(move |notice| {
        let (detail, hint) = (notice.detail().unwrap_or_default(), notice.hint().unwrap_or_default());
        kept.lock().unwrap().push(format!("{} {detail} {hint}", notice.message()));
    });
    let mut admin = config.connect(postgres::NoTls).unwrap();
    admin.batch_execute("SELECT plio.create_report_view('things', 'things')").unwrap();
    let told = notices.lock().unwrap().join("\n");
    assert!(told.contains("\"value\"") && !told.contains("\"other\""), "{told}");
    assert!(told.contains("bigint, double precision") && told.contains("one type in all tenants"), "{told}");
    let error = refused(world.reporter().query("SELECT value FROM plio_reports.things", &[]), "55000");
    assert!(error.detail().unwrap().contains("cannot hold exactly"), "{error:?}");
    world.inside("bravo", "ALTER TABLE things ALTER value TYPE bigint");
    notices.lock().unwrap().clear();
    admin.batch_execute("SELECT plio.create_report_view('things', 'things')").unwrap();
    assert_eq!(*notices.lock().unwrap(), Vec::<String>::new());
    refused(admin.batch_execute("SELECT plio.create_report_view('things', 'nosuch')"), "42704");
}

// What a tenant changes afterwards, or an administrator in the view, is neither rounded nor cut.
#[test]
fn a_type_that_changes_later_is_not_rounded() {
    let world = world("later");
    let table = "CREATE TABLE amounts (amount int, code varchar(3), at timestamp(3));
                 INSERT INTO amounts VALUES (1, 'abc', '2026-01-01 00:00:00.123')";
    world.inside("acme", table);
    world.inside("bravo", table);
    let mut admin = world.admin();
    admin.batch_execute("SELECT plio.create_report_view('amounts', 'amounts')").unwrap();
    world.inside(
        "bravo",
        "ALTER TABLE amounts ALTER amount TYPE numeric; UPDATE amounts SET amount = 0.4, code = 'xyz'",
    );
    let mut reporter = world.reporter();
    reporter.batch_execute("SET plio.allow_partial_reports = on").unwrap();
    assert_eq!(
        rows(&mut reporter, "SELECT org, sum(amount) FROM plio_reports.amounts GROUP BY org"),
        ["acme|1"]
    );
    assert_eq!(
        one(
            &mut reporter,
            "SELECT outcome, sqlstate, message FROM plio.report_coverage() WHERE org = 'bravo'"
        ),
        "drifted|22023|column \"amount\" is of type numeric, whose values the report view's type integer cannot hold exactly"
    );
    // A condition on it is no way around; where it is not asked for, it does not matter.
    assert_eq!(
        rows(&mut reporter, "SELECT org FROM plio_reports.amounts WHERE amount = 0"),
        Vec::<String>::new()
    );
    let codes = "SELECT org, code FROM plio_reports.amounts ORDER BY org";
    assert_eq!(rows(&mut reporter, codes), ["acme|abc", "bravo|xyz"]);
    admin
        .batch_execute(
            "ALTER FOREIGN TABLE plio_reports.amounts ALTER code TYPE varchar(2), ALTER at TYPE timestamp(0)",
        )
        .unwrap();
    for query in ["SELECT org, code FROM plio_reports.amounts", "SELECT org, at FROM plio_reports.amounts"] {
        assert_eq!(rows(&mut reporter, query), Vec::<String>::new(), "{query}");
        assert_eq!(rows(&mut reporter, "SELECT DISTINCT outcome FROM plio.report_coverage()"), ["drifted"]);
    }
    admin.batch_execute("SELECT plio.create_report_view('amounts', 'amounts')").unwrap();
    assert_eq!(
        rows(&mut reporter, "SELECT org, amount, at FROM plio_reports.amounts ORDER BY org"),
        ["acme|1|2026-01-01 00:00:00.123", "bravo|0.4|2026-01-01 00:00:00.123"]
    );
}

// A tenant's own type is text in the view, whatever the others have.
#[test]
fn a_tenants_own_type_is_text() {
    let world = world("own_type");
    world.inside(
        "acme",
        "CREATE TYPE mood AS ENUM ('good'); CREATE TABLE moods (m mood); INSERT INTO moods VALUES ('good')",
    );
    world.inside(
        "bravo",
        "CREATE DOMAIN mood AS text; CREATE TABLE moods (m mood); INSERT INTO moods VALUES ('bad')",
    );
    world.admin().batch_execute("SELECT plio.create_report_view('moods', 'moods')").unwrap();
    assert_eq!(
        rows(&mut world.reporter(), "SELECT org, m FROM plio_reports.moods ORDER BY org"),
        ["acme|good", "bravo|bad"]
    );
}
