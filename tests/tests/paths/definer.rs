//! Definer functions: another user's rights hold there, so PostgreSQL's own privileges do not stop what no hook sees.

use plio_tests::{Layers, SUPERUSER, TwoTenants};

use crate::judge::Judge;
use crate::world::{inside, unguarded, value, world};

/// With a pinned search_path: the plans stay warm from one tenant to the next. One in an expression, one in a query.
const PINNED: &str = "
    CREATE FUNCTION public.by_expression() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS
        $$ DECLARE n bigint; BEGIN n := nextval('tenant_bravo.users_id_seq'); RETURN n; END $$;
    CREATE FUNCTION public.by_query() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS
        $$ BEGIN RETURN (SELECT nextval('tenant_bravo.users_id_seq') FROM pg_class LIMIT 1); END $$;
    CREATE FUNCTION public.by_size() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS
        $$ BEGIN RETURN pg_sequence_last_value('tenant_bravo.users_id_seq'); END $$;
    CREATE FUNCTION public.by_sql() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS
        $$ SELECT nextval('tenant_bravo.users_id_seq') $$;
    CREATE FUNCTION public.shared_number() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS
        $$ DECLARE n bigint; BEGIN n := nextval('public.numbers'); RETURN n; END $$;
    CREATE SEQUENCE public.numbers";

fn prepared() -> TwoTenants {
    let world = world();
    unguarded(&world.db, PINNED);
    world
}

// Warmed where it is allowed: by the application in bravo, by the superuser without a tenant; then called in acme.
#[test]
fn a_warm_plan_reaches_no_sequence_of_another_tenant() {
    let world = prepared();
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        for function in ["by_expression", "by_query", "by_size", "by_sql"] {
            for _ in 0..7 {
                inside(&mut client, "bravo", &format!("SELECT public.{function}()"));
                if role == SUPERUSER {
                    client.batch_execute(&format!("SELECT public.{function}()")).unwrap();
                }
            }
            let before = value(&mut world.db.superuser(), "SELECT last_value FROM tenant_bravo.users_id_seq");
            let mut acme = Judge::inside(&mut client, "acme");
            acme.refused(&format!("SELECT public.{function}()"), "42501");
            match crate::LAYERS {
                Layers::Two => acme.allowed("SELECT public.shared_number()"),
                Layers::One => acme.refused("SELECT public.shared_number()", "42501"),
            }
            drop(acme);
            let after = value(&mut world.db.superuser(), "SELECT last_value FROM tenant_bravo.users_id_seq");
            assert_eq!(before, after, "{role}: {function}");
        }
    }
}

/// A definer function of a superuser's that hands an oid on does so as a superuser; the oid is judged all the same.
#[test]
fn a_superusers_definer_function_that_takes_an_oid_is_judged() {
    let world = world();
    unguarded(
        &world.db,
        "CREATE FUNCTION public.next_of(o oid) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS
             'SELECT nextval(o::regclass)';
         CREATE FUNCTION public.rows_of(o oid) RETURNS xml LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS
             'SELECT table_to_xml(o::regclass, true, false, '''')'",
    );
    let mut admin = world.db.superuser();
    let sequence = value(&mut admin, "SELECT 'tenant_bravo.users_id_seq'::regclass::oid");
    let table = value(&mut admin, "SELECT 'tenant_bravo.users'::regclass::oid");
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.refused(&format!("SELECT public.next_of({sequence})"), "42501");
    acme.refused(&format!("SELECT public.rows_of({table})"), "42501");
}

/// What the login role may see by PostgreSQL's privileges: texts of its other sessions, its large objects, statistics of its tables.
const SPIES: [(&str, &str); 5] = [
    ("texts", "SELECT string_agg(query, ' ') FROM pg_stat_activity"),
    ("text", "SELECT pg_stat_get_backend_activity(1)"),
    ("object", "SELECT encode(lo_get(777), 'escape')"),
    (
        "values",
        "SELECT coalesce(string_agg(most_common_vals::text, ' '), 'none') FROM pg_stats WHERE tablename = 'things'",
    ),
    ("an_end", "SELECT pg_terminate_backend(0)::text"),
];

// The functions belong to the login role, and run with its rights in whatever tenant it calls them. An administrator's go on.
#[test]
fn a_login_roles_definer_function_sees_nothing_past_the_tenant() {
    let world = world();
    let mut admin = world.db.superuser();
    admin.batch_execute(&format!("GRANT CREATE ON SCHEMA public TO {}", world.app)).unwrap();
    let mut app = world.db.connect(&world.app);
    app.batch_execute(
        "CREATE TABLE public.things AS SELECT 'canary-bravo'::text AS name FROM generate_series(1, 100);
         ANALYZE public.things; SELECT lo_from_bytea(777, 'canary-bravo')",
    )
    .unwrap();
    for (name, query) in SPIES {
        for (client, owner) in [(&mut app, "app"), (&mut admin, "admin")] {
            client
                .batch_execute(&format!(
                    "CREATE FUNCTION public.{name}_by_{owner}() RETURNS text LANGUAGE sql SECURITY DEFINER
                        SET search_path = pg_catalog AS $$ {query} $$"
                ))
                .unwrap();
        }
    }
    let mut other = world.db.connect(&world.app);
    other.batch_execute("SELECT 'canary-bravo'").unwrap();
    // Without a tenant they see it: the control.
    let mut outside = Judge::outside(&mut app);
    outside.gives("SELECT public.texts_by_app() LIKE '%canary-bravo%'", &["t"]);
    outside.gives("SELECT public.object_by_app()", &["canary-bravo"]);
    if crate::LAYERS == Layers::Two {
        outside.gives("SELECT public.values_by_app()", &["{canary-bravo}"]);
    }
    drop(outside);
    let mut acme = Judge::inside(&mut app, "acme");
    for (name, query) in SPIES {
        acme.refused(&format!("SELECT public.{name}_by_app()"), "42501");
        match (crate::LAYERS, name) {
            // No role of its own, no exception. Large objects of others and ends are PostgreSQL's to judge.
            (Layers::One, _) => acme.refused(&format!("SELECT public.{name}_by_admin()"), "42501"),
            (Layers::Two, _) => acme.allowed(&format!("SELECT public.{name}_by_admin()")),
        }
        if crate::LAYERS == Layers::Two && ["texts", "text", "values"].contains(&name) {
            // With the tenant's own rights they show the tenant's own.
            acme.allowed(query);
        }
    }
    if crate::LAYERS == Layers::One {
        return;
    }
    drop(acme);
    // An expression that plpgsql keeps ready: made ready with the tenant's rights, run again with the login role's.
    admin
        .batch_execute(&format!(
            "CREATE FUNCTION public.relay(o oid) RETURNS bytea LANGUAGE plpgsql SECURITY DEFINER AS
                'BEGIN RETURN fetch_object(o); END'; ALTER FUNCTION public.relay(oid) OWNER TO {}",
            world.app
        ))
        .unwrap();
    inside(
        &mut app,
        "acme",
        "CREATE FUNCTION fetch_object(o oid) RETURNS bytea LANGUAGE plpgsql AS 'DECLARE found bytea; BEGIN found := lo_get(o); RETURN found; END';
         SELECT lo_from_bytea(778, 'own')",
    );
    let mut acme = Judge::inside(&mut app, "acme");
    acme.allowed("SELECT fetch_object(778)");
    acme.refused("SELECT fetch_object(778); SELECT fetch_object(778); SELECT public.relay(777)", "42501");
}
