//! Cursors: which are open, and closing those that are held. Runs no query: hooks ask, in the middle of anything.
//!
//! Not by PostgreSQL's `ThereAreNoReadyPortals()`: when there is one, that leaves its scan of the portal table
//! registered, and the hundredth in one transaction makes even the abort fail, which ends the whole server. So the
//! portals are found by their memory contexts: each is named after its portal (`CreatePortal`, portalmem.c).

use super::owned;
use pgrx::pg_sys;
use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// `InvalidSubTransactionId`, c.h.
const INVALID_SUBTRANSACTION: pg_sys::SubTransactionId = 0;

/// What an open cursor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// Of this transaction.
    Open,
    /// WITH HOLD, of a transaction that has ended: its rows are stored.
    Held,
    /// The loop of a procedure over a query, of a transaction that has ended: its rows are stored. Only the loop ends it.
    Loop,
}

/// Whether some portal besides the running ones is ready to be fetched from: an open cursor. Mostly there is but the
/// running one.
pub fn has_ready() -> bool {
    // SAFETY: the running portal is NULL or valid; it is not ready to be fetched from.
    let running = unsafe { pg_sys::ActivePortal.as_ref() }.map(|portal| portal.portalContext);
    contexts().any(|context| running != Some(context) && ready(context).is_some())
}

/// Whether there is a cursor of that kind.
pub fn has_cursor(is_wanted: impl Fn(Cursor) -> bool) -> bool {
    contexts().filter_map(ready).any(|portal| is_wanted(kind(portal)))
}

/// Whether the portal that is running is a cursor WITH HOLD of a transaction that has ended.
pub fn is_running_held() -> bool {
    // SAFETY: the running portal is NULL or valid.
    unsafe { pg_sys::ActivePortal.as_ref() }.is_some_and(|portal| {
        portal.createSubid == INVALID_SUBTRANSACTION
            && portal.cursorOptions & pg_sys::CURSOR_OPT_HOLD as i32 != 0
    })
}

/// Closes every cursor that is held from a transaction that has ended, but for the loops of procedures.
pub fn close_held_cursors() {
    // Closing one removes its context from the list: one at a time, from the start.
    while let Some(portal) = contexts().filter_map(ready).find(|portal| kind(*portal) == Cursor::Held) {
        // SAFETY: the portal is there and not active; as CLOSE does (portalcmds.c).
        unsafe { pg_sys::PortalDrop(portal, false) };
    }
}

/// The names of the loops of procedures that go on with stored rows. PostgreSQL gives no name twice while it is in use.
pub fn loops() -> Vec<String> {
    contexts()
        .filter_map(ready)
        .filter(|portal| kind(*portal) == Cursor::Loop)
        // SAFETY: a portal's name is a C string.
        .filter_map(|portal| unsafe { owned((*portal).name) })
        .collect()
}

fn kind(portal: pg_sys::Portal) -> Cursor {
    // SAFETY: the portal is there: nothing was dropped since it was found.
    let (is_of_transaction, is_pinned) =
        unsafe { ((*portal).createSubid != INVALID_SUBTRANSACTION, (*portal).portalPinned) };
    match (is_of_transaction, is_pinned) {
        (true, _) => Cursor::Open,
        (false, false) => Cursor::Held,
        (false, true) => Cursor::Loop,
    }
}

/// The memory contexts of all portals.
fn contexts() -> impl Iterator<Item = pg_sys::MemoryContext> {
    // SAFETY: a memory context's children are a NULL-terminated list of valid contexts.
    let first = top_portal_context().map_or(std::ptr::null_mut(), |top| unsafe { (*top).firstchild });
    let some = |context: pg_sys::MemoryContext| (!context.is_null()).then_some(context);
    // SAFETY: as above.
    std::iter::successors(some(first), move |context| some(unsafe { (**context).nextchild }))
}

/// The portal of that memory context, if it is ready to be fetched from. The protocol's own, which has no name, is told by a
/// constant.
fn ready(context: pg_sys::MemoryContext) -> Option<pg_sys::Portal> {
    // SAFETY: names are C strings, and the identifier is the portal's own name or a constant.
    let (name, portal) = unsafe { ((*context).name, (*context).ident) };
    // SAFETY: as above.
    if portal.is_null() || unsafe { CStr::from_ptr(name) } != c"PortalContext" {
        return None;
    }
    // SAFETY: as above.
    let name = unsafe { CStr::from_ptr(portal) };
    let find = |name: &CStr| {
        // SAFETY: a NUL-terminated name; NULL when there is none.
        unsafe {
            let portal = pg_sys::GetPortalByName(name.as_ptr());
            let is_it = !portal.is_null()
                && (*portal).portalContext == context
                && (*portal).status == pg_sys::PortalStatus::PORTAL_READY;
            is_it.then_some(portal)
        }
    };
    find(name).or_else(|| if name == c"<unnamed>" { find(c"") } else { None })
}

/// The parent of all portals' memory contexts, which is there from a backend's start to its end.
fn top_portal_context() -> Option<pg_sys::MemoryContext> {
    static TOP: AtomicPtr<pg_sys::MemoryContextData> = AtomicPtr::new(std::ptr::null_mut());
    let known = TOP.load(Relaxed);
    if !known.is_null() {
        return Some(known);
    }
    // SAFETY: as for the children in `contexts`.
    unsafe {
        let mut child = (*pg_sys::TopMemoryContext).firstchild;
        while !child.is_null() && CStr::from_ptr((*child).name) != c"TopPortalContext" {
            child = (*child).nextchild;
        }
        TOP.store(child, Relaxed);
        (!child.is_null()).then_some(child)
    }
}
