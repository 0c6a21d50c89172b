//! Transaction mode: plain `SET` leaks to the next client; the tenant of a transaction does not.

use crate::{NAME, PID, Pooled, assert_shared, inside, plain, try_value, value};
use plio_client::Org;
use plio_client::blocking::TenantClient;
use plio_tests::{PgBouncer, Pooler, assert_refusal, expect_sqlstate};
use std::time::{Duration, Instant};

const BOTH: [PgBouncer; 2] = [PgBouncer::Old, PgBouncer::New];

#[test]
fn plain_set_leaks_to_the_next_client() {
    for which in BOTH {
        let Some(pooled) = Pooled::start(which, &[]) else { return };
        let app = &pooled.fixture.app;
        let db = plain(app);
        let Some(pooler) = Pooler::start(which, &db, &[app], &[]) else { return };
        let (mut one, mut other) = (pooler.connect(&db, app), pooler.connect(&db, app));
        assert_shared(&mut one, &mut other);
        one.batch_execute("SET search_path = tenant_acme").unwrap();
        assert_eq!(value(&mut other, NAME), "canary-acme", "without us the next client reads acme's rows");
        other.batch_execute("SET search_path = tenant_bravo").unwrap();
        assert_eq!(value(&mut one, NAME), "canary-bravo", "and the first one bravo's");
    }
}

#[test]
fn a_transactions_tenant_does_not() {
    for which in BOTH {
        let Some(pooled) = Pooled::start(which, &[]) else { return };
        let (mut one, mut other) = (pooled.client(), pooled.client());
        assert_shared(&mut one, &mut other);
        for enter in ["SELECT plio.set_tenant('acme')", "SET LOCAL plio.tenant = 'acme'"] {
            assert_eq!(value(&mut one, &format!("BEGIN; {enter}; {NAME}")), "canary-acme");
            // The other client waits for the one server connection; it is free once the first has committed.
            one.batch_execute("COMMIT").unwrap();
            let refusal =
                expect_sqlstate(try_value(&mut other, "SELECT name FROM tenant_acme.users"), "55000");
            assert_refusal(&refusal, "55000", &["canary"]);
            expect_sqlstate(try_value(&mut other, NAME), "42P01");
            let state = "SELECT concat_ws('|', plio.current_tenant(), current_user = session_user,
                                          current_setting('search_path'))";
            assert_eq!(value(&mut other, state), "t|\"$user\", public");
            assert_eq!(value(&mut other, &inside("bravo", NAME)), "canary-bravo");
            expect_sqlstate(try_value(&mut one, NAME), "42P01");
        }
        assert_shared(&mut one, &mut other);
    }
}

#[test]
fn clients_of_several_tenants_read_their_own() {
    let Some(pooled) = Pooled::start(PgBouncer::New, &[]) else { return };
    std::thread::scope(|scope| {
        for org in ["acme", "bravo", "acme", "bravo"] {
            let mut client = pooled.client();
            scope.spawn(move || {
                for _ in 0..100 {
                    assert_eq!(value(&mut client, &inside(org, NAME)), format!("canary-{org}"));
                }
            });
        }
    });
}

#[test]
fn the_rust_client_works_through_it() {
    for (which, option) in [(PgBouncer::Old, ""), (PgBouncer::New, "max_prepared_statements = 100")] {
        let Some(pooled) = Pooled::start(which, &[option]) else { return };
        let (mut one, mut other) = (pooled.client(), pooled.client());
        assert_shared(&mut one, &mut other);
        let (acme, bravo): (Org, Org) = ("acme".parse().unwrap(), "bravo".parse().unwrap());
        for _ in 0..3 {
            for (client, org) in [(&mut one, &acme), (&mut other, &bravo)] {
                let mut tenant = client.tenant(org).unwrap();
                let row = tenant.query_one("SELECT name FROM users WHERE id = $1", &[&1_i64]).unwrap();
                assert_eq!(row.get::<_, String>(0), format!("canary-{org}"));
                tenant.commit().unwrap();
            }
        }
    }
}

/// A client dies in the middle of a transaction in acme. PgBouncer closes the server connection, or it is rolled back:
/// the next client finds neither the tenant nor the change.
#[test]
fn a_client_that_dies_in_a_tenant_leaves_nothing() {
    for which in BOTH {
        let Some(pooled) = Pooled::start(which, &[]) else { return };
        let (mut one, mut other) = (pooled.client(), pooled.client());
        one.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); UPDATE users SET name = 'half done'")
            .unwrap();
        drop(one);
        expect_sqlstate(try_value(&mut other, "SELECT name FROM tenant_acme.users"), "55000");
        assert_eq!(value(&mut other, &inside("acme", NAME)), "canary-acme");
    }
}

#[test]
fn an_error_in_a_tenant_leaves_nothing() {
    let Some(pooled) =
        Pooled::start(PgBouncer::New, &["server_check_query = select 1", "server_check_delay = 0"])
    else {
        return;
    };
    let (mut one, mut other) = (pooled.client(), pooled.client());
    let pid = value(&mut one, PID);
    expect_sqlstate(try_value(&mut one, &inside("acme", "SELECT 1/0")), "22012");
    one.batch_execute("ROLLBACK").unwrap();
    expect_sqlstate(try_value(&mut other, NAME), "42P01");
    assert_eq!(value(&mut other, PID), pid, "an error costs no server connection");
}

/// A waiting client is served as soon as the transaction in the tenant ends, not before.
#[test]
fn a_waiting_client_gets_the_connection_after_the_tenant_ended() {
    let Some(pooled) = Pooled::start(PgBouncer::New, &[]) else { return };
    let (mut one, mut other) = (pooled.client(), pooled.client());
    one.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    let waiting =
        std::thread::spawn(move || value(&mut other, "SELECT coalesce(plio.current_tenant(), 'none')"));
    let mut console = pooled
        .pooler
        .config(&pooled.fixture.db, "postgres")
        .dbname("pgbouncer")
        .connect(postgres::NoTls)
        .unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while !is_waiting(&mut console) {
        assert!(Instant::now() < end, "the second client waits for the one server connection");
        std::thread::sleep(Duration::from_millis(10));
    }
    one.batch_execute("COMMIT").unwrap();
    assert_eq!(waiting.join().unwrap(), "none");
}

fn is_waiting(console: &mut postgres::Client) -> bool {
    console.simple_query("SHOW POOLS").unwrap().iter().any(|message| {
        matches!(message, postgres::SimpleQueryMessage::Row(row)
            if row.get("cl_waiting").is_some_and(|count| count != "0"))
    })
}
