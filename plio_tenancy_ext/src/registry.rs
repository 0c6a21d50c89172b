//! The registry's tables: what is read from them; writes.rs has every SQL statement that writes them.
//!
//! Reads go through `pg::scan` (newest snapshot, no plan); writes through SPI, in the caller's transaction, as the
//! extension's owner (the SQL functions are SECURITY DEFINER). The tables are defined in sql/schema/20_registry.sql.

#![forbid(unsafe_code)]

mod owners;
mod sizes;
pub mod ties;
mod writes;

pub use self::owners::{
    OwnedBy, default_privileges, everything_in, extension_relations_closed_to, forget_owners,
    granted_usage_before, is_extensions_schema, may_become, may_open_schema, objects_with_other_owners,
    owned_objects, owner_of_functions_closed_to, owners_before, owners_of, remember_owners,
    shares_without_grants, strength_of, tables_with_unforced_policies, update_role,
};
pub use self::sizes::{locks_in_use, locks_to_drop, objects_in_dropping_order, unlink_large_objects};
pub use self::writes::{
    delete_access, delete_every_access, delete_share, delete_tenant, function_of_text, has_any_access,
    insert_access, insert_tenant, join_group_without_lock, record, rename_role, rename_share, update_names,
    update_status, upsert_share,
};
use crate::error::{Error, Result};
use crate::pg::{catalog, quote_identifier, scan, session};
use crate::tenant::{ShareMode, Status, TenantId};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use pgrx::spi::{SpiError, SpiResult};
use std::cell::Cell;

/// The extension's name in pg_extension.
pub const EXTENSION: &std::ffi::CStr = c"plio_tenancy";

/// The version of this library. The SQL objects may be older: after a package was replaced, until ALTER EXTENSION UPDATE.
pub const LIBRARY_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What manages tenants needs SQL objects of the library's own version; judging does not.
///
/// # Errors
/// 55000.
pub fn ensure_same_version() -> Result<()> {
    match installed_version() {
        Some(installed) if installed != LIBRARY_VERSION => {
            Err(Error::UpdateDue { library: LIBRARY_VERSION, installed })
        }
        _ => Ok(()),
    }
}

/// The version of the SQL objects in this database; `None` when the extension is not installed here.
pub fn installed_version() -> Option<String> {
    catalog::extension_version(catalog::extension_oid(EXTENSION)?)
}

/// Where the registry lies in this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The extension.
    pub extension: Oid,
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
    /// A relation's name, or a function's with its arguments; none for the whole schema.
    pub relation_name: Option<String>,
    pub mode: ShareMode,
    pub is_function: bool,
}

impl ShareRow {
    /// What PostgreSQL calls a shared function.
    pub fn identity(&self) -> String {
        let signature = self.relation_name.as_deref().unwrap_or_default();
        format!("{}.{signature}", quote_identifier(&self.schema_name))
    }
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
    let extension = catalog::extension_oid(EXTENSION)?;
    let schema = catalog::schema_oid("plio")?;
    let relation = |name| catalog::relation_oid(name, schema);
    Some(Location {
        extension,
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

    /// Whether that is `plio.tenants`.
    pub fn is_tenants(&self, relation: Oid) -> bool {
        self.tenants == relation
    }

    /// Every relation that a look at the registry opens.
    pub fn relations(&self) -> [Oid; 6] {
        [
            self.tenants,
            self.tenants_by_org,
            self.tenants_by_schema,
            self.access,
            self.access_by_org,
            self.shares,
        ]
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

    /// Every tenant.
    pub fn every_tenant(&self) -> Vec<TenantRow> {
        let mut tenants = Vec::new();
        scan::for_each_row(self.tenants, &scan::Key::All, |row| tenants.extend(tenant_of(row)));
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
                let is_function = row.bool(6).unwrap_or(false);
                shares.push(ShareRow { schema_name, relation_name: row.text(2), mode, is_function });
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
        status: Status::parse(&row.text(5)?),
    })
}

/// Every tenant that the running statement's snapshot knows, in the order of their orgs: key, org, name of the schema.
///
/// # Errors
/// XX000.
pub fn tenants_of_statement() -> Result<Vec<(TenantId, String, String)>> {
    const TENANTS: &str =
        "SELECT tenant_id, org, schema_name FROM plio.tenants ORDER BY org COLLATE pg_catalog.\"C\"";
    Spi::connect(|client| {
        let mut tenants = Vec::new();
        for row in client.select(TENANTS, None, &[])? {
            let (id, org, schema) = (row.get::<i64>(1)?, row.get::<String>(2)?, row.get::<String>(3)?);
            if let (Some(id), Some(org), Some(schema)) = (id, org, schema) {
                tenants.push((TenantId(id), org, schema));
            }
        }
        SpiResult::Ok(tenants)
    })
    .map_err(bug)
}

/// SPI's own failures are bugs of ours: what a statement raises does not come back as one.
pub fn bug(error: SpiError) -> Error {
    Error::Bug(error.to_string())
}

thread_local! {
    static IS_CHANGING: Cell<bool> = const { Cell::new(false) };
}

/// Whether one of the extension's functions changes rows of its tables: nobody else may (house.rs).
pub fn is_changing() -> bool {
    IS_CHANGING.get()
}

/// Runs `f` while rows of the extension's tables may be changed by it.
fn changing<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            IS_CHANGING.set(self.0);
        }
    }
    let _restore = Restore(IS_CHANGING.replace(true));
    f()
}

/// Runs a statement that changes rows of the extension's tables.
fn change(statement: &str, arguments: &[DatumWithOid<'_>]) -> SpiResult<()> {
    changing(|| Spi::run_with_args(statement, arguments))
}

/// Runs a statement of ours without parameters (DDL).
pub fn run(statement: &str) -> Result<()> {
    Spi::run(statement).map_err(bug)
}

/// The extension's own tables and views, as PostgreSQL's catalog of dependencies knows them.
pub fn tables() -> Result<Vec<Oid>> {
    let query = "
        SELECT pg_catalog.array_agg(c.oid ORDER BY c.oid) FROM pg_catalog.pg_depend d
          JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'v')
          JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid AND x.extname = 'plio_tenancy'
         WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'e'
           AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass";
    let found = session::as_superuser(|| Spi::get_one::<Vec<Oid>>(query));
    Ok(found.map_err(bug)?.unwrap_or_default())
}
