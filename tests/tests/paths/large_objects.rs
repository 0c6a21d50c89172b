//! Large objects: they lie in no schema; their owner's role is what keeps them.

use plio_tests::{Layers, SUPERUSER, expect_sqlstate};

use crate::judge::Judge;
use crate::world::{value, world};

/// Where a tenant has no role, every function on large objects is refused.
fn is_denied(client: &mut postgres::Client) -> bool {
    if crate::LAYERS == Layers::One {
        let mut acme = Judge::inside(client, "acme");
        for call in ["lo_create(7)", "lo_open(7, 262144)", "lo_get(7)", "loread(0, 1)", "lo_unlink(7)"] {
            acme.refused(&format!("SELECT {call}"), "42501");
        }
    }
    crate::LAYERS == Layers::One
}

/// A large object made inside a tenant; its oid.
fn made_in(client: &mut postgres::Client, org: &str) -> String {
    client.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')")).unwrap();
    let oid = value(client, &format!("SELECT lo_from_bytea(0, 'canary-{org}')"));
    client.batch_execute("COMMIT").unwrap();
    oid
}

// Opened where it may be: by a superuser without a tenant, by the application in a session's tenant; then another tenant
// is entered in the same transaction. The descriptor is closed.
#[test]
fn a_descriptor_does_not_cross_into_a_tenant() {
    let world = world();
    let (mut app, mut admin) = (world.db.connect(&world.app), world.db.superuser());
    if is_denied(&mut app) {
        return;
    }
    let bravos = made_in(&mut app, "bravo");
    let open = format!("SELECT lo_open({bravos}, 393216)");
    for enter in
        ["SELECT plio.set_tenant('acme')", "SET LOCAL plio.tenant = 'acme'", "SET plio.tenant = 'acme'"]
    {
        for read in ["SELECT loread(0, 100)", "SELECT lowrite(0, 'x')", "SELECT lo_truncate(0, 0)"] {
            admin.batch_execute(&format!("BEGIN; {open}; SELECT loread(0, 1); {enter}")).unwrap();
            expect_sqlstate(admin.batch_execute(read), "42704");
            admin.batch_execute("ROLLBACK; RESET plio.tenant").unwrap();
        }
    }
    app.batch_execute("SET plio.tenant = 'bravo'").unwrap();
    let switch = format!("BEGIN; {open}; SELECT loread(0, 1); SET plio.tenant = 'acme'");
    app.batch_execute(&switch).unwrap();
    expect_sqlstate(app.batch_execute("SELECT loread(0, 100)"), "42704");
    app.batch_execute(&format!("ROLLBACK; BEGIN; {open}; RESET plio.tenant")).unwrap();
    expect_sqlstate(app.batch_execute("SELECT loread(0, 100)"), "42704");
    app.batch_execute("ROLLBACK; RESET plio.tenant").unwrap();
    // Inside one tenant they work as ever.
    let acmes = made_in(&mut app, "acme");
    app.batch_execute(&format!(
        "BEGIN; SELECT plio.set_tenant('acme'); SELECT lo_open({acmes}, 393216); SAVEPOINT s; SELECT * FROM users;
         SELECT plio.set_tenant('acme'); SELECT loread(0, 100), lowrite(0, 'x'); COMMIT"
    ))
    .unwrap();
    app.batch_execute(&format!("SET plio.tenant = 'acme'; BEGIN; SELECT lo_open({acmes}, 393216); SELECT * FROM users; SELECT loread(0, 1); COMMIT"))
        .unwrap();
}

/// Open: whether an oid is in use is told; with `lo_compat_privileges`, a superuser's setting, everything is.
#[test]
fn what_stays_open_about_large_objects() {
    let world = world();
    let (mut app, mut admin) = (world.db.connect(&world.app), world.db.superuser());
    if is_denied(&mut app) {
        return;
    }
    let bravos = made_in(&mut app, "bravo");
    let mut acme = Judge::inside(&mut app, "acme");
    acme.denied(&format!("SELECT lo_create({bravos})"), "23505");
    acme.denied(&format!("SELECT lo_get({bravos})"), "42501");
    acme.denied("SET lo_compat_privileges = on", "42501");
    acme.denied("SELECT set_config('lo_compat_privileges', 'on', false)", "42501");
    drop(acme);
    // Made without a tenant it is the login role's: no tenant reaches it, nor does the role reach a tenant's.
    let own = value(&mut app, "SELECT lo_from_bytea(0, 'canary-of-nobody')");
    Judge::inside(&mut app, "acme").denied(&format!("SELECT lo_get({own})"), "42501");
    Judge::outside(&mut app).denied(&format!("SELECT lo_get({bravos})"), "42501");
    let role = &world.app;
    admin.batch_execute(&format!("ALTER ROLE {role} SET lo_compat_privileges = on")).unwrap();
    let mut careless = world.db.connect(role);
    Judge::inside(&mut careless, "acme")
        .gives(&format!("SELECT convert_from(lo_get({bravos}), 'utf8')"), &["canary-bravo"]);
    assert!(world.db.try_connect(SUPERUSER).is_ok());
}
