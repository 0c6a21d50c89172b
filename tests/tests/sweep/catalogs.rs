//! Every relation of pg_catalog and information_schema, and of the extensions' schemas, read inside acme.

use plio_tests::SUPERUSER;
use postgres::Client;

use crate::world::{World, column, has_canary, world};

/// Relations that the system and its extensions bring.
fn relations(admin: &mut Client) -> Vec<String> {
    column(
        admin,
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind IN ('r', 'v', 'm', 'S', 't')
            AND n.nspname IN ('pg_catalog', 'information_schema', 'extensions', 'plio', 'pg_toast') ORDER BY 1",
    )
}

/// A session inside bravo that is in the middle of a query, with a cursor, a prepared statement, a lock.
fn busy(world: &World) -> Client {
    let mut client = world.fixture.db.connect(&world.fixture.app);
    client
        .batch_execute(
            "BEGIN; SELECT plio.set_tenant('bravo'); PREPARE p AS SELECT 'canary-bravo';
             DECLARE c CURSOR FOR SELECT 'canary-bravo' FROM secrets; LOCK TABLE secrets IN SHARE MODE; FETCH c;
             CREATE TEMPORARY TABLE copied AS SELECT * FROM secrets; SELECT 'canary-bravo'",
        )
        .unwrap();
    client
}

/// The relations in which a canary is seen.
fn leaking(client: &mut Client, begin: &str, relations: &[String]) -> Vec<String> {
    let shows = |relation: &&String| {
        client.batch_execute(&format!("BEGIN; {begin}")).unwrap();
        let answer = client.simple_query(&format!("SELECT r::text FROM (SELECT * FROM {relation}) r"));
        client.batch_execute("ROLLBACK").unwrap();
        match answer {
            Ok(rows) => rows.iter().any(|row| match row {
                postgres::SimpleQueryMessage::Row(row) => row.get(0).is_some_and(has_canary),
                _ => false,
            }),
            Err(error) => has_canary(&format!("{error:?}")),
        }
    };
    relations.iter().filter(shows).cloned().collect()
}

/// Without a tenant the superuser sees canaries in the statistics, the large objects, the sequences, the query texts.
#[test]
fn no_relation_of_the_system_shows_another_tenants_values() {
    let world = world();
    let _busy = busy(world);
    let mut admin = world.fixture.db.superuser();
    let relations = relations(&mut admin);
    assert!(relations.len() > 200, "{relations:?}");
    let control = leaking(&mut admin, "SELECT 1", &relations);
    for name in [
        "pg_stats",
        "pg_statistic",
        "pg_stats_ext",
        "pg_stats_ext_exprs",
        "pg_statistic_ext_data",
        "pg_sequences",
        "pg_stat_activity",
    ] {
        assert!(control.contains(&format!("pg_catalog.{name}")), "{name} is not seen to leak: {control:?}");
    }
    println!("control: {control:?}");
    for role in [world.fixture.app.as_str(), SUPERUSER] {
        let mut client = world.fixture.db.connect(role);
        let found = leaking(&mut client, "SELECT plio.set_tenant('acme')", &relations);
        assert!(found.is_empty(), "{role}: bravo's values are seen in {found:?}");
    }
    // Without a tenant: the application, one that may enter nothing, one that may create in the database, one that reports.
    let (creator, reporter) =
        (world.fixture.db.login_role("creator"), world.fixture.db.login_role("reporter"));
    admin
        .batch_execute(&format!(
            "GRANT CREATE ON DATABASE {} TO {creator}; GRANT plio_reporter TO {reporter}",
            world.fixture.db.name()
        ))
        .unwrap();
    for role in [&world.fixture.app, &world.fixture.carol, &creator, &reporter] {
        let mut client = world.fixture.db.connect(role);
        let found = leaking(&mut client, "SELECT 1", &relations);
        // A login role sees what its own sessions run, whichever tenant they are in: docs/guarantees.md.
        let own: &[&str] = if role == &world.fixture.app { &["pg_catalog.pg_stat_activity"] } else { &[] };
        assert_eq!(found, own, "{role} without a tenant");
    }
}
