//! Who attacks beside mallory, in turn: roles without any grant, with rights on the database or the cluster, and an
//! administrator, who may manage but must never become more.

use postgres::Client;

use crate::fuzz::world::{ORGS, Tenants, World, run};
use crate::{Cluster, Db};

/// What a role has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The attacker itself: granted tenants.
    Mallory,
    /// Nothing.
    Nobody,
    /// CREATE on the database.
    Creator,
    /// REPLICATION, a connection to match, and acme.
    Replicator,
    /// CREATEROLE.
    Maker,
    /// Membership in plio_admin.
    Administrator,
}

/// In this order they take the second connection, stint for stint.
pub const TURNS: &[Part] = &[
    Part::Mallory,
    Part::Nobody,
    Part::Creator,
    Part::Mallory,
    Part::Replicator,
    Part::Maker,
    Part::Administrator,
];

/// Names that statements of the grammar give to new roles.
pub const NEW_ROLES: &str = "'t1', 't2', 't3', 'T 4', 'users', 'countries', 'set_tenant', 'kid', 'fuzz_made'";

/// Makes the roles.
pub fn make(db: &Db) -> Vec<(Part, String)> {
    let parts = [
        (Part::Nobody, "nobody"),
        (Part::Creator, "creator"),
        (Part::Replicator, "replicator"),
        (Part::Maker, "maker"),
        (Part::Administrator, "administrator"),
    ];
    parts.map(|(part, name)| (part, db.login_role(name))).into()
}

/// Gives them their rights.
///
/// # Panics
/// When the server does not do it.
pub fn settle(world: &World, admin: &mut Client) {
    let (attacker, group) = (&world.attacker, &world.group);
    let inherits = if Cluster::major() == "15" { "" } else { " WITH INHERIT FALSE, SET TRUE" };
    run(admin, &format!("GRANT {group} TO {attacker}{inherits}; GRANT CREATE ON SCHEMA public TO PUBLIC"));
    for (part, role) in &world.cast {
        let right = match part {
            Part::Creator => format!("GRANT CREATE ON DATABASE {} TO {role}", world.db.name()),
            Part::Replicator => format!("ALTER ROLE {role} REPLICATION"),
            // There it makes itself a member of whatever is no superuser's (docs/guarantees.md): it would find just that.
            Part::Maker if Cluster::major() == "15" => continue,
            Part::Maker => format!("ALTER ROLE {role} CREATEROLE"),
            Part::Administrator => format!("GRANT plio_admin TO {role}"),
            Part::Mallory | Part::Nobody => continue,
        };
        run(admin, &right);
        world.settle_login(role);
    }
}

/// Who may enter acme beside the attacker.
pub fn admit(world: &World, admin: &mut Client, tenant: usize) {
    if tenant != 0 {
        return;
    }
    let others = world.cast.iter().filter(|(part, _)| matches!(part, Part::Replicator | Part::Administrator));
    let roles: Vec<&String> = others.map(|(_, role)| role).chain([&world.group]).collect();
    for role in roles {
        run(admin, &format!("SELECT plio.grant_access('{role}', '{}')", ORGS[tenant]));
        if world.tenants == Tenants::Adopted {
            let schema = super::world::schema(tenant);
            run(
                admin,
                &format!(
                    "GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"
                ),
            );
        }
    }
}

/// The oids of all that attack, as an array.
pub fn oids(world: &World) -> String {
    let names: Vec<String> = world
        .cast
        .iter()
        .map(|(_, role)| role)
        .chain([&world.attacker, &world.group])
        .map(|role| format!("'{role}'::regrole::oid"))
        .collect();
    format!("ARRAY[{}]", names.join(", "))
}

/// Removes what they left outside the tenants: objects in `public`, schemas, extensions, roles, prepared transactions, slots.
pub fn clear(world: &World, admin: &mut Client) {
    let owners = oids(world);
    let query = format!(
        "SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts WHERE database = current_database()
         UNION ALL SELECT format('SELECT pg_drop_replication_slot(%L)', slot_name) FROM pg_replication_slots WHERE NOT active
         UNION ALL SELECT format('DROP EXTENSION IF EXISTS %I CASCADE', extname) FROM pg_extension WHERE extowner = ANY ({owners})
         UNION ALL SELECT format('DROP SCHEMA IF EXISTS %I CASCADE', nspname) FROM pg_namespace n
                    WHERE nspowner = ANY ({owners}) AND nspname <> 'public' AND NOT EXISTS (SELECT FROM plio.tenants t WHERE t.schema_name = n.nspname)
         UNION ALL SELECT format('DROP %s IF EXISTS %s CASCADE', o.type, o.identity)
                     FROM (SELECT tableoid, oid FROM pg_class WHERE relowner = ANY ({owners}) AND relnamespace IN ('public'::regnamespace, 'lookup'::regnamespace)
                           UNION ALL SELECT tableoid, oid FROM pg_proc WHERE proowner = ANY ({owners}) AND pronamespace IN ('public'::regnamespace, 'lookup'::regnamespace)
                           UNION ALL SELECT tableoid, oid FROM pg_operator WHERE oprowner = ANY ({owners}) AND oprnamespace = 'public'::regnamespace
                           UNION ALL SELECT tableoid, oid FROM pg_type WHERE typowner = ANY ({owners}) AND typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd', 'c', 'r')) x,
                          pg_identify_object(x.tableoid, x.oid, 0) o
         UNION ALL SELECT format('DROP OWNED BY %I CASCADE', rolname) FROM pg_roles WHERE rolname IN ({NEW_ROLES})
         UNION ALL SELECT format('DROP ROLE %I', rolname) FROM pg_roles WHERE rolname IN ({NEW_ROLES})"
    );
    let left: Vec<String> =
        admin.query(&query, &[]).unwrap_or_default().iter().map(|row| row.get(0)).collect();
    for statement in left {
        // An object may have gone with another.
        let _ = admin.batch_execute(&statement);
    }
}
