//! A report's stay in one tenant: inside a subtransaction that is rolled back, so that PostgreSQL itself leads out again.
//!
//! Other than `set_tenant` it needs no grant of access (the report's own rules say who may), and it may begin while a
//! query runs: that query's rows were fetched without a tenant, it goes on without one, and nothing that runs here can
//! reach it. Waits are bounded, nothing may be written, and the access check, the role and the locks are those of any
//! tenant. A tenant without a role of its own is visited as its schema's owner: never with the reporter's rights.

use crate::cache::Role;
use crate::error::{Error, Result};
use crate::hooks::planner;
use crate::pg::{catalog, part, portal};
use crate::registry;
use crate::tenant::Org;
use pgrx::pg_sys::Oid;
use std::cell::Cell;
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// How long a report waits for a lock, unless lock_timeout says otherwise.
const LONGEST_WAIT: &std::ffi::CStr = c"5s";

/// Whether the role in force stands in for one that the tenant does not have.
static HAS_STAND_IN: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IS_VISITING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a report's query is running in a tenant.
pub fn is_running() -> bool {
    IS_VISITING.get()
}

/// Whether the active tenant has no role of its own, though the session has one: what only native privileges would stop
/// is denied, as in any tenant with one layer.
pub fn has_stand_in() -> bool {
    HAS_STAND_IN.load(Relaxed)
}

/// Enters a tenant and runs `f` there with its schema's name. The caller rolls the subtransaction back.
///
/// # Errors
/// The tenant is suspended, or gone, or has lost its schema or role; or its schema belongs to a superuser and it has no
/// role of its own. What the lock or `f` raises passes through.
pub fn run_in<R>(org: &Org, f: impl FnOnce(&str) -> R) -> Result<R> {
    struct Over(bool);
    impl Drop for Over {
        fn drop(&mut self) {
            IS_VISITING.set(self.0);
            HAS_STAND_IN.store(false, Relaxed);
        }
    }
    part::bound_waits(LONGEST_WAIT);
    // The report's own rules say who may.
    let (tenant, schema) =
        super::lock_open(org, || Error::UnknownTenant { org: org.to_string() }, |_| Ok(()))?;
    let name =
        catalog::schema_name(schema).ok_or_else(|| Error::Broken { org: org.to_string(), what: "schema" })?;
    part::forbid_writes();
    planner::forget_plans();
    let _over = Over(IS_VISITING.replace(true));
    match &tenant.role {
        Some(_) => super::apply(&tenant, schema, super::Scope::Transaction),
        None => {
            // A parallel worker would know the role, not that it is another's.
            part::forbid_workers();
            super::apply(&tenant.with_role(owner(org, schema)?), schema, super::Scope::Transaction);
            HAS_STAND_IN.store(true, Relaxed);
        }
    }
    let result = f(&name);
    if !part::is_read_only() {
        return Err(Error::ReportWrites);
    }
    Ok(result)
}

/// Every visit is over: no plan may keep a row that was read in one.
pub fn finish() {
    planner::forget_plans();
}

/// Who stands in for the role that an adopted tenant does not have.
fn owner(org: &Org, schema: Oid) -> Result<Role> {
    let lost = || Error::Broken { org: org.to_string(), what: "role" };
    let oid =
        catalog::schema_owner(schema).filter(|owner| !catalog::is_superuser(*owner)).ok_or_else(lost)?;
    let name = catalog::role_name(oid).and_then(|name| CString::new(name).ok()).ok_or_else(lost)?;
    Ok(Role { oid, name })
}

/// Refuses while the session has a cursor, held ones included: the code of a tenant could fetch from it.
///
/// # Errors
/// 25001.
pub fn ensure_no_cursor() -> Result<()> {
    if !portal::has_ready() {
        return Ok(());
    }
    let is_ready = |name: &String| {
        matches!(portal::cursor_state(name), Some(portal::Cursor::Open | portal::Cursor::Held))
    };
    if registry::open_cursors()?.iter().any(is_ready) { Err(Error::CursorsInReport) } else { Ok(()) }
}
