//! A scan's rows in the form that the executor wants, up to work_mem; what does not fit goes to a tuplestore.
//!
//! A tuplestore makes a tuple of each row and takes it apart again, which for a scan that only hands rows on is most of what
//! it costs. Here a row is its values in a chunk of memory, and being fetched is being copied into a slot's arrays. Lives in
//! a memory context below the query's, in plain data, so that an error frees it with the query.

mod chunks;

use self::chunks::Chunks;
use super::raw;
use pgrx::pg_sys::{self, Datum};

/// What PostgreSQL aligns a value to at most (MAXIMUM_ALIGNOF).
const ALIGNMENT: usize = 8;
/// A tuplestore that holds what did not fit keeps that many kB of it in memory.
const STORE_MEMORY: i32 = 64;

/// A stored row. `width` values follow, then `width` flags for NULL, then what the values point to. Where rows have no values,
/// the number of rows that it stands for follows instead.
struct Row {
    next: *mut Row,
    /// The organization: one text for all rows of a tenant.
    first: Datum,
}

/// A column that rows are stored with.
struct Column {
    /// Its place in the target, from 0.
    place: usize,
    kind: raw::Attribute,
}

/// The rows of one scan.
pub struct Rows {
    chunks: Chunks,
    target: pg_sys::TupleDesc,
    columns: *mut Column,
    width: usize,
    head: *mut Row,
    tail: *mut Row,
    is_full: bool,
    store: *mut pg_sys::Tuplestorestate,
}

/// Who reads a scan's rows: the scan, or a recheck of one of its rows.
pub struct Reader {
    rows: *mut Rows,
    /// The next row to hand out, and how often it was.
    at: *mut Row,
    handed_out: i64,
    slot: *mut pg_sys::TupleTableSlot,
    /// For what did not fit: a slot, and a place in the tuplestore.
    stored_slot: *mut pg_sys::TupleTableSlot,
    stored_at: i32,
}

impl Rows {
    /// For rows like `target`, of which only the first column and `columns` (from 0) are ever set. All of it lives in the
    /// current memory context, and the tuplestore is the current resource owner's.
    ///
    /// # Safety
    /// The running query's memory is current, and `target` outlives it and has these columns.
    pub unsafe fn begin(target: pg_sys::TupleDesc, columns: &[usize]) -> *mut Self {
        // SAFETY: the caller's promise; what is allocated is filled before it is read.
        unsafe {
            let rows = pg_sys::palloc0(size_of::<Self>()).cast::<Self>();
            let kept = pg_sys::palloc0(size_of::<Column>() * columns.len().max(1)).cast::<Column>();
            for (i, place) in columns.iter().copied().enumerate() {
                kept.add(i).write(Column { place, kind: raw::attribute(target, place) });
            }
            rows.write(Self {
                chunks: Chunks::begin(),
                target,
                columns: kept,
                width: columns.len(),
                head: std::ptr::null_mut(),
                tail: std::ptr::null_mut(),
                is_full: false,
                store: pg_sys::tuplestore_begin_heap(false, false, STORE_MEMORY),
            });
            rows
        }
    }

    /// Keeps a row. Its first value must live as long as the rows do; everything else is copied.
    ///
    /// # Safety
    /// `values` and `nulls` have a place for every column of the target, and values lie in line.
    #[inline]
    pub unsafe fn put(&mut self, values: *const Datum, nulls: *const bool) {
        // SAFETY: the caller's promise. Plain data only: an error may jump over the frame.
        unsafe {
            if !self.is_full {
                let row = self.chunks.place(self.size::<false>(values, nulls)).cast::<Row>();
                if !row.is_null() {
                    self.write::<false>(row, *values, values, nulls);
                    return;
                }
                // From here on all of them, so that rows stay in order.
                self.is_full = true;
            }
            raw::tuplestore_putvalues(self.store, self.target, values, nulls);
        }
    }

    /// Keeps a row whose values stand in the order of the stored columns, as a query gives them. False, and nothing is done,
    /// when there is no room for it or a value does not lie in line.
    ///
    /// # Safety
    /// `first` lives as long as the rows do; `values` and `nulls` have a place for every stored column.
    #[inline]
    pub unsafe fn put_in_order(&mut self, first: Datum, values: *const Datum, nulls: *const bool) -> bool {
        // SAFETY: the caller's promise. Plain data only: an error may jump over the frame.
        unsafe {
            for i in 0..self.width {
                if !*nulls.add(i) && (*self.columns.add(i)).kind.is_elsewhere(*values.add(i)) {
                    return false;
                }
            }
            if self.is_full {
                return false;
            }
            let row = self.chunks.place(self.size::<true>(values, nulls)).cast::<Row>();
            if row.is_null() {
                return false;
            }
            self.write::<true>(row, first, values, nulls);
            true
        }
    }

    /// Keeps so many rows without values.
    ///
    /// # Safety
    /// `first` lives as long as the rows do, which have no columns but the first.
    pub unsafe fn put_empty(&mut self, first: Datum, times: i64) {
        if times <= 0 {
            return;
        }
        // SAFETY: the context lives as long as the rows; so few bytes a tenant are not held against work_mem.
        unsafe {
            let row = self.chunks.outside_limit(size_of::<Row>() + size_of::<i64>()).cast::<Row>();
            row.write(Row { next: std::ptr::null_mut(), first });
            row.add(1).cast::<i64>().write(times);
            self.append(row);
        }
    }

    /// The bytes of a row without what its values point to.
    fn fixed_size(&self) -> usize {
        size_of::<Row>() + self.width * size_of::<Datum>() + aligned(self.width)
    }

    #[inline]
    unsafe fn size<const IN_ORDER: bool>(&self, values: *const Datum, nulls: *const bool) -> usize {
        let mut size = self.fixed_size();
        // SAFETY: `put`'s caller's promise.
        unsafe {
            for i in 0..self.width {
                let column = &*self.columns.add(i);
                let at = if IN_ORDER { i } else { column.place };
                if !column.kind.is_by_value && !*nulls.add(at) {
                    size += aligned(column.kind.size(*values.add(at)));
                }
            }
        }
        size
    }

    #[inline]
    unsafe fn write<const IN_ORDER: bool>(
        &mut self,
        row: *mut Row,
        first: Datum,
        values: *const Datum,
        nulls: *const bool,
    ) {
        // SAFETY: the row has the size that `size` gave for these very values, and every part of it is aligned.
        unsafe {
            row.write(Row { next: std::ptr::null_mut(), first });
            let (kept, flags) = self.parts(row);
            let mut data = row.cast::<u8>().add(self.fixed_size());
            for i in 0..self.width {
                let column = &*self.columns.add(i);
                let at = if IN_ORDER { i } else { column.place };
                let (value, is_null) = (*values.add(at), *nulls.add(at));
                flags.add(i).write(is_null);
                if is_null || column.kind.is_by_value {
                    kept.add(i).write(value);
                    continue;
                }
                let size = column.kind.size(value);
                std::ptr::copy_nonoverlapping(value.cast_mut_ptr::<u8>().cast_const(), data, size);
                kept.add(i).write(Datum::from(data));
                data = data.add(aligned(size));
            }
            self.append(row);
        }
    }

    #[inline]
    unsafe fn append(&mut self, row: *mut Row) {
        if self.tail.is_null() {
            self.head = row;
        } else {
            // SAFETY: the last row, which `append` was given.
            unsafe { (*self.tail).next = row };
        }
        self.tail = row;
    }

    /// Where a row's values and flags lie.
    #[inline]
    unsafe fn parts(&self, row: *mut Row) -> (*mut Datum, *mut bool) {
        // SAFETY: a row has room for `width` of either.
        unsafe {
            let values = row.add(1).cast::<Datum>();
            (values, values.add(self.width).cast::<bool>())
        }
    }

    /// Frees what is kept.
    ///
    /// # Safety
    /// Nobody reads the rows any more.
    pub unsafe fn end(&mut self) {
        // SAFETY: both are the rows' own.
        unsafe {
            pg_sys::tuplestore_end(self.store);
            self.chunks.end();
        }
    }
}

impl Reader {
    /// A reader before the first row. It lives in the query's memory.
    ///
    /// # Safety
    /// `state` is a running query's, whose memory is current; the rows outlive it, and nothing is put any more.
    pub unsafe fn begin(rows: *mut Rows, state: *mut pg_sys::EState) -> *mut Self {
        // SAFETY: the caller's promise; what is allocated is filled before it is read. Another place in the tuplestore asks for
        // no more than it was made for.
        unsafe {
            let target = (*rows).target;
            let slot = pg_sys::ExecInitExtraTupleSlot(state, target, &raw const pg_sys::TTSOpsVirtual);
            for i in 0..(*target).natts as usize {
                (*slot).tts_isnull.add(i).write(true);
            }
            let reader = pg_sys::palloc0(size_of::<Self>()).cast::<Self>();
            reader.write(Self {
                rows,
                at: std::ptr::null_mut(),
                handed_out: 0,
                slot,
                stored_slot: pg_sys::ExecInitExtraTupleSlot(
                    state,
                    target,
                    &raw const pg_sys::TTSOpsMinimalTuple,
                ),
                stored_at: pg_sys::tuplestore_alloc_read_pointer(
                    (*rows).store,
                    pg_sys::EXEC_FLAG_REWIND as i32,
                ),
            });
            (*reader).rewind();
            reader
        }
    }

    /// The next row to be handed out is the first.
    pub fn rewind(&mut self) {
        self.handed_out = 0;
        // SAFETY: the rows outlive the reader. Guarded, since reading from a file again may fail.
        unsafe {
            self.at = (*self.rows).head;
            pg_sys::tuplestore_select_read_pointer((*self.rows).store, self.stored_at);
            pg_sys::tuplestore_rescan((*self.rows).store);
        }
    }

    /// The next row in a slot; an empty slot at the end.
    ///
    /// # Safety
    /// Nothing is put any more. Plain data only: an error may jump over the frame.
    #[inline]
    pub unsafe fn next(&mut self) -> *mut pg_sys::TupleTableSlot {
        // SAFETY: the slots are those that `begin` made for the target; a row is followed by its parts.
        unsafe {
            let slot = self.slot;
            if let Some(clear) = (*(*slot).tts_ops).clear {
                clear(slot);
            }
            let rows = &*self.rows;
            if self.at.is_null() {
                if !rows.is_full {
                    return slot;
                }
                // A tuple from the file is the slot's until the next one. Memory that is current in a foreign scan is reset
                // before that, so it must not lie there.
                let before = pg_sys::CurrentMemoryContext;
                pg_sys::CurrentMemoryContext = (*self.stored_slot).tts_mcxt;
                raw::tuplestore_select_read_pointer(rows.store, self.stored_at);
                raw::tuplestore_gettupleslot(rows.store, true, false, self.stored_slot);
                pg_sys::CurrentMemoryContext = before;
                return self.stored_slot;
            }
            let (values, nulls) = ((*slot).tts_values, (*slot).tts_isnull);
            values.write((*self.at).first);
            nulls.write(false);
            if rows.width == 0 {
                self.handed_out += 1;
                if self.handed_out >= *self.at.add(1).cast::<i64>() {
                    self.at = (*self.at).next;
                    self.handed_out = 0;
                }
                return raw::ExecStoreVirtualTuple(slot);
            }
            let (kept, flags) = rows.parts(self.at);
            for i in 0..rows.width {
                let place = (*rows.columns.add(i)).place;
                values.add(place).write(*kept.add(i));
                nulls.add(place).write(*flags.add(i));
            }
            self.at = (*self.at).next;
            raw::ExecStoreVirtualTuple(slot)
        }
    }
}

fn aligned(size: usize) -> usize {
    size.next_multiple_of(ALIGNMENT)
}
