//! One database of a cluster: connections as any role, login roles.

use postgres::{Client, Config, NoTls};

use crate::cluster::{Cluster, SUPERUSER};

/// A database of its own; it goes with the cluster.
#[derive(Clone, Debug)]
pub struct Db {
    cluster: Cluster,
    name: String,
}

impl Db {
    pub(crate) fn create(cluster: &Cluster, name: String) -> Self {
        let mut admin = cluster.config(SUPERUSER, "postgres").connect(NoTls).expect("the superuser connects");
        // template0: unlike template1 nobody is ever connected to it.
        admin
            .batch_execute(&format!("CREATE DATABASE \"{name}\" TEMPLATE template0"))
            .expect("CREATE DATABASE");
        Self { cluster: cluster.clone(), name }
    }

    /// The cluster it is in.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The same database on another server, a standby of this one's.
    pub fn on(&self, cluster: &Cluster) -> Db {
        Db { cluster: cluster.clone(), name: self.name.clone() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// CREATE EXTENSION plio_tenancy; sessions from now on are protected.
    pub fn extension(&self) -> &Self {
        self.superuser().batch_execute("CREATE EXTENSION plio_tenancy").unwrap_or_else(|error| {
            panic!("CREATE EXTENSION (installed by `make install`?): {}", full(&error))
        });
        self
    }

    /// Settings of the driver for `role`, over the socket: for tests that add options or want notices.
    pub fn config(&self, role: &str) -> Config {
        self.cluster.config(role, &self.name)
    }

    /// A connection string over TCP, for clients that have no socket.
    pub fn conninfo(&self, role: &str) -> String {
        format!("host=127.0.0.1 port={} user={role} dbname={}", self.cluster.port(), self.name)
    }

    /// A connection as `role`.
    pub fn connect(&self, role: &str) -> Client {
        self.try_connect(role).unwrap_or_else(|error| panic!("{role} cannot connect: {}", full(&error)))
    }

    /// A connection as `role`, for tests in which it may be refused.
    ///
    /// # Errors
    /// Whatever the server answers.
    pub fn try_connect(&self, role: &str) -> Result<Client, postgres::Error> {
        self.config(role).connect(NoTls)
    }

    /// A connection as the superuser.
    pub fn superuser(&self) -> Client {
        self.connect(SUPERUSER)
    }

    /// Settings of the asynchronous driver for `role`, over the socket.
    pub fn config_async(&self, role: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.cluster.socket_dir()).port(self.cluster.port()).user(role).dbname(&self.name);
        config
    }

    /// A connection as `role` inside a tokio runtime; its task is spawned.
    pub async fn connect_async(&self, role: &str) -> tokio_postgres::Client {
        let (client, connection) = self
            .config_async(role)
            .connect(NoTls)
            .await
            .unwrap_or_else(|error| panic!("{role} cannot connect: {}", full(&error)));
        // An error of the connection also fails the client's next call.
        tokio::spawn(async move { drop(connection.await) });
        client
    }

    /// Makes a login role with no privileges at all; its name is `prefix` and a number.
    pub fn login_role(&self, prefix: &str) -> String {
        let role = self.cluster.unique(prefix);
        self.superuser()
            .batch_execute(&format!(
                "CREATE ROLE \"{role}\" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
            ))
            .expect("CREATE ROLE");
        role
    }
}

/// The driver's own text says only "db error".
fn full(error: &postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |db| format!("{db:?}"))
}
