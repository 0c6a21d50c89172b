//! Adopting and releasing: nothing changes but the registry.

use plio_tests::{assert_refusal, expect_sqlstate};

use crate::judge::Judge;
use crate::{legacy, value};

const GRANTS: &str = "SELECT string_agg(nspname || nspowner || coalesce(nspacl::text, ''), ',' ORDER BY nspname) || (SELECT string_agg(relname || relowner || coalesce(relacl::text, ''), ',' ORDER BY oid) FROM pg_class WHERE relnamespace IN ('acme'::regnamespace, 'bravo'::regnamespace)) FROM pg_namespace WHERE nspname IN ('acme', 'bravo')";

/// Inside, the application's role works on its own tables, foreign keys to shared ones included; another tenant's are
/// refused; owners and grants are untouched; released, everything is as before.
#[test]
fn an_adopted_schema_is_a_tenant_and_nothing_else_changes() {
    let world = legacy();
    let mut admin = world.db.superuser();
    let before = value(&mut admin, GRANTS);
    let mut app = world.db.connect(&world.app);
    Judge::outside(&mut app).gives("SELECT min(name) FROM bravo.users", &["canary-bravo"]);
    let world = world.adopted();
    let mut outside = Judge::outside(&mut app);
    outside.refused("SELECT min(name) FROM bravo.users", "55000");
    drop(outside);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.gives("SELECT min(name) FROM users", &["canary-acme"]);
    acme.gives("SELECT current_user = session_user", &["t"]);
    acme.allowed("INSERT INTO users (name, plan) VALUES ('new', 1); INSERT INTO events (name) VALUES ('x')");
    acme.denied("INSERT INTO users (name, plan) VALUES ('new', 9)", "23503");
    acme.allowed(
        "CREATE TABLE notes (id serial PRIMARY KEY, text text); INSERT INTO notes (text) VALUES ('x')",
    );
    acme.allowed("ALTER TABLE users ADD COLUMN number serial; INSERT INTO users (name) VALUES ('y')");
    acme.refused("SELECT * FROM bravo.users", "42501");
    acme.refused("INSERT INTO plans VALUES (2, 'two')", "42501");
    drop(acme);
    assert_eq!(value(&mut admin, GRANTS), before);
    // An outsider sees PostgreSQL's own refusal: no USAGE was granted to anybody.
    let stranger = world.db.login_role("stranger");
    Judge::outside(&mut world.db.connect(&stranger)).denied("SELECT * FROM acme.users", "42501");
    expect_sqlstate(admin.batch_execute("SELECT plio.release_tenant('acme', 'wrong')"), "22023");
    admin
        .batch_execute("SELECT plio.release_tenant('acme', 'acme'), plio.release_tenant('bravo', 'bravo')")
        .unwrap();
    Judge::outside(&mut app).gives("SELECT min(name) FROM bravo.users", &["canary-bravo"]);
    assert_eq!(value(&mut admin, GRANTS), before);
    assert_eq!(
        value(
            &mut admin,
            "SELECT string_agg(action, ' ' ORDER BY history_id) FROM plio.history WHERE action LIKE '%t_tenant' OR action LIKE 'release%'"
        ),
        "adopt_tenant adopt_tenant release_tenant release_tenant"
    );
}

/// What cannot be a tenant's is refused, with the way out.
#[test]
fn what_cannot_be_adopted_is_refused() {
    let world = legacy();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(
            "SELECT plio.create_tenant('made'); SELECT plio.adopt_tenant('acme', 'acme');
             CREATE SCHEMA shared; SELECT plio.share('shared', 'read');
             CREATE SCHEMA partly; CREATE TABLE partly.t (); SELECT plio.share('partly.t', 'read');
             CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext;
             CREATE SCHEMA tied; CREATE VIEW public.over AS SELECT name FROM bravo.users",
        )
        .unwrap();
    for (arguments, code) in [
        ("'acme', 'bravo'", "42710"),
        ("'x', 'missing'", "42704"),
        ("'x', 'public'", "42939"),
        ("'x', 'pg_catalog'", "42939"),
        ("'x', 'information_schema'", "42939"),
        ("'x', 'plio'", "42939"),
        ("'x', ''", "42602"),
        ("'X', 'bravo'", "42602"),
        ("'x', NULL", "22023"),
        ("NULL, 'bravo'", "22023"),
        ("'x', 'bravo', NULL", "22023"),
        ("'x', 'acme'", "55000"),
        ("'x', 'tenant_made'", "55000"),
        ("'x', 'shared'", "55000"),
        ("'x', 'partly'", "55000"),
        ("'x', 'ext'", "55000"),
        ("'x', 'bravo'", "55000"),
    ] {
        let error =
            expect_sqlstate(admin.batch_execute(&format!("SELECT plio.adopt_tenant({arguments})")), code);
        assert_refusal(&error, code, &[]);
    }
    let inside = "BEGIN; SELECT plio.set_tenant('acme'); SELECT plio.adopt_tenant('x', 'bravo')";
    expect_sqlstate(admin.batch_execute(inside), "25001");
    admin.batch_execute("ROLLBACK").unwrap();
    let mut app = world.db.connect(&world.app);
    Judge::outside(&mut app).denied("SELECT plio.adopt_tenant('x', 'bravo')", "42501");
}

/// Ties to another tenant, or from what is no tenant's, are listed, refused, and with `allow_ties` left to the access check.
#[test]
fn ties_are_found_and_named() {
    let world = legacy();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(&format!(
            "SELECT plio.adopt_tenant('acme', 'acme');
             CREATE VIEW public.over AS SELECT name FROM bravo.users; GRANT SELECT ON public.over TO {app};
             ALTER VIEW public.over OWNER TO {app}; SET plio.enforcement = off;
             ALTER TABLE bravo.users ADD COLUMN theirs bigint REFERENCES acme.users",
            app = world.app
        ))
        .unwrap();
    admin.batch_execute("RESET plio.enforcement").unwrap();
    let listed = value(
        &mut admin,
        "SELECT string_agg(object || ' > ' || depends_on, '; ' ORDER BY object) FROM plio.schema_ties('bravo')",
    );
    assert!(listed.contains("view public.over") && listed.contains("users_theirs_fkey"), "{listed}");
    assert!(!listed.contains("plans"), "a foreign key to what is no tenant's is none: {listed}");
    let error = expect_sqlstate(admin.batch_execute("SELECT plio.adopt_tenant('bravo', 'bravo')"), "55000");
    assert!(error.hint().unwrap().contains("plio.schema_ties()"), "{error:?}");
    admin.batch_execute("SELECT plio.adopt_tenant('bravo', 'bravo', allow_ties => true)").unwrap();
    let mut app = world.db.connect(&world.app);
    Judge::outside(&mut app).refused("SELECT * FROM public.over", "55000");
    expect_sqlstate(admin.batch_execute("SELECT * FROM plio.schema_ties('missing')"), "42704");
}

/// `health()` names tenants with one layer.
#[test]
fn health_names_tenants_with_one_layer() {
    let world = legacy().adopted();
    let mut admin = world.db.superuser();
    let fixes = "SELECT string_agg(fix, ' ' ORDER BY fix) FROM plio.health() WHERE finding = 'one_layer' AND severity = 'warning'";
    assert_eq!(value(&mut admin, fixes), "SELECT plio.assign_role('acme') SELECT plio.assign_role('bravo')");
    admin.batch_execute("SELECT plio.assign_role('acme')").unwrap();
    assert_eq!(value(&mut admin, fixes), "SELECT plio.assign_role('bravo')");
}
