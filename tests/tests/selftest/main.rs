//! plio.selftest(): on a clean installation every attack is refused; what is wrong with one is found; nothing is left.

#![forbid(unsafe_code)]

mod abuse;
mod defects;

use plio_tests::{Cluster, TwoTenants};
use postgres::Client;

/// Attack, verdict, SQLSTATE, detail.
type Row = (String, String, Option<String>, Option<String>);

fn selftest(client: &mut Client) -> Vec<Row> {
    let rows = client
        .query("SELECT attack, verdict, sqlstate, detail FROM plio.selftest()", &[])
        .unwrap_or_else(|error| panic!("{error:?}"));
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
}

fn leaked(rows: &[Row]) -> Vec<&str> {
    rows.iter().filter(|row| row.1 == "LEAKED").map(|row| row.0.as_str()).collect()
}

fn clean(prefix: &str) -> TwoTenants {
    Cluster::shared().database(prefix).two_tenants()
}

/// Holds that every attack was refused, most of them with a SQLSTATE.
#[track_caller]
fn assert_all_refused(rows: &[Row]) {
    assert!(rows.len() > 50, "{rows:#?}");
    for (attack, verdict, sqlstate, detail) in rows {
        assert_eq!(verdict, "refused", "{attack}: {sqlstate:?} {detail:?}");
    }
    // A few just see nothing.
    let silent = rows.iter().filter(|row| row.2.is_none()).count();
    assert!(silent < 10, "{rows:#?}");
}

// An ordinary login role with access to tenants, and one without any.
#[test]
fn on_a_clean_installation_every_attack_is_refused() {
    let fixture = clean("selftest_clean");
    for role in [&fixture.app, &fixture.carol] {
        assert_all_refused(&selftest(&mut fixture.db.connect(role)));
    }
}

// A role that may enter every tenant can enter the other one as well: that is no leak.
#[test]
fn who_may_enter_every_tenant_is_not_blamed_for_it() {
    let fixture = clean("selftest_every");
    let mut admin = fixture.db.superuser();
    admin.execute("SELECT plio.grant_access_to_every_tenant($1)", &[&fixture.app]).unwrap();
    let rows = selftest(&mut fixture.db.connect(&fixture.app));
    let (others, entering): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| row.0 != "a tenant without access to it");
    assert_eq!(entering[0].1, "not applicable", "{entering:?}");
    assert_all_refused(&others);
}
