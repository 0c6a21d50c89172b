//! One database for the tests of this file, a login role, and organizations that each have a table `notes`.

use std::sync::OnceLock;
use std::thread;

use plio_client::blocking::{Admin, TenantClient};
use plio_client::{Org, TenantOptions};
use plio_tests::{Cluster, Db, SUPERUSER};
use postgres::NoTls;
use tokio_postgres::{Client, Config};

/// The database with the extension, and the login role of the application, which is no administrator.
struct World {
    db: Db,
    app: String,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        apart(|| {
            let db = Cluster::shared().database("client");
            let app = db.extension().login_role("app");
            World { db, app }
        })
    })
}

/// The name of the application's login role.
pub fn app_role() -> &'static str {
    &world().app
}

/// A new login role that may enter nothing.
pub fn login_role(prefix: &'static str) -> String {
    apart(move || world().db.login_role(prefix))
}

pub fn config(role: &str) -> Config {
    world().db.config_async(role)
}

/// The administrator's way to the database.
pub fn admin_config() -> Config {
    config(SUPERUSER)
}

/// The application's way to the database.
pub fn app_config() -> Config {
    config(app_role())
}

pub fn blocking(config: Config) -> postgres::Client {
    postgres::Config::from(config).connect(NoTls).unwrap()
}

pub async fn connect(config: Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub async fn app() -> Client {
    connect(app_config()).await
}

pub async fn admin() -> Client {
    connect(admin_config()).await
}

/// Creates an organization with a table `notes`, into which the application may enter.
pub fn organization(name: &str) -> Org {
    let org: Org = name.parse().unwrap();
    let created = org.clone();
    apart(move || {
        let mut admin = blocking(admin_config());
        Admin::new(&mut admin).create_tenant(&created, &TenantOptions::new()).unwrap();
        Admin::new(&mut admin).grant_access(app_role(), &created).unwrap();
        let mut app = blocking(app_config());
        let mut tenant = app.tenant(&created).unwrap();
        tenant
            .batch_execute("CREATE TABLE notes (id bigint CONSTRAINT one_note PRIMARY KEY, note text)")
            .unwrap();
        tenant.commit().unwrap();
    });
    org
}

/// Runs what blocks in a thread of its own, so that async tests can call it.
pub fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(work).join().unwrap()
}

/// Holds that the next statement on this client meets neither a transaction nor a tenant.
pub async fn assert_outside(client: &Client) {
    let row = client.query_one("SELECT pg_backend_pid(), plio.current_tenant()", &[]).await.unwrap();
    assert_eq!(row.get::<_, Option<&str>>(1), None, "a tenant is set");
    let state = admin()
        .await
        .query_one("SELECT state FROM pg_stat_activity WHERE pid = $1", &[&row.get::<_, i32>(0)])
        .await
        .unwrap();
    assert_eq!(state.get::<_, &str>(0), "idle", "a transaction is open");
}

/// How many notes the organization has, as a later transaction sees it.
pub async fn notes(client: &mut Client, org: &Org) -> i64 {
    use plio_client::TenantClient;
    let tenant = client.tenant(org).await.unwrap();
    let count = tenant.query_one("SELECT count(*) FROM notes", &[]).await.unwrap().get(0);
    tenant.commit().await.unwrap();
    count
}
