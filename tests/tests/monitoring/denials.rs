//! `plio.denials`: what was refused is there although the transaction was rolled back, and nothing foreign with it.

use super::{auditor, cluster, denied_in_acme, first, two_tenants};
use plio_tests::{Cluster, expect_sqlstate};
use std::time::SystemTime;

#[test]
fn a_denial_outlives_the_abort() {
    let fixture = two_tenants("abort");
    let mut app = fixture.db.connect(&fixture.app);
    let mut auditor = fixture.db.connect(&auditor(&fixture.db));
    assert_eq!(first::<i64>(&mut auditor, "SELECT count(*) FROM plio.denials"), 0);
    let before = SystemTime::now();
    denied_in_acme(&mut app, "SELECT * FROM tenant_bravo.users");
    let pid: i32 = first(&mut app, "SELECT pg_backend_pid()");
    let row = auditor.query_one("SELECT * FROM plio.denials", &[]).unwrap();
    assert!(row.get::<_, i64>("denial_id") > 0);
    let at: SystemTime = row.get("at");
    assert!(at >= before && at <= SystemTime::now(), "{at:?}");
    assert_eq!(row.get::<_, i32>("pid"), pid);
    assert_eq!(row.get::<_, &str>("login_role"), fixture.app);
    assert_eq!(row.get::<_, &str>("org"), "acme");
    assert_eq!(row.get::<_, &str>("kind"), "other_tenant");
    assert_eq!(row.get::<_, &str>("message"), "access to another tenant is not allowed");
    assert_eq!(row.get::<_, &str>("sqlstate"), "42501");
    assert!(row.get::<_, bool>("enforced"));
    // It is the session's id that log_line_prefix writes.
    let id: String = first(
        &mut fixture.db.superuser(),
        &format!(
            "SELECT format('%s.%s', to_hex(floor(extract(epoch FROM backend_start))::bigint), to_hex(pid)) FROM pg_stat_activity WHERE pid = {pid}"
        ),
    );
    assert_eq!(row.get::<_, &str>("session_id"), id);
    // An error that is no refusal is no denial.
    assert!(app.batch_execute("SELECT 1/0").is_err());
    assert!(app.batch_execute("SELECT plio.set_tenant('acme')").is_err());
    assert!(app.batch_execute("BEGIN; SELECT plio.set_tenant(NULL)").is_err());
    assert_eq!(first::<i64>(&mut auditor, "SELECT count(*) FROM plio.denials"), 1);
}

/// Statements that a login role sends, before and after set_tenant('acme'), and the kind of the refusal.
const ATTEMPTS: &[(&str, bool, &str)] = &[
    ("SELECT * FROM tenant_bravo.users", true, "other_tenant"),
    ("SELECT * FROM tenant_bravo.canary_nothing", true, "other_tenant"),
    ("INSERT INTO tenant_bravo.users (name) VALUES ('canary-written')", true, "other_tenant"),
    ("SELECT * FROM tenant_bravo.users WHERE name = 'canary-asked'", false, "no_tenant"),
    ("SELECT * FROM public.secret", true, "not_shared"),
    ("UPDATE public.countries SET name = 'canary-written'", true, "shared_read_only"),
    ("CREATE ROLE canary_role", true, "statement"),
    ("COPY users TO '/tmp/canary'", true, "server_file"),
    ("CREATE VIEW v AS SELECT * FROM tenant_bravo.users", true, "other_tenant"),
    ("SELECT plio.set_tenant('bravo')", true, "second_tenant"),
    ("SET search_path = tenant_bravo", true, "other_tenant"),
    ("SET search_path = public", true, "locked_setting"),
    ("SELECT plio.set_tenant('canary')", false, "unknown_tenant"),
    ("SELECT plio.set_tenant('closed')", false, "suspended"),
    ("SELECT plio.set_tenant('locked-out')", false, "enter"),
];

// Each kind, from a login role; then everything that was kept and logged is searched for what is another tenant's.
#[test]
fn every_kind_is_told_and_nothing_foreign_is_kept() {
    let fixture = two_tenants("kinds");
    fixture
        .db
        .superuser()
        .batch_execute(&format!(
            "CREATE TABLE public.secret (); GRANT SELECT ON public.secret TO PUBLIC; GRANT UPDATE ON public.countries TO plio_tenant;
             SELECT plio.create_tenant('closed'), plio.grant_access('{0}', 'closed'), plio.create_tenant('locked-out');
             SELECT plio.suspend_tenant('closed')",
            fixture.app
        ))
        .unwrap();
    for (statement, is_inside, _) in ATTEMPTS {
        // A session of its own: the same refusal again would be counted in one row.
        let mut app = fixture.db.connect(&fixture.app);
        if *is_inside {
            denied_in_acme(&mut app, statement);
        } else {
            app.batch_execute("BEGIN").unwrap();
            assert!(app.batch_execute(statement).is_err(), "{statement}");
            app.batch_execute("ROLLBACK").unwrap();
        }
    }
    let mut auditor = fixture.db.connect(&auditor(&fixture.db));
    let rows = auditor
        .query("SELECT kind, org, d::text, denial_id FROM plio.denials d ORDER BY denial_id", &[])
        .unwrap();
    let kinds: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(kinds, ATTEMPTS.iter().map(|(_, _, kind)| *kind).collect::<Vec<_>>());
    let log = cluster().log();
    for (row, (statement, is_inside, kind)) in rows.iter().zip(ATTEMPTS) {
        assert_eq!(row.get::<_, Option<&str>>(1), is_inside.then_some("acme"), "{statement}");
        let line = log.lines().find(|line| line.contains(&format!("denial_id={}", row.get::<_, i64>(3))));
        let line =
            line.unwrap_or_else(|| panic!("no line for {statement}")).split_once("plio denial: ").unwrap().1;
        assert!(line.starts_with(&format!("kind={kind} sqlstate=")), "{line}");
        for kept in [row.get::<_, &str>(2), line] {
            for foreign in ["bravo", "users", "written", "asked", "canary-", "canary_"] {
                assert!(!kept.contains(foreign), "{foreign} is in {kept}");
            }
        }
    }
}

#[test]
fn a_name_of_many_lines_and_a_long_message_are_one_row() {
    let fixture = two_tenants("names");
    let name = format!("secret\n\"plio denial: kind=forged {}", "x".repeat(30));
    let quoted = name.replace('"', "\"\"");
    fixture
        .db
        .superuser()
        .batch_execute(&format!(
            "CREATE TABLE public.\"{quoted}\" (); GRANT SELECT ON public.\"{quoted}\" TO PUBLIC"
        ))
        .unwrap();
    denied_in_acme(&mut fixture.db.connect(&fixture.app), &format!("SELECT * FROM public.\"{quoted}\""));
    let id: i64 = first(
        &mut fixture.db.superuser(),
        "SELECT denial_id FROM plio.denials WHERE message LIKE '%forged%'",
    );
    let log = cluster().log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(&format!("denial_id={id} "))).collect();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains(r#"message="\"public.secret\n\"plio denial: kind=forged"#), "{}", lines[0]);
    assert!(!log.lines().any(|line| line.starts_with("\"plio denial")), "the name ended the line");
}

#[test]
fn only_administrators_and_auditors_read_it_and_only_of_their_database() {
    let (one, other) = (two_tenants("mine"), two_tenants("other"));
    let mut app = one.db.connect(&one.app);
    denied_in_acme(&mut app, "SELECT * FROM tenant_bravo.users");
    for relation in [
        "denials",
        "activity",
        "stat_tenants",
        "metrics",
        "_kept_denials(0, false)",
        "_tenant_counters()",
        "_activity()",
        "_flush_state()",
        "denials_history",
    ] {
        expect_sqlstate(app.query(&format!("SELECT * FROM plio.{relation}"), &[]), "42501");
    }
    expect_sqlstate(app.batch_execute("SET plio.denials_log_rate = 0"), "42501");
    let count = "SELECT count(*) FROM plio.denials WHERE kind = 'other_tenant'";
    let admin = one.db.login_role("admin");
    one.db.superuser().batch_execute(&format!("GRANT plio_admin TO {admin}")).unwrap();
    assert_eq!(first::<i64>(&mut one.db.connect(&admin), count), 1);
    assert_eq!(first::<i64>(&mut other.db.superuser(), count), 0);
    // Inside a tenant it is nobody's: also by the function.
    let mut admin = one.db.superuser();
    for function in ["_kept_denials(0, false)", "_tenant_counters()", "denials_history"] {
        admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
        expect_sqlstate(admin.query(&format!("SELECT * FROM plio.{function}"), &[]), "42501");
        admin.batch_execute("ROLLBACK").unwrap();
    }
}

// The statement's id is that of pg_stat_statements, once the statement was parsed.
#[test]
fn the_query_id_leads_to_the_statement() {
    let fixture = two_tenants("queries");
    let mut admin = fixture.db.superuser();
    admin.batch_execute("CREATE EXTENSION pg_stat_statements; CREATE TABLE public.secret (id int); GRANT SELECT ON public.secret TO PUBLIC").unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    app.query("SELECT id AS looked_up FROM public.secret", &[]).unwrap();
    denied_in_acme(&mut app, "SELECT id AS looked_up FROM public.secret");
    let text: String = first(
        &mut admin,
        "SELECT s.query FROM plio.denials d JOIN pg_stat_statements s ON s.queryid = d.query_id AND s.userid = d.login_role::regrole",
    );
    assert_eq!(text, "SELECT id AS looked_up FROM public.secret");
}

// Without shared memory: the log's line alone, and health() says so.
#[test]
fn without_shared_memory_the_log_has_it_and_health_says_so() {
    let fixture = Cluster::shared().database("logonly").two_tenants();
    denied_in_acme(&mut fixture.db.connect(&fixture.app), "SELECT * FROM tenant_bravo.users");
    let mut admin = fixture.db.superuser();
    assert_eq!(first::<i64>(&mut admin, "SELECT count(*) FROM plio.denials"), 0);
    assert_eq!(
        first::<String>(&mut admin, "SELECT severity FROM plio.health() WHERE finding = 'denials_log_only'"),
        "info"
    );
    let log = Cluster::shared().log();
    let login = format!("login=\"{}\"", fixture.app);
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("plio denial: ") && line.contains(&login)).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in
        ["kind=other_tenant sqlstate=42501 enforced=true org=\"acme\" ", "message=\"access to another"]
    {
        assert!(lines[0].contains(part), "{}", lines[0]);
    }
    assert!(!lines[0].contains("denial_id="));
    // With it, health() has nothing to say.
    let with = two_tenants("with");
    let none = "SELECT count(*) FROM plio.health() WHERE finding IN ('denials_log_only', 'denials_overrun')";
    assert_eq!(first::<i64>(&mut with.db.superuser(), none), 0);
}
