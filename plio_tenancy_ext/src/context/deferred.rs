//! What is deferred to COMMIT fires before the tenant changes: under the tenant in which it was queued.
//!
//! Asked in front of every way in and out: `set_tenant`, `SET plio.tenant`, `RESET plio.tenant`, `RESET ALL`, `DISCARD ALL`.
//! Firing itself is `pg::deferred`'s, without a guard, so the callers are the outer functions of hooks and of `set_tenant`.
//! Where a trigger is running nothing is fired here: the tenant cannot change there (context.rs).

#![forbid(unsafe_code)]

use crate::pg::{deferred, session};

/// Whether what is deferred must fire before `org` is entered, for the transaction only or for the session. Where the tenant
/// is locked nothing is entered.
pub fn must_fire_before(org: &str) -> bool {
    can_fire() && !super::is_locked() && super::active_org().as_deref() != Some(org)
}

/// Whether what is deferred must fire before a session's tenant is left.
pub fn must_fire_before_leaving() -> bool {
    can_fire() && super::is_active() && !super::is_locked()
}

fn can_fire() -> bool {
    session::is_in_progress() && !deferred::is_in_trigger() && !crate::hooks::running::is_any()
}
