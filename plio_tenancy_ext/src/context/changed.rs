//! Settings that statements change inside a tenant: each is afterwards what it was before.
//!
//! In a transaction's tenant SET is SET LOCAL (hooks/settings.rs), and PostgreSQL puts the value back. A session's tenant lasts
//! for many transactions: here is kept what each setting was in the session before its first change, until the tenant is left.
//! What a rollback undoes may stay here; putting it back then changes nothing. Kept by state, because a rollback may bring back
//! a tenant that was left, or never entered.

#![forbid(unsafe_code)]

use super::state;
use crate::guc::locked_setting;
use crate::pg::guc::{self, Before};
use crate::pg::session;
use std::cell::{Cell, RefCell};

/// A setting that was changed, under a state, and what it was.
#[derive(Clone)]
struct Change {
    serial: u64,
    name: String,
    before: Before,
}

thread_local! {
    static CHANGES: RefCell<Vec<Change>> = const { RefCell::new(Vec::new()) };
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
        if !changes.iter().any(|known| known.serial == serial && known.name == name) {
            let before = guc::before(&name);
            changes.push(Change { serial, name, before });
        }
    });
}

/// The session's tenant is about to be left. Not as the tenant's role, which may be refused a value of before (`temp_tablespaces`).
pub(super) fn put_back() {
    settle();
    let serial = state::current().serial;
    let changes: Vec<_> = CHANGES
        .with_borrow(|changes| changes.iter().filter(|change| change.serial == serial).cloned().collect());
    if !changes.is_empty() {
        session::as_superuser(|| {
            changes.iter().for_each(|change| guc::put_back(&change.name, &change.before));
        });
    }
}

/// The session's tenant has been entered once more: under a new state, with the same changes.
pub(super) fn go_on(before: u64) {
    let serial = state::current().serial;
    CHANGES.with_borrow_mut(|changes| {
        let again: Vec<_> = changes.iter().filter(|change| change.serial == before).cloned().collect();
        changes.extend(again.into_iter().map(|change| Change { serial, ..change }));
    });
}

/// Forgets, once in a transaction and before its first change of the state, what belongs to states that no rollback brings back.
pub(super) fn settle() {
    if IS_OVERDUE.replace(false) {
        let serial = state::current().serial;
        CHANGES.with_borrow_mut(|changes| changes.retain(|change| change.serial == serial));
    }
}

/// A transaction has ended.
pub(super) fn on_transaction_end() {
    IS_OVERDUE.set(CHANGES.with_borrow(|changes| !changes.is_empty()));
}
