//! Messages on their way to the client: those that carry a notification, and rows.
//!
//! PostgreSQL sends through a table of functions (`PqCommMethods`, libpq.h), which it exchanges itself in parallel workers.
//! Ours stands in front of one of them, from the moment on when a session needs it (its first LISTEN inside a tenant, its first
//! cursor WITH HOLD there), and touches no other message.

use pgrx::prelude::*;
use std::ffi::{c_char, c_int};
use std::sync::OnceLock;

/// The type of a NotificationResponse (protocol.h).
const NOTIFICATION: c_char = b'A' as c_char;
/// The type of a DataRow.
const ROW: c_char = b'D' as c_char;
/// In a notification the sender's process id comes before the channel, the payload and a NUL after each.
const PID_BYTES: usize = 4;

/// What becomes of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery<'a> {
    /// The client gets it.
    AsItIs,
    /// The client gets it as one on that channel.
    As(&'a [u8]),
    /// The client does not get it.
    Never,
}

/// What is asked about a notification on that channel; the name is in the client's encoding.
pub type Deliver = fn(&[u8]) -> Delivery<'_>;

/// `PQcommMethods` (libpq.h), the same from 15 to 18.
#[repr(C)]
#[derive(Clone, Copy)]
struct Methods {
    comm_reset: unsafe extern "C-unwind" fn(),
    flush: unsafe extern "C-unwind" fn() -> c_int,
    flush_if_writable: unsafe extern "C-unwind" fn() -> c_int,
    is_send_pending: unsafe extern "C-unwind" fn() -> bool,
    put_message: unsafe extern "C-unwind" fn(c_char, *const c_char, usize) -> c_int,
    put_message_noblock: unsafe extern "C-unwind" fn(c_char, *const c_char, usize),
}

unsafe extern "C-unwind" {
    /// pqcomm.c: the table in use. Not in pgrx's bindings.
    static mut PqCommMethods: *const Methods;
}

/// What is asked about a row.
#[derive(Clone, Copy)]
pub struct Rows {
    /// Whether `judge` is to be asked; never raises.
    pub is_due: fn() -> bool,
    /// Raises an error in the row's place, or does nothing.
    pub judge: fn(),
}

/// The table that was there before, and ours.
struct Watching {
    previous: Methods,
    ours: Methods,
}

/// Set once in a process, and never freed.
static WATCHING: OnceLock<Watching> = OnceLock::new();
static DELIVER: OnceLock<Deliver> = OnceLock::new();
static ROWS: OnceLock<Rows> = OnceLock::new();

/// From now on `deliver` is asked about every notification of this session. A second call does nothing.
pub fn watch_notifications(deliver: Deliver) {
    DELIVER.get_or_init(|| deliver);
    stand_in_front();
}

/// From now on every row of this session is judged. A second call does nothing.
pub fn watch_rows(rows: Rows) {
    ROWS.get_or_init(|| rows);
    stand_in_front();
}

fn stand_in_front() {
    if WATCHING.get().is_some() {
        return;
    }
    // SAFETY: one thread; the table in use is always valid.
    let previous = unsafe { *PqCommMethods };
    let watching = WATCHING.get_or_init(|| Watching { previous, ours: Methods { put_message, ..previous } });
    // SAFETY: one thread; the new table lives as long as the process.
    unsafe { PqCommMethods = &raw const watching.ours };
}

#[pg_guard]
unsafe extern "C-unwind" fn judge(rows: &Rows) {
    (rows.judge)();
}

unsafe extern "C-unwind" fn put_message(kind: c_char, body: *const c_char, length: usize) -> c_int {
    // In use only once WATCHING is set.
    let Some(watching) = WATCHING.get() else { return 0 };
    // SAFETY: the arguments are PostgreSQL's and handed on as they came.
    unsafe {
        if kind == NOTIFICATION {
            return put_notification(watching, body, length);
        }
        if kind == ROW
            && let Some(rows) = ROWS.get()
            && (rows.is_due)()
        {
            judge(rows);
        }
        (watching.previous.put_message)(kind, body, length)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn put_notification(
    watching: &Watching,
    body: *const c_char,
    length: usize,
) -> c_int {
    // SAFETY: the body has that many bytes, and lives until this returns.
    let message = unsafe { std::slice::from_raw_parts(body.cast::<u8>(), length) };
    let send = |body: *const c_char, length| {
        // SAFETY: a message of PostgreSQL's, or one of its shape, of that length.
        unsafe { (watching.previous.put_message)(NOTIFICATION, body, length) }
    };
    let Some(deliver) = DELIVER.get() else { return send(body, length) };
    let Some((pid, rest)) = message.split_at_checked(PID_BYTES) else { return send(body, length) };
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let (channel, payload) = rest.split_at(end);
    match deliver(channel) {
        Delivery::Never => 0,
        Delivery::AsItIs => send(body, length),
        Delivery::As(channel) => {
            let message = [pid, channel, payload].concat();
            send(message.as_ptr().cast(), message.len())
        }
    }
}
