//! `plio audit` and `plio selftest`.

use plio_tests::{Cluster, SUPERUSER};

use crate::program::plio_as;

#[test]
fn audit_is_1_when_something_critical_crosses() {
    let fixture = Cluster::start(&[]).database("cli_audit").two_tenants();
    let auditor = fixture.db.login_role("auditor");
    let mut admin = fixture.db.superuser();
    admin.batch_execute(&format!("GRANT plio_auditor TO {auditor}")).unwrap();
    let clean = plio_as(&fixture.db, &auditor, &["audit", "--severity", "critical"]);
    assert_eq!((clean.code, clean.stdout.as_str()), (Some(0), "no findings\n"), "{clean:?}");
    let clean = plio_as(&fixture.db, &auditor, &["audit", "--severity", "warning", "--format", "json"]);
    assert_eq!((clean.code, clean.rows().len()), (Some(0), 0), "{clean:?}");
    let info = plio_as(&fixture.db, &auditor, &["audit"]);
    assert!(info.code == Some(0) && info.stdout.contains("loading"), "{info:?}");

    admin
        .batch_execute(
            "SET plio.enforcement = off; CREATE VIEW tenant_acme.peek AS SELECT * FROM tenant_bravo.users",
        )
        .unwrap();
    let crossing = plio_as(&fixture.db, &auditor, &["audit", "--severity", "critical", "--format", "json"]);
    assert_eq!(crossing.code, Some(1), "{crossing:?}");
    let rows = crossing.rows();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((rows[0]["check_name"].as_str(), rows[0]["org"].as_str()), (Some("view"), Some("acme")));
    assert_eq!(rows[0]["fix"], "DROP VIEW tenant_acme.peek");
    // Only a warning is no failure of a CI job.
    admin.batch_execute(rows[0]["fix"].as_str().unwrap()).unwrap();
    admin.batch_execute("CREATE TABLE tenant_acme.made (id int)").unwrap();
    let warned = plio_as(&fixture.db, &auditor, &["audit"]);
    assert!(warned.code == Some(0) && warned.stdout.contains("foreign_owner"), "{warned:?}");
}

#[test]
fn selftest_is_1_when_something_leaks() {
    let fixture = Cluster::shared().database("cli_selftest").two_tenants();
    let well = plio_as(&fixture.db, &fixture.app, &["selftest", "--format", "json"]);
    assert_eq!(well.code, Some(0), "{well:?}");
    let rows = well.rows();
    assert!(rows.len() > 50 && rows.iter().all(|row| row["verdict"] == "refused"), "{rows:?}");
    assert!(rows.iter().any(|row| row["attack"] == "connection: a transaction that is taken apart"));
    let quiet = plio_as(&fixture.db, &fixture.app, &["selftest", "--quiet"]);
    assert_eq!((quiet.code, quiet.stdout.as_str()), (Some(0), "every attack was refused\n"), "{quiet:?}");
    let ill = plio_as(&fixture.db, SUPERUSER, &["selftest", "--quiet"]);
    assert!(ill.code == Some(1) && ill.stdout.contains("LEAKED"), "{ill:?}");
}
