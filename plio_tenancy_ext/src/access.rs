//! Who may enter which tenant: grants to roles, each tied to the very role by its oid.

#![forbid(unsafe_code)]

use crate::cache;
use crate::error::{Error, Result};
use crate::lifecycle::begin_management;
use crate::pg::{catalog, quote_identifier, session};
use crate::registry;
use crate::registry::ties::{self, Mended};
use crate::shares;
use crate::tenant::Org;
use serde_json::json;

/// A role was renamed by somebody: its access follows.
///
/// # Errors
/// XX000.
pub fn on_role_rename(old: &str, new: &str) -> Result<()> {
    let Some(location) = cache::location() else { return Ok(()) };
    let record = |old: &str, new: &str| {
        registry::record("access_follows_role", None, json!({ "role": old, "new_role": new }))
    };
    session::as_superuser(|| {
        ties::rename_owner(&location, old, catalog::role_oid(new))?;
        match catalog::role_oid(new).filter(|_| ties::has_ties(&location)) {
            Some(role) => {
                ties::adopt_renamed(old, role)?;
                ties::follow_roles()?.iter().try_for_each(|role| record(&role.old, &role.new))
            }
            None if registry::rename_role(old, new)? => record(old, new),
            None => Ok(()),
        }
    })
}

/// Ties the registry to this cluster's roles, knowingly: names follow renamed roles, rows of another cluster's go to the
/// roles that have their names here, tenants' roles to the owners of their schemas, and what is shared is granted again to
/// tenants' roles where they lost it. Gives what it did.
///
/// # Errors
/// 25001.
pub fn repair() -> Result<Vec<Mended>> {
    begin_management("repair")?;
    let location = cache::ensure_location()?;
    let mut done = ties::follow_roles()?;
    let tied = ties::tie_by_name()?;
    for one in &tied {
        let is_named = catalog::role_oid(&one.new)
            .is_some_and(|role| catalog::is_named_in_schema_acl(location.schema, role));
        if !is_named {
            registry::run(&format!("GRANT USAGE ON SCHEMA plio TO {}", quote_identifier(&one.new)))?;
        }
    }
    done.extend(tied);
    done.extend(ties::follow_owners()?);
    done.extend(ties::tie_owners()?);
    done.extend(shares::regrant()?);
    for one in &done {
        let org = one.org.as_deref().and_then(|org| Org::parse(org).ok());
        let detail = json!({ "action": one.action, "role": one.old, "new_role": one.new });
        registry::record("repair", org.as_ref(), detail)?;
    }
    Ok(done)
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
    let location = cache::ensure_location()?;
    ties::follow_roles()?;
    if !catalog::is_named_in_schema_acl(location.schema, role_oid) {
        // What stands under this name was another role's, dropped since.
        registry::delete_every_access(role)?;
    }
    registry::insert_access(role, role_oid, org)?;
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
    ties::follow_roles()?;
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
