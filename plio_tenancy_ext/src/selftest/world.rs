//! The two throw-away tenants: the same ids in both, and what a careless superuser may have left between them.

use crate::error::{Error, Result};
use crate::pg::{catalog, guc, quote_identifier, quote_literal, session};
use crate::tenant::Org;
use crate::{cache, context, lifecycle, registry};
use pgrx::prelude::*;

/// The names in the own tenant, by id; the other one's are the canary with the same ids.
pub const OWN_NAMES: &str = "own-1,own-2,own-3";

/// Both tenants, while they exist.
pub struct World {
    own: Org,
    other: Org,
    /// Their schemas, quoted.
    pub own_schema: String,
    pub other_schema: String,
    /// The other tenant's role, quoted.
    pub other_role: String,
    /// A schema with a table that is not shared, quoted.
    pub unshared_schema: String,
    /// The other tenant's large object and sequence.
    pub large_object: String,
    pub sequence: String,
    /// Whether the caller may enter every tenant anyhow.
    pub may_enter_all: bool,
}

impl World {
    /// Makes both tenants.
    ///
    /// # Errors
    /// Those of `create_tenant`.
    pub fn create() -> Result<Self> {
        let process = std::process::id();
        let org =
            |which: &str| Org::parse(&format!("plio-selftest-{process}-{which}")).map_err(Error::BadOrg);
        let (own, other) = (org("own")?, org("other")?);
        let caller = session::outer_user();
        let name = catalog::role_name(caller).ok_or_else(|| Error::Bug("no such role".to_owned()))?;
        if catalog::role_oid(&name) != Some(caller) {
            return Err(Error::BadArgument {
                message: "the name of the calling role is not valid in encoding UTF8".to_owned(),
                hint: "Call it as another role, or rename this one in a database of the encoding in which it was made.",
            });
        }
        session::as_superuser(|| {
            let (own_schema, _) = lifecycle::make_throw_away(&own)?;
            let (other_schema, other_role) = lifecycle::make_throw_away(&other)?;
            let tenant = cache::tenant(&other).ok_or_else(|| Error::Bug("no tenant".to_owned()))?;
            let may_enter_all = cache::may_enter(caller, &tenant);
            let [own_schema, other_schema] = [own_schema, other_schema].map(|name| quote_identifier(&name));
            let mut world = World {
                own_schema,
                other_schema,
                other_role: quote_identifier(&other_role),
                unshared_schema: quote_identifier(&format!("plio_selftest_{process}")),
                large_object: String::new(),
                sequence: String::new(),
                may_enter_all,
                own,
                other,
            };
            world.fill()?;
            Ok(world)
        })
    }

    /// Tables, rows and ties. Not judged, as a superuser's mistakes would not have been; fixed text, whoever calls.
    fn fill(&mut self) -> Result<()> {
        guc::set_until_level_ends(c"plio.enforcement", c"off");
        let own_role = cache::tenant(&self.own)
            .and_then(|tenant| Some(tenant.role.as_ref()?.name.to_string_lossy().into_owned()));
        let own_role = quote_identifier(&own_role.unwrap_or_default());
        let (own, other, unshared) = (&self.own_schema, &self.other_schema, &self.unshared_schema);
        for (schema, role, prefix) in [(own, &own_role, "own"), (other, &self.other_role, "canary")] {
            registry::run(&format!(
                "CREATE TABLE {schema}.users (id bigserial PRIMARY KEY, name text);
                 INSERT INTO {schema}.users (name) VALUES ('{prefix}-1'), ('{prefix}-2'), ('{prefix}-3');
                 ALTER TABLE {schema}.users OWNER TO {role};
                 ANALYZE {schema}.users"
            ))?;
        }
        registry::run(&format!(
            "CREATE VIEW {own}.planted_view AS SELECT name FROM {other}.users;
             CREATE FUNCTION {own}.planted_function() RETURNS text LANGUAGE sql SECURITY DEFINER
                 SET search_path = pg_catalog, pg_temp AS 'SELECT string_agg(name, '','') FROM {other_in_quotes}.users';
             CREATE TABLE {own}.planted_child (id bigint REFERENCES {other}.users);
             CREATE TABLE {own}.planted_parent (id bigint, name text);
             CREATE TABLE {other}.planted_part () INHERITS ({own}.planted_parent);
             INSERT INTO {other}.planted_part VALUES (1, 'canary-4');
             GRANT ALL ON {own}.planted_view, {own}.planted_parent TO {own_role};
             ALTER TABLE {own}.planted_child OWNER TO {own_role};
             CREATE SCHEMA {unshared}; GRANT USAGE ON SCHEMA {unshared} TO PUBLIC;
             CREATE TABLE {unshared}.things AS SELECT 'canary-5'::text AS name;
             GRANT ALL ON {unshared}.things TO PUBLIC",
            other_in_quotes = other.replace('\'', "''"),
        ))?;
        self.large_object = one("SELECT lo_from_bytea(0, 'canary-6')::text")?.unwrap_or_default();
        registry::run(&format!("ALTER LARGE OBJECT {} OWNER TO {}", self.large_object, self.other_role))?;
        let table = quote_literal(&format!("{other}.users"));
        self.sequence = one(&format!("SELECT pg_get_serial_sequence({table}, 'id')::regclass::oid::text"))?
            .unwrap_or_default();
        Ok(())
    }

    /// The tenant that the caller may enter.
    pub fn own_org(&self) -> &Org {
        &self.own
    }

    /// The other one.
    pub fn other_org(&self) -> &str {
        self.other.as_str()
    }

    /// Both.
    pub fn orgs(&self) -> [Org; 2] {
        [self.own.clone(), self.other.clone()]
    }

    /// The own tenant's rows, as the caller sees them inside it.
    ///
    /// # Errors
    /// XX000.
    pub fn own_names(&self) -> Result<Option<String>> {
        debug_assert!(context::is_active());
        one("SELECT string_agg(name, ',' ORDER BY id) FROM users")
    }

    /// How many objects of real tenants the caller's role has privileges on by itself; of tenants with a role of their own.
    ///
    /// # Errors
    /// XX000.
    pub fn reachable_by_caller(&self) -> Result<i64> {
        let caller = session::outer_user().to_u32();
        let query = format!(
            "SELECT count(*)
               FROM plio.tenants t JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema_name
               JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
              WHERE t.role_name IS NOT NULL AND t.org <> ALL (ARRAY[{}, {}])
                AND CASE c.relkind WHEN 'S' THEN pg_catalog.has_sequence_privilege({caller}::oid, c.oid, 'USAGE, SELECT, UPDATE')
                    ELSE pg_catalog.has_table_privilege({caller}::oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE') END",
            quote_literal(self.own.as_str()),
            quote_literal(self.other.as_str())
        );
        let count = session::as_superuser(|| Spi::get_one::<i64>(&query));
        Ok(count.map_err(|error| Error::Bug(error.to_string()))?.unwrap_or(0))
    }
}

fn one(query: &str) -> Result<Option<String>> {
    Spi::get_one::<String>(query).map_err(|error| Error::Bug(error.to_string()))
}
