//! What audit() says of one object with several defects, and what it does not say of our own.

use plio_tests::Cluster;

use crate::case::{Found, audit};

fn found(client: &mut postgres::Client, check: &str) -> Vec<(Found, String, Option<String>)> {
    audit(client).into_iter().filter(|(found, ..)| found.1 == check).collect()
}

// Each tie has a row and a fix of its own; all fixes together, with enforcement off as the page says, mend the table.
#[test]
fn each_of_several_ties_on_one_table_has_a_row() {
    let fixture = Cluster::shared().database("audit_several").two_tenants();
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "SET plio.enforcement = off;
             CREATE TYPE tenant_bravo.mood AS ENUM ('happy'); CREATE DOMAIN tenant_bravo.word AS text;
             CREATE TABLE tenant_bravo.one (a int); CREATE TABLE tenant_bravo.two (b int);
             CREATE TABLE tenant_acme.tied (mood tenant_bravo.mood, word tenant_bravo.word,
                 u bigint REFERENCES tenant_bravo.users, v bigint REFERENCES tenant_bravo.users)
                 INHERITS (tenant_bravo.one, tenant_bravo.two);
             CREATE VIEW tenant_acme.wide AS SELECT id, name FROM tenant_bravo.users;
             RESET plio.enforcement",
        )
        .unwrap();
    let mut fixes = Vec::new();
    for (check, rows) in [("type", 2), ("inheritance", 2), ("foreign_key", 2), ("view", 1)] {
        let ties = found(&mut admin, check);
        assert_eq!(ties.len(), rows, "{ties:#?}");
        fixes.extend(ties.into_iter().filter_map(|(_, _, fix)| fix));
    }
    fixes.sort();
    fixes.dedup();
    assert_eq!(fixes.len(), 7, "{fixes:#?}");
    admin.batch_execute("SET plio.enforcement = off").unwrap();
    for fix in &fixes {
        admin.batch_execute(fix).unwrap_or_else(|error| panic!("{fix}: {error:?}"));
    }
    admin.batch_execute("RESET plio.enforcement").unwrap();
    for check in ["type", "inheritance", "foreign_key", "view"] {
        assert_eq!(found(&mut admin, check), []);
    }
}

#[test]
fn our_own_foreign_server_is_no_way_out_unless_it_is_granted() {
    let fixture = Cluster::shared().database("audit_own").two_tenants();
    let mut admin = fixture.db.superuser();
    admin.batch_execute("SELECT plio.create_report_view('people', 'users')").unwrap();
    let ours: Vec<_> = audit(&mut admin)
        .into_iter()
        .filter(|((_, _, _, object), detail, _)| {
            let says_ours = |text: &str| text.contains("plio_") || text.contains("plio.");
            object.as_deref().is_some_and(says_ours) && !detail.contains("tenant \"")
        })
        .collect();
    assert_eq!(ours, []);
    admin.batch_execute("GRANT USAGE ON FOREIGN SERVER plio_tenants TO PUBLIC").unwrap();
    let granted = found(&mut admin, "foreign_server");
    assert_eq!(granted.len(), 1, "{granted:#?}");
    assert_eq!(granted[0].0.0, "warning");
    admin.batch_execute("REVOKE USAGE ON FOREIGN SERVER plio_tenants FROM PUBLIC").unwrap();
    // Another server over the same wrapper is not ours.
    admin
        .batch_execute(
            "SET plio.enforcement = off; CREATE SERVER another FOREIGN DATA WRAPPER plio_tenants; RESET plio.enforcement",
        )
        .unwrap();
    assert_eq!(found(&mut admin, "foreign_server").len(), 1);
}
