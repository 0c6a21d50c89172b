//! Nobody becomes more than he is by way of an adopted tenant: neither whoever works in it, nor a plain administrator.

use plio_tests::{assert_refusal, expect_sqlstate};
use postgres::Client;

use crate::judge::Judge;
use crate::{Legacy, legacy, value};

#[track_caller]
fn refused(client: &mut Client, statement: &str, code: &str, names: &[&str]) {
    let error = expect_sqlstate(client.batch_execute(statement), code);
    assert_refusal(&error, code, &[]);
    for name in names {
        assert!(error.message().contains(name), "{statement}: {error:?}");
    }
}

/// A member of plio_admin, and nothing else.
fn dba(world: &Legacy) -> (String, Client) {
    let role = world.db.login_role("dba");
    world.db.superuser().batch_execute(&format!("GRANT plio_admin TO {role}")).unwrap();
    let client = world.db.connect(&role);
    (role, client)
}

// One object of a superuser's in the schema. In the tenant somebody makes it his own code with its owner's rights: that must
// not become the superuser's again, and only a superuser may take it from him at all.
#[test]
fn what_tenants_may_have_changed_becomes_no_superusers() {
    let world = legacy().adopted();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(
            "SET plio.enforcement = off; CREATE FUNCTION acme.helper() RETURNS text LANGUAGE sql AS 'SELECT current_user::text';
             RESET plio.enforcement",
        )
        .unwrap();
    let (_, mut dba) = dba(&world);
    refused(&mut dba, "SELECT plio.assign_role('acme')", "42501", &["acme.helper()", "postgres"]);
    admin.batch_execute("SELECT plio.assign_role('acme')").unwrap();
    let mut app = world.db.connect(&world.app);
    app.batch_execute(
        "BEGIN; SELECT plio.set_tenant('acme');
         CREATE OR REPLACE FUNCTION helper() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text'; COMMIT",
    )
    .unwrap();
    refused(&mut admin, "SELECT plio.unassign_role('acme')", "55000", &["acme.helper()", "postgres"]);
    refused(&mut dba, "SELECT plio.unassign_role('acme')", "55000", &["acme"]);
    for administrator in [&mut dba, &mut admin] {
        refused(administrator, "SELECT plio.unassign_role('acme', 'nosuch')", "42704", &["nosuch"]);
        refused(administrator, "SELECT plio.unassign_role('acme', 'plio_tenant')", "22023", &[]);
    }
    let app_role = &world.app;
    for stronger in ["postgres", "pg_read_all_data", "plio_admin", app_role] {
        refused(&mut dba, &format!("SELECT plio.unassign_role('acme', '{stronger}')"), "42501", &[stronger]);
    }
    admin.batch_execute(&format!("SELECT plio.unassign_role('acme', '{app_role}')")).unwrap();
    assert_eq!(
        value(
            &mut admin,
            "SELECT string_agg(DISTINCT owner, ' ') FROM plio._owned_objects('acme'::regnamespace)"
        ),
        *app_role
    );
    assert_eq!(
        value(&mut admin, "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'acme'"),
        *app_role
    );
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert_eq!(value(&mut app, "SELECT helper()"), *app_role);
}

// The schema itself is a superuser's, or a role's that is nearly one: a plain administrator adopts nothing of that kind.
#[test]
fn a_plain_administrator_takes_nothing_from_a_stronger_role() {
    let world = legacy();
    let mut admin = world.db.superuser();
    let (dba_role, mut dba) = dba(&world);
    for grant in [
        "ALTER ROLE $role SUPERUSER",
        "ALTER ROLE $role CREATEROLE",
        "ALTER ROLE $role CREATEDB",
        "ALTER ROLE $role REPLICATION",
        "ALTER ROLE $role BYPASSRLS",
        "GRANT plio_admin TO $role",
        "GRANT pg_read_all_data TO $role",
        "GRANT pg_write_server_files TO $role",
        "CREATE ROLE $role_group SUPERUSER; GRANT $role_group TO $role",
    ] {
        let owner = world.db.login_role("owner");
        let schema = format!("of_{owner}");
        admin
            .batch_execute(&format!("CREATE SCHEMA {schema} AUTHORIZATION {owner}; CREATE TABLE {schema}.t (); ALTER TABLE {schema}.t OWNER TO {owner}"))
            .unwrap();
        admin.batch_execute(&grant.replace("$role", &owner)).unwrap();
        refused(
            &mut dba,
            &format!("SELECT plio.adopt_tenant('t-{}', '{schema}')", owner.replace('_', "-")),
            "42501",
            &[&owner],
        );
        // A superuser adopts it and gives it a role; back it goes to a role of the application only.
        let org = owner.replace('_', "-");
        admin
            .batch_execute(&format!(
                "SELECT plio.adopt_tenant('{org}', '{schema}'), plio.assign_role('{org}')"
            ))
            .unwrap();
        refused(&mut admin, &format!("SELECT plio.unassign_role('{org}')"), "55000", &[&owner]);
        admin.batch_execute(&format!("SELECT plio.unassign_role('{org}', '{}')", world.app)).unwrap();
    }
    // What ordinary roles own he manages; back it goes only where he could have put it himself.
    dba.batch_execute(&format!(
        "SELECT plio.adopt_tenant('acme', 'acme'), plio.adopt_tenant('bravo', 'bravo'), plio.assign_role('acme'), plio.assign_role('bravo'), plio.grant_access('{0}', 'acme')",
        world.app
    ))
    .unwrap();
    refused(&mut dba, "SELECT plio.unassign_role('acme')", "55000", &[&world.app]);
    admin.batch_execute(&format!("GRANT {} TO {dba_role}", world.app)).unwrap();
    dba.batch_execute(&format!(
        "SELECT plio.unassign_role('acme'), plio.unassign_role('bravo', '{}')",
        world.app
    ))
    .unwrap();
    let mut app = world.db.connect(&world.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert_eq!(value(&mut app, "SELECT min(name) FROM users"), "canary-acme");
}

// "$user" in a path leads into the schema with the role's name: a tenant's schema is not given that of any role.
#[test]
fn no_tenant_gets_the_name_of_a_role() {
    let world = legacy();
    let mut admin = world.db.superuser();
    let (role, mut dba) = dba(&world);
    let group = format!("tenant_{}", role.replace('_', "0"));
    admin.batch_execute(&format!("CREATE ROLE {group}; CREATE SCHEMA {role}")).unwrap();
    for name in ["postgres", &role, &world.app, &group] {
        refused(&mut dba, &format!("SELECT plio.create_tenant('new', '{name}')"), "42939", &[name]);
    }
    dba.batch_execute("SELECT plio.create_tenant('new')").unwrap();
    refused(&mut dba, &format!("SELECT plio.rename_tenant('new', '{}')", &group[7..]), "42939", &[&group]);
    // A schema that is there may have its owner's name, unless that role administers.
    admin.batch_execute(&format!("ALTER SCHEMA {role} OWNER TO {}", world.app)).unwrap();
    refused(&mut admin, &format!("SELECT plio.adopt_tenant('own', '{role}')"), "55000", &[&role]);
    admin
        .batch_execute(&format!(
            "CREATE SCHEMA {0} AUTHORIZATION {0}; SELECT plio.adopt_tenant('own', '{0}')",
            world.app
        ))
        .unwrap();
}

// The same the other way round: a role that is made or renamed later. In another database nobody sees that: health() finds it, and
// the tenant's code is on no administrator's path.
#[test]
fn no_role_gets_the_name_of_a_tenants_schema() {
    let world = legacy();
    let mut admin = world.db.superuser();
    let org = world.db.login_role("namesake").replace('_', "-");
    let schema = format!("tenant_{org}");
    admin
        .batch_execute(&format!(
            "SELECT plio.create_tenant('{org}'), plio.adopt_tenant('acme', 'acme'), plio.grant_access('{0}', '{org}');
             CREATE FUNCTION public.whose() RETURNS text LANGUAGE sql AS $$ SELECT 'genuine'::text $$",
            world.app
        ))
        .unwrap();
    let mut app = world.db.connect(&world.app);
    app.batch_execute(&format!(
        "BEGIN; SELECT plio.set_tenant('{org}');
         CREATE FUNCTION whose() RETURNS text LANGUAGE sql AS 'SELECT current_user::text'; COMMIT"
    ))
    .unwrap();
    let mut outside = Judge::outside(&mut admin);
    for statement in [
        format!("CREATE ROLE \"{schema}\""),
        format!("CREATE USER \"{schema}\" SUPERUSER"),
        "CREATE GROUP acme".to_owned(),
        format!("ALTER ROLE {} RENAME TO \"{schema}\"", world.app),
        format!("DO $$ BEGIN EXECUTE 'CREATE ROLE \"{schema}\"'; END $$"),
    ] {
        outside.denied(&statement, "42939");
    }
    outside.allowed("CREATE ROLE some_other_name; ALTER ROLE some_other_name RENAME TO yet_another_name");
    drop(outside);
    let mut elsewhere = plio_tests::Cluster::shared().database("elsewhere").superuser();
    elsewhere.batch_execute(&format!("CREATE ROLE \"{schema}\" LOGIN")).unwrap();
    let found =
        "SELECT coalesce(string_agg(severity, ' '), '') FROM plio.health() WHERE finding = 'role_of_schema'";
    assert_eq!(value(&mut admin, found), "warning");
    assert_eq!(
        value(&mut admin, &found.replace("finding", "check_name").replace("health", "audit")),
        "warning"
    );
    // An ordinary role meets the refusal that everybody meets without a tenant.
    let mut client = world.db.connect(&schema);
    Judge::outside(&mut client).refused("SELECT whose()", "55000");
    for grant in ["ALTER ROLE $role SUPERUSER", "ALTER ROLE $role NOSUPERUSER; GRANT plio_admin TO $role"] {
        elsewhere.batch_execute(&grant.replace("$role", &format!("\"{schema}\""))).unwrap();
        assert_eq!(value(&mut admin, found), "critical");
        let mut client = world.db.connect(&schema);
        assert_eq!(value(&mut client, "SELECT whose()"), "genuine");
        assert_eq!(value(&mut client, "SELECT current_schema()"), "public");
        client.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')")).unwrap();
        assert!(value(&mut client, "SELECT whose()").starts_with("tenant_"));
        client.batch_execute("ROLLBACK").unwrap();
        // The leak without us.
        elsewhere.batch_execute(&format!("ALTER ROLE \"{schema}\" SUPERUSER")).unwrap();
        client.batch_execute("SET plio.enforcement = off; SET search_path = \"$user\", public").unwrap();
        assert_eq!(value(&mut client, "SELECT whose()"), schema);
    }
    let fix = value(&mut admin, "SELECT fix FROM plio.health() WHERE finding = 'role_of_schema'");
    admin.batch_execute(&fix).unwrap();
    assert_eq!(value(&mut admin, found), "");
    elsewhere.batch_execute(&format!("DROP ROLE \"{}_role\"", &schema[..schema.len().min(58)])).ok();
}

// A plain administrator shares whatever is no tenant's; what an extension works by, to read only.
#[test]
fn a_plain_administrator_opens_no_stronger_roles_extension_to_be_written() {
    let world = legacy();
    let mut admin = world.db.superuser();
    let (role, mut dba) = dba(&world);
    admin
        .batch_execute(
            "CREATE SCHEMA jobs; CREATE EXTENSION hstore SCHEMA jobs; CREATE TABLE jobs.job (command text); CREATE TABLE jobs.note (x int);
             ALTER EXTENSION hstore ADD TABLE jobs.job; CREATE TABLE public.note (x int);
             CREATE SEQUENCE jobs.number; ALTER EXTENSION hstore ADD SEQUENCE jobs.number; CREATE SEQUENCE jobs.free",
        )
        .unwrap();
    // Without USAGE on the schema he does not open its functions either.
    let read = "SELECT plio.share('jobs.job', 'read')";
    refused(&mut dba, read, "42501", &["jobs", "postgres"]);
    admin.batch_execute(&format!("GRANT USAGE ON SCHEMA jobs TO {role}")).unwrap();
    for object in ["jobs.job", "jobs"] {
        refused(
            &mut dba,
            &format!("SELECT plio.share('{object}', 'write')"),
            "42501",
            &["jobs.job", "postgres"],
        );
    }
    let write = "SELECT plio.share('jobs.number', 'write')";
    refused(&mut dba, write, "42501", &["jobs.number", "postgres"]);
    dba.batch_execute("SELECT plio.share('jobs.number', 'read'), plio.share('jobs.free', 'write')").unwrap();
    dba.batch_execute(
        "SELECT plio.share('jobs.job', 'read'), plio.share('jobs', 'read'), plio.share('jobs.note', 'write'),
                plio.share('public.note', 'write'), plio.share('public.plans', 'write')",
    )
    .unwrap();
    admin.batch_execute(&format!("GRANT INSERT ON jobs.job TO {role} WITH GRANT OPTION")).unwrap();
    dba.batch_execute("SELECT plio.share('jobs.job', 'write')").unwrap();
    refused(&mut dba, write, "42501", &["jobs.number", "postgres"]);
    admin.batch_execute(&format!("GRANT USAGE ON SEQUENCE jobs.number TO {role} WITH GRANT OPTION")).unwrap();
    dba.batch_execute(write).unwrap();
}
