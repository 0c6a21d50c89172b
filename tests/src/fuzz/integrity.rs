//! What must not change: another tenant's rows and objects, what is shared to read, the registry, owners and grants.
//!
//! Read by a superuser without a tenant, in one statement for each aspect; compared before and after a stint.

use postgres::Client;

use crate::fuzz::canary::Owner;
use crate::fuzz::cast::{self, NEW_ROLES};
use crate::fuzz::world::{SCHEMAS, Tenants, World, schema};

/// The rows of each aspect, sorted.
pub type Snapshot = Vec<(&'static str, Vec<String>)>;

/// Catalogs of the cluster and the database, whoever works in it. `relpages` and the like belong to autovacuum; what a trusted
/// extension brings belongs to a superuser, and is the attackers' own doing where they own the extension.
const COMMON: &[(&str, &str)] = &[
    ("registry", "SELECT t::text FROM plio.tenants t UNION ALL SELECT (to_jsonb(a) - 'granted_at')::text FROM plio.access a UNION ALL SELECT s::text FROM plio.shares s"),
    ("history", "SELECT h::text FROM plio.history h WHERE actor <> 'postgres'"),
    ("roles", "SELECT concat_ws(' ', oid, rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit, rolvaliduntil,
        CASE WHEN NOT oid = ANY (@cast) THEN md5(rolpassword) END) FROM pg_authid r WHERE rolname NOT IN (@new)"),
    ("memberships", "SELECT concat_ws(' ', r.rolname, u.rolname, m.admin_option) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
        WHERE r.rolname NOT IN (@new) AND u.rolname NOT IN (@new)"),
    ("settings of roles and databases", "SELECT s::text FROM pg_db_role_setting s WHERE NOT setrole = ANY (@cast)"),
    ("databases", "SELECT concat_ws(' ', datname, datdba, datacl, datallowconn, datconnlimit) FROM pg_database"),
    ("schemas", "SELECT concat_ws(' ', oid, nspname, nspowner, ARRAY(SELECT a::text FROM unnest(nspacl) a ORDER BY 1)) FROM pg_namespace n WHERE nspname !~ '^pg_(toast_)?temp_' AND (nspname IN ('public', 'tenant_acme', 'tenant_bravo', 'Co\"ral ü') OR NOT nspowner = ANY (@cast))"),
    ("default privileges", "SELECT d::text FROM pg_default_acl d WHERE NOT defaclrole = ANY (@cast) OR defaclnamespace IN ('public'::regnamespace, 'lookup'::regnamespace, (SELECT oid FROM pg_namespace WHERE nspname = 'Co\"ral ü'))"),
    ("event triggers", "SELECT e::text FROM pg_event_trigger e"),
    ("extensions, languages, casts, servers", "SELECT e::text FROM pg_extension e WHERE NOT extowner = ANY (@cast) UNION ALL SELECT l::text FROM pg_language l
        UNION ALL SELECT c::text FROM pg_cast c WHERE castsource < 16384 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = c.tableoid AND d.objid = c.oid AND d.deptype = 'e') UNION ALL SELECT s::text FROM pg_foreign_server s UNION ALL SELECT u::text FROM pg_user_mapping u
        UNION ALL SELECT p::text FROM pg_publication p UNION ALL SELECT p::text FROM pg_parameter_acl p"),
    ("objects of public, lookup, plio and pg_catalog", "SELECT concat_ws(' ', c.oid, relname, relowner, relacl, relkind, reltype, relfilenode, reloptions, relrowsecurity)
        FROM pg_class c WHERE relnamespace IN ('public'::regnamespace, 'lookup'::regnamespace, 'plio'::regnamespace, 'pg_catalog'::regnamespace) AND NOT relowner = ANY (@cast)
          AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extowner = ANY (@cast) WHERE d.classid = c.tableoid AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')
        UNION ALL SELECT concat_ws(' ', p.oid::regprocedure, md5(p::text)) FROM pg_proc p WHERE pronamespace IN ('public'::regnamespace, 'lookup'::regnamespace, 'plio'::regnamespace, 'pg_catalog'::regnamespace) AND NOT proowner = ANY (@cast)
          AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extowner = ANY (@cast) WHERE d.classid = p.tableoid AND d.objid = p.oid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')"),
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
    // REINDEX CONCURRENTLY of a table that another's foreign key refers to gives its index another oid.
    ("a tenant's triggers, rules and policies", "SELECT (to_jsonb(t) - 'tgconstrindid')::text FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid AND relnamespace = @
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
/// (docs/guarantees.md, "tenants without a role, seen without a tenant"): large objects, and
/// VACUUM FULL and CLUSTER of all that it owns, which give tables new files. In stints in which the attacker also speaks
/// without a tenant (`speaks_outside`) these are left out; in the others they are compared like everything else.
pub fn snapshot(admin: &mut Client, world: &World, tenants: &[usize], speaks_outside: bool) -> Snapshot {
    let cast = cast::oids(world);
    let mut rows = |query: &str| -> Vec<String> {
        let query = format!("SELECT coalesce(x, '') FROM ({query}) q(x) ORDER BY x COLLATE \"C\"");
        match admin.query(&query, &[]) {
            Ok(rows) => rows.iter().map(|row| row.get(0)).collect(),
            // A table that can be read no more has changed, too.
            Err(error) => vec![format!("{error:?}")],
        }
    };
    let mut snapshot: Snapshot = COMMON
        .iter()
        .map(|(what, query)| (*what, rows(&query.replace("@cast", &cast).replace("@new", NEW_ROLES))))
        .collect();
    for tenant in tenants {
        let oid = format!("'{}'::regnamespace", schema(*tenant).replace('\'', "''"));
        let is_owners = world.tenants == Tenants::Adopted && speaks_outside;
        let aspects = OF_TENANT.iter().chain((!is_owners).then_some(&LARGE_OBJECTS));
        snapshot.extend(aspects.map(|(what, query)| {
            let query = if is_owners { query.replace("relfilenode, ", "") } else { (*query).to_owned() };
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
        WHERE l.granted AND a.state LIKE 'idle in transaction%' AND l.mode <> 'SIReadLock' AND l.mode NOT IN ('AccessShareLock', 'RowExclusiveLock') AND a.usename = $1 AND n.nspname = ANY ($2)
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

/// Rights in the cluster and the database, and what in them is a role's own doing left out.
const RIGHTS: &str = "SELECT concat_ws(' ', 'role', rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls)
          FROM pg_authid WHERE rolname NOT IN (@new)
        UNION ALL SELECT concat_ws(' ', 'member', r.rolname, u.rolname, m.admin_option) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
          WHERE r.rolname NOT IN (@new) AND u.rolname NOT IN (@new)
        UNION ALL SELECT concat_ws(' ', 'database', datname, datdba, datacl) FROM pg_database
        UNION ALL SELECT concat_ws(' ', 'schema', nspname, nspowner, ARRAY(SELECT a::text FROM unnest(nspacl) a ORDER BY 1)) FROM pg_namespace WHERE nspname IN ('public', 'lookup', 'plio', 'pg_catalog', 'Co\"ral ü')
        UNION ALL SELECT concat_ws(' ', 'plio', relname, relowner, relacl) FROM pg_class WHERE relnamespace = 'plio'::regnamespace";

/// What nobody may gain who may manage tenants: roles that log in or have attributes, memberships outside the tenants' own group,
/// definer functions of superusers.
const GAINS: &str = "SELECT concat_ws(' ', 'role', rolname, rolsuper, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls) FROM pg_authid
          WHERE rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR rolcanlogin
        UNION ALL SELECT concat_ws(' ', 'member', r.rolname, u.rolname) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
          WHERE r.rolname <> 'plio_tenant'
        UNION ALL SELECT concat_ws(' ', 'definer', p.oid::regprocedure, md5(prosrc)) FROM pg_proc p JOIN pg_roles r ON r.oid = proowner AND rolsuper WHERE prosecdef
        UNION ALL SELECT concat_ws(' ', 'plio', proname, proowner, prosecdef, prosrc, proconfig) FROM pg_proc WHERE pronamespace = 'plio'::regnamespace AND proname NOT LIKE '%report%'";

/// The rights as they are; `None` when the server does not say.
pub fn rights(admin: &mut Client, manages: bool) -> Option<Vec<String>> {
    let query = if manages { GAINS } else { RIGHTS }.replace("@new", NEW_ROLES);
    let rows = admin.query(&format!("SELECT x FROM ({query}) q(x) ORDER BY x COLLATE \"C\""), &[]).ok()?;
    Some(rows.iter().map(|row| row.get(0)).collect())
}

/// What differs, in words.
pub fn changed(before: &[String], after: &[String]) -> Option<String> {
    let gone = before.iter().filter(|row| !after.contains(row)).take(3).collect::<Vec<_>>();
    let new = after.iter().filter(|row| !before.contains(row)).take(3).collect::<Vec<_>>();
    (!gone.is_empty() || !new.is_empty()).then(|| format!("gone {gone:?}, new {new:?}"))
}

/// Rows of one tenant in another's tables, for the tenants that the attacker may enter: nothing but the server itself can have
/// carried them over.
pub fn carried(admin: &mut Client, world: &World) -> Vec<String> {
    let mut found = Vec::new();
    for (tenant, name) in SCHEMAS.iter().enumerate() {
        for other in (0..SCHEMAS.len()).filter(|other| *other != tenant) {
            let digits = world.canaries.digits(Owner::Tenant(other));
            let query = "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace AND nspname = $1
                          WHERE relkind IN ('r', 'm') AND query_to_xml(format('SELECT * FROM ONLY %s', c.oid::regclass), false, false, '')::text LIKE $2";
            let rows = admin.query(query, &[name, &format!("%{digits}%")]).unwrap_or_default();
            found.extend(
                rows.iter().map(|row| format!("{} has rows of tenant {other}", row.get::<_, String>(0))),
            );
        }
    }
    found
}

/// Locks that idle sessions of the attackers hold and that are on no list of what may be held: in a transaction, relations of
/// tenants that they may enter, of no tenant and of the catalogs; outside of one, advisory locks alone. The predicate locks of
/// serializable transactions block nobody, and outlive their transaction. Our own locks have the sub-object number 1.
///
/// # Errors
/// The connection is gone.
pub fn left_behind(admin: &mut Client, world: &World) -> Result<Vec<String>, postgres::Error> {
    let query = format!(
        "SELECT format('%s %s %s: %s', l.locktype, l.mode, coalesce(l.relation::regclass::text, concat_ws(' ', l.classid::regclass, l.objid)), a.query), concat(a.pid, ' ', a.state_change)
           FROM pg_locks l JOIN pg_stat_activity a USING (pid)
          WHERE l.granted AND a.usesysid = ANY ({cast}) AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.locktype <> 'advisory'
            AND l.mode <> 'SIReadLock'
            AND (a.state = 'idle'
                 OR a.state LIKE 'idle in transaction%'
                    AND (l.locktype = 'object' AND l.classid = 'pg_extension'::regclass AND l.objsubid = 1
                         OR l.locktype = 'object' AND l.classid = 'pg_namespace'::regclass AND l.objid = (SELECT oid FROM pg_namespace WHERE nspname = $1)
                         OR l.locktype = 'relation' AND l.relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'plio'::regnamespace) AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')))
         UNION ALL SELECT concat('prepared transaction ', gid, ' of ', owner, ': ', (SELECT string_agg(concat_ws(' ', l.locktype, l.mode, l.relation::regclass, l.classid::regclass, l.objid), ', ') FROM pg_locks l WHERE l.pid IS NULL)), gid FROM pg_prepared_xacts x
          WHERE database = current_database() AND EXISTS (SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
                        WHERE l.pid IS NULL AND n.nspname = ANY (ARRAY['tenant_acme', 'tenant_bravo', $1])
                        UNION ALL SELECT FROM pg_locks l WHERE l.pid IS NULL AND l.objsubid = 1 AND l.classid IN ('pg_namespace'::regclass, 'pg_extension'::regclass))",
        cast = cast::oids(world)
    );
    let mut look = || -> Result<Vec<(String, String)>, postgres::Error> {
        let rows = admin.query(&query, &[&SCHEMAS[super::world::VICTIM]])?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    };
    let first = look()?;
    if first.is_empty() {
        return Ok(Vec::new());
    }
    let second = look()?;
    Ok(first.into_iter().filter(|seen| second.contains(seen)).map(|(what, _)| what).collect())
}
