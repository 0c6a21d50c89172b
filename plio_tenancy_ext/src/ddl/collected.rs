//! What each running utility statement has created, altered and dropped so far, as the object access hook was told.
//!
//! The event triggers take it from here: PostgreSQL's own list (`pg_event_trigger_ddl_commands`) needs a query, and a
//! description of every object. One frame for each utility statement that runs: a statement may run others, and a failed
//! one leaves its frame behind, which the end of its (sub)transaction removes.

use crate::pg::depend::{self, Address};
use crate::pg::{catalog, session};
use crate::registry::ShareRow;
use pgrx::pg_sys::{self, Oid};
use std::cell::RefCell;

/// What one utility statement did.
#[derive(Default)]
pub struct Done {
    /// What it created, and what it altered.
    pub objects: Vec<Touched>,
    /// The columns that it added to tables.
    pub columns: Vec<(Oid, i16)>,
    /// The tables that it gave a default, whose row PostgreSQL does not name.
    pub defaulted: Vec<Oid>,
    /// Shares whose object it dropped.
    pub lost_shares: Vec<ShareRow>,
    /// It dropped an extension.
    pub has_dropped_extension: bool,
}

/// An object that a statement created or altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Its address.
    pub address: Address,
    /// It is new.
    pub is_created: bool,
}

/// What a utility statement is, as far as the extension's own objects are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Kind {
    /// It drops whatever depends on a schema, an extension or an owner.
    WideDrop,
    /// It sets storage parameters, and does nothing else.
    Tuning,
    /// Any other.
    Other,
}

/// A running utility statement.
struct Frame {
    /// The level of subtransactions that it runs at.
    level: i32,
    kind: Kind,
    done: Done,
}

thread_local! {
    static FRAMES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

/// A utility statement begins; gives its place for [`leave`].
pub fn enter(kind: Kind) -> usize {
    let level = session::nest_level();
    FRAMES.with_borrow_mut(|frames| {
        frames.push(Frame { level, kind, done: Done::default() });
        frames.len() - 1
    })
}

/// The utility statement at that place has ended: what no event trigger took is part of what the one around it does.
pub fn leave(place: usize) {
    FRAMES.with_borrow_mut(|frames| {
        let mut rest = Done::default();
        for frame in frames.drain(place.min(frames.len())..) {
            rest.objects.extend(frame.done.objects);
            rest.columns.extend(frame.done.columns);
            rest.defaulted.extend(frame.done.defaulted);
            rest.lost_shares.extend(frame.done.lost_shares);
            rest.has_dropped_extension |= frame.done.has_dropped_extension;
        }
        if let Some(outer) = frames.last_mut() {
            outer.done.objects.append(&mut rest.objects);
            outer.done.columns.append(&mut rest.columns);
            outer.done.defaulted.append(&mut rest.defaulted);
            outer.done.lost_shares.append(&mut rest.lost_shares);
            outer.done.has_dropped_extension |= rest.has_dropped_extension;
        }
    });
}

/// A transaction has ended.
pub fn forget_all() {
    FRAMES.with_borrow_mut(Vec::clear);
}

/// A subtransaction was rolled back: statements that failed in it are over.
pub fn forget_aborted() {
    let level = session::nest_level();
    FRAMES.with_borrow_mut(|frames| frames.retain(|frame| frame.level < level));
}

/// What the running statement is; `None` when it began before the hooks were there.
pub fn kind() -> Option<Kind> {
    FRAMES.with_borrow(|frames| frames.last().map(|frame| frame.kind))
}

/// Notes that the running statement created or altered an object.
pub fn note(touched: Touched) {
    with_current(|done| {
        if done.objects.last() != Some(&touched) {
            done.objects.push(touched);
        }
    });
}

/// Notes that the running statement added a column to that table.
pub fn note_column(table: Oid, column: i16) {
    with_current(|done| done.columns.push((table, column)));
}

/// Notes that the running statement gave a column of that table a default.
pub fn note_default(table: Oid) {
    with_current(|done| done.defaulted.push(table));
}

/// Notes that the running statement dropped what was shared.
pub fn note_lost_share(share: ShareRow) {
    with_current(|done| done.lost_shares.push(share));
}

/// Notes that the running statement dropped an extension.
pub fn note_dropped_extension() {
    with_current(|done| done.has_dropped_extension = true);
}

fn with_current(f: impl FnOnce(&mut Done)) {
    FRAMES.with_borrow_mut(|frames| {
        if let Some(frame) = frames.last_mut() {
            f(&mut frame.done);
        }
    });
}

/// What the running statement created and altered, each object once; `None` when it began before the hooks were there.
///
/// Tables to which the statement only added columns of PostgreSQL's own types are left out. Such a column depends on nothing new, and
/// whether the table may change was judged as the columns were announced. Their defaults, keys and checks are objects of their own.
pub fn take_objects() -> Option<Vec<Touched>> {
    let (mut objects, columns, mut defaulted) = FRAMES.with_borrow_mut(|frames| {
        let Done { objects, columns, defaulted, .. } = &mut frames.last_mut()?.done;
        Some((std::mem::take(objects), std::mem::take(columns), std::mem::take(defaulted)))
    })?;
    for (table, column) in columns {
        if !catalog::is_plain_column(table, column) {
            objects.push(Touched { address: (pg_sys::RelationRelationId, table), is_created: false });
        }
    }
    defaulted.sort_unstable_by_key(|table| table.to_u32());
    defaulted.dedup();
    for default in defaulted.into_iter().flat_map(depend::new_defaults_of) {
        objects.push(Touched { address: (Oid::from(depend::DEFAULT), default), is_created: true });
    }
    // What is new comes first, and so stays.
    objects.sort_unstable_by_key(|touched| {
        (touched.address.0.to_u32(), touched.address.1.to_u32(), !touched.is_created)
    });
    objects.dedup_by_key(|touched| touched.address);
    Some(objects)
}

/// Shares whose object the running statement dropped, and whether it dropped an extension; `None` as above.
pub fn take_dropped() -> Option<(Vec<ShareRow>, bool)> {
    FRAMES.with_borrow_mut(|frames| {
        frames.last_mut().map(|frame| {
            let shares = std::mem::take(&mut frame.done.lost_shares);
            (shares, std::mem::take(&mut frame.done.has_dropped_extension))
        })
    })
}
