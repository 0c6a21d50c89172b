-- What is no tenant's: shared to read and to write, unshared with canaries (@), and functions that everybody may call.
CREATE TABLE public.countries (code text PRIMARY KEY, name text NOT NULL);
INSERT INTO public.countries VALUES ('IN', 'India'), ('KE', 'Kenya');
CREATE TABLE public.board (id int PRIMARY KEY, n int CHECK (n BETWEEN 0 AND 1000));
INSERT INTO public.board SELECT i, i FROM generate_series(1, 5) i;
CREATE SCHEMA lookup;
CREATE TABLE lookup.codes (id int PRIMARY KEY, word text);
INSERT INTO lookup.codes VALUES (1, 'one'), (2, 'two');
CREATE SEQUENCE lookup.counter;
-- Shadows of the tenants' tables, open to the attacker's own role, as in an application of today.
CREATE TABLE public.users (id int PRIMARY KEY, name text, n bigint, tag text);
INSERT INTO public.users SELECT i, 'unshared-@-' || i, @000 + i, 'x' FROM generate_series(1, 6) i;
CREATE TABLE public.secrets (id int PRIMARY KEY, name text);
INSERT INTO public.secrets VALUES (1, 'unshared-@');
GRANT SELECT, INSERT, UPDATE, DELETE ON public.users, public.secrets TO the_attacker, the_gadget;
CREATE VIEW public.every_name AS SELECT name FROM public.users;
GRANT SELECT ON public.every_name TO the_attacker, the_gadget;
CREATE FUNCTION public.peek_definer(relation text) RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER
    AS 'BEGIN RETURN QUERY EXECUTE format(''SELECT t::text FROM %s t LIMIT 9'', relation::regclass); END';
CREATE FUNCTION public.peek_pinned() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
    AS 'SELECT name FROM users';
CREATE FUNCTION public.write_definer(relation text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    AS 'BEGIN EXECUTE format(''DELETE FROM %s'', relation::regclass); END';
CREATE FUNCTION public.run_invoker(q text) RETURNS SETOF text LANGUAGE plpgsql
    AS 'BEGIN RETURN QUERY EXECUTE q; END';
CREATE FUNCTION public.run_caught(q text) RETURNS text LANGUAGE plpgsql
    AS 'DECLARE m text; d text; h text; BEGIN EXECUTE q INTO m; RETURN m; EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_CONTEXT; RETURN concat_ws('' '', m, d, h); END';
CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'BEGIN INSERT INTO public.board VALUES (coalesce(NEW.id, 0) + 100, 1) ON CONFLICT DO NOTHING; RETURN NEW; END';
GRANT SELECT ON public.countries, public.board, lookup.codes TO the_gadget;
GRANT USAGE ON SCHEMA lookup TO PUBLIC;
ALTER FUNCTION public.peek_definer(text) OWNER TO the_gadget;
ALTER FUNCTION public.peek_pinned() OWNER TO the_gadget;
ALTER FUNCTION public.write_definer(text) OWNER TO the_gadget;
-- Shared to write, and the attacker may truncate it: every tenant's members refer to it. What a tenant writes there everybody
-- reads: so it takes no canaries.
CREATE TABLE public.people (id int PRIMARY KEY, name text CHECK (name !~ '[0-9]{12}'));
INSERT INTO public.people SELECT i, 'somebody' FROM generate_series(1, 9) i;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES ON public.people TO the_attacker;
-- Deferred, and what it writes is found by the path of whoever is inside when it fires.
CREATE FUNCTION lookup.keep_later() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN INSERT INTO journal VALUES (NEW.id, NEW.name); PERFORM pg_notify(''fuzz'', NEW.name); RETURN NULL; END';
-- Says that it never changes, so that a plan may keep what it found.
CREATE FUNCTION lookup.folded() RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog
    AS 'BEGIN RETURN (SELECT string_agg(convert_from(lo_get(oid), ''utf8''), '','') FROM pg_largeobject_metadata WHERE lomowner = current_user::regrole); END';
CREATE FUNCTION lookup.folded_stats() RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog
    AS 'BEGIN RETURN (SELECT string_agg(histogram_bounds::text, '','') FROM pg_stats WHERE attname = ''name''); END';
CREATE FUNCTION lookup.folded_last() RETURNS bigint LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS 'SELECT lastval()';
CREATE FUNCTION lookup.through() RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog
    AS 'BEGIN RETURN concat(lookup.folded(), lookup.folded_stats(), lookup.folded_last()); END';
CREATE FUNCTION lookup.set_it(x oid) RETURNS bigint LANGUAGE sql AS 'SELECT setval(x::regclass, 5)';
CREATE PROCEDURE lookup.take(x text) LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE DOMAIN lookup.checked AS int CHECK (VALUE > 0);
-- Constants that a plan of the session keeps: in a domain, an index, a partitioned table and a check that all tenants share.
-- ANALYZE and the like run it under a path of their own, on which there are no users.
CREATE FUNCTION lookup.who() RETURNS text LANGUAGE plpgsql IMMUTABLE
    AS 'BEGIN IF to_regclass(''users'') IS NULL THEN RETURN ''''; END IF; RETURN (SELECT min(name) FROM users); END';
CREATE DOMAIN lookup.own_name AS text CHECK (VALUE IS NULL OR VALUE <= lookup.who() OR VALUE > lookup.who());
CREATE DOMAIN lookup.own_word AS text DEFAULT 'x' CHECK (VALUE = 'x' OR VALUE = lookup.who());
CREATE TABLE public.tally (id int, word text CHECK (word <> lookup.who()) CHECK (word !~ '[0-9]{12}'));
CREATE INDEX tally_word ON public.tally ((word = lookup.who())) WHERE word <> lookup.who();
INSERT INTO public.tally VALUES (1, 'a'), (2, 'b');
SELECT plio.share('public.tally', 'write');
SELECT plio.share('public.people', 'write');
SELECT plio.share('public.countries', 'read');
SELECT plio.share('public.board', 'write');
SELECT plio.share('lookup', 'read');
ANALYZE;
