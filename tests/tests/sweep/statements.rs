//! Every statement that psql's `\h` knows, inside acme: on acme's own objects where there is something to allow, and on
//! bravo's, the database's or the cluster's. A statement that a new PostgreSQL brings is missing here until it is judged.

use std::collections::BTreeSet;

use plio_tests::{SUPERUSER, psql};

use crate::world::{column, has_canary, state_of_bravo, world};

/// Command; what the tenant may do with it; what it may not, each with 42501 unless a code is in front.
type Line = (&'static str, &'static str, &'static [&'static str]);

const LINES: &[Line] = &[
    (
        "ALTER AGGREGATE",
        "CREATE AGGREGATE a (int) (SFUNC = int4pl, STYPE = int); ALTER AGGREGATE a (int) RENAME TO b",
        &["ALTER AGGREGATE pg_catalog.sum (int) RENAME TO b"],
    ),
    (
        "ALTER COLLATION",
        "CREATE COLLATION c FROM \"C\"; ALTER COLLATION c RENAME TO d",
        &["ALTER COLLATION tenant_bravo.c RENAME TO d"],
    ),
    ("ALTER CONVERSION", "", &["ALTER CONVERSION pg_catalog.iso_8859_1_to_utf8 RENAME TO c"]),
    ("ALTER DATABASE", "", &["ALTER DATABASE postgres SET work_mem = '1MB'"]),
    (
        "ALTER DEFAULT PRIVILEGES",
        "",
        &[
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA tenant_bravo GRANT SELECT ON TABLES TO PUBLIC",
        ],
    ),
    (
        "ALTER DOMAIN",
        "CREATE DOMAIN d AS text; ALTER DOMAIN d SET NOT NULL",
        &["ALTER DOMAIN tenant_bravo.mood SET NOT NULL"],
    ),
    ("ALTER EVENT TRIGGER", "", &["ALTER EVENT TRIGGER plio_sql_drop DISABLE"]),
    (
        "ALTER EXTENSION",
        "",
        &[
            "ALTER EXTENSION plio_tenancy UPDATE",
            "ALTER EXTENSION plio_tenancy DROP TABLE plio.tenants",
            "ALTER EXTENSION hstore ADD TABLE tenant_bravo.secrets",
        ],
    ),
    ("ALTER FOREIGN DATA WRAPPER", "", &["ALTER FOREIGN DATA WRAPPER postgres_fdw OPTIONS (a 'b')"]),
    ("ALTER FOREIGN TABLE", "", &["ALTER FOREIGN TABLE tenant_bravo.secrets ADD COLUMN x int"]),
    (
        "ALTER FUNCTION",
        "ALTER FUNCTION peek() STABLE",
        &[
            "ALTER FUNCTION tenant_bravo.peek() STABLE",
            "ALTER FUNCTION peek() OWNER TO postgres",
            "ALTER FUNCTION pg_catalog.lower(text) COST 7",
        ],
    ),
    ("ALTER GROUP", "", &["ALTER GROUP plio_admin ADD USER CURRENT_USER"]),
    (
        "ALTER INDEX",
        "ALTER INDEX secrets_word SET (fillfactor = 50)",
        &[
            "ALTER INDEX tenant_bravo.secrets_word SET (fillfactor = 50)",
            "ALTER INDEX ALL IN TABLESPACE pg_default SET TABLESPACE pg_default",
        ],
    ),
    ("ALTER LANGUAGE", "", &["ALTER LANGUAGE plpgsql RENAME TO p"]),
    ("ALTER LARGE OBJECT", "", &["ALTER LARGE OBJECT 1 OWNER TO CURRENT_USER"]),
    (
        "ALTER MATERIALIZED VIEW",
        "ALTER MATERIALIZED VIEW summary RENAME TO s",
        &[
            "ALTER MATERIALIZED VIEW tenant_bravo.summary RENAME TO s",
            "ALTER MATERIALIZED VIEW summary SET SCHEMA tenant_bravo",
        ],
    ),
    (
        "ALTER OPERATOR",
        "CREATE OPERATOR === (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int); ALTER OPERATOR === (int, int) SET (RESTRICT = NONE)",
        &[
            "ALTER OPERATOR pg_catalog.= (int, int) SET (RESTRICT = NONE)",
            "ALTER OPERATOR tenant_bravo.= (int, int) SET (RESTRICT = NONE)",
        ],
    ),
    ("ALTER OPERATOR CLASS", "", &["ALTER OPERATOR CLASS pg_catalog.int4_ops USING btree RENAME TO o"]),
    ("ALTER OPERATOR FAMILY", "", &["ALTER OPERATOR FAMILY pg_catalog.integer_ops USING btree RENAME TO o"]),
    (
        "ALTER POLICY",
        "CREATE POLICY p ON secrets; ALTER POLICY p ON secrets USING (true)",
        &["ALTER POLICY p ON tenant_bravo.secrets USING (true)"],
    ),
    (
        "ALTER PROCEDURE",
        "CREATE PROCEDURE p() LANGUAGE sql AS ''; ALTER PROCEDURE p() SECURITY INVOKER",
        &["ALTER PROCEDURE tenant_bravo.p() SECURITY INVOKER"],
    ),
    ("ALTER PUBLICATION", "", &["ALTER PUBLICATION p ADD TABLE secrets"]),
    (
        "ALTER ROLE",
        "",
        &[
            "ALTER ROLE CURRENT_USER LOGIN",
            "ALTER ROLE CURRENT_USER SET work_mem = '1MB'",
            "ALTER ROLE ALL SET search_path = tenant_bravo",
        ],
    ),
    ("ALTER ROUTINE", "ALTER ROUTINE peek() STABLE", &["ALTER ROUTINE tenant_bravo.peek() STABLE"]),
    (
        "ALTER RULE",
        "CREATE RULE r AS ON DELETE TO parts DO NOTHING; ALTER RULE r ON parts RENAME TO s",
        &["ALTER RULE \"_RETURN\" ON tenant_bravo.listing RENAME TO s"],
    ),
    (
        "ALTER SCHEMA",
        "",
        &[
            "ALTER SCHEMA tenant_bravo RENAME TO b",
            "ALTER SCHEMA tenant_acme RENAME TO a",
            "ALTER SCHEMA tenant_acme OWNER TO postgres",
            "ALTER SCHEMA tenant_bravo OWNER TO CURRENT_USER",
        ],
    ),
    ("ALTER SEQUENCE", "ALTER SEQUENCE counter RESTART", &["ALTER SEQUENCE tenant_bravo.counter RESTART"]),
    ("ALTER SERVER", "", &["ALTER SERVER s VERSION '1'"]),
    (
        "ALTER STATISTICS",
        "ALTER STATISTICS secrets_words SET STATISTICS 7",
        &["ALTER STATISTICS tenant_bravo.secrets_words SET STATISTICS 7"],
    ),
    ("ALTER SUBSCRIPTION", "", &["ALTER SUBSCRIPTION s ENABLE"]),
    ("ALTER SYSTEM", "", &["ALTER SYSTEM SET work_mem = '1MB'"]),
    (
        "ALTER TABLE",
        "ALTER TABLE secrets ADD COLUMN x int, ENABLE ROW LEVEL SECURITY",
        &[
            "ALTER TABLE tenant_bravo.secrets ADD COLUMN x int",
            "ALTER TABLE secrets SET SCHEMA tenant_bravo",
            "ALTER TABLE secrets OWNER TO postgres",
            "ALTER TABLE secrets INHERIT tenant_bravo.secrets",
            "ALTER TABLE parts ATTACH PARTITION tenant_bravo.secrets DEFAULT",
            "ALTER TABLE parts DETACH PARTITION tenant_bravo.part_1",
            "ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE pg_default",
            "ALTER TABLE secrets ADD FOREIGN KEY (id) REFERENCES tenant_bravo.secrets",
            "ALTER TABLE secrets ALTER word TYPE tenant_bravo.mood USING NULL",
        ],
    ),
    ("ALTER TABLESPACE", "", &["ALTER TABLESPACE pg_default SET (random_page_cost = 1)"]),
    (
        "ALTER TEXT SEARCH CONFIGURATION",
        "CREATE TEXT SEARCH CONFIGURATION c (COPY = simple); ALTER TEXT SEARCH CONFIGURATION c DROP MAPPING FOR word",
        &["ALTER TEXT SEARCH CONFIGURATION pg_catalog.simple DROP MAPPING FOR word"],
    ),
    (
        "ALTER TEXT SEARCH DICTIONARY",
        "CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = simple); ALTER TEXT SEARCH DICTIONARY d (accept = false)",
        &["ALTER TEXT SEARCH DICTIONARY pg_catalog.simple (accept = false)"],
    ),
    ("ALTER TEXT SEARCH PARSER", "", &["ALTER TEXT SEARCH PARSER pg_catalog.default RENAME TO d"]),
    ("ALTER TEXT SEARCH TEMPLATE", "", &["ALTER TEXT SEARCH TEMPLATE pg_catalog.simple RENAME TO s"]),
    (
        "ALTER TRIGGER",
        "",
        &[
            "ALTER TRIGGER tell_every_backend ON plio.tenants RENAME TO t",
            "ALTER TRIGGER t ON tenant_bravo.secrets RENAME TO u",
        ],
    ),
    (
        "ALTER TYPE",
        "CREATE TYPE t AS (a int); ALTER TYPE t ADD ATTRIBUTE b int",
        &["ALTER TYPE tenant_bravo.mood ADD VALUE 'glad'", "ALTER TYPE mood OWNER TO postgres"],
    ),
    ("ALTER USER", "", &["ALTER USER postgres PASSWORD 'x'"]),
    ("ALTER USER MAPPING", "", &["ALTER USER MAPPING FOR PUBLIC SERVER s OPTIONS (a 'b')"]),
    (
        "ALTER VIEW",
        "ALTER VIEW listing SET (security_barrier)",
        &["ALTER VIEW tenant_bravo.listing SET (security_barrier)"],
    ),
    (
        "ANALYZE",
        "ANALYZE secrets",
        &["ANALYZE", "ANALYZE tenant_bravo.secrets", "ANALYZE pg_catalog.pg_class"],
    ),
    ("CALL", "CREATE PROCEDURE p() LANGUAGE sql AS ''; CALL p()", &["CALL tenant_bravo.p()"]),
    ("CHECKPOINT", "", &["CHECKPOINT"]),
    ("CLOSE", "DECLARE c CURSOR FOR SELECT 1; CLOSE c", &[]),
    (
        "CLUSTER",
        "CLUSTER secrets USING secrets_pkey",
        &["CLUSTER", "CLUSTER tenant_bravo.secrets USING secrets_pkey"],
    ),
    (
        "COMMENT",
        "COMMENT ON TABLE secrets IS 'x'",
        &[
            "COMMENT ON TABLE tenant_bravo.secrets IS 'x'",
            "COMMENT ON SCHEMA tenant_acme IS 'x'",
            "COMMENT ON DATABASE postgres IS 'x'",
            "COMMENT ON ROLE postgres IS 'x'",
            "COMMENT ON FUNCTION pg_catalog.lower(text) IS 'x'",
        ],
    ),
    (
        "COPY",
        "COPY secrets TO STDOUT",
        &[
            "COPY tenant_bravo.secrets TO STDOUT",
            "COPY (SELECT * FROM tenant_bravo.secrets) TO STDOUT",
            "COPY secrets TO '/tmp/x'",
            "COPY secrets FROM PROGRAM 'id'",
            "COPY (TABLE secrets) TO PROGRAM 'cat'",
        ],
    ),
    ("CREATE ACCESS METHOD", "", &["CREATE ACCESS METHOD m TYPE TABLE HANDLER heap_tableam_handler"]),
    (
        "CREATE AGGREGATE",
        "CREATE AGGREGATE a (int) (SFUNC = int4pl, STYPE = int)",
        &[
            "CREATE AGGREGATE tenant_bravo.a (int) (SFUNC = int4pl, STYPE = int)",
            "CREATE AGGREGATE public.a (int) (SFUNC = int4pl, STYPE = int)",
        ],
    ),
    ("CREATE CAST", "", &["CREATE CAST (mood AS int) WITH INOUT"]),
    ("CREATE COLLATION", "CREATE COLLATION c FROM \"C\"", &["CREATE COLLATION tenant_bravo.c FROM \"C\""]),
    ("CREATE CONVERSION", "", &["CREATE CONVERSION c FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8"]),
    ("CREATE DATABASE", "", &["CREATE DATABASE d"]),
    (
        "CREATE DOMAIN",
        "CREATE DOMAIN d AS text CHECK (VALUE <> '')",
        &["CREATE DOMAIN tenant_bravo.d AS text", "CREATE DOMAIN d AS tenant_bravo.mood"],
    ),
    ("CREATE EVENT TRIGGER", "", &["CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION peek()"]),
    ("CREATE EXTENSION", "", &["CREATE EXTENSION citext"]),
    ("CREATE FOREIGN DATA WRAPPER", "", &["CREATE FOREIGN DATA WRAPPER w"]),
    ("CREATE FOREIGN TABLE", "", &["CREATE FOREIGN TABLE f (a int) SERVER s"]),
    (
        "CREATE FUNCTION",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        &[
            "CREATE FUNCTION tenant_bravo.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'x'",
            "CREATE FUNCTION f() RETURNS int LANGUAGE internal AS 'pg_backend_pid'",
            "CREATE FUNCTION f() RETURNS SETOF tenant_bravo.secrets LANGUAGE sql AS 'SELECT NULL'",
        ],
    ),
    ("CREATE GROUP", "", &["CREATE GROUP g"]),
    (
        "CREATE INDEX",
        "CREATE INDEX ON secrets (other)",
        &["CREATE INDEX ON tenant_bravo.secrets (other)", "CREATE INDEX ON secrets (tenant_bravo.f(word))"],
    ),
    ("CREATE LANGUAGE", "", &["CREATE LANGUAGE l HANDLER plpgsql_call_handler"]),
    (
        "CREATE MATERIALIZED VIEW",
        "CREATE MATERIALIZED VIEW m AS SELECT 1",
        &[
            "CREATE MATERIALIZED VIEW m AS SELECT * FROM tenant_bravo.secrets",
            "CREATE MATERIALIZED VIEW tenant_bravo.m AS SELECT 1",
        ],
    ),
    (
        "CREATE OPERATOR",
        "CREATE OPERATOR === (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int)",
        &["CREATE OPERATOR tenant_bravo.=== (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int)"],
    ),
    ("CREATE OPERATOR CLASS", "", &["CREATE OPERATOR CLASS o FOR TYPE int USING btree AS OPERATOR 1 <"]),
    ("CREATE OPERATOR FAMILY", "", &["CREATE OPERATOR FAMILY o USING btree"]),
    (
        "CREATE POLICY",
        "CREATE POLICY p ON secrets USING (true)",
        &[
            "CREATE POLICY p ON tenant_bravo.secrets USING (true)",
            "CREATE POLICY p ON secrets USING (EXISTS (SELECT FROM tenant_bravo.secrets))",
        ],
    ),
    (
        "CREATE PROCEDURE",
        "CREATE PROCEDURE p() LANGUAGE sql AS ''",
        &["CREATE PROCEDURE tenant_bravo.p() LANGUAGE sql AS ''"],
    ),
    (
        "CREATE PUBLICATION",
        "",
        &["CREATE PUBLICATION p FOR TABLE secrets", "CREATE PUBLICATION p FOR ALL TABLES"],
    ),
    ("CREATE ROLE", "", &["CREATE ROLE r"]),
    (
        "CREATE RULE",
        "CREATE RULE r AS ON DELETE TO parts DO NOTHING",
        &["CREATE RULE r AS ON DELETE TO parts DO DELETE FROM tenant_bravo.parts"],
    ),
    ("CREATE SCHEMA", "", &["CREATE SCHEMA s", "CREATE SCHEMA IF NOT EXISTS tenant_bravo"]),
    (
        "CREATE SEQUENCE",
        "CREATE SEQUENCE s",
        &["CREATE SEQUENCE tenant_bravo.s", "CREATE SEQUENCE s OWNED BY tenant_bravo.secrets.id"],
    ),
    ("CREATE SERVER", "", &["CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw"]),
    (
        "CREATE STATISTICS",
        "CREATE STATISTICS s ON id, word FROM secrets",
        &["CREATE STATISTICS s ON id, word FROM tenant_bravo.secrets"],
    ),
    ("CREATE SUBSCRIPTION", "", &["CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p"]),
    (
        "CREATE TABLE",
        "CREATE TABLE t (a int)",
        &[
            "CREATE TABLE tenant_bravo.t (a int)",
            "CREATE TABLE public.t (a int)",
            "CREATE TABLE t (LIKE tenant_bravo.secrets)",
            "CREATE TABLE t PARTITION OF tenant_bravo.parts FOR VALUES IN (7)",
            "CREATE TABLE t () INHERITS (tenant_bravo.secrets)",
            "CREATE TABLE t OF tenant_bravo.mood",
        ],
    ),
    (
        "CREATE TABLE AS",
        "CREATE TABLE t AS SELECT 1 AS a",
        &[
            "CREATE TABLE t AS SELECT * FROM tenant_bravo.secrets",
            "CREATE TABLE t AS TABLE tenant_bravo.secrets",
            "CREATE TABLE tenant_bravo.t AS SELECT 1",
        ],
    ),
    ("CREATE TABLESPACE", "", &["CREATE TABLESPACE t LOCATION '/tmp'"]),
    (
        "CREATE TEXT SEARCH CONFIGURATION",
        "CREATE TEXT SEARCH CONFIGURATION c (COPY = simple)",
        &["CREATE TEXT SEARCH CONFIGURATION tenant_bravo.c (COPY = simple)"],
    ),
    (
        "CREATE TEXT SEARCH DICTIONARY",
        "CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = simple)",
        &["CREATE TEXT SEARCH DICTIONARY tenant_bravo.d (TEMPLATE = simple)"],
    ),
    (
        "CREATE TEXT SEARCH PARSER",
        "",
        &[
            "CREATE TEXT SEARCH PARSER p (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype)",
        ],
    ),
    ("CREATE TEXT SEARCH TEMPLATE", "", &["CREATE TEXT SEARCH TEMPLATE t (LEXIZE = dsimple_lexize)"]),
    (
        "CREATE TRANSFORM",
        "",
        &["CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal))"],
    ),
    (
        "CREATE TRIGGER",
        "CREATE TRIGGER t BEFORE UPDATE ON secrets FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        &[
            "CREATE TRIGGER t BEFORE UPDATE ON tenant_bravo.secrets FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "CREATE TRIGGER t BEFORE UPDATE ON secrets FOR EACH ROW EXECUTE FUNCTION tenant_bravo.peek()",
        ],
    ),
    (
        "CREATE TYPE",
        "CREATE TYPE t AS (a int)",
        &["CREATE TYPE tenant_bravo.t AS (a int)", "CREATE TYPE t AS (a tenant_bravo.mood)"],
    ),
    ("CREATE USER", "", &["CREATE USER u"]),
    ("CREATE USER MAPPING", "", &["CREATE USER MAPPING FOR PUBLIC SERVER s"]),
    (
        "CREATE VIEW",
        "CREATE VIEW v AS SELECT 1",
        &["CREATE VIEW v AS SELECT * FROM tenant_bravo.secrets", "CREATE VIEW tenant_bravo.v AS SELECT 1"],
    ),
    ("DEALLOCATE", "PREPARE own AS SELECT 1; DEALLOCATE own", &[]),
    (
        "DECLARE",
        "DECLARE c CURSOR FOR SELECT * FROM secrets",
        &[
            "DECLARE c CURSOR FOR SELECT * FROM tenant_bravo.secrets",
            "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM tenant_bravo.secrets",
        ],
    ),
    (
        "DELETE",
        "DELETE FROM secrets",
        &["DELETE FROM tenant_bravo.secrets", "DELETE FROM secrets USING tenant_bravo.secrets s"],
    ),
    ("DISCARD", "DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES", &["25001 DISCARD ALL"]),
    ("DO", "DO 'BEGIN PERFORM 1; END'", &["DO 'BEGIN PERFORM word FROM tenant_bravo.secrets; END'"]),
    ("DROP ACCESS METHOD", "", &["DROP ACCESS METHOD heap"]),
    (
        "DROP AGGREGATE",
        "CREATE AGGREGATE a (int) (SFUNC = int4pl, STYPE = int); DROP AGGREGATE a (int)",
        &["DROP AGGREGATE tenant_bravo.a (int)"],
    ),
    ("DROP CAST", "", &["DROP CAST (int AS text)"]),
    ("DROP COLLATION", "CREATE COLLATION c FROM \"C\"; DROP COLLATION c", &["DROP COLLATION tenant_bravo.c"]),
    ("DROP CONVERSION", "", &["DROP CONVERSION pg_catalog.iso_8859_1_to_utf8"]),
    ("DROP DATABASE", "", &["DROP DATABASE template1"]),
    ("DROP DOMAIN", "CREATE DOMAIN d AS text; DROP DOMAIN d", &["DROP DOMAIN tenant_bravo.d"]),
    ("DROP EVENT TRIGGER", "", &["DROP EVENT TRIGGER plio_sql_drop"]),
    ("DROP EXTENSION", "", &["DROP EXTENSION plio_tenancy CASCADE", "DROP EXTENSION hstore"]),
    ("DROP FOREIGN DATA WRAPPER", "", &["DROP FOREIGN DATA WRAPPER postgres_fdw"]),
    ("DROP FOREIGN TABLE", "", &["DROP FOREIGN TABLE tenant_bravo.f"]),
    ("DROP FUNCTION", "DROP FUNCTION peek()", &["DROP FUNCTION tenant_bravo.peek()"]),
    ("DROP GROUP", "", &["DROP GROUP plio_admin"]),
    ("DROP INDEX", "DROP INDEX secrets_word", &["DROP INDEX tenant_bravo.secrets_word"]),
    ("DROP LANGUAGE", "", &["DROP LANGUAGE plpgsql"]),
    (
        "DROP MATERIALIZED VIEW",
        "DROP MATERIALIZED VIEW summary",
        &["DROP MATERIALIZED VIEW tenant_bravo.summary"],
    ),
    (
        "DROP OPERATOR",
        "CREATE OPERATOR === (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int); DROP OPERATOR === (int, int)",
        &["DROP OPERATOR tenant_bravo.=== (int, int)"],
    ),
    ("DROP OPERATOR CLASS", "", &["DROP OPERATOR CLASS pg_catalog.int4_ops USING btree"]),
    ("DROP OPERATOR FAMILY", "", &["DROP OPERATOR FAMILY pg_catalog.integer_ops USING btree"]),
    ("DROP OWNED", "", &["DROP OWNED BY CURRENT_USER"]),
    (
        "DROP POLICY",
        "CREATE POLICY p ON secrets; DROP POLICY p ON secrets",
        &["DROP POLICY p ON tenant_bravo.secrets"],
    ),
    (
        "DROP PROCEDURE",
        "CREATE PROCEDURE p() LANGUAGE sql AS ''; DROP PROCEDURE p()",
        &["DROP PROCEDURE tenant_bravo.p()"],
    ),
    ("DROP PUBLICATION", "", &["DROP PUBLICATION p"]),
    ("DROP ROLE", "", &["DROP ROLE CURRENT_USER"]),
    ("DROP ROUTINE", "DROP ROUTINE peek()", &["DROP ROUTINE tenant_bravo.peek()"]),
    (
        "DROP RULE",
        "CREATE RULE r AS ON DELETE TO parts DO NOTHING; DROP RULE r ON parts",
        &["DROP RULE \"_RETURN\" ON tenant_bravo.listing"],
    ),
    (
        "DROP SCHEMA",
        "",
        &["DROP SCHEMA tenant_bravo CASCADE", "DROP SCHEMA tenant_acme CASCADE", "DROP SCHEMA plio CASCADE"],
    ),
    ("DROP SEQUENCE", "DROP SEQUENCE counter", &["DROP SEQUENCE tenant_bravo.counter"]),
    ("DROP SERVER", "", &["DROP SERVER s"]),
    ("DROP STATISTICS", "DROP STATISTICS secrets_words", &["DROP STATISTICS tenant_bravo.secrets_words"]),
    ("DROP SUBSCRIPTION", "", &["DROP SUBSCRIPTION s"]),
    (
        "DROP TABLE",
        "DROP TABLE secrets CASCADE",
        &[
            "DROP TABLE tenant_bravo.secrets CASCADE",
            "DROP TABLE secrets, tenant_bravo.secrets CASCADE",
            "DROP TABLE public.countries",
        ],
    ),
    ("DROP TABLESPACE", "", &["DROP TABLESPACE pg_default"]),
    (
        "DROP TEXT SEARCH CONFIGURATION",
        "CREATE TEXT SEARCH CONFIGURATION c (COPY = simple); DROP TEXT SEARCH CONFIGURATION c",
        &["DROP TEXT SEARCH CONFIGURATION tenant_bravo.c"],
    ),
    (
        "DROP TEXT SEARCH DICTIONARY",
        "CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = simple); DROP TEXT SEARCH DICTIONARY d",
        &["DROP TEXT SEARCH DICTIONARY tenant_bravo.d"],
    ),
    ("DROP TEXT SEARCH PARSER", "", &["DROP TEXT SEARCH PARSER pg_catalog.default"]),
    ("DROP TEXT SEARCH TEMPLATE", "", &["DROP TEXT SEARCH TEMPLATE pg_catalog.simple"]),
    ("DROP TRANSFORM", "", &["DROP TRANSFORM FOR int LANGUAGE sql"]),
    (
        "DROP TRIGGER",
        "",
        &["DROP TRIGGER tell_every_backend ON plio.tenants", "DROP TRIGGER t ON tenant_bravo.secrets"],
    ),
    ("DROP TYPE", "DROP TYPE mood", &["DROP TYPE tenant_bravo.mood"]),
    ("DROP USER", "", &["DROP USER postgres"]),
    ("DROP USER MAPPING", "", &["DROP USER MAPPING FOR PUBLIC SERVER s"]),
    ("DROP VIEW", "DROP VIEW listing", &["DROP VIEW tenant_bravo.listing"]),
    ("EXECUTE", "PREPARE own AS SELECT 1; EXECUTE own; DEALLOCATE own", &[]),
    (
        "EXPLAIN",
        "EXPLAIN ANALYZE SELECT * FROM secrets",
        &[
            "EXPLAIN SELECT * FROM tenant_bravo.secrets",
            "EXPLAIN (ANALYZE) SELECT * FROM tenant_bravo.secrets",
            "EXPLAIN (ANALYZE) DELETE FROM tenant_bravo.secrets",
        ],
    ),
    ("FETCH", "DECLARE c CURSOR FOR SELECT 1; FETCH c", &[]),
    (
        "GRANT",
        "",
        &[
            "GRANT SELECT ON secrets TO PUBLIC",
            "GRANT SELECT ON tenant_bravo.secrets TO PUBLIC",
            "GRANT SELECT ON ALL TABLES IN SCHEMA tenant_acme TO PUBLIC",
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA tenant_acme TO PUBLIC",
            "GRANT plio_admin TO CURRENT_USER",
            "GRANT SET ON PARAMETER plio.enforcement TO PUBLIC",
        ],
    ),
    ("IMPORT FOREIGN SCHEMA", "", &["IMPORT FOREIGN SCHEMA tenant_bravo FROM SERVER s INTO tenant_acme"]),
    (
        "INSERT",
        "INSERT INTO parts VALUES (1, 'x')",
        &[
            "INSERT INTO tenant_bravo.parts VALUES (1, 'x')",
            "INSERT INTO parts SELECT 1, word FROM tenant_bravo.secrets",
            "INSERT INTO parts VALUES (1, 'x') RETURNING (SELECT word FROM tenant_bravo.secrets LIMIT 1)",
        ],
    ),
    ("LISTEN", "", &["LISTEN news"]),
    ("LOAD", "", &["LOAD 'plpgsql'"]),
    (
        "LOCK",
        "LOCK TABLE secrets",
        &[
            "LOCK TABLE tenant_bravo.secrets",
            "LOCK TABLE secrets, tenant_bravo.secrets",
            "LOCK TABLE tenant_bravo.listing IN ROW SHARE MODE",
        ],
    ),
    (
        "MERGE",
        "MERGE INTO parts p USING secrets s ON p.id = s.id WHEN MATCHED THEN DO NOTHING",
        &[
            "MERGE INTO parts p USING tenant_bravo.secrets s ON p.id = s.id WHEN MATCHED THEN DO NOTHING",
            "MERGE INTO tenant_bravo.parts p USING secrets s ON p.id = s.id WHEN MATCHED THEN DELETE",
        ],
    ),
    ("MOVE", "DECLARE c CURSOR FOR SELECT 1; MOVE c", &[]),
    ("NOTIFY", "NOTIFY news, 'x'", &[]),
    (
        "PREPARE",
        "PREPARE own AS SELECT * FROM secrets; DEALLOCATE own",
        &["PREPARE foreign_one AS SELECT * FROM tenant_bravo.secrets"],
    ),
    ("PREPARE TRANSACTION", "", &["PREPARE TRANSACTION 'x'"]),
    ("REASSIGN OWNED", "", &["REASSIGN OWNED BY CURRENT_USER TO CURRENT_USER"]),
    (
        "REFRESH MATERIALIZED VIEW",
        "REFRESH MATERIALIZED VIEW summary",
        &["REFRESH MATERIALIZED VIEW tenant_bravo.summary"],
    ),
    (
        "REINDEX",
        "REINDEX TABLE secrets",
        &[
            "REINDEX TABLE tenant_bravo.secrets",
            "REINDEX INDEX tenant_bravo.secrets_word",
            "REINDEX SCHEMA tenant_bravo",
            "REINDEX SCHEMA tenant_acme",
            "REINDEX DATABASE postgres",
            "REINDEX SYSTEM postgres",
        ],
    ),
    (
        "RESET",
        "RESET work_mem",
        &[
            "25001 RESET ROLE",
            "25001 RESET SESSION AUTHORIZATION",
            "25001 RESET plio.tenant",
            "25001 RESET ALL",
        ],
    ),
    (
        "REVOKE",
        "",
        &["REVOKE SELECT ON tenant_bravo.secrets FROM PUBLIC", "REVOKE ALL ON secrets FROM PUBLIC"],
    ),
    ("SECURITY LABEL", "", &["SECURITY LABEL ON TABLE secrets IS 'x'"]),
    (
        "SELECT",
        "SELECT * FROM secrets",
        &[
            "SELECT * FROM tenant_bravo.secrets",
            "TABLE tenant_bravo.secrets",
            "SELECT s.* FROM secrets o, LATERAL (SELECT * FROM tenant_bravo.secrets s WHERE s.id = o.id) s",
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT s.id FROM tenant_bravo.secrets s, r WHERE n < 2) SELECT * FROM r",
            "SELECT * FROM secrets s, tenant_bravo.secrets t FOR UPDATE OF s, t",
            "SELECT * FROM tenant_bravo.secrets TABLESAMPLE system (100)",
            "SELECT 1 WHERE EXISTS (SELECT FROM tenant_bravo.secrets FOR KEY SHARE)",
            "SELECT tenant_bravo.peek()",
            "SELECT 'calm'::tenant_bravo.mood",
            "SELECT 1 OPERATOR(tenant_bravo.=) 1",
            "SELECT 'a' COLLATE tenant_bravo.c",
            "SELECT (NULL::tenant_bravo.secrets).word",
        ],
    ),
    (
        "SELECT INTO",
        "SELECT * INTO t FROM secrets",
        &["SELECT * INTO t FROM tenant_bravo.secrets", "SELECT 1 AS a INTO tenant_bravo.t"],
    ),
    (
        "SET",
        "SET work_mem = '1MB'",
        &[
            "SET search_path = tenant_bravo",
            "42501 SET plio.enforcement = off",
            "42501 SET plio.allowed_connections = 'dblink'",
            "25001 SET plio.tenant = 'bravo'",
            "42501 SET session_replication_role = replica",
            "42501 SET lo_compat_privileges = on",
        ],
    ),
    ("SET CONSTRAINTS", "SET CONSTRAINTS ALL DEFERRED", &["SET CONSTRAINTS tenant_bravo.c DEFERRED"]),
    ("SET ROLE", "", &["25001 SET ROLE NONE", "25001 SET ROLE postgres", "25001 SET LOCAL ROLE plio_admin"]),
    (
        "SET SESSION AUTHORIZATION",
        "",
        &["25001 SET SESSION AUTHORIZATION postgres", "25001 SET SESSION AUTHORIZATION DEFAULT"],
    ),
    ("SET TRANSACTION", "SET TRANSACTION READ ONLY", &[]),
    ("SHOW", "SHOW search_path", &[]),
    ("TABLE", "TABLE secrets", &["TABLE tenant_bravo.secrets"]),
    (
        "TRUNCATE",
        "TRUNCATE parts",
        &["TRUNCATE tenant_bravo.parts", "TRUNCATE parts, tenant_bravo.parts CASCADE"],
    ),
    ("UNLISTEN", "UNLISTEN *", &[]),
    (
        "UPDATE",
        "UPDATE secrets SET other = 'x'",
        &[
            "UPDATE tenant_bravo.secrets SET other = 'x'",
            "UPDATE secrets SET other = s.word FROM tenant_bravo.secrets s",
            "UPDATE secrets SET other = (SELECT word FROM tenant_bravo.secrets LIMIT 1)",
        ],
    ),
    (
        "VACUUM",
        "",
        &["VACUUM", "VACUUM tenant_bravo.secrets", "VACUUM FULL", "VACUUM (ANALYZE) pg_catalog.pg_class"],
    ),
    ("VALUES", "VALUES (1)", &["VALUES ((SELECT word FROM tenant_bravo.secrets LIMIT 1))"]),
    (
        "WITH",
        "WITH x AS (SELECT 1) TABLE x",
        &[
            "WITH x AS (DELETE FROM tenant_bravo.secrets RETURNING word) TABLE x",
            "WITH x AS MATERIALIZED (SELECT * FROM tenant_bravo.secrets) TABLE x",
        ],
    ),
];

/// Statements that begin, end or mark a transaction; isolation::transactions and context::undo have their tests.
const TRANSACTIONS: [&str; 11] = [
    "ABORT",
    "BEGIN",
    "COMMIT",
    "COMMIT PREPARED",
    "END",
    "RELEASE SAVEPOINT",
    "ROLLBACK",
    "ROLLBACK PREPARED",
    "ROLLBACK TO SAVEPOINT",
    "SAVEPOINT",
    "START TRANSACTION",
];

#[test]
fn every_statement_of_postgresql_is_judged_here() {
    let help = psql(&world().fixture.db, SUPERUSER, "\\h\n").stdout;
    // Two columns, the first of them 35 characters wide.
    let commands = help.lines().flat_map(|line| {
        let (left, right) = line.split_at(line.len().min(35));
        [left, right]
    });
    let commands: BTreeSet<&str> =
        commands.map(str::trim).filter(|word| !word.is_empty() && *word == word.to_uppercase()).collect();
    assert!(commands.len() > 150, "{help}");
    let judged: BTreeSet<&str> = LINES.iter().map(|line| line.0).chain(TRANSACTIONS).collect();
    let missing: Vec<_> = commands.difference(&judged).collect();
    assert!(missing.is_empty(), "statements that nobody has judged: {missing:?}");
}

#[test]
fn statements_reach_only_the_active_tenant() {
    let world = world();
    let mut admin = world.fixture.db.superuser();
    let before = state_of_bravo(&mut admin);
    let mut faults = Vec::new();
    for role in [world.fixture.app.as_str(), SUPERUSER] {
        let mut client = world.fixture.db.connect(role);
        for (command, own, others) in LINES {
            let mut run = |statement: &str| {
                client.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
                // As the demo's psql would send it; COPY TO STDOUT by the driver's own call.
                let result = if statement.contains("TO STDOUT") {
                    client.copy_out(statement).map(drop)
                } else {
                    client.simple_query(statement).map(drop)
                };
                client.batch_execute("ROLLBACK").unwrap();
                result
            };
            if let (false, Err(error)) = (own.is_empty(), run(own)) {
                faults.push(format!("{role}: {command}: should be allowed: {own}: {error:?}"));
            }
            for statement in *others {
                let has_code = statement.as_bytes()[..5].iter().all(u8::is_ascii_digit);
                let (code, statement) = if has_code { statement.split_at(6) } else { ("42501", *statement) };
                match run(statement) {
                    Ok(()) => faults.push(format!("{role}: {command}: not refused: {statement}")),
                    Err(error) => {
                        let found = error.code().map(|code| code.code().to_owned()).unwrap_or_default();
                        if found != code.trim() || has_canary(&format!("{error:?}")) {
                            faults.push(format!(
                                "{role}: {command}: {statement}: {error}: {:?}",
                                error.as_db_error()
                            ));
                        }
                    }
                }
            }
        }
        drop(client);
        assert_eq!(state_of_bravo(&mut admin), before, "{role}: bravo has changed");
        assert_eq!(column(&mut admin, "SELECT count(*) FROM tenant_acme.secrets"), ["50"]);
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// The same statements on bravo's without a tenant: nothing for a role that may enter both, one that may enter none, and one that
/// may create in the database.
#[test]
fn without_a_tenant_no_statement_reaches_one() {
    let world = world();
    let db = &world.fixture.db;
    let mut admin = db.superuser();
    let creator = db.login_role("creator");
    admin.batch_execute(&format!("GRANT CREATE ON DATABASE {} TO {creator}", db.name())).unwrap();
    let before = state_of_bravo(&mut admin);
    let mut faults = Vec::new();
    // A path may lead anywhere, and a schema that is there already is not made.
    let harmless = ["SET search_path", "CREATE SCHEMA IF NOT EXISTS"];
    let statements = LINES.iter().flat_map(|line| line.2).filter(|text| {
        text.contains("tenant_bravo") && !harmless.iter().any(|start| text.starts_with(start))
    });
    let statements: Vec<&str> = statements
        .map(|text| if text.as_bytes()[..5].iter().all(u8::is_ascii_digit) { &text[6..] } else { text })
        .collect();
    assert!(statements.len() > 80, "{}", statements.len());
    for role in [&world.fixture.app, &world.fixture.carol, &creator] {
        let mut client = db.connect(role);
        for statement in &statements {
            client.batch_execute("BEGIN").unwrap();
            let result = if statement.contains("TO STDOUT") {
                client.copy_out(*statement).map(drop)
            } else {
                client.simple_query(statement).map(drop)
            };
            client.batch_execute("ROLLBACK").unwrap();
            match result {
                Ok(()) => faults.push(format!("{role}: not refused: {statement}")),
                Err(error) if has_canary(&format!("{error:?}")) => {
                    faults.push(format!("{role}: {statement}: {error:?}"));
                }
                Err(_) => {}
            }
        }
        assert_eq!(state_of_bravo(&mut admin), before, "{role}: bravo has changed");
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
