//! The same without async, over the [`postgres`] crate.
//!
//! Names, types, errors and SQL texts are those of the async side; what a method does is told there.
//!
//! ```no_run
//! use plio_client::blocking::{Admin, TenantClient, TenantTransaction};
//! use plio_client::{Error, Org};
//! use postgres::NoTls;
//!
//! fn answer_count(tenant: &mut TenantTransaction<'_>) -> Result<i64, Error> {
//!     Ok(tenant.query_one("SELECT count(*) FROM answers", &[])?.get(0))
//! }
//!
//! fn main() -> Result<(), Error> {
//!     let mut client = postgres::Client::connect("host=localhost user=app", NoTls)?;
//!     let acme: Org = "acme".parse()?;
//!
//!     let mut tenant = client.tenant(&acme)?;
//!     println!("{} has {} answers", acme, answer_count(&mut tenant)?);
//!     tenant.commit()?;
//!
//!     for finding in Admin::new(&mut client).health()? {
//!         println!("{}: {}", finding.severity, finding.finding);
//!     }
//!     Ok(())
//! }
//! ```

mod admin;
mod transaction;

pub use admin::Admin;
pub use transaction::TenantTransaction;

use postgres::{Client, IsolationLevel};

use crate::error::Error;
use crate::org::Org;
use crate::sql::Mode;

mod sealed {
    pub trait Sealed {}
    impl Sealed for postgres::Client {}
}

/// Enters tenants: implemented for [`postgres::Client`].
pub trait TenantClient: sealed::Sealed {
    /// As the async [`tenant`](crate::TenantClient::tenant).
    ///
    /// # Errors
    /// The same.
    fn tenant(&mut self, org: &Org) -> Result<TenantTransaction<'_>, Error>;

    /// As the async [`build_tenant`](crate::TenantClient::build_tenant).
    fn build_tenant(&mut self, org: &Org) -> TenantBuilder<'_>;
}

impl TenantClient for Client {
    fn tenant(&mut self, org: &Org) -> Result<TenantTransaction<'_>, Error> {
        self.build_tenant(org).start()
    }

    fn build_tenant(&mut self, org: &Org) -> TenantBuilder<'_> {
        TenantBuilder { client: self, org: org.clone(), mode: Mode::default() }
    }
}

/// A transaction inside a tenant that is still to be opened; made by [`TenantClient::build_tenant`].
#[must_use = "nothing is sent before `start`"]
pub struct TenantBuilder<'a> {
    client: &'a mut Client,
    org: Org,
    mode: Mode,
}

impl<'a> TenantBuilder<'a> {
    /// Sets the isolation level.
    pub fn isolation_level(mut self, level: IsolationLevel) -> Self {
        self.mode.isolation_level = Some(level);
        self
    }

    /// Sets whether the transaction may only read.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.mode.read_only = Some(read_only);
        self
    }

    /// Opens the transaction and enters the tenant, in one round trip.
    ///
    /// # Errors
    /// As [`TenantClient::tenant`].
    pub fn start(self) -> Result<TenantTransaction<'a>, Error> {
        TenantTransaction::enter(self.client, self.org, self.mode)
    }
}
