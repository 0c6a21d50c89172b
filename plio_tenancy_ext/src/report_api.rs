//! The SQL functions of reports. Two are of a kind that pgrx does not know (SETOF record): their call records are written
//! by hand, and sql/schema/70_reports.sql creates them.

use crate::api::{ensure_utf8, required as required_text};
use crate::error::{Error, Result, or_raise};
use crate::pg::errors;
use crate::pg::function::c_function;
use crate::pg::spool::Spool;
use crate::report::{self, Shape, Wanted, coverage, view};
use pgrx::fcinfo::pg_getarg;
use pgrx::prelude::*;

fn required<T>(value: Option<T>, function: &'static str, argument: &'static str) -> Result<T> {
    value.ok_or(Error::NullArgument { function, argument })
}

/// # Safety
/// `fcinfo` is a call of `plio.report` or one of its kin: text, text[], boolean.
unsafe fn wanted(fcinfo: pg_sys::FunctionCallInfo, shape: Shape) -> Result<Wanted> {
    let function = name(shape);
    // SAFETY: the caller's promise.
    let (query, orgs, allow_partial) = unsafe {
        (
            pg_getarg::<String>(fcinfo, 0),
            pg_getarg::<Vec<Option<String>>>(fcinfo, 1),
            pg_getarg::<bool>(fcinfo, 2),
        )
    };
    let orgs = orgs.map(|orgs| orgs.into_iter().collect::<Option<Vec<_>>>().ok_or(()));
    let query = required(query, function, "query")?;
    let orgs_texts = orgs.iter().flatten().flatten().map(|org| (org, "orgs"));
    for (text, argument) in orgs_texts.chain([(&query, "query")]) {
        ensure_utf8(text, function, argument)?;
    }
    Ok(Wanted {
        query,
        orgs: orgs.transpose().map_err(|()| Error::NullArgument { function, argument: "orgs" })?,
        allow_partial: required(allow_partial, function, "allow_partial")?,
        shape,
    })
}

fn name(shape: Shape) -> &'static str {
    if shape == Shape::Columns { "report" } else { "report_json" }
}

/// # Safety
/// As [`wanted`].
unsafe fn run(fcinfo: pg_sys::FunctionCallInfo, shape: Shape) -> Result<()> {
    // What this one comes to is not known yet; what the last one came to is not this one's.
    coverage::forget();
    // Before anything is looked at: an error about the query is for reporters only.
    report::ensure_may_report(name(shape))?;
    // SAFETY: the caller's promise.
    let (wanted, mut spool) =
        unsafe { (wanted(fcinfo, shape)?, Spool::of_call(fcinfo, shape != Shape::Columns)) };
    report::run(&wanted, &mut spool)
}

/// A call that answers through the tuplestore it was given, and with NULL.
///
/// # Safety
/// As [`wanted`].
unsafe fn answer(fcinfo: pg_sys::FunctionCallInfo, shape: Shape) -> pg_sys::Datum {
    // SAFETY: the caller's promise; the call's own record.
    unsafe {
        errors::unchanged(|| or_raise(run(fcinfo, shape)));
        (*fcinfo).isnull = true;
    }
    pg_sys::Datum::null()
}

c_function!(plio_report, pg_finfo_plio_report, |fcinfo| {
    // SAFETY: the install script declares the function with these arguments.
    unsafe { answer(fcinfo, Shape::Columns) }
});
c_function!(plio_report_json, pg_finfo_plio_report_json, |fcinfo| {
    // SAFETY: as above.
    unsafe { answer(fcinfo, Shape::Jsonb) }
});
c_function!(plio_report_ordered, pg_finfo_plio_report_ordered, |fcinfo| {
    // SAFETY: as above.
    unsafe { answer(fcinfo, Shape::Json) }
});

/// Which tenants the session's last report had, and which not.
#[pg_extern(volatile, parallel_unsafe)]
#[allow(clippy::type_complexity, reason = "pgrx reads the SQL signature from it")]
pub(crate) fn report_coverage() -> TableIterator<
    'static,
    (
        name!(org, String),
        name!(outcome, String),
        name!(rows, i64),
        name!(sqlstate, Option<String>),
        name!(message, Option<String>),
    ),
> {
    or_raise(report::ensure_may_report("report_coverage"));
    TableIterator::new(coverage::last().into_iter().map(|part| {
        let (sqlstate, message) = part.failure.map(|failure| (failure.sqlstate, failure.message)).unzip();
        (part.org, part.outcome.as_str().to_owned(), part.rows, sqlstate, message)
    }))
}

#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
pub(crate) fn create_report_view(
    name: Option<&str>,
    table_name: Option<&str>,
    org_column: default!(Option<&str>, "'org'"),
) {
    or_raise((|| {
        let function = "create_report_view";
        let name = required_text(name, function, "name")?;
        let table = required_text(table_name, function, "table_name")?;
        view::create(name, table, required_text(org_column, function, "org_column")?)
    })());
}

#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
pub(crate) fn drop_report_view(name: Option<&str>) {
    or_raise(required_text(name, "drop_report_view", "name").and_then(view::drop));
}
