//! What the management calls take and give, for the async and the blocking side alike.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Row;

use crate::org::Org;

/// A tenant: a row of `plio.tenants`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tenant {
    /// The number that stays when the organization is renamed.
    pub tenant_id: i64,
    /// The organization.
    pub org: Org,
    /// The schema that holds its tables.
    pub schema_name: String,
    /// The role that owns the schema; none if the tenant has no role of its own.
    pub role_name: Option<String>,
    /// Whether it may be entered.
    pub status: TenantStatus,
    /// The application's settings: a JSON object.
    pub settings: Value,
    /// When it was created: RFC 3339, UTC, microseconds (`2026-01-31T23:59:59.000000Z`).
    pub created_at: String,
}

impl Tenant {
    pub(crate) fn from_row(row: &Row) -> Result<Tenant, tokio_postgres::Error> {
        Ok(Tenant {
            tenant_id: row.try_get("tenant_id")?,
            org: row.try_get("org")?,
            schema_name: row.try_get("schema_name")?,
            role_name: row.try_get("role_name")?,
            status: row.try_get::<_, String>("status")?.into(),
            settings: row.try_get("settings")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

/// One finding of `plio.health()`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was found, in short.
    pub finding: String,
    /// More about it: sentences.
    pub detail: Option<String>,
    /// What mends it: a statement or a sentence.
    pub fix: Option<String>,
}

impl Finding {
    pub(crate) fn from_row(row: &Row) -> Result<Finding, tokio_postgres::Error> {
        Ok(Finding {
            severity: row.try_get::<_, String>("severity")?.into(),
            finding: row.try_get("finding")?,
            detail: row.try_get("detail")?,
            fix: row.try_get("fix")?,
        })
    }
}

/// What [`create_tenant`](crate::Admin::create_tenant) may be told beside the name.
///
/// ```
/// use plio_client::TenantOptions;
///
/// let options = TenantOptions::new().schema_name("Acme Ltd").settings(serde_json::json!({"plan": "free"}));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TenantOptions {
    pub(crate) schema_name: Option<String>,
    pub(crate) settings: Option<Value>,
}

impl TenantOptions {
    /// The server's defaults: schema `tenant_<org>`, no settings.
    pub fn new() -> TenantOptions {
        TenantOptions::default()
    }

    /// The schema's name: any legal identifier, without quotes around it.
    pub fn schema_name(mut self, name: impl Into<String>) -> TenantOptions {
        self.schema_name = Some(name.into());
        self
    }

    /// The tenant's settings: a JSON object.
    pub fn settings(mut self, settings: Value) -> TenantOptions {
        self.settings = Some(settings);
        self
    }
}

/// What tenants may do with a shared object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShareMode {
    /// Read it.
    Read,
    /// Read and write it.
    Write,
}

impl ShareMode {
    /// The word that SQL knows it by.
    pub fn as_str(self) -> &'static str {
        match self {
            ShareMode::Read => "read",
            ShareMode::Write => "write",
        }
    }
}

/// An enum of words that the server answers with; a word of a newer server is kept as `Other`.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A word that this version of the client does not know.
            Other(String),
        }

        impl $name {
            /// The word that SQL knows it by.
            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => $word,)*
                    $name::Other(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> $name {
                match word.as_str() {
                    $($word => $name::$variant,)*
                    _ => $name::Other(word),
                }
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// Whether a tenant may be entered.
    TenantStatus {
        /// It may.
        Active = "active",
        /// Nobody enters until it is resumed.
        Suspended = "suspended",
    }
}

words! {
    /// How bad a finding is.
    Severity {
        /// The installation does not protect.
        Critical = "critical",
        /// It protects, and something should be mended.
        Warning = "warning",
        /// Good to know.
        Info = "info",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_json_and_a_newer_server() {
        for word in ["active", "suspended", "archived"] {
            let status: TenantStatus = serde_json::from_value(Value::from(word)).unwrap();
            assert_eq!(serde_json::to_value(&status).unwrap(), Value::from(word));
            assert_eq!(status.to_string(), word);
        }
        assert_eq!(TenantStatus::from("active".to_owned()), TenantStatus::Active);
        assert_eq!(Severity::from("dire".to_owned()), Severity::Other("dire".to_owned()));
    }

    #[test]
    fn a_tenant_survives_json() {
        let tenant = Tenant {
            tenant_id: 1,
            org: "acme".parse().unwrap(),
            schema_name: "tenant_acme".to_owned(),
            role_name: None,
            status: TenantStatus::Suspended,
            settings: serde_json::json!({"plan": "free"}),
            created_at: "2026-01-31T23:59:59.000000Z".to_owned(),
        };
        let json = serde_json::to_value(&tenant).unwrap();
        assert_eq!(json["status"], "suspended");
        assert_eq!(serde_json::from_value::<Tenant>(json).unwrap(), tenant);
    }
}
