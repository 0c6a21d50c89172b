//! The server tells the client which tenant is in force: a ParameterStatus whenever plio.tenant changes.

use super::two_tenants;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use tokio_postgres::NoTls;

#[tokio::test]
async fn the_tenant_in_force_is_reported_to_the_client() {
    let fixture = tokio::task::spawn_blocking(|| two_tenants("report")).await.unwrap();
    let (client, mut connection) = fixture.db.config_async(&fixture.app).connect(NoTls).await.unwrap();
    let reported = Arc::new(Mutex::new(Vec::<String>::new()));
    let seen = Arc::clone(&reported);
    let note = move |tenant: Option<&str>| {
        let mut seen = seen.lock().unwrap();
        let tenant = tenant.unwrap_or("never reported").to_owned();
        if seen.last() != Some(&tenant) {
            seen.push(tenant);
        }
    };
    note(connection.parameter("plio.tenant"));
    // One thread: the connection has taken in an answer before the client's call returns.
    tokio::spawn(async move {
        loop {
            let message = poll_fn(|context| {
                let polled = connection.poll_message(context);
                note(connection.parameter("plio.tenant"));
                polled
            });
            if message.await.is_none() {
                return;
            }
        }
    });
    client.batch_execute("BEGIN").await.unwrap();
    for statement in [
        "SELECT plio.set_tenant('acme')",
        "COMMIT",
        "BEGIN; SELECT plio.set_tenant('bravo')",
        "ROLLBACK",
        "BEGIN; SAVEPOINT s; SELECT plio.set_tenant('acme')",
        "ROLLBACK TO s",
        "SELECT plio.set_tenant('bravo')",
        "COMMIT",
        "SET plio.tenant = 'acme'",
        "RESET plio.tenant",
    ] {
        client.batch_execute(statement).await.unwrap();
    }
    let expected = ["", "acme", "", "bravo", "", "acme", "", "bravo", "", "acme", ""];
    assert_eq!(*reported.lock().unwrap(), expected);
}
