//! Session and statement mode; a tenant named in the connection string.

use crate::{NAME, PID, Pooled, inside, try_value, value};
use plio_tests::{PgBouncer, assert_refusal, expect_sqlstate};
use postgres::NoTls;

const BOTH: [PgBouncer; 2] = [PgBouncer::Old, PgBouncer::New];

/// One client after the other gets the connection; the reset query ends the first one's tenant.
#[test]
fn in_session_mode_the_reset_ends_the_tenant() {
    for which in BOTH {
        let Some(pooled) = Pooled::start(which, &["pool_mode = session", "server_reset_query = DISCARD ALL"])
        else {
            return;
        };
        let mut one = pooled.client();
        one.batch_execute("SET plio.tenant = 'acme'; CREATE TEMP TABLE notes AS SELECT * FROM users")
            .unwrap();
        assert_eq!(value(&mut one, NAME), "canary-acme");
        let pid = value(&mut one, PID);
        drop(one);
        let mut other = pooled.client();
        assert_eq!(value(&mut other, PID), pid, "the same server connection");
        expect_sqlstate(try_value(&mut other, NAME), "42P01");
        expect_sqlstate(try_value(&mut other, "SELECT * FROM notes"), "42P01");
        other.batch_execute("SET plio.tenant = 'bravo'").unwrap();
        assert_eq!(value(&mut other, NAME), "canary-bravo");
    }
}

/// A session that ends inside a transaction's tenant.
#[test]
fn in_session_mode_a_client_that_dies_in_a_tenant_leaves_nothing() {
    let Some(pooled) = Pooled::start(PgBouncer::New, &["pool_mode = session"]) else { return };
    let mut one = pooled.client();
    one.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); DELETE FROM users").unwrap();
    drop(one);
    let mut other = pooled.client();
    expect_sqlstate(try_value(&mut other, NAME), "42P01");
    assert_eq!(value(&mut other, &inside("acme", "SELECT count(*) FROM users")), "3");
}

/// Each statement is a transaction of its own: set_tenant says so instead of going without effect.
#[test]
fn in_statement_mode_set_tenant_is_refused() {
    for which in BOTH {
        let Some(pooled) = Pooled::start(which, &["pool_mode = statement"]) else { return };
        let mut client = pooled.client();
        for statement in ["SELECT plio.set_tenant('acme')", "SET LOCAL plio.tenant = 'acme'"] {
            assert_refusal(
                &expect_sqlstate(try_value(&mut client, statement), "25P01"),
                "25P01",
                &["canary"],
            );
        }
        expect_sqlstate(try_value(&mut client, NAME), "42P01");
    }
}

/// PgBouncer refuses `options` that it does not know; told to ignore them it drops them, and then no tenant is set.
#[test]
fn a_tenant_in_the_connection_string_is_refused_or_dropped_never_misplaced() {
    for which in BOTH {
        let Some(pooled) = Pooled::start(which, &[]) else { return };
        let mut config = pooled.pooler.config(&pooled.fixture.db, &pooled.fixture.app);
        config.options("-c plio.tenant=acme");
        assert!(config.connect(NoTls).is_err(), "PgBouncer refuses the option");
        let Some(ignoring) = Pooled::start(which, &["ignore_startup_parameters = options"]) else { return };
        let mut config = ignoring.pooler.config(&ignoring.fixture.db, &ignoring.fixture.app);
        let mut client = config.options("-c plio.tenant=acme").connect(NoTls).expect("a connection");
        expect_sqlstate(try_value(&mut client, NAME), "42P01");
        assert_eq!(value(&mut client, "SELECT current_setting('plio.tenant')"), "");
    }
}
