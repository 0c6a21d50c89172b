//! Every way to change a setting: the tenant, its path, its role and the enforcement are locked until the transaction
//! ends; everything else goes on working.

use plio_tests::{Layers, assert_refusal, expect_sqlstate};

use crate::judge::Judge;
use crate::world::{administrator, inside, value, world};

/// What sets the path within reach, or puts the tenant's own back.
const FREE: &[&str] = &[
    "SELECT set_config('search_path', NULL, true)",
    "SELECT set_config('search_path', NULL, false)",
    "SET search_path = public",
    "SET LOCAL search_path = public",
    "SET LOCAL search_path = ''",
    "SET search_path TO DEFAULT",
    "SET SCHEMA 'public'",
    "RESET search_path",
    "SELECT set_config('search_path', 'public', true)",
    "SELECT set_config('search_path', 'public', false)",
    "UPDATE pg_settings SET setting = 'public' WHERE name = 'search_path'",
    "UPDATE pg_settings SET setting = NULL WHERE name = 'search_path'",
    "DO $$ BEGIN SET LOCAL search_path = public; END $$",
];

/// What changes one of the locked settings, or would; `25001` by our lock unless PostgreSQL has its own answer.
const LOCKED: &[(&str, &str)] = &[
    ("SET plio.tenant = 'bravo'", "25001"),
    ("SET LOCAL plio.tenant = 'bravo'", "25001"),
    ("SET plio.tenant TO DEFAULT", "25001"),
    ("RESET plio.tenant", "25001"),
    ("SELECT plio.set_tenant('bravo')", "25001"),
    ("SET search_path = tenant_bravo", "42501"),
    ("SET LOCAL search_path = tenant_acme, tenant_bravo", "42501"),
    ("SET LOCAL search_path = \"tenant_bravo\", public", "42501"),
    ("SELECT set_config('search_path', 'tenant_bravo', true)", "42501"),
    ("UPDATE pg_settings SET setting = 'tenant_bravo' WHERE name = 'search_path'", "42501"),
    ("SET ROLE NONE", "25001"),
    ("SET LOCAL ROLE NONE", "25001"),
    ("RESET ROLE", "25001"),
    ("SET ROLE TO DEFAULT", "25001"),
    ("SELECT set_config('role', 'none', true)", "25001"),
    ("SELECT set_config('role', NULL, true)", "25001"),
    ("SELECT set_config('role', NULL, false)", "25001"),
    ("SET ROLE postgres", "25001"),
    ("SET SESSION AUTHORIZATION DEFAULT", "25001"),
    ("SET SESSION AUTHORIZATION postgres", "25001"),
    ("RESET SESSION AUTHORIZATION", "25001"),
    ("SELECT set_config('session_authorization', NULL, false)", "25001"),
    ("RESET ALL", "25001"),
    ("DO $$ BEGIN RESET ROLE; END $$", "25001"),
    ("DO $$ BEGIN RESET ALL; END $$", "25001"),
    ("DO $$ BEGIN PERFORM set_config('role', 'none', true); END $$", "25001"),
    ("ALTER SYSTEM SET search_path = 'tenant_bravo'", "42501"),
    ("ALTER ROLE CURRENT_USER SET search_path = 'public'", "42501"),
    ("ALTER ROLE CURRENT_USER SET plio.enforcement = off", "42501"),
    ("ALTER ROLE ALL RESET ALL", "42501"),
    ("ALTER DATABASE postgres SET search_path = 'public'", "42501"),
];

/// An ordinary role inside a tenant, over both protocols; afterwards the tenant still holds.
#[test]
fn the_locked_settings_stay() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    for (statement, code) in LOCKED {
        acme.refused(statement, code);
    }
    // PostgreSQL itself keeps these from an ordinary role.
    for statement in [
        "SELECT set_config('plio.tenant', 'bravo', true)",
        "SELECT set_config('plio.tenant', '', true)",
        "SELECT set_config('plio.tenant', NULL, true)",
        "UPDATE pg_settings SET setting = 'bravo' WHERE name = 'plio.tenant'",
        "SET plio.enforcement = off",
        "RESET plio.enforcement",
        "SELECT set_config('plio.enforcement', 'off', false)",
        "SELECT set_config('plio.enforcement', NULL, false)",
        "SET session_replication_role = replica",
        "SET session_preload_libraries = ''",
        "LOAD 'plio_tenancy'",
    ] {
        for answer in acme.answers(statement) {
            let error = answer.expect_err(statement);
            assert!(["42501", "25001", "55P02"].contains(&error.code().code()), "{statement}: {error:?}");
        }
    }
    for statement in FREE {
        acme.allowed(statement);
        acme.refused(&format!("{statement}; SELECT * FROM tenant_bravo.users"), "42501");
    }
    acme.denied("SET plio.other = 'x'; SELECT 1", "42602");
}

/// What is not locked: an application's own settings and PostgreSQL's others, in every form.
#[test]
fn other_settings_are_free() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.gives("SET LOCAL work_mem = '5MB'; SHOW work_mem", &["5MB"]);
    acme.gives("SET LOCAL statement_timeout = 1000; RESET statement_timeout; SHOW statement_timeout", &["0"]);
    acme.gives("SELECT set_config('app.user', 'ann', true)", &["ann"]);
    acme.allowed("SET TRANSACTION READ ONLY");
    acme.allowed("SET LOCAL TIME ZONE 'Asia/Kolkata'");
    acme.allowed("SET LOCAL row_security = off");
    acme.allowed("SHOW ALL");
    acme.gives("SHOW plio.tenant", &["acme"]);
    acme.gives("SELECT current_setting('plio.tenant')", &["acme"]);
    acme.gives("SELECT setting, reset_val FROM pg_settings WHERE name = 'plio.enforcement'", &["on|on"]);
    acme.allowed("DISCARD PLANS");
    acme.allowed("DISCARD SEQUENCES");
    acme.allowed("DISCARD TEMP");
    acme.denied("DISCARD ALL", "25001");
}

/// A superuser inside a tenant holds the tenant's role: the same locks, and PostgreSQL's own for what a superuser might.
#[test]
fn a_superuser_is_locked_too() {
    let world = world();
    let mut admin = world.db.superuser();
    // A member of plio_admin is, as well.
    let mut ann = world.db.connect(&administrator(&world));
    let mut acme = Judge::inside(&mut ann, "acme");
    for (statement, code) in LOCKED {
        acme.refused(statement, code);
    }
    drop(acme);
    let mut acme = Judge::inside(&mut admin, "acme");
    for (statement, code) in LOCKED {
        acme.refused(statement, code);
    }
    for statement in [
        "SET plio.enforcement = off",
        "SET LOCAL plio.enforcement TO DEFAULT",
        "RESET plio.enforcement",
        "SELECT set_config('plio.enforcement', NULL, false)",
        "SELECT set_config('plio.tenant', 'bravo', true)",
        "SET session_replication_role = replica",
    ] {
        // Without a role of its own the tenant leaves a superuser's rights as they are.
        if crate::LAYERS == Layers::One && statement.contains("session_replication_role") {
            continue;
        }
        for answer in acme.answers(statement) {
            let error = answer.expect_err(statement);
            assert!(["42501", "25001"].contains(&error.code().code()), "{statement}: {error:?}");
        }
    }
    let rights = if crate::LAYERS == Layers::Two { "off|f" } else { "on|t" };
    acme.gives("SELECT current_setting('is_superuser'), current_user = session_user", &[rights]);
    drop(acme);
    let error = expect_sqlstate(
        admin.batch_execute(
            "BEGIN; SELECT plio.set_tenant('acme'); SELECT set_config('plio.enforcement', 'off', true)",
        ),
        if crate::LAYERS == Layers::Two { "42501" } else { "25001" },
    );
    assert!(!error.message().is_empty());
    admin.batch_execute("ROLLBACK").unwrap();
}

/// A function's own SET search_path works inside a tenant, cannot name another tenant, cannot leave a path behind, and
/// is no way to the tenant or the role.
#[test]
fn a_functions_set_clause_is_no_way_out() {
    let world = world();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(
            "CREATE FUNCTION public.pathed() RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
               AS 'BEGIN RETURN current_setting(''search_path''); END';
             CREATE FUNCTION public.pathed_twice() RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
               AS 'BEGIN PERFORM set_config(''search_path'', ''public'', true); RETURN current_setting(''search_path''); END';
             CREATE FUNCTION public.pathed_lasting() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
               AS 'BEGIN PERFORM set_config(''search_path'', ''public'', false); END';
             CREATE FUNCTION public.pathed_reset() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
               AS 'BEGIN RESET search_path; END';
             CREATE FUNCTION public.pathed_null() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
               AS 'BEGIN PERFORM set_config(''search_path'', NULL, false); END';
             CREATE FUNCTION public.pathed_block() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
               AS 'BEGIN BEGIN PERFORM set_config(''search_path'', ''public'', false); EXCEPTION WHEN division_by_zero THEN NULL; END; END';
             CREATE FUNCTION public.pathed_foreign() RETURNS text LANGUAGE plpgsql SET search_path = tenant_bravo
               AS 'BEGIN RETURN (SELECT min(name) FROM users); END';
             CREATE FUNCTION public.untenanted() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET plio.tenant = ''
               AS 'BEGIN RETURN (SELECT min(name) FROM tenant_bravo.users); END';
             CREATE FUNCTION public.unenforced() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET plio.enforcement = off
               AS 'BEGIN RETURN (SELECT min(name) FROM tenant_bravo.users); END';
             CREATE FUNCTION public.as_postgres() RETURNS text LANGUAGE plpgsql SET role = postgres
               AS 'BEGIN RETURN (SELECT min(name) FROM tenant_bravo.users); END';
             CREATE FUNCTION public.superusers_reset() RETURNS text LANGUAGE plpgsql SECURITY DEFINER
               AS 'BEGIN PERFORM set_config(''plio.tenant'', '''', true); RETURN (SELECT min(name) FROM tenant_bravo.users); END';
             CREATE FUNCTION public.superusers_null() RETURNS text LANGUAGE plpgsql SECURITY DEFINER
               AS 'BEGIN PERFORM set_config(''plio.tenant'', NULL, false); RETURN (SELECT min(name) FROM tenant_bravo.users); END';
             CREATE FUNCTION public.superusers_off() RETURNS text LANGUAGE plpgsql SECURITY DEFINER
               AS 'BEGIN PERFORM set_config(''plio.enforcement'', ''off'', true); RETURN (SELECT min(name) FROM tenant_bravo.users); END';",
        )
        .unwrap();
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme").silent_about(&["canary-bravo"]);
    acme.gives("SELECT public.pathed()", &["pg_catalog, pg_temp"]);
    acme.gives(
        "SELECT public.pathed(); SELECT min(name) FROM users",
        &["pg_catalog, pg_temp", "canary-acme"],
    );
    acme.gives("SELECT public.pathed_twice(); SHOW search_path", &["public", "tenant_acme, public, pg_temp"]);
    for function in ["pathed_lasting", "pathed_reset", "pathed_null", "pathed_block"] {
        let state = "SELECT plio.current_tenant(); SHOW search_path";
        let expected = ["", "acme", "tenant_acme, public, pg_temp"];
        acme.gives(&format!("SELECT public.{function}(); {state}"), &expected);
    }
    for function in [
        "pathed_foreign",
        "untenanted",
        "unenforced",
        "as_postgres",
        "superusers_reset",
        "superusers_null",
        "superusers_off",
    ] {
        for answer in acme.answers(&format!("SELECT public.{function}()")) {
            match answer {
                Ok(rows) => panic!("{function} went through: {rows:?}"),
                Err(error) => {
                    assert!(["25001", "42501"].contains(&error.code().code()), "{function}: {error:?}")
                }
            }
        }
    }
}

/// A temporary table never stands in for a tenant's or a shared one, and does not follow into the next tenant.
#[test]
fn temporary_tables_mask_nothing() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    let fake =
        "CREATE TEMP TABLE users (id bigint, name text); INSERT INTO pg_temp.users VALUES (1, 'fake'); ";
    acme.gives(&format!("{fake}SELECT name FROM users WHERE id = 1"), &["canary-acme"]);
    acme.gives(&format!("{fake}SELECT name FROM pg_temp.users"), &["fake"]);
    acme.gives("CREATE TEMP TABLE countries (name text); SELECT count(*) FROM countries", &["2"]);
    // Only where the path says so.
    acme.gives(
        &format!("{fake}SET LOCAL search_path = pg_temp, tenant_acme; SELECT name FROM users"),
        &["fake"],
    );
    drop(acme);
    inside(
        &mut app,
        "acme",
        "CREATE TEMP TABLE scratch AS SELECT name FROM users; CREATE TEMP VIEW v AS SELECT name FROM scratch",
    );
    Judge::inside(&mut app, "acme").denied("SELECT count(*) FROM scratch", "42P01");
    let mut bravo = Judge::inside(&mut app, "bravo");
    bravo.denied("SELECT * FROM scratch", "42P01");
    bravo.denied("SELECT * FROM pg_temp.v", "42P01");
    drop(bravo);
    // Another session's temporary table is not reached by its schema's name either.
    let mut other = world.db.connect(&world.app);
    inside(&mut other, "bravo", "CREATE TEMP TABLE scratch AS SELECT name FROM users");
    let schema = value(&mut other, "SELECT pg_my_temp_schema()::regnamespace");
    for answer in Judge::inside(&mut app, "acme").answers(&format!("SELECT * FROM {schema}.scratch")) {
        assert!(answer.is_err(), "{answer:?}");
    }
    let mut admin = world.db.superuser();
    for answer in Judge::inside(&mut admin, "acme").answers(&format!("SELECT * FROM {schema}.scratch")) {
        assert!(answer.is_err(), "{answer:?}");
    }
}

/// lastval and currval of the last tenant's sequences end with it.
#[test]
fn sequence_values_stay_in_their_tenant() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    inside(
        &mut app,
        "bravo",
        "INSERT INTO users (name) VALUES ('x'); SELECT lastval(), currval('users_id_seq')",
    );
    let mut acme = Judge::inside(&mut app, "acme");
    acme.denied("SELECT lastval()", "55000");
    acme.denied("SELECT currval('users_id_seq')", "55000");
    acme.refused("SELECT currval('tenant_bravo.users_id_seq')", "42501");
    acme.gives("SELECT nextval('users_id_seq') > 3, lastval() = currval('users_id_seq')", &["t|t"]);
    drop(acme);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    let error = expect_sqlstate(app.batch_execute("SET plio.tenant = 'bravo'"), "25001");
    assert_refusal(&error, "25001", &["canary"]);
}
