//! Two tenants with the same ids, and a login role that may only report.

pub use plio_tests::refused;
use plio_tests::{Cluster, TwoTenants};
use postgres::Client;

/// [`TwoTenants`], and a member of plio_reporter without access to any tenant.
pub struct World {
    pub tenants: TwoTenants,
    pub reporter: String,
}

pub fn world(name: &str) -> World {
    let tenants = Cluster::shared().database(name).two_tenants();
    let reporter = tenants.db.login_role("reporter");
    tenants.db.superuser().batch_execute(&format!("GRANT plio_reporter TO {reporter}")).unwrap();
    World { tenants, reporter }
}

impl World {
    pub fn reporter(&self) -> Client {
        self.tenants.db.connect(&self.reporter)
    }

    pub fn admin(&self) -> Client {
        self.tenants.db.superuser()
    }

    pub fn app(&self) -> Client {
        self.tenants.db.connect(&self.tenants.app)
    }

    /// Runs statements inside a tenant, as the application.
    pub fn inside(&self, org: &str, statements: &str) {
        self.app()
            .batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}'); {statements}; COMMIT"))
            .unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    }
}

/// Rows as `a|b|c`, in the query's order.
#[track_caller]
pub fn rows(client: &mut Client, query: &str) -> Vec<String> {
    let found = client.simple_query(query).unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let rows = found.iter().filter_map(|message| match message {
        postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| (0..row.len()).map(|i| row.get(i).unwrap_or("-")).collect::<Vec<_>>().join("|")).collect()
}

/// The only row, as above.
#[track_caller]
pub fn one(client: &mut Client, query: &str) -> String {
    let found = rows(client, query);
    assert_eq!(found.len(), 1, "{query}: {found:?}");
    found.concat()
}

/// The session is as it was before any report.
#[track_caller]
pub fn assert_outside(client: &mut Client, role: &str) {
    let state =
        "SELECT current_user, session_user, current_setting('plio.tenant'), current_setting('search_path'),
                        current_setting('transaction_read_only'), current_setting('lock_timeout')";
    assert_eq!(rows(client, state), [format!("{role}|{role}||\"$user\", public|off|0")]);
}
