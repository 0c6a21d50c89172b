//! Which tenants a report has, and which not, and why: kept for `plio.report_coverage()`, in memory, for the session.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::pg::part::{self, Failure, Stopped};
use crate::pg::{session, spool};
use pgrx::pg_sys::Oid;
use std::cell::RefCell;

/// What became of one tenant's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its rows are in the result.
    Counted,
    /// It is closed.
    Suspended,
    /// It was dropped or renamed after the report had begun.
    Gone,
    /// It lacks a table or a column that the query names.
    Drifted,
    /// The query failed in it.
    Failed,
}

impl Outcome {
    /// SQL's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Suspended => "suspended",
            Self::Gone => "gone",
            Self::Drifted => "drifted",
            Self::Failed => "failed",
        }
    }
}

/// SQLSTATEs of what a tenant's objects lack: table, column, function, schema or another object, or a cast.
const DRIFT: [&str; 6] = ["42P01", "42703", "42883", "3F000", "42704", "42846"];

/// One tenant's part of a report.
#[derive(Clone, Debug)]
pub struct Part {
    /// The tenant.
    pub org: String,
    /// What became of it.
    pub outcome: Outcome,
    /// How many rows it has in the result.
    pub rows: i64,
    /// Why it has none.
    pub failure: Option<Failure>,
    /// The query gives other columns there than the caller expects.
    pub has_other_columns: bool,
}

impl Part {
    /// What a visit came to.
    pub fn of(org: String, visit: std::result::Result<Result<i64>, Stopped>) -> Self {
        let failed = |org, outcome, failure: Failure| {
            let has_other_columns = spool::is_mismatch(&failure);
            Self { org, outcome, rows: 0, failure: Some(failure), has_other_columns }
        };
        match visit {
            Ok(Ok(rows)) => {
                Self { org, outcome: Outcome::Counted, rows, failure: None, has_other_columns: false }
            }
            Ok(Err(error)) => {
                let outcome = match error {
                    Error::Suspended { .. } | Error::BeingDropped { .. } => Outcome::Suspended,
                    Error::UnknownTenant { .. } => Outcome::Gone,
                    Error::ReportColumn { .. } => Outcome::Drifted,
                    _ => Outcome::Failed,
                };
                let sqlstate = part::text(error.sqlstate() as i32);
                failed(org, outcome, Failure { sqlstate, message: error.to_string() })
            }
            Err(Stopped::LimitReached) => {
                let message = "the visit took longer than plio.report_visit_timeout".to_owned();
                failed(org, Outcome::Failed, Failure { sqlstate: "57014".to_owned(), message })
            }
            Err(Stopped::Failed(failure)) => {
                let is_drift = DRIFT.contains(&failure.sqlstate.as_str());
                failed(org, if is_drift { Outcome::Drifted } else { Outcome::Failed }, failure)
            }
        }
    }
}

/// A report's proof.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// Who made it: the session's outer user.
    pub user: Oid,
    /// The query, or the view.
    pub what: String,
    /// Every expected tenant.
    pub parts: Vec<Part>,
}

impl Coverage {
    /// How many tenants are in the result.
    pub fn counted(&self) -> usize {
        self.parts.iter().filter(|part| part.outcome == Outcome::Counted).count()
    }

    /// How many rows the result has.
    pub fn rows(&self) -> i64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    fn skipped(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.outcome != Outcome::Counted)
    }

    /// The tenants that are missing, for the history: no message, which may hold data.
    pub fn skipped_as_json(&self) -> serde_json::Value {
        let one = |part: &Part| {
            let sqlstate = part.failure.as_ref().map(|failure| failure.sqlstate.as_str());
            serde_json::json!({ "org": part.org, "outcome": part.outcome.as_str(), "sqlstate": sqlstate })
        };
        self.skipped().map(one).collect()
    }

    /// Complete: good. Partial: a warning where that is allowed, else an error.
    ///
    /// # Errors
    /// 55000.
    pub fn settle(&self, allow_partial: bool) -> Result<()> {
        let (counted, expected) = (self.counted(), self.parts.len());
        if counted == expected {
            return Ok(());
        }
        let has_other_columns = self.skipped().any(|part| part.has_other_columns);
        let error = Error::PartialReport { counted, expected, missing: self.missing(), has_other_columns };
        if allow_partial {
            error.warn()
        } else {
            return Err(error);
        }
        Ok(())
    }

    /// Who is missing, in a few sentences.
    fn missing(&self) -> String {
        const MOST: usize = 5;
        let mut said: Vec<String> = self
            .skipped()
            .take(MOST)
            .map(|part| match (&part.failure, part.outcome) {
                (Some(failure), Outcome::Drifted | Outcome::Failed) => {
                    format!(
                        "{} {}: {} ({}).",
                        part.org,
                        part.outcome.as_str(),
                        failure.message,
                        failure.sqlstate
                    )
                }
                _ => format!("{} {}.", part.org, part.outcome.as_str()),
            })
            .collect();
        let more = self.skipped().count().saturating_sub(MOST);
        if more > 0 {
            said.push(format!("And {more} more."));
        }
        said.join(" ")
    }
}

thread_local! {
    static LAST: RefCell<Option<Coverage>> = const { RefCell::new(None) };
}

/// Keeps a report's coverage, whatever becomes of its transaction.
pub fn keep(coverage: &Coverage) {
    LAST.set(Some(coverage.clone()));
}

/// Another client may come: nothing is known of the last report.
pub fn forget() {
    LAST.set(None);
}

/// The parts of this session's last report, if the user who asks made it.
pub fn last() -> Vec<Part> {
    let user = session::outer_user();
    LAST.with_borrow(|last| {
        last.as_ref().filter(|coverage| coverage.user == user).map_or_else(Vec::new, |c| c.parts.clone())
    })
}
