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

/// PgBouncer 1.18 knows nothing of them: the statement is on the server connection that the client had, and its next
/// transaction may get another. That is PgBouncer's trouble, shown here, not ours; the newer one prepares it there, too.
#[test]
fn an_old_pooler_loses_them_across_transactions() {
    for (which, option) in [(PgBouncer::Old, ""), (PgBouncer::New, "max_prepared_statements = 50")] {
        let Some(pooled) = Pooled::start(which, &["default_pool_size = 2", option]) else { return };
        let (mut one, mut other) = (pooled.client(), pooled.client());
        let statement = one.prepare("SELECT pg_backend_pid()").unwrap();
        let pid: i32 = one.query_one(&statement, &[]).unwrap().get(0);
        // The other client takes that server connection and keeps it.
        assert_eq!(value(&mut other, "BEGIN; SELECT pg_backend_pid()"), pid.to_string());
        let answer = one.query_one(&statement, &[]);
        match which {
            PgBouncer::Old => drop(expect_sqlstate(answer, "26000")),
            PgBouncer::New => assert_ne!(answer.unwrap().get::<_, i32>(0), pid),
        }
    }
}

/// SQL's PREPARE is the server connection's, through every pooler: it goes when another tenant is entered.
#[test]
fn sql_statements_of_another_clients_tenant_are_gone() {
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
        for name in ["by_id(1)", "named"] {
            expect_sqlstate(try_value(&mut one, &inside("acme", &format!("EXECUTE {name}"))), "26000");
            one.batch_execute("ROLLBACK").unwrap();
            expect_sqlstate(try_value(&mut other, &inside("bravo", &format!("EXECUTE {name}"))), "26000");
            other.batch_execute("ROLLBACK").unwrap();
        }
    }
}
