//! Extensions without hooks in shared schemas, and postgres_fdw, all libraries loaded together.

use crate::{assert_bound, inside, orders, try_value, value, world};
use plio_tests::{Cluster, expect_sqlstate};

const TRUSTED: [&str; 3] = ["pg_trgm", "citext", "hstore"];

#[test]
fn types_operators_and_indexes_of_extensions_work_inside_tenants() {
    for order in orders("pg_stat_statements, auto_explain") {
        let fixture = world(&[&order, "auto_explain.log_min_duration = 0"], &TRUSTED);
        assert_bound(&fixture);
        let mut app = fixture.db.connect(&fixture.app);
        value(
            &mut app,
            &inside(
                "acme",
                "CREATE TABLE people (mail citext UNIQUE, more hstore);
                 CREATE INDEX ON people USING gin (mail gin_trgm_ops);
                 INSERT INTO people VALUES ('A@b.c', 'k => v')",
            ),
        );
        assert_eq!(
            value(&mut app, &inside("acme", "SELECT more -> 'k' FROM people WHERE mail = 'a@B.C'")),
            "v"
        );
        assert_eq!(value(&mut app, &inside("acme", "SELECT 'word' % 'words'")), "t");
        expect_sqlstate(try_value(&mut app, "INSERT INTO tenant_acme.people VALUES ('x')"), "55000");
    }
}

/// Loaded by `session_preload_libraries`, as CREATE EXTENSION arranges, after and before another library.
#[test]
fn session_preloading_in_either_order() {
    for order in ["auto_explain, plio_tenancy", "plio_tenancy, auto_explain"] {
        let fixture = Cluster::shared().database("beside").two_tenants();
        let mut admin = fixture.db.superuser();
        let list = order.split(", ").map(|one| format!("'{one}'")).collect::<Vec<_>>().join(", ");
        let name = fixture.db.name();
        admin
            .batch_execute(&format!("ALTER DATABASE {name} SET session_preload_libraries = {list}"))
            .unwrap();
        assert_bound(&fixture);
    }
}

#[test]
fn a_foreign_table_is_refused_unless_listed() {
    let fixture = world(&["shared_preload_libraries = 'postgres_fdw, plio_tenancy'"], &["postgres_fdw"]);
    let cluster = fixture.db.cluster();
    let elsewhere = cluster.database("elsewhere");
    elsewhere.superuser().batch_execute("CREATE TABLE rates (a int); INSERT INTO rates VALUES (7)").unwrap();
    fixture
        .db
        .superuser()
        .batch_execute(&format!(
            "CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw
                 OPTIONS (host '{}', port '{}', dbname '{}');
             CREATE USER MAPPING FOR PUBLIC SERVER away OPTIONS (user 'postgres', password_required 'false');
             CREATE FOREIGN TABLE public.rates (a int) SERVER away;
             SELECT plio.share('public.rates', 'read')",
            cluster.socket_dir().display(),
            cluster.port(),
            elsewhere.name()
        ))
        .unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    expect_sqlstate(try_value(&mut app, &inside("acme", "SELECT a FROM rates")), "42501");
    let name = fixture.db.name();
    fixture
        .db
        .superuser()
        .batch_execute(&format!("ALTER DATABASE {name} SET plio.allowed_connections = 'away'"))
        .unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    assert_eq!(value(&mut app, &inside("acme", "SELECT a FROM rates")), "7");
    assert_bound(&fixture);
}
