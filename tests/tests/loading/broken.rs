//! A registry that cannot be read, and an installer who is no superuser any more.

use super::{findings, first, refused, two_tenants};
use plio_tests::{Cluster, Layers, expect_sqlstate};

const HARMS: &[(&str, &str)] = &[
    ("ALTER TABLE plio.tenants RENAME TO gone", "ALTER TABLE plio.gone RENAME TO tenants"),
    ("ALTER INDEX plio.tenants_org_key RENAME TO gone", "ALTER INDEX plio.gone RENAME TO tenants_org_key"),
    (
        "ALTER INDEX plio.access_org_role_name_key RENAME TO gone",
        "ALTER INDEX plio.gone RENAME TO access_org_role_name_key",
    ),
    ("ALTER TABLE plio.shares SET SCHEMA public", "ALTER TABLE public.shares SET SCHEMA plio"),
    ("ALTER SCHEMA plio RENAME TO gone", "ALTER SCHEMA gone RENAME TO plio"),
];

#[test]
fn where_the_registry_cannot_be_read_nothing_is_allowed() {
    for layers in [Layers::Two, Layers::One] {
        let fixture = Cluster::shared().database("broken").tenants(layers);
        fixture
            .db
            .superuser()
            .batch_execute(
                "CREATE TABLE public.plain AS SELECT 1 AS x; GRANT SELECT ON public.plain TO PUBLIC",
            )
            .unwrap();
        let mut app = fixture.db.connect(&fixture.app);
        let mut session = fixture.db.connect(&fixture.app);
        let mut admin = fixture.db.superuser();
        for (harm, mend) in HARMS {
            app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SELECT * FROM users; COMMIT; SELECT * FROM public.plain").unwrap();
            session.batch_execute("SET plio.tenant = 'acme'; SELECT * FROM users").unwrap();
            admin
                .batch_execute(&format!("SET plio.enforcement = off; {harm}; RESET plio.enforcement"))
                .unwrap();
            for client in [&mut app, &mut session, &mut admin, &mut fixture.db.connect(&fixture.carol)] {
                for statement in [
                    "SELECT * FROM tenant_bravo.users",
                    "SELECT * FROM public.plain",
                    "LOCK TABLE public.plain",
                    "TABLE public.plain",
                    "CREATE TABLE pg_temp.t ()",
                    "SET plio.tenant = 'acme'",
                    "DO $$ BEGIN END $$",
                ] {
                    let error = refused(client.batch_execute(statement), "55000");
                    assert!(error.message().contains("registry"), "{harm}, {statement}: {error:?}");
                }
                client
                    .batch_execute("BEGIN; SHOW work_mem; SET LOCAL work_mem = '1MB'; ROLLBACK; SELECT 1")
                    .ok();
            }
            // A superuser may go on as he must, and mend it; then all is as before.
            admin
                .batch_execute(&format!(
                    "SET plio.enforcement = off; SELECT * FROM public.plain; {mend}; RESET plio.enforcement"
                ))
                .unwrap();
            session.batch_execute("SET plio.tenant = 'acme'").unwrap();
            assert_eq!(first(&mut session, "SELECT name FROM users WHERE id = 1"), "canary-acme");
            session.batch_execute("RESET plio.tenant").unwrap();
            refused(session.batch_execute("SELECT * FROM tenant_bravo.users"), "55000");
        }
    }
}

#[test]
fn with_enforcement_on_nobody_takes_the_registry_away() {
    let fixture = Cluster::shared().database("kept").tenants(Layers::One);
    let mut admin = fixture.db.superuser();
    for begin in ["BEGIN", "BEGIN; SELECT plio.set_tenant('acme')", "BEGIN; SET plio.tenant = 'acme'"] {
        for (harm, _) in HARMS {
            admin.batch_execute(begin).unwrap();
            let error = admin.batch_execute(harm).expect_err(harm);
            let code = error.as_db_error().map_or("", |error| error.code().code());
            assert!(["55000", "42501", "25001", "2BP01"].contains(&code), "{begin}, {harm}: {error:?}");
            admin.batch_execute("ROLLBACK").unwrap();
        }
    }
    // The extension itself goes, comes back, and is updated.
    admin.batch_execute("ALTER EXTENSION plio_tenancy UPDATE").unwrap();
    admin
        .batch_execute(
            "SET plio.enforcement = off; ALTER TABLE plio.tenants RENAME TO gone; RESET plio.enforcement",
        )
        .unwrap();
    refused(admin.batch_execute("TABLE public.countries"), "55000");
    admin.batch_execute("DROP EXTENSION plio_tenancy; TABLE public.countries; CREATE EXTENSION plio_tenancy; TABLE public.countries").unwrap();
}

// health() needs no superuser behind it, and says what is wrong; what it says mends it.
#[test]
fn health_works_when_the_installer_is_no_superuser_any_more() {
    for mending in ["ALTER ROLE $installer SUPERUSER", "REASSIGN OWNED BY $installer TO postgres"] {
        let db = Cluster::shared().database("installer");
        let installer = db.login_role("installer");
        let mut admin = db.superuser();
        admin.batch_execute(&format!("ALTER ROLE {installer} SUPERUSER")).unwrap();
        db.connect(&installer)
            .batch_execute("CREATE EXTENSION plio_tenancy; SELECT plio.create_tenant('acme')")
            .unwrap();
        let mut admin2 = db.superuser();
        assert_eq!(findings(&mut admin2), ["loading"]);
        admin.batch_execute(&format!("ALTER ROLE {installer} NOSUPERUSER")).unwrap();
        for client in [&mut admin2, &mut db.superuser()] {
            assert_eq!(findings(client), ["installer_not_superuser", "loading"]);
            expect_sqlstate(client.batch_execute("SELECT plio.create_tenant('bravo')"), "42501");
        }
        let fix =
            first(&mut admin2, "SELECT fix FROM plio.health() WHERE finding = 'installer_not_superuser'");
        let said = mending.replace("$installer", &installer);
        assert!(fix.contains(said.strip_suffix(" TO postgres").unwrap_or(&said)), "{fix}");
        admin2.batch_execute(&format!("SET plio.enforcement = off; {said}; RESET plio.enforcement")).unwrap();
        assert_eq!(findings(&mut admin2), ["loading"]);
        admin2.batch_execute("SELECT plio.create_tenant('bravo'); SELECT * FROM plio.audit()").unwrap();
    }
    let fixture = two_tenants("superuser");
    assert_eq!(findings(&mut fixture.db.superuser()), ["loading"]);
}
