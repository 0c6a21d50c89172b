//! The schema in which a statement would create an object, or into which it would move one.
//!
//! PostgreSQL looks such a schema up without asking the object access hook, and refuses it with a message that has
//! no hint and tells an existing schema from a missing one. So the name in the parse tree is judged before. What is
//! not named here, the event triggers see (ddl.rs).

use crate::error::{Error, Result};
use crate::hooks::object_access::ensure_code;
use crate::pg::{catalog, depend, nodes, owned};
use crate::policy::{self, Verdict, Why};
use crate::{cache, context};
use pgrx::pg_sys::{self, NodeTag};

/// Judges the target: with a tenant active it is the tenant's own schema, without one no tenant's but for administrators.
///
/// # Errors
/// 42501, 55000.
///
/// # Safety
/// `statement` is a utility statement with that tag.
pub unsafe fn ensure_target(tag: NodeTag, statement: *mut pg_sys::Node) -> Result<()> {
    // SAFETY: the caller's promise.
    let Some(schema) = (unsafe { target_schema(tag, statement) }) else { return Ok(()) };
    // A schema that is not there is PostgreSQL's to report.
    let Some(oid) = (if schema == "pg_temp" { None } else { catalog::schema_oid(&schema) }) else {
        return Ok(());
    };
    if !context::is_active() {
        return ensure_code(oid);
    }
    match policy::decide_ddl_target(cache::place_of_schema(oid, context::active_schema())) {
        Verdict::Allow => Ok(()),
        Verdict::Deny(Why::OtherTenant) => {
            Err(Error::Denied { why: Why::OtherTenant, relation: None, active: context::active_org() })
        }
        Verdict::Deny(_) => Err(Error::DdlOutside),
    }
}

/// Judges what ALTER .. SET SCHEMA would move, with a tenant active: the event triggers see only where it went.
///
/// # Errors
/// 42501; PostgreSQL's, when there is no such object.
///
/// # Safety
/// `statement` is an AlterObjectSchemaStmt for an object that lies in a schema.
pub unsafe fn ensure_source(statement: *const pg_sys::AlterObjectSchemaStmt) -> Result<()> {
    use pg_sys::ObjectType::{OBJECT_DOMAIN, OBJECT_TYPE};
    // SAFETY: the caller's promise; relations are looked up without opening them. For other kinds `object` is the name as
    // PostgreSQL's own look-up takes it (alter.c: a list of names for types); it opens no relation for them.
    let schema = unsafe {
        let (relation, kind, object) = ((*statement).relation, (*statement).objectType, (*statement).object);
        if !relation.is_null() {
            nodes::relation_of(relation).and_then(catalog::relation_schema)
        } else if matches!(kind, OBJECT_TYPE | OBJECT_DOMAIN) {
            let name = pg_sys::makeTypeNameFromNameList(object.cast());
            let oid = pg_sys::LookupTypeNameOid(std::ptr::null_mut(), name, true);
            depend::schema_of((pg_sys::TypeRelationId, oid))
        } else {
            let (mut opened, lock) = (std::ptr::null_mut(), pg_sys::AccessShareLock as i32);
            let found = pg_sys::get_object_address(kind, object, &mut opened, lock, true);
            depend::schema_of((found.classId, found.objectId))
        }
    };
    schema.map_or(Ok(()), ensure_own_schema)
}

/// Judges a relation that the statement alters or builds an index on: as its name does, however it was found.
///
/// # Errors
/// 42501, 55000.
///
/// # Safety
/// `relation` is NULL or a RangeVar.
pub unsafe fn ensure_altered(relation: *const pg_sys::RangeVar) -> Result<()> {
    // SAFETY: the caller's promise.
    match unsafe { nodes::relation_of(relation) } {
        Some(relation) if context::is_active() => ensure_own(relation),
        Some(relation) => catalog::relation_schema(relation).map_or(Ok(()), ensure_code),
        None => Ok(()),
    }
}

/// Refuses, with a tenant active, what does not lie in its schema.
///
/// # Errors
/// 42501.
pub fn ensure_own(relation: pg_sys::Oid) -> Result<()> {
    catalog::relation_schema(relation).map_or(Ok(()), ensure_own_schema)
}

fn ensure_own_schema(schema: pg_sys::Oid) -> Result<()> {
    match policy::decide_ddl_target(cache::place_of_schema(schema, context::active_schema())) {
        Verdict::Allow => Ok(()),
        Verdict::Deny(_) => Err(Error::DdlOutside),
    }
}

/// The schema that the statement names for what it creates or moves; `None` when it names none.
unsafe fn target_schema(tag: NodeTag, statement: *mut pg_sys::Node) -> Option<String> {
    use NodeTag::*;
    // SAFETY: each branch casts to the struct that its tag stands for (parsenodes.h).
    unsafe {
        match tag {
            T_CreateStmt => of_range_var((*statement.cast::<pg_sys::CreateStmt>()).relation),
            T_ViewStmt => of_range_var((*statement.cast::<pg_sys::ViewStmt>()).view),
            T_CreateSeqStmt => of_range_var((*statement.cast::<pg_sys::CreateSeqStmt>()).sequence),
            T_CompositeTypeStmt => of_range_var((*statement.cast::<pg_sys::CompositeTypeStmt>()).typevar),
            T_CreateTableAsStmt => {
                let into = (*statement.cast::<pg_sys::CreateTableAsStmt>()).into;
                if into.is_null() { None } else { of_range_var((*into).rel) }
            }
            T_CreateFunctionStmt => of_names((*statement.cast::<pg_sys::CreateFunctionStmt>()).funcname),
            T_CreateEnumStmt => of_names((*statement.cast::<pg_sys::CreateEnumStmt>()).typeName),
            T_CreateRangeStmt => of_names((*statement.cast::<pg_sys::CreateRangeStmt>()).typeName),
            T_CreateDomainStmt => of_names((*statement.cast::<pg_sys::CreateDomainStmt>()).domainname),
            T_DefineStmt => of_names((*statement.cast::<pg_sys::DefineStmt>()).defnames),
            T_CreateStatsStmt => of_names((*statement.cast::<pg_sys::CreateStatsStmt>()).defnames),
            // The owner of the schema needs no name of a table in it.
            T_ReindexStmt if !context::is_active() => reindexed_schema(statement.cast()),
            T_AlterObjectSchemaStmt => owned((*statement.cast::<pg_sys::AlterObjectSchemaStmt>()).newschema),
            _ => None,
        }
    }
}

unsafe fn reindexed_schema(statement: *const pg_sys::ReindexStmt) -> Option<String> {
    // SAFETY: the caller passes a ReindexStmt.
    unsafe {
        let is_schema = (*statement).kind == pg_sys::ReindexObjectType::REINDEX_OBJECT_SCHEMA;
        if is_schema { owned((*statement).name) } else { None }
    }
}

unsafe fn of_range_var(range_var: *const pg_sys::RangeVar) -> Option<String> {
    // SAFETY: the caller passes NULL or a RangeVar.
    if range_var.is_null() { None } else { unsafe { owned((*range_var).schemaname) } }
}

/// The last but one of a name in two parts or in three, with the database's name in front.
unsafe fn of_names(names: *mut pg_sys::List) -> Option<String> {
    // SAFETY: the caller passes NIL or a list of String nodes.
    let [.., schema, _] = (unsafe { nodes::pointers::<pg_sys::String>(names) }) else { return None };
    // SAFETY: as above; the tag tells an operator's name from others.
    unsafe { if nodes::tag(schema.cast()) == NodeTag::T_String { owned((**schema).sval) } else { None } }
}
