//! What pg_depend records between tenants.

use plio_tests::Cluster;

use crate::case::{Case, audit, check};

const ACME: Option<&str> = Some("acme");
const BRAVO: Option<&str> = Some("bravo");

pub const CASES: &[Case] = &[
    Case::new(
        "many_references",
        "info",
        None,
        "countries",
        "DO $$ BEGIN FOR i IN 1..100 LOOP
             EXECUTE format('CREATE TABLE tenant_acme.many%s (c text REFERENCES countries)', i);
         END LOOP; END $$",
    )
    .mend("DO $$ BEGIN FOR i IN 1..100 LOOP EXECUTE format('DROP TABLE tenant_acme.many%s', i); END LOOP; END $$"),
    Case::new(
        "foreign_key",
        "critical",
        ACME,
        "users_boss on tenant_acme.users",
        "ALTER TABLE tenant_acme.users ADD COLUMN boss bigint CONSTRAINT users_boss REFERENCES tenant_bravo.users",
    )
    .after("ALTER TABLE tenant_acme.users DROP COLUMN boss"),
    Case::new(
        "foreign_key",
        "critical",
        BRAVO,
        "on public.countries",
        "ALTER TABLE public.countries ADD COLUMN king bigint REFERENCES tenant_bravo.users",
    )
    .after("ALTER TABLE public.countries DROP COLUMN king"),
    Case::new(
        "view",
        "critical",
        ACME,
        "tenant_acme.\"both\"",
        "CREATE VIEW tenant_acme.both AS SELECT name FROM tenant_acme.users UNION ALL SELECT name FROM tenant_bravo.users",
    ),
    Case::new(
        "view",
        "critical",
        BRAVO,
        "public.\"Ever\"\"y\"",
        "CREATE MATERIALIZED VIEW public.\"Ever\"\"y\" AS SELECT name FROM tenant_bravo.users",
    ),
    Case::new(
        "rule",
        "critical",
        ACME,
        "copy on tenant_acme.users",
        "CREATE RULE copy AS ON INSERT TO tenant_acme.users DO ALSO INSERT INTO tenant_bravo.users (name) VALUES (new.name)",
    ),
    Case::new(
        "inheritance",
        "critical",
        ACME,
        "tenant_acme.child",
        "CREATE TABLE tenant_acme.child () INHERITS (tenant_bravo.users)",
    )
    .before("ALTER TABLE tenant_bravo.users ALTER COLUMN id DROP DEFAULT")
    .after("DROP TABLE tenant_acme.child"),
    Case::new(
        "inheritance",
        "critical",
        BRAVO,
        "tenant_bravo.part",
        "CREATE TABLE public.parts (id int) PARTITION BY LIST (id);
         CREATE TABLE tenant_bravo.part PARTITION OF public.parts FOR VALUES IN (1)",
    )
    .after("DROP TABLE tenant_bravo.part, public.parts"),
    Case::new(
        "default",
        "critical",
        ACME,
        "for tenant_acme.users.id",
        "ALTER TABLE tenant_acme.users ALTER COLUMN id SET DEFAULT nextval('tenant_bravo.users_id_seq')",
    )
    .after("ALTER TABLE tenant_acme.users ALTER COLUMN id SET DEFAULT nextval('tenant_acme.users_id_seq')"),
    Case::new(
        "default",
        "critical",
        ACME,
        "for tenant_acme.users.loud",
        "ALTER TABLE tenant_acme.users ADD COLUMN loud text GENERATED ALWAYS AS (tenant_bravo.shout(name)) STORED",
    )
    .before("CREATE FUNCTION tenant_bravo.shout(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT upper($1)'")
    .after("ALTER TABLE tenant_acme.users DROP COLUMN loud"),
    Case::new(
        "trigger",
        "critical",
        ACME,
        "spy on tenant_acme.users",
        "CREATE TRIGGER spy BEFORE INSERT ON tenant_acme.users FOR EACH ROW EXECUTE FUNCTION tenant_bravo.spy()",
    )
    .before("CREATE FUNCTION tenant_bravo.spy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'"),
    Case::new(
        "policy",
        "critical",
        ACME,
        "peek on tenant_acme.users",
        "CREATE POLICY peek ON tenant_acme.users USING (EXISTS (SELECT FROM tenant_bravo.users b WHERE b.id = id))",
    )
    .before("ALTER TABLE tenant_acme.users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    .after("ALTER TABLE tenant_acme.users DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"),
    Case::new(
        "constraint",
        "critical",
        ACME,
        "loud on tenant_acme.users",
        "ALTER TABLE tenant_acme.users ADD CONSTRAINT loud CHECK (tenant_bravo.shout(name) <> 'x')",
    ),
    Case::new(
        "constraint",
        "critical",
        ACME,
        "short on tenant_acme.word",
        "ALTER DOMAIN tenant_acme.word ADD CONSTRAINT short CHECK (tenant_bravo.shout(value) <> 'x')",
    )
    .before("CREATE DOMAIN tenant_acme.word AS text"),
    Case::new(
        "index",
        "critical",
        ACME,
        "tenant_acme.loudly",
        "CREATE INDEX loudly ON tenant_acme.users (tenant_bravo.shout(name))",
    ),
    Case::new(
        "sequence_owner",
        "critical",
        BRAVO,
        "public.numbers",
        "ALTER SEQUENCE public.numbers OWNED BY NONE; ALTER SEQUENCE public.numbers OWNED BY public.numbered.id;
         UPDATE pg_depend SET refobjid = 'tenant_bravo.users'::regclass WHERE objid = 'public.numbers'::regclass AND deptype = 'a'",
    )
    .before("CREATE SEQUENCE public.numbers; CREATE TABLE public.numbered (id int)"),
    Case::new(
        "type",
        "critical",
        ACME,
        "tenant_acme.users",
        "ALTER TABLE tenant_acme.users ADD COLUMN mood tenant_bravo.mood",
    )
    .before("CREATE TYPE tenant_bravo.mood AS ENUM ('happy')")
    .after("ALTER TABLE tenant_acme.users DROP COLUMN mood"),
    Case::new("type", "critical", ACME, "tenant_acme.mine", "CREATE DOMAIN tenant_acme.mine AS tenant_bravo.mood"),
    Case::new(
        "function",
        "critical",
        ACME,
        "tenant_acme.peek()",
        "CREATE FUNCTION tenant_acme.peek() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM tenant_bravo.users; END",
    ),
    Case::new(
        "function",
        "critical",
        BRAVO,
        "public.told(tenant_bravo.users)",
        "CREATE FUNCTION public.told(tenant_bravo.users) RETURNS text LANGUAGE sql AS 'SELECT $1.name'",
    ),
    Case::new(
        "other_dependency",
        "critical",
        ACME,
        "tenant_acme.@@@(pg_catalog.text,pg_catalog.text)",
        "CREATE OPERATOR tenant_acme.@@@ (LEFTARG = text, RIGHTARG = text, FUNCTION = tenant_bravo.like_it)",
    )
    .before("CREATE FUNCTION tenant_bravo.like_it(text, text) RETURNS bool LANGUAGE sql AS 'SELECT $1 = $2'"),
    Case::new(
        "other_dependency",
        "critical",
        ACME,
        "tenant_acme.correlated",
        "CREATE STATISTICS tenant_acme.correlated ON (tenant_bravo.shout(name)), id FROM tenant_acme.users",
    ),
    Case::new(
        "global_object",
        "critical",
        BRAVO,
        "(pg_catalog.point AS integer)",
        "CREATE CAST (point AS int4) WITH FUNCTION tenant_bravo.to_int(point)",
    )
    .before("CREATE FUNCTION tenant_bravo.to_int(point) RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    Case::new(
        "global_object",
        "critical",
        BRAVO,
        "everybodys",
        "CREATE EVENT TRIGGER everybodys ON ddl_command_end EXECUTE FUNCTION tenant_bravo.on_ddl()",
    )
    .before("CREATE FUNCTION tenant_bravo.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'"),
];

#[test]
fn each_tie_is_found_and_mended() {
    check(&Cluster::start(&[]).database("audit_ties").two_tenants(), CASES);
}

// What may be: foreign keys to shared tables, views within a tenant, partitions within a tenant, own sequences.
#[test]
fn what_is_allowed_is_no_finding() {
    let fixture = Cluster::shared().database("audit_clean").two_tenants();
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "BEGIN; SELECT plio.set_tenant('acme');
             CREATE TABLE home (id int PRIMARY KEY, code text REFERENCES countries, u bigint REFERENCES users);
             CREATE VIEW homes AS SELECT h.*, c.name FROM home h JOIN countries c USING (code);
             CREATE TABLE parted (id int GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (id)) PARTITION BY LIST (id);
             CREATE TABLE part PARTITION OF parted FOR VALUES IN (1);
             CREATE TYPE mood AS ENUM ('happy'); CREATE TABLE moods (mood mood DEFAULT 'happy');
             CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM users';
             CREATE FUNCTION g() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM tenant_acme.users); END';
             CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM users;
             COMMIT",
        )
        .unwrap();
    let findings: Vec<_> =
        audit(&mut admin).into_iter().filter(|((severity, ..), ..)| severity != "info").collect();
    assert!(findings.is_empty(), "{findings:#?}");
}
