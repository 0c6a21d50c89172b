//! Ties: no object of one tenant depends on another's, nor what is no tenant's on a tenant's, whoever makes it.

use plio_tests::{Cluster, Layers, TwoTenants};

use super::judge::Judge;

/// acme and bravo with every kind of object that another may depend on; the same in `public`, shared and not.
fn fixture() -> TwoTenants {
    let fixture = Cluster::shared().database("ties").tenants(Layers::of(module_path!()));
    let objects = "CREATE TABLE base (id int PRIMARY KEY, name text);
        CREATE TABLE parted (id int, name text) PARTITION BY LIST (id);
        CREATE VIEW seen AS SELECT 1 AS id;
        CREATE SEQUENCE counter; CREATE TYPE mood AS ENUM ('calm'); CREATE TYPE pair AS (a int, b int); CREATE DOMAIN short AS text;
        CREATE FUNCTION answer() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 42';
        CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
        CREATE FUNCTION same(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 = $2';
        CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = same);
        CREATE COLLATION coll (LOCALE = 'C');
        CREATE MATERIALIZED VIEW stock AS SELECT 1 AS id;
        CREATE TEXT SEARCH DICTIONARY dict (TEMPLATE = pg_catalog.simple);";
    let mut admin = fixture.db.superuser();
    for org in ["acme", "bravo"] {
        admin.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}'); {objects} COMMIT")).unwrap();
    }
    admin
        .batch_execute(&format!(
            "SET search_path = public; {objects} CREATE SCHEMA app; SELECT plio.share('public.base', 'read')"
        ))
        .unwrap();
    fixture
}

/// `{f}`: the schema that the new object lies in; `{t}`: the one that it leans on.
const TIES: &[&str] = &[
    "CREATE TABLE {f}.x (a int REFERENCES {t}.base)",
    "CREATE TABLE {f}.x (a int); ALTER TABLE {f}.x ADD FOREIGN KEY (a) REFERENCES {t}.base NOT VALID",
    "CREATE VIEW {f}.x AS SELECT * FROM {t}.base",
    "CREATE VIEW {f}.x AS SELECT 1 AS a; CREATE OR REPLACE VIEW {f}.x AS SELECT id AS a FROM {t}.base",
    "CREATE VIEW {f}.x AS SELECT {t}.answer() AS a",
    "CREATE VIEW {f}.x AS SELECT 'calm'::{t}.mood AS a",
    "CREATE MATERIALIZED VIEW {f}.x AS SELECT * FROM {t}.base",
    "CREATE MATERIALIZED VIEW {f}.x AS SELECT * FROM {t}.seen WITH NO DATA",
    "CREATE TABLE {f}.x () INHERITS ({t}.base)",
    "CREATE TABLE {f}.x (id int NOT NULL, name text); ALTER TABLE {f}.x INHERIT {t}.base",
    "CREATE TABLE {f}.x PARTITION OF {t}.parted FOR VALUES IN (1)",
    "CREATE TABLE {f}.x (id int, name text); ALTER TABLE {t}.parted ATTACH PARTITION {f}.x FOR VALUES IN (1)",
    "CREATE TABLE {f}.x (a int DEFAULT {t}.answer())",
    "CREATE TABLE {f}.x (a int DEFAULT nextval('{t}.counter'))",
    "CREATE TABLE {f}.x (a int); ALTER TABLE {f}.x ALTER a SET DEFAULT {t}.answer()",
    "CREATE TABLE {f}.x (a int); ALTER TABLE {f}.x ADD COLUMN b int DEFAULT {t}.answer()",
    "CREATE TABLE {f}.x (a int); ALTER TABLE {f}.x ADD COLUMN b {t}.mood",
    "CREATE TABLE {f}.x (a int); ALTER TABLE {f}.x ADD COLUMN b {t}.mood[]",
    "CREATE TABLE {f}.x (a int); ALTER TABLE {f}.x ADD COLUMN b {t}.base",
    "CREATE TABLE {f}.x (a int); ALTER TABLE {f}.x ADD COLUMN b int, ADD COLUMN c {t}.pair",
    "CREATE TABLE {f}.x (a int); ALTER TABLE {f}.x ADD COLUMN b {t}.short, ADD COLUMN c int",
    "CREATE TABLE {f}.x (a int); ALTER TABLE {f}.x ADD COLUMN b text COLLATE {t}.coll",
    "CREATE TABLE {f}.x (a int) PARTITION BY LIST (a); ALTER TABLE {f}.x ADD COLUMN b {t}.mood",
    "CREATE TABLE {f}.x (a int); ALTER TABLE {f}.x ADD COLUMN b int GENERATED ALWAYS AS ({t}.twice(a)) STORED",
    "CREATE TABLE {f}.x (a int); ALTER TABLE {f}.x ADD COLUMN b int CHECK (b > {t}.answer())",
    "CREATE TABLE {f}.x (a int); ALTER TABLE {f}.x ADD COLUMN b int REFERENCES {t}.base",
    "CREATE TABLE {f}.x (a int); ALTER TABLE {f}.x ADD COLUMN b int, ALTER a TYPE {t}.short",
    "CREATE TABLE {f}.x (a int); ALTER TABLE {f}.x ADD COLUMN b int, OF {t}.pair",
    "CREATE TABLE {f}.x (id int NOT NULL); ALTER TABLE {f}.x ADD COLUMN name text, INHERIT {t}.base",
    "CREATE TABLE {f}.x (a {t}.mood)",
    "CREATE TABLE {f}.x (a {t}.mood[])",
    "CREATE TABLE {f}.x (a {t}.short)",
    "CREATE TABLE {f}.x (a {t}.pair)",
    "CREATE TABLE {f}.x (a {t}.base)",
    "CREATE TABLE {f}.x OF {t}.pair",
    "CREATE TABLE {f}.x (a int); ALTER TABLE {f}.x ALTER a TYPE {t}.short",
    "CREATE TABLE {f}.x (a text COLLATE {t}.coll)",
    "CREATE TABLE {f}.x (a int CHECK (a > {t}.answer()))",
    "CREATE TABLE {f}.x (a int CHECK (a OPERATOR({t}.===) 1))",
    "CREATE TABLE {f}.x (a int, b int GENERATED ALWAYS AS ({t}.twice(a)) STORED)",
    "CREATE TABLE {f}.x (a int); CREATE INDEX ON {f}.x ({t}.twice(a))",
    "CREATE TABLE {f}.x (a int); CREATE INDEX ON {f}.x (a) WHERE a > {t}.answer()",
    "CREATE TABLE {f}.x (a int) PARTITION BY RANGE (({t}.twice(a)))",
    "CREATE TABLE {f}.x (a int, b int); CREATE STATISTICS {f}.s ON ({t}.twice(a)), b FROM {f}.x",
    "CREATE TABLE {f}.x (a int); CREATE TRIGGER t BEFORE INSERT ON {f}.x FOR EACH ROW EXECUTE FUNCTION {t}.fire()",
    "CREATE TABLE {f}.x (a int); CREATE TRIGGER t BEFORE INSERT ON {f}.x FOR EACH ROW WHEN ({t}.answer() > 1) EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE TABLE {f}.x (a int); CREATE POLICY p ON {f}.x USING (a IN (SELECT id FROM {t}.base))",
    "CREATE TABLE {f}.x (a int); CREATE POLICY p ON {f}.x WITH CHECK ({t}.answer() = a)",
    "CREATE TABLE {f}.x (a int); CREATE RULE r AS ON INSERT TO {f}.x DO ALSO INSERT INTO {t}.base (id) VALUES (NEW.a)",
    "CREATE FUNCTION {f}.x() RETURNS {t}.mood LANGUAGE plpgsql AS 'BEGIN END'",
    "CREATE FUNCTION {f}.x(a {t}.mood) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION {f}.x(a int DEFAULT {t}.answer()) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION {f}.x() RETURNS SETOF {t}.base LANGUAGE plpgsql AS 'BEGIN END'",
    "CREATE FUNCTION {f}.x() RETURNS TABLE (a {t}.short) LANGUAGE plpgsql AS 'BEGIN END'",
    "CREATE FUNCTION {f}.x() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT id FROM {t}.base; END",
    "CREATE FUNCTION {f}.x() RETURNS int LANGUAGE sql RETURN {t}.answer()",
    "CREATE PROCEDURE {f}.x() LANGUAGE sql BEGIN ATOMIC DELETE FROM {t}.base; END",
    "CREATE AGGREGATE {f}.x (int) (SFUNC = {t}.total, STYPE = int)",
    "CREATE OPERATOR {f}.!== (LEFTARG = int, RIGHTARG = int, FUNCTION = {t}.same)",
    "CREATE DOMAIN {f}.x AS {t}.short",
    "CREATE DOMAIN {f}.x AS int CHECK (VALUE > {t}.answer())",
    "CREATE DOMAIN {f}.x AS int DEFAULT {t}.answer()",
    "CREATE TYPE {f}.x AS (a {t}.mood)",
    "CREATE TYPE {f}.x AS (a int); ALTER TYPE {f}.x ADD ATTRIBUTE b {t}.mood",
    "CREATE TYPE {f}.x AS RANGE (subtype = {t}.mood)",
    "CREATE TEXT SEARCH CONFIGURATION {f}.x (COPY = pg_catalog.simple); ALTER TEXT SEARCH CONFIGURATION {f}.x ALTER MAPPING FOR word WITH {t}.dict",
];

fn tie(template: &str, from: &str, to: &str) -> String {
    // The aggregate's function is not among the fixture's: its arguments are (int, int).
    let made = format!(
        "CREATE FUNCTION {to}.total(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2'; "
    );
    let statement = template.replace("{f}", from).replace("{t}", to);
    if statement.contains(".total") { made + &statement } else { statement }
}

/// An administrator with no tenant: never between two tenants, never from `public` or the application's schema to one.
#[test]
fn administrators_cannot_tie_tenants_together() {
    let fixture = fixture();
    let mut admin = fixture.db.superuser();
    let mut outside = Judge::outside(&mut admin).silent_about(&["canary", "bravo"]);
    for template in TIES {
        for from in ["tenant_acme", "app"] {
            outside.refused(&tie(template, from, "tenant_bravo"), "42501");
        }
    }
    drop(outside);
    // One that is no superuser, with every privilege that can be granted; what it lacks, PostgreSQL says.
    let ann = fixture.db.login_role("ann");
    for org in ["acme", "bravo"] {
        admin
            .batch_execute(&format!(
                "GRANT plio_admin TO {ann}; GRANT ALL ON SCHEMA tenant_{org}, app TO {ann}; GRANT ALL ON ALL TABLES IN SCHEMA tenant_{org} TO {ann};
                 GRANT ALL ON ALL SEQUENCES IN SCHEMA tenant_{org} TO {ann}"
            ))
            .unwrap();
    }
    let mut client = fixture.db.connect(&ann);
    let mut outside = Judge::outside(&mut client);
    outside.allowed("SELECT * FROM tenant_bravo.base; CREATE TABLE app.x (a int)");
    for template in TIES {
        outside.denied(&tie(template, "app", "tenant_bravo"), "42501");
    }
}

/// Without a tenant a role that owns its schema, or none, ties nothing to it, by name or by its path.
#[test]
fn without_a_tenant_nothing_is_made_to_lean_on_it() {
    if Layers::of(module_path!()) == Layers::Two {
        return; // PostgreSQL finds nothing in the schema for such a role.
    }
    let fixture = fixture();
    let mut admin = fixture.db.superuser();
    for role in [&fixture.app, &fixture.carol] {
        admin.batch_execute(&format!("GRANT ALL ON SCHEMA app TO {role}")).unwrap();
        let mut client = fixture.db.connect(role);
        let mut outside = Judge::after(&mut client, "SET LOCAL search_path = app, tenant_bravo");
        outside.allowed("CREATE TABLE x (a int PRIMARY KEY); CREATE VIEW y AS SELECT a FROM x");
        let mut faults = Vec::new();
        for template in TIES {
            let by_name = tie(template, "app", "tenant_bravo");
            // This template creates the object that it then depends on, where the role may.
            let is_own = template.contains(".total");
            let by_path = (!is_own).then(|| by_name.replace("tenant_bravo.", ""));
            for statement in by_path.into_iter().chain([by_name]) {
                for answer in outside.answers(&statement) {
                    let code = answer.as_ref().err().map(|error| error.code().code().to_owned());
                    if !code.as_deref().is_some_and(|code| ["42501", "55000"].contains(&code)) {
                        faults.push(format!("{role}: {statement}: {answer:?}"));
                    }
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

/// Within a tenant, within what is no tenant's, and from a tenant to that: allowed to an administrator. But a tenant's
/// table is no child of a common one, which would hand its rows to whoever reads the parent.
#[test]
fn other_ties_are_allowed() {
    let fixture = fixture();
    let mut admin = fixture.db.superuser();
    let mut outside = Judge::outside(&mut admin);
    for template in TIES {
        outside.allowed(&tie(template, "tenant_acme", "tenant_acme"));
        outside.allowed(&tie(template, "app", "public"));
        let out_of_a_tenant = tie(template, "tenant_acme", "public");
        if ["INHERIT", "PARTITION OF", "ATTACH"].iter().any(|word| template.contains(word)) {
            outside.refused(&out_of_a_tenant, "42501");
        } else {
            outside.allowed(&out_of_a_tenant);
        }
    }
}

/// What lies in `public` or in acme, and is leant on; where it would go.
const MOVES: &[&str] = &[
    "CREATE TABLE public.n (id int); CREATE VIEW public.v AS SELECT * FROM public.n; ALTER TABLE public.n SET SCHEMA tenant_acme",
    "CREATE TABLE public.n (id int PRIMARY KEY); CREATE TABLE public.x (a int REFERENCES public.n); ALTER TABLE public.n SET SCHEMA tenant_acme",
    "CREATE TABLE public.n (id int); CREATE VIEW tenant_acme.v AS SELECT * FROM public.n; ALTER TABLE public.n SET SCHEMA tenant_bravo",
    "CREATE VIEW tenant_acme.v AS SELECT * FROM tenant_acme.base; ALTER VIEW tenant_acme.v SET SCHEMA public",
    "CREATE FUNCTION public.n() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE public.x (a int DEFAULT public.n()); ALTER FUNCTION public.n() SET SCHEMA tenant_acme",
    "CREATE TYPE public.n AS ENUM ('a'); CREATE TABLE public.x (a public.n); ALTER TYPE public.n SET SCHEMA tenant_acme",
    "CREATE DOMAIN tenant_acme.n AS int; CREATE TABLE tenant_acme.x (a tenant_acme.n); ALTER DOMAIN tenant_acme.n SET SCHEMA tenant_bravo",
    "CREATE SEQUENCE public.n; CREATE TABLE tenant_acme.x (a int DEFAULT nextval('public.n')); ALTER SEQUENCE public.n SET SCHEMA tenant_bravo",
    "CREATE FUNCTION tenant_acme.n() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT id FROM tenant_acme.base; END; ALTER FUNCTION tenant_acme.n() SET SCHEMA tenant_bravo",
    "CREATE TABLE public.n (id int); CREATE TABLE public.heir () INHERITS (public.n); ALTER TABLE public.heir SET SCHEMA tenant_acme",
];

/// Moving an object can make a tie, too: the object's own, or of what depends on it.
#[test]
fn moving_an_object_makes_no_tie() {
    let fixture = fixture();
    let mut admin = fixture.db.superuser();
    let mut outside = Judge::outside(&mut admin).silent_about(&["canary", "bravo"]);
    outside.allowed(
        "CREATE TABLE public.free (id serial PRIMARY KEY); ALTER TABLE public.free SET SCHEMA tenant_acme",
    );
    outside.allowed("ALTER TABLE tenant_acme.base SET SCHEMA app");
    for statement in MOVES {
        outside.refused(statement, "42501");
    }
    drop(outside);
    // By a member of plio_admin that is no superuser, who may create in all of these schemas.
    let ann = fixture.db.login_role("ann");
    admin
        .batch_execute(&format!(
            "GRANT plio_admin TO {ann}; GRANT ALL ON SCHEMA public, tenant_acme, tenant_bravo TO {ann};
             GRANT ALL ON tenant_acme.base TO {ann}"
        ))
        .unwrap();
    let mut client = fixture.db.connect(&ann);
    let mut outside = Judge::outside(&mut client).silent_about(&["canary", "bravo"]);
    outside.allowed("CREATE TABLE public.own (id int); ALTER TABLE public.own SET SCHEMA tenant_acme");
    for statement in MOVES {
        outside.refused(statement, "42501");
    }
}

/// Inside a tenant: to shared tables, functions and types, yes; to tables that are not shared, and to other tenants, no.
#[test]
fn inside_a_tenant_only_what_is_shared_may_be_leant_on() {
    let fixture = fixture();
    fixture.db.superuser().batch_execute("CREATE TABLE public.unshared (id int PRIMARY KEY); GRANT ALL ON public.unshared, public.counter TO PUBLIC").unwrap();
    for role in [fixture.app.as_str(), plio_tests::SUPERUSER] {
        let mut client = fixture.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        for statement in [
            "CREATE TABLE x (a int REFERENCES public.base)",
            "CREATE TABLE x (a text REFERENCES countries)",
            "CREATE VIEW x AS SELECT * FROM public.base",
            "CREATE TABLE x (a int DEFAULT public.answer(), b public.mood, c public.short)",
            "CREATE FUNCTION x() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT id FROM public.base; END",
            "CREATE TABLE x (a int); CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW EXECUTE FUNCTION public.fire()",
            "CREATE TABLE x (a int); CREATE INDEX ON x (public.twice(a))",
        ] {
            acme.allowed(statement);
        }
        for statement in [
            "CREATE TABLE x (a int REFERENCES public.unshared)",
            "CREATE TABLE x (a int); ALTER TABLE x ADD FOREIGN KEY (a) REFERENCES public.unshared",
            "CREATE VIEW x AS SELECT * FROM public.unshared",
            "CREATE TABLE x (a int DEFAULT nextval('public.counter'))",
            "CREATE FUNCTION x() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT id FROM public.unshared; END",
            "CREATE TABLE x (a int); CREATE POLICY p ON x USING (a IN (SELECT id FROM public.unshared))",
            "CREATE TABLE x (a int); CREATE RULE r AS ON INSERT TO x DO ALSO INSERT INTO public.unshared VALUES (NEW.a)",
            "CREATE MATERIALIZED VIEW x AS SELECT * FROM public.unshared",
            "CREATE TABLE x () INHERITS (public.unshared)",
        ] {
            for answer in acme.answers(statement) {
                assert!(
                    answer.as_ref().is_err_and(|error| error.code().code() == "42501"),
                    "{statement}: {answer:?}"
                );
            }
        }
        for template in TIES {
            if !template.contains("total") {
                acme.refused(&tie(template, "tenant_acme", "tenant_bravo"), "42501");
            }
        }
    }
}
