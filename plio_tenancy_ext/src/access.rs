//! Who may enter which tenant: grants to roles, kept by name, tied to the very role.

#![forbid(unsafe_code)]

use crate::cache;
use crate::error::{Error, Result};
use crate::lifecycle::begin_management;
use crate::pg::{catalog, quote_identifier, session};
use crate::tenant::Org;
use crate::{registry, shares};
use serde_json::json;

/// A role was renamed by somebody: its access follows.
///
/// # Errors
/// XX000.
pub fn on_role_rename(old: &str, new: &str) -> Result<()> {
    session::as_superuser(|| {
        if registry::rename_role(old, new)? {
            registry::record("access_follows_role", None, json!({ "role": old, "new_role": new }))?;
        }
        Ok(())
    })
}

/// Lets a role (and its members) enter a tenant, or every tenant when `org` is `None`.
///
/// # Errors
/// 42704 (no such role or tenant), 25001.
pub fn grant(role: &str, org: Option<&Org>) -> Result<()> {
    begin_management("grant_access")?;
    let role_oid = catalog::role_oid(role)
        .ok_or_else(|| Error::UnknownObject { kind: "role", name: role.to_owned() })?;
    ensure_tenant_exists(org)?;
    let location = cache::location().ok_or(Error::NotInstalled)?;
    if !catalog::is_named_in_schema_acl(location.schema, role_oid) {
        // What stands under this name was another role's, dropped since.
        registry::delete_every_access(role)?;
    }
    registry::insert_access(role, org)?;
    // The entry in the schema's access list ties the grant to this very role, see cache::may_enter.
    registry::run(&format!("GRANT USAGE ON SCHEMA plio TO {}", quote_identifier(role)))?;
    registry::record("grant_access", org, json!({ "role": role, "every_tenant": org.is_none() }))?;
    shares::path::open().map(drop)
}

/// Takes that back. Transactions that are in the tenant go on to their end.
///
/// # Errors
/// As [`grant`].
pub fn revoke(role: &str, org: Option<&Org>) -> Result<()> {
    begin_management("revoke_access")?;
    ensure_tenant_exists(org)?;
    registry::delete_access(role, org)?;
    if !registry::has_any_access(role)? && catalog::role_oid(role).is_some() {
        registry::run(&format!("REVOKE USAGE ON SCHEMA plio FROM {}", quote_identifier(role)))?;
    }
    registry::record("revoke_access", org, json!({ "role": role, "every_tenant": org.is_none() }))
}

fn ensure_tenant_exists(org: Option<&Org>) -> Result<()> {
    match org {
        Some(org) if cache::tenant(org).is_none() => Err(Error::UnknownTenant { org: org.to_string() }),
        _ => Ok(()),
    }
}
