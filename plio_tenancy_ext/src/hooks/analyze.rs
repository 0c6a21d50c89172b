//! A statement that was parsed in a session's tenant which may be closed by now.
//!
//! Fired when a query's names have been looked up and its relations locked, also where nothing is run: the protocol's Parse
//! stops there, and would hold the locks to the transaction's end. Refused here, they go at once. Utility statements are
//! hooks/utility.rs's, and what leaves the tenant must run. The previous hook comes after.

use crate::error::or_raise;
use crate::pg::session;
use crate::{context, hooks};
use pgrx::pg_sys;
use pgrx::prelude::*;

static mut PREVIOUS: pg_sys::post_parse_analyze_hook_type = None;

/// Sets the hook.
pub fn install() {
    // SAFETY: `_PG_init` runs once, in one thread.
    unsafe {
        PREVIOUS = pg_sys::post_parse_analyze_hook;
        pg_sys::post_parse_analyze_hook = Some(on_analyzed);
    }
}

unsafe extern "C-unwind" fn on_analyzed(
    state: *mut pg_sys::ParseState,
    query: *mut pg_sys::Query,
    jumble: *mut pg_sys::JumbleState,
) {
    // SAFETY: plain data only in this frame; the arguments are the parser's and handed on as they came.
    unsafe {
        if context::needs_confirmation() && (*query).commandType != pg_sys::CmdType::CMD_UTILITY {
            check();
        }
        if let Some(previous) = PREVIOUS {
            previous(state, query, jumble);
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn check() {
    if session::is_in_progress() && hooks::is_judged() && or_raise(hooks::has_registry()) {
        or_raise(context::ensure_still_open());
    }
}
