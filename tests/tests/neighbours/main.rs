//! Other people's extensions beside ours, in either order: everything works, and every hook is called.

mod audit;
mod contrib;
mod membership;
mod statements;

use plio_tests::{Cluster, TwoTenants, expect_sqlstate, try_value, value};

/// The two orders of loading; a later library's hooks are called first.
fn orders(others: &str) -> [String; 2] {
    [
        format!("shared_preload_libraries = 'plio_tenancy, {others}'"),
        format!("shared_preload_libraries = '{others}, plio_tenancy'"),
    ]
}

/// A cluster of its own, its settings after the libraries, with two tenants.
fn world(conf: &[&str], extensions: &[&str]) -> TwoTenants {
    let db = Cluster::start(conf).database("beside");
    let mut admin = db.superuser();
    for extension in extensions {
        admin
            .batch_execute(&format!("CREATE EXTENSION {extension}"))
            .unwrap_or_else(|error| panic!("{extension}: {error:?}"));
    }
    db.two_tenants()
}

fn inside(org: &str, statements: &str) -> String {
    format!("BEGIN; SELECT plio.set_tenant('{org}'); {statements}; COMMIT")
}

/// The boundary, and the fields of an error that is not ours.
#[track_caller]
fn assert_bound(fixture: &TwoTenants) {
    let mut app = fixture.db.connect(&fixture.app);
    assert_eq!(value(&mut app, &inside("acme", "SELECT name FROM users WHERE id = 1")), "canary-acme");
    expect_sqlstate(try_value(&mut app, &inside("acme", "SELECT name FROM tenant_bravo.users")), "42501");
    app.batch_execute("ROLLBACK").unwrap();
    expect_sqlstate(try_value(&mut app, "SELECT name FROM tenant_bravo.users"), "55000");
    let duplicate = inside("acme", "DO $$ BEGIN INSERT INTO users (id) VALUES (1); END $$");
    let error = expect_sqlstate(try_value(&mut app, &duplicate), "23505");
    assert_eq!(
        (error.constraint(), error.table(), error.schema()),
        (Some("users_pkey"), Some("users"), Some("tenant_acme"))
    );
    assert!(error.where_().is_some_and(|place| place.contains("PL/pgSQL")), "{error:?}");
    app.batch_execute("ROLLBACK").unwrap();
}
