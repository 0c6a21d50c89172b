//! The extension.
use pgrx::prelude::*;

::pgrx::pg_module_magic!();

/// Organization.
#[pg_extern]
fn current_tenant() -> Option<String> {
    None
}
