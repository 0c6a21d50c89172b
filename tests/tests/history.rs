//! plio.history: every management action is in it, with who and when; and it is only ever appended to.

#![forbid(unsafe_code)]

use plio_tests::{Cluster, assert_refusal, expect_sqlstate};
use postgres::Client;

fn actions(client: &mut Client) -> Vec<(String, Option<String>)> {
    let rows = client.query("SELECT action, org FROM plio.history ORDER BY history_id", &[]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[test]
fn every_management_action_is_in_it() {
    let fixture = Cluster::shared().database("history_all").two_tenants();
    let (manager, group) = (fixture.db.login_role("manager"), fixture.db.login_role("group"));
    let mut admin = fixture.db.superuser();
    admin.batch_execute(&format!("GRANT plio_admin TO {group}; GRANT {group} TO {manager}")).unwrap();
    let before = actions(&mut admin).len();
    let mut client = fixture.db.connect(&manager);
    client.batch_execute(&format!("SET ROLE {group}")).unwrap();
    let app = &fixture.app;
    for (call, action, org) in [
        ("create_tenant('c')".to_owned(), "create_tenant", Some("c")),
        ("suspend_tenant('c')".to_owned(), "suspend_tenant", Some("c")),
        ("resume_tenant('c')".to_owned(), "resume_tenant", Some("c")),
        ("rename_tenant('c', 'd')".to_owned(), "rename_tenant", Some("c")),
        (format!("grant_access('{app}', 'd')"), "grant_access", Some("d")),
        (format!("revoke_access('{app}', 'd')"), "revoke_access", Some("d")),
        (format!("grant_access_to_every_tenant('{app}')"), "grant_access", None),
        (format!("revoke_access_to_every_tenant('{app}')"), "revoke_access", None),
        ("unshare('public.countries')".to_owned(), "unshare", None),
        ("share('public.countries', 'write')".to_owned(), "share", None),
        ("drop_tenant('d', 'd')".to_owned(), "drop_tenant", Some("d")),
    ] {
        let mut transaction = client.transaction().unwrap();
        transaction
            .batch_execute(&format!("SELECT plio.{call}"))
            .unwrap_or_else(|error| panic!("{call}: {error:?}"));
        let xid: String = transaction.query_one("SELECT pg_current_xact_id()::text", &[]).unwrap().get(0);
        transaction.commit().unwrap();
        let row = admin
            .query_one(
                "SELECT action, org, actor, role_name, transaction_id::text, at > now() - interval '1 hour'
                   FROM plio.history ORDER BY history_id DESC LIMIT 1",
                &[],
            )
            .unwrap();
        assert_eq!((row.get(0), row.get(1)), (action, org), "{call}");
        assert_eq!((row.get::<_, &str>(2), row.get::<_, &str>(3)), (&*manager, &*group), "{call}");
        assert_eq!(row.get::<_, String>(4), xid, "{call}");
        assert!(row.get::<_, bool>(5));
    }
    // What fails or is rolled back never was.
    let after = actions(&mut admin);
    assert_eq!(after.len(), before + 11);
    expect_sqlstate(client.batch_execute("SELECT plio.create_tenant('acme')"), "42710");
    client.batch_execute("BEGIN; SELECT plio.create_tenant('e'); ROLLBACK").unwrap();
    assert_eq!(actions(&mut admin), after);
}

// What follows by itself from PostgreSQL's own commands is in it, too.
#[test]
fn what_follows_by_itself_is_in_it() {
    let fixture = Cluster::start(&[]).database("history_follows").two_tenants();
    let mut admin = fixture.db.superuser();
    for (command, action) in [
        (format!("ALTER ROLE {} RENAME TO renamed", fixture.app), "access_follows_role"),
        ("ALTER TABLE public.countries RENAME TO lands".to_owned(), "share_follows_object"),
        ("DROP TABLE public.lands".to_owned(), "share_ends_with_object"),
    ] {
        let before = actions(&mut admin).len();
        admin.batch_execute(&command).unwrap_or_else(|error| panic!("{command}: {error:?}"));
        let after = actions(&mut admin);
        assert_eq!((after.len(), after[after.len() - 1].0.as_str()), (before + 1, action), "{after:?}");
    }
}

// A superuser's mistakes are refused; on purpose, with enforcement off, they are not.
#[test]
fn it_is_only_ever_appended_to() {
    let fixture = Cluster::shared().database("history_fixed").two_tenants();
    let mut admin = fixture.db.superuser();
    let before = actions(&mut admin);
    let mistakes = [
        "UPDATE plio.history SET actor = 'nobody'",
        "DELETE FROM plio.history",
        "DELETE FROM plio.history WHERE false",
        "TRUNCATE plio.history",
        "INSERT INTO plio.history (history_id, action) OVERRIDING SYSTEM VALUE VALUES (1, 'x')
            ON CONFLICT (history_id) DO UPDATE SET action = 'x'",
        "MERGE INTO plio.history h USING (SELECT 1) x ON true WHEN MATCHED THEN DELETE",
        "WITH gone AS (DELETE FROM plio.history RETURNING 1) SELECT count(*) FROM gone",
        "SET session_replication_role = replica; DELETE FROM plio.history",
        "ALTER TABLE plio.history DISABLE TRIGGER ALL",
        "ALTER TABLE plio.history DISABLE TRIGGER only_appended",
        "ALTER TABLE plio.history ENABLE REPLICA TRIGGER only_appended",
        "ALTER TABLE plio.history RENAME TO past",
        "ALTER TABLE plio.history SET SCHEMA public",
        "ALTER TABLE plio.history DROP COLUMN actor",
        "ALTER TABLE plio.history ALTER COLUMN detail TYPE text",
        "ALTER TRIGGER only_appended ON plio.history RENAME TO gone",
        "DROP TRIGGER only_appended ON plio.history",
        "CREATE RULE nothing AS ON INSERT TO plio.history DO INSTEAD NOTHING",
        "CREATE TRIGGER forget BEFORE INSERT ON plio.history FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE POLICY hide ON plio.history USING (false)",
        "ALTER TABLE plio.history ENABLE ROW LEVEL SECURITY",
    ];
    for mistake in mistakes {
        let tried = admin.batch_execute(&format!("BEGIN; {mistake}"));
        assert!(tried.is_err(), "{mistake}");
        let refused = expect_sqlstate(tried, "42501");
        assert_refusal(&refused, "42501", &["canary"]);
        admin.batch_execute("ROLLBACK; RESET session_replication_role").unwrap();
    }
    assert_eq!(actions(&mut admin), before);
    let trigger = "SELECT tgenabled::text FROM pg_trigger WHERE tgname = 'only_appended' AND tgrelid = 'plio.history'::regclass";
    assert_eq!(admin.query_one(trigger, &[]).unwrap().get::<_, &str>(0), "A");
    admin.batch_execute("SET plio.enforcement = off").unwrap();
    for mistake in mistakes
        .iter()
        .filter(|mistake| !mistake.contains("history_id") && !mistake.contains("ENABLE REPLICA"))
    {
        admin
            .batch_execute(&format!("BEGIN; {mistake}; ROLLBACK; RESET session_replication_role"))
            .unwrap_or_else(|error| panic!("{mistake}: {error:?}"));
    }
    // It still takes new rows, and on purpose it goes with the extension.
    admin.batch_execute("RESET plio.enforcement; SELECT plio.create_tenant('c')").unwrap();
    assert_eq!(actions(&mut admin).len(), before.len() + 1);
    admin.batch_execute("SET plio.enforcement = off; DROP EXTENSION plio_tenancy").unwrap();
}

// What is no longer the extension's is dropped like anybody's: a superuser's mistake, refused in report mode, too.
#[test]
fn no_object_is_taken_out_of_the_extension() {
    let fixture = Cluster::shared().database("history_taken").two_tenants();
    let mut admin = fixture.db.superuser();
    let parts = [
        "TABLE plio.history",
        "TABLE plio.tenants",
        "VIEW plio.denials",
        "FUNCTION plio.set_tenant(text)",
        "SCHEMA plio_reports",
        "SERVER plio_tenants",
        "FOREIGN DATA WRAPPER plio_tenants",
        "EVENT TRIGGER plio_sql_drop",
        "SEQUENCE plio.tenants_tenant_id_seq",
    ];
    for mode in ["on", "report"] {
        admin.batch_execute(&format!("SET plio.enforcement = {mode}")).unwrap();
        for part in parts {
            let tried = admin.batch_execute(&format!("ALTER EXTENSION plio_tenancy DROP {part}"));
            let refused = expect_sqlstate(tried, "42501");
            assert_refusal(&refused, "42501", &["canary"]);
            assert_eq!(refused.message(), "cannot take an object out of extension \"plio_tenancy\"");
        }
    }
    // Other extensions' objects are their owner's business, and ours on purpose.
    admin.batch_execute("RESET plio.enforcement; CREATE EXTENSION citext").unwrap();
    admin
        .batch_execute("BEGIN; ALTER EXTENSION citext DROP FUNCTION citext_eq(citext, citext); ROLLBACK")
        .unwrap();
    admin
        .batch_execute(
            "SET plio.enforcement = off; BEGIN; ALTER EXTENSION plio_tenancy DROP TABLE plio.history;
             ALTER EXTENSION plio_tenancy ADD TABLE plio.history; ROLLBACK; RESET plio.enforcement",
        )
        .unwrap();
}

// Administrators read it and no more.
#[test]
fn administrators_and_auditors_read_it() {
    let fixture = Cluster::shared().database("history_read").two_tenants();
    let mut admin = fixture.db.superuser();
    for group in ["plio_admin", "plio_auditor"] {
        let role = fixture.db.login_role("reader");
        admin.batch_execute(&format!("GRANT {group} TO {role}")).unwrap();
        let mut client = fixture.db.connect(&role);
        assert!(!actions(&mut client).is_empty());
        for change in [
            "DELETE FROM plio.history",
            "INSERT INTO plio.history (action) VALUES ('x')",
            "TRUNCATE plio.history",
        ] {
            expect_sqlstate(client.batch_execute(change), "42501");
        }
    }
    let mut app = fixture.db.connect(&fixture.app);
    expect_sqlstate(app.query("SELECT * FROM plio.history", &[]), "42501");
}
