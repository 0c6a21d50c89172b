//! What undoes a tenant, and what does not.

use super::{assert_inside, assert_outside, refused, text, two_tenants};
use plio_tests::expect_sqlstate;

#[test]
fn the_end_of_the_transaction_undoes_it() {
    let fixture = two_tenants("ends");
    let mut app = fixture.db.connect(&fixture.app);
    for end in ["COMMIT", "ROLLBACK", "END", "ABORT", "SELECT 1/0; COMMIT"] {
        app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
        assert_inside(&mut app, "acme");
        // A failed statement fails the rest of its message, too.
        if app.batch_execute(end).is_err() {
            app.batch_execute("ROLLBACK").unwrap();
        }
        assert_outside(&mut app, &fixture.app);
    }
}

#[test]
fn a_chained_transaction_starts_without_a_tenant() {
    let fixture = two_tenants("chain");
    let mut app = fixture.db.connect(&fixture.app);
    for end in ["COMMIT AND CHAIN", "ROLLBACK AND CHAIN"] {
        app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
        app.batch_execute(end).unwrap();
        assert_outside(&mut app, &fixture.app);
        app.batch_execute("SELECT plio.set_tenant('bravo')").unwrap();
        assert_inside(&mut app, "bravo");
        app.batch_execute("COMMIT").unwrap();
    }
}

#[test]
fn a_savepoint_before_it_undoes_it_and_one_after_it_does_not() {
    let fixture = two_tenants("savepoints");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SAVEPOINT before; SELECT plio.set_tenant('acme'); SAVEPOINT after").unwrap();
    app.batch_execute("UPDATE users SET name = 'changed' WHERE id = 1; ROLLBACK TO after").unwrap();
    assert_inside(&mut app, "acme");
    app.batch_execute("RELEASE after").unwrap();
    assert_inside(&mut app, "acme");
    app.batch_execute("ROLLBACK TO before").unwrap();
    assert_outside(&mut app, &fixture.app);
    // Free for another one; releasing the savepoint keeps that.
    app.batch_execute("SELECT plio.set_tenant('bravo')").unwrap();
    assert_inside(&mut app, "bravo");
    app.batch_execute("RELEASE before").unwrap();
    assert_inside(&mut app, "bravo");
    refused(app.batch_execute("SELECT plio.set_tenant('acme')"), "25001");
    app.batch_execute("ROLLBACK").unwrap();
    assert_outside(&mut app, &fixture.app);
}

#[test]
fn a_nested_savepoint_undoes_it_as_far_as_it_goes() {
    let fixture = two_tenants("nested");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SAVEPOINT a; SAVEPOINT b; SELECT plio.set_tenant('acme'); RELEASE b").unwrap();
    assert_inside(&mut app, "acme");
    app.batch_execute("SAVEPOINT c; SELECT plio.set_tenant('acme'); ROLLBACK TO c").unwrap();
    assert_inside(&mut app, "acme");
    app.batch_execute("ROLLBACK TO a").unwrap();
    assert_outside(&mut app, &fixture.app);
}

#[test]
fn an_exception_block_undoes_what_was_set_in_it_and_only_that() {
    let fixture = two_tenants("exception");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute(
        "BEGIN;
         DO $$ BEGIN
             BEGIN
                 PERFORM plio.set_tenant('acme');
                 ASSERT plio.current_tenant() = 'acme';
                 PERFORM 1/0;
             EXCEPTION WHEN division_by_zero THEN
                 ASSERT plio.current_tenant() IS NULL;
             END;
             PERFORM plio.set_tenant('bravo');
             BEGIN
                 PERFORM 1/0;
             EXCEPTION WHEN division_by_zero THEN
                 ASSERT plio.current_tenant() = 'bravo';
             END;
         END $$",
    )
    .unwrap();
    assert_inside(&mut app, "bravo");
}

// A refusal caught in an exception block leaves the transaction without a tenant, and its locks in place.
#[test]
fn a_refusal_can_be_caught() {
    let fixture = two_tenants("caught");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute(
        "BEGIN;
         DO $$ BEGIN
             PERFORM plio.set_tenant('nobody');
         EXCEPTION WHEN insufficient_privilege THEN
             ASSERT plio.current_tenant() IS NULL;
         END $$",
    )
    .unwrap();
    assert_outside(&mut app, &fixture.app);
    app.batch_execute(
        "SELECT plio.set_tenant('acme');
         DO $$ BEGIN
             RESET ROLE; SET LOCAL plio.tenant = 'bravo';
             RAISE 'not refused';
         EXCEPTION WHEN active_sql_transaction THEN
             ASSERT plio.current_tenant() = 'acme';
         END $$",
    )
    .unwrap();
    assert_inside(&mut app, "acme");
}

#[test]
fn a_commit_inside_a_procedure_ends_it() {
    let fixture = two_tenants("procedure");
    fixture
        .db
        .superuser()
        .batch_execute(
            "CREATE PROCEDURE public.work() LANGUAGE plpgsql AS $$
             DECLARE org text;
             BEGIN
                 FOREACH org IN ARRAY ARRAY['acme', 'bravo', 'acme'] LOOP
                     ASSERT plio.current_tenant() IS NULL;
                     PERFORM plio.set_tenant(org);
                     ASSERT (SELECT name FROM users WHERE id = 1) = 'canary-' || org;
                     IF org = 'acme' THEN COMMIT; ELSE ROLLBACK; END IF;
                     ASSERT plio.current_tenant() IS NULL AND current_setting('role') = 'none';
                 END LOOP;
             END $$",
        )
        .unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("CALL public.work()").unwrap();
    assert_outside(&mut app, &fixture.app);
}

// The tenant's role would own the prepared transaction: the application's could not finish it, and it would hold
// the tenant's lock for good.
#[test]
fn a_transaction_inside_a_tenant_cannot_be_prepared() {
    let fixture = two_tenants("twophase");
    let mut app = fixture.db.connect(&fixture.app);
    for statement in ["BEGIN", "SELECT 1", "PREPARE TRANSACTION 'without'", "COMMIT PREPARED 'without'"] {
        app.batch_execute(statement).unwrap();
    }
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); DELETE FROM users").unwrap();
    refused(app.batch_execute("PREPARE TRANSACTION 'inside'"), "42501");
    app.batch_execute("ROLLBACK").unwrap();
    assert_outside(&mut app, &fixture.app);
    assert_eq!(text(&mut app, "SELECT count(*) FROM pg_prepared_xacts").as_deref(), Some("0"));
}

// Other people's errors pass through, and the tenant goes with the transaction.
#[test]
fn an_error_of_the_statement_is_the_statements_own() {
    let fixture = two_tenants("unrelated");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    let error = expect_sqlstate(app.batch_execute("INSERT INTO users VALUES (1, 'twice')"), "23505");
    assert_eq!(error.constraint(), Some("users_pkey"));
    expect_sqlstate(app.batch_execute("SELECT 1"), "25P02");
    app.batch_execute("ROLLBACK").unwrap();
    assert_outside(&mut app, &fixture.app);
}
