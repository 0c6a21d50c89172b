//! The extension's own objects: while enforcement is on, nobody changes them by hand.
//!
//! Its own: the schema `plio`, what lies in it, and the extension's members elsewhere (event triggers, the foreign server and
//! its wrapper, the schema `plio_reports`). Whoever could change them could take the boundary away, or plant a function
//! that a call of ours finds first. They change by CREATE EXTENSION, ALTER EXTENSION .. UPDATE and pg_upgrade; their rows
//! by the functions of this extension. A restore adds rows, so INSERT and COPY FROM are PostgreSQL's to allow. With
//! `plio.enforcement = off` a superuser can do all of it.

#![forbid(unsafe_code)]

use crate::cache;
use crate::ddl::collected;
use crate::error::{Error, Result};
use crate::monitor::flush::table;
use crate::pg::depend::{self, Address};
use crate::pg::{catalog, session};
use crate::registry::{self, Location};
use pgrx::pg_sys::{self, Oid};

/// Catalogs of what lies in no schema, and may be a member of the extension.
const EVENT_TRIGGER: u32 = 3466;
const FOREIGN_DATA_WRAPPER: u32 = 2328;
const FOREIGN_SERVER: u32 = 1417;

/// Whether it is one of the extension's own objects, or part of one.
fn is_own((class, object): Address, location: &Location) -> bool {
    if class == pg_sys::NamespaceRelationId {
        return object == location.schema || is_member((class, object), location);
    }
    if class == pg_sys::ExtensionRelationId {
        return object == location.extension;
    }
    if [EVENT_TRIGGER, FOREIGN_DATA_WRAPPER, FOREIGN_SERVER].contains(&class.to_u32()) {
        return is_member((class, object), location);
    }
    depend::schema_of((class, object)) == Some(location.schema)
}

fn is_member((class, object): Address, location: &Location) -> bool {
    catalog::extension_of(class, object) == Some(location.extension)
}

/// The registry's location, unless the extension itself is at work.
fn guarded() -> Option<Location> {
    cache::location().filter(|location| !session::is_making(location.extension))
}

/// Refuses to create, replace, alter, rename or move what is the extension's own.
///
/// # Errors
/// 42501.
pub fn ensure_unchanged(object: Address) -> Result<()> {
    match guarded() {
        // Its own row changes when an update begins.
        _ if object.0 == pg_sys::ExtensionRelationId => Ok(()),
        Some(location) if is_own(object, &location) => Err(Error::OwnObject),
        _ => Ok(()),
    }
}

/// Refuses to create anything in the extension's schema.
///
/// # Errors
/// 42501.
pub fn ensure_nothing_planted(schema: Oid) -> Result<()> {
    ensure_unchanged((pg_sys::NamespaceRelationId, schema))
}

/// Refuses to drop what is the extension's own. With the whole extension it goes, once there is no tenant any more.
///
/// # Errors
/// 42501; 2BP01: there are tenants.
pub fn ensure_not_dropped(object: Address) -> Result<()> {
    match guarded() {
        Some(location) if is_own(object, &location) => {
            if !collected::is_wide_drop() {
                Err(Error::OwnObject)
            } else if location.every_tenant().is_empty() {
                Ok(())
            } else {
                Err(Error::TenantsExist)
            }
        }
        _ => Ok(()),
    }
}

/// Refuses to change or remove rows of the extension's tables in any other way than by its functions.
///
/// # Errors
/// 42501.
pub fn ensure_rows_unchanged() -> Result<()> {
    if registry::is_changing() || table::is_pruning() || guarded().is_none() {
        Ok(())
    } else {
        Err(Error::OwnObject)
    }
}

/// What a GRANT gives, in the words of SQL; `None` for ALL PRIVILEGES.
pub type Privileges = Option<Vec<String>>;

/// Refuses to give others what would let them change the extension's own: reading and running are a DBA's to give.
///
/// # Errors
/// 42501.
pub fn ensure_harmless_grant(schema: Oid, privileges: &Privileges) -> Result<()> {
    // Not REFERENCES: a foreign key onto the registry has others' triggers run in the middle of management.
    const HARMLESS: [&str; 3] = ["select", "usage", "execute"];
    let is_harmless = privileges.as_ref().is_some_and(|given| {
        given.iter().all(|privilege| HARMLESS.contains(&privilege.to_ascii_lowercase().as_str()))
    });
    if is_harmless { Ok(()) } else { ensure_unchanged((pg_sys::NamespaceRelationId, schema)) }
}
