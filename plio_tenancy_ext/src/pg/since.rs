//! Whether a relation was changed after a snapshot was taken. A query under an old snapshot reads the table as it is defined now:
//! after TRUNCATE, or where another table took its name, it finds no rows, or the wrong ones.

use pgrx::{FromDatum, pg_sys};
use std::cell::Cell;

thread_local! {
    static SNAPSHOT: Cell<pg_sys::Snapshot> = const { Cell::new(std::ptr::null_mut()) };
}

/// The running statement's snapshot, which [`is_changed`] compares with as long as this lives.
pub struct Snapshot(pg_sys::Snapshot);

impl Snapshot {
    /// The snapshot under which queries run that are only to read. It is PostgreSQL's, and outlives what runs in the statement.
    pub fn of_statement() -> Self {
        // SAFETY: reads the stack of active snapshots.
        let active = unsafe {
            if pg_sys::ActiveSnapshotSet() { pg_sys::GetActiveSnapshot() } else { std::ptr::null_mut() }
        };
        Self(SNAPSHOT.replace(active))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        SNAPSHOT.set(self.0);
    }
}

/// Whether the relation was made, altered, truncated, rewritten or moved since; or, for a view, replaced; or has other children or
/// partitions than then. The caller has a lock on it. False when no snapshot is kept.
pub fn is_changed(relation: pg_sys::Oid) -> bool {
    use pg_sys::SysCacheIdentifier::{RELOID, RULERELNAME};
    let snapshot = SNAPSHOT.get();
    if snapshot.is_null() {
        return false;
    }
    // SAFETY: any relation may be looked up; a rule's name may be given as a C string; the rows are released. A row of pg_class
    // begins with its fixed part.
    unsafe {
        let class = pg_sys::SearchSysCache1(RELOID as i32, relation.into());
        if class.is_null() {
            return false;
        }
        let row = pg_sys::GETSTRUCT(class).cast::<pg_sys::FormData_pg_class>();
        let (kind, has_children) = ((*row).relkind as u8, (*row).relhassubclass);
        let mut is_new = is_after(xmin(class), snapshot);
        pg_sys::ReleaseSysCache(class);
        if kind == pg_sys::RELKIND_VIEW {
            let name = c"_RETURN".as_ptr();
            let rule = pg_sys::SearchSysCache2(RULERELNAME as i32, relation.into(), name.into());
            if !rule.is_null() {
                is_new |= is_after(xmin(rule), snapshot);
                pg_sys::ReleaseSysCache(rule);
            }
        }
        is_new || (has_children && children(relation, snapshot) != children(relation, std::ptr::null_mut()))
    }
}

/// Whether what that transaction did is hidden from the snapshot; what this one did is not.
unsafe fn is_after(transaction: pg_sys::TransactionId, snapshot: pg_sys::Snapshot) -> bool {
    // SAFETY: any transaction may be asked about; the snapshot is a statement's.
    unsafe {
        transaction >= FIRST_NORMAL_TRANSACTION
            && !pg_sys::TransactionIdIsCurrentTransactionId(transaction)
            && pg_sys::XidInMVCCSnapshot(transaction, snapshot)
    }
}

/// `FirstNormalTransactionId`, transam.h.
const FIRST_NORMAL_TRANSACTION: pg_sys::TransactionId = pg_sys::TransactionId::from_inner(3);

/// Who wrote a row; no transaction when that is long ago.
unsafe fn xmin(tuple: pg_sys::HeapTuple) -> pg_sys::TransactionId {
    const FROZEN: u16 = (pg_sys::HEAP_XMIN_COMMITTED | pg_sys::HEAP_XMIN_INVALID) as u16;
    // SAFETY: a row of a catalog, with its header (htup_details.h).
    unsafe {
        let header = (*tuple).t_data;
        if (*header).t_infomask & FROZEN == FROZEN {
            pg_sys::InvalidTransactionId
        } else {
            (*header).t_choice.t_heap.t_xmin
        }
    }
}

/// pg_inherits, its index on inhparent (column 2), and column 1, the child (pg_inherits.h).
const INHERITS: u32 = 2611;
const INHERITS_BY_PARENT: u32 = 2187;
const PARENT: i16 = 2;
const CHILD: i32 = 1;

/// A relation's children as a snapshot sees them; NULL for those of now.
unsafe fn children(parent: pg_sys::Oid, snapshot: pg_sys::Snapshot) -> Vec<pg_sys::Oid> {
    let mut found = Vec::new();
    // SAFETY: the catalog stays open while it is scanned; a row is read before the next one is fetched.
    unsafe {
        let relation = pg_sys::table_open(pg_sys::Oid::from(INHERITS), pg_sys::AccessShareLock as i32);
        let mut key = pg_sys::ScanKeyData::default();
        let equals = pg_sys::BTEqualStrategyNumber as u16;
        pg_sys::ScanKeyInit(&mut key, PARENT, equals, pg_sys::F_OIDEQ.into(), parent.into());
        let index = pg_sys::Oid::from(INHERITS_BY_PARENT);
        let scan = pg_sys::systable_beginscan(relation, index, true, snapshot, 1, &mut key);
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let mut is_null = false;
            let child = pg_sys::heap_getattr(tuple, CHILD, (*relation).rd_att, &mut is_null);
            found.extend(pg_sys::Oid::from_datum(child, is_null));
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
    }
    found.sort_unstable_by_key(|child| child.to_u32());
    found
}
