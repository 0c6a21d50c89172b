//! Dependencies that tie a tenant to another, or a shared object to a tenant: read from `pg_depend`, judged by policy.rs.

use super::collected::Touched;
use super::schemaless;
use crate::error::{Error, Result};
use crate::pg::depend::{self, Address, Dependency};
use crate::pg::{FIRST_NORMAL_OID, catalog};
use crate::policy::{self, Access, Actor, Context, Home, Verdict};
use crate::{cache, context};
use pgrx::pg_sys::{self, Oid};
use std::collections::{HashMap, HashSet};

/// No dependency that the command added ties a tenant. Of objects that were moved into another schema all dependencies
/// count, in both directions, and those of what lives inside them.
///
/// A new dependency starts at an object that the command made or altered: what depended on that before is not looked at.
///
/// # Errors
/// 42501.
pub(super) fn ensure_untied(changed: &[Touched], is_move: bool) -> Result<()> {
    let mut parts: HashSet<Address> = changed.iter().map(|object| object.address).collect();
    if is_move {
        for object in changed {
            let inside = depend::dependents_of(object.address);
            parts.extend(inside.iter().filter(|part| matches!(part.kind, 'i' | 'a')).map(|part| part.from));
        }
    }
    let mut schemas: HashMap<Address, Option<Oid>> = HashMap::new();
    let mut schema_of = |object| *schemas.entry(object).or_insert_with(|| depend::schema_of(object));
    for part in parts {
        let mut ties = depend::references_of(part);
        if is_move {
            ties.extend(depend::dependents_of(part));
        }
        let ties = ties.into_iter().filter(|tie| tie.is_new || is_move);
        for tie in ties.filter(|tie| tie.to.1.to_u32() >= FIRST_NORMAL_OID && !is_foreign_keys_own(tie)) {
            match (schema_of(tie.from), schema_of(tie.to)) {
                (Some(from), Some(to)) if from != to => ensure_tie((from, tie.from), (to, tie.to))?,
                (None, Some(_)) => schemaless::ensure_untied(tie.from)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// The dependencies that are no tenant's to have, if that schema is a tenant's: what depends on what.
pub fn ties_of(tenant: Oid) -> Vec<(Address, Address)> {
    let inside = depend::dependents_of((pg_sys::NamespaceRelationId, tenant));
    let mut parts: HashSet<Address> = inside.iter().map(|object| object.from).collect();
    for object in &inside {
        let owned = depend::dependents_of(object.from);
        parts.extend(owned.iter().filter(|part| matches!(part.kind, 'i' | 'a')).map(|part| part.from));
    }
    let mut schemas: HashMap<Address, Option<Oid>> = HashMap::new();
    let mut schema_of = |object| *schemas.entry(object).or_insert_with(|| depend::schema_of(object));
    let home_of = |schema: Oid| if schema == tenant { Home::Tenant(tenant.to_u32()) } else { home(schema) };
    let mut found: Vec<(Address, Address)> = Vec::new();
    for part in parts {
        let ties = depend::references_of(part).into_iter().chain(depend::dependents_of(part));
        for tie in ties.filter(|tie| tie.to.1.to_u32() >= FIRST_NORMAL_OID && !is_foreign_keys_own(tie)) {
            let (Some(from), Some(to)) = (schema_of(tie.from), schema_of(tie.to)) else { continue };
            let (from, to) = (home_of(from), home_of(to));
            let is_allowed = if is_table(tie.from) && is_table(tie.to) {
                policy::is_inheritance_allowed(from, to)
            } else {
                policy::is_tie_allowed(from, to)
            };
            if !is_allowed {
                found.push((tie.from, tie.to));
            }
        }
    }
    found.sort_unstable_by_key(|(from, to)| [from.0, from.1, to.0, to.1].map(|oid| oid.to_u32()));
    found.dedup();
    found
}

/// The triggers with which PostgreSQL enforces a foreign key on the table that it points at depend on the constraint,
/// not the other way round: they are no tie.
fn is_foreign_keys_own(tie: &Dependency) -> bool {
    tie.kind == 'i' && tie.from.0.to_u32() == depend::TRIGGER
}

fn ensure_tie((from, from_object): (Oid, Address), (to, to_object): (Oid, Address)) -> Result<()> {
    let (from_home, to_home) = (home(from), home(to));
    let to_table = is_table(to_object);
    let is_allowed = if to_table && is_table(from_object) {
        // Only inheritance makes a table depend on a table, and it carries rows both ways.
        policy::is_inheritance_allowed(from_home, to_home)
    } else {
        policy::is_tie_allowed(from_home, to_home)
    };
    if !is_allowed {
        return Err(Error::Tie);
    }
    let (Home::Tenant(_), true, Some(active)) = (from_home, to_table, context::active_schema()) else {
        return Ok(());
    };
    let place = cache::place_of_relation(to_object.1, to, Some(active));
    match policy::decide_relation(Actor::Ordinary, Context::Tenant, place, Access::Read) {
        Verdict::Allow => Ok(()),
        Verdict::Deny(why) => {
            let names = catalog::relation_names(to_object.1);
            let relation = names.map(|(schema, name)| format!("{schema}.{name}"));
            Err(Error::Denied { why, relation, active: context::active_org() })
        }
    }
}

/// Whether the object holds or shows rows. A foreign key depends on an index of the table, too: that is none.
fn is_table((class, object): Address) -> bool {
    class == pg_sys::RelationRelationId
        && catalog::relation_kind(object).is_some_and(|kind| !matches!(kind, 'i' | 'I' | 'c'))
}

/// Whom the objects of a schema belong to.
pub fn home(schema: Oid) -> Home {
    let is_initdbs =
        schema.to_u32() < FIRST_NORMAL_OID && cache::schema_kind(schema) == cache::SchemaKind::System;
    if is_initdbs || catalog::is_own_temporary(schema) || catalog::is_foreign_temporary(schema) {
        return Home::Neutral;
    }
    match cache::schema_kind(schema) {
        cache::SchemaKind::Tenant => Home::Tenant(schema.to_u32()),
        cache::SchemaKind::System => Home::Neutral,
        cache::SchemaKind::Registry | cache::SchemaKind::Shared(_) | cache::SchemaKind::Other => {
            Home::NoTenant
        }
    }
}
