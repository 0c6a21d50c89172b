//! Where a tenant begins and ends, however the statements are sent; and what would leave the session altogether.

use plio_tests::{assert_refusal, expect_sqlstate};

use crate::judge::{BRAVOS, Judge};
use crate::world::{unguarded, value, world};

/// COMMIT AND CHAIN, ROLLBACK AND CHAIN and a batch's implicit transaction end the tenant with their transaction.
#[test]
fn the_tenant_ends_with_its_transaction() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    for end in ["COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "COMMIT; BEGIN", "ROLLBACK; BEGIN"] {
        app.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('acme'); SELECT name FROM users; {end}"))
            .unwrap();
        assert_eq!(value(&mut app, "SELECT plio.current_tenant()"), "NULL", "{end}");
        assert_eq!(value(&mut app, "SELECT current_user = session_user"), "t", "{end}");
        let error = expect_sqlstate(app.batch_execute("SELECT * FROM tenant_acme.users"), "55000");
        assert_refusal(&error, "55000", &["canary"]);
        app.batch_execute("ROLLBACK").unwrap();
    }
    // Several statements in one message are one transaction; an attack among them takes all of it back.
    app.batch_execute("SELECT plio.set_tenant('acme'); INSERT INTO users (name) VALUES ('batch')").unwrap();
    let attack = "SELECT plio.set_tenant('acme'); INSERT INTO users (name) VALUES ('lost'); SELECT * FROM tenant_bravo.users";
    assert_refusal(&expect_sqlstate(app.batch_execute(attack), "42501"), "42501", BRAVOS);
    assert_eq!(value(&mut app, "SELECT plio.current_tenant()"), "NULL");
    Judge::inside(&mut app, "acme").gives("SELECT name FROM users WHERE id > 3", &["batch"]);
    expect_sqlstate(
        app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); PREPARE TRANSACTION 'x'"),
        "42501",
    );
}

const NAMED_IN_FULL: &[&str] = &[
    "SELECT * FROM {d}.{s}.users",
    "SELECT {d}.{s}.peek()",
    "SELECT '{d}.{s}.users'::regclass",
    "TRUNCATE {d}.{s}.users",
    "CREATE TABLE {d}.{s}.made (a int)",
    "CREATE FUNCTION {d}.{s}.made() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TYPE {d}.{s}.made AS ENUM ('a')",
    "DROP TABLE {d}.{s}.users CASCADE",
];

/// A name with the database in front is the same name.
#[test]
fn a_name_with_the_database_in_front_is_judged() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    let database = world.db.name();
    let mut acme = Judge::inside(&mut app, "acme");
    for statement in NAMED_IN_FULL {
        let statement = statement.replace("{d}", database);
        acme.allowed(&statement.replace("{s}", "tenant_acme"));
        acme.refused(&statement.replace("{s}", "tenant_bravo"), "42501");
    }
    drop(acme);
    // Nor without a tenant, for one who may enter both, and owns both where there is one layer, and for one who may enter none.
    for role in [&world.app, &world.carol] {
        let mut client = world.db.connect(role);
        let mut outside = Judge::outside(&mut client);
        for statement in NAMED_IN_FULL {
            outside.refused(&statement.replace("{d}", database).replace("{s}", "tenant_bravo"), "55000");
        }
    }
}

/// Another connection would be another session, without the tenant: dblink and foreign tables are refused inside one,
/// also in a superuser's definer function; outside they work.
#[test]
fn no_other_connection_from_inside_a_tenant() {
    let world = world();
    let cluster = world.db.cluster();
    let to =
        format!("host={} port={} dbname={}", cluster.socket_dir().display(), cluster.port(), world.db.name());
    unguarded(
        &world.db,
        &format!(
            "CREATE EXTENSION dblink; CREATE EXTENSION postgres_fdw;
             CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{}', port '{}', dbname '{}');
             CREATE USER MAPPING FOR PUBLIC SERVER loop OPTIONS (user 'postgres', password_required 'false');
             CREATE FOREIGN TABLE tenant_acme.far (id bigint, name text) SERVER loop
               OPTIONS (schema_name 'tenant_bravo', table_name 'users');
             CREATE FOREIGN TABLE public.far (id bigint, name text) SERVER loop
               OPTIONS (schema_name 'tenant_bravo', table_name 'users');
             GRANT SELECT ON tenant_acme.far, public.far TO PUBLIC;
             SELECT plio.share('public.far', 'write');
             CREATE FUNCTION public.dial() RETURNS text LANGUAGE sql SECURITY DEFINER
               AS $$ SELECT min(name) FROM public.dblink('{to} user=postgres', 'SELECT name FROM tenant_bravo.users') AS t (name text) $$;
             CREATE FUNCTION public.dial_do() RETURNS text LANGUAGE sql SECURITY DEFINER
               AS $$ SELECT public.dblink_exec('{to} user=postgres', 'SET work_mem = ''1MB''') $$",
            cluster.socket_dir().display(),
            cluster.port(),
            world.db.name(),
        ),
    );
    let mut app = world.db.connect(&world.app);
    Judge::outside(&mut app).gives("SELECT public.dial()", &["canary-bravo"]);
    drop(app);
    for role in [world.app.as_str(), plio_tests::SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        for statement in [
            "SELECT public.dial()",
            "SELECT public.dial_do()",
            "SELECT * FROM far",
            "SELECT * FROM public.far",
            "SELECT count(*) FROM tenant_acme.far",
        ] {
            acme.refused(statement, "42501");
        }
    }
}
