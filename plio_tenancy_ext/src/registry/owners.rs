//! What the registry keeps about the owners of adopted tenants' objects, and the SQL that changes them.

use super::{ShareRow, bug, change};
use crate::error::Result;
use crate::pg::quote_identifier;
use crate::tenant::{Org, ShareMode, TenantId};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// An object that has an owner of its own.
pub struct Owned {
    kind: String,
    identity: String,
}

impl Owned {
    /// As PostgreSQL identifies it.
    pub fn new(kind: Option<String>, identity: Option<String>) -> Self {
        Self { kind: kind.unwrap_or_default(), identity: identity.unwrap_or_default() }
    }

    /// Its kind, as ALTER and DROP spell it.
    fn keyword(&self) -> &str {
        match self.kind.as_str() {
            "function" | "procedure" | "aggregate" => "ROUTINE",
            "statistics object" => "STATISTICS",
            kind => kind,
        }
    }

    /// The statement that drops it and what depends on it; it may be gone with another.
    pub fn drop(&self) -> String {
        format!("DROP {} IF EXISTS {} CASCADE", self.keyword(), self.identity)
    }

    /// The statement that gives it to a role. The identity is PostgreSQL's own, with its schema and quoted.
    pub fn change_owner(&self, role: &str) -> String {
        format!("ALTER {} {} OWNER TO {}", self.keyword(), self.identity, quote_identifier(role))
    }
}

/// Everything in the schema that has an owner of its own.
pub fn owned_objects(schema: Oid) -> Result<Vec<Owned>> {
    Spi::connect(|client| {
        let rows =
            client.select("SELECT type, identity FROM plio._owned_objects($1)", None, &[schema.into()])?;
        rows.map(|row| {
            Ok(Owned {
                kind: row.get::<String>(1)?.unwrap_or_default(),
                identity: row.get::<String>(2)?.unwrap_or_default(),
            })
        })
        .collect::<SpiResult<_>>()
    })
    .map_err(bug)
}

/// Whose the schema is, and what is in it.
pub fn owners_of(schema: Oid) -> Result<Vec<Oid>> {
    Spi::connect(|client| {
        let query = "SELECT nspowner FROM pg_catalog.pg_namespace WHERE oid = $1
                     UNION SELECT r.oid FROM plio._owned_objects($1) o JOIN pg_catalog.pg_roles r ON r.rolname = o.owner";
        let rows = client.select(query, None, &[schema.into()])?;
        rows.map(|row| row.get::<Oid>(1)).filter_map(std::result::Result::transpose).collect::<SpiResult<_>>()
    })
    .map_err(bug)
}

/// Something with its owner.
#[derive(Clone, Debug)]
pub struct OwnedBy {
    /// What it is, for a message.
    pub what: String,
    pub owner_oid: Oid,
    pub owner: String,
}

fn owned_by(query: &str, arguments: &[DatumWithOid<'_>]) -> Result<Vec<OwnedBy>> {
    Spi::connect(|client| {
        let rows = client.select(query, None, arguments)?;
        rows.map(|row| {
            Ok(OwnedBy {
                what: row.get::<String>(1)?.unwrap_or_default(),
                owner_oid: row.get::<Oid>(2)?.unwrap_or(Oid::INVALID),
                owner: row.get::<String>(3)?.unwrap_or_default(),
            })
        })
        .collect::<SpiResult<_>>()
    })
    .map_err(bug)
}

/// The schema and everything in it that has an owner of its own.
pub fn everything_in(schema: Oid) -> Result<Vec<OwnedBy>> {
    let query = "
        SELECT pg_catalog.format('schema %I', n.nspname), n.nspowner, pg_catalog.pg_get_userbyid(n.nspowner)::text
          FROM pg_catalog.pg_namespace n WHERE n.oid = $1
        UNION ALL
        SELECT pg_catalog.format('%s %s', o.type, o.identity), r.oid, r.rolname::text
          FROM plio._owned_objects($1) o JOIN pg_catalog.pg_roles r ON r.rolname = o.owner";
    owned_by(query, &[schema.into()])
}

/// The relations of extensions in a schema, or one of them, that the role may not open to be written.
pub fn extension_relations_closed_to(
    schema: &str,
    relation: Option<&str>,
    role: Oid,
) -> Result<Vec<OwnedBy>> {
    let query = "
        SELECT pg_catalog.format('relation %I.%I', n.nspname, c.relname), c.relowner, pg_catalog.pg_get_userbyid(c.relowner)::text
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.oid = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND ($2::text IS NULL OR c.relname = $2)
           AND NOT CASE c.relkind WHEN 'S' THEN pg_catalog.has_sequence_privilege($3, c.oid, 'USAGE WITH GRANT OPTION')
                        ELSE pg_catalog.has_table_privilege($3, c.oid, 'INSERT WITH GRANT OPTION') END
           AND EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
                        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')";
    let oid = crate::pg::catalog::schema_oid(schema).unwrap_or(Oid::INVALID);
    owned_by(query, &[oid.into(), relation.into(), role.into()])
}

/// What [`objects_with_other_owners`] and the schema would go back to. The oid is invalid where the owner is gone, or was
/// another cluster's.
pub fn owners_before(tenant: TenantId, schema: Oid) -> Result<Vec<OwnedBy>> {
    let query = "
        SELECT pg_catalog.format('schema %I', n.nspname), p.owner_oid, p.owner_name
          FROM plio._owners_before($2) p JOIN pg_catalog.pg_namespace n ON n.oid = $1
         WHERE p.type = 'schema'
        UNION ALL
        SELECT pg_catalog.format('%s %s', o.type, o.identity), p.owner_oid, p.owner_name
          FROM plio._owned_objects($1) o JOIN plio._owners_before($2) p ON (p.type, p.name, p.args) = (o.type, o.name, o.args)";
    owned_by(query, &[schema.into(), tenant.0.into()])
}

/// What is shared, is there, and is not granted to the group.
pub fn shares_without_grants() -> Result<Vec<ShareRow>> {
    Spi::connect(|client| {
        let query = "SELECT schema_name, relation_name, mode, is_function FROM plio._shares_without_grants()";
        let rows = client.select(query, None, &[])?;
        rows.map(|row| {
            Ok(ShareRow {
                schema_name: row.get::<String>(1)?.unwrap_or_default(),
                relation_name: row.get::<String>(2)?,
                mode: row
                    .get::<String>(3)?
                    .and_then(|mode| ShareMode::parse(&mode))
                    .unwrap_or(ShareMode::Read),
                is_function: row.get::<bool>(4)?.unwrap_or(false),
            })
        })
        .collect::<SpiResult<_>>()
    })
    .map_err(bug)
}

/// What makes a role stronger than an ordinary one: an attribute, or a role that it is a member of; `None` for an ordinary one.
pub fn strength_of(role: Oid) -> Result<Option<String>> {
    // Predefined roles have oids below 16384; these three reach nothing.
    let query = "
        WITH RECURSIVE above (oid) AS (
            SELECT $1::oid UNION SELECT m.roleid FROM pg_catalog.pg_auth_members m JOIN above a ON m.member = a.oid)
        SELECT r.rolname::text FROM above a JOIN pg_catalog.pg_roles r ON r.oid = a.oid
         WHERE r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls
            OR r.rolname IN ('plio_admin', 'plio_auditor', 'plio_reporter')
            OR (r.oid < 16384 AND r.rolname NOT IN ('pg_database_owner', 'pg_checkpoint', 'pg_use_reserved_connections'))
         LIMIT 1";
    Spi::connect(|client| {
        let mut rows = client.select(query, None, &[role.into()])?;
        rows.next().map_or(Ok(None), |row| row.get::<String>(1))
    })
    .map_err(bug)
}

/// The owner of a function in the schema that the tenants' group could call if it had USAGE on the schema, which it has not, and
/// the role has not either.
pub fn owner_of_functions_closed_to(schema: &str, role: Oid) -> Result<Option<String>> {
    let query = "
        SELECT pg_catalog.pg_get_userbyid(p.proowner)::text
          FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_proc p ON p.pronamespace = n.oid
         WHERE n.nspname = $1 AND NOT pg_catalog.has_schema_privilege($2, n.oid, 'USAGE')
           AND NOT pg_catalog.has_schema_privilege('plio_tenant', n.oid, 'USAGE')
           AND pg_catalog.has_function_privilege('plio_tenant', p.oid, 'EXECUTE')
         ORDER BY p.oid LIMIT 1";
    Spi::connect(|client| {
        let mut rows = client.select(query, None, &[schema.into(), role.into()])?;
        rows.next().map_or(Ok(None), |row| row.get::<String>(1))
    })
    .map_err(bug)
}

/// Whether the tenants' group has USAGE on the schema already, or the role may grant it.
pub fn may_open_schema(schema: &str, role: Oid) -> Result<bool> {
    let query = "
        SELECT pg_catalog.has_schema_privilege('plio_tenant', n.oid, 'USAGE')
            OR pg_catalog.has_schema_privilege($2, n.oid, 'USAGE WITH GRANT OPTION')
          FROM pg_catalog.pg_namespace n WHERE n.nspname = $1";
    let found = Spi::get_one_with_args::<bool>(query, &[schema.into(), role.into()]);
    Ok(found.map_err(bug)?.unwrap_or(false))
}

/// Whether an extension's objects lie in the schema.
pub fn is_extensions_schema(schema: Oid) -> Result<bool> {
    let query = "SELECT EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.extnamespace = $1)";
    let found = Spi::get_one_with_args::<bool>(query, &[schema.into()]);
    Ok(found.map_err(bug)?.unwrap_or(false))
}

/// Whether `member` may become that role: SET ROLE, from 16 on by that option of the membership.
pub fn may_become(member: Oid, role: Oid) -> Result<bool> {
    let query = "SELECT pg_catalog.pg_has_role($1, $2,
        CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)";
    let found = Spi::get_one_with_args::<bool>(query, &[member.into(), role.into()]);
    Ok(found.map_err(bug)?.unwrap_or(false))
}

/// The tables in the schema with row security that does not bind their owner.
pub fn tables_with_unforced_policies(schema: Oid) -> Result<Vec<String>> {
    let query = "SELECT c.relname::text FROM pg_catalog.pg_class c
                  WHERE c.relnamespace = $1 AND c.relrowsecurity AND NOT c.relforcerowsecurity ORDER BY c.relname";
    Spi::connect(|client| {
        let rows = client.select(query, None, &[schema.into()])?;
        rows.map(|row| row.get::<String>(1))
            .filter_map(std::result::Result::transpose)
            .collect::<SpiResult<_>>()
    })
    .map_err(bug)
}

/// Keeps whose the schema is, and whose the objects in it are that are not its owner's.
pub fn remember_owners(tenant: TenantId, schema: Oid, owner: &str, granted_usage: bool) -> Result<()> {
    change(
        "INSERT INTO plio.previous_owners
                (tenant_id, object_type, object_name, object_args, owner_name, granted_usage, owner_oid, cluster)
         SELECT $1, 'schema', '{}', '{}', r.rolname, $3, r.oid, plio._cluster() FROM pg_catalog.pg_roles r WHERE r.rolname = $2",
        &[tenant.0.into(), owner.into(), granted_usage.into()],
    )
    .map_err(bug)?;
    change(
        "INSERT INTO plio.previous_owners (tenant_id, object_type, object_name, object_args, owner_name, owner_oid, cluster)
         SELECT $1, o.type, o.name, o.args, o.owner, r.oid, plio._cluster()
           FROM plio._owned_objects($2) o JOIN pg_catalog.pg_roles r ON r.rolname = o.owner WHERE o.owner <> $3",
        &[tenant.0.into(), schema.into(), owner.into()],
    )
    .map_err(bug)
}

/// Whether a role was assigned to the tenant; if so, whether USAGE on its schema was granted to PUBLIC then.
pub fn granted_usage_before(tenant: TenantId) -> Result<Option<bool>> {
    Spi::connect(|client| {
        let query =
            "SELECT granted_usage FROM plio.previous_owners WHERE tenant_id = $1 AND object_type = 'schema'";
        let mut rows = client.select(query, None, &[tenant.0.into()])?;
        rows.next().map_or(Ok(None), |row| row.get::<bool>(1))
    })
    .map_err(bug)
}

/// The objects still there whose owner was not the schema's, each with that owner.
pub fn objects_with_other_owners(tenant: TenantId, schema: Oid) -> Result<Vec<(Owned, Oid)>> {
    Spi::connect(|client| {
        let query = "SELECT o.type, o.identity, p.owner_oid
                       FROM plio._owned_objects($2) o JOIN plio._owners_before($1) p ON (p.type, p.name, p.args) = (o.type, o.name, o.args)";
        let rows = client.select(query, None, &[tenant.0.into(), schema.into()])?;
        rows.map(|row| {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            let owner = row.get::<Oid>(3)?.unwrap_or(Oid::INVALID);
            Ok((Owned { kind: text(1)?, identity: text(2)? }, owner))
        })
        .collect::<SpiResult<_>>()
    })
    .map_err(bug)
}

/// Forgets them.
pub fn forget_owners(tenant: TenantId) -> Result<()> {
    change("DELETE FROM plio.previous_owners WHERE tenant_id = $1", &[tenant.0.into()]).map_err(bug)
}

/// Gives the tenant a role, or none.
pub fn update_role(org: &Org, role_name: Option<&str>) -> Result<()> {
    change("UPDATE plio.tenants SET role_name = $2 WHERE org = $1", &[org.as_str().into(), role_name.into()])
        .map_err(bug)
}

/// The statements that give objects which `role` creates in the schema the default privileges of those of `owner`.
pub fn default_privileges(schema: Oid, owner: &str, role: &str) -> Result<Vec<String>> {
    Spi::connect(|client| {
        let query = "
            SELECT pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT %s ON %s TO %s%s', $3, n.nspname,
                       e.privilege_type,
                       CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
                            WHEN 'f' THEN 'ROUTINES' ELSE 'TYPES' END,
                       CASE e.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(g.rolname) END,
                       CASE WHEN e.is_grantable AND e.grantee <> 0 THEN ' WITH GRANT OPTION' ELSE '' END)
              FROM pg_catalog.pg_default_acl d
              JOIN pg_catalog.pg_roles o ON o.oid = d.defaclrole AND o.rolname = $2
              JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
              CROSS JOIN pg_catalog.aclexplode(d.defaclacl) e
              LEFT JOIN pg_catalog.pg_roles g ON g.oid = e.grantee
             WHERE n.oid = $1 AND e.grantee <> o.oid";
        let rows = client.select(query, None, &[schema.into(), owner.into(), role.into()])?;
        rows.map(|row| Ok(row.get::<String>(1)?.unwrap_or_default())).collect::<SpiResult<_>>()
    })
    .map_err(bug)
}
