//! acme and bravo with one object of every kind that a name can reach; and their twins in a database without us.

pub use plio_tests::value;
use plio_tests::{Cluster, Db, TwoTenants};
use postgres::Client;

/// The same in every tenant, made by the tenant itself.
const OBJECTS: &str = "
    CREATE VIEW listing AS SELECT name FROM users;
    CREATE MATERIALIZED VIEW summary AS SELECT name FROM users;
    CREATE TYPE mood AS ENUM ('calm', 'cross');
    CREATE DOMAIN short AS text CHECK (length(VALUE) < 20);
    CREATE FUNCTION peek() RETURNS text LANGUAGE sql AS 'SELECT min(name) FROM users';
    CREATE PROCEDURE tidy() LANGUAGE plpgsql AS 'BEGIN END';";

/// acme and bravo, each with the objects above.
pub fn world() -> TwoTenants {
    let fixture = Cluster::shared().database("isolation").tenants(crate::LAYERS);
    let mut admin = fixture.db.superuser();
    for org in ["acme", "bravo"] {
        inside(&mut admin, org, OBJECTS);
    }
    fixture
}

/// A login role that is a member of plio_admin, and no superuser.
pub fn administrator(world: &TwoTenants) -> String {
    let ann = world.db.login_role("ann");
    world.db.superuser().batch_execute(&format!("GRANT plio_admin TO {ann}")).expect("GRANT");
    ann
}

/// The same schemas and rows in a database without the extension; `app` owns them all, as it would in a service that
/// relies on search_path.
pub fn plain_twin(app: &str) -> Db {
    let db = Cluster::shared().database("plain");
    let mut admin = db.superuser();
    for org in ["acme", "bravo"] {
        admin
            .batch_execute(&format!(
                "CREATE SCHEMA tenant_{org} AUTHORIZATION {app};
                 BEGIN; SET LOCAL ROLE {app}; SET LOCAL search_path = tenant_{org};
                 CREATE TABLE users (id bigserial PRIMARY KEY, name text);
                 INSERT INTO users (name) VALUES ('canary-{org}'), ('canary-{org}-2'), ('canary-{org}-3');
                 {OBJECTS} COMMIT"
            ))
            .expect("the twin");
    }
    db
}

/// Runs statements inside a tenant and commits.
#[track_caller]
pub fn inside(client: &mut Client, org: &str, statements: &str) {
    client
        .batch_execute(&format!(
            "BEGIN; {}; SELECT plio.set_tenant('{org}'); {statements}; COMMIT",
            as_the_application(org)
        ))
        .unwrap_or_else(|error| panic!("{org}: {statements}: {error:?}"));
}

/// Where a login role owns the schema, an administrator's work in it is done in its name.
fn as_the_application(org: &str) -> String {
    format!(
        "DO $as$ DECLARE owner name := (SELECT rolname FROM pg_roles r, pg_namespace n WHERE r.oid = nspowner AND rolcanlogin AND NOT rolsuper AND nspname = 'tenant_{org}'); BEGIN IF owner IS NOT NULL AND owner <> current_user THEN EXECUTE format('SET LOCAL ROLE %I', owner); END IF; END $as$"
    )
}

/// Runs statements as the superuser with enforcement off: what an administrator's mistake leaves behind.
#[track_caller]
pub fn unguarded(db: &Db, statements: &str) {
    db.superuser()
        .batch_execute(&format!("SET plio.enforcement = off; {statements}"))
        .unwrap_or_else(|error| panic!("{statements}: {error:?}"));
}
