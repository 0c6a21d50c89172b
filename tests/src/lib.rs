//! The test harness: throw-away clusters of the embedded PostgreSQL, real login roles on real connections.
//!
//! [`Cluster::shared`] is one cluster for a test binary, [`Cluster::start`] one of its own with other
//! settings; each test makes itself a database with [`Cluster::database`]. `PLIO_TEST_PG` chooses the
//! PostgreSQL below `target/pg` (`make test PG=16` sets it). Whatever goes wrong here panics: this crate is
//! for tests, the demo and the benchmark only.
//!
//! ```no_run
//! use plio_tests::{Cluster, assert_refusal, expect_sqlstate};
//!
//! let fixture = Cluster::shared().database("isolation").two_tenants();
//! let mut app = fixture.db.connect(&fixture.app);
//! let mut transaction = app.transaction().unwrap();
//! transaction.execute("SELECT plio.set_tenant('acme')", &[]).unwrap();
//! let refusal = expect_sqlstate(transaction.query("SELECT * FROM tenant_bravo.users", &[]), "42501");
//! assert_refusal(&refusal, "42501", &["canary"]);
//! ```

#![forbid(unsafe_code)]

mod answers;
mod assert;
mod cluster;
mod database;
mod fixture;
pub mod fuzz;
mod neighbours;
mod plio_shape;
mod pooler;
mod psql;
pub mod server;
mod watchdog;

pub use answers::{first, try_value, value};
pub use assert::{assert_refusal, assert_silent_about, expect_sqlstate, is_silent_about, refused};
pub use cluster::{Cluster, SUPERUSER};
pub use database::Db;
pub use fixture::{Layers, TwoTenants};
pub use neighbours::neighbour;
pub use plio_shape::processor_clock;
pub use pooler::{PgBouncer, Pooler};
pub use psql::{PsqlOutput, psql};
