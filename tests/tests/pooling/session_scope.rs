//! `SET plio.tenant` behind a pooler in transaction mode: wrong unless the pooler replays the setting, and right then.

use crate::{NAME, Pooled, assert_shared, inside, try_value, value};
use plio_tests::{PgBouncer, assert_refusal, expect_sqlstate};

/// The control: a session's tenant is the server connection's, as every setting is. What the boundary still keeps: the
/// next client is in one tenant wholly, only in one that its own role may enter, and `set_tenant` puts it right.
#[test]
fn without_tracking_it_belongs_to_the_server_connection() {
    let Some(pooled) = Pooled::start(PgBouncer::New, &[]) else { return };
    let (mut one, mut other) = (pooled.client(), pooled.client());
    assert_shared(&mut one, &mut other);
    one.batch_execute("SET plio.tenant = 'acme'").unwrap();
    assert_eq!(value(&mut other, NAME), "canary-acme", "this is why the documentation forbids it");
    let refusal = expect_sqlstate(try_value(&mut other, "SELECT name FROM tenant_bravo.users"), "42501");
    assert_refusal(&refusal, "42501", &["canary"]);
    assert_eq!(value(&mut other, &inside("bravo", NAME)), "canary-bravo");
    // carol may enter nothing, and has a server connection of her own.
    let mut carol = pooled.pooler.connect(&pooled.fixture.db, &pooled.fixture.carol);
    expect_sqlstate(try_value(&mut carol, NAME), "42P01");
}

#[test]
fn server_reset_query_always_ends_it() {
    let conf = ["server_reset_query = DISCARD ALL", "server_reset_query_always = 1"];
    for which in [PgBouncer::Old, PgBouncer::New] {
        let Some(pooled) = Pooled::start(which, &conf) else { return };
        let (mut one, mut other) = (pooled.client(), pooled.client());
        assert_shared(&mut one, &mut other);
        one.batch_execute("SET plio.tenant = 'acme'").unwrap();
        expect_sqlstate(try_value(&mut other, NAME), "42P01");
        expect_sqlstate(try_value(&mut one, NAME), "42P01");
    }
}

/// Reads in turns, by clients in different tenants and by one in none, over one server connection.
#[test]
fn with_tracking_every_client_reads_its_own() {
    for tracked in ["plio.tenant", "plio.tenant, search_path"] {
        let conf = format!("track_extra_parameters = {tracked}");
        let Some(pooled) = Pooled::start(PgBouncer::New, &[&conf]) else { return };
        let (mut acme, mut bravo, mut none) = (pooled.client(), pooled.client(), pooled.client());
        acme.batch_execute("SET plio.tenant = 'acme'").unwrap();
        bravo.batch_execute("SET plio.tenant = 'bravo'").unwrap();
        for round in 0..100 {
            assert_eq!(value(&mut acme, NAME), "canary-acme", "{tracked}, round {round}");
            assert_eq!(value(&mut bravo, NAME), "canary-bravo", "{tracked}, round {round}");
            expect_sqlstate(try_value(&mut none, NAME), "42P01");
            expect_sqlstate(try_value(&mut none, "SELECT name FROM tenant_acme.users"), "55000");
        }
        assert_shared(&mut acme, &mut bravo);
        acme.batch_execute("RESET plio.tenant").unwrap();
        assert_eq!(value(&mut bravo, NAME), "canary-bravo");
        expect_sqlstate(try_value(&mut acme, NAME), "42P01");
        assert_eq!(value(&mut none, &inside("acme", NAME)), "canary-acme");
        assert_eq!(
            value(&mut bravo, &inside("acme", "SELECT 1")),
            "1",
            "a transaction's tenant goes before the session's"
        );
        assert_eq!(value(&mut bravo, NAME), "canary-bravo");
        expect_sqlstate(try_value(&mut none, NAME), "42P01");
    }
}

/// The pooler replays what the client last had. A tenant that was closed since is refused, and nothing else is served
/// in its place.
#[test]
fn a_replayed_tenant_is_checked_again() {
    let Some(pooled) = Pooled::start(PgBouncer::New, &["track_extra_parameters = plio.tenant"]) else {
        return;
    };
    let (mut acme, mut bravo) = (pooled.client(), pooled.client());
    acme.batch_execute("SET plio.tenant = 'acme'").unwrap();
    bravo.batch_execute("SET plio.tenant = 'bravo'").unwrap();
    pooled.fixture.db.superuser().batch_execute("SELECT plio.suspend_tenant('acme')").unwrap();
    let refused = try_value(&mut acme, NAME).expect_err("acme is suspended");
    assert!(!format!("{refused:?}").contains("canary"), "{refused:?}");
    let mut again = pooled.client();
    again.batch_execute("SET plio.tenant = 'bravo'").unwrap();
    assert_eq!(value(&mut again, NAME), "canary-bravo");
}

/// LISTEN is the server connection's, so the pooler's next client hears what is sent. Of a tenant's nothing, whether that
/// client is in another or in none.
#[test]
fn a_tenants_notifications_reach_no_other_client() {
    use postgres::fallible_iterator::FallibleIterator;
    let Some(pooled) = Pooled::start(PgBouncer::New, &["track_extra_parameters = plio.tenant"]) else {
        return;
    };
    let mut sender = pooled.fixture.db.connect(&pooled.fixture.app);
    let heard = |next: &mut postgres::Client, send: &mut dyn FnMut()| -> Vec<String> {
        // What is sent meanwhile is delivered when the transaction ends.
        next.batch_execute("BEGIN; SELECT 1").unwrap();
        send();
        next.batch_execute("COMMIT").unwrap();
        next.notifications().iter().map(|one| Ok(one.payload().to_owned())).collect().unwrap()
    };
    let (mut listener, mut bravo, mut none) = (pooled.client(), pooled.client(), pooled.client());
    assert_shared(&mut listener, &mut bravo);
    // The control.
    listener.batch_execute("LISTEN news").unwrap();
    let mut send = || sender.batch_execute("NOTIFY news, 'for whoever comes'").unwrap();
    assert_eq!(heard(&mut bravo, &mut send), ["for whoever comes"]);
    listener.batch_execute("UNLISTEN *").unwrap();
    bravo.batch_execute("SET plio.tenant = 'bravo'").unwrap();
    listener.batch_execute("SET plio.tenant = 'acme'").unwrap();
    let mut send = || sender.batch_execute(&inside("acme", "NOTIFY news, 'canary-acme'")).unwrap();
    for next in [&mut bravo, &mut none] {
        listener.batch_execute("LISTEN news").unwrap();
        assert_eq!(heard(&mut listener, &mut send), ["canary-acme"], "nobody was served between");
        assert_eq!(heard(next, &mut send), Vec::<String>::new());
    }
}
