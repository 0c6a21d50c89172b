//! Creating, suspending, renaming and dropping tenants: what is there afterwards, who may, what is recorded.

mod drop;
mod steps;

use plio_tests::{Cluster, Db, SUPERUSER, TwoTenants, expect_sqlstate, first, refused};

fn two_tenants(prefix: &str) -> TwoTenants {
    Cluster::shared().database(prefix).two_tenants()
}

fn with_extension(prefix: &str) -> Db {
    Cluster::shared().database(prefix).extension().clone()
}

/// One row of the registry with what it names: org, status, schema, its owner, whether that may log in.
const WHOLE: &str = "SELECT coalesce(string_agg(concat_ws('|', t.org, t.status, n.nspname, r.rolname = t.role_name,
                             r.rolcanlogin, pg_has_role(r.oid, 'plio_tenant', 'member')), ' ' ORDER BY t.org), '-')
                       FROM plio.tenants t LEFT JOIN pg_namespace n ON n.nspname = t.schema_name
                       LEFT JOIN pg_roles r ON r.oid = n.nspowner";

#[test]
fn a_tenant_is_a_row_a_role_and_a_schema() {
    let db = with_extension("create");
    let mut admin = db.superuser();
    assert_eq!(first(&mut admin, "SELECT plio.create_tenant('acme')"), "tenant_acme");
    assert_eq!(
        first(&mut admin, "SELECT plio.create_tenant('bravo', 'B', settings => '{\"plan\": \"gold\"}')"),
        "B"
    );
    assert_eq!(first(&mut admin, WHOLE), "acme|active|tenant_acme|t|f|t bravo|active|B|t|f|t");
    let settings = "SELECT settings::text || (created_at <= now()) FROM plio.tenants ORDER BY org";
    let rows = admin.query(settings, &[]).unwrap();
    assert_eq!(rows[0].get::<_, &str>(0), "{}true");
    assert_eq!(rows[1].get::<_, &str>(0), "{\"plan\": \"gold\"}true");
    // Undone as a whole.
    admin.batch_execute("BEGIN; SELECT plio.create_tenant('gone'); ROLLBACK").unwrap();
    assert_eq!(first(&mut admin, WHOLE), "acme|active|tenant_acme|t|f|t bravo|active|B|t|f|t");
    assert_eq!(
        first(&mut admin, "SELECT count(*)::text FROM pg_roles WHERE rolname LIKE 'tenant\\_gone%'"),
        "0"
    );
}

// Any legal identifier may be a tenant's schema, and works as one.
#[test]
fn schemas_may_have_any_legal_name() {
    let db = with_extension("schemas");
    let mut admin = db.superuser();
    let long = "x".repeat(63);
    let wide = format!("{}x", "\u{fc}".repeat(31));
    let names = [
        "Weird \"Name\"",
        "it's",
        "a.b",
        "sch\u{fc}le \u{1f389}",
        "select",
        "user",
        " ",
        "a,b",
        &long,
        &wide,
    ];
    for (number, name) in names.into_iter().enumerate() {
        let org = format!("org{number}");
        let made: String =
            admin.query_one("SELECT plio.create_tenant($1, $2)", &[&org, &name]).unwrap().get(0);
        assert_eq!(made, name);
        admin.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')")).unwrap();
        admin.batch_execute("CREATE TABLE notes AS SELECT plio.require_tenant() AS org").unwrap();
        assert_eq!(first(&mut admin, "SELECT current_schema()"), name);
        assert_eq!(first(&mut admin, "SELECT org FROM notes"), org, "{name}");
        admin.batch_execute("COMMIT").unwrap();
    }
    for (number, name) in names.into_iter().enumerate() {
        let org = format!("org{number}");
        admin.execute("SELECT plio.rename_tenant($1, $2)", &[&org, &format!("new{number}")]).unwrap();
        let query = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)";
        assert!(admin.query_one(query, &[&name]).unwrap().get::<_, bool>(0), "{name}: kept as it was given");
        admin.execute("SELECT plio.drop_tenant($1, $1)", &[&format!("new{number}")]).unwrap();
        assert!(!admin.query_one(query, &[&name]).unwrap().get::<_, bool>(0), "{name}");
    }
}

#[test]
fn bad_reserved_and_taken_names_are_refused() {
    let db = with_extension("names");
    let mut admin = db.superuser();
    admin.batch_execute("CREATE SCHEMA taken; SELECT plio.create_tenant('acme')").unwrap();
    for (org, schema, code) in [
        ("acme", None, "42710"),
        ("Acme", None, "42602"),
        ("", None, "42602"),
        ("_a", None, "42602"),
        ("a'b", None, "42602"),
        (&"a".repeat(64), None, "42602"),
        ("new", Some(""), "42602"),
        ("new", Some("x".repeat(64).as_str()), "42602"),
        ("new", Some("public"), "42939"),
        ("new", Some("pg_catalog"), "42939"),
        ("new", Some("pg_new"), "42939"),
        ("new", Some("information_schema"), "42939"),
        ("new", Some("plio"), "42939"),
        // However it is quoted, search_path takes it for the name of the current role.
        ("new", Some("$user"), "42939"),
        ("new", Some("taken"), "42710"),
        ("new", Some("tenant_acme"), "42710"),
    ] {
        refused(admin.execute("SELECT plio.create_tenant($1, $2)", &[&org, &schema]), code);
    }
    refused(admin.execute("SELECT plio.rename_tenant('acme', 'Bad')", &[]), "42602");
    assert_eq!(first(&mut admin, WHOLE), "acme|active|tenant_acme|t|f|t");
}

// Org names as long as they may be: schema and role are shortened, and two that differ at the end do not meet.
#[test]
fn the_longest_org_names_do_not_meet() {
    let db = with_extension("long");
    let mut admin = db.superuser();
    let orgs: Vec<String> = ["a", "b", "-"].iter().map(|end| format!("{}{end}", "o".repeat(62))).collect();
    for org in &orgs {
        admin.execute("SELECT plio.create_tenant($1)", &[org]).unwrap();
        admin.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')")).unwrap();
        assert_eq!(&first(&mut admin, "SELECT current_setting('plio.tenant')"), org);
        admin.batch_execute("CREATE TABLE t AS SELECT plio.require_tenant() AS org; COMMIT").unwrap();
    }
    let counts = "SELECT concat_ws('|', count(DISTINCT schema_name), count(DISTINCT role_name),
                                   max(octet_length(schema_name)) <= 63) FROM plio.tenants";
    assert_eq!(first(&mut admin, counts), "3|3|t");
    for org in &orgs {
        admin.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')")).unwrap();
        assert_eq!(&first(&mut admin, "SELECT org FROM t"), org);
        admin.batch_execute("COMMIT").unwrap();
        admin.execute("SELECT plio.drop_tenant($1, $1)", &[org]).unwrap();
    }
}

// Roles belong to the cluster, tenants to a database.
#[test]
fn two_databases_may_hold_the_same_org() {
    let (one, two) = (two_tenants("twin"), two_tenants("twin"));
    let role = "SELECT role_name FROM plio.tenants WHERE org = 'acme'";
    assert_ne!(first(&mut one.db.superuser(), role), first(&mut two.db.superuser(), role));
    one.db.superuser().batch_execute("SELECT plio.drop_tenant('acme', 'acme')").unwrap();
    two.db.superuser().batch_execute("SELECT plio.rename_tenant('bravo', 'other')").unwrap();
    let mut app = two.db.connect(&two.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
    let mut app = one.db.connect(&one.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
    assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-bravo");
}

#[test]
fn a_suspended_tenant_is_closed_and_kept() {
    let fixture = two_tenants("suspend");
    let mut admin = fixture.db.superuser();
    let mut app = fixture.db.connect(&fixture.app);
    for _ in 0..2 {
        // A second time changes nothing.
        admin
            .batch_execute("SELECT plio.suspend_tenant('acme'); SELECT plio.suspend_tenant('acme')")
            .unwrap();
        refused(app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "55000");
        app.batch_execute("ROLLBACK").unwrap();
        // An administrator does not get in either, until it is open again.
        refused(admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "55000");
        admin
            .batch_execute("ROLLBACK; SELECT plio.resume_tenant('acme'); SELECT plio.resume_tenant('acme')")
            .unwrap();
        app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
        assert_eq!(first(&mut app, "SELECT count(*)::text FROM users"), "3");
        app.batch_execute("COMMIT").unwrap();
    }
    let query =
        "SELECT string_agg(action, ' ' ORDER BY history_id) FROM plio.history WHERE action ~ '^(susp|resu)'";
    assert_eq!(first(&mut admin, query), "suspend_tenant resume_tenant suspend_tenant resume_tenant");
}

#[test]
fn a_renamed_tenant_keeps_data_and_access() {
    let fixture = two_tenants("rename");
    let mut admin = fixture.db.superuser();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); COMMIT").unwrap();
    admin.batch_execute("SELECT plio.rename_tenant('acme', 'umbrella')").unwrap();
    assert_eq!(
        first(&mut admin, WHOLE),
        "bravo|active|tenant_bravo|t|f|t umbrella|active|tenant_umbrella|t|f|t"
    );
    app.batch_execute("BEGIN; SELECT plio.set_tenant('umbrella')").unwrap();
    assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
    assert_eq!(first(&mut app, "SELECT name FROM tenant_umbrella.users WHERE id = 1"), "canary-acme");
    app.batch_execute("INSERT INTO users (name) VALUES ('fourth'); COMMIT").unwrap();
    refused(app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "42501");
    app.batch_execute("ROLLBACK").unwrap();
    refused(app.query("SELECT * FROM tenant_umbrella.users", &[]), "55000");
    // Onto another tenant or schema, of one that is not there; onto itself; and back.
    admin.batch_execute("CREATE SCHEMA tenant_taken").unwrap();
    refused(admin.execute("SELECT plio.rename_tenant('umbrella', 'bravo')", &[]), "42710");
    refused(admin.execute("SELECT plio.rename_tenant('umbrella', 'taken')", &[]), "42710");
    refused(admin.execute("SELECT plio.rename_tenant('acme', 'new')", &[]), "42704");
    admin.batch_execute("SELECT plio.rename_tenant('umbrella', 'umbrella')").unwrap();
    admin
        .batch_execute(
            "SELECT plio.suspend_tenant('umbrella'); SELECT plio.rename_tenant('umbrella', 'acme')",
        )
        .unwrap();
    assert_eq!(first(&mut admin, WHOLE), "acme|suspended|tenant_acme|t|f|t bravo|active|tenant_bravo|t|f|t");
}

// Every management function records who did what to whom in which transaction, and only when it was done.
#[test]
fn what_is_done_is_recorded() {
    let db = with_extension("history");
    let role = db.login_role("dba");
    let mut admin = db.superuser();
    admin.batch_execute(&format!("GRANT plio_admin TO \"{role}\"; CREATE TABLE public.t ()")).unwrap();
    let mut dba = db.connect(&role);
    for call in [
        "create_tenant('acme')",
        "suspend_tenant('acme')",
        "resume_tenant('acme')",
        "grant_access('$role', 'acme')",
        "revoke_access('$role', 'acme')",
        "grant_access_to_every_tenant('$role')",
        "revoke_access_to_every_tenant('$role')",
        "share('public.t', 'read')",
        "unshare('public.t')",
        "rename_tenant('acme', 'bravo')",
        "drop_tenant('bravo', 'bravo')",
    ] {
        let call = call.replace("$role", &role);
        let function = call.split('(').next().unwrap().trim_end_matches("_to_every_tenant");
        dba.batch_execute(&format!("BEGIN; SELECT plio.{call}; ROLLBACK")).unwrap();
        dba.batch_execute("BEGIN").unwrap();
        let transaction = first(&mut dba, "SELECT pg_current_xact_id()::text");
        dba.batch_execute(&format!("SELECT plio.{call}; COMMIT")).unwrap();
        let row = dba
            .query_one(
                "SELECT action, actor, transaction_id::text, at BETWEEN now() - interval '1 minute' AND now(),
                        coalesce(detail ->> 'every_tenant', 'false')
                   FROM plio.history ORDER BY history_id DESC LIMIT 1",
                &[],
            )
            .unwrap();
        assert_eq!((row.get(0), row.get(1)), (function, role.as_str()), "{call}");
        assert_eq!(row.get::<_, &str>(2), transaction);
        assert!(row.get::<_, bool>(3));
        assert_eq!(row.get::<_, &str>(4), call.contains("every_tenant").to_string());
    }
    assert_eq!(first(&mut dba, "SELECT count(*)::text FROM plio.history"), "11");
    let details =
        "SELECT concat_ws('|', org, detail ->> 'new_org') FROM plio.history WHERE action = 'rename_tenant'";
    assert_eq!(first(&mut dba, details), "acme|bravo");
    // Nobody but the extension writes it.
    for write in ["DELETE FROM plio.history", "UPDATE plio.history SET actor = 'x'", "TRUNCATE plio.history"]
    {
        expect_sqlstate(dba.batch_execute(write), "42501");
    }
    assert_ne!(role, SUPERUSER);
}
