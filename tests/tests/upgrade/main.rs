//! Updates: a database of an older release, updated, is what a fresh install is, and works all the while.
//!
//! The library comes first, with a package; the SQL objects follow with ALTER EXTENSION UPDATE. So the library of today must
//! judge over the SQL objects of each release.

use plio_tests::{Cluster, Db, SUPERUSER, TwoTenants, assert_refusal, expect_sqlstate, first, refused};
use postgres::{Client, NoTls};
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

/// The releases whose install scripts are kept.
const RELEASES: [&str; 1] = ["0.1.0"];
const TODAY: &str = env!("CARGO_PKG_VERSION");
const FINDINGS: &str =
    "SELECT coalesce(string_agg(finding || ' ' || detail, ', ' ORDER BY finding, detail), '')
    FROM plio.health() WHERE severity <> 'info'";

/// Every object of the extension with its definition.
fn catalog(db: &Db) -> BTreeMap<String, String> {
    let rows = db.superuser().query(include_str!("catalog.sql"), &[]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn assert_same(updated: &Db, fresh: &Db) {
    let (updated, fresh) = (catalog(updated), catalog(fresh));
    let missing: Vec<_> = fresh.keys().filter(|object| !updated.contains_key(*object)).collect();
    let left: Vec<_> = updated.keys().filter(|object| !fresh.contains_key(*object)).collect();
    assert!(
        missing.is_empty() && left.is_empty(),
        "the update does not make {missing:?}, and leaves {left:?}"
    );
    for (object, definition) in &fresh {
        assert_eq!(&updated[object], definition, "{object} (left: updated, right: fresh)");
    }
}

/// A database of that release with tenants, a suspended one, two adopted ones, access, shares, a history and a report view. The
/// library of that release is not there any more: the rows are written as it wrote them.
fn released(cluster: &Cluster, version: &str) -> TwoTenants {
    let db = cluster.database("released");
    db.superuser().batch_execute(&format!("CREATE EXTENSION plio_tenancy VERSION '{version}'")).unwrap();
    let (app, carol) = (db.login_role("app"), db.login_role("carol"));
    let mut admin = db.superuser();
    admin
        .batch_execute(&include_str!("released.sql").replace("{app}", &app).replace("{db}", db.name()))
        .unwrap_or_else(|error| panic!("{error:?}"));
    TwoTenants { db, app, carol }
}

/// The boundary holds, whichever SQL objects are there.
fn assert_judges(fixture: &TwoTenants) {
    let mut app = fixture.db.connect(&fixture.app);
    for (org, other) in [("acme", "bravo"), ("bravo", "acme")] {
        app.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}'); SAVEPOINT s")).unwrap();
        assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), format!("canary-{org}"));
        assert_eq!(first(&mut app, "SELECT name FROM countries"), "India");
        refused(app.query(&format!("SELECT * FROM tenant_{other}.users"), &[]), "42501");
        app.batch_execute("ROLLBACK").unwrap();
    }
    refused(app.query("SELECT * FROM tenant_acme.users", &[]), "55000");
    refused(app.batch_execute("BEGIN; SELECT plio.set_tenant('shut')"), "55000");
    app.batch_execute("ROLLBACK; BEGIN; SELECT plio.set_tenant('old'); CREATE TABLE t (); ROLLBACK").unwrap();
    refused(
        fixture.db.connect(&fixture.carol).batch_execute("BEGIN; SELECT plio.set_tenant('acme')"),
        "42501",
    );
}

/// What a DBA does goes on, too.
fn assert_goes_on(fixture: &TwoTenants) {
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "SELECT plio.create_tenant('later'); SELECT plio.rename_tenant('later', 'renamed');
             SELECT plio.drop_tenant('renamed', 'renamed'); SELECT plio.resume_tenant('shut'); SELECT plio.suspend_tenant('shut');
             SELECT plio.unassign_role('older'); SELECT plio.assign_role('older')",
        )
        .unwrap();
    let reported = "SELECT string_agg(org || ' ' || name, ',' ORDER BY org) FROM plio_reports.users WHERE org IN ('acme', 'bravo')";
    admin.batch_execute("SET ROLE NONE").unwrap();
    assert_eq!(first(&mut admin, reported), "acme canary-acme,bravo canary-bravo");
}

fn update(admin: &mut Client) {
    admin.batch_execute("ALTER EXTENSION plio_tenancy UPDATE").unwrap();
}

#[test]
fn an_updated_database_is_what_a_fresh_one_is_and_works() {
    for version in RELEASES {
        let cluster = Cluster::start(&[]);
        let fixture = released(&cluster, version);
        let fresh = cluster.database("fresh");
        fresh.extension();
        update(&mut fixture.db.superuser());
        assert_same(&fixture.db, &fresh);
        assert_eq!(
            first(&mut fixture.db.superuser(), FINDINGS),
            first(&mut fixture.db.superuser(), ONE_LAYER)
        );
        assert_judges(&fixture);
        assert_goes_on(&fixture);
    }
}

/// The adopted tenant is all that health() has to say.
const ONE_LAYER: &str =
    "SELECT 'one_layer tenant \"old\" has no role of its own: only the access check holds'";

#[test]
fn a_newer_library_judges_over_older_sql_objects_and_says_that_an_update_is_due() {
    for version in RELEASES {
        let cluster = Cluster::start(&[]);
        let fixture = released(&cluster, version);
        assert_judges(&fixture);
        let mut admin = fixture.db.superuser();
        for management in
            ["create_tenant('x')", "grant_access('plio_admin', 'acme')", "share('public.countries', 'write')"]
        {
            refused(admin.execute(&format!("SELECT plio.{management}"), &[]), "55000");
        }
        let said = first(&mut admin, "SELECT string_agg(detail, ' ') FROM plio.health()");
        assert!(said.contains("ALTER EXTENSION plio_tenancy UPDATE"), "{said}");
        update(&mut admin);
        assert_goes_on(&fixture);
        let said = first(&mut admin, "SELECT string_agg(detail, ' ') FROM plio.health()");
        assert!(!said.contains("ALTER EXTENSION"), "{said}");
    }
}

#[test]
fn health_compares_the_versions() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database("versions");
    db.extension();
    let mut admin = db.superuser();
    assert_eq!(first(&mut admin, "SELECT plio.version()"), TODAY);
    assert_eq!(first(&mut admin, FINDINGS), "");
    for (other, fix) in
        [("0.0.9", "ALTER EXTENSION plio_tenancy UPDATE"), ("9.0.0", "install the newer package")]
    {
        admin
            .execute("UPDATE pg_extension SET extversion = $1 WHERE extname = 'plio_tenancy'", &[&other])
            .unwrap();
        let said = first(
            &mut admin,
            "SELECT severity || ': ' || fix FROM plio.health() WHERE finding = 'update_due'",
        );
        assert!(said.starts_with("warning: ") && said.contains(fix), "{said}");
    }
}

// A transaction in a tenant is open. An administrator updates the extension in another session: the update goes through
// beside it or waits for its end. Then both have done what they wanted.
#[test]
fn the_update_runs_beside_open_transactions_or_waits() {
    for version in RELEASES {
        let cluster = Cluster::start(&[]);
        let fixture = released(&cluster, version);
        let mut app = fixture.db.connect(&fixture.app);
        app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); INSERT INTO users (name) VALUES ('new')")
            .unwrap();
        let config = fixture.db.config(SUPERUSER);
        let updating = thread::spawn(move || update(&mut config.connect(NoTls).unwrap()));
        thread::sleep(Duration::from_millis(300));
        assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 2"), "new");
        app.batch_execute("COMMIT").unwrap();
        updating.join().unwrap();
        assert_judges(&fixture);
        // The session of before goes on, too.
        app.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
        assert_eq!(first(&mut app, "SELECT name FROM users"), "canary-bravo");
        app.batch_execute("COMMIT").unwrap();
    }
}

// A session reads a table or a view of the extension's and leaves its transaction open, as a backup does. An administrator
// updates the extension: he waits no longer than the limit, is told who is in the way, and holds up nobody meanwhile.
#[test]
fn the_update_does_not_wait_without_end() {
    for version in RELEASES {
        let cluster = Cluster::start(&[]);
        let fixture = released(&cluster, version);
        let mut holder = fixture.db.superuser();
        let mut admin = fixture.db.superuser();
        let pid = first(&mut holder, "SELECT pg_backend_pid()::text");
        for (held, limit, longest) in [
            ("SELECT 1 FROM plio.tenants", "SET lock_timeout = '300ms'", 3),
            ("SELECT 1 FROM plio.denials", "SET lock_timeout = '300ms'", 3),
            ("SELECT 1 FROM plio.tenants", "RESET lock_timeout", 10),
        ] {
            holder.batch_execute(&format!("BEGIN; {held}")).unwrap();
            admin.batch_execute(limit).unwrap();
            let start = std::time::Instant::now();
            let config = fixture.db.config(&fixture.app);
            let newcomer = thread::spawn(move || {
                let mut app = config.connect(NoTls).unwrap();
                let mut slowest = Duration::ZERO;
                for _ in 0..10 {
                    let start = std::time::Instant::now();
                    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SELECT FROM users; COMMIT")
                        .unwrap();
                    slowest = slowest.max(start.elapsed());
                    thread::sleep(Duration::from_millis(30));
                }
                slowest
            });
            let refused =
                expect_sqlstate(admin.batch_execute("ALTER EXTENSION plio_tenancy UPDATE"), "55006");
            assert_refusal(&refused, "55006", &["canary"]);
            assert!(start.elapsed() < Duration::from_secs(longest), "{held}: {:?}", start.elapsed());
            assert!(refused.detail().unwrap().contains(&format!("process {pid} ")), "{refused:?}");
            assert!(newcomer.join().unwrap() < Duration::from_millis(1500), "{held}");
            holder.batch_execute("COMMIT").unwrap();
        }
        // An administrator's transaction that goes on, too.
        holder.batch_execute("BEGIN").unwrap();
        if holder.batch_execute("SELECT plio.suspend_tenant('bravo')").is_ok() {
            admin.batch_execute("SET lock_timeout = '300ms'").unwrap();
            expect_sqlstate(admin.batch_execute("ALTER EXTENSION plio_tenancy UPDATE"), "55006");
        }
        holder.batch_execute("ROLLBACK").unwrap();
        admin.batch_execute("SET lock_timeout = '7s'").unwrap();
        update(&mut admin);
        // The limit is the update's alone.
        assert_eq!(first(&mut admin, "SELECT current_setting('lock_timeout')"), "7s");
        assert_judges(&fixture);
    }
}
