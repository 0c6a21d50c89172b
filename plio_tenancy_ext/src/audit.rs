//! What `plio.audit()` cannot say in SQL: the order of severities, and which schemas a function's text names.
//!
//! The checks themselves are SQL (sql/schema/5x_audit_*.sql). Texts of LANGUAGE sql are read by PostgreSQL's own parser;
//! what it does not take, and all other languages, by their words, and marked as a guess.

#![forbid(unsafe_code)]

pub mod words;

use crate::api::required;
use crate::cache;
use crate::error::{Error, or_raise};
use crate::pg::{self, parse};
use pgrx::prelude::*;

const SEVERITIES: [&str; 3] = ["critical", "warning", "info"];

/// For audit(): the lower, the worse.
#[pg_extern(immutable, parallel_safe)]
pub(crate) fn _severity_rank(severity: Option<&str>) -> i32 {
    let unknown = |severity: &str| Error::BadArgument {
        message: format!("\"{severity}\" is no severity"),
        hint: "Use 'critical', 'warning' or 'info'.",
    };
    let rank = required(severity, "audit", "severity_at_least").and_then(|severity| {
        SEVERITIES.iter().position(|known| *known == severity).ok_or_else(|| unknown(severity))
    });
    or_raise(rank) as i32
}

/// For audit(): the extensions that lead out of the database, and so out of sight.
#[pg_extern(immutable, parallel_safe)]
pub(crate) fn _connecting_extensions() -> Vec<String> {
    cache::CONNECTORS.map(str::to_owned).into()
}

/// For audit(): what stands in front of a dot in a function's text, and whether that is only a guess.
#[pg_extern(immutable, parallel_restricted)]
pub(crate) fn _schemas_in_code(
    language: &str,
    source: &str,
) -> TableIterator<'static, (name!(name, String), name!(is_guess, bool))> {
    if !(pg::is_utf8(language) && pg::is_utf8(source)) {
        // A role's name, say: no function of this database has such a text.
        return TableIterator::empty();
    }
    let parsed = if language == "sql" { parse::names_in_sql(source) } else { None };
    let found: Vec<(String, bool)> = match parsed {
        Some(names) => {
            let guessed = names.texts.iter().flat_map(|text| words::qualifiers(text));
            let guessed = guessed.filter(|name| !names.schemas.contains(name)).map(|name| (name, true));
            guessed
                .collect::<Vec<_>>()
                .into_iter()
                .chain(names.schemas.iter().cloned().map(|name| (name, false)))
                .collect()
        }
        None => words::qualifiers(source).into_iter().map(|name| (name, true)).collect(),
    };
    TableIterator::new(found)
}
