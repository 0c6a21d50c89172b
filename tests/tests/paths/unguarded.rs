//! What a superuser tied together with enforcement off, when it runs inside a tenant; what ties no schema.

use plio_tests::{Layers, SUPERUSER, TwoTenants, expect_sqlstate};

use crate::judge::Judge;
use crate::world::{inside, unguarded, value, world};

/// Functions of bravo's that tell and write where they run.
const BRAVOS: &str = "
    CREATE FUNCTION mark(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';
    CREATE FUNCTION is_fine(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END'";

/// acme's, tied to them.
const TIED: &str = "
    CREATE TABLE tenant_acme.by_default (a text DEFAULT tenant_bravo.mark('d'));
    CREATE TABLE tenant_acme.generated (a text, b text GENERATED ALWAYS AS (tenant_bravo.mark(a)) STORED);
    CREATE TABLE tenant_acme.checked (a text CHECK (tenant_bravo.is_fine(a)));
    CREATE DOMAIN tenant_acme.fine AS text CHECK (tenant_bravo.is_fine(VALUE));
    CREATE TABLE tenant_acme.indexed (a text); CREATE INDEX ON tenant_acme.indexed (tenant_bravo.mark(a));
    CREATE TABLE tenant_acme.guarded (a text); ALTER TABLE tenant_acme.guarded ENABLE ROW LEVEL SECURITY;
    ALTER TABLE tenant_acme.guarded FORCE ROW LEVEL SECURITY;
    CREATE POLICY reads ON tenant_acme.guarded FOR SELECT USING (EXISTS (SELECT FROM tenant_bravo.users));
    CREATE POLICY writes ON tenant_acme.guarded FOR INSERT WITH CHECK (tenant_bravo.is_fine(a));
    CREATE TABLE tenant_acme.counted (id bigint DEFAULT nextval('tenant_bravo.users_id_seq'));
    CREATE VIEW tenant_acme.window AS SELECT * FROM tenant_bravo.users;
    CREATE VIEW tenant_acme.outer_window AS SELECT * FROM tenant_acme.window;
    CREATE VIEW tenant_acme.superusers_window AS SELECT * FROM tenant_bravo.users;
    GRANT ALL ON tenant_acme.superusers_window TO PUBLIC";

fn tied() -> TwoTenants {
    let world = world();
    let mut admin = world.db.superuser();
    inside(&mut admin, "bravo", BRAVOS);
    let owner = value(&mut admin, "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'tenant_acme'");
    let relations =
        ["by_default", "generated", "checked", "indexed", "guarded", "counted", "window", "outer_window"];
    let give = relations.map(|name| format!("ALTER TABLE tenant_acme.{name} OWNER TO {owner}")).join("; ");
    unguarded(&world.db, &format!("{TIED}; {give}"));
    world
}

#[test]
fn what_was_tied_with_enforcement_off_is_judged_when_it_runs() {
    let world = tied();
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        acme.allowed("INSERT INTO by_default VALUES ('x')");
        for statement in [
            "INSERT INTO by_default DEFAULT VALUES",
            "INSERT INTO generated VALUES ('x')",
            "INSERT INTO checked VALUES ('x')",
            "SELECT 'x'::fine",
            "CREATE TABLE t (a fine); INSERT INTO t VALUES ('x')",
            "DO $$ DECLARE a tenant_acme.fine; BEGIN a := 'x'; END $$",
            "INSERT INTO indexed VALUES ('x')",
            "SELECT * FROM guarded",
            "INSERT INTO guarded VALUES ('x')",
        ] {
            // A superuser, who keeps his rights where the tenant has no role, meets no policy.
            if crate::LAYERS == Layers::Two || role != SUPERUSER || !statement.contains("guarded") {
                acme.refused(statement, "42501");
            }
        }
        // By PostgreSQL itself where the tenant has a role, which has no right to the other's sequence.
        acme.denied("INSERT INTO counted DEFAULT VALUES", "42501");
    }
}

/// LOCK TABLE goes on to what lies below a view, with the rights of the view's owner, a superuser here.
#[test]
fn a_lock_on_a_view_is_judged_down_to_its_tables() {
    let world = tied();
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        acme.allowed("LOCK TABLE listing");
        for view in ["window", "outer_window", "superusers_window"] {
            acme.refused(&format!("LOCK TABLE tenant_acme.{view} IN ACCESS SHARE MODE"), "42501");
        }
        drop(acme);
        let mut nobody = Judge::outside(&mut client);
        if role != SUPERUSER {
            nobody.refused("LOCK TABLE tenant_acme.superusers_window IN ACCESS SHARE MODE", "55000");
        }
    }
}

/// They lie in no schema and work in every tenant: none may lean on a tenant, but for that tenant's own type.
#[test]
fn casts_and_event_triggers_bring_no_tenants_function_into_others() {
    let world = world();
    let mut admin = world.db.superuser();
    inside(
        &mut admin,
        "bravo",
        "CREATE FUNCTION to_point(text) RETURNS point LANGUAGE sql IMMUTABLE AS 'SELECT point(1, 1)';
         CREATE FUNCTION to_text(mood) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''canary-bravo''';
         CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
    );
    admin
        .batch_execute(
            "CREATE FUNCTION public.on_event() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
        )
        .unwrap();
    let mut judge = Judge::outside(&mut admin).silent_about(&["canary"]);
    judge.refused("CREATE CAST (text AS point) WITH FUNCTION tenant_bravo.to_point(text)", "42501");
    judge.refused("CREATE CAST (tenant_bravo.users AS tenant_acme.users) WITH INOUT", "42501");
    judge
        .refused("CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION tenant_bravo.on_ddl()", "42501");
    judge.refused("SET LOCAL search_path = tenant_bravo; CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION on_ddl()", "42501");
    judge.allowed("CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION public.on_event()");
    judge.refused(
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION public.on_event(); ALTER FUNCTION public.on_event() SET SCHEMA tenant_bravo",
        "42501",
    );
    // For bravo's own type it is bravo's own cast.
    judge.allowed(
        "CREATE CAST (tenant_bravo.mood AS text) WITH FUNCTION tenant_bravo.to_text(tenant_bravo.mood)",
    );
    drop(judge);
    admin
        .batch_execute(
            "CREATE CAST (tenant_bravo.mood AS text) WITH FUNCTION tenant_bravo.to_text(tenant_bravo.mood)",
        )
        .unwrap();
    let mut app = world.db.connect(&world.app);
    inside(&mut app, "bravo", "SELECT CAST('calm'::mood AS text)");
    Judge::inside(&mut app, "acme").refused("SELECT CAST('calm'::tenant_bravo.mood AS text)", "42501");
}

/// A cast made with enforcement off, on bravo's function: the call is judged.
#[test]
fn a_cast_made_with_enforcement_off_is_judged_when_it_runs() {
    let world = world();
    let mut admin = world.db.superuser();
    inside(
        &mut admin,
        "bravo",
        "CREATE FUNCTION to_point(text) RETURNS point LANGUAGE plpgsql AS 'BEGIN RETURN point(1, 1); END'",
    );
    unguarded(&world.db, "CREATE CAST (text AS point) WITH FUNCTION tenant_bravo.to_point(text)");
    let mut app = world.db.connect(&world.app);
    inside(&mut app, "bravo", "SELECT CAST('x'::text AS point)");
    Judge::inside(&mut app, "acme").refused("SELECT CAST('x'::text AS point)", "42501");
    expect_sqlstate(app.batch_execute("SELECT CAST('x'::text AS point)"), "55000");
}
