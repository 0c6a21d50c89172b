//! What DDL did: two event triggers look once the command has ended, at what it left in the catalogs.
//!
//! With a tenant active, everything created, altered or dropped must lie in the tenant's schema; without one, in no tenant's,
//! but for administrators (a login role may own adopted schemas). In any case nothing
//! may tie a tenant to another, or what is no tenant's to a tenant: foreign keys, views, inheritance, defaults, types,
//! function bodies, whatever `pg_depend` recorded; administrators included. Bodies that PostgreSQL keeps as text record
//! nothing: the access check judges them when they run. Statements that fire no event trigger are hooks/utility/'s.

mod schemaless;
mod ties;
mod upkeep;

pub use self::ties::ties_of;
use crate::denial::{self, Subject};
use crate::error::{Error, Result};
use crate::hooks::object_access::ensure_code;
use crate::pg::{catalog, depend};
use crate::policy::{self, Place, Verdict};
use crate::registry::bug;
use crate::{cache, context, history, hooks, lifecycle, shares};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

/// An object that a command created or altered.
struct Changed {
    class: Oid,
    object: Oid,
    is_created: bool,
}

/// No operators in these: they would be looked up in the session's search_path.
const CHANGED: &str = "SELECT classid, objid, command_tag FROM pg_catalog.pg_event_trigger_ddl_commands()";
const DROPPED: &str = "
    SELECT schema_name, address_names[1], object_name, object_type, is_temporary, original, normal,
           address_names[2]
      FROM pg_catalog.pg_event_trigger_dropped_objects()";

/// `ddl_command_end`.
///
/// # Errors
/// 42501, 55000.
pub fn on_command_end() -> Result<()> {
    // A command that left the registry unreadable is refused here.
    hooks::has_registry()?;
    let Some(location) = cache::location() else { return Ok(()) };
    let changed = changed_objects()?;
    let renaming = cache::take_renaming();
    for object in &changed {
        ensure_no_history(object)?;
    }
    if hooks::is_judged() && !changed.is_empty() && !lifecycle::is_managing() {
        let targets = match context::active_schema() {
            Some(active) => ensure_targets(&changed, active),
            None => changed.iter().try_for_each(ensure_no_tenants),
        };
        denial::decide(targets, Subject::Statement)?;
        denial::decide(ties::ensure_untied(&changed), Subject::Statement)?;
        denial::decide(upkeep::ensure_unused(&changed), Subject::Statement)?;
    }
    if changed.iter().any(|object| object.class == pg_sys::ExtensionRelationId) {
        // What belongs to an extension is open to tenants, and its schema is on their path.
        location.announce_change();
    }
    settle_shares(&changed, renaming.as_ref())
}

/// What is created in a shared schema, or moved into or out of one, or renamed, is shared as the registry says.
fn settle_shares(changed: &[Changed], renaming: Option<&cache::Renaming>) -> Result<()> {
    let relations = changed.iter().filter(|object| object.class == pg_sys::RelationRelationId);
    if let Some(renaming) = renaming {
        shares::on_rename(renaming)?;
    }
    for relation in relations {
        if relation.is_created {
            shares::on_relation_created(relation.object)?;
        } else if renaming.is_some_and(|renaming| renaming.is_move) && !context::is_active() {
            shares::on_relation_moved(relation.object)?;
        }
    }
    Ok(())
}

/// Refuses what was done to the history, or to a trigger, a rule or a policy on it.
fn ensure_no_history(object: &Changed) -> Result<()> {
    let relation = if object.class == pg_sys::RelationRelationId {
        Some(object.object)
    } else {
        depend::relation_around((object.class, object.object))
    };
    match relation.and_then(catalog::relation_names) {
        Some((schema, name)) => history::ensure_untouched(Some(&schema), Some(&name)),
        None => Ok(()),
    }
}

fn changed_objects() -> Result<Vec<Changed>> {
    Spi::connect(|client| {
        let rows = client.select(CHANGED, None, &[])?;
        let mut changed: Vec<Changed> = Vec::new();
        for row in rows {
            let (Some(class), Some(object)) = (row.get::<Oid>(1)?, row.get::<Oid>(2)?) else { continue };
            let tag = row.get::<String>(3)?.unwrap_or_default();
            if object != pg_sys::InvalidOid {
                let is_created = tag.starts_with("CREATE ") || tag == "SELECT INTO";
                changed.push(Changed { class, object, is_created });
            }
        }
        Ok(changed)
    })
    .map_err(bug)
}

/// With a tenant active: every changed object lies in its schema (or is the session's temporary one).
fn ensure_targets(changed: &[Changed], active: Oid) -> Result<()> {
    for object in changed {
        let schema = depend::schema_of((object.class, object.object));
        // REINDEX reports the index of the table's TOAST table, which is reached through the table alone.
        if schema.is_some_and(catalog::is_toast) {
            continue;
        }
        let place = schema.map_or(Place::Elsewhere, |schema| cache::place_of_schema(schema, Some(active)));
        if policy::decide_ddl_target(place) != Verdict::Allow {
            return Err(Error::DdlOutside);
        }
    }
    Ok(())
}

/// Without a tenant: what lies in a tenant's schema is for administrators, however its name was found.
fn ensure_no_tenants(object: &Changed) -> Result<()> {
    depend::schema_of((object.class, object.object)).map_or(Ok(()), ensure_code)
}

/// `sql_drop`.
///
/// # Errors
/// As [`on_command_end`].
pub fn on_drop() -> Result<()> {
    hooks::has_registry()?;
    let Some(location) = cache::location() else { return Ok(()) };
    let own = context::active_schema().and_then(catalog::schema_name);
    let shared = location.shares();
    for Dropped { schema, name, kind, is_part, around } in dropped_objects()? {
        history::ensure_untouched(schema.as_deref(), around.as_deref())?;
        // What lies inside a temporary or a TOAST table is not marked as temporary itself.
        let is_neutral =
            matches!(schema.as_deref(), Some(name) if name == "pg_toast" || name.starts_with("pg_temp"));
        if own.is_some() && hooks::is_judged() && schema != own && !is_neutral && !is_part {
            denial::decide(Err(Error::DdlOutside), Subject::Statement)?;
        }
        if own.is_none() && hooks::is_judged() && !lifecycle::is_managing() && !is_neutral && !is_part {
            let verdict = schema.as_deref().and_then(catalog::schema_oid).map_or(Ok(()), ensure_code);
            denial::decide(verdict, Subject::Statement)?;
        }
        if kind == "extension" {
            location.announce_change();
        }
        let (of_schema, of_relation) = match (kind.as_str(), schema, name) {
            ("schema", _, Some(name)) => (name, None),
            (
                "table" | "view" | "materialized view" | "foreign table" | "sequence",
                Some(schema),
                Some(name),
            ) => (schema, Some(name)),
            _ => continue,
        };
        if shared.iter().any(|row| row.schema_name == of_schema && row.relation_name == of_relation) {
            shares::on_object_dropped(&of_schema, of_relation.as_deref())?;
        }
    }
    Ok(())
}

/// A dropped object: its schema (or its table's), its name and its kind.
struct Dropped {
    schema: Option<String>,
    name: Option<String>,
    kind: String,
    /// Only part of something else that was dropped: a view's rule, a range type's cast, an owned sequence, the triggers
    /// with which PostgreSQL enforces a foreign key on the table that it points at.
    is_part: bool,
    /// The relation itself, or the one that it belongs to.
    around: Option<String>,
}

/// What was dropped, without temporary objects.
fn dropped_objects() -> Result<Vec<Dropped>> {
    Spi::connect(|client| {
        let rows = client.select(DROPPED, None, &[])?;
        let mut dropped = Vec::new();
        for row in rows {
            let kind = row.get::<String>(4)?.unwrap_or_default();
            let is = |column| row.get::<bool>(column).map(|value| value.unwrap_or(false));
            if !is(5)? {
                let schema = row.get::<String>(1)?.or(row.get::<String>(2)?);
                let (name, around) = (row.get(3)?, row.get(8)?);
                dropped.push(Dropped { schema, name, kind, is_part: !is(6)? && !is(7)?, around });
            }
        }
        Ok(dropped)
    })
    .map_err(bug)
}
