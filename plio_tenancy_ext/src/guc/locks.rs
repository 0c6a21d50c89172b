//! The locks on PostgreSQL's own `role`, `search_path` and `session_authorization` while a tenant is active.
//!
//! A locked setting refuses twice. Its check hook refuses a value. Its assign hook refuses what reaches no check
//! hook: `RESET`, and `set_config(.., NULL, ..)`. An assign hook may not fail when PostgreSQL itself puts a value
//! back, at the end of a (sub)transaction or of a function with a SET clause; then the transaction is not in
//! progress, or the setting's stack says that a function set it, and nothing is judged.

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

/// A change that this extension does not make, of a setting that the active tenant locks.
pub fn must_refuse_change(setting: &CStr) -> bool {
    is_foreign_change() && !guc::Record::find(setting).is_some_and(guc::Record::is_set_by_function)
}

/// The extra of PostgreSQL's `role` setting (`role_auth_extra`, variable.c).
#[repr(C)]
#[derive(Clone, Copy)]
struct RoleAuthExtra {
    role: pg_sys::Oid,
    is_superuser: bool,
}

/// One locked setting: PostgreSQL's own hooks, and ours in front of them.
struct Lock {
    name: &'static CStr,
    check: pg_sys::GucStringCheckHook,
    assign: pg_sys::GucStringAssignHook,
    old: Cell<(pg_sys::GucStringCheckHook, pg_sys::GucStringAssignHook)>,
}

const ROLE: usize = 0;
const SEARCH_PATH: usize = 1;
const SESSION_AUTHORIZATION: usize = 2;

thread_local! {
    static LOCKS: [Lock; 3] = const {
        [
            Lock {
                name: c"role",
                check: Some(check_role),
                assign: Some(assign_role),
                old: Cell::new((None, None)),
            },
            Lock {
                name: c"search_path",
                check: Some(check_search_path),
                assign: Some(assign_search_path),
                old: Cell::new((None, None)),
            },
            Lock {
                name: c"session_authorization",
                check: Some(check_session_authorization),
                assign: Some(assign_session_authorization),
                old: Cell::new((None, None)),
            },
        ]
    };
}

impl Lock {
    fn install(&self) {
        if let Some(record) = guc::Record::find(self.name) {
            // SAFETY: all three are string settings; the hooks below hand on to the old ones.
            self.old.set(unsafe { record.wrap_string(self.check, self.assign) });
        }
    }
}

fn old_check(lock: usize) -> pg_sys::GucStringCheckHook {
    LOCKS.with(|locks| locks[lock].old.get().0)
}

fn old_assign(lock: usize) -> pg_sys::GucStringAssignHook {
    LOCKS.with(|locks| locks[lock].old.get().1)
}

/// Calls the old check hook, unguarded: its errors are not ours.
unsafe fn hand_on_check(
    lock: usize,
    value: *mut *mut c_char,
    extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: the arguments are PostgreSQL's own, for this very setting.
    old_check(lock).is_none_or(|check| unsafe { check(value, extra, source) })
}

unsafe fn hand_on_assign(lock: usize, value: *const c_char, extra: *mut c_void) {
    if let Some(assign) = old_assign(lock) {
        // SAFETY: the arguments are PostgreSQL's own, for this very setting.
        unsafe { assign(value, extra) };
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn refuse_change(lock: usize, value: *const c_char) {
    let (name, setting) = match lock {
        ROLE => (c"role", "role"),
        SEARCH_PATH => (c"search_path", "search_path"),
        _ => (c"session_authorization", "session_authorization"),
    };
    // SAFETY: the caller passes the value as PostgreSQL did.
    if must_refuse_change(name) && !(lock == SEARCH_PATH && unsafe { is_sessions_path(value) }) {
        refuse(Error::LockedSetting { setting });
    }
}

/// A pooler that tracks both settings sets the tenant and then the very path that it brought. Inside a transaction's tenant
/// that is refused all the same: as the session's, the path would outlive the tenant.
///
/// # Safety
/// `value` is NULL or a C string.
unsafe fn is_sessions_path(value: *const c_char) -> bool {
    // SAFETY: PostgreSQL's variable is NULL or a C string; a backend has one thread.
    let current = unsafe { pg_sys::namespace_search_path };
    if context::is_locked() || value.is_null() || current.is_null() {
        return false;
    }
    // SAFETY: both were just seen not to be NULL.
    unsafe { CStr::from_ptr(value) == CStr::from_ptr(current) }
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
        refuse_value(ROLE);
        hand_on_check(ROLE, value, extra, source)
    }
}

unsafe extern "C-unwind" fn assign_role(value: *const c_char, extra: *mut c_void) {
    // SAFETY: plain data only; arguments are handed on as they came.
    unsafe {
        refuse_change(ROLE, value);
        hand_on_assign(ROLE, value, extra);
    }
}

unsafe extern "C-unwind" fn check_session_authorization(
    value: *mut *mut c_char,
    extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: plain data only; arguments are handed on as they came.
    unsafe {
        refuse_value(SESSION_AUTHORIZATION);
        hand_on_check(SESSION_AUTHORIZATION, value, extra, source)
    }
}

unsafe extern "C-unwind" fn assign_session_authorization(value: *const c_char, extra: *mut c_void) {
    // SAFETY: plain data only; arguments are handed on as they came.
    unsafe {
        refuse_change(SESSION_AUTHORIZATION, value);
        hand_on_assign(SESSION_AUTHORIZATION, value, extra);
    }
}

/// No value of `role` or `session_authorization` is admitted while a tenant holds, a function's SET
/// clause included: nobody needs one, and it would leave the tenant's role.
#[pg_guard]
unsafe extern "C-unwind" fn refuse_value(lock: usize) {
    if is_foreign_change() && (context::is_locked() || context::holds_role()) {
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
        refuse_foreign_path(*value);
        hand_on_check(SEARCH_PATH, value, extra, source)
    }
}

unsafe extern "C-unwind" fn assign_search_path(value: *const c_char, extra: *mut c_void) {
    // SAFETY: plain data only; arguments are handed on as they came.
    unsafe {
        refuse_change(SEARCH_PATH, value);
        hand_on_assign(SEARCH_PATH, value, extra);
    }
}

/// A function's SET clause looks like anybody's SET here; what either may never do is name another tenant's schema.
#[pg_guard]
unsafe extern "C-unwind" fn refuse_foreign_path(value: *const c_char) {
    if !is_foreign_change() || !hooks::is_judged() {
        return;
    }
    let Some(path) = owned(value) else { return };
    for name in catalog::split_identifiers(&path) {
        let Some(schema) = catalog::schema_oid(&name) else { continue };
        let place = cache::place_of_schema(schema, context::active_schema());
        if let Verdict::Deny(why) = policy::decide_code(Actor::Ordinary, Context::Tenant, place) {
            let refusal = Error::Denied { why, relation: None, active: context::active_org() };
            or_raise(denial::decide(Err(refusal), Subject::Schema(schema)));
        }
    }
}
