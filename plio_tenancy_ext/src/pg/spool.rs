//! The rows of queries, each with a first column of ours, stored until somebody fetches them.
//!
//! A destination for the executor's rows (dest.h), over a tuplestore that spills beyond work_mem, or over a scan's rows
//! (rows.rs). Values are stored whole: nothing of them is read from a table later, when the query's transaction is gone.
//! Where a query may fail and the others go on, its rows wait until it has ended: a part is in the result whole or not at all.

mod receiver;

use super::part::Failure;
use super::raw;
use super::rows::Rows;
use crate::error::Error;
use pgrx::{IntoDatum, pg_sys};
use std::ffi::CString;

/// Where rows go. The first member is what the executor knows (receiver.rs).
#[repr(C)]
pub struct Spool {
    receiver: pg_sys::DestReceiver,
    target_store: Store,
    /// Where the rows of a query wait for its end; NULL when they need not.
    waiting: *mut pg_sys::Tuplestorestate,
    target: pg_sys::TupleDesc,
    /// Which column of a stored row (from 0) each column of the query is.
    columns: Vec<usize>,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
    scratch: pg_sys::MemoryContext,
    first: pg_sys::Datum,
    count: i64,
    /// A scan wants rows without columns: the query says how many there are, in one bigint, instead of giving them.
    is_counting: bool,
}

/// Where rows are in the end.
#[derive(Clone, Copy)]
pub enum Store {
    /// What a set-returning function gives.
    Tuples(*mut pg_sys::Tuplestorestate),
    /// What a scan hands out.
    Rows(*mut Rows),
}

impl Store {
    /// # Safety
    /// The store is there, and the arrays are as wide as its rows. Plain data only: an error may jump over the frame.
    #[inline]
    unsafe fn put(self, target: pg_sys::TupleDesc, values: *const pg_sys::Datum, nulls: *const bool) {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Self::Tuples(store) => raw::tuplestore_putvalues(store, target, values, nulls),
                Self::Rows(rows) => (*rows).put(values, nulls),
            }
        }
    }
}

/// A parameter of a query, `$1` and so on: its value and type.
#[derive(Clone, Copy)]
pub struct Param {
    /// `None` for NULL.
    value: Option<pg_sys::Datum>,
    type_: pg_sys::Oid,
}

impl Param {
    /// # Safety
    /// The value is of that type, and lives as long as queries run with it.
    pub unsafe fn new(value: Option<pg_sys::Datum>, type_: pg_sys::Oid) -> Self {
        Self { value, type_ }
    }
}

impl Spool {
    /// Over a store whose rows look like `target`: the first column a text, and `columns` says where (from 0) the
    /// query's columns go.
    ///
    /// # Safety
    /// Both outlive the spool, and each of `columns` is one of the target's.
    pub unsafe fn over(target_store: Store, target: pg_sys::TupleDesc, columns: Vec<usize>) -> Box<Self> {
        // SAFETY: the caller's promise.
        let width = unsafe { (*target).natts } as usize;
        let scratch = super::memory_below_current(c"plio report row");
        let is_counting = columns.is_empty() && matches!(target_store, Store::Rows(_));
        Box::new(Self {
            receiver: receiver::new(),
            target_store,
            waiting: std::ptr::null_mut(),
            target,
            columns,
            values: vec![pg_sys::Datum::null(); width],
            nulls: vec![true; width],
            scratch,
            first: pg_sys::Datum::null(),
            count: 0,
            is_counting,
        })
    }

    /// The rows of each query wait from now on until [`Self::keep`] or [`Self::discard`].
    pub fn wait(&mut self) {
        // SAFETY: the store is freed by `finish`, or with the memory and the resources of the statement after an error.
        self.waiting = unsafe { pg_sys::tuplestore_begin_heap(false, false, pg_sys::work_mem) };
    }

    /// The last query's rows are good.
    pub fn keep(&mut self) {
        if let (true, Store::Rows(rows)) = (self.is_counting, self.target_store) {
            // SAFETY: a scan's rows without columns; the text lives as long as they do.
            unsafe { (*rows).put_empty(self.first, self.count) };
            return;
        }
        if self.waiting.is_null() {
            return;
        }
        // SAFETY: the waiting rows look like the target's; the slot is dropped here, or with the memory after an error. One
        // guard for all rows: what they raise (no room on the disk) must not jump over the callers' frames.
        unsafe {
            let slot = pg_sys::MakeSingleTupleTableSlot(self.target, &raw const pg_sys::TTSOpsMinimalTuple);
            pg_sys::ffi::pg_guard_ffi_boundary(|| self.move_waiting(slot));
            pg_sys::ExecDropSingleTupleTableSlot(slot);
        }
        self.discard();
    }

    /// # Safety
    /// The slot is for waiting rows. Plain data only: an error may jump over the frame.
    unsafe fn move_waiting(&self, slot: *mut pg_sys::TupleTableSlot) {
        // SAFETY: the caller's promise; the store that `wait` made.
        unsafe {
            let width = (*self.target).natts;
            while raw::tuplestore_gettupleslot(self.waiting, true, false, slot) {
                if i32::from((*slot).tts_nvalid) < width {
                    raw::slot_getsomeattrs_int(slot, width);
                }
                // The text that lives as long as the rows, not the copy that waited.
                (*slot).tts_values.write(self.first);
                self.target_store.put(self.target, (*slot).tts_values, (*slot).tts_isnull);
            }
        }
    }

    /// The last query's rows are none.
    pub fn discard(&mut self) {
        if !self.waiting.is_null() {
            // SAFETY: the store that `wait` made.
            unsafe { pg_sys::tuplestore_clear(self.waiting) };
        }
    }

    /// No query follows.
    pub fn finish(&mut self) {
        if !self.waiting.is_null() {
            // SAFETY: the store that `wait` made, not used any more.
            unsafe { pg_sys::tuplestore_end(self.waiting) };
            self.waiting = std::ptr::null_mut();
        }
    }

    /// Runs a query, read only and under the snapshot in force, and stores its rows after `first`; gives their number.
    ///
    /// Raises whatever the query raises, and 22023 when its columns are not the target's. Rows that were not asked for
    /// are never taken for none.
    pub fn run(&mut self, first: &str, query: &str, params: &[Param]) -> i64 {
        self.count = 0;
        self.nulls.fill(true);
        self.first = first.into_datum().unwrap_or(pg_sys::Datum::null());
        let Ok(query) = CString::new(query) else { Error::Bug("a query with a NUL".to_owned()).raise() };
        // SAFETY: SPI is connected and finished here, or by the end of the subtransaction after an error; the receiver
        // and the parameters outlive the run.
        let code = unsafe {
            pg_sys::SPI_connect();
            let mut options = pg_sys::SPIExecuteOptions {
                read_only: true,
                params: param_list(params),
                ..Default::default()
            };
            options.dest = (&raw mut *self).cast();
            let code = pg_sys::SPI_execute_extended(query.as_ptr(), &options);
            pg_sys::SPI_finish();
            code
        };
        if code != pg_sys::SPI_OK_SELECT as i32 {
            Error::Bug(format!("a report's query ended with SPI code {code}")).raise();
        }
        self.count
    }
}

unsafe fn param_list(params: &[Param]) -> pg_sys::ParamListInfo {
    if params.is_empty() {
        return std::ptr::null_mut();
    }
    // SAFETY: the list has room for that many (params.h).
    unsafe {
        let list = pg_sys::makeParamList(params.len() as i32);
        let places = (*list).params.as_mut_ptr();
        for (i, param) in params.iter().enumerate() {
            places.add(i).write(pg_sys::ParamExternData {
                value: param.value.unwrap_or(pg_sys::Datum::null()),
                isnull: param.value.is_none(),
                pflags: pg_sys::PARAM_FLAG_CONST as u16,
                ptype: param.type_,
            });
        }
        list
    }
}

/// Whether a query failed since it gives other columns than the report has. What a tenant's own code raises may look like it:
/// then the hint is about columns.
pub fn is_mismatch(failure: &Failure) -> bool {
    failure.sqlstate == "22023"
        && (failure.message.starts_with("the query has ")
            || failure.message.starts_with("column ") && failure.message.contains(" of the query is "))
}

fn mismatch(message: &str) -> ! {
    Error::ReportShape { message: message.to_owned() }.raise()
}

impl Spool {
    /// Over the tuplestore of a call of a set-returning function: its rows are of the function's own type, or what the
    /// caller's column definition list says.
    ///
    /// # Safety
    /// `fcinfo` is the call of a set-returning function.
    pub unsafe fn of_call(fcinfo: pg_sys::FunctionCallInfo, is_own_type: bool) -> Box<Self> {
        let flags = if is_own_type { 0 } else { pg_sys::MAT_SRF_USE_EXPECTED_DESC };
        // SAFETY: the caller's promise; the result info lives as long as the call, and the store and its description as
        // long as the calling query.
        unsafe {
            pg_sys::InitMaterializedSRF(fcinfo, flags);
            let result = (*fcinfo).resultinfo.cast::<pg_sys::ReturnSetInfo>();
            let (store, target) = ((*result).setResult, (*result).setDesc);
            let columns = (1..(*target).natts as usize).collect();
            let is_text = (*target).natts > 0 && (*raw::column(target, 0)).atttypid == pg_sys::TEXTOID;
            if !is_text {
                mismatch("the first column of a report is the organization, of type text");
            }
            Self::over(Store::Tuples(store), target, columns)
        }
    }
}
