//! LISTEN, NOTIFY and `pg_notify()`: inside a tenant they mean the tenant's own channels (channel.rs).
//!
//! A statement runs with the channel's internal name ([`with_own_channel`]). The planner hook replaces `pg_notify()` by
//! `plio._notify()` (replaced.rs), which does the same when it runs. Once a session has listened inside a tenant, each
//! notification is checked on its way to the client: only a session that is still in that tenant gets it, under the plain name.
//!
//! With `plio.enforcement = report` nothing is renamed: the application goes on as before, and the log says what it did.

use crate::denial::{self, Subject};
use crate::error::{Error, Result, or_raise};
use crate::pg::wire::{self, Delivery};
use crate::pg::{borrowed, catalog, nodes};
use crate::{cache, channel, context, guc, hooks};
use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;
use std::ffi::CString;

/// `pg_notify(text, text)`.
const PG_NOTIFY: pg_sys::Oid = pg_sys::Oid::from_u32(pg_sys::F_PG_NOTIFY);

/// Whether this process and database are judged, and refusals raised.
fn is_enforced() -> bool {
    hooks::is_judged() && !guc::is_only_reporting() && cache::location().is_some()
}

/// Judges LISTEN, NOTIFY and UNLISTEN, with a tenant or without.
///
/// # Errors
/// 22023, 42501, 42939.
///
/// # Safety
/// `statement` is a statement of one of these kinds.
pub unsafe fn ensure_allowed(statement: *mut pg_sys::Node) -> Result<()> {
    // SAFETY: the caller's promise.
    let (kind, channel) = unsafe { (nodes::tag(statement), channel_of(statement)) };
    let is_listen = kind == NodeTag::T_ListenStmt;
    let Some(channel) = channel else { return Ok(()) };
    if kind == NodeTag::T_UnlistenStmt && !context::is_active() {
        return Ok(());
    }
    if is_listen && context::is_locked() {
        return Err(Error::ListenInTransaction);
    }
    // SAFETY: as above.
    ensure_channel(&channel, || unsafe { nodes::command_name(statement) }).map(drop)
}

/// The channel's internal name; `None` where that is the name that was given.
fn ensure_channel(channel: &str, tag: impl Fn() -> String) -> Result<Option<String>> {
    let Some(tenant) = context::active_tenant() else {
        return if channel::is_reserved(channel) { Err(Error::ReservedChannel) } else { Ok(None) };
    };
    if context::is_visit() {
        return Err(Error::StatementRefused { tag: tag() });
    }
    if guc::is_only_reporting() {
        return Err(Error::ChannelOfTenant { tag: tag() });
    }
    channel::of_tenant(tenant, channel).map(Some).ok_or_else(|| Error::BadArgument {
        message: "channel name too long".to_owned(),
        hint: "Inside a tenant the name beneath holds the tenant's key, too: use 40 bytes at most.",
    })
}

/// The channel that a statement names; `None` for UNLISTEN * and other statements.
unsafe fn channel_of(statement: *mut pg_sys::Node) -> Option<String> {
    // SAFETY: the caller passes a node, and the tag says of which kind.
    unsafe {
        let name = match nodes::tag(statement) {
            NodeTag::T_ListenStmt => (*statement.cast::<pg_sys::ListenStmt>()).conditionname,
            NodeTag::T_NotifyStmt => (*statement.cast::<pg_sys::NotifyStmt>()).conditionname,
            NodeTag::T_UnlistenStmt => (*statement.cast::<pg_sys::UnlistenStmt>()).conditionname,
            _ => return None,
        };
        borrowed(name).map(std::borrow::Cow::into_owned)
    }
}

/// The statement as it is to run: a copy with the tenant's channel, or itself.
///
/// # Safety
/// `planned` holds a utility statement that was judged.
pub unsafe fn with_own_channel(planned: *mut pg_sys::PlannedStmt) -> *mut pg_sys::PlannedStmt {
    // SAFETY: the caller's promise.
    match unsafe { nodes::tag((*planned).utilityStmt) } {
        NodeTag::T_ListenStmt | NodeTag::T_NotifyStmt | NodeTag::T_UnlistenStmt => {
            // SAFETY: as above.
            unsafe { renamed(planned) }
        }
        _ => planned,
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn renamed(planned: *mut pg_sys::PlannedStmt) -> *mut pg_sys::PlannedStmt {
    // SAFETY: the caller passes a planned utility statement of one of the three kinds.
    let (statement, plain) = unsafe { ((*planned).utilityStmt, channel_of((*planned).utilityStmt)) };
    let Some(plain) = plain else {
        context::listening::note_unlisten_all();
        return planned;
    };
    if !is_enforced() {
        return planned;
    }
    let Some(tenant) = context::active_tenant() else { return planned };
    let name = channel::of_tenant(tenant, &plain).and_then(|name| CString::new(name).ok());
    let Some(name) = name else { return planned };
    // SAFETY: a deep copy of the statement, of which nobody else knows; the name is copied into PostgreSQL's memory.
    unsafe {
        let copy = pg_sys::copyObjectImpl(planned.cast()).cast::<pg_sys::PlannedStmt>();
        let (node, name) = ((*copy).utilityStmt, pg_sys::pstrdup(name.as_ptr()));
        match nodes::tag(statement) {
            NodeTag::T_ListenStmt => {
                (*node.cast::<pg_sys::ListenStmt>()).conditionname = name;
                context::listening::note_listen(tenant, plain);
                wire::watch_notifications(deliver);
            }
            NodeTag::T_NotifyStmt => (*node.cast::<pg_sys::NotifyStmt>()).conditionname = name,
            _ => {
                (*node.cast::<pg_sys::UnlistenStmt>()).conditionname = name;
                context::listening::note_unlisten(tenant, plain);
            }
        }
        copy
    }
}

/// `pg_notify` on the tenant's channel. Whoever may not run the original may not run this.
#[pg_extern(volatile, parallel_restricted)]
fn _notify(name: Option<&str>, payload: Option<&str>) {
    catalog::ensure_may_execute(PG_NOTIFY, c"pg_notify");
    let mut own = None;
    // An empty name is refused by the original.
    if let Some(plain) = name.filter(|name| !name.is_empty())
        && hooks::is_judged()
        && or_raise(hooks::has_registry())
    {
        let verdict = ensure_channel(plain, || "pg_notify()".to_owned()).map(|name| own = name);
        or_raise(denial::decide(verdict, Subject::Statement));
    }
    let arguments = [own.as_deref().or(name).into_datum(), payload.into_datum()];
    // SAFETY: calls PostgreSQL's own function with the arguments that it takes, NULL included.
    unsafe { pgrx::direct_function_call_as_datum(pg_sys::pg_notify, &arguments) };
}

/// What becomes of a notification that is on its way to the client.
fn deliver(name: &[u8]) -> Delivery<'_> {
    match channel::split(name) {
        None => Delivery::AsItIs,
        Some((tenant, plain)) if context::listening::may_hear(tenant) => Delivery::As(plain),
        Some(_) => Delivery::Never,
    }
}
