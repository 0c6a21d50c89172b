//! Who waits for whom: management for a tenant's transactions, but for nothing that an ordinary role holds on purpose, and
//! nobody for an administrator who waits.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use plio_tests::{Layers, expect_sqlstate};
use postgres::Client;

use super::sessions::{LAYERS, Running, enter, first, refused, two_tenants, warm};

/// Far less than any limit on a wait, far more than a statement takes on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(1500);

#[track_caller]
fn at_once(client: &mut Client, statement: &str) {
    let start = Instant::now();
    client.batch_execute(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    assert!(start.elapsed() < AT_ONCE, "{statement}: {:?}", start.elapsed());
}

// An ordinary role, inside a tenant or in none, keeps a transaction open that locks what it names by oid, or as what its
// own function depends on. Management takes locks that no statement takes.
#[test]
fn nobody_holds_what_management_waits_for() {
    let fixture = two_tenants("held");
    let mut admin = fixture.db.superuser();
    let schema = first(&mut admin, "SELECT 'tenant_acme'::regnamespace::oid::text");
    for (role, begin) in [
        (&fixture.carol, "BEGIN"),
        (&fixture.app, "BEGIN"),
        (&fixture.app, "BEGIN; SELECT plio.set_tenant('bravo')"),
        (&fixture.app, "SET plio.tenant = 'bravo'; BEGIN; SELECT 1 FROM users"),
    ] {
        let mut holder = fixture.db.connect(role);
        for hold in [
            "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION pg_temp.f() DEPENDS ON EXTENSION plio_tenancy".to_owned(),
            format!("SELECT nextval({schema}::oid::regclass)"),
            format!("SELECT pg_sequence_last_value({schema}::oid::regclass)"),
            format!("SELECT pg_relation_size({schema}::oid::regclass)"),
        ] {
            for part in begin.split("; ") {
                holder.batch_execute(part).unwrap();
            }
            holder.batch_execute("SAVEPOINT s").unwrap();
            // Refused or not: what it locked before that is what counts.
            if holder.batch_execute(&hold).is_err() {
                holder.batch_execute("ROLLBACK TO s").unwrap();
            }
            at_once(&mut admin, "SELECT plio.suspend_tenant('acme')");
            at_once(&mut admin, "SELECT plio.resume_tenant('acme'), plio.create_tenant('new'), plio.drop_tenant('new', 'new')");
            holder.batch_execute("ROLLBACK; RESET plio.tenant").unwrap();
        }
    }
    // What it is for: a transaction in the tenant is waited for.
    let mut app = warm(&fixture, &fixture.app);
    enter(&mut app, "acme").unwrap();
    refused(admin.batch_execute("SET lock_timeout = '200ms'; SELECT plio.suspend_tenant('acme')"), "55006");
}

// The tenant's role is granted something in a transaction that stays open: dropping the role waits for it, but not for ever.
#[test]
fn a_grant_to_a_tenants_role_holds_drop_tenant_up_for_a_while_only() {
    if LAYERS == Layers::One {
        return;
    }
    let fixture = two_tenants("granted");
    let mut admin = fixture.db.superuser();
    let role = first(&mut admin, "SELECT role_name FROM plio.tenants WHERE org = 'acme'");
    let mut carol = fixture.db.connect(&fixture.carol);
    carol.batch_execute(&format!("BEGIN; CREATE TEMP TABLE t (); GRANT SELECT ON t TO \"{role}\"")).unwrap();
    let start = Instant::now();
    expect_sqlstate(admin.batch_execute("SELECT plio.drop_tenant('acme', 'acme')"), "55P03");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!(first(&mut admin, "SHOW lock_timeout"), "0");
    expect_sqlstate(
        admin.batch_execute("SET lock_timeout = '100ms'; SELECT plio.drop_tenant('acme', 'acme')"),
        "55P03",
    );
    carol.batch_execute("ROLLBACK").unwrap();
    at_once(&mut admin, "SELECT plio.drop_tenant('acme', 'acme')");
}

// An administrator waits for a transaction in acme. Meanwhile others enter acme, and bravo is suspended. The refusal says
// who holds the tenant.
#[test]
fn nobody_waits_for_an_administrator_who_waits() {
    let fixture = two_tenants("queue");
    let (mut app, mut newcomer) = (warm(&fixture, &fixture.app), warm(&fixture, &fixture.app));
    let mut other = fixture.db.superuser();
    enter(&mut app, "acme").unwrap();
    let pid = first(&mut app, "SELECT pg_backend_pid()::text");
    let running = Running::blocked(&fixture.db, fixture.db.superuser(), "SELECT plio.suspend_tenant('acme')");
    let mut longest = Duration::ZERO;
    for _ in 0..10 {
        let start = Instant::now();
        enter(&mut newcomer, "acme").unwrap();
        assert_eq!(first(&mut newcomer, "SELECT name FROM users WHERE id = 1"), "canary-acme");
        newcomer.batch_execute("COMMIT").unwrap();
        longest = longest.max(start.elapsed());
    }
    assert!(longest < Duration::from_millis(600), "{longest:?}");
    at_once(
        &mut other,
        "SELECT plio.suspend_tenant('bravo'), plio.resume_tenant('bravo'), plio.create_tenant('new')",
    );
    app.batch_execute("COMMIT").unwrap();
    running.finish().1.unwrap();
    refused(enter(&mut app, "acme"), "55000");
    other.batch_execute("SELECT plio.resume_tenant('acme')").unwrap();

    enter(&mut app, "acme").unwrap();
    let timeout = "SET lock_timeout = '150ms'; SELECT plio.suspend_tenant('acme')";
    let detail = |error: postgres::error::DbError| error.detail().unwrap_or_default().to_owned();
    let held = detail(expect_sqlstate(other.batch_execute(timeout), "55006"));
    assert!(held.contains(&pid) && held.contains(&fixture.app), "{held}");
    app.batch_execute("COMMIT").unwrap();
    // Another administrator's open transaction: the same.
    let mut first_admin = fixture.db.superuser();
    first_admin.batch_execute("BEGIN; SELECT plio.suspend_tenant('bravo')").unwrap();
    let pid = first(&mut first_admin, "SELECT pg_backend_pid()::text");
    for call in ["suspend_tenant('acme')", "create_tenant('newer')", "share('public.countries', 'read')"] {
        let error = expect_sqlstate(
            other.batch_execute(&format!("SET lock_timeout = '150ms'; SELECT plio.{call}")),
            "55006",
        );
        assert!(detail(error).contains(&pid), "{call}");
    }
    // Two that want each other's tenants: neither waits for ever.
    let crossing = Running::blocked(
        &fixture.db,
        fixture.db.superuser(),
        "BEGIN; SELECT plio.suspend_tenant('acme'), plio.suspend_tenant('bravo')",
    );
    at_once(&mut first_admin, "SELECT plio.suspend_tenant('acme'); COMMIT");
    crossing.finish().1.unwrap();
}

// There is always somebody in the tenant, but never for long: it can be suspended all the same.
#[test]
fn a_busy_tenant_can_be_suspended() {
    let fixture = two_tenants("busy");
    let mut admin = fixture.db.superuser();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut app = warm(&fixture, &fixture.app);
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Relaxed) {
                    if enter(&mut app, "acme").is_ok() {
                        app.batch_execute("SELECT pg_sleep(0.02); COMMIT").unwrap();
                    }
                }
            });
        }
        thread::sleep(Duration::from_millis(100));
        let suspended = admin.batch_execute("SELECT plio.suspend_tenant('acme')");
        is_over.store(true, Relaxed);
        suspended.unwrap();
    });
}

// The lock on a tenant would outlive the session with what is prepared.
#[test]
fn what_was_in_a_tenant_is_not_prepared() {
    let fixture = two_tenants("prepared");
    let mut app = warm(&fixture, &fixture.app);
    let name = &fixture.app;
    for work in [
        "SET plio.tenant = 'acme'; BEGIN; INSERT INTO users (name) VALUES ('x'); RESET plio.tenant",
        "SET plio.tenant = 'acme'; BEGIN; SELECT 1 FROM users; SET plio.tenant = 'bravo'; SELECT 1 FROM users; RESET plio.tenant",
        "RESET plio.tenant; BEGIN; SAVEPOINT s; SELECT plio.set_tenant('acme'); RELEASE s",
    ] {
        for part in work.split("; ") {
            app.batch_execute(part).unwrap_or_else(|error| panic!("{part}: {error:?}"));
        }
        refused(app.batch_execute(&format!("PREPARE TRANSACTION '{name}'")), "42501");
        app.batch_execute("ROLLBACK").unwrap();
        app.batch_execute("RESET plio.tenant").unwrap();
    }
    // In no tenant, or in none any more since a savepoint undid it.
    for work in ["SELECT 1", "SAVEPOINT s; SELECT plio.set_tenant('acme'); ROLLBACK TO s"] {
        app.batch_execute("BEGIN").unwrap();
        app.batch_execute(work).unwrap();
        app.batch_execute(&format!("PREPARE TRANSACTION '{name}'")).unwrap();
        app.batch_execute(&format!("ROLLBACK PREPARED '{name}'")).unwrap();
    }
    fixture.db.superuser().batch_execute("SELECT plio.suspend_tenant('acme')").unwrap();
}

// Functions that describe an object by its oid lock it, and ask nobody: what is prepared would keep that lock past every limit on
// sessions. An administrator's transaction, and one on what is no tenant's, is prepared as before.
#[test]
fn a_lock_on_a_tenants_table_is_not_prepared() {
    let fixture = two_tenants("described");
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "BEGIN; SELECT plio.set_tenant('acme'); CREATE VIEW seen AS SELECT * FROM users; COMMIT;
             CREATE TABLE public.list (i int); CREATE VIEW public.listed AS SELECT * FROM public.list;
             GRANT SELECT ON public.listed TO PUBLIC",
        )
        .unwrap();
    let oid = |admin: &mut Client, name: &str| first(admin, &format!("SELECT '{name}'::regclass::oid::text"));
    let (view, table) = (oid(&mut admin, "tenant_acme.seen"), oid(&mut admin, "tenant_acme.users"));
    let neutral = oid(&mut admin, "public.listed");
    let name = &fixture.carol;
    let mut carol = fixture.db.connect(name);
    for look in [
        format!("SELECT pg_get_viewdef({view})"),
        format!("SELECT table_to_xmlschema({table}, true, false, '')"),
        format!("SAVEPOINT s; SELECT pg_get_viewdef({view}); RELEASE s"),
    ] {
        carol.batch_execute(&format!("BEGIN; {look}")).unwrap();
        refused(carol.batch_execute(&format!("PREPARE TRANSACTION '{name}'")), "42501");
        carol.batch_execute("ROLLBACK").unwrap();
        // The control: the same is prepared where it locked nothing of a tenant's, or no more.
        for harmless in [
            format!("SELECT pg_get_viewdef({neutral}); SELECT 1 FROM public.listed"),
            format!(
                "SAVEPOINT s; {}; ROLLBACK TO s",
                look.replace("SAVEPOINT s; ", "").replace("; RELEASE s", "")
            ),
        ] {
            carol.batch_execute(&format!("BEGIN; {harmless}")).unwrap();
            carol.batch_execute(&format!("PREPARE TRANSACTION '{name}'")).unwrap();
            let held = "SELECT count(*) FROM pg_locks WHERE pid IS NULL AND relation IN (SELECT oid FROM pg_class WHERE relnamespace::regnamespace::text IN ('plio', 'tenant_acme'))";
            assert_eq!(admin.query_one(held, &[]).unwrap().get::<_, i64>(0), 0, "{harmless}");
            carol.batch_execute(&format!("ROLLBACK PREPARED '{name}'")).unwrap();
        }
    }
    let role = first(&mut admin, "SELECT coalesce(role_name, '') FROM plio.tenants WHERE org = 'acme'");
    if !role.is_empty() {
        let grant = format!("BEGIN; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {role}");
        carol.batch_execute(&grant).unwrap();
        refused(carol.batch_execute(&format!("PREPARE TRANSACTION '{name}'")), "42501");
        carol.batch_execute("ROLLBACK").unwrap();
    }
    // What changed a tenant would keep everybody out of it.
    admin.batch_execute("BEGIN; SELECT plio.suspend_tenant('acme')").unwrap();
    refused(admin.batch_execute(&format!("PREPARE TRANSACTION '{name}'")), "42501");
    admin.batch_execute("ROLLBACK").unwrap();
    let by_admin = format!("BEGIN; SELECT count(*) FROM tenant_acme.users; PREPARE TRANSACTION '{name}'");
    admin.batch_execute(&by_admin).unwrap();
    admin.batch_execute(&format!("ROLLBACK PREPARED '{name}'")).unwrap();
    at_once(&mut admin, "ALTER TABLE tenant_acme.users ADD COLUMN more int");
}

// What is shared is locked as its use locks it: to read, or to write; through a view, and through a parent, as well.
#[test]
fn a_tenant_does_not_lock_what_is_shared_against_the_others() {
    let fixture = two_tenants("locked");
    let app = &fixture.app;
    fixture
        .db
        .superuser()
        .batch_execute(&format!(
            "ALTER TABLE public.countries OWNER TO {app}; CREATE TABLE public.notes (x int); ALTER TABLE public.notes OWNER TO {app};
             CREATE VIEW public.seen AS SELECT * FROM public.notes; ALTER VIEW public.seen OWNER TO {app};
             CREATE TABLE public.parent (x int) PARTITION BY LIST (x); CREATE TABLE public.part PARTITION OF public.parent DEFAULT;
             ALTER TABLE public.parent OWNER TO {app}; ALTER TABLE public.part OWNER TO {app};
             SELECT plio.share('public.countries', 'read'), plio.share('public.notes', 'write'), plio.share('public.seen', 'write'),
                    plio.share('public.parent', 'write'), plio.share('public.part', 'read')"
        ))
        .unwrap();
    let modes = [
        "ACCESS SHARE",
        "ROW SHARE",
        "ROW EXCLUSIVE",
        "SHARE UPDATE EXCLUSIVE",
        "SHARE",
        "SHARE ROW EXCLUSIVE",
        "EXCLUSIVE",
        "ACCESS EXCLUSIVE",
    ];
    let mut client = fixture.db.connect(app);
    for begin in ["BEGIN; SELECT plio.set_tenant('acme')", "SET plio.tenant = 'acme'; BEGIN"] {
        for (table, most) in
            [("countries", 1), ("notes", 3), ("seen", 3), ("parent", 1), ("ONLY parent", 3), ("users", 8)]
        {
            for (number, mode) in modes.iter().enumerate() {
                for part in begin.split("; ") {
                    client.batch_execute(part).unwrap();
                }
                let lock = format!("LOCK TABLE {table} IN {mode} MODE");
                let result = client.batch_execute(&lock);
                let is_allowed = number < most;
                if !is_allowed {
                    refused(
                        result.inspect_err(|error| {
                            assert!(error.as_db_error().is_some(), "{lock}");
                        }),
                        "42501",
                    );
                } else if LAYERS == Layers::One || table == "users" || number == 0 {
                    result.unwrap_or_else(|error| panic!("{lock}: {error:?}"));
                }
                client.batch_execute("ROLLBACK; RESET plio.tenant").unwrap();
            }
        }
    }
    // Without a tenant its owner locks it as ever.
    client.batch_execute("BEGIN; LOCK TABLE public.notes; LOCK TABLE public.seen; COMMIT").unwrap();
}
