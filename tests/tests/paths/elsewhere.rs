//! Outside the tenants: what no hook sees there, and what leads out of the database.

use plio_tests::{Layers, SUPERUSER};
use std::fs;

use crate::judge::Judge;
use crate::world::{inside, unguarded, value, world};

/// Without a tenant sequences by oid are refused; so are statistics, to roles that may read a tenant's table by PostgreSQL's
/// privileges.
#[test]
fn without_a_tenant_privileges_keep_what_no_hook_sees() {
    let world = world();
    let mut admin = world.db.superuser();
    inside(
        &mut admin,
        "bravo",
        "ANALYZE users; CREATE STATISTICS s ON (name || 'x') FROM users; ANALYZE users; SELECT nextval('users_id_seq')",
    );
    let sequence = value(&mut admin, "SELECT 'tenant_bravo.users_id_seq'::regclass::oid");
    let is_two = crate::LAYERS == Layers::Two;
    for role in [&world.carol, &world.app] {
        let mut client = world.db.connect(role);
        let mut judge = Judge::outside(&mut client);
        for call in ["nextval({})", "currval({})", "setval({}, 1)"] {
            judge.refused(
                &format!("SELECT {}", call.replace("{}", &format!("{sequence}::regclass"))),
                "55000",
            );
        }
        for view in ["pg_stats", "pg_stats_ext", "pg_stats_ext_exprs"] {
            let query = format!("SELECT count(*) FROM {view} WHERE schemaname = 'tenant_bravo'");
            // Where tenants have no role, the application's owns them all.
            if is_two || role == &world.carol {
                judge.gives(&query, &["0"])
            } else {
                judge.refused(&query, "55000")
            }
        }
    }
    // The control: they are there, for who may read the table; so no such grants.
    inside(&mut admin, "bravo", "SELECT 1");
    if is_two {
        Judge::inside(&mut admin, "bravo").gives("SELECT count(*) FROM pg_stats_ext_exprs", &["1"]);
    }
    unguarded(
        &world.db,
        &format!("GRANT ALL ON tenant_bravo.users, tenant_bravo.users_id_seq TO {}", world.carol),
    );
    let mut carol = world.db.connect(&world.carol);
    let mut judge = Judge::outside(&mut carol);
    judge.refused(&format!("SELECT nextval({sequence}::regclass)"), "55000");
    judge.refused("SELECT * FROM tenant_bravo.users", "55000");
    judge.refused("SELECT count(*) > 0 FROM pg_stats WHERE schemaname = 'tenant_bravo'", "55000");
}

/// A table in a tenant's schema that belongs to another role: the access check alone keeps it, and keeps it.
#[test]
fn a_table_of_another_owner_in_a_tenants_schema_has_one_layer() {
    let world = world();
    unguarded(
        &world.db,
        &format!(
            "CREATE TABLE tenant_bravo.stray AS SELECT 'canary-bravo' AS name; CREATE SEQUENCE tenant_bravo.stray_seq;
             GRANT ALL ON tenant_bravo.stray TO PUBLIC; GRANT USAGE ON SEQUENCE tenant_bravo.stray_seq TO PUBLIC; ANALYZE tenant_bravo.stray;
             ALTER TABLE tenant_bravo.stray OWNER TO {}",
            world.app
        ),
    );
    let sequence = value(&mut world.db.superuser(), "SELECT 'tenant_bravo.stray_seq'::regclass::oid");
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        Judge::inside(&mut client, "bravo").gives("SELECT name FROM stray", &["canary-bravo"]);
        let mut acme = Judge::inside(&mut client, "acme");
        for statement in [
            "SELECT * FROM tenant_bravo.stray",
            "UPDATE tenant_bravo.stray SET name = 'x'",
            "LOCK TABLE tenant_bravo.stray",
        ] {
            acme.refused(statement, "42501");
        }
        acme.refused(&format!("SELECT nextval({sequence}::regclass) > 0"), "42501");
        // Open: what a grant to PUBLIC gives and no hook sees; denied where a tenant has no role.
        let unseen =
            "SELECT count(*) > 0 FROM pg_stats WHERE schemaname = 'tenant_bravo' AND tablename = 'stray'";
        match crate::LAYERS {
            Layers::Two => acme.gives(unseen, &["t"]),
            Layers::One => acme.refused(unseen, "42501"),
        }
    }
}

/// file_fdw is a foreign server like any other: refused inside until listed, and then open.
#[test]
fn foreign_data_wrappers_are_refused_until_listed() {
    let world = world();
    let file = world.db.cluster().socket_dir().join("words.csv");
    fs::write(&file, "canary-file\n").unwrap();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(&format!(
            "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
             CREATE FOREIGN TABLE public.words (word text) SERVER files OPTIONS (filename '{}');
             SELECT plio.share('public.words', 'read')",
            file.display()
        ))
        .unwrap();
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        Judge::inside(&mut client, "acme").refused("SELECT * FROM public.words", "42501");
    }
    admin
        .batch_execute(&format!(
            "ALTER DATABASE \"{}\" SET plio.allowed_connections = 'files'",
            world.db.name()
        ))
        .unwrap();
    // Open for what is listed.
    let mut client = world.db.connect(&world.app);
    Judge::inside(&mut client, "acme").gives("SELECT word FROM public.words", &["canary-file"]);
}

/// Open: a publication made without a tenant names what it likes; inside one nothing of replication's is reached.
#[test]
fn replication_is_out_of_a_tenants_reach() {
    let world = world();
    let mut admin = world.db.superuser();
    admin
        .batch_execute("CREATE PUBLICATION everything FOR TABLE tenant_acme.users, tenant_bravo.users")
        .unwrap();
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        for statement in [
            "SELECT pg_create_logical_replication_slot('s', 'test_decoding')",
            "SELECT pg_create_physical_replication_slot('s')",
            "SELECT * FROM pg_logical_slot_get_changes('s', NULL, NULL)",
            "SELECT * FROM pg_logical_slot_peek_binary_changes('s', NULL, NULL)",
            "SELECT pg_drop_replication_slot('s')",
            "SELECT pg_replication_origin_create('o')",
        ] {
            acme.denied(statement, "42501");
        }
        for statement in [
            "CREATE PUBLICATION p FOR TABLE users",
            "ALTER PUBLICATION everything DROP TABLE users",
            "DROP PUBLICATION everything",
        ] {
            acme.refused(statement, "42501");
        }
        // A message into the write-ahead log is the sender's own.
        let message = "SELECT pg_logical_emit_message(true, 'plio', 'own')";
        match crate::LAYERS {
            Layers::Two => acme.allowed(message),
            Layers::One => acme.refused(message, "42501"),
        }
    }
}
