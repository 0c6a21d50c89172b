//! Code that reaches for another tenant on somebody's behalf: views, rules, triggers, functions, procedures.

use plio_tests::{Layers, TwoTenants, assert_refusal, expect_sqlstate};

use crate::judge::Judge;
use crate::world::{inside, unguarded, world};

/// Functions in `public` that read tenant bravo, made by the superuser, who could not make the parsed one guarded.
fn readers(world: &TwoTenants) {
    unguarded(
        &world.db,
        "CREATE FUNCTION public.read_static() RETURNS text LANGUAGE plpgsql SECURITY DEFINER
           AS 'BEGIN RETURN (SELECT min(name) FROM tenant_bravo.users); END';
         CREATE FUNCTION public.read_dynamic(org text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
           AS 'DECLARE found text; BEGIN
               EXECUTE format(''SELECT min(name) FROM %I.users'', ''tenant_'' || org) INTO found; RETURN found; END';
         CREATE FUNCTION public.read_pathed() RETURNS text LANGUAGE plpgsql SECURITY DEFINER
           SET search_path = pg_catalog, pg_temp
           AS 'BEGIN RETURN (SELECT min(name) FROM tenant_bravo.users); END';
         CREATE FUNCTION public.read_sql() RETURNS text LANGUAGE sql SECURITY DEFINER
           AS 'SELECT min(name) FROM tenant_bravo.users';
         CREATE FUNCTION public.read_inlined() RETURNS SETOF text LANGUAGE sql STABLE
           AS 'SELECT name FROM tenant_bravo.users';
         CREATE FUNCTION public.read_parsed() RETURNS SETOF text LANGUAGE sql STABLE
           BEGIN ATOMIC SELECT name FROM tenant_bravo.users; END;
         CREATE FUNCTION public.read_parsed_definer() RETURNS text LANGUAGE sql SECURITY DEFINER
           BEGIN ATOMIC SELECT min(name) FROM tenant_bravo.users; END;
         CREATE FUNCTION public.read_immutable() RETURNS text LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER
           AS 'BEGIN RETURN (SELECT min(name) FROM tenant_bravo.users); END';
         CREATE FUNCTION public.write_foreign() RETURNS void LANGUAGE sql SECURITY DEFINER
           AS 'UPDATE tenant_bravo.users SET name = ''gone''';
         CREATE FUNCTION public.call_foreign() RETURNS text LANGUAGE sql SECURITY DEFINER
           BEGIN ATOMIC SELECT tenant_bravo.peek(); END;
         CREATE FUNCTION public.truncate_foreign() RETURNS void LANGUAGE sql SECURITY DEFINER
           AS 'TRUNCATE tenant_bravo.users';
         CREATE FUNCTION public.swallow() RETURNS text LANGUAGE plpgsql SECURITY DEFINER
           AS 'BEGIN RETURN (SELECT min(name) FROM tenant_bravo.users); EXCEPTION WHEN others THEN RETURN SQLSTATE; END';
         CREATE FUNCTION public.cursor_foreign() RETURNS text LANGUAGE plpgsql SECURITY DEFINER
           AS 'DECLARE c CURSOR FOR SELECT name FROM tenant_bravo.users; found text; BEGIN
               OPEN c; FETCH c INTO found; RETURN found; END';
         CREATE PROCEDURE public.call_reader() LANGUAGE plpgsql SECURITY DEFINER
           AS 'BEGIN PERFORM name FROM tenant_bravo.users; END';",
    );
}

const CALLS: &[&str] = &[
    "SELECT public.read_static()",
    "SELECT public.read_dynamic('bravo')",
    "SELECT public.read_pathed()",
    "SELECT public.read_sql()",
    "SELECT * FROM public.read_inlined()",
    "SELECT public.read_inlined()",
    "SELECT * FROM public.read_parsed()",
    "SELECT public.read_parsed()",
    "SELECT public.read_parsed_definer()",
    "SELECT public.read_immutable()",
    "SELECT name FROM users WHERE name = public.read_immutable()",
    "EXPLAIN SELECT public.read_immutable()",
    "SELECT public.write_foreign()",
    "SELECT public.call_foreign()",
    "SELECT public.truncate_foreign()",
    "SELECT public.cursor_foreign()",
    "CALL public.call_reader()",
    "DO $$ BEGIN PERFORM public.read_static(); END $$",
    "DO $$ BEGIN EXECUTE 'SELECT public.read_sql()'; END $$",
    "COPY (SELECT public.read_static()) TO STDOUT",
    "CREATE TABLE taken AS SELECT public.read_static() AS name",
    "SELECT query_to_xml('SELECT public.read_sql()', true, false, '')",
];

/// A superuser's definer function is no bridge: in any language, inlined, parsed, immutable, by EXECUTE. In bravo the
/// same functions work; with enforcement off they hand bravo's rows to acme.
#[test]
fn a_definer_function_reads_no_other_tenant() {
    let world = world();
    readers(&world);
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.gives("SELECT public.read_dynamic('acme')", &["canary-acme"]);
    for call in CALLS {
        acme.refused(call, "42501");
    }
    acme.gives("SELECT public.swallow()", &["42501"]);
    drop(acme);
    let mut bravo = Judge::inside(&mut app, "bravo");
    for call in CALLS.iter().filter(|call| !call.contains("inlined") && !call.contains("read_parsed()")) {
        bravo.allowed(call);
    }
    drop(bravo);
    let mut nobody = Judge::outside(&mut app);
    let needs_path = |call: &str| call.contains("FROM users") || call.contains("call_foreign");
    for call in CALLS.iter().filter(|call| !needs_path(call) && !call.starts_with("CREATE")) {
        nobody.refused(call, "55000");
    }
    drop(nobody);
    let mut admin = world.db.superuser();
    admin.batch_execute("SET plio.enforcement = off").unwrap();
    Judge::after(&mut admin, "SET LOCAL search_path = tenant_acme")
        .gives("SELECT public.read_static()", &["canary-bravo"]);
}

/// Views: the tenant's own work; a view over another tenant that enforcement did not see being made is refused,
/// whoever owns it; a shared view is judged by what lies under it.
#[test]
fn a_view_shows_no_other_tenant() {
    let world = world();
    unguarded(
        &world.db,
        "CREATE VIEW tenant_acme.spy AS SELECT * FROM tenant_bravo.users;
         CREATE VIEW tenant_acme.nested AS SELECT name FROM tenant_acme.spy;
         CREATE VIEW tenant_acme.mixed AS SELECT name FROM tenant_acme.users UNION ALL SELECT name FROM tenant_bravo.users;
         CREATE VIEW tenant_acme.never AS SELECT name FROM tenant_bravo.users WHERE false;
         CREATE VIEW tenant_acme.careful WITH (security_barrier) AS SELECT name FROM tenant_bravo.users;
         CREATE VIEW tenant_acme.caller WITH (security_invoker) AS SELECT name FROM tenant_bravo.users;
         CREATE MATERIALIZED VIEW tenant_acme.stock AS SELECT name FROM tenant_bravo.users;
         CREATE VIEW public.shared_spy AS SELECT * FROM tenant_bravo.users;
         CREATE TABLE public.secret (word text); INSERT INTO public.secret VALUES ('canary-secret');
         CREATE VIEW public.window_on_secret AS SELECT * FROM public.secret;
         CREATE VIEW public.country_names AS SELECT name FROM public.countries;
         GRANT ALL ON ALL TABLES IN SCHEMA tenant_acme TO plio_tenant;
         SELECT plio.share('public.shared_spy', 'write');
         SELECT plio.share('public.window_on_secret', 'write');
         SELECT plio.share('public.country_names', 'read')",
    );
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.gives("SELECT name FROM listing ORDER BY 1 LIMIT 1", &["canary-acme"]);
    acme.gives("SELECT name FROM country_names ORDER BY 1 LIMIT 1", &["India"]);
    for view in ["spy", "nested", "mixed", "never", "careful", "caller", "public.shared_spy"] {
        acme.refused(&format!("SELECT name FROM {view}"), "42501");
        acme.refused(&format!("SELECT name FROM {view} WHERE false"), "42501");
        acme.refused(&format!("EXPLAIN SELECT * FROM {view}"), "42501");
        acme.refused(&format!("COPY (SELECT * FROM {view}) TO STDOUT"), "42501");
    }
    for view in ["spy", "public.shared_spy"] {
        acme.refused(&format!("UPDATE {view} SET name = 'x'"), "42501");
        acme.refused(&format!("INSERT INTO {view} (name) VALUES ('x')"), "42501");
        acme.refused(&format!("DELETE FROM {view}"), "42501");
    }
    acme.refused("SELECT * FROM public.window_on_secret", "42501");
    acme.refused("INSERT INTO public.window_on_secret VALUES ('x')", "42501");
    drop(acme);
    // A shared view over bravo's table is bravo's to read.
    Judge::inside(&mut app, "bravo").gives("SELECT min(name) FROM public.shared_spy", &["canary-bravo"]);
    // PostgreSQL asks for privileges on a view while it plans, before the check.
    let mut nobody = Judge::outside(&mut app);
    match crate::LAYERS {
        Layers::Two => nobody.denied("SELECT name FROM public.shared_spy", "42501"),
        Layers::One => nobody.refused("SELECT name FROM public.shared_spy", "55000"),
    }
}

/// A materialized view with another tenant's query is not refreshed inside a tenant, though the owner may.
#[test]
fn a_materialized_view_is_not_filled_from_another_tenant() {
    let world = world();
    let owner = "(SELECT rolname FROM pg_roles r, pg_namespace n WHERE r.oid = n.nspowner AND nspname = 'tenant_acme')";
    unguarded(
        &world.db,
        &format!(
            "CREATE MATERIALIZED VIEW tenant_acme.stock AS SELECT name FROM tenant_bravo.users WITH NO DATA;
             DO $$ BEGIN EXECUTE format('ALTER MATERIALIZED VIEW tenant_acme.stock OWNER TO %I', {owner});
                         EXECUTE format('GRANT SELECT ON tenant_bravo.users TO %I', {owner}); END $$"
        ),
    );
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.allowed("REFRESH MATERIALIZED VIEW summary");
    acme.refused("REFRESH MATERIALIZED VIEW stock", "42501");
}

/// A login role that owns the schemas of adopted tenants, in a schema of its own: what leans on a tenant there, made with
/// enforcement off, opens nothing of it without the tenant. What leans on nothing works.
#[test]
fn what_an_owner_had_made_over_a_tenant_is_closed_without_it() {
    if crate::LAYERS == Layers::Two {
        return; // The login role owns nothing of a tenant's.
    }
    let world = world();
    let app = &world.app;
    unguarded(
        &world.db,
        &format!(
            "CREATE SCHEMA own AUTHORIZATION {app}; SET ROLE {app}; SET search_path = own;
             CREATE MATERIALIZED VIEW stock AS SELECT name FROM tenant_bravo.users WITH NO DATA;
             CREATE VIEW seen AS SELECT name FROM tenant_bravo.users;
             CREATE TABLE family (id bigint, name text); CREATE TABLE tenant_bravo.heir () INHERITS (family);
             CREATE TABLE whole (id bigint, name text) PARTITION BY LIST (id);
             CREATE TABLE tenant_bravo.part PARTITION OF whole DEFAULT;
             INSERT INTO tenant_bravo.heir VALUES (1, 'canary-bravo'); INSERT INTO tenant_bravo.part VALUES (1, 'canary-bravo');
             CREATE TABLE alone (id bigint, name text); INSERT INTO alone VALUES (1, 'canary-own');
             CREATE VIEW of_alone AS SELECT name FROM alone; CREATE MATERIALIZED VIEW stock_of_alone AS SELECT name FROM alone"
        ),
    );
    let mut client = world.db.connect(app);
    let mut outside = Judge::after(&mut client, "SET LOCAL search_path = own");
    for statement in [
        "REFRESH MATERIALIZED VIEW {v}stock",
        "SELECT * FROM {v}",
        "LOCK TABLE {v} IN ACCESS SHARE MODE",
        "CREATE TEMP TABLE copied AS SELECT * FROM {v}",
        "COPY (SELECT * FROM {v}) TO STDOUT",
    ] {
        outside.refused(&statement.replace("{v}stock", "stock").replace("{v}", "seen"), "55000");
        outside.allowed(&statement.replace("{v}stock", "stock_of_alone").replace("{v}", "of_alone"));
    }
    for statement in [
        "SELECT * FROM {t}",
        "UPDATE {t} SET name = 'x'",
        "DELETE FROM {t}",
        "LOCK TABLE {t}",
        "TRUNCATE {t}",
        "ANALYZE {t}",
        "ALTER TABLE {t} ADD CHECK (name <> 'x')",
        "ALTER TABLE {t} ADD COLUMN more int",
        "ALTER TABLE {t} RENAME COLUMN name TO title",
        "DROP TABLE {t} CASCADE",
    ] {
        for table in ["family", "whole"] {
            outside.refused(&statement.replace("{t}", table), "55000");
        }
        outside.allowed(&statement.replace("{t}", "alone"));
    }
    for statement in ["INSERT INTO whole VALUES (2, 'x')", "CREATE INDEX ON whole (name)"] {
        outside.refused(statement, "55000");
    }
    drop(outside);
    client.batch_execute("SET search_path = own").unwrap();
    for statement in ["VACUUM family", "VACUUM whole", "VACUUM FULL whole", "REINDEX TABLE whole"] {
        let error = expect_sqlstate(client.batch_execute(statement), "55000");
        assert_refusal(&error, "55000", &["canary", "bravo"]);
    }
    client.batch_execute("VACUUM alone; ").unwrap();
    client.batch_execute("REINDEX TABLE alone").unwrap();
}

/// A rule and a trigger on the own table carry nothing over, whoever made them and as whomever they run.
#[test]
fn a_rule_or_a_trigger_touches_no_other_tenant() {
    let world = world();
    let mut admin = world.db.superuser();
    for org in ["acme", "bravo"] {
        inside(
            &mut admin,
            org,
            "CREATE TABLE ruled (name text); CREATE TABLE triggered (name text); CREATE TABLE log (name text)",
        );
    }
    unguarded(
        &world.db,
        "CREATE RULE copy AS ON INSERT TO tenant_acme.ruled DO ALSO INSERT INTO tenant_bravo.log VALUES (NEW.name);
         CREATE RULE peek AS ON UPDATE TO tenant_acme.ruled DO INSTEAD SELECT name FROM tenant_bravo.users;
         CREATE FUNCTION public.copy_over() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
           AS 'BEGIN INSERT INTO tenant_bravo.log VALUES (NEW.name); RETURN NEW; END';
         CREATE FUNCTION public.copy_here() RETURNS trigger LANGUAGE plpgsql
           AS 'BEGIN INSERT INTO log VALUES (NEW.name); RETURN NEW; END';
         CREATE FUNCTION tenant_bravo.theirs() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
           AS 'BEGIN DELETE FROM tenant_bravo.log; RETURN NULL; END';
         CREATE TRIGGER before BEFORE UPDATE ON tenant_acme.triggered FOR EACH ROW EXECUTE FUNCTION public.copy_over();
         CREATE TRIGGER whole AFTER TRUNCATE ON tenant_acme.triggered FOR EACH STATEMENT EXECUTE FUNCTION tenant_bravo.theirs();
         CREATE TRIGGER after AFTER INSERT ON tenant_acme.triggered FOR EACH ROW EXECUTE FUNCTION public.copy_here();
         CREATE CONSTRAINT TRIGGER late AFTER DELETE ON tenant_acme.triggered DEFERRABLE INITIALLY DEFERRED
           FOR EACH ROW EXECUTE FUNCTION public.copy_over();",
    );
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.gives("INSERT INTO triggered VALUES ('mine'); SELECT name FROM log", &["mine"]);
    acme.refused("INSERT INTO ruled VALUES ('x')", "42501");
    acme.refused("UPDATE ruled SET name = 'y'", "42501");
    acme.refused("INSERT INTO triggered VALUES ('x'); UPDATE triggered SET name = 'y'", "42501");
    acme.refused("TRUNCATE triggered", "42501");
    acme.refused(
        "INSERT INTO triggered VALUES ('x'); DELETE FROM triggered; SET CONSTRAINTS ALL IMMEDIATE",
        "42501",
    );
    drop(acme);
    // Deferred to COMMIT: the tenant is still there, and still holds.
    app.batch_execute(
        "BEGIN; SELECT plio.set_tenant('acme'); INSERT INTO triggered VALUES ('x'); DELETE FROM triggered",
    )
    .unwrap();
    let error = plio_tests::expect_sqlstate(app.batch_execute("COMMIT"), "42501");
    plio_tests::assert_refusal(&error, "42501", crate::judge::BRAVOS);
    Judge::inside(&mut app, "bravo").gives("SELECT count(*) FROM log", &["0"]);
}

/// A foreign key may point at a shared table, whose rows other tenants use as well: the check shows none of theirs, and
/// no cascade reaches them from inside a tenant.
#[test]
fn foreign_keys_and_cascades_stop_at_the_boundary() {
    let world = world();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(
            "CREATE TABLE public.plans (id int PRIMARY KEY, name text); SELECT plio.share('public.plans', 'write');
             INSERT INTO public.plans VALUES (1, 'one'), (2, 'two'), (3, 'unused')",
        )
        .unwrap();
    for (org, plan) in [("acme", 1), ("bravo", 2)] {
        inside(
            &mut admin,
            org,
            &format!(
                "CREATE TABLE cascading (plan int REFERENCES plans ON DELETE CASCADE ON UPDATE CASCADE);
                 CREATE TABLE nulling (plan int REFERENCES plans ON DELETE SET NULL ON UPDATE CASCADE);
                 INSERT INTO cascading VALUES ({plan}); INSERT INTO nulling VALUES ({plan})"
            ),
        );
    }
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.allowed("INSERT INTO cascading VALUES (2)");
    acme.denied("INSERT INTO cascading VALUES (99)", "23503");
    acme.allowed("INSERT INTO plans VALUES (4, 'four')");
    acme.allowed("UPDATE plans SET name = 'uno' WHERE id = 1");
    // Whether bravo uses the row or not makes no difference: no oracle.
    for plan in [1, 2, 3] {
        acme.refused(&format!("DELETE FROM plans WHERE id = {plan}"), "42501");
        acme.refused(&format!("UPDATE plans SET id = {plan} + 10 WHERE id = {plan}"), "42501");
    }
    drop(acme);
    // Without a tenant it is PostgreSQL as everywhere, for who may administrate.
    Judge::outside(&mut admin).allowed("DELETE FROM public.plans");
    // A foreign key between two tenants that was made unguarded does not tell what is there.
    unguarded(
        &world.db,
        "ALTER TABLE tenant_acme.users ADD COLUMN theirs bigint REFERENCES tenant_bravo.users ON DELETE CASCADE",
    );
    let mut acme = Judge::inside(&mut app, "acme");
    acme.refused("INSERT INTO users (theirs) VALUES (1)", "42501");
    acme.refused("INSERT INTO users (theirs) VALUES (99)", "42501");
    drop(acme);
    let mut bravo = Judge::inside(&mut app, "bravo").silent_about(&["canary-acme", "acme"]);
    bravo.refused("DELETE FROM users WHERE id = 1", "42501");
    drop(bravo);
    // Without a tenant the query of the foreign key's own, which names the tenant's table, is not quoted either.
    unguarded(
        &world.db,
        &format!(
            "CREATE TABLE public.links (theirs bigint REFERENCES tenant_bravo.users);
             INSERT INTO tenant_bravo.cascading VALUES (2);
             GRANT INSERT ON public.links TO {app}; GRANT SELECT, UPDATE, DELETE ON public.plans TO {app}",
            app = world.app
        ),
    );
    let mut nobody = Judge::outside(&mut app).silent_about(&["canary", "acme", "bravo"]);
    nobody.refused("INSERT INTO public.links VALUES (1)", "55000");
    nobody.refused("INSERT INTO public.links VALUES (99)", "55000");
    nobody.refused("DELETE FROM public.plans WHERE id = 2", "55000");
    nobody.refused("UPDATE public.plans SET id = 12 WHERE id = 2", "55000");
}

/// A procedure that commits: the tenant ends with its transaction, and the next statement has none.
#[test]
fn a_commit_inside_a_procedure_ends_the_tenant() {
    let world = world();
    world
        .db
        .superuser()
        .batch_execute(
            "CREATE PROCEDURE public.work(org text, again text) LANGUAGE plpgsql AS $$
             BEGIN
               PERFORM plio.set_tenant(org);
               INSERT INTO users (name) VALUES ('by procedure');
               COMMIT;
               IF again = 'name' THEN PERFORM name FROM tenant_acme.users; END IF;
               IF again = 'path' THEN PERFORM name FROM users; END IF;
               IF again <> '' THEN PERFORM plio.set_tenant(again); END IF;
               UPDATE users SET name = 'after commit' WHERE name = 'by procedure';
               COMMIT;
             END $$",
        )
        .unwrap();
    let mut app = world.db.connect(&world.app);
    app.batch_execute("CALL public.work('acme', 'bravo')").unwrap();
    app.execute("CALL public.work('bravo', 'acme')", &[]).unwrap();
    // The first call looked for its row in bravo, where there was none; the second found the first one's in acme.
    Judge::inside(&mut app, "acme").gives("SELECT name FROM users WHERE id > 3", &["after commit"]);
    Judge::inside(&mut app, "bravo").gives("SELECT name FROM users WHERE id > 3", &["by procedure"]);
    let error = plio_tests::expect_sqlstate(app.batch_execute("CALL public.work('acme', 'name')"), "55000");
    plio_tests::assert_refusal(&error, "55000", &["canary"]);
    plio_tests::expect_sqlstate(app.batch_execute("CALL public.work('acme', 'path')"), "42P01");
    plio_tests::expect_sqlstate(app.batch_execute("BEGIN; CALL public.work('acme', '')"), "2D000");
    app.batch_execute("ROLLBACK").unwrap();
    assert_eq!(crate::world::value(&mut app, "SELECT plio.current_tenant()"), "NULL");
}

/// A path may lead into a tenant's schema without the tenant. Functions found there are refused by their call: also a SQL function
/// that PostgreSQL would put into the query as its body.
#[test]
fn a_path_finds_no_function_of_a_tenant_without_it() {
    let world = world();
    let mut admin = world.db.superuser();
    inside(
        &mut admin,
        "bravo",
        "CREATE FUNCTION one_line() RETURNS text LANGUAGE sql AS 'SELECT current_user::text';
         CREATE FUNCTION doubled(i int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2 * i';
         CREATE FUNCTION numbers() RETURNS SETOF int STABLE LANGUAGE sql AS 'SELECT generate_series(1, 3)';
         CREATE FUNCTION in_plpgsql() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'",
    );
    let calls = [
        "SELECT one_line()",
        "SELECT doubled(2)",
        "SELECT doubled(g) FROM generate_series(1, 3) g WHERE doubled(g) > 2",
        "SELECT * FROM numbers()",
        "SELECT in_plpgsql()",
        "DO $$ DECLARE t text; BEGIN t := one_line(); END $$",
        "PREPARE p AS SELECT one_line(); EXECUTE p",
    ];
    let mut app = world.db.connect(&world.app);
    let mut outside = Judge::after(&mut app, "SET LOCAL search_path = tenant_bravo, public");
    for call in calls {
        outside.refused(call, "55000");
    }
    drop(outside);
    app.batch_execute("DEALLOCATE ALL").unwrap();
    let mut bravo = Judge::inside(&mut app, "bravo").silent_about(&[]);
    for call in calls {
        bravo.allowed(call);
    }
}
