//! Dropping a tenant: at once where the server's lock table has room for all that goes, else in steps.
//!
//! PostgreSQL locks every object that it drops, to the end of the transaction: a table with its TOAST table, key, types, defaults
//! and constraints takes a dozen locks. When the table of locks is full, other sessions fail as well. So the locks are counted
//! first. `plio.drop_tenant_in_steps()` commits after each step. From its first step on the tenant has the status `dropping`:
//! nobody enters it, and nothing but dropping it is possible. It may be called again, after a crash for instance.

#![forbid(unsafe_code)]

use super::{locks, managing, prepare};
use crate::cache::Tenant;
use crate::error::{Error, Result};
use crate::pg::{catalog, lock, quote_identifier};
use crate::tenant::{Org, Status};
use crate::{monitor, registry};
use pgrx::pg_sys::Oid;
use serde_json::json;

/// One step takes at most this part of the lock table, so that others go on.
const PART_OF_A_STEP: i64 = 8;

/// Drops a tenant with its schema, everything in it, and its role. `confirm` repeats the org.
///
/// # Errors
/// 22023 (confirm differs), 42704, 55006, 25001, 53400 (more objects than one transaction can lock).
pub fn drop(org: &Org, confirm: &str) -> Result<()> {
    prepare("drop_tenant")?;
    ensure_confirmed("drop_tenant", org, confirm)?;
    let tenant = locks::tenant(org)?;
    let needed = locks_needed(&tenant)?;
    if needed > free_locks()? {
        return Err(Error::TooManyLocks { org: org.to_string(), needed });
    }
    finish(org, &tenant)
}

/// One step of `plio.drop_tenant_in_steps()`; true while something is left.
///
/// # Errors
/// As [`drop`], without 53400.
pub fn step(org: &Org, confirm: &str) -> Result<bool> {
    prepare("drop_tenant_in_steps")?;
    ensure_confirmed("drop_tenant_in_steps", org, confirm)?;
    let tenant = locks::tenant(org)?;
    let needed = locks_needed(&tenant)?;
    let most = lock::capacity() / PART_OF_A_STEP;
    if tenant.status != Status::Dropping && needed > most {
        registry::update_status(org, Status::Dropping)?;
        registry::record("drop_tenant_in_steps", Some(org), json!({ "locks_needed": needed }))?;
        return Ok(true);
    }
    if needed > most && drop_some(&tenant, needed, most)? {
        return Ok(true);
    }
    finish(org, &tenant)?;
    Ok(false)
}

fn ensure_confirmed(function: &'static str, org: &Org, confirm: &str) -> Result<()> {
    if confirm == org.as_str() {
        return Ok(());
    }
    Err(Error::BadArgument {
        message: format!("argument \"confirm\" of {function}() does not repeat the organization"),
        hint: "Pass the organization a second time; its data are lost for good.",
    })
}

fn locks_needed(tenant: &Tenant) -> Result<i64> {
    registry::locks_to_drop(tenant.schema, tenant.role.as_ref().map(|role| role.oid))
}

fn free_locks() -> Result<i64> {
    Ok(lock::capacity() - registry::locks_in_use()?)
}

/// Drops what takes some `most` locks of the `needed`; false when there was nothing that can be dropped by itself.
fn drop_some(tenant: &Tenant, needed: i64, most: i64) -> Result<bool> {
    managing(|| {
        let objects = tenant.schema.map_or(Ok(Vec::new()), registry::objects_in_dropping_order)?;
        let role = tenant.role.as_ref().map(|role| role.oid);
        let share = |count: usize| (count as i64).saturating_mul(most) / needed.max(1);
        let count = usize::try_from(share(objects.len()).max(1)).unwrap_or(1);
        for object in objects.iter().take(count) {
            registry::run(&object.drop())?;
        }
        let unlinked = if objects.is_empty() { unlink_some(role, most)? } else { 0 };
        Ok(!objects.is_empty() || unlinked > 0)
    })
}

fn unlink_some(role: Option<Oid>, most: i64) -> Result<i64> {
    role.map_or(Ok(0), |role| registry::unlink_large_objects(role, most))
}

/// Drops all that is left.
fn finish(org: &Org, tenant: &Tenant) -> Result<()> {
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
        monitor::note_dropped();
        registry::record("drop_tenant", Some(org), json!({}))
    })
}
