//! Who may call audit(), and with what.

use plio_tests::{Cluster, assert_refusal, expect_sqlstate};

use crate::case::audit;

#[test]
fn administrators_and_auditors_may_nobody_else() {
    let fixture = Cluster::start(&[]).database("audit_who").two_tenants();
    let (auditor, manager) = (fixture.db.login_role("auditor"), fixture.db.login_role("manager"));
    let mut admin = fixture.db.superuser();
    admin.batch_execute(&format!("GRANT plio_auditor TO {auditor}; GRANT plio_admin TO {manager}")).unwrap();
    admin
        .batch_execute(
            "SET plio.enforcement = off; CREATE VIEW tenant_acme.peek AS SELECT * FROM tenant_bravo.users",
        )
        .unwrap();
    for role in [&auditor, &manager] {
        // Without enforcement off, and without rights on any tenant's table.
        let found = audit(&mut fixture.db.connect(role));
        assert!(
            found.iter().any(|((_, check, org, _), ..)| check == "view" && org.as_deref() == Some("acme")),
            "{found:?}"
        );
    }
    let mut app = fixture.db.connect(&fixture.app);
    expect_sqlstate(app.query("SELECT * FROM plio.audit()", &[]), "42501");
    for inner in [
        "_audit_ties()",
        "_audit_roles()",
        "_tenant_schemas()",
        "_schemas_in_code('sql', '')",
        "_severity_rank('info')",
    ] {
        expect_sqlstate(app.query(&format!("SELECT * FROM plio.{inner}"), &[]), "42501");
    }
}

#[test]
fn the_least_severity_is_a_filter_and_is_checked() {
    let fixture = Cluster::start(&[]).database("audit_least").two_tenants();
    let mut admin = fixture.db.superuser();
    let mut count = |arguments: &str| {
        let rows = admin.query(&format!("SELECT severity FROM plio.audit({arguments})"), &[]).unwrap();
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    // A clean database has nothing to mend.
    assert_eq!((count("'critical'"), count("'warning'")), (vec![], vec![]));
    assert!(count("").iter().all(|severity| severity == "info") && !count("").is_empty());
    let plant =
        "SET plio.enforcement = off; CREATE VIEW tenant_acme.peek AS SELECT * FROM tenant_bravo.users";
    fixture.db.superuser().batch_execute(plant).unwrap();
    assert_eq!(count("'critical'"), ["critical"]);
    // Worst first.
    assert_eq!(count("'warning'"), ["critical", "warning"]);
    let mut admin = fixture.db.superuser();
    for arguments in ["'dire'", "''", "NULL", "repeat('x', 100000)"] {
        let refused = admin.query(&format!("SELECT * FROM plio.audit({arguments})"), &[]);
        assert_refusal(&expect_sqlstate(refused, "22023"), "22023", &["canary"]);
    }
}

// Inside a tenant nobody sees other tenants' names through it.
#[test]
fn inside_a_tenant_it_is_refused() {
    let fixture = Cluster::shared().database("audit_inside").two_tenants();
    let mut admin = fixture.db.superuser();
    admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    let refused = expect_sqlstate(admin.query("SELECT * FROM plio.audit()", &[]), "42501");
    assert!(!refused.message().contains("bravo"), "{refused:?}");
}
