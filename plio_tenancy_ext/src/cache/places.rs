//! What schemas, relations and functions are to tenancy, and where they lie as seen from the active tenant.

use super::store::{self, insert_bounded};
use super::{code, location, share_of, shares};
use crate::one_layer;
use crate::pg::{catalog, depend};
use crate::policy::Place;
use crate::tenant::ShareMode;
use pgrx::pg_sys::{self, Oid};
use std::rc::Rc;

/// What a schema is to tenancy, whatever tenant is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaKind {
    /// PostgreSQL's own.
    System,
    /// A tenant's.
    Tenant,
    /// This extension's.
    Registry,
    /// Shared as a whole.
    Shared(ShareMode),
    /// Any other.
    Other,
}

/// What a schema is to tenancy.
pub fn schema_kind(schema: Oid) -> SchemaKind {
    if schema == pg_sys::Oid::from(pg_sys::PG_CATALOG_NAMESPACE)
        || schema == pg_sys::Oid::from(pg_sys::PG_TOAST_NAMESPACE)
    {
        return SchemaKind::System;
    }
    if let Some(known) = store::read(|cache| cache.schemas.get(&schema).copied()) {
        return known;
    }
    store::fill(
        || find_schema_kind(schema),
        |cache, found| {
            if let Some(kind) = found {
                insert_bounded(&mut cache.schemas, schema, *kind);
            }
        },
    )
    .unwrap_or(SchemaKind::Other)
}

/// `None` where there is no registry to tell.
fn find_schema_kind(schema: Oid) -> Option<SchemaKind> {
    let location = location()?;
    if schema == location.schema {
        return Some(SchemaKind::Registry);
    }
    Some(match catalog::schema_name(schema) {
        Some(name) if name == "information_schema" => SchemaKind::System,
        Some(name) if location.tenant_by_schema(&name).is_some() => SchemaKind::Tenant,
        _ => shares()?.schemas.get(&schema).copied().map_or(SchemaKind::Other, SchemaKind::Shared),
    })
}

/// Where a relation lies, as seen from the active tenant's schema.
pub fn place_of_relation(relation: Oid, schema: Oid, active: Option<Oid>) -> Place {
    if active == Some(schema) {
        return Place::OwnTenant;
    }
    if let Some(known) = store::read(|cache| cache.relations.get(&relation).copied()) {
        return known;
    }
    if catalog::is_own_temporary(schema) {
        return Place::OwnTemporary;
    }
    store::fill(
        || find_place_of_relation(relation, schema, active),
        |cache, found| {
            if let (place, true) = found {
                insert_bounded(&mut cache.relations, relation, *place);
            }
        },
    )
    .0
}

/// The place, and whether it is the same whatever tenant is active.
fn find_place_of_relation(relation: Oid, schema: Oid, active: Option<Oid>) -> (Place, bool) {
    let place = match schema_kind(schema) {
        // A TOAST table is as its table is.
        SchemaKind::System if catalog::is_toast(schema) => match depend::owner_of_toast(relation) {
            Some((table, schema)) => return (place_of_relation(table, schema, active), false),
            None => Place::System,
        },
        SchemaKind::System => Place::System,
        SchemaKind::Tenant => return (Place::ForeignTenant, false),
        SchemaKind::Registry => Place::Registry,
        SchemaKind::Shared(mode) => place_of_share(Some(mode).max(share_of(relation))),
        SchemaKind::Other if catalog::is_foreign_temporary(schema) => Place::ForeignTemporary,
        SchemaKind::Other => match share_of(relation) {
            None if code::is_trusted_member(relation) => Place::SharedWrite,
            mode => place_of_share(mode),
        },
    };
    (place, true)
}

/// A relation with all its children and partitions.
pub fn inheritors(relation: Oid) -> Rc<[Oid]> {
    if let Some(known) = store::read(|cache| cache.inheritors.get(&relation).cloned()) {
        return known;
    }
    store::fill(
        || catalog::inheritors(relation).into(),
        |cache, found: &Rc<[Oid]>| insert_bounded(&mut cache.inheritors, relation, Rc::clone(found)),
    )
}

/// Extensions whose functions open other connections or the server's files, or have statements run later by a session that
/// knows of no tenant. Refused inside tenants unless `plio.allowed_connections` lists them; audit() names those that are there.
pub const CONNECTORS: [&str; 10] = [
    "adminpack",
    "aws_lambda",
    "aws_s3",
    "dblink",
    "http",
    "pg_background",
    "pg_cron",
    "pg_curl",
    "pg_net",
    "pg_task",
];

/// The extension whose trigger sends NOTIFY from C, with the keys of changed rows.
pub const NOTIFIER: &str = "tcn";

/// The function's extension, if it is on a deny list: [`CONNECTORS`], [`NOTIFIER`], or what is denied in a tenant without a role.
pub fn connector_of(function: Oid) -> Option<&'static str> {
    if let Some(known) = store::read(|cache| cache.connectors.get(&function).copied()) {
        return known;
    }
    let look_up = || {
        let extension = catalog::extension_of_function(function);
        let watched = CONNECTORS.into_iter().chain([NOTIFIER]).chain(one_layer::DENIED_EXTENSIONS);
        watched.into_iter().find(|connector| extension.as_deref() == Some(connector))
    };
    store::fill(look_up, |cache, found| insert_bounded(&mut cache.connectors, function, *found))
}

/// Where code lies (functions, and schemas as such), as seen from the active tenant's schema.
pub fn place_of_schema(schema: Oid, active: Option<Oid>) -> Place {
    if active == Some(schema) {
        return Place::OwnTenant;
    }
    if catalog::is_own_temporary(schema) {
        return Place::OwnTemporary;
    }
    match schema_kind(schema) {
        SchemaKind::System => Place::System,
        SchemaKind::Tenant => Place::ForeignTenant,
        SchemaKind::Registry => Place::Registry,
        SchemaKind::Shared(mode) => place_of_share(Some(mode)),
        SchemaKind::Other => Place::Elsewhere,
    }
}

fn place_of_share(mode: Option<ShareMode>) -> Place {
    match mode {
        Some(ShareMode::Read) => Place::SharedRead,
        Some(ShareMode::Write) => Place::SharedWrite,
        None => Place::Elsewhere,
    }
}
