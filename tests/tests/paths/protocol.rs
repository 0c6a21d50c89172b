//! The protocol beside the statements: pipelines and function calls.

use plio_tests::{Layers, SUPERUSER};

use crate::wire::Wire;
use crate::world::{inside, value, world};

const SET_ACME: &str = "SELECT plio.set_tenant('acme')";
const NAME: &str = "SELECT name FROM users WHERE id = 1";
const FOREIGN: &str = "SELECT name FROM tenant_bravo.users";

// Several messages before one Sync, without BEGIN. PostgreSQL makes an implicit transaction of them, of the first alone or
// of all (it differs between versions): the tenant is refused or holds to the Sync, and never goes beyond it.
#[test]
fn a_pipeline_without_begin_carries_no_tenant_beyond_its_sync() {
    let world = world();
    for role in [world.app.as_str(), SUPERUSER] {
        let mut wire = Wire::connect(&world.db, role);
        for first in [SET_ACME, "SET LOCAL plio.tenant = 'acme'"] {
            for before in [&[][..], &["SELECT 'first'"], &["SELECT 'first'", "SELECT 'second'"]] {
                let answers = wire.pipeline(&[before, &[first, NAME, FOREIGN, NAME]].concat());
                let refused =
                    answers.iter().position(|answer| answer.starts_with("ERROR")).expect("an error");
                // Nothing after the error; before it only acme's.
                assert_eq!(refused, answers.len() - 1, "{answers:?}");
                assert!(["ERROR 25P01", "ERROR 42501"].contains(&answers[refused].as_str()), "{answers:?}");
                let has_row = answers.iter().any(|answer| answer == "canary-acme");
                assert_eq!(has_row, answers[refused] == "ERROR 42501", "{answers:?}");
                assert_eq!(
                    wire.query("SELECT plio.current_tenant(), current_user")[0],
                    format!("NULL|{role}")
                );
            }
        }
        let both = [
            "BEGIN",
            SET_ACME,
            NAME,
            "COMMIT",
            "BEGIN",
            "SELECT plio.set_tenant('bravo')",
            NAME,
            "COMMIT",
            "SELECT plio.current_tenant()",
        ];
        let answers = wire.pipeline(&both);
        let names: Vec<_> =
            answers.iter().filter(|answer| answer.starts_with("canary") || *answer == "NULL").collect();
        assert_eq!(names, ["canary-acme", "canary-bravo", "NULL"], "{answers:?}");
        // An error in the middle: all that follows is skipped, and the block stays failed.
        assert_eq!(
            wire.pipeline(&["BEGIN", SET_ACME, FOREIGN, NAME, "COMMIT"]).last().unwrap(),
            "ERROR 42501"
        );
        assert_eq!(wire.query(NAME), ["ERROR 25P02"]);
        assert_eq!(wire.query("ROLLBACK"), ["ROLLBACK"]);
        // A session's tenant is confirmed in a pipeline as anywhere.
        let answers = wire.pipeline(&[
            "SET plio.tenant = 'acme'",
            NAME,
            "SET plio.tenant = 'bravo'",
            NAME,
            "RESET plio.tenant",
            "SELECT plio.current_tenant()",
        ]);
        let names: Vec<_> = answers.iter().filter(|answer| answer.starts_with("canary")).collect();
        assert!(names.iter().all(|name| *name == "canary-acme" || *name == "canary-bravo"), "{answers:?}");
        wire.query("RESET plio.tenant");
    }
}

/// FunctionCall names a function by its oid and starts no executor.
#[test]
fn the_protocols_function_call_is_judged() {
    let world = world();
    let mut admin = world.db.superuser();
    // Where a tenant has no role, large objects are refused to it in such a call; sequences are refused wherever one is set.
    let is_two = crate::LAYERS == Layers::Two;
    for org in ["bravo", "acme"] {
        let make = format!("SELECT lo_from_bytea(0, 'canary-{org}')");
        if is_two {
            inside(&mut admin, org, &make);
        } else {
            admin.batch_execute(&format!("BEGIN; SET LOCAL ROLE {}; {make}; COMMIT", world.app)).unwrap();
        }
    }
    let mut oid = |query: &str| value(&mut admin, query);
    let number = |text: String| text.parse::<u32>().expect("an oid");
    let peeks =
        [oid("SELECT 'tenant_acme.peek'::regproc::oid"), oid("SELECT 'tenant_bravo.peek'::regproc::oid")]
            .map(number);
    let sequences = [
        oid("SELECT 'tenant_acme.users_id_seq'::regclass::oid"),
        oid("SELECT 'tenant_bravo.users_id_seq'::regclass::oid"),
    ];
    let owned = |org: &str| {
        format!(
            "SELECT min(oid::int) FROM pg_largeobject_metadata WHERE lomowner = (SELECT nspowner FROM pg_namespace WHERE nspname = 'tenant_{org}')"
        )
    };
    let large = [oid(&owned("acme")), oid(&owned("bravo"))];
    let pg_notify = 3036;
    let (nextval, lo_get) = (1574, number(oid("SELECT 'lo_get(oid)'::regprocedure::oid")));
    for role in [world.app.as_str(), SUPERUSER] {
        let mut wire = Wire::connect(&world.db, role);
        let mut run = |enter: &str, function: u32, arguments: &[&str]| {
            wire.query(&format!("BEGIN; {enter}"));
            let answers = wire.call(function, arguments);
            wire.query("ROLLBACK");
            answers
        };
        assert_eq!(run(SET_ACME, peeks[0], &[]), ["canary-acme"]);
        assert_eq!(run(SET_ACME, nextval, &[&sequences[0]]), ["ERROR 42501"]);
        assert_eq!(run(SET_ACME, lo_get, &[&large[0]])[0].starts_with("ERROR"), !is_two);
        assert_eq!(run(SET_ACME, peeks[1], &[]), ["ERROR 42501"]);
        assert_eq!(run(SET_ACME, nextval, &[&sequences[1]]), ["ERROR 42501"]);
        assert_eq!(run(SET_ACME, lo_get, &[&large[1]]), ["ERROR 42501"]);
        // Where no query is planned, pg_notify() is not the tenant's, and could name a tenant's.
        for enter in [SET_ACME, "SELECT 1"] {
            assert_eq!(run(enter, pg_notify, &["news", "canary-acme"]), ["ERROR 42501"]);
        }
        if role == SUPERUSER {
            assert!(!run("SELECT 1", nextval, &[&sequences[1]])[0].starts_with("ERROR"));
        } else {
            assert_eq!(run("SELECT 1", nextval, &[&sequences[1]]), ["ERROR 55000"]);
            assert_eq!(run("SELECT 1", peeks[1], &[]), ["ERROR 55000"]);
        }
    }
    // A session's tenant that was suspended since: nothing but the function call asks for it.
    let mut wire = Wire::connect(&world.db, &world.app);
    wire.query("SET plio.tenant = 'acme'");
    assert_eq!(wire.call(lo_get, &[&large[0]])[0].starts_with("ERROR"), !is_two);
    admin.batch_execute("SELECT plio.suspend_tenant('acme')").unwrap();
    assert_eq!(wire.call(lo_get, &[&large[0]]), ["ERROR 55000"]);
    assert_eq!(wire.call(nextval, &[&sequences[0]]), ["ERROR 55000"]);
}

/// The rows of a cursor WITH HOLD are stored: Execute fetches them without a statement. They are the tenant's all the same, and end
/// with the access to it.
#[test]
fn a_held_cursor_is_not_fetched_from_once_the_tenant_is_closed() {
    let world = world();
    let mut admin = world.db.superuser();
    for (close, open, code) in [
        ("SELECT plio.suspend_tenant('acme')", "SELECT plio.resume_tenant('acme')", "ERROR 55000"),
        (
            "SELECT plio.revoke_access('{app}', 'acme')",
            "SELECT plio.grant_access('{app}', 'acme')",
            "ERROR 42501",
        ),
    ] {
        let mut wire = Wire::connect(&world.db, &world.app);
        wire.query("SET plio.tenant = 'acme'");
        for portal in ["held", "other", "third"] {
            wire.query(&format!(
                "DECLARE {portal} CURSOR WITH HOLD FOR SELECT name FROM users UNION ALL SELECT repeat('x', 9000) ORDER BY 1"
            ));
        }
        assert_eq!(wire.fetch("held", 1), ["canary-acme"]);
        assert_eq!(wire.query("FETCH other")[0], "canary-acme");
        admin.batch_execute(&close.replace("{app}", &world.app)).unwrap();
        assert_eq!(wire.fetch("held", 0), [code]);
        assert_eq!(wire.fetch("third", 1), [code]);
        assert_eq!(wire.query("FETCH other"), [code]);
        admin.batch_execute(&open.replace("{app}", &world.app)).unwrap();
        // One that was not asked for meanwhile goes on.
        assert_eq!(wire.fetch("other", 1), ["canary-acme-2"]);
        // What is no tenant's is not judged.
        wire.query("RESET plio.tenant; DECLARE plain CURSOR WITH HOLD FOR SELECT 1");
        assert_eq!(wire.fetch("plain", 1), ["1"]);
    }
}
