//! Other sessions: signals to them, and what is told about them.

use plio_tests::{Layers, SUPERUSER};

use crate::judge::Judge;
use crate::world::{inside, value, world};

/// Nobody inside a tenant ends or cancels a session, not even one of the same login role.
#[test]
fn no_session_is_signalled_from_inside_a_tenant() {
    let world = world();
    for role in [world.app.as_str(), SUPERUSER] {
        let mut victim = world.db.connect(&world.app);
        let mut client = world.db.connect(role);
        let pid = value(&mut victim, "SELECT pg_backend_pid()");
        victim.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
        for function in ["pg_cancel_backend", "pg_terminate_backend"] {
            let mut acme = Judge::inside(&mut client, "acme");
            acme.denied(&format!("SELECT {function}({pid})"), "42501");
            acme.denied(&format!("SELECT {function}(pid) FROM pg_stat_activity WHERE pid = {pid}"), "42501");
        }
        assert_eq!(value(&mut victim, "SELECT name FROM users WHERE id = 1"), "canary-bravo");
        // The control: without a tenant the role signals its own sessions.
        client.batch_execute(&format!("SELECT pg_terminate_backend({pid}, 10000)")).unwrap();
        assert!(victim.batch_execute("SELECT 1").is_err());
    }
}

/// Open by design: the process, its application_name, its locks, the size and the counters of its tables are told.
#[test]
fn what_is_told_about_other_sessions() {
    let world = world();
    let (mut busy, mut app) = (world.db.connect(&world.app), world.db.connect(&world.app));
    let pid = value(&mut busy, "SELECT pg_backend_pid()");
    busy.batch_execute("SET application_name = 'told'; BEGIN; SELECT plio.set_tenant('bravo'); LOCK TABLE users IN SHARE MODE; SELECT 'canary-bravo'").unwrap();
    let mut acme = Judge::inside(&mut app, "acme");
    let activity = [
        (
            format!(
                "SELECT application_name, query, client_addr IS NULL, state IS NULL FROM pg_stat_activity WHERE pid = {pid}"
            ),
            "told|<insufficient privilege>|t|t",
        ),
        (
            format!(
                "SELECT pg_stat_get_backend_activity(id) FROM pg_stat_get_backend_idset() id WHERE pg_stat_get_backend_pid(id) = {pid}"
            ),
            "<insufficient privilege>",
        ),
    ];
    for (query, told) in &activity {
        match crate::LAYERS {
            Layers::Two => acme.gives(query, &[told]),
            Layers::One => acme.refused(query, "42501"),
        }
    }
    acme.gives(
        &format!("SELECT count(*) > 0 FROM pg_locks WHERE pid = {pid} AND mode = 'ShareLock'"),
        &["t"],
    );
    acme.gives("SELECT relname FROM pg_class WHERE relnamespace = 'tenant_bravo'::regnamespace AND relname = 'users'", &["users"]);
    acme.gives(
        "SELECT pg_relation_size(oid) > 0 FROM pg_class WHERE relnamespace = 'tenant_bravo'::regnamespace AND relname = 'users'",
        &["t"],
    );
    acme.gives(
        "SELECT count(*) FROM pg_stat_user_tables WHERE schemaname = 'tenant_bravo' AND relname = 'users'",
        &["1"],
    );
    drop(acme);
    // A value that became a definition is one: a default for rows that were there already.
    busy.batch_execute("COMMIT").unwrap();
    inside(&mut busy, "bravo", "ALTER TABLE users ADD COLUMN kind text DEFAULT 'a-default'");
    Judge::inside(&mut app, "acme").gives(
        "SELECT attmissingval FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'tenant_bravo'::regnamespace AND attname = 'kind'",
        &["{a-default}"],
    );
}
