//! LISTEN, NOTIFY and `pg_notify()`: a tenant's channels are its own, whatever they are called.

use plio_tests::{SUPERUSER, TwoTenants, expect_sqlstate};
use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::judge::Judge;
use crate::world::{inside, value, world};

/// A session that listens on `news` in a tenant (without one for ""), and on `end` without one.
struct Listener(Client);

impl Listener {
    fn of(world: &TwoTenants, org: &str) -> Self {
        let mut client = world.db.connect(&world.app);
        let enter = if org.is_empty() { String::new() } else { format!("SET plio.tenant = '{org}'") };
        client.batch_execute("LISTEN \"end\"").unwrap();
        client.batch_execute(&enter).unwrap();
        client.batch_execute("LISTEN news").unwrap();
        Self(client)
    }

    /// All that arrived, as `channel payload`. Notifications come in the order of the commits: what was sent before the end
    /// mark, and is for this session, is there when that arrives.
    #[track_caller]
    fn heard(&mut self, world: &TwoTenants) -> Vec<String> {
        static MARKS: AtomicUsize = AtomicUsize::new(0);
        let mark = MARKS.fetch_add(1, Relaxed).to_string();
        world.db.connect(&world.app).batch_execute(&format!("NOTIFY \"end\", '{mark}'")).unwrap();
        let mut heard = Vec::new();
        let mut notifications = self.0.notifications();
        let mut arriving = notifications.timeout_iter(Duration::from_secs(30));
        while let Some(one) = arriving.next().unwrap() {
            if one.channel() == "end" {
                // Older marks were for other listeners.
                if one.payload() == mark {
                    return heard;
                }
                continue;
            }
            heard.push(format!("{} {}", one.channel(), one.payload()));
        }
        panic!("no end mark within half a minute, after {heard:?}");
    }
}

/// Ways to send "canary" on `news`; some need what `prepare` made.
const SENDING: [&str; 9] = [
    "NOTIFY news, 'canary'",
    "SELECT pg_notify('news', 'canary')",
    "SELECT PG_NOTIFY(U&'n\\0065ws', 'canary')",
    "DO $$ BEGIN PERFORM pg_notify('news', 'canary'); END $$",
    "DO $$ BEGIN NOTIFY news, 'canary'; END $$",
    "SELECT send_by_sql()",
    "SELECT send_by_parsed_sql()",
    "SELECT * FROM sending_view",
    "INSERT INTO watched VALUES (1)",
];

/// In a tenant; what an application's schema would hold.
const PREPARE: &str = "
    CREATE FUNCTION send_by_sql() RETURNS void LANGUAGE sql AS 'SELECT pg_notify(''news'', ''canary'')';
    CREATE FUNCTION send_by_parsed_sql() RETURNS void LANGUAGE sql BEGIN ATOMIC SELECT pg_notify('news', 'canary'); END;
    CREATE VIEW sending_view AS SELECT pg_notify('news', 'canary') IS NULL AS is_null;
    CREATE TABLE watched (id int);
    CREATE FUNCTION send_by_trigger() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_notify(''news'', ''canary''); RETURN NULL; END';
    CREATE TRIGGER sending AFTER INSERT ON watched FOR EACH ROW EXECUTE FUNCTION send_by_trigger()";

/// What is sent inside acme is heard in acme, under the plain name, and nowhere else; without a tenant all is as ever.
#[test]
fn notifications_stay_in_their_tenant() {
    let world = world();
    for org in ["acme", "bravo"] {
        inside(&mut world.db.connect(&world.app), org, PREPARE);
    }
    let mut acme = Listener::of(&world, "acme");
    let mut bravo = Listener::of(&world, "bravo");
    let mut outside = Listener::of(&world, "");
    let mut app = world.db.connect(&world.app);
    // The control: with no tenant, notifications are PostgreSQL's as ever.
    for send in &SENDING[..5] {
        app.batch_execute(send).unwrap();
        assert_eq!(outside.heard(&world), ["news canary"], "{send}");
    }
    assert_eq!(acme.heard(&world), Vec::<String>::new());
    // A plan of before, kept by the protocol.
    let kept = app.prepare("SELECT pg_notify('news', $1)").unwrap();
    for send in SENDING {
        inside(&mut app, "acme", send);
        assert_eq!(acme.heard(&world), ["news canary"], "{send}");
        app.batch_execute("SET plio.tenant = 'acme'").unwrap();
        app.batch_execute(send).unwrap();
        app.batch_execute("RESET plio.tenant").unwrap();
        assert_eq!(acme.heard(&world), ["news canary"], "{send}, in a session's tenant");
    }
    for _ in 0..7 {
        let mut transaction = app.transaction().unwrap();
        transaction.batch_execute("SELECT plio.set_tenant('acme')").unwrap();
        transaction.execute(&kept, &[&"canary-kept"]).unwrap();
        transaction.commit().unwrap();
    }
    assert_eq!(acme.heard(&world), vec!["news canary-kept"; 7]);
    inside(&mut world.db.superuser(), "acme", "NOTIFY news, 'by a superuser'");
    assert_eq!(acme.heard(&world), ["news by a superuser"]);
    assert_eq!(bravo.heard(&world), Vec::<String>::new());
    assert_eq!(outside.heard(&world), Vec::<String>::new());
    // What is rolled back is not sent.
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); NOTIFY news, 'canary'; ROLLBACK").unwrap();
    assert_eq!(acme.heard(&world), Vec::<String>::new());
}

/// LISTEN ends with the session's tenant, in the transaction that leaves it.
#[test]
fn a_session_hears_its_tenant_only_while_it_is_in_it() {
    let world = world();
    let mut sender = world.db.connect(&world.app);
    let nothing = Vec::<String>::new();
    let leaving: [&[&str]; 6] = [
        &["RESET plio.tenant"],
        &["SET plio.tenant = ''"],
        &["RESET ALL"],
        &["SET plio.tenant = 'bravo'"],
        &["BEGIN", "RESET plio.tenant", "SELECT plio.set_tenant('bravo')", "COMMIT"],
        &["UNLISTEN news"],
    ];
    for leave in leaving {
        let mut listener = Listener::of(&world, "acme");
        inside(&mut sender, "acme", "NOTIFY news, 'before'");
        assert_eq!(listener.heard(&world), ["news before"]);
        leave.iter().for_each(|statement| listener.0.batch_execute(statement).unwrap());
        inside(&mut sender, "acme", "NOTIFY news, 'canary-after'");
        assert_eq!(listener.heard(&world), nothing, "{leave:?}");
        // Not even the names are left.
        let channels = "SELECT string_agg(c, ',') FROM pg_listening_channels() c";
        assert_eq!(value(&mut listener.0, channels), "end", "{leave:?}");
        // Coming back brings nothing back, until it listens again.
        listener.0.batch_execute("SET plio.tenant = 'acme'").unwrap();
        inside(&mut sender, "acme", "NOTIFY news, 'canary-again'");
        assert_eq!(listener.heard(&world), nothing, "{leave:?}");
        listener.0.batch_execute("LISTEN news").unwrap();
        inside(&mut sender, "acme", "NOTIFY news, 'new'");
        assert_eq!(listener.heard(&world), ["news new"], "{leave:?}");
    }
    // DISCARD ALL takes the end mark with it.
    let mut listener = Listener::of(&world, "acme");
    listener.0.batch_execute("DISCARD ALL").unwrap();
    assert_eq!(value(&mut listener.0, "SELECT count(*) FROM pg_listening_channels()"), "0");
    listener.0.batch_execute("LISTEN \"end\"").unwrap();
    listener.0.batch_execute("SET plio.tenant = 'acme'").unwrap();
    inside(&mut sender, "acme", "NOTIFY news, 'canary-after'");
    assert_eq!(listener.heard(&world), nothing);
}

/// What is undone leaves all as it was; a transaction's tenant on top of the session's, too.
#[test]
fn what_is_undone_changes_nothing() {
    let world = world();
    let mut sender = world.db.connect(&world.app);
    let mut listener = Listener::of(&world, "acme");
    for undone in [
        "BEGIN; RESET plio.tenant; ROLLBACK",
        "BEGIN; SET plio.tenant = 'bravo'; LISTEN other; ROLLBACK",
        "BEGIN; SAVEPOINT s; RESET plio.tenant; ROLLBACK TO s; COMMIT",
        "BEGIN; SAVEPOINT s; UNLISTEN *; LISTEN other; ROLLBACK TO s; COMMIT",
        "BEGIN; SELECT plio.set_tenant('bravo'); SELECT name FROM users; COMMIT",
        "BEGIN; SET LOCAL plio.tenant = 'bravo'; NOTIFY news, 'canary-bravo'; COMMIT",
    ] {
        listener.0.batch_execute(undone).unwrap();
        inside(&mut sender, "acme", "NOTIFY news, 'to acme'; NOTIFY other, 'to nobody'");
        assert_eq!(listener.heard(&world), ["news to acme"], "{undone}");
    }
    // In another transaction's tenant not even the name of the channel is shown.
    Judge::inside(&mut listener.0, "bravo").refused("SELECT pg_listening_channels()", "42501");
    assert_eq!(value(&mut listener.0, "SELECT count(*) FROM pg_listening_channels()"), "2");
    // Its own session, though, may end them from there.
    listener.0.batch_execute("BEGIN; SELECT plio.set_tenant('bravo'); UNLISTEN *; COMMIT").unwrap();
    assert_eq!(value(&mut listener.0, "SELECT count(*) FROM pg_listening_channels()"), "0");
    Judge::inside(&mut listener.0, "bravo").allowed("SELECT pg_listening_channels()");
}

/// A listener that may not enter any more hears nothing from that commit on, though it does nothing itself.
#[test]
fn who_may_not_enter_any_more_hears_nothing() {
    let world = world();
    let app = &world.app;
    let mut admin = world.db.superuser();
    let mut sender = world.db.superuser();
    let send = |sender: &mut Client, org: &str| {
        sender
            .batch_execute(&format!(
                "BEGIN; SELECT plio.set_tenant('{org}'); NOTIFY news, 'canary-later'; COMMIT"
            ))
            .unwrap();
    };
    let mut listener = Listener::of(&world, "acme");
    send(&mut sender, "acme");
    assert_eq!(listener.heard(&world), ["news canary-later"]);
    let revoke = format!("SELECT plio.revoke_access('{app}', 'acme')");
    let grant = format!("SELECT plio.grant_access('{app}', 'acme')");
    for (close, org, open) in [
        (revoke.as_str(), "acme", grant.as_str()),
        ("SELECT plio.rename_tenant('acme', 'other')", "other", "SELECT plio.rename_tenant('other', 'acme')"),
    ] {
        admin.batch_execute(close).unwrap();
        send(&mut sender, org);
        assert_eq!(listener.heard(&world), Vec::<String>::new(), "{close}");
        // Nor does it send: no table is read, and still it is asked again.
        for speak in [
            "NOTIFY news, 'x'",
            "SELECT pg_notify('news', 'x')",
            "SELECT plio._notify('news', 'x')",
            "LISTEN more",
        ] {
            let error = listener.0.batch_execute(speak).expect_err(speak);
            assert_eq!(error.code().map_or("", |code| code.code()), "42501", "{speak}: {error:?}");
        }
        admin.batch_execute(open).unwrap();
        send(&mut sender, "acme");
        assert_eq!(listener.heard(&world), ["news canary-later"], "{open}");
    }
    // Sent before, delivered after: the session is busy meanwhile.
    listener.0.batch_execute("BEGIN").unwrap();
    send(&mut sender, "acme");
    admin.batch_execute("SELECT plio.suspend_tenant('acme')").unwrap();
    listener.0.batch_execute("COMMIT").unwrap();
    assert_eq!(listener.heard(&world), Vec::<String>::new());
    admin.batch_execute("SELECT plio.resume_tenant('acme')").unwrap();
    // Another tenant of the same name is another tenant.
    let again = "SELECT plio.rename_tenant('acme', 'other'); SELECT plio.create_tenant('acme')";
    admin.batch_execute(&format!("{again}; {grant}")).unwrap();
    send(&mut sender, "acme");
    assert_eq!(listener.heard(&world), Vec::<String>::new());
    let mut new = Listener::of(&world, "acme");
    send(&mut sender, "acme");
    assert_eq!(new.heard(&world), ["news canary-later"]);
}

/// What LISTEN and NOTIFY refuse, and what they do not.
#[test]
fn what_channels_refuse() {
    let world = world();
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        acme.refused("LISTEN news", "42501");
        acme.allowed("UNLISTEN news");
        acme.allowed("UNLISTEN *");
        acme.allowed("NOTIFY news");
        acme.allowed("NOTIFY \"plio:2:news\", 'x'");
        acme.allowed("SELECT pg_notify('news', NULL)");
        acme.denied("SELECT pg_notify(NULL, 'x')", "22023");
        acme.denied("SELECT pg_notify('', 'x')", "22023");
        acme.denied("SELECT pg_notify('news', repeat('x', 8000))", "22023");
        // Where nobody plans a query that calls it: the arguments of CALL are exchanged, the checks of INSERT refused.
        let called = "CREATE PROCEDURE take(boolean) LANGUAGE plpgsql AS 'BEGIN END'";
        acme.allowed(&format!("{called}; CALL take(pg_notify('news', 'x') IS NULL)"));
        let planned_nowhere = "CREATE TABLE odd (id int, CHECK (pg_notify('news', 'x') IS NOT NULL))";
        acme.refused(&format!("{planned_nowhere}; INSERT INTO odd VALUES (1)"), "42501");
        let longest = "x".repeat(60);
        acme.refused(&format!("NOTIFY {longest}"), "22023");
        acme.refused(&format!("SELECT pg_notify('{longest}', '')"), "22023");
        drop(acme);
        let mut session = Judge::after(&mut client, "SET plio.tenant = 'acme'");
        session.allowed("LISTEN news");
        session.refused(&format!("LISTEN {longest}"), "22023");
        session.allowed("UNLISTEN *");
        drop(session);
        let mut outside = Judge::outside(&mut client);
        for reserved in ["LISTEN", "NOTIFY"] {
            outside.refused(&format!("{reserved} \"plio:1:news\""), "42939");
        }
        outside.refused("SELECT pg_notify('plio:1:news', 'x')", "42939");
        outside.allowed("UNLISTEN \"plio:1:news\"");
        outside.allowed(&format!("LISTEN {longest}"));
        outside.allowed("NOTIFY plio");
    }
}

/// The checked form asks for the privilege on the original.
#[test]
fn who_may_not_call_pg_notify_may_not_inside_either() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    world
        .db
        .superuser()
        .batch_execute("REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC")
        .unwrap();
    for enter in ["", "SELECT plio.set_tenant('acme')"] {
        app.batch_execute(&format!("BEGIN; {enter}")).unwrap();
        let error = app.batch_execute("SELECT pg_notify('news', 'x')").unwrap_err();
        assert_eq!(
            error.as_db_error().map(|error| error.message()),
            Some("permission denied for function pg_notify")
        );
        app.batch_execute("ROLLBACK").unwrap();
        app.batch_execute(&format!("BEGIN; {enter}")).unwrap();
        expect_sqlstate(app.batch_execute("SELECT plio._notify('news', 'x')"), "42501");
        app.batch_execute("ROLLBACK").unwrap();
    }
}

/// A savepoint's rollback takes UNLISTEN back: the session listens still, and ends it when it leaves the tenant.
#[test]
fn an_unlisten_that_is_undone_is_not_forgotten() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    for undone in ["UNLISTEN *", "UNLISTEN a", "UNLISTEN *; LISTEN b; UNLISTEN *"] {
        app.batch_execute("SET plio.tenant = 'acme'").unwrap();
        app.batch_execute(&format!("BEGIN; LISTEN a; SAVEPOINT s; {undone}; ROLLBACK TO s; COMMIT")).unwrap();
        assert_eq!(value(&mut app, "SELECT count(*) FROM pg_listening_channels()"), "1");
        app.batch_execute("SET plio.tenant = 'bravo'").unwrap();
        assert_eq!(value(&mut app, "SELECT count(*) FROM pg_listening_channels()"), "0", "{undone}");
        app.batch_execute("RESET plio.tenant").unwrap();
        assert_eq!(value(&mut app, "SELECT count(*) FROM pg_listening_channels()"), "0", "{undone}");
    }
}

// The listener is idle and knows nothing of the registry; the sender commits while somebody holds the registry's table. Nobody
// could wake the listener from a wait, nor would it be a statement of its own that fails.
#[test]
fn an_idle_listener_waits_for_no_lock() {
    let world = world();
    let mut admin = world.db.superuser();
    for table in ["plio.tenants", "plio.access", "plio.shares"] {
        let mut listener = Listener::of(&world, "acme");
        listener.0.batch_execute("SET lock_timeout = '100ms'").unwrap();
        let mut sender = world.db.connect(&world.app);
        sender.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); NOTIFY news, 'to acme'").unwrap();
        // What the listener knows is not to be relied on any more.
        admin.batch_execute("SELECT plio.suspend_tenant('bravo'), plio.resume_tenant('bravo')").unwrap();
        admin.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).unwrap();
        sender.batch_execute("COMMIT").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        assert_eq!(value(&mut admin, waits), "0", "{table}");
        admin.batch_execute("ROLLBACK").unwrap();
        listener
            .0
            .batch_execute("SELECT name FROM users")
            .unwrap_or_else(|error| panic!("{table}: {error:?}"));
        // The next one is heard.
        inside(&mut sender, "acme", "NOTIFY news, 'again'");
        assert!(listener.heard(&world).contains(&"news again".to_owned()), "{table}");
    }
}
