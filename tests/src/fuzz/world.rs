//! The database that is attacked.
//!
//! The attacker, a login role, may enter `acme` and `bravo`; `coral`, whose schema has an odd name, is the victim that it
//! may never enter. acme and bravo are dropped and made again for each stint, under the sessions that stay connected.

use postgres::Client;

use crate::fuzz::canary::{Canaries, Owner};
use crate::fuzz::cast::{self, Part};
use crate::fuzz::ties;
use crate::{Cluster, Db};

/// The tenants; the attacker may enter the first two.
pub const ORGS: [&str; 3] = ["acme", "bravo", "coral"];
/// Their schemas.
pub const SCHEMAS: [&str; 3] = ["tenant_acme", "tenant_bravo", "Co\"ral ü"];
/// The victim's place in `ORGS`.
pub const VICTIM: usize = 2;

/// How the tenants' objects are owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenants {
    /// `create_tenant`: each has a role of its own; both layers.
    OwnRole,
    /// `adopt_tenant`: the schemas and all in them belong to the attacker's own role; the access check alone.
    Adopted,
}

/// How the library comes into the server's processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loading {
    /// By the database's `session_preload_libraries`, which CREATE EXTENSION sets.
    #[default]
    Session,
    /// By `shared_preload_libraries`, too.
    Shared,
}

impl Loading {
    /// The lines of postgresql.conf.
    pub fn conf(self) -> &'static [&'static str] {
        match self {
            Self::Session => &[],
            Self::Shared => &["shared_preload_libraries = 'plio_tenancy'"],
        }
    }
}

/// Whether anything stands in the attacker's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// As installed.
    On,
    /// `plio.enforcement = off` for the attacker, and every table granted to PUBLIC: the control, in which leaks must
    /// be found.
    Off,
}

/// The database, its tenants, and the canaries in them.
#[derive(Clone, Debug)]
pub struct World {
    /// The database.
    pub db: Db,
    /// The attacker.
    pub attacker: String,
    /// Owns definer functions that everybody may call, and has every right on every tenant's tables: what then stops
    /// them is the access check alone.
    pub gadget: String,
    /// A group that may enter acme; the attacker is in it, and from 16 on does not inherit its rights.
    pub group: String,
    /// May enter coral, and does what an honest application does there.
    pub teller: String,
    /// Who else attacks, each with rights of its own.
    pub cast: Vec<(Part, String)>,
    /// The digits to look for.
    pub canaries: Canaries,
    /// How the tenants are made.
    pub tenants: Tenants,
    /// What stands in the attacker's way.
    pub guard: Guard,
}

impl World {
    /// Takes back what a role has set for its later logins, which may make them fail, and gives the attacker its limits.
    pub fn settle_login(&self, role: &str) {
        let mut admin = self.db.superuser();
        run(&mut admin, &format!("ALTER ROLE {role} RESET ALL"));
        if role != self.attacker && self.cast.iter().all(|(_, other)| other != role) {
            return;
        }
        // Statements that run long or wait are cut off.
        run(
            &mut admin,
            &format!(
                "ALTER ROLE {role} SET statement_timeout = '150ms'; ALTER ROLE {role} SET lock_timeout = '30ms';
                     ALTER ROLE {role} SET work_mem = '1MB'; ALTER ROLE {role} SET temp_file_limit = '64MB';
                     ALTER ROLE {role} SET max_parallel_workers_per_gather = 1"
            ),
        );
        if self.guard == Guard::Off {
            run(&mut admin, &format!("ALTER ROLE {role} SET plio.enforcement = off"));
        }
    }

    /// Ends a role's statement that runs for long, since no `statement_timeout` holds at COMMIT: a deferred trigger that
    /// fires itself again runs for ever. Whether there was one and it did end, as it does at each look for interrupts.
    pub fn end_endless(&self, role: &str) -> bool {
        let mut admin = self.db.superuser();
        let end = "SELECT coalesce(bool_and(pg_terminate_backend(pid, 10000)), false) FROM pg_stat_activity
                    WHERE usename = $1 AND state = 'active' AND now() - query_start > interval '30 s'";
        admin.query_one(end, &[&role]).is_ok_and(|row| row.get(0))
    }

    /// Makes everything in a new database of the cluster.
    ///
    /// # Panics
    /// When the server does not do it.
    pub fn build(cluster: &Cluster, canaries: Canaries, tenants: Tenants, guard: Guard) -> Self {
        let db = cluster.database("fuzz");
        let attacker = db.extension().login_role("mallory");
        let gadget = db.login_role("gadget");
        let (group, teller) = (db.login_role("group"), db.login_role("teller"));
        let cast = cast::make(&db);
        let world = Self { db, attacker, gadget, group, teller, cast, canaries, tenants, guard };
        let mut admin = world.db.superuser();
        let name = &world.attacker;
        world.settle_login(name);
        cast::settle(&world, &mut admin);
        let shared =
            include_str!("../../fuzz/shared.sql").replace('@', world.canaries.digits(Owner::Unshared));
        run(&mut admin, &shared.replace("the_gadget", &world.gadget).replace("the_attacker", name));
        if tenants == Tenants::Adopted {
            // What plio.share() gives to the group of tenants' roles, an application's role has been granted.
            run(
                &mut admin,
                &format!(
                    "GRANT SELECT, REFERENCES ON public.countries, lookup.codes TO {name}; GRANT SELECT, INSERT, UPDATE, DELETE, REFERENCES ON public.board, public.tally TO {name}"
                ),
            );
        }
        world.make(&mut admin, VICTIM);
        for tenant in (0..ORGS.len()).filter(|tenant| *tenant != VICTIM) {
            world.make(&mut admin, tenant);
        }
        world
    }

    /// Drops and makes again what the attacker may have spoilt, without the cascades into tenants, whose triggers do not fire here: the tenants that it may enter, and the shared board.
    ///
    /// # Panics
    /// When the server does not do it.
    pub fn rebuild(&self, admin: &mut Client) {
        cast::clear(self, admin);
        run(
            admin,
            "DELETE FROM public.board; INSERT INTO public.board SELECT i, i FROM generate_series(1, 5) i;
             DELETE FROM public.tally WHERE id > 2; UPDATE public.tally SET word = 'b';
             BEGIN; SET LOCAL session_replication_role = replica;
             DELETE FROM public.people p WHERE id > 3 OR name <> 'somebody';
             INSERT INTO public.people SELECT i, 'somebody' FROM generate_series(1, 9) i ON CONFLICT DO NOTHING; COMMIT",
        );
        for (tenant, org) in ORGS.iter().enumerate().filter(|(tenant, _)| *tenant != VICTIM) {
            ties::loosen(admin, tenant);
            // A crash may have left it under the name that a look at closed tenants gave it.
            let _ = admin.batch_execute("SELECT plio.rename_tenant('elsewhere', 'acme')");
            run(admin, &format!("SET lock_timeout = '30s'; SELECT plio.drop_tenant('{org}', '{org}')"));
            if self.tenants == Tenants::Adopted {
                run(admin, &format!("DROP SCHEMA IF EXISTS {} CASCADE", schema(tenant)));
            }
            self.make(admin, tenant);
        }
    }

    fn make(&self, admin: &mut Client, tenant: usize) {
        let (org, attacker) = (ORGS[tenant], &self.attacker);
        let schema = schema(tenant);
        let objects =
            include_str!("../../fuzz/tenant.sql").replace('@', self.canaries.digits(Owner::Tenant(tenant)));
        match self.tenants {
            Tenants::OwnRole => {
                let create = "SELECT plio.create_tenant($1, $2)";
                admin.execute(create, &[&org, &SCHEMAS[tenant]]).unwrap_or_else(|error| panic!("{error:?}"));
                run(admin, &format!("BEGIN; SELECT plio.set_tenant('{org}'); {objects} COMMIT"));
            }
            // Everything belongs to the attacker's own role, as in an application of today; the large object, too.
            Tenants::Adopted => {
                run(
                    admin,
                    &format!(
                        "CREATE SCHEMA {schema} AUTHORIZATION {attacker};
                         BEGIN; SET LOCAL ROLE {attacker}; SET LOCAL search_path = {schema}, public; {objects} COMMIT"
                    ),
                );
                let adopt = "SELECT plio.adopt_tenant($1, $2)";
                admin.execute(adopt, &[&org, &SCHEMAS[tenant]]).unwrap_or_else(|error| panic!("{error:?}"));
            }
        }
        run(
            admin,
            &format!("ANALYZE {schema}.users, {schema}.notes, {schema}.parts, {schema}.kid, {schema}.vault"),
        );
        run(admin, &format!("GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {}", self.gadget));
        if tenant == VICTIM {
            let teller = &self.teller;
            run(
                admin,
                &format!(
                    "SELECT plio.grant_access('{teller}', '{org}'); GRANT USAGE ON SCHEMA {schema} TO {teller}; GRANT SELECT ON {schema}.users TO {teller}"
                ),
            );
        } else {
            ties::fasten(admin, tenant);
            run(admin, &format!("SELECT plio.grant_access('{attacker}', '{org}')"));
            cast::admit(self, admin, tenant);
        }
        if self.guard == Guard::Off {
            run(
                admin,
                &format!(
                    "SET plio.enforcement = off;
                     GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO PUBLIC; GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO PUBLIC;
                     RESET plio.enforcement"
                ),
            );
        }
    }
}

/// A tenant's schema as an identifier.
pub fn schema(tenant: usize) -> String {
    format!("\"{}\"", SCHEMAS[tenant].replace('"', "\"\""))
}

/// Runs statements.
///
/// # Panics
/// When the server refuses one.
#[track_caller]
pub fn run(client: &mut Client, statements: &str) {
    client.batch_execute(statements).unwrap_or_else(|error| panic!("{statements}: {error:?}"));
}
