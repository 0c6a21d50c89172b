//! What a session's work for one tenant leaves behind, and its removal before the next tenant is entered.
//!
//! Temporary tables, cursors WITH HOLD, `lastval` and plans with folded rows outlive a transaction. Whose they may be is
//! remembered by the transactions that were committed, since a rollback brings back what entering removed. What is
//! not removed, by decision: the application's settings, advisory locks, and the statements that the driver
//! prepared (what it listens on is listening.rs's); the view that lists their texts is closed while they may be another tenant's.
//!
//! What SQL's PREPARE made inside a tenant does go: under a name that the application uses it would put that tenant's text
//! into the next tenant's work.

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::hooks::planner;
use crate::pg::{portal, session};
use crate::registry;
use crate::tenant::TenantId;
use std::cell::{Cell, RefCell};

/// Whose rows the session may still hold: in temporary tables, in cursors WITH HOLD, in `lastval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeftBy {
    /// No tenant's.
    Nobody,
    /// This one's.
    Tenant(TenantId),
    /// Several tenants': an administrator worked on them without a tenant.
    Several,
}

thread_local! {
    /// Whose leftovers may still be here, from the transactions before this one.
    static LEFT_BY: Cell<LeftBy> = const { Cell::new(LeftBy::Nobody) };
    /// Whose leftovers this transaction may make: a rollback brings back what entering removed.
    static MADE_BY: Cell<LeftBy> = const { Cell::new(LeftBy::Nobody) };
    /// Whose texts the session's prepared statements may hold: those of all whom it has worked for.
    static PREPARED_BY: Cell<LeftBy> = const { Cell::new(LeftBy::Nobody) };
    /// What SQL's PREPARE made inside a tenant: the statement's name, and whose it is.
    static PREPARED: RefCell<Vec<(String, TenantId)>> = const { RefCell::new(Vec::new()) };
    /// A part of this transaction was rolled back: so may be the removal of what was there before it.
    static IS_PARTLY_UNDONE: Cell<bool> = const { Cell::new(false) };
}

impl LeftBy {
    /// Whether somebody other than that tenant may have left something.
    fn is_another(self, tenant: TenantId) -> bool {
        self != Self::Nobody && self != Self::Tenant(tenant)
    }

    /// Both may have left something.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nobody, one) | (one, Self::Nobody) => one,
            (one, another) if one == another => one,
            _ => Self::Several,
        }
    }
}

/// An administrator reached a tenant's rows without a tenant: what is left of them belongs to nobody's session.
pub fn note_free_access() {
    MADE_BY.set(LeftBy::Several);
    PREPARED_BY.set(LeftBy::Several);
}

/// Whether the texts of prepared statements may be another tenant's than that one's.
pub fn has_foreign_texts(tenant: TenantId) -> bool {
    PREPARED_BY.get().is_another(tenant)
}

/// SQL's PREPARE made a statement inside a tenant.
pub fn note_prepared(name: String, tenant: TenantId) {
    PREPARED.with_borrow_mut(|all| {
        all.retain(|(known, _)| *known != name);
        all.push((name, tenant));
    });
}

/// Drops what SQL's PREPARE made inside other tenants; those that a driver prepared stay.
fn drop_foreign_prepared(entering: TenantId) {
    let foreign: Vec<_> =
        PREPARED.with_borrow_mut(|all| all.extract_if(.., |(_, tenant)| *tenant != entering).collect());
    foreign.iter().for_each(|(name, _)| session::drop_statement_of_sql(name));
}

/// The session's prepared statements are gone.
pub fn forget_texts(active: Option<TenantId>) {
    PREPARED.with_borrow_mut(Vec::clear);
    PREPARED_BY.set(active.map_or(LeftBy::Nobody, LeftBy::Tenant));
}

/// Removes what another tenant left in this session: plans with its rows, cursors WITH HOLD (their rows are stored),
/// temporary tables (they would mask this tenant's), `lastval`.
///
/// # Errors
/// 55006, PostgreSQL's: something of it is being used at this moment.
pub fn clear(entering: TenantId) -> Result<()> {
    planner::forget_plans();
    let is_residue = LEFT_BY.get().is_another(entering) || MADE_BY.get().is_another(entering);
    MADE_BY.set(MADE_BY.get().and(LeftBy::Tenant(entering)));
    PREPARED_BY.set(PREPARED_BY.get().and(LeftBy::Tenant(entering)));
    if PREPARED_BY.get().is_another(entering) {
        drop_foreign_prepared(entering);
    }
    if is_residue {
        if portal::has_ready() {
            registry::open_cursors()?.iter().for_each(|name| portal::close_held_cursor(name));
        }
        session::drop_temporary_tables();
        session::forget_sequences();
    }
    Ok(())
}

/// A transaction has ended: what was made stays, or does not.
pub fn on_transaction_end(is_commit: bool) {
    let is_undone = IS_PARTLY_UNDONE.replace(false) || !is_commit;
    let made = MADE_BY.replace(LeftBy::Nobody);
    if made != LeftBy::Nobody {
        LEFT_BY.set(if is_undone { LEFT_BY.get().and(made) } else { made });
    }
}

/// A subtransaction was rolled back.
pub fn on_subtransaction_abort() {
    IS_PARTLY_UNDONE.set(true);
}
