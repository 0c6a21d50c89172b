//! Deferred triggers and constraints: firing them before COMMIT does.

use super::raw;
use pgrx::pg_sys::{self, NodeTag};

/// Fires every trigger that is deferred, those that it queues included. Constraints stay as deferred as they were; inside a
/// subtransaction, whose rollback would need what is fired to be queued still, they are immediate from then on, as by SET
/// CONSTRAINTS ALL IMMEDIATE.
///
/// Not guarded: the error of a trigger or a constraint reaches the client with all its fields.
///
/// # Safety
/// In a transaction, outside queries that fire triggers and outside triggers. The calling frames hold plain data only.
pub unsafe fn fire() {
    // SAFETY: the caller's promise; the statement names no constraint, which stands for all.
    unsafe {
        raw::CommandCounterIncrement();
        if !raw::IsSubTransaction() {
            return raw::AfterTriggerFireDeferred();
        }
        let mut all_immediate: pg_sys::ConstraintsSetStmt = std::mem::zeroed();
        all_immediate.type_ = NodeTag::T_ConstraintsSetStmt;
        raw::AfterTriggerSetState(&raw mut all_immediate);
    }
}

/// Whether a trigger is running: what fires triggers goes on when it has ended.
pub fn is_in_trigger() -> bool {
    // SAFETY: reads a counter; the function looks at no argument (trigger.c).
    unsafe { raw::pg_trigger_depth(std::ptr::null_mut()).value() as i32 > 0 }
}
