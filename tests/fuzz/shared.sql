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
SELECT plio.share('public.countries', 'read');
SELECT plio.share('public.board', 'write');
SELECT plio.share('lookup', 'read');
ANALYZE;
