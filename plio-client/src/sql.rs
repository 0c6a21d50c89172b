//! Every SQL text that the client sends, once, for the async and the blocking side.
//!
//! Values travel as typed parameters, with one exception: the organization in [`enter`]. It has to share
//! one message with START TRANSACTION, and messages with several statements take no parameters. An
//! [`Org`] holds no character that could end a literal.

use tokio_postgres::IsolationLevel;
use tokio_postgres::types::{ToSql, Type};

use crate::org::Org;
use crate::types::{ShareMode, TenantOptions};

/// Ends a tenant's transaction, loudly.
///
/// COMMIT alone answers success when a failed statement has aborted the transaction, and nothing was kept;
/// `require_tenant()` before it fails then (25P02), as it does (55000) when a statement of the caller's has
/// ended the transaction behind the client's back. The COMMIT is then not run.
pub(crate) const COMMIT: &str = "SELECT plio.require_tenant(); COMMIT";

pub(crate) const ROLLBACK: &str = "ROLLBACK";

pub(crate) const LIST: &str = "SELECT t.tenant_id::int8, t.org::text, t.schema_name::text, \
     t.role_name::text, t.status::text, t.settings::jsonb, \
     to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS created_at \
     FROM plio.tenants t ORDER BY t.org";

pub(crate) const HEALTH: &str = "SELECT severity, finding, detail, fix FROM plio.health()";

/// How a transaction begins; what is not set follows the session's defaults.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mode {
    pub(crate) isolation_level: Option<IsolationLevel>,
    pub(crate) read_only: Option<bool>,
}

/// Begins a transaction and enters the tenant, in one message and so in one round trip.
///
/// The server stops at the first statement that fails; a ROLLBACK must follow an error.
pub(crate) fn enter(org: &Org, mode: Mode) -> String {
    let mut text = String::from("START TRANSACTION");
    if let Some(level) = mode.isolation_level {
        text.push_str(" ISOLATION LEVEL ");
        text.push_str(level_name(level));
    }
    match mode.read_only {
        Some(true) => text.push_str(" READ ONLY"),
        Some(false) => text.push_str(" READ WRITE"),
        None => {}
    }
    text.push_str("; SELECT plio.set_tenant('");
    text.push_str(org.as_str());
    text.push_str("')");
    text
}

fn level_name(level: IsolationLevel) -> &'static str {
    match level {
        IsolationLevel::ReadUncommitted => "READ UNCOMMITTED",
        IsolationLevel::ReadCommitted => "READ COMMITTED",
        IsolationLevel::RepeatableRead => "REPEATABLE READ",
        // The enum may grow; the strictest level promises whatever a newer one does.
        _ => "SERIALIZABLE",
    }
}

pub(crate) fn savepoint(name: &str) -> String {
    format!("SAVEPOINT {}", quoted(name))
}

pub(crate) fn release(name: &str) -> String {
    format!("RELEASE SAVEPOINT {}", quoted(name))
}

/// Undoes a savepoint's work and forgets the savepoint.
pub(crate) fn rollback_to(name: &str) -> String {
    format!("ROLLBACK TO SAVEPOINT {0}; RELEASE SAVEPOINT {0}", quoted(name))
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// One call of a management function: its text and its arguments, all sent as text.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) text: &'static str,
    arguments: Vec<Option<String>>,
}

impl Call {
    fn new<const N: usize>(text: &'static str, arguments: [&str; N]) -> Call {
        Call { text, arguments: arguments.map(|argument| Some(argument.to_owned())).into() }
    }

    /// The arguments with their types, as `query_typed` takes them: one round trip, nothing prepared.
    pub(crate) fn parameters(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.arguments.iter().map(|argument| (argument as &(dyn ToSql + Sync), Type::TEXT)).collect()
    }

    pub(crate) fn create_tenant(org: &Org, options: &TenantOptions) -> Call {
        Call {
            text: "SELECT plio.create_tenant($1, $2, coalesce($3, '{}')::jsonb)",
            arguments: vec![
                Some(org.to_string()),
                options.schema_name.clone(),
                options.settings.as_ref().map(ToString::to_string),
            ],
        }
    }

    pub(crate) fn suspend_tenant(org: &Org) -> Call {
        Call::new("SELECT plio.suspend_tenant($1)", [org.as_str()])
    }

    pub(crate) fn resume_tenant(org: &Org) -> Call {
        Call::new("SELECT plio.resume_tenant($1)", [org.as_str()])
    }

    pub(crate) fn rename_tenant(org: &Org, new_org: &Org) -> Call {
        Call::new("SELECT plio.rename_tenant($1, $2)", [org.as_str(), new_org.as_str()])
    }

    pub(crate) fn adopt_tenant(org: &Org, schema_name: &str) -> Call {
        Call::new("SELECT plio.adopt_tenant($1, $2)", [org.as_str(), schema_name])
    }

    pub(crate) fn release_tenant(org: &Org, confirm: &Org) -> Call {
        Call::new("SELECT plio.release_tenant($1, $2)", [org.as_str(), confirm.as_str()])
    }

    pub(crate) fn assign_role(org: &Org) -> Call {
        Call::new("SELECT plio.assign_role($1)", [org.as_str()])
    }

    pub(crate) fn unassign_role(org: &Org) -> Call {
        Call::new("SELECT plio.unassign_role($1)", [org.as_str()])
    }

    pub(crate) fn drop_tenant(org: &Org, confirm: &Org) -> Call {
        Call::new("SELECT plio.drop_tenant($1, $2)", [org.as_str(), confirm.as_str()])
    }

    pub(crate) fn grant_access(role: &str, org: &Org) -> Call {
        Call::new("SELECT plio.grant_access($1, $2)", [role, org.as_str()])
    }

    pub(crate) fn revoke_access(role: &str, org: &Org) -> Call {
        Call::new("SELECT plio.revoke_access($1, $2)", [role, org.as_str()])
    }

    pub(crate) fn grant_access_to_every_tenant(role: &str) -> Call {
        Call::new("SELECT plio.grant_access_to_every_tenant($1)", [role])
    }

    pub(crate) fn revoke_access_to_every_tenant(role: &str) -> Call {
        Call::new("SELECT plio.revoke_access_to_every_tenant($1)", [role])
    }

    pub(crate) fn share(object: &str, mode: ShareMode) -> Call {
        Call::new("SELECT plio.share($1, $2)", [object, mode.as_str()])
    }

    pub(crate) fn unshare(object: &str) -> Call {
        Call::new("SELECT plio.unshare($1)", [object])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme() -> Org {
        "acme".parse().unwrap()
    }

    #[test]
    fn a_transaction_begins_as_it_was_asked_to() {
        let set = "SELECT plio.set_tenant('acme')";
        let level = Some(IsolationLevel::RepeatableRead);
        for (mode, begin) in [
            (Mode::default(), "START TRANSACTION"),
            (Mode { read_only: Some(true), ..Mode::default() }, "START TRANSACTION READ ONLY"),
            (Mode { read_only: Some(false), ..Mode::default() }, "START TRANSACTION READ WRITE"),
            (
                Mode { isolation_level: level, read_only: Some(true) },
                "START TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
            ),
        ] {
            assert_eq!(enter(&acme(), mode), format!("{begin}; {set}"));
        }
    }

    #[test]
    fn a_savepoints_name_cannot_leave_its_quotes() {
        assert_eq!(savepoint(r#"a"; COMMIT; --"#), r#"SAVEPOINT "a""; COMMIT; --""#);
        assert_eq!(rollback_to("a"), r#"ROLLBACK TO SAVEPOINT "a"; RELEASE SAVEPOINT "a""#);
    }

    #[test]
    fn as_many_arguments_as_parameters() {
        let org = &acme();
        let options = TenantOptions::new().settings(serde_json::json!({"plan": "free"}));
        for call in [
            Call::create_tenant(org, &options),
            Call::suspend_tenant(org),
            Call::resume_tenant(org),
            Call::rename_tenant(org, org),
            Call::drop_tenant(org, org),
            Call::adopt_tenant(org, "s"),
            Call::release_tenant(org, org),
            Call::assign_role(org),
            Call::unassign_role(org),
            Call::grant_access("app", org),
            Call::revoke_access("app", org),
            Call::grant_access_to_every_tenant("app"),
            Call::revoke_access_to_every_tenant("app"),
            Call::share("public.users", ShareMode::Read),
            Call::unshare("public.users"),
        ] {
            assert_eq!(call.text.matches('$').count(), call.parameters().len(), "{}", call.text);
        }
        assert_eq!(Call::create_tenant(org, &options).arguments[2].as_deref(), Some(r#"{"plan":"free"}"#));
    }
}
