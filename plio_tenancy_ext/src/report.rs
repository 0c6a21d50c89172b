//! Reports across tenants: a read-only query in each tenant in turn, and the proof of which tenants are in the result.
//!
//! Who may: auditors and reporters, judged by the session's outer user, without a tenant, not inside a definer function.
//! Each tenant's part is a stay inside that one tenant (context/visit.rs), rolled back at its end; what comes out are rows.
//! A report is complete, or an error, unless the caller allows it to be partial.

#![forbid(unsafe_code)]

pub mod coverage;
pub mod lossless;
pub mod view;

use self::coverage::{Coverage, Outcome, Part};
use crate::cache;
use crate::context::visit::{Expected, Place};
use crate::context::{self, residue, visit};
use crate::error::{Error, Result};
use crate::guc as settings;
use crate::pg::parse::one_select;
use crate::pg::spool::{Param, Spool};
use crate::pg::{catalog, part, session, since};
use crate::policy::{self, Context, NoReport};
use crate::registry;
use crate::tenant::Org;
use serde_json::json;
use std::panic::AssertUnwindSafe;

/// The groups whose members may report.
const REPORTERS: [&str; 2] = ["plio_reporter", "plio_auditor"];

/// What a row of a report is, behind the organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The query's columns.
    Columns,
    /// One jsonb.
    Jsonb,
    /// One json, which keeps the query's order of columns.
    Json,
}

/// What a caller of `plio.report()` wants.
pub struct Wanted {
    /// The query's text.
    pub query: String,
    /// The tenants; `None` for all.
    pub orgs: Option<Vec<String>>,
    /// Whether tenants may be missing from the result.
    pub allow_partial: bool,
    /// What a row is.
    pub shape: Shape,
}

/// Refuses whoever may not report, or not here.
///
/// # Errors
/// 42501, 25001.
pub fn ensure_may_report(function: &'static str) -> Result<()> {
    let context = if context::is_active() { Context::Tenant } else { Context::NoTenant };
    match policy::decide_report(context, session::is_in_restricted_code(), is_reporter()) {
        None => Ok(()),
        Some(NoReport::InTenant) => Err(Error::ManagementInTenant { function }),
        Some(NoReport::NotReporter) => Err(Error::NotReporter),
        Some(NoReport::InDefinerFunction) => Err(Error::ReportInDefiner),
    }
}

/// Whether the session's outer user is a member of a group that may report.
pub fn is_reporter() -> bool {
    let user = session::outer_user();
    REPORTERS
        .iter()
        .any(|group| catalog::role_oid(group).is_some_and(|group| catalog::has_privileges_of(user, group)))
}

/// `plio.report()`: stores the rows of every wanted tenant, records the report, and keeps its coverage.
///
/// # Errors
/// 42501, 25001 (who and where), 22023 (no SELECT), 42704 (an org that is not there), 55000 (tenants are missing).
pub fn run(wanted: &Wanted, spool: &mut Spool) -> Result<()> {
    ensure_may_report("report")?;
    if part::is_read_only() {
        return Err(Error::ReportUnrecorded);
    }
    let query = one_select(&wanted.query).ok_or(Error::ReportQuery)?;
    let text = match wanted.shape {
        Shape::Columns => query,
        Shape::Jsonb => as_one(&query, "to_jsonb")?,
        Shape::Json => as_one(&query, "to_json")?,
    };
    let tenants = expected(wanted.orgs.as_deref())?;
    let coverage =
        visit_each(&wanted.query, tenants, spool, wanted.allow_partial, |_| Ok(text.clone()), &[])?;
    announce(&coverage);
    let detail = json!({
        "query": wanted.query, "orgs": wanted.orgs, "allow_partial": wanted.allow_partial,
        "expected": coverage.parts.len(), "counted": coverage.counted(), "rows": coverage.rows(),
        "skipped": coverage.skipped_as_json(),
    });
    coverage.settle(wanted.allow_partial)?;
    session::as_superuser(|| registry::record("report", None, detail))
}

/// The query with each row as one value, made inside the tenant. What stands alone as one SELECT stands as a subquery, too.
fn as_one(query: &str, function: &str) -> Result<String> {
    one_select(&format!("SELECT pg_catalog.{function}(_plio_row) FROM (\n{query}\n) AS _plio_row"))
        .ok_or(Error::ReportQuery)
}

/// The tenants that a report is to cover: those that are named, or all that the statement's snapshot knows.
///
/// # Errors
/// 42602, 42704: one of those that were named is no org, or not there.
pub fn expected(orgs: Option<&[String]>) -> Result<Vec<Expected>> {
    cache::ensure_location()?;
    session::accept_invalidations();
    let Some(orgs) = orgs else {
        let tenants = session::as_superuser(registry::tenants_of_statement)?;
        return Ok(tenants
            .into_iter()
            .map(|(id, org, schema)| Expected { id, org, schema: catalog::schema_oid(&schema) })
            .collect());
    };
    let mut orgs = orgs.to_vec();
    orgs.sort();
    orgs.dedup();
    let one = |org: String| {
        let parsed = Org::parse(&org).map_err(Error::BadOrg)?;
        let tenant = cache::tenant(&parsed).ok_or_else(|| Error::UnknownTenant { org: org.clone() })?;
        Ok(Expected { id: tenant.id, org, schema: tenant.schema })
    };
    orgs.into_iter().map(one).collect()
}

/// Runs a query in each tenant, and stores the rows: of a tenant where it failed none, if the rest is wanted all the same.
/// `query` makes its text inside the tenant.
///
/// # Errors
/// 25001: cursors are open.
pub fn visit_each(
    what: &str,
    tenants: Vec<Expected>,
    spool: &mut Spool,
    allow_partial: bool,
    query: impl Fn(&Place) -> Result<String>,
    params: &[Param],
) -> Result<Coverage> {
    coverage::forget();
    visit::ensure_no_cursor()?;
    // As entering a tenant does: its code could read from a descriptor that the session has open.
    session::close_large_objects();
    // The rows are several tenants': what the caller keeps of them may not stay for the next tenant.
    residue::note_free_access();
    if allow_partial {
        spool.wait();
    }
    let limit = settings::report_visit_timeout();
    let _snapshot = since::Snapshot::of_statement();
    let parts = tenants.into_iter().map(|tenant| {
        // Where all are suspended, nothing else would look.
        session::check_for_interrupts();
        let outcome = part::undone(
            limit,
            AssertUnwindSafe(|| {
                visit::run_in(&tenant, |place| Ok(spool.run(&tenant.org, &query(place)?, params)))
                    .and_then(|rows| rows)
            }),
        );
        let part = Part::of(tenant.org, outcome);
        if part.outcome == Outcome::Counted {
            spool.keep()
        } else {
            spool.discard()
        }
        part
    });
    let coverage = Coverage { user: session::outer_user(), what: what.to_owned(), parts: parts.collect() };
    spool.finish();
    visit::finish();
    coverage::keep(&coverage);
    Ok(coverage)
}

/// Says in the server's log that a report was made: a rollback takes the history's row away, not this line.
fn announce(coverage: &Coverage) {
    let user = catalog::role_name(session::session_user()).unwrap_or_default();
    let line = json!({
        "user": user, "counted": coverage.counted(), "expected": coverage.parts.len(),
        "rows": coverage.rows(), "query": coverage.what,
    });
    pgrx::log!("plio report: {line}");
}
