//! Work inside a tenant: statements, savepoints, copy, and errors of the caller's own.

use std::pin::pin;

use futures_util::{SinkExt, TryStreamExt};
use plio_client::{ErrorKind, Origin, TenantClient};

use crate::world::{app, assert_outside, notes, organization};

#[tokio::test]
async fn one_prepared_statement_reads_each_tenants_own_rows() {
    let (red, blue) = (organization("work-red"), organization("work-blue"));
    let mut client = app().await;
    let tenant = client.tenant(&red).await.unwrap();
    let insert = tenant.prepare("INSERT INTO notes VALUES ($1, $2)").await.unwrap();
    tenant.execute(&insert, &[&1i64, &"red"]).await.unwrap();
    tenant.commit().await.unwrap();
    let tenant = client.tenant(&blue).await.unwrap();
    tenant.execute(&insert, &[&1i64, &"blue"]).await.unwrap();
    let rows = tenant.query("SELECT note FROM notes", &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<&str>>(), ["blue"]);
    tenant.commit().await.unwrap();

    let tenant = client.tenant(&red).await.unwrap();
    let note = tenant.query_opt("SELECT note FROM notes WHERE id = $1", &[&1i64]).await.unwrap();
    assert_eq!(note.unwrap().get::<_, &str>(0), "red");
    assert!(tenant.query_opt("SELECT note FROM notes WHERE id = 2", &[]).await.unwrap().is_none());
    let mut stream = pin!(tenant.query_raw("SELECT id FROM notes", Vec::<i64>::new()).await.unwrap());
    assert_eq!(stream.try_next().await.unwrap().unwrap().get::<_, i64>(0), 1);
}

#[tokio::test]
async fn what_is_another_tenants_is_denied() {
    let (mine, other) = (organization("work-mine"), organization("work-other"));
    let mut client = app().await;
    assert_eq!(notes(&mut client, &other).await, 0);
    let mut tenant = client.tenant(&mine).await.unwrap();
    for text in ["SELECT * FROM \"tenant_work-other\".notes", "SELECT plio.set_tenant('work-other')"] {
        let attempt = tenant.savepoint("attempt").await.unwrap();
        let refused = attempt.query(text, &[]).await.unwrap_err();
        let kind =
            if text.contains("notes") { ErrorKind::PermissionDenied } else { ErrorKind::TransactionLocked };
        assert_eq!((refused.kind(), refused.origin()), (kind, Origin::Statement), "{text}: {refused:#}");
    }
    tenant.commit().await.unwrap();
}

#[tokio::test]
async fn a_savepoint_undoes_its_own_work_only() {
    let org = organization("work-savepoint");
    let mut client = app().await;
    let mut tenant = client.tenant(&org).await.unwrap();
    tenant.execute("INSERT INTO notes VALUES (1, 'outer')", &[]).await.unwrap();

    let inner = tenant.savepoint("it's; \"mine\"").await.unwrap();
    inner.execute("INSERT INTO notes VALUES (2, 'dropped')", &[]).await.unwrap();
    let refused = inner.execute("INSERT INTO notes VALUES (1, 'again')", &[]).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code().unwrap().code()), (ErrorKind::Other, "23505"));
    assert_eq!(refused.as_db_error().unwrap().constraint(), Some("one_note"));
    drop(inner);

    let mut inner = tenant.savepoint("kept").await.unwrap();
    inner.execute("INSERT INTO notes VALUES (3, 'kept')", &[]).await.unwrap();
    let innermost = inner.savepoint("kept").await.unwrap();
    innermost.execute("INSERT INTO notes VALUES (4, 'rolled back')", &[]).await.unwrap();
    innermost.rollback().await.unwrap();
    assert_eq!(inner.org(), &org);
    inner.commit().await.unwrap();

    let failed = tenant.savepoint("failed").await.unwrap();
    failed.execute("SELECT 1/0", &[]).await.unwrap_err();
    assert_eq!(failed.commit().await.unwrap_err().code().unwrap().code(), "25P02");
    tenant.commit().await.unwrap();

    let tenant = client.tenant(&org).await.unwrap();
    let rows = tenant.query("SELECT id FROM notes ORDER BY id", &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<i64>>(), [1, 3]);
}

/// A SAVEPOINT that fails must not roll back to an older savepoint of the same name.
#[tokio::test]
async fn a_savepoint_that_cannot_be_made_changes_nothing() {
    let org = organization("work-no-savepoint");
    let mut client = app().await;
    let mut tenant = client.tenant(&org).await.unwrap();
    let mut outer = tenant.savepoint("same").await.unwrap();
    outer.execute("SELECT 1/0", &[]).await.unwrap_err();
    assert_eq!(outer.savepoint("same").await.unwrap_err().code().unwrap().code(), "25P02");
    assert_eq!(outer.execute("SELECT 1", &[]).await.unwrap_err().code().unwrap().code(), "25P02");
    drop(outer);
    tenant.execute("INSERT INTO notes VALUES (1, '')", &[]).await.unwrap();
    tenant.commit().await.unwrap();
    assert_eq!(notes(&mut client, &org).await, 1);
}

#[tokio::test]
async fn copy_goes_both_ways_and_an_unfinished_one_is_undone() {
    let org = organization("work-copy");
    let mut client = app().await;
    let tenant = client.tenant(&org).await.unwrap();
    let mut sink = pin!(tenant.copy_in("COPY notes FROM STDIN").await.unwrap());
    sink.send(bytes::Bytes::from_static(b"1\tone\n2\ttwo\n")).await.unwrap();
    assert_eq!(sink.as_mut().finish().await.unwrap(), 2);
    let stream = tenant.copy_out("COPY notes TO STDOUT").await.unwrap();
    let chunks: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
    assert_eq!(chunks.concat(), b"1\tone\n2\ttwo\n");
    tenant.commit().await.unwrap();

    let tenant = client.tenant(&org).await.unwrap();
    {
        let mut sink = Box::pin(tenant.copy_in("COPY notes FROM STDIN").await.unwrap());
        sink.send(bytes::Bytes::from_static(b"3\tthree\n")).await.unwrap();
    }
    drop(tenant);
    assert_outside(&client).await;
    assert_eq!(notes(&mut client, &org).await, 2);
}
