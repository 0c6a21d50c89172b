//! A look-up that waits is overtaken: what it read before the wait is not what counts afterwards.

use plio_tests::{Layers, TwoTenants};
use postgres::{Client, Error};

use super::sessions::{LAYERS, Running, enter, first, refused, two_tenants};

/// Where the look-ups of a session that enters for the first time can be made to wait.
const WAITS: [&str; 7] = [
    "pg_authid",
    "pg_auth_members",
    "pg_namespace",
    "pg_extension",
    "plio.tenants",
    "plio.access",
    "plio.shares",
];

/// Holds up who looks into that table for the first time, while `client` runs a statement; once it waits, `meanwhile` is
/// committed, and the table let go. `None` where the change that is under way has the table, or nobody had to wait.
fn overtake(
    fixture: &TwoTenants,
    table: &str,
    mut meanwhile: Client,
    mut client: Client,
    statement: &str,
) -> Option<(Client, Result<(), Error>)> {
    let (mut holder, mut watcher) = (fixture.db.superuser(), fixture.db.superuser());
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let query = watcher.prepare("SELECT cardinality(pg_blocking_pids($1)) > 0").unwrap();
    let mut is_waiting = || watcher.query_one(&query, &[&pid]).unwrap().get::<_, bool>(0);
    for _ in 0..8 {
        assert!(!is_waiting());
    }
    holder.batch_execute("SELECT plio.current_tenant(); BEGIN").unwrap();
    let lock = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE NOWAIT");
    let running = match holder.batch_execute(&lock) {
        Ok(()) => Running::blocked_or_done(pid, client, statement, is_waiting),
        Err(_) => None,
    };
    let end = if running.is_some() { "COMMIT" } else { "ROLLBACK" };
    meanwhile.batch_execute(end).unwrap();
    holder.batch_execute("ROLLBACK").unwrap();
    running.map(Running::finish)
}

// The change is made and not committed; a table is locked; app, for the first time in its session, enters and waits for
// that table, having read some of what the change changes; the change is committed; the table is free: app is refused,
// then and the next time.
#[test]
fn a_change_that_overtakes_a_look_up_counts() {
    let mut met = 0;
    for (change, undo, codes) in [
        ("SELECT plio.suspend_tenant('acme')", "SELECT plio.resume_tenant('acme')", ["55000", "55000"]),
        (
            "SELECT plio.revoke_access('$app', 'acme')",
            "SELECT plio.grant_access('$app', 'acme')",
            ["42501", "42501"],
        ),
        (
            "SELECT plio.rename_tenant('acme', 'other')",
            "SELECT plio.rename_tenant('other', 'acme')",
            ["42501", "42501"],
        ),
    ] {
        let fixture = two_tenants("overtaken");
        let (change, undo) = (change.replace("$app", &fixture.app), undo.replace("$app", &fixture.app));
        for scope in
            ["BEGIN; SELECT plio.set_tenant('acme')", "SET plio.tenant = 'acme'; SELECT count(*) FROM users"]
        {
            for table in WAITS {
                let (mut admin, app) = (fixture.db.superuser(), fixture.db.connect(&fixture.app));
                admin.batch_execute(&format!("BEGIN; {change}")).unwrap();
                let Some((mut app, result)) = overtake(&fixture, table, admin, app, scope) else { continue };
                met += 1;
                let what = format!("{change}, {scope}, {table}");
                assert!(result.is_err(), "{what}");
                refused(result, codes[0]);
                app.batch_execute("ROLLBACK; RESET plio.tenant").unwrap();
                refused(enter(&mut app, "acme"), codes[1]);
                fixture.db.superuser().batch_execute(&undo).unwrap();
                enter(&mut app, "acme").unwrap_or_else(|error| panic!("{what}: {error:?}"));
                assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme");
            }
        }
    }
    assert!(met >= 10, "only {met} look-ups were held up");
}

// Two tenants swap their names while app's first look-up of one of the names waits: access that was found by a name is not kept for
// the tenant that had the name before.
#[test]
fn access_found_by_a_name_is_not_kept_for_who_had_it() {
    let fixture = two_tenants("swapped");
    let mut admin = fixture.db.superuser();
    admin.batch_execute(&format!("SELECT plio.revoke_access('{}', 'bravo')", fixture.app)).unwrap();
    let swap = "SELECT plio.rename_tenant('acme', 'between'); SELECT plio.rename_tenant('bravo', 'acme'); SELECT plio.rename_tenant('between', 'bravo')";
    let mut met = 0;
    // Which name leads to the tenant that app may enter; it changes with each swap.
    let (mut mine, mut other) = ("acme", "bravo");
    for table in WAITS {
        for asks_mine in [true, false] {
            let (mut swapping, app) = (fixture.db.superuser(), fixture.db.connect(&fixture.app));
            swapping.batch_execute(&format!("BEGIN; {swap}")).unwrap();
            let asked = if asks_mine { mine } else { other };
            let ask = format!("BEGIN; SELECT plio.set_tenant('{asked}')");
            let Some((mut app, _)) = overtake(&fixture, table, swapping, app, &ask) else { continue };
            met += 1;
            (mine, other) = (other, mine);
            app.batch_execute("ROLLBACK").unwrap();
            let what = format!("{table}, {asked}, now {mine}");
            assert!(enter(&mut app, other).is_err(), "{what}");
            app.batch_execute("ROLLBACK").unwrap();
            enter(&mut app, mine).unwrap_or_else(|error| panic!("{what}: {error:?}"));
            assert_eq!(first(&mut app, "SELECT name FROM users WHERE id = 1"), "canary-acme", "{what}");
        }
    }
    assert!(met >= 4, "only {met} look-ups were held up");
}

// The same for what a relation is: unshared while app's first look at the shared table waits for another catalog.
#[test]
fn a_share_that_ends_during_a_look_up_is_none() {
    let fixture = two_tenants("unshared");
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "CREATE TABLE public.later AS SELECT 'canary' AS x; CREATE TABLE public.stays AS SELECT 1 AS x",
        )
        .unwrap();
    let mut met = 0;
    for table in ["pg_extension", "pg_depend", "pg_namespace", "plio.tenants"] {
        admin
            .batch_execute("SELECT plio.share('public.later', 'read'), plio.share('public.stays', 'read')")
            .unwrap();
        let mut app = fixture.db.connect(&fixture.app);
        enter(&mut app, "acme").unwrap();
        let mut unsharing = fixture.db.superuser();
        unsharing.batch_execute("BEGIN; SELECT plio.unshare('public.later')").unwrap();
        let read = "SELECT * FROM public.stays, public.later";
        let Some((mut app, _)) = overtake(&fixture, table, unsharing, app, read) else { continue };
        met += 1;
        app.batch_execute("ROLLBACK").unwrap();
        enter(&mut app, "acme").unwrap();
        refused(app.batch_execute("SELECT * FROM public.later"), "42501");
        app.batch_execute("ROLLBACK").unwrap();
        enter(&mut app, "acme").unwrap();
        app.batch_execute("SELECT * FROM public.stays").unwrap();
    }
    assert!(met > 0, "no look-up was held up");
}

// A command that renames fails after the shares were remembered for it: the next DDL is not taken for it.
#[test]
fn a_failed_rename_leaves_nothing_for_the_next_command() {
    let fixture = two_tenants("renames");
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "CREATE TABLE public.shared AS SELECT 1 AS x; CREATE SCHEMA dev; CREATE TABLE dev.shared AS SELECT 2 AS x;
             SELECT plio.share('public.shared', 'read')",
        )
        .unwrap();
    let shares =
        "SELECT string_agg(concat_ws('.', schema_name, relation_name), ' ' ORDER BY 1) FROM plio.shares";
    let before = first(&mut admin, shares);
    for failing in
        ["ALTER TABLE public.shared SET SCHEMA dev", "ALTER TABLE public.shared RENAME TO countries"]
    {
        assert!(admin.batch_execute(failing).is_err(), "{failing}");
        admin.batch_execute("CREATE TABLE public.next (); DROP TABLE public.next").unwrap();
        admin
            .batch_execute(&format!(
                "DO $$ BEGIN BEGIN EXECUTE '{failing}'; EXCEPTION WHEN others THEN NULL; END; CREATE TABLE public.next (); END $$;
                 DROP TABLE public.next"
            ))
            .unwrap();
        assert_eq!(first(&mut admin, shares), before);
    }
    if LAYERS == Layers::Two {
        let mut app = fixture.db.connect(&fixture.app);
        enter(&mut app, "acme").unwrap();
        app.batch_execute("SELECT * FROM public.shared").unwrap();
    }
}
