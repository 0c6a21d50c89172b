//! Who may take what from whom, and to whom it goes back.
//!
//! What an adopted tenant's schema holds may be changed inside the tenant once it has a role of its own, code included: what
//! runs with its owner's rights must not become a stronger role's by that. And whoever is only a member of `plio_admin`
//! takes nothing from a superuser, and gives nothing to a role that he could not be.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::pg::{catalog, session};
use crate::registry::{self, OwnedBy};
use crate::tenant::Org;
use pgrx::pg_sys::Oid;

/// Refuses a schema that belongs, or holds an object that belongs, to a role stronger than an ordinary one, unless a superuser
/// asks.
///
/// # Errors
/// 42501.
pub fn ensure_may_take(schema: Oid) -> Result<()> {
    if catalog::is_superuser(session::outer_user()) {
        return Ok(());
    }
    match strong(registry::everything_in(schema)?)? {
        Some(OwnedBy { what, owner, .. }) => Err(Error::TakenFromStronger { what, owner }),
        None => Ok(()),
    }
}

/// Refuses to give back what belonged to a role that is gone, or that this cluster may not have: another role under its name is
/// not that one.
///
/// # Errors
/// 42704.
pub fn ensure_are_there(org: &Org, objects: &[OwnedBy]) -> Result<()> {
    match objects.iter().find(|object| object.owner_oid == Oid::INVALID) {
        Some(OwnedBy { what, owner, .. }) => {
            Err(Error::OwnerLost { org: org.to_string(), what: what.clone(), owner: owner.clone() })
        }
        None => Ok(()),
    }
}

/// Refuses to give `objects` to the owners of before, where one is stronger than an ordinary role, or one that the caller
/// could not be.
///
/// # Errors
/// 55000.
pub fn ensure_may_give_back(org: &Org, objects: Vec<OwnedBy>) -> Result<()> {
    let caller = session::outer_user();
    let refused = |OwnedBy { what, owner, .. }| Error::GivenToStronger { org: org.to_string(), what, owner };
    if !catalog::is_superuser(caller) {
        for object in &objects {
            if !registry::may_become(caller, object.owner_oid)? {
                return Err(refused(object.clone()));
            }
        }
    }
    strong(objects)?.map_or(Ok(()), |object| Err(refused(object)))
}

/// The role that is to own what the tenant's role owned.
///
/// # Errors
/// 42704; 22023 for a tenant's role; 42501 for one that the caller could not be, or that is stronger than an ordinary one:
/// a superuser may name any other.
pub fn new_owner(name: &str) -> Result<Oid> {
    let caller = session::outer_user();
    let unknown = || Error::UnknownObject { kind: "role", name: name.to_owned() };
    let owner = catalog::role_oid(name).ok_or_else(unknown)?;
    if catalog::is_tenant_role(owner) || name == "plio_tenant" {
        return Err(Error::BadArgument {
            message: format!("role \"{name}\" belongs to the tenants"),
            hint: "Name a role of the application.",
        });
    }
    let is_free = catalog::is_superuser(caller)
        || (registry::may_become(caller, owner)? && registry::strength_of(owner)?.is_none());
    if is_free { Ok(owner) } else { Err(Error::OwnerRefused { owner: name.to_owned() }) }
}

/// The first object whose owner is stronger than an ordinary role.
fn strong(objects: Vec<OwnedBy>) -> Result<Option<OwnedBy>> {
    let mut weak: Vec<Oid> = Vec::new();
    for object in objects {
        if weak.contains(&object.owner_oid) {
            continue;
        }
        if registry::strength_of(object.owner_oid)?.is_some() {
            return Ok(Some(object));
        }
        weak.push(object.owner_oid);
    }
    Ok(None)
}
