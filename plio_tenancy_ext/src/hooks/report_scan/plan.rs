//! The plan of a scan of a report view: made by the planner, kept in the plan's lists, read again when the scan begins.

use super::quals::{self, ORG};
use crate::context::visit::Expected;
use crate::error::or_raise;
use crate::hooks::running;
use crate::pg::nodes::pointers;
use crate::pg::spool::Param;
use crate::pg::{catalog, errors, foreign};
use crate::report::coverage;
use pgrx::pg_sys::{self, Node};
use pgrx::prelude::*;
use std::ffi::c_void;

/// How many rows a tenant is believed to have, and how many tenants there are: nobody counts them to make a plan.
const ROWS: f64 = 1000.0;
const TENANTS: f64 = 100.0;
/// Entering and leaving a tenant, in units of seq_page_cost.
const VISIT_COST: f64 = 10.0;

#[pg_guard]
pub unsafe extern "C-unwind" fn on_size(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    table: pg_sys::Oid,
) {
    // A function in a condition may be called for an estimate. What it raises is the reporter's own, and ends this report.
    // SAFETY: the planner passes a base relation with its conditions.
    errors::unchanged(|| unsafe {
        if !running::is_explaining() {
            coverage::forget();
        }
        or_raise(super::ensure_first_is_org(table, catalog::column_type(table, ORG)));
        let clauses = pg_sys::extract_actual_clauses((*rel).baserestrictinfo, false);
        let conditions = quals::sort(clauses, (*rel).relid);
        let tenants = if conditions.org.is_some() { 1.0 } else { TENANTS };
        (*rel).tuples = ROWS * tenants;
        let part = pg_sys::clauselist_selectivity(
            root,
            (*rel).baserestrictinfo,
            0,
            pg_sys::JoinType::JOIN_INNER,
            std::ptr::null_mut(),
        );
        // The condition on the organization has been counted already.
        let of_org = if conditions.org.is_some() { TENANTS } else { 1.0 };
        (*rel).rows = pg_sys::clamp_row_est((*rel).tuples * (part * of_org).min(1.0));
    });
}

#[pg_guard]
pub unsafe extern "C-unwind" fn on_paths(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    _table: pg_sys::Oid,
) {
    // SAFETY: the planner passes a base relation; the path is its to keep.
    unsafe {
        let startup = VISIT_COST * ((*rel).tuples / ROWS) + (*rel).tuples * pg_sys::cpu_tuple_cost;
        let total = startup + (*rel).rows * pg_sys::cpu_tuple_cost;
        pg_sys::add_path(rel, foreign::path(root, rel, startup, total).cast());
    }
}

#[pg_guard]
#[allow(clippy::too_many_arguments, reason = "PostgreSQL's signature")]
pub unsafe extern "C-unwind" fn on_plan(
    _root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    table: pg_sys::Oid,
    _path: *mut pg_sys::ForeignPath,
    targets: *mut pg_sys::List,
    clauses: *mut pg_sys::List,
    outer: *mut pg_sys::Plan,
) -> *mut pg_sys::ForeignScan {
    let nil = std::ptr::null_mut();
    // SAFETY: the planner passes its relation and conditions, and keeps what is built here.
    unsafe {
        let clauses = pg_sys::extract_actual_clauses(clauses, false);
        let conditions = quals::sort(clauses, (*rel).relid);
        // What concerns the organization alone is settled before the scan begins.
        let clauses = pointers::<Node>(clauses)
            .iter()
            .filter(|clause| !conditions.pruning.contains(clause))
            .fold(nil, |list, one| pg_sys::lappend(list, one.cast()));
        let fetched = fetched(rel, clauses, table);
        let filter = filter(&conditions.remote, table);
        let expressions: Vec<*mut Node> =
            conditions.params.iter().chain(&conditions.org).chain(&conditions.pruning).copied().collect();
        let counts = [conditions.params.len() as i32, i32::from(conditions.org.is_some())];
        let kept: [*mut c_void; 4] = [
            pg_sys::makeString(filter).cast(),
            numbers(fetched.iter().map(|column| i32::from(*column))).cast(),
            numbers(conditions.remote_columns.iter().map(|column| i32::from(*column))).cast(),
            numbers(counts.into_iter()).cast(),
        ];
        let expressions = expressions.into_iter().fold(nil, |list, one| pg_sys::lappend(list, one.cast()));
        let kept = kept.into_iter().fold(nil, |list, one| pg_sys::lappend(list, one));
        pg_sys::make_foreignscan(targets, clauses, (*rel).relid, expressions, kept, nil, nil, outer)
    }
}

unsafe fn numbers(numbers: impl Iterator<Item = i32>) -> *mut pg_sys::List {
    // SAFETY: grows a list in the current memory context. Never NIL, which would be no node: the first number is unused.
    unsafe {
        numbers.fold(pg_sys::lappend_int(std::ptr::null_mut(), 0), |list, one| pg_sys::lappend_int(list, one))
    }
}

/// The columns that the query needs of a row, without the organization's.
unsafe fn fetched(rel: *mut pg_sys::RelOptInfo, clauses: *mut pg_sys::List, table: pg_sys::Oid) -> Vec<i16> {
    // SAFETY: the caller's relation and expressions; a bitmap holds attribute numbers above an offset (var.c).
    unsafe {
        let mut used: *mut pg_sys::Bitmapset = std::ptr::null_mut();
        pg_sys::pull_varattnos((*(*rel).reltarget).exprs.cast(), (*rel).relid, &mut used);
        pg_sys::pull_varattnos(clauses.cast(), (*rel).relid, &mut used);
        let offset = -pg_sys::FirstLowInvalidHeapAttributeNumber;
        let is_used = |column: i32| pg_sys::bms_is_member(column + offset, used);
        let is_whole = is_used(0);
        (i32::from(ORG) + 1..=i32::from((*rel).max_attr))
            .filter(|column| is_whole || is_used(*column))
            .map(|column| column as i16)
            .filter(|column| catalog::column_type(table, *column).is_some())
            .collect()
    }
}

/// The conditions as SQL on `r`; empty when there is none.
unsafe fn filter(conditions: &[*mut Node], table: pg_sys::Oid) -> *mut std::ffi::c_char {
    // SAFETY: copies of the query's conditions, whose columns are those of the only relation.
    unsafe {
        if conditions.is_empty() {
            return pg_sys::pstrdup(c"".as_ptr());
        }
        let list =
            conditions.iter().fold(std::ptr::null_mut(), |list, one| pg_sys::lappend(list, one.cast()));
        let names = pg_sys::deparse_context_for(c"r".as_ptr(), table);
        pg_sys::deparse_expression(pg_sys::make_ands_explicit(list).cast(), names, true, false)
    }
}

/// A plan, as [`on_plan`] made it.
pub struct Plan {
    /// The condition that each tenant filters by; empty for none.
    pub filter: String,
    /// The columns that the query needs.
    pub fetched: Vec<i16>,
    /// The columns in the filter.
    pub filtered: Vec<i16>,
    params: usize,
    has_org: bool,
    expressions: *mut pg_sys::List,
}

impl Plan {
    /// # Safety
    /// `scan` is a plan that [`on_plan`] made.
    pub unsafe fn read(scan: *mut pg_sys::ForeignScan) -> Self {
        // SAFETY: the caller's promise: a text and three lists of numbers.
        unsafe {
            let (filter, columns, filtered, counts) = match pointers::<c_void>((*scan).fdw_private) {
                [filter, columns, filtered, counts] => (
                    crate::pg::owned((*filter.cast::<pg_sys::String>()).sval).unwrap_or_default(),
                    read_numbers(columns.cast()),
                    read_numbers(filtered.cast()),
                    read_numbers(counts.cast()),
                ),
                _ => Default::default(),
            };
            Self {
                filter,
                fetched: columns,
                filtered,
                params: counts.first().map_or(0, |count| *count as usize),
                has_org: counts.get(1).is_some_and(|count| *count > 0),
                expressions: (*scan).fdw_exprs,
            }
        }
    }

    /// The columns that a tenant must have: those of the filter, too.
    pub fn needed(&self) -> Vec<i16> {
        let mut needed: Vec<i16> = self.fetched.iter().chain(&self.filtered).copied().collect();
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// The tenants to visit, and the filter's parameters. `expected` gives the tenants, from the org that must match.
    ///
    /// # Safety
    /// `node` is the scan's state, being begun.
    pub unsafe fn values(
        &self,
        node: *mut pg_sys::ForeignScanState,
        expected: impl FnOnce(Option<Option<String>>) -> Vec<Expected>,
    ) -> (Vec<Expected>, Vec<Param>) {
        // SAFETY: the caller's promise; expressions are the plan's own, values live in the query's memory.
        unsafe {
            let context = (*node).ss.ps.ps_ExprContext;
            let all = pointers::<pg_sys::Expr>(self.expressions);
            let (params, rest) = all.split_at(self.params.min(all.len()));
            let (org, pruning) = rest.split_at(usize::from(self.has_org).min(rest.len()));
            let ready = |expression: &*mut pg_sys::Expr| pg_sys::ExecInitExpr(*expression, node.cast());
            let values = params
                .iter()
                .map(|one| Param::new(evaluate(ready(one), context), pg_sys::exprType(one.cast::<Node>())))
                .collect();
            let only = org
                .first()
                .map(|one| evaluate(ready(one), context).and_then(|org| String::from_datum(org, false)));
            let mut tenants = expected(only);
            if !pruning.is_empty() && !tenants.is_empty() {
                let pruning: Vec<_> = pruning.iter().map(ready).collect();
                prune(&mut tenants, &pruning, (*node).ss.ss_ScanTupleSlot, context);
            }
            (tenants, values)
        }
    }
}

/// An expression's value, in the current memory; `None` for NULL.
unsafe fn evaluate(
    state: *mut pg_sys::ExprState,
    context: *mut pg_sys::ExprContext,
) -> Option<pg_sys::Datum> {
    let mut is_null = true;
    // SAFETY: the caller's expression is ready for the context. The boundary turns its errors, which may be the user's,
    // into unwinds: what the callers hold is dropped.
    let value = unsafe {
        let evaluator = (*state).evalfunc?;
        pg_sys::ffi::pg_guard_ffi_boundary(|| evaluator(state, context, &mut is_null))
    };
    (!is_null).then_some(value)
}

/// Leaves the orgs that meet every condition. What an org takes is freed before the next: there may be many.
unsafe fn prune(
    tenants: &mut Vec<Expected>,
    conditions: &[*mut pg_sys::ExprState],
    slot: *mut pg_sys::TupleTableSlot,
    context: *mut pg_sys::ExprContext,
) {
    // SAFETY: the caller's slot and context, of a scan that is being begun: nothing of either is in use.
    unsafe {
        let before = pg_sys::MemoryContextSwitchTo((*context).ecxt_per_tuple_memory);
        tenants.retain(|tenant| {
            put_org(slot, &tenant.org);
            (*context).ecxt_scantuple = slot;
            let is_met = |one: &*mut pg_sys::ExprState| {
                evaluate(*one, context).is_some_and(|value| value.value() & 1 == 1)
            };
            let is_left = conditions.iter().all(is_met);
            pg_sys::ExecClearTuple(slot);
            pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
            is_left
        });
        pg_sys::MemoryContextSwitchTo(before);
    }
}

/// A row with nothing but an organization.
unsafe fn put_org(slot: *mut pg_sys::TupleTableSlot, org: &str) {
    // SAFETY: a slot with at least one column, of type text, between rows; the text lives until the slot is cleared.
    unsafe {
        pg_sys::ExecClearTuple(slot);
        let width = (*(*slot).tts_tupleDescriptor).natts as usize;
        std::slice::from_raw_parts_mut((*slot).tts_isnull, width).fill(true);
        if let Some(text) = org.into_datum() {
            (*slot).tts_values.write(text);
            (*slot).tts_isnull.write(false);
        }
        pg_sys::ExecStoreVirtualTuple(slot);
    }
}

unsafe fn read_numbers(list: *mut pg_sys::List) -> Vec<i16> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a list of integers that `numbers` made.
    unsafe { (1..(*list).length as usize).map(|i| (*(*list).elements.add(i)).int_value as i16).collect() }
}
