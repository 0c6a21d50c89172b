//! The extension is dropped, made again or updated while sessions are in a tenant.

use plio_tests::{Layers, expect_sqlstate};

use super::sessions::{LAYERS, enter, first, refused, two_tenants, warm};

// app is in acme when the extension is dropped: the access check is gone, the tenant's role is not, so nothing of bravo's is
// read. Made again, it knows no tenants; a tenant's schema that is there already is not taken.
#[test]
fn after_the_extension_is_dropped_the_native_layer_stays() {
    let fixture = two_tenants("dropped");
    let mut app = warm(&fixture, &fixture.app);
    let mut session = warm(&fixture, &fixture.app);
    session.batch_execute("SET plio.tenant = 'acme'").unwrap();
    let mut admin = fixture.db.superuser();
    enter(&mut app, "acme").unwrap();
    admin
        .batch_execute("SET plio.enforcement = off; DROP EXTENSION plio_tenancy; RESET plio.enforcement")
        .unwrap();
    assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
    app.batch_execute("SAVEPOINT s").unwrap();
    // Where a tenant has no role there is no other layer.
    let bravos = |client: &mut postgres::Client| match (
        LAYERS,
        client.batch_execute("SELECT name FROM tenant_bravo.users"),
    ) {
        (Layers::Two, result) => drop(expect_sqlstate(result, "42501")),
        (Layers::One, result) => result.unwrap(),
    };
    bravos(&mut app);
    app.batch_execute("ROLLBACK TO s; COMMIT").unwrap();
    bravos(&mut app);
    expect_sqlstate(app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "42883");
    app.batch_execute("ROLLBACK").unwrap();
    bravos(&mut session);
    admin.batch_execute("CREATE EXTENSION plio_tenancy").unwrap();
    refused(enter(&mut app, "acme"), "42501");
    refused(admin.batch_execute("SELECT plio.create_tenant('acme')"), "42710");
    if LAYERS == Layers::One {
        return;
    }
    assert!(session.batch_execute("SELECT name FROM users").is_err(), "a session's tenant of before");
}

// ALTER EXTENSION UPDATE, to the version that is there, under sessions with warm caches: nothing changes for them.
#[test]
fn an_update_under_running_sessions_changes_nothing_for_them() {
    let fixture = two_tenants("updated");
    let mut app = warm(&fixture, &fixture.app);
    enter(&mut app, "acme").unwrap();
    fixture.db.superuser().batch_execute("ALTER EXTENSION plio_tenancy UPDATE").unwrap();
    assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
    app.batch_execute("COMMIT").unwrap();
    enter(&mut app, "bravo").unwrap();
    refused(app.batch_execute("SELECT * FROM tenant_acme.users"), "42501");
}
