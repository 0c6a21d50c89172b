//! What a tenant is called and known by; the naming rules. Pure: no PostgreSQL, no state.
//!
//! The client's `Org` obeys the same rules; `tests/tests/pure_rules.rs` holds both to one table.

use std::fmt;

/// PostgreSQL's `NAMEDATALEN - 1`: the longest identifier, in bytes.
pub const MAX_IDENTIFIER_BYTES: usize = 63;

/// An organization's short code: 1 to 63 of `a-z`, `0-9`, `_`, `-`, the first a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Org(String);

/// Why a text is no [`Org`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrgFault {
    /// No characters at all.
    Empty,
    /// More than 63 bytes.
    TooLong,
    /// The first character is no letter and no digit.
    BadStart,
    /// Some other character is outside `a-z`, `0-9`, `_`, `-`.
    BadCharacter,
}

impl Org {
    /// Parses a text as it came from the application.
    ///
    /// # Errors
    /// [`OrgFault`]; in SQL 42602.
    pub fn parse(text: &str) -> Result<Self, OrgFault> {
        let first = text.bytes().next().ok_or(OrgFault::Empty)?;
        if text.len() > MAX_IDENTIFIER_BYTES {
            return Err(OrgFault::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-') {
            return Err(OrgFault::BadCharacter);
        }
        if !(first.is_ascii_lowercase() || first.is_ascii_digit()) {
            return Err(OrgFault::BadStart);
        }
        Ok(Self(text.to_owned()))
    }

    /// The code itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The schema a tenant gets when none is named: `tenant_<org>`, shortened with a hash where that is too long.
    pub fn default_schema_name(&self) -> String {
        shortened(&format!("tenant_{}", self.0), "")
    }

    /// The tenant's role: roles belong to the cluster, so the database's oid is part of it.
    ///
    /// `attempt` counts up when the name is taken (a leftover of a restored cluster, say).
    pub fn role_name(&self, database_oid: u32, attempt: u32) -> String {
        let suffix =
            if attempt == 0 { format!("_{database_oid}") } else { format!("_{database_oid}_{attempt}") };
        shortened(&format!("tenant_{}", self.0), &suffix)
    }
}

impl fmt::Display for Org {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `stem + suffix`, where a stem that would not fit is cut and closed with eight hex digits of its hash.
fn shortened(stem: &str, suffix: &str) -> String {
    if stem.len() + suffix.len() <= MAX_IDENTIFIER_BYTES {
        return format!("{stem}{suffix}");
    }
    let keep = MAX_IDENTIFIER_BYTES - suffix.len() - 9;
    format!("{}_{:08x}{suffix}", &stem[..keep], fnv1a(stem.as_bytes()))
}

/// FNV-1a, 32 bits: short, fixed for all time, and collisions are caught by the registry's unique keys.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, b| (hash ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}

/// Why a schema may not become a tenant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaNameFault {
    /// Empty, longer than 63 bytes, or with a NUL character.
    NotAnIdentifier,
    /// PostgreSQL's own (`pg_` prefix, `information_schema`), `public`, or this extension's.
    Reserved,
}

/// Accepts any legal identifier that is nobody's already, quotes and unicode included. `$user` is one that a
/// search_path reads as something else, however it is quoted (namespace.c).
///
/// # Errors
/// [`SchemaNameFault`]; in SQL 42602 and 42939. The `pg_` rule is PostgreSQL's (`IsReservedName`, catalog.c).
pub fn ensure_schema_name(name: &str) -> Result<(), SchemaNameFault> {
    if name.is_empty() || name.len() > MAX_IDENTIFIER_BYTES || name.contains('\0') {
        return Err(SchemaNameFault::NotAnIdentifier);
    }
    match name {
        "public" | "information_schema" | "plio" | "plio_reports" | "$user" => Err(SchemaNameFault::Reserved),
        _ if name.starts_with("pg_") => Err(SchemaNameFault::Reserved),
        _ => Ok(()),
    }
}

/// A tenant's registry key; never reused, so that a tenant created again under an old name is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub i64);

/// Whether a tenant may be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// May be entered.
    Active,
    /// Kept, but closed.
    Suspended,
    /// Closed; part of what it held has been dropped.
    Dropping,
}

impl Status {
    /// Reads the registry's word; an unknown one closes the tenant.
    pub fn parse(text: &str) -> Self {
        match text {
            "active" => Self::Active,
            "dropping" => Self::Dropping,
            _ => Self::Suspended,
        }
    }

    /// The registry's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Dropping => "dropping",
        }
    }
}

/// How far a shared object is open to tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShareMode {
    /// SELECT, and REFERENCES for foreign keys.
    Read,
    /// Read, and INSERT, UPDATE, DELETE.
    Write,
}

impl ShareMode {
    /// Parses `read` or `write`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            _ => None,
        }
    }

    /// The registry's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn org_names_by_table() {
        let long = "a".repeat(63);
        for good in ["a", "0", "acme", "a-b_c9", "9lives", long.as_str()] {
            assert!(Org::parse(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(64);
        for (bad, fault) in [
            ("", OrgFault::Empty),
            (too_long.as_str(), OrgFault::TooLong),
            ("-a", OrgFault::BadStart),
            ("_a", OrgFault::BadStart),
            ("Acme", OrgFault::BadCharacter),
            ("a b", OrgFault::BadCharacter),
            ("a'b", OrgFault::BadCharacter),
            ("\u{e9}", OrgFault::BadCharacter),
            ("a\0", OrgFault::BadCharacter),
        ] {
            assert_eq!(Org::parse(bad), Err(fault), "{bad:?}");
        }
    }

    #[test]
    fn derived_names_fit_and_differ() {
        let a = Org::parse(&format!("{}a", "x".repeat(62))).unwrap();
        let b = Org::parse(&format!("{}b", "x".repeat(62))).unwrap();
        assert_eq!(a.default_schema_name().len(), MAX_IDENTIFIER_BYTES);
        assert_ne!(a.default_schema_name(), b.default_schema_name());
        assert!(a.role_name(u32::MAX, 99).len() <= MAX_IDENTIFIER_BYTES);
        assert_ne!(a.role_name(5, 0), b.role_name(5, 0));
        let acme = Org::parse("acme").unwrap();
        assert_eq!(acme.default_schema_name(), "tenant_acme");
        assert_eq!(acme.role_name(5, 0), "tenant_acme_5");
    }

    #[test]
    fn schema_names_by_table() {
        for good in ["tenant_acme", "Weird \"Name\"", "sch\u{fc}le", "a"] {
            assert_eq!(ensure_schema_name(good), Ok(()), "{good}");
        }
        for reserved in ["public", "pg_catalog", "pg_x", "information_schema", "plio", "$user"] {
            assert_eq!(ensure_schema_name(reserved), Err(SchemaNameFault::Reserved), "{reserved}");
        }
        for bad in ["", "a\0b", "x".repeat(64).as_str()] {
            assert_eq!(ensure_schema_name(bad), Err(SchemaNameFault::NotAnIdentifier), "{bad:?}");
        }
    }
}
