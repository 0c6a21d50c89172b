//! The words of [`Error`]: the hints, and the messages that depend on more than the kind of error.

use super::{CodeKind, Error};
use crate::policy::Why;
use crate::tenant::{OrgFault, SchemaNameFault};

impl Error {
    /// What would allow it: a function, a grant or a setting, in full sentences.
    pub fn hint(&self) -> String {
        match self {
            Self::Denied { why, relation, active } => denied_hint(*why, relation.as_deref(), active.as_deref()),
            Self::StatementRefused { .. } => {
                "Run it in a transaction without a tenant, as an administrator.".to_owned()
            }
            Self::LockRefused => {
                "Inside a tenant ACCESS SHARE is the strongest mode for what is shared to read, ROW EXCLUSIVE for what is shared to write."
                    .to_owned()
            }
            Self::PrepareRefused => "Commit it, or prepare a transaction that was in no tenant and holds no lock on a tenant's tables.".to_owned(),
            Self::ServerFileRefused => "Use COPY FROM STDIN or COPY TO STDOUT, or run it without a tenant.".to_owned(),
            Self::ConnectionRefused { .. } => {
                "It connects elsewhere; a superuser can list it in plio.allowed_connections.".to_owned()
            }
            Self::PreparedTexts => "Run DEALLOCATE ALL or DISCARD ALL first.".to_owned(),
            Self::ListenInTransaction => "Use SET plio.tenant: LISTEN is the session's.".to_owned(),
            Self::HoldInTransaction => {
                "Use SET plio.tenant: a cursor WITH HOLD is the session's. Or declare it without HOLD.".to_owned()
            }
            Self::ForeignStatement { .. } => {
                "A driver closes what it prepared by its protocol, or by a DEALLOCATE that is alone in its message.".to_owned()
            }
            Self::RawSetConfig => "Call it in a query or a function, or use SET.".to_owned(),
            Self::ForeignChannels => "Run UNLISTEN * first, or ask in the session's own tenant.".to_owned(),
            Self::ReservedChannel => "Set the tenant first, and use the channel's plain name.".to_owned(),
            Self::ChannelOfTenant { .. } => {
                "Whoever is to hear it must listen in the same tenant, set by SET plio.tenant.".to_owned()
            }
            Self::RawNotify => "Call it in a query or a function, or run NOTIFY.".to_owned(),
            Self::RawSequence { .. } => {
                "Call it in a query or a function: there its argument can be checked.".to_owned()
            }
            Self::NotASequence { .. } => "Pass a sequence, as in nextval('orders_id_seq').".to_owned(),
            Self::UntrustedCode { kind: CodeKind::Function, name } => format!(
                "An administrator who has read it can share it with plio.share('{}', 'read').",
                name.replace('\'', "''")
            ),
            Self::UntrustedCode { kind: CodeKind::Operator, .. } => {
                "An administrator can take it over with ALTER OPERATOR .. OWNER TO, or share its schema with plio.share()."
                    .to_owned()
            }
            Self::DdlOutside => {
                "Create objects in the tenant's own schema, without a schema name; run other DDL without a tenant."
                    .to_owned()
            }
            Self::Tie => "Keep what several tenants need in a schema of its own and share it with plio.share().".to_owned(),
            Self::TenantObject { .. } => {
                "Use plio.rename_tenant() or plio.drop_tenant().".to_owned()
            }
            Self::WrongRole => "Leave the role alone until the transaction ends.".to_owned(),
            Self::OneLayer { .. } => {
                "An administrator can give the tenant a role of its own with plio.assign_role().".to_owned()
            }
            Self::OthersRights { .. } => {
                "A security-definer function runs with its owner's rights: let an administrator own it, or call it without a tenant."
                    .to_owned()
            }
            Self::HistoryChange | Self::ExtensionObject | Self::OwnObject => "A superuser can set plio.enforcement to off first.".to_owned(),
            Self::TenantsExist => {
                "Drop the tenants first, or set plio.enforcement to off as a superuser: their schemas stay, and can be adopted again."
                    .to_owned()
            }
            Self::NotPermitted { .. } => {
                "An administrator can allow it with plio.grant_access().".to_owned()
            }
            Self::TenantSettingRefused => {
                "Use SELECT plio.set_tenant() in a transaction, or SET plio.tenant for the session.".to_owned()
            }
            Self::UnknownTenant { .. } => "An administrator can create it with plio.create_tenant().".to_owned(),
            Self::UnknownObject { kind, .. } => unknown_hint(kind).to_owned(),
            Self::TenantExists { .. } | Self::SchemaExists { .. } => {
                "Choose another name; plio.tenants lists those in use.".to_owned()
            }
            Self::BadOrg(_) => {
                "Use 1 to 63 characters out of a-z, 0-9, \"_\" and \"-\", starting with a letter or a digit.".to_owned()
            }
            Self::CannotAdopt { hint, .. } | Self::WrongLayers { hint, .. } => (*hint).to_owned(),
            Self::TakenFromStronger { .. } => {
                "A superuser can do it, or give it to a role of the application first.".to_owned()
            }
            Self::GivenToStronger { org, .. } => format!(
                "Tenants may have changed it, and the role is stronger than an ordinary one, or not one that you may become; name another owner with plio.unassign_role('{org}', '<role>')."
            ),
            Self::OwnerLost { org, .. } => format!(
                "A role that has its name now is another one. Name an owner with plio.unassign_role('{org}', '<role>'); after a restore into another cluster plio.repair() ties the owners of before to the roles of their names."
            ),
            Self::OwnerRefused { .. } => {
                "Name an ordinary role that you are a member of; a superuser can name any.".to_owned()
            }
            Self::SchemaOfRole { .. } => {
                "That role's search_path would find what the tenant makes there; choose another name.".to_owned()
            }
            Self::RoleOfSchema { .. } => {
                "By \"$user\" the role's search_path would find what the tenant makes there; choose another name."
                    .to_owned()
            }
            Self::ProtectedRole { .. } => {
                "It belongs to plio_tenancy. A superuser can do it; members are also given and taken by whoever has ADMIN OPTION on the role."
                    .to_owned()
            }
            Self::HasRole { .. } => "Only a tenant that plio.adopt_tenant() made has none.".to_owned(),
            Self::BadSchemaName(_) => {
                "Name a schema of the application: not public, PostgreSQL's or plio's. plio.create_tenant() without schema_name makes tenant_<org>."
                    .to_owned()
            }
            Self::NoTenantSet => SET_ONE.to_owned(),
            Self::Suspended { .. } => "An administrator can open it again with plio.resume_tenant().".to_owned(),
            Self::BeingDropped { org, .. } => format!(
                "An administrator can finish that with CALL plio.drop_tenant_in_steps('{org}', '{org}'), or plio.drop_tenant('{org}', '{org}')."
            ),
            Self::TooManyLocks { org, .. } => format!(
                "Use CALL plio.drop_tenant_in_steps('{org}', '{org}'), which commits after each step, or raise max_locks_per_transaction."
            ),
            Self::Broken { .. } => "plio.health() says what is missing.".to_owned(),
            Self::NotPreloaded => {
                "Connect again; if that does not help, plio.health() says which setting keeps the library out."
                    .to_owned()
            }
            Self::UpdateDue { .. } => {
                "Run ALTER EXTENSION plio_tenancy UPDATE; where the SQL objects are newer, install the newer package again.".to_owned()
            }
            Self::NotInstalled => "Run CREATE EXTENSION plio_tenancy.".to_owned(),
            Self::RegistryBroken => {
                "Restore the tables of schema plio; a superuser can set plio.enforcement to off meanwhile.".to_owned()
            }
            Self::ChangeRefused => "Run SET plio.tenant again, or RESET plio.tenant to go on without a tenant.".to_owned(),
            Self::RoleOfTransaction => {
                "Use plio.set_tenant() or SET LOCAL plio.tenant, or SET ROLE for the session.".to_owned()
            }
            Self::Encoding => "Make one with CREATE DATABASE .. ENCODING 'UTF8' TEMPLATE template0.".to_owned(),
            Self::Locked { .. } => "End the transaction before you set another tenant.".to_owned(),
            Self::LockedSetting { .. } => "It is free again when the tenant ends.".to_owned(),
            Self::OpenCursors => {
                "Change it first thing in the transaction, or close the cursors. A loop over a query is a cursor, a loop over an array is not.".to_owned()
            }
            Self::InQuery => "Change it in a statement of its own.".to_owned(),
            Self::UnderFunctionSet { .. } | Self::InDefinerFunction => {
                "Call plio.set_tenant() before the function.".to_owned()
            }
            Self::InFunction => {
                "Run SET plio.tenant, RESET plio.tenant or plio.set_tenant() as a statement of its own.".to_owned()
            }
            Self::TenantEnded => "Use COMMIT and ROLLBACK where the tenant is set, not in a procedure of the tenant's.".to_owned(),
            Self::ManagementInTenant { .. } => "Manage tenants in a transaction without a tenant.".to_owned(),
            Self::NotReporter => "An administrator can allow it with GRANT plio_reporter.".to_owned(),
            Self::ReportInDefiner => "Let the reporter call it directly.".to_owned(),
            Self::CursorsInReport => "Close them first, those WITH HOLD included.".to_owned(),
            Self::ReportUnrecorded => {
                "Reports are recorded in plio.history: run them in a transaction that may write.".to_owned()
            }
            Self::ReportWrites => "Let it read only.".to_owned(),
            Self::ReportQuery => "Pass a single SELECT, VALUES, TABLE or WITH .. SELECT.".to_owned(),
            Self::ReportShape { .. } => {
                "Let the column definition list say what the query gives, the organization first (AS t (org text, n bigint)), or cast in the query.".to_owned()
            }
            Self::ReportColumn { .. } => {
                "Give the column one type in all tenants, or in one of them a type that holds every tenant's values; then call plio.create_report_view() again."
                    .to_owned()
            }
            Self::ReportChanged { .. } => "Run the report again.".to_owned(),
            Self::NotInReport { .. } => {
                "Leave it out of views and functions that reports read: its effect would outlive the visit.".to_owned()
            }
            Self::PartialReport { has_other_columns: true, .. } => {
                "Let the column definition list say what the query gives in every tenant, the organization first (AS t (org text, n bigint)), or cast in the query."
                    .to_owned()
            }
            Self::PartialReport { .. } => {
                "plio.report_coverage() lists them; allow_partial => true, or for views the setting \
                 plio.allow_partial_reports, lets the report go on without them."
                    .to_owned()
            }
            Self::InUse { .. } => {
                "Wait until the transactions in this tenant have ended; lock_timeout says how long to wait.".to_owned()
            }
            Self::RegistryInUse { .. } | Self::ExtensionInUse { .. } => {
                "Wait until that transaction has ended; lock_timeout says how long to wait.".to_owned()
            }
            Self::OutsideTransaction => "Use BEGIN first; alone, it would have no effect.".to_owned(),
            Self::NullArgument { .. } => "Pass a value.".to_owned(),
            Self::BadArgument { hint, .. } => (*hint).to_owned(),
            Self::NotATrigger | Self::NotAnEventTrigger => {
                "Leave it to the triggers that the extension made.".to_owned()
            }
            Self::Bug(_) => "Please report it, with the statement and the server's log.".to_owned(),
        }
    }
}

const SET_ONE: &str = "Start the transaction with SELECT plio.set_tenant('<org>').";

/// How such a thing is named.
fn unknown_hint(kind: &str) -> &'static str {
    match kind {
        "role" => "Give the role's name as it stands in pg_roles.",
        "schema" => "Give the schema's name; what lies in one is named with it, as in 'public.users'.",
        "function" => "Give it with its schema and the types of its arguments, as in 'public.f(integer)'.",
        "share" => "plio.shares lists what is shared.",
        "report view" => "Report views are the foreign tables in schema plio_reports.",
        "tenants' table" => "Give the name, without a schema, of a table or view that tenants have.",
        _ => "Give the name with its schema, as SQL spells it: 'public.users', 'public.\"Users\"'.",
    }
}

pub fn denied_message(why: Why, relation: Option<&str>) -> String {
    match (why, relation) {
        (Why::OtherTenant, _) => "access to another tenant is not allowed".to_owned(),
        (Why::NoTenantSet, _) => "no tenant is set".to_owned(),
        (Why::NotShared, Some(name)) => format!("\"{name}\" is not shared with tenants"),
        (Why::NotShared, None) => "relation is not shared with tenants".to_owned(),
        (Why::SharedReadOnly, Some(name)) => format!("\"{name}\" is shared with tenants for reading only"),
        (Why::SharedReadOnly, None) => "relation is shared with tenants for reading only".to_owned(),
    }
}

fn denied_hint(why: Why, relation: Option<&str>, active: Option<&str>) -> String {
    let name = relation.unwrap_or("<schema>.<relation>").replace('\'', "''");
    match why {
        Why::OtherTenant => {
            let active = active.unwrap_or("<org>");
            format!(
                "Tenant \"{active}\" is active until the transaction ends; work for one tenant in a transaction."
            )
        }
        Why::NoTenantSet => SET_ONE.to_owned(),
        Why::NotShared => {
            format!(
                "An administrator can share it with plio.share('{name}', 'read'), or 'write' where tenants change it."
            )
        }
        Why::SharedReadOnly => format!("An administrator can open it with plio.share('{name}', 'write')."),
    }
}

pub fn no_sequence_message(oid: u32, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("\"{name}\" is not a sequence"),
        None => format!("relation with OID {oid} is not a sequence"),
    }
}

pub fn org_fault(fault: OrgFault) -> &'static str {
    match fault {
        OrgFault::Empty => "it is empty",
        OrgFault::TooLong => "it is longer than 63 characters",
        OrgFault::BadStart => "it must start with a letter or a digit",
        OrgFault::BadCharacter => "it has a character other than a-z, 0-9, \"_\" and \"-\"",
    }
}

pub fn schema_fault(fault: SchemaNameFault) -> &'static str {
    match fault {
        SchemaNameFault::NotAnIdentifier => "invalid schema name",
        SchemaNameFault::Reserved => "schema name is reserved",
    }
}
