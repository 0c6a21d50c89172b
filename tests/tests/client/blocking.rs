//! The same over the `postgres` crate.

use std::io::{Read, Write};

use plio_client::blocking::{Admin, TenantClient};
use plio_client::{ErrorKind, IsolationLevel, Org, Origin, TenantOptions};
use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;

use crate::wire::Wire;
use crate::world::{admin_config, app_config, blocking, organization};

fn notes(client: &mut Client, org: &Org) -> i64 {
    let mut tenant = client.tenant(org).unwrap();
    let count = tenant.query_one("SELECT count(*) FROM notes", &[]).unwrap().get(0);
    tenant.commit().unwrap();
    count
}

fn assert_outside(client: &mut Client) {
    let row = client.query_one("SELECT pg_backend_pid(), plio.current_tenant()", &[]).unwrap();
    assert_eq!(row.get::<_, Option<&str>>(1), None, "a tenant is set");
    let text = "SELECT state FROM pg_stat_activity WHERE pid = $1";
    let state = blocking(admin_config()).query_one(text, &[&row.get::<_, i32>(0)]).unwrap();
    assert_eq!(state.get::<_, &str>(0), "idle", "a transaction is open");
}

#[test]
fn commit_keeps_and_both_dropping_and_rolling_back_undo() {
    let org = organization("blocking-ends");
    let mut client = blocking(app_config());
    let mut tenant = client.tenant(&org).unwrap();
    assert_eq!(tenant.org(), &org);
    let insert = tenant.prepare("INSERT INTO notes VALUES ($1, '')").unwrap();
    tenant.execute(&insert, &[&1i64]).unwrap();
    tenant.commit().unwrap();
    let mut tenant = client.tenant(&org).unwrap();
    tenant.execute(&insert, &[&2i64]).unwrap();
    drop(tenant);
    assert_outside(&mut client);
    let mut tenant = client.tenant(&org).unwrap();
    tenant.execute(&insert, &[&3i64]).unwrap();
    tenant.rollback().unwrap();
    assert_outside(&mut client);
    assert_eq!(notes(&mut client, &org), 1);
}

#[test]
fn a_refusal_has_its_kind_and_leaves_the_client_usable() {
    let org = organization("blocking-open");
    let mut client = blocking(app_config());
    let refused = client.tenant(&"blocking-unknown".parse().unwrap()).err().unwrap();
    assert_eq!(
        (refused.kind(), refused.origin()),
        (ErrorKind::PermissionDenied, Origin::Enter),
        "{refused:#}"
    );
    assert_outside(&mut client);
    assert_eq!(notes(&mut client, &org), 0);

    let mut tenant = client.tenant(&org).unwrap();
    tenant.execute("SELECT 1/0", &[]).unwrap_err();
    assert_eq!(tenant.commit().unwrap_err().code().unwrap().code(), "25P02");
    assert_outside(&mut client);
}

#[test]
fn entering_and_leaving_take_one_message_each() {
    let org = organization("blocking-wire");
    let wire = Wire::tap(&app_config());
    let mut client = blocking(wire.config(&app_config()));
    client.batch_execute("SELECT 1").unwrap();
    wire.sent();
    let builder = client.build_tenant(&org).isolation_level(IsolationLevel::Serializable).read_only(true);
    let tenant = builder.start().unwrap();
    assert_eq!(wire.sent(), "Q");
    tenant.commit().unwrap();
    assert_eq!(wire.sent(), "Q");
    drop(client.tenant(&org).unwrap());
    assert_eq!(wire.sent(), "QQ");
}

#[test]
fn savepoints_streams_and_copy() {
    let org = organization("blocking-work");
    let mut client = blocking(app_config());
    let mut tenant = client.tenant(&org).unwrap();
    let mut writer = tenant.copy_in("COPY notes FROM STDIN").unwrap();
    writer.write_all(b"1\tone\n").unwrap();
    assert_eq!(writer.finish().unwrap(), 1);
    let mut inner = tenant.savepoint("a \"quoted\" name").unwrap();
    inner.execute("INSERT INTO notes VALUES (2, 'two')", &[]).unwrap();
    drop(inner);
    let mut inner = tenant.savepoint("b").unwrap();
    inner.execute("INSERT INTO notes VALUES (3, 'three')", &[]).unwrap();
    inner.commit().unwrap();
    let rows = tenant.query_raw("SELECT id FROM notes ORDER BY id", Vec::<i64>::new()).unwrap();
    assert_eq!(rows.map(|row| row.try_get::<_, i64>(0)).collect::<Vec<_>>().unwrap(), [1, 3]);
    let mut text = String::new();
    tenant.copy_out("COPY notes TO STDOUT").unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "1\tone\n3\tthree\n");
    tenant.commit().unwrap();
    assert_eq!(notes(&mut client, &org), 2);
}

#[test]
fn admin_works_on_a_client_and_inside_a_transaction() {
    let org: Org = "blocking-admin".parse().unwrap();
    let mut client = blocking(admin_config());
    let mut transaction = client.transaction().unwrap();
    let schema = Admin::new(&mut transaction).create_tenant(&org, &TenantOptions::new()).unwrap();
    assert_eq!(schema, "tenant_blocking-admin");
    transaction.rollback().unwrap();

    let mut admin = Admin::new(&mut client);
    assert!(!admin.list().unwrap().iter().any(|tenant| tenant.org == org));
    admin.create_tenant(&org, &TenantOptions::new()).unwrap();
    assert!(admin.list().unwrap().iter().any(|tenant| tenant.org == org));
    admin.health().unwrap();
    assert_eq!(admin.assign_role(&org).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(admin.unassign_role(&org).is_err() && admin.release_tenant(&org, &org).is_err());
    assert_eq!(admin.adopt_tenant(&org, "public").unwrap_err().kind(), ErrorKind::AlreadyExists);
    let refused = admin.suspend_tenant(&"blocking-unknown".parse().unwrap()).unwrap_err();
    assert_eq!((refused.kind(), refused.origin()), (ErrorKind::NotFound, Origin::Admin));
    admin.drop_tenant(&org, &org).unwrap();
}
