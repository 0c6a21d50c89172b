//! What docs/guarantees.md says is open, as exactly as it says it.

use plio_tests::Layers;

use crate::judge::Judge;
use crate::world::{inside, value, world};

/// What describes an object, by its oid, keeps the weakest lock on it. A sequence by oid is refused before PostgreSQL locks it.
#[test]
fn what_describes_an_object_by_oid_locks_it() {
    let world = world();
    let sequence = value(&mut world.db.superuser(), "SELECT 'tenant_bravo.users_id_seq'::regclass::oid");
    let mut app = world.db.connect(&world.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme'); SAVEPOINT s").unwrap();
    plio_tests::expect_sqlstate(app.batch_execute(&format!("SELECT nextval({sequence}::regclass)")), "42501");
    app.batch_execute("ROLLBACK TO s").unwrap();
    let held = format!(
        "SELECT string_agg(mode, ', ') FROM pg_locks WHERE pid = pg_backend_pid() AND relation = {sequence}"
    );
    assert_eq!(value(&mut app, &held), "NULL");
    app.batch_execute("COMMIT").unwrap();
    app.batch_execute(
        "BEGIN; SELECT plio.set_tenant('acme');
         SELECT pg_get_viewdef(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
          WHERE relname = 'listing' AND nspname = 'tenant_bravo'",
    )
    .unwrap();
    let held = "SELECT string_agg(DISTINCT mode, ', ') FROM pg_locks JOIN pg_class c ON c.oid = relation
                 WHERE pid = pg_backend_pid() AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'tenant_bravo')";
    assert_eq!(value(&mut app, held), "AccessShareLock");
}

/// A table that everybody may read by PostgreSQL's privileges, and tenants not: its rows are refused, the statistics of its
/// values are shown to a tenant with a role, and denied to one without.
#[test]
fn statistics_of_what_public_may_read() {
    let world = world();
    world
        .db
        .superuser()
        .batch_execute(
            "CREATE TABLE public.board AS SELECT 'canary-board' AS note FROM generate_series(1, 100);
             GRANT SELECT ON public.board TO PUBLIC; ANALYZE public.board",
        )
        .unwrap();
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.refused("SELECT * FROM public.board", "42501");
    let statistics = "SELECT most_common_vals FROM pg_stats WHERE tablename = 'board'";
    match crate::LAYERS {
        Layers::Two => acme.gives(statistics, &["{canary-board}"]),
        Layers::One => acme.refused(statistics, "42501"),
    }
}

/// What the session copied, without a tenant, from what is no tenant's: a temporary table is the login role's own. A
/// tenant's role may not read it; where a tenant has none, it is read inside. What a tenant left is gone in either case.
#[test]
fn temporary_tables_of_before() {
    let world = world();
    world
        .db
        .superuser()
        .batch_execute(&format!(
            "CREATE TABLE public.board AS SELECT 'canary-board' AS note; GRANT SELECT ON public.board TO {}",
            world.app
        ))
        .unwrap();
    let mut app = world.db.connect(&world.app);
    app.batch_execute("CREATE TEMPORARY TABLE kept AS TABLE public.board").unwrap();
    let mut acme = Judge::inside(&mut app, "acme");
    match crate::LAYERS {
        Layers::Two => acme.denied("SELECT * FROM pg_temp.kept", "42501"),
        Layers::One => acme.gives("SELECT * FROM pg_temp.kept", &["canary-board"]),
    }
    drop(acme);
    inside(&mut app, "acme", "CREATE TEMPORARY TABLE left_over AS TABLE users");
    let mut bravo = Judge::inside(&mut app, "bravo").silent_about(&["canary"]);
    bravo.denied("SELECT * FROM pg_temp.left_over", "42P01");
    bravo.denied("SELECT * FROM pg_temp.kept", "42P01");
}

/// A function in C may change a setting without SET, and nothing tells: it stays, until RESET.
#[test]
fn a_function_in_c_changes_a_setting_for_the_session() {
    let world = world();
    world.db.superuser().batch_execute("CREATE EXTENSION pg_trgm").unwrap();
    let mut app = world.db.connect(&world.app);
    let shown = "SELECT public.show_limit()::numeric(3, 2)";
    assert_eq!(value(&mut app, shown), "0.30");
    inside(&mut app, "bravo", "SELECT set_limit(0.75)");
    assert_eq!(value(&mut app, shown), "0.75");
    app.batch_execute("RESET ALL").unwrap();
    assert_eq!(value(&mut app, shown), "0.30");
    // By SET it ends with the tenant, as every setting.
    inside(&mut app, "bravo", "SET pg_trgm.similarity_threshold = 0.75");
    assert_eq!(value(&mut app, shown), "0.30");
}

/// Without a tenant a type of a tenant's is found by its bare name on a path that leads there: its labels are catalog text. No
/// table, function or sequence is read so, and by its full name the type is refused.
#[test]
fn a_type_is_found_by_its_bare_name() {
    let world = world();
    // So that PostgreSQL finds the schema for the role at all.
    world.db.superuser().batch_execute("GRANT USAGE ON SCHEMA tenant_bravo TO PUBLIC").unwrap();
    for role in [&world.app, &world.carol] {
        let mut client = world.db.connect(role);
        let mut outside = Judge::after(&mut client, "SET LOCAL search_path = tenant_bravo");
        outside.gives("SELECT 'calm'::mood", &["calm"]);
        outside.gives("SELECT pg_typeof(NULL::users)", &["users"]);
        for statement in [
            "SELECT 'calm'::tenant_bravo.mood",
            "SELECT * FROM users",
            "SELECT peek()",
            "SELECT nextval('users_id_seq')",
            "CREATE TEMP TABLE copied (LIKE users)",
        ] {
            outside.refused(statement, "55000");
        }
    }
}
