//! What tenants may reach outside their schema: declared, granted natively, by mode, and taken back.

use plio_tests::{Cluster, TwoTenants, expect_sqlstate, first, refused};
use postgres::{Client, Error};

fn two_tenants(prefix: &str, sql: &str) -> TwoTenants {
    let fixture = Cluster::shared().database(prefix).two_tenants();
    fixture.db.superuser().batch_execute(sql).unwrap();
    fixture
}

/// Runs a statement inside acme, in a transaction of its own that is rolled back.
fn inside(client: &mut Client, statement: &str) -> Result<(), Error> {
    client.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    let result = client.batch_execute(statement);
    client.batch_execute("ROLLBACK").unwrap();
    result
}

#[track_caller]
fn assert_all(client: &mut Client, allowed: &[&str], refused_ones: &[&str]) {
    for statement in allowed {
        inside(client, statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    for statement in refused_ones {
        expect_sqlstate(inside(client, statement), "42501");
    }
}

/// The native privileges of the group of all tenants' roles.
#[track_caller]
fn granted(client: &mut Client, relation: &str) -> String {
    let query = "SELECT coalesce(string_agg(privilege_type, ' ' ORDER BY privilege_type), '-')
                   FROM pg_class, aclexplode(relacl)
                  WHERE oid = $1::text::regclass AND grantee = 'plio_tenant'::regrole";
    client.query_one(query, &[&relation]).unwrap().get(0)
}

const THINGS: &str = "
    CREATE TABLE public.things (id serial PRIMARY KEY, name text);
    INSERT INTO public.things (name) VALUES ('one');";

#[test]
fn a_table_is_shared_to_read_or_to_write() {
    let fixture = two_tenants("table", THINGS);
    let mut admin = fixture.db.superuser();
    let mut app = fixture.db.connect(&fixture.app);
    let reads = [
        "SELECT * FROM things",
        "SELECT * FROM public.things",
        "CREATE TABLE own (thing int REFERENCES things); INSERT INTO own VALUES (1)",
    ];
    let writes = [
        "INSERT INTO things (name) VALUES ('two')",
        "UPDATE public.things SET name = 'x'",
        "DELETE FROM things",
        "INSERT INTO things VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = 'y'",
        "MERGE INTO things t USING (VALUES (1)) v (id) ON t.id = v.id WHEN MATCHED THEN DELETE",
    ];
    let never = [
        "TRUNCATE things",
        "ALTER TABLE things ADD COLUMN x int",
        "DROP TABLE things",
        "CREATE INDEX ON things (name)",
        "SELECT setval('public.things_id_seq', 9)",
        "COMMENT ON TABLE things IS 'mine'",
    ];
    for relation in ["SELECT * FROM public.things"].iter().chain(&reads[1..]).chain(&writes[1..2]) {
        assert!(inside(&mut app, relation).is_err(), "not shared: {relation}");
    }
    refused(inside(&mut app, reads[1]), "42501");
    admin.batch_execute("SELECT plio.share('public.things', 'read')").unwrap();
    assert_eq!(granted(&mut admin, "public.things"), "REFERENCES SELECT");
    assert_all(&mut app, &reads, &never);
    for write in writes {
        refused(inside(&mut app, write), "42501");
    }
    admin.batch_execute("SELECT plio.share('public.things', 'write')").unwrap();
    assert_eq!(granted(&mut admin, "public.things"), "DELETE INSERT REFERENCES SELECT UPDATE");
    assert_eq!(granted(&mut admin, "public.things_id_seq"), "SELECT USAGE");
    assert_all(&mut app, &reads, &never);
    assert_all(&mut app, &writes, &[]);
    // Back to read, and to nothing.
    admin.batch_execute("SELECT plio.share('public.things', 'read')").unwrap();
    assert_eq!(granted(&mut admin, "public.things_id_seq"), "SELECT");
    assert_all(&mut app, &reads, &writes);
    admin.batch_execute("SELECT plio.unshare('public.things')").unwrap();
    assert_eq!(granted(&mut admin, "public.things"), "-");
    assert_eq!(granted(&mut admin, "public.things_id_seq"), "-");
    for statement in [reads[1], reads[0], writes[0]] {
        assert!(inside(&mut app, statement).is_err(), "taken back: {statement}");
    }
    // A superuser inside a tenant is bound the same way.
    refused(inside(&mut admin, reads[1]), "42501");
}

#[test]
fn sequences_and_views_are_shared_by_themselves() {
    let fixture = two_tenants(
        "kinds",
        "CREATE SEQUENCE public.counter; CREATE TABLE public.base AS SELECT 1 AS x;
         CREATE TABLE public.hidden AS SELECT 1 AS x;
         CREATE VIEW public.over_base AS SELECT * FROM public.base;
         CREATE VIEW public.over_hidden AS SELECT * FROM public.hidden;
         CREATE MATERIALIZED VIEW public.stored AS SELECT * FROM public.hidden;
         SELECT plio.share('public.counter', 'read'), plio.share('public.base', 'read'),
                plio.share('public.over_base', 'read'), plio.share('public.over_hidden', 'read'),
                plio.share('public.stored', 'read')",
    );
    let mut app = fixture.db.connect(&fixture.app);
    assert_all(
        &mut app,
        &["SELECT last_value FROM counter", "SELECT * FROM over_base", "SELECT * FROM stored"],
        &["SELECT nextval('counter')", "SELECT setval('counter', 5)", "REFRESH MATERIALIZED VIEW stored"],
    );
    // What lies below a view is judged, too.
    refused(inside(&mut app, "SELECT * FROM over_hidden"), "42501");
    fixture.db.superuser().batch_execute("SELECT plio.share('public.counter', 'write')").unwrap();
    assert_all(&mut app, &["SELECT nextval('counter')"], &["SELECT setval('counter', 5)"]);
}

#[test]
fn a_schema_is_shared_with_what_is_created_in_it_later() {
    let fixture = two_tenants(
        "schema",
        "CREATE SCHEMA lookup; CREATE TABLE lookup.early AS SELECT 1 AS x; CREATE SEQUENCE lookup.numbers;
         CREATE TABLE lookup.special AS SELECT 1 AS x;
         SELECT plio.share('lookup', 'read'), plio.share('lookup.special', 'write')",
    );
    let mut admin = fixture.db.superuser();
    let mut app = fixture.db.connect(&fixture.app);
    // By whichever statement, and by whom it may be.
    let owner = fixture.db.login_role("owner");
    admin
        .batch_execute(&format!(
            "GRANT ALL ON SCHEMA lookup TO \"{owner}\"; CREATE TABLE public.moved AS SELECT 1 AS x"
        ))
        .unwrap();
    fixture.db.connect(&owner).batch_execute("CREATE TABLE lookup.by_owner AS SELECT 1 AS x").unwrap();
    admin
        .batch_execute(
            "CREATE TABLE lookup.later (x serial); SELECT 1 AS x INTO lookup.selected;
             CREATE VIEW lookup.seen AS SELECT * FROM lookup.early;
             CREATE MATERIALIZED VIEW lookup.stored AS SELECT * FROM lookup.early;
             CREATE TABLE lookup.parted (x int) PARTITION BY LIST (x);
             CREATE TABLE lookup.part PARTITION OF lookup.parted DEFAULT;
             ALTER TABLE public.moved SET SCHEMA lookup",
        )
        .unwrap();
    let relations =
        ["early", "numbers", "special", "by_owner", "later", "selected", "seen", "stored", "parted", "moved"];
    for relation in relations {
        inside(&mut app, &format!("SELECT * FROM {relation}"))
            .unwrap_or_else(|error| panic!("{relation}: {error:?}"));
    }
    refused(inside(&mut app, "INSERT INTO early VALUES (2)"), "42501");
    assert_all(&mut app, &["INSERT INTO special VALUES (2)"], &["SELECT nextval('later_x_seq')"]);
    admin.batch_execute("SELECT plio.share('lookup', 'write')").unwrap();
    assert_all(
        &mut app,
        &["INSERT INTO early VALUES (2)", "INSERT INTO later DEFAULT VALUES"],
        &["DROP TABLE early"],
    );
    // Taken back as a whole; what is shared by itself stays.
    admin.batch_execute("SELECT plio.unshare('lookup')").unwrap();
    refused(inside(&mut app, "SELECT * FROM lookup.early"), "42501");
    assert_all(&mut app, &["INSERT INTO special VALUES (2)"], &["SELECT * FROM lookup.by_owner"]);
    for relation in ["lookup.early", "lookup.later", "lookup.later_x_seq", "lookup.by_owner", "lookup.moved"]
    {
        assert_eq!(granted(&mut admin, relation), "-", "{relation}");
    }
}

// Sharing one table of a shared schema again does not take away what the schema gives, nor does taking it back.
#[test]
fn a_share_inside_a_shared_schema_only_adds() {
    let fixture = two_tenants(
        "adds",
        "CREATE SCHEMA lookup; CREATE TABLE lookup.t AS SELECT 1 AS x; SELECT plio.share('lookup', 'write')",
    );
    let mut admin = fixture.db.superuser();
    let mut app = fixture.db.connect(&fixture.app);
    for call in [
        "share('lookup.t', 'read')",
        "unshare('lookup.t')",
        "share('lookup.t', 'write')",
        "unshare('lookup.t')",
    ] {
        admin.batch_execute(&format!("SELECT plio.{call}")).unwrap();
        inside(&mut app, "SELECT * FROM t; UPDATE t SET x = 2")
            .unwrap_or_else(|error| panic!("{call}: {error:?}"));
    }
    // Renewing the schema's share keeps what a relation has beyond it.
    admin.batch_execute("SELECT plio.share('lookup.t', 'write'), plio.share('lookup', 'read')").unwrap();
    inside(&mut app, "UPDATE t SET x = 2").unwrap();
}

#[test]
fn a_share_follows_its_object_and_ends_with_it() {
    let fixture = two_tenants(
        "follows",
        "CREATE SCHEMA lookup; CREATE TABLE lookup.t AS SELECT 1 AS x; CREATE TABLE public.t1 AS SELECT 1 AS x;
         SELECT plio.share('lookup', 'read'), plio.share('public.t1', 'read')",
    );
    let mut admin = fixture.db.superuser();
    let mut app = fixture.db.connect(&fixture.app);
    admin.batch_execute("ALTER TABLE public.t1 RENAME TO t2; ALTER SCHEMA lookup RENAME TO looked").unwrap();
    assert_all(&mut app, &["SELECT * FROM t2", "SELECT * FROM looked.t"], &[]);
    admin
        .batch_execute(
            "CREATE TABLE public.t1 AS SELECT 1 AS x; CREATE SCHEMA lookup; CREATE TABLE lookup.t ()",
        )
        .unwrap();
    assert_all(&mut app, &[], &["SELECT * FROM public.t1", "SELECT * FROM lookup.t"]);
    admin.batch_execute("DROP TABLE public.t2; DROP SCHEMA looked CASCADE").unwrap();
    assert_eq!(admin.query("SELECT 1 FROM plio.shares WHERE schema_name <> 'public'", &[]).unwrap().len(), 0);
    admin
        .batch_execute(
            "CREATE TABLE public.t2 AS SELECT 1 AS x; CREATE SCHEMA looked; CREATE TABLE looked.t ()",
        )
        .unwrap();
    assert_all(
        &mut app,
        &["SELECT * FROM countries"],
        &["SELECT * FROM public.t2", "SELECT * FROM looked.t"],
    );
    // Nor does the owner of a shared table put another one in its place.
    let carol = &fixture.carol;
    admin.batch_execute(&format!("GRANT CREATE ON SCHEMA public TO {carol}")).unwrap();
    let mut carol = fixture.db.connect(carol);
    let make = "CREATE TABLE public.mine AS SELECT 1 AS x; GRANT ALL ON public.mine TO PUBLIC";
    carol.batch_execute(make).unwrap();
    admin.batch_execute("SELECT plio.share('public.mine', 'write')").unwrap();
    assert_all(&mut app, &["SELECT * FROM mine"], &[]);
    for change in ["DROP TABLE public.mine", "ALTER TABLE public.mine RENAME TO former"] {
        carol.batch_execute(&format!("{change}; {make}")).unwrap();
        assert_all(&mut app, &[], &["SELECT * FROM public.mine", "INSERT INTO public.mine VALUES (2)"]);
        admin.batch_execute("SELECT plio.share('public.mine', 'write')").unwrap();
    }
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let fixture = two_tenants(
        "errors",
        "CREATE TYPE public.mood AS ENUM ('a'); CREATE TABLE public.t (x int PRIMARY KEY)",
    );
    let mut admin = fixture.db.superuser();
    let ann = fixture.db.login_role("ann");
    admin.batch_execute(&format!("GRANT plio_admin TO {ann}")).unwrap();
    let mut ann = fixture.db.connect(&ann);
    for (call, code) in [
        ("share('tenant_acme', 'read')", "22023"),
        ("share('tenant_acme.users', 'read')", "22023"),
        ("share('pg_catalog', 'read')", "22023"),
        ("share('pg_catalog.pg_class', 'write')", "22023"),
        ("share('information_schema', 'read')", "22023"),
        ("share('plio', 'read')", "22023"),
        ("share('plio.tenants', 'read')", "22023"),
        ("share('pg_toast', 'read')", "22023"),
        ("share('public.t', 'all')", "22023"),
        ("share('public.t', '')", "22023"),
        ("share('a.b.c', 'read')", "22023"),
        ("share('', 'read')", "22023"),
        ("share('public.', 'read')", "22023"),
        ("share('nowhere', 'read')", "42704"),
        ("share('nowhere.t', 'read')", "42704"),
        ("share('public.missing', 'read')", "42704"),
        ("share('public.mood', 'read')", "42704"),
        ("share('public.t_pkey', 'read')", "42704"),
        ("unshare('public.t')", "42704"),
        ("unshare('public')", "42704"),
        ("unshare('public.missing')", "42704"),
        ("unshare('tenant_acme.users')", "22023"),
    ] {
        for client in [&mut admin, &mut ann] {
            let result = client.batch_execute(&format!("SELECT plio.{call}"));
            let code_found =
                result.as_ref().err().and_then(|e| e.as_db_error()).map(|db| db.code().code().to_owned());
            assert_eq!(code_found.as_deref(), Some(code), "{call}: {result:?}");
            refused(result, code);
        }
    }
    // Names are spelled as in SQL: folded, or quoted.
    admin.batch_execute("CREATE TABLE public.\"Odd Name.\" AS SELECT 1 AS x").unwrap();
    admin
        .batch_execute("SELECT plio.share('PUBLIC.T', 'read'), plio.share('public.\"Odd Name.\"', 'read')")
        .unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    assert_all(&mut app, &["SELECT * FROM t", "SELECT * FROM \"Odd Name.\""], &[]);
}

/// The privileges are PostgreSQL's, and may be lost, as by a restore without roles: health() says so, and repair() grants them again.
#[test]
fn what_is_shared_and_not_granted_is_found_and_granted_again() {
    let fixture = two_tenants(
        "lost_grants",
        &format!(
            "{THINGS} CREATE SEQUENCE public.numbers; CREATE SCHEMA lookup; CREATE TABLE lookup.codes (x int); CREATE TABLE lookup.more ();
             CREATE FUNCTION public.twice(i int) RETURNS int LANGUAGE sql AS 'SELECT 2 * i'; REVOKE ALL ON FUNCTION public.twice(int) FROM PUBLIC;
             SELECT plio.share('public.things', 'write'), plio.share('public.numbers', 'write'), plio.share('lookup', 'read'),
                    plio.share('public.twice(int)', 'read')"
        ),
    );
    let mut admin = fixture.db.superuser();
    let mut app = fixture.db.connect(&fixture.app);
    let uses = [
        "INSERT INTO things (name) VALUES ('x')",
        "SELECT nextval('public.numbers')",
        "SELECT * FROM lookup.codes",
        "SELECT public.twice(1)",
    ];
    let found =
        "SELECT coalesce(string_agg(split_part(detail, ' ', 1), ' ' ORDER BY detail), '') FROM plio.health()
                  WHERE finding = 'share_not_granted'";
    assert_all(&mut app, &uses, &[]);
    for (lost, said, failing) in [
        ("REVOKE DELETE ON public.things FROM plio_tenant", "public.things", None),
        (
            "REVOKE ALL ON public.things, public.things_id_seq FROM plio_tenant",
            "public.things public.things_id_seq",
            Some(uses[0]),
        ),
        ("REVOKE USAGE ON SEQUENCE public.numbers FROM plio_tenant", "public.numbers", Some(uses[1])),
        ("REVOKE SELECT ON lookup.codes FROM plio_tenant", "lookup", Some(uses[2])),
        ("REVOKE USAGE ON SCHEMA lookup FROM plio_tenant", "lookup", Some(uses[2])),
        (
            "REVOKE EXECUTE ON FUNCTION public.twice(int) FROM plio_tenant",
            "public.twice(integer)",
            Some(uses[3]),
        ),
    ] {
        admin.batch_execute(lost).unwrap();
        assert_eq!(first(&mut admin, found), said, "{lost}");
        assert_all(&mut app, &[], failing.as_slice());
        let repaired =
            "SELECT string_agg(action || ' ' || old_name, ',' ORDER BY old_name) FROM plio.repair()";
        assert_eq!(
            first(&mut admin, repaired),
            said.split(' ').map(|one| format!("share_granted {one}")).collect::<Vec<_>>().join(",")
        );
        assert_eq!(first(&mut admin, found), "", "{lost}");
        assert_all(&mut app, &uses, &[]);
    }
    assert_eq!(granted(&mut admin, "public.things"), "DELETE INSERT REFERENCES SELECT UPDATE");
    assert_eq!(granted(&mut admin, "lookup.more"), "REFERENCES SELECT");
}

/// What lies in another session's temporary schema goes with that session.
#[test]
fn another_sessions_temporary_table_is_not_shared() {
    let fixture = two_tenants("temporary", "");
    let mut owner = fixture.db.superuser();
    owner.batch_execute("CREATE TEMP TABLE t (x int); CREATE TEMP SEQUENCE s").unwrap();
    owner.batch_execute("CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'").unwrap();
    let schema: String =
        owner.query_one("SELECT pg_my_temp_schema()::regnamespace::text", &[]).unwrap().get(0);
    let mut admin = fixture.db.superuser();
    for object in ["", ".t", ".s", ".f()"] {
        for client in [&mut admin, &mut owner] {
            let share = format!("SELECT plio.share('{schema}{object}', 'read')");
            let error = expect_sqlstate(client.batch_execute(&share), "22023");
            assert!(error.message().contains("cannot be shared with tenants"), "{share}: {error:?}");
        }
    }
    // The control: the same in a schema of the application's.
    admin.batch_execute("CREATE TABLE public.t (x int); SELECT plio.share('public.t', 'read')").unwrap();
}

/// In a schema that is shared to write, what an extension makes or brings along keeps the extension's own grants.
#[test]
fn an_extensions_relations_are_not_opened_by_their_schemas_share() {
    let fixture = two_tenants(
        "members",
        "CREATE SCHEMA lookup; SELECT plio.share('lookup', 'write'); CREATE EXTENSION pg_buffercache SCHEMA lookup;
         CREATE TABLE lookup.made (x int); CREATE TABLE public.moved (x int); CREATE TABLE public.member (x int);
         ALTER EXTENSION pg_buffercache ADD TABLE public.member;
         ALTER TABLE public.moved SET SCHEMA lookup; ALTER TABLE public.member SET SCHEMA lookup",
    );
    let mut admin = fixture.db.superuser();
    for own in ["lookup.made", "lookup.moved"] {
        assert_eq!(granted(&mut admin, own), "DELETE INSERT REFERENCES SELECT UPDATE", "{own}");
    }
    for member in ["lookup.pg_buffercache", "lookup.member"] {
        assert_eq!(granted(&mut admin, member), "-", "{member}");
    }
}

/// A table may have the very name that a function has with its arguments: each is shared, renamed and dropped by itself.
#[test]
fn a_table_with_the_name_of_a_function_is_another_share() {
    let fixture = two_tenants(
        "namesakes",
        "CREATE ROLE namesake_owner; GRANT CREATE ON SCHEMA public TO namesake_owner; SET ROLE namesake_owner;
         CREATE FUNCTION public.f(integer) RETURNS int LANGUAGE sql AS 'SELECT 7'; RESET ROLE;
         CREATE TABLE public.\"f(integer)\" AS SELECT 1 AS x",
    );
    let mut admin = fixture.db.superuser();
    let mut app = fixture.db.connect(&fixture.app);
    let (call, read) = ("SELECT public.f(1)", "SELECT x FROM public.\"f(integer)\"");
    let (function, table) = ("public.f(integer)", "public.\"f(integer)\"");
    assert_all(&mut app, &[], &[call, read]);
    admin.batch_execute(&format!("SELECT plio.share('{table}', 'write')")).unwrap();
    assert_all(&mut app, &[read], &[call]);
    admin.batch_execute(&format!("SELECT plio.share('{function}', 'read')")).unwrap();
    assert_all(&mut app, &[read, call, "UPDATE public.\"f(integer)\" SET x = 2"], &[]);
    admin.batch_execute(&format!("SELECT plio.unshare('{function}')")).unwrap();
    assert_all(&mut app, &[read], &[call]);
    admin.batch_execute(&format!("SELECT plio.share('{function}', 'read')")).unwrap();
    admin.batch_execute("ALTER TABLE public.\"f(integer)\" RENAME TO g").unwrap();
    assert_all(&mut app, &[call, "SELECT x FROM public.g"], &[]);
    admin.batch_execute("DROP TABLE public.g").unwrap();
    assert_all(&mut app, &[call], &[]);
    admin
        .batch_execute("DROP FUNCTION public.f; DROP OWNED BY namesake_owner; DROP ROLE namesake_owner")
        .unwrap();
    assert_eq!(
        admin
            .query(
                "SELECT FROM plio.shares WHERE schema_name = 'public' AND relation_name <> 'countries'",
                &[]
            )
            .unwrap()
            .len(),
        0
    );
}

/// USAGE on the schema is all that keeps some functions from being called: who may not call them does not open them, by sharing or by
/// moving a shared table there. It is taken back with the last share, and no share lies in a tenant's schema.
#[test]
fn sharing_opens_a_schema_for_who_may_and_unsharing_closes_it() {
    let fixture = two_tenants(
        "vault",
        "CREATE SCHEMA vault; CREATE TABLE vault.t (x int); CREATE SCHEMA plain; CREATE TABLE plain.t (x int);
         CREATE FUNCTION vault.root() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text'",
    );
    let mut admin = fixture.db.superuser();
    let role = fixture.db.login_role("dba");
    let carol = &fixture.carol;
    admin
        .batch_execute(&format!(
            "GRANT plio_admin TO {role}; CREATE SCHEMA lib; GRANT USAGE, CREATE ON SCHEMA vault TO {carol};
             CREATE TABLE lib.own (id serial); GRANT USAGE, CREATE ON SCHEMA lib TO {carol}; ALTER TABLE lib.own OWNER TO {carol};
             SELECT plio.share('lib.own', 'read')"
        ))
        .unwrap();
    let mut dba = fixture.db.connect(&role);
    let mut app = fixture.db.connect(&fixture.app);
    let (call, read) = ("SELECT vault.root()", "SELECT * FROM vault.t");
    for share in ["vault.root()", "vault.t", "vault"] {
        let error =
            expect_sqlstate(dba.batch_execute(&format!("SELECT plio.share('{share}', 'read')")), "42501");
        assert!(error.message().contains("vault"), "{error:?}");
    }
    fixture.db.connect(carol).batch_execute("ALTER TABLE lib.own SET SCHEMA vault").unwrap();
    assert_all(&mut app, &[], &[call, read, "SELECT * FROM vault.own"]);
    // Where there is no function, or he may use the schema himself, he shares.
    dba.batch_execute("SELECT plio.share('plain.t', 'read')").unwrap();
    admin.batch_execute(&format!("GRANT USAGE ON SCHEMA vault TO {role}")).unwrap();
    dba.batch_execute("SELECT plio.share('vault.t', 'read')").unwrap();
    assert_all(&mut app, &[call, read, "SELECT * FROM plain.t", "SELECT * FROM vault.own"], &[]);
    dba.batch_execute("SELECT plio.unshare('vault.t')").unwrap();
    assert_all(&mut app, &[call], &[read]);
    admin.batch_execute("DROP TABLE vault.own").unwrap();
    assert_all(&mut app, &[], &[call, read]);
    // Into a tenant's schema no share goes along.
    admin
        .batch_execute(
            "CREATE TABLE public.goes (id serial); SELECT plio.share('public.goes', 'write');
             ALTER TABLE public.goes SET SCHEMA tenant_bravo",
        )
        .unwrap();
    assert_eq!(granted(&mut admin, "tenant_bravo.goes"), "-");
    let left = "SELECT count(*)::text FROM plio.shares WHERE schema_name = 'tenant_bravo' OR relation_name LIKE 'goes%'";
    assert_eq!(first(&mut admin, left), "0");
    assert_all(&mut app, &[], &["SELECT * FROM tenant_bravo.goes"]);
}
