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
use crate::tenant::{Org, TenantId};
use pgrx::pg_sys::Oid;
use std::ffi::CString;

/// How long a report waits for a lock, unless lock_timeout says otherwise.
const LONGEST_WAIT: &std::ffi::CStr = c"5s";

/// A tenant as it was when the report began.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The registry's key: who has the same org later may be another tenant.
    pub id: TenantId,
    /// Its org.
    pub org: String,
    /// Its schema; `None` when it had none.
    pub schema: Option<Oid>,
}

/// Where a visit is.
pub struct Place {
    /// The tenant's schema.
    pub schema: Oid,
    /// The schema's name.
    pub name: String,
}

/// Enters a tenant and runs `f` there. The caller rolls the subtransaction back.
///
/// # Errors
/// The tenant is suspended, or not the one that was expected, or has lost its schema or role; or its schema belongs to a
/// superuser and it has no role of its own. What the lock or `f` raises passes through.
pub fn run_in<R>(expected: &Expected, f: impl FnOnce(&Place) -> R) -> Result<R> {
    part::bound_waits(LONGEST_WAIT);
    let org = &Org::parse(&expected.org).map_err(Error::BadOrg)?;
    let gone = || Error::UnknownTenant { org: org.to_string() };
    // The report's own rules say who may.
    let is_expected = |tenant: &super::Tenant| if tenant.id == expected.id { Ok(()) } else { Err(gone()) };
    let (tenant, schema) = super::lock_open(org, || Error::UnknownTenant { org: org.to_string() }, is_expected)?;
    if expected.schema.is_some_and(|before| before != schema) {
        return Err(gone());
    }
    let name =
        catalog::schema_name(schema).ok_or_else(|| Error::Broken { org: org.to_string(), what: "schema" })?;
    part::forbid_writes();
    planner::forget_plans();
    match &tenant.role {
        Some(_) => super::apply(&tenant, schema, super::Scope::Visit),
        None => super::apply(&tenant.with_role(owner(org, schema)?), schema, super::Scope::VisitAsOwner),
    }
    let result = f(&Place { schema, name });
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
    if portal::has_ready() { Err(Error::CursorsInReport) } else { Ok(()) }
}
