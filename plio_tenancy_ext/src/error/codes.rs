//! The SQLSTATEs of [`Error`].

use super::Error;
use crate::pg;
use crate::policy::Why;
use crate::tenant::SchemaNameFault;
use pgrx::PgSqlErrorCode;

impl Error {
    /// The SQLSTATE; the table in the README says the same.
    pub fn sqlstate(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Self::Denied { why: Why::NoTenantSet, .. } => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::Denied { why: Why::OtherTenant | Why::NotShared | Why::SharedReadOnly, .. }
            | Self::StatementRefused { .. }
            | Self::LockRefused
            | Self::TakenFromStronger { .. }
            | Self::OwnerRefused { .. }
            | Self::PrepareRefused
            | Self::ServerFileRefused
            | Self::ConnectionRefused { .. }
            | Self::PreparedTexts
            | Self::ListenInTransaction
            | Self::HoldInTransaction
            | Self::ForeignStatement { .. }
            | Self::RawSetConfig
            | Self::ForeignChannels
            | Self::ChannelOfTenant { .. }
            | Self::RawNotify
            | Self::RawSequence { is_active: true, .. }
            | Self::UntrustedCode { .. }
            | Self::DdlOutside
            | Self::Tie
            | Self::WrongRole
            | Self::OneLayer { .. }
            | Self::OthersRights { .. }
            | Self::ProtectedRole { .. }
            | Self::NotInReport { .. }
            | Self::HistoryChange
            | Self::ExtensionObject
            | Self::OwnObject
            | Self::NotPermitted { .. }
            | Self::NotReporter
            | Self::TenantSettingRefused => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Self::TenantObject { .. } | Self::TenantsExist => Code::ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST,
            Self::UnknownTenant { .. } | Self::UnknownObject { .. } | Self::OwnerLost { .. } => {
                Code::ERRCODE_UNDEFINED_OBJECT
            }
            Self::TenantExists { .. } | Self::SchemaExists { .. } | Self::HasRole { .. } => {
                Code::ERRCODE_DUPLICATE_OBJECT
            }
            Self::BadOrg(_) | Self::BadSchemaName(SchemaNameFault::NotAnIdentifier) => {
                Code::ERRCODE_INVALID_NAME
            }
            Self::ReservedChannel
            | Self::SchemaOfRole { .. }
            | Self::RoleOfSchema { .. }
            | Self::BadSchemaName(SchemaNameFault::Reserved) => Code::ERRCODE_RESERVED_NAME,
            Self::RawSequence { is_active: false, .. }
            | Self::NoTenantSet
            | Self::Suspended { .. }
            | Self::Broken { .. }
            | Self::NotPreloaded
            | Self::ReportUnrecorded
            | Self::ReportWrites
            | Self::ReportChanged { .. }
            | Self::PartialReport { .. }
            | Self::NotInstalled
            | Self::UpdateDue { .. }
            | Self::BeingDropped { .. }
            | Self::RegistryBroken
            | Self::ChangeRefused
            | Self::TenantEnded
            | Self::CannotAdopt { .. }
            | Self::GivenToStronger { .. }
            | Self::WrongLayers { .. } => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::Locked { .. }
            | Self::LockedSetting { .. }
            | Self::OpenCursors
            | Self::InQuery
            | Self::InFunction
            | Self::UnderFunctionSet { .. }
            | Self::InDefinerFunction
            | Self::RoleOfTransaction
            | Self::ReportInDefiner
            | Self::CursorsInReport
            | Self::ManagementInTenant { .. } => Code::ERRCODE_ACTIVE_SQL_TRANSACTION,
            Self::InUse { .. } | Self::RegistryInUse { .. } | Self::ExtensionInUse { .. } => {
                Code::ERRCODE_OBJECT_IN_USE
            }
            Self::TooManyLocks { .. } => Code::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
            Self::Encoding => Code::ERRCODE_FEATURE_NOT_SUPPORTED,
            Self::OutsideTransaction => Code::ERRCODE_NO_ACTIVE_SQL_TRANSACTION,
            Self::NullArgument { .. }
            | Self::BadArgument { .. }
            | Self::ReportColumn { .. }
            | Self::ReportQuery
            | Self::ReportShape { .. } => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::NotASequence { .. } => Code::ERRCODE_WRONG_OBJECT_TYPE,
            Self::NotATrigger => Code::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
            Self::NotAnEventTrigger => Code::ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED,
            Self::Bug(_) => Code::ERRCODE_INTERNAL_ERROR,
        }
    }

    /// The SQLSTATE's five characters.
    pub fn sqlstate_text(&self) -> String {
        pg::sqlstate_text(self.sqlstate())
    }
}
