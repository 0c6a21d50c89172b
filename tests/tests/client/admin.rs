//! Management through the client.

use plio_client::{
    Admin, ErrorKind, Org, Origin, Severity, ShareMode, TenantClient, TenantOptions, TenantStatus,
};

use crate::world::{admin, app, app_role, config, connect, login_role, organization};

fn org(name: &str) -> Org {
    name.parse().unwrap()
}

#[tokio::test]
async fn a_tenants_life() {
    let client = admin().await;
    let admin = Admin::new(&client);
    let (first, second) = (org("admin-first"), org("admin-second"));
    let options =
        TenantOptions::new().schema_name("Zwölf \"Ä\"").settings(serde_json::json!({"plan": "free"}));
    assert_eq!(admin.create_tenant(&first, &options).await.unwrap(), "Zwölf \"Ä\"");
    let again = admin.create_tenant(&first, &TenantOptions::new()).await.unwrap_err();
    assert_eq!((again.kind(), again.origin()), (ErrorKind::AlreadyExists, Origin::Admin), "{again:#}");

    let listed = admin.list().await.unwrap();
    let tenant = listed.iter().find(|tenant| tenant.org == first).unwrap();
    assert_eq!(tenant.schema_name, "Zwölf \"Ä\"");
    assert_eq!((&tenant.status, &tenant.settings["plan"]), (&TenantStatus::Active, &"free".into()));
    assert!(tenant.created_at.len() == 27 && tenant.created_at.ends_with('Z'), "{}", tenant.created_at);
    assert!(listed.is_sorted_by_key(|tenant| tenant.org.clone()));

    admin.suspend_tenant(&first).await.unwrap();
    let listed = admin.list().await.unwrap();
    assert_eq!(listed.iter().find(|t| t.org == first).unwrap().status, TenantStatus::Suspended);
    admin.resume_tenant(&first).await.unwrap();
    admin.rename_tenant(&first, &second).await.unwrap();
    assert_eq!(admin.suspend_tenant(&first).await.unwrap_err().kind(), ErrorKind::NotFound);

    let unconfirmed = admin.drop_tenant(&second, &first).await.unwrap_err();
    assert_eq!(unconfirmed.kind(), ErrorKind::InvalidArgument, "{unconfirmed:#}");
    admin.drop_tenant(&second, &second).await.unwrap();
    assert!(!admin.list().await.unwrap().iter().any(|tenant| tenant.org == second));
}

#[tokio::test]
async fn a_schema_is_adopted_given_a_role_and_released() {
    let client = admin().await;
    let admin = Admin::new(&client);
    let legacy = org("admin-legacy");
    client
        .batch_execute("CREATE ROLE client_legacy; CREATE SCHEMA client_legacy AUTHORIZATION client_legacy")
        .await
        .unwrap();
    admin.adopt_tenant(&legacy, "client_legacy").await.unwrap();
    let refused = admin.adopt_tenant(&org("admin-legacy-2"), "client_legacy").await.unwrap_err();
    assert_eq!((refused.kind(), refused.origin()), (ErrorKind::NotReady, Origin::Admin), "{refused:#}");
    admin.assign_role(&legacy).await.unwrap();
    assert_eq!(admin.assign_role(&legacy).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    admin.unassign_role(&legacy).await.unwrap();
    admin.release_tenant(&legacy, &legacy).await.unwrap();
    assert_eq!(admin.suspend_tenant(&legacy).await.unwrap_err().kind(), ErrorKind::NotFound);
    client.batch_execute("DROP SCHEMA client_legacy; DROP ROLE client_legacy").await.unwrap();
}

#[tokio::test]
async fn grants_let_a_login_in_and_out() {
    let role = login_role("guest");
    let admin_client = admin().await;
    let admin = Admin::new(&admin_client);
    let place = org("admin-grants");
    admin.create_tenant(&place, &TenantOptions::new()).await.unwrap();
    let mut guest = connect(config(&role)).await;

    assert_eq!(guest.tenant(&place).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    admin.grant_access(&role, &place).await.unwrap();
    guest.tenant(&place).await.unwrap().commit().await.unwrap();
    admin.revoke_access(&role, &place).await.unwrap();
    assert_eq!(guest.tenant(&place).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    admin.grant_access_to_every_tenant(&role).await.unwrap();
    guest.tenant(&place).await.unwrap().commit().await.unwrap();
    admin.revoke_access_to_every_tenant(&role).await.unwrap();
    assert_eq!(guest.tenant(&place).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn shares_open_and_close_a_table() {
    let client = admin().await;
    let admin = Admin::new(&client);
    let reader = organization("admin-shares");
    client.batch_execute("CREATE TABLE public.client_shared (id int)").await.unwrap();
    let mut app = app().await;
    let text = "SELECT * FROM public.client_shared";

    let tenant = app.tenant(&reader).await.unwrap();
    assert_eq!(tenant.query(text, &[]).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    drop(tenant);
    admin.share("public.client_shared", ShareMode::Read).await.unwrap();
    let tenant = app.tenant(&reader).await.unwrap();
    assert!(tenant.query(text, &[]).await.unwrap().is_empty());
    drop(tenant);
    admin.unshare("public.client_shared").await.unwrap();
    let tenant = app.tenant(&reader).await.unwrap();
    assert_eq!(tenant.query(text, &[]).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn several_calls_are_one_whole_inside_a_transaction() {
    let mut client = admin().await;
    let transaction = client.transaction().await.unwrap();
    let inside = Admin::new(transaction.client());
    inside.create_tenant(&org("admin-whole"), &TenantOptions::new()).await.unwrap();
    inside.grant_access(app_role(), &org("admin-whole")).await.unwrap();
    transaction.rollback().await.unwrap();
    assert!(!Admin::new(&client).list().await.unwrap().iter().any(|t| t.org == org("admin-whole")));
}

#[tokio::test]
async fn who_is_no_administrator_is_refused() {
    let app = app().await;
    let refused = Admin::new(&app).create_tenant(&org("admin-refused"), &TenantOptions::new()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(Admin::new(&app).list().await.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn health_is_readable() {
    let client = admin().await;
    for finding in Admin::new(&client).health().await.unwrap() {
        assert!(!matches!(finding.severity, Severity::Other(_)), "{finding:?}");
        assert!(!finding.finding.is_empty());
    }
}
