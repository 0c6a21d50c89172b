//! The schema in which a statement would create an object, or into which it would move one.
//!
//! PostgreSQL looks such a schema up without asking the object access hook, and refuses it with a message that has
//! no hint and tells an existing schema from a missing one. So the name in the parse tree is judged before. What is
//! not named here, the event triggers see (ddl.rs).

use crate::error::{Error, Result};
use crate::pg::{catalog, nodes, owned};
use crate::policy::{self, Verdict, Why};
use crate::{cache, context};
use pgrx::pg_sys::{self, NodeTag};

/// Judges the target with a tenant active.
///
/// # Errors
/// 42501.
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
    match policy::decide_ddl_target(cache::place_of_schema(oid, context::active_schema())) {
        Verdict::Allow => Ok(()),
        Verdict::Deny(Why::OtherTenant) => {
            Err(Error::Denied { why: Why::OtherTenant, relation: None, active: context::active_org() })
        }
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
            T_AlterObjectSchemaStmt => owned((*statement.cast::<pg_sys::AlterObjectSchemaStmt>()).newschema),
            _ => None,
        }
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
