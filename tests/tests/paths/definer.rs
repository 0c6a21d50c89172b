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
