//! Autovacuum, which is nobody's session: what it runs (the expressions of indexes and statistics) runs inside the tenant
//! whose table it is at, and nothing leads out of that.
//!
//! It works as the table's owner, and a login role may own the tables of several tenants: so only what the access check
//! and the lists of a tenant without a role allow is allowed. Only where the server itself loads the library: autovacuum
//! takes in no `session_preload_libraries`. The state is put in force when the first hook is asked in a transaction, and
//! ends with the transaction; no setting stands for it.

#![forbid(unsafe_code)]

use super::state::{self, State};
use crate::pg::{autovacuum, catalog, session};
use crate::tenant::TenantId;
use crate::{cache, guc};
use pgrx::pg_sys::{self, Oid};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Whether this transaction's table was looked for.
static IS_PLACED: AtomicBool = AtomicBool::new(false);
/// The owner of a table that is no tenant's; 0 for none.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// Whether this transaction is autovacuum's, and in no place yet.
#[inline]
pub fn is_due() -> bool {
    autovacuum::is_running() && !IS_PLACED.load(Relaxed)
}

/// Puts the transaction into the tenant of its table. Where it cannot be told which table that is, into none that
/// there is: then nothing but PostgreSQL's own and what is shared may be read.
pub fn enter() {
    IS_PLACED.store(true, Relaxed);
    let table = autovacuum::table();
    let nowhere = Oid::from(pg_sys::PG_CATALOG_NAMESPACE);
    let (schema, tenant) = match table.and_then(catalog::relation_schema) {
        None => (nowhere, None),
        Some(schema) if cache::schema_kind(schema) == cache::SchemaKind::Tenant => {
            (schema, cache::tenant_of_schema(schema))
        }
        Some(_) => {
            let owner = table.and_then(catalog::relation_owner);
            OWNER.store(owner.map_or(0, |owner| owner.to_u32()), Relaxed);
            return;
        }
    };
    let (id, org) = tenant.unwrap_or((TenantId(0), String::new()));
    state::assign(State { schema: schema.to_u32(), tenant: id, ..State::NONE });
    guc::show_org(&org);
}

/// Who answers for what runs: the owner of the table that autovacuum is at, elsewhere the session's outer user.
pub fn actor() -> Oid {
    match OWNER.load(Relaxed) {
        0 => session::outer_user(),
        owner => Oid::from(owner),
    }
}

/// The transaction has ended.
pub fn leave() {
    if IS_PLACED.swap(false, Relaxed) {
        OWNER.store(0, Relaxed);
        state::assign(State::NONE);
        guc::show_org("");
        guc::on_tenant_change();
    }
}
