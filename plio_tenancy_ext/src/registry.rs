//! The registry's tables: what is read from them, and every SQL statement that writes them.
//!
//! Reads go through `pg::scan` (newest snapshot, no plan); writes through SPI, in the caller's transaction, as the
//! extension's owner (the SQL functions are SECURITY DEFINER). The tables are defined in sql/schema/20_registry.sql.

#![forbid(unsafe_code)]

mod owners;

pub use self::owners::{
    default_privileges, forget_owners, objects_with_other_owners, owned_objects, owners_of, remember_owners,
    schema_before, update_role,
};
use crate::error::{Error, Result};
use crate::pg::jsonb::Jsonb;
use crate::pg::{catalog, scan, session};
use crate::tenant::{Org, ShareMode, Status, TenantId};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use pgrx::spi::{SpiError, SpiResult};

/// The extension's name in pg_extension.
pub const EXTENSION: &std::ffi::CStr = c"plio_tenancy";

/// Where the registry lies in this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The schema `plio`.
    pub schema: Oid,
    tenants: Oid,
    tenants_by_org: Oid,
    tenants_by_schema: Oid,
    access: Oid,
    access_by_org: Oid,
    shares: Oid,
}

/// A row of plio.tenants, without the settings.
#[derive(Clone, Debug)]
pub struct TenantRow {
    pub id: TenantId,
    pub org: String,
    pub schema_name: String,
    pub role_name: Option<String>,
    pub status: Status,
}

/// A row of plio.shares.
#[derive(Clone, Debug)]
pub struct ShareRow {
    pub schema_name: String,
    pub relation_name: Option<String>,
    pub mode: ShareMode,
}

/// Finds the registry; `None` when the extension is not (or not wholly) installed here.
pub fn locate() -> Option<Location> {
    catalog::extension_oid(EXTENSION)?;
    let schema = catalog::schema_oid("plio")?;
    let relation = |name| catalog::relation_oid(name, schema);
    Some(Location {
        schema,
        tenants: relation("tenants")?,
        tenants_by_org: relation("tenants_org_key")?,
        tenants_by_schema: relation("tenants_schema_name_key")?,
        access: relation("access")?,
        access_by_org: relation("access_org_role_name_key")?,
        shares: relation("shares")?,
    })
}

impl Location {
    /// Whether a change of that relation changes what the registry says.
    pub fn has_table(&self, relation: Oid) -> bool {
        [self.tenants, self.access, self.shares].contains(&relation)
    }

    /// Tells every backend, at commit, that something else changed which the registry's readers keep in mind.
    pub fn announce_change(&self) {
        session::invalidate_relation(self.shares);
    }

    /// The tenant of that org.
    pub fn tenant_by_org(&self, org: &str) -> Option<TenantRow> {
        self.tenant(&scan::Key::Text { index: self.tenants_by_org, attribute: 2, value: org })
    }

    /// The tenant whose schema has that name.
    pub fn tenant_by_schema(&self, schema_name: &str) -> Option<TenantRow> {
        self.tenant(&scan::Key::Text { index: self.tenants_by_schema, attribute: 3, value: schema_name })
    }

    fn tenant(&self, key: &scan::Key<'_>) -> Option<TenantRow> {
        let mut found = None;
        scan::for_each_row(self.tenants, key, |row| {
            found = tenant_of(row);
        });
        found
    }

    /// Every tenant, in the order of their orgs.
    pub fn every_tenant(&self) -> Vec<TenantRow> {
        let mut tenants = Vec::new();
        scan::for_each_row(self.tenants, &scan::Key::All, |row| tenants.extend(tenant_of(row)));
        tenants.sort_by(|one, other| one.org.cmp(&other.org));
        tenants
    }

    /// The roles that may enter that org, by name; those who may enter every tenant included.
    pub fn roles_with_access(&self, org: &str) -> Vec<String> {
        let mut roles = Vec::new();
        let index = self.access_by_org;
        for key in
            [scan::Key::Text { index, attribute: 2, value: org }, scan::Key::Null { index, attribute: 2 }]
        {
            scan::for_each_row(self.access, &key, |row| roles.extend(row.text(1)));
        }
        roles
    }

    /// Everything that is shared.
    pub fn shares(&self) -> Vec<ShareRow> {
        let mut shares = Vec::new();
        scan::for_each_row(self.shares, &scan::Key::All, |row| {
            if let (Some(schema_name), Some(mode)) =
                (row.text(1), row.text(3).and_then(|m| ShareMode::parse(&m)))
            {
                shares.push(ShareRow { schema_name, relation_name: row.text(2), mode });
            }
        });
        shares
    }
}

fn tenant_of(row: &scan::Row) -> Option<TenantRow> {
    Some(TenantRow {
        id: TenantId(row.bigint(1)?),
        org: row.text(2)?,
        schema_name: row.text(3)?,
        role_name: row.text(4),
        status: if row.text(5)? == "active" { Status::Active } else { Status::Suspended },
    })
}

/// SPI's own failures are bugs of ours: what a statement raises does not come back as one.
pub fn bug(error: SpiError) -> Error {
    Error::Bug(error.to_string())
}

/// Runs a statement of ours without parameters (DDL).
pub fn run(statement: &str) -> Result<()> {
    Spi::run(statement).map_err(bug)
}

/// Writes the tenant's row.
pub fn insert_tenant(org: &Org, schema_name: &str, role_name: Option<&str>, settings: Jsonb) -> Result<()> {
    Spi::run_with_args(
        "INSERT INTO plio.tenants (org, schema_name, role_name, settings) VALUES ($1, $2, $3, $4)",
        &[org.as_str().into(), schema_name.into(), role_name.into(), settings.into()],
    )
    .map_err(bug)
}

/// Opens or closes the tenant.
pub fn update_status(org: &Org, status: Status) -> Result<()> {
    Spi::run_with_args(
        "UPDATE plio.tenants SET status = $2 WHERE org = $1",
        &[org.as_str().into(), status.as_str().into()],
    )
    .map_err(bug)
}

/// Gives the tenant another org, schema name and role name; access follows.
pub fn update_names(org: &Org, new_org: &Org, schema_name: &str, role_name: Option<&str>) -> Result<()> {
    Spi::run_with_args(
        "UPDATE plio.tenants SET org = $2, schema_name = $3, role_name = $4 WHERE org = $1",
        &[org.as_str().into(), new_org.as_str().into(), schema_name.into(), role_name.into()],
    )
    .map_err(bug)?;
    Spi::run_with_args(
        "UPDATE plio.access SET org = $2 WHERE org = $1",
        &[org.as_str().into(), new_org.as_str().into()],
    )
    .map_err(bug)
}

/// Removes the tenant's row, and its access rows with it.
pub fn delete_tenant(org: &Org) -> Result<()> {
    for statement in [
        "DELETE FROM plio.previous_owners
          WHERE tenant_id = (SELECT tenant_id FROM plio.tenants WHERE org = $1)",
        "DELETE FROM plio.access WHERE org = $1",
        "DELETE FROM plio.tenants WHERE org = $1",
    ] {
        Spi::run_with_args(statement, &[org.as_str().into()]).map_err(bug)?;
    }
    Ok(())
}

/// Lets a role enter an org, or every tenant; a second time changes nothing.
pub fn insert_access(role: &str, org: Option<&Org>) -> Result<()> {
    Spi::run_with_args(
        "INSERT INTO plio.access (role_name, org) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        &[role.into(), org.map(Org::as_str).into()],
    )
    .map_err(bug)
}

/// Takes a role's access to an org, or to every tenant, away; other rows of the role stay.
pub fn delete_access(role: &str, org: Option<&Org>) -> Result<()> {
    Spi::run_with_args(
        "DELETE FROM plio.access WHERE role_name = $1 AND org IS NOT DISTINCT FROM $2",
        &[role.into(), org.map(Org::as_str).into()],
    )
    .map_err(bug)
}

/// Takes all of a role's access away.
pub fn delete_every_access(role: &str) -> Result<()> {
    Spi::run_with_args("DELETE FROM plio.access WHERE role_name = $1", &[role.into()]).map_err(bug)
}

/// Whether a role still has access to anything.
pub fn has_any_access(role: &str) -> Result<bool> {
    let found = Spi::get_one_with_args::<bool>(
        "SELECT EXISTS (SELECT 1 FROM plio.access WHERE role_name = $1)",
        &[role.into()],
    );
    Ok(found.map_err(bug)?.unwrap_or(false))
}

/// A role has another name now; true when it had access to something.
pub fn rename_role(old: &str, new: &str) -> Result<bool> {
    let count = Spi::get_one_with_args::<i64>(
        "WITH renamed AS (UPDATE plio.access SET role_name = $2 WHERE role_name = $1 RETURNING 1)
         SELECT count(*) FROM renamed",
        &[old.into(), new.into()],
    );
    Spi::run_with_args(
        "UPDATE plio.previous_owners SET owner_name = $2 WHERE owner_name = $1",
        &[old.into(), new.into()],
    )
    .map_err(bug)?;
    Ok(count.map_err(bug)?.unwrap_or(0) > 0)
}

/// Shares a relation or a whole schema; a second time changes the mode.
pub fn upsert_share(schema_name: &str, relation_name: Option<&str>, mode: ShareMode) -> Result<()> {
    Spi::run_with_args(
        "INSERT INTO plio.shares (schema_name, relation_name, mode) VALUES ($1, $2, $3)
         ON CONFLICT (schema_name, relation_name) DO UPDATE SET mode = excluded.mode",
        &[schema_name.into(), relation_name.into(), mode.as_str().into()],
    )
    .map_err(bug)
}

/// Takes a share back; true when there was one.
pub fn delete_share(schema_name: &str, relation_name: Option<&str>) -> Result<bool> {
    let count = Spi::get_one_with_args::<i64>(
        "WITH gone AS (DELETE FROM plio.shares
                       WHERE schema_name = $1 AND relation_name IS NOT DISTINCT FROM $2 RETURNING 1)
         SELECT count(*) FROM gone",
        &[schema_name.into(), relation_name.into()],
    );
    Ok(count.map_err(bug)?.unwrap_or(0) > 0)
}

/// A shared relation or schema has another name now.
pub fn rename_share(old: &ShareRow, schema_name: &str, relation_name: Option<&str>) -> Result<()> {
    let old_relation = old.relation_name.as_deref();
    let statement = match relation_name {
        Some(_) => {
            "UPDATE plio.shares SET schema_name = $3, relation_name = $4 WHERE schema_name = $1 AND relation_name = $2"
        }
        None => {
            "UPDATE plio.shares SET schema_name = $3 WHERE schema_name = $1 AND $2::text IS NULL AND $4::text IS NULL"
        }
    };
    Spi::run_with_args(
        statement,
        &[old.schema_name.as_str().into(), old_relation.into(), schema_name.into(), relation_name.into()],
    )
    .map_err(bug)
}

/// Writes what was done into the history, in the same transaction.
pub fn record(action: &str, org: Option<&Org>, detail: serde_json::Value) -> Result<()> {
    Spi::run_with_args(
        "INSERT INTO plio.history (action, org, detail) VALUES ($1, $2, $3)",
        &[action.into(), org.map(Org::as_str).into(), pgrx::JsonB(detail).into()],
    )
    .map_err(bug)
}

/// The names of the session's cursors, prepared portals included.
pub fn open_cursors() -> Result<Vec<String>> {
    Spi::connect(|client| {
        let rows = client.select("SELECT name FROM pg_catalog.pg_cursors", None, &[])?;
        rows.map(|row| row.get::<String>(1))
            .filter_map(std::result::Result::transpose)
            .collect::<SpiResult<_>>()
    })
    .map_err(bug)
}
