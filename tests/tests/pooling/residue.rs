//! What else a client leaves on the server connection that the next client gets.

use crate::{Pooled, assert_shared, inside, try_value, value};
use plio_tests::{PgBouncer, expect_sqlstate};

#[test]
fn temporary_tables_and_sequence_values_end_with_the_tenant() {
    for which in [PgBouncer::Old, PgBouncer::New] {
        let Some(pooled) = Pooled::start(which, &[]) else { return };
        let (mut one, mut other) = (pooled.client(), pooled.client());
        assert_shared(&mut one, &mut other);
        value(
            &mut one,
            &inside(
                "acme",
                "CREATE TEMP TABLE notes AS SELECT * FROM users;
                 INSERT INTO users (name) VALUES ('fourth')",
            ),
        );
        let declare = "DECLARE held CURSOR WITH HOLD FOR SELECT name FROM users";
        expect_sqlstate(try_value(&mut one, &inside("acme", declare)), "42501");
        one.batch_execute("ROLLBACK").unwrap();
        for (statement, code) in [("SELECT * FROM notes", "42P01"), ("SELECT lastval()", "55000")] {
            expect_sqlstate(try_value(&mut other, statement), code);
            expect_sqlstate(try_value(&mut other, &inside("bravo", statement)), code);
            other.batch_execute("ROLLBACK").unwrap();
        }
        assert_eq!(value(&mut one, &inside("acme", "SELECT count(*) FROM users")), "4");
    }
}

/// LISTEN and advisory locks are the server connection's, through every pooler in transaction mode; ours refuses the first
/// inside tenants, and leaves the second to the application (docs/guarantees.md).
#[test]
fn listen_is_refused_and_an_advisory_lock_stays_until_the_reset() {
    let Some(pooled) =
        Pooled::start(PgBouncer::New, &["server_reset_query = DISCARD ALL", "server_reset_query_always = 1"])
    else {
        return;
    };
    let (mut one, mut other) = (pooled.client(), pooled.client());
    assert_shared(&mut one, &mut other);
    expect_sqlstate(try_value(&mut one, &inside("acme", "LISTEN news")), "42501");
    one.batch_execute("ROLLBACK").unwrap();
    value(&mut one, &inside("acme", "SELECT pg_advisory_lock(4711)"));
    let count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711";
    assert_eq!(value(&mut other, count), "0", "the reset query let go of it");
}

/// The control to the reset above.
#[test]
fn without_a_reset_the_advisory_lock_stays() {
    let Some(pooled) = Pooled::start(PgBouncer::New, &[]) else { return };
    let (mut one, mut other) = (pooled.client(), pooled.client());
    assert_shared(&mut one, &mut other);
    value(&mut one, &inside("acme", "SELECT pg_advisory_lock(4712)"));
    let count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4712";
    assert_eq!(value(&mut other, count), "1");
}
