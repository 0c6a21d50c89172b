//! Reads report views: what PostgreSQL calls a foreign data wrapper, over this database's own tenants.
//!
//! Called by the planner and the executor for the foreign tables in `plio_reports`. All rows are fetched when the scan
//! begins, so that each tenant's part is over before the statement goes on, and a cursor on a report view reads no tenant
//! when it is fetched from. Which tenants: those that the conditions on the organization leave; one look-up for `org = ..`.
//! Each part is a stay inside the tenant (context/visit.rs): its role, its path, the access check, nothing written. So no
//! view, policy or function of a tenant's ever runs with the reporter's rights. report.rs says who may.

mod plan;
mod quals;

use self::plan::Plan;
use crate::error::{Error, or_raise};
use crate::pg::function::c_function;
use crate::pg::rows::Rows;
use crate::pg::spool::{Param, Spool, Store};
use crate::pg::{catalog, foreign, quote_identifier, raw};
use crate::{guc, report};
use pgrx::pg_sys;
use pgrx::prelude::*;

c_function!(
    /// The handler of the foreign data wrapper `plio_tenants`.
    plio_report_handler,
    pg_finfo_plio_report_handler,
    |_fcinfo| handler()
);

fn handler() -> pg_sys::Datum {
    // SAFETY: a zeroed node of the right size with its tag: no callback but those that are set.
    unsafe {
        let routine = pg_sys::palloc0(size_of::<pg_sys::FdwRoutine>()).cast::<pg_sys::FdwRoutine>();
        (*routine).type_ = pg_sys::NodeTag::T_FdwRoutine;
        (*routine).GetForeignRelSize = Some(plan::on_size);
        (*routine).GetForeignPaths = Some(plan::on_paths);
        (*routine).GetForeignPlan = Some(plan::on_plan);
        (*routine).BeginForeignScan = Some(on_begin);
        (*routine).IterateForeignScan = Some(on_iterate);
        (*routine).ReScanForeignScan = Some(on_rescan);
        (*routine).EndForeignScan = Some(on_end);
        (*routine).ExplainForeignScan = Some(on_explain);
        pg_sys::Datum::from(routine)
    }
}

/// A scan that has begun; lives in the query's memory.
struct Scan {
    /// NULL when the scan is only explained.
    rows: *mut Rows,
    tenants: *mut std::ffi::c_char,
    query: *mut std::ffi::c_char,
}

#[pg_guard]
unsafe extern "C-unwind" fn on_begin(node: *mut pg_sys::ForeignScanState, flags: i32) {
    // SAFETY: the executor passes a scan of one of our foreign tables; what is allocated lives as long as the query.
    unsafe {
        let state = (*node).ss.ps.state;
        let before = pg_sys::MemoryContextSwitchTo((*state).es_query_cxt);
        let scan = pg_sys::palloc0(size_of::<Scan>()).cast::<Scan>();
        let plan = Plan::read((*node).ss.ps.plan.cast());
        let table = Table::of((*node).ss.ss_currentRelation);
        (*scan).query = c_text(&table.query("<tenant>", &plan));
        let (orgs, params) = if foreign::has_no_values(flags) {
            // Any of them may be named.
            (expected(None), Vec::new())
        } else {
            plan.values(node, expected)
        };
        (*scan).tenants = c_text(&summary(&orgs));
        if !foreign::is_explained_only(flags) {
            let target = (*(*node).ss.ss_currentRelation).rd_att;
            let columns: Vec<usize> = plan.fetched.iter().map(|column| *column as usize - 1).collect();
            (*scan).rows = Rows::begin(state, target, &columns);
            let spool = Spool::over(Store::Rows((*scan).rows), target, columns);
            fetch(&table, &plan, orgs, &params, spool);
            (*(*scan).rows).rewind();
        }
        (*node).fdw_state = scan.cast();
        pg_sys::MemoryContextSwitchTo(before);
    }
}

/// The orgs that may matter: the one that the conditions name, or every one.
fn expected(only: Option<Option<String>>) -> Vec<String> {
    or_raise(report::ensure_may_report("plio_reports"));
    match only {
        // org = NULL, or one that no tenant can have or has: an empty result, as in any table.
        Some(None) => Vec::new(),
        Some(Some(org)) => report::expected(Some(&[org])).unwrap_or_default(),
        None => or_raise(report::expected(None)),
    }
}

fn fetch(table: &Table, plan: &Plan, orgs: Vec<String>, params: &[Param], mut spool: Box<Spool>) {
    let allow_partial = guc::are_partial_reports_allowed();
    let query = |schema: &str| table.query(schema, plan);
    let coverage = or_raise(report::visit_each(&table.name, orgs, &mut spool, allow_partial, query, params));
    or_raise(coverage.settle(allow_partial));
}

fn summary(orgs: &[String]) -> String {
    const MOST: usize = 5;
    if orgs.len() <= MOST { orgs.join(", ") } else { format!("{} tenants", orgs.len()) }
}

unsafe fn c_text(text: &str) -> *mut std::ffi::c_char {
    let text = std::ffi::CString::new(text).unwrap_or_default();
    // SAFETY: a NUL-terminated text, copied into the current memory context.
    unsafe { pg_sys::pstrdup(text.as_ptr()) }
}

/// A report view: what it is a view of.
struct Table {
    name: String,
    /// The tenants' table.
    of: String,
    /// Name and type of each column, from 1.
    columns: Vec<(String, String)>,
}

impl Table {
    /// # Safety
    /// `relation` is an open foreign table.
    unsafe fn of(relation: pg_sys::Relation) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let oid = (*relation).rd_id;
            let options = (*pg_sys::GetForeignTable(oid)).options;
            let described = (*relation).rd_att;
            let columns = (0..(*described).natts).map(|i| {
                let column = &*raw::column(described, i as usize);
                let name = crate::pg::owned(column.attname.data.as_ptr()).unwrap_or_default();
                (name, catalog::type_name_with_modifier(column.atttypid, column.atttypmod))
            });
            let columns = columns.collect();
            let of = or_raise(foreign::option(options, c"table_name").ok_or_else(|| Error::BadArgument {
                message: "a report view needs the option \"table_name\"".to_owned(),
                hint: "Make report views with plio.create_report_view().",
            }));
            let name = catalog::relation_names(oid)
                .map_or_else(String::new, |(schema, name)| format!("{schema}.{name}"));
            Self { name, of, columns }
        }
    }

    /// The query that runs in a tenant. Each column gets the view's type, so a drifted one fits or fails.
    fn query(&self, schema: &str, plan: &Plan) -> String {
        let name = |column: &i16| quote_identifier(&self.columns[*column as usize - 1].0);
        let mut needed: Vec<i16> = plan.fetched.iter().chain(&plan.filtered).copied().collect();
        needed.sort_unstable();
        needed.dedup();
        let cast = |column: &i16| {
            format!("CAST({0} AS {1}) AS {0}", name(column), self.columns[*column as usize - 1].1)
        };
        let inner: Vec<String> = needed.iter().map(cast).collect();
        let outer: Vec<String> = plan.fetched.iter().map(|column| format!("r.{}", name(column))).collect();
        let filter = if plan.filter.is_empty() { String::new() } else { format!(" WHERE {}", plan.filter) };
        // Rows that nothing is asked of are only counted, as the spool expects.
        let what = if outer.is_empty() { "pg_catalog.count(*)".to_owned() } else { outer.join(", ") };
        format!(
            "SELECT {what} FROM (SELECT {} FROM {}.{} AS _plio_table) AS r{filter}",
            inner.join(", "),
            quote_identifier(schema),
            quote_identifier(&self.of),
        )
    }
}

/// The next row: forward, since PostgreSQL puts a foreign scan that may have to go back below a node that can. Unguarded:
/// plain data only.
unsafe extern "C-unwind" fn on_iterate(node: *mut pg_sys::ForeignScanState) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: the scan has begun; at its end the slot is empty.
    unsafe { (*(*(*node).fdw_state.cast::<Scan>()).rows).next() }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_rescan(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: the scan has begun; its rows depend on nothing that changes while the statement runs.
    unsafe { (*(*(*node).fdw_state.cast::<Scan>()).rows).rewind() };
}

#[pg_guard]
unsafe extern "C-unwind" fn on_end(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: NULL when the scan did not begin; no rows when it was only explained.
    unsafe {
        let scan = (*node).fdw_state.cast::<Scan>();
        if !scan.is_null() && !(*scan).rows.is_null() {
            (*(*scan).rows).end();
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_explain(
    node: *mut pg_sys::ForeignScanState,
    output: *mut pg_sys::ExplainState,
) {
    // SAFETY: the scan has begun, perhaps only to be explained.
    unsafe {
        let scan = (*node).fdw_state.cast::<Scan>();
        pg_sys::ExplainPropertyText(c"Tenants".as_ptr(), (*scan).tenants, output);
        pg_sys::ExplainPropertyText(c"Tenant Query".as_ptr(), (*scan).query, output);
    }
}
