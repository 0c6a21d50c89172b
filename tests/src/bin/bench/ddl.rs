//! What DDL costs: in a tenant, and on a shared table that every tenant's foreign keys point at.
//!
//! Both sides in one cluster: tenants, and plain schemas with the same tables, whose owner is an ordinary role, too. Each
//! statement runs in a transaction that is rolled back, one message each. What counts is the processor's time, which others at work
//! on the machine change less than the clock's.
//!
//! Whether PostgreSQL can keep a catalog's row on its page (HOT) makes a sixth of ADD COLUMN, and is chance: so the catalogs are
//! packed on both sides, and the measured table is the newest.

use plio_tests::{Cluster, Db, processor_clock};
use postgres::Client;

use super::{Args, Outcome, Round, alternate_by, report};

/// Four foreign keys a tenant: 4,000 with 1,000 tenants.
const SHARED: &str =
    "CREATE TABLE public.people (id int PRIMARY KEY, name text); GRANT ALL ON public.people TO PUBLIC";
const TABLES: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, a int REFERENCES public.people, b int REFERENCES public.people,
                         c int REFERENCES public.people, d int REFERENCES public.people)";

/// Made last, in one tenant.
const NEWEST: &str = "CREATE TABLE notes (id int PRIMARY KEY, note text)";
const PACK: [&str; 6] = ["pg_class", "pg_attribute", "pg_depend", "pg_type", "pg_proc", "pg_constraint"];

/// What is measured: in a tenant or on the shared table, and how much of the plain throughput must be left.
const LINES: [(&str, bool, Option<f64>, &str); 10] = [
    ("in a tenant: ADD COLUMN", true, Some(1.0 / 1.15), "ALTER TABLE notes ADD COLUMN x int"),
    ("in a tenant: DROP COLUMN", true, None, "ALTER TABLE notes DROP COLUMN note"),
    ("in a tenant: COMMENT", true, Some(1.0 / 1.3), "COMMENT ON TABLE notes IS 'x'"),
    ("in a tenant: CREATE TABLE", true, None, "CREATE TABLE made (id int PRIMARY KEY, name text)"),
    ("in a tenant: CREATE INDEX", true, None, "CREATE INDEX ON notes (note)"),
    (
        "in a tenant: CREATE FUNCTION",
        true,
        None,
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ),
    ("on the shared table: ADD COLUMN", false, Some(1.0 / 1.2), "ALTER TABLE public.people ADD COLUMN x int"),
    (
        "on the shared table: DROP COLUMN",
        false,
        Some(1.0 / 1.2),
        "ALTER TABLE public.people DROP COLUMN name",
    ),
    ("on the shared table: COMMENT", false, Some(1.0 / 1.2), "COMMENT ON TABLE public.people IS 'x'"),
    ("on the shared table: CREATE INDEX", false, Some(1.0 / 1.2), "CREATE INDEX ON public.people ((id + 1))"),
];

/// All of it, with 10, 100 and 1,000 tenants, and with as many as the command line asks for beyond; false when a target is
/// missed.
pub fn run(args: &Args) -> Outcome<bool> {
    let mut sizes: Vec<usize> = vec![10, 100, 1000];
    sizes.retain(|size| *size <= args.tenants);
    if sizes.last() != Some(&args.tenants) {
        sizes.push(args.tenants);
    }
    let mut good = true;
    for size in sizes {
        let sides = Sides::start(size)?;
        println!("BEGIN; DDL; ROLLBACK with {size} tenants, {} foreign keys to a shared table:", 4 * size);
        for (what, is_inside, target, statement) in LINES {
            good &= report(&format!("  {what}"), target, &sides.measure(args, is_inside, statement)?);
        }
    }
    Ok(good)
}

/// Databases with the same schemas: tenants' on one side.
struct Sides {
    tenancy: Db,
    plain: Db,
    role: String,
}

impl Sides {
    fn start(tenants: usize) -> Outcome<Self> {
        let cluster = Cluster::start(&[
            "autovacuum = off",
            "checkpoint_timeout = '1h'",
            "shared_buffers = '256MB'",
            "max_locks_per_transaction = 1024",
        ]);
        let (tenancy, plain) = (cluster.database("ddl_tenancy"), cluster.database("ddl_plain"));
        let role = tenancy.extension().login_role("app");
        let mut admin = tenancy.superuser();
        admin.batch_execute(&format!("{SHARED}; SELECT plio.share('public.people', 'read')"))?;
        for tenant in 0..tenants {
            admin.batch_execute(&format!(
                "BEGIN; SELECT plio.create_tenant('t{tenant}'); COMMIT;
                 BEGIN; SELECT plio.set_tenant('t{tenant}'); {TABLES}; COMMIT"
            ))?;
        }
        admin.batch_execute(&format!("SELECT plio.grant_access_to_every_tenant('{role}')"))?;
        pack(&mut admin)?;
        admin.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('t5'); {NEWEST}; COMMIT"))?;
        let mut admin = plain.superuser();
        admin.batch_execute(SHARED)?;
        for tenant in 0..tenants {
            admin.batch_execute(&format!(
                "BEGIN; CREATE SCHEMA tenant_t{tenant} AUTHORIZATION {role}; SET LOCAL ROLE {role};
                 SET LOCAL search_path = tenant_t{tenant}; {TABLES}; COMMIT"
            ))?;
        }
        pack(&mut admin)?;
        plain.connect(&role).batch_execute(&format!("SET search_path = tenant_t5; {NEWEST}"))?;
        Ok(Self { tenancy, plain, role })
    }

    fn measure(&self, args: &Args, is_inside: bool, statement: &str) -> Outcome<Vec<Round>> {
        let (mut tenancy, mut plain) = if is_inside {
            (self.tenancy.connect(&self.role), self.plain.connect(&self.role))
        } else {
            (self.tenancy.superuser(), self.plain.superuser())
        };
        if is_inside {
            tenancy.batch_execute("SET plio.tenant = 't5'")?;
            plain.batch_execute("SET search_path = tenant_t5")?;
        }
        let work = format!("BEGIN; {statement}; ROLLBACK");
        let clocks = (processor_clock(&mut tenancy), processor_clock(&mut plain));
        alternate_by(args, clocks, |_| Ok(tenancy.batch_execute(&work)?), |_| Ok(plain.batch_execute(&work)?))
    }
}

fn pack(admin: &mut Client) -> Outcome<()> {
    admin.batch_execute("VACUUM ANALYZE")?;
    for catalog in PACK {
        admin.batch_execute(&format!("VACUUM FULL {catalog}"))?;
    }
    Ok(())
}
