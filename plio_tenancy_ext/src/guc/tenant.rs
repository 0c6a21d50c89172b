//! The value of `plio.tenant`: what may become it, what it does, and what of it is shown.

use crate::context::{self, State};
use crate::error::{Error, or_raise};
use crate::pg::{guc, session};
use crate::tenant::Org;
use pgrx::prelude::*;
use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, CString, c_char, c_void};

/// Admits only what this extension writes, what a leader hands to its parallel worker, and an org that ALTER ROLE or
/// ALTER DATABASE keeps for later logins: it is tested here, and checked when it is to come into force.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn check(
    value: *mut *mut c_char,
    extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    if let (true, Some(state)) = (guc::is_ours(), STATE_TO_SET.get()) {
        // SAFETY: PostgreSQL passes a valid place for the extra.
        return unsafe { hand_out(state, extra) };
    }
    if IS_BLANKING.get() {
        // SAFETY: the value is NULL or a C string of PostgreSQL's making that it keeps: an empty one from now on.
        unsafe {
            if !(*value).is_null() {
                **value = 0;
            }
        }
        return true;
    }
    // SAFETY: PostgreSQL passes valid pointers; the value is NULL or a C string that lives as long as this call.
    let text = unsafe { if (*value).is_null() { c"" } else { CStr::from_ptr(*value) } };
    let text = text.to_str().unwrap_or_default();
    if source == pg_sys::GucSource::PGC_S_TEST {
        if !text.is_empty() {
            or_raise(Org::parse(text).map_err(Error::BadOrg));
        }
        return true;
    }
    let is_harmless = text.is_empty() && !context::is_active();
    if !(guc::is_ours() || session::is_initializing_worker() || is_harmless) {
        context::refused_setting().raise();
    }
    if text.is_empty() {
        return true;
    }
    // SAFETY: as above.
    State::parse(text).is_some_and(|state| unsafe { hand_out(state, extra) })
}

/// Puts a state into the place for a value's extra; false when there is no memory.
///
/// # Safety
/// `extra` is the place that PostgreSQL passes to a check hook; it owns what is put there.
unsafe fn hand_out(state: State, extra: *mut *mut c_void) -> bool {
    let handed = guc::hand_out(state);
    // SAFETY: the caller's promise.
    unsafe { *extra = handed };
    !handed.is_null()
}

thread_local! {
    /// The state to hand out when `plio.tenant` is next checked, so that nobody need read it from the text.
    pub(super) static STATE_TO_SET: Cell<Option<State>> = const { Cell::new(None) };
}

/// Refuses nothing: PostgreSQL calls it to put values back, too. What ends with a tenant ends here, however the tenant ends.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn assign(value: *const c_char, extra: *mut c_void) {
    // SAFETY: the extra is NULL or what `check` handed out for this value.
    let state = if extra.is_null() { State::NONE } else { unsafe { extra.cast::<State>().read() } };
    let before = context::active_tenant();
    context::assign(state);
    // SAFETY: the value is NULL or a C string.
    unsafe { keep_shown(value) };
    if before != context::active_tenant() {
        session::forget_sequences();
        context::prepared::drop_others(context::active_tenant());
        super::on_tenant_change();
    }
}

/// While it lives, a value that a setting of this name got before the library was there is taken over as empty: it was neither
/// checked nor in force.
pub(super) struct Blanking(());

thread_local! {
    static IS_BLANKING: Cell<bool> = const { Cell::new(false) };
}

impl Blanking {
    pub(super) fn begin() -> Self {
        IS_BLANKING.set(true);
        Self(())
    }
}

impl Drop for Blanking {
    fn drop(&mut self) {
        IS_BLANKING.set(false);
    }
}

/// The org of the value in force, as a C string. An org has 63 bytes at most.
struct Shown(UnsafeCell<[u8; 64]>);

// SAFETY: a backend has one thread.
unsafe impl Sync for Shown {}

static SHOWN: Shown = Shown(UnsafeCell::new([0; 64]));

/// Keeps the org of a value for showing: the rest of it is nobody's business.
///
/// # Safety
/// `value` is NULL or a C string.
unsafe fn keep_shown(value: *const c_char) {
    // SAFETY: the caller's promise; one thread, and no other reference to the buffer is alive.
    let (value, buffer) =
        unsafe { (if value.is_null() { c"" } else { CStr::from_ptr(value) }, &mut *SHOWN.0.get()) };
    let org = value.to_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
    let length = org.len().min(buffer.len() - 1);
    buffer[..length].copy_from_slice(&org[..length]);
    buffer[length] = 0;
}

/// Shows an org that no value of the setting stands for.
pub fn show_org(org: &str) {
    if let Ok(org) = CString::new(org) {
        // SAFETY: a C string.
        unsafe { keep_shown(org.as_ptr()) };
    }
}

pub(super) unsafe extern "C-unwind" fn show() -> *const c_char {
    SHOWN.0.get().cast_const().cast()
}

/// The org in force; empty when there is none.
pub fn shown() -> String {
    // SAFETY: the buffer always holds a C string; nobody writes while it is read.
    unsafe { CStr::from_ptr(show()) }.to_string_lossy().into_owned()
}
