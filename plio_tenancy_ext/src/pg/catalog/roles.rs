//! Roles: by name and oid, and what they may.

use super::{c_name, valid};
use crate::pg::scan::{self, Key};
use crate::pg::{owned, session};
use pgrx::pg_sys;
use std::ffi::CStr;

/// The role of that name.
pub fn role_oid(name: &str) -> Option<pg_sys::Oid> {
    let name = c_name(name)?;
    // SAFETY: a NUL-terminated name; missing_ok is set.
    valid(unsafe { pg_sys::get_role_oid(name.as_ptr(), true) })
}

/// A role's name.
pub fn role_name(oid: pg_sys::Oid) -> Option<String> {
    // SAFETY: noerr is set: NULL when there is none.
    unsafe { owned(pg_sys::GetUserNameFromId(oid, true)) }
}

/// Whether `member` has the privileges of `role`: itself, an inheriting member, or a superuser.
pub fn has_privileges_of(member: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: any oids may be asked for.
    unsafe { pg_sys::has_privs_of_role(member, role) }
}

/// Whether `member` is a member of `role`, in however many steps; a superuser is none by itself.
pub fn is_member_of(member: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: any oids may be asked for.
    unsafe { pg_sys::is_member_of_role_nosuper(member, role) }
}

/// Whether `user` may give and take membership of the role: with ADMIN OPTION, or as a superuser. On 15 CREATEROLE is another way,
/// which this leaves out.
pub fn has_admin_option(user: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: any oids may be asked for.
    unsafe { pg_sys::is_admin_of_role(user, role) }
}

/// Whether the role is a superuser.
pub fn is_superuser(role: pg_sys::Oid) -> bool {
    // SAFETY: any oid may be asked for.
    unsafe { pg_sys::superuser_arg(role) }
}

/// Whether the schema's access list names the role, as grantee or grantor.
pub fn is_named_in_schema_acl(schema: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    let cache = pg_sys::SysCacheIdentifier::NAMESPACEOID as i32;
    // SAFETY: the tuple is released below; the members' array is palloc'd in the current context by aclmembers.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(cache, schema.into());
        if tuple.is_null() {
            return false;
        }
        let mut is_null = true;
        let acl =
            pg_sys::SysCacheGetAttr(cache, tuple, pg_sys::Anum_pg_namespace_nspacl as i16, &mut is_null);
        let mut found = false;
        if !is_null {
            let acl = pg_sys::pg_detoast_datum(acl.cast_mut_ptr());
            let mut members: *mut pg_sys::Oid = std::ptr::null_mut();
            let count = pg_sys::aclmembers(acl.cast(), &mut members);
            if count > 0 {
                found = std::slice::from_raw_parts(members, count as usize).contains(&role);
            }
        }
        pg_sys::ReleaseSysCache(tuple);
        found
    }
}

/// Whether another database of the cluster has objects or grants of this role (pg_shdepend, by reference).
pub fn is_role_used_elsewhere(role: pg_sys::Oid) -> bool {
    let here = session::database_oid();
    let mut found = false;
    let columns = [(5, pg_sys::AuthIdRelationId), (6, role)];
    let key = Key::Oids { index: pg_sys::Oid::from(SHDEPEND_BY_REFERENCE), columns: &columns };
    scan::for_each_row(pg_sys::Oid::from(SHDEPEND), &key, |row| {
        found |= row.oid(1).is_some_and(|database| database != pg_sys::InvalidOid && database != here);
    });
    found
}

/// pg_shdepend and its index on (refclassid, refobjid), columns 5 and 6; column 1 is dbid (pg_shdepend.h).
const SHDEPEND: u32 = 1214;
const SHDEPEND_BY_REFERENCE: u32 = 1233;

/// Whether a role may read every table of the database.
pub fn reads_everything(role: pg_sys::Oid) -> bool {
    has_privileges_of(role, pg_sys::Oid::from(pg_sys::ROLE_PG_READ_ALL_DATA))
}

/// The relations of this database that a role owns or was granted something on.
pub fn relations_of(role: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    let here = session::database_oid();
    let mut found = Vec::new();
    let columns = [(5, pg_sys::AuthIdRelationId), (6, role)];
    let key = Key::Oids { index: pg_sys::Oid::from(SHDEPEND_BY_REFERENCE), columns: &columns };
    scan::for_each_row(pg_sys::Oid::from(SHDEPEND), &key, |row| {
        if row.oid(1) == Some(here) && row.oid(2) == Some(pg_sys::RelationRelationId) {
            found.extend(row.oid(3));
        }
    });
    found
}

/// Whether everybody may read one of these relations, or a column of one: `is_asked` says which, by their schema.
pub fn is_any_open_to_everybody(is_asked: impl Fn(pg_sys::Oid) -> bool) -> bool {
    let mut is_open = false;
    scan::for_each_row(pg_sys::RelationRelationId, &Key::All, |row| {
        is_open = is_open
            || row.lets_everybody_read(pg_sys::Anum_pg_class_relacl as usize)
                && row.oid(pg_sys::Anum_pg_class_relnamespace as usize).is_some_and(&is_asked);
    });
    if is_open {
        return true;
    }
    scan::for_each_row(pg_sys::AttributeRelationId, &Key::All, |row| {
        is_open = is_open
            || row.lets_everybody_read(pg_sys::Anum_pg_attribute_attacl as usize)
                && row
                    .oid(pg_sys::Anum_pg_attribute_attrelid as usize)
                    .and_then(super::relation_schema)
                    .is_some_and(&is_asked);
    });
    is_open
}

/// A role, and all that it is a member of, in however many steps.
pub fn with_groups(role: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    let mut found = vec![role];
    let mut next = 0;
    while let Some(member) = found.get(next).copied() {
        let key =
            Key::Oids { index: pg_sys::Oid::from(MEMBERS_BY_MEMBER), columns: &[(MEMBER as i16, member)] };
        scan::for_each_row(pg_sys::Oid::from(MEMBERS), &key, |row| {
            found.extend(row.oid(MEMBER - 1).filter(|group| !found.contains(group)));
        });
        next += 1;
    }
    found
}

/// pg_auth_members, its index on member, and that column; roleid is the one before (pg_auth_members.h).
const MEMBERS: u32 = 1261;
const MEMBERS_BY_MEMBER: u32 = 2695;
#[cfg(feature = "pg15")]
const MEMBER: usize = 2;
#[cfg(not(feature = "pg15"))]
const MEMBER: usize = 3;

/// Whether a role is a tenant's: a direct member of the group `plio_tenant`. Whoever is a member of a tenant's role is not.
pub fn is_tenant_role(role: pg_sys::Oid) -> bool {
    let Some(group) = role_oid("plio_tenant") else { return false };
    let columns = [(MEMBERS_ROLE, group), (MEMBERS_ROLE + 1, role)];
    let key = Key::Oids { index: pg_sys::Oid::from(MEMBERS_BY_ROLE), columns: &columns };
    let mut is_member = false;
    scan::for_each_row(pg_sys::Oid::from(MEMBERS), &key, |_| is_member = true);
    is_member
}

/// Its index on (roleid, member, ..), and where the two columns begin.
const MEMBERS_BY_ROLE: u32 = 2694;
const MEMBERS_ROLE: i16 = MEMBER as i16 - 1;

/// Whether a session of `user` may SET ROLE to `role`, as PostgreSQL's own check decides (`check_role`, variable.c).
pub fn may_set_role(user: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: any oids may be asked for.
    unsafe {
        #[cfg(feature = "pg15")]
        let may = pg_sys::is_member_of_role(user, role);
        #[cfg(not(feature = "pg15"))]
        let may = pg_sys::member_can_set_role(user, role);
        may
    }
}

/// Whether a role may run that function.
pub fn may_execute(role: pg_sys::Oid, function: pg_sys::Oid) -> bool {
    // SAFETY: any role and function may be asked for.
    let answer = unsafe {
        #[cfg(feature = "pg15")]
        let answer = pg_sys::pg_proc_aclcheck(function, role, pg_sys::ACL_EXECUTE);
        #[cfg(not(feature = "pg15"))]
        let answer =
            pg_sys::object_aclcheck(pg_sys::ProcedureRelationId, function, role, pg_sys::ACL_EXECUTE.into());
        answer
    };
    answer == pg_sys::AclResult::ACLCHECK_OK
}

/// Raises PostgreSQL's own error unless the current user may run that function.
pub fn ensure_may_execute(function: pg_sys::Oid, name: &CStr) {
    // SAFETY: the function exists; the name is copied into the error.
    unsafe {
        let user = pg_sys::GetUserId();
        #[cfg(feature = "pg15")]
        let answer = pg_sys::pg_proc_aclcheck(function, user, pg_sys::ACL_EXECUTE);
        #[cfg(not(feature = "pg15"))]
        let answer =
            pg_sys::object_aclcheck(pg_sys::ProcedureRelationId, function, user, pg_sys::ACL_EXECUTE.into());
        if answer != pg_sys::AclResult::ACLCHECK_OK {
            pg_sys::aclcheck_error(answer, pg_sys::ObjectType::OBJECT_FUNCTION, name.as_ptr());
        }
    }
}
