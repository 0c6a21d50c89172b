//! A configuration file that is read while a tenant is active: never an error, and in force when the tenant ends.

use super::{LAYERS, assert_inside, text};
use plio_tests::{Cluster, expect_sqlstate, refused};
use postgres::Client;
use std::time::{Duration, Instant};

/// Reads the files anew, and waits until the session has: it does between two statements.
fn reload(admin: &mut Client, clients: &mut [&mut Client], marker: &str) {
    admin.batch_execute(&format!("ALTER SYSTEM SET cursor_tuple_fraction = {marker}")).unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    for client in clients {
        while text(client, "SHOW cursor_tuple_fraction").as_deref() != Some(marker) {
            assert!(Instant::now() < end, "the file was not read");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

const OTHERS: &str = "SELECT name FROM tenant_bravo.users";

// A DBA turns enforcement from on to off, to report and back, and changes the path, while sessions are in tenants.
#[test]
fn it_takes_effect_when_the_tenant_ends() {
    let cluster = Cluster::start(&[]);
    let fixture = cluster.database("reload").tenants(LAYERS);
    let mut admin = fixture.db.superuser();
    let mut app = fixture.db.connect(&fixture.app);
    let mut session = fixture.db.connect(&fixture.app);
    let enter = "BEGIN; SELECT plio.set_tenant('acme')";
    app.batch_execute(enter).unwrap();
    session.batch_execute("SET plio.tenant = 'acme'; BEGIN; SELECT * FROM users").unwrap();
    for change in
        ["plio.enforcement = 'off'", "search_path = 'public'", "plio.denials_log_rate = 99", "role = 'none'"]
    {
        drop(admin.batch_execute(&format!("ALTER SYSTEM SET {change}")));
    }
    reload(&mut admin, &mut [&mut app, &mut session], "0.2");
    for client in [&mut app, &mut session] {
        assert_inside(client, "acme");
        // The rest of the file came with it.
        assert_eq!(text(client, "SHOW plio.denials_log_rate").as_deref(), Some("99"));
        client.batch_execute("SAVEPOINT s").unwrap();
        expect_sqlstate(client.batch_execute(OTHERS), "42501");
        client.batch_execute("ROLLBACK TO s").unwrap();
        // The same file once more, unchanged.
    }
    reload(&mut admin, &mut [&mut app, &mut session], "0.3");
    app.batch_execute("COMMIT").unwrap();
    session.batch_execute("COMMIT; RESET plio.tenant").unwrap();
    assert_eq!(text(&mut app, "SHOW search_path").as_deref(), Some("public"));
    // Off now, also within the next tenant, where the tenants' own privileges are what is left.
    let leak = "SELECT name FROM tenant_acme.users";
    for client in [&mut app, &mut session] {
        assert_eq!(text(client, "SHOW plio.enforcement").as_deref(), Some("off"));
        if LAYERS == plio_tests::Layers::One {
            client.batch_execute(leak).unwrap();
        }
    }
    // And on again.
    app.batch_execute(enter).unwrap();
    admin.batch_execute("ALTER SYSTEM RESET ALL").unwrap();
    reload(&mut admin, &mut [&mut app, &mut session], "0.4");
    app.batch_execute("COMMIT; BEGIN").unwrap();
    refused(app.batch_execute(leak), "55000");
    app.batch_execute("ROLLBACK").unwrap();
    refused(session.batch_execute(leak), "55000");
}
