//! Into a tenant and out of it.

use plio_client::{Admin, Error, ErrorKind, IsolationLevel, Org, Origin, TenantClient};

use crate::wire::Wire;
use crate::world::{admin, app, app_config, app_role, assert_outside, connect, notes, organization};

#[tokio::test]
async fn commit_keeps_and_both_dropping_and_rolling_back_undo() {
    let org = organization("enter-ends");
    let mut client = app().await;

    let tenant = client.tenant(&org).await.unwrap();
    assert_eq!(tenant.org(), &org);
    let current: Org = tenant.query_one("SELECT plio.current_tenant()", &[]).await.unwrap().get(0);
    assert_eq!(current, org);
    tenant.execute("INSERT INTO notes VALUES (1, 'kept')", &[]).await.unwrap();
    tenant.commit().await.unwrap();
    assert_outside(&client).await;
    assert_eq!(notes(&mut client, &org).await, 1);

    let tenant = client.tenant(&org).await.unwrap();
    tenant.execute("INSERT INTO notes VALUES (2, 'dropped')", &[]).await.unwrap();
    drop(tenant);
    assert_outside(&client).await;

    let tenant = client.tenant(&org).await.unwrap();
    tenant.execute("INSERT INTO notes VALUES (3, 'rolled back')", &[]).await.unwrap();
    tenant.rollback().await.unwrap();
    assert_outside(&client).await;
    assert_eq!(notes(&mut client, &org).await, 1);
}

#[tokio::test]
async fn each_refusal_has_its_kind_and_leaves_the_client_usable() {
    let (open, suspended) = (organization("enter-open"), organization("enter-suspended"));
    let not_granted = organization("enter-not-granted");
    let admin = admin().await;
    Admin::new(&admin).suspend_tenant(&suspended).await.unwrap();
    Admin::new(&admin).revoke_access(app_role(), &not_granted).await.unwrap();
    let unknown: Org = "enter-unknown".parse().unwrap();

    let mut client = app().await;
    for (org, kind, code) in [
        (unknown, ErrorKind::PermissionDenied, "42501"),
        (suspended, ErrorKind::NotReady, "55000"),
        (not_granted, ErrorKind::PermissionDenied, "42501"),
    ] {
        let refused = client.tenant(&org).await.unwrap_err();
        assert_eq!((refused.kind(), refused.origin()), (kind, Origin::Enter), "{org}: {refused:#}");
        assert_eq!(refused.code().unwrap().code(), code);
        assert!(refused.hint().is_some(), "{org}: {refused:#}");
        assert_outside(&client).await;
        assert_eq!(notes(&mut client, &open).await, 0);
    }
}

#[tokio::test]
async fn entering_leaving_and_dropping_take_one_message_each() {
    let org = organization("enter-wire");
    let wire = Wire::tap(&app_config());
    let mut client = connect(wire.config(&app_config())).await;
    client.batch_execute("SELECT 1").await.unwrap();
    wire.sent();

    let tenant = client.tenant(&org).await.unwrap();
    assert_eq!(wire.sent(), "Q", "one message, hence one answer to wait for");
    tenant.commit().await.unwrap();
    assert_eq!(wire.sent(), "Q");

    let builder = client.build_tenant(&org).isolation_level(IsolationLevel::Serializable).read_only(true);
    let tenant = builder.start().await.unwrap();
    assert_eq!(wire.sent(), "Q");
    drop(tenant);
    client.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(wire.sent(), "QQ", "the rollback, and the statement after it");

    // The control: what a transaction and a call after it take, and what a tap would show if we did so.
    let transaction = client.transaction().await.unwrap();
    transaction.query_typed("SELECT plio.set_tenant('enter-wire')", &[]).await.unwrap();
    assert_eq!(wire.sent(), "QPBDES");
}

#[tokio::test]
async fn isolation_level_and_access_mode_are_the_transactions() {
    let org = organization("enter-mode");
    let mut client = app().await;
    let tenant = client
        .build_tenant(&org)
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .unwrap();
    let level = tenant.query_one("SHOW transaction_isolation", &[]).await.unwrap();
    assert_eq!(level.get::<_, &str>(0), "repeatable read");
    let refused = tenant.execute("INSERT INTO notes VALUES (1, '')", &[]).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code().unwrap().code()), (ErrorKind::Other, "25006"));
}

/// PostgreSQL answers COMMIT of an aborted transaction with success; ours is an error.
#[tokio::test]
async fn a_commit_that_keeps_nothing_says_so() {
    let org = organization("enter-aborted");
    let mut client = app().await;
    let tenant = client.tenant(&org).await.unwrap();
    tenant.execute("INSERT INTO notes VALUES (1, '')", &[]).await.unwrap();
    tenant.execute("SELECT 1/0", &[]).await.unwrap_err();
    let refused = tenant.commit().await.unwrap_err();
    assert_eq!((refused.code().unwrap().code(), refused.origin()), ("25P02", Origin::Statement));
    assert_outside(&client).await;
    assert_eq!(notes(&mut client, &org).await, 0);

    let tenant = client.tenant(&org).await.unwrap();
    let deferred = "ALTER TABLE notes ADD UNIQUE (note) DEFERRABLE INITIALLY DEFERRED";
    tenant.batch_execute(deferred).await.unwrap();
    tenant.batch_execute("INSERT INTO notes VALUES (1, 'same'), (2, 'same')").await.unwrap();
    let refused = tenant.commit().await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "23505");
    assert_outside(&client).await;
    assert_eq!(notes(&mut client, &org).await, 0);
}

/// A text may say COMMIT. What follows it has no tenant, and our own commit reports it.
#[tokio::test]
async fn a_transaction_ended_behind_our_back_is_reported() {
    let org = organization("enter-ended");
    let mut client = app().await;
    let tenant = client.tenant(&org).await.unwrap();
    tenant.batch_execute("INSERT INTO notes VALUES (1, ''); COMMIT").await.unwrap();
    tenant.execute("INSERT INTO notes VALUES (2, '')", &[]).await.unwrap_err();
    assert_eq!(tenant.commit().await.unwrap_err().kind(), ErrorKind::NotReady);
    assert_outside(&client).await;
    assert_eq!(notes(&mut client, &org).await, 1);
}

#[tokio::test]
async fn a_lost_connection_has_no_sqlstate() {
    let org = organization("enter-lost");
    let mut client = app().await;
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    admin().await.execute("SELECT pg_terminate_backend($1, 5000)", &[&pid]).await.unwrap();
    let failed: Error = loop {
        // The first call may still be answered by the server's last word (57P01).
        match client.tenant(&org).await {
            Err(e) if e.kind() == ErrorKind::Client => break e,
            Err(_) => {}
            Ok(_) => panic!("the connection is gone"),
        }
    };
    assert_eq!((failed.code(), failed.origin()), (None, Origin::Enter));
}
