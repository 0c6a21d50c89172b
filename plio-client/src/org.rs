//! [`Org`]: the name of an organization, checked by the server's rules before anything is sent.
//!
//! Relies on nothing. Does not know which words are reserved, nor which organizations exist: the server says.

use std::error::Error as StdError;
use std::fmt;
use std::str::FromStr;

use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// The longest name, in characters (which are all ASCII): one less than PostgreSQL's `NAMEDATALEN`.
const MAX_LENGTH: usize = 63;

/// The short code by which the application knows an organization.
///
/// 1 to 63 characters out of `a`-`z`, `0`-`9`, `_` and `-`, beginning with a letter or a digit. There is
/// no way to hold an `Org` that breaks the rules: parsing, `TryFrom` and deserializing all check them.
///
/// ```
/// use plio_client::Org;
///
/// let org: Org = "acme-2".parse()?;
/// assert_eq!(org.as_str(), "acme-2");
/// assert!("Acme".parse::<Org>().is_err());
/// # Ok::<(), plio_client::InvalidOrg>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Org(String);

impl Org {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that cannot name an organization; as an [`Error`](crate::Error) its kind is
/// [`InvalidName`](crate::ErrorKind::InvalidName).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid organization name {text:?}: {broken}")]
pub struct InvalidOrg {
    text: String,
    broken: Rule,
}

/// The rule that a text breaks; the first one that it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    NotEmpty,
    NotTooLong,
    Begin,
    Alphabet,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::NotEmpty => "it must not be empty",
            Rule::NotTooLong => "it must not be longer than 63 characters",
            Rule::Begin => "it must begin with a letter a-z or a digit",
            Rule::Alphabet => "it may hold a-z, 0-9, \"_\" and \"-\" only",
        })
    }
}

fn ensure_rules(text: &str) -> Result<(), Rule> {
    let is_letter_or_digit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let Some(first) = text.chars().next() else {
        return Err(Rule::NotEmpty);
    };
    if text.chars().count() > MAX_LENGTH {
        return Err(Rule::NotTooLong);
    }
    if !text.chars().all(|c| is_letter_or_digit(c) || c == '_' || c == '-') {
        return Err(Rule::Alphabet);
    }
    if !is_letter_or_digit(first) {
        return Err(Rule::Begin);
    }
    Ok(())
}

impl TryFrom<String> for Org {
    type Error = InvalidOrg;

    fn try_from(text: String) -> Result<Org, InvalidOrg> {
        match ensure_rules(&text) {
            Ok(()) => Ok(Org(text)),
            Err(broken) => Err(InvalidOrg { text, broken }),
        }
    }
}

impl TryFrom<&str> for Org {
    type Error = InvalidOrg;

    fn try_from(text: &str) -> Result<Org, InvalidOrg> {
        Org::try_from(text.to_owned())
    }
}

impl FromStr for Org {
    type Err = InvalidOrg;

    fn from_str(text: &str) -> Result<Org, InvalidOrg> {
        Org::try_from(text)
    }
}

impl From<Org> for String {
    fn from(org: Org) -> String {
        org.0
    }
}

impl AsRef<str> for Org {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Org {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl ToSql for Org {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.0.to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <String as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Org {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Org, Box<dyn StdError + Sync + Send>> {
        Ok(Org::try_from(<&str as FromSql<'a>>::from_sql(ty, raw)?)?)
    }

    fn accepts(ty: &Type) -> bool {
        <&str as FromSql<'a>>::accepts(ty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_table() {
        let longest = "a".repeat(63);
        let too_long = "a".repeat(64);
        let table: &[(&str, Result<(), Rule>)] = &[
            ("a", Ok(())),
            ("7", Ok(())),
            ("acme", Ok(())),
            ("acme-2_x", Ok(())),
            ("0-_", Ok(())),
            (&longest, Ok(())),
            ("", Err(Rule::NotEmpty)),
            (&too_long, Err(Rule::NotTooLong)),
            ("-a", Err(Rule::Begin)),
            ("_a", Err(Rule::Begin)),
            ("Acme", Err(Rule::Alphabet)),
            ("ac me", Err(Rule::Alphabet)),
            ("acme\n", Err(Rule::Alphabet)),
            ("acme\0", Err(Rule::Alphabet)),
            ("a'b", Err(Rule::Alphabet)),
            ("a\"b", Err(Rule::Alphabet)),
            ("a\\b", Err(Rule::Alphabet)),
            ("a.b", Err(Rule::Alphabet)),
            ("é", Err(Rule::Alphabet)),
            ("ａ", Err(Rule::Alphabet)),
            ("٣", Err(Rule::Alphabet)),
        ];
        for (text, expected) in table {
            assert_eq!(ensure_rules(text), *expected, "{text:?}");
            assert_eq!(text.parse::<Org>().map(String::from).ok(), expected.ok().map(|()| text.to_string()));
        }
    }

    #[test]
    fn length_counts_characters_and_says_so_first() {
        assert_eq!(ensure_rules(&"é".repeat(63)), Err(Rule::Alphabet));
        assert_eq!(ensure_rules(&"é".repeat(64)), Err(Rule::NotTooLong));
    }

    #[test]
    fn deserializing_checks_the_rules() {
        assert_eq!(serde_json::from_str::<Org>("\"acme\"").unwrap().as_str(), "acme");
        let refused = serde_json::from_str::<Org>("\"Acme\"").unwrap_err();
        assert!(refused.to_string().starts_with("invalid organization name \"Acme\""), "{refused}");
        assert_eq!(serde_json::to_string(&Org::try_from("acme").unwrap()).unwrap(), "\"acme\"");
    }
}
