//! What PostgreSQL has learnt lately, on what is another tenant's: each statement with the version that first knows it.

use plio_tests::{Cluster, SUPERUSER};

use crate::judge::Judge;
use crate::world::{inside, unguarded, world};

const STATEMENTS: &[(u32, &str)] = &[
    (15, "CREATE VIEW w WITH (security_invoker) AS SELECT * FROM tenant_bravo.users"),
    (16, "SELECT pg_input_is_valid('calm', 'tenant_bravo.mood')"),
    (16, "SELECT * FROM pg_input_error_info('calm', 'tenant_bravo.mood')"),
    (16, "EXPLAIN (GENERIC_PLAN) SELECT * FROM tenant_bravo.users WHERE id = $1"),
    (17, "EXPLAIN (ANALYZE, SERIALIZE, MEMORY) SELECT * FROM tenant_bravo.users"),
    (
        17,
        "MERGE INTO users u USING (SELECT 1 AS id) s ON u.id = s.id WHEN MATCHED THEN DO NOTHING RETURNING merge_action(), (SELECT min(name) FROM tenant_bravo.users)",
    ),
    (17, "SELECT JSON_QUERY('{\"a\": 1}', '$' RETURNING tenant_bravo.users)"),
    (17, "SELECT * FROM JSON_TABLE('[{\"a\": 1}]', '$[*]' COLUMNS (a tenant_bravo.short PATH '$.a'))"),
    (
        18,
        "UPDATE users SET name = 'x' RETURNING old.name, new.name, (SELECT min(name) FROM tenant_bravo.users)",
    ),
    (18, "CREATE TABLE t (a int, b text GENERATED ALWAYS AS (tenant_bravo.peek()) VIRTUAL)"),
    (18, "ALTER TABLE users ADD FOREIGN KEY (id) REFERENCES tenant_bravo.users (id) NOT ENFORCED"),
    (
        18,
        "CREATE TABLE t (a int, at int4range, FOREIGN KEY (a, PERIOD at) REFERENCES tenant_bravo.periods (a, PERIOD at))",
    ),
    (18, "COPY tenant_bravo.summary TO STDOUT"),
    (18, "ANALYZE ONLY tenant_bravo.users"),
    (18, "SELECT pg_clear_relation_stats('tenant_bravo', 'users')"),
    (18, "SELECT pg_clear_attribute_stats('tenant_bravo', 'users', 'name', false)"),
    (
        18,
        "SELECT pg_restore_relation_stats('schemaname', 'tenant_bravo', 'relname', 'users', 'reltuples', 1::real)",
    ),
    (
        18,
        "SELECT pg_restore_attribute_stats('schemaname', 'tenant_bravo', 'relname', 'users', 'attname', 'name', 'inherited', false, 'null_frac', 0.5::real)",
    ),
];

fn version() -> u32 {
    Cluster::major().parse().expect("PostgreSQL's major version")
}

#[test]
fn recent_statements_reach_no_other_tenant() {
    let world = world();
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        for (_, statement) in STATEMENTS.iter().filter(|(since, _)| *since <= version()) {
            acme.refused(statement, "42501");
        }
    }
    // Without a tenant, whether the role may enter both (and owns both, where there is one layer), or none.
    for role in [&world.app, &world.carol] {
        let mut client = world.db.connect(role);
        let mut outside = Judge::outside(&mut client);
        // Of these tables there is none outside.
        let is_whole = |statement: &str| {
            !["UPDATE users", "INTO users", "TABLE users"].iter().any(|own| statement.contains(own))
        };
        for (_, statement) in STATEMENTS.iter().filter(|(since, s)| *since <= version() && is_whole(s)) {
            let statement = statement
                .replace("CREATE VIEW w", "CREATE TEMP VIEW w")
                .replace("CREATE TABLE t", "CREATE TEMP TABLE t");
            outside.refused(&statement, "55000");
        }
    }
}

/// Foreign keys with a PERIOD, and such that were not enforced, tied with enforcement off: they tell nothing of the other
/// tenant's rows, nor cascade into them.
#[test]
fn temporal_foreign_keys_and_those_not_enforced_stop_at_the_boundary() {
    if version() < 18 {
        return;
    }
    let world = world();
    let mut admin = world.db.superuser();
    admin.batch_execute("CREATE EXTENSION btree_gist").unwrap();
    for org in ["acme", "bravo"] {
        inside(
            &mut admin,
            org,
            "CREATE TABLE periods (a int, at int4range, PRIMARY KEY (a, at WITHOUT OVERLAPS)); INSERT INTO periods VALUES (1, '[1,9)');
             CREATE TABLE bookings (a int, at int4range); CREATE TABLE notes (a bigint)",
        );
    }
    unguarded(
        &world.db,
        "ALTER TABLE tenant_acme.bookings ADD CONSTRAINT f FOREIGN KEY (a, PERIOD at) REFERENCES tenant_bravo.periods (a, PERIOD at);
         ALTER TABLE tenant_acme.notes ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES tenant_bravo.users (id) NOT ENFORCED;
         INSERT INTO tenant_acme.bookings VALUES (1, '[2,3)')",
    );
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        acme.allowed("INSERT INTO periods VALUES (2, '[1,2)')");
        for values in ["(1, '[2,3)')", "(7, '[2,3)')"] {
            acme.refused(&format!("INSERT INTO bookings VALUES {values}"), "42501");
        }
        acme.allowed("INSERT INTO notes VALUES (1)");
        acme.refused("ALTER TABLE notes ALTER CONSTRAINT f ENFORCED", "42501");
        drop(acme);
        let mut bravo = Judge::inside(&mut client, "bravo").silent_about(&["canary"]);
        bravo.refused("DELETE FROM periods", "42501");
        bravo.refused("UPDATE periods SET a = 2", "42501");
    }
}
