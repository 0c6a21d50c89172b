//! Evidence: a role that is refused again and again takes its own share of the ring and of the history, and no other role's.

use super::flush::{PRELOADED, count};
use super::{denied_in_acme, first};
use plio_tests::{Cluster, Db, TwoTenants};
use postgres::Client;

const ROWS_AND_TIMES: &str = "SELECT concat_ws(' ', count(*), sum(times)) FROM plio.denials";

/// A role without any grant is refused so often, each time in a session of its own: nothing is counted in one row.
fn flood(db: &Db, nobody: &str, times: usize) {
    for _ in 0..times {
        assert!(db.connect(nobody).batch_execute("SELECT * FROM tenant_acme.users").is_err());
    }
}

fn deny(fixture: &TwoTenants) {
    denied_in_acme(&mut fixture.db.connect(&fixture.app), "SELECT * FROM tenant_bravo.users");
}

fn rows_of(admin: &mut Client, table: &str, role: &str) -> i64 {
    first(admin, &format!("SELECT count(*) FROM plio.{table} WHERE login_role = '{role}'"))
}

#[test]
fn the_same_again_in_a_session_is_counted_in_one_row() {
    let fixture = super::two_tenants("repeated");
    let (mut app, mut admin) = (fixture.db.connect(&fixture.app), fixture.db.superuser());
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    app.batch_execute(
        "DO $$ BEGIN FOR i IN 1..500 LOOP
             BEGIN EXECUTE 'SELECT FROM tenant_bravo.users'; EXCEPTION WHEN insufficient_privilege THEN NULL; END;
         END LOOP; END $$",
    )
    .unwrap();
    assert_eq!(first::<String>(&mut admin, ROWS_AND_TIMES), "1 500");
    let later = "SELECT last_at > at AND last_at <= now() FROM plio.denials";
    assert!(first::<bool>(&mut admin, later));
    // Another message, another row; the counters and the metric have all of them.
    assert!(app.batch_execute("CREATE ROLE somebody").is_err());
    assert_eq!(first::<String>(&mut admin, ROWS_AND_TIMES), "2 501");
    assert_eq!(first::<i64>(&mut admin, "SELECT denials FROM plio.stat_tenants WHERE org = 'acme'"), 501);
    // What was written to the table does not change any more: what happens then has a row of its own.
    app.batch_execute("ROLLBACK").unwrap();
    admin.batch_execute("SELECT plio.flush_denials()").unwrap();
    denied_in_acme(&mut app, "SELECT FROM tenant_bravo.users");
    assert_eq!(first::<String>(&mut admin, ROWS_AND_TIMES), "3 502");
    assert_eq!(first::<i64>(&mut admin, "SELECT plio.flush_denials()"), 1);
    let history = "SELECT string_agg(times::text, ' ' ORDER BY denial_id) FROM plio.denials_history";
    assert_eq!(first::<String>(&mut admin, history), "500 1 1");
}

// A flood before and after what others are refused: theirs is there, and the flood has the rest.
#[test]
fn a_flood_washes_away_no_other_roles_denials() {
    let cluster = Cluster::start(&[PRELOADED, "plio.denials_ring_size = 16"]);
    let fixture = cluster.database("flooded").two_tenants();
    let (nobody, other) = (fixture.db.login_role("nobody"), fixture.db.login_role("other"));
    let mut admin = fixture.db.superuser();
    flood(&fixture.db, &nobody, 20);
    assert_eq!(rows_of(&mut admin, "denials", &nobody), 16);
    deny(&fixture);
    flood(&fixture.db, &other, 1);
    flood(&fixture.db, &nobody, 40);
    deny(&fixture);
    flood(&fixture.db, &nobody, 40);
    let rows = [&fixture.app, &other, &nobody].map(|role| rows_of(&mut admin, "denials", role));
    assert_eq!(rows, [2, 1, 13]);
    // Nor can it be forged: whoever is not the login role does not stand there.
    let mut session = fixture.db.connect(&nobody);
    session
        .batch_execute(&format!(
            "DO $$ BEGIN RAISE LOG 'plio denial: kind=other_tenant login=\"{other}\"'; END $$"
        ))
        .unwrap();
    assert_eq!(rows_of(&mut admin, "denials", &other), 1);
}

// The table's room, likewise: a quarter for each login role.
#[test]
fn a_flood_fills_only_its_share_of_the_history() {
    let cluster = Cluster::start(&[PRELOADED, "plio.denials_history_rows = 40"]);
    let fixture = cluster.database("filled").two_tenants();
    let nobody = fixture.db.login_role("nobody");
    let mut admin = fixture.db.superuser();
    let left_out = "SELECT coalesce(string_agg(split_part(detail, ' ', 1), ''), '') FROM plio.health() WHERE finding = 'denials_left_out'";
    flood(&fixture.db, &nobody, 9);
    assert_eq!(first::<i64>(&mut admin, "SELECT plio.flush_denials()"), 9);
    assert_eq!(first::<String>(&mut admin, left_out), "");
    flood(&fixture.db, &nobody, 9);
    deny(&fixture);
    assert_eq!(first::<i64>(&mut admin, "SELECT plio.flush_denials()"), 2);
    assert_eq!(first::<String>(&mut admin, left_out), "8");
    deny(&fixture);
    assert_eq!(first::<i64>(&mut admin, "SELECT plio.flush_denials()"), 1);
    let rows = [&fixture.app, &nobody].map(|role| rows_of(&mut admin, "denials_history", role));
    assert_eq!((rows, count(&mut admin)), ([2, 10], 12));
}
