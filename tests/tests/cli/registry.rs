//! `plio tenants` and `plio health`.

use plio_tests::{Cluster, SUPERUSER};

use crate::program::plio_as;

#[test]
fn tenants_are_listed_as_a_table_and_as_json() {
    let fixture = Cluster::shared().database("cli_tenants").two_tenants();
    let mut admin = fixture.db.superuser();
    admin.batch_execute("SELECT plio.create_tenant('c', E'weird\\n\"\\u001b[2J', '{\"plan\": 1}')").unwrap();
    admin.batch_execute("SELECT plio.suspend_tenant('c')").unwrap();
    let table = plio_as(&fixture.db, SUPERUSER, &["tenants"]);
    assert_eq!((table.code, table.stderr.as_str()), (Some(0), ""));
    assert_eq!(table.stdout.lines().count(), 5, "{}", table.stdout);
    // What would act upon a terminal is written out.
    assert!(table.stdout.contains("weird\\n\"\\u{1b}[2J") && !table.stdout.contains('\u{1b}'));
    let rows = plio_as(&fixture.db, SUPERUSER, &["tenants", "--format", "json"]).rows();
    assert_eq!(rows.len(), 3);
    assert_eq!((rows[2]["org"].as_str(), rows[2]["status"].as_str()), (Some("c"), Some("suspended")));
    assert_eq!(rows[2]["settings"]["plan"], 1);
}

#[test]
fn health_is_0_when_well_and_1_when_not() {
    let fixture = Cluster::shared().database("cli_health").two_tenants();
    let well = plio_as(&fixture.db, SUPERUSER, &["health"]);
    assert_eq!(well.code, Some(0), "{well:?}");
    assert!(well.stdout.contains("loaded in this session as: session"), "{well:?}");
    let plant =
        "SET plio.enforcement = off; ALTER EVENT TRIGGER plio_sql_drop DISABLE; RESET plio.enforcement";
    fixture.db.superuser().batch_execute(plant).unwrap();
    let ill = plio_as(&fixture.db, SUPERUSER, &["health", "--format", "json"]);
    assert_eq!(ill.code, Some(1), "{ill:?}");
    let rows = ill.rows();
    assert!(rows.iter().any(|row| row["finding"] == "event_trigger_disabled"), "{rows:?}");
}
