//! What tenants may reach outside their schema: declared in the registry, and granted to the group `plio_tenant`.
//!
//! Both must hold: the registry opens the access check, the grant opens PostgreSQL's own. A schema shared as a whole
//! includes what is created in it later (ddl.rs calls [`on_object_created`]).

#![forbid(unsafe_code)]

pub mod path;

use crate::error::{Error, Result};
use crate::lifecycle::begin_management;
use crate::pg::{catalog, quote_identifier, session};
use crate::registry::ties::Mended;
use crate::registry::{self, ShareRow};
use crate::tenant::ShareMode;
use crate::{cache, cache::SchemaKind};
use pgrx::pg_sys::{self, Oid};
use serde_json::json;

/// What the group gets on tables; REFERENCES lets a tenant's foreign key point at a shared table.
fn table_privileges(mode: ShareMode) -> &'static str {
    match mode {
        ShareMode::Read => "SELECT, REFERENCES",
        ShareMode::Write => "SELECT, REFERENCES, INSERT, UPDATE, DELETE",
    }
}

/// What it gets on sequences: never setval, which would be UPDATE.
fn sequence_privileges(mode: ShareMode) -> &'static str {
    match mode {
        ShareMode::Read => "SELECT",
        ShareMode::Write => "SELECT, USAGE",
    }
}

/// Something that can be shared.
enum Target {
    Schema { name: String },
    Relation { schema: String, name: String, oid: Oid, is_sequence: bool },
    Function { schema: String, signature: String },
}

/// Finds `schema.function(types)`.
fn resolve_function(object: &str) -> Result<Target> {
    let found = registry::function_of_text(object)?;
    let schema = found.and_then(catalog::function_schema);
    let (Some(schema), Some((name, signature))) = (schema, found.and_then(catalog::function_signature))
    else {
        return Err(Error::UnknownObject { kind: "function", name: object.to_owned() });
    };
    ensure_shareable(schema, object)?;
    Ok(Target::Function { schema: name, signature })
}

/// Finds `schema`, `schema.relation` or `schema.function(types)`.
fn resolve(object: &str) -> Result<Target> {
    if object.trim_end().ends_with(')') {
        return resolve_function(object);
    }
    let unknown = |kind| Error::UnknownObject { kind, name: object.to_owned() };
    match catalog::split_qualified(object).as_slice() {
        [schema] => {
            let oid = catalog::schema_oid(schema).ok_or_else(|| unknown("schema"))?;
            ensure_shareable(oid, object)?;
            Ok(Target::Schema { name: schema.clone() })
        }
        [schema, name] => {
            let schema_oid = catalog::schema_oid(schema).ok_or_else(|| unknown("schema"))?;
            ensure_shareable(schema_oid, object)?;
            let oid = catalog::relation_oid(name, schema_oid).ok_or_else(|| unknown("relation"))?;
            match catalog::relation_kind(oid) {
                Some(kind @ ('r' | 'p' | 'v' | 'm' | 'f' | 'S')) => Ok(Target::Relation {
                    schema: schema.clone(),
                    name: name.clone(),
                    oid,
                    is_sequence: kind == 'S',
                }),
                _ => Err(unknown("table, view or sequence")),
            }
        }
        _ => Err(Error::BadArgument {
            message: format!(
                "\"{object}\" is neither a schema, a schema.relation nor a schema.function(types)"
            ),
            hint: "Write plio.share('public.users', 'read') or plio.share('lookup', 'read').",
        }),
    }
}

/// Shares a table, a view, a sequence, a function or a whole schema.
///
/// # Errors
/// 22023 (mode, or not to be shared), 42704, 25001.
pub fn share(object: &str, mode: &str) -> Result<()> {
    begin_management("share")?;
    let mode = ShareMode::parse(mode).ok_or_else(|| Error::BadArgument {
        message: format!("\"{mode}\" is no mode to share in"),
        hint: "Use 'read' or 'write'.",
    })?;
    let target = resolve(object)?;
    ensure_may_open(&target, mode)?;
    match target {
        Target::Schema { name } => {
            registry::upsert_share(&name, None, mode, false)?;
            settle_schema(&name)?;
        }
        Target::Function { .. } if mode == ShareMode::Write => {
            return Err(Error::BadArgument {
                message: "a function cannot be shared to write".to_owned(),
                hint: "Use 'read': tenants may call it.",
            });
        }
        Target::Function { schema, signature } => {
            registry::upsert_share(&schema, Some(&signature), mode, true)?;
            settle_function(&schema, &signature, true)?;
        }
        Target::Relation { schema, name, oid, is_sequence } => {
            registry::upsert_share(&schema, Some(&name), mode, false)?;
            settle_relation(&schema, &name, is_sequence)?;
            for (schema, sequence) in catalog::owned_sequences(oid) {
                registry::upsert_share(&schema, Some(&sequence), mode, false)?;
                settle_relation(&schema, &sequence, true)?;
            }
        }
    }
    registry::record("share", None, json!({ "object": object, "mode": mode.as_str() }))?;
    path::open().map(drop)
}

/// Whoever may write what an extension trusts (pg_cron's jobs, say, which it runs as any role) is as strong as its owner. So a
/// plain administrator shares the tables and sequences of a stronger role's extension to read only, unless he may open them himself.
/// And sharing gives the group USAGE on the schema, which may be all that keeps functions in it from being called: who may not
/// call them himself does not open them.
fn ensure_may_open(target: &Target, mode: ShareMode) -> Result<()> {
    let caller = session::outer_user();
    if catalog::is_superuser(caller) {
        return Ok(());
    }
    let (schema, relation) = match target {
        Target::Schema { name } => (name, None),
        Target::Relation { schema, name, .. } => (schema, Some(name.as_str())),
        Target::Function { schema, .. } => (schema, None),
    };
    if let Some(owner) = registry::owner_of_functions_closed_to(schema, caller)? {
        return Err(Error::TakenFromStronger {
            what: format!("the functions of schema {}", quote_identifier(schema)),
            owner,
        });
    }
    if let Target::Function { schema, signature } = target {
        return ensure_may_lend(schema, signature, caller);
    }
    if mode == ShareMode::Read {
        return Ok(());
    }
    for object in registry::extension_relations_closed_to(schema, relation, caller)? {
        if registry::strength_of(object.owner_oid)?.is_some() {
            return Err(Error::TakenFromStronger { what: object.what, owner: object.owner });
        }
    }
    Ok(())
}

/// Sharing a function grants EXECUTE on it. A plain administrator cannot lend what he may not run himself: in a tenant he would
/// run a stronger role's definer function.
fn ensure_may_lend(schema: &str, signature: &str, caller: Oid) -> Result<()> {
    let function = catalog::schema_oid(schema).and_then(|at| catalog::function_by_signature(at, signature));
    match function {
        Some(function) if !catalog::may_execute(caller, function) => {
            let owner = catalog::function(function).and_then(|code| catalog::role_name(code.owner));
            Err(Error::TakenFromStronger {
                what: format!("function {}.{signature}", quote_identifier(schema)),
                owner: owner.unwrap_or_default(),
            })
        }
        _ => Ok(()),
    }
}

/// Takes a share back.
///
/// # Errors
/// 42704 (nothing of that name is shared), 25001.
pub fn unshare(object: &str) -> Result<()> {
    begin_management("unshare")?;
    let target = resolve(object)?;
    let (Target::Schema { name: schema } | Target::Relation { schema, .. } | Target::Function { schema, .. }) =
        &target;
    let schema = schema.clone();
    let was_shared = match target {
        Target::Function { schema, signature } => {
            settle_function(&schema, &signature, false)?;
            registry::delete_share(&schema, Some(&signature), true)?
        }
        Target::Schema { name } => {
            let was_shared = registry::delete_share(&name, None, false)?;
            settle_schema(&name)?;
            was_shared
        }
        Target::Relation { schema, name, oid, is_sequence } => {
            let was_shared = registry::delete_share(&schema, Some(&name), false)?;
            settle_relation(&schema, &name, is_sequence)?;
            for (schema, sequence) in catalog::owned_sequences(oid) {
                registry::delete_share(&schema, Some(&sequence), false)?;
                settle_relation(&schema, &sequence, true)?;
            }
            was_shared
        }
    };
    if !was_shared {
        return Err(Error::UnknownObject { kind: "share", name: object.to_owned() });
    }
    close_schema(&schema)?;
    registry::record("unshare", None, json!({ "object": object }))
}

/// Takes the group's USAGE on a schema back once nothing is shared in it. An extension's schema stays open: it is in tenants' path.
fn close_schema(name: &str) -> Result<()> {
    let Some(schema) = catalog::schema_oid(name) else { return Ok(()) };
    if !shared_in(name).is_empty() || registry::is_extensions_schema(schema)? {
        return Ok(());
    }
    registry::run(&format!("REVOKE USAGE ON SCHEMA {} FROM plio_tenant", quote_identifier(name)))
}

/// Makes the group's grants on a relation what the registry says: the wider of its own share and its schema's.
fn settle_relation(schema: &str, name: &str, is_sequence: bool) -> Result<()> {
    if settle_privileges(schema, name, is_sequence)? { open_schema(schema) } else { Ok(()) }
}

fn open_schema(schema: &str) -> Result<()> {
    registry::run(&format!("GRANT USAGE ON SCHEMA {} TO plio_tenant", quote_identifier(schema)))
}

/// The same, but for the schema: whether the relation is shared.
fn settle_privileges(schema: &str, name: &str, is_sequence: bool) -> Result<bool> {
    let (kind, privileges): (_, fn(ShareMode) -> &'static str) =
        if is_sequence { ("SEQUENCE", sequence_privileges) } else { ("TABLE", table_privileges) };
    let relation = qualified(schema, name);
    registry::run(&format!("REVOKE ALL ON {kind} {relation} FROM plio_tenant"))?;
    let rows = shared_in(schema);
    let its_own = |row: &&ShareRow| {
        !row.is_function && row.relation_name.as_deref().is_none_or(|relation| relation == name)
    };
    let Some(mode) = rows.iter().filter(its_own).map(|row| row.mode).max() else { return Ok(false) };
    registry::run(&format!("GRANT {} ON {kind} {relation} TO plio_tenant", privileges(mode)))?;
    Ok(true)
}

/// The group's grants on a function: to call it.
fn settle_function(schema: &str, signature: &str, is_shared: bool) -> Result<()> {
    let routine = format!("{}.{signature}", quote_identifier(schema));
    if is_shared {
        open_schema(schema)?;
        registry::run(&format!("GRANT EXECUTE ON ROUTINE {routine} TO plio_tenant"))
    } else {
        registry::run(&format!("REVOKE EXECUTE ON ROUTINE {routine} FROM plio_tenant"))
    }
}

/// As [`settle_relation`], for all that lies in a schema.
fn settle_schema(name: &str) -> Result<()> {
    let schema = quote_identifier(name);
    for kind in ["TABLES", "SEQUENCES"] {
        registry::run(&format!("REVOKE ALL ON ALL {kind} IN SCHEMA {schema} FROM plio_tenant"))?;
    }
    let rows = shared_in(name);
    if let Some(whole) = rows.iter().find(|row| row.relation_name.is_none()) {
        let (tables, sequences) = (table_privileges(whole.mode), sequence_privileges(whole.mode));
        open_schema(name)?;
        registry::run(&format!("GRANT {tables} ON ALL TABLES IN SCHEMA {schema} TO plio_tenant"))?;
        registry::run(&format!("GRANT {sequences} ON ALL SEQUENCES IN SCHEMA {schema} TO plio_tenant"))?;
    }
    let Some(schema_oid) = catalog::schema_oid(name) else { return Ok(()) };
    for relation in rows.iter().filter_map(|row| row.relation_name.as_deref()) {
        if let Some(oid) = catalog::relation_oid(relation, schema_oid) {
            settle_relation(name, relation, catalog::relation_kind(oid) == Some('S'))?;
        }
    }
    Ok(())
}

/// Grants to the group what the registry shares and the group has not: after a restore without the roles or their grants. Gives
/// what it granted.
///
/// # Errors
/// Those of GRANT.
pub fn regrant() -> Result<Vec<Mended>> {
    let mut done = Vec::new();
    for lost in registry::shares_without_grants()? {
        let name = match lost.relation_name.as_deref() {
            None => {
                settle_schema(&lost.schema_name)?;
                quote_identifier(&lost.schema_name)
            }
            Some(signature) if lost.is_function => {
                settle_function(&lost.schema_name, signature, true)?;
                format!("{}.{signature}", quote_identifier(&lost.schema_name))
            }
            Some(relation) => {
                let oid = catalog::schema_oid(&lost.schema_name)
                    .and_then(|schema| catalog::relation_oid(relation, schema));
                let is_sequence = oid.and_then(catalog::relation_kind) == Some('S');
                settle_relation(&lost.schema_name, relation, is_sequence)?;
                qualified(&lost.schema_name, relation)
            }
        };
        done.push(Mended { action: "share_granted", old: name, new: "plio_tenant".to_owned(), org: None });
    }
    Ok(done)
}

/// The registry's rows for a schema and what lies in it, as of this command.
fn shared_in(schema: &str) -> Vec<ShareRow> {
    let rows = cache::location().map(|location| location.shares()).unwrap_or_default();
    rows.into_iter().filter(|row| row.schema_name == schema).collect()
}

/// A relation was created: in a schema that is shared as a whole it is shared, too.
///
/// # Errors
/// Those of GRANT.
pub fn on_relation_created(relation: Oid) -> Result<()> {
    match catalog::relation_schema(relation).map(cache::schema_kind) {
        Some(SchemaKind::Shared(_)) => settle(relation),
        _ => Ok(()),
    }
}

/// A relation was moved into another schema, with the sequences that it owns: perhaps into or out of a shared one.
///
/// # Errors
/// Those of GRANT.
pub fn on_relation_moved(relation: Oid) -> Result<()> {
    settle(relation)?;
    for sequence in catalog::owned_sequence_oids(relation) {
        settle(sequence)?;
    }
    Ok(())
}

fn settle(relation: Oid) -> Result<()> {
    let Some(kind @ ('r' | 'p' | 'v' | 'm' | 'f' | 'S')) = catalog::relation_kind(relation) else {
        return Ok(());
    };
    // What an extension made stays as it granted it: its owner may be stronger than whoever shared the schema.
    if catalog::extension_of(pg_sys::RelationRelationId, relation).is_some() {
        return Ok(());
    }
    let Some((schema, name)) = catalog::relation_names(relation) else { return Ok(()) };
    // Whoever may not open the schema does not open it by moving a shared table there; plio.repair() does, for an administrator.
    let user = session::current_user();
    session::as_superuser(|| {
        if settle_privileges(&schema, &name, kind == 'S')? && registry::may_open_schema(&schema, user)? {
            open_schema(&schema)?;
        }
        Ok(())
    })
}

/// Something was renamed or moved: every share follows its object, owned sequences that went along included. It ends where nothing
/// may be shared: in a tenant's schema, say.
///
/// # Errors
/// XX000.
pub fn on_rename(renaming: &cache::Renaming) -> Result<()> {
    for (object, row) in renaming.shares_before() {
        let names = match row.relation_name {
            Some(_) if row.is_function => {
                catalog::function_signature(object).map(|(schema, name)| (schema, Some(name)))
            }
            None => catalog::schema_name(object).map(|schema| (schema, None)),
            Some(_) => catalog::relation_names(object).map(|(schema, name)| (schema, Some(name))),
        };
        if let Some((schema, relation)) = names
            && (schema != row.schema_name || relation != row.relation_name)
        {
            let old = (&row.schema_name, &row.relation_name);
            let is_over = schema != row.schema_name
                && row.relation_name.is_some()
                && catalog::schema_oid(&schema).is_none_or(|schema| !is_shareable(schema));
            session::as_superuser(|| {
                if is_over {
                    if let (true, Some(signature)) = (row.is_function, &relation) {
                        settle_function(&schema, signature, false)?;
                    }
                    return on_object_dropped(
                        &row.schema_name,
                        row.relation_name.as_deref(),
                        row.is_function,
                    );
                }
                registry::rename_share(row, &schema, relation.as_deref())?;
                let detail = json!({ "schema_name": old.0, "relation_name": old.1, "new_schema_name": schema,
                    "new_relation_name": relation });
                registry::record("share_follows_object", None, detail)?;
                if schema == row.schema_name { Ok(()) } else { close_schema(&row.schema_name) }
            })?;
        }
    }
    Ok(())
}

/// A relation, a function or a schema was dropped: so is its share.
///
/// # Errors
/// XX000.
pub fn on_object_dropped(schema: &str, relation: Option<&str>, is_function: bool) -> Result<()> {
    session::as_superuser(|| {
        if registry::delete_share(schema, relation, is_function)? {
            let detail = json!({ "schema_name": schema, "relation_name": relation });
            registry::record("share_ends_with_object", None, detail)?;
            close_schema(schema)?;
        }
        Ok(())
    })
}

/// Whether the schema may be shared at all.
///
/// # Errors
/// 22023: a tenant's, PostgreSQL's own, or ours.
fn ensure_shareable(schema: Oid, label: &str) -> Result<()> {
    if is_shareable(schema) {
        return Ok(());
    }
    Err(Error::BadArgument {
        message: format!("\"{label}\" cannot be shared with tenants"),
        hint: "Share what lies in a schema of the application: not a tenant's, not PostgreSQL's, not plio's.",
    })
}

fn is_shareable(schema: Oid) -> bool {
    matches!(cache::schema_kind(schema), SchemaKind::Shared(_) | SchemaKind::Other)
        && !catalog::is_own_temporary(schema)
        && !catalog::is_foreign_temporary(schema)
        && catalog::schema_name(schema).is_some_and(|name| name != "$user" && name != "plio_reports")
}

/// The name as it stands in SQL, quoted where needed.
fn qualified(schema: &str, relation: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(relation))
}
