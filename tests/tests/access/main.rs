//! Who may enter and who may manage: grants, groups, renamed and dropped roles, NULL arguments, no use inside a tenant.

mod silence;
mod ties;

use plio_tests::{Cluster, TwoTenants, expect_sqlstate, refused};
use postgres::{Client, Error};

fn two_tenants(prefix: &str) -> TwoTenants {
    Cluster::shared().database(prefix).two_tenants()
}

/// Enters and leaves.
fn enter(client: &mut Client, org: &str) -> Result<(), Error> {
    let result = client.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')"));
    client.batch_execute("ROLLBACK").unwrap();
    result
}

#[track_caller]
fn assert_enters(client: &mut Client, allowed: &[&str], refused_orgs: &[&str]) {
    for org in allowed {
        enter(client, org).unwrap_or_else(|error| panic!("{org}: {error:?}"));
    }
    for org in refused_orgs {
        refused(enter(client, org), "42501");
    }
}

// PostgreSQL's own switch for broken indexes, which any role may set as it connects: the registry is read without them, and
// says the same.
#[test]
fn grants_hold_without_indexes() {
    let fixture = two_tenants("unindexed");
    let mut admin = fixture.db.superuser();
    let everywhere = fixture.db.login_role("everywhere");
    admin.execute("SELECT plio.grant_access_to_every_tenant($1)", &[&everywhere]).unwrap();
    let connect = |role: &str| {
        fixture.db.config(role).options("-c ignore_system_indexes=on").connect(postgres::NoTls).unwrap()
    };
    assert_enters(&mut connect(&everywhere), &["acme", "bravo"], &[]);
    assert_enters(&mut connect(&fixture.app), &["acme"], &[]);
    assert_enters(&mut connect(&fixture.carol), &[], &["acme", "bravo"]);
}

/// A call of every management function with good arguments.
const CALLS: &[&str] = &[
    "create_tenant('new')",
    "suspend_tenant('acme')",
    "resume_tenant('acme')",
    "rename_tenant('acme', 'new')",
    "drop_tenant('acme', 'acme')",
    "grant_access('$role', 'acme')",
    "revoke_access('$role', 'acme')",
    "grant_access_to_every_tenant('$role')",
    "revoke_access_to_every_tenant('$role')",
    "share('public.countries', 'write')",
    "unshare('public.countries')",
    "repair()",
];

#[test]
fn a_role_enters_the_tenants_it_was_granted() {
    let fixture = two_tenants("granted");
    let mut admin = fixture.db.superuser();
    let mut carol = fixture.db.connect(&fixture.carol);
    assert_enters(&mut carol, &[], &["acme", "bravo"]);
    let call = |admin: &mut Client, call: &str| {
        admin.batch_execute(&format!("SELECT plio.{}", call.replace("$carol", &fixture.carol))).unwrap();
    };
    call(&mut admin, "grant_access('$carol', 'acme')");
    call(&mut admin, "grant_access('$carol', 'acme')");
    assert_enters(&mut carol, &["acme"], &["bravo"]);
    call(&mut admin, "revoke_access('$carol', 'acme')");
    assert_enters(&mut carol, &[], &["acme", "bravo"]);
    // Every tenant, those to come included; the two kinds of grants are apart.
    call(&mut admin, "grant_access_to_every_tenant('$carol')");
    call(&mut admin, "create_tenant('later')");
    assert_enters(&mut carol, &["acme", "bravo", "later"], &[]);
    call(&mut admin, "grant_access('$carol', 'bravo')");
    call(&mut admin, "revoke_access('$carol', 'acme')");
    assert_enters(&mut carol, &["acme", "bravo", "later"], &[]);
    call(&mut admin, "revoke_access_to_every_tenant('$carol')");
    assert_enters(&mut carol, &["bravo"], &["acme", "later"]);
    call(&mut admin, "revoke_access('$carol', 'bravo')");
    assert_enters(&mut carol, &[], &["acme", "bravo", "later"]);
    // Nothing of it is left behind that would keep the role from being dropped.
    drop(carol);
    admin.batch_execute(&format!("DROP ROLE \"{}\"", fixture.carol)).unwrap();
}

#[test]
fn members_of_a_granted_role_enter_and_former_members_do_not() {
    let fixture = two_tenants("members");
    let mut admin = fixture.db.superuser();
    let group = Cluster::shared().unique("group");
    admin
        .batch_execute(&format!(
            "CREATE ROLE {group}; CREATE ROLE {group}_inner; GRANT {group} TO {group}_inner"
        ))
        .unwrap();
    admin.execute("SELECT plio.grant_access($1, 'acme')", &[&group]).unwrap();
    let mut carol = fixture.db.connect(&fixture.carol);
    assert_enters(&mut carol, &[], &["acme"]);
    admin.batch_execute(&format!("GRANT {group}_inner TO \"{}\"", fixture.carol)).unwrap();
    assert_enters(&mut carol, &["acme"], &["bravo"]);
    admin.batch_execute(&format!("REVOKE {group} FROM {group}_inner")).unwrap();
    assert_enters(&mut carol, &[], &["acme", "bravo"]);
    // A member that does not inherit must SET ROLE first.
    admin
        .batch_execute(&format!("GRANT {group} TO \"{0}\"; ALTER ROLE \"{0}\" NOINHERIT", fixture.carol))
        .unwrap();
    if Cluster::major() != "15" {
        admin.batch_execute(&format!("GRANT {group} TO \"{}\" WITH INHERIT FALSE", fixture.carol)).unwrap();
    }
    assert_enters(&mut carol, &[], &["acme"]);
    carol.batch_execute(&format!("SET ROLE {group}")).unwrap();
    assert_enters(&mut carol, &["acme"], &["bravo"]);
}

#[test]
fn a_renamed_role_keeps_its_access_and_its_old_name_has_none() {
    let fixture = two_tenants("renamed");
    let mut admin = fixture.db.superuser();
    let new = Cluster::shared().unique("renamed");
    admin.batch_execute(&format!("ALTER ROLE \"{}\" RENAME TO {new}", fixture.app)).unwrap();
    assert_enters(&mut fixture.db.connect(&new), &["acme", "bravo"], &[]);
    admin.batch_execute(&format!("CREATE ROLE \"{}\" LOGIN", fixture.app)).unwrap();
    assert_enters(&mut fixture.db.connect(&fixture.app), &[], &["acme", "bravo"]);
    // Renamed from a database without the extension: the role keeps its access, nobody inherits it, and health() tells.
    let plain = Cluster::shared().database("plain");
    let newer = Cluster::shared().unique("renamed");
    plain
        .superuser()
        .batch_execute(&format!("ALTER ROLE {new} RENAME TO {newer}; CREATE ROLE {new} LOGIN"))
        .unwrap();
    assert_enters(&mut fixture.db.connect(&new), &[], &["acme", "bravo"]);
    assert_enters(&mut fixture.db.connect(&newer), &["acme", "bravo"], &[]);
    let found = admin.query("SELECT 1 FROM plio.health() WHERE finding = 'role_renamed'", &[]).unwrap();
    assert_eq!(found.len(), 1);
}

// A dropped role's rows may stay; a new role of that name must not find itself let in, not even by a grant of its own.
#[test]
fn a_new_role_under_a_dropped_roles_name_inherits_nothing() {
    let fixture = two_tenants("dropped");
    let mut admin = fixture.db.superuser();
    let expected = expect_sqlstate(admin.batch_execute(&format!("DROP ROLE \"{}\"", fixture.app)), "2BP01");
    assert!(expected.detail().is_some_and(|detail| detail.contains("schema plio")));
    admin
        .batch_execute(&format!(
            "DROP OWNED BY \"{0}\"; DROP ROLE \"{0}\"; CREATE ROLE \"{0}\" LOGIN",
            fixture.app
        ))
        .unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    assert_enters(&mut app, &[], &["acme", "bravo"]);
    admin.batch_execute("SELECT plio.create_tenant('third')").unwrap();
    admin.execute("SELECT plio.grant_access($1, 'third')", &[&fixture.app]).unwrap();
    assert_enters(&mut app, &["third"], &["acme", "bravo"]);
}

#[test]
fn roles_may_have_any_legal_name() {
    let fixture = two_tenants("odd");
    let mut admin = fixture.db.superuser();
    let number = Cluster::shared().unique("");
    let long = format!("{}{number}", "x".repeat(63 - number.len()));
    for name in [format!("We \"ird{number}"), format!("sch\u{fc}le{number}"), format!("a'b.c{number}"), long]
    {
        let quoted = name.replace('"', "\"\"");
        admin.batch_execute(&format!("CREATE ROLE \"{quoted}\" LOGIN")).unwrap();
        let mut client = fixture.db.connect(&name);
        assert_enters(&mut client, &[], &["acme"]);
        admin.execute("SELECT plio.grant_access($1, 'acme')", &[&name]).unwrap();
        assert_enters(&mut client, &["acme"], &["bravo"]);
        admin.execute("SELECT plio.revoke_access($1, 'acme')", &[&name]).unwrap();
        assert_enters(&mut client, &[], &["acme"]);
    }
    // PUBLIC and the words for the current role are no roles.
    for word in ["public", "PUBLIC", "current_user", "session_user", "none", ""] {
        refused(admin.execute("SELECT plio.grant_access($1, 'acme')", &[&word]), "42704");
    }
}

#[test]
fn only_administrators_manage() {
    let fixture = two_tenants("manage");
    let mut admin = fixture.db.superuser();
    let auditor = fixture.db.login_role("auditor");
    admin.batch_execute(&format!("GRANT plio_auditor TO \"{auditor}\"")).unwrap();
    for role in [&fixture.app, &fixture.carol, &auditor] {
        let mut client = fixture.db.connect(role);
        for call in CALLS {
            let call = call.replace("$role", role);
            expect_sqlstate(client.batch_execute(&format!("SELECT plio.{call}")), "42501");
        }
        for table in ["tenants", "access", "shares", "history"] {
            let read = client.query(&format!("SELECT * FROM plio.{table}"), &[]);
            if *role == auditor {
                read.unwrap();
            } else {
                expect_sqlstate(read, "42501");
            }
            expect_sqlstate(client.batch_execute(&format!("DELETE FROM plio.{table}")), "42501");
        }
        let health = client.query("SELECT * FROM plio.health()", &[]);
        assert_eq!(health.is_ok(), *role == auditor);
    }
}

// An administrator that is no superuser and owns nothing.
#[test]
fn a_member_of_plio_admin_manages_everything() {
    let fixture = two_tenants("dba");
    let role = fixture.db.login_role("dba");
    fixture.db.superuser().batch_execute(&format!("GRANT plio_admin TO \"{role}\"")).unwrap();
    let mut dba = fixture.db.connect(&role);
    for call in CALLS {
        let call = format!("BEGIN; SELECT plio.{}; ROLLBACK", call.replace("$role", &fixture.carol));
        dba.batch_execute(&call).unwrap_or_else(|error| panic!("{call}: {error:?}"));
    }
    dba.batch_execute(
        "SELECT plio.create_tenant('new'); SELECT plio.rename_tenant('new', 'newer');
         SELECT plio.suspend_tenant('newer'); SELECT plio.drop_tenant('newer', 'newer');
         SELECT * FROM plio.health(); SELECT * FROM plio.tenants, plio.access, plio.shares, plio.history",
    )
    .unwrap();
    // It may enter every tenant, and the registry is out of its hands.
    assert_enters(&mut dba, &["acme", "bravo"], &[]);
    for write in ["UPDATE plio.tenants SET status = 'active'", "INSERT INTO plio.access VALUES ('x', 'acme')"]
    {
        expect_sqlstate(dba.batch_execute(write), "42501");
    }
}

#[test]
fn management_inside_a_tenant_is_refused() {
    let fixture = two_tenants("inside");
    let mut admin = fixture.db.superuser();
    for begin in
        ["BEGIN; SELECT plio.set_tenant('acme'); SAVEPOINT s", "SET plio.tenant = 'acme'; BEGIN; SAVEPOINT s"]
    {
        admin.batch_execute(begin).unwrap();
        for call in CALLS {
            let call = call.replace("$role", &fixture.carol);
            let error = admin.batch_execute(&format!("SELECT plio.{call}")).unwrap_err();
            let code = error.as_db_error().unwrap().code().code();
            // The tenant's role may not even call them.
            assert!(["25001", "42501"].contains(&code), "{call}: {error:?}");
            admin.batch_execute("ROLLBACK TO s").unwrap();
        }
        admin.batch_execute("ROLLBACK; RESET plio.tenant").unwrap();
    }
}

#[test]
fn null_unknown_and_wrong_arguments_are_named() {
    let fixture = two_tenants("arguments");
    let mut admin = fixture.db.superuser();
    for call in [
        "create_tenant(NULL)",
        "create_tenant('new', settings => NULL)",
        "suspend_tenant(NULL)",
        "resume_tenant(NULL)",
        "rename_tenant(NULL, 'new')",
        "rename_tenant('acme', NULL)",
        "drop_tenant(NULL, 'acme')",
        "drop_tenant('acme', NULL)",
        "drop_tenant('acme', 'bravo')",
        "drop_tenant('acme', '')",
        "drop_tenant('acme', 'ACME')",
        "grant_access(NULL, 'acme')",
        "grant_access('postgres', NULL)",
        "revoke_access(NULL, 'acme')",
        "revoke_access('postgres', NULL)",
        "grant_access_to_every_tenant(NULL)",
        "revoke_access_to_every_tenant(NULL)",
        "share(NULL, 'read')",
        "share('public.countries', NULL)",
        "unshare(NULL)",
    ] {
        refused(admin.batch_execute(&format!("SELECT plio.{call}")), "22023");
    }
    for call in [
        "suspend_tenant('nobody')",
        "resume_tenant('nobody')",
        "rename_tenant('nobody', 'new')",
        "drop_tenant('nobody', 'nobody')",
        "grant_access('postgres', 'nobody')",
        "revoke_access('postgres', 'nobody')",
        "grant_access('no such role', 'acme')",
        "grant_access_to_every_tenant('no such role')",
    ] {
        refused(admin.batch_execute(&format!("SELECT plio.{call}")), "42704");
    }
    // A dropped role's access can be taken back by its name.
    admin.batch_execute("SELECT plio.revoke_access('no such role', 'acme')").unwrap();
}
