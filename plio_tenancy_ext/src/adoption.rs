//! Schemas that were there before: adopted as tenants without a role of their own, given one later, and back.
//!
//! Adopting changes nothing but the registry, and releasing takes that back. Assigning a role transfers the ownership of
//! the schema and all in it, in the caller's transaction; what the owners were is kept in plio.previous_owners.

#![forbid(unsafe_code)]

mod api;
mod trust;

use crate::cache::{self, SchemaKind, Tenant};
use crate::ddl;
use crate::error::{self, Error, Result};
use crate::lifecycle::{self, managing, prepare};
use crate::monitor;
use crate::pg::depend::Address;
use crate::pg::jsonb::Jsonb;
use crate::pg::{catalog, quote_identifier};
use crate::policy::Actor;
use crate::tenant::{Org, ensure_schema_name};
use crate::{registry, shares};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use serde_json::json;

/// Makes an existing schema a tenant without a role of its own.
///
/// # Errors
/// 42602, 42939 (names), 42704 (no such schema), 42710 (the org exists), 55000 (the schema cannot be a tenant's), 55006,
/// 25001.
pub fn adopt(org: &Org, schema: &str, settings: Jsonb, allow_ties: bool) -> Result<()> {
    prepare("adopt_tenant")?;
    ensure_free(org)?;
    ensure_schema_name(schema).map_err(Error::BadSchemaName)?;
    let unknown = || Error::UnknownObject { kind: "schema", name: schema.to_owned() };
    let oid = catalog::schema_oid(schema).ok_or_else(unknown)?;
    ensure_adoptable(schema, oid)?;
    lifecycle::locks::schema(org, oid)?;
    // Under the locks, once more.
    ensure_free(org)?;
    if catalog::schema_oid(schema) != Some(oid) {
        return Err(unknown());
    }
    ensure_adoptable(schema, oid)?;
    trust::ensure_may_take(oid)?;
    if !allow_ties && let Some((from, to)) = ddl::ties_of(oid).into_iter().next() {
        return Err(Error::CannotAdopt {
            schema: schema.to_owned(),
            why: format!("{} depends on {}", describe(from)?, describe(to)?),
            hint: "plio.schema_ties() lists all such; drop them, share what they depend on from a schema of its own, or pass allow_ties: the access check then refuses their use.",
        });
    }
    registry::insert_tenant(org, schema, None, settings)?;
    monitor::give_counters_back();
    registry::record("adopt_tenant", Some(org), json!({ "schema_name": schema, "allow_ties": allow_ties }))
}

fn ensure_free(org: &Org) -> Result<()> {
    match cache::tenant(org) {
        Some(_) => Err(Error::TenantExists { org: org.to_string() }),
        None => Ok(()),
    }
}

fn ensure_adoptable(schema: &str, oid: Oid) -> Result<()> {
    let (why, hint) = match cache::schema_kind(oid) {
        SchemaKind::Tenant => ("it is a tenant's already", "plio.tenants says whose."),
        SchemaKind::Shared(_) => ("it is shared with tenants", "Take that back with plio.unshare()."),
        SchemaKind::System | SchemaKind::Registry => {
            return Err(Error::BadSchemaName(crate::tenant::SchemaNameFault::Reserved));
        }
        SchemaKind::Other => {
            let shares = cache::location().map(|location| location.shares()).unwrap_or_default();
            if shares.iter().any(|share| share.schema_name == schema) {
                ("something in it is shared with tenants", "Take that back with plio.unshare().")
            } else if catalog::extensions().iter().any(|extension| extension.schema == oid) {
                (
                    "an extension was installed into it, which all tenants may use",
                    "Move it with ALTER EXTENSION .. SET SCHEMA, or install it elsewhere.",
                )
            } else if catalog::role_oid(schema).is_some_and(|role| cache::actor(role) == Actor::Administrator)
            {
                (
                    "it has the name of an administrator's role, which would find what the tenant makes there",
                    "Rename the schema, or the role.",
                )
            } else if catalog::schema_owner(oid).is_some_and(catalog::is_tenant_role) {
                (
                    "it belongs to a tenant's role",
                    "Give it to a role of the application with ALTER SCHEMA .. OWNER TO.",
                )
            } else {
                return Ok(());
            }
        }
    };
    Err(Error::CannotAdopt { schema: schema.to_owned(), why: why.to_owned(), hint })
}

/// What ties the schema, or would if it were a tenant's: what depends on what.
///
/// # Errors
/// 42704.
pub fn ties(schema: &str) -> Result<Vec<(String, String)>> {
    let oid = catalog::schema_oid(schema)
        .ok_or_else(|| Error::UnknownObject { kind: "schema", name: schema.to_owned() })?;
    ddl::ties_of(oid).into_iter().map(|(from, to)| Ok((describe(from)?, describe(to)?))).collect()
}

fn describe((class, object): Address) -> Result<String> {
    Spi::get_one_with_args::<String>(
        "SELECT pg_catalog.pg_describe_object($1, $2, 0)",
        &[class.into(), object.into()],
    )
    .map(Option::unwrap_or_default)
    .map_err(registry::bug)
}

/// Takes [`adopt`] back.
///
/// # Errors
/// 22023 (confirm differs), 42704, 55000 (it has a role of its own), 55006, 25001.
pub fn release(org: &Org, confirm: &str) -> Result<()> {
    prepare("release_tenant")?;
    if confirm != org.as_str() {
        return Err(Error::BadArgument {
            message: "argument \"confirm\" of release_tenant() does not repeat the organization".to_owned(),
            hint: "Pass the organization a second time; its schema is open again to whoever has the privileges.",
        });
    }
    let tenant = lifecycle::lock(org)?;
    if tenant.role.is_some() || tenant.has_lost_role {
        return Err(Error::WrongLayers {
            message: format!("tenant \"{org}\" has a role of its own"),
            hint: "Take an assigned role back with plio.unassign_role() first; a created tenant can only be dropped.",
        });
    }
    registry::delete_tenant(org)?;
    registry::record(
        "release_tenant",
        Some(org),
        json!({ "schema_name": lifecycle::schema_name_of(&tenant)? }),
    )
}

/// Gives an adopted tenant a role of its own; gives the role's name.
///
/// # Errors
/// 42704, 42710 (it has one), 55000, 55006, 25001.
pub fn assign_role(org: &Org) -> Result<String> {
    prepare("assign_role")?;
    let tenant = lifecycle::lock(org)?;
    if tenant.role.is_some() || tenant.has_lost_role {
        return Err(Error::HasRole { org: org.to_string() });
    }
    let schema = schema_of(&tenant)?;
    let name = lifecycle::schema_name_of(&tenant)?;
    let owner = catalog::schema_owner(schema).and_then(catalog::role_name).unwrap_or_default();
    ensure_owners_can_be_named(schema)?;
    trust::ensure_may_take(schema)?;
    let unforced = registry::tables_with_unforced_policies(schema)?;
    let role = lifecycle::free_role_name(org);
    managing(|| {
        let (quoted_role, quoted_schema) = (quote_identifier(&role), quote_identifier(&name));
        let grants_usage = !has_public_usage(schema)?;
        registry::remember_owners(tenant.id, schema, &owner, grants_usage)?;
        registry::run(&format!("CREATE ROLE {quoted_role} NOLOGIN IN ROLE plio_tenant"))?;
        registry::run(&format!("ALTER SCHEMA {quoted_schema} OWNER TO {quoted_role}"))?;
        for object in registry::owned_objects(schema)? {
            registry::run(&object.change_owner(&role))?;
        }
        for statement in registry::default_privileges(schema, &owner, &role)? {
            registry::run(&statement)?;
        }
        if grants_usage {
            registry::run(&format!("GRANT USAGE ON SCHEMA {quoted_schema} TO PUBLIC"))?;
        }
        registry::update_role(org, Some(&role))?;
        let detail = json!({ "role_name": role, "previous_owner": owner, "unforced_row_security": unforced });
        registry::record("assign_role", Some(org), detail)
    })?;
    let closed = shares::path::open()?;
    if !closed.is_empty() {
        error::warn(
            &format!("tenant \"{org}\" cannot use all the schemas in its search_path"),
            &format!("Role plio_tenant has no USAGE on: {}.", closed.join(", ")),
            "Types and operators there are not found inside the tenant; a superuser can GRANT USAGE to plio_tenant.",
        );
    }
    if !unforced.is_empty() {
        error::warn(
            &format!("row security of {} tables does not bind tenant \"{org}\"", unforced.len()),
            &format!("The tenant's role owns them: {}.", unforced.join(", ")),
            "ALTER TABLE .. FORCE ROW LEVEL SECURITY binds the owner, too.",
        );
    }
    Ok(role)
}

/// Takes [`assign_role`] back: everything is its previous owner's again, or all of it `new_owner`'s.
///
/// # Errors
/// 42704 (also: a previous owner is gone), 55000 (no role was assigned, or a previous owner is too strong), 42501 and
/// 22023 (the new owner), 55006, 25001.
pub fn unassign_role(org: &Org, new_owner: Option<&str>) -> Result<()> {
    prepare("unassign_role")?;
    let tenant = lifecycle::lock(org)?;
    let before = registry::granted_usage_before(tenant.id)?;
    let (Some(role), Some(granted_usage)) = (&tenant.role, before) else {
        return Err(Error::WrongLayers {
            message: format!("tenant \"{org}\" has no role that was assigned to it"),
            hint: "Only what plio.assign_role() did can be taken back.",
        });
    };
    let schema = schema_of(&tenant)?;
    let quoted_schema = quote_identifier(&lifecycle::schema_name_of(&tenant)?);
    let quoted_role = quote_identifier(&role.name.to_string_lossy());
    let owner = match new_owner {
        Some(name) => {
            trust::new_owner(name)?;
            name.to_owned()
        }
        None => {
            let before = registry::owners_before(tenant.id, schema)?;
            trust::ensure_are_there(org, &before)?;
            let owner = before.first().map(|schema| schema.owner.clone()).unwrap_or_default();
            trust::ensure_may_give_back(org, before)?;
            owner
        }
    };
    managing(|| {
        if granted_usage {
            registry::run(&format!("REVOKE USAGE ON SCHEMA {quoted_schema} FROM PUBLIC"))?;
        }
        if new_owner.is_none() {
            for (object, owner) in registry::objects_with_other_owners(tenant.id, schema)? {
                registry::run(&object.change_owner(&catalog::role_name(owner).unwrap_or_default()))?;
            }
        }
        // What was made since, large objects included, goes to the schema's owner; then only grants are left to drop.
        registry::run(&format!("REASSIGN OWNED BY {quoted_role} TO {}", quote_identifier(&owner)))?;
        registry::run(&format!("DROP OWNED BY {quoted_role}"))?;
        if !catalog::is_role_used_elsewhere(role.oid) {
            registry::run(&format!("DROP ROLE {quoted_role}"))?;
        }
        registry::forget_owners(tenant.id)?;
        registry::update_role(org, None)?;
        let detail = json!({ "owner": owner, "is_new_owner": new_owner.is_some() });
        registry::record("unassign_role", Some(org), detail)
    })
}

/// Statements name owners, and a name from a database of another encoding would find nobody again.
fn ensure_owners_can_be_named(schema: Oid) -> Result<()> {
    let owners = registry::owners_of(schema)?;
    match owners
        .into_iter()
        .find(|owner| catalog::role_name(*owner).and_then(|name| catalog::role_oid(&name)) != Some(*owner))
    {
        Some(owner) => Err(Error::WrongLayers {
            message: format!(
                "the name of the role with oid {} is not valid in encoding UTF8",
                owner.to_u32()
            ),
            hint: "Rename the role, in a database of the encoding in which it was made.",
        }),
        None => Ok(()),
    }
}

fn schema_of(tenant: &Tenant) -> Result<Oid> {
    tenant.schema.ok_or_else(|| Error::Broken { org: tenant.org.clone(), what: "schema" })
}

fn has_public_usage(schema: Oid) -> Result<bool> {
    Spi::get_one_with_args::<bool>(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) e
                         WHERE n.oid = $1 AND e.grantee = 0 AND e.privilege_type = 'USAGE')",
        &[schema.into()],
    )
    .map(|found| found.unwrap_or(false))
    .map_err(registry::bug)
}
