//! SET, RESET and `set_config()` inside a tenant, as far as the settings' check hooks (guc/locks.rs) do not see them.
//!
//! RESET, SET .. TO DEFAULT and `set_config(.., NULL, ..)` reach no check hook, and an assign hook may not refuse. So the
//! utility hook judges the statements ([`on_reset`], [`on_reset_all`]), and the planner hook puts `plio._set_config()` into the
//! place of `set_config()` (replaced.rs), which judges the call and hands it on; `UPDATE pg_settings` calls it, too. A call
//! that was not exchanged announces itself to the object access hook, and is refused.
//!
//! Whatever a statement sets inside a tenant ends with the tenant: in a transaction's tenant SET, RESET and `set_config()` become SET
//! LOCAL; in a session's tenant it is kept what the setting was before (context/changed.rs). The search_path is free within the
//! tenant's reach, and RESET gives the tenant's own path.

use crate::context::changed;
use crate::denial::{self, Subject};
use crate::error::{Error, Result, or_raise};
use crate::hooks::replaced;
use crate::pg::guc::Lifetime;
use crate::pg::{borrowed, catalog, nodes, raw};
use crate::{cache, context, guc, hooks};
use pgrx::pg_sys::{self, Datum, NodeTag, VariableSetKind as Kind};
use pgrx::prelude::*;
use std::borrow::Cow;

/// `set_config(text, text, boolean)`.
const SET_CONFIG: pg_sys::Oid = pg_sys::Oid::from_u32(pg_sys::F_SET_CONFIG);
const SEARCH_PATH: &str = "search_path";

fn is_search_path(name: &str) -> bool {
    name.eq_ignore_ascii_case(SEARCH_PATH)
}

fn is_tenant(name: &str) -> bool {
    name.eq_ignore_ascii_case("plio.tenant")
}

/// How long a path that is set inside the tenant lasts.
fn lifetime() -> Lifetime {
    if context::is_locked() { Lifetime::Transaction } else { Lifetime::Session }
}

/// RESET or SET .. TO DEFAULT of one setting; true when it has been carried out.
///
/// # Errors
/// 25001.
pub fn on_reset(name: &str) -> Result<bool> {
    if !context::is_active() {
        return Ok(false);
    }
    if is_search_path(name) {
        if let Some(path) = context::own_path() {
            guc::put_path(&path, lifetime());
        }
        return Ok(true);
    }
    ensure_unlocked(name)?;
    Ok(false)
}

/// RESET ALL, which would put back what the tenant locks. A session's tenant has been left before.
///
/// # Errors
/// 25001.
pub fn on_reset_all() -> Result<()> {
    let refusal =
        if context::is_active() { Err(Error::LockedSetting { setting: SEARCH_PATH }) } else { Ok(()) };
    denial::decide(refusal, Subject::Statement)
}

/// Refuses to put back the default of a setting that the active tenant locks.
fn ensure_unlocked(name: &str) -> Result<()> {
    match guc::locked_setting(name) {
        Some("plio.tenant") => denial::decide(Err(context::locked_setting()), Subject::Statement),
        Some(setting) => denial::decide(Err(Error::LockedSetting { setting }), Subject::Statement),
        None => Ok(()),
    }
}

/// A SET as it is to run: a copy that ends with the transaction, or itself.
///
/// # Safety
/// `planned` holds a utility statement that was judged.
pub unsafe fn with_own_lifetime(planned: *mut pg_sys::PlannedStmt) -> *mut pg_sys::PlannedStmt {
    // SAFETY: the caller's promise; the tag says what the statement is.
    unsafe {
        if nodes::tag((*planned).utilityStmt) == NodeTag::T_VariableSetStmt && context::is_locked() {
            made_local(planned)
        } else {
            planned
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn made_local(planned: *mut pg_sys::PlannedStmt) -> *mut pg_sys::PlannedStmt {
    // SAFETY: the caller passes a planned VariableSetStmt; the copy is deep, and nobody else knows of it.
    unsafe {
        let statement = (*planned).utilityStmt.cast::<pg_sys::VariableSetStmt>();
        if (*statement).is_local || settings_of(&*statement).is_empty() {
            return planned;
        }
        let copy = pg_sys::copyObjectImpl(planned.cast()).cast::<pg_sys::PlannedStmt>();
        (*(*copy).utilityStmt.cast::<pg_sys::VariableSetStmt>()).is_local = true;
        copy
    }
}

/// What SET SESSION CHARACTERISTICS may set.
const CHARACTERISTICS: [&str; 3] =
    ["default_transaction_isolation", "default_transaction_read_only", "default_transaction_deferrable"];

/// The settings that the statement changes for the session, unless it is SET LOCAL. RESET ALL leaves the session's tenant, and is
/// refused in a transaction's.
fn settings_of(statement: &pg_sys::VariableSetStmt) -> Vec<Cow<'_, str>> {
    // SAFETY: the name of a SET is NULL or a C string that lives as long as the statement.
    let name = unsafe { borrowed(statement.name) };
    match statement.kind {
        Kind::VAR_SET_VALUE | Kind::VAR_SET_CURRENT | Kind::VAR_SET_DEFAULT | Kind::VAR_RESET => {
            name.into_iter().collect()
        }
        Kind::VAR_SET_MULTI if name.as_deref() == Some("SESSION CHARACTERISTICS") => {
            CHARACTERISTICS.map(Cow::Borrowed).to_vec()
        }
        _ => Vec::new(),
    }
}

/// A SET or RESET of other settings than `plio.tenant` is about to run.
///
/// # Safety
/// `statement` is a VariableSetStmt.
pub unsafe fn note_change(statement: *const pg_sys::VariableSetStmt) {
    // SAFETY: the caller's promise.
    let statement = unsafe { &*statement };
    if context::is_active() && !statement.is_local {
        settings_of(statement)
            .iter()
            .filter(|name| !is_search_path(name))
            .for_each(|name| changed::note(name));
    }
}

/// Refuses a call of `set_config()` that was not exchanged for the checked form.
///
/// # Errors
/// 42501.
pub fn ensure_not_raw() -> Result<()> {
    if replaced::has_checked_form(pg_sys::F_SET_CONFIG) { Err(Error::RawSetConfig) } else { Ok(()) }
}

#[unsafe(no_mangle)]
#[doc(hidden)]
pub extern "C" fn pg_finfo__set_config_wrapper() -> &'static pg_sys::Pg_finfo_record {
    const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}

/// `set_config` with its arguments judged. Not guarded: the original's errors are not ours.
#[unsafe(no_mangle)]
#[doc(hidden)]
pub unsafe extern "C-unwind" fn _set_config_wrapper(call: pg_sys::FunctionCallInfo) -> Datum {
    // SAFETY: plain data only in this frame; the original takes the same three arguments.
    unsafe {
        judge_call(call);
        raw::set_config_by_name(call)
    }
}

/// Refuses what the tenant locks, and gives a search_path the tenant's end. Whoever may not run the original may not run this.
#[pg_guard]
unsafe extern "C-unwind" fn judge_call(call: pg_sys::FunctionCallInfo) {
    catalog::ensure_may_execute(SET_CONFIG, c"set_config");
    if !context::is_active() || !hooks::is_judged() || cache::location().is_none() {
        return;
    }
    // SAFETY: the install script declares three arguments; texts are copied, those put in their place are palloc'd.
    unsafe {
        let [name, value, is_local] = (*call).args.as_mut_slice(3) else { return };
        let Some(name) = (if name.isnull { None } else { String::from_datum(name.value, false) }) else {
            return;
        };
        if is_search_path(&name) {
            if value.isnull
                && let Some(path) = context::own_path().and_then(|path| path.to_string_lossy().into_datum())
            {
                *value = pg_sys::NullableDatum { value: path, isnull: false };
            }
        } else {
            let verdict = if value.isnull { ensure_unlocked(&name) } else { Ok(()) };
            if is_tenant(&name) && (verdict.is_err() || !value.isnull) {
                // A value is refused by PostgreSQL to ordinary roles, by the check hook to the rest.
                context::note_refused_change();
            }
            or_raise(verdict);
            if is_local.isnull || is_local.value.value() == 0 {
                changed::note(&name);
            }
        }
        if context::is_locked() {
            *is_local = pg_sys::NullableDatum { value: true.into(), isnull: false };
        }
    }
}
