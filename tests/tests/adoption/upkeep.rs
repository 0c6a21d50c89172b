//! Inside a tenant without a role: none of its code where ANALYZE would run it without a tenant, as the tables' owner.

use plio_tests::{assert_refusal, expect_sqlstate};

use crate::judge::Judge;
use crate::legacy;

/// What the tenant has: code of every kind, none of it used by an index yet.
const CODE: &str = "
    CREATE FUNCTION slug(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN lower($1); END';
    CREATE FUNCTION same(text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 = $2; END';
    CREATE FUNCTION apart(float8, float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 - $2; END';
    CREATE OPERATOR === (function = same, leftarg = text, rightarg = text);
    CREATE DOMAIN short AS text CHECK (slug(VALUE) <> '');
    CREATE TYPE pair AS (a short, b int);
    CREATE TYPE mood AS ENUM ('calm', 'cross');
    CREATE TABLE notes (body text, at tsrange, feeling mood)";

fn world() -> crate::Legacy {
    let world = legacy().adopted();
    let mut app = world.db.connect(&world.app);
    app.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('acme'); {CODE}; COMMIT")).unwrap();
    world
}

#[test]
fn no_index_or_statistics_lean_on_the_tenants_code() {
    let world = world();
    world
        .db
        .superuser()
        .batch_execute(
            "CREATE FUNCTION public.fold(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)'",
        )
        .unwrap();
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    for statement in [
        "CREATE INDEX ON notes (slug(body))",
        "CREATE INDEX ON notes (body) WHERE slug(body) <> ''",
        "CREATE INDEX ON notes ((body === 'x'))",
        "CREATE INDEX ON notes ((body::short))",
        "CREATE INDEX ON notes ((ROW(body, 1)::pair))",
        "CREATE UNIQUE INDEX ON notes (lower(slug(body)))",
        "CREATE STATISTICS s ON (slug(body)) FROM notes",
        "CREATE STATISTICS s ON (slug(body)), feeling FROM notes",
        "ALTER TABLE notes ADD EXCLUDE USING btree (slug(body) WITH =)",
        "CREATE TABLE n (body text, EXCLUDE USING btree (slug(body) WITH =))",
        "CREATE TABLE n (body text) PARTITION BY LIST (body); CREATE INDEX ON n (slug(body))",
        "CREATE MATERIALIZED VIEW n AS SELECT body FROM notes; CREATE INDEX ON n (slug(body))",
        "CREATE FUNCTION pg_temp.slug(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END'; CREATE INDEX ON notes (pg_temp.slug(body))",
        "CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = apart)",
    ] {
        acme.refused(statement, "42501");
    }
    for statement in [
        "CREATE INDEX ON notes (lower(body))",
        "CREATE INDEX ON notes (public.fold(body))",
        "CREATE INDEX ON notes (body) WHERE feeling = 'calm'",
        "CREATE INDEX ON notes (body) WHERE feeling = ANY ('{calm,cross}'::mood[])",
        "CREATE UNIQUE INDEX ON notes (body, feeling)",
        "CREATE STATISTICS s ON (lower(body)), feeling FROM notes",
        "CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = float8mi)",
        "ALTER TABLE notes ADD EXCLUDE USING gist (at WITH &&)",
        "CREATE TABLE n (body text PRIMARY KEY CHECK (slug(body) <> ''), slugged text DEFAULT slug('x'), short short)",
        "CREATE OR REPLACE FUNCTION slug(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN upper($1); END'",
        "ALTER TYPE mood ADD VALUE 'glad'",
    ] {
        acme.allowed(statement);
    }
}

/// What was there before, or what an administrator made: it stays, the table can be worked on, and what the index leans on
/// is not the tenant's to change.
#[test]
fn what_an_index_leans_on_stays_as_it_is() {
    let world = world();
    world
        .db
        .superuser()
        .batch_execute(
            "CREATE INDEX by_slug ON acme.notes (acme.slug(body)); CREATE INDEX by_same ON acme.notes ((body OPERATOR(acme.===) 'x'));
             CREATE TABLE acme.wide (body text); CREATE INDEX ON acme.wide ((body::acme.short));
             CREATE TYPE acme.span AS RANGE (subtype = float8, subtype_diff = acme.apart);
             CREATE FUNCTION acme.free(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
        )
        .unwrap();
    let mut admin = world.db.superuser();
    for object in ["FUNCTION acme.free(text)", "TABLE acme.wide", "TYPE acme.span"] {
        admin.batch_execute(&format!("ALTER {object} OWNER TO {}", world.app)).unwrap();
    }
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    for statement in [
        "CREATE OR REPLACE FUNCTION slug(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN upper($1); END'",
        "CREATE OR REPLACE FUNCTION same(text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END'",
        "CREATE OR REPLACE FUNCTION apart(float8, float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1; END'",
        "ALTER FUNCTION slug(text) SET work_mem = '1MB'",
        "ALTER DOMAIN short ADD CHECK (slug(VALUE) <> 'x')",
        "CREATE INDEX ON notes (apart(1, length(body)), slug(body))",
        // Bodies are text: what they call by name nobody knows.
        "CREATE OR REPLACE FUNCTION free(text) RETURNS text LANGUAGE sql AS 'SELECT $1 || $1'",
        "CREATE FUNCTION new() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE VIEW new AS SELECT 1",
        "CREATE RULE new AS ON DELETE TO notes DO INSTEAD NOTHING",
        "CREATE POLICY new ON notes USING (true)",
        "CREATE DOMAIN new AS int CHECK (VALUE > 0)",
        "CREATE OPERATOR ==== (function = same, leftarg = text, rightarg = text)",
    ] {
        acme.refused(statement, "42501");
    }
    for statement in [
        "ALTER TABLE notes ADD COLUMN more int",
        "ALTER TABLE notes ALTER feeling TYPE text",
        "ALTER INDEX by_slug RENAME TO by_name",
        "REINDEX INDEX by_slug",
        "INSERT INTO notes VALUES ('Some'); ANALYZE notes; CREATE INDEX ON notes (body)",
        "CREATE INDEX ON notes (slug(body), feeling)",
        "CREATE TABLE n (LIKE notes INCLUDING INDEXES)",
        "DROP INDEX by_slug",
        "CREATE TABLE n (a int DEFAULT 1)",
        "CREATE TYPE n AS ENUM ('a')",
        "DROP INDEX by_slug, by_same; DROP TABLE wide; DROP TYPE span; CREATE OR REPLACE FUNCTION same(text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END'",
    ] {
        acme.allowed(statement);
    }
    drop(acme);
    // With a role of its own it may: native privileges hold where no tenant is set.
    admin.batch_execute("SELECT plio.assign_role('acme')").unwrap();
    let mut acme = Judge::inside(&mut app, "acme");
    acme.allowed("CREATE INDEX ON notes (slug(body), feeling)");
    acme.allowed("CREATE OR REPLACE FUNCTION slug(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN upper($1); END'");
}

/// A body that was parsed says what it uses, so nothing else need stay as it is.
#[test]
fn code_beside_a_parsed_body_is_the_tenants_to_change() {
    let world = world();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(&format!(
            "CREATE FUNCTION acme.inner(text) RETURNS text LANGUAGE sql IMMUTABLE RETURN lower($1);
             CREATE FUNCTION acme.outer(text) RETURNS text LANGUAGE sql IMMUTABLE RETURN acme.inner($1);
             ALTER FUNCTION acme.inner(text) OWNER TO {app}; ALTER FUNCTION acme.outer(text) OWNER TO {app};
             CREATE INDEX ON acme.notes (acme.outer(body))",
            app = world.app
        ))
        .unwrap();
    let mut app = world.db.connect(&world.app);
    let mut acme = Judge::inside(&mut app, "acme");
    for function in ["inner", "outer"] {
        let replace =
            format!("CREATE OR REPLACE FUNCTION {function}(text) RETURNS text LANGUAGE sql IMMUTABLE");
        acme.refused(&format!("{replace} RETURN upper($1)"), "42501");
        acme.refused(&format!("{replace} AS 'SELECT upper($1)'"), "42501");
    }
    acme.allowed("CREATE FUNCTION new() RETURNS int LANGUAGE sql AS 'SELECT 1'");
    acme.allowed("CREATE OR REPLACE FUNCTION slug(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN upper($1); END'");
    acme.allowed("CREATE VIEW new AS SELECT 1");
}

/// CONCURRENTLY commits on its way: with a session's tenant it is judged before.
#[test]
fn no_expression_is_indexed_concurrently() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    app.batch_execute("SET plio.tenant = 'acme'").unwrap();
    for columns in ["(slug(body))", "(body) WHERE slug(body) <> ''", "(lower(body))"] {
        let refused = app.batch_execute(&format!("CREATE INDEX CONCURRENTLY ON notes {columns}"));
        assert_refusal(&expect_sqlstate(refused, "42501"), "42501", &["canary"]);
    }
    app.batch_execute("CREATE INDEX CONCURRENTLY ON notes (body, feeling)").unwrap();
    let refused = app.batch_execute("CREATE INDEX ON notes (slug(body))");
    expect_sqlstate(refused, "42501");
    app.batch_execute("CREATE INDEX ON notes (lower(body))").unwrap();
}
