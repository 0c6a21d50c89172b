//! Locks on a tenant and on the registry; all end with the transaction, or with the subtransaction that took them.
//!
//! Both are locks on an object of this database (a schema, the extension) with a sub-object number that PostgreSQL itself
//! never locks. So no statement takes them by an oid: `nextval(<oid>::regclass)` locks any relation's oid to the end of the
//! transaction, and `ALTER FUNCTION .. DEPENDS ON EXTENSION` locks the extension.

use super::raw;
use pgrx::pg_sys::{self, Oid};
use pgrx::{PgSqlErrorCode, PgTryBuilder};
use std::ffi::CString;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// The sub-object number of our locks; PostgreSQL's own locks on objects have 0. plio._activity() looks for it.
pub const OURS: u16 = 1;

/// What our locks are on, as `pg_locks` shows it.
#[derive(Clone, Copy, Debug)]
pub enum Subject {
    /// A tenant, known by its schema.
    Tenant(Oid),
    /// The registry, known by the extension.
    Registry(Oid),
    /// A table of the extension's: PostgreSQL's own lock on it.
    Table(Oid),
}

impl Subject {
    /// `classid` and `objid` in `pg_locks`; of a table, whose lock has neither, what they would be.
    pub fn address(self) -> (Oid, Oid) {
        match self {
            Self::Tenant(schema) => (pg_sys::NamespaceRelationId, schema),
            Self::Registry(extension) => (pg_sys::ExtensionRelationId, extension),
            Self::Table(table) => (pg_sys::RelationRelationId, table),
        }
    }

    fn lock(self, mode: u32) {
        let (class, object) = self.address();
        // SAFETY: any object may be locked; released when the (sub)transaction ends. Accepts invalidations.
        unsafe { pg_sys::LockDatabaseObject(class, object, OURS, mode as i32) };
    }
}

/// A share lock on a tenant, to the end of the transaction; waits for who holds it exclusively. Accepts invalidations.
///
/// A standby replays nothing but the exclusive locks of relations. So there the lock is a relation's lock with the
/// schema's oid, which no relation has (oids come from one counter; after that wraps around, two that meet would wait for
/// each other, no more), and [`tenant_exclusive`] writes that one to the WAL, too.
pub fn tenant_shared(schema: Oid) {
    // SAFETY: reads a state that changes once in a process.
    if unsafe { raw::RecoveryInProgress() } {
        // SAFETY: any oid may be locked; released when the (sub)transaction ends.
        unsafe { pg_sys::LockRelationOid(schema, pg_sys::AccessShareLock as i32) };
    } else {
        Subject::Tenant(schema).lock(pg_sys::AccessShareLock);
    }
}

/// The same, exclusively, on the standbys, too; waits, bounded by lock_timeout. False when a transaction that began before
/// this server was promoted is still in the tenant.
pub fn tenant_exclusive(schema: Oid) -> bool {
    Subject::Tenant(schema).lock(pg_sys::AccessExclusiveLock);
    lock_on_standbys(schema)
}

/// A reader's lock on a relation, to the end of the (sub)transaction; waits for who changes it.
pub fn relation_shared(relation: pg_sys::Oid) {
    // SAFETY: any oid may be locked; released when the (sub)transaction ends.
    unsafe { pg_sys::LockRelationOid(relation, pg_sys::AccessShareLock as i32) };
}

/// The lock of whoever alters a table, to the end of the (sub)transaction; waits, bounded by lock_timeout.
pub fn table_exclusive(table: pg_sys::Oid) {
    // SAFETY: any oid may be locked; released when the (sub)transaction ends.
    unsafe { pg_sys::LockRelationOid(table, pg_sys::AccessExclusiveLock as i32) };
}

/// Keeps other administrators from changing the registry until this transaction ends; waits, bounded by lock_timeout.
pub fn registry(extension: Oid) {
    Subject::Registry(extension).lock(pg_sys::ShareUpdateExclusiveLock);
}

/// Has the standbys take the relation's lock with the schema's oid; false when somebody who entered on this server before
/// its promotion holds it here.
///
/// Whoever else holds it (`nextval()` of the schema's oid locks it in ROW EXCLUSIVE mode) is not waited for: then the lock is
/// only written to the WAL. A standby that starts between that and our commit does not know of it, no more.
fn lock_on_standbys(schema: Oid) -> bool {
    let exclusive = pg_sys::AccessExclusiveLock as i32;
    // SAFETY: any oid may be locked; released when the (sub)transaction ends.
    if unsafe { pg_sys::ConditionalLockRelationOid(schema, exclusive) } {
        return true;
    }
    // ACCESS SHARE, which is what tenant_shared() takes, conflicts with nothing but ACCESS EXCLUSIVE.
    let is_entered =
        relation_conflicts(schema, exclusive) > relation_conflicts(schema, pg_sys::ShareLock as i32);
    // SAFETY: reads a setting; both functions are what LockAcquire() itself calls for such a lock (lock.c).
    unsafe {
        if !is_entered && pg_sys::wal_level >= pg_sys::WalLevel::WAL_LEVEL_REPLICA as i32 {
            pg_sys::LogAccessExclusiveLockPrepare();
            pg_sys::LogAccessExclusiveLock(pg_sys::MyDatabaseId, schema);
        }
    }
    !is_entered
}

/// How many transactions hold a lock on that relation which conflicts with the mode.
fn relation_conflicts(relation: Oid, mode: i32) -> i32 {
    // SAFETY: reads a global.
    let database = unsafe { pg_sys::MyDatabaseId };
    let tag = pg_sys::LOCKTAG {
        locktag_field1: database.to_u32(),
        locktag_field2: relation.to_u32(),
        locktag_field3: 0,
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_RELATION as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    };
    let mut count = 0;
    // SAFETY: a tag as SET_LOCKTAG_RELATION makes it; the list that comes back lives in the current memory context.
    unsafe { pg_sys::GetLockConflicts(&tag, mode, &mut count) };
    count
}

/// How many locks the server's sessions can hold together, without the few more for which shared memory may be left
/// (lock.c, NLOCKENTS) and those of prepared transactions.
pub fn capacity() -> i64 {
    // SAFETY: reads a setting, and what was computed of others when the server started.
    unsafe { i64::from(pg_sys::max_locks_per_xact) * i64::from(pg_sys::MaxBackends) }
}

/// Runs `f`, which takes locks, in a subtransaction: `f` says whether it got them. False when it did not, or when one of them
/// was not to be had within `longest`; then all that it took are released.
///
/// # Errors
/// Raises what else `f` raises.
pub fn attempt(longest: Duration, f: impl FnOnce() -> bool) -> bool {
    // SAFETY: reads the memory context and the resource owner, which are put back below, as plpgsql does (pl_exec.c).
    let (memory, owner) = unsafe { (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner) };
    // SAFETY: in a transaction; the subtransaction ends below on every way out of `f`.
    unsafe {
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(memory);
    }
    let limit = CString::new(longest.as_millis().max(1).to_string()).unwrap_or_default();
    let outcome = PgTryBuilder::new(AssertUnwindSafe(|| {
        // Put back when the subtransaction ends.
        super::guc::set_until_level_ends(c"lock_timeout", &limit);
        Ok(f())
    }))
    .catch_when(PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE, |_| Ok(false))
    // Those who wait for each other give up in turn.
    .catch_when(PgSqlErrorCode::ERRCODE_T_R_DEADLOCK_DETECTED, |_| Ok(false))
    .catch_others(|cause| Err(Box::new(cause)))
    .execute();
    // SAFETY: as above; the subtransaction that was begun is the current one.
    unsafe {
        pg_sys::MemoryContextSwitchTo(memory);
        if matches!(outcome, Ok(true)) {
            pg_sys::ReleaseCurrentSubTransaction();
        } else {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        pg_sys::MemoryContextSwitchTo(memory);
        pg_sys::CurrentResourceOwner = owner;
    }
    outcome.unwrap_or_else(|cause| cause.rethrow())
}

/// Locks the relations as reading them does, to the end of the transaction, if none of the locks is to be waited for.
pub fn try_read(relations: &[pg_sys::Oid]) -> bool {
    let lock = pg_sys::AccessShareLock as i32;
    // SAFETY: as above.
    relations.iter().all(|relation| unsafe { pg_sys::ConditionalLockRelationOid(*relation, lock) })
}
