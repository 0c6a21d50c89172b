//! The registry's tables: what is read from them; writes.rs has every SQL statement that writes them.
//!
//! Reads go through `pg::scan` (newest snapshot, no plan); writes through SPI, in the caller's transaction, as the
//! extension's owner (the SQL functions are SECURITY DEFINER). The tables are defined in sql/schema/20_registry.sql.

#![forbid(unsafe_code)]

mod owners;
pub mod ties;
mod writes;

pub use self::owners::{
    default_privileges, forget_owners, objects_with_other_owners, owned_objects, owners_of, remember_owners,
    schema_before, update_role,
};
pub use self::writes::{
    delete_access, delete_every_access, delete_share, delete_tenant, has_any_access, insert_access,
    insert_tenant, record, rename_owner, rename_role, rename_share, update_names, update_status,
    upsert_share,
};
use crate::error::{Error, Result};
use crate::pg::{catalog, scan, session};
use crate::tenant::{ShareMode, Status, TenantId};
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

/// Whether the extension is installed in this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// It is not, or is being created at this moment.
    No,
    /// It is, but part of its registry is missing: who may enter what cannot be told.
    Broken,
    /// It is, and its registry is there.
    Whole(Location),
}

/// Finds the registry.
pub fn locate() -> Installed {
    if catalog::extension_oid(EXTENSION).is_none() {
        return Installed::No;
    }
    match find() {
        Some(location) => Installed::Whole(location),
        None if session::is_creating_extension() || session::is_binary_upgrade() => Installed::No,
        None => Installed::Broken,
    }
}

fn find() -> Option<Location> {
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
    /// Whether a change of that relation changes what the registry says, or whether it can be read.
    pub fn has(&self, relation: Oid) -> bool {
        let tables = [self.tenants, self.access, self.shares];
        let indexes = [self.tenants_by_org, self.tenants_by_schema, self.access_by_org];
        tables.contains(&relation) || indexes.contains(&relation)
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

    /// What grants access to that org, or to every tenant; with `None` to every tenant only.
    pub fn access_to(&self, org: Option<&str>) -> Vec<AccessRow> {
        let mut rows = Vec::new();
        let index = self.access_by_org;
        let of_org = org.map(|value| scan::Key::Text { index, attribute: 2, value });
        for key in of_org.into_iter().chain([scan::Key::Null { index, attribute: 2 }]) {
            scan::for_each_row(self.access, &key, |row| rows.extend(access_of(row)));
        }
        rows
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

/// A row of plio.access: whom it is for.
pub struct AccessRow {
    role_name: String,
    /// The role, and the cluster in which it has that oid. `None` in a row that nothing tied yet.
    tie: Option<(Oid, i64)>,
    /// The table is release 0.1.0's, which kept names only.
    is_by_name: bool,
}

impl AccessRow {
    /// The role that the row is for, if it is there. In the cluster in which access was granted the oid decides, whatever
    /// the role is called now; in another one, where a dump was restored or which pg_upgrade made, the name must be of
    /// that oid, too.
    pub fn granted(&self) -> Option<Oid> {
        match self.tie {
            Some((role, cluster)) if cluster == session::cluster() => Some(role),
            Some((role, _)) => catalog::role_oid(&self.role_name).filter(|named| *named == role),
            None if self.is_by_name => catalog::role_oid(&self.role_name),
            None => None,
        }
    }
}

fn access_of(row: &scan::Row) -> Option<AccessRow> {
    Some(AccessRow {
        role_name: row.text(1)?,
        tie: row.oid(ACCESS_ROLE_OID).zip(row.bigint(ACCESS_CLUSTER)),
        is_by_name: !row.has_column(ACCESS_ROLE_OID),
    })
}

const ACCESS_ROLE_OID: usize = 5;
const ACCESS_CLUSTER: usize = 6;

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
