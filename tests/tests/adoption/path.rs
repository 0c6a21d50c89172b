//! What changes inside a tenant when it gets a role of its own: the path that the role may use, and whom row security binds.

use postgres::{Client, NoTls};
use std::sync::{Arc, Mutex};

use crate::{Legacy, legacy, value};

const UNUSABLE: &str =
    "SELECT coalesce(string_agg(detail, ' '), '') FROM plio.health() WHERE finding = 'path_unusable'";

/// A superuser whose notices are kept.
fn listening(world: &Legacy, role: &str) -> (Client, Arc<Mutex<Vec<String>>>) {
    let notices = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&notices);
    let mut config = world.db.config(role);
    config.notice_callback(move |notice| {
        kept.lock().unwrap().push(format!("{} {}", notice.message(), notice.detail().unwrap_or_default()));
    });
    (config.connect(NoTls).unwrap(), notices)
}

/// citext in a schema that only the application's role may use.
fn with_citext(world: &Legacy) {
    world
        .db
        .superuser()
        .batch_execute(&format!(
            "CREATE SCHEMA extensions; GRANT USAGE ON SCHEMA extensions TO {app}; CREATE EXTENSION citext SCHEMA extensions;
             SET plio.enforcement = off; SET search_path = acme, extensions;
             ALTER TABLE users ADD COLUMN email extensions.citext DEFAULT 'A@x'; RESET plio.enforcement",
            app = world.app
        ))
        .unwrap();
}

// citext's = is found before and after: it is in the tenants' path, and PostgreSQL leaves out what the role may not use.
#[test]
fn an_extensions_schema_is_usable_with_a_role_as_without() {
    let world = legacy();
    with_citext(&world);
    let mut admin = world.db.superuser();
    // Nobody has access yet, so nothing is opened; health() says what would be missing.
    assert!(value(&mut admin, UNUSABLE).contains("extensions"));
    let world = world.adopted();
    assert_eq!(value(&mut admin, UNUSABLE), "");
    let mut app = world.db.connect(&world.app);
    let found = "SELECT count(*) FROM users WHERE email = 'a@X'";
    for _ in 0..2 {
        app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
        assert_eq!(value(&mut app, found), "2");
        app.batch_execute("COMMIT").unwrap();
        admin.batch_execute("SELECT plio.assign_role('acme')").ok();
    }
    // A schema that comes later: when its extension does.
    admin
        .batch_execute(&format!(
            "CREATE SCHEMA later; GRANT USAGE ON SCHEMA later TO {}; CREATE EXTENSION hstore SCHEMA later",
            world.app
        ))
        .unwrap();
    assert_eq!(value(&mut admin, UNUSABLE), "");
    // What no role of the application may use stays closed, and is said.
    admin.batch_execute("CREATE SCHEMA closed; CREATE EXTENSION isn SCHEMA closed").unwrap();
    let unusable = value(&mut admin, UNUSABLE);
    assert!(unusable.contains("closed") && !unusable.contains("later"), "{unusable}");
    assert_eq!(value(&mut admin, "SELECT has_schema_privilege('plio_tenant', 'closed', 'USAGE')"), "f");
}

// An administrator opens nothing that he may not use himself: he is told.
#[test]
fn a_plain_administrator_is_told_what_he_cannot_open() {
    let world = legacy();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(&format!(
            "SELECT plio.adopt_tenant('acme', 'acme'), plio.grant_access('{}', 'acme')",
            world.app
        ))
        .unwrap();
    let dba = world.db.login_role("dba");
    admin.batch_execute(&format!("GRANT plio_admin TO {dba}")).unwrap();
    with_citext(&world);
    admin.batch_execute("REVOKE USAGE ON SCHEMA extensions FROM plio_tenant").unwrap();
    let (mut dba, notices) = listening(&world, &dba);
    dba.batch_execute("SELECT plio.assign_role('acme')").unwrap();
    assert!(notices.lock().unwrap().iter().any(|notice| notice.contains("extensions")), "{notices:?}");
    assert!(value(&mut admin, UNUSABLE).contains("extensions"));
}

// Row security binds a table's owner only where it is forced: assign_role names the tables, and the history keeps them.
#[test]
fn assign_role_says_whom_row_security_will_not_bind() {
    let world = legacy().adopted();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(
            "SET plio.enforcement = off;
             ALTER TABLE acme.users ENABLE ROW LEVEL SECURITY; CREATE POLICY one ON acme.users USING (id = 1);
             ALTER TABLE acme.events ENABLE ROW LEVEL SECURITY; ALTER TABLE acme.events FORCE ROW LEVEL SECURITY;
             RESET plio.enforcement",
        )
        .unwrap();
    let (mut admin, notices) = listening(&world, "postgres");
    admin.batch_execute("SELECT plio.assign_role('acme'), plio.assign_role('bravo')").unwrap();
    let notices = notices.lock().unwrap();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(
        notices[0].contains("acme") && notices[0].contains("users") && !notices[0].contains("events"),
        "{notices:?}"
    );
    let kept = "SELECT detail ->> 'unforced_row_security' FROM plio.history WHERE action = 'assign_role' AND org = 'acme'";
    assert_eq!(value(&mut admin, kept), "[\"users\"]");
}
