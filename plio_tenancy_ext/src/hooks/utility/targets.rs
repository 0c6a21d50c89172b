//! The schema in which a statement would create an object, or into which it would move one.
//!
//! PostgreSQL looks such a schema up without asking the object access hook, and refuses it with a message that has
//! no hint and tells an existing schema from a missing one. So the name in the parse tree is judged before. What is
//! not named here, the event triggers see (ddl.rs).

use crate::error::{Error, Result};
use crate::hooks::object_access::ensure_code;
use crate::pg::{catalog, depend, nodes, owned};
use crate::policy::{self, Verdict, Why};
use crate::{cache, context, house};
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
    if !matches!(tag, NodeTag::T_ReindexStmt) {
        house::ensure_nothing_planted(oid)?;
    }
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
    // SAFETY: the caller's promise; relations are looked up without opening them.
    let schema = unsafe {
        let relation = (*statement).relation;
        if relation.is_null() {
            schema_of_named((*statement).objectType, (*statement).object)
        } else {
            nodes::relation_of(relation).and_then(catalog::relation_schema)
        }
    };
    schema.map_or(Ok(()), ensure_own_schema)
}

/// Judges what COMMENT, SECURITY LABEL, ALTER TYPE .. ADD VALUE or ALTER .. DEPENDS ON EXTENSION names: they touch nothing
/// that the object access hook is told of. Without a tenant a schema itself is judged, too; what lies in none is not.
///
/// # Errors
/// 42501, 55000; PostgreSQL's, when there is no such object.
///
/// # Safety
/// `statement` is a utility statement with that tag.
pub unsafe fn ensure_named(tag: NodeTag, statement: *mut pg_sys::Node) -> Result<()> {
    // SAFETY: each branch casts to the struct that its tag stands for (parsenodes.h).
    let schema = unsafe {
        match tag {
            NodeTag::T_CommentStmt => {
                let comment = statement.cast::<pg_sys::CommentStmt>();
                schema_or_its_own((*comment).objtype, (*comment).object)
            }
            NodeTag::T_SecLabelStmt => {
                let label = statement.cast::<pg_sys::SecLabelStmt>();
                schema_or_its_own((*label).objtype, (*label).object)
            }
            NodeTag::T_AlterEnumStmt => {
                let names = (*statement.cast::<pg_sys::AlterEnumStmt>()).typeName;
                schema_of_type(names)
            }
            NodeTag::T_AlterObjectDependsStmt => {
                let depends = statement.cast::<pg_sys::AlterObjectDependsStmt>();
                if (*depends).relation.is_null() {
                    schema_of_named((*depends).objectType, (*depends).object)
                } else {
                    nodes::relation_of((*depends).relation).and_then(catalog::relation_schema)
                }
            }
            _ => None,
        }
    };
    match schema {
        Some(schema) if context::is_active() => ensure_own_schema(schema),
        Some(schema) => {
            if !matches!(tag, NodeTag::T_CommentStmt | NodeTag::T_SecLabelStmt) {
                house::ensure_nothing_planted(schema)?;
            }
            ensure_code(schema)
        }
        None => Ok(()),
    }
}

/// The schema that is named, or that of the object that is.
///
/// # Safety
/// As [`schema_of_named`].
unsafe fn schema_or_its_own(
    kind: pg_sys::ObjectType::Type,
    object: *mut pg_sys::Node,
) -> Option<pg_sys::Oid> {
    // SAFETY: the caller's promise; a schema is named by a String node (gram.y).
    unsafe {
        if kind == pg_sys::ObjectType::OBJECT_SCHEMA {
            owned((*object.cast::<pg_sys::String>()).sval).and_then(|name| catalog::schema_oid(&name))
        } else {
            schema_of_named(kind, object)
        }
    }
}

/// The schema of an object that a statement names, as PostgreSQL's own look-up finds it; `None` for what lies in none.
///
/// # Safety
/// `object` is a node that names an object of that kind, as the grammar makes it for COMMENT or ALTER .. SET SCHEMA.
pub unsafe fn schema_of_named(
    kind: pg_sys::ObjectType::Type,
    object: *mut pg_sys::Node,
) -> Option<pg_sys::Oid> {
    use pg_sys::ObjectType::{OBJECT_DOMAIN, OBJECT_TYPE};
    // SAFETY: the caller's promise; a list of names where the grammar gives one for types. What the look-up opens is closed
    // again, its lock kept.
    unsafe {
        if !lies_in_schema(kind) {
            return None;
        }
        if matches!(kind, OBJECT_TYPE | OBJECT_DOMAIN) {
            return match nodes::tag(object) {
                NodeTag::T_TypeName => schema_of_type((*object.cast::<pg_sys::TypeName>()).names),
                _ => schema_of_type(object.cast()),
            };
        }
        let (mut opened, lock) = (std::ptr::null_mut(), pg_sys::AccessShareLock as i32);
        let found = pg_sys::get_object_address(kind, object, &mut opened, lock, true);
        if !opened.is_null() {
            pg_sys::relation_close(opened, pg_sys::NoLock as i32);
        }
        depend::schema_of((found.classId, found.objectId))
    }
}

unsafe fn schema_of_type(names: *mut pg_sys::List) -> Option<pg_sys::Oid> {
    // SAFETY: the caller passes a list of String nodes; missing_ok is set.
    let oid = unsafe { type_named(names) }?;
    depend::schema_of((pg_sys::TypeRelationId, oid))
}

/// The type that a list of names stands for.
///
/// # Safety
/// `names` is a list of String nodes.
pub unsafe fn type_named(names: *mut pg_sys::List) -> Option<pg_sys::Oid> {
    // SAFETY: the caller's promise; missing_ok is set.
    let oid = unsafe {
        let name = pg_sys::makeTypeNameFromNameList(names);
        pg_sys::LookupTypeNameOid(std::ptr::null_mut(), name, true)
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// Whether objects of that kind lie in a schema.
pub fn lies_in_schema(kind: pg_sys::ObjectType::Type) -> bool {
    use pg_sys::ObjectType::*;
    matches!(
        kind,
        OBJECT_AGGREGATE
            | OBJECT_ATTRIBUTE
            | OBJECT_COLLATION
            | OBJECT_COLUMN
            | OBJECT_DOMAIN
            | OBJECT_DOMCONSTRAINT
            | OBJECT_FOREIGN_TABLE
            | OBJECT_FUNCTION
            | OBJECT_INDEX
            | OBJECT_MATVIEW
            | OBJECT_OPERATOR
            | OBJECT_POLICY
            | OBJECT_PROCEDURE
            | OBJECT_ROUTINE
            | OBJECT_RULE
            | OBJECT_SEQUENCE
            | OBJECT_STATISTIC_EXT
            | OBJECT_TABCONSTRAINT
            | OBJECT_TABLE
            | OBJECT_TRIGGER
            | OBJECT_TSCONFIGURATION
            | OBJECT_TSDICTIONARY
            | OBJECT_TYPE
            | OBJECT_VIEW
    )
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
