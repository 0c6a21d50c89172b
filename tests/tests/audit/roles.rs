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
    Case::new("tenant_group_member", "warning", None, "app", "GRANT plio_tenant TO \"@app\""),
    Case::new("administrator", "warning", None, "app", "GRANT plio_admin TO \"@app\""),
    Case::new("administrator", "info", None, "dba", "GRANT plio_admin TO dba").before("CREATE ROLE dba LOGIN"),
    Case::new("predefined_role", "critical", None, "app", "GRANT pg_read_all_data TO \"@app\""),
    Case::new("predefined_role", "warning", None, "app", "GRANT pg_monitor TO \"@app\""),
];

#[test]
fn roles_with_too_many_rights_are_found_and_mended() {
    check(&Cluster::start(&[]).database("audit_roles").two_tenants(), CASES);
}
