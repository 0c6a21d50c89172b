//! What is deferred to COMMIT fires before the tenant changes: under the tenant in which it was queued.
//!
//! Asked in front of every way in and out: `set_tenant`, `SET plio.tenant`, `RESET plio.tenant`, `RESET ALL`, `DISCARD ALL`.
//! Firing itself is `pg::deferred`'s, without a guard, so the callers are the outer functions of hooks and of `set_tenant`.
//! Where a trigger is running nothing is fired here: the tenant cannot change there (context.rs).

#![forbid(unsafe_code)]

use crate::hooks::running;
use crate::pg::{deferred, session};

/// Whether what is deferred must fire before `org` is entered, for the transaction or for the session: not where it is the
/// active tenant already.
pub fn must_fire_before(org: &str) -> bool {
    can_fire() && super::active_org().as_deref() != Some(org)
}

/// Whether what is deferred must fire before a session's tenant is left.
pub fn must_fire_before_leaving() -> bool {
    can_fire() && super::is_active()
}

/// Whether the tenant can change here at all: it is not locked, and neither a trigger nor a plan on tables is running. Looks at
/// plain data.
pub fn can_fire() -> bool {
    session::is_in_progress() && !super::is_locked() && !deferred::is_in_trigger() && !running::is_any()
}
