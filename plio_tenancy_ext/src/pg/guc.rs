//! PostgreSQL's settings: setting them, looking at their stack, wrapping the hooks of built-in ones.

use super::raw;
use pgrx::pg_sys;
use std::cell::Cell;
use std::ffi::{CStr, CString, c_void};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A static, since reading a thread-local costs a call in a library.
static OURS: AtomicBool = AtomicBool::new(false);

/// Whether a setting is being changed by this extension at this moment: locked settings admit it.
pub fn is_ours() -> bool {
    OURS.load(Relaxed)
}

/// The value that a setting got before anybody defined it.
pub fn placeholder(name: &CStr) -> Option<String> {
    // SAFETY: missing_ok is set; the value is copied at once.
    unsafe { super::owned(pg_sys::GetConfigOption(name.as_ptr(), true, false)) }
}

/// How long a new value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until the transaction ends (`SET LOCAL`).
    Transaction,
    /// Until the session ends (`SET`); a rollback undoes it.
    Session,
}

/// Sets settings as the extension, in that order; a `None` value puts the session's default back.
///
/// # Errors
/// Raises what a setting's own check raises; those before it are set then, until the (sub)transaction's abort.
pub fn set<const N: usize>(changes: [(&KnownRecord, Option<&CStr>); N], lifetime: Lifetime) {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            OURS.store(self.0, Relaxed);
        }
    }
    let _restore = Restore(OURS.swap(true, Relaxed));
    let action = match lifetime {
        Lifetime::Transaction => pg_sys::GucAction::GUC_ACTION_LOCAL,
        Lifetime::Session => pg_sys::GucAction::GUC_ACTION_SET,
    };
    let changes = changes.map(|(setting, value)| {
        let record = setting.get().map_or(std::ptr::null_mut(), |record| record.0);
        (setting.c_name.as_ptr(), record, value.map_or(std::ptr::null(), CStr::as_ptr))
    });
    // SAFETY: NUL-terminated strings that PostgreSQL copies, and records of settings. One guard for all of them; what it
    // jumps over is plain data.
    unsafe {
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            for (name, record, value) in changes {
                raw::set_setting(name, record, value, action);
            }
        });
    }
}

/// Sets `name` until the nest level that the caller opened ends, as a function's SET clause does.
pub fn set_until_level_ends(name: &CStr, value: &CStr) {
    set_as_user(name, value, pg_sys::GucAction::GUC_ACTION_SAVE);
}

/// Sets `name` until the (sub)transaction ends, as SET LOCAL does.
pub fn set_local(name: &CStr, value: &CStr) {
    set_as_user(name, value, pg_sys::GucAction::GUC_ACTION_LOCAL);
}

fn set_as_user(name: &CStr, value: &CStr, action: pg_sys::GucAction::Type) {
    // SAFETY: NUL-terminated strings that PostgreSQL copies.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            action,
            true,
            0,
            false,
        );
    }
}

/// What a setting is in the session, whatever SET LOCAL and functions have made of it for the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// What it is without a SET: the session's default, or nothing at all.
    Default,
    /// What SET made it.
    Set(CString),
}

/// The name under which PostgreSQL keeps a setting. `name` may be in capitals, or the setting's name in an older release; where there
/// is no such setting, it is given back in small letters.
pub fn own_name(name: &str) -> String {
    let record = CString::new(name).ok().and_then(|name| Record::find(&name));
    // SAFETY: a record's name is a C string.
    record.map_or_else(
        || name.to_ascii_lowercase(),
        |record| unsafe { CStr::from_ptr((*record.0).name) }.to_string_lossy().into_owned(),
    )
}

/// What the setting of that name would be if everything were committed now.
pub fn before(name: &str) -> Before {
    let record = CString::new(name).ok().and_then(|name| Record::find(&name));
    record.map_or(Before::Default, Record::in_session)
}

/// Sets it to what it was; where that cannot be any more, to its default. Undone by a rollback.
pub fn put_back(name: &str, before: &Before, lifetime: Lifetime) {
    let Ok(name) = CString::new(name) else { return };
    let set = |value: *const std::ffi::c_char| {
        use pg_sys::GucAction::{GUC_ACTION_LOCAL, GUC_ACTION_SET};
        use pg_sys::{GucContext::PGC_SUSET, GucSource::PGC_S_SESSION};
        let action = match lifetime {
            Lifetime::Transaction => GUC_ACTION_LOCAL,
            Lifetime::Session => GUC_ACTION_SET,
        };
        // SAFETY: NUL-terminated strings that PostgreSQL copies. With this level it only says what is wrong with a value.
        unsafe {
            pg_sys::set_config_option(
                name.as_ptr(),
                value,
                PGC_SUSET,
                PGC_S_SESSION,
                action,
                true,
                pg_sys::DEBUG1 as i32,
                false,
            )
        }
    };
    let is_set = matches!(before, Before::Set(value) if set(value.as_ptr()) > 0);
    if !is_set {
        set(std::ptr::null());
    }
}

/// How long a wait for a lock may take; `None` where nothing limits it.
pub fn lock_timeout() -> Option<std::time::Duration> {
    // SAFETY: reads a global; PostgreSQL admits no negative value.
    let milliseconds = unsafe { pg_sys::LockTimeout };
    (milliseconds > 0).then(|| std::time::Duration::from_millis(milliseconds.unsigned_abs().into()))
}

/// Limits every wait for a lock until the nest level that the caller opened ends, unless lock_timeout limits it already.
pub fn limit_waits(longest: &CStr) {
    if lock_timeout().is_none() {
        set_until_level_ends(c"lock_timeout", longest);
    }
}

/// Opens a level of settings, which the caller closes.
pub fn new_level() -> i32 {
    // SAFETY: counts the level; after an error the transaction's abort closes it.
    unsafe { pg_sys::NewGUCNestLevel() }
}

/// Runs `f` with its waits for locks limited.
pub fn with_limited_waits<R>(longest: &CStr, f: impl FnOnce() -> R) -> R {
    let level = new_level();
    limit_waits(longest);
    let result = f();
    // SAFETY: closes the level opened above.
    unsafe { pg_sys::AtEOXact_GUC(true, level) };
    result
}

/// `ERROR`, elog.h: not in pgrx's bindings under that name.
#[cfg(not(feature = "pg15"))]
const ERROR: i32 = 21;

/// Names that a setting had once, and is found by still (`map_old_guc_names`, guc.c).
#[cfg(feature = "pg15")]
const OLD_NAMES: [(&CStr, &CStr); 2] = [(c"sort_mem", c"work_mem"), (c"vacuum_mem", c"maintenance_work_mem")];

/// The record of a setting. Capitals and names of older releases are understood, as in guc.c. NULL when there is no such setting.
fn find(name: &CStr) -> *mut pg_sys::config_generic {
    #[cfg(not(feature = "pg15"))]
    // SAFETY: skip_errors is set and no placeholder is made.
    unsafe {
        pg_sys::find_option(name.as_ptr(), false, true, ERROR)
    }
    #[cfg(feature = "pg15")]
    // SAFETY: the array holds that many valid records, with NUL-terminated names.
    unsafe {
        let all = pg_sys::get_guc_variables();
        let count = pg_sys::GetNumConfigOptions() as usize;
        let is_named = |wanted: &CStr, name: &CStr| wanted.to_bytes().eq_ignore_ascii_case(name.to_bytes());
        let new_name = OLD_NAMES.iter().find(|(old, _)| is_named(name, old)).map_or(name, |(_, new)| new);
        std::slice::from_raw_parts(all, count)
            .iter()
            .copied()
            .find(|record| is_named(new_name, CStr::from_ptr((**record).name)))
            .unwrap_or(std::ptr::null_mut())
    }
}

/// A handle on a setting's record; records stay where they are as long as the process lives.
#[derive(Clone, Copy)]
pub struct Record(*mut pg_sys::config_generic);

/// A setting that is looked up once a process: 15 has no index by name.
pub struct KnownRecord {
    /// The setting's name, for messages.
    pub name: &'static str,
    c_name: &'static CStr,
    record: Cell<Option<Record>>,
}

impl KnownRecord {
    /// Names a setting; both spellings are the same name.
    pub const fn new(name: &'static str, c_name: &'static CStr) -> Self {
        Self { name, c_name, record: Cell::new(None) }
    }

    /// Its record.
    pub fn get(&self) -> Option<Record> {
        if self.record.get().is_none() {
            self.record.set(Record::find(self.c_name));
        }
        self.record.get()
    }
}

impl Record {
    /// The setting of that name.
    pub fn find(name: &CStr) -> Option<Self> {
        let record = find(name);
        (!record.is_null()).then_some(Self(record))
    }

    /// Whether the value in force ends with the transaction, as after SET LOCAL.
    pub fn is_set_for_transaction(self) -> bool {
        use pg_sys::GucStackState::{GUC_LOCAL, GUC_SET_LOCAL};
        // SAFETY: the record and the top of its stack are valid; the stack is NULL when nothing was set.
        unsafe {
            let stack = (*self.0).stack;
            !stack.is_null() && matches!((*stack).state, GUC_LOCAL | GUC_SET_LOCAL)
        }
    }

    /// Whether the exit of any running function will put the value back.
    pub fn will_revert_at_function_exit(self) -> bool {
        // SAFETY: the stack is a NULL-terminated list of valid entries.
        unsafe {
            let mut stack = (*self.0).stack;
            while !stack.is_null() {
                if (*stack).state == pg_sys::GucStackState::GUC_SAVE {
                    return true;
                }
                stack = (*stack).prev;
            }
            false
        }
    }

    /// What the value would be if everything were committed now: the stack holds what SET LOCAL and functions' SET clauses hide.
    fn in_session(self) -> Before {
        use pg_sys::GucSource::PGC_S_SESSION;
        use pg_sys::GucStackState::{GUC_SET, GUC_SET_LOCAL};
        // SAFETY: the record is valid, and its stack a NULL-terminated list of valid entries; values are of the record's type.
        unsafe {
            let mut stack = (*self.0).stack;
            let (mut value, mut source) = (self.value(), (*self.0).source);
            while !stack.is_null() {
                match (*stack).state {
                    GUC_SET => break,
                    GUC_SET_LOCAL => {
                        (value, source) = ((*stack).masked.val, PGC_S_SESSION);
                        break;
                    }
                    _ => {
                        (value, source) = ((*stack).prior.val, (*stack).source);
                        stack = (*stack).prev;
                    }
                }
            }
            if source == PGC_S_SESSION {
                self.text(value).map_or(Before::Default, Before::Set)
            } else {
                Before::Default
            }
        }
    }

    /// The value in force.
    unsafe fn value(self) -> pg_sys::config_var_val {
        use pg_sys::config_type::{PGC_BOOL, PGC_ENUM, PGC_INT, PGC_REAL};
        let record = self.0;
        // SAFETY: the type says which record it is, and where its variable lies (guc_tables.h).
        unsafe {
            match (*record).vartype {
                PGC_BOOL => {
                    pg_sys::config_var_val { boolval: *(*record.cast::<pg_sys::config_bool>()).variable }
                }
                PGC_INT => {
                    pg_sys::config_var_val { intval: *(*record.cast::<pg_sys::config_int>()).variable }
                }
                PGC_REAL => {
                    pg_sys::config_var_val { realval: *(*record.cast::<pg_sys::config_real>()).variable }
                }
                PGC_ENUM => {
                    pg_sys::config_var_val { enumval: *(*record.cast::<pg_sys::config_enum>()).variable }
                }
                _ => {
                    pg_sys::config_var_val { stringval: *(*record.cast::<pg_sys::config_string>()).variable }
                }
            }
        }
    }

    /// A value of this setting's as SET would take it; `None` for a text that is not there.
    unsafe fn text(self, value: pg_sys::config_var_val) -> Option<CString> {
        use pg_sys::config_type::{PGC_BOOL, PGC_ENUM, PGC_INT, PGC_REAL};
        // SAFETY: the type says which member is set; texts are NULL or C strings, an enumeration's static.
        unsafe {
            match (*self.0).vartype {
                PGC_BOOL => Some(if value.boolval { c"on" } else { c"off" }.to_owned()),
                PGC_INT => CString::new(value.intval.to_string()).ok(),
                PGC_REAL => CString::new(value.realval.to_string()).ok(),
                PGC_ENUM => {
                    let name = pg_sys::config_enum_lookup_by_value(self.0.cast(), value.enumval);
                    (!name.is_null()).then(|| CStr::from_ptr(name).to_owned())
                }
                _ => (!value.stringval.is_null()).then(|| CStr::from_ptr(value.stringval).to_owned()),
            }
        }
    }

    /// Sets the assign hook of a floating-point setting, and returns the old one.
    ///
    /// # Safety
    /// The setting is a floating-point number; the hook calls the old one.
    pub unsafe fn wrap_real(self, assign: pg_sys::GucRealAssignHook) -> pg_sys::GucRealAssignHook {
        // SAFETY: such a setting's record starts with the generic part (guc_tables.h).
        unsafe { std::mem::replace(&mut (*self.0.cast::<pg_sys::config_real>()).assign_hook, assign) }
    }

    /// Puts a check hook of ours in front of a boolean setting's own, and gives the old one back.
    ///
    /// # Safety
    /// The setting is a boolean; the hook calls the old one for whatever it does not judge.
    pub unsafe fn wrap_bool(self, check: pg_sys::GucBoolCheckHook) -> pg_sys::GucBoolCheckHook {
        // SAFETY: a boolean setting's record starts with the generic part (guc_tables.h).
        unsafe { std::mem::replace(&mut (*self.0.cast::<pg_sys::config_bool>()).check_hook, check) }
    }

    /// Puts hooks of ours in front of a number's own, and gives the old ones back.
    ///
    /// # Safety
    /// The setting is an integer; the hooks call the old ones for whatever they do not judge.
    pub unsafe fn wrap_int(
        self,
        check: pg_sys::GucIntCheckHook,
        assign: pg_sys::GucIntAssignHook,
    ) -> (pg_sys::GucIntCheckHook, pg_sys::GucIntAssignHook) {
        let record = self.0.cast::<pg_sys::config_int>();
        // SAFETY: as above, of an integer.
        unsafe {
            let old = ((*record).check_hook, (*record).assign_hook);
            (*record).check_hook = check;
            (*record).assign_hook = assign;
            old
        }
    }

    /// Puts a check hook of ours in front of a string setting's own, and gives the old one back.
    ///
    /// # Safety
    /// The setting is a string; the hook calls the old one for whatever it does not judge.
    pub unsafe fn wrap_string(self, check: pg_sys::GucStringCheckHook) -> pg_sys::GucStringCheckHook {
        let record = self.0.cast::<pg_sys::config_string>();
        // SAFETY: a string setting's record starts with the generic part (guc_tables.h).
        unsafe { std::mem::replace(&mut (*record).check_hook, check) }
    }
}

/// A copy of `value` in memory that a check hook may hand out as `extra`; NULL when there is no memory.
pub fn hand_out<T: Copy>(value: T) -> *mut c_void {
    let size = size_of::<T>();
    #[cfg(not(feature = "pg15"))]
    // SAFETY: LOG makes it return NULL instead of raising; PostgreSQL frees it with guc_free.
    let memory = unsafe { pg_sys::guc_malloc(pg_sys::LOG as i32, size) };
    #[cfg(feature = "pg15")]
    // SAFETY: PostgreSQL 15 frees it with free().
    let memory = unsafe { malloc(size) };
    if !memory.is_null() {
        // SAFETY: at least `size` bytes, aligned for any type as malloc's and palloc's results are.
        unsafe { memory.cast::<T>().write(value) };
    }
    memory
}

#[cfg(feature = "pg15")]
unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_void;
}

/// Keeps everybody from inventing settings below the prefix.
pub fn reserve_prefix(prefix: &CStr) {
    // SAFETY: a NUL-terminated prefix; PostgreSQL copies it.
    unsafe { pg_sys::MarkGUCPrefixReserved(prefix.as_ptr()) };
}
