//! Prepared statements of the protocol and of SQL, through poolers that keep them and one that does not.

use crate::{Pooled, assert_shared, inside, try_value, value};
use plio_tests::{PgBouncer, expect_sqlstate};

const BY_ID: &str = "SELECT name FROM users WHERE id = $1";

/// The pooler prepares what a client prepared on whatever server connection it gets, and shares the statement between
/// clients with the same text: each reads the rows of the tenant that it is in.
#[test]
fn a_newer_pooler_keeps_them_and_they_follow_the_tenant() {
    let Some(pooled) = Pooled::start(PgBouncer::New, &["max_prepared_statements = 50"]) else { return };
    let (mut one, mut other) = (pooled.client(), pooled.client());
    assert_shared(&mut one, &mut other);
    let mut statements = Vec::new();
    for (client, org) in [(&mut one, "acme"), (&mut other, "bravo")] {
        let mut transaction = client.transaction().unwrap();
        transaction.batch_execute(&format!("SELECT plio.set_tenant('{org}')")).unwrap();
        statements.push(transaction.prepare(BY_ID).unwrap());
        transaction.commit().unwrap();
    }
    for round in 0..20 {
        for (client, org, statement) in
            [(&mut one, "acme", &statements[0]), (&mut other, "bravo", &statements[1])]
        {
            let mut transaction = client.transaction().unwrap();
            transaction.batch_execute(&format!("SELECT plio.set_tenant('{org}')")).unwrap();
            let name: String = transaction.query_one(statement, &[&1_i64]).unwrap().get(0);
            assert_eq!(name, format!("canary-{org}"), "round {round}");
            transaction.commit().unwrap();
        }
    }
    // Outside a tenant the statement finds no table.
    expect_sqlstate(one.query_one(&statements[0], &[&1_i64]), "42P01");
}

/// PgBouncer 1.18 knows nothing of them: the statement is the server connection's, and the next client's name for
/// another statement meets it. Within one transaction they work. That is PgBouncer's trouble, shown here, not ours.
#[test]
fn an_old_pooler_breaks_them_across_transactions() {
    let Some(pooled) = Pooled::start(PgBouncer::Old, &[]) else { return };
    let (mut one, mut other) = (pooled.client(), pooled.client());
    assert_shared(&mut one, &mut other);
    let _kept = one.prepare("SELECT 1").unwrap();
    expect_sqlstate(other.prepare("SELECT 2"), "42P05");
}

/// SQL's PREPARE is the server connection's, through every pooler: the next client may run it, in the tenant it is in.
#[test]
fn sql_statements_of_another_client_read_the_own_tenant() {
    for which in [PgBouncer::Old, PgBouncer::New] {
        let Some(pooled) = Pooled::start(which, &[]) else { return };
        let (mut one, mut other) = (pooled.client(), pooled.client());
        assert_shared(&mut one, &mut other);
        value(
            &mut one,
            &inside(
                "acme",
                "PREPARE by_id(bigint) AS SELECT name FROM users WHERE id = $1;
                 PREPARE named AS SELECT name FROM tenant_acme.users; EXECUTE named; EXECUTE by_id(1)",
            ),
        );
        for _ in 0..8 {
            assert_eq!(value(&mut other, &inside("bravo", "EXECUTE by_id(1)")), "canary-bravo");
            assert_eq!(value(&mut one, &inside("acme", "EXECUTE by_id(1)")), "canary-acme");
        }
        expect_sqlstate(try_value(&mut other, &inside("bravo", "EXECUTE named")), "42501");
        other.batch_execute("ROLLBACK").unwrap();
        expect_sqlstate(try_value(&mut other, "EXECUTE named"), "55000");
    }
}
