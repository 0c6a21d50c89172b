//! Whose the groups of the extension are: roles belong to the cluster, and somebody may have made them first.

use std::fs;

use plio_tests::{Cluster, Db, SUPERUSER, expect_sqlstate, first, refused};
use postgres::Client;

use super::findings;

const GROUPS: [&str; 4] = ["plio_admin", "plio_auditor", "plio_reporter", "plio_tenant"];

fn has_implicit_admin() -> bool {
    Cluster::major().parse::<u32>().expect("PostgreSQL's major version") >= 16
}

/// A login role that may make roles, and nothing else.
fn maker(db: &Db) -> String {
    let maker = db.login_role("maker");
    db.superuser().batch_execute(&format!("ALTER ROLE {maker} CREATEROLE")).unwrap();
    maker
}

fn run(client: &mut Client, sql: &str) {
    client.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// CREATE EXTENSION is refused, and nothing of it is left; the statements that its hint gives.
#[track_caller]
fn refused_with(db: &Db, group: &str) -> String {
    let error = refused(db.superuser().batch_execute("CREATE EXTENSION plio_tenancy"), "55000");
    assert!(error.message().contains(group), "{error:?}");
    let there = "SELECT count(*)::text FROM pg_namespace WHERE nspname ~ '^plio'";
    assert_eq!(first(&mut db.superuser(), there), "0");
    let hint = error.hint().unwrap();
    let (_, rest) = hint.split_once("Otherwise: ").unwrap_or_else(|| panic!("{hint}"));
    rest.split('.').next().unwrap().to_owned()
}

/// A role with CREATEROLE that made a group before the extension was there does not become an administrator by it.
#[test]
fn a_group_that_somebody_else_made_is_refused() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database("squatted");
    let (maker, other) = (maker(&db), db.login_role("other"));
    for group in GROUPS {
        // From 16 on the maker has ADMIN OPTION by that; before, with CREATEROLE it gives what it likes.
        let mut squatter = db.connect(&maker);
        run(&mut squatter, &format!("CREATE ROLE {group}"));
        if has_implicit_admin() {
            let mend = refused_with(&db, group);
            assert_eq!(
                mend,
                format!("REVOKE {group} FROM {maker} GRANTED BY {SUPERUSER} CASCADE"),
                "{group}"
            );
            run(&mut squatter, &format!("GRANT {group} TO {maker} WITH INHERIT TRUE, SET TRUE"));
        } else {
            run(&mut squatter, &format!("GRANT {group} TO {maker} WITH ADMIN OPTION"));
        }
        run(&mut squatter, &format!("GRANT {group} TO {other} WITH ADMIN OPTION"));
        run(&mut db.superuser(), &refused_with(&db, group));
        let left = format!("SELECT count(*)::text FROM pg_auth_members WHERE roleid = '{group}'::regrole");
        assert_eq!(first(&mut db.superuser(), &left), "0", "{group}");
        // With such an attribute it would be an administrator's login.
        for attribute in ["LOGIN PASSWORD 'x'", "CREATEROLE"] {
            run(&mut db.superuser(), &format!("ALTER ROLE {group} {attribute}"));
            run(&mut db.superuser(), &refused_with(&db, group));
        }
        let mut admin = db.superuser();
        run(&mut admin, "CREATE EXTENSION plio_tenancy; SELECT plio.create_tenant('acme')");
        assert_eq!(findings(&mut db.superuser()), ["loading"], "{group}");
        if has_implicit_admin() {
            expect_sqlstate(db.connect(&maker).batch_execute(&format!("GRANT {group} TO {maker}")), "42501");
        }
        for role in [&maker, &other] {
            let mut client = db.connect(role);
            assert!(client.batch_execute("SELECT plio.create_tenant('evil')").is_err());
            assert!(client.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").is_err());
        }
        run(
            &mut admin,
            "SELECT plio.drop_tenant('acme', 'acme'); DROP EXTENSION plio_tenancy; DROP SCHEMA IF EXISTS plio",
        );
        for made in GROUPS {
            run(&mut admin, &format!("DROP OWNED BY {made}; DROP ROLE {made}"));
        }
    }
}

/// Who left before is not seen: what the group owns is said.
#[test]
fn what_a_group_owned_before_is_said() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database("owned");
    let mut admin = db.superuser();
    run(
        &mut admin,
        "CREATE ROLE plio_admin; CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE sql AS 'SELECT ''x'''; ALTER FUNCTION public.lower(varchar) OWNER TO plio_admin",
    );
    drop(admin);
    let said = plio_tests::psql(&db, SUPERUSER, "CREATE EXTENSION plio_tenancy;");
    let warning =
        "WARNING:  01000: role \"plio_admin\" was there before plio_tenancy, and owns functions or operators";
    assert!(said.stderr.contains(warning), "{said:?}");
    assert!(said.stderr.contains("DROP OWNED BY plio_admin"), "{said:?}");
    assert_eq!(findings(&mut db.superuser()), ["loading"]);
}

/// The members that a superuser gave them, and those whom these have made members, go on: in a second database, and in a
/// cluster to which pg_dumpall brought the roles. What a role with CREATEROLE gave itself in the first is refused there, too.
#[test]
fn groups_with_members_that_were_chosen_go_on() {
    let cluster = Cluster::start(&[]);
    let first_db = cluster.database("first");
    run(&mut first_db.superuser(), "CREATE EXTENSION plio_tenancy");
    let [dba, team, chief, helper] = ["dba", "team", "chief", "helper"].map(|name| first_db.login_role(name));
    let mut admin = first_db.superuser();
    run(
        &mut admin,
        &format!(
            "GRANT plio_admin, plio_auditor TO {dba}; GRANT plio_admin TO {team} WITH ADMIN OPTION; GRANT {team} TO {chief};
             GRANT plio_reporter TO {team} WITH ADMIN OPTION"
        ),
    );
    // By the group's right, as one of its members.
    run(&mut first_db.connect(&chief), &format!("GRANT plio_admin TO {helper} WITH ADMIN OPTION"));
    run(&mut first_db.connect(&helper), &format!("GRANT plio_admin TO {}", first_db.login_role("last")));
    run(&mut first_db.connect(&team), &format!("GRANT plio_reporter TO {helper}"));
    assert_eq!(findings(&mut admin), ["loading"]);
    let second = cluster.database("second");
    run(&mut second.superuser(), "CREATE EXTENSION plio_tenancy");
    assert_eq!(findings(&mut second.superuser()), ["loading"]);

    let restored = restore_roles(&cluster);
    let db = restored.database("restored");
    run(&mut db.superuser(), "CREATE EXTENSION plio_tenancy; SELECT plio.create_tenant('acme')");
    assert_eq!(findings(&mut db.superuser()), ["loading"]);
    run(&mut db.connect(&helper), "SELECT plio.create_tenant('bravo')");

    // A role with CREATEROLE in a database without the extension, on 15; on 16 and later it must have made the group.
    let maker = maker(&first_db);
    let elsewhere = cluster.database("elsewhere");
    if has_implicit_admin() {
        run(&mut elsewhere.superuser(), "ALTER ROLE plio_reporter RENAME TO former");
        run(&mut elsewhere.connect(&maker), "CREATE ROLE plio_reporter");
    } else {
        run(&mut elsewhere.connect(&maker), &format!("GRANT plio_reporter TO {maker} WITH ADMIN OPTION"));
    }
    refused_with(&cluster.database("third"), "plio_reporter");
    refused_with(&restore_roles(&cluster).database("restored"), "plio_reporter");
}

/// Another cluster with the roles of this one, as pg_dumpall tells them.
fn restore_roles(cluster: &Cluster) -> Cluster {
    let dump = cluster.program("pg_dumpall").arg("--roles-only").output().unwrap();
    assert!(dump.status.success(), "{dump:?}");
    let restored = Cluster::start(&[]);
    let file = restored.data_dir().join("roles.sql");
    // The superuser is there already.
    let roles = String::from_utf8(dump.stdout).unwrap().replace("CREATE ROLE postgres;", "");
    fs::write(&file, roles).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let output = restored
        .program("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    restored
}

/// health() tells of whoever has a group without a superuser's will, however that came, and what it says takes it away.
#[test]
fn health_tells_of_members_that_no_superuser_chose() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database("stray");
    run(&mut db.superuser(), "CREATE EXTENSION plio_tenancy");
    let elsewhere = cluster.database("elsewhere");
    let (maker, other) = (maker(&db), db.login_role("other"));
    for group in GROUPS {
        if has_implicit_admin() {
            run(&mut elsewhere.superuser(), &format!("ALTER ROLE {group} RENAME TO former_{group}"));
            run(&mut elsewhere.connect(&maker), &format!("CREATE ROLE {group}"));
            run(
                &mut elsewhere.connect(&maker),
                &format!("GRANT {group} TO {maker} WITH INHERIT TRUE, SET TRUE"),
            );
        } else {
            run(&mut elsewhere.connect(&maker), &format!("GRANT {group} TO {maker} WITH ADMIN OPTION"));
        }
        run(&mut elsewhere.connect(&maker), &format!("GRANT {group} TO {other} WITH ADMIN OPTION"));
        let mut admin = db.superuser();
        let query = "SELECT severity, detail, fix FROM plio.health() WHERE finding = 'stray_member'";
        let found = admin.query(query, &[]).unwrap();
        let details: Vec<String> = found.iter().map(|row| row.get(1)).collect();
        assert!(found.iter().all(|row| row.get::<_, &str>(0) == "critical"));
        for role in [&maker, &other] {
            assert!(
                details.iter().any(|detail| detail.contains(role) && detail.contains(group)),
                "{details:?}"
            );
        }
        for row in &found {
            run(&mut admin, row.get(2));
        }
        assert!(admin.query(query, &[]).unwrap().is_empty(), "{group}");
        let left = format!("SELECT count(*)::text FROM pg_auth_members WHERE roleid = '{group}'::regrole");
        assert_eq!(first(&mut admin, &left), "0", "{group}");
        if has_implicit_admin() {
            run(
                &mut elsewhere.superuser(),
                &format!("DROP ROLE {group}; ALTER ROLE former_{group} RENAME TO {group}"),
            );
        }
        assert_eq!(findings(&mut db.superuser()), ["loading"], "{group}");
    }
}
