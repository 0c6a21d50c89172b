//! What a statement would lock: LOCK TABLE, and PREPARE TRANSACTION, whose locks outlive the session.
//!
//! On a view LOCK TABLE goes on to the relations below it, with the rights of the view's owner; on a table, to its children.

use crate::denial::{self, Subject};
use crate::error::{Error, Result};
use crate::hooks::check_perms::ensure_access_to_all;
use crate::pg::{catalog, depend, lock, nodes, session};
use crate::policy::{self, Access, Actor, MostLock, Place};
use crate::{cache, context, registry};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use std::collections::HashSet;

/// Judges LOCK TABLE: the relations that it names, and what lies below the views among them, views below views included.
///
/// # Errors
/// As [`ensure_access_to_all`]; 42501 for a mode in which the relation may not be locked.
///
/// # Safety
/// `statement` is a LockStmt.
pub unsafe fn ensure_lock(statement: *const pg_sys::LockStmt) -> Result<()> {
    // SAFETY: the caller's promise.
    let (relations, mode) = unsafe { ((*statement).relations, (*statement).mode) };
    let mut seen = HashSet::new();
    // SAFETY: `relations` is a list of RangeVar nodes (parsenodes.h).
    for relation in unsafe { nodes::pointers::<pg_sys::RangeVar>(relations) } {
        // SAFETY: as above.
        let named = unsafe { nodes::relation_of(*relation) };
        // SAFETY: as above.
        let has_children = unsafe { (**relation).inh };
        let mut open: Vec<Oid> = named.into_iter().collect();
        for named in &open {
            ensure_mode(*named, has_children, mode)?;
        }
        while let Some(next) = open.pop() {
            if catalog::relation_kind(next) == Some('v') && seen.insert(next) {
                for below in depend::below_view(next) {
                    ensure_access_to_all(below, Access::Read)?;
                    ensure_mode(below, true, mode)?;
                    open.push(below);
                }
            }
        }
    }
    Ok(())
}

/// With a tenant active: nothing that is shared may be locked against the other tenants.
fn ensure_mode(relation: Oid, has_children: bool, mode: i32) -> Result<()> {
    let Some(active) = context::active_schema() else { return Ok(()) };
    let judge = |relation: Oid| {
        let Some(schema) = catalog::relation_schema(relation) else { return Ok(()) };
        let most = match policy::decide_lock(cache::place_of_relation(relation, schema, Some(active))) {
            MostLock::Any => return Ok(()),
            MostLock::AccessShare => pg_sys::AccessShareLock,
            MostLock::RowExclusive => pg_sys::RowExclusiveLock,
        };
        let verdict = if mode <= most as i32 { Ok(()) } else { Err(Error::LockRefused) };
        denial::decide(verdict, Subject::Relation(relation))
    };
    if has_children {
        cache::inheritors(relation).iter().copied().try_for_each(judge)
    } else {
        judge(relation)
    }
}

/// Refuses PREPARE TRANSACTION where the transaction was in a tenant, or changed one, and holds its lock: nobody could enter or
/// change the tenant until somebody finishes what was prepared.
///
/// So it does where an ordinary role's transaction holds a lock on a tenant's relation, which `pg_get_viewdef(oid)` and its like take
/// without a tenant, or on a tenant's role, which GRANT takes: no timeout would end it.
///
/// # Errors
/// 42501.
///
/// # Safety
/// `statement` is a TransactionStmt.
pub unsafe fn ensure_may_prepare(statement: *const pg_sys::TransactionStmt) -> Result<()> {
    const HELD: &str = "
        SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_locks
                        WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'object'
                          AND classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND objsubid = $1)";
    // SAFETY: the caller's promise.
    if unsafe { (*statement).kind } != pg_sys::TransactionStmtKind::TRANS_STMT_PREPARE {
        return Ok(());
    }
    let number = i32::from(lock::OURS);
    let held = session::as_superuser(|| Spi::get_one_with_args::<bool>(HELD, &[number.into()]));
    let is_ordinary = cache::actor(context::upkeep::actor()) == Actor::Ordinary;
    if held.map_err(registry::bug)?.unwrap_or(false) || is_ordinary && locks_tenants_object()? {
        return Err(Error::PrepareRefused);
    }
    Ok(())
}

/// Whether this transaction holds a lock on a tenant's relation or role. The registry is asked by the cache: a lock on its tables
/// would be prepared, too.
fn locks_tenants_object() -> Result<bool> {
    const RELATIONS: &str = "
        SELECT pg_catalog.array_agg(l.relation) FROM pg_catalog.pg_locks l
          JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = pg_catalog.current_database()
         WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation'";
    const ROLES: &str = "
        SELECT pg_catalog.array_agg(l.objid) FROM pg_catalog.pg_locks l
         WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'object'
           AND l.classid = 'pg_catalog.pg_authid'::pg_catalog.regclass";
    let locked = |query: &str| {
        let oids = session::as_superuser(|| Spi::get_one::<Vec<Oid>>(query)).map_err(registry::bug)?;
        Ok::<_, Error>(oids.unwrap_or_default())
    };
    let is_tenants = |relation: Oid| {
        catalog::relation_schema(relation)
            .is_some_and(|schema| cache::place_of_relation(relation, schema, None) == Place::ForeignTenant)
    };
    Ok(locked(RELATIONS)?.into_iter().any(is_tenants)
        || locked(ROLES)?.into_iter().any(catalog::is_tenant_role))
}
