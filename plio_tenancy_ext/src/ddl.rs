//! What DDL did: two event triggers look once the command has ended, at what it left in the catalogs.
//!
//! With a tenant active, everything created must lie in the tenant's schema; without one, in no tenant's, but for
//! administrators (a login role may own adopted schemas). In any case nothing
//! may tie a tenant to another, or what is no tenant's to a tenant: foreign keys, views, inheritance, defaults, types,
//! function bodies, whatever the command added to `pg_depend`; administrators included. Bodies that PostgreSQL keeps as text
//! record nothing: the access check judges them when they run. What a command touches is known from the object access hook
//! (collected.rs), which has judged what it altered and dropped already. A command that touches nothing, COMMENT or GRANT,
//! is judged before it runs (hooks/utility/targets.rs), as are statements that fire no event trigger.

pub mod collected;
mod schemaless;
mod ties;
mod upkeep;

use self::collected::Touched;
pub use self::ties::ties_of;
use crate::denial::{self, Subject};
use crate::error::{Error, Result};
use crate::hooks::object_access::ensure_code;
use crate::pg::{catalog, depend};
use crate::policy::{self, Place, Verdict};
use crate::registry::{Location, ShareRow, bug};
use crate::{cache, context, hooks, house, lifecycle, shares};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

/// No operators in these: they would be looked up in the session's search_path. For tenants without a role (ddl/upkeep.rs),
/// and for the first command of a session that loaded the library late: its hooks have seen nothing.
const CHANGED: &str = "SELECT classid, objid, command_tag FROM pg_catalog.pg_event_trigger_ddl_commands()";
const DROPPED: &str = "
    SELECT schema_name, object_name, object_type, object_identity FROM pg_catalog.pg_event_trigger_dropped_objects()";

/// `ddl_command_end`. REINDEX makes nothing: what it may reach is judged before it runs, and one of everything commits in
/// between, so that what was collected is gone.
///
/// # Errors
/// 42501, 55000.
pub fn on_command_end(is_reindex: bool) -> Result<()> {
    let touched = collected::take_objects();
    if is_reindex {
        return Ok(());
    }
    // A command that left the registry unreadable is refused here.
    hooks::has_registry()?;
    let Some(location) = cache::location() else { return Ok(()) };
    let renaming = cache::take_renaming();
    if touched.as_ref().is_some_and(Vec::is_empty) {
        return Ok(());
    }
    let changed = touched.map_or_else(changed_objects, Ok)?;
    if hooks::is_judged() {
        for object in &changed {
            house::ensure_unchanged(object.address)?;
        }
    }
    if hooks::is_judged() && !changed.is_empty() && !lifecycle::is_managing() {
        let targets = match context::active_schema() {
            Some(active) => ensure_targets(&changed, active),
            None => changed.iter().try_for_each(ensure_no_tenants),
        };
        denial::decide(targets, Subject::Statement)?;
        let is_move = renaming.as_ref().is_some_and(|renaming| renaming.is_move);
        denial::decide(ties::ensure_untied(&changed, is_move), Subject::Statement)?;
        if context::is_one_layer() {
            // As PostgreSQL lists it: without row types, defaults and other parts, which are no code of their own.
            denial::decide(upkeep::ensure_unused(&listed_objects()?), Subject::Statement)?;
        }
    }
    if changed.iter().any(|object| object.address.0 == pg_sys::ExtensionRelationId) {
        // What belongs to an extension is open to tenants, and its schema is on their path.
        location.announce_change();
        shares::path::open()?;
    }
    settle_shares(&changed, renaming.as_ref())
}

/// What is created in a shared schema, or moved into or out of one, or renamed, is shared as the registry says.
fn settle_shares(changed: &[Touched], renaming: Option<&cache::Renaming>) -> Result<()> {
    let relations = changed.iter().filter(|object| object.address.0 == pg_sys::RelationRelationId);
    if let Some(renaming) = renaming {
        shares::on_rename(renaming)?;
    }
    for relation in relations {
        if relation.is_created {
            shares::on_relation_created(relation.address.1)?;
        } else if renaming.is_some_and(|renaming| renaming.is_move) && !context::is_active() {
            shares::on_relation_moved(relation.address.1)?;
        }
    }
    Ok(())
}

/// What the command changed, by PostgreSQL's own list.
fn listed_objects() -> Result<Vec<Touched>> {
    Spi::connect(|client| {
        let rows = client.select(CHANGED, None, &[])?;
        let mut changed: Vec<Touched> = Vec::new();
        for row in rows {
            let (Some(class), Some(object)) = (row.get::<Oid>(1)?, row.get::<Oid>(2)?) else { continue };
            let tag = row.get::<String>(3)?.unwrap_or_default();
            if object != pg_sys::InvalidOid {
                let is_created = tag.starts_with("CREATE ") || tag == "SELECT INTO";
                changed.push(Touched { address: (class, object), is_created });
            }
        }
        Ok(changed)
    })
    .map_err(bug)
}

/// The same with what lives inside.
fn changed_objects() -> Result<Vec<Touched>> {
    let listed = listed_objects()?;
    let mut changed = listed.clone();
    for object in listed {
        let inside = depend::dependents_of(object.address).into_iter();
        let parts = inside.filter(|part| matches!(part.kind, 'i' | 'a') && part.is_new);
        changed.extend(parts.map(|part| Touched { address: part.from, is_created: true }));
    }
    Ok(changed)
}

/// With a tenant active: every changed object lies in its schema (or is the session's temporary one).
fn ensure_targets(changed: &[Touched], active: Oid) -> Result<()> {
    for object in changed {
        let (class, oid) = object.address;
        let schema = depend::schema_of(object.address);
        // A TOAST table is reached through its table alone; what the command made only for a while is gone; the session's
        // temporary schema is made with the first object in it.
        if schema == Some(active)
            || class == pg_sys::NamespaceRelationId && catalog::is_own_temporary(oid)
            || schema.is_some_and(catalog::is_toast)
            || schema.is_none() && depend::lies_in_schema(class)
        {
            continue;
        }
        let place = schema.map_or(Place::Elsewhere, |schema| cache::place_of_schema(schema, Some(active)));
        if policy::decide_ddl_target(place) != Verdict::Allow && !is_part_of_own(object, active) {
            return Err(Error::DdlOutside);
        }
    }
    Ok(())
}

/// Whether an object of no schema belongs to one of the tenant's: the cast of a range type.
fn is_part_of_own(object: &Touched, active: Oid) -> bool {
    depend::schema_of(object.address).is_none()
        && depend::references_of(object.address)
            .iter()
            .any(|tie| tie.kind == 'i' && depend::schema_of(tie.to) == Some(active))
}

/// Without a tenant: what lies in a tenant's schema is for administrators, however its name was found.
fn ensure_no_tenants(object: &Touched) -> Result<()> {
    depend::schema_of(object.address).map_or(Ok(()), ensure_code)
}

/// `sql_drop`: forgets the shares of what is gone. What may be dropped, the object access hook has judged.
///
/// # Errors
/// XX000.
pub fn on_drop() -> Result<()> {
    let dropped = collected::take_dropped();
    hooks::has_registry()?;
    let Some(location) = cache::location() else { return Ok(()) };
    let (lost, has_dropped_extension) = match dropped {
        Some(dropped) => dropped,
        None => dropped_objects(&location)?,
    };
    if has_dropped_extension {
        location.announce_change();
    }
    lost.iter().try_for_each(|share| {
        shares::on_object_dropped(&share.schema_name, share.relation_name.as_deref(), share.is_function)
    })
}

/// Shares whose object was dropped, by PostgreSQL's own list, and whether an extension was.
fn dropped_objects(location: &Location) -> Result<(Vec<ShareRow>, bool)> {
    let shared = location.shares();
    Spi::connect(|client| {
        let (mut lost, mut has_dropped_extension) = (Vec::new(), false);
        for row in client.select(DROPPED, None, &[])? {
            let (schema, name) = (row.get::<String>(1)?, row.get::<String>(2)?);
            let kind = row.get::<String>(3)?.unwrap_or_default();
            has_dropped_extension |= kind == "extension";
            let identity = row.get::<String>(4)?.unwrap_or_default();
            if matches!(kind.as_str(), "function" | "procedure" | "aggregate") {
                let is_of = |row: &&ShareRow| row.is_function && row.identity() == identity;
                lost.extend(shared.iter().find(is_of).cloned());
                continue;
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
            let is_of = |row: &&ShareRow| {
                !row.is_function && row.schema_name == of_schema && row.relation_name == of_relation
            };
            lost.extend(shared.iter().find(is_of).cloned());
        }
        Ok((lost, has_dropped_extension))
    })
    .map_err(bug)
}
