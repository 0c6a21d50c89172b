//! A superuser with enforcement off changes schemas and roles behind our back, while sessions are in the tenant.

use plio_tests::{Layers, TwoTenants};
use postgres::Client;

use super::sessions::{LAYERS, Running, enter, first, refused, two_tenants, warm};

fn unguarded(fixture: &TwoTenants) -> Client {
    let mut admin = fixture.db.superuser();
    admin.batch_execute("SET plio.enforcement = off").unwrap();
    admin
}

fn role_of(admin: &mut Client, org: &str) -> String {
    first(admin, &format!("SELECT quote_ident(role_name) FROM plio.tenants WHERE org = '{org}'"))
}

// app is in acme; DROP SCHEMA waits for it; app commits; the schema goes; app's next transaction is refused.
#[test]
fn drop_schema_waits_for_the_transactions_in_the_tenant() {
    let fixture = two_tenants("dropped");
    let mut app = warm(&fixture, &fixture.app);
    enter(&mut app, "acme").unwrap();
    let running = Running::blocked(&fixture.db, unguarded(&fixture), "DROP SCHEMA tenant_acme CASCADE");
    assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
    app.batch_execute("COMMIT").unwrap();
    running.finish().1.unwrap();
    refused(enter(&mut app, "acme"), "55000");
    // A new schema by that name, before anybody notices: the tenant's role has no right to it, and nothing is shown.
    unguarded(&fixture)
        .batch_execute(
            "CREATE SCHEMA tenant_acme; CREATE TABLE tenant_acme.users AS SELECT 'stranger' AS name",
        )
        .unwrap();
    if LAYERS == Layers::Two {
        refused(enter(&mut app, "acme"), "55000");
    }
}

// The schema is being dropped; app waits on entering; the drop commits; app is refused.
#[test]
fn entering_waits_for_a_drop_schema() {
    let fixture = two_tenants("dropping");
    let app = warm(&fixture, &fixture.app);
    let mut admin = unguarded(&fixture);
    admin.batch_execute("BEGIN; DROP SCHEMA tenant_acme CASCADE").unwrap();
    let running = Running::blocked(&fixture.db, app, "BEGIN; SELECT plio.set_tenant('acme')");
    admin.batch_execute("COMMIT").unwrap();
    refused(running.finish().1, "55000");
}

// app is in acme; ALTER SCHEMA RENAME waits for it; app commits; the schema is renamed, and bravo's takes its name. app's
// next transaction would be led to bravo's schema by the name, with acme's role, which does not own it: refused.
#[test]
fn a_schema_that_takes_the_name_of_another_gives_nothing_away() {
    if LAYERS == Layers::One {
        return; // Open there: the name is all that says whose a schema is.
    }
    let fixture = two_tenants("renamed");
    for role in [fixture.app.as_str(), plio_tests::SUPERUSER] {
        let mut app = warm(&fixture, role);
        enter(&mut app, "acme").unwrap();
        let renaming = "ALTER SCHEMA tenant_acme RENAME TO elsewhere";
        let running = Running::blocked(&fixture.db, unguarded(&fixture), renaming);
        assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
        app.batch_execute("COMMIT").unwrap();
        let (mut admin, renamed) = running.finish();
        renamed.unwrap();
        refused(enter(&mut app, "acme"), "55000");
        admin.batch_execute("ALTER SCHEMA tenant_bravo RENAME TO tenant_acme").unwrap();
        for org in ["acme", "bravo"] {
            refused(enter(&mut app, org), "55000");
        }
        admin.batch_execute("ALTER SCHEMA tenant_acme RENAME TO tenant_bravo; ALTER SCHEMA elsewhere RENAME TO tenant_acme").unwrap();
        enter(&mut app, "acme").unwrap();
        assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
        app.batch_execute("COMMIT").unwrap();
    }
}

// app is in acme; acme's role is renamed: app goes on, the next transaction is refused. The same where it is dropped.
#[test]
fn a_tenants_role_that_is_renamed_or_dropped_closes_the_tenant() {
    if LAYERS == Layers::One {
        return; // There is no role of the tenant's.
    }
    let fixture = two_tenants("roles");
    let mut app = warm(&fixture, &fixture.app);
    let mut admin = unguarded(&fixture);
    let role = role_of(&mut admin, "acme");
    enter(&mut app, "acme").unwrap();
    admin.batch_execute(&format!("ALTER ROLE {role} RENAME TO other_role")).unwrap();
    assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
    app.batch_execute("COMMIT").unwrap();
    refused(enter(&mut app, "acme"), "55000");
    // Another role takes the name: it owns nothing of acme's.
    admin.batch_execute(&format!("CREATE ROLE {role} NOLOGIN")).unwrap();
    refused(enter(&mut app, "acme"), "55000");
    admin.batch_execute(&format!("DROP ROLE {role}; ALTER ROLE other_role RENAME TO {role}")).unwrap();
    enter(&mut app, "acme").unwrap();
    // Dropped under app: what it asks next is refused or fails; nothing is decided by what was known.
    admin
        .batch_execute(&format!(
            "REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}"
        ))
        .unwrap();
    assert!(app.batch_execute("SELECT name FROM users").is_err());
    app.batch_execute("ROLLBACK").unwrap();
    refused(enter(&mut app, "acme"), "55000");
}

// app is connected; its access is taken away and its role is dropped; its next transaction is refused. Another role by
// the same name inherits nothing.
#[test]
fn a_login_role_that_is_dropped_enters_nothing() {
    if LAYERS == Layers::One {
        return; // It owns the schemas, and cannot be dropped.
    }
    let fixture = two_tenants("logins");
    let mut app = warm(&fixture, &fixture.app);
    let mut admin = unguarded(&fixture);
    admin
        .execute("SELECT plio.revoke_access($1, 'acme'), plio.revoke_access($1, 'bravo')", &[&fixture.app])
        .unwrap();
    admin.batch_execute(&format!("DROP ROLE {0}; CREATE ROLE {0} LOGIN", fixture.app)).unwrap();
    for org in ["acme", "bravo"] {
        refused(enter(&mut app, org), "42501");
        refused(enter(&mut fixture.db.connect(&fixture.app), org), "42501");
    }
}

// A share that is not committed yet is none; once it is, app's running transaction has it.
#[test]
fn a_share_counts_from_its_commit() {
    let fixture = two_tenants("shares");
    let mut admin = fixture.db.superuser();
    admin.batch_execute("CREATE TABLE public.later AS SELECT 1 AS x").unwrap();
    let mut app = warm(&fixture, &fixture.app);
    enter(&mut app, "acme").unwrap();
    app.batch_execute("SAVEPOINT s").unwrap();
    refused(app.batch_execute("SELECT * FROM public.later"), "42501");
    admin.batch_execute("BEGIN; SELECT plio.share('public.later', 'read')").unwrap();
    app.batch_execute("ROLLBACK TO s").unwrap();
    refused(app.batch_execute("SELECT * FROM public.later"), "42501");
    admin.batch_execute("COMMIT").unwrap();
    app.batch_execute("ROLLBACK TO s; SELECT * FROM public.later").unwrap();
    // Taken back and rolled back: it stays.
    admin.batch_execute("BEGIN; SELECT plio.unshare('public.later'); ROLLBACK").unwrap();
    app.batch_execute("SELECT * FROM public.later; COMMIT").unwrap();
}
