//! Casts, transforms and event triggers: code that lies in no schema, and so works in every tenant.
//!
//! A cast or a transform belongs to the tenant whose type it is for. Any other that leans on a tenant's function would
//! bring that function into all tenants.

use super::ties::home;
use crate::error::{Error, Result};
use crate::pg::depend::{self, Address};
use crate::policy::Home;
use pgrx::pg_sys;

const CAST: u32 = 2605;
const EVENT_TRIGGER: u32 = 3466;
const TRANSFORM: u32 = 3576;

/// Judges an object of no schema that leans on something.
///
/// # Errors
/// 42501: it leans on two tenants, or on a tenant without being of that tenant's type.
pub fn ensure_untied(object: Address) -> Result<()> {
    if ![CAST, EVENT_TRIGGER, TRANSFORM].contains(&object.0.to_u32()) {
        return Ok(());
    }
    let (mut tenant, mut is_of_its_type) = (None, false);
    for tie in depend::references_of(object) {
        let Some(found @ Home::Tenant(_)) = depend::schema_of(tie.to).map(home) else { continue };
        if tenant.is_some_and(|tenant| tenant != found) {
            return Err(Error::Tie);
        }
        tenant = Some(found);
        is_of_its_type |= tie.to.0 == pg_sys::TypeRelationId;
    }
    if tenant.is_none() || is_of_its_type { Ok(()) } else { Err(Error::Tie) }
}
