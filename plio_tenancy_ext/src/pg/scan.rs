//! Reads rows of the registry's tables and of catalogs without SQL: no plan, no privileges, the newest snapshot.
//!
//! Under REPEATABLE READ a look at the registry must still see what was committed a moment ago, so the scan takes
//! the catalog's snapshot (`systable_beginscan` with a NULL snapshot, genam.c), never the transaction's.

use pgrx::{FromDatum, IntoDatum, pg_sys};

/// One row, deformed: `values[i]` is column `i + 1`.
pub struct Row {
    values: Vec<Option<pg_sys::Datum>>,
    /// The transaction that wrote it; `FrozenTransactionId` when that was long ago.
    xmin: pg_sys::TransactionId,
}

impl Row {
    /// Whether this transaction wrote it.
    pub fn is_own(&self) -> bool {
        // SAFETY: any number may be asked about; none of PostgreSQL's own (a frozen row's) is a current one.
        unsafe { pg_sys::TransactionIdIsCurrentTransactionId(self.xmin) }
    }

    /// Column `attribute` (from 1) as text; `None` for NULL.
    pub fn text(&self, attribute: usize) -> Option<String> {
        let datum = self.datum(attribute)?;
        // SAFETY: the caller names a column of type text, per the registry's own table definition.
        unsafe { String::from_datum(datum, false) }
    }

    /// The last column as text, or as what is stored like text (`pg_node_tree`); `None` for NULL.
    pub fn last_text(&self) -> Option<String> {
        let datum = self.values.last().copied().flatten()?;
        // SAFETY: the caller names a catalog whose last column is stored like text.
        unsafe { String::from_datum(datum, false) }
    }

    /// Column `attribute` (from 1) as bigint; `None` for NULL.
    pub fn bigint(&self, attribute: usize) -> Option<i64> {
        let datum = self.datum(attribute)?;
        // SAFETY: the caller names a column of type bigint, per the registry's own table definition.
        unsafe { i64::from_datum(datum, false) }
    }

    /// Column `attribute` (from 1) as smallint; `None` for NULL.
    pub fn small(&self, attribute: usize) -> Option<i16> {
        self.datum(attribute).map(|datum| datum.value() as i16)
    }

    /// Column `attribute` (from 1) as an oid; `None` for NULL.
    pub fn oid(&self, attribute: usize) -> Option<pg_sys::Oid> {
        let datum = self.datum(attribute)?;
        // SAFETY: the caller names a column of type oid, per the catalog's own definition.
        unsafe { pg_sys::Oid::from_datum(datum, false) }
    }

    /// Column `attribute` (from 1) as a bool; `None` for NULL, and where the table has no such column yet.
    pub fn bool(&self, attribute: usize) -> Option<bool> {
        self.datum(attribute).map(|datum| datum.value() != 0)
    }

    /// Column `attribute` (from 1) as a "char"; `None` for NULL.
    pub fn char(&self, attribute: usize) -> Option<char> {
        self.datum(attribute).map(|datum| char::from(datum.value() as u8))
    }

    /// Whether column `attribute` (from 1), an access list, lets everybody read. No role stands for everybody: `pg_shdepend` has
    /// no row for it.
    pub fn lets_everybody_read(&self, attribute: usize) -> bool {
        self.datum(attribute).is_some_and(|datum| {
            // SAFETY: the caller names a column of type aclitem[], per the catalog's own definition. PUBLIC's oid is 0 (acl.h), and
            // who asks as 0 is nobody else: no owner, no member.
            unsafe {
                let list = pg_sys::pg_detoast_datum(datum.cast_mut_ptr());
                let public = pg_sys::InvalidOid;
                let select = pg_sys::AclMode::from(pg_sys::ACL_SELECT);
                pg_sys::aclmask(list.cast(), public, public, select, pg_sys::AclMaskHow::ACLMASK_ANY) != 0
            }
        })
    }

    /// Whether the table has so many columns.
    pub fn has_column(&self, attribute: usize) -> bool {
        self.values.len() >= attribute
    }

    fn datum(&self, attribute: usize) -> Option<pg_sys::Datum> {
        self.values.get(attribute - 1).copied().flatten()
    }
}

/// The most columns that a key compares.
const MOST_KEYS: usize = 2;

/// Which rows to read.
pub enum Key<'a> {
    /// All of them.
    All,
    /// Those whose text column `attribute` (from 1) equals `value`; `index` is an index on it with collation "C".
    Text { index: pg_sys::Oid, attribute: i16, value: &'a str },
    /// Those whose oid columns (from 1) equal these; `index` starts with the columns. Two at most.
    Oids { index: pg_sys::Oid, columns: &'a [(i16, pg_sys::Oid)] },
    /// Those whose column `attribute` (from 1) is NULL; `index` is an index on it.
    Null { index: pg_sys::Oid, attribute: i16 },
}

/// Calls `each` for every row of `table` that `key` selects. A table that is gone has no rows.
///
/// `each` must copy what it keeps: a row lives until the next one is read.
pub fn for_each_row(table: pg_sys::Oid, key: &Key<'_>, each: impl FnMut(&Row)) {
    // SAFETY: any oid may be asked for; closed by `read`.
    unsafe {
        let relation = pg_sys::try_table_open(table, pg_sys::AccessShareLock as i32);
        if !relation.is_null() {
            read(relation, key, each);
        }
    }
}

/// The same, with the rows that the command which is running has written so far.
pub fn for_each_unfinished_row(table: pg_sys::Oid, key: &Key<'_>, each: impl FnMut(&Row)) {
    // SAFETY: any oid may be asked for; closed by `read`; PostgreSQL's own static snapshot.
    unsafe {
        let relation = pg_sys::try_table_open(table, pg_sys::AccessShareLock as i32);
        if !relation.is_null() {
            read_as_of(relation, key, &raw mut pg_sys::SnapshotSelfData, each);
        }
    }
}

/// Calls `each` for every row of a catalog that all databases share; also where no database is connected to.
pub fn for_each_shared_row(catalog: pg_sys::Oid, each: impl FnMut(&Row)) {
    // SAFETY: these catalogs are always there; closed by `read`.
    unsafe { read(pg_sys::table_open(catalog, pg_sys::AccessShareLock as i32), &Key::All, each) };
}

/// Reads an open relation, and closes it.
///
/// # Safety
/// The relation is open, locked against being dropped.
unsafe fn read(relation: pg_sys::Relation, key: &Key<'_>, each: impl FnMut(&Row)) {
    let newest = std::ptr::null_mut();
    // SAFETY: the caller's promise.
    unsafe { read_as_of(relation, key, newest, each) };
}

/// As [`read`], with a snapshot; NULL for the newest.
unsafe fn read_as_of(
    relation: pg_sys::Relation,
    key: &Key<'_>,
    snapshot: pg_sys::Snapshot,
    mut each: impl FnMut(&Row),
) {
    let mut keys = [pg_sys::ScanKeyData::default(); MOST_KEYS];
    // SAFETY: the caller's promise; the scan keys outlive the scan; deformed values point into a tuple that is valid until
    // the next call of systable_getnext.
    unsafe {
        let (index, count) = key.fill(&mut keys);
        let use_index = index != pg_sys::InvalidOid;
        let scan = pg_sys::systable_beginscan(relation, index, use_index, snapshot, count, keys.as_mut_ptr());
        let descriptor = (*relation).rd_att;
        let width = (*descriptor).natts as usize;
        let mut values = vec![pg_sys::Datum::null(); width];
        let mut nulls = vec![true; width];
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            pg_sys::heap_deform_tuple(tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            let row = values.iter().zip(&nulls).map(|(value, null)| (!null).then_some(*value)).collect();
            let row = Row { values: row, xmin: xmin_of(tuple) };
            if key.admits(&row) {
                each(&row);
            }
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
    }
}

/// As `HeapTupleHeaderGetXmin` (htup_details.h): a frozen row keeps its number, which may be another transaction's by now.
unsafe fn xmin_of(tuple: pg_sys::HeapTuple) -> pg_sys::TransactionId {
    let frozen = pg_sys::HEAP_XMIN_COMMITTED | pg_sys::HEAP_XMIN_INVALID;
    // SAFETY: a tuple that a scan gave, with its header.
    unsafe {
        let header = &*(*tuple).t_data;
        if u32::from(header.t_infomask) & frozen == frozen {
            return pg_sys::FrozenTransactionId;
        }
        header.t_choice.t_heap.t_xmin
    }
}

/// Whether a scan reads that index, as `systable_beginscan` (genam.c) decides it. It reads the whole table otherwise, where
/// a key that looks for NULL finds nothing.
fn is_usable(index: pg_sys::Oid) -> bool {
    // SAFETY: reads globals.
    unsafe { !pg_sys::IgnoreSystemIndexes && !pg_sys::ReindexIsProcessingIndex(index) }
}

impl Key<'_> {
    /// Whether the row is one of those that are looked for, as far as the scan's own keys do not say so.
    fn admits(&self, row: &Row) -> bool {
        match self {
            Self::Null { attribute, .. } => {
                usize::try_from(*attribute).is_ok_and(|attribute| row.datum(attribute).is_none())
            }
            Self::All | Self::Text { .. } | Self::Oids { .. } => true,
        }
    }

    /// Fills the scan keys; gives the index to use and how many keys there are.
    fn fill(&self, keys: &mut [pg_sys::ScanKeyData; MOST_KEYS]) -> (pg_sys::Oid, i32) {
        let equal = pg_sys::BTEqualStrategyNumber as u16;
        match self {
            Self::All => (pg_sys::InvalidOid, 0),
            Self::Text { index, attribute, value } => {
                let text = value.into_datum().unwrap_or(pg_sys::Datum::null());
                // SAFETY: fills a key that the caller owns; the text is palloc'd and outlives the scan.
                unsafe {
                    pg_sys::ScanKeyInit(&mut keys[0], *attribute, equal, pg_sys::F_TEXTEQ.into(), text)
                };
                (*index, 1)
            }
            Self::Oids { index, columns } => {
                for (key, (attribute, value)) in keys.iter_mut().zip(columns.iter()) {
                    // SAFETY: fills a key that the caller owns.
                    unsafe {
                        pg_sys::ScanKeyInit(key, *attribute, equal, pg_sys::F_OIDEQ.into(), (*value).into())
                    };
                }
                (*index, columns.len().min(MOST_KEYS) as i32)
            }
            Self::Null { index, .. } if !is_usable(*index) => (pg_sys::InvalidOid, 0),
            Self::Null { index, attribute } => {
                let none = pg_sys::InvalidOid;
                let flags = (pg_sys::SK_ISNULL | pg_sys::SK_SEARCHNULL) as i32;
                let (key, nothing) = (&mut keys[0], pg_sys::Datum::null());
                // SAFETY: fills a key that the caller owns; a search for NULL has no strategy and no procedure.
                unsafe {
                    pg_sys::ScanKeyEntryInitialize(key, flags, *attribute, 0, none, none, none, nothing)
                };
                (*index, 1)
            }
        }
    }
}
