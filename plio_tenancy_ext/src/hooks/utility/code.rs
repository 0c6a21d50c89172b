//! CREATE EVENT TRIGGER: no event trigger sees it, and its function runs in every tenant. ALTER EXTENSION .. DROP: what is
//! no longer the extension's is dropped, dumped and judged like anybody's. And CREATE INDEX CONCURRENTLY, which commits first.

use crate::cache::{self, SchemaKind};
use crate::error::{Error, Result};
use crate::pg::{borrowed, catalog, nodes, session};
use crate::{context, house, registry};
use pgrx::pg_sys;

/// Refuses expressions in an index that is built CONCURRENTLY, in a tenant without a role: when the event triggers could see
/// what they lean on (ddl/upkeep.rs), it is there for good.
///
/// # Errors
/// 42501.
///
/// # Safety
/// `statement` is an IndexStmt.
pub unsafe fn ensure_seen(statement: *const pg_sys::IndexStmt) -> Result<()> {
    // SAFETY: the caller's promise; the parameters are IndexElem nodes.
    let has_expression = unsafe {
        !(*statement).whereClause.is_null()
            || nodes::pointers::<pg_sys::IndexElem>((*statement).indexParams)
                .iter()
                .any(|element| !(**element).expr.is_null())
    };
    // SAFETY: as above.
    if has_expression && unsafe { (*statement).concurrent } && context::is_one_layer() {
        let what = "expressions in an index that is built CONCURRENTLY".to_owned();
        return Err(Error::OneLayer { what });
    }
    Ok(())
}

/// Refuses an event trigger that would call a tenant's function, or one of the extension's own: it would judge twice.
///
/// # Errors
/// 42501.
///
/// # Safety
/// `statement` is a CreateEventTrigStmt.
pub unsafe fn ensure_event_trigger(statement: *const pg_sys::CreateEventTrigStmt) -> Result<()> {
    // SAFETY: the caller's promise.
    let function = unsafe { nodes::function_without_arguments((*statement).funcname) };
    let Some(function) = function else { return Ok(()) };
    match catalog::function_schema(function).map(cache::schema_kind) {
        Some(SchemaKind::Tenant) => Err(Error::Tie),
        _ => house::ensure_unchanged((pg_sys::ProcedureRelationId, function)),
    }
}

/// Refuses to take an object out of our extension, or to add one: CREATE EXTENSION's and pg_upgrade's business.
///
/// # Errors
/// 42501.
///
/// # Safety
/// `statement` is an AlterExtensionContentsStmt.
pub unsafe fn ensure_keeps_objects(statement: *const pg_sys::AlterExtensionContentsStmt) -> Result<()> {
    // SAFETY: the caller's promise.
    let (name, is_drop) = unsafe { (borrowed((*statement).extname), (*statement).action < 0) };
    if name.as_deref() != registry::EXTENSION.to_str().ok()
        || cache::location().is_none_or(|location| session::is_making(location.extension))
    {
        return Ok(());
    }
    Err(if is_drop { Error::ExtensionObject } else { Error::OwnObject })
}
