//! Roles that can do more than the boundary expects.

use plio_tests::Cluster;

use crate::case::{Case, check};

pub const CASES: &[Case] = &[
    Case::new("application_superuser", "critical", None, "app", "ALTER ROLE \"@app\" SUPERUSER"),
    Case::new("superuser", "info", None, "boss", "CREATE ROLE boss SUPERUSER LOGIN").mend("ALTER ROLE boss NOSUPERUSER"),
    Case::new("bypass_rls", "warning", None, "app", "ALTER ROLE \"@app\" BYPASSRLS"),
    Case::new(
        "tenant_role_attributes",
        "critical",
        Some("acme"),
        "tenant_acme_",
        "DO $$ BEGIN EXECUTE format('ALTER ROLE %I CREATEROLE BYPASSRLS', (SELECT role_name FROM plio.tenants WHERE org = 'acme'));
         END $$",
    ),
    Case::new(
        "tenant_role_member",
        "critical",
        Some("acme"),
        "app",
        "DO $$ BEGIN EXECUTE format('GRANT %I TO %I', (SELECT role_name FROM plio.tenants WHERE org = 'acme'), '@app'); END $$",
    ),
    Case::new(
        "tenant_role_in_group",
        "critical",
        Some("acme"),
        "tenant_acme_",
        "DO $$ BEGIN EXECUTE format('GRANT pg_read_all_data TO %I', (SELECT role_name FROM plio.tenants WHERE org = 'acme'));
         END $$",
    ),
    Case::new("replication_role", "critical", None, "app", "ALTER ROLE \"@app\" REPLICATION"),
    Case::new("replication_role", "warning", None, "copier", "CREATE ROLE copier LOGIN REPLICATION"),
    Case::new("group_role_attributes", "critical", None, "plio_admin", "ALTER ROLE plio_admin SUPERUSER"),
    Case::new("group_role_attributes", "critical", None, "plio_tenant", "ALTER ROLE plio_tenant LOGIN CREATEDB"),
    Case::new("superuser_member", "critical", None, "app", "GRANT chief TO \"@app\"").before("CREATE ROLE chief SUPERUSER"),
    Case::new("superuser_member", "critical", None, "plio_admin", "GRANT chief TO plio_admin"),
    Case::new("superuser_member", "critical", None, "app", "GRANT plio_dba TO \"@app\"").before("CREATE ROLE plio_dba SUPERUSER"),
    Case::new("tenant_role_in_group", "critical", None, "plio_tenant", "GRANT other TO plio_tenant").before("CREATE ROLE other"),
    Case::new("tenant_group_member", "warning", None, "app", "GRANT plio_tenant TO \"@app\""),
    Case::new("administrator", "warning", None, "app", "GRANT plio_admin TO \"@app\""),
    Case::new("administrator", "info", None, "dba", "GRANT plio_admin TO dba").before("CREATE ROLE dba LOGIN"),
    Case::new("administrator_maker", "warning", None, "app", "GRANT dba2 TO \"@app\" WITH ADMIN OPTION")
        .before("CREATE ROLE dba2 LOGIN; GRANT plio_admin TO dba2; ALTER ROLE \"@app\" NOINHERIT")
        .after("DROP ROLE dba2; ALTER ROLE \"@app\" INHERIT"),
    Case::new("predefined_role", "critical", None, "app", "GRANT pg_read_all_data TO \"@app\""),
    Case::new("predefined_role", "warning", None, "app", "GRANT pg_monitor TO \"@app\""),
];

#[test]
fn roles_with_too_many_rights_are_found_and_mended() {
    check(&Cluster::start(&[]).database("audit_roles").two_tenants(), CASES);
}

/// What is no finding on every version of PostgreSQL, with its severity.
pub const BY_VERSION: &[(&str, &str)] = &[("create_role", "critical")];

#[test]
fn createrole_is_a_finding_where_it_reaches_every_role() {
    let fixture = Cluster::start(&[]).database("audit_createrole").two_tenants();
    let mut admin = fixture.db.superuser();
    let version: i32 =
        admin.query_one("SELECT current_setting('server_version_num')::integer", &[]).unwrap().get(0);
    let creator = fixture.db.login_role("creator");
    admin.batch_execute(&format!("ALTER ROLE {creator} CREATEROLE")).unwrap();
    let found = crate::case::audit(&mut admin);
    let is_found = found.iter().any(|((severity, check, _, object), ..)| {
        (severity.as_str(), check.as_str(), object.as_deref()) == ("critical", "create_role", Some(&*creator))
    });
    assert_eq!(is_found, version < 160_000, "{found:#?}");
    if is_found {
        let fix =
            found.iter().find(|((_, check, ..), ..)| check == "create_role").unwrap().2.clone().unwrap();
        admin.batch_execute(&fix).unwrap();
        assert!(crate::case::audit(&mut admin).iter().all(|((_, check, ..), ..)| check != "create_role"));
    }
}
