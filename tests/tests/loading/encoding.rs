//! Databases in another encoding than UTF8: none of ours, and not disturbed.

use plio_tests::{Cluster, SUPERUSER, assert_refusal, expect_sqlstate};
use postgres::{Client, NoTls};

fn database(cluster: &Cluster, encoding: &str) -> Client {
    let name = cluster.unique(&encoding.to_lowercase());
    let connect = |database: &str| cluster.config(SUPERUSER, database).connect(NoTls).unwrap();
    let create = format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
    connect("postgres").batch_execute(&create).unwrap();
    connect(&name)
}

#[test]
fn the_extension_is_refused_and_the_library_leaves_names_alone() {
    let cluster = Cluster::start(&["shared_preload_libraries = 'plio_tenancy'"]);
    for encoding in ["LATIN1", "SQL_ASCII", "EUC_JP"] {
        let mut admin = database(&cluster, encoding);
        let refused = expect_sqlstate(admin.batch_execute("CREATE EXTENSION plio_tenancy"), "0A000");
        assert_refusal(&refused, "0A000", &[]);
        // In EUC_JP, too, these two letters are bytes that are no UTF-8.
        for statement in [
            "CREATE TABLE \"tДё\" (\"Д\" int)",
            "INSERT INTO \"tДё\" VALUES (1); COMMENT ON TABLE \"tДё\" IS 'Д'",
            "CREATE SCHEMA \"ДД\"; CREATE FUNCTION \"ДД\".\"ё\"() RETURNS text LANGUAGE sql AS $$SELECT 'Д'::text$$",
            "BEGIN; SET LOCAL search_path = \"ДД\"; SELECT \"ё\"(); COMMIT",
            "ALTER SCHEMA \"ДД\" RENAME TO \"ё\"; DROP SCHEMA \"ё\" CASCADE; DROP TABLE \"tДё\"",
        ] {
            // LATIN1 has no such letters.
            let statement = if encoding == "LATIN1" {
                statement.replace('Д', "é").replace('ё', "ü")
            } else {
                statement.to_owned()
            };
            admin
                .batch_execute(&statement)
                .unwrap_or_else(|error| panic!("{encoding}: {statement}: {error:?}"));
        }
        for statement in ["SET plio.tenant = 'é'", "SELECT 1", "RESET plio.tenant", "SELECT 1"] {
            if let Err(error) = admin.batch_execute(statement) {
                let is_internal = error.code().is_none_or(|code| code.code().starts_with("XX"));
                assert!(!is_internal, "{encoding}: {statement}: {error:?}");
            }
        }
    }
}
