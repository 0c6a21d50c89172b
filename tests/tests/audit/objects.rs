//! The extension's own objects, altered, taken away or added to by a superuser.

use plio_tests::Cluster;

use crate::case::{Case, audit, check};

pub const CASES: &[Case] = &[
    Case::new("altered_object", "critical", None, "plio.drop_tenant", "ALTER FUNCTION plio.drop_tenant RESET search_path"),
    Case::new("altered_object", "critical", None, "plio.set_tenant(text)", "ALTER FUNCTION plio.set_tenant(text) SET plio.enforcement = off"),
    Case::new(
        "altered_object",
        "critical",
        None,
        "plio._refuse_history_change()",
        "CREATE OR REPLACE FUNCTION plio._refuse_history_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    ),
    Case::new(
        "altered_object",
        "critical",
        None,
        "plio._on_ddl_command_end()",
        "CREATE OR REPLACE FUNCTION plio._on_ddl_command_end() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
    ),
    Case::new(
        "altered_object",
        "critical",
        None,
        "plio.health()",
        "CREATE OR REPLACE FUNCTION plio.health() RETURNS TABLE (severity text, finding text, detail text, fix text)
         LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
         AS 'SELECT NULL::text, NULL::text, NULL::text, NULL::text WHERE false'",
    ),
    Case::new("altered_object", "critical", None, "plio.set_tenant(text)", "ALTER FUNCTION plio.set_tenant(text) OWNER TO \"@app\"")
        .before("GRANT CREATE ON SCHEMA public TO \"@app\""),
    Case::new(
        "altered_object",
        "critical",
        None,
        "plio.denials",
        "CREATE OR REPLACE VIEW plio.denials AS SELECT d.* FROM plio._kept_denials(0, false) d WHERE d.login_role <> 'somebody'",
    ),
    Case::new("altered_object", "critical", None, "plio.tenants", "ALTER TABLE plio.tenants ENABLE ROW LEVEL SECURITY")
        .mend("SET plio.enforcement = off; ALTER TABLE plio.tenants DISABLE ROW LEVEL SECURITY"),
    Case::new("planted_object", "critical", None, "plio.set_tenant(character varying)", "CREATE FUNCTION plio.set_tenant(varchar) RETURNS void LANGUAGE sql AS ''"),
    Case::new("planted_object", "critical", None, "plio.notes", "CREATE TABLE plio.notes (id serial PRIMARY KEY, body text)"),
    Case::new("planted_object", "critical", None, "plio.mood", "CREATE TYPE plio.mood AS ENUM ('happy')"),
    Case::new("planted_object", "critical", None, "plio.=", "CREATE OPERATOR plio.= (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)"),
    Case::new("extension_schema", "critical", None, "plio", "GRANT CREATE ON SCHEMA plio TO \"@app\""),
    Case::new("extension_schema", "critical", None, "plio_reports", "ALTER SCHEMA plio_reports OWNER TO \"@app\""),
];

#[test]
fn an_object_that_is_not_as_it_was_installed_is_found_and_mended() {
    check(&Cluster::start(&[]).database("audit_objects").two_tenants(), CASES);
}

// Two findings, as it is two defects: one name is gone, another one is there.
#[test]
fn a_renamed_function_is_missed() {
    let fixture = Cluster::start(&[]).database("audit_renamed").two_tenants();
    let mut admin = fixture.db.superuser();
    let mut own = || -> Vec<(String, Option<String>)> {
        let found = audit(&mut admin).into_iter().map(|((_, check, _, object), ..)| (check, object));
        found.filter(|(check, _)| check.ends_with("_object")).collect()
    };
    assert_eq!(own(), []);
    let mut vandal = fixture.db.superuser();
    vandal
        .batch_execute("SET plio.enforcement = off; ALTER FUNCTION plio.set_tenant(text) RENAME TO enter")
        .unwrap();
    let is = |check: &str, object: &str| (check.to_owned(), Some(object.to_owned()));
    assert_eq!(
        own(),
        [is("missing_object", "plio.set_tenant(text)"), is("planted_object", "plio.enter(text)")]
    );
    vandal.batch_execute("ALTER FUNCTION plio.enter(text) RENAME TO set_tenant").unwrap();
    assert_eq!(own(), []);
}
