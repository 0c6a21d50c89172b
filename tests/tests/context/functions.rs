//! set_tenant inside functions: allowed where its effect lasts, refused where the function's exit would undo half.

use super::{assert_inside, assert_outside, refused, text, two_tenants};

#[test]
fn functions_procedures_and_do_may_enter_in_autocommit() {
    let fixture = two_tenants("functions");
    fixture
        .db
        .superuser()
        .batch_execute(
            "CREATE FUNCTION public.by_plpgsql(org text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM plio.set_tenant(org);
                 RETURN (SELECT name FROM users WHERE id = 1);
             END $$;
             CREATE FUNCTION public.by_sql(org text) RETURNS text LANGUAGE sql AS $$
                 SELECT plio.set_tenant(org);
                 SELECT 'canary-' || plio.current_tenant();
             $$;
             CREATE PROCEDURE public.by_procedure(org text, INOUT name text) LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM plio.set_tenant(org);
                 SELECT u.name INTO name FROM users u WHERE id = 1;
             END $$;
             CREATE FUNCTION public.by_another(org text) RETURNS text LANGUAGE plpgsql AS
                 $$ BEGIN RETURN public.by_sql(org); END $$;
             CREATE FUNCTION public.under_another_setting(org text) RETURNS text LANGUAGE plpgsql
                 SET work_mem = '8MB' AS $$ BEGIN RETURN public.by_plpgsql(org); END $$",
        )
        .unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    for call in [
        "SELECT public.by_plpgsql('acme')",
        "SELECT public.by_sql('acme')",
        "SELECT * FROM public.by_sql('acme')",
        "CALL public.by_procedure('acme', NULL)",
        "SELECT public.by_another('acme')",
        "SELECT public.under_another_setting('acme')",
    ] {
        assert_eq!(text(&mut app, call).as_deref(), Some("canary-acme"), "{call}");
        assert_outside(&mut app, &fixture.app);
        let row = app.query_one(call, &[]).unwrap();
        assert_eq!(row.get::<_, &str>(0), "canary-acme", "{call}");
        // In a block the tenant stays until the block ends.
        app.batch_execute(&format!("BEGIN; {call}")).unwrap();
        assert_inside(&mut app, "acme");
        app.batch_execute("ROLLBACK").unwrap();
    }
    app.batch_execute(
        "DO $$ BEGIN
             PERFORM plio.set_tenant('acme');
             ASSERT (SELECT count(*) FROM users WHERE name LIKE 'canary-acme%') = 3;
         END $$",
    )
    .unwrap();
    app.batch_execute(
        "DO $$ BEGIN EXECUTE 'SELECT plio.set_tenant(''acme'')'; PERFORM plio.require_tenant(); END $$",
    )
    .unwrap();
    app.batch_execute("DO $$ BEGIN SET LOCAL plio.tenant = 'acme'; PERFORM plio.require_tenant(); END $$")
        .unwrap();
    assert_outside(&mut app, &fixture.app);
}

// The path or the role would go back at the function's exit while the tenant stayed.
#[test]
fn under_a_set_clause_of_path_or_role_it_is_refused() {
    let fixture = two_tenants("clauses");
    let mut admin = fixture.db.superuser();
    for (name, clause) in [
        ("with_path", "SET search_path = pg_catalog, pg_temp".to_owned()),
        ("with_current_path", "SET search_path FROM CURRENT".to_owned()),
        ("with_role", format!("SET role = '{}'", fixture.app)),
    ] {
        admin
            .batch_execute(&format!(
                "CREATE FUNCTION public.{name}() RETURNS void LANGUAGE plpgsql {clause}
                     AS $$ BEGIN PERFORM plio.set_tenant('acme'); END $$;
                 CREATE FUNCTION public.above_{name}() RETURNS void LANGUAGE plpgsql {clause}
                     AS $$ BEGIN PERFORM public.enter(); END $$"
            ))
            .unwrap();
    }
    admin
        .batch_execute(
            "CREATE FUNCTION public.enter() RETURNS void LANGUAGE plpgsql
                 AS $$ BEGIN PERFORM plio.set_tenant('acme'); END $$;
             CREATE PROCEDURE public.call_with_path() LANGUAGE plpgsql SET search_path = pg_catalog
                 AS $$ BEGIN PERFORM public.enter(); END $$",
        )
        .unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    for name in ["with_path", "with_current_path", "with_role"] {
        for function in [name.to_owned(), format!("above_{name}")] {
            let call = format!("SELECT public.{function}()");
            refused(app.batch_execute(&call), "25001");
            refused(app.batch_execute(&format!("BEGIN; {call}")), "25001");
            app.batch_execute("ROLLBACK").unwrap();
            assert_outside(&mut app, &fixture.app);
            // Inside the tenant the same call is a no-op where the clause itself is admitted.
            app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
            if name == "with_role" {
                refused(app.batch_execute(&call), "25001");
            } else {
                app.batch_execute(&call).unwrap();
                assert_inside(&mut app, "acme");
            }
            app.batch_execute("ROLLBACK").unwrap();
        }
    }
    refused(app.batch_execute("CALL public.call_with_path()"), "25001");
    app.batch_execute("SELECT public.enter()").unwrap();
}

// A definer function would hand its owner's right to enter to everybody, and its exit would take back the role.
#[test]
fn inside_a_definer_function_it_is_refused() {
    let fixture = two_tenants("definer");
    fixture
        .db
        .superuser()
        .batch_execute(
            "CREATE FUNCTION public.as_owner() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
                 AS $$ BEGIN PERFORM plio.set_tenant('acme'); END $$;
             CREATE FUNCTION public.as_owner_by_setting() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
                 AS $$ BEGIN SET LOCAL plio.tenant = 'acme'; END $$;
             CREATE FUNCTION public.session_as_owner() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
                 AS $$ BEGIN SET plio.tenant = 'acme'; END $$;
             CREATE FUNCTION public.invoker() RETURNS void LANGUAGE plpgsql
                 AS $$ BEGIN PERFORM plio.set_tenant('acme'); END $$;
             CREATE FUNCTION public.above() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
                 AS $$ BEGIN PERFORM public.invoker(); END $$",
        )
        .unwrap();
    for role in [&fixture.app, &fixture.carol] {
        let mut client = fixture.db.connect(role);
        for function in ["as_owner", "as_owner_by_setting", "session_as_owner", "above"] {
            refused(client.batch_execute(&format!("SELECT public.{function}()")), "25001");
            refused(client.batch_execute(&format!("BEGIN; SELECT public.{function}()")), "25001");
            client.batch_execute("ROLLBACK").unwrap();
            assert_outside(&mut client, role);
        }
    }
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT public.invoker()").unwrap();
    assert_inside(&mut app, "acme");
}

// What a definer function in public does inside a tenant is judged like everybody's work there.
#[test]
fn a_definer_function_is_bound_to_the_tenant_it_is_called_in() {
    let fixture = two_tenants("definers");
    fixture
        .db
        .superuser()
        .batch_execute(
            "CREATE FUNCTION public.look(relation text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
             DECLARE n bigint; BEGIN
                 EXECUTE 'SELECT count(*) FROM ' || relation INTO n; RETURN n;
             END $$;
             CREATE TABLE public.unshared ();",
        )
        .unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SAVEPOINT s").unwrap();
    assert_eq!(text(&mut app, "SELECT public.look('users')").as_deref(), Some("3"));
    for (relation, code) in
        [("tenant_bravo.users", "42501"), ("public.unshared", "42501"), ("plio.tenants", "42501")]
    {
        refused(app.execute("SELECT public.look($1)", &[&relation]), code);
        app.batch_execute("ROLLBACK TO s").unwrap();
    }
    assert_inside(&mut app, "acme");
    // Without a tenant, too: the login role counts, not the owner.
    app.batch_execute("ROLLBACK").unwrap();
    refused(app.execute("SELECT public.look('tenant_bravo.users')", &[]), "55000");
}

// A function's own path is admitted inside a tenant, unless it names another tenant's schema.
#[test]
fn a_function_may_have_a_path_of_its_own_inside_a_tenant() {
    let fixture = two_tenants("paths");
    let mut admin = fixture.db.superuser();
    for (name, path) in [
        ("plain", "pg_catalog, pg_temp"),
        ("empty", "''"),
        ("common", "public"),
        ("own", "tenant_acme"),
        ("foreign_one", "tenant_bravo"),
        ("foreign_two", "pg_catalog, tenant_bravo, pg_temp"),
        ("foreign_quoted", "\"tenant_bravo\""),
    ] {
        admin
            .batch_execute(&format!(
                "CREATE FUNCTION public.{name}() RETURNS text LANGUAGE plpgsql SET search_path = {path}
                 AS $$ BEGIN RETURN plio.require_tenant() || (SELECT count(*) FROM tenant_acme.users); END $$"
            ))
            .unwrap();
    }
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SAVEPOINT s").unwrap();
    for name in ["plain", "empty", "common", "own"] {
        assert_eq!(text(&mut app, &format!("SELECT public.{name}()")).as_deref(), Some("acme3"));
        assert_inside(&mut app, "acme");
    }
    for name in ["foreign_one", "foreign_two", "foreign_quoted"] {
        refused(app.batch_execute(&format!("SELECT public.{name}()")), "42501");
        app.batch_execute("ROLLBACK TO s").unwrap();
        assert_inside(&mut app, "acme");
    }
}

// A body under a SET clause of the path may change it for itself, never for what comes after the function.
#[test]
fn a_path_set_in_a_function_with_a_set_clause_does_not_get_out() {
    let fixture = two_tenants("escape");
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    for (name, body) in [
        ("set_session", "SET search_path = public"),
        ("set_local", "SET LOCAL search_path = public"),
        ("config_session", "PERFORM set_config('search_path', 'public', false)"),
        ("config_local", "PERFORM set_config('search_path', 'public', true)"),
        ("config_null", "PERFORM set_config('search_path', NULL, false)"),
        ("reset_it", "RESET search_path"),
        ("local_first", "SET LOCAL search_path = public; SET search_path = public"),
        (
            "both_back",
            "PERFORM set_config('search_path', 'public', true), set_config('search_path', 'public', false)",
        ),
    ] {
        app.batch_execute(&format!(
            "CREATE FUNCTION {name}() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog
             AS $$ BEGIN {body}; END $$;
             SAVEPOINT s"
        ))
        .unwrap();
        // Refused or undone: the rollback is for the first case only.
        if app.batch_execute(&format!("SELECT {name}()")).is_err() {
            app.batch_execute("ROLLBACK TO s").unwrap();
        }
        assert_inside(&mut app, "acme");
    }
}
