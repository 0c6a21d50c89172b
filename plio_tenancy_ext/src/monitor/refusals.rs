//! Which failures are refusals, and what is kept of one.
//!
//! Every refusal passes through [`note`], whether it is raised or (where enforcement only reports) let through: it is
//! written to the ring and counted, where there is shared memory, and always to the server's log, one line of
//! `key=value`. The ring holds nothing of another tenant: the message is our own, less the names of tenants' objects.
//! Costs nothing until something is refused.

#![forbid(unsafe_code)]

use super::entry::{Denial, Kind, quoted};
use crate::context;
use crate::error::Error;
use crate::guc::monitoring as settings;
use crate::pg::{log, session};
use crate::policy::Why;
use std::cell::Cell;

/// What kind of refusal a failure is; `None` for a mistake that nobody had to be held back from.
pub fn kind(error: &Error) -> Option<Kind> {
    match error {
        Error::Denied { why: Why::OtherTenant, .. } => Some(Kind::OtherTenant),
        Error::Denied { why: Why::NoTenantSet, .. } | Error::RawSequence { is_active: false, .. } => {
            Some(Kind::NoTenant)
        }
        Error::Denied { why: Why::NotShared, .. } | Error::UntrustedCode { .. } => Some(Kind::NotShared),
        Error::Denied { why: Why::SharedReadOnly, .. } => Some(Kind::SharedReadOnly),
        Error::StatementRefused { .. }
        | Error::LockRefused
        | Error::PrepareRefused
        | Error::ListenInTransaction
        | Error::HoldInTransaction
        | Error::ForeignStatement { .. }
        | Error::RawSetConfig
        | Error::ForeignChannels
        | Error::ReservedChannel
        | Error::ChannelOfTenant { .. }
        | Error::RawNotify
        | Error::RawSequence { is_active: true, .. }
        | Error::TenantEnded
        | Error::RoleOfSchema { .. }
        | Error::ProtectedRole { .. }
        | Error::RegistryBroken => Some(Kind::Statement),
        Error::ServerFileRefused => Some(Kind::ServerFile),
        Error::ConnectionRefused { .. } => Some(Kind::Connection),
        Error::PreparedTexts => Some(Kind::PreparedTexts),
        Error::DdlOutside => Some(Kind::DdlOutside),
        Error::Tie => Some(Kind::Tie),
        Error::TenantObject { .. } => Some(Kind::TenantObject),
        Error::WrongRole => Some(Kind::Role),
        Error::OneLayer { .. } | Error::OthersRights { .. } => Some(Kind::OneLayer),
        Error::NotInReport { .. } => Some(Kind::Statement),
        Error::NotPermitted { exists: false, .. } | Error::UnknownTenant { .. } => Some(Kind::UnknownTenant),
        Error::NotPermitted { exists: true, .. } | Error::NotReporter | Error::ReportInDefiner => {
            Some(Kind::Enter)
        }
        Error::Suspended { .. } | Error::BeingDropped { is_entering: true, .. } => Some(Kind::Suspended),
        Error::Locked { .. } => Some(Kind::SecondTenant),
        Error::TenantSettingRefused => Some(Kind::TenantSetting),
        Error::LockedSetting { .. } => Some(Kind::LockedSetting),
        Error::ManagementInTenant { .. }
        | Error::HistoryChange
        | Error::ExtensionObject
        | Error::TakenFromStronger { .. }
        | Error::OwnerRefused { .. }
        | Error::OwnObject
        | Error::TenantsExist => Some(Kind::Management),
        Error::UnknownObject { .. }
        | Error::TenantExists { .. }
        | Error::SchemaExists { .. }
        | Error::BeingDropped { is_entering: false, .. }
        | Error::TooManyLocks { .. }
        | Error::CannotAdopt { .. }
        | Error::GivenToStronger { .. }
        | Error::OwnerLost { .. }
        | Error::SchemaOfRole { .. }
        | Error::HasRole { .. }
        | Error::WrongLayers { .. }
        | Error::BadOrg(_)
        | Error::BadSchemaName(_)
        | Error::NoTenantSet
        | Error::Broken { .. }
        | Error::NotPreloaded
        | Error::NotInstalled
        | Error::UpdateDue { .. }
        | Error::ChangeRefused
        | Error::RoleOfTransaction
        | Error::Encoding
        | Error::OpenCursors
        | Error::CursorsInReport
        | Error::ReportUnrecorded
        | Error::ReportWrites
        | Error::ReportQuery
        | Error::ReportShape { .. }
        | Error::ReportColumn { .. }
        | Error::ReportChanged { .. }
        | Error::PartialReport { .. }
        | Error::InQuery
        | Error::InFunction
        | Error::UnderFunctionSet { .. }
        | Error::InDefinerFunction
        | Error::InUse { .. }
        | Error::RegistryInUse { .. }
        | Error::ExtensionInUse { .. }
        | Error::OutsideTransaction
        | Error::NullArgument { .. }
        | Error::NotASequence { .. }
        | Error::NotATrigger
        | Error::NotAnEventTrigger
        | Error::BadArgument { .. }
        | Error::Bug(_) => None,
    }
}

/// The message without the names of tenants' objects, which the caller knows but an auditor's page need not show.
fn message(error: &Error) -> String {
    match error {
        Error::TenantObject { verb, kind, .. } => {
            format!("cannot {verb} {kind} because a tenant requires it")
        }
        other => other.to_string(),
    }
}

/// What comes of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It is about to be raised.
    Raised,
    /// It would have been, but is let through. Where the object may be named, it is in the server's log, nowhere else.
    Reported { object: Option<&'a str> },
}

thread_local! {
    static IS_SELFTEST: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, refusals are `plio.selftest()`'s own: logged as such, and neither kept nor counted, since nobody tried
/// anything. Its throw-away tenants would take counters that are never given back.
pub struct Selftest(());

impl Selftest {
    /// From now on.
    pub fn begin() -> Self {
        IS_SELFTEST.set(true);
        Self(())
    }
}

impl Drop for Selftest {
    fn drop(&mut self) {
        IS_SELFTEST.set(false);
    }
}

/// Keeps and logs a failure, if it is a refusal.
///
/// Call it once for each refusal. Raises nothing but a pending interrupt.
pub fn note(error: &Error, outcome: Outcome<'_>) {
    let Some(kind) = kind(error) else { return };
    let (own_pid, started) = log::process();
    let is_worker = session::is_parallel_worker();
    let denial = Denial {
        at: log::now(),
        pid: if is_worker { log::leader_pid() } else { own_pid },
        started: if is_worker { 0 } else { started },
        database: session::database_oid().to_u32(),
        login: log::login_role(),
        org: context::active_org().unwrap_or_default(),
        kind,
        sqlstate: error.sqlstate() as i32,
        query_id: log::query_id(),
        is_enforced: outcome == Outcome::Raised,
        message: message(error),
    };
    let id = if IS_SELFTEST.get() { None } else { super::keep(&denial, context::active_tenant()) };
    if let Some(suppressed) = may_log(denial.at) {
        let object = if let Outcome::Reported { object } = outcome { object } else { None };
        log::server_line(&line(&denial, object, id, suppressed));
    }
}

/// The line of the server's log.
fn line(denial: &Denial, object: Option<&str>, id: Option<u64>, suppressed: u64) -> String {
    let mut line = format!(
        "plio denial: kind={} sqlstate={} enforced={} org={} login={} database={} pid={} query_id={}",
        denial.kind,
        log::unpack_sqlstate(denial.sqlstate),
        denial.is_enforced,
        quoted(&denial.org),
        quoted(&denial.login),
        quoted(&log::database_name()),
        denial.pid,
        denial.query_id,
    );
    if let Some(object) = object {
        line.push_str(&format!(" object={}", quoted(object)));
    }
    if let Some(id) = id {
        line.push_str(&format!(" denial_id={id}"));
    }
    if IS_SELFTEST.get() {
        line.push_str(" selftest=true");
    }
    if suppressed > 0 {
        line.push_str(&format!(" suppressed={suppressed}"));
    }
    line.push_str(&format!(" message={}", quoted(&denial.message)));
    line
}

/// What this session has logged in the second that is running.
#[derive(Clone, Copy)]
struct Logged {
    second: i64,
    lines: i32,
    suppressed: u64,
}

thread_local! {
    static LOGGED: Cell<Logged> = const { Cell::new(Logged { second: 0, lines: 0, suppressed: 0 }) };
}

/// Whether this session may write another line: a loop that catches refusals must not fill the disk. How many were
/// suppressed since the last one.
fn may_log(now: i64) -> Option<u64> {
    let mut logged = LOGGED.get();
    let second = now / 1_000_000;
    if logged.second != second {
        logged = Logged { second, lines: 0, ..logged };
    }
    if logged.lines < settings::log_rate() {
        LOGGED.set(Logged { lines: logged.lines + 1, suppressed: 0, ..logged });
        Some(logged.suppressed)
    } else {
        LOGGED.set(Logged { suppressed: logged.suppressed + 1, ..logged });
        None
    }
}
