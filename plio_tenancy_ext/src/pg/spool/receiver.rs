//! The executor's side of a spool: what it calls as a query begins, and with each row (dest.h).

use super::{Spool, Store, mismatch};
use crate::pg::{catalog, raw};
use pgrx::{pg_guard, pg_sys};

/// The callbacks. The receiver that they are given is a [`Spool`], whose first member it is.
pub fn new() -> pg_sys::DestReceiver {
    pg_sys::DestReceiver {
        receiveSlot: Some(receive),
        rStartup: Some(start),
        rShutdown: Some(ignore),
        rDestroy: Some(ignore),
        mydest: pg_sys::CommandDest::DestTuplestore,
    }
}

unsafe extern "C-unwind" fn ignore(_receiver: *mut pg_sys::DestReceiver) {}

/// A query begins: are its columns what the stored rows have?
#[pg_guard]
unsafe extern "C-unwind" fn start(
    receiver: *mut pg_sys::DestReceiver,
    _operation: i32,
    described: pg_sys::TupleDesc,
) {
    // SAFETY: the executor hands back the receiver that it was given, and a valid description.
    let (spool, found) = unsafe { (&*receiver.cast::<Spool>(), (*described).natts as usize) };
    if spool.is_counting {
        return;
    }
    if found != spool.columns.len() {
        let counts = format!("the query has {found} columns, the report {}", spool.columns.len());
        mismatch(&counts);
    }
    for (i, column) in spool.columns.iter().enumerate() {
        // SAFETY: both indexes are below the numbers of columns.
        let (has, wants) = unsafe {
            let has = &*raw::column(described, i);
            (has.atttypid, (*raw::column(spool.target, *column)).atttypid)
        };
        if has == pg_sys::RECORDOID {
            mismatch(&format!("column {} of the query is an anonymous record", i + 1));
        }
        if has != wants {
            let (has, wants) = (catalog::type_name(has), catalog::type_name(wants));
            mismatch(&format!("column {} of the query is of type {has}, not {wants} as the report's", i + 1));
        }
    }
}

/// A row. Unguarded, for speed: plain data only, so an error may jump over the frame.
unsafe extern "C-unwind" fn receive(
    slot: *mut pg_sys::TupleTableSlot,
    receiver: *mut pg_sys::DestReceiver,
) -> bool {
    // SAFETY: the executor hands back the receiver that it was given, and a valid slot with the columns that `start` saw.
    unsafe {
        let spool = receiver.cast::<Spool>();
        if (*spool).is_counting {
            // count(*): a bigint, never NULL.
            if (*slot).tts_nvalid < 1 {
                raw::slot_getsomeattrs_int(slot, 1);
            }
            (*spool).count = (*(*slot).tts_values).value() as i64;
            return true;
        }
        let width = (*spool).columns.len();
        if ((*slot).tts_nvalid as usize) < width {
            raw::slot_getsomeattrs_int(slot, width as i32);
        }
        if let (Store::Rows(rows), true) = ((*spool).target_store, (*spool).waiting.is_null())
            && (*rows).put_in_order((*spool).first, (*slot).tts_values, (*slot).tts_isnull)
        {
            (*spool).count += 1;
            return true;
        }
        let before = pg_sys::CurrentMemoryContext;
        let (values, nulls) = ((*spool).values.as_mut_ptr(), (*spool).nulls.as_mut_ptr());
        values.write((*spool).first);
        nulls.write(false);
        let columns = (*spool).columns.as_ptr();
        let mut has_copies = false;
        for i in 0..width {
            let (column, is_null) = (*columns.add(i), *(*slot).tts_isnull.add(i));
            let mut value = *(*slot).tts_values.add(i);
            let attribute = raw::attribute((*slot).tts_tupleDescriptor, i);
            if !is_null && attribute.is_elsewhere(value) {
                pg_sys::CurrentMemoryContext = (*spool).scratch;
                has_copies = true;
                value = pg_sys::Datum::from(raw::detoast_external_attr(value.cast_mut_ptr()));
                pg_sys::CurrentMemoryContext = before;
            }
            values.add(column).write(value);
            nulls.add(column).write(is_null);
        }
        if (*spool).waiting.is_null() {
            (*spool).target_store.put((*spool).target, values, nulls);
        } else {
            raw::tuplestore_putvalues((*spool).waiting, (*spool).target, values, nulls);
        }
        if has_copies {
            raw::MemoryContextReset((*spool).scratch);
        }
        (*spool).count += 1;
        true
    }
}
