//! Every failure of ours: its message and detail; its SQLSTATE (codes.rs) and hint (words.rs). The only place that knows them.
//!
//! Messages follow PostgreSQL's style guide; none says anything about another tenant's objects. An error that
//! is not ours never passes through here: it reaches the client as PostgreSQL raised it.

mod codes;
mod words;

use self::words::{denied_message, no_sequence_message, org_fault, schema_fault};
use crate::monitor::refusals::{self, Outcome};
use crate::pg;
use crate::policy::Why;
use crate::tenant::{OrgFault, SchemaNameFault};
use pgrx::pg_sys::panic::ErrorReport;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A relation was refused; `relation` names it where the name is nobody's secret.
    #[error("{}", denied_message(*.why, .relation.as_deref()))]
    Denied { why: Why, relation: Option<String>, active: Option<String> },
    /// A statement kind that has no place inside a tenant.
    #[error("cannot run {tag} while a tenant is active")]
    StatementRefused { tag: String },
    /// LOCK TABLE would hold up the other tenants.
    #[error("cannot lock what is shared with tenants in this mode while a tenant is active")]
    LockRefused,
    /// PREPARE TRANSACTION would keep the tenant's lock, or one on its tables, for ever.
    #[error("cannot prepare a transaction that holds a lock on a tenant")]
    PrepareRefused,
    /// A server file, program or library named inside a tenant.
    #[error("access to the server's files is not allowed while a tenant is active")]
    ServerFileRefused,
    /// A foreign server, or an extension that opens connections, that nobody listed.
    #[error("cannot use \"{name}\" while a tenant is active")]
    ConnectionRefused { name: String },
    /// The view pg_prepared_statements was read while it may show another tenant's statements.
    #[error("cannot list prepared statements that another tenant may have made")]
    PreparedTexts,
    /// LISTEN with `set_tenant`, whose tenant it would outlive.
    #[error("cannot listen while a tenant is set for this transaction only")]
    ListenInTransaction,
    /// A cursor WITH HOLD with `set_tenant`, whose tenant it would outlive.
    #[error("cannot declare a cursor WITH HOLD while a tenant is set for this transaction only")]
    HoldInTransaction,
    /// DEALLOCATE of what was not prepared inside this tenant.
    #[error("prepared statement \"{name}\" was not prepared by SQL in the active tenant")]
    ForeignStatement { name: String },
    /// pg_listening_channels() was called while the session listens in another tenant.
    #[error("cannot list channels while the session listens in another tenant")]
    ForeignChannels,
    /// A channel name that is reserved for tenants was used without a tenant.
    #[error("channel names that begin with \"plio:\" are reserved")]
    ReservedChannel,
    /// Only reported, in report mode: LISTEN or NOTIFY, which would be for the tenant's sessions alone.
    #[error("{tag} while a tenant is active is for that tenant's sessions only")]
    ChannelOfTenant { tag: String },
    /// `pg_notify` where it was not exchanged for the checked form.
    #[error("cannot call pg_notify() here")]
    RawNotify,
    /// `set_config` where it was not exchanged for the checked form.
    #[error("cannot call set_config() here while a tenant is active")]
    RawSetConfig,
    /// A function on sequences where it was not exchanged for the checked form.
    #[error("cannot call {function}() here")]
    RawSequence { function: String, is_active: bool },
    /// The argument of a function on sequences is within reach, and is not a sequence.
    #[error("{}", no_sequence_message(*.oid, .name.as_deref()))]
    NotASequence { oid: u32, name: Option<String> },
    /// A function or an operator of somebody who is not trusted inside the tenant.
    #[error("{kind} {name} belongs to a role that is not trusted inside tenants")]
    UntrustedCode { kind: CodeKind, name: String },
    /// DDL outside the tenant's schema.
    #[error("cannot create, alter or drop objects outside the schema of the active tenant")]
    DdlOutside,
    /// Two tenants, or a shared object and a tenant, would be tied together.
    #[error("an object may not depend on the objects of a tenant that it does not belong to")]
    Tie,
    /// The schema or role is a tenant's and may change only through our functions.
    #[error("cannot {verb} {kind} \"{name}\" because a tenant requires it")]
    TenantObject { verb: &'static str, kind: &'static str, name: String },
    /// The session's role is not the tenant's any more.
    #[error("current role is not the role of the active tenant")]
    WrongRole,
    /// What only a tenant with a role of its own may use: no check of ours would see what it reaches.
    #[error("cannot use \"{what}\" in a tenant without a role of its own")]
    OneLayer { what: String },
    /// What only a tenant's role or an administrator may use inside a tenant: code with another role's rights wants to.
    #[error("cannot use \"{what}\" with another role's rights while a tenant is active")]
    OthersRights { what: String },
    /// The role may not enter, or there is no such tenant and the role may not know that.
    #[error("permission denied to enter tenant \"{org}\"")]
    NotPermitted { org: String, exists: bool },
    /// `plio.tenant` cannot be set this way.
    #[error("parameter \"plio.tenant\" cannot be set this way")]
    TenantSettingRefused,
    /// No such tenant.
    #[error("tenant \"{org}\" does not exist")]
    UnknownTenant { org: String },
    /// The object to share, or the role to grant to, does not exist.
    #[error("{kind} \"{name}\" does not exist")]
    UnknownObject { kind: &'static str, name: String },
    /// The org is taken.
    #[error("tenant \"{org}\" already exists")]
    TenantExists { org: String },
    /// The schema is there already.
    #[error("schema \"{schema}\" already exists")]
    SchemaExists { schema: String },
    /// The schema cannot become a tenant's.
    #[error("cannot make schema \"{schema}\" a tenant: {why}")]
    CannotAdopt { schema: String, why: String, hint: &'static str },
    /// The tenant has a role of its own already.
    #[error("tenant \"{org}\" already has a role of its own")]
    HasRole { org: String },
    /// `release_tenant` on a tenant with a role, `unassign_role` on one whose role plio.assign_role() did not make.
    #[error("{message}")]
    WrongLayers { message: String, hint: &'static str },
    /// A plain administrator would get hold of what belongs to a stronger role.
    #[error("permission denied to take {what} from role \"{owner}\"")]
    TakenFromStronger { what: String, owner: String },
    /// What tenants may have changed would become a stronger role's.
    #[error("cannot give {what} of tenant \"{org}\" back to role \"{owner}\"")]
    GivenToStronger { org: String, what: String, owner: String },
    /// The previous owner is gone, or was a role of another cluster.
    #[error("role \"{owner}\", the previous owner of {what} of tenant \"{org}\", is gone")]
    OwnerLost { org: String, what: String, owner: String },
    /// The role named as the new owner is not one that the caller may name.
    #[error("permission denied to make role \"{owner}\" the owner")]
    OwnerRefused { owner: String },
    /// A schema of that name would be in the search_path of the role of that name.
    #[error("schema name \"{schema}\" is the name of a role")]
    SchemaOfRole { schema: String },
    /// A role of that name would have a tenant's schema in its search_path.
    #[error("role name \"{name}\" is the name of a tenant's schema")]
    RoleOfSchema { name: String },
    /// A group of the extension's, or a tenant's role, would be changed by somebody who may not.
    #[error("permission denied to change role \"{name}\" or its members")]
    ProtectedRole { name: String },
    /// The name is not a legal org.
    #[error("invalid organization name: {}", org_fault(*.0))]
    BadOrg(OrgFault),
    /// The name is not a legal schema name, or it is reserved.
    #[error("{}", schema_fault(*.0))]
    BadSchemaName(SchemaNameFault),
    /// `require_tenant` with none.
    #[error("no tenant is set")]
    NoTenantSet,
    /// The tenant is suspended.
    #[error("tenant \"{org}\" is suspended")]
    Suspended { org: String },
    /// The tenant is being dropped in steps; some of it is gone already.
    #[error("tenant \"{org}\" is being dropped")]
    BeingDropped { org: String, is_entering: bool },
    /// One transaction cannot lock all that the tenant holds.
    #[error("dropping tenant \"{org}\" takes about {needed} locks, more than the server has room for")]
    TooManyLocks { org: String, needed: i64 },
    /// The registry knows the tenant, the database does not.
    #[error("tenant \"{org}\" has lost its {what}")]
    Broken { org: String, what: &'static str },
    /// Loaded too late to have protected the session.
    #[error("plio_tenancy is not preloaded in this session")]
    NotPreloaded,
    /// The extension is not in this database.
    #[error("extension \"plio_tenancy\" is not installed in this database")]
    NotInstalled,
    /// The library is of one version, the SQL objects in this database of another: what manages tenants needs both.
    #[error("the library of plio_tenancy is version {library}, its SQL objects are version {installed}")]
    UpdateDue { library: &'static str, installed: String },
    /// Part of the registry is missing.
    #[error("the registry of plio_tenancy cannot be read in this database")]
    RegistryBroken,
    /// An earlier change of the session's tenant was refused: no tenant is in force until the next good one.
    #[error("no tenant is in force since plio.tenant could not be changed")]
    ChangeRefused,
    /// SET plio.tenant after SET LOCAL ROLE.
    #[error("cannot set a tenant for the session while the role is set for the transaction only")]
    RoleOfTransaction,
    /// Names are UTF-8 here, throughout.
    #[error("plio_tenancy requires a database with encoding UTF8")]
    Encoding,
    /// Another tenant is active in this transaction.
    #[error("tenant \"{active}\" is set for this transaction")]
    Locked { active: String },
    /// A setting that the tenant locks.
    #[error("parameter \"{setting}\" is locked while a tenant is active")]
    LockedSetting { setting: &'static str },
    /// An open cursor would go on returning rows of the previous tenant.
    #[error("cannot change the tenant while cursors are open")]
    OpenCursors,
    /// The calling statement or trigger would go on with the previous tenant.
    #[error("cannot change the tenant inside a query on tables, a prepared statement or a trigger")]
    InQuery,
    /// At the function's exit its SET clause would put back the path or the role while the tenant stays.
    #[error("cannot set a tenant inside a function with a SET clause for \"{setting}\"")]
    UnderFunctionSet { setting: &'static str },
    /// A session's tenant would change below a function.
    #[error("cannot change the tenant of a session inside a function")]
    InFunction,
    /// A tenant's procedure ended the transaction, and with it the tenant, that it was called in.
    #[error("the tenant has ended in a procedure that was called inside it")]
    TenantEnded,
    /// A definer function's exit would put the role back. Code that runs in maintenance (ANALYZE, REFRESH) may not enter either.
    #[error("cannot set a tenant inside a security-definer function")]
    InDefinerFunction,
    /// A row of the history, or the history itself, would be changed.
    #[error("the history of plio_tenancy can only be appended to")]
    HistoryChange,
    /// An object would be taken out of the extension.
    #[error("cannot take an object out of extension \"plio_tenancy\"")]
    ExtensionObject,
    /// An object of the extension would be changed by hand.
    #[error("cannot change what belongs to extension \"plio_tenancy\"")]
    OwnObject,
    /// The registry would be lost.
    #[error("cannot drop extension \"plio_tenancy\" because tenants exist")]
    TenantsExist,
    /// Management inside a tenant.
    #[error("cannot run {function}() while a tenant is active")]
    ManagementInTenant { function: &'static str },
    /// The role is neither a reporter nor an auditor.
    #[error("permission denied to report across tenants")]
    NotReporter,
    /// A definer function would lend its caller a reporter's view.
    #[error("cannot report across tenants inside a security-definer function")]
    ReportInDefiner,
    /// A report is asked for while cursors are open: a tenant's code could fetch from them.
    #[error("cannot report across tenants while cursors are open")]
    CursorsInReport,
    /// A report in a read-only transaction: it could not be recorded in the history.
    #[error("cannot report across tenants in a read-only transaction")]
    ReportUnrecorded,
    /// A report's query made the transaction writable again.
    #[error("a report's query must not write")]
    ReportWrites,
    /// The query is no SELECT, or not one.
    #[error("a report's query must be one SELECT")]
    ReportQuery,
    /// The query's columns are not those that the caller expects.
    #[error("{message}")]
    ReportShape { message: String },
    /// A tenant's column has a type whose values the report view's column does not hold as they are.
    #[error(
        "column \"{column}\" is of type {has}, whose values the report view's type {wants} cannot hold exactly"
    )]
    ReportColumn { column: String, has: String, wants: String },
    /// A report's snapshot is older than what the relation is now.
    #[error("relation \"{relation}\" was changed after the report began")]
    ReportChanged { relation: String },
    /// A function whose effect would outlive a report's visit to the tenant.
    #[error("cannot use {what}() while a report visits the tenant")]
    NotInReport { what: String },
    /// Some tenants are not in the result.
    #[error("report covers {counted} of {expected} tenants")]
    PartialReport { counted: usize, expected: usize, missing: String, has_other_columns: bool },
    /// Other transactions hold the tenant; `holders` says which, to an administrator.
    #[error("tenant \"{org}\" is in use")]
    InUse { org: String, holders: Option<String> },
    /// Another management function's transaction goes on.
    #[error("another transaction is changing the registry of tenants")]
    RegistryInUse { holders: Option<String> },
    /// Other transactions hold tables of the extension, which its update alters.
    #[error("extension \"plio_tenancy\" is in use")]
    ExtensionInUse { holders: Option<String> },
    /// set_tenant is the only statement of its transaction, so it would have no effect.
    #[error("plio.set_tenant can only be used in a transaction block")]
    OutsideTransaction,
    /// An argument is NULL.
    #[error("argument \"{argument}\" of {function}() must not be null")]
    NullArgument { function: &'static str, argument: &'static str },
    /// An argument is wrong.
    #[error("{message}")]
    BadArgument { message: String, hint: &'static str },
    /// A trigger function called by hand.
    #[error("function was not called by trigger manager")]
    NotATrigger,
    /// An event trigger's function called by hand.
    #[error("function was not fired by event trigger manager")]
    NotAnEventTrigger,
    /// A bug of this extension.
    #[error("internal error in plio_tenancy: {0}")]
    Bug(String),
}

/// Warns of what is allowed, but has consequences.
pub fn warn(message: &str, detail: &str, hint: &str) {
    ErrorReport::new(pgrx::PgSqlErrorCode::ERRCODE_WARNING, message.to_owned(), "plio_tenancy")
        .set_detail(detail.to_owned())
        .set_hint(hint.to_owned())
        .report(pgrx::PgLogLevel::WARNING);
}

/// What kind of code was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeKind {
    /// A function, a procedure or an aggregate.
    Function,
    /// An operator.
    Operator,
}

impl std::fmt::Display for CodeKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Function => "function",
            Self::Operator => "operator",
        })
    }
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What else there is to say, in full sentences.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::PartialReport { missing, .. } => Some(missing.clone()),
            Self::InUse { holders, .. }
            | Self::RegistryInUse { holders }
            | Self::ExtensionInUse { holders } => holders.clone(),
            _ => None,
        }
    }

    /// Says it as a warning instead, with the same SQLSTATE.
    pub fn warn(&self) {
        let mut report =
            ErrorReport::new(self.sqlstate(), self.to_string(), "plio_tenancy").set_hint(self.hint());
        if let Some(detail) = self.detail() {
            report = report.set_detail(detail);
        }
        report.report(pgrx::PgLogLevel::WARNING);
    }

    /// Raises it as a PostgreSQL error; a refusal is kept and logged before.
    pub fn raise(self) -> ! {
        if matches!(self, Self::Denied { why: Why::OtherTenant, .. }) || pg::session::is_in_foreign_key() {
            // The context lines would quote the statement that was refused; a foreign key's names a table that the session's
            // own statement does not.
            pg::forget_error_context();
        }
        refusals::note(&self, Outcome::Raised);
        let mut report =
            ErrorReport::new(self.sqlstate(), self.to_string(), "plio_tenancy").set_hint(self.hint());
        if let Some(detail) = self.detail() {
            report = report.set_detail(detail);
        }
        report.report(pgrx::PgLogLevel::ERROR);
        // never: ERROR does not return
        unreachable!()
    }
}

/// Raises the error, if any.
pub fn or_raise<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => error.raise(),
    }
}
