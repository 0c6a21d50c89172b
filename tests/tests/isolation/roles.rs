//! Who may enter, and as whom they are judged.

use plio_tests::{assert_refusal, expect_sqlstate};

use crate::judge::Judge;
use crate::world::{value, world};

/// Access goes by role: a member of a granted role inherits it, a NOINHERIT member must SET ROLE first, everybody else
/// is refused without learning more than that.
#[test]
fn members_inherit_access_and_others_do_not() {
    let world = world();
    let mut admin = world.db.superuser();
    let (group, heir, thrifty) =
        (world.db.login_role("staff"), world.db.login_role("heir"), world.db.login_role("thrifty"));
    admin
        .batch_execute(&format!(
            "GRANT {group} TO {heir}; ALTER ROLE {thrifty} NOINHERIT; GRANT {group} TO {thrifty}"
        ))
        .unwrap();
    let grant = if plio_tests::Cluster::major() == "15" {
        String::new()
    } else {
        format!("GRANT {group} TO {thrifty} WITH INHERIT FALSE, SET TRUE")
    };
    admin.batch_execute(&grant).unwrap();
    let enter = "BEGIN; SELECT plio.set_tenant('acme')";
    let mut heirs = world.db.connect(&heir);
    let mut thriftys = world.db.connect(&thrifty);
    for client in [&mut heirs, &mut thriftys] {
        assert_refusal(&expect_sqlstate(client.batch_execute(enter), "42501"), "42501", &["canary"]);
        client.batch_execute("ROLLBACK").unwrap();
    }
    admin.execute("SELECT plio.grant_access($1, 'acme')", &[&group]).unwrap();
    Judge::inside(&mut heirs, "acme").gives("SELECT min(name) FROM users", &["canary-acme"]);
    expect_sqlstate(thriftys.batch_execute(enter), "42501");
    thriftys.batch_execute("ROLLBACK").unwrap();
    thriftys.batch_execute(&format!("SET ROLE {group}")).unwrap();
    Judge::inside(&mut thriftys, "acme").gives("SELECT min(name) FROM users", &["canary-acme"]);
    // And back: the role from before stands again after the transaction.
    assert_eq!(value(&mut thriftys, "SELECT current_user"), group);
    let mut carol = world.db.connect(&world.carol);
    for org in ["acme", "bravo"] {
        let error =
            expect_sqlstate(carol.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')")), "42501");
        assert_refusal(&error, "42501", &["canary", "tenant_"]);
        carol.batch_execute("ROLLBACK").unwrap();
    }
    // Taken back: at the next transaction, in the same session.
    admin.execute("SELECT plio.revoke_access($1, 'acme')", &[&group]).unwrap();
    expect_sqlstate(heirs.batch_execute(enter), "42501");
}

/// No role becomes a tenant's by itself, however it asks; nobody sees the registry; nobody manages.
#[test]
fn an_ordinary_role_cannot_become_a_tenant() {
    let world = world();
    let role = value(&mut world.db.superuser(), "SELECT role_name FROM plio.tenants WHERE org = 'acme'");
    for user in [&world.app, &world.carol] {
        let mut client = world.db.connect(user);
        let mut nobody = Judge::outside(&mut client);
        for statement in [
            format!("SET ROLE {role}"),
            format!("SET LOCAL ROLE {role}"),
            format!("SELECT set_config('role', '{role}', false)"),
            format!("SET SESSION AUTHORIZATION {role}"),
            format!("GRANT {role} TO CURRENT_USER"),
            "GRANT plio_admin TO CURRENT_USER".to_owned(),
            "GRANT plio_tenant TO CURRENT_USER".to_owned(),
            "SELECT * FROM plio.tenants".to_owned(),
            "INSERT INTO plio.access (role_name, org) VALUES (CURRENT_USER, 'acme')".to_owned(),
            "SELECT plio.create_tenant('mine')".to_owned(),
            "SELECT plio.grant_access(CURRENT_USER, 'acme')".to_owned(),
            "SELECT plio.grant_access_to_every_tenant(CURRENT_USER)".to_owned(),
            "SELECT plio.share('public', 'write')".to_owned(),
            "SELECT plio.drop_tenant('acme', 'acme')".to_owned(),
            "SELECT * FROM plio.health()".to_owned(),
            "ALTER EVENT TRIGGER plio_sql_drop DISABLE".to_owned(),
            "DROP EXTENSION plio_tenancy".to_owned(),
            "SET plio.enforcement = off".to_owned(),
            "ALTER ROLE CURRENT_USER SET plio.enforcement = off".to_owned(),
            "ALTER ROLE CURRENT_USER SET session_preload_libraries = ''".to_owned(),
            "SELECT set_config('plio.tenant', 'acme', true)".to_owned(),
            "SELECT set_config('plio.tenant', 'acme 16385 16386 1 session', false)".to_owned(),
            "ALTER ROLE CURRENT_USER SET plio.tenant = 'acme'".to_owned(),
        ] {
            nobody.denied(&statement, "42501");
        }
    }
    // A connection that asks for it in its options is refused, or connects and is held all the same.
    for options in [
        "-c plio.enforcement=off",
        "-c session_preload_libraries=",
        "-c role=plio_tenant",
        "-c role=plio_admin",
    ] {
        if let Ok(mut client) = world.db.config(&world.app).options(options).connect(postgres::NoTls) {
            assert_eq!(value(&mut client, "SHOW plio.enforcement"), "on");
            Judge::outside(&mut client).refused("SELECT * FROM tenant_bravo.users", "55000");
        }
    }
}

/// A role to which an administrator gave a tenant's role: it owns the tenant's tables by privilege, and still needs the
/// tenant to be set.
#[test]
fn even_a_member_of_a_tenants_role_needs_the_tenant() {
    let world = world();
    let mut admin = world.db.superuser();
    let mallory = world.db.login_role("mallory");
    let role = value(&mut admin, "SELECT role_name FROM plio.tenants WHERE org = 'bravo'");
    admin.batch_execute(&format!("GRANT {role} TO {mallory}")).unwrap();
    let mut client = world.db.connect(&mallory);
    for preamble in [
        "",
        "SET LOCAL search_path = tenant_bravo",
        &format!("SET LOCAL ROLE {role}"),
        &format!("SET LOCAL ROLE {role}; SET LOCAL search_path = tenant_bravo"),
    ] {
        let mut nobody = Judge::after(&mut client, preamble);
        nobody.refused("SELECT * FROM tenant_bravo.users", "55000");
        nobody.refused("DROP TABLE tenant_bravo.users", "55000");
        if preamble.contains("search_path") {
            for statement in [
                "SELECT * FROM users",
                "INSERT INTO users (name) VALUES ('x')",
                "TRUNCATE users",
                "COPY users TO STDOUT",
                "LOCK TABLE users",
                "SELECT name FROM listing",
            ] {
                nobody.refused(statement, "55000");
            }
        }
    }
}

/// plio_admin: enters every tenant and manages them without being a superuser; with no tenant PostgreSQL's privileges
/// are its only bounds; inside one it is bound like everybody.
#[test]
fn an_administrator_is_bound_inside_a_tenant() {
    let world = world();
    let mut admin = world.db.superuser();
    let ann = world.db.login_role("ann");
    admin.batch_execute(&format!("GRANT plio_admin TO {ann}")).unwrap();
    let mut client = world.db.connect(&ann);
    let mut outside = Judge::outside(&mut client);
    outside.allowed("SELECT plio.create_tenant('delta')");
    outside.allowed("SELECT * FROM plio.tenants");
    outside.denied("SELECT * FROM tenant_bravo.users", "42501");
    drop(outside);
    admin.batch_execute(&format!("GRANT SELECT ON tenant_bravo.users TO {ann}")).unwrap();
    Judge::outside(&mut client).gives("SELECT min(name) FROM tenant_bravo.users", &["canary-bravo"]);
    let mut acme = Judge::inside(&mut client, "acme");
    acme.gives("SELECT min(name) FROM users", &["canary-acme"]);
    acme.refused("SELECT * FROM tenant_bravo.users", "42501");
    acme.refused("SELECT * FROM plio.tenants", "42501");
    for call in [
        "create_tenant('delta')",
        "grant_access('x', 'acme')",
        "share('public', 'write')",
        "drop_tenant('acme', 'acme')",
    ] {
        for answer in acme.answers(&format!("SELECT plio.{call}")) {
            assert!(answer.is_err_and(|error| ["42501", "25001"].contains(&error.code().code())), "{call}");
        }
    }
}

/// CREATEROLE: on 15 PostgreSQL lets it give membership of any role that is no superuser, and alter it. Not here, of what the boundary
/// rests on. Where the extension is not, in another database, it still does (15): docs/guarantees.md.
#[test]
fn createrole_does_not_reach_what_the_boundary_rests_on() {
    let world = world();
    let mut admin = world.db.superuser();
    let maker = world.db.login_role("maker");
    let (made, staff) = (format!("{maker}_made"), world.db.login_role("staff"));
    admin.batch_execute(&format!("ALTER ROLE {maker} CREATEROLE")).unwrap();
    let tenants =
        value(&mut admin, "SELECT coalesce(role_name, 'NULL') FROM plio.tenants WHERE org = 'acme'");
    let groups = ["plio_admin", "plio_auditor", "plio_reporter", "plio_tenant", tenants.as_str()];
    let mut client = world.db.connect(&maker);
    client.batch_execute(&format!("CREATE ROLE {made}")).unwrap();
    let mut outside = Judge::outside(&mut client);
    for group in groups.iter().filter(|group| **group != "NULL") {
        for statement in [
            format!("GRANT {group} TO {maker}"),
            format!("GRANT {made}, {group} TO CURRENT_USER WITH ADMIN OPTION"),
            format!("REVOKE {group} FROM {tenants}"),
            format!("ALTER GROUP {group} ADD USER {maker}"),
            format!("ALTER GROUP {group} DROP USER {tenants}"),
            format!("CREATE ROLE {made}_in IN ROLE {group}"),
            format!("CREATE ROLE {made}_in IN GROUP {group}"),
            format!("DO $$ BEGIN EXECUTE 'GRANT {group} TO {maker}'; END $$"),
        ] {
            if !statement.contains("NULL") {
                outside.denied(&statement, "42501");
            }
        }
        for statement in [
            format!("ALTER ROLE {group} LOGIN PASSWORD 'known'"),
            format!("ALTER ROLE {group} RENAME TO {made}_b"),
            format!("DROP ROLE {group}"),
        ] {
            let answers = outside.answers(&statement);
            let is_refused = |code: &str| ["42501", "2BP01"].contains(&code);
            assert!(
                answers
                    .iter()
                    .all(|answer| answer.as_ref().is_err_and(|error| is_refused(error.code().code()))),
                "{statement}: {answers:?}"
            );
        }
    }
    for member in ["plio_tenant", tenants.as_str()].iter().filter(|role| **role != "NULL") {
        outside.denied(&format!("GRANT {made} TO {member}"), "42501");
        outside.denied(&format!("CREATE ROLE {made}_in ROLE {member}"), "42501");
        outside.denied(&format!("CREATE ROLE {made}_in ADMIN {member}"), "42501");
    }
    // What it is for goes on, as PostgreSQL allows it.
    outside.allowed(&format!(
        "CREATE ROLE {made}_b LOGIN; GRANT {made} TO {made}_b; ALTER ROLE {made}_b NOLOGIN; DROP ROLE {made}_b"
    ));
    outside.allowed(&format!("ALTER ROLE {made} RENAME TO {made}_c; ALTER GROUP {made}_c ADD USER {maker}"));
    drop(outside);
    // Whoever has ADMIN OPTION gives membership.
    admin.batch_execute(&format!("GRANT plio_reporter TO {maker} WITH ADMIN OPTION")).unwrap();
    Judge::outside(&mut client).allowed(&format!("GRANT plio_reporter TO {staff}"));
    if plio_tests::Cluster::major() == "15" {
        let elsewhere = plio_tests::Cluster::shared().database("elsewhere");
        let mut there = elsewhere.connect(&maker);
        // Undone: CREATE EXTENSION elsewhere in the cluster would refuse such a member.
        there.batch_execute(&format!("BEGIN; GRANT plio_auditor TO {maker}; ROLLBACK")).unwrap();
        let found = "SELECT count(*) FROM plio.audit() WHERE check_name = 'create_role' AND severity = 'critical' AND object = ";
        assert_eq!(value(&mut admin, &format!("{found}'{maker}'")), "1");
    }
}

/// A role that was dropped and made again under its old name inherits no access, nor does the group's new member list.
#[test]
fn a_new_role_under_an_old_name_has_no_access() {
    let world = world();
    let mut admin = world.db.superuser();
    let name = world.db.login_role("reborn");
    admin.execute("SELECT plio.grant_access($1, 'acme')", &[&name]).unwrap();
    Judge::inside(&mut world.db.connect(&name), "acme").allowed("SELECT * FROM users");
    // The grant hangs on the role: it has to be taken back, one way or another, before the role can go.
    expect_sqlstate(admin.batch_execute(&format!("DROP ROLE {name}")), "2BP01");
    admin
        .batch_execute(&format!("DROP OWNED BY {name}; DROP ROLE {name}; CREATE ROLE {name} LOGIN"))
        .unwrap();
    let mut reborn = world.db.connect(&name);
    let error = expect_sqlstate(reborn.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "42501");
    assert_refusal(&error, "42501", &["canary"]);
    reborn.batch_execute("ROLLBACK").unwrap();
    admin.execute("SELECT plio.grant_access($1, 'acme')", &[&name]).unwrap();
    Judge::inside(&mut reborn, "acme").allowed("SELECT * FROM users");
    // Renamed, it is the same role.
    let renamed = format!("{name}_b");
    admin.batch_execute(&format!("ALTER ROLE {name} RENAME TO {renamed}")).unwrap();
    Judge::inside(&mut world.db.connect(&renamed), "acme").allowed("SELECT * FROM users");
}
