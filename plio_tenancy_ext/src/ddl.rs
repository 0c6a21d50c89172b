//! What DDL did: two event triggers look once the command has ended, at what it left in the catalogs.
//!
//! With a tenant active, everything created, altered or dropped must lie in the tenant's schema. In any case nothing
//! may tie a tenant to another, or what is no tenant's to a tenant: foreign keys, views, inheritance, defaults, types,
//! function bodies, whatever `pg_depend` recorded; administrators included. Bodies that PostgreSQL keeps as text record
//! nothing: the access check judges them when they run. Statements that fire no event trigger are hooks/utility.rs's.

use crate::error::{Error, Result, or_raise};
use crate::pg::{FIRST_NORMAL_OID, catalog};
use crate::policy::{self, Access, Actor, Context, Home, Place, Verdict};
use crate::{cache, context, hooks, shares};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// An object that a command created or altered.
struct Changed {
    class: Oid,
    object: Oid,
    is_created: bool,
}

/// One object depends on another; the schemas they lie in.
struct Tie {
    from: Option<Oid>,
    to: Option<Oid>,
    to_relation: Option<Oid>,
}

const CHANGED: &str = "
    SELECT DISTINCT classid, objid, command_tag LIKE 'CREATE %' OR command_tag = 'SELECT INTO'
      FROM pg_catalog.pg_event_trigger_ddl_commands()
     WHERE objid IS NOT NULL AND objid <> 0";

/// The schema that an object lies in, or that its table lies in; NULL for objects that lie in none.
const SCHEMA_OF: &str = "
    CASE $CLASS
      WHEN 'pg_catalog.pg_class'::regclass THEN (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = $OBJECT)
      WHEN 'pg_catalog.pg_constraint'::regclass THEN (SELECT connamespace FROM pg_catalog.pg_constraint WHERE oid = $OBJECT)
      WHEN 'pg_catalog.pg_proc'::regclass THEN (SELECT pronamespace FROM pg_catalog.pg_proc WHERE oid = $OBJECT)
      WHEN 'pg_catalog.pg_type'::regclass THEN (SELECT typnamespace FROM pg_catalog.pg_type WHERE oid = $OBJECT)
      WHEN 'pg_catalog.pg_operator'::regclass THEN (SELECT oprnamespace FROM pg_catalog.pg_operator WHERE oid = $OBJECT)
      WHEN 'pg_catalog.pg_opclass'::regclass THEN (SELECT opcnamespace FROM pg_catalog.pg_opclass WHERE oid = $OBJECT)
      WHEN 'pg_catalog.pg_opfamily'::regclass THEN (SELECT opfnamespace FROM pg_catalog.pg_opfamily WHERE oid = $OBJECT)
      WHEN 'pg_catalog.pg_collation'::regclass THEN (SELECT collnamespace FROM pg_catalog.pg_collation WHERE oid = $OBJECT)
      WHEN 'pg_catalog.pg_conversion'::regclass THEN (SELECT connamespace FROM pg_catalog.pg_conversion WHERE oid = $OBJECT)
      WHEN 'pg_catalog.pg_statistic_ext'::regclass THEN (SELECT stxnamespace FROM pg_catalog.pg_statistic_ext WHERE oid = $OBJECT)
      WHEN 'pg_catalog.pg_ts_config'::regclass THEN (SELECT cfgnamespace FROM pg_catalog.pg_ts_config WHERE oid = $OBJECT)
      WHEN 'pg_catalog.pg_ts_dict'::regclass THEN (SELECT dictnamespace FROM pg_catalog.pg_ts_dict WHERE oid = $OBJECT)
      WHEN 'pg_catalog.pg_ts_parser'::regclass THEN (SELECT prsnamespace FROM pg_catalog.pg_ts_parser WHERE oid = $OBJECT)
      WHEN 'pg_catalog.pg_ts_template'::regclass THEN (SELECT tmplnamespace FROM pg_catalog.pg_ts_template WHERE oid = $OBJECT)
      WHEN 'pg_catalog.pg_rewrite'::regclass THEN
        (SELECT c.relnamespace FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class WHERE r.oid = $OBJECT)
      WHEN 'pg_catalog.pg_attrdef'::regclass THEN
        (SELECT c.relnamespace FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_class c ON c.oid = d.adrelid WHERE d.oid = $OBJECT)
      WHEN 'pg_catalog.pg_trigger'::regclass THEN
        (SELECT c.relnamespace FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid WHERE t.oid = $OBJECT)
      WHEN 'pg_catalog.pg_policy'::regclass THEN
        (SELECT c.relnamespace FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid WHERE p.oid = $OBJECT)
    END";

/// Every dependency from or to the changed objects and what lives inside them. A foreign key's own triggers on the
/// table it points at depend on the constraint, not the other way round: they are no tie.
const TIES: &str = "
    WITH changed (class, object) AS (SELECT * FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS given),
    parts AS (
      SELECT class, object FROM changed
      UNION
      SELECT d.classid, d.objid
        FROM changed c JOIN pg_catalog.pg_depend d ON d.refclassid = c.class AND d.refobjid = c.object
       WHERE d.deptype IN ('i', 'a')),
    edges AS (
      SELECT d.* FROM parts p JOIN pg_catalog.pg_depend d ON d.classid = p.class AND d.objid = p.object
      UNION
      SELECT d.* FROM parts p JOIN pg_catalog.pg_depend d ON d.refclassid = p.class AND d.refobjid = p.object),
    placed AS (
      SELECT $FROM AS from_schema, $TO AS to_schema,
             -- A foreign key depends on an index of the table, too: the table is what counts.
             CASE WHEN refclassid = 'pg_catalog.pg_class'::regclass
                   AND (SELECT relkind NOT IN ('i', 'I') FROM pg_catalog.pg_class WHERE oid = refobjid)
                  THEN refobjid END AS to_relation
        FROM edges
       WHERE refobjid >= 16384 AND NOT (deptype = 'i' AND classid = 'pg_catalog.pg_trigger'::regclass))
    SELECT DISTINCT from_schema, to_schema, to_relation FROM placed
     WHERE from_schema <> to_schema";

const DROPPED: &str = "
    SELECT DISTINCT coalesce(schema_name, address_names[1]), object_name, object_type, is_temporary
      FROM pg_catalog.pg_event_trigger_dropped_objects()";

fn schema_of(class: &str, object: &str) -> String {
    SCHEMA_OF.replace("$CLASS", class).replace("$OBJECT", object)
}

fn bug(error: pgrx::spi::SpiError) -> Error {
    Error::Bug(error.to_string())
}

/// `ddl_command_end`.
fn on_command_end() -> Result<()> {
    if cache::location().is_none() {
        return Ok(());
    }
    let changed = changed_objects()?;
    let share_before = cache::take_remembered_shares();
    for object in &changed {
        let is_relation = object.class == pg_sys::RelationRelationId;
        if is_relation && object.is_created {
            shares::on_object_created(object.object)?;
        } else if let (true, Some(row)) =
            (is_relation || object.class == pg_sys::NamespaceRelationId, share_before(object.object))
        {
            shares::on_object_renamed(&row, object.object, !is_relation)?;
        }
    }
    if !hooks::is_judged() || changed.is_empty() {
        return Ok(());
    }
    let classes: Vec<Oid> = changed.iter().map(|object| object.class).collect();
    let objects: Vec<Oid> = changed.iter().map(|object| object.object).collect();
    if let Some(active) = context::active_schema() {
        ensure_targets(&classes, &objects, active)?;
    }
    ensure_untied(classes, objects)
}

fn changed_objects() -> Result<Vec<Changed>> {
    Spi::connect(|client| {
        let rows = client.select(CHANGED, None, &[])?;
        let mut changed = Vec::new();
        for row in rows {
            if let (Some(class), Some(object)) = (row.get::<Oid>(1)?, row.get::<Oid>(2)?) {
                changed.push(Changed { class, object, is_created: row.get::<bool>(3)?.unwrap_or(false) });
            }
        }
        Ok(changed)
    })
    .map_err(bug)
}

/// With a tenant active: every changed object lies in its schema (or is the session's temporary one).
fn ensure_targets(classes: &[Oid], objects: &[Oid], active: Oid) -> Result<()> {
    let query = format!(
        "SELECT {} FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS changed (class, object)",
        schema_of("class", "object")
    );
    let schemas: Vec<Option<Oid>> = Spi::connect(|client| {
        let rows = client.select(&query, None, &[classes.to_vec().into(), objects.to_vec().into()])?;
        rows.map(|row| row.get::<Oid>(1)).collect::<SpiResult<_>>()
    })
    .map_err(bug)?;
    for schema in schemas {
        let place = schema.map_or(Place::Elsewhere, |schema| cache::place_of_schema(schema, Some(active)));
        if policy::decide_ddl_target(place) != Verdict::Allow {
            return Err(Error::DdlOutside);
        }
    }
    Ok(())
}

fn ensure_untied(classes: Vec<Oid>, objects: Vec<Oid>) -> Result<()> {
    for tie in ties(classes, objects)? {
        let (Some(from), Some(to)) = (tie.from, tie.to) else { continue };
        let (from_home, to_home) = (home(from), home(to));
        if !policy::is_tie_allowed(from_home, to_home) {
            return Err(Error::Tie);
        }
        if let (Home::Tenant(_), Some(active), Some(relation)) =
            (from_home, context::active_schema(), tie.to_relation)
        {
            let place = cache::place_of_relation(relation, to, Some(active));
            if let Verdict::Deny(why) =
                policy::decide_relation(Actor::Ordinary, Context::Tenant, place, Access::Read)
            {
                let names = catalog::relation_names(relation);
                let relation = names.map(|(schema, name)| format!("{schema}.{name}"));
                return Err(Error::Denied { why, relation, active: context::active_org() });
            }
        }
    }
    Ok(())
}

fn ties(classes: Vec<Oid>, objects: Vec<Oid>) -> Result<Vec<Tie>> {
    let query = TIES
        .replace("$FROM", &schema_of("classid", "objid"))
        .replace("$TO", &schema_of("refclassid", "refobjid"));
    Spi::connect(|client| {
        let rows = client.select(&query, None, &[classes.into(), objects.into()])?;
        let mut ties = Vec::new();
        for row in rows {
            ties.push(Tie { from: row.get(1)?, to: row.get(2)?, to_relation: row.get(3)? });
        }
        Ok(ties)
    })
    .map_err(bug)
}

/// Whom the objects of a schema belong to.
fn home(schema: Oid) -> Home {
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

/// `sql_drop`.
fn on_drop() -> Result<()> {
    let Some(location) = cache::location() else { return Ok(()) };
    let own = context::active_schema().and_then(catalog::schema_name);
    let shared = location.shares();
    for (schema, name, kind, is_temporary) in dropped_objects()? {
        if is_temporary {
            continue;
        }
        let is_toast = schema.as_deref() == Some("pg_toast");
        if own.is_some() && hooks::is_judged() && schema != own && !is_toast {
            return Err(Error::DdlOutside);
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

type Dropped = (Option<String>, Option<String>, String, bool);

fn dropped_objects() -> Result<Vec<Dropped>> {
    Spi::connect(|client| {
        let rows = client.select(DROPPED, None, &[])?;
        let mut dropped = Vec::new();
        for row in rows {
            let kind = row.get::<String>(3)?.unwrap_or_default();
            dropped.push((row.get(1)?, row.get(2)?, kind, row.get::<bool>(4)?.unwrap_or(false)));
        }
        Ok(dropped)
    })
    .map_err(bug)
}

/// Whether the call comes from PostgreSQL's event trigger machinery.
fn ensure_event_trigger(fcinfo: pg_sys::FunctionCallInfo) -> Result<()> {
    // SAFETY: a call's context is NULL or a node.
    let is_event_trigger = unsafe {
        !fcinfo.is_null()
            && crate::pg::nodes::tag((*fcinfo).context.cast_const()) == pg_sys::NodeTag::T_EventTriggerData
    };
    if is_event_trigger {
        Ok(())
    } else {
        Err(Error::Bug("not called by the event trigger manager".to_owned()))
    }
}

/// pgrx 0.18 has no event triggers: the functions and their call records are written by hand.
macro_rules! event_trigger {
    ($function:ident, $record:ident, $body:path) => {
        #[unsafe(no_mangle)]
        #[doc(hidden)]
        pub extern "C" fn $record() -> &'static pg_sys::Pg_finfo_record {
            const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
            &V1
        }

        #[unsafe(no_mangle)]
        #[doc(hidden)]
        #[pg_guard]
        pub unsafe extern "C-unwind" fn $function(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            or_raise(ensure_event_trigger(fcinfo));
            or_raise($body());
            pg_sys::Datum::null()
        }
    };
}

event_trigger!(plio_on_ddl_command_end, pg_finfo_plio_on_ddl_command_end, on_command_end);
event_trigger!(plio_on_sql_drop, pg_finfo_plio_on_sql_drop, on_drop);
