//! Reads report views: what PostgreSQL calls a foreign data wrapper, over this database's own tenants.
//!
//! Called by the planner and the executor for the foreign tables in `plio_reports`. All rows are fetched when the scan
//! begins, so that each tenant's part is over before the statement goes on, and a cursor on a report view reads no tenant
//! when it is fetched from. Which tenants: those that the conditions on the organization leave; one look-up for `org = ..`.
//! Each part is a stay inside the tenant (context/visit.rs): its role, its path, the access check, nothing written. So no
//! view, policy or function of a tenant's ever runs with the reporter's rights. report.rs says who may.

mod live;
mod plan;
mod quals;

use self::plan::Plan;
use crate::context::visit::{Expected, Place};
use crate::error::{Error, Result, or_raise};
use crate::pg::function::c_function;
use crate::pg::rows::{Reader, Rows};
use crate::pg::spool::{Param, Spool, Store};
use crate::pg::types::{self, Type};
use crate::pg::{catalog, errors, foreign, lock, quote_identifier, raw};
use crate::report::{coverage, lossless};
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
    reader: *mut Reader,
    /// NULL when the rows are another scan's.
    rows: *mut Rows,
    tenants: *mut std::ffi::c_char,
    query: *mut std::ffi::c_char,
}

#[pg_guard]
unsafe extern "C-unwind" fn on_begin(node: *mut pg_sys::ForeignScanState, flags: i32) {
    // SAFETY: the executor passes a scan of one of our foreign tables.
    errors::unchanged(|| unsafe { begin(node, flags) });
}

/// # Safety
/// `node` is a scan of a report view that begins.
unsafe fn begin(node: *mut pg_sys::ForeignScanState, flags: i32) {
    let is_explained_only = foreign::is_explained_only(flags);
    // SAFETY: the caller's promise; what is allocated lives as long as the query.
    unsafe {
        let state = (*node).ss.ps.state;
        let before = pg_sys::MemoryContextSwitchTo((*state).es_query_cxt);
        let scan = pg_sys::palloc0(size_of::<Scan>()).cast::<Scan>();
        let plan = Plan::read((*node).ss.ps.plan.cast());
        let table = Table::of((*node).ss.ss_currentRelation);
        (*scan).query = c_text(&table.query("<tenant>", &plan));
        (*node).fdw_state = scan.cast();
        if let Some(rows) = live::of_recheck(node) {
            (*scan).tenants = c_text("");
            (*scan).reader = Reader::begin(rows, state);
            pg_sys::MemoryContextSwitchTo(before);
            return;
        }
        if !is_explained_only {
            coverage::forget();
        }
        let (tenants, params) = if foreign::has_no_values(flags) {
            // Any of them may be named.
            (expected(None), Vec::new())
        } else {
            plan.values(node, expected)
        };
        (*scan).tenants = c_text(&summary(&tenants));
        if !is_explained_only {
            let target = (*(*node).ss.ss_currentRelation).rd_att;
            let columns: Vec<usize> = plan.fetched.iter().map(|column| *column as usize - 1).collect();
            (*scan).rows = Rows::begin(target, &columns);
            let spool = Spool::over(Store::Rows((*scan).rows), target, columns);
            fetch(&table, &plan, tenants, &params, spool);
            live::note(node, (*scan).rows);
            (*scan).reader = Reader::begin((*scan).rows, state);
        }
        pg_sys::MemoryContextSwitchTo(before);
    }
}

/// The tenants that may matter: the one that the conditions name, or every one.
fn expected(only: Option<Option<String>>) -> Vec<Expected> {
    or_raise(report::ensure_may_report("plio_reports"));
    match only {
        // org = NULL, or one that no tenant can have or has: an empty result, as in any table.
        Some(None) => Vec::new(),
        Some(Some(org)) => report::expected(Some(&[org])).unwrap_or_default(),
        None => or_raise(report::expected(None)),
    }
}

fn fetch(table: &Table, plan: &Plan, tenants: Vec<Expected>, params: &[Param], mut spool: Box<Spool>) {
    let allow_partial = guc::are_partial_reports_allowed();
    let query = |place: &Place| {
        table.ensure_exact(place.schema, plan)?;
        Ok(table.query(&place.name, plan))
    };
    let coverage =
        or_raise(report::visit_each(&table.name, tenants, &mut spool, allow_partial, query, params));
    or_raise(coverage.settle(allow_partial));
}

fn summary(tenants: &[Expected]) -> String {
    const MOST: usize = 5;
    if tenants.len() > MOST {
        return format!("{} tenants", tenants.len());
    }
    let orgs: Vec<&str> = tenants.iter().map(|tenant| tenant.org.as_str()).collect();
    orgs.join(", ")
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
    /// Each column, from 1.
    columns: Vec<Column>,
}

struct Column {
    name: String,
    type_: pg_sys::Oid,
    modifier: i32,
    /// The type as SQL writes it.
    type_name: String,
}

/// Refuses a foreign table that is no report view: the organization goes into its first column as a text, whatever that is.
///
/// # Errors
/// 22023.
fn ensure_first_is_org(table: pg_sys::Oid, first: Option<pg_sys::Oid>) -> Result<()> {
    if first == Some(pg_sys::TEXTOID) {
        return Ok(());
    }
    let (schema, name) = catalog::relation_names(table).unwrap_or_default();
    Err(Error::BadArgument {
        message: format!(
            "the first column of report view \"{schema}.{name}\" must be the organization, of type text"
        ),
        hint: "Make report views with plio.create_report_view().",
    })
}

impl Table {
    /// # Errors
    /// 22023: it does not begin with the organization.
    ///
    /// # Safety
    /// `relation` is an open foreign table.
    unsafe fn of(relation: pg_sys::Relation) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let oid = (*relation).rd_id;
            let is_there = (*(*relation).rd_att).natts > 0;
            let first = is_there.then(|| raw::column((*relation).rd_att, 0));
            let first = first.filter(|first| !(**first).attisdropped).map(|first| (*first).atttypid);
            or_raise(ensure_first_is_org(oid, first));
            let options = (*pg_sys::GetForeignTable(oid)).options;
            let described = (*relation).rd_att;
            let columns = (0..(*described).natts).map(|i| {
                let column = &*raw::column(described, i as usize);
                let name = crate::pg::owned(column.attname.data.as_ptr()).unwrap_or_default();
                let (type_, modifier) = (column.atttypid, column.atttypmod);
                let type_name = catalog::type_name_with_modifier(type_, modifier);
                Column { name, type_, modifier, type_name }
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

    fn columns(&self, numbers: &[i16]) -> impl Iterator<Item = &Column> {
        numbers.iter().filter_map(|number| self.columns.get((*number as usize).checked_sub(1)?))
    }

    /// Refuses a tenant where a needed column is of a type whose values the view's type would not hold exactly. The table stays
    /// as it is from here on; where it lacks a column, its query says so.
    fn ensure_exact(&self, schema: pg_sys::Oid, plan: &Plan) -> Result<()> {
        let Some(relation) = catalog::relation_oid(&self.of, schema) else { return Ok(()) };
        lock::relation_shared(relation);
        for column in self.columns(&plan.needed()) {
            let Some((type_, modifier)) = types::of_column(relation, &column.name) else { continue };
            let has = Type::of(type_, modifier, Some(schema));
            let wants = Type::of(column.type_, column.modifier, None);
            if !lossless::is_exact(&has, &wants, |oid| Type::of(oid, -1, None)) {
                let has = catalog::type_name_with_modifier(type_, modifier);
                let (column, wants) = (column.name.clone(), column.type_name.clone());
                return Err(Error::ReportColumn { column, has, wants });
            }
        }
        Ok(())
    }

    /// The query that runs in a tenant. Each column gets the view's type.
    fn query(&self, schema: &str, plan: &Plan) -> String {
        let cast = |column: &Column| {
            format!("CAST({0} AS {1}) AS {0}", quote_identifier(&column.name), column.type_name)
        };
        let inner: Vec<String> = self.columns(&plan.needed()).map(cast).collect();
        let outer: Vec<String> = self
            .columns(&plan.fetched)
            .map(|column| format!("r.{}", quote_identifier(&column.name)))
            .collect();
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
    unsafe { (*(*(*node).fdw_state.cast::<Scan>()).reader).next() }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_rescan(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: the scan has begun; its rows depend on nothing that changes while the statement runs.
    unsafe { (*(*(*node).fdw_state.cast::<Scan>()).reader).rewind() };
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
