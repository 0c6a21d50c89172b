//! The extension's own objects: while enforcement is on, nobody changes them by hand.
//!
//! Its own: the schema `plio`, what lies in it, and the extension's members elsewhere (event triggers, the foreign server and
//! its wrapper, the schema `plio_reports`). Whoever could change them could take the boundary away, or plant a function
//! that a call of ours finds first. They change by CREATE EXTENSION, ALTER EXTENSION .. UPDATE and pg_upgrade; their rows
//! by the functions of this extension. A restore adds rows, puts sequences forward and makes the foreign tables of report views,
//! so these are PostgreSQL's to allow; so are storage parameters of tables. With `plio.enforcement = off` a superuser can do all
//! of it.

#![forbid(unsafe_code)]

use crate::cache;
use crate::ddl::collected::{self, Kind};
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

/// Catalogs of what is made for another object, and whose it is: servers for a wrapper, user mappings for a server, statistics on
/// a table, publications of a table or a schema. A view, a foreign key or a policy only uses what it names.
const MADE_FOR_ANOTHER: [u32; 5] =
    [FOREIGN_SERVER, USER_MAPPING, depend::STATISTICS, depend::PUBLICATION_TABLE, PUBLICATION_SCHEMA];
const USER_MAPPING: u32 = 1418;
const PUBLICATION_SCHEMA: u32 = 6237;
/// pg_publication: CREATE PUBLICATION announces it alone.
const PUBLICATION: u32 = 6104;

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

/// Whether it was made for one of the extension's own objects. Dropping it gives nothing away.
fn is_made_for_own((class, object): Address, location: &Location) -> bool {
    if class.to_u32() == PUBLICATION {
        let entries = depend::dependents_of((class, object)).into_iter().filter(|entry| entry.is_new);
        return entries.map(|entry| entry.from).any(|entry| is_made_for_own(entry, location));
    }
    MADE_FOR_ANOTHER.contains(&class.to_u32())
        && depend::references_of((class, object)).iter().any(|tie| is_own(tie.to, location))
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
        Some(_) if is_tuned(object) => Ok(()),
        Some(location) if is_own(object, &location) || is_made_for_own(object, &location) => {
            Err(Error::OwnObject)
        }
        _ => Ok(()),
    }
}

/// Whether the running statement only sets the storage parameters of a table.
fn is_tuned((class, object): Address) -> bool {
    class == pg_sys::RelationRelationId
        && collected::kind() == Some(Kind::Tuning)
        && catalog::relation_kind(object) == Some('r')
}

/// Refuses ALTER TABLE of one of the extension's own, before it runs. `only_tunes`: it sets storage parameters alone.
///
/// # Errors
/// 42501.
pub fn ensure_table_unchanged(table: Oid, only_tunes: bool) -> Result<()> {
    if only_tunes && catalog::relation_kind(table) == Some('r') {
        return Ok(());
    }
    ensure_unchanged((pg_sys::RelationRelationId, table))
}

/// Refuses to make a number be given out a second time that a sequence of the extension's has given out. A restore puts them
/// forward.
///
/// # Errors
/// 42501.
pub fn ensure_counts_on(sequence: Oid, next: i64) -> Result<()> {
    if guarded().is_none() || !catalog::relation_schema(sequence).is_some_and(cache::is_registry) {
        return Ok(());
    }
    let last = session::as_superuser(|| catalog::sequence_last_value(sequence)).unwrap_or(0);
    if next > last { Ok(()) } else { Err(Error::OwnObject) }
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
        Some(_) if object.0.to_u32() == depend::PUBLICATION_TABLE => Ok(()),
        Some(location) if is_own(object, &location) => {
            if collected::kind() != Some(Kind::WideDrop) {
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

/// What a GRANT gives, in the words of SQL, each with the columns that it names; `None` for ALL PRIVILEGES.
pub type Privileges = Option<Vec<(String, Vec<String>)>>;

/// Refuses to give others what would let them change the extension's own: reading and running are a DBA's to give, and changing
/// what is free for the application. `relations` are those that the GRANT names, if it names any.
///
/// # Errors
/// 42501.
pub fn ensure_harmless_grant(schema: Oid, relations: &[Oid], privileges: &Privileges) -> Result<()> {
    // Not REFERENCES: a foreign key onto the registry has others' triggers run in the middle of management.
    const HARMLESS: [&str; 3] = ["select", "usage", "execute"];
    let is_tenants =
        |relation: &Oid| cache::location().is_some_and(|location| location.is_tenants(*relation));
    let is_of_tenants = !relations.is_empty() && relations.iter().all(is_tenants);
    let is_harmless = |privilege: &str, columns: &[String]| {
        HARMLESS.contains(&privilege) || privilege == "update" && columns == ["settings"] && is_of_tenants
    };
    let are_harmless = privileges.as_ref().is_some_and(|given| {
        given.iter().all(|(privilege, columns)| is_harmless(&privilege.to_ascii_lowercase(), columns))
    });
    if are_harmless { Ok(()) } else { ensure_unchanged((pg_sys::NamespaceRelationId, schema)) }
}
