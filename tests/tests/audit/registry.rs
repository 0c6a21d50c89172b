//! The registry against the catalog.

use plio_tests::Cluster;

use crate::case::{Case, audit, check};

pub const CASES: &[Case] = &[
    Case::new("unregistered_schema", "warning", None, "tenant_lost", "CREATE SCHEMA tenant_lost").mend("DROP SCHEMA tenant_lost"),
    Case::new(
        "unregistered_schema",
        "warning",
        None,
        "branch",
        "DO $$ BEGIN EXECUTE format('CREATE SCHEMA branch AUTHORIZATION %I', (SELECT role_name FROM plio.tenants WHERE org = 'acme'));
         END $$",
    )
    .mend("DROP SCHEMA branch"),
    Case::new("shadow_table", "info", None, "public.users", "CREATE TABLE public.users (id bigint)").mend("DROP TABLE public.users"),
    Case::new("shadow_table", "warning", None, "public.users", "GRANT SELECT, INSERT ON public.users TO \"@app\", PUBLIC")
        .before("CREATE TABLE public.users (id bigint)"),
    Case::new("shadow_table", "warning", None, "public.users", "SELECT plio.share('public.users', 'read')")
        .before("REVOKE ALL ON public.users FROM PUBLIC"),
    Case::new("registry_sequence", "critical", None, "plio.tenants_tenant_id_seq", "ALTER SEQUENCE plio.tenants_tenant_id_seq RESTART"),
    Case::new("registry_sequence", "critical", None, "plio.history_history_id_seq", "ALTER SEQUENCE plio.history_history_id_seq CYCLE"),
    Case::new("registry_grant", "critical", None, "plio.access", "GRANT INSERT ON plio.access TO \"@app\""),
    Case::new("registry_grant", "warning", None, "plio.tenants", "GRANT SELECT ON plio.tenants TO PUBLIC"),
    Case::new("registry_function", "critical", None, "plio.create_tenant", "GRANT EXECUTE ON FUNCTION plio.create_tenant TO PUBLIC"),
    Case::new(
        "event_trigger_altered",
        "critical",
        None,
        "plio_sql_drop",
        "UPDATE pg_event_trigger SET evttags = '{CREATE TABLE}' WHERE evtname = 'plio_sql_drop'",
    )
    .mend("UPDATE pg_event_trigger SET evttags = NULL WHERE evtname = 'plio_sql_drop'"),
    Case::new("history_unguarded", "critical", None, "plio.history", "ALTER TABLE plio.history DISABLE TRIGGER only_appended"),
    Case::new("history_unguarded", "critical", None, "plio.denials_history", "ALTER TABLE plio.denials_history DISABLE TRIGGER only_appended"),
    // health()'s: installed, but is it protected? tests/loading/health.rs plants each of them.
    Case::new("event_trigger_disabled", "critical", None, "", "ALTER EVENT TRIGGER plio_sql_drop DISABLE"),
    Case::new("registry_trigger_disabled", "critical", None, "", "ALTER TABLE plio.access DISABLE TRIGGER ALL"),
    Case::new("preload_overridden", "critical", None, "",
        "DO $$ BEGIN EXECUTE format('ALTER ROLE %I IN DATABASE %I SET session_preload_libraries = auto_explain', '@app', current_database()); END $$"),
    Case::new("preload_overridden", "critical", None, "", "ALTER ROLE \"@app\" SET session_preload_libraries = auto_explain"),
];

#[test]
fn what_the_registry_does_not_know_is_found_and_mended() {
    let cluster = Cluster::start(&["allow_system_table_mods = on"]);
    check(&cluster.database("audit_registry").two_tenants(), CASES);
}

// What health() finds is in audit(), ascribed to its tenant; tests/loading/health.rs plants each of those.
#[test]
fn healths_findings_come_with_their_tenant() {
    let fixture = Cluster::shared().database("audit_health").two_tenants();
    let mut admin = fixture.db.superuser();
    let lose = "SET plio.enforcement = off; UPDATE plio.tenants SET schema_name = 'lost' WHERE org = 'acme'; RESET plio.enforcement";
    admin.batch_execute(lose).unwrap();
    let found: Vec<(String, Option<String>)> =
        audit(&mut admin).into_iter().map(|((_, check, org, _), ..)| (check, org)).collect();
    assert!(found.contains(&("missing_schema".to_owned(), Some("acme".to_owned()))), "{found:?}");
    for row in admin.query("SELECT finding FROM plio.health()", &[]).unwrap() {
        let finding: String = row.get(0);
        assert!(found.iter().any(|(check, _)| *check == finding), "{finding}: {found:?}");
    }
    // Its schema is nobody's now.
    assert!(found.iter().any(|(check, _)| check == "unregistered_schema"), "{found:?}");
}
