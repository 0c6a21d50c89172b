//! The channels that a session listens on for its tenants.
//!
//! LISTEN is the session's, so it is for a session's tenant (`SET plio.tenant`), and ends when the session leaves that tenant:
//! in the same transaction, undone with it. What arrives is given to the client only while the session is in that very
//! tenant and may still enter it ([`may_hear`]).
//!
//! What is remembered here may be more than what PostgreSQL listens on, never less: a rollback to a savepoint undoes a
//! LISTEN that stays here until UNLISTEN or the next tenant.

#![forbid(unsafe_code)]

use super::state::{self, Scope};
use crate::cache;
use crate::channel;
use crate::pg::{lock, session};
use crate::tenant::{Org, Status, TenantId};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// What LISTEN and UNLISTEN did to the names that are listened on.
#[derive(Debug)]
enum Change {
    Listen(TenantId, String),
    Unlisten(TenantId, String),
    UnlistenAll,
}

thread_local! {
    /// The tenants' channels that the transactions before this one listened on: plain names.
    static LISTENED: RefCell<BTreeSet<(TenantId, String)>> = const { RefCell::new(BTreeSet::new()) };
    /// What this transaction did so far, in order.
    static CHANGES: RefCell<Vec<Change>> = const { RefCell::new(Vec::new()) };
    /// A part of this transaction was rolled back, and perhaps an UNLISTEN with it.
    static IS_PARTLY_UNDONE: Cell<bool> = const { Cell::new(false) };
}

/// LISTEN is about to run in that tenant.
pub fn note_listen(tenant: TenantId, channel: String) {
    CHANGES.with_borrow_mut(|changes| changes.push(Change::Listen(tenant, channel)));
}

/// UNLISTEN is about to run: of one channel of that tenant's.
pub fn note_unlisten(tenant: TenantId, channel: String) {
    CHANGES.with_borrow_mut(|changes| changes.push(Change::Unlisten(tenant, channel)));
}

/// UNLISTEN * or DISCARD ALL is about to run.
pub fn note_unlisten_all() {
    CHANGES.with_borrow_mut(|changes| {
        // What came before stays: a savepoint's rollback may take this one back.
        if !matches!(changes.last(), Some(Change::UnlistenAll)) {
            changes.push(Change::UnlistenAll);
        }
    });
}

/// Whether the session listens, or may, on a channel of another tenant's than that one.
pub fn is_foreign(tenant: TenantId) -> bool {
    LISTENED.with_borrow(|names| names.iter().any(|(other, _)| *other != tenant))
        || CHANGES.with_borrow(|changes| {
            changes.iter().any(|change| matches!(change, Change::Listen(other, _) if *other != tenant))
        })
}

/// The session leaves its tenant: it listens on no tenant's channel any more, once the transaction is committed.
pub(super) fn leave() {
    let mut names = LISTENED.with_borrow(BTreeSet::clone);
    CHANGES.with_borrow(|changes| {
        names.extend(changes.iter().filter_map(|change| match change {
            Change::Listen(tenant, channel) => Some((*tenant, channel.clone())),
            _ => None,
        }));
    });
    for (tenant, channel) in names {
        if let Some(name) = channel::of_tenant(tenant, &channel) {
            session::unlisten(&name);
        }
        note_unlisten(tenant, channel);
    }
}

/// A transaction has ended.
pub(super) fn on_transaction_end(is_commit: bool) {
    let is_partly_undone = IS_PARTLY_UNDONE.replace(false);
    let changes = CHANGES.take();
    if !is_commit || changes.is_empty() {
        return;
    }
    LISTENED.with_borrow_mut(|names| {
        for change in changes {
            match change {
                Change::Listen(tenant, channel) => {
                    names.insert((tenant, channel));
                }
                _ if is_partly_undone => {}
                Change::Unlisten(tenant, channel) => {
                    names.remove(&(tenant, channel));
                }
                Change::UnlistenAll => names.clear(),
            }
        }
    });
}

/// A subtransaction was rolled back.
pub(super) fn on_subtransaction_abort() {
    IS_PARTLY_UNDONE.set(true);
}

/// Whether the session may be told, now, what was sent in that tenant: it is in it, and could enter it again. What other
/// sessions have committed up to now counts. An idle session is asked, which nobody could wake from a wait: where the
/// registry cannot be read at once, it is told nothing.
pub fn may_hear(sent_in: TenantId) -> bool {
    let here = state::current();
    if !state::is_active() || here.scope != Scope::Session || here.tenant != sent_in || state::is_spoilt() {
        return false;
    }
    session::accept_invalidations();
    let relations = cache::location().map(|registry| registry.relations());
    if !relations.is_some_and(|relations| lock::try_read(&relations)) {
        return false;
    }
    let Some(org) = super::active_org().and_then(|org| Org::parse(&org).ok()) else { return false };
    cache::tenant(&org).is_some_and(|tenant| {
        tenant.id == sent_in
            && tenant.schema == state::active_schema()
            && tenant.status == Status::Active
            && !tenant.has_lost_role
            && cache::may_enter(super::user(), &tenant)
    })
}
