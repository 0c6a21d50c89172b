//! What lies outside every tenant: nothing of it is reached unless it was shared, or belongs to an extension.

use plio_tests::Layers;

use crate::judge::Judge;
use crate::world::{inside, value, world};

/// `public` and the application's own schemas hold things of every state of sharing.
fn furnish(admin: &mut postgres::Client) {
    admin
        .batch_execute(
            "CREATE TABLE public.secret (id int PRIMARY KEY, word text); INSERT INTO public.secret VALUES (1, 'canary-secret');
             CREATE SEQUENCE public.secret_seq;
             GRANT ALL ON public.secret, public.secret_seq TO PUBLIC;
             CREATE TABLE public.notices (id serial PRIMARY KEY, text text); SELECT plio.share('public.notices', 'write');
             CREATE SEQUENCE public.tickets; SELECT plio.share('public.tickets', 'write');
             CREATE SEQUENCE public.watched; SELECT plio.share('public.watched', 'read');
             CREATE SCHEMA lookup; CREATE TABLE lookup.colours (name text); INSERT INTO lookup.colours VALUES ('red');
             SELECT plio.share('lookup', 'read');
             CREATE TABLE lookup.shapes (name text); INSERT INTO lookup.shapes VALUES ('round');
             CREATE SCHEMA private; CREATE TABLE private.salaries (amount int); GRANT USAGE ON SCHEMA private TO PUBLIC;
             GRANT ALL ON private.salaries TO PUBLIC",
        )
        .unwrap();
}

/// A tenant that lacks a table does not read `public`'s of that name, qualified or not, though all may by privilege;
/// outside a tenant the same works as ever.
#[test]
fn a_missing_table_does_not_fall_through_to_public() {
    let world = world();
    let mut admin = world.db.superuser();
    furnish(&mut admin);
    for role in [world.app.as_str(), plio_tests::SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        for statement in [
            "SELECT * FROM secret",
            "SELECT * FROM public.secret",
            "SELECT 1 FROM secret WHERE false",
            "INSERT INTO secret VALUES (2, 'x')",
            "UPDATE secret SET word = 'x'",
            "DELETE FROM secret",
            "MERGE INTO secret s USING users u ON s.id = u.id WHEN MATCHED THEN DELETE",
            "COPY secret TO STDOUT",
            "TRUNCATE secret",
            "LOCK TABLE secret",
            "EXPLAIN SELECT * FROM secret",
            "SELECT query_to_xml('SELECT * FROM secret', true, false, '')",
            "SELECT last_value FROM secret_seq",
            "SELECT * FROM private.salaries",
            "INSERT INTO private.salaries VALUES (1)",
            "SELECT * FROM users WHERE EXISTS (SELECT 1 FROM secret)",
            "ANALYZE secret",
            "CREATE TABLE copied AS SELECT * FROM secret",
            "CREATE VIEW window_on_it AS SELECT * FROM secret",
            "SELECT * FROM plio.tenants",
            "SELECT * FROM plio.access",
            "UPDATE plio.tenants SET status = 'active'",
            "DELETE FROM plio.shares",
        ] {
            acme.refused(statement, "42501");
        }
        acme.allowed("SELECT * FROM pg_class, information_schema.tables LIMIT 1");
        drop(acme);
        // Names that lead nowhere are PostgreSQL's to report, with its own words.
        let mut acme = Judge::inside(&mut client, "acme");
        acme.denied("SELECT * FROM nowhere", "42P01");
        acme.denied("SELECT * FROM public.nowhere", "42P01");
        drop(acme);
        let mut nobody = Judge::outside(&mut client);
        nobody.gives("SELECT word FROM secret", &["canary-secret"]);
        nobody.allowed("INSERT INTO private.salaries VALUES (1)");
        nobody.allowed("SELECT nextval('secret_seq')");
    }
}

/// A tenant's own table comes before a shared one of the same name.
#[test]
fn the_tenants_own_comes_first() {
    let world = world();
    inside(
        &mut world.db.superuser(),
        "acme",
        "CREATE TABLE countries (code text, name text); INSERT INTO countries VALUES ('AC', 'Acmeland')",
    );
    let mut app = world.db.connect(&world.app);
    Judge::inside(&mut app, "acme").gives("SELECT name FROM countries", &["Acmeland"]);
    Judge::inside(&mut app, "bravo").gives("SELECT count(*) FROM countries", &["2"]);
}

/// Shared to read: read, joined and referenced, never changed. Shared to write: changed, too. Whole schemas include what
/// was created in them later.
#[test]
fn sharing_opens_what_it_says() {
    let world = world();
    let mut admin = world.db.superuser();
    furnish(&mut admin);
    for role in [world.app.as_str(), plio_tests::SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        acme.gives("SELECT name FROM countries ORDER BY 1", &["India", "Kenya"]);
        acme.allowed("SELECT u.name FROM users u, public.countries c");
        acme.allowed("COPY countries TO STDOUT");
        acme.allowed("CREATE TABLE homes (code text REFERENCES countries); INSERT INTO homes VALUES ('IN')");
        acme.denied(
            "CREATE TABLE homes (code text REFERENCES countries); INSERT INTO homes VALUES ('XX')",
            "23503",
        );
        acme.gives("SELECT c.name, s.name FROM colours c, lookup.shapes s", &["red|round"]);
        acme.gives("SELECT last_value FROM watched", &["1"]);
        for statement in [
            "INSERT INTO countries VALUES ('NP', 'Nepal')",
            "INSERT INTO countries VALUES ('IN', 'x') ON CONFLICT (code) DO UPDATE SET name = 'x'",
            "UPDATE countries SET name = 'x'",
            "DELETE FROM countries",
            "WITH gone AS (DELETE FROM countries RETURNING 1) SELECT 1",
            "MERGE INTO countries c USING users u ON c.name = u.name WHEN NOT MATCHED THEN INSERT VALUES ('x', 'x')",
            "TRUNCATE countries",
            "INSERT INTO lookup.shapes VALUES ('square')",
            "DELETE FROM colours",
        ] {
            acme.refused(statement, "42501");
        }
        acme.denied("SELECT nextval('watched')", "42501");
        acme.denied("SELECT setval('tickets', 1)", "42501");
        if crate::LAYERS == Layers::Two {
            // Row locks on what is shared to read are refused by the tenant's role's privileges alone.
            acme.denied("SELECT * FROM countries FOR UPDATE", "42501");
        }
        acme.allowed("INSERT INTO notices (text) VALUES ('hello'); UPDATE notices SET text = 'bye'; DELETE FROM notices");
        acme.allowed("SELECT nextval('tickets'), currval('tickets')");
        drop(acme);
    }
    // Unshared again: refused at once, in sessions that used it before.
    let mut app = world.db.connect(&world.app);
    Judge::inside(&mut app, "acme").allowed("SELECT * FROM notices");
    admin.batch_execute("SELECT plio.unshare('public.notices'), plio.unshare('lookup')").unwrap();
    let mut acme = Judge::inside(&mut app, "acme");
    acme.refused("SELECT * FROM public.notices", "42501");
    // The schema is closed with its last share: PostgreSQL's own refusal.
    acme.denied("SELECT * FROM lookup.colours", "42501");
}

/// An extension's functions, operators, types and tables work in every tenant, wherever they were put; a tenant's own
/// code that is none of the active one's does not.
#[test]
fn extensions_work_inside_tenants() {
    let world = world();
    let mut admin = world.db.superuser();
    admin
        .batch_execute("CREATE EXTENSION pg_trgm; CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext; GRANT USAGE ON SCHEMA ext TO PUBLIC")
        .unwrap();
    admin.batch_execute("CREATE TABLE public.owned (x int); ALTER EXTENSION hstore ADD TABLE public.owned; GRANT ALL ON public.owned TO plio_tenant").unwrap();
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.gives("SELECT similarity('acme', 'acme')", &["1"]);
    acme.gives("SELECT 'a=>1'::hstore -> 'a', ext.akeys('b=>2')", &["1|{b}"]);
    acme.allowed("CREATE TABLE tagged (tags hstore, name text); CREATE INDEX ON tagged USING gin (name gin_trgm_ops); CREATE INDEX ON tagged USING gin (tags)");
    acme.allowed("INSERT INTO owned VALUES (1)");
    acme.refused("SELECT tenant_bravo.peek()", "42501");
    acme.refused("DROP EXTENSION hstore", "42501");
    drop(acme);
    assert_eq!(value(&mut admin, "SELECT count(*) FROM public.owned"), "0");
}
