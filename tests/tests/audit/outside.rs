//! Ways out of the database, and settings that take the protection away.

use plio_tests::Cluster;

use crate::case::{Case, audit, check};

pub const CASES: &[Case] = &[
    Case::new("publication", "warning", None, "everything", "CREATE PUBLICATION everything FOR ALL TABLES"),
    Case::new(
        "publication",
        "warning",
        None,
        "two",
        "CREATE PUBLICATION two FOR TABLE tenant_acme.users, tenant_bravo.users",
    ),
    Case::new(
        "publication",
        "info",
        Some("acme"),
        "one",
        "CREATE PUBLICATION one FOR TABLES IN SCHEMA tenant_acme",
    )
    .mend("DROP PUBLICATION one"),
    Case::new(
        "subscription",
        "warning",
        Some("acme"),
        "feed",
        "SET client_min_messages = error;
         CREATE SUBSCRIPTION feed CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false);
         INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate)
         SELECT oid, 'tenant_acme.users'::regclass, 'r' FROM pg_subscription WHERE subname = 'feed'",
    ),
    Case::new(
        "subscription",
        "info",
        None,
        "idle",
        "SET client_min_messages = error;
         CREATE SUBSCRIPTION idle CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false)",
    )
    .mend("ALTER SUBSCRIPTION idle SET (slot_name = NONE); DROP SUBSCRIPTION idle"),
    Case::new("foreign_server", "info", None, "away", "CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw")
        .before("CREATE EXTENSION postgres_fdw")
        .mend("DROP SERVER away"),
    Case::new(
        "foreign_server",
        "warning",
        Some("acme"),
        "near",
        "CREATE SERVER near FOREIGN DATA WRAPPER postgres_fdw;
         CREATE FOREIGN TABLE tenant_acme.far (id int) SERVER near",
    ),
    Case::new(
        "foreign_server",
        "warning",
        None,
        "open",
        "CREATE SERVER open FOREIGN DATA WRAPPER postgres_fdw; GRANT USAGE ON FOREIGN SERVER open TO PUBLIC",
    ),
    Case::new("connecting_extension", "info", None, "dblink", "CREATE EXTENSION dblink")
        .mend("DROP EXTENSION dblink"),
    Case::new(
        "untrusted_language",
        "warning",
        None,
        "plfree",
        "CREATE LANGUAGE plfree HANDLER plpgsql_call_handler VALIDATOR plpgsql_validator",
    ),
    Case::new(
        "untrusted_function",
        "critical",
        Some("acme"),
        "tenant_acme.free()",
        "CREATE FUNCTION tenant_acme.free() RETURNS int LANGUAGE plwild AS 'BEGIN RETURN 1; END'",
    )
    .before("CREATE LANGUAGE plwild HANDLER plpgsql_call_handler VALIDATOR plpgsql_validator"),
    Case::new(
        "untrusted_function",
        "warning",
        None,
        "public.free()",
        "CREATE FUNCTION public.free() RETURNS int LANGUAGE plwild AS 'BEGIN RETURN 1; END'",
    ),
    Case::new(
        "enforcement_preset",
        "critical",
        None,
        "app",
        "ALTER ROLE \"@app\" SET plio.enforcement = off",
    ),
    Case::new(
        "enforcement_preset",
        "critical",
        None,
        "audit_outside",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET plio.enforcement = off', current_database()); END $$",
    ),
    Case::new(
        "enforcement_preset",
        "critical",
        None,
        "every role",
        "ALTER ROLE ALL SET plio.enforcement = report",
    ),
    Case::new(
        "connections_preset",
        "warning",
        None,
        "every role",
        "ALTER ROLE ALL SET plio.allowed_connections = 'x'",
    ),
    Case::new(
        "connections_preset",
        "warning",
        None,
        "app",
        "ALTER ROLE \"@app\" SET plio.allowed_connections = 'dblink'",
    ),
    Case::new(
        "parameter_grant",
        "critical",
        None,
        "plio.enforcement",
        "GRANT SET ON PARAMETER plio.enforcement TO \"@app\"",
    ),
    Case::new(
        "parameter_grant",
        "critical",
        None,
        "session_preload_libraries",
        "GRANT SET, ALTER SYSTEM ON PARAMETER session_preload_libraries TO PUBLIC",
    ),
    Case::new("path_preset", "info", Some("acme"), "app", "ALTER ROLE \"@app\" SET search_path = public, tenant_acme"),
    Case::new(
        "path_preset",
        "critical",
        Some("acme"),
        "dba",
        "SELECT set_config('search_path', 'TENANT_Acme, public', false); ALTER ROLE dba SET search_path FROM CURRENT",
    )
    .before("CREATE ROLE dba LOGIN; GRANT plio_admin TO dba"),
    Case::new(
        "path_preset",
        "warning",
        Some("acme"),
        "audit_outside",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = tenant_acme', current_database()); END $$",
    ),
    Case::new("tenant_preset", "info", Some("acme"), "app", "ALTER ROLE \"@app\" SET plio.tenant = 'acme'")
        .mend("ALTER ROLE \"@app\" RESET plio.tenant"),
];

#[test]
fn ways_out_are_found_and_mended() {
    let cluster = Cluster::start(&["allow_system_table_mods = on", "wal_level = logical"]);
    check(&cluster.database("audit_outside").two_tenants(), CASES);
}

// What an administrator allowed for everybody in the configuration: it is the server's, so the cluster's.
#[test]
fn what_the_configuration_allows_is_found() {
    // 15 and 16 have no such setting.
    let is_old = ["15", "16"].contains(&Cluster::major().as_str());
    let event_triggers = if is_old { "" } else { "event_triggers = off" };
    let cluster = Cluster::start(&[
        "plio.allowed_connections = 'dblink, away'",
        "lo_compat_privileges = on",
        event_triggers,
    ]);
    let fixture = cluster.database("audit_allowed").two_tenants();
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "CREATE EXTENSION dblink; CREATE EXTENSION postgres_fdw; CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw",
        )
        .unwrap();
    let found: Vec<(String, String)> =
        audit(&mut admin).into_iter().map(|((severity, check, ..), ..)| (severity, check)).collect();
    for (severity, check) in [
        ("warning", "foreign_server"),
        ("warning", "connecting_extension"),
        ("critical", "large_object_compat"),
        ("critical", "event_triggers_off"),
    ] {
        if is_old && check == "event_triggers_off" {
            continue;
        }
        assert!(found.contains(&(severity.to_owned(), check.to_owned())), "{check}: {found:?}");
    }
    if !is_old {
        let role = &fixture.app;
        admin.batch_execute(&format!("ALTER ROLE {role} SET event_triggers = no")).unwrap();
        let fixes =
            |admin: &mut _| -> Vec<_> { audit(admin).into_iter().filter_map(|(.., fix)| fix).collect() };
        let fix = format!("ALTER ROLE {role} RESET event_triggers");
        assert!(fixes(&mut admin).contains(&fix));
        admin.batch_execute(&fix).unwrap();
        assert!(!fixes(&mut admin).contains(&fix));
    }
}

pub const BY_CONFIGURATION: &[(&str, &str)] = &[
    ("foreign_server", "warning"),
    ("connecting_extension", "warning"),
    ("large_object_compat", "critical"),
    ("event_triggers_off", "critical"),
];
