//! Paths that no hook sees: PostgreSQL's own privileges hold there, because a tenant has a role of its own.

use std::thread;
use std::time::{Duration, Instant};

use crate::judge::Judge;
use crate::world::{inside, value, world};

/// Sequences by oid, statistics of values, large objects, files: refused or empty, for the application and for a
/// superuser inside a tenant.
#[test]
fn privileges_stop_what_hooks_do_not_see() {
    let world = world();
    let mut admin = world.db.superuser();
    for org in ["acme", "bravo"] {
        inside(
            &mut admin,
            org,
            "ANALYZE users; SELECT lo_from_bytea(0, 'canary-of-a-tenant'); SELECT nextval('users_id_seq')",
        );
    }
    let sequence = value(&mut admin, "SELECT 'tenant_bravo.users_id_seq'::regclass::oid");
    let own_sequence = value(&mut admin, "SELECT 'tenant_acme.users_id_seq'::regclass::oid");
    let table = value(&mut admin, "SELECT 'tenant_bravo.users'::regclass::oid");
    let owner = |org: &str| {
        format!(
            "(SELECT oid FROM pg_roles WHERE rolname = (SELECT role_name FROM plio.tenants WHERE org = '{org}'))"
        )
    };
    let large = value(
        &mut admin,
        &format!("SELECT oid FROM pg_largeobject_metadata WHERE lomowner = {}", owner("bravo")),
    );
    let own_large = value(
        &mut admin,
        &format!("SELECT oid FROM pg_largeobject_metadata WHERE lomowner = {}", owner("acme")),
    );
    for role in [world.app.as_str(), plio_tests::SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        acme.allowed(&format!("SELECT nextval({own_sequence}::regclass), currval({own_sequence}::regclass)"));
        acme.allowed(&format!("SELECT pg_sequence_last_value({own_sequence}::regclass)"));
        acme.gives(&format!("SELECT convert_from(lo_get({own_large}), 'utf8')"), &["canary-of-a-tenant"]);
        acme.gives(
            "SELECT count(*) > 0 FROM pg_stats WHERE tablename = 'users' AND schemaname = 'tenant_acme'",
            &["t"],
        );
        for statement in [
            "SELECT nextval({})",
            "SELECT setval({}, 1)",
            "SELECT currval({})",
            "SELECT nextval({}::regclass)",
        ] {
            acme.denied(&statement.replace("{}", &sequence), "42501");
        }
        for statement in [
            "SELECT lo_get({})",
            "SELECT loread(lo_open({}, 262144), 100)",
            "SELECT lo_put({}, 0, 'x')",
            "SELECT lo_unlink({})",
            "SELECT lo_truncate(lo_open({}, 131072), 0)",
        ] {
            acme.denied(&statement.replace("{}", &large), "42501");
        }
        acme.refused(&format!("SELECT table_to_xml({table}::regclass, true, false, '')"), "42501");
        acme.refused(
            &format!("SELECT query_to_xml(format('SELECT * FROM %s', {table}::regclass), true, false, '')"),
            "42501",
        );
        acme.gives("SELECT count(*) FROM pg_stats WHERE schemaname = 'tenant_bravo'", &["0"]);
        acme.gives("SELECT count(*) FROM pg_stats_ext WHERE schemaname = 'tenant_bravo'", &["0"]);
        acme.gives(
            "SELECT count(*) FROM pg_sequences WHERE schemaname = 'tenant_bravo' AND last_value IS NOT NULL",
            &["0"],
        );
        for statement in [
            "SELECT * FROM pg_statistic",
            "SELECT * FROM pg_largeobject",
            "SELECT * FROM pg_authid",
            "SELECT pg_read_file('postgresql.conf')",
            "SELECT pg_ls_dir('.')",
            "SELECT lo_import('/etc/passwd')",
            "SELECT pg_terminate_backend(1) FROM pg_stat_activity WHERE pg_terminate_backend(pid)",
        ] {
            for answer in acme.answers(statement) {
                assert!(answer.is_err_and(|error| error.code().code() == "42501"), "{statement}");
            }
        }
        for statement in [
            "COPY users TO '/tmp/stolen'",
            "COPY users FROM '/etc/passwd'",
            "COPY users TO PROGRAM 'cat'",
            "COPY (SELECT 1) TO PROGRAM 'cat'",
            "COPY users FROM PROGRAM 'id'",
        ] {
            acme.refused(statement, "42501");
        }
    }
}

/// What another session of the same login role runs in bravo is not shown in acme.
#[test]
fn query_texts_of_other_tenants_are_hidden() {
    let world = world();
    let (mut busy, mut watcher) = (world.db.connect(&world.app), world.db.connect(&world.app));
    // The other session waits for this lock in the middle of its query.
    watcher.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
    let waiting = thread::spawn(move || {
        busy.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
        busy.batch_execute("SELECT 'canary-bravo', pg_advisory_xact_lock(1)").unwrap();
    });
    // The control: the same role with no tenant sees its own sessions.
    let seen =
        "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%canary-bravo%'";
    let end = Instant::now() + Duration::from_secs(30);
    while value(&mut watcher, seen) != "1" {
        assert!(Instant::now() < end, "the other session never began to wait");
        thread::sleep(Duration::from_millis(20));
    }
    Judge::inside(&mut watcher, "acme").gives(seen, &["0"]);
    watcher.batch_execute("SELECT pg_advisory_unlock(1)").unwrap();
    waiting.join().unwrap();
}
