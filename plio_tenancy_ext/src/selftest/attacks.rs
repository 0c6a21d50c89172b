//! The attacks: what a mistake, or somebody who injects SQL, would send.
//!
//! In the texts `{own}` and `{other}` stand for the tenants' schemas, `{role}`, `{org}`, `{lo}` and `{seq}` for the other
//! tenant's role, org, large object and sequence, `{unshared}` for a schema that is not shared.

use super::world::World;

/// Where an attack is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Inside the own tenant.
    Inside,
    /// Without a tenant.
    Outside,
    /// Without a tenant, against one that the caller was not given access to.
    Ungranted,
}

/// One attack. With `gives_rows`, the last statement gives a text: of what leaked, null when nothing did. Else to carry
/// it out is the leak.
pub struct Attack {
    pub name: &'static str,
    pub place: Place,
    pub gives_rows: bool,
    before: &'static [&'static str],
    last: &'static str,
}

impl Attack {
    /// Its statements for these tenants: those that prepare, and the last one.
    pub fn statements(&self, world: &World) -> (Vec<String>, String) {
        let filled = |text: &&str| {
            text.replace("{own}", &world.own_schema)
                .replace("{other}", &world.other_schema)
                .replace("{role}", &world.other_role)
                .replace("{org}", world.other_org())
                .replace("{unshared}", &world.unshared_schema)
                .replace("{lo}", &world.large_object)
                .replace("{seq}", &world.sequence)
        };
        (self.before.iter().map(filled).collect(), filled(&self.last))
    }
}

const fn reads(name: &'static str, place: Place, last: &'static str) -> Attack {
    Attack { name, place, gives_rows: true, before: &[], last }
}

const fn does(name: &'static str, place: Place, last: &'static str) -> Attack {
    Attack { name, place, gives_rows: false, before: &[], last }
}

const fn then_reads(
    name: &'static str,
    place: Place,
    before: &'static [&'static str],
    last: &'static str,
) -> Attack {
    Attack { name, place, gives_rows: true, before, last }
}

const CANARIES: &str = "SELECT string_agg(name, ',') FROM users WHERE name LIKE 'canary%'";

use Place::{Inside, Outside, Ungranted};

/// All of them, in the order of the rows.
pub const ATTACKS: &[Attack] = &[
    reads("forgotten tenant: select", Outside, "SELECT string_agg(name, ',') FROM {other}.users"),
    does("forgotten tenant: update", Outside, "UPDATE {other}.users SET name = 'changed'"),
    does("forgotten tenant: truncate", Outside, "TRUNCATE {other}.users"),
    then_reads("forgotten tenant: search_path", Outside, &["SET LOCAL search_path = {other}"], CANARIES),
    reads(
        "forgotten tenant: statistics",
        Outside,
        "SELECT string_agg(attname, ',') FROM pg_catalog.pg_stats WHERE quote_ident(schemaname) = '{other}'",
    ),
    reads("forgotten tenant: sequence by oid", Outside, "SELECT pg_catalog.nextval({seq}::regclass)::text"),
    reads("forgotten tenant: large object", Outside, "SELECT pg_catalog.lo_get({lo})::text"),
    does("forgotten tenant: the tenant's role", Outside, "SET LOCAL ROLE {role}"),
    does("forgotten tenant: drop", Outside, "DROP TABLE {other}.users CASCADE"),
    does("a tenant without access to it", Ungranted, "SELECT plio.set_tenant('{org}')"),
    reads("qualified name: select", Inside, "SELECT string_agg(name, ',') FROM {other}.users"),
    reads(
        "qualified name: join",
        Inside,
        "SELECT string_agg(b.name, ',') FROM users a JOIN {other}.users b USING (id)",
    ),
    does("qualified name: insert", Inside, "INSERT INTO {other}.users (name) VALUES ('planted')"),
    does("qualified name: update", Inside, "UPDATE {other}.users SET name = 'changed'"),
    does("qualified name: delete", Inside, "DELETE FROM {other}.users"),
    does("qualified name: truncate", Inside, "TRUNCATE {other}.users"),
    does("qualified name: lock", Inside, "LOCK TABLE {other}.users IN ACCESS SHARE MODE"),
    reads(
        "query text as an argument",
        Inside,
        "SELECT pg_catalog.query_to_xml('SELECT name FROM {other}.users', true, false, '')::text",
    ),
    reads("size by name", Inside, "SELECT pg_catalog.pg_relation_size('{other}.users')::text"),
    does("search_path", Inside, "SET LOCAL search_path = {other}"),
    does("search_path by set_config", Inside, "SELECT pg_catalog.set_config('search_path', '{other}', true)"),
    // The path is free within the tenant's reach.
    then_reads(
        "search_path by reset",
        Inside,
        &["RESET search_path"],
        "SELECT string_agg(s, ',') FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) s WHERE quote_ident(s) = '{other}'",
    ),
    does("role by reset", Inside, "RESET ROLE"),
    does("role by set_config", Inside, "SELECT pg_catalog.set_config('role', NULL, true)"),
    does("the other tenant's role", Inside, "SET LOCAL ROLE {role}"),
    does("session authorization", Inside, "SET LOCAL SESSION AUTHORIZATION DEFAULT"),
    does("a second tenant", Inside, "SELECT plio.set_tenant('{org}')"),
    does("a second tenant by setting", Inside, "SET LOCAL plio.tenant = '{org}'"),
    does("leaving the tenant", Inside, "RESET plio.tenant"),
    does("turning enforcement off", Inside, "SET LOCAL plio.enforcement = off"),
    does("management inside a tenant", Inside, "SELECT plio.grant_access(session_user::text, '{org}')"),
    reads("sequence by oid: nextval", Inside, "SELECT pg_catalog.nextval({seq}::regclass)::text"),
    reads("sequence by oid: setval", Inside, "SELECT pg_catalog.setval({seq}::regclass, 1000)::text"),
    reads(
        "statistics of values",
        Inside,
        "SELECT string_agg(attname, ',') FROM pg_catalog.pg_stats WHERE quote_ident(schemaname) = '{other}'",
    ),
    reads("large object", Inside, "SELECT pg_catalog.lo_get({lo})::text"),
    reads("planted view", Inside, "SELECT string_agg(name, ',') FROM planted_view"),
    reads("planted definer function", Inside, "SELECT planted_function()"),
    does("planted foreign key as an oracle", Inside, "INSERT INTO planted_child VALUES (1)"),
    reads("planted inheritance", Inside, "SELECT string_agg(name, ',') FROM planted_parent"),
    reads("what is not shared", Inside, "SELECT string_agg(name, ',') FROM {unshared}.things"),
    does("view made over another tenant", Inside, "CREATE VIEW spy AS SELECT * FROM {other}.users"),
    does(
        "foreign key made to another tenant",
        Inside,
        "CREATE TABLE spy (id bigint REFERENCES {other}.users)",
    ),
    does("table made in another tenant", Inside, "CREATE TABLE {other}.spy (id int)"),
    does("dropping another tenant's schema", Inside, "DROP SCHEMA {other} CASCADE"),
    does("granting the own tables away", Inside, "GRANT SELECT ON users TO PUBLIC"),
    does("making a role", Inside, "CREATE ROLE plio_selftest_spy"),
    does("a server program", Inside, "COPY users TO PROGRAM 'true'"),
    reads("a server file", Inside, "SELECT pg_catalog.pg_read_file('PG_VERSION')"),
    does("listening beyond the tenant", Inside, "LISTEN plio_selftest"),
    then_reads(
        "a refusal that is caught",
        Inside,
        &["DO $do$ BEGIN PERFORM * FROM {other}.users; EXCEPTION WHEN OTHERS THEN NULL; END $do$"],
        CANARIES,
    ),
];
