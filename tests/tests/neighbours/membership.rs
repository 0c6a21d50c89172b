//! The membership with which pgaudit logs ordinary roles' reads inside tenants (docs/guarantees.md): it opens nothing.

use crate::{assert_bound, try_value, value};
use plio_tests::{Cluster, expect_sqlstate};

#[test]
fn a_membership_without_inherit_and_set_opens_nothing() {
    if Cluster::major() == "15" {
        return;
    }
    let fixture = Cluster::shared().database("membership").two_tenants();
    let mut admin = fixture.db.superuser();
    let role = value(&mut admin, "SELECT role_name FROM plio.tenants WHERE org = 'acme'");
    let app = &fixture.app;
    let found = "SELECT count(*) FROM plio.audit('warning')";
    assert_eq!(value(&mut admin, found), "0");
    let grant = |options: &str| format!("GRANT \"{role}\" TO {app} WITH {options}");
    admin.batch_execute(&grant("INHERIT FALSE, SET FALSE")).unwrap();
    assert_eq!(value(&mut admin, found), "0", "the documented remedy is no defect");
    assert_bound(&fixture);
    let mut client = fixture.db.connect(app);
    for attack in [
        format!("SET ROLE \"{role}\""),
        format!("SET SESSION AUTHORIZATION \"{role}\""),
        format!("SELECT set_config('role', '{role}', false)"),
        format!("GRANT \"{role}\" TO {app} WITH SET TRUE"),
        format!("GRANT \"{role}\" TO {} WITH SET TRUE", fixture.carol),
        format!("CREATE TABLE t (a int); ALTER TABLE t OWNER TO \"{role}\""),
        format!("ALTER DEFAULT PRIVILEGES FOR ROLE \"{role}\" GRANT SELECT ON TABLES TO PUBLIC"),
        format!("REASSIGN OWNED BY \"{role}\" TO {app}"),
        format!("DROP OWNED BY \"{role}\""),
        "SELECT pg_catalog.nextval('tenant_acme.users_id_seq'::regclass)".to_owned(),
    ] {
        assert!(try_value(&mut client, &attack).is_err(), "{attack}");
    }
    let privileges = format!(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'tenant_acme'
          WHERE c.relkind IN ('r', 'S') AND (has_schema_privilege('{app}', n.oid, 'CREATE')
             OR CASE c.relkind WHEN 'S' THEN has_sequence_privilege('{app}', c.oid, 'USAGE, SELECT, UPDATE')
                ELSE has_table_privilege('{app}', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') END)"
    );
    assert_eq!(value(&mut admin, &privileges), "0");
    assert_eq!(
        value(
            &mut admin,
            &format!(
                "SELECT pg_has_role('{app}', '{role}', 'USAGE') OR pg_has_role('{app}', '{role}', 'SET')"
            )
        ),
        "f"
    );
    let leaked = "SELECT count(*) FROM plio.selftest() WHERE verdict <> 'refused'";
    assert_eq!(value(&mut client, leaked), "0");
    // Statistics of values, which only privileges guard.
    admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); ANALYZE users; COMMIT").unwrap();
    let statistics = "SELECT count(*) FROM pg_stats WHERE schemaname = 'tenant_acme'";
    assert_eq!(value(&mut admin, statistics), "2");
    assert_eq!(
        value(&mut client, statistics),
        "0",
        "no right on any tenant's table: PostgreSQL's own answer"
    );
    // Each of the rights that the remedy leaves out is a finding.
    for options in
        ["INHERIT TRUE, SET FALSE", "INHERIT FALSE, SET TRUE", "INHERIT FALSE, SET FALSE, ADMIN TRUE"]
    {
        admin.batch_execute(&format!("REVOKE \"{role}\" FROM {app}; {}", grant(options))).unwrap();
        let finding = "SELECT string_agg(severity || ' ' || check_name, ',') FROM plio.audit('warning')";
        assert_eq!(value(&mut admin, finding), "critical tenant_role_member", "{options}");
    }
    // Management goes on with it.
    admin
        .batch_execute(&format!("REVOKE \"{role}\" FROM {app}; {}", grant("INHERIT FALSE, SET FALSE")))
        .unwrap();
    admin
        .batch_execute(
            "SELECT plio.rename_tenant('acme', 'acme2'); SELECT plio.rename_tenant('acme2', 'acme')",
        )
        .unwrap();
    assert_bound(&fixture);
    admin.batch_execute("SELECT plio.drop_tenant('acme', 'acme')").unwrap();
    assert_eq!(value(&mut admin, &format!("SELECT count(*) FROM pg_roles WHERE rolname = '{role}'")), "0");
    expect_sqlstate(client.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "42501");
}
