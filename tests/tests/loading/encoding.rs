//! Databases in another encoding than UTF8: none of ours, and not disturbed.

use plio_tests::{Cluster, SUPERUSER, assert_refusal, expect_sqlstate};
use postgres::{Client, NoTls};
use std::sync::LazyLock;

/// Of their own: names that are no UTF-8 would be every other test's, too.
static CLUSTER: LazyLock<Cluster> =
    LazyLock::new(|| Cluster::start(&["shared_preload_libraries = 'plio_tenancy'"]));

fn database(cluster: &Cluster, encoding: &str) -> Client {
    let name = cluster.unique(&encoding.to_lowercase());
    let connect = |database: &str| cluster.config(SUPERUSER, database).connect(NoTls).unwrap();
    let create = format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
    connect("postgres").batch_execute(&create).unwrap();
    connect(&name)
}

#[test]
fn the_extension_is_refused_and_the_library_leaves_names_alone() {
    let cluster = &*CLUSTER;
    for encoding in ["LATIN1", "SQL_ASCII", "EUC_JP"] {
        let mut admin = database(cluster, encoding);
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

/// A role made in a LATIN1 database has a name that is no UTF-8, and is in every database of the cluster.
#[test]
fn a_name_of_another_encoding_is_an_error_that_says_so() {
    let cluster = &*CLUSTER;
    database(cluster, "LATIN1").batch_execute("CREATE ROLE \"ré\" SUPERUSER").unwrap();
    let db = cluster.database("names");
    let mut admin = db.extension().superuser();
    admin.batch_execute("SELECT plio.create_tenant('acme')").unwrap();
    let role = "(SELECT rolname::text FROM pg_roles WHERE rolname::bytea = '\\x72e9')";
    for call in [
        "plio.grant_access({}, 'acme')",
        "plio.grant_access_to_every_tenant({})",
        "plio.revoke_access({}, 'acme')",
        "plio.create_tenant({})",
        "plio.create_tenant('nova', {})",
        "plio.drop_tenant('acme', {})",
        "plio.adopt_tenant('nova', {})",
        "plio.schema_ties({})",
        "plio.share({}, 'read')",
        "plio.share('public', {})",
        "plio.audit({})",
        "plio.report_json({})",
        "plio.report_json('SELECT 1', ARRAY[{}])",
        "plio.create_report_view({}, 'users')",
        "plio.set_tenant((SELECT {}))",
    ] {
        let statement = format!("BEGIN; SELECT {}", call.replace("{}", role));
        let refused = expect_sqlstate(admin.batch_execute(&statement), "22023");
        assert_refusal(&refused, "22023", &[]);
        admin.batch_execute("ROLLBACK").unwrap();
    }
    let as_it = format!("DO $$BEGIN EXECUTE format(%s, {role}); END$$");
    let run = |statement: &str| as_it.replace("%s", &format!("'{statement}'"));
    admin.batch_execute(&run("CREATE SCHEMA own AUTHORIZATION %I")).unwrap();
    admin.batch_execute("SELECT plio.adopt_tenant('own', 'own')").unwrap();
    expect_sqlstate(admin.batch_execute("SELECT plio.assign_role('own')"), "55000");
    // It can work, and what tells about it goes on.
    admin.batch_execute(&run("SET ROLE %I")).unwrap();
    admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); CREATE TABLE users (); COMMIT").unwrap();
    expect_sqlstate(admin.batch_execute("SELECT * FROM plio.selftest()"), "22023");
    admin
        .batch_execute("SELECT plio.suspend_tenant('acme'); SELECT count(*) FROM plio.audit(), plio.health(), plio.history, plio.activity, plio.metrics")
        .unwrap();
    expect_sqlstate(admin.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "55000");
    admin.batch_execute("ROLLBACK; SELECT count(*) FROM plio.denials; RESET ROLE").unwrap();
}
