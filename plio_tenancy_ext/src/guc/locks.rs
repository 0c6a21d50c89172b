//! The locks on PostgreSQL's own `role`, `search_path` and `session_authorization` while a tenant is active.
//!
//! All is judged in the check hooks, in front of PostgreSQL's own: of `role` and `session_authorization` no value is admitted,
//! of `search_path` any that names no schema out of reach. What reaches no check hook (`RESET`, `set_config(.., NULL, ..)`)
//! is hooks/settings.rs's. No assign hook refuses anything: PostgreSQL calls them to put values back, too, and keeps what
//! one of them refused for the rest of the session.

use super::{is_foreign_change, role_to_hand_out};
use crate::context;
use crate::denial::{self, Subject};
use crate::error::{Error, or_raise};
use crate::pg::{catalog, guc, owned};
use crate::policy::{self, Actor, Context, Verdict};
use crate::{cache, hooks};
use pgrx::prelude::*;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};

/// Refuses, or reports only.
fn refuse(refusal: Error) {
    or_raise(denial::decide(Err(refusal), Subject::Statement));
}

/// Puts the locks in front of the settings' own hooks.
pub fn install() {
    LOCKS.with(|locks| locks.iter().for_each(Lock::install));
}

/// The extra of PostgreSQL's `role` setting (`role_auth_extra`, variable.c).
#[repr(C)]
#[derive(Clone, Copy)]
struct RoleAuthExtra {
    role: pg_sys::Oid,
    is_superuser: bool,
}

/// One locked setting: PostgreSQL's own check hook, and ours in front of it.
struct Lock {
    name: &'static CStr,
    check: pg_sys::GucStringCheckHook,
    old: Cell<pg_sys::GucStringCheckHook>,
}

const ROLE: usize = 0;
const SEARCH_PATH: usize = 1;
const SESSION_AUTHORIZATION: usize = 2;

thread_local! {
    static LOCKS: [Lock; 3] = const {
        [
            Lock { name: c"role", check: Some(check_role), old: Cell::new(None) },
            Lock { name: c"search_path", check: Some(check_search_path), old: Cell::new(None) },
            Lock {
                name: c"session_authorization",
                check: Some(check_session_authorization),
                old: Cell::new(None),
            },
        ]
    };
}

impl Lock {
    fn install(&self) {
        if let Some(record) = guc::Record::find(self.name) {
            // SAFETY: all three are string settings; the hooks below hand on to the old ones.
            self.old.set(unsafe { record.wrap_string(self.check) });
        }
    }
}

/// Calls the old check hook, unguarded: its errors are not ours.
unsafe fn hand_on_check(
    lock: usize,
    value: *mut *mut c_char,
    extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    let old = LOCKS.with(|locks| locks[lock].old.get());
    // SAFETY: the arguments are PostgreSQL's own, for this very setting.
    old.is_none_or(|check| unsafe { check(value, extra, source) })
}

unsafe extern "C-unwind" fn check_role(
    value: *mut *mut c_char,
    extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    if let Some(role) = role_to_hand_out() {
        let handed = guc::hand_out(RoleAuthExtra { role, is_superuser: false });
        // SAFETY: PostgreSQL passes a valid place for the extra, and owns what is put there.
        unsafe { *extra = handed };
        return !handed.is_null();
    }
    // SAFETY: plain data only; arguments are handed on as they came.
    unsafe {
        refuse_value(ROLE, source);
        hand_on_check(ROLE, value, extra, source)
    }
}

unsafe extern "C-unwind" fn check_session_authorization(
    value: *mut *mut c_char,
    extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: plain data only; arguments are handed on as they came.
    unsafe {
        refuse_value(SESSION_AUTHORIZATION, source);
        hand_on_check(SESSION_AUTHORIZATION, value, extra, source)
    }
}

/// No value of `role` or `session_authorization` is admitted while a tenant holds, a function's SET
/// clause included: nobody needs one, and it would leave the tenant's role.
#[pg_guard]
unsafe extern "C-unwind" fn refuse_value(lock: usize, source: pg_sys::GucSource::Type) {
    if is_foreign_change(source) {
        refuse(Error::LockedSetting { setting: if lock == ROLE { "role" } else { "session_authorization" } });
    }
}

unsafe extern "C-unwind" fn check_search_path(
    value: *mut *mut c_char,
    extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: plain data only; arguments are handed on as they came.
    unsafe {
        refuse_foreign_path(*value, source);
        hand_on_check(SEARCH_PATH, value, extra, source)
    }
}

/// Refuses a path that names another tenant's schema, in a function's SET clause or anywhere. Other schemas are judged when they
/// are used; a schema that does not exist is ignored.
#[pg_guard]
unsafe extern "C-unwind" fn refuse_foreign_path(value: *const c_char, source: pg_sys::GucSource::Type) {
    if !is_foreign_change(source) || !hooks::is_judged() {
        return;
    }
    // SAFETY: the value that PostgreSQL passed.
    let Some(path) = (unsafe { owned(value) }) else { return };
    for name in catalog::split_identifiers(&path) {
        let Some(schema) = catalog::schema_oid(&name) else { continue };
        let place = cache::place_of_schema(schema, context::active_schema());
        if let Verdict::Deny(why) = policy::decide_code(Actor::Ordinary, Context::Tenant, place) {
            let refusal = Error::Denied { why, relation: None, active: context::active_org() };
            or_raise(denial::decide(Err(refusal), Subject::Schema(schema)));
        }
    }
}
