//! Whose access is checked when a tenant is entered, and which role comes back when a session's tenant ends.
//!
//! Both are the role that was in force when the session entered its first tenant: the login role, or the role that it had
//! SET ROLE to. Inside a tenant with a role of its own that is no longer the outer user, so the state carries it.

#![forbid(unsafe_code)]

use super::state;
use crate::error::{Error, Result};
use crate::pg::{catalog, guc, session};
use pgrx::pg_sys::Oid;
use std::ffi::CString;

/// The role whose access is checked.
pub(super) fn user() -> Oid {
    state::entered_as().unwrap_or_else(session::outer_user)
}

/// What to set `role` to when the session's role is no tenant's any more. PostgreSQL checks it as any SET ROLE; where that
/// would be refused by now, it is the login role's turn.
pub fn role_to_return_to() -> CString {
    let (user, login) = (user(), session::session_user());
    let name =
        if user == login || !catalog::may_set_role(login, user) { None } else { catalog::role_name(user) };
    name.and_then(|name| CString::new(name).ok()).unwrap_or_else(|| c"none".to_owned())
}

/// Refuses a session's tenant while the role is set for the transaction only: the tenant would outlive the role that was
/// admitted to it.
///
/// # Errors
/// 25001.
pub(super) fn ensure_role_stays() -> Result<()> {
    let is_local = guc::Record::find(c"role").is_some_and(guc::Record::is_set_for_transaction);
    if is_local && !state::is_active() { Err(Error::RoleOfTransaction) } else { Ok(()) }
}

/// A change of the tenant that has begun. Unless it comes to [`Change::done`], it was refused, by us or by an error of
/// PostgreSQL's: then a session's tenant that is in force is not entered again, whatever becomes of the error.
pub(super) struct Change(());

impl Change {
    /// Begins a change.
    pub(super) fn begin() -> Self {
        Self(())
    }

    /// The change succeeded.
    pub(super) fn done(self) {
        std::mem::forget(self);
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        state::spoil();
    }
}
