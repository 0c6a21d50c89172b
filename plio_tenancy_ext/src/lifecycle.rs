//! Creating, suspending, renaming and dropping tenants, each in the caller's one transaction.
//!
//! Whoever changes a tenant holds its lock exclusively, so nothing runs half across a request: `set_tenant` holds it
//! shared. What happens to a tenant's schema or role by other means is refused while enforcement is on.

#![forbid(unsafe_code)]

use crate::cache::{self, SchemaKind, Tenant};
use crate::context;
use crate::error::{Error, Result};
use crate::pg::jsonb::Jsonb;
use crate::pg::{catalog, guc, lock, quote_identifier, session};
use crate::registry;
use crate::tenant::{Org, Status, ensure_schema_name};
use pgrx::pg_sys::{self, Oid};
use serde_json::json;
use std::cell::Cell;
use std::rc::Rc;

/// How long a management function waits for a tenant's transactions when lock_timeout sets no limit.
const DEFAULT_WAIT: &std::ffi::CStr = c"5s";

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

/// What every management function does first: no tenant may be active, and one administrator works at a time.
///
/// # Errors
/// 25001, 25006 (PostgreSQL's: on a standby, or where the transaction may only read), 55000.
pub fn begin_management(function: &'static str) -> Result<()> {
    context::ensure_no_tenant(function)?;
    session::ensure_may_write(function);
    let extension = catalog::extension_oid(registry::EXTENSION).ok_or(Error::NotInstalled)?;
    lock::registry(extension);
    session::accept_invalidations();
    Ok(())
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
    if catalog::schema_oid(&schema).is_some() {
        return Err(Error::SchemaExists { schema });
    }
    let role = free_role_name(org);
    managing(|| {
        let (quoted_role, quoted_schema) = (quote_identifier(&role), quote_identifier(&schema));
        registry::run(&format!("CREATE ROLE {quoted_role} NOLOGIN IN ROLE plio_tenant"))?;
        registry::run(&format!("CREATE SCHEMA {quoted_schema} AUTHORIZATION {quoted_role}"))?;
        // Names may be looked up by everybody, so that a look-up from outside meets our refusal, with its hint, and
        // not PostgreSQL's, which tells an existing schema from a missing one. Nothing in the schema is granted.
        registry::run(&format!("GRANT USAGE ON SCHEMA {quoted_schema} TO PUBLIC"))?;
        registry::insert_tenant(org, &schema, Some(&role), settings)?;
        registry::record("create_tenant", Some(org), json!({ "schema_name": schema, "role_name": role }))
    })?;
    Ok(schema)
}

/// A name for the tenant's role that no role of the cluster has.
pub fn free_role_name(org: &Org) -> String {
    let database = session::database_oid().to_u32();
    let mut attempt = 0;
    loop {
        let name = org.role_name(database, attempt);
        if catalog::role_oid(&name).is_none() {
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
    begin_management(function)?;
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
    begin_management("rename_tenant")?;
    let tenant = lock(org)?;
    if tenant.has_lost_role {
        // Its row would name no role afterwards, as a tenant's with one layer does.
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

/// Drops a tenant with its schema, everything in it, and its role. `confirm` repeats the org.
///
/// # Errors
/// 22023 (confirm differs), 42704, 55006, 25001.
pub fn drop(org: &Org, confirm: &str) -> Result<()> {
    begin_management("drop_tenant")?;
    if confirm != org.as_str() {
        return Err(Error::BadArgument {
            message: "argument \"confirm\" of drop_tenant() does not repeat the organization".to_owned(),
            hint: "Pass the organization a second time; its data are lost for good.",
        });
    }
    let tenant = lock_if_there(org)?;
    managing(|| {
        if let Some(role) = &tenant.role {
            let role = quote_identifier(&role.name.to_string_lossy());
            registry::run(&format!("DROP OWNED BY {role} CASCADE"))?;
        }
        if let Some(schema) = tenant.schema.and_then(catalog::schema_name) {
            registry::run(&format!("DROP SCHEMA IF EXISTS {} CASCADE", quote_identifier(&schema)))?;
        }
        // A copy of this database in the same cluster names the same role: the last one to drop it does.
        if let Some(role) = tenant.role.as_ref().filter(|role| !catalog::is_role_used_elsewhere(role.oid)) {
            registry::run(&format!("DROP ROLE {}", quote_identifier(&role.name.to_string_lossy())))?;
        }
        registry::delete_tenant(org)?;
        registry::record("drop_tenant", Some(org), json!({}))
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

/// The tenant, locked exclusively to the end of the transaction.
///
/// # Errors
/// 42704, 55000, 55006.
pub fn lock(org: &Org) -> Result<Rc<Tenant>> {
    let tenant = lock_if_there(org)?;
    schema_name_of(&tenant)?;
    Ok(tenant)
}

/// Locks a schema exclusively to the end of the transaction.
///
/// # Errors
/// 55006.
pub fn lock_schema(org: &Org, schema: Oid) -> Result<()> {
    if guc::with_lock_timeout(DEFAULT_WAIT, || lock::tenant_exclusive(schema)) {
        Ok(())
    } else {
        Err(Error::InUse { org: org.to_string() })
    }
}

/// As [`lock`]; a tenant whose schema is gone has nothing to lock.
fn lock_if_there(org: &Org) -> Result<Rc<Tenant>> {
    let unknown = || Error::UnknownTenant { org: org.to_string() };
    let mut tenant = cache::tenant(org).ok_or_else(unknown)?;
    loop {
        if let Some(schema) = tenant.schema {
            lock_schema(org, schema)?;
        }
        session::accept_invalidations();
        let again = cache::tenant(org).ok_or_else(unknown)?;
        if again.id == tenant.id && again.schema == tenant.schema {
            return Ok(again);
        }
        tenant = again;
    }
}

/// With enforcement off a superuser may drop or rename a tenant's schema: not half across a request.
pub fn wait_for_transactions(class: Oid, object: Oid) {
    if class == pg_sys::NamespaceRelationId && cache::schema_kind(object) == SchemaKind::Tenant {
        lock::tenant_exclusive(object);
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
