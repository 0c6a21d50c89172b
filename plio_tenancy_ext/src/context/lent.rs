//! A tenant's code that an administrator runs without the tenant: it runs with its owner's rights, not with the
//! administrator's.
//!
//! A check, a default, an index's expression or a domain calls it whenever somebody changes a row or a type; a tenant could have
//! whatever it likes done so. As in PostgreSQL's own maintenance (VACUUM, REINDEX) the function's owner is the current user until
//! the function returns, in a security-restricted operation, and what it set is undone. Unless it has a path of its own, it finds
//! names on the path that it has inside the tenant. Meanwhile the access check judges as for an ordinary role without a tenant that may reach that one tenant's schema: in a database of adopted tenants the owner may own
//! all of them. A function that belongs to an administrator is his own affair.
//!
//! A procedure runs as in a transaction block: a COMMIT would end what it runs as, and is PostgreSQL's 2D000.
//!
//! functions.rs says when a function begins and ends. The stack is this process's, parallel workers have their own.

#![forbid(unsafe_code)]

use super::upkeep;
use crate::error::{Error, Result};
use crate::hooks;
use crate::pg::{self, catalog, session};
use crate::policy::{Actor, Why};
use crate::tenant::Org;
use crate::{cache, guc};
use pgrx::pg_sys::Oid;
use std::cell::RefCell;
use std::ffi::CStr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The schema whose code runs; 0 while none does.
static SCHEMA: AtomicU32 = AtomicU32::new(0);

/// A running call: what it is known by, how often it has called itself, and what is put back.
struct Call {
    id: usize,
    depth: u32,
    before: session::Before,
}

thread_local! {
    /// The outermost such call: what it calls runs as it does.
    static CALL: RefCell<Option<Call>> = const { RefCell::new(None) };
}

/// The tenant's schema whose code an administrator runs.
#[inline]
pub fn schema() -> Option<Oid> {
    let schema = SCHEMA.load(Relaxed);
    (schema != 0).then(|| Oid::from(schema))
}

/// Who is judged: the session's outer user, or the owner of the table that autovacuum is at; while a tenant's code runs,
/// nobody in particular.
pub fn actor() -> Actor {
    if schema().is_some() { Actor::Ordinary } else { cache::actor(upkeep::actor()) }
}

/// The owner with whose rights a function runs, if somebody who administers calls it without its tenant.
pub fn owner_of(function: Oid) -> Option<Oid> {
    if super::is_active() || !hooks::is_judged() || guc::is_only_reporting() || cache::location().is_none() {
        return None;
    }
    let code = catalog::function(function)?;
    if cache::schema_kind(code.schema) != cache::SchemaKind::Tenant {
        cache::remember_neutral(code.schema);
        return None;
    }
    let is_due = cache::actor(session::outer_user()) == Actor::Administrator
        && cache::actor(code.owner) == Actor::Ordinary;
    is_due.then_some(code.owner)
}

/// A function begins, in a call that is known by `id`.
///
/// # Errors
/// 55000: the current user may not become the function's owner.
pub fn begin(function: Oid, id: usize) -> Result<()> {
    let is_nested = CALL.with_borrow_mut(|call| {
        if let Some(call) = call {
            call.depth += u32::from(call.id == id);
        }
        call.is_some()
    });
    let Some(owner) = (if is_nested { None } else { owner_of(function) }) else { return Ok(()) };
    let user = session::current_user();
    if user != owner && !catalog::may_set_role(user, owner) {
        return Err(Error::Denied { why: Why::NoTenantSet, relation: None, active: None });
    }
    let Some(schema) = catalog::function_schema(function) else { return Ok(()) };
    let path = path_in(schema).filter(|_| !catalog::has_own_path(function));
    CALL.set(Some(Call { id, depth: 0, before: session::become_restricted(owner) }));
    SCHEMA.store(schema.to_u32(), Relaxed);
    if let Some(path) = path {
        pg::guc::set_until_level_ends(c"search_path", &path);
    }
    Ok(())
}

/// The path inside the tenant of that schema. A check calls its function for each row: the last one is kept.
fn path_in(schema: Oid) -> Option<Rc<CStr>> {
    thread_local! {
        static LAST: RefCell<Option<(Oid, cache::code::Before, Rc<CStr>)>> = const { RefCell::new(None) };
    }
    let now = cache::code::begin();
    let kept = LAST.with_borrow(|last| match last {
        Some((of, then, path)) if *of == schema && *then == now => Some(Rc::clone(path)),
        _ => None,
    });
    kept.or_else(|| {
        let org = Org::parse(&cache::tenant_of_schema(schema)?.1).ok()?;
        let path: Rc<CStr> = cache::tenant(&org)?.search_path.as_c_str().into();
        LAST.set(Some((schema, now, Rc::clone(&path))));
        Some(path)
    })
}

/// It has ended; with an error whose (sub)transaction will undo its settings, or without.
pub fn end(id: usize, is_error: bool) {
    let ended = CALL.with_borrow_mut(|call| match call {
        Some(call) if call.id == id && call.depth > 0 => {
            call.depth -= 1;
            None
        }
        Some(running) if running.id == id => call.take(),
        _ => None,
    });
    if let Some(ended) = ended {
        SCHEMA.store(0, Relaxed);
        session::become_again(ended.before, is_error);
    }
}

/// A transaction has ended.
pub(super) fn on_transaction_end() {
    CALL.set(None);
    SCHEMA.store(0, Relaxed);
}
