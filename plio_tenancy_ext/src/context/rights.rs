//! Whose rights are in force inside a tenant, where PostgreSQL's privileges have to hold alone.
//!
//! Statistics, other sessions' texts, large objects and files are no relation that the access check could judge
//! (one_layer.rs lists them). A tenant's own role has no right to another tenant's. The login role may have: a tenant without a
//! role works with the login role's rights, and so does a definer function that belongs to the login role, in any tenant. So
//! what is on the list is denied while the rights in force are neither the tenant's role's nor an administrator's.

#![forbid(unsafe_code)]

use super::state::{is_one_layer, may_have_other_rights};
use crate::cache;
use crate::error::{Error, Result};
use crate::pg::session;
use crate::policy::Actor;

/// Refuses what only PostgreSQL's privileges would hold, unless the rights in force are the active tenant's role's or an
/// administrator's.
///
/// # Errors
/// 42501.
pub fn ensure_own_rights(what: &str) -> Result<()> {
    if is_one_layer() {
        Err(Error::OneLayer { what: what.to_owned() })
    } else if may_have_other_rights() && cache::actor(session::current_user()) != Actor::Administrator {
        Err(Error::OthersRights { what: what.to_owned() })
    } else {
        Ok(())
    }
}
