//! Two and three sessions at once, all long-lived with warm caches: no decision is stale once the other session's
//! commit has returned, and nobody changes a tenant under a transaction that is in it.

mod behind;
mod extension;
mod overtaken;
mod sessions;
mod standby;
mod waits;

use plio_tests::Cluster;
use sessions::{Running, enter, first, refused, two_tenants, warm};
use std::time::{Duration, Instant};

/// What changes a tenant, and what entering it gives afterwards.
const CHANGES: [(&str, &str); 5] = [
    ("SELECT plio.suspend_tenant('acme')", "55000"),
    ("SELECT plio.rename_tenant('acme', 'other')", "42501"),
    ("SELECT plio.drop_tenant('acme', 'acme')", "42501"),
    ("SELECT plio.drop_tenant('acme', 'acme'); SELECT plio.create_tenant('acme')", "42501"),
    ("SELECT plio.rename_tenant('acme', 'other'); SELECT plio.rename_tenant('bravo', 'acme')", ""),
];

// app is in acme; the change waits for it; app goes on undisturbed and commits; the change goes through; app's
// next transaction is refused (or, the name having gone to bravo, sees bravo's rows alone).
#[test]
fn a_change_waits_for_the_transactions_in_the_tenant() {
    for (change, code) in CHANGES {
        let fixture = two_tenants("waits");
        let mut app = warm(&fixture, &fixture.app);
        enter(&mut app, "acme").unwrap();
        let running = Running::blocked(&fixture.db, fixture.db.superuser(), change);
        assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
        app.batch_execute("INSERT INTO users (name) VALUES ('fourth'); SAVEPOINT s; SELECT 1; COMMIT")
            .unwrap();
        running.finish().1.unwrap_or_else(|error| panic!("{change}: {error:?}"));
        if code.is_empty() {
            enter(&mut app, "acme").unwrap();
            assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-bravo");
        } else {
            refused(enter(&mut app, "acme"), code);
        }
    }
}

// app is in acme and stays; the change gives up after lock_timeout with 55006, and nothing has changed.
#[test]
fn a_change_gives_up_after_lock_timeout() {
    let fixture = two_tenants("timeout");
    let mut app = warm(&fixture, &fixture.app);
    let mut admin = warm(&fixture, plio_tests::SUPERUSER);
    for begin in
        ["BEGIN; SELECT plio.set_tenant('acme')", "SET plio.tenant = 'acme'; BEGIN; SELECT * FROM users"]
    {
        for part in begin.split("; ") {
            app.batch_execute(part).unwrap();
        }
        for (change, _) in CHANGES {
            let start = Instant::now();
            admin.batch_execute("SET lock_timeout = '100ms'").unwrap();
            refused(admin.batch_execute(change), "55006");
            assert!(start.elapsed() < Duration::from_secs(4), "{change}");
            assert_eq!(first(&mut admin, "SHOW lock_timeout"), "100ms");
        }
        // Without a lock_timeout of the session's it does not wait for ever either.
        admin.batch_execute("RESET lock_timeout").unwrap();
        let start = Instant::now();
        refused(admin.batch_execute("SELECT plio.suspend_tenant('acme')"), "55006");
        assert!(start.elapsed() > Duration::from_secs(3));
        assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
        app.batch_execute("COMMIT").unwrap();
        app.batch_execute("RESET plio.tenant").unwrap();
        enter(&mut app, "acme").unwrap();
        app.batch_execute("COMMIT").unwrap();
    }
}

// The change is made but not committed; app's set_tenant waits for it, and decides by what it has become.
#[test]
fn entering_waits_for_a_change_that_is_under_way() {
    for (change, code) in CHANGES {
        for end in ["COMMIT", "ROLLBACK"] {
            let fixture = two_tenants("underway");
            let app = warm(&fixture, &fixture.app);
            let mut admin = fixture.db.superuser();
            admin.batch_execute(&format!("BEGIN; {change}")).unwrap();
            let running = Running::blocked(&fixture.db, app, "BEGIN; SELECT plio.set_tenant('acme')");
            admin.batch_execute(end).unwrap();
            let (mut app, result) = running.finish();
            match (end, code) {
                ("ROLLBACK", _) => {
                    result.unwrap();
                    assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
                }
                (_, "") => {
                    result.unwrap();
                    assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-bravo");
                }
                _ => refused(result, code),
            }
        }
    }
}

// The change has been committed while app was idle: app's warm cache must not answer.
#[test]
fn a_committed_change_is_seen_by_the_very_next_transaction() {
    for (change, code) in CHANGES {
        let fixture = two_tenants("idle");
        let mut sessions = [warm(&fixture, &fixture.app), warm(&fixture, &fixture.app)];
        fixture.db.superuser().batch_execute(change).unwrap();
        for app in &mut sessions {
            if code.is_empty() {
                enter(app, "acme").unwrap();
                assert_eq!(first(app, "SELECT name FROM users WHERE id = 1"), "canary-bravo");
            } else {
                refused(enter(app, "acme"), code);
                refused(app.batch_execute("SET plio.tenant = 'acme'"), code);
            }
        }
    }
}

// As above, but app's transaction has begun, with an old snapshot, before the change was committed.
#[test]
fn a_committed_change_is_seen_by_a_transaction_that_began_before_it() {
    for (change, code) in CHANGES {
        if code.is_empty() {
            continue;
        }
        let fixture = two_tenants("began");
        let mut app = warm(&fixture, &fixture.app);
        app.batch_execute("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM pg_class").unwrap();
        fixture.db.superuser().batch_execute(change).unwrap();
        refused(app.batch_execute("SELECT plio.set_tenant('acme')"), code);
    }
}

// app's transaction has begun, and was refused once; then access is granted, the tenant is renamed, made. The refusal that is
// remembered counts no more.
#[test]
fn what_is_granted_counts_in_a_transaction_that_was_refused_before() {
    let fixture = two_tenants("granted");
    let mut admin = fixture.db.superuser();
    let role = &fixture.carol;
    for (change, org) in [
        (format!("SELECT plio.grant_access('{role}', 'acme')"), "acme"),
        ("SELECT plio.rename_tenant('acme', 'coral')".to_owned(), "coral"),
        (format!("SELECT plio.create_tenant('delta'), plio.grant_access('{role}', 'delta')"), "delta"),
    ] {
        for begin in ["BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ"] {
            for enter in
                ["SET LOCAL plio.tenant = '@'", "SET plio.tenant = '@'", "SELECT plio.set_tenant('@')"]
            {
                let enter = enter.replace('@', org);
                let mut carol = fixture.db.connect(role);
                carol.batch_execute(&format!("{begin}; SELECT 1; SAVEPOINT s")).unwrap();
                refused(carol.batch_execute(&enter), "42501");
                carol.batch_execute("ROLLBACK TO s").unwrap();
                let mut other = fixture.db.superuser();
                other.batch_execute(&change).unwrap();
                carol
                    .batch_execute(&enter)
                    .unwrap_or_else(|error| panic!("{change}, {begin}, {enter}: {error:?}"));
                carol.batch_execute("COMMIT").unwrap();
                drop(carol);
                let back = match org {
                    "acme" => format!("SELECT plio.revoke_access('{role}', 'acme')"),
                    "coral" => "SELECT plio.rename_tenant('coral', 'acme')".to_owned(),
                    _ => "SELECT plio.drop_tenant('delta', 'delta')".to_owned(),
                };
                admin.batch_execute(&back).unwrap();
            }
        }
        if org == "acme" {
            admin.batch_execute(&change).unwrap();
        }
    }
}

// A session's tenant takes its lock with the first statement. A savepoint undoes that statement, and the lock with
// it; then the change is committed; what app does next in its transaction must see it.
#[test]
fn a_sessions_lock_that_a_savepoint_undid_is_taken_again() {
    for (change, code) in CHANGES {
        let fixture = two_tenants("undone");
        let mut app = warm(&fixture, &fixture.app);
        app.batch_execute("SET plio.tenant = 'acme'").unwrap();
        app.batch_execute("BEGIN; SAVEPOINT s; SELECT * FROM users; ROLLBACK TO s").unwrap();
        if fixture.db.superuser().batch_execute(&format!("SET lock_timeout = '100ms'; {change}")).is_ok() {
            let result = app.query("SELECT name FROM users", &[]);
            assert!(result.is_err(), "{change}: rows of a tenant that is not what it was");
            if code == "55000" {
                refused(result, code);
            }
        } else {
            app.batch_execute("SELECT name FROM users").unwrap();
        }
    }
}

// Access is taken away while app is in the tenant: the transaction goes on to its end, the next one is refused.
#[test]
fn revoked_access_ends_with_the_transaction() {
    let fixture = two_tenants("revoke");
    let mut app = warm(&fixture, &fixture.app);
    let mut admin = fixture.db.superuser();
    enter(&mut app, "acme").unwrap();
    admin.execute("SELECT plio.revoke_access($1, 'acme')", &[&fixture.app]).unwrap();
    assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
    app.batch_execute("COMMIT").unwrap();
    refused(enter(&mut app, "acme"), "42501");
    enter(&mut app, "bravo").unwrap();
    app.batch_execute("COMMIT").unwrap();
    // By way of a group, whose membership ends without the registry's knowing.
    let group = Cluster::shared().unique("group");
    admin.batch_execute(&format!("CREATE ROLE {group}; GRANT {group} TO \"{}\"", fixture.app)).unwrap();
    admin.execute("SELECT plio.grant_access($1, 'acme')", &[&group]).unwrap();
    enter(&mut app, "acme").unwrap();
    app.batch_execute("COMMIT").unwrap();
    admin.batch_execute(&format!("REVOKE {group} FROM \"{}\"", fixture.app)).unwrap();
    refused(enter(&mut app, "acme"), "42501");
    // An administrator who is one no more.
    admin.batch_execute(&format!("GRANT plio_admin TO \"{}\"", fixture.app)).unwrap();
    enter(&mut app, "acme").unwrap();
    app.batch_execute("COMMIT").unwrap();
    admin.batch_execute(&format!("REVOKE plio_admin FROM \"{}\"", fixture.app)).unwrap();
    refused(enter(&mut app, "acme"), "42501");
    refused(app.query("SELECT * FROM tenant_acme.users", &[]), "55000");
}

// A share is given and taken back under a transaction that is in a tenant, with a plan in its cache.
#[test]
fn a_share_ends_for_running_transactions_too() {
    let fixture = two_tenants("unshare");
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute("CREATE SCHEMA lookup; CREATE TABLE lookup.t AS SELECT 1 AS x; SELECT plio.share('lookup', 'read')")
        .unwrap();
    let mut app = warm(&fixture, &fixture.app);
    let statement = {
        enter(&mut app, "acme").unwrap();
        app.prepare("SELECT x FROM lookup.t").unwrap()
    };
    for _ in 0..2 {
        app.query_one(&statement, &[]).unwrap();
        app.batch_execute("SELECT * FROM countries; SAVEPOINT s").unwrap();
        admin
            .batch_execute("SELECT plio.unshare('lookup'); SELECT plio.unshare('public.countries')")
            .unwrap();
        refused(app.query_one(&statement, &[]), "42501");
        app.batch_execute("ROLLBACK TO s").unwrap();
        refused(app.batch_execute("SELECT * FROM public.countries"), "42501");
        app.batch_execute("ROLLBACK TO s").unwrap();
        admin
            .batch_execute(
                "SELECT plio.share('lookup', 'read'); SELECT plio.share('public.countries', 'read')",
            )
            .unwrap();
    }
}

// Two administrators at once: the second waits for the first, then finds what it left.
#[test]
fn two_administrators_do_not_cross() {
    let mut wrong = Vec::new();
    for (one, two, code) in [
        ("create_tenant('new')", "create_tenant('new')", "42710"),
        ("drop_tenant('acme', 'acme')", "drop_tenant('acme', 'acme')", "42704"),
        ("drop_tenant('acme', 'acme')", "suspend_tenant('acme')", "42704"),
        ("rename_tenant('acme', 'other')", "rename_tenant('acme', 'third')", "42704"),
        ("rename_tenant('acme', 'other')", "rename_tenant('bravo', 'other')", "42710"),
        ("create_tenant('other')", "rename_tenant('bravo', 'other')", "42710"),
        ("drop_tenant('acme', 'acme')", "grant_access('postgres', 'acme')", "42704"),
    ] {
        let fixture = two_tenants("admins");
        let mut first_admin = fixture.db.superuser();
        first_admin.batch_execute(&format!("BEGIN; SELECT plio.{one}")).unwrap();
        let running = Running::blocked(&fixture.db, fixture.db.superuser(), &format!("SELECT plio.{two}"));
        first_admin.batch_execute("COMMIT").unwrap();
        let result = running.finish().1;
        let found = result.as_ref().err().and_then(|error| error.as_db_error()).map(|db| db.code().code());
        if found == Some(code) {
            refused(result, code);
        } else {
            wrong.push(format!("{one} against {two}: {result:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
