//! Objects as they are dropped, altered, truncated and (some) created: the half of the object access hook about DDL.
//!
//! Inside a tenant all of them lie in its schema, or are temporary. Without one an ordinary role reaches none in a tenant's
//! schema. PostgreSQL announces each object, those included that go along by CASCADE, as parts, or in an owner's name
//! (DROP OWNED, REASSIGN OWNED). What is announced as internal (a table's storage is exchanged) follows from a
//! statement that is judged as such. The row of a new object cannot be seen yet: the event triggers judge it (ddl.rs), or,
//! where they are turned off, its dependencies here. The objects of the extension itself are house.rs's.

use super::ensure_code;
use crate::ddl::collected::{self, Touched};
use crate::error::{Error, Result};
use crate::hooks::check_perms::judge;
use crate::pg::depend::{self, Address};
use crate::pg::{catalog, session};
use crate::policy::{self, Access, Verdict};
use crate::{cache, context, house, lifecycle};
use pgrx::pg_sys::{self, Oid};
use std::ffi::c_void;

/// Catalogs whose rows PostgreSQL announces by the oid of their relation.
const INHERITS: u32 = 2611;
const INDEX: u32 = 2610;
const FOREIGN_TABLE: u32 = 3118;
/// pg_largeobject: no schema, and privileges of its own.
const LARGE_OBJECT: u32 = 2613;

/// What is announced.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Created,
    Altered,
    /// Dropped: quietly, if it is what a session left in its temporary schema; internally, if PostgreSQL made it only for the
    /// statement, or makes it anew.
    Dropped {
        is_quiet: bool,
        is_internal: bool,
    },
    Truncated,
}

/// The event, if it is one of this module; `None` for what is announced as internal.
///
/// # Safety
/// The argument is the one that PostgreSQL passes for that kind of access, or NULL.
pub unsafe fn event(access: pg_sys::ObjectAccessType::Type, argument: *mut c_void) -> Option<Event> {
    use pg_sys::ObjectAccessType as Type;
    // SAFETY: the caller's promise (objectaccess.h).
    unsafe {
        match access {
            Type::OAT_POST_CREATE => Some(Event::Created),
            Type::OAT_POST_ALTER => {
                let details = argument.cast::<pg_sys::ObjectAccessPostAlter>();
                let is_internal = !details.is_null() && (*details).is_internal;
                (!is_internal).then_some(Event::Altered)
            }
            Type::OAT_DROP => {
                let details = argument.cast::<pg_sys::ObjectAccessDrop>();
                let flags = if details.is_null() { 0 } else { (*details).dropflags };
                Some(Event::Dropped {
                    is_quiet: flags & pg_sys::PERFORM_DELETION_QUIETLY as i32 != 0,
                    is_internal: flags & pg_sys::PERFORM_DELETION_INTERNAL as i32 != 0,
                })
            }
            Type::OAT_TRUNCATE => Some(Event::Truncated),
            _ => None,
        }
    }
}

/// The object that is meant: some rows are announced by their relation.
fn address_of(event: Event, class: Oid, object: Oid) -> Address {
    let is_default = class.to_u32() == depend::DEFAULT && event == Event::Created;
    if is_default || [INHERITS, INDEX, FOREIGN_TABLE].contains(&class.to_u32()) {
        (pg_sys::RelationRelationId, object)
    } else {
        (class, object)
    }
}

/// Keeps what the statement does, for the event triggers.
pub fn note(event: Event, class: Oid, object: Oid, column: i32) {
    let address = address_of(event, class, object);
    match event {
        Event::Created | Event::Altered => {
            context::temporary::note_change();
            let is_new = event == Event::Created && address.0 == class;
            match i16::try_from(column) {
                Ok(column) if is_new && column > 0 => collected::note_column(object, column),
                _ => collected::note(Touched { address, is_created: is_new && column == 0 }),
            }
            if event == Event::Created && class.to_u32() == depend::DEFAULT {
                collected::note_default(object);
            }
        }
        Event::Dropped { .. } if class == pg_sys::ExtensionRelationId => collected::note_dropped_extension(),
        Event::Dropped { .. }
            if column == 0
                && [pg_sys::RelationRelationId, pg_sys::NamespaceRelationId, pg_sys::ProcedureRelationId]
                    .contains(&class) =>
        {
            cache::share_row(class, object).into_iter().for_each(collected::note_lost_share);
        }
        Event::Dropped { .. } | Event::Truncated => {}
    }
}

/// Judges what is announced.
///
/// # Errors
/// 42501; 55000: it lies in a tenant's schema, and none is set; 2BP01: a tenant, or all of them, would be lost.
pub fn ensure_allowed(event: Event, class: Oid, object: Oid, column: i32) -> Result<()> {
    let address = address_of(event, class, object);
    match event {
        Event::Truncated => {
            house::ensure_unchanged(address)?;
            judge(object, Access::Write)
        }
        Event::Dropped { is_quiet, is_internal } => {
            lifecycle::ensure_not_a_tenants(class, object, "drop")?;
            let is_left_over = is_quiet && schema_of(address).is_some_and(is_temporary);
            if is_left_over || is_internal && class.to_u32() != depend::CONSTRAINT {
                return Ok(());
            }
            house::ensure_not_dropped(address)?;
            ensure_target(address)
        }
        Event::Altered => {
            lifecycle::ensure_not_a_tenants(class, object, "alter")?;
            house::ensure_unchanged(address)?;
            ensure_target(address)
        }
        // A function that is replaced, a column that is added: what they belong to is there already.
        Event::Created
            if (class == pg_sys::ProcedureRelationId || column != 0) && schema_of(address).is_some() =>
        {
            house::ensure_unchanged(address)?;
            ensure_target(address)
        }
        Event::Created if session::is_without_event_triggers() => {
            house::ensure_unchanged(address)?;
            depend::recorded_schema_of(address).map_or(Ok(()), |schema| {
                house::ensure_nothing_planted(schema)?;
                ensure_schema(schema)
            })
        }
        Event::Created => Ok(()),
    }
}

fn schema_of(address: Address) -> Option<Oid> {
    depend::schema_of(address)
}

fn is_temporary(schema: Oid) -> bool {
    catalog::is_own_temporary(schema) || catalog::is_foreign_temporary(schema)
}

/// Judges where an object lies that is dropped or altered.
fn ensure_target(address: Address) -> Result<()> {
    if lifecycle::is_managing() {
        return Ok(());
    }
    match schema_of(address) {
        Some(schema) => ensure_schema(schema),
        None if context::is_active() && !is_free(address) => Err(Error::DdlOutside),
        None => Ok(()),
    }
}

fn ensure_schema(schema: Oid) -> Result<()> {
    let Some(active) = context::active_schema() else { return ensure_code(schema) };
    // A TOAST table is reached through its table alone.
    if schema == active || catalog::is_toast(schema) {
        return Ok(());
    }
    match policy::decide_ddl_target(cache::place_of_schema(schema, Some(active))) {
        Verdict::Allow => Ok(()),
        Verdict::Deny(_) => Err(Error::DdlOutside),
    }
}

/// Whether an object of no schema may change with a tenant active: it belongs to something of the tenant's (a cast, an
/// operator of a class), or is gone already, or is a large object, which has privileges of its own.
fn is_free((class, object): Address) -> bool {
    class.to_u32() == LARGE_OBJECT
        || depend::lies_in_schema(class)
        || depend::references_of((class, object))
            .iter()
            .any(|tie| depend::schema_of(tie.to) == context::active_schema())
}
