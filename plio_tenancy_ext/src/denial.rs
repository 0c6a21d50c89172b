//! Where a refusal at the boundary becomes an error or, with `plio.enforcement = report`, a line in the server's log.
//!
//! Every hook hands its verdict through [`decide`]. What is no refusal (`Error::denial` says `None`) passes through: a
//! call of ours that cannot be carried out is an error in any mode. The line goes to the server's log only, never to
//! the client, since it names what was reached for.

#![forbid(unsafe_code)]

use crate::context;
use crate::error::{self, Error, Result};
use crate::guc;
use crate::pg::{self, catalog, session};
use pgrx::pg_sys::Oid;
use std::cell::RefCell;
use std::collections::HashSet;

/// What was reached for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The statement as such, or what the message says already.
    Statement,
    /// A table, view or sequence.
    Relation(Oid),
    /// A function.
    Function(Oid),
    /// A schema.
    Schema(Oid),
}

/// So many lines for one statement at most.
const MOST_LINES: usize = 64;

thread_local! {
    /// The statement (its start) that was reported about last, and what was said about it.
    static REPORTED: RefCell<(i64, HashSet<String>)> = RefCell::default();
}

/// Lets an acceptance through; a refusal too, unless it is only to be reported: then it is logged, and allowed.
///
/// # Errors
/// The refusal, or whatever is none.
pub fn decide(verdict: Result<()>, subject: Subject) -> Result<()> {
    let Err(refusal) = verdict else { return Ok(()) };
    match refusal.denial() {
        Some(kind) if guc::is_only_reporting() => {
            report(&refusal, kind, subject);
            Ok(())
        }
        _ => Err(refusal),
    }
}

/// One line for each statement, kind and object.
fn report(refusal: &Error, kind: &str, subject: Subject) {
    let org = context::active_org().unwrap_or_default();
    let user = catalog::role_name(session::session_user()).unwrap_or_default();
    let line = format!(
        "plio denial: mode=report sqlstate={} kind={kind} org={} session_user={} object={} message={}",
        pg::sqlstate_text(refusal.sqlstate()),
        quoted(&org),
        quoted(&user),
        quoted(&name(subject).unwrap_or_default()),
        quoted(&refusal.to_string()),
    );
    let is_new = REPORTED.with_borrow_mut(|(statement, lines)| {
        let current = session::statement_start();
        if *statement != current {
            *statement = current;
            lines.clear();
        }
        lines.len() < MOST_LINES && lines.insert(line.clone())
    });
    if is_new {
        error::log_to_server(refusal.sqlstate(), &line);
    }
}

fn name(subject: Subject) -> Option<String> {
    match subject {
        Subject::Statement => None,
        Subject::Relation(oid) => {
            catalog::relation_names(oid).map(|(schema, name)| format!("{schema}.{name}"))
        }
        Subject::Function(oid) => catalog::function_name(oid),
        Subject::Schema(oid) => catalog::schema_name(oid),
    }
}

/// A value as a log reader splits it: in quotes, on one line.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for letter in value.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            _ if letter.is_control() => text.push(' '),
            _ => text.push(letter),
        }
    }
    text.push('"');
    text
}
