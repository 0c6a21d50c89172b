//! Legitimate work goes on: what people and programs do with a PostgreSQL, inside a tenant and as its administrators.
//! docs/compatibility.md lists it; the last test here holds that page to these tests.

mod maintenance;
mod objects;
mod orms;
mod programs;
mod replication;

use plio_tests::{Cluster, TwoTenants};
use postgres::{Client, SimpleQueryMessage};
use std::path::Path;

/// acme and bravo with a foreign key to a shared table, an audit trigger that writes a shared one, partitions, a
/// materialized view.
fn world(cluster: &Cluster) -> TwoTenants {
    let fixture = cluster.database("legit").two_tenants();
    let mut admin = fixture.db.superuser();
    run(
        &mut admin,
        "CREATE TABLE public.audit_log (at timestamptz DEFAULT now(), org text DEFAULT plio.current_tenant(), what text);
         SELECT plio.share('public.audit_log', 'write');
         CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql
             AS 'BEGIN INSERT INTO public.audit_log (what) VALUES (TG_OP || '' '' || TG_TABLE_NAME); RETURN NULL; END'",
    );
    for org in ["acme", "bravo"] {
        inside(
            &mut admin,
            org,
            "CREATE TABLE orders (id int PRIMARY KEY, user_id bigint REFERENCES users ON DELETE CASCADE, country text REFERENCES countries);
             INSERT INTO orders SELECT i, i, 'IN' FROM generate_series(1, 3) i;
             CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION public.audit();
             CREATE TABLE events (id int, day date) PARTITION BY RANGE (day);
             CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
             CREATE MATERIALIZED VIEW summary AS SELECT id, name FROM users;
             CREATE UNIQUE INDEX ON summary (id)",
        );
    }
    fixture
}

#[track_caller]
fn run(client: &mut Client, statements: &str) {
    client.batch_execute(statements).unwrap_or_else(|error| panic!("{statements}: {error:?}"));
}

/// Runs statements inside a tenant and commits.
#[track_caller]
fn inside(client: &mut Client, org: &str, statements: &str) {
    run(client, &format!("BEGIN; SELECT plio.set_tenant('{org}'); {statements}; COMMIT"));
}

/// The first column of each row, as text.
#[track_caller]
fn column(client: &mut Client, query: &str) -> Vec<String> {
    let messages = client.simple_query(query).unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
        _ => None,
    });
    rows.collect()
}

/// Each row of docs/compatibility.md names tests of this target that are there, and each test here is named by it.
#[test]
fn the_page_names_every_test_and_no_other() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page =
        std::fs::read_to_string(folder.join("../docs/compatibility.md")).expect("docs/compatibility.md");
    let mut tests = Vec::new();
    for module in ["maintenance", "objects", "orms", "programs", "replication"] {
        let source = std::fs::read_to_string(folder.join(format!("tests/legit/{module}.rs"))).expect(module);
        let lines: Vec<&str> = source.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0].trim() == "#[test]") {
            let name = pair[1].trim_start_matches("fn ").split('(').next().unwrap_or_default();
            tests.push(format!("legit::{module}::{name}"));
        }
    }
    assert!(tests.len() > 10, "{tests:?}");
    let named = || page.split('`').skip(1).step_by(2).filter(|text| text.starts_with("legit::"));
    for test in &tests {
        assert!(named().any(|name| name == test), "docs/compatibility.md does not name {test}");
    }
    for name in named() {
        assert!(
            tests.iter().any(|test| test == name),
            "docs/compatibility.md names {name}, which is not there"
        );
    }
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| --")).skip(1) {
        assert!(row.contains("`legit::"), "a row without a test: {row}");
    }
}
