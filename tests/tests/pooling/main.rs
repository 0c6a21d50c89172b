//! A real pooler with one server connection: what one client's tenant leaves for the next.

mod modes;
mod prepared;
mod residue;
mod session_scope;
mod transactions;

use plio_tests::{Cluster, Db, PgBouncer, Pooler, TwoTenants, try_value, value};
use postgres::Client;

/// Two tenants behind a pooler.
struct Pooled {
    fixture: TwoTenants,
    pooler: Pooler,
}

impl Pooled {
    /// `None` when there is no PgBouncer to be had on this system, which has then been said.
    fn start(which: PgBouncer, conf: &[&str]) -> Option<Self> {
        let fixture = Cluster::shared().database("pooled").two_tenants();
        let pooler = Pooler::start(which, &fixture.db, &[&fixture.app, &fixture.carol], conf)?;
        Some(Self { fixture, pooler })
    }

    fn client(&self) -> Client {
        self.pooler.connect(&self.fixture.db, &self.fixture.app)
    }
}

/// The same schemas and rows without the extension, all of them the login role's.
fn plain(role: &str) -> Db {
    let db = Cluster::shared().database("plain");
    let mut admin = db.superuser();
    for org in ["acme", "bravo"] {
        admin
            .batch_execute(&format!(
                "CREATE SCHEMA tenant_{org} AUTHORIZATION {role};
                 CREATE TABLE tenant_{org}.users (id bigserial PRIMARY KEY, name text);
                 ALTER TABLE tenant_{org}.users OWNER TO {role};
                 INSERT INTO tenant_{org}.users (name) VALUES ('canary-{org}')"
            ))
            .expect("a plain tenant");
    }
    db
}

const NAME: &str = "SELECT name FROM users WHERE id = 1";
const PID: &str = "SELECT pg_backend_pid()";

/// Both clients are served by one server process, one after the other.
#[track_caller]
fn assert_shared(one: &mut Client, other: &mut Client) {
    assert_eq!(value(one, PID), value(other, PID), "the pooler uses one server connection for both");
}

/// What stands between BEGIN and COMMIT in a tenant.
fn inside(org: &str, statements: &str) -> String {
    format!("BEGIN; SELECT plio.set_tenant('{org}'); {statements}; COMMIT")
}
