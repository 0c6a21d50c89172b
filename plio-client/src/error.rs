//! [`Error`]: one opaque type; what it is follows from the SQLSTATE and from the call, never from a text.
//!
//! `plio_tenancy` reports with standard SQLSTATEs, so a code alone does not prove that the extension spoke:
//! 42501 is an organization that this login may not enter, or that does not exist, when it comes from
//! [`tenant`](crate::TenantClient::tenant), and a missing privilege when it comes from a query. Two questions, two answers: [`Error::kind`] is the SQLSTATE by a
//! name that is true whoever raised it, and [`Error::origin`] is the call that failed.

use std::error::Error as StdError;
use std::fmt;

use tokio_postgres::error::{DbError, SqlState};

use crate::org::InvalidOrg;

/// What went wrong: the SQLSTATE, by a name.
///
/// The codes are in [`SQLSTATES`]. Each sentence says first what the code means when the extension raises it,
/// then what else PostgreSQL uses it for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// 42501: this login may not enter the tenant or it does not exist, or what was touched is another tenant's or is not shared
    /// with tenants; also any privilege that is missing.
    PermissionDenied,
    /// 42704: no such organization, for logins that may know which there are; also no such role, type or setting.
    NotFound,
    /// 42710: the organization exists already; also any object that does.
    AlreadyExists,
    /// 42602: not a legal name for an organization.
    InvalidName,
    /// 42939: a name that is reserved.
    ReservedName,
    /// 55000: the tenant is suspended, no tenant is set, or the library is not loaded; also any object that
    /// is not in the state which the command needs.
    NotReady,
    /// 25001: the tenant is locked until the transaction ends; also a command that cannot run inside a
    /// transaction.
    TransactionLocked,
    /// 55006: the tenant is in use; also any object that is.
    InUse,
    /// 53400: a tenant holds more objects than one transaction can lock; also any configured limit that is exceeded.
    LimitExceeded,
    /// `2BP01`: something else requires the object; a tenant's schema or role changes only through plio's functions.
    StillRequired,
    /// 25P01: the tenant can be set inside a transaction only; also any command for which that holds.
    NoTransaction,
    /// 22023: a bad argument or setting.
    InvalidArgument,
    /// 0A000: CREATE EXTENSION in a database whose encoding is not UTF8; also anything that PostgreSQL does not support.
    NotSupported,
    /// 42809: not a sequence, to a function on sequences; also any object of another kind than the statement needs.
    WrongObject,
    /// 39P01: a trigger's function, called by hand.
    TriggerOnly,
    /// 39P03: an event trigger's function, called by hand.
    EventTriggerOnly,
    /// XX000: a bug, of the extension or of the server.
    Internal,
    /// Any other SQLSTATE: see [`Error::code`].
    Other,
    /// No SQLSTATE: the connection is lost, or an answer was not what the call expects.
    Client,
}

/// Every SQLSTATE that the extension raises, with its kind.
pub const SQLSTATES: &[(ErrorKind, &str)] = &[
    (ErrorKind::PermissionDenied, "42501"),
    (ErrorKind::NotFound, "42704"),
    (ErrorKind::AlreadyExists, "42710"),
    (ErrorKind::InvalidName, "42602"),
    (ErrorKind::ReservedName, "42939"),
    (ErrorKind::NotReady, "55000"),
    (ErrorKind::TransactionLocked, "25001"),
    (ErrorKind::InUse, "55006"),
    (ErrorKind::LimitExceeded, "53400"),
    (ErrorKind::StillRequired, "2BP01"),
    (ErrorKind::NoTransaction, "25P01"),
    (ErrorKind::InvalidArgument, "22023"),
    (ErrorKind::NotSupported, "0A000"),
    (ErrorKind::WrongObject, "42809"),
    (ErrorKind::TriggerOnly, "39P01"),
    (ErrorKind::EventTriggerOnly, "39P03"),
    (ErrorKind::Internal, "XX000"),
];

impl ErrorKind {
    fn of(code: Option<&SqlState>) -> ErrorKind {
        let Some(code) = code else {
            return ErrorKind::Client;
        };
        let known = SQLSTATES.iter().find(|(_, sqlstate)| *sqlstate == code.code());
        known.map_or(ErrorKind::Other, |(kind, _)| *kind)
    }
}

/// The call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// Opening the transaction and entering the tenant: [`NotFound`](ErrorKind::NotFound) is an unknown
    /// organization, [`NotReady`](ErrorKind::NotReady) a suspended one.
    Enter,
    /// A call of [`Admin`](crate::Admin): [`NotFound`](ErrorKind::NotFound) is an organization, a role or an
    /// object that the call names.
    Admin,
    /// A statement of the caller's, or the commit.
    Statement,
    /// No call: a text that is not an [`Org`](crate::Org).
    Name,
}

/// A failure.
///
/// `{}` prints the message; `{:#}` prints detail, hint and SQLSTATE below it. The source is the
/// [`tokio_postgres::Error`].
#[derive(Debug)]
pub struct Error {
    origin: Origin,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Postgres(tokio_postgres::Error),
    Name(InvalidOrg),
}

static INVALID_NAME: SqlState = SqlState::INVALID_NAME;

impl Error {
    pub(crate) fn enter(error: tokio_postgres::Error) -> Error {
        Error { origin: Origin::Enter, cause: Cause::Postgres(error) }
    }

    pub(crate) fn admin(error: tokio_postgres::Error) -> Error {
        Error { origin: Origin::Admin, cause: Cause::Postgres(error) }
    }

    /// What went wrong; decided by the SQLSTATE alone.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::of(self.code())
    }

    /// The call that failed.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The SQLSTATE; none if the failure is not the server's (a lost connection, an answer that does not
    /// fit).
    ///
    /// A text that is not an [`Org`](crate::Org) has 42602, as the server would have said.
    pub fn code(&self) -> Option<&SqlState> {
        match &self.cause {
            Cause::Postgres(error) => error.code(),
            Cause::Name(_) => Some(&INVALID_NAME),
        }
    }

    /// The server's error with all its fields (constraint, position, ...), if the server spoke.
    pub fn as_db_error(&self) -> Option<&DbError> {
        match &self.cause {
            Cause::Postgres(error) => error.as_db_error(),
            Cause::Name(_) => None,
        }
    }

    /// The server's detail: a sentence.
    pub fn detail(&self) -> Option<&str> {
        self.as_db_error().and_then(DbError::detail)
    }

    /// The server's hint: a sentence that names what would allow it.
    pub fn hint(&self) -> Option<&str> {
        self.as_db_error().and_then(DbError::hint)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.cause, self.as_db_error()) {
            (Cause::Name(error), _) => write!(f, "{error}")?,
            (Cause::Postgres(_), Some(error)) => f.write_str(error.message())?,
            (Cause::Postgres(error), None) => write!(f, "{error}")?,
        }
        if !f.alternate() {
            return Ok(());
        }
        let code = self.code().map(SqlState::code);
        let parts = [("DETAIL", self.detail()), ("HINT", self.hint()), ("SQLSTATE", code)];
        for (label, text) in parts {
            if let Some(text) = text {
                write!(f, "\n{label}: {text}")?;
            }
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(match &self.cause {
            Cause::Postgres(error) => error,
            Cause::Name(error) => error,
        })
    }
}

/// A failed statement: what streams, sinks and row conversions return.
impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Error {
        Error { origin: Origin::Statement, cause: Cause::Postgres(error) }
    }
}

impl From<InvalidOrg> for Error {
    fn from(error: InvalidOrg) -> Error {
        Error { origin: Origin::Name, cause: Cause::Name(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Org;

    #[test]
    fn every_code_has_one_kind_and_every_kind_one_code() {
        for (kind, sqlstate) in SQLSTATES {
            assert_eq!(ErrorKind::of(Some(&SqlState::from_code(sqlstate))), *kind, "{sqlstate}");
            assert_eq!(SQLSTATES.iter().filter(|(k, s)| k == kind || s == sqlstate).count(), 1, "{sqlstate}");
        }
        assert_eq!(ErrorKind::of(Some(&SqlState::SYNTAX_ERROR)), ErrorKind::Other);
        assert_eq!(ErrorKind::of(Some(&SqlState::from_code("ZZZZZ"))), ErrorKind::Other);
        assert_eq!(ErrorKind::of(None), ErrorKind::Client);
    }

    #[test]
    fn a_bad_name_looks_as_if_the_server_had_refused_it() {
        let error = Error::from("Acme".parse::<Org>().unwrap_err());
        assert_eq!((error.kind(), error.origin()), (ErrorKind::InvalidName, Origin::Name));
        assert_eq!(error.code().map(SqlState::code), Some("42602"));
        assert!(error.source().unwrap().is::<InvalidOrg>());
        assert_eq!(format!("{error:#}"), format!("{error}\nSQLSTATE: 42602"));
    }

    #[test]
    fn a_failure_without_sqlstate_is_the_clients() {
        let failed = "host=".parse::<tokio_postgres::Config>();
        let failed = failed.and_then(|_| "port=x".parse::<tokio_postgres::Config>()).unwrap_err();
        let error = Error::enter(failed);
        assert_eq!((error.kind(), error.origin()), (ErrorKind::Client, Origin::Enter));
        assert_eq!(error.to_string(), "invalid connection string");
        assert!(error.source().unwrap().is::<tokio_postgres::Error>());
    }
}
