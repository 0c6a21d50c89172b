//! Access belongs to the role, whatever it is called: roles that are renamed in another database, rows that come from another
//! cluster, tenants' roles that swap their names.

use super::{assert_enters, enter, two_tenants};
use plio_tests::{Cluster, TwoTenants, first, refused};
use postgres::Client;

/// A database without the extension: what is done to roles there is not noticed here.
fn elsewhere() -> Client {
    Cluster::shared().database("elsewhere").superuser()
}

fn swap(client: &mut Client, one: &str, other: &str) {
    let free = Cluster::shared().unique("swapping");
    client
        .batch_execute(&format!(
            "ALTER ROLE {one} RENAME TO {free}; ALTER ROLE {other} RENAME TO {one}; ALTER ROLE {free} RENAME TO {other}"
        ))
        .unwrap();
}

fn findings(client: &mut Client) -> String {
    first(
        client,
        "SELECT coalesce(string_agg(DISTINCT finding, ' ' ORDER BY finding), '') FROM plio.health()
          WHERE finding NOT IN ('loading', 'denials_log_only')",
    )
}

fn repair(client: &mut Client) -> String {
    first(client, "SELECT coalesce(string_agg(DISTINCT action, ' ' ORDER BY action), '') FROM plio.repair()")
}

/// Two roles, one for each tenant.
fn two_roles(fixture: &TwoTenants) -> [String; 2] {
    let (ra, rb) = (fixture.db.login_role("ra"), fixture.db.login_role("rb"));
    fixture
        .db
        .superuser()
        .batch_execute(&format!(
            "SELECT plio.grant_access('{ra}', 'acme'), plio.grant_access('{rb}', 'bravo')"
        ))
        .unwrap();
    [ra, rb]
}

#[test]
fn a_role_that_takes_anothers_name_elsewhere_does_not_get_its_access() {
    let fixture = two_tenants("swapped");
    let mut admin = fixture.db.superuser();
    let [ra, rb] = two_roles(&fixture);
    let (mut a, mut b) = (fixture.db.connect(&ra), fixture.db.connect(&rb));
    assert_enters(&mut a, &["acme"], &["bravo"]);
    assert_enters(&mut b, &["bravo"], &["acme"]);
    swap(&mut elsewhere(), &ra, &rb);
    // The sessions of before, and new ones: who was ra is called rb now.
    assert_enters(&mut a, &["acme"], &["bravo"]);
    assert_enters(&mut b, &["bravo"], &["acme"]);
    assert_enters(&mut fixture.db.connect(&rb), &["acme"], &["bravo"]);
    assert_enters(&mut fixture.db.connect(&ra), &["bravo"], &["acme"]);
    assert_eq!(findings(&mut admin), "role_renamed");
    // A grant to a role goes to the role that has the name now, and takes nothing from the one that had it.
    admin.execute("SELECT plio.grant_access($1, 'acme')", &[&ra]).unwrap();
    assert_enters(&mut fixture.db.connect(&ra), &["acme", "bravo"], &[]);
    assert_enters(&mut fixture.db.connect(&rb), &["acme"], &["bravo"]);
    assert_eq!(findings(&mut admin), "");
    // So does taking it back.
    swap(&mut elsewhere(), &ra, &rb);
    admin.execute("SELECT plio.revoke_access($1, 'acme')", &[&rb]).unwrap();
    assert_enters(&mut fixture.db.connect(&rb), &["bravo"], &["acme"]);
    assert_enters(&mut fixture.db.connect(&ra), &["acme"], &["bravo"]);
    assert_eq!(findings(&mut admin), "");
}

#[test]
fn names_follow_their_roles_by_repair_and_by_a_rename_that_is_seen() {
    let fixture = two_tenants("follow");
    let mut admin = fixture.db.superuser();
    let [ra, rb] = two_roles(&fixture);
    let names =
        "SELECT string_agg(role_name, ' ' ORDER BY role_name) FROM plio.access WHERE role_name ~ '^r[abc]_'";
    swap(&mut elsewhere(), &ra, &rb);
    assert_eq!(repair(&mut admin), "access_follows_role");
    assert_eq!(repair(&mut admin), "");
    assert_eq!(findings(&mut admin), "");
    assert_enters(&mut fixture.db.connect(&rb), &["acme"], &["bravo"]);
    let rc = Cluster::shared().unique("rc");
    admin.batch_execute(&format!("ALTER ROLE {ra} RENAME TO {rc}")).unwrap();
    assert_eq!(first(&mut admin, names), format!("{rb} {rc}"));
    assert_enters(&mut fixture.db.connect(&rc), &["bravo"], &["acme"]);
    // A dropped role's row stands in nobody's way.
    admin.batch_execute(&format!("DROP OWNED BY {rb}; DROP ROLE {rb}")).unwrap();
    assert_eq!(findings(&mut admin), "stale_access");
    admin.execute("SELECT plio.grant_access($1, 'acme')", &[&rc]).unwrap();
    elsewhere().batch_execute(&format!("ALTER ROLE {rc} RENAME TO {rb}")).unwrap();
    assert_eq!(repair(&mut admin), "access_follows_role");
    assert_eq!(findings(&mut admin), "");
    assert_enters(&mut fixture.db.connect(&rb), &["acme", "bravo"], &[]);
    let history = "SELECT count(*)::text FROM plio.history WHERE action = 'repair'";
    assert_eq!(first(&mut admin, history), "3");
}

/// A superuser's statement on the registry, which enforcement would refuse.
fn by_hand(admin: &mut postgres::Client, statement: &str) {
    admin
        .batch_execute(&format!("SET plio.enforcement = off; {statement}; RESET plio.enforcement"))
        .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
}

// What another cluster's dump brings, and what release 0.1.0's does, gives nobody access until an administrator says so.
#[test]
fn access_from_elsewhere_counts_once_it_is_tied() {
    let fixture = two_tenants("elsewhere");
    let mut admin = fixture.db.superuser();
    let [ra, rb] = two_roles(&fixture);
    let (mut a, mut b) = (fixture.db.connect(&ra), fixture.db.connect(&rb));
    for (foreign, finding) in [
        ("cluster = cluster + 1, role_oid = role_oid::bigint + 1000000", "untied_access"),
        ("cluster = NULL, role_oid = NULL", "untied_access"),
        // pg_upgrade keeps oids: what is the same by name and by oid is the same role.
        ("cluster = cluster + 1", "access_of_another_cluster"),
    ] {
        by_hand(&mut admin, &format!("UPDATE plio.access SET {foreign}"));
        assert_eq!(findings(&mut admin), finding);
        if finding == "untied_access" {
            assert_enters(&mut a, &[], &["acme", "bravo"]);
        } else {
            assert_enters(&mut a, &["acme"], &["bravo"]);
            swap(&mut elsewhere(), &ra, &rb);
            assert_enters(&mut a, &[], &["acme", "bravo"]);
            assert_enters(&mut b, &[], &["acme", "bravo"]);
            swap(&mut elsewhere(), &ra, &rb);
        }
        assert_eq!(repair(&mut admin), if foreign == "cluster = cluster + 1" { "" } else { "access_tied" });
        assert_eq!(findings(&mut admin), "");
        assert_enters(&mut a, &["acme"], &["bravo"]);
        assert_enters(&mut b, &["bravo"], &["acme"]);
        swap(&mut elsewhere(), &ra, &rb);
        assert_enters(&mut a, &["acme"], &["bravo"]);
        swap(&mut elsewhere(), &ra, &rb);
    }
    // A single grant ties its own row alone.
    by_hand(&mut admin, "UPDATE plio.access SET cluster = NULL, role_oid = NULL");
    admin.execute("SELECT plio.grant_access($1, 'acme')", &[&ra]).unwrap();
    assert_enters(&mut a, &["acme"], &["bravo"]);
    assert_enters(&mut b, &[], &["acme", "bravo"]);
    // A rename that is seen keeps what fitted.
    repair(&mut admin);
    by_hand(&mut admin, "UPDATE plio.access SET cluster = cluster + 1");
    admin.batch_execute(&format!("ALTER ROLE {ra} RENAME TO {ra}_b")).unwrap();
    assert_enters(&mut a, &["acme"], &["bravo"]);
}

#[test]
fn tenants_whose_roles_swap_their_names_are_closed_until_they_are_repaired() {
    let fixture = two_tenants("owners");
    let mut admin = fixture.db.superuser();
    let role = |admin: &mut Client, org: &str| {
        first(admin, &format!("SELECT quote_ident(role_name) FROM plio.tenants WHERE org = '{org}'"))
    };
    let (acme, bravo) = (role(&mut admin, "acme"), role(&mut admin, "bravo"));
    let mut app = fixture.db.connect(&fixture.app);
    assert_enters(&mut app, &["acme", "bravo"], &[]);
    swap(&mut elsewhere(), &acme, &bravo);
    for org in ["acme", "bravo"] {
        for client in [&mut app, &mut admin] {
            refused(enter(client, org), "55000");
            refused(client.batch_execute(&format!("SET plio.tenant = '{org}'")), "55000");
        }
    }
    refused(admin.batch_execute("SELECT plio.rename_tenant('acme', 'other')"), "55000");
    assert_eq!(findings(&mut admin), "role_not_owner");
    assert_eq!(repair(&mut admin), "role_follows_owner");
    assert_eq!(findings(&mut admin), "");
    for org in ["acme", "bravo"] {
        app.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')")).unwrap();
        assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), format!("canary-{org}"));
        app.batch_execute("COMMIT").unwrap();
    }
    assert_eq!((role(&mut admin, "acme"), role(&mut admin, "bravo")), (bravo, acme));
    // A role that is no tenant's is nobody to follow.
    admin
        .batch_execute(
            "SET plio.enforcement = off; ALTER SCHEMA tenant_acme OWNER TO postgres; RESET plio.enforcement",
        )
        .unwrap();
    refused(enter(&mut app, "acme"), "55000");
    assert_eq!(repair(&mut admin), "");
    let fix = first(&mut admin, "SELECT fix FROM plio.health() WHERE finding = 'role_not_owner'");
    admin.batch_execute(&fix).unwrap();
    assert_enters(&mut app, &["acme"], &[]);
}

// A role that another extension made a member of a tenant's role is that extension's to alter and drop.
#[test]
fn only_direct_members_of_the_group_are_tenants_roles() {
    let fixture = two_tenants("indirect");
    let mut admin = fixture.db.superuser();
    let tenant = first(&mut admin, "SELECT quote_ident(role_name) FROM plio.tenants WHERE org = 'acme'");
    let helper = Cluster::shared().unique("helper");
    admin.batch_execute(&format!("CREATE ROLE {helper} SUPERUSER IN ROLE {tenant}")).unwrap();
    admin
        .batch_execute(&format!("ALTER ROLE {helper} NOSUPERUSER; ALTER ROLE {helper} RENAME TO {helper}_b"))
        .unwrap();
    admin.batch_execute(&format!("DROP ROLE {helper}_b")).unwrap();
    refused(admin.batch_execute(&format!("ALTER ROLE {tenant} SUPERUSER")), "2BP01");
    refused(admin.batch_execute(&format!("ALTER ROLE {tenant} RENAME TO {helper}")), "2BP01");
}
