//! What a statement goes down to: heirs, parts, tables at the other end of a foreign key, an owner's other objects. Ties
//! between tenants, as only a superuser with enforcement off, or an adoption that allows them, can make them.

use plio_tests::{Cluster, Layers, SUPERUSER, TwoTenants, assert_refusal, expect_sqlstate};
use postgres::Client;

use super::judge::Judge;

/// Tables of acme with parts and heirs in bravo, and others without; `people`, which both point at; a domain.
fn fixture(name: &str) -> TwoTenants {
    let fixture = Cluster::shared().database(name).tenants(Layers::of(module_path!()));
    let app = &fixture.app;
    fixture
        .db
        .superuser()
        .batch_execute(&format!(
            "CREATE TABLE public.people (id int PRIMARY KEY); INSERT INTO public.people VALUES (1), (2);
             ALTER TABLE public.people OWNER TO {app}; GRANT ALL ON public.people TO PUBLIC;
             SELECT plio.share('public.people', 'write');
             CREATE TABLE public.unshared (id int PRIMARY KEY); INSERT INTO public.unshared VALUES (1);
             GRANT ALL ON public.unshared TO PUBLIC;
             CREATE DOMAIN public.short AS text; ALTER DOMAIN public.short OWNER TO {app};
             SET plio.enforcement = off;
             {}
             ALTER TABLE tenant_bravo.members ADD COLUMN of_acme int REFERENCES tenant_acme.members (id)",
            ["acme", "bravo"].map(members).concat(),
        ))
        .unwrap();
    unguarded(
        &fixture,
        "CREATE TABLE tenant_acme.parent (id int, name text) PARTITION BY LIST (id);
         CREATE TABLE tenant_acme.one PARTITION OF tenant_acme.parent FOR VALUES IN (1);
         CREATE TABLE tenant_acme.extra (id int, name text);
         CREATE TABLE tenant_acme.family (id int, name text);
         CREATE TABLE tenant_acme.calm (id int, name text) PARTITION BY LIST (id);
         CREATE TABLE tenant_acme.calm_one PARTITION OF tenant_acme.calm FOR VALUES IN (1)",
        "CREATE TABLE tenant_bravo.rest PARTITION OF tenant_acme.parent DEFAULT;
         CREATE TABLE tenant_bravo.heir () INHERITS (tenant_acme.family);
         INSERT INTO tenant_bravo.rest VALUES (2, 'canary-bravo'); INSERT INTO tenant_bravo.heir VALUES (2, 'canary-bravo')",
    );
    fixture
}

fn members(org: &str) -> String {
    format!(
        "SET search_path = tenant_{org}; CREATE TABLE members (id int PRIMARY KEY REFERENCES public.people, note public.short);
         INSERT INTO members VALUES (1, 'canary-{org}');
         DO $$ BEGIN EXECUTE format('ALTER TABLE members OWNER TO %I', (SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'tenant_{org}')); END $$;
         RESET search_path;"
    )
}

/// Runs `first` as the owner of acme's schema and `second` as a superuser who then gives bravo's tables to bravo's owner.
fn unguarded(fixture: &TwoTenants, first: &str, second: &str) {
    let mut admin = fixture.db.superuser();
    let owner = |admin: &mut Client, org: &str| -> String {
        let query = format!(
            "SELECT quote_ident(nspowner::regrole::text) FROM pg_namespace WHERE nspname = 'tenant_{org}'"
        );
        admin.query_one(&query, &[]).unwrap().get::<_, String>(0).replace("\"\"\"", "\"")
    };
    let (acme, bravo) = (owner(&mut admin, "acme"), owner(&mut admin, "bravo"));
    admin
        .batch_execute(&format!(
            "SET plio.enforcement = off; SET ROLE {acme}; {first}; RESET ROLE; {second};
             ALTER TABLE tenant_bravo.rest OWNER TO {bravo}; ALTER TABLE tenant_bravo.heir OWNER TO {bravo}"
        ))
        .unwrap();
}

fn count(admin: &mut Client, table: &str) -> i64 {
    admin.query_one(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().get(0)
}

/// TRUNCATE .. CASCADE empties no table of another tenant, wherever the foreign key leads; nor any tenant's without one.
#[test]
fn truncate_stays_in_the_tenant() {
    let fixture = fixture("reach_truncate");
    let mut admin = fixture.db.superuser();
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        for statement in [
            "TRUNCATE public.people CASCADE",
            "TRUNCATE public.people RESTART IDENTITY CASCADE",
            "TRUNCATE users, public.people CASCADE",
            "TRUNCATE members CASCADE",
            "TRUNCATE parent",
            "TRUNCATE family",
            "TRUNCATE public.unshared",
            "DO $$ BEGIN TRUNCATE public.people CASCADE; END $$",
            "CREATE FUNCTION empty() RETURNS void LANGUAGE sql AS 'TRUNCATE public.people CASCADE'; SELECT empty()",
        ] {
            acme.refused(statement, "42501");
        }
        for statement in [
            "TRUNCATE users",
            "TRUNCATE users RESTART IDENTITY",
            "TRUNCATE ONLY family",
            "TRUNCATE calm CASCADE",
            "CREATE TABLE one_of (id bigint REFERENCES users); TRUNCATE users RESTART IDENTITY CASCADE",
            "CREATE TEMP TABLE t (a int); TRUNCATE t",
        ] {
            acme.allowed(statement);
        }
    }
    // Without a tenant it is an administrator's to do.
    let mut app = fixture.db.connect(&fixture.app);
    let mut outside = Judge::outside(&mut app);
    outside.refused("TRUNCATE public.people CASCADE", "55000");
    outside.allowed("CREATE TEMP TABLE t (a int); TRUNCATE t");
    drop(outside);
    assert_eq!((count(&mut admin, "tenant_acme.members"), count(&mut admin, "tenant_bravo.members")), (1, 1));
    Judge::outside(&mut admin).allowed("TRUNCATE public.people CASCADE");
}

/// Statements that go down to heirs and parts of `{p}`, a partitioned table.
const DOWN: &[&str] = &[
    "DROP TABLE {p}",
    "DROP TABLE {p} CASCADE",
    "ALTER TABLE {p} ADD CHECK ((name::int) > 0)",
    "ALTER TABLE {p} ADD COLUMN x int DEFAULT 1",
    "ALTER TABLE {p} ALTER name TYPE varchar",
    "ALTER TABLE {p} ALTER name SET NOT NULL",
    "ALTER TABLE {p} RENAME COLUMN name TO title",
    "ALTER TABLE {p} DROP COLUMN name",
    "CREATE INDEX ON {p} ((name::int))",
    "CREATE UNIQUE INDEX ON {p} (id, name)",
    "CREATE TRIGGER t BEFORE INSERT ON {p} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE TABLE three PARTITION OF {p} FOR VALUES IN (3)",
    "ALTER TABLE {p} ATTACH PARTITION extra FOR VALUES IN (4)",
    "ANALYZE {p}",
];

/// Another tenant's part or heir is neither dropped, altered nor read by DDL on the parent; one's own is.
#[test]
fn heirs_and_parts_of_another_tenant_are_left_alone() {
    let fixture = fixture("reach_parts");
    let mut admin = fixture.db.superuser();
    // The control: the value that the scan would quote is there, and nothing else would keep it back.
    let scanned =
        admin.batch_execute("BEGIN; ALTER TABLE tenant_acme.parent ADD CHECK ((name::int) > 0)").unwrap_err();
    assert!(scanned.as_db_error().unwrap().message().contains("canary-bravo"), "{scanned:?}");
    admin.batch_execute("ROLLBACK").unwrap();
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        for statement in DOWN {
            acme.refused(&statement.replace("{p}", "parent"), "42501");
            acme.allowed(
                &statement.replace("{p}", "calm").replace("DROP COLUMN name", "DROP COLUMN IF EXISTS x"),
            );
        }
        for statement in [
            "DROP TABLE family CASCADE",
            "ALTER TABLE family ADD CHECK ((name::int) > 0)",
            "ALTER TABLE family RENAME COLUMN name TO title",
            "DROP TABLE members CASCADE",
        ] {
            acme.refused(statement, "42501");
        }
        acme.allowed("ALTER TABLE ONLY family ALTER name SET STATISTICS 10");
    }
    // What may not run in a transaction block.
    let mut session = fixture.db.connect(&fixture.app);
    session.batch_execute("SET plio.tenant = 'acme'").unwrap();
    for statement in ["VACUUM {p}", "VACUUM FULL {p}", "REINDEX TABLE {p}", "REINDEX TABLE CONCURRENTLY {p}"]
    {
        let refused = expect_sqlstate(session.batch_execute(&statement.replace("{p}", "parent")), "42501");
        assert_refusal(&refused, "42501", &["canary", "bravo"]);
        session
            .batch_execute(&statement.replace("{p}", "calm"))
            .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    let tables = "SELECT count(*) FROM pg_class WHERE oid IN ('tenant_bravo.rest'::regclass, 'tenant_bravo.heir'::regclass)";
    assert_eq!(admin.query_one(tables, &[]).unwrap().get::<_, i64>(0), 2);
    Judge::outside(&mut admin)
        .allowed("ALTER TABLE tenant_acme.parent ADD COLUMN x int; DROP TABLE tenant_acme.parent");
    if Layers::of(module_path!()) == Layers::One {
        let mut app = fixture.db.connect(&fixture.app);
        let mut outside = Judge::after(&mut app, "SET LOCAL search_path = tenant_acme");
        for statement in DOWN {
            outside.refused(&statement.replace("{p}", "parent"), "55000");
        }
    }
}

/// Where event triggers are turned off, the object access hook still holds.
#[test]
fn without_event_triggers_it_holds() {
    let fixture = fixture("reach_off");
    let mut admin = fixture.db.superuser();
    if admin.batch_execute("SET event_triggers = off").is_err() {
        return; // 15 and 16 have no such setting.
    }
    let mut acme = Judge::inside(&mut admin, "acme");
    for statement in ["DROP TABLE parent", "DROP TABLE family CASCADE"] {
        acme.refused(statement, "42501");
    }
    // A tenant's role is refused by PostgreSQL already.
    for statement in ["DROP TABLE public.unshared", "ALTER TYPE public.short RENAME TO long"] {
        acme.denied(statement, "42501");
    }
    acme.allowed("CREATE TABLE x (a int); ALTER TABLE x ADD b int; DROP TABLE x");
    drop(acme);
    let mut outside = Judge::outside(&mut admin);
    for statement in [
        "SET LOCAL search_path = plio; CREATE TABLE planted (a int)",
        "SET LOCAL search_path = plio; CREATE FUNCTION set_tenant(varchar) RETURNS void LANGUAGE sql AS ''",
        "CREATE TRIGGER t BEFORE INSERT ON plio.tenants FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE RULE r AS ON INSERT TO plio.tenants DO INSTEAD NOTHING",
        "DROP TRIGGER only_appended ON plio.history",
    ] {
        outside.refused(statement, "42501");
    }
    outside.allowed("CREATE TABLE public.x (a int); ALTER TABLE public.x ADD b int; DROP TABLE public.x");
    drop(outside);
    // Turned off for everybody: an ordinary role makes and drops nothing elsewhere, inside and without a tenant.
    admin
        .batch_execute(&format!(
            "ALTER DATABASE {} SET event_triggers = off; GRANT ALL ON SCHEMA public TO PUBLIC",
            fixture.db.name()
        ))
        .unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    let mut acme = Judge::inside(&mut app, "acme");
    acme.gives("SHOW event_triggers", &["off"]);
    for statement in [
        "CREATE TABLE public.x (a int)",
        "CREATE TABLE tenant_bravo.x (a int)",
        "CREATE VIEW public.x AS SELECT * FROM users",
        "CREATE TABLE x () INHERITS (tenant_bravo.users)",
        "CREATE TABLE x (a bigint REFERENCES tenant_bravo.users)",
        "CREATE VIEW x AS SELECT * FROM tenant_bravo.users",
        "ALTER TABLE users SET SCHEMA public",
        "DROP TABLE tenant_bravo.users",
        "DROP TABLE parent",
    ] {
        acme.refused(statement, "42501");
    }
    acme.allowed("CREATE TABLE x (a int); ALTER TABLE x ADD b int; DROP TABLE x");
    drop(acme);
    let mut outside = Judge::outside(&mut app);
    for statement in [
        "CREATE TABLE tenant_bravo.x (a int)",
        "CREATE TABLE public.x () INHERITS (tenant_bravo.users)",
        "CREATE TABLE public.x (a bigint REFERENCES tenant_bravo.users)",
        "CREATE VIEW public.x AS SELECT * FROM tenant_bravo.users",
        "ALTER TABLE tenant_bravo.users ADD x int",
        "DROP TABLE tenant_bravo.users",
    ] {
        outside.refused(statement, "55000");
    }
    outside.allowed("CREATE TABLE public.x (a int); ALTER TABLE public.x ADD b int; DROP TABLE public.x");
}

/// A foreign key tells nothing of a table that is not shared, and the owner of a shared table or a domain has no tenant's rows
/// looked through.
#[test]
fn what_is_checked_against_rows_is_judged_first() {
    let fixture = fixture("reach_checked");
    for role in [fixture.app.as_str(), SUPERUSER] {
        let mut client = fixture.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        for statement in [
            "CREATE TABLE x (a int); INSERT INTO x VALUES (77); ALTER TABLE x ADD FOREIGN KEY (a) REFERENCES public.unshared",
            "CREATE TABLE x (b int); INSERT INTO x VALUES (77); ALTER TABLE x ADD COLUMN a int DEFAULT 77 REFERENCES public.unshared",
        ] {
            acme.refused(statement, "42501");
        }
        acme.allowed("CREATE TABLE x (a int); INSERT INTO x VALUES (1); ALTER TABLE x ADD FOREIGN KEY (a) REFERENCES public.people");
        acme.denied("CREATE TABLE x (a int); INSERT INTO x VALUES (77); ALTER TABLE x ADD FOREIGN KEY (a) REFERENCES public.people", "23503");
        acme.denied("CREATE DOMAIN d AS text; CREATE TABLE x (a d); INSERT INTO x VALUES ('mine'); ALTER DOMAIN d ADD CHECK (value::int > 0)", "22P02");
    }
    let mut app = fixture.db.connect(&fixture.app);
    let mut outside = Judge::outside(&mut app);
    for statement in [
        "ALTER DOMAIN public.short ADD CHECK (value::int > 0)",
        "ALTER TABLE public.people ALTER id TYPE bigint USING id + 1000",
    ] {
        outside.refused(statement, "55000");
    }
    outside.allowed("ALTER TABLE public.people ADD COLUMN x int");
    outside.allowed("CREATE TABLE pg_temp.x (a public.short)");
    drop(outside);
    Judge::outside(&mut fixture.db.superuser()).allowed("ALTER TABLE public.people ALTER id TYPE bigint");
}

/// An owner of adopted schemas gives nothing of theirs away without a tenant.
#[test]
fn an_owner_gives_nothing_of_a_tenants_away() {
    let fixture = fixture("reach_owner");
    if Layers::of(module_path!()) == Layers::Two {
        return; // The login role owns nothing of a tenant's.
    }
    let app = &fixture.app;
    let group = fixture.db.login_role("heirs");
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(&format!(
            "GRANT {group} TO {app}; GRANT CREATE ON DATABASE {} TO {group};
             CREATE SCHEMA app AUTHORIZATION {app}; CREATE FUNCTION tenant_acme.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
             ALTER FUNCTION tenant_acme.f() OWNER TO {app}; CREATE TYPE tenant_acme.kind AS ENUM ('a'); ALTER TYPE tenant_acme.kind OWNER TO {app}",
            fixture.db.name()
        ))
        .unwrap();
    let mut client = fixture.db.connect(app);
    let mut outside = Judge::after(&mut client, "SET LOCAL search_path = tenant_acme, public");
    for statement in [
        "ALTER DEFAULT PRIVILEGES IN SCHEMA tenant_acme GRANT SELECT ON TABLES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app, tenant_acme GRANT SELECT ON TABLES TO PUBLIC",
        "GRANT CREATE ON SCHEMA tenant_acme TO PUBLIC",
        "REVOKE ALL ON SCHEMA tenant_acme FROM PUBLIC",
        "GRANT SELECT ON members TO PUBLIC",
        "GRANT SELECT ON ALL TABLES IN SCHEMA tenant_acme TO PUBLIC",
        "GRANT EXECUTE ON FUNCTION f() TO PUBLIC",
        "GRANT USAGE ON TYPE kind TO PUBLIC",
        "ALTER TYPE kind ADD VALUE 'b'",
        "ALTER TYPE kind RENAME TO sort",
        "ALTER FUNCTION f() STABLE",
        "ALTER FUNCTION f() DEPENDS ON EXTENSION plpgsql",
        "COMMENT ON FUNCTION f() IS 'x'",
        "COMMENT ON SCHEMA tenant_acme IS 'x'",
        "CREATE TABLE app.copied (LIKE users)",
        "CREATE TABLE app.copied (a int, LIKE members INCLUDING ALL)",
        "COMMENT ON COLUMN members.note IS 'x'",
        "DROP FUNCTION f()",
        "CREATE TRIGGER t BEFORE INSERT ON members FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ] {
        outside.refused(statement, "55000");
    }
    for statement in [format!("REASSIGN OWNED BY {app} TO {group}"), format!("DROP OWNED BY {app} CASCADE")] {
        let answers = outside.answers(&statement);
        let is_refused = |code: &str| ["55000", "2BP01"].contains(&code);
        assert!(
            answers.iter().all(|answer| answer.as_ref().is_err_and(|error| is_refused(error.code().code()))),
            "{statement}: {answers:?}"
        );
    }
    for statement in [
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        "GRANT CREATE ON SCHEMA app TO PUBLIC",
        "GRANT SELECT ON public.people TO PUBLIC",
        "COMMENT ON TABLE public.people IS 'x'",
        "COMMENT ON SCHEMA app IS 'x'",
        "CREATE TABLE app.copied (LIKE public.people)",
        "CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; GRANT EXECUTE ON FUNCTION app.f() TO PUBLIC; DROP FUNCTION app.f()",
    ] {
        outside.allowed(statement);
    }
}
