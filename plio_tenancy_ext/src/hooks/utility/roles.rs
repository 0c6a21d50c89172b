//! Statements on roles, without a tenant: whose name a role gets, and who changes the roles that the boundary rests on.
//!
//! - A role's name is a schema on its own search_path ("$user"). The name of a tenant's schema would put the tenant's code there.
//! - The groups of the extension and the tenants' roles: on PostgreSQL 15 CREATEROLE is enough to give membership of any role that
//!   is no superuser, and to alter it. Here it is not: as on 16 and later, members are given and taken by superusers and by whoever
//!   has ADMIN OPTION. (What is done to a tenant's role itself the object access hook refuses.)
//!
//! Roles belong to the cluster: what is done in a database without the extension is not seen. health() and audit() find it.

use crate::error::{Error, Result};
use crate::pg::{catalog, nodes, owned, session};
use crate::policy::Actor;
use crate::{cache, lifecycle};
use pgrx::pg_sys::{self, NodeTag, Oid};

/// Judges a statement that makes, changes, renames, grants or drops roles.
///
/// # Errors
/// 42939: the name of a tenant's schema; 42501.
///
/// # Safety
/// `statement` is a utility statement with that tag.
pub unsafe fn ensure_allowed(tag: NodeTag, statement: *mut pg_sys::Node) -> Result<()> {
    use NodeTag::*;
    if lifecycle::is_managing() {
        return Ok(());
    }
    // SAFETY: each branch casts to the struct that its tag stands for (parsenodes.h); the lists are of the nodes that the
    // grammar puts there.
    unsafe {
        match tag {
            T_CreateRoleStmt => {
                let create = &*statement.cast::<pg_sys::CreateRoleStmt>();
                ensure_free_name(owned(create.role))?;
                members(create.options, "addroleto").into_iter().try_for_each(ensure_may_give)?;
                ["rolemembers", "adminmembers"]
                    .into_iter()
                    .flat_map(|option| members(create.options, option))
                    .try_for_each(ensure_may_receive)
            }
            // ALTER GROUP .. ADD USER is one, too.
            T_AlterRoleStmt => {
                let alter = &*statement.cast::<pg_sys::AlterRoleStmt>();
                let given = members(alter.options, "rolemembers");
                let role = role_of(alter.role);
                if given.is_empty() {
                    return ensure_may_alter(role);
                }
                ensure_may_give(role)?;
                given.into_iter().try_for_each(ensure_may_receive)
            }
            T_AlterRoleSetStmt => {
                ensure_may_alter(role_of((*statement.cast::<pg_sys::AlterRoleSetStmt>()).role))
            }
            T_DropRoleStmt => {
                roles_of((*statement.cast::<pg_sys::DropRoleStmt>()).roles).try_for_each(ensure_may_alter)
            }
            T_GrantRoleStmt => {
                let grant = &*statement.cast::<pg_sys::GrantRoleStmt>();
                for group in nodes::pointers::<pg_sys::AccessPriv>(grant.granted_roles) {
                    let name = owned((**group).priv_name);
                    ensure_may_give(name.and_then(|name| catalog::role_oid(&name)))?;
                }
                roles_of(grant.grantee_roles).try_for_each(ensure_may_receive)
            }
            T_RenameStmt => {
                let rename = &*statement.cast::<pg_sys::RenameStmt>();
                if rename.renameType != pg_sys::ObjectType::OBJECT_ROLE {
                    return Ok(());
                }
                ensure_may_alter(owned(rename.subname).and_then(|name| catalog::role_oid(&name)))?;
                ensure_free_name(owned(rename.newname))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses the name of a tenant's schema.
fn ensure_free_name(name: Option<String>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    match catalog::schema_oid(&name).map(cache::schema_kind) {
        Some(cache::SchemaKind::Tenant) => Err(Error::RoleOfSchema { name }),
        _ => Ok(()),
    }
}

/// The groups that the extension made.
fn is_group_of_ours(role: Oid) -> bool {
    catalog::role_name(role).is_some_and(|name| cache::code::OUR_GROUPS.contains(&name.as_str()))
}

fn refuse(role: Oid) -> Error {
    Error::ProtectedRole { name: catalog::role_name(role).unwrap_or_default() }
}

/// Who gives and takes membership of a group of the extension's, or of a tenant's role.
fn ensure_may_give(group: Option<Oid>) -> Result<()> {
    let Some(group) = group.filter(|group| is_group_of_ours(*group) || catalog::is_tenant_role(*group))
    else {
        return Ok(());
    };
    if catalog::has_admin_option(session::current_user(), group) { Ok(()) } else { Err(refuse(group)) }
}

/// Who makes a tenant's role, or all of them, a member of another role: they would have its rights inside.
fn ensure_may_receive(member: Option<Oid>) -> Result<()> {
    match member {
        Some(member)
            if (catalog::role_name(member).as_deref() == Some("plio_tenant")
                || catalog::is_tenant_role(member))
                && cache::actor(session::current_user()) != Actor::Administrator =>
        {
            Err(refuse(member))
        }
        _ => Ok(()),
    }
}

/// Who alters, renames or drops a group of the extension's.
fn ensure_may_alter(role: Option<Oid>) -> Result<()> {
    match role {
        Some(role) if is_group_of_ours(role) && !catalog::is_superuser(session::current_user()) => {
            Err(refuse(role))
        }
        _ => Ok(()),
    }
}

/// # Safety
/// A RoleSpec, or NULL for ALL.
unsafe fn role_of(role: *const pg_sys::RoleSpec) -> Option<Oid> {
    // SAFETY: the caller's promise; missing_ok is set. PUBLIC is an error there.
    unsafe {
        if role.is_null() || (*role).roletype == pg_sys::RoleSpecType::ROLESPEC_PUBLIC {
            return None;
        }
        let oid = pg_sys::get_rolespec_oid(role, true);
        (oid != pg_sys::InvalidOid).then_some(oid)
    }
}

/// # Safety
/// A list of RoleSpec nodes.
unsafe fn roles_of<'a>(roles: *mut pg_sys::List) -> impl Iterator<Item = Option<Oid>> + 'a {
    // SAFETY: the caller's promise.
    unsafe { nodes::pointers::<pg_sys::RoleSpec>(roles).to_vec() }
        .into_iter()
        // SAFETY: as above.
        .map(|role| unsafe { role_of(role) })
}

/// # Safety
/// The options of CREATE or ALTER ROLE.
unsafe fn members(options: *mut pg_sys::List, option: &str) -> Vec<Option<Oid>> {
    // SAFETY: the caller's promise: DefElem nodes, of which these hold lists of RoleSpec nodes (gram.y).
    unsafe {
        nodes::pointers::<pg_sys::DefElem>(options)
            .iter()
            .filter(|given| owned((***given).defname).as_deref() == Some(option))
            .flat_map(|given| roles_of((**given).arg.cast()))
            .collect()
    }
}
