//! `plio.metrics` has Prometheus's shape and is what docs/monitoring.md says; so are the kinds and the example query.

use super::{denied_in_acme, first, two_tenants};
use std::collections::BTreeSet;

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/monitoring.md");
    std::fs::read_to_string(path).unwrap()
}

/// The first and second cells of a section's table.
fn table(document: &str, heading: &str) -> BTreeSet<(String, String)> {
    let section = document.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).skip(1);
        (cells.next().unwrap(), cells.next().unwrap())
    })
    .collect()
}

#[test]
fn metrics_have_their_shape_and_are_documented() {
    let fixture = two_tenants("metrics");
    let mut admin = fixture.db.superuser();
    denied_in_acme(&mut fixture.db.connect(&fixture.app), "SELECT FROM tenant_bravo.users");
    // One tenant has a session: for the metric that is there only then.
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    let rows = admin
        .query(
            "SELECT name, array_to_string(ARRAY(SELECT jsonb_object_keys(labels)), ','), value,
                    (SELECT bool_and(jsonb_typeof(v) = 'string') FROM jsonb_each(labels) e (k, v))
               FROM plio.metrics",
            &[],
        )
        .unwrap();
    for row in &rows {
        let (name, value): (&str, f64) = (row.get(0), row.get(2));
        assert!(
            name.starts_with("plio_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{name}"
        );
        assert!(value.is_finite() && value >= 0.0, "{name} {value}");
        assert_ne!(row.get::<_, Option<bool>>(3), Some(false), "labels are texts: {name}");
    }
    let found: BTreeSet<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(found, table(&document(), "Metrics"));
    // A name with its labels is there once.
    let twice = "SELECT count(*) FROM (SELECT FROM plio.metrics GROUP BY name, labels HAVING count(*) > 1) d";
    assert_eq!(first::<i64>(&mut admin, twice), 0);
    let of = |name: &str| {
        format!("SELECT value FROM plio.metrics WHERE name = '{name}' AND labels = '{{\"org\": \"acme\"}}'")
    };
    assert_eq!(first::<f64>(&mut admin, &of("plio_tenant_denials_total")), 1.0);
    assert_eq!(first::<f64>(&mut admin, &of("plio_tenant_sessions")), 1.0);
}

#[test]
fn every_kind_of_denial_is_documented() {
    let source = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../plio_tenancy_ext/src/monitor/entry.rs"
    ))
    .unwrap();
    let kinds: BTreeSet<String> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("(Kind::")?.split('"').nth(1).map(str::to_owned))
        .collect();
    let documented = table(&document(), "Denials").into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, documented);
    assert_eq!(kinds.len(), 20);
}

#[test]
fn the_example_tells_each_tenants_statements() {
    let fixture = two_tenants("statements");
    let mut admin = fixture.db.superuser();
    admin.batch_execute("CREATE EXTENSION pg_stat_statements").unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    for org in ["acme", "bravo"] {
        app.batch_execute(&format!(
            "BEGIN; SELECT plio.set_tenant('{org}'); SELECT name AS of_{org} FROM users WHERE id = 1; COMMIT"
        ))
        .unwrap();
    }
    let document = document();
    let query = document.split("```sql").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let rows = admin.query(query, &[]).unwrap();
    for org in ["acme", "bravo"] {
        let text = format!("SELECT name AS of_{org} FROM users WHERE id = $1");
        let orgs: Vec<&str> =
            rows.iter().filter(|row| row.get::<_, &str>("query") == text).map(|row| row.get("org")).collect();
        assert_eq!(orgs, [org]);
    }
}
