//! What a tenant may create, alter and drop: every kind of object that lies in a schema, its own.

use plio_tests::{Cluster, Layers, SUPERUSER};

use super::judge::Judge;

/// Each line is one life: created, altered, used, dropped, all in one transaction.
const LIVES: &[&str] = &[
    "CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL, CHECK (id > 0)); ALTER TABLE t ADD COLUMN x int DEFAULT 1; ALTER TABLE t ALTER COLUMN x TYPE bigint; ALTER TABLE t RENAME COLUMN x TO y; ALTER TABLE t RENAME TO t2; TRUNCATE t2; DROP TABLE t2",
    "CREATE TABLE t (id serial PRIMARY KEY, n int); INSERT INTO t (n) VALUES (1); ALTER SEQUENCE t_id_seq RESTART WITH 5; DROP TABLE t",
    "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, n int); INSERT INTO t (n) VALUES (1); ALTER TABLE t ALTER id RESTART; ALTER TABLE t ALTER id DROP IDENTITY; DROP TABLE t",
    "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a * 2) STORED); INSERT INTO t VALUES (1); DROP TABLE t",
    "CREATE TABLE t (doc text, blob bytea); ALTER TABLE t ALTER doc SET STORAGE external; DROP TABLE t",
    "CREATE UNLOGGED TABLE t (a int); ALTER TABLE t SET LOGGED; DROP TABLE t",
    "CREATE TABLE t (LIKE users INCLUDING ALL); DROP TABLE t",
    "CREATE TABLE t (a int, EXCLUDE USING btree (a WITH =)); ALTER TABLE t DROP CONSTRAINT t_a_excl; DROP TABLE t",
    "CREATE TABLE p (a bigint REFERENCES users ON DELETE CASCADE); ALTER TABLE p DROP CONSTRAINT p_a_fkey; ALTER TABLE p ADD FOREIGN KEY (a) REFERENCES users NOT VALID; ALTER TABLE p VALIDATE CONSTRAINT p_a_fkey; DROP TABLE p",
    "CREATE INDEX i ON users (name); ALTER INDEX i RENAME TO j; REINDEX INDEX j; DROP INDEX j",
    "CREATE INDEX i ON users (lower(name)) WHERE id > 1; ANALYZE users; REINDEX TABLE users; CLUSTER users USING users_pkey; CLUSTER users; DROP INDEX i",
    "CREATE VIEW v AS SELECT * FROM users; CREATE OR REPLACE VIEW v AS SELECT *, 1 AS one FROM users; ALTER VIEW v RENAME TO w; ALTER VIEW w SET (security_barrier); ALTER VIEW w ALTER one SET DEFAULT 2; DROP VIEW w",
    "CREATE RECURSIVE VIEW v (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM v WHERE n < 3; SELECT * FROM v; DROP VIEW v",
    "CREATE MATERIALIZED VIEW m AS SELECT * FROM users; CREATE UNIQUE INDEX ON m (id); REFRESH MATERIALIZED VIEW m; REFRESH MATERIALIZED VIEW CONCURRENTLY m; ALTER MATERIALIZED VIEW m RENAME TO n; DROP MATERIALIZED VIEW n",
    "CREATE SEQUENCE s; SELECT nextval('s'), setval('s', 9); ALTER SEQUENCE s INCREMENT 2; ALTER SEQUENCE s RENAME TO z; ALTER SEQUENCE z OWNED BY users.id; DROP SEQUENCE z",
    "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT a'; CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + 1'; ALTER FUNCTION f(int) STABLE; ALTER FUNCTION f SET work_mem = '1MB'; ALTER FUNCTION f RENAME TO g; SELECT g(1); DROP FUNCTION g(int)",
    "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM users; END; SELECT f(); DROP FUNCTION f",
    "CREATE FUNCTION f() RETURNS SETOF users LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT * FROM users; END'; SELECT * FROM f(); DROP FUNCTION f",
    "CREATE PROCEDURE p(INOUT a int) LANGUAGE plpgsql AS 'BEGIN a := a + 1; END'; CALL p(1); ALTER PROCEDURE p RENAME TO q; DROP PROCEDURE q; CREATE PROCEDURE q() LANGUAGE sql AS ''; DROP ROUTINE q",
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f(); ALTER TRIGGER t ON users RENAME TO u; INSERT INTO users (name) VALUES ('x'); ALTER TABLE users DISABLE TRIGGER u; DROP TRIGGER u ON users; DROP FUNCTION f",
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE CONSTRAINT TRIGGER t AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f(); INSERT INTO users (name) VALUES ('x'); SET CONSTRAINTS ALL IMMEDIATE; DROP FUNCTION f CASCADE",
    "CREATE POLICY p ON users USING (id > 0); ALTER POLICY p ON users USING (id > 1); ALTER POLICY p ON users RENAME TO q; ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; SELECT * FROM users; COMMENT ON POLICY q ON users IS 'x'; DROP POLICY q ON users",
    "CREATE RULE r AS ON DELETE TO users DO INSTEAD NOTHING; ALTER RULE r ON users RENAME TO s; DELETE FROM users; COMMENT ON RULE s ON users IS 'x'; DROP RULE s ON users",
    "CREATE TYPE t AS (a int, b text); ALTER TYPE t ADD ATTRIBUTE c int; ALTER TYPE t RENAME ATTRIBUTE c TO d; ALTER TYPE t RENAME TO u; CREATE TABLE typed OF u; DROP TABLE typed; DROP TYPE u",
    "CREATE TYPE mood AS ENUM ('calm'); ALTER TYPE mood ADD VALUE 'cross'; ALTER TYPE mood RENAME VALUE 'calm' TO 'quiet'; DROP TYPE mood",
    "CREATE DOMAIN d AS int CHECK (VALUE > 0); ALTER DOMAIN d SET NOT NULL; ALTER DOMAIN d ADD CONSTRAINT small CHECK (VALUE < 9); COMMENT ON CONSTRAINT small ON DOMAIN d IS 'x'; ALTER DOMAIN d RENAME CONSTRAINT small TO tiny; ALTER DOMAIN d DROP CONSTRAINT tiny; ALTER DOMAIN d RENAME TO e; CREATE TABLE t (x e); DROP DOMAIN e CASCADE; DROP TABLE t",
    "CREATE TYPE r AS RANGE (subtype = int4); SELECT r(1, 2); DROP TYPE r",
    "CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0'); SELECT total(id::int) FROM users; ALTER AGGREGATE total (int) RENAME TO sum_up; DROP AGGREGATE sum_up (int)",
    "CREATE FUNCTION f(a int, b int) RETURNS bool LANGUAGE sql AS 'SELECT a = b'; CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = f); SELECT 1 === 1; ALTER OPERATOR === (int, int) SET (RESTRICT = eqsel); COMMENT ON OPERATOR === (int, int) IS 'x'; DROP OPERATOR === (int, int)",
    "CREATE COLLATION c (LOCALE = 'C'); ALTER COLLATION c RENAME TO d; CREATE TABLE t (a text COLLATE d); DROP TABLE t; DROP COLLATION d",
    "CREATE STATISTICS s ON id, name FROM users; ALTER STATISTICS s SET STATISTICS 10; ALTER STATISTICS s RENAME TO z; ANALYZE users; DROP STATISTICS z",
    "CREATE TABLE p (k int, v text) PARTITION BY RANGE (k); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10); CREATE TABLE p2 PARTITION OF p DEFAULT; CREATE INDEX ON p (v); INSERT INTO p VALUES (1, 'a'), (99, 'b'); ALTER TABLE p DETACH PARTITION p1; ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (10); DROP TABLE p",
    "CREATE TABLE p (k int) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1) PARTITION BY HASH (k); CREATE TABLE p11 PARTITION OF p1 FOR VALUES WITH (MODULUS 1, REMAINDER 0); INSERT INTO p VALUES (1); TRUNCATE p; DROP TABLE p",
    "CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent); ALTER TABLE child NO INHERIT parent; ALTER TABLE child INHERIT parent; DROP TABLE parent CASCADE",
    "CREATE TABLE t AS SELECT * FROM users; DROP TABLE t; SELECT * INTO t FROM users; CREATE TABLE IF NOT EXISTS t AS SELECT 1; DROP TABLE IF EXISTS t, nothing",
    "COMMENT ON TABLE users IS 'x'; COMMENT ON COLUMN users.name IS 'x'; COMMENT ON CONSTRAINT users_pkey ON users IS 'x'; COMMENT ON INDEX users_pkey IS 'x'; COMMENT ON SEQUENCE users_id_seq IS 'x'",
    "CREATE TEXT SEARCH CONFIGURATION c (COPY = pg_catalog.simple); ALTER TEXT SEARCH CONFIGURATION c ALTER MAPPING FOR word WITH simple; DROP TEXT SEARCH CONFIGURATION c; CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = pg_catalog.simple); ALTER TEXT SEARCH DICTIONARY d (accept = false); DROP TEXT SEARCH DICTIONARY d",
    "CREATE TEMP TABLE t (a int); CREATE INDEX ON t (a); CREATE TEMP VIEW v AS SELECT * FROM t; CREATE TEMP SEQUENCE s; ALTER TABLE t ADD b int; DROP TABLE t CASCADE; DROP SEQUENCE s",
    "CREATE TEMP TABLE t (a int) ON COMMIT DROP; INSERT INTO t VALUES (1); ANALYZE t; REINDEX TABLE t",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT pg_temp.f(); DROP FUNCTION pg_temp.f()",
    "CREATE TABLE tenant_acme.t (a int); ALTER TABLE tenant_acme.t SET SCHEMA tenant_acme; DROP TABLE tenant_acme.t",
    "DO $$ BEGIN CREATE TABLE t (a int); EXECUTE 'CREATE INDEX ON t (a)'; DROP TABLE t; END $$; SELECT 1",
    "CREATE TABLE home (code text REFERENCES public.countries); CREATE VIEW named AS SELECT c.name FROM home JOIN countries c USING (code); DROP TABLE home CASCADE",
    "CREATE TABLE t (c public.countries, list int[], span int4range, doc jsonb); DROP TABLE t",
    "CREATE TABLE t (a int); DROP TABLE t; DROP TABLE users CASCADE",
];

/// The application's role and the superuser, in one tenant: every life goes through.
#[test]
fn a_tenant_works_on_its_own_schema() {
    let fixture = Cluster::shared().database("ddl").tenants(Layers::of(module_path!()));
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        let is_one = Layers::of(module_path!()) == Layers::One;
        for life in LIVES {
            // A sequence that a superuser made belongs to the superuser where the tenant has no role.
            if is_one && role == SUPERUSER && life.contains("OWNED BY users.id") {
                continue;
            }
            acme.allowed(life);
        }
    }
}

/// What is created belongs to the tenant, not to the login role, and lies in its schema.
#[test]
fn what_a_tenant_creates_is_its_own() {
    let fixture = Cluster::shared().database("ddl").tenants(Layers::of(module_path!()));
    let mut app = fixture.db.connect(&fixture.app);
    Judge::inside(&mut app, "acme").gives(
        "CREATE TABLE t (a serial); SELECT relnamespace::regnamespace, relowner = (SELECT nspowner FROM pg_namespace WHERE nspname = 'tenant_acme') FROM pg_class WHERE relname IN ('t', 't_a_seq')",
        &["tenant_acme|t", "tenant_acme|t"],
    );
}

/// PostgreSQL's own refusals of DDL stay as they are.
#[test]
fn unrelated_errors_are_unchanged() {
    let fixture = Cluster::shared().database("ddl").tenants(Layers::of(module_path!()));
    let mut app = fixture.db.connect(&fixture.app);
    let mut acme = Judge::inside(&mut app, "acme");
    for (statement, code) in [
        ("CREATE TABLE users (a int)", "42P07"),
        ("DROP TABLE nothing", "42P01"),
        ("ALTER TABLE users ADD COLUMN name text", "42701"),
        ("CREATE VIEW v AS SELECT missing FROM users", "42703"),
        ("CREATE INDEX ON users (missing)", "42703"),
        ("CREATE TABLE t (a nosuchtype)", "42704"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT ''x'''", "42P13"),
        ("CREATE TABLE t (a int REFERENCES users (name))", "42830"),
        ("CREATE VIEW v AS SELECT * FROM users; DROP TABLE users", "2BP01"),
        ("ALTER TABLE users ALTER COLUMN name TYPE int", "42804"),
        ("CREATE UNIQUE INDEX ON users ((1))", "23505"),
    ] {
        acme.denied(statement, code);
    }
}
