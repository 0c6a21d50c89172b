//! What `plio.audit()` cannot say in SQL: the order of severities, and which schemas a function's text names.
//!
//! The checks themselves are SQL (sql/schema/5x_audit_*.sql). Texts of LANGUAGE sql are read by PostgreSQL's own parser;
//! what it does not take, and all other languages, by their words, and marked as a guess.

#![forbid(unsafe_code)]

pub mod words;

use crate::api::required;
use crate::cache;
use crate::error::{Error, or_raise};
use crate::pg::parse::{self, Parsed};
use crate::pg::{self, catalog, session};
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

/// For audit(): the names in a setting such as search_path, as PostgreSQL takes its text apart: quotes, folding and length.
#[pg_extern(immutable, parallel_safe)]
pub(crate) fn _names_in_list(list: &str) -> Vec<String> {
    if pg::is_utf8(list) { catalog::split_identifiers(list) } else { Vec::new() }
}

/// A longer text is not read at all.
const LONGEST: usize = 16 << 20;

/// For audit(): what stands in front of a dot in a function's text, and whether that is only a guess. A row without a name
/// says that the text was not read, or (it is SQL, and too much for the grammar) by its words only.
#[pg_extern(immutable, parallel_restricted)]
pub(crate) fn _schemas_in_code(
    language: &str,
    source: &str,
) -> TableIterator<'static, (name!(name, Option<String>), name!(is_guess, bool))> {
    if !(pg::is_utf8(language) && pg::is_utf8(source)) {
        // A role's name, say: no function of this database has such a text.
        return TableIterator::empty();
    }
    if source.len() > LONGEST {
        return TableIterator::once((None, true));
    }
    let parsed = if language == "sql" { parse::names_in_sql(source) } else { Parsed::NoSql };
    let mut step = |_| session::check_for_interrupts();
    let mut found = Vec::new();
    match parsed {
        Parsed::Names(names) => {
            for text in &names.texts {
                let guessed = words::qualifiers(text, &mut step);
                let guessed = guessed.into_iter().filter(|name| !names.schemas.contains(name));
                found.extend(guessed.map(|name| (Some(name), true)));
            }
            found.extend(names.schemas.into_iter().map(|name| (Some(name), false)));
        }
        Parsed::NoSql | Parsed::TooMuch => {
            let is_unread = matches!(parsed, Parsed::TooMuch);
            found.extend(is_unread.then_some((None, true)));
            found.extend(words::qualifiers(source, &mut step).into_iter().map(|name| (Some(name), true)));
        }
    }
    TableIterator::new(found)
}
