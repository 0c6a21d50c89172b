//! What is wrong with an installation or a login role, found by selftest().

use plio_tests::Cluster;

use crate::{clean, leaked, selftest};

#[test]
fn a_superuser_is_told_what_it_is() {
    let fixture = clean("selftest_super");
    let rows = selftest(&mut fixture.db.superuser());
    let found = leaked(&rows);
    for attack in [
        "own privileges on tenants' objects",
        "forgotten tenant: select",
        "forgotten tenant: statistics",
        "forgotten tenant: the tenant's role",
    ] {
        assert!(found.contains(&attack), "{attack}: {rows:#?}");
    }
    // Inside a tenant even a superuser is bound.
    let is_outside = |attack: &&str| attack.starts_with("forgotten") || attack.starts_with("own ");
    assert!(found.iter().all(is_outside), "{found:?}");
}

#[test]
fn an_administrator_is_told_what_it_is() {
    let fixture = clean("selftest_admin");
    let role = fixture.db.login_role("manager");
    fixture.db.superuser().batch_execute(&format!("GRANT plio_admin TO {role}")).unwrap();
    let rows = selftest(&mut fixture.db.connect(&role));
    // It passes our check; PostgreSQL's own privileges still hold it back.
    assert!(leaked(&rows).is_empty(), "{rows:#?}");
    let entering = rows.iter().find(|row| row.0 == "a tenant without access to it").unwrap();
    assert_eq!(entering.1, "not applicable");
}

// Groups are the cluster's: one of its own.
#[test]
fn too_many_rights_are_found() {
    let fixture = Cluster::start(&[]).database("selftest_rights").two_tenants();
    let mut admin = fixture.db.superuser();
    let app = &fixture.app;
    for (plant, mend, attack) in [
        (
            format!("GRANT pg_read_all_data TO {app}"),
            format!("REVOKE pg_read_all_data FROM {app}"),
            "own privileges on tenants' objects",
        ),
        (
            format!("GRANT SELECT ON tenant_acme.users TO {app}"),
            format!("REVOKE SELECT ON tenant_acme.users FROM {app}"),
            "own privileges on tenants' objects",
        ),
        (
            "GRANT pg_read_all_data TO plio_tenant".to_owned(),
            "REVOKE pg_read_all_data FROM plio_tenant".to_owned(),
            "statistics of values",
        ),
        (
            "GRANT pg_read_server_files TO plio_tenant; GRANT EXECUTE ON FUNCTION pg_read_file(text) TO plio_tenant".to_owned(),
            "REVOKE pg_read_server_files FROM plio_tenant; REVOKE EXECUTE ON FUNCTION pg_read_file(text) FROM plio_tenant".to_owned(),
            "a server file",
        ),
    ] {
        assert!(leaked(&selftest(&mut fixture.db.connect(app))).is_empty());
        admin.batch_execute(&plant).unwrap_or_else(|error| panic!("{plant}: {error:?}"));
        let rows = selftest(&mut fixture.db.connect(app));
        assert!(leaked(&rows).contains(&attack), "{plant}: {rows:#?}");
        admin.batch_execute(&mend).unwrap_or_else(|error| panic!("{mend}: {error:?}"));
    }
    assert!(leaked(&selftest(&mut fixture.db.connect(app))).is_empty());
}

#[test]
fn a_missing_preload_and_enforcement_off_are_found() {
    let fixture = clean("selftest_loading");
    let (mut admin, name, app) = (fixture.db.superuser(), fixture.db.name(), &fixture.app);
    admin.batch_execute(&format!("ALTER ROLE {app} IN DATABASE {name} SET plio.enforcement = off")).unwrap();
    let rows = selftest(&mut fixture.db.connect(app));
    let found = leaked(&rows);
    for attack in
        ["enforcement turned off", "planted foreign key as an oracle", "granting the own tables away"]
    {
        assert!(found.contains(&attack), "{attack}: {rows:#?}");
    }
    admin.batch_execute(&format!("ALTER ROLE {app} IN DATABASE {name} RESET plio.enforcement")).unwrap();

    admin.batch_execute(&format!("ALTER DATABASE {name} RESET session_preload_libraries")).unwrap();
    let rows = selftest(&mut fixture.db.connect(app));
    assert_eq!(leaked(&rows), ["a session without the library"], "{rows:#?}");
    // No tenant can be entered then, so nothing inside one was tried, and that is said.
    let inside = rows.iter().find(|row| row.0 == "planted view").unwrap();
    assert_eq!((inside.1.as_str(), inside.2.as_deref()), ("not applicable", Some("55000")));
}
