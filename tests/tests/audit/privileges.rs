//! Owners and grants that reach into a tenant.

use plio_tests::Cluster;

use crate::case::{Case, check};

const ACME: Option<&str> = Some("acme");

pub const CASES: &[Case] = &[
    Case::new(
        "foreign_owner",
        "warning",
        ACME,
        "tenant_acme.made",
        "CREATE TABLE tenant_acme.made (id int GENERATED ALWAYS AS IDENTITY)",
    )
    .after("DROP TABLE tenant_acme.made"),
    Case::new(
        "foreign_owner",
        "critical",
        ACME,
        "tenant_acme.powerful()",
        "CREATE FUNCTION tenant_acme.powerful() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
         AS 'SELECT 1'",
    )
    .after("DROP FUNCTION tenant_acme.powerful()"),
    Case::new("foreign_owner", "warning", ACME, "tenant_acme.mood", "CREATE TYPE tenant_acme.mood AS ENUM ('happy')")
        .after("DROP TYPE tenant_acme.mood"),
    Case::new(
        "foreign_owner",
        "critical",
        ACME,
        "tenant_acme.users",
        "DO $$ BEGIN EXECUTE format('ALTER TABLE tenant_acme.users OWNER TO %I',
            (SELECT role_name FROM plio.tenants WHERE org = 'bravo')); END $$",
    ),
    Case::new("foreign_owner", "critical", ACME, "tenant_acme", "ALTER SCHEMA tenant_acme OWNER TO postgres"),
    Case::new("grant", "critical", ACME, "tenant_acme.users", "GRANT SELECT, UPDATE ON tenant_acme.users TO PUBLIC"),
    Case::new("grant", "critical", ACME, "tenant_acme.users_id_seq", "GRANT USAGE ON SEQUENCE tenant_acme.users_id_seq TO plio_tenant"),
    Case::new("grant", "warning", ACME, "tenant_acme.users", "GRANT SELECT (name), UPDATE (name) ON tenant_acme.users TO \"@app\""),
    Case::new("grant", "warning", ACME, "tenant_acme.f()", "GRANT EXECUTE ON FUNCTION tenant_acme.f() TO \"@app\"")
        .before("CREATE FUNCTION tenant_acme.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    Case::new("grant", "critical", ACME, "tenant_acme", "GRANT CREATE ON SCHEMA tenant_acme TO PUBLIC"),
    Case::new(
        "default_privileges",
        "critical",
        ACME,
        "postgres",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA tenant_acme GRANT SELECT ON TABLES TO PUBLIC",
    ),
    Case::new(
        "default_privileges",
        "warning",
        ACME,
        "tenant_acme_",
        "DO $$ BEGIN EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT USAGE ON SEQUENCES TO %I',
            (SELECT role_name FROM plio.tenants WHERE org = 'acme'), '@app'); END $$",
    ),
    Case::new(
        "large_object_grant",
        "critical",
        ACME,
        "",
        "BEGIN; SELECT plio.set_tenant('acme'); SELECT lo_from_bytea(4711, 'x'); GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC; COMMIT",
    )
    .after("SELECT lo_unlink(4711)"),
    Case::new(
        "large_object_grant",
        "warning",
        ACME,
        "4712",
        "BEGIN; SELECT plio.set_tenant('acme'); SELECT lo_from_bytea(4712, 'x'); COMMIT; GRANT SELECT ON LARGE OBJECT 4712 TO \"@app\"",
    )
    .after("SELECT lo_unlink(4712)"),
    Case::new(
        "policy_unforced",
        "warning",
        ACME,
        "tenant_acme.users",
        "BEGIN; SELECT plio.set_tenant('acme'); ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON users USING (id = 1); COMMIT",
    )
    .after("DROP POLICY own ON tenant_acme.users; ALTER TABLE tenant_acme.users DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"),
    Case::new(
        "policy_unforced",
        "warning",
        ACME,
        "tenant_acme.users",
        "BEGIN; SELECT plio.set_tenant('acme'); CREATE POLICY own ON users USING (id = 1); COMMIT",
    )
    .after("DROP POLICY own ON tenant_acme.users; ALTER TABLE tenant_acme.users DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"),
];

#[test]
fn owners_and_grants_are_found_and_mended() {
    check(&Cluster::start(&[]).database("audit_privileges").two_tenants(), CASES);
}
