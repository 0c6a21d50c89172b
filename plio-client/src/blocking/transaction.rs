//! [`TenantTransaction`] over the [`postgres`] crate.

use std::fmt;

use postgres::types::{BorrowToSql, ToSql, Type};
use postgres::{Client, CopyInWriter, CopyOutReader, Row, RowIter, Statement, ToStatement};

use crate::error::Error;
use crate::org::Org;
use crate::sql::{self, Mode};

/// A transaction inside one tenant; rolls back when dropped.
///
/// As the async [`TenantTransaction`](crate::TenantTransaction), whose methods tell what these do.
#[must_use = "dropping it rolls back"]
pub struct TenantTransaction<'a> {
    client: &'a mut Client,
    org: Org,
    savepoint: Option<String>,
    /// Whether a rollback is still owed.
    open: bool,
}

impl fmt::Debug for TenantTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantTransaction")
            .field("org", &self.org)
            .field("savepoint", &self.savepoint)
            .finish_non_exhaustive()
    }
}

impl Drop for TenantTransaction<'_> {
    fn drop(&mut self) {
        if self.open {
            let text = self.rollback_text();
            let _ = self.client.batch_execute(&text);
        }
    }
}

impl<'a> TenantTransaction<'a> {
    pub(super) fn enter(client: &'a mut Client, org: Org, mode: Mode) -> Result<Self, Error> {
        let text = sql::enter(&org, mode);
        let transaction = TenantTransaction { client, org, savepoint: None, open: true };
        transaction.client.batch_execute(&text).map_err(Error::enter)?;
        Ok(transaction)
    }

    /// The organization inside which this transaction works.
    pub fn org(&self) -> &Org {
        &self.org
    }

    /// Commits; of a savepoint: keeps its work in the transaction around it.
    ///
    /// # Errors
    /// As the async [`commit`](crate::TenantTransaction::commit).
    pub fn commit(mut self) -> Result<(), Error> {
        match &self.savepoint {
            Some(name) => self.client.batch_execute(&sql::release(name))?,
            None => self.client.batch_execute(sql::COMMIT)?,
        }
        self.open = false;
        Ok(())
    }

    /// Rolls back, as dropping does, and says whether it worked.
    ///
    /// # Errors
    /// No SQLSTATE if the connection is lost.
    pub fn rollback(mut self) -> Result<(), Error> {
        self.open = false;
        let text = self.rollback_text();
        Ok(self.client.batch_execute(&text)?)
    }

    fn rollback_text(&self) -> String {
        self.savepoint.as_deref().map_or_else(|| sql::ROLLBACK.to_owned(), sql::rollback_to)
    }

    /// Opens a savepoint: a transaction within this one, which rolls back to here when dropped.
    ///
    /// # Errors
    /// 25P02 if a statement failed before.
    pub fn savepoint(&mut self, name: &str) -> Result<TenantTransaction<'_>, Error> {
        self.client.batch_execute(&sql::savepoint(name))?;
        Ok(TenantTransaction {
            client: self.client,
            org: self.org.clone(),
            savepoint: Some(name.to_owned()),
            open: true,
        })
    }

    /// Prepares a statement.
    ///
    /// # Errors
    /// As the async [`prepare`](crate::TenantTransaction::prepare).
    pub fn prepare(&mut self, query: &str) -> Result<Statement, Error> {
        Ok(self.client.prepare(query)?)
    }

    /// Prepares a statement whose parameter types are told.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn prepare_typed(&mut self, query: &str, parameter_types: &[Type]) -> Result<Statement, Error> {
        Ok(self.client.prepare_typed(query, parameter_types)?)
    }

    /// All rows.
    ///
    /// # Errors
    /// As the async [`query`](crate::TenantTransaction::query).
    pub fn query<T>(&mut self, statement: &T, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error>
    where
        T: ?Sized + ToStatement,
    {
        Ok(self.client.query(statement, params)?)
    }

    /// Exactly one row.
    ///
    /// # Errors
    /// As [`query`](Self::query); no SQLSTATE if there are fewer or more rows.
    pub fn query_one<T>(&mut self, statement: &T, params: &[&(dyn ToSql + Sync)]) -> Result<Row, Error>
    where
        T: ?Sized + ToStatement,
    {
        Ok(self.client.query_one(statement, params)?)
    }

    /// One row or none.
    ///
    /// # Errors
    /// As [`query`](Self::query); no SQLSTATE if there are more rows.
    pub fn query_opt<T>(
        &mut self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error>
    where
        T: ?Sized + ToStatement,
    {
        Ok(self.client.query_opt(statement, params)?)
    }

    /// An iterator over the rows.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub fn query_raw<T, P, I>(&mut self, statement: &T, params: I) -> Result<RowIter<'_>, Error>
    where
        T: ?Sized + ToStatement,
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
        I::IntoIter: ExactSizeIterator,
    {
        Ok(self.client.query_raw(statement, params)?)
    }

    /// The number of rows.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub fn execute<T>(&mut self, statement: &T, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Error>
    where
        T: ?Sized + ToStatement,
    {
        Ok(self.client.execute(statement, params)?)
    }

    /// Statements without parameters, in one round trip.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub fn batch_execute(&mut self, statements: &str) -> Result<(), Error> {
        Ok(self.client.batch_execute(statements)?)
    }

    /// A writer for the data of a COPY ... FROM STDIN, to be finished or it is undone.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub fn copy_in<T>(&mut self, statement: &T) -> Result<CopyInWriter<'_>, Error>
    where
        T: ?Sized + ToStatement,
    {
        Ok(self.client.copy_in(statement)?)
    }

    /// A reader of the data of a COPY ... TO STDOUT.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub fn copy_out<T>(&mut self, statement: &T) -> Result<CopyOutReader<'_>, Error>
    where
        T: ?Sized + ToStatement,
    {
        Ok(self.client.copy_out(statement)?)
    }
}
