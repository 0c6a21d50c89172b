//! Report views: `plio_reports.<name>`, a table of all tenants' tables of a name, with the organization in front.
//!
//! In PostgreSQL's terms a foreign table of a server of ours (hooks/report_scan.rs reads it). It names no tenant's object,
//! so it ties nothing together, and needs no care when tenants come and go: they are looked up when it is read.

#![forbid(unsafe_code)]

use crate::error::{self, Error, Result};
use crate::lifecycle::begin_management;
use crate::pg::types::Type;
use crate::pg::{catalog, quote_identifier, quote_literal};
use crate::registry::{self, bug};
use crate::report::lossless;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use serde_json::json;

/// The columns that most of the tenants with such a table have, as a column list. What is of a tenant's own type is text.
/// Types come without modifiers: a value that is longer or finer in one tenant than in most is not cut to theirs. Where another
/// of the types that tenants have there takes over the values of all exactly, the column is of that one (lossless.rs).
const COLUMNS: &str = "
    WITH tenant AS (
        SELECT t.tenant_id, n.oid AS schema FROM plio.tenants t JOIN pg_namespace n ON n.nspname = t.schema_name
    ), shape AS (
        SELECT tenant.tenant_id,
               array_agg(a.attname::text ORDER BY a.attnum) AS names,
               array_agg(CASE WHEN y.typnamespace IN (SELECT schema FROM tenant) THEN 'text'::regtype::oid
                              ELSE y.oid END ORDER BY a.attnum) AS types
          FROM tenant
          JOIN pg_class c ON c.relnamespace = tenant.schema AND c.relname = $1 AND c.relkind IN ('r', 'p', 'v', 'm')
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          JOIN pg_type y ON y.oid = a.atttypid
         GROUP BY tenant.tenant_id
    )
    SELECT names, types FROM shape GROUP BY names, types ORDER BY count(*) DESC, min(tenant_id) LIMIT 1";

/// All types that a column of the tenants' has, the most frequent first. What is of a tenant's own type is text.
const TYPES: &str = "
    WITH tenant AS (
        SELECT n.oid AS schema FROM plio.tenants t JOIN pg_namespace n ON n.nspname = t.schema_name
    ), found AS (
        SELECT CASE WHEN y.typnamespace IN (SELECT schema FROM tenant) THEN 'text'::regtype::oid ELSE y.oid END AS type
          FROM tenant
          JOIN pg_class c ON c.relnamespace = tenant.schema AND c.relname = $1 AND c.relkind IN ('r', 'p', 'v', 'm')
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped
          JOIN pg_type y ON y.oid = a.atttypid
    ), counted AS (SELECT type, count(*) AS times FROM found GROUP BY type)
    SELECT array_agg(type ORDER BY times DESC, type) FROM counted";

/// Makes a report view, or makes it anew with the columns that the tenants have now.
///
/// # Errors
/// 42704 (no tenant has such a table), 22023 (a column is named as the organization's), 25001, 2BP01.
pub fn create(name: &str, table: &str, org_column: &str) -> Result<()> {
    begin_management("create_report_view")?;
    for (argument, value) in [("name", name), ("table_name", table), ("org_column", org_column)] {
        ensure_identifier(argument, value)?;
    }
    let (names, types) = columns(table)?;
    if names.iter().any(|column| column == org_column) {
        return Err(Error::BadArgument {
            message: format!("the tenants' table \"{table}\" has a column \"{org_column}\" of its own"),
            hint: "Pass another name for the organization's column as org_column.",
        });
    }
    let columns: Vec<String> = names
        .iter()
        .zip(&types)
        .map(|(name, type_)| Ok(format!("{} {}", quote_identifier(name), common_type(table, name, *type_)?)))
        .collect::<Result<_>>()?;
    let view = format!("plio_reports.{}", quote_identifier(name));
    if exists(name)? {
        registry::run(&format!("DROP FOREIGN TABLE {view}"))?;
    }
    registry::run(&format!(
        "CREATE FOREIGN TABLE {view} ({} text{}{}) SERVER plio_tenants OPTIONS (table_name {})",
        quote_identifier(org_column),
        if columns.is_empty() { "" } else { ", " },
        columns.join(", "),
        quote_literal(table),
    ))?;
    registry::run(&format!("REVOKE ALL ON {view} FROM PUBLIC"))?;
    registry::run(&format!("GRANT SELECT ON {view} TO plio_reporter, plio_auditor"))?;
    registry::record(
        "create_report_view",
        None,
        json!({ "name": name, "table_name": table, "columns": names }),
    )
}

/// Drops a report view.
///
/// # Errors
/// 42704, 25001; 2BP01 when something depends on it.
pub fn drop(name: &str) -> Result<()> {
    begin_management("drop_report_view")?;
    if !exists(name)? {
        return Err(Error::UnknownObject { kind: "report view", name: name.to_owned() });
    }
    registry::run(&format!("DROP FOREIGN TABLE plio_reports.{}", quote_identifier(name)))?;
    registry::record("drop_report_view", None, json!({ "name": name }))
}

fn ensure_identifier(argument: &str, value: &str) -> Result<()> {
    if value.is_empty() || value.len() > crate::tenant::MAX_IDENTIFIER_BYTES {
        return Err(Error::BadArgument {
            message: format!("argument \"{argument}\" is no identifier"),
            hint: "Use 1 to 63 bytes.",
        });
    }
    Ok(())
}

/// The type of a report view's column: most tenants', unless another one takes over more tenants' values exactly.
fn common_type(table: &str, column: &str, most: Oid) -> Result<String> {
    let all = Spi::get_one_with_args::<Vec<Oid>>(TYPES, &[table.into(), column.into()]).map_err(bug)?;
    let all = all.unwrap_or_default();
    let type_of = |oid| Type::of(oid, -1, None);
    let chosen = lossless::common(most, &all, type_of);
    let name = |oid| catalog::type_name_with_modifier(oid, -1);
    if !lossless::takes_all(chosen, &all, type_of) {
        let types: Vec<String> = all.iter().map(|oid| name(*oid)).collect();
        error::warn(
            &format!(
                "no type that tenants have for column \"{column}\" of table \"{table}\" holds the values of all"
            ),
            &format!(
                "Types: {}. The report view has {}; tenants whose values it cannot hold are missing from reports that read the column.",
                types.join(", "),
                name(chosen)
            ),
            "Give the column one type in all tenants, or in one of them a type that holds every tenant's values; then call plio.create_report_view() again.",
        );
    }
    Ok(name(chosen))
}

fn columns(table: &str) -> Result<(Vec<String>, Vec<Oid>)> {
    let found = Spi::get_two_with_args::<Vec<String>, Vec<Oid>>(COLUMNS, &[table.into()]);
    match found {
        Ok((Some(names), Some(types))) => Ok((names, types)),
        Ok(_) | Err(pgrx::spi::SpiError::InvalidPosition) => {
            Err(Error::UnknownObject { kind: "tenants' table", name: table.to_owned() })
        }
        Err(error) => Err(bug(error)),
    }
}

fn exists(name: &str) -> Result<bool> {
    let found = Spi::get_one_with_args::<bool>(
        "SELECT EXISTS (SELECT 1 FROM pg_foreign_table t
                          JOIN pg_class c ON c.oid = t.ftrelid JOIN pg_foreign_server s ON s.oid = t.ftserver
                         WHERE c.relname = $1 AND c.relnamespace = 'plio_reports'::regnamespace
                           AND s.srvname = 'plio_tenants')",
        &[name.into()],
    );
    Ok(found.map_err(bug)?.unwrap_or(false))
}
