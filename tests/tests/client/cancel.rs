//! Futures that are dropped half-way leave neither a transaction nor a tenant on the client.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use plio_client::{Admin, TenantClient};
use tokio::time::timeout;

use crate::world::{admin, app, assert_outside, notes, organization};

/// Polls once, which is when the client sends, and drops.
fn poll_once<F: Future>(future: F) -> bool {
    pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[tokio::test]
async fn entering_dropped_at_once() {
    let org = organization("cancel-enter");
    let mut client = app().await;
    for _ in 0..20 {
        assert!(!poll_once(client.tenant(&org)), "the answer cannot be there yet");
        assert_outside(&client).await;
    }
    drop(client.tenant(&org));
    assert_outside(&client).await;
    assert_eq!(notes(&mut client, &org).await, 0);
}

/// Client: enter acme (waits for the lock). Administrator: suspends it, holds the transaction open. Client gives
/// up; administrator rolls back; now the server serves the entering that nobody waits for, then the rollback.
#[tokio::test]
async fn entering_dropped_while_the_tenant_is_locked() {
    let org = organization("cancel-locked");
    let mut client = app().await;
    let mut admin = admin().await;
    let suspending = admin.transaction().await.unwrap();
    Admin::new(suspending.client()).suspend_tenant(&org).await.unwrap();
    let gave_up = timeout(Duration::from_millis(300), client.tenant(&org)).await.is_err();
    assert!(gave_up, "suspending must hold the lock");
    suspending.rollback().await.unwrap();
    assert_outside(&client).await;
    assert_eq!(notes(&mut client, &org).await, 0);
}

#[tokio::test]
async fn a_statement_dropped_half_way() {
    let org = organization("cancel-statement");
    let mut client = app().await;
    let tenant = client.tenant(&org).await.unwrap();
    let slow = tenant.batch_execute("INSERT INTO notes VALUES (1, ''); SELECT pg_sleep(0.3)");
    assert!(timeout(Duration::from_millis(100), slow).await.is_err());
    drop(tenant);
    assert_outside(&client).await;
    assert_eq!(notes(&mut client, &org).await, 0);
}

#[tokio::test]
async fn a_savepoint_dropped_half_way() {
    let org = organization("cancel-savepoint");
    let mut client = app().await;
    let mut tenant = client.tenant(&org).await.unwrap();
    tenant.execute("INSERT INTO notes VALUES (1, '')", &[]).await.unwrap();
    assert!(!poll_once(tenant.savepoint("gone")));
    tenant.execute("INSERT INTO notes VALUES (2, '')", &[]).await.unwrap();
    let again = tenant.savepoint("gone").await.unwrap();
    again.commit().await.unwrap();
    tenant.commit().await.unwrap();
    assert_eq!(notes(&mut client, &org).await, 2);
}

/// A commit that nobody waits for is still sent; one that cannot keep anything still ends the transaction.
#[tokio::test]
async fn a_commit_dropped_half_way() {
    let org = organization("cancel-commit");
    let mut client = app().await;
    let tenant = client.tenant(&org).await.unwrap();
    tenant.execute("INSERT INTO notes VALUES (1, '')", &[]).await.unwrap();
    assert!(!poll_once(tenant.commit()));
    assert_outside(&client).await;
    assert_eq!(notes(&mut client, &org).await, 1);

    let tenant = client.tenant(&org).await.unwrap();
    tenant.execute("SELECT 1/0", &[]).await.unwrap_err();
    assert!(!poll_once(tenant.commit()));
    assert_outside(&client).await;
}
