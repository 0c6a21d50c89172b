//! Rust client for `plio_tenancy`: many organizations in one PostgreSQL, each behind the database's own
//! boundary.
//!
//! The boundary is the server's. What this crate adds is that *forgetting the tenant is a compile error*: a
//! function that wants a [`TenantTransaction`] cannot be called without one, and the only way to one is
//! [`TenantClient::tenant`], which opens the transaction and enters the tenant in one round trip.
//!
//! # Example
//!
//! A service that keeps questions for many organizations. `answer_count` works inside whichever organization
//! it is handed; nothing in its SQL names one.
//!
//! ```no_run
//! use plio_client::{Error, ErrorKind, Org, TenantClient, TenantTransaction};
//! use tokio_postgres::NoTls;
//!
//! async fn answer_count(tenant: &TenantTransaction<'_>, question: i64) -> Result<i64, Error> {
//!     let row = tenant
//!         .query_one("SELECT count(*) FROM answers WHERE question_id = $1", &[&question])
//!         .await?;
//!     Ok(row.get(0))
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let (mut client, connection) = tokio_postgres::connect("host=localhost user=app", NoTls).await?;
//!     tokio::spawn(connection);
//!
//!     let acme: Org = "acme".parse()?;
//!
//!     // START TRANSACTION and plio.set_tenant('acme'), in one round trip.
//!     let tenant = client.tenant(&acme).await?;
//!     tenant.execute("INSERT INTO answers (question_id, answer) VALUES ($1, $2)", &[&7i64, &"B"]).await?;
//!     println!("{} has {} answers", tenant.org(), answer_count(&tenant, 7).await?);
//!     tenant.commit().await?; // without it, everything is rolled back
//!
//!     // An organization that this login may not enter: a kind and a SQLSTATE, never somebody else's rows.
//!     match client.tenant(&"globex".parse()?).await {
//!         Ok(_) => println!("globex is ours, too"),
//!         Err(e) if e.kind() == ErrorKind::PermissionDenied => println!("refused: {e}"),
//!         Err(e) => return Err(e),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! While the transaction lives it holds the client by `&mut`, so nothing can run beside it on that
//! connection, with or without a tenant; this does not compile:
//!
//! ```compile_fail,E0502
//! # use plio_client::{Error, Org, TenantClient};
//! # async fn beside(client: &mut tokio_postgres::Client, acme: &Org) -> Result<(), Error> {
//! let tenant = client.tenant(acme).await?;
//! client.execute("DELETE FROM answers", &[]).await?; // the client is borrowed by `tenant`
//! tenant.commit().await
//! # }
//! ```
//!
//! # What is here
//!
//! | to | use |
//! | --- | --- |
//! | name an organization | [`Org`] |
//! | work inside one | [`TenantClient`], [`TenantBuilder`], [`TenantTransaction`] |
//! | manage tenants, grants and shares | [`Admin`] |
//! | tell failures apart | [`Error`], [`ErrorKind`], [`Origin`], [`SQLSTATES`] |
//! | do all that without async | module `blocking` (feature `blocking`) |
//!
//! # Features
//!
//! | feature | adds | default |
//! | --- | --- | --- |
//! | `blocking` | module `blocking`: the same over the `postgres` crate | no |
//! | `cli` | the command `plio` (`cargo install --path plio-client --features cli`) | no |
//!
//! # Poolers
//!
//! The tenant ends with the transaction, so a pooler in transaction mode needs no configuration, and a
//! pool of clients (`deadpool-postgres`, `bb8-postgres`) none either: call `tenant` on what it hands out.

#![forbid(unsafe_code)]

mod admin;
#[cfg(feature = "blocking")]
pub mod blocking;
mod client;
mod error;
mod org;
mod sql;
mod transaction;
mod types;

pub use admin::Admin;
pub use client::{TenantBuilder, TenantClient};
pub use error::{Error, ErrorKind, Origin, SQLSTATES};
pub use org::{InvalidOrg, Org};
pub use tokio_postgres;
pub use tokio_postgres::{IsolationLevel, error::SqlState};
pub use transaction::TenantTransaction;
pub use types::{Finding, Severity, ShareMode, Tenant, TenantOptions, TenantStatus};
