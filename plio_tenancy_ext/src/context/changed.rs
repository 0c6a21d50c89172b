//! Settings that statements change inside a tenant: each is afterwards what it was before.
//!
//! In a transaction's tenant SET is SET LOCAL (hooks/settings.rs), and PostgreSQL puts the value back. A session's tenant lasts
//! for many transactions: here is kept what each setting was in the session before its first change, until the tenant is left.
//! What a rollback undoes may stay here; putting it back then changes nothing. Kept by state, because a rollback may bring back
//! a tenant that was left, or never entered.

#![forbid(unsafe_code)]

use super::state;
use crate::guc::locked_setting;
use crate::pg::guc::{self, Before, Lifetime};
use crate::pg::session;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// The settings that were changed under a state, by name, and what each was. The same tenant entered once more shares them.
struct Changes {
    serial: u64,
    settings: Rc<HashMap<String, Before>>,
}

thread_local! {
    static CHANGES: RefCell<Vec<Changes>> = const { RefCell::new(Vec::new()) };
    /// A transaction has ended since the list was looked through.
    static IS_OVERDUE: Cell<bool> = const { Cell::new(false) };
}

/// A statement is about to change a setting for the session. What the tenant locks is refused, and put back by nobody.
pub fn note(name: &str) {
    if !super::is_active() || super::is_locked() || locked_setting(name).is_some() {
        return;
    }
    settle();
    let serial = state::current().serial;
    let name = guc::own_name(name);
    CHANGES.with_borrow_mut(|changes| {
        if changes.last().is_none_or(|last| last.serial != serial) {
            let settings = of(changes, serial).unwrap_or_default();
            changes.push(Changes { serial, settings });
        }
        if let Some(last) = changes.last_mut()
            && !last.settings.contains_key(&name)
        {
            let before = guc::before(&name);
            Rc::make_mut(&mut last.settings).insert(name, before);
        }
    });
}

/// What was changed under a state; the newest entry has the whole of it.
fn of(changes: &[Changes], serial: u64) -> Option<Rc<HashMap<String, Before>>> {
    changes.iter().rev().find(|known| known.serial == serial).map(|known| Rc::clone(&known.settings))
}

/// The session's tenant is about to be left, or another to be entered for the transaction. Not as the tenant's role, which may be refused a value of before (`temp_tablespaces`).
pub(super) fn put_back(lifetime: Lifetime) {
    settle();
    let serial = state::current().serial;
    if let Some(settings) = CHANGES.with_borrow(|changes| of(changes, serial)) {
        session::as_superuser(|| {
            settings.iter().for_each(|(name, before)| guc::put_back(name, before, lifetime))
        });
    }
}

/// The session's tenant has been entered once more: under a new state, with the same changes.
pub(super) fn go_on(before: u64) {
    let serial = state::current().serial;
    CHANGES.with_borrow_mut(|changes| {
        if let Some(settings) = of(changes, before) {
            changes.push(Changes { serial, settings });
        }
    });
}

/// Forgets, once in a transaction and before its first change of the state, what belongs to states that no rollback brings back.
pub(super) fn settle() {
    if IS_OVERDUE.replace(false) {
        let serial = state::current().serial;
        CHANGES.with_borrow_mut(|changes| changes.retain(|known| known.serial == serial));
    }
}

/// A transaction has ended.
pub(super) fn on_transaction_end() {
    IS_OVERDUE.set(CHANGES.with_borrow(|changes| !changes.is_empty()));
}
