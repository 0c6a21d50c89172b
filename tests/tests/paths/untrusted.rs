//! Functions in C, which no hook sees inside: who can make them, what tells of them, and what still holds inside a tenant.

use plio_tests::{Layers, SUPERUSER};

use crate::judge::Judge;
use crate::world::{inside, unguarded, value, world};

/// Built-in code and a contrib module's, under other names: by those no list knows them.
const FUNCTIONS: &str = "
    CREATE FUNCTION public.next_of(regclass) RETURNS bigint LANGUAGE internal AS 'nextval_oid';
    CREATE FUNCTION public.rows_as_xml(text, boolean, boolean, text) RETURNS xml LANGUAGE internal AS 'query_to_xml';
    CREATE FUNCTION public.pages_of(regclass, OUT bigint, OUT tuples bigint, OUT bigint, OUT float8, OUT bigint, OUT bigint, OUT float8,
        OUT bigint, OUT float8) LANGUAGE c STRICT AS '$libdir/pgstattuple', 'pgstattuplebyid_v1_5'";

/// No ordinary role has the use of such a language, and none can be given it.
#[test]
fn an_ordinary_role_makes_no_function_in_c() {
    let world = world();
    let mut admin = world.db.superuser();
    for language in ["c", "internal"] {
        let grant = format!("GRANT USAGE ON LANGUAGE {language} TO {}", world.app);
        plio_tests::expect_sqlstate(admin.batch_execute(&grant), "42809");
    }
    let mut app = world.db.connect(&world.app);
    let makes = [
        "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE c AS '$libdir/plpgsql', 'f'",
        "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE internal AS 'pg_backend_pid'",
        "CREATE LANGUAGE mine HANDLER plpgsql_call_handler",
    ];
    let mut nobody = Judge::outside(&mut app);
    makes.iter().for_each(|statement| nobody.denied(statement, "42501"));
    drop(nobody);
    let mut acme = Judge::inside(&mut app, "acme");
    makes.iter().for_each(|statement| acme.denied(&statement.replace("pg_temp.", ""), "42501"));
    drop(acme);
    // PostgreSQL makes functions of its own with a range type: no finding.
    inside(&mut app, "acme", "CREATE TYPE span AS RANGE (subtype = float8)");
    assert_eq!(value(&mut admin, "SELECT count(*) FROM plio.audit() WHERE check_name ~ '^untrusted'"), "0");
}

/// What a superuser made for everybody: audit() lists each. What runs SQL meets the access check, what asks for privileges a
/// tenant's own role; what does neither reads the other tenant's pages. Where there is no such role, sequences are open, too.
#[test]
fn what_a_function_in_c_does_is_open() {
    let world = world();
    unguarded(&world.db, FUNCTIONS);
    let listed = "SELECT string_agg(severity || ' ' || split_part(object, '(', 1), ', ' ORDER BY object) FROM plio.audit()
                   WHERE check_name = 'untrusted_function'";
    let mut admin = world.db.superuser();
    assert_eq!(
        value(&mut admin, listed),
        "warning public.next_of, warning public.pages_of, warning public.rows_as_xml"
    );
    let sequence = value(&mut admin, "SELECT 'tenant_bravo.users_id_seq'::regclass::oid");
    let table = value(&mut admin, "SELECT 'tenant_bravo.users'::regclass::oid");
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        acme.refused(
            "SELECT public.rows_as_xml('SELECT * FROM tenant_bravo.users', true, false, '')",
            "42501",
        );
        acme.gives(&format!("SELECT tuples FROM public.pages_of({table})"), &["3"]);
        match crate::LAYERS {
            Layers::Two => acme.denied(&format!("SELECT public.next_of({sequence})"), "42501"),
            Layers::One => acme.allowed(&format!("SELECT public.next_of({sequence})")),
        }
    }
}
