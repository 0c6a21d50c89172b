//! health() finds what is wrong, and what it says mends it.

use super::{findings, first, refused};
use plio_tests::Cluster;

// With enforcement on a tenant's role is protected, from its mending, too: the fix says so.
#[test]
fn the_fix_for_a_tenants_role_that_may_log_in_works() {
    let cluster = Cluster::shared();
    let fixture = cluster.database("can_login").two_tenants();
    let (mut admin, mut elsewhere) = (fixture.db.superuser(), cluster.database("elsewhere").superuser());
    let role = first(&mut admin, "SELECT role_name FROM plio.tenants WHERE org = 'acme'");
    for harm in ["LOGIN", "SUPERUSER", "LOGIN SUPERUSER"] {
        elsewhere.batch_execute(&format!("ALTER ROLE \"{role}\" {harm}")).unwrap();
        let fix = first(&mut admin, "SELECT fix FROM plio.health() WHERE finding = 'tenant_role_can_login'");
        admin.batch_execute(&fix).unwrap_or_else(|error| panic!("{fix}: {error:?}"));
        let left = "SELECT count(*)::text FROM plio.health() WHERE finding <> 'loading' AND finding <> 'denials_log_only'";
        assert_eq!(first(&mut admin, left), "0", "after {fix}");
        assert_eq!(first(&mut admin, "SHOW plio.enforcement"), "on");
    }
}

// Each defect is planted, found, and gone once it is mended.
#[test]
fn health_finds_each_defect() {
    let cluster = Cluster::start(&[]);
    let fixture = cluster.database("defects").two_tenants();
    let (mut admin, mut elsewhere) = (fixture.db.superuser(), cluster.database("elsewhere").superuser());
    let name = fixture.db.name();
    let role = first(&mut admin, "SELECT role_name FROM plio.tenants WHERE org = 'acme'");
    let off = "SET plio.enforcement = off;";
    // What is the extension's own is altered with enforcement off alone.
    let mut vandal = fixture.db.superuser();
    vandal.batch_execute(off).unwrap();
    for (finding, plant, mend) in [
        (
            "not_preloaded",
            format!("ALTER DATABASE \"{name}\" RESET session_preload_libraries"),
            format!("ALTER DATABASE \"{name}\" SET session_preload_libraries = 'plio_tenancy'"),
        ),
        ("enforcement_off", off.to_owned(), "RESET plio.enforcement".to_owned()),
        (
            "event_trigger_disabled",
            "ALTER EVENT TRIGGER plio_sql_drop DISABLE".to_owned(),
            "ALTER EVENT TRIGGER plio_sql_drop ENABLE ALWAYS".to_owned(),
        ),
        (
            "event_trigger_disabled",
            "ALTER EVENT TRIGGER plio_ddl_command_end ENABLE REPLICA".to_owned(),
            "ALTER EVENT TRIGGER plio_ddl_command_end ENABLE ALWAYS".to_owned(),
        ),
        (
            "registry_trigger_disabled",
            "ALTER TABLE plio.access DISABLE TRIGGER ALL".to_owned(),
            "ALTER TABLE plio.access ENABLE ALWAYS TRIGGER tell_every_backend".to_owned(),
        ),
        (
            "tenant_role_can_login",
            format!("ALTER ROLE \"{role}\" LOGIN"),
            format!("ALTER ROLE \"{role}\" NOLOGIN"),
        ),
        (
            "missing_schema",
            "UPDATE plio.tenants SET schema_name = 'lost' WHERE org = 'acme'".to_owned(),
            "UPDATE plio.tenants SET schema_name = 'tenant_acme' WHERE org = 'acme'".to_owned(),
        ),
        (
            "missing_role",
            "UPDATE plio.tenants SET role_name = 'lost' WHERE org = 'acme'".to_owned(),
            format!("UPDATE plio.tenants SET role_name = '{role}' WHERE org = 'acme'"),
        ),
        (
            "stale_access",
            "INSERT INTO plio.access (role_name, org, role_oid, cluster) VALUES ('nobody', 'acme', 1, plio._cluster())".to_owned(),
            "SELECT plio.revoke_access('nobody', 'acme')".to_owned(),
        ),
        (
            "untied_access",
            "INSERT INTO plio.access (role_name, org) VALUES ('nobody', 'acme')".to_owned(),
            "SELECT plio.revoke_access('nobody', 'acme')".to_owned(),
        ),
        (
            "stale_share",
            "INSERT INTO plio.shares (schema_name, mode) VALUES ('lost', 'read')".to_owned(),
            "DELETE FROM plio.shares WHERE schema_name = 'lost'".to_owned(),
        ),
        (
            "missing_group",
            "ALTER ROLE plio_auditor RENAME TO another".to_owned(),
            "ALTER ROLE another RENAME TO plio_auditor".to_owned(),
        ),
        (
            "missing_group",
            "ALTER ROLE plio_admin RENAME TO another".to_owned(),
            "ALTER ROLE another RENAME TO plio_admin".to_owned(),
        ),
        (
            "missing_group",
            "ALTER ROLE plio_tenant RENAME TO another".to_owned(),
            "ALTER ROLE another RENAME TO plio_tenant".to_owned(),
        ),
    ] {
        assert_eq!(findings(&mut admin), ["loading"], "before {finding}");
        // Where the extension is, a tenant's role is protected: such harm comes from another database.
        let harm = if plant.starts_with("ALTER ROLE") {
            &mut elsewhere
        } else if plant.contains(" plio.") && finding != "enforcement_off" || plant.contains(" plio_") {
            &mut vandal
        } else {
            &mut admin
        };
        harm.batch_execute(&plant).unwrap_or_else(|error| panic!("{plant}: {error:?}"));
        assert!(findings(&mut admin).contains(&finding.to_owned()), "{finding}: {:?}", findings(&mut admin));
        admin.query("SELECT * FROM plio.audit()", &[]).unwrap_or_else(|error| panic!("{finding}: {error:?}"));
        // A tenant that has lost its schema or role cannot be entered.
        if finding.starts_with("missing_") && finding != "missing_group" {
            refused(admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "55000");
            admin.batch_execute("ROLLBACK").unwrap();
        }
        let help = if mend.starts_with("ALTER ROLE") {
            &mut elsewhere
        } else if finding != "enforcement_off" && !mend.starts_with("ALTER DATABASE") {
            &mut vandal
        } else {
            &mut admin
        };
        help.batch_execute(&mend).unwrap_or_else(|error| panic!("{mend}: {error:?}"));
    }
    assert_eq!(findings(&mut admin), ["loading"]);
}

// Access of a role that is gone, or was never here: what health() says takes it back, or gives it again.
#[test]
fn the_fixes_for_access_without_effect_work() {
    let cluster = Cluster::shared();
    let fixture = cluster.database("untied").two_tenants();
    let mut admin = fixture.db.superuser();
    let role = fixture.db.login_role("kept");
    let by_hand = |admin: &mut postgres::Client, statement: &str| {
        admin
            .batch_execute(&format!("SET plio.enforcement = off; {statement}; RESET plio.enforcement"))
            .unwrap();
    };
    let fix = |admin: &mut postgres::Client, finding: &str| {
        first(admin, &format!("SELECT string_agg(fix, '; ') FROM plio.health() WHERE finding = '{finding}'"))
    };
    by_hand(
        &mut admin,
        "INSERT INTO plio.access (role_name, org) VALUES ('no''body', 'acme'), ('no''body', 'bravo'), ('no''body', NULL);
         INSERT INTO plio.access (role_name, org, role_oid, cluster) VALUES ('ghost', 'acme', 1, plio._cluster())",
    );
    let untied = fix(&mut admin, "untied_access");
    assert_eq!(
        untied,
        "SELECT plio.revoke_access('no''body', 'acme'), plio.revoke_access('no''body', 'bravo'), plio.revoke_access_to_every_tenant('no''body')"
    );
    admin.batch_execute(&untied).unwrap();
    let stale = fix(&mut admin, "stale_access");
    admin.batch_execute(&stale).unwrap();
    assert_eq!(findings(&mut admin), ["loading"]);
    // The role is there: both ways.
    by_hand(&mut admin, &format!("INSERT INTO plio.access (role_name, org) VALUES ('{role}', 'acme')"));
    let untied = fix(&mut admin, "untied_access");
    let (repair, back) = untied.split_once("; or take it back: ").unwrap();
    assert!(repair.starts_with("SELECT * FROM plio.repair()"), "{untied}");
    admin.batch_execute(&format!("BEGIN; {back}; ROLLBACK; SELECT * FROM plio.repair()")).unwrap();
    assert_eq!(findings(&mut admin), ["loading"]);
    admin.batch_execute(&format!("REVOKE USAGE ON SCHEMA plio FROM {role}")).unwrap();
    let stale = fix(&mut admin, "stale_access");
    let (again, back) = stale.split_once("; or take it back: ").unwrap();
    admin.batch_execute(&format!("BEGIN; {back}; ROLLBACK; {again}")).unwrap();
    assert_eq!(findings(&mut admin), ["loading"]);
    fixture.db.connect(&role).batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
}
