//! CREATE EVENT TRIGGER: no event trigger sees it, and its function runs in every tenant.

use crate::cache::{self, SchemaKind};
use crate::error::{Error, Result};
use crate::pg::{catalog, nodes};
use pgrx::pg_sys;

/// Refuses an event trigger that would call a tenant's function.
///
/// # Errors
/// 42501.
///
/// # Safety
/// `statement` is a CreateEventTrigStmt.
pub unsafe fn ensure_event_trigger(statement: *const pg_sys::CreateEventTrigStmt) -> Result<()> {
    // SAFETY: the caller's promise.
    let function = unsafe { nodes::function_without_arguments((*statement).funcname) };
    match function.and_then(catalog::function_schema).map(cache::schema_kind) {
        Some(SchemaKind::Tenant) => Err(Error::Tie),
        _ => Ok(()),
    }
}
