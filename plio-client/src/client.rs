//! [`TenantClient`]: the way into a tenant from a [`tokio_postgres::Client`].

use std::future::Future;

use tokio_postgres::{Client, IsolationLevel};

use crate::error::Error;
use crate::org::Org;
use crate::sql::Mode;
use crate::transaction::TenantTransaction;

mod sealed {
    pub trait Sealed {}
    impl Sealed for tokio_postgres::Client {}
}

/// Enters tenants: implemented for [`tokio_postgres::Client`], and so at hand on whatever dereferences to one
/// (a pool's object).
pub trait TenantClient: sealed::Sealed {
    /// Opens a transaction inside the tenant of `org`, with the session's defaults, in one round trip.
    ///
    /// When it fails, and when the future is dropped half-way, the transaction is rolled back before
    /// anything else runs on this client: the client stays usable and without a tenant. (What runs next
    /// waits until the server is done with what was dropped.)
    ///
    /// # Errors
    /// 42501 this login may not enter it (for most logins also an unknown organization), 42704 unknown, 55000 it is suspended; no SQLSTATE
    /// if the connection is lost.
    fn tenant(&mut self, org: &Org) -> impl Future<Output = Result<TenantTransaction<'_>, Error>> + Send;

    /// The same with an isolation level or an access mode.
    ///
    /// ```no_run
    /// # use plio_client::{Error, IsolationLevel, Org, TenantClient};
    /// # async fn report(client: &mut tokio_postgres::Client, acme: &Org) -> Result<(), Error> {
    /// let tenant = client
    ///     .build_tenant(acme)
    ///     .isolation_level(IsolationLevel::RepeatableRead)
    ///     .read_only(true)
    ///     .start()
    ///     .await?;
    /// # tenant.commit().await
    /// # }
    /// ```
    fn build_tenant(&mut self, org: &Org) -> TenantBuilder<'_>;
}

impl TenantClient for Client {
    fn tenant(&mut self, org: &Org) -> impl Future<Output = Result<TenantTransaction<'_>, Error>> + Send {
        self.build_tenant(org).start()
    }

    fn build_tenant(&mut self, org: &Org) -> TenantBuilder<'_> {
        TenantBuilder { client: self, org: org.clone(), mode: Mode::default() }
    }
}

/// A transaction inside a tenant that is still to be opened; made by [`TenantClient::build_tenant`].
#[derive(Debug)]
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
    pub async fn start(self) -> Result<TenantTransaction<'a>, Error> {
        TenantTransaction::enter(self.client, self.org, self.mode).await
    }
}
