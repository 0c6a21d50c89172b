//! Names in the registry and the roles that they stand for: what follows a renamed role, and what is tied anew.
//!
//! A row of plio.access says for which role of which cluster it is; its name is for people, and for the moment when the row
//! arrives in another cluster. A tenant's role is the owner of its schema.

#![forbid(unsafe_code)]

use super::{Location, bug};
use crate::error::Result;
use crate::pg::{catalog, session};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// What was changed for a role: its name in the registry before, its name now, and the tenant if it is about one.
pub struct Mended {
    /// What was done: a word for the history.
    pub action: &'static str,
    /// The name that the registry had.
    pub old: String,
    /// The role's name.
    pub new: String,
    /// The tenant.
    pub org: Option<String>,
}

/// Whether the table has the columns that say whose a row is: release 0.1.0's has not.
pub fn has_ties(location: &Location) -> bool {
    catalog::has_column(location.access, c"role_oid")
}

/// Rows that came from another cluster and fit this one, as after pg_upgrade, become this one's.
const ADOPT: &str = "
    UPDATE plio.access a SET cluster = $1 FROM pg_catalog.pg_roles r
     WHERE a.cluster <> $1 AND r.rolname = a.role_name AND r.oid = a.role_oid";

/// A name that a role of this cluster had when it was granted access.
const RENAMED: &str = "
    SELECT DISTINCT a.role_name, r.rolname::text, NULL::text FROM plio.access a JOIN pg_catalog.pg_roles r ON r.oid = a.role_oid
     WHERE a.cluster = $1 AND r.rolname <> a.role_name";

/// What stands in the way of a name that follows its role: a second row of the role's, or a row of nobody's.
const IN_THE_WAY: &str = "
    DELETE FROM plio.access d USING plio.access a, pg_catalog.pg_roles r
     WHERE a.cluster = $1 AND r.oid = a.role_oid AND r.rolname <> a.role_name AND a.ctid <> d.ctid
       AND a.org IS NOT DISTINCT FROM d.org
       AND ((d.cluster = $1 AND d.role_oid = a.role_oid AND d.ctid > a.ctid)
            OR (d.role_name = r.rolname
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles o WHERE o.oid = d.role_oid AND d.cluster = $1)))";

/// Two roles may have swapped their names: none must meet the other's on the way.
const FOLLOW: [&str; 2] = [
    "UPDATE plio.access a SET role_name = 'role ' || a.role_oid FROM pg_catalog.pg_roles r
      WHERE a.cluster = $1 AND r.oid = a.role_oid AND r.rolname <> a.role_name",
    "UPDATE plio.access a SET role_name = r.rolname FROM pg_catalog.pg_roles r
      WHERE a.cluster = $1 AND r.oid = a.role_oid AND r.rolname <> a.role_name",
];

/// Gives every row of plio.access its role's present name: roles are renamed in other databases, too.
pub fn follow_roles() -> Result<Vec<Mended>> {
    let cluster = session::cluster();
    super::change(ADOPT, &[cluster.into()]).map_err(bug)?;
    let renamed = mended("access_follows_role", RENAMED)?;
    if !renamed.is_empty() {
        for statement in [IN_THE_WAY].into_iter().chain(FOLLOW) {
            super::change(statement, &[cluster.into()]).map_err(bug)?;
        }
    }
    Ok(renamed)
}

/// A role has just been renamed; its rows from another cluster that fitted still fit.
pub fn adopt_renamed(old: &str, role: Oid) -> Result<()> {
    super::change(
        "UPDATE plio.access SET cluster = $1 WHERE cluster <> $1 AND role_name = $2 AND role_oid = $3",
        &[session::cluster().into(), old.into(), role.into()],
    )
    .map_err(bug)
}

/// A role has just been renamed: where it owned an adopted tenant's objects, its name follows.
pub fn rename_owner(location: &Location, old: &str, role: Option<Oid>) -> Result<()> {
    let table = catalog::relation_oid("previous_owners", location.schema);
    let (Some(table), Some(role)) = (table, role) else { return Ok(()) };
    let new = catalog::role_name(role).unwrap_or_default();
    if catalog::has_column(table, c"owner_oid") {
        super::change(
            "UPDATE plio.previous_owners SET owner_name = $2, cluster = $3
              WHERE owner_oid = $4 AND (cluster = $3 OR owner_name = $1)",
            &[old.into(), new.into(), session::cluster().into(), role.into()],
        )
    } else {
        super::change(
            "UPDATE plio.previous_owners SET owner_name = $2 WHERE owner_name = $1",
            &[old.into(), new.into()],
        )
    }
    .map_err(bug)
}

/// What plio.repair() does for the owners of before: names follow their roles, and rows from elsewhere go to the roles that have
/// their names here.
pub fn tie_owners() -> Result<Vec<Mended>> {
    let mut done = Vec::new();
    for (action, condition) in [
        ("owner_follows_role", "p.cluster = $1 AND r.oid = p.owner_oid AND r.rolname <> p.owner_name"),
        ("owner_tied", "(p.cluster IS DISTINCT FROM $1 OR p.owner_oid IS NULL) AND r.rolname = p.owner_name"),
    ] {
        let found = mended(
            action,
            &format!(
                "SELECT DISTINCT p.owner_name, r.rolname::text, t.org FROM plio.previous_owners p
                   JOIN pg_catalog.pg_roles r ON {condition} JOIN plio.tenants t USING (tenant_id)"
            ),
        )?;
        if !found.is_empty() {
            super::change(
                &format!(
                    "UPDATE plio.previous_owners p SET owner_name = r.rolname, owner_oid = r.oid, cluster = $1
                       FROM pg_catalog.pg_roles r WHERE {condition}"
                ),
                &[session::cluster().into()],
            )
            .map_err(bug)?;
        }
        done.extend(found);
    }
    Ok(done)
}

/// Ties the rows that came from elsewhere, or from release 0.1.0's dump, to the roles that have their names here.
pub fn tie_by_name() -> Result<Vec<Mended>> {
    let found = mended(
        "access_tied",
        "SELECT DISTINCT a.role_name, a.role_name, a.org FROM plio.access a JOIN pg_catalog.pg_roles r ON r.rolname = a.role_name
          WHERE a.cluster IS DISTINCT FROM $1 OR a.role_oid IS NULL",
    )?;
    if !found.is_empty() {
        super::change(
            "UPDATE plio.access a SET role_oid = r.oid, cluster = $1 FROM pg_catalog.pg_roles r
              WHERE (a.cluster IS DISTINCT FROM $1 OR a.role_oid IS NULL) AND r.rolname = a.role_name",
            &[session::cluster().into()],
        )
        .map_err(bug)?;
    }
    Ok(found)
}

/// Gives a tenant the name of the role that owns its schema, where that is a tenant's role and no other tenant's.
pub fn follow_owners() -> Result<Vec<Mended>> {
    let found = mended(
        "role_follows_owner",
        "WITH owned AS (
             SELECT t.role_name, r.rolname::text AS owner, t.org, count(*) OVER (PARTITION BY r.oid) AS tenants
               FROM plio.tenants t JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema_name
               JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
               JOIN pg_catalog.pg_auth_members m ON m.member = r.oid
               JOIN pg_catalog.pg_roles g ON g.oid = m.roleid AND g.rolname = 'plio_tenant'
              WHERE t.role_name IS NOT NULL AND $1 IS NOT NULL)
         SELECT role_name, owner, org FROM owned WHERE tenants = 1 AND owner <> role_name",
    )?;
    let update = |statement, one: &Mended| {
        super::change(statement, &[one.org.as_deref().into(), one.new.as_str().into()]).map_err(bug)
    };
    for one in &found {
        update(
            "UPDATE plio.tenants SET role_name = 'owner of ' || schema_name WHERE org = $1 AND $2 IS NOT NULL",
            one,
        )?;
    }
    for one in &found {
        update("UPDATE plio.tenants SET role_name = $2 WHERE org = $1", one)?;
    }
    Ok(found)
}

/// Runs a query for old names, new names and orgs; $1 is this cluster.
fn mended(action: &'static str, query: &str) -> Result<Vec<Mended>> {
    Spi::connect(|client| {
        let rows = client.select(query, None, &[session::cluster().into()])?;
        rows.map(|row| {
            let text = |column| row.get::<String>(column);
            Ok(Mended {
                action,
                old: text(1)?.unwrap_or_default(),
                new: text(2)?.unwrap_or_default(),
                org: text(3)?,
            })
        })
        .collect::<SpiResult<_>>()
    })
    .map_err(bug)
}
