//! pg_dump and pg_restore of the whole database: registry, grants, shares and isolation arrive with the data.

use plio_tests::{Cluster, Db, TwoTenants, first, refused};
use std::path::Path;
use std::process::{Command, Stdio};

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    assert!(!stderr.contains("error:") && !stderr.contains("warning:"), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Two tenants, a suspended one, one with an odd schema, shares of all kinds, a granted group.
fn source(cluster: &Cluster) -> TwoTenants {
    let fixture = cluster.database("source").two_tenants();
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "SELECT plio.create_tenant('odd', 'Odd \"Name\"', '{\"plan\": \"gold\"}'), plio.create_tenant('shut');
             SELECT plio.suspend_tenant('shut');
             CREATE SCHEMA lookup; CREATE TABLE lookup.t (x serial); INSERT INTO lookup.t VALUES (1);
             CREATE TABLE public.unshared AS SELECT 'canary' AS x;
             SELECT plio.share('lookup', 'write');
             INSERT INTO plio.denials_history (at, denial_id, pid, kind, message, sqlstate, enforced)
                 VALUES ('2026-01-01', 7, 1, 'role', 'was refused', '42501', true);
             BEGIN; SELECT plio.set_tenant('odd');
             CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES parent, code text REFERENCES countries);
             CREATE VIEW seen AS SELECT * FROM child JOIN countries USING (code);
             CREATE FUNCTION n() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM parent; END;
             INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 'IN'); COMMIT",
        )
        .unwrap();
    admin.execute("SELECT plio.grant_access_to_every_tenant($1)", &[&fixture.app]).unwrap();
    admin.execute("SELECT plio.revoke_access($1, 'bravo')", &[&fixture.app]).unwrap();
    fixture
}

/// pg_dump of the database into a file of pg_restore's format.
fn dump(db: &Db, file: &Path) {
    run(db.cluster().program("pg_dump").args(["-Fc", "-f"]).arg(file).arg(db.name()));
}

fn restore(db: &Db, file: &Path, jobs: &str) {
    run(db
        .cluster()
        .program("pg_restore")
        .args(["--exit-on-error", "--jobs", jobs, "--dbname", db.name()])
        .arg(file));
}

/// The registry without what differs from one database to another.
const REGISTRY: &str = "SELECT concat_ws(E'\\n',
    (SELECT string_agg(t::text, ' ' ORDER BY tenant_id) FROM plio.tenants t),
    (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM plio.access a),
    (SELECT string_agg(s::text, ' ' ORDER BY s::text) FROM plio.shares s),
    (SELECT string_agg(h::text, ' ' ORDER BY history_id) FROM plio.history h),
    (SELECT string_agg(d::text, ' ' ORDER BY denial_id) FROM plio.denials_history d))";

/// Everything that the source promises holds in the copy.
fn assert_protected(copy: &Db, app: &str, carol: &str) {
    let mut admin = copy.superuser();
    let findings = "SELECT coalesce(string_agg(finding || ' ' || detail, ', '), '') FROM plio.health() WHERE severity <> 'info'";
    assert_eq!(first(&mut admin, findings), "");
    let mut app = copy.connect(app);
    for org in ["acme", "bravo"] {
        app.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}'); SAVEPOINT s")).unwrap();
        assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), format!("canary-{org}"));
        assert_eq!(first(&mut app, "SELECT name FROM countries WHERE code = 'IN'"), "India");
        app.batch_execute(
            "INSERT INTO users (name) VALUES ('new'); INSERT INTO lookup.t DEFAULT VALUES; SAVEPOINT s",
        )
        .unwrap();
        for foreign in ["tenant_bravo.users", "tenant_acme.users", "public.unshared", "plio.tenants"] {
            if !foreign.contains(org) {
                refused(app.query(&format!("SELECT * FROM {foreign}"), &[]), "42501");
                app.batch_execute("ROLLBACK TO s").unwrap();
            }
        }
        app.batch_execute("ROLLBACK").unwrap();
    }
    refused(app.batch_execute("BEGIN; SELECT plio.set_tenant('shut')"), "55000");
    app.batch_execute("ROLLBACK; BEGIN; SELECT plio.set_tenant('odd')").unwrap();
    assert_eq!(first(&mut app, "SELECT name || n() FROM seen"), "India1");
    app.batch_execute("ROLLBACK").unwrap();
    refused(app.query("SELECT * FROM tenant_acme.users", &[]), "55000");
    refused(copy.connect(carol).batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "42501");
}

/// Life goes on in the copy: new tenants, new shares, the old ones changed and dropped.
fn assert_goes_on(copy: &Db) {
    let mut admin = copy.superuser();
    admin
        .batch_execute(
            "SELECT plio.create_tenant('later'); SELECT plio.resume_tenant('shut');
             SELECT plio.rename_tenant('bravo', 'renamed'); SELECT plio.unshare('lookup');
             SELECT plio.drop_tenant('acme', 'acme'); SELECT plio.create_tenant('acme');
             BEGIN; SELECT plio.set_tenant('renamed'); SELECT * FROM users; COMMIT;
             BEGIN; SELECT plio.set_tenant('acme'); CREATE TABLE users (); COMMIT",
        )
        .unwrap();
    let findings = "SELECT coalesce(string_agg(finding || ' ' || detail, ', '), '') FROM plio.health() WHERE severity <> 'info'";
    assert_eq!(first(&mut admin, findings), "");
    let ids = "SELECT count(DISTINCT tenant_id)::text FROM plio.tenants";
    assert_eq!(first(&mut admin, ids), "5");
}

#[test]
fn a_copy_in_the_same_cluster_is_protected_and_leaves_the_original_alone() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&[]);
    let fixture = source(&cluster);
    let file = folder.path().join("dump");
    dump(&fixture.db, &file);
    for jobs in ["1", "3"] {
        let copy = cluster.database("copy");
        restore(&copy, &file, jobs);
        let registry = first(&mut fixture.db.superuser(), REGISTRY);
        assert_eq!(first(&mut copy.superuser(), REGISTRY), registry);
        assert_protected(&copy, &fixture.app, &fixture.carol);
        // The two databases share the tenants' roles: what the copy does to its own must not hurt the original.
        assert_goes_on(&copy);
        assert_eq!(first(&mut fixture.db.superuser(), REGISTRY), registry);
        assert_protected(&fixture.db, &fixture.app, &fixture.carol);
    }
    assert_goes_on(&fixture.db);
}

#[test]
fn a_copy_in_another_cluster_is_protected() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (Cluster::start(&[]), Cluster::start(&[]));
    let fixture = source(&here);
    let file = folder.path().join("dump");
    dump(&fixture.db, &file);
    let roles = run(here.program("pg_dumpall").arg("--roles-only"));
    let roles_file = folder.path().join("roles.sql");
    // The superuser is there already.
    let roles: String = roles
        .lines()
        .filter(|line| !line.starts_with("CREATE ROLE postgres;"))
        .flat_map(|line| [line, "\n"])
        .collect();
    std::fs::write(&roles_file, roles).unwrap();
    // The same names are to have other oids.
    there
        .database("other")
        .superuser()
        .batch_execute("CREATE TABLE a (); CREATE TABLE b (); CREATE TABLE c ()")
        .unwrap();
    run(there
        .program("psql")
        .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname=postgres", "--file"])
        .arg(&roles_file)
        .stdout(Stdio::null()));
    let copy = there.database("copy");
    restore(&copy, &file, "1");
    assert_eq!(first(&mut copy.superuser(), REGISTRY), first(&mut fixture.db.superuser(), REGISTRY));
    // Access is of the other cluster's roles until an administrator says that these are the same.
    let mut admin = copy.superuser();
    for org in ["acme", "bravo"] {
        refused(copy.connect(&fixture.app).batch_execute(&format!("SET plio.tenant = '{org}'")), "42501");
    }
    let findings = "SELECT string_agg(DISTINCT finding, ' ') FROM plio.health() WHERE severity <> 'info'";
    assert_eq!(first(&mut admin, findings), "untied_access");
    admin.batch_execute("SELECT * FROM plio.repair()").unwrap();
    assert_protected(&copy, &fixture.app, &fixture.carol);
    assert_goes_on(&copy);
}

// A dump of the database with its own settings, and of a copy: it can be handed on.
#[test]
fn a_dump_with_create_restores_the_database_itself() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&[]);
    let fixture = source(&cluster);
    let file = folder.path().join("dump");
    run(cluster.program("pg_dump").args(["-Fc", "--create", "-f"]).arg(&file).arg(fixture.db.name()));
    let registry = first(&mut fixture.db.superuser(), REGISTRY);
    cluster
        .database("other")
        .superuser()
        .batch_execute(&format!("DROP DATABASE \"{}\" WITH (FORCE)", fixture.db.name()))
        .unwrap();
    run(cluster.program("pg_restore").args(["--exit-on-error", "--create", "--dbname=postgres"]).arg(&file));
    assert_eq!(first(&mut fixture.db.superuser(), REGISTRY), registry);
    assert_protected(&fixture.db, &fixture.app, &fixture.carol);
    assert_goes_on(&fixture.db);
}

// CREATE DATABASE .. TEMPLATE copies everything but the database's settings: the copy is not protected, says so, and
// what health() tells to do mends it.
#[test]
fn a_database_made_from_the_protected_one_is_not_protected_until_it_is_mended() {
    let cluster = Cluster::start(&[]);
    let fixture = source(&cluster);
    let copy = cluster.database("copy");
    let mut elsewhere = cluster.config(plio_tests::SUPERUSER, "postgres").connect(postgres::NoTls).unwrap();
    elsewhere.batch_execute(&format!("DROP DATABASE \"{}\"", copy.name())).unwrap();
    let create = format!("CREATE DATABASE \"{}\" TEMPLATE \"{}\"", copy.name(), fixture.db.name());
    elsewhere.batch_execute(&create).unwrap();
    let mut app = copy.connect(&fixture.app);
    refused(app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')"), "55000");
    app.batch_execute("ROLLBACK").unwrap();
    assert!(app.query("SELECT * FROM tenant_acme.users", &[]).is_err());
    let mut admin = copy.superuser();
    let fix = "SELECT fix FROM plio.health() WHERE finding = 'not_preloaded' AND severity = 'critical'";
    let fix = first(&mut admin, fix);
    admin.batch_execute(&fix).unwrap();
    assert_protected(&copy, &fixture.app, &fixture.carol);
    assert_goes_on(&copy);
    assert_protected(&fixture.db, &fixture.app, &fixture.carol);
}
