//! acme and bravo with everything that can hold a value: rows, toasted ones too, sequences, statistics, extended ones
//! too, large objects, views; and every extension that comes with PostgreSQL. Bravo's values are canaries.

use std::sync::OnceLock;

use plio_tests::{Cluster, Layers, TwoTenants};
use postgres::{Client, SimpleQueryMessage};

/// What only bravo has: values of its rows and statistics, and the values of its sequences.
pub const CANARIES: [&str; 2] = ["canary-bravo", "777000"];

/// What a tenant has, made by the tenant itself; `{n}` is its sequences' value.
const OBJECTS: &str = "
    CREATE TABLE secrets (id int PRIMARY KEY, word text, other text, doc tsvector, long text);
    INSERT INTO secrets SELECT i, 'canary-{org}', 'canary-{org}-other', 'canary', repeat('canary-{org}', 3000)
      FROM generate_series(1, 50) i;
    CREATE INDEX secrets_word ON secrets (upper(word));
    CREATE STATISTICS secrets_words (mcv, ndistinct, dependencies) ON word, other FROM secrets;
    CREATE STATISTICS secrets_expression ON (word || other), (lower(word)) FROM secrets;
    CREATE TABLE parts (id int, word text) PARTITION BY LIST (id);
    CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1);
    INSERT INTO parts VALUES (1, 'canary-{org}');
    CREATE VIEW listing AS SELECT word FROM secrets;
    CREATE MATERIALIZED VIEW summary AS SELECT word, count(*) FROM secrets GROUP BY word;
    CREATE TYPE mood AS ENUM ('calm', 'cross');
    CREATE FUNCTION peek() RETURNS text LANGUAGE sql AS 'SELECT min(word) FROM secrets';
    CREATE SEQUENCE counter;
    SELECT setval('counter', {n}), setval('users_id_seq', {n});
    ANALYZE";

/// Inside a tenant without a role of its own there are none: the login role makes them without it.
const LARGE_OBJECT: &str = "SELECT lo_from_bytea(0, 'canary-{org}')";

/// What the tests of this binary share.
pub struct World {
    pub fixture: TwoTenants,
    /// Extensions that could be created.
    pub extensions: Vec<String>,
}

/// What the tenants of this binary have.
pub const LAYERS: Layers = match module_path!().as_bytes() {
    [b's', b'w', b'e', b'e', b'p', b'_', ..] => Layers::One,
    _ => Layers::Two,
};

/// Made once; no test changes it.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let fixture = Cluster::shared().database("sweep").tenants(LAYERS);
        let mut admin = fixture.db.superuser();
        let extensions = create_extensions(&mut admin);
        for (org, number) in [("acme", "555000111"), ("bravo", "777000111")] {
            let objects = OBJECTS.replace("{org}", org).replace("{n}", number);
            let objects = objects.replace("ANALYZE", "ANALYZE users, secrets, parts, summary");
            let (login, object) = (&fixture.app, LARGE_OBJECT.replace("{org}", org));
            let made = match LAYERS {
                Layers::Two => format!("BEGIN; SELECT plio.set_tenant('{org}'); {objects}; {object}; COMMIT"),
                Layers::One => format!(
                    "SET ROLE {login}; {object}; BEGIN; SELECT plio.set_tenant('{org}'); {objects}; COMMIT; RESET ROLE"
                ),
            };
            admin.batch_execute(&made).unwrap_or_else(|error| panic!("{org}: {error:?}"));
        }
        World { fixture, extensions }
    })
}

/// Every extension of this installation, but for those whose language or library is not there.
fn create_extensions(admin: &mut Client) -> Vec<String> {
    let names =
        column(admin, "SELECT name FROM pg_available_extensions WHERE installed_version IS NULL ORDER BY 1");
    let schema = "CREATE SCHEMA extensions; SET search_path = extensions, public";
    admin.batch_execute(schema).expect("a schema for the extensions");
    let created = names
        .into_iter()
        .filter(|name| admin.batch_execute(&format!("CREATE EXTENSION \"{name}\" CASCADE")).is_ok());
    let created = created.collect();
    admin.batch_execute("RESET search_path").expect("RESET");
    created
}

/// The first column of a query's rows, as text.
#[track_caller]
pub fn column(client: &mut Client, query: &str) -> Vec<String> {
    let messages = client.simple_query(query).unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let text = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    };
    messages.into_iter().filter_map(text).collect()
}

/// All that bravo has, as one text, read by the superuser: equal texts, nothing changed.
pub fn state_of_bravo(admin: &mut Client) -> String {
    let mut state = Vec::new();
    for relation in ["users", "secrets", "parts", "summary", "users_id_seq", "counter"] {
        state.extend(column(
            admin,
            &format!("SELECT t::text FROM (SELECT * FROM tenant_bravo.{relation}) t ORDER BY 1"),
        ));
    }
    let owner = "(SELECT nspowner FROM pg_namespace WHERE nspname = 'tenant_bravo')";
    for query in [
        format!("SELECT oid || convert_from(lo_get(oid), 'utf8') FROM pg_largeobject_metadata WHERE lomowner = {owner} ORDER BY 1"),
        "SELECT c.oid || c.relname || c.relpages || c.reltuples || c.relfilenode || coalesce(c.relacl::text, '') FROM pg_class c
          WHERE relnamespace = 'tenant_bravo'::regnamespace ORDER BY 1".to_owned(),
        "SELECT s::text FROM pg_statistic s JOIN pg_class c ON c.oid = starelid
          WHERE relnamespace = 'tenant_bravo'::regnamespace ORDER BY 1".to_owned(),
        "SELECT oid || proname || prosrc FROM pg_proc WHERE pronamespace = 'tenant_bravo'::regnamespace ORDER BY 1".to_owned(),
    ] {
        state.extend(column(admin, &query));
    }
    assert!(state.len() > 80, "{state:?}");
    state.join("\n")
}

/// The canaries in a text.
pub fn has_canary(text: &str) -> bool {
    // A bytea shows as hexadecimal digits.
    let hexadecimal = |word: &str| word.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    CANARIES.iter().any(|canary| text.contains(canary)) || text.contains(&hexadecimal(CANARIES[0]))
}
