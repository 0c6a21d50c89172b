//! The schemas in every tenant's search_path: those of trusted extensions (cache/code.rs), and those that hold something shared. The group needs
//! USAGE on them.
//!
//! PostgreSQL drops a schema that the role may not use from the path without a word, and takes another function or operator:
//! text's `=` for citext's, say. So what the application's roles may use, tenants' roles may use as well. Nothing is opened
//! that no role with access to a tenant could reach, nor by an administrator who could not: plio.health() says what is left
//! (path_unusable).

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::pg::{catalog, quote_identifier, session};
use crate::policy::Actor;
use crate::registry::{self, bug};
use crate::{cache, lifecycle};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// Schemas in the path that the group may not use, but a role with access to a tenant may; and whether role $1 may, too; $2 is this cluster.
/// As plio._path_schemas() and plio._access_ties(), which a database that was not updated yet does not have; there access is the
/// name's.
const UNUSABLE: &str = "
    SELECT n.nspname::text, pg_catalog.has_schema_privilege($1, n.oid, 'USAGE')
      FROM pg_catalog.pg_namespace n
     WHERE n.oid >= 2200 AND n.nspname NOT IN ('information_schema', 'plio')
       AND (n.oid IN (SELECT e.extnamespace FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_roles o ON o.oid = e.extowner
                       WHERE o.rolsuper
                          OR pg_catalog.pg_has_role(o.oid, pg_catalog.to_regrole('plio_admin')::oid, 'USAGE'))
            OR n.nspname IN (SELECT s.schema_name FROM plio.shares s))
       AND NOT pg_catalog.has_schema_privilege('plio_tenant', n.oid, 'USAGE')
       AND EXISTS (SELECT 1 FROM plio.access a CROSS JOIN LATERAL pg_catalog.to_jsonb(a) tie
                     JOIN pg_catalog.pg_roles r ON r.oid::text = coalesce(tie ->> 'role_oid', r.oid::text)
                                               AND (r.rolname = a.role_name
                                                    OR (tie ->> 'cluster')::bigint = $2)
                    WHERE pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE'))";

/// Grants the group USAGE on such schemas; gives those that the caller could not open.
///
/// # Errors
/// Those of GRANT.
pub fn open() -> Result<Vec<String>> {
    let caller = session::outer_user();
    if cache::actor(caller) != Actor::Administrator || catalog::role_oid("plio_tenant").is_none() {
        return Ok(Vec::new());
    }
    session::as_superuser(|| {
        let mut closed = Vec::new();
        for (schema, may_open) in unusable(caller)? {
            if may_open {
                let grant = format!("GRANT USAGE ON SCHEMA {} TO plio_tenant", quote_identifier(&schema));
                lifecycle::managing(|| registry::run(&grant))?;
            } else {
                closed.push(schema);
            }
        }
        Ok(closed)
    })
}

fn unusable(caller: pg_sys::Oid) -> Result<Vec<(String, bool)>> {
    Spi::connect(|client| {
        let rows = client.select(UNUSABLE, None, &[caller.into(), session::cluster().into()])?;
        rows.map(|row| Ok((row.get::<String>(1)?.unwrap_or_default(), row.get::<bool>(2)?.unwrap_or(false))))
            .collect::<SpiResult<_>>()
    })
    .map_err(bug)
}
