//! VACUUM and its kin, by the tenant and by an administrator; partitions; bulk work.

use super::{column, inside, run, world};
use plio_tests::Cluster;

const EACH: [&str; 12] = [
    "VACUUM users",
    "VACUUM (FULL, ANALYZE) users",
    "ANALYZE users",
    "ANALYZE users, orders",
    "REINDEX TABLE users",
    "REINDEX TABLE CONCURRENTLY users",
    "REINDEX INDEX CONCURRENTLY users_pkey",
    "CREATE INDEX CONCURRENTLY users_name ON users (name)",
    "CLUSTER users USING users_pkey",
    "REFRESH MATERIALIZED VIEW summary",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY summary",
    "DROP INDEX CONCURRENTLY users_name",
];

#[test]
fn a_tenant_maintains_its_tables() {
    let fixture = world(Cluster::shared());
    let mut app = fixture.db.connect(&fixture.app);
    for org in ["acme", "bravo"] {
        run(&mut app, &format!("SET plio.tenant = '{org}'"));
        EACH.iter().for_each(|statement| run(&mut app, statement));
    }
}

#[test]
fn an_administrator_maintains_every_tenant() {
    let fixture = world(Cluster::shared());
    let mut admin = fixture.db.superuser();
    for org in ["acme", "bravo"] {
        for statement in EACH {
            let on_index = statement.replace(" users_pkey", &format!(" tenant_{org}.users_pkey"));
            let qualified = match statement {
                "CLUSTER users USING users_pkey" => format!("CLUSTER tenant_{org}.users USING users_pkey"),
                "DROP INDEX CONCURRENTLY users_name" => {
                    format!("DROP INDEX CONCURRENTLY tenant_{org}.users_name")
                }
                _ if on_index != statement => on_index,
                _ => ["users", "orders", "summary"].iter().fold(statement.to_owned(), |text, name| {
                    text.split(' ')
                        .map(|word| match word.trim_end_matches(',') {
                            bare if bare == *name => word.replace(name, &format!("tenant_{org}.{name}")),
                            _ => word.to_owned(),
                        })
                        .collect::<Vec<_>>()
                        .join(" ")
                }),
            };
            run(&mut admin, &qualified);
        }
        run(&mut admin, &format!("REINDEX SCHEMA tenant_{org}"));
    }
    for whole in ["VACUUM", "ANALYZE", "VACUUM FULL"] {
        run(&mut admin, whole);
    }
    let name = fixture.db.name();
    run(&mut admin, &format!("REINDEX DATABASE \"{name}\""));
}

#[test]
fn partitions_come_and_go() {
    let fixture = world(Cluster::shared());
    let mut app = fixture.db.connect(&fixture.app);
    inside(
        &mut app,
        "acme",
        "CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
         CREATE TABLE events_3 (LIKE events INCLUDING ALL);
         ALTER TABLE events ATTACH PARTITION events_3 FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
         INSERT INTO events SELECT i, '2026-01-01'::date + i FROM generate_series(0, 80) i;
         ALTER TABLE events DETACH PARTITION events_2; DROP TABLE events_2",
    );
    run(&mut app, "SET plio.tenant = 'acme'; ");
    run(&mut app, "ALTER TABLE events DETACH PARTITION events_3 CONCURRENTLY");
    assert_eq!(column(&mut app, "SELECT count(*) FROM events"), ["31"]);
    let mut admin = fixture.db.superuser();
    run(&mut admin, "ALTER TABLE tenant_bravo.events DETACH PARTITION tenant_bravo.events_1 CONCURRENTLY");
    run(&mut admin, "DROP TABLE tenant_bravo.events_1");
}
