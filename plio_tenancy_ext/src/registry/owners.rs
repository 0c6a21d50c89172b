//! What the registry keeps about the owners of adopted tenants' objects, and the SQL that changes them.

use super::{bug, change};
use crate::error::Result;
use crate::pg::quote_identifier;
use crate::tenant::{Org, TenantId};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// An object that has an owner of its own.
pub struct Owned {
    kind: String,
    identity: String,
}

impl Owned {
    /// The statement that gives it to a role. The identity is PostgreSQL's own, with its schema and quoted.
    pub fn change_owner(&self, role: &str) -> String {
        let kind = match self.kind.as_str() {
            "function" | "procedure" | "aggregate" => "ROUTINE",
            "statistics object" => "STATISTICS",
            kind => kind,
        };
        format!("ALTER {kind} {} OWNER TO {}", self.identity, quote_identifier(role))
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

/// Keeps whose the schema is, and whose the objects in it are that are not its owner's.
pub fn remember_owners(tenant: TenantId, schema: Oid, owner: &str, granted_usage: bool) -> Result<()> {
    change(
        "INSERT INTO plio.previous_owners (tenant_id, object_type, object_name, object_args, owner_name, granted_usage)
         VALUES ($1, 'schema', '{}', '{}', $2, $3)",
        &[tenant.0.into(), owner.into(), granted_usage.into()],
    )
    .map_err(bug)?;
    change(
        "INSERT INTO plio.previous_owners (tenant_id, object_type, object_name, object_args, owner_name)
         SELECT $1, type, name, args, owner FROM plio._owned_objects($2) WHERE owner <> $3",
        &[tenant.0.into(), schema.into(), owner.into()],
    )
    .map_err(bug)
}

/// Whose the schema was, and whether USAGE on it was granted to PUBLIC; `None` when no role was assigned.
pub fn schema_before(tenant: TenantId) -> Result<Option<(String, bool)>> {
    Spi::connect(|client| {
        let query = "SELECT owner_name, granted_usage FROM plio.previous_owners
                      WHERE tenant_id = $1 AND object_type = 'schema'";
        let mut rows = client.select(query, None, &[tenant.0.into()])?;
        let Some(row) = rows.next() else { return Ok(None) };
        Ok(Some((row.get::<String>(1)?.unwrap_or_default(), row.get::<bool>(2)?.unwrap_or(false))))
    })
    .map_err(bug)
}

/// The objects still there whose owner was not the schema's, each with that owner.
pub fn objects_with_other_owners(tenant: TenantId, schema: Oid) -> Result<Vec<(Owned, String)>> {
    Spi::connect(|client| {
        let query = "SELECT o.type, o.identity, p.owner_name FROM plio._owned_objects($2) o
                       JOIN plio.previous_owners p ON p.tenant_id = $1
                        AND (p.object_type, p.object_name, p.object_args) = (o.type, o.name, o.args)";
        let rows = client.select(query, None, &[tenant.0.into(), schema.into()])?;
        rows.map(|row| {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            Ok((Owned { kind: text(1)?, identity: text(2)? }, text(3)?))
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
