//! Where a refusal at the boundary becomes an error or, with `plio.enforcement = report`, a line in the server's log.
//!
//! Every hook hands its verdict through [`decide`]. A call of ours that cannot be carried out is an error in any mode. The line goes to the server's log only, never to
//! the client, since it names what was reached for.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::guc;
use crate::monitor::entry::Kind;
use crate::monitor::refusals::{self, Outcome};
use crate::pg::{catalog, session};
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

/// A message, and the object that it was about.
type Told = (String, Option<String>);

/// So many lines for one statement at most.
const MOST_LINES: usize = 64;

thread_local! {
    /// The statement (its start) that was reported about last, and what was said about it.
    static REPORTED: RefCell<(i64, HashSet<Told>)> = RefCell::default();
}

/// Lets an acceptance through; a refusal too, unless it is only to be reported: then it is logged, and allowed.
///
/// # Errors
/// The refusal, or whatever is none.
pub fn decide(verdict: Result<()>, subject: Subject) -> Result<()> {
    let Err(refusal) = verdict else { return Ok(()) };
    if guc::is_only_reporting() && is_at_the_boundary(&refusal) {
        report(&refusal, subject);
        return Ok(());
    }
    Err(refusal)
}

/// Whether it is a refusal that may be let through: not a call of ours that cannot be carried out.
fn is_at_the_boundary(refusal: &Error) -> bool {
    if matches!(refusal, Error::LockedSetting { setting: "plio.tenant" | "plio.enforcement" }) {
        return false;
    }
    match refusals::kind(refusal) {
        Some(
            Kind::OtherTenant
            | Kind::NoTenant
            | Kind::NotShared
            | Kind::SharedReadOnly
            | Kind::Statement
            | Kind::ServerFile
            | Kind::Connection
            | Kind::PreparedTexts
            | Kind::DdlOutside
            | Kind::Tie
            | Kind::TenantObject
            | Kind::Role
            | Kind::OneLayer
            | Kind::LockedSetting,
        ) => true,
        Some(
            Kind::Enter
            | Kind::Suspended
            | Kind::UnknownTenant
            | Kind::SecondTenant
            | Kind::TenantSetting
            | Kind::Management,
        )
        | None => false,
    }
}

/// Once for each statement, message and object.
fn report(refusal: &Error, subject: Subject) {
    let object = name(subject);
    let is_new = REPORTED.with_borrow_mut(|(statement, told)| {
        let current = session::statement_start();
        if *statement != current {
            *statement = current;
            told.clear();
        }
        told.len() < MOST_LINES && told.insert((refusal.to_string(), object.clone()))
    });
    if is_new {
        refusals::note(refusal, Outcome::Reported { object: object.as_deref() });
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
