//! Creating, suspending and renaming tenants (dropping.rs drops them), each in the caller's one transaction.
//!
//! Whoever changes a tenant holds its lock exclusively, so nothing runs half across a request: `set_tenant` holds it
//! shared (lifecycle/locks.rs). What happens to a tenant's schema or role by other means is refused while enforcement is on.

#![forbid(unsafe_code)]

pub mod dropping;
pub mod locks;

use crate::cache::{self, SchemaKind, Tenant};
use crate::context;
use crate::error::{Error, Result};
use crate::monitor;
use crate::pg::jsonb::Jsonb;
use crate::pg::{catalog, guc, quote_identifier, session};
use crate::tenant::{Org, Status, ensure_schema_name};
use crate::{registry, shares};
use pgrx::pg_sys::{self, Oid};
use serde_json::json;
use std::cell::Cell;
use std::rc::Rc;

thread_local! {
    static IS_MANAGING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` while tenants' schemas and roles may be changed by it.
pub fn managing<R>(f: impl FnOnce() -> Result<R>) -> Result<R> {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            IS_MANAGING.set(self.0);
        }
    }
    let _restore = Restore(IS_MANAGING.replace(true));
    f()
}

/// Whether a management function is at work on a tenant's schema or role.
pub fn is_managing() -> bool {
    IS_MANAGING.get()
}

/// What every management function does first: no tenant may be active, no wait is without end, and one administrator changes
/// the registry at a time.
///
/// # Errors
/// As [`prepare`]; 55006 (another management function's transaction goes on).
pub fn begin_management(function: &'static str) -> Result<()> {
    prepare(function)?;
    locks::registry()
}

/// The same for a function that locks a tenant: [`locks::tenant`] and [`locks::schema`] lock the registry with it.
///
/// # Errors
/// 25001, 25006 (PostgreSQL's: on a standby, or where the transaction may only read), 55000.
pub fn prepare(function: &'static str) -> Result<()> {
    context::ensure_no_tenant(function)?;
    session::ensure_may_write(function);
    if catalog::extension_oid(registry::EXTENSION).is_none() {
        return Err(Error::NotInstalled);
    }
    registry::ensure_same_version()?;
    locks::limit_waits();
    Ok(())
}

/// An update of the extension begins: it waits no longer than management does. Gives the level of settings in which the limit
/// holds.
///
/// # Errors
/// 55006.
pub fn begin_update() -> Result<i32> {
    if catalog::extension_oid(registry::EXTENSION).is_none() {
        return Ok(0);
    }
    locks::extensions_tables()?;
    let level = guc::new_level();
    locks::limit_waits();
    Ok(level)
}

/// Creates registry row, role and schema; gives the schema's name.
///
/// # Errors
/// 42602, 42939 (names), 42710 (the org or the schema exists), 25001 (inside a tenant).
pub fn create(org: &Org, schema_name: Option<&str>, settings: Jsonb) -> Result<String> {
    begin_management("create_tenant")?;
    if cache::tenant(org).is_some() {
        return Err(Error::TenantExists { org: org.to_string() });
    }
    let schema = match schema_name {
        Some(name) => {
            ensure_schema_name(name).map_err(Error::BadSchemaName)?;
            name.to_owned()
        }
        None => org.default_schema_name(),
    };
    ensure_no_roles_name(&schema)?;
    if catalog::schema_oid(&schema).is_some() {
        return Err(Error::SchemaExists { schema });
    }
    let role = free_role_name(org);
    managing(|| {
        registry::run(&format!("CREATE ROLE {} NOLOGIN IN ROLE plio_tenant", quote_identifier(&role)))?;
        make(org, &schema, &role, settings)?;
        monitor::give_counters_back();
        registry::record("create_tenant", Some(org), json!({ "schema_name": schema, "role_name": role }))
    })?;
    shares::path::open()?;
    Ok(schema)
}

/// The schema, owned by the role, and the registry's row.
fn make(org: &Org, schema: &str, role: &str, settings: Jsonb) -> Result<()> {
    let (quoted_role, quoted_schema) = (quote_identifier(role), quote_identifier(schema));
    registry::run(&format!("CREATE SCHEMA {quoted_schema} AUTHORIZATION {quoted_role}"))?;
    // Names may be looked up by everybody, so that a look-up from outside meets our refusal, with its hint, and
    // not PostgreSQL's, which tells an existing schema from a missing one. Nothing in the schema is granted.
    registry::run(&format!("GRANT USAGE ON SCHEMA {quoted_schema} TO PUBLIC"))?;
    registry::insert_tenant(org, schema, Some(role), settings)
}

/// A tenant for plio.selftest(), which rolls it back: made without any lock or row that management waits for.
///
/// # Errors
/// As [`create`].
pub fn make_throw_away(org: &Org) -> Result<(String, String)> {
    session::ensure_may_write("selftest");
    let (schema, role) = (org.default_schema_name(), free_role_name(org));
    managing(|| {
        registry::run(&format!("CREATE ROLE {} NOLOGIN", quote_identifier(&role)))?;
        registry::join_group_without_lock(&role)?;
        make(org, &schema, &role, Jsonb::empty())
    })?;
    Ok((schema, role))
}

/// "$user" in a search_path is a schema with the role's own name: what a tenant made there, that role would run.
fn ensure_no_roles_name(schema: &str) -> Result<()> {
    match catalog::role_oid(schema) {
        Some(_) => Err(Error::SchemaOfRole { schema: schema.to_owned() }),
        None => Ok(()),
    }
}

/// A name for the tenant's role that no role of the cluster has, nor any schema here: that would be the role's "$user".
pub fn free_role_name(org: &Org) -> String {
    let database = session::database_oid().to_u32();
    let mut attempt = 0;
    loop {
        let name = org.role_name(database, attempt);
        if catalog::role_oid(&name).is_none() && catalog::schema_oid(&name).is_none() {
            return name;
        }
        attempt += 1;
    }
}

/// Closes a tenant: who is in it finishes first.
///
/// # Errors
/// 42704, 55006 (in use), 25001 (inside a tenant).
pub fn suspend(org: &Org) -> Result<()> {
    change_status(org, Status::Suspended, "suspend_tenant")
}

/// Opens a tenant again.
///
/// # Errors
/// As [`suspend`].
pub fn resume(org: &Org) -> Result<()> {
    change_status(org, Status::Active, "resume_tenant")
}

fn change_status(org: &Org, status: Status, function: &'static str) -> Result<()> {
    prepare(function)?;
    let tenant = lock(org)?;
    if tenant.status == status {
        return Ok(());
    }
    registry::update_status(org, status)?;
    registry::record(function, Some(org), json!({}))
}

/// Gives a tenant another org. Its schema and role follow when they carry the old default names.
///
/// # Errors
/// 42704, 42710 (the new org or its schema exists), 55006, 25001.
pub fn rename(org: &Org, new_org: &Org) -> Result<()> {
    prepare("rename_tenant")?;
    let tenant = lock(org)?;
    if tenant.has_lost_role {
        // The role is not found, so the renamed row would have none, as if the tenant had been adopted.
        return Err(Error::Broken { org: org.to_string(), what: "role" });
    }
    if new_org == org {
        return Ok(());
    }
    if cache::tenant(new_org).is_some() {
        return Err(Error::TenantExists { org: new_org.to_string() });
    }
    let old_schema = schema_name_of(&tenant)?;
    let has_default_name = old_schema == org.default_schema_name();
    let schema = if has_default_name { new_org.default_schema_name() } else { old_schema.clone() };
    if has_default_name && catalog::schema_oid(&schema).is_some() {
        return Err(Error::SchemaExists { schema });
    }
    if has_default_name {
        ensure_no_roles_name(&schema)?;
    }
    let old_role = tenant.role.as_ref().map(|role| role.name.to_string_lossy().into_owned());
    let is_role_shared = tenant.role.as_ref().is_some_and(|role| catalog::is_role_used_elsewhere(role.oid));
    let role =
        if is_role_shared { old_role.clone() } else { old_role.as_ref().map(|_| free_role_name(new_org)) };
    managing(|| {
        if has_default_name {
            let (old, new) = (quote_identifier(&old_schema), quote_identifier(&schema));
            registry::run(&format!("ALTER SCHEMA {old} RENAME TO {new}"))?;
        }
        if let (Some(old), Some(new)) = (&old_role, &role)
            && old != new
        {
            let (old, new) = (quote_identifier(old), quote_identifier(new));
            registry::run(&format!("ALTER ROLE {old} RENAME TO {new}"))?;
        }
        registry::update_names(org, new_org, &schema, role.as_deref())?;
        let detail = json!({ "new_org": new_org.as_str(), "schema_name": schema, "role_name": role });
        registry::record("rename_tenant", Some(org), detail)
    })
}

/// The name of the tenant's schema.
///
/// # Errors
/// 55000.
pub fn schema_name_of(tenant: &Tenant) -> Result<String> {
    let lost = || Error::Broken { org: tenant.org.clone(), what: "schema" };
    tenant.schema.and_then(catalog::schema_name).ok_or_else(lost)
}

/// The tenant, locked exclusively to the end of the transaction, and the registry with it.
///
/// # Errors
/// 42704, 55000, 55006.
pub fn lock(org: &Org) -> Result<Rc<Tenant>> {
    let tenant = locks::tenant(org)?;
    if tenant.status == Status::Dropping {
        return Err(Error::BeingDropped { org: org.to_string(), is_entering: false });
    }
    schema_name_of(&tenant)?;
    Ok(tenant)
}

/// With enforcement off a superuser may drop or rename a tenant's schema: not half across a request.
pub fn wait_for_transactions(class: Oid, object: Oid) {
    if class == pg_sys::NamespaceRelationId && cache::schema_kind(object) == SchemaKind::Tenant {
        locks::wait_for_tenant(object);
    }
}

/// Refuses to drop or alter a tenant's schema or role by other means than ours.
///
/// # Errors
/// 2BP01.
pub fn ensure_not_a_tenants(class: Oid, object: Oid, verb: &'static str) -> Result<()> {
    if IS_MANAGING.get() {
        return Ok(());
    }
    if class == pg_sys::NamespaceRelationId {
        if cache::schema_kind(object) == SchemaKind::Tenant {
            let name = catalog::schema_name(object).unwrap_or_default();
            return Err(Error::TenantObject { verb, kind: "schema", name });
        }
    } else if class == pg_sys::AuthIdRelationId && catalog::is_tenant_role(object) {
        let name = catalog::role_name(object).unwrap_or_default();
        return Err(Error::TenantObject { verb, kind: "role", name });
    }
    Ok(())
}
