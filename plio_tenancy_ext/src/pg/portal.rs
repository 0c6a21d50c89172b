//! Cursors: which are open, and closing those that are held.

use pgrx::pg_sys;
use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// Whether some portal besides the running ones is ready to be fetched from: an open cursor.
///
/// Not by PostgreSQL's `ThereAreNoReadyPortals()`: when there is one, that leaves its scan of the portal table
/// registered, and the hundredth in one transaction makes even the abort fail, which ends the whole server. So the
/// portals are found by their memory contexts: each is named after its portal (`CreatePortal`, portalmem.c).
pub fn has_ready() -> bool {
    let Some(top) = top_portal_context() else { return false };
    // SAFETY: the running portal is NULL or valid; it is not ready to be fetched from, and mostly the only one.
    let running = unsafe { pg_sys::ActivePortal.as_ref() }.map(|portal| portal.portalContext);
    // SAFETY: a memory context's children are a NULL-terminated list of valid contexts.
    let mut child = unsafe { (*top).firstchild };
    while !child.is_null() {
        // SAFETY: as above; names are C strings, and the identifier is the portal's own name or a constant.
        let (name, portal, next) = unsafe { ((*child).name, (*child).ident, (*child).nextchild) };
        // SAFETY: as above.
        if unsafe {
            running != Some(child)
                && !portal.is_null()
                && CStr::from_ptr(name) == c"PortalContext"
                && is_ready(CStr::from_ptr(portal))
        } {
            return true;
        }
        child = next;
    }
    false
}

/// Whether a portal is ready; the protocol's own, which has no name, is told by a constant.
fn is_ready(portal: &CStr) -> bool {
    let is_ready = |name: &CStr| {
        // SAFETY: a NUL-terminated name; the portal is looked at at once.
        unsafe {
            let portal = pg_sys::GetPortalByName(name.as_ptr());
            !portal.is_null() && (*portal).status == pg_sys::PortalStatus::PORTAL_READY
        }
    };
    is_ready(portal) || (portal == c"<unnamed>" && is_ready(c""))
}

/// The parent of all portals' memory contexts, which is there from a backend's start to its end.
fn top_portal_context() -> Option<pg_sys::MemoryContext> {
    static TOP: AtomicPtr<pg_sys::MemoryContextData> = AtomicPtr::new(std::ptr::null_mut());
    let known = TOP.load(Relaxed);
    if !known.is_null() {
        return Some(known);
    }
    // SAFETY: as for the children in `has_ready`.
    unsafe {
        let mut child = (*pg_sys::TopMemoryContext).firstchild;
        while !child.is_null() && CStr::from_ptr((*child).name) != c"TopPortalContext" {
            child = (*child).nextchild;
        }
        TOP.store(child, Relaxed);
        (!child.is_null()).then_some(child)
    }
}

/// `InvalidSubTransactionId`, c.h.
const INVALID_SUBTRANSACTION: pg_sys::SubTransactionId = 0;

/// What an open cursor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// WITH HOLD, of a transaction that has ended: its rows are stored.
    Held,
    /// Of this transaction.
    Open,
    /// Running at this moment, or finished.
    Busy,
}

/// What the cursor of that name is; `None` when there is none.
pub fn cursor_state(name: &str) -> Option<Cursor> {
    let name = CString::new(name).ok()?;
    // SAFETY: a NUL-terminated name; the portal lives while nothing drops it.
    unsafe {
        let portal = pg_sys::GetPortalByName(name.as_ptr());
        if portal.is_null() {
            return None;
        }
        Some(if (*portal).status != pg_sys::PortalStatus::PORTAL_READY {
            Cursor::Busy
        } else if (*portal).createSubid == INVALID_SUBTRANSACTION {
            Cursor::Held
        } else {
            Cursor::Open
        })
    }
}

/// Closes the cursor of that name, if it is held from a transaction that has ended.
pub fn close_held_cursor(name: &str) {
    let Ok(c_name) = CString::new(name) else { return };
    if cursor_state(name) == Some(Cursor::Held) {
        // SAFETY: the portal exists and is not active; as CLOSE does (portalcmds.c).
        unsafe { pg_sys::PortalDrop(pg_sys::GetPortalByName(c_name.as_ptr()), false) };
    }
}
