//! Every SQL statement that writes the tables of tenants, access, shares and the history; previous owners are owners.rs's.

#![forbid(unsafe_code)]

use super::{ShareRow, bug, change, changing};
use crate::error::Result;
use crate::pg::jsonb::Jsonb;
use crate::pg::session;
use crate::tenant::{Org, ShareMode, Status};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

/// Writes the tenant's row.
pub fn insert_tenant(org: &Org, schema_name: &str, role_name: Option<&str>, settings: Jsonb) -> Result<()> {
    change(
        "INSERT INTO plio.tenants (org, schema_name, role_name, settings) VALUES ($1, $2, $3, $4)",
        &[org.as_str().into(), schema_name.into(), role_name.into(), settings.into()],
    )
    .map_err(bug)
}

/// Makes a role a member of the group for as long as the subtransaction lasts that will be rolled back. GRANT would lock the
/// group's role from 16 on, and so keep create_tenant() waiting; a row that nobody else ever sees needs no lock.
pub fn join_group_without_lock(role: &str) -> Result<()> {
    // Of these columns 15 has the first four. Oids come from one counter: the new role's is free.
    Spi::run_with_args(
        "INSERT INTO pg_catalog.pg_auth_members
         SELECT (pg_catalog.jsonb_populate_record(NULL::pg_catalog.pg_auth_members, pg_catalog.jsonb_build_object(
                'roleid', g.oid, 'member', r.oid, 'grantor', 10, 'admin_option', false,
                'oid', r.oid, 'inherit_option', true, 'set_option', true))).*
           FROM pg_catalog.pg_roles g, pg_catalog.pg_roles r WHERE g.rolname = 'plio_tenant' AND r.rolname = $1",
        &[role.into()],
    )
    .map_err(bug)
}

/// Opens or closes the tenant.
pub fn update_status(org: &Org, status: Status) -> Result<()> {
    change(
        "UPDATE plio.tenants SET status = $2 WHERE org = $1",
        &[org.as_str().into(), status.as_str().into()],
    )
    .map_err(bug)
}

/// Gives the tenant another org, schema name and role name; access follows.
pub fn update_names(org: &Org, new_org: &Org, schema_name: &str, role_name: Option<&str>) -> Result<()> {
    change(
        "UPDATE plio.tenants SET org = $2, schema_name = $3, role_name = $4 WHERE org = $1",
        &[org.as_str().into(), new_org.as_str().into(), schema_name.into(), role_name.into()],
    )
    .map_err(bug)?;
    change("UPDATE plio.access SET org = $2 WHERE org = $1", &[org.as_str().into(), new_org.as_str().into()])
        .map_err(bug)
}

/// Removes the tenant's row, and its access rows with it.
pub fn delete_tenant(org: &Org) -> Result<()> {
    for statement in [
        "DELETE FROM plio.previous_owners
          WHERE tenant_id = (SELECT tenant_id FROM plio.tenants WHERE org = $1)",
        "DELETE FROM plio.access WHERE org = $1",
        "DELETE FROM plio.tenants WHERE org = $1",
    ] {
        change(statement, &[org.as_str().into()]).map_err(bug)?;
    }
    Ok(())
}

/// Lets a role enter an org, or every tenant; a second time changes nothing. A row under that name that was not this
/// role's becomes it.
pub fn insert_access(role: &str, oid: Oid, org: Option<&Org>) -> Result<()> {
    change(
        "INSERT INTO plio.access AS a (role_name, org, role_oid, cluster) VALUES ($1, $2, $3, $4)
         ON CONFLICT (org, role_name) DO UPDATE
            SET role_oid = excluded.role_oid, cluster = excluded.cluster,
                granted_at = excluded.granted_at, granted_by = excluded.granted_by
          WHERE (a.role_oid, a.cluster) IS DISTINCT FROM (excluded.role_oid, excluded.cluster)",
        &[role.into(), org.map(Org::as_str).into(), oid.into(), session::cluster().into()],
    )
    .map_err(bug)
}

/// Takes a role's access to an org, or to every tenant, away; other rows of the role stay.
pub fn delete_access(role: &str, org: Option<&Org>) -> Result<()> {
    change(
        "DELETE FROM plio.access WHERE role_name = $1 AND org IS NOT DISTINCT FROM $2",
        &[role.into(), org.map(Org::as_str).into()],
    )
    .map_err(bug)
}

/// Takes all of a role's access away.
pub fn delete_every_access(role: &str) -> Result<()> {
    change("DELETE FROM plio.access WHERE role_name = $1", &[role.into()]).map_err(bug)
}

/// Whether a role still has access to anything.
pub fn has_any_access(role: &str) -> Result<bool> {
    let found = Spi::get_one_with_args::<bool>(
        "SELECT EXISTS (SELECT 1 FROM plio.access WHERE role_name = $1)",
        &[role.into()],
    );
    Ok(found.map_err(bug)?.unwrap_or(false))
}

/// A role has another name now, before the registry knows roles by their oids (release 0.1.0's tables); true when it had
/// access to something.
pub fn rename_role(old: &str, new: &str) -> Result<bool> {
    let query = "WITH renamed AS (UPDATE plio.access SET role_name = $2 WHERE role_name = $1 RETURNING 1)
         SELECT count(*) FROM renamed";
    let count = changing(|| Spi::get_one_with_args::<i64>(query, &[old.into(), new.into()]));
    Ok(count.map_err(bug)?.unwrap_or(0) > 0)
}

/// Shares a relation, a function or a whole schema; a second time changes the mode.
pub fn upsert_share(
    schema_name: &str,
    relation_name: Option<&str>,
    mode: ShareMode,
    is_function: bool,
) -> Result<()> {
    change(
        "INSERT INTO plio.shares (schema_name, relation_name, mode, is_function) VALUES ($1, $2, $3, $4)
         ON CONFLICT (schema_name, relation_name, is_function) DO UPDATE SET mode = excluded.mode",
        &[schema_name.into(), relation_name.into(), mode.as_str().into(), is_function.into()],
    )
    .map_err(bug)
}

/// Takes a share back; true when there was one.
pub fn delete_share(schema_name: &str, relation_name: Option<&str>, is_function: bool) -> Result<bool> {
    // As for rename_share().
    let query = "WITH gone AS (DELETE FROM plio.shares s
                       WHERE schema_name = $1 AND relation_name IS NOT DISTINCT FROM $2
                         AND COALESCE((pg_catalog.to_jsonb(s) ->> 'is_function')::boolean, false) = $3 RETURNING 1)
         SELECT count(*) FROM gone";
    let arguments = [schema_name.into(), relation_name.into(), is_function.into()];
    let count = changing(|| Spi::get_one_with_args::<i64>(query, &arguments));
    Ok(count.map_err(bug)?.unwrap_or(0) > 0)
}

/// The function that a text such as `public.f(integer)` names.
pub fn function_of_text(text: &str) -> Result<Option<pgrx::pg_sys::Oid>> {
    Spi::get_one_with_args::<pgrx::pg_sys::Oid>(
        "SELECT pg_catalog.to_regprocedure($1)::pg_catalog.oid",
        &[text.into()],
    )
    .map_err(bug)
}

/// A shared relation or schema has another name now.
pub fn rename_share(old: &ShareRow, schema_name: &str, relation_name: Option<&str>) -> Result<()> {
    let old_relation = old.relation_name.as_deref();
    let statement = match relation_name {
        // 0.1.0's table, over which this library works until the update, has no column is_function.
        Some(_) => {
            "UPDATE plio.shares s SET schema_name = $3, relation_name = $4
              WHERE schema_name = $1 AND relation_name = $2
                AND COALESCE((pg_catalog.to_jsonb(s) ->> 'is_function')::boolean, false) = $5"
        }
        None => {
            "UPDATE plio.shares SET schema_name = $3
              WHERE schema_name = $1 AND $2::text IS NULL AND $4::text IS NULL AND $5 IS NOT NULL"
        }
    };
    let (old_schema, is_function) = (old.schema_name.as_str(), old.is_function);
    change(
        statement,
        &[
            old_schema.into(),
            old_relation.into(),
            schema_name.into(),
            relation_name.into(),
            is_function.into(),
        ],
    )
    .map_err(bug)
}

/// Writes what was done into the history, in the same transaction.
pub fn record(action: &str, org: Option<&Org>, detail: serde_json::Value) -> Result<()> {
    change(
        "INSERT INTO plio.history (action, org, detail) VALUES ($1, $2, $3)",
        &[action.into(), org.map(Org::as_str).into(), pgrx::JsonB(detail).into()],
    )
    .map_err(bug)
}
