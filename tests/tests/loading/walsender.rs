//! Connections with `replication=database`: they take SQL, which is judged as any, and go on replicating.

use super::{findings, first};
use plio_tests::{Cluster, Db, SUPERUSER, TwoTenants};
use std::process::Output;

/// What psql answers on a connection for replication.
fn replication(db: &Db, role: &str, statements: &[&str]) -> Output {
    let mut psql = db.cluster().program("psql");
    psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=VERBOSITY=verbose"]);
    psql.arg("--dbname").arg(format!("dbname={} user={role} replication=database", db.name()));
    for statement in statements {
        psql.args(["--command", statement]);
    }
    psql.output().unwrap()
}

#[track_caller]
fn answer(db: &Db, role: &str, statements: &[&str]) -> Result<String, String> {
    let output = replication(db, role, statements);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match err.split("ERROR:  ").nth(1) {
        None => Ok(out.trim().to_owned()),
        Some(error) => Err(error[..5].to_owned()),
    }
}

/// acme and bravo adopted: `app` owns both, and may replicate.
fn adopted(cluster: &Cluster) -> TwoTenants {
    let fixture = cluster.database("walsender").tenants(plio_tests::Layers::One);
    let mut admin = fixture.db.superuser();
    admin.batch_execute(&format!("ALTER ROLE {} REPLICATION", fixture.app)).unwrap();
    admin.execute("SELECT plio.revoke_access($1, 'bravo')", &[&fixture.app]).unwrap();
    fixture
}

#[test]
fn sql_on_a_connection_for_replication_is_judged() {
    let cluster = Cluster::start(&["wal_level = logical", "shared_preload_libraries = 'plio_tenancy'"]);
    let fixture = adopted(&cluster);
    let (db, app) = (&fixture.db, fixture.app.as_str());
    for statement in [
        "SELECT name FROM tenant_bravo.users",
        "UPDATE tenant_bravo.users SET name = 'x'",
        "COPY tenant_bravo.users TO STDOUT",
        "LOCK TABLE tenant_bravo.users",
        "TRUNCATE tenant_bravo.users",
        "DROP TABLE tenant_bravo.users",
        "ALTER TABLE tenant_bravo.users ADD COLUMN x int",
    ] {
        assert_eq!(answer(db, app, &[statement]), Err("55000".to_owned()), "{statement}");
        let inside = ["SET plio.tenant = 'acme'", statement];
        assert_eq!(answer(db, app, &inside), Err("42501".to_owned()), "{statement}");
    }
    assert_eq!(answer(db, app, &["SET plio.tenant = 'bravo'"]), Err("42501".to_owned()));
    let own = ["SET plio.tenant = 'acme'", "SELECT name FROM users WHERE id = 1"];
    assert_eq!(answer(db, app, &own).as_deref(), Ok("canary-acme"));
    assert_eq!(
        answer(db, SUPERUSER, &["SELECT name FROM tenant_bravo.users WHERE id = 1"]).as_deref(),
        Ok("canary-bravo")
    );
    // Replication itself: commands, a slot, changes decoded from it, a base backup.
    assert!(answer(db, app, &["IDENTIFY_SYSTEM"]).is_ok());
    let create = format!("CREATE_REPLICATION_SLOT {app} LOGICAL test_decoding");
    if answer(db, SUPERUSER, &[&create]).is_ok() {
        db.superuser()
            .batch_execute(
                "SET synchronous_commit = on; UPDATE tenant_acme.users SET name = 'changed' WHERE id = 2",
            )
            .unwrap();
        let decoded =
            format!("SELECT string_agg(data, ' ') FROM pg_logical_slot_get_changes('{app}', NULL, NULL)");
        assert!(first(&mut db.superuser(), &decoded).contains("changed"));
        answer(db, app, &[&format!("DROP_REPLICATION_SLOT {app}")]).unwrap();
    }
    drop(cluster.standby());
    assert_eq!(findings(&mut db.superuser()), ["one_layer", "one_layer", "loading"]);
}

// Where the library comes by session_preload_libraries, PostgreSQL loads it into no such connection: health() says so.
#[test]
fn health_names_roles_whose_replication_connections_are_not_judged() {
    let cluster = Cluster::start(&["wal_level = logical"]);
    let fixture = adopted(&cluster);
    let mut admin = fixture.db.superuser();
    let unjudged = answer(&fixture.db, &fixture.app, &["SELECT name FROM tenant_bravo.users WHERE id = 1"]);
    assert_eq!(unjudged.as_deref(), Ok("canary-bravo"));
    assert!(findings(&mut admin).contains(&"replication_unjudged".to_owned()));
    let fix = first(
        &mut admin,
        "SELECT split_part(fix, ', or ', 2) FROM plio.health() WHERE finding = 'replication_unjudged'",
    );
    admin.batch_execute(&fix).unwrap();
    assert_eq!(findings(&mut admin), ["one_layer", "one_layer", "loading"]);
}
