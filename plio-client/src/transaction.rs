//! [`TenantTransaction`]: a transaction that is inside one tenant from its first statement to its end.
//!
//! Relies on two things that `tokio-postgres` documents: a request is sent when its future is first
//! polled, and requests run in that order. So a value that rolls back when it is dropped can be made
//! *before* the first byte is sent, and whatever becomes of the future (an error, a timeout, a lost
//! `select!`), the ROLLBACK stands in the queue before the next request on this client.

use bytes::Buf;
use futures_util::FutureExt;
use tokio_postgres::types::{BorrowToSql, ToSql, Type};
use tokio_postgres::{Client, CopyInSink, CopyOutStream, Row, RowStream, Statement, ToStatement};

use crate::error::Error;
use crate::org::Org;
use crate::sql::{self, Mode};

/// A transaction inside one tenant; rolls back when dropped.
///
/// It borrows the client, so nothing runs beside it. Its methods are those of
/// [`tokio_postgres::Transaction`] and take `&self`: requests may be pipelined.
///
/// # What it does not prevent
/// A text sent through it may itself say COMMIT or ROLLBACK. The server then ends the tenant together with
/// the transaction. What follows runs without one (for an ordinary role every tenant's table is refused
/// then; for an administrator it is not), and [`commit`](Self::commit) reports it.
#[derive(Debug)]
#[must_use = "dropping it rolls back"]
pub struct TenantTransaction<'a> {
    client: &'a mut Client,
    org: Org,
    savepoint: Option<String>,
    /// Whether a rollback is still owed.
    open: bool,
}

impl Drop for TenantTransaction<'_> {
    fn drop(&mut self) {
        if self.open {
            // One poll sends it; nobody needs the answer.
            let _ = self.client.batch_execute(&self.rollback_text()).now_or_never();
        }
    }
}

impl<'a> TenantTransaction<'a> {
    pub(crate) async fn enter(client: &'a mut Client, org: Org, mode: Mode) -> Result<Self, Error> {
        let text = sql::enter(&org, mode);
        let transaction = TenantTransaction { client, org, savepoint: None, open: true };
        transaction.client.batch_execute(&text).await.map_err(Error::enter)?;
        Ok(transaction)
    }

    /// The organization inside which this transaction works.
    pub fn org(&self) -> &Org {
        &self.org
    }

    /// The client, for what is not here and for functions that take a
    /// [`GenericClient`](tokio_postgres::GenericClient); what they do is done inside the tenant.
    pub fn client(&self) -> &Client {
        self.client
    }

    /// Commits; of a savepoint: keeps its work in the transaction around it.
    ///
    /// # Errors
    /// 25P02 if a statement failed before, so that nothing can be kept (PostgreSQL's own COMMIT says
    /// nothing then); 55000 if a statement has ended the transaction already; and what the commit itself
    /// meets (a deferred constraint, a serialization failure). The client is usable afterwards. After
    /// 55000, what that statement committed stays; after a lost connection, nobody knows; else nothing
    /// was kept.
    pub async fn commit(mut self) -> Result<(), Error> {
        match &self.savepoint {
            Some(name) => self.client.batch_execute(&sql::release(name)).await?,
            None => self.client.batch_execute(sql::COMMIT).await?,
        }
        self.open = false;
        Ok(())
    }

    /// Rolls back, as dropping does, and waits for the answer.
    ///
    /// # Errors
    /// No SQLSTATE if the connection is lost.
    pub async fn rollback(mut self) -> Result<(), Error> {
        self.open = false;
        self.client.batch_execute(&self.rollback_text()).await?;
        Ok(())
    }

    fn rollback_text(&self) -> String {
        self.savepoint.as_deref().map_or_else(|| sql::ROLLBACK.to_owned(), sql::rollback_to)
    }

    /// Opens a savepoint: a transaction within this one, which rolls back to here when dropped.
    ///
    /// # Errors
    /// 25P02 if a statement failed before.
    pub async fn savepoint(&mut self, name: &str) -> Result<TenantTransaction<'_>, Error> {
        let mut inner = TenantTransaction {
            client: self.client,
            org: self.org.clone(),
            savepoint: Some(name.to_owned()),
            open: true,
        };
        let made = inner.client.batch_execute(&sql::savepoint(name)).await;
        // If it failed there is nothing to go back to, except an older savepoint of that name.
        inner.open = made.is_ok();
        made?;
        Ok(inner)
    }

    /// Like [`Client::prepare`].
    ///
    /// The statement may be kept and used in later transactions of this client, in any tenant. Alternating
    /// tenants make the server plan it anew each time; one statement for each tenant does not.
    ///
    /// # Errors
    /// 42501 if the text names what is not the tenant's, and every other error of PostgreSQL's.
    pub async fn prepare(&self, query: &str) -> Result<Statement, Error> {
        Ok(self.client.prepare(query).await?)
    }

    /// Like [`Client::prepare_typed`].
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub async fn prepare_typed(&self, query: &str, parameter_types: &[Type]) -> Result<Statement, Error> {
        Ok(self.client.prepare_typed(query, parameter_types).await?)
    }

    /// Like [`Client::query`]: all rows.
    ///
    /// # Errors
    /// 42501 if a statement touches what is not the tenant's, and every other error of PostgreSQL's.
    pub async fn query<T>(&self, statement: &T, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error>
    where
        T: ?Sized + ToStatement,
    {
        Ok(self.client.query(statement, params).await?)
    }

    /// Like [`Client::query_one`]: exactly one row.
    ///
    /// # Errors
    /// As [`query`](Self::query); no SQLSTATE if there are fewer or more rows.
    pub async fn query_one<T>(&self, statement: &T, params: &[&(dyn ToSql + Sync)]) -> Result<Row, Error>
    where
        T: ?Sized + ToStatement,
    {
        Ok(self.client.query_one(statement, params).await?)
    }

    /// Like [`Client::query_opt`]: one row or none.
    ///
    /// # Errors
    /// As [`query`](Self::query); no SQLSTATE if there are more rows.
    pub async fn query_opt<T>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error>
    where
        T: ?Sized + ToStatement,
    {
        Ok(self.client.query_opt(statement, params).await?)
    }

    /// Like [`Client::query_raw`]: a stream of rows.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn query_raw<T, P, I>(&self, statement: &T, params: I) -> Result<RowStream, Error>
    where
        T: ?Sized + ToStatement,
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
        I::IntoIter: ExactSizeIterator,
    {
        Ok(self.client.query_raw(statement, params).await?)
    }

    /// Like [`Client::execute`]: the number of rows.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn execute<T>(&self, statement: &T, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Error>
    where
        T: ?Sized + ToStatement,
    {
        Ok(self.client.execute(statement, params).await?)
    }

    /// Like [`Client::batch_execute`]: statements without parameters, in one round trip.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn batch_execute(&self, statements: &str) -> Result<(), Error> {
        Ok(self.client.batch_execute(statements).await?)
    }

    /// Like [`Client::copy_in`]: a sink for the data of a COPY ... FROM STDIN, which is undone unless it
    /// is finished.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn copy_in<T, U>(&self, statement: &T) -> Result<CopyInSink<U>, Error>
    where
        T: ?Sized + ToStatement,
        U: Buf + 'static + Send,
    {
        Ok(self.client.copy_in(statement).await?)
    }

    /// Like [`Client::copy_out`]: a stream of the data of a COPY ... TO STDOUT.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn copy_out<T>(&self, statement: &T) -> Result<CopyOutStream, Error>
    where
        T: ?Sized + ToStatement,
    {
        Ok(self.client.copy_out(statement).await?)
    }
}
