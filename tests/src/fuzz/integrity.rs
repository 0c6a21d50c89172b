//! What must not change: another tenant's rows and objects, what is shared to read, the registry, owners and grants.
//!
//! Read by a superuser without a tenant, in one statement for each aspect; compared before and after a stint.

use postgres::Client;

use crate::fuzz::world::{SCHEMAS, Tenants, World, schema};

/// The rows of each aspect, sorted.
pub type Snapshot = Vec<(&'static str, Vec<String>)>;

/// Catalogs of the cluster and the database, whoever works in it. `relpages` and the like belong to autovacuum.
const COMMON: &[(&str, &str)] = &[
    ("registry", "SELECT t::text FROM plio.tenants t UNION ALL SELECT a::text FROM plio.access a UNION ALL SELECT s::text FROM plio.shares s"),
    ("history", "SELECT h::text FROM plio.history h"),
    ("roles", "SELECT r::text FROM pg_authid r"),
    ("memberships", "SELECT m::text FROM pg_auth_members m"),
    ("settings of roles and databases", "SELECT s::text FROM pg_db_role_setting s WHERE setrole <> '@attacker'::regrole"),
    ("databases", "SELECT concat_ws(' ', datname, datdba, datacl, datallowconn, datconnlimit) FROM pg_database"),
    ("schemas", "SELECT n::text FROM pg_namespace n WHERE nspname !~ '^pg_(toast_)?temp_'"),
    ("default privileges", "SELECT d::text FROM pg_default_acl d WHERE defaclrole <> '@attacker'::regrole"),
    ("event triggers", "SELECT e::text FROM pg_event_trigger e"),
    ("extensions, languages, casts, servers", "SELECT e::text FROM pg_extension e UNION ALL SELECT l::text FROM pg_language l
        UNION ALL SELECT c::text FROM pg_cast c WHERE castsource < 16384 UNION ALL SELECT s::text FROM pg_foreign_server s UNION ALL SELECT u::text FROM pg_user_mapping u
        UNION ALL SELECT p::text FROM pg_publication p UNION ALL SELECT p::text FROM pg_parameter_acl p"),
    ("objects of public, lookup, plio and pg_catalog", "SELECT concat_ws(' ', c.oid, relname, relowner, relacl, relkind, reltype, relfilenode, reloptions, relrowsecurity)
        FROM pg_class c WHERE relnamespace IN ('public'::regnamespace, 'lookup'::regnamespace, 'plio'::regnamespace, 'pg_catalog'::regnamespace)
        UNION ALL SELECT concat_ws(' ', p.oid::regprocedure, md5(p::text)) FROM pg_proc p WHERE pronamespace IN ('public'::regnamespace, 'lookup'::regnamespace, 'plio'::regnamespace, 'pg_catalog'::regnamespace)"),
    ("rows of public and lookup", "SELECT t::text FROM public.countries t UNION ALL SELECT t::text FROM lookup.codes t"),
];

/// A tenant's: `$1` is its schema's name.
const OF_TENANT: &[(&str, &str)] = &[
    ("a tenant's relations", "SELECT concat_ws(' ', c.oid, relname, relowner, relacl, relkind, reltype, relam, relfilenode, reltoastrelid, relchecks,
        relhasrules, relhastriggers, relrowsecurity, relforcerowsecurity, relispartition, reloptions, reltablespace) FROM pg_class c WHERE relnamespace = @"),
    ("a tenant's columns", "SELECT a::text FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid AND relnamespace = @"),
    ("a tenant's defaults", "SELECT a::text FROM pg_attrdef a JOIN pg_class c ON c.oid = adrelid AND relnamespace = @"),
    ("a tenant's constraints", "SELECT concat_ws(' ', k.oid, conname, conrelid, confrelid, convalidated) FROM pg_constraint k WHERE connamespace = @ OR confrelid IN (SELECT oid FROM pg_class WHERE relnamespace = @)"),
    ("a tenant's indexes", "SELECT i::text FROM pg_index i JOIN pg_class c ON c.oid = indrelid AND relnamespace = @"),
    ("a tenant's triggers, rules and policies", "SELECT t::text FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid AND relnamespace = @
        UNION ALL SELECT r::text FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class AND relnamespace = @
        UNION ALL SELECT p::text FROM pg_policy p JOIN pg_class c ON c.oid = polrelid AND relnamespace = @"),
    ("a tenant's inheritance", "SELECT i::text FROM pg_inherits i JOIN pg_class c ON c.oid IN (inhrelid, inhparent) AND relnamespace = @"),
    ("a tenant's functions", "SELECT p::text FROM pg_proc p WHERE pronamespace = @"),
    ("a tenant's types and operators", "SELECT t::text FROM pg_type t WHERE typnamespace = @ UNION ALL SELECT o::text FROM pg_operator o WHERE oprnamespace = @
        UNION ALL SELECT s::text FROM pg_statistic_ext s WHERE stxnamespace = @"),
    // By class, too: a large object of the attacker's own may have been given the oid of another tenant's table.
    ("a tenant's comments", "SELECT d::text FROM pg_description d WHERE (classoid, objoid) IN (SELECT tableoid, oid FROM pg_class WHERE relnamespace = @
        UNION ALL SELECT tableoid, oid FROM pg_proc WHERE pronamespace = @)"),
    ("a tenant's rows", "SELECT query_to_xml(format('SELECT * FROM %s t ORDER BY 1', c.oid::regclass), false, false, '')::text FROM pg_class c
        WHERE relnamespace = @ AND relkind IN ('r', 'p', 'm', 'S')"),
];

/// Those of the role that owns the tenant's schema.
const LARGE_OBJECTS: (&str, &str) = (
    "a tenant's large objects",
    "SELECT concat_ws(' ', m.oid, lomowner, lomacl, lo_get(m.oid)) FROM pg_largeobject_metadata m JOIN pg_namespace n ON n.nspowner = lomowner AND n.oid = @",
);

/// Everything about these tenants, and what is nobody's. What the attacker may set for its own role is left out.
///
/// Adopted schemas belong to the attacker's role, and without a tenant it may do with what no hook sees as it likes
/// (docs/guarantees.md, "tenants without a role, seen without a tenant"): large objects, the values of sequences by oid, and
/// VACUUM FULL and CLUSTER of all that it owns, which give tables new files. In stints in which the attacker also speaks
/// without a tenant (`speaks_outside`) these are left out; in the others they are compared like everything else.
pub fn snapshot(admin: &mut Client, world: &World, tenants: &[usize], speaks_outside: bool) -> Snapshot {
    let attacker = world.attacker.as_str();
    let mut rows = |query: &str| -> Vec<String> {
        let query = format!("SELECT coalesce(x, '') FROM ({query}) q(x) ORDER BY x COLLATE \"C\"");
        match admin.query(&query, &[]) {
            Ok(rows) => rows.iter().map(|row| row.get(0)).collect(),
            // A table that can be read no more has changed, too.
            Err(error) => vec![format!("{error:?}")],
        }
    };
    let mut snapshot: Snapshot =
        COMMON.iter().map(|(what, query)| (*what, rows(&query.replace("@attacker", attacker)))).collect();
    for tenant in tenants {
        let oid = format!("'{}'::regnamespace", schema(*tenant).replace('\'', "''"));
        let is_owners = world.tenants == Tenants::Adopted && speaks_outside;
        let aspects = OF_TENANT.iter().chain((!is_owners).then_some(&LARGE_OBJECTS));
        snapshot.extend(aspects.map(|(what, query)| {
            let query = if is_owners {
                query.replace("relfilenode, ", "").replace(", 'S')", ")")
            } else {
                (*query).to_owned()
            };
            (*what, rows(&query.replace('@', &oid)))
        }));
    }
    snapshot
}

/// What differs: the aspect, and the first rows that went or came.
pub fn differences(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let differs = before.iter().zip(after).filter(|(before, after)| before != after);
    differs
        .map(|((what, before), (_, after))| {
            let gone = before.iter().filter(|row| !after.contains(row)).take(3);
            let new = after.iter().filter(|row| !before.contains(row)).take(3);
            format!("{what}: gone {:?}, new {:?}", gone.collect::<Vec<_>>(), new.collect::<Vec<_>>())
        })
        .collect()
}

/// Locks that idle sessions of `attacker` hold on relations of these tenants, stronger than those that `nextval(oid)` and
/// `pg_sequence_last_value(oid)` take on whatever the oid names, before they look at kinds and privileges, and keep to the
/// transaction's end (docs/guarantees.md, open): what, and which.
///
/// # Errors
/// The connection is gone.
pub fn foreign_locks(
    admin: &mut Client,
    attacker: &str,
    tenants: &[usize],
) -> Result<Vec<String>, postgres::Error> {
    let schemas: Vec<&str> = tenants.iter().map(|tenant| SCHEMAS[*tenant]).collect();
    let query = "SELECT format('%s on %s: %s', l.mode, c.oid::regclass, a.query), concat(a.pid, ' ', a.state_change)
        FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE l.granted AND a.state LIKE 'idle in transaction%' AND l.mode NOT IN ('AccessShareLock', 'RowExclusiveLock') AND a.usename = $1 AND n.nspname = ANY ($2)
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let mut look = || -> Result<Vec<(String, String)>, postgres::Error> {
        Ok(admin.query(query, &[&attacker, &schemas])?.iter().map(|row| (row.get(0), row.get(1))).collect())
    };
    let first = look()?;
    if first.is_empty() {
        return Ok(Vec::new());
    }
    // Locks and states are not read in one moment: what counts is a session that was idle from one look to the next.
    let second = look()?;
    Ok(first.into_iter().filter(|seen| second.contains(seen)).map(|(what, _)| what).collect())
}
