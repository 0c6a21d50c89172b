//! Locks on a tenant and on the registry; all end with the transaction.

use pgrx::pg_sys;

/// A share lock on a tenant, known by its schema, to the end of the transaction; waits for who holds it exclusively.
///
/// It is a relation's lock with the schema's oid, which no relation has (oids come from one counter; after that wraps
/// around, two that meet would wait for each other, no more). PostgreSQL keeps weak locks on relations in the backend
/// itself (lock.c, fast path), so that the transactions of a busy tenant do not queue for one entry of the shared lock
/// table, as they would for a lock on the schema. A standby replays the exclusive one. Accepts invalidations.
pub fn tenant_shared(schema: pg_sys::Oid) {
    // SAFETY: any oid may be locked; released when the transaction ends.
    unsafe { pg_sys::LockRelationOid(schema, pg_sys::AccessShareLock as i32) };
}

/// The same, exclusively; waits, bounded by lock_timeout.
pub fn tenant_exclusive(schema: pg_sys::Oid) {
    // SAFETY: as above.
    unsafe { pg_sys::LockRelationOid(schema, pg_sys::AccessExclusiveLock as i32) };
}

/// Keeps other administrators from changing the registry until this transaction ends; waits for those who do.
///
/// A lock on the extension that conflicts with itself, and with dropping or updating the extension.
pub fn registry(extension: pg_sys::Oid) {
    let lock = pg_sys::ShareUpdateExclusiveLock as i32;
    // SAFETY: as above.
    unsafe { pg_sys::LockDatabaseObject(pg_sys::ExtensionRelationId, extension, 0, lock) };
}

/// Locks the relations as reading them does, to the end of the transaction, if none of the locks is to be waited for.
pub fn try_read(relations: &[pg_sys::Oid]) -> bool {
    let lock = pg_sys::AccessShareLock as i32;
    // SAFETY: as above.
    relations.iter().all(|relation| unsafe { pg_sys::ConditionalLockRelationOid(*relation, lock) })
}
