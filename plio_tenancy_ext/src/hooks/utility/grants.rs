//! GRANT, REVOKE and default privileges, without a tenant: the event triggers are told of no object.

use super::targets;
use crate::error::Result;
use crate::hooks::check_perms::ensure_access;
use crate::hooks::object_access::ensure_code;
use crate::house::{self, Privileges};
use crate::pg::{catalog, nodes, owned};
use crate::policy::Access;
use pgrx::pg_sys::{self, Oid};

/// Judges what is granted: nothing in a tenant's schema by an ordinary role, and nothing that would let others change what
/// is the extension's own.
///
/// # Errors
/// 42501, 55000.
///
/// # Safety
/// `statement` is a GrantStmt.
pub unsafe fn ensure_grant(statement: *const pg_sys::GrantStmt) -> Result<()> {
    use pg_sys::ObjectType::*;
    // SAFETY: the caller's promise; the objects are of the kind that goes with the type (parsenodes.h).
    unsafe {
        let (kind, objects) = ((*statement).objtype, (*statement).objects);
        let is_named = (*statement).targtype == pg_sys::GrantTargetType::ACL_TARGET_OBJECT;
        let (mut schemas, mut relations): (Vec<Oid>, Vec<Oid>) = Default::default();
        match kind {
            _ if !is_named => schemas.extend(schemas_of(objects)),
            OBJECT_SCHEMA => {
                schemas.extend(schemas_of(objects));
                schemas.iter().try_for_each(|schema| ensure_code(*schema))?;
            }
            OBJECT_TABLE | OBJECT_SEQUENCE => {
                for relation in nodes::pointers::<pg_sys::RangeVar>(objects) {
                    if let Some(relation) = nodes::relation_of(*relation) {
                        ensure_access(relation, Access::Write)?;
                        schemas.extend(catalog::relation_schema(relation));
                        relations.push(relation);
                    }
                }
            }
            OBJECT_FUNCTION | OBJECT_PROCEDURE | OBJECT_ROUTINE | OBJECT_TYPE | OBJECT_DOMAIN => {
                for object in nodes::pointers::<pg_sys::Node>(objects) {
                    targets::schema_of_named(kind, *object).map_or(Ok(()), ensure_code)?;
                }
            }
            _ => {}
        }
        let relations_or_schema = matches!(kind, OBJECT_TABLE | OBJECT_SEQUENCE | OBJECT_SCHEMA);
        if (*statement).is_grant && relations_or_schema && !is_to_superusers((*statement).grantees) {
            let privileges = privileges((*statement).privileges);
            let judge = |schema: &Oid| house::ensure_harmless_grant(*schema, &relations, &privileges);
            schemas.iter().try_for_each(judge)?;
        }
    }
    Ok(())
}

/// Judges ALTER DEFAULT PRIVILEGES IN SCHEMA.
///
/// # Errors
/// 42501, 55000.
///
/// # Safety
/// `statement` is an AlterDefaultPrivilegesStmt.
pub unsafe fn ensure_default_privileges(statement: *const pg_sys::AlterDefaultPrivilegesStmt) -> Result<()> {
    // SAFETY: the caller's promise; the options are DefElem nodes, of which "schemas" holds String nodes (gram.y).
    unsafe {
        for option in nodes::pointers::<pg_sys::DefElem>((*statement).options) {
            if owned((**option).defname).as_deref() == Some("schemas") {
                for schema in schemas_of((**option).arg.cast()) {
                    ensure_code(schema)?;
                    house::ensure_nothing_planted(schema)?;
                }
            }
        }
    }
    Ok(())
}

unsafe fn schemas_of(names: *mut pg_sys::List) -> Vec<Oid> {
    // SAFETY: the caller passes a list of String nodes.
    let names = unsafe { nodes::pointers::<pg_sys::String>(names) };
    // SAFETY: as above.
    names.iter().filter_map(|name| catalog::schema_oid(&unsafe { owned((**name).sval) }?)).collect()
}

unsafe fn privileges(given: *mut pg_sys::List) -> Privileges {
    if given.is_null() {
        return None;
    }
    // SAFETY: the caller passes a list of AccessPriv nodes; a name is NULL for ALL PRIVILEGES on columns.
    unsafe { nodes::pointers::<pg_sys::AccessPriv>(given) }
        .iter()
        // SAFETY: as above; the columns are String nodes.
        .map(|privilege| unsafe {
            let columns = nodes::pointers::<pg_sys::String>((**privilege).cols);
            let columns = columns.iter().filter_map(|column| owned((**column).sval)).collect();
            owned((**privilege).priv_name).map(|name| (name, columns))
        })
        .collect()
}

/// Superusers have every privilege already: a restore gives an owner its own.
unsafe fn is_to_superusers(grantees: *mut pg_sys::List) -> bool {
    // SAFETY: the caller passes a list of RoleSpec nodes.
    let grantees = unsafe { nodes::pointers::<pg_sys::RoleSpec>(grantees) };
    grantees.iter().all(|grantee| {
        // SAFETY: as above; missing_ok is set.
        unsafe {
            (**grantee).roletype != pg_sys::RoleSpecType::ROLESPEC_PUBLIC
                && catalog::is_superuser(pg_sys::get_rolespec_oid(*grantee, true))
        }
    })
}
