//! How much a tenant holds, as dropping it must know: locks, objects, large objects.

#![forbid(unsafe_code)]

use super::bug;
use super::owners::Owned;
use crate::error::Result;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;

/// How many locks PostgreSQL takes to drop the schema and what the role owns: one for each object, parts of tables included.
pub fn locks_to_drop(schema: Option<Oid>, role: Option<Oid>) -> Result<i64> {
    let query = "
        WITH relations AS MATERIALIZED (
            SELECT c.oid, c.reltoastrelid FROM pg_catalog.pg_class c WHERE c.relnamespace = $1)
        SELECT (SELECT count(*) + 2 * count(*) FILTER (WHERE reltoastrelid <> 0) FROM relations)
             + (SELECT count(*) FROM pg_catalog.pg_attrdef d WHERE d.adrelid IN (SELECT oid FROM relations))
             + (SELECT count(*) FROM pg_catalog.pg_trigger t WHERE t.tgrelid IN (SELECT oid FROM relations))
             + (SELECT count(*) FROM pg_catalog.pg_rewrite r WHERE r.ev_class IN (SELECT oid FROM relations))
             + (SELECT count(*) FROM pg_catalog.pg_policy p WHERE p.polrelid IN (SELECT oid FROM relations))
             + (SELECT count(*) FROM pg_catalog.pg_type t WHERE t.typnamespace = $1)
             + (SELECT count(*) FROM pg_catalog.pg_constraint c WHERE c.connamespace = $1)
             + (SELECT count(*) FROM pg_catalog.pg_proc p WHERE p.pronamespace = $1)
             + (SELECT count(*) FROM pg_catalog.pg_operator o WHERE o.oprnamespace = $1)
             + (SELECT count(*) FROM pg_catalog.pg_opclass o WHERE o.opcnamespace = $1)
             + (SELECT count(*) FROM pg_catalog.pg_opfamily o WHERE o.opfnamespace = $1)
             + (SELECT count(*) FROM pg_catalog.pg_statistic_ext s WHERE s.stxnamespace = $1)
             + (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata l WHERE l.lomowner = $2)";
    let found = Spi::get_one_with_args::<i64>(query, &[schema.into(), role.into()]);
    Ok(found.map_err(bug)?.unwrap_or(0))
}

/// How many locks the sessions of the server hold now.
pub fn locks_in_use() -> Result<i64> {
    Ok(Spi::get_one::<i64>("SELECT count(*) FROM pg_catalog.pg_locks").map_err(bug)?.unwrap_or(0))
}

/// What can be dropped by itself, one after the other: views, then children before their parents, then the rest.
pub fn objects_in_dropping_order(schema: Oid) -> Result<Vec<Owned>> {
    Spi::connect(|client| {
        let query = "
            SELECT o.type, o.identity FROM plio._owned_objects($1) WITH ORDINALITY o (type, identity, name, args, owner, number)
              LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = $1 AND c.relname = o.name[1]
                    AND o.type IN ('table', 'view', 'materialized view', 'foreign table', 'sequence')
             ORDER BY o.type <> 'view', c.oid IS NULL, COALESCE(c.relhassubclass, false), o.number";
        let rows = client.select(query, None, &[schema.into()])?;
        rows.map(|row| Ok(Owned::new(row.get::<String>(1)?, row.get::<String>(2)?))).collect::<SpiResult<_>>()
    })
    .map_err(bug)
}

/// Removes some of the role's large objects; gives how many.
pub fn unlink_large_objects(role: Oid, most: i64) -> Result<i64> {
    let query = "
        SELECT count(pg_catalog.lo_unlink(l.oid)) FROM (
            SELECT m.oid FROM pg_catalog.pg_largeobject_metadata m WHERE m.lomowner = $1 LIMIT $2) l";
    let count = Spi::get_one_with_args::<i64>(query, &[role.into(), most.into()]);
    Ok(count.map_err(bug)?.unwrap_or(0))
}
