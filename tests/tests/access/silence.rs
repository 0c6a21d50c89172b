//! Who may not enter a tenant learns nothing of it, not even whether there is one.

use super::two_tenants;
use plio_tests::{expect_sqlstate, refused};
use postgres::error::DbError;
use postgres::{Client, Error};

/// Every way to name an org, each with a tenant that one may not enter or that is not there.
const WAYS: &[&str] = &[
    "BEGIN; SELECT plio.set_tenant('$org')",
    "BEGIN; SET LOCAL plio.tenant = '$org'",
    "SET plio.tenant = '$org'",
    "DO $$ BEGIN PERFORM plio.set_tenant('$org'); END $$",
];

fn answer(client: &mut Client, way: &str, org: &str) -> Result<(), Error> {
    let result = client.batch_execute(&way.replace("$org", org));
    client.batch_execute("ROLLBACK").unwrap();
    result
}

/// All that the client is told, without the name that it gave itself.
fn told(error: &DbError, org: &str) -> String {
    format!(
        "{} {} {:?} {:?} {:?}",
        error.code().code(),
        error.message().replace(org, "<org>"),
        error.detail(),
        error.hint(),
        error.where_().map(|context| context.replace(org, "<org>")),
    )
}

#[test]
fn unknown_and_forbidden_tenants_give_the_same_answer() {
    let fixture = two_tenants("silent");
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "SELECT plio.create_tenant('shut'), plio.suspend_tenant('shut'), plio.create_tenant('lost');
             SET plio.enforcement = off; DROP SCHEMA tenant_lost CASCADE; RESET plio.enforcement",
        )
        .unwrap();
    let reporter = fixture.db.login_role("reporter");
    admin.batch_execute(&format!("GRANT plio_reporter TO {reporter}")).unwrap();
    for role in [&fixture.carol, &reporter] {
        let mut client = fixture.db.connect(role);
        for way in WAYS {
            let [unknown, others @ ..] = ["nobody", "acme", "shut", "lost"]
                .map(|org| told(&expect_sqlstate(answer(&mut client, way, org), "42501"), org));
            others.iter().for_each(|other| assert_eq!(*other, unknown, "{way}"));
        }
        // The connection string says no more.
        let [unknown, others @ ..] = ["nobody", "acme", "shut", "lost"].map(|org| {
            let mut config = fixture.db.config(role);
            let result = config.options(&format!("-c plio.tenant={org}")).connect(postgres::NoTls);
            told(&expect_sqlstate(result, "42501"), org)
        });
        others.iter().for_each(|other| assert_eq!(*other, unknown));
        // ALTER ROLE SET tests the name alone: every org is kept for the next login, and none is looked up.
        for org in ["nobody", "acme"] {
            let set = format!("ALTER ROLE {role} SET plio.tenant = '{org}'");
            let result = admin.batch_execute(&format!("BEGIN; {set}; ROLLBACK"));
            result.unwrap_or_else(|error| panic!("{set}: {error:?}"));
        }
    }
    // Who may enter some of the tenants learns nothing of the others.
    let mut app = fixture.db.connect(&fixture.app);
    answer(&mut app, WAYS[0], "acme").unwrap();
    for org in ["nobody", "shut"] {
        refused(answer(&mut app, WAYS[0], org), "42501");
    }
}

#[test]
fn who_may_know_every_tenant_is_told_that_there_is_none() {
    let fixture = two_tenants("told");
    let mut admin = fixture.db.superuser();
    let roles = ["dba", "auditor", "every"].map(|prefix| fixture.db.login_role(prefix));
    let [dba, auditor, every] = &roles;
    admin
        .batch_execute(&format!(
            "GRANT plio_admin TO {dba}; GRANT plio_auditor TO {auditor}; SELECT plio.grant_access_to_every_tenant('{every}')"
        ))
        .unwrap();
    for role in [dba, auditor, every, &"postgres".to_owned()] {
        let mut client = fixture.db.connect(role);
        for way in WAYS {
            refused(answer(&mut client, way, "nobody"), "42704");
        }
    }
    refused(answer(&mut fixture.db.connect(auditor), WAYS[0], "acme"), "42501");
    // Taken back, the answer changes with it.
    let mut client = fixture.db.connect(every);
    refused(answer(&mut client, WAYS[0], "nobody"), "42704");
    admin.execute("SELECT plio.revoke_access_to_every_tenant($1)", &[every]).unwrap();
    refused(answer(&mut client, WAYS[0], "nobody"), "42501");
}
