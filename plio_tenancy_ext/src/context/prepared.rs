//! What SQL's PREPARE made inside a tenant: it goes when the tenant ends, however it ends.
//!
//! Under a name that a driver uses (`S_1`, `_pg3_0`, `a1`) it would be run by the next request as the driver's own. So inside a
//! tenant SQL removes only what it prepared there; what a driver prepared by the protocol is removed by the protocol, or by
//! a DEALLOCATE that the client sends as a message of its own.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::pg::session;
use crate::tenant::TenantId;
use std::cell::RefCell;
use std::ffi::{CStr, CString};

thread_local! {
    /// The statements' names, and in which tenant each was prepared.
    static PREPARED: RefCell<Vec<(CString, TenantId)>> = const { RefCell::new(Vec::new()) };
}

/// SQL's PREPARE made a statement inside a tenant.
pub fn note(name: &CStr, tenant: TenantId) {
    PREPARED.with_borrow_mut(|all| {
        all.retain(|(known, _)| known.as_c_str() != name);
        all.push((name.to_owned(), tenant));
    });
}

/// Whether some were prepared in another tenant than that one.
pub fn has_others(tenant: TenantId) -> bool {
    PREPARED.with_borrow(|all| all.iter().any(|(_, of)| *of != tenant))
}

/// The tenant has changed: drops what was prepared in another one. Never raises.
pub fn drop_others(tenant: Option<TenantId>) {
    drop_if(|of| Some(of) != tenant);
}

/// DEALLOCATE ALL inside a tenant: drops what was prepared in it.
pub fn drop_own(tenant: TenantId) {
    drop_if(|of| of == tenant);
}

fn drop_if(goes: impl Fn(TenantId) -> bool) {
    let gone: Vec<_> = PREPARED.with_borrow_mut(|all| {
        if all.is_empty() { Vec::new() } else { all.extract_if(.., |(_, of)| goes(*of)).collect() }
    });
    gone.iter().for_each(|(name, _)| session::drop_statement_of_sql(name));
}

/// DEALLOCATE removed the statement of that name.
pub fn forget_name(name: &CStr) {
    PREPARED.with_borrow_mut(|all| all.retain(|(known, _)| known.as_c_str() != name));
}

/// DEALLOCATE ALL and DISCARD ALL left none.
pub fn forget() {
    PREPARED.with_borrow_mut(Vec::clear);
}

/// Refuses to DEALLOCATE, inside a tenant, what was not prepared there. A name that nobody uses is PostgreSQL's to refuse.
///
/// # Errors
/// 42501.
pub fn ensure_own(name: &CStr, tenant: TenantId) -> Result<()> {
    let is_own =
        PREPARED.with_borrow(|all| all.iter().any(|(known, of)| *of == tenant && known.as_c_str() == name));
    if is_own || !session::has_statement(name) {
        Ok(())
    } else {
        Err(Error::ForeignStatement { name: name.to_string_lossy().into_owned() })
    }
}
