//! How the library comes into a session, and out of a database again.
//!
//! `CREATE EXTENSION` adds it to the database's `session_preload_libraries`, keeping what stands there; dropping the
//! extension takes it out, since with the file gone every login would fail.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::pg::{self, catalog, session};
use crate::{lifecycle, registry};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

const LIBRARY: &str = "plio_tenancy";
const SETTING: &str = "session_preload_libraries";

/// Adds the library to this database's setting.
///
/// # Errors
/// 0A000 in a database whose encoding is not UTF8; those of ALTER DATABASE.
pub fn enable() -> Result<()> {
    if !session::is_database_utf8() {
        return Err(Error::Encoding);
    }
    let mut libraries = current()?;
    if !libraries.iter().any(|library| library == LIBRARY) {
        libraries.push(LIBRARY.to_owned());
        write(&libraries)?;
    }
    Ok(())
}

/// The extension is being dropped: takes the library out of the setting, whoever drops it and however.
///
/// # Errors
/// Those of ALTER DATABASE.
pub fn on_extension_drop(extension: Oid) -> Result<()> {
    // The registry's tables are gone already at this point; the extension's own row is not.
    if catalog::extension_oid(registry::EXTENSION) != Some(extension) {
        return Ok(());
    }
    if crate::context::is_active() {
        return Err(Error::ManagementInTenant { function: "DROP EXTENSION" });
    }
    session::as_superuser(|| {
        let mut libraries = current()?;
        let before = libraries.len();
        libraries.retain(|library| library != LIBRARY);
        // Also where the registry cannot be read.
        let write = || lifecycle::managing(|| write(&libraries));
        if libraries.len() == before { Ok(()) } else { write() }
    })
}

/// What ALTER DATABASE has set; without such a setting, what the session got from the server's configuration, which
/// an ALTER DATABASE would hide. What the session got from a setting of the database that is gone by now, taken out by a
/// DROP EXTENSION of its own, counts for nothing.
fn current() -> Result<Vec<String>> {
    let list = Spi::get_one::<String>(
        "SELECT coalesce(
             (SELECT substr(c, strpos(c, '=') + 1)
                FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c
               WHERE s.setrole = 0 AND c LIKE 'session\\_preload\\_libraries=%'
                 AND s.setdatabase = (SELECT oid FROM pg_catalog.pg_database
                                       WHERE datname = pg_catalog.current_database())),
             (SELECT reset_val FROM pg_catalog.pg_settings
               WHERE name = 'session_preload_libraries' AND source <> 'database'), '')",
    )
    .map_err(|error| Error::Bug(error.to_string()))?;
    Ok(catalog::split_libraries(&list.unwrap_or_default()))
}

fn write(libraries: &[String]) -> Result<()> {
    let database = session::database_name().ok_or_else(|| Error::Bug("no database".to_owned()))?;
    let database = pg::quote_identifier(&database);
    if libraries.is_empty() {
        return registry::run(&format!("ALTER DATABASE {database} RESET {SETTING}"));
    }
    let list: Vec<String> = libraries.iter().map(|library| pg::quote_literal(library)).collect();
    registry::run(&format!("ALTER DATABASE {database} SET {SETTING} = {}", list.join(", ")))
}
