//! What a session's work for one tenant leaves behind, and its removal: when the tenant ends, and before the next is entered.
//!
//! | left behind | in a transaction's tenant | in a session's tenant |
//! | --- | --- | --- |
//! | cursors WITH HOLD | cannot be declared | closed on leaving |
//! | temporary objects | gone at COMMIT (temporary.rs) | dropped on leaving |
//! | temporary sequences of before, after ROLLBACK | dropped on entering another tenant (temporary.rs) | dropped on leaving |
//! | `lastval`, `currval` | forgotten at the end (guc/tenant.rs) | the same |
//! | what SQL's PREPARE made | dropped at the end (prepared.rs) | the same |
//! | plans with folded values | made anew (planner.rs) | the same |
//! | other constants with folded values | forgotten at the end (folded.rs) | the same |
//! | settings | SET is SET LOCAL (hooks/settings.rs) | put back on leaving (changed.rs) |
//! | the state of `random()` | begun anew at the end (random.rs) | the same |
//! | LISTEN | cannot be said | ends on leaving (listening.rs) |
//!
//! An administrator without a tenant may read every tenant's rows: what such work leaves is removed on entering. A rollback
//! brings back what was removed, so whose it may be is remembered until then. Not removed, by decision: settings that
//! were made without a tenant, advisory locks, and the statements that the driver prepared; the view that lists their texts is closed while they
//! may be another tenant's. The loop of a procedure over a query goes on after its COMMIT with stored rows: while the rows of
//! one tenant are in it, no other tenant can be entered.

#![forbid(unsafe_code)]

use super::prepared;
use crate::error::{Error, Result};
use crate::hooks::{held, planner};
use crate::pg::portal::Cursor;
use crate::pg::{portal, session};
use crate::tenant::TenantId;
use std::cell::{Cell, RefCell};

/// Whose rows the session may still hold: in temporary tables, in cursors WITH HOLD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeftBy {
    /// No tenant's.
    Nobody,
    /// This one's.
    Tenant(TenantId),
    /// Several tenants': an administrator worked on them without a tenant.
    Several,
}

/// A loop that goes on after a COMMIT inside a tenant: its portal's name, and whose rows it holds.
type Loop = (String, TenantId);

thread_local! {
    /// Whose leftovers may still be here, from the transactions before this one.
    static LEFT_BY: Cell<LeftBy> = const { Cell::new(LeftBy::Nobody) };
    /// Whose leftovers this transaction may make, all in all.
    static MADE_BY: Cell<LeftBy> = const { Cell::new(LeftBy::Nobody) };
    /// The same since this transaction removed everything.
    static MADE_SINCE: Cell<LeftBy> = const { Cell::new(LeftBy::Nobody) };
    /// This transaction removed everything, and no rollback to a savepoint has brought it back.
    static IS_CLEARED: Cell<bool> = const { Cell::new(false) };
    /// Whose texts the session's prepared statements may hold: those of all whom it has worked for.
    static PREPARED_BY: Cell<LeftBy> = const { Cell::new(LeftBy::Nobody) };
    /// The loops that were there when the tenant was entered.
    static LOOPS_BEFORE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// The loops whose rows were stored inside a tenant.
    static LOOPS: RefCell<Vec<Loop>> = const { RefCell::new(Vec::new()) };
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

fn note(who: LeftBy) {
    MADE_BY.set(MADE_BY.get().and(who));
    MADE_SINCE.set(MADE_SINCE.get().and(who));
}

/// An administrator reached a tenant's rows without a tenant: what is left of them belongs to nobody's session.
pub fn note_free_access() {
    note(LeftBy::Several);
    PREPARED_BY.set(LeftBy::Several);
}

/// A session's tenant is being worked in: what it leaves stays until the tenant is left.
pub fn note_session(tenant: TenantId) {
    note(LeftBy::Tenant(tenant));
}

/// Whether the texts of prepared statements may be another tenant's than that one's.
pub fn has_foreign_texts(tenant: TenantId) -> bool {
    PREPARED_BY.get().is_another(tenant)
}

/// The session's prepared statements are gone.
pub fn forget_texts(active: Option<TenantId>) {
    prepared::forget();
    PREPARED_BY.set(active.map_or(LeftBy::Nobody, LeftBy::Tenant));
}

/// Removes what another tenant, or an administrator without one, left in this session: plans with its values, cursors WITH
/// HOLD, temporary tables (they would mask this tenant's).
///
/// # Errors
/// 25001: a loop holds another tenant's rows. Raises PostgreSQL's 55006 when something of it is in use.
pub fn clear(entering: TenantId) -> Result<()> {
    planner::forget_plans();
    PREPARED_BY.set(PREPARED_BY.get().and(LeftBy::Tenant(entering)));
    ensure_no_foreign_loop(entering)?;
    let is_left = !IS_CLEARED.get() && LEFT_BY.get().is_another(entering);
    if is_left || MADE_SINCE.get().is_another(entering) {
        remove();
    }
    Ok(())
}

/// A session's tenant is left: the same for what it left itself.
pub fn leave() {
    planner::forget_plans();
    let is_left = !IS_CLEARED.get() && LEFT_BY.get() != LeftBy::Nobody;
    if is_left || MADE_SINCE.get() != LeftBy::Nobody {
        remove();
    }
}

fn remove() {
    portal::close_held_cursors();
    session::drop_temporary_objects();
    session::forget_sequences();
    IS_CLEARED.set(true);
    MADE_SINCE.set(LeftBy::Nobody);
}

fn ensure_no_foreign_loop(entering: TenantId) -> Result<()> {
    let loops = if portal::has_ready() { portal::loops() } else { Vec::new() };
    let is_foreign = LOOPS.with_borrow_mut(|known| {
        known.retain(|(name, _)| loops.contains(name));
        known.iter().any(|(_, tenant)| *tenant != entering)
    });
    if is_foreign {
        return Err(Error::OpenCursors);
    }
    LOOPS_BEFORE.set(loops);
    Ok(())
}

/// The transaction is about to be committed: the loops that go on hold the active tenant's rows, unless they began before.
pub fn on_commit() {
    let Some(tenant) = super::active_tenant().filter(|_| portal::has_ready()) else { return };
    if portal::has_cursor(|cursor| cursor == Cursor::Held) {
        held::watch();
    }
    let mut loops = portal::loops();
    LOOPS_BEFORE.with_borrow(|before| loops.retain(|name| !before.contains(name)));
    LOOPS.with_borrow_mut(|known| {
        loops.retain(|name| known.iter().all(|(one, _)| one != name));
        known.extend(loops.into_iter().map(|name| (name, tenant)));
    });
}

/// A transaction has ended: what was made stays, or does not.
pub fn on_transaction_end(is_commit: bool) {
    let (made, since) = (MADE_BY.replace(LeftBy::Nobody), MADE_SINCE.replace(LeftBy::Nobody));
    let is_cleared = IS_CLEARED.replace(false);
    LEFT_BY.set(match (is_commit, is_cleared) {
        (true, true) => since,
        (true, false) => LEFT_BY.get().and(since),
        (false, _) => LEFT_BY.get().and(made),
    });
}

/// A subtransaction was rolled back, and perhaps the removal with it.
pub fn on_subtransaction_abort() {
    IS_CLEARED.set(false);
    MADE_SINCE.set(MADE_BY.get());
}
