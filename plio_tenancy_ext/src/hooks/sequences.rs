//! Sequences by oid, inside a tenant without a role of its own: no relation of a range table, and the login role may use
//! every tenant's. Costs nothing in a tenant with a role.
//!
//! While a plan is made inside such a tenant, the planner hook puts the checked functions `plio._nextval(..)` and their
//! kin into its place (replaced.rs); they judge their argument when they run, in plpgsql's simple expressions, too. A call
//! that was not replaced (plans of before, bodies that the planner inlined, defaults that COPY and ALTER TABLE
//! evaluate) announces itself to the object access hook ([`on_raw_call`]). As a plan starts, it is let through if the plan,
//! read as text, calls with constants that name sequences within reach ([`end_start`]); in COPY FROM and ALTER TABLE if
//! that holds for the table's defaults and checks. Anywhere else it is refused.

use crate::error::{Error, Result, or_raise};
use crate::hooks::{self, check_perms};
use crate::pg::{catalog, nodes, owned};
use crate::policy::Access;
use crate::{cache, context, denial, one_layer};
use pgrx::pg_sys::{self, NodeTag, Oid};
use pgrx::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How many plans are being started, one inside the other.
static STARTING: AtomicU32 = AtomicU32::new(0);
/// How many calls announced themselves meanwhile.
static CALLS: AtomicU32 = AtomicU32::new(0);
/// The table that a COPY FROM or ALTER TABLE works on; 0 when none does.
static TABLE: AtomicU32 = AtomicU32::new(0);

/// A transaction or a subtransaction has ended.
pub fn forget() {
    STARTING.store(0, Relaxed);
    CALLS.store(0, Relaxed);
    TABLE.store(0, Relaxed);
}

/// A plan is about to be started.
pub fn begin_start() {
    STARTING.fetch_add(1, Relaxed);
}

/// A plan has been started, and nothing of it has run: judges the calls in it.
///
/// # Safety
/// `planned` is a planned statement.
pub unsafe fn end_start(planned: *const pg_sys::PlannedStmt) {
    STARTING.store(STARTING.load(Relaxed).saturating_sub(1), Relaxed);
    if CALLS.swap(0, Relaxed) > 0 {
        // SAFETY: the caller's promise.
        unsafe { judge_plan(planned) };
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn judge_plan(planned: *const pg_sys::PlannedStmt) {
    // SAFETY: a planned statement is a node; its text is palloc'd.
    let text = owned(unsafe { pg_sys::nodeToString(planned.cast()) }).unwrap_or_default();
    or_raise(denial::decide(ensure_constants(&text), denial::Subject::Statement));
}

/// A sequence function that was not replaced is about to be made ready.
///
/// # Errors
/// 42501.
pub fn on_raw_call(function: Oid) -> Result<()> {
    if STARTING.load(Relaxed) > 0 {
        CALLS.fetch_add(1, Relaxed);
        return Ok(());
    }
    let table = TABLE.load(Relaxed);
    if table == 0 {
        return Err(Error::OneLayer { what: catalog::function_name(function).unwrap_or_default() });
    }
    for relation in cache::inheritors(Oid::from(table)).iter() {
        if !catalog::has_plain_types_only(*relation) {
            return Err(refusal());
        }
        for expression in catalog::stored_expressions(*relation) {
            ensure_constants(&expression)?;
        }
    }
    // What a trigger of this command runs later shall be planned anew, and so be replaced.
    crate::hooks::planner::forget_all_plans();
    Ok(())
}

fn refusal() -> Error {
    Error::OneLayer { what: "sequence function".to_owned() }
}

/// Judges every call in an expression or a plan that is given as text.
fn ensure_constants(nodes: &str) -> Result<()> {
    let calls = one_layer::constant_sequences(nodes).ok_or_else(refusal)?;
    calls.into_iter().try_for_each(|(function, sequence)| ensure_sequence(function, Oid::from(sequence)))
}

/// Judges a call: setting a value is for the tenant's own sequences, the rest as the access check says.
fn ensure_sequence(function: u32, sequence: Oid) -> Result<()> {
    match function {
        one_layer::SETVAL | one_layer::SETVAL3 => {
            check_perms::judge(sequence, Access::Write)?;
            let schema = catalog::relation_schema(sequence);
            let is_own = schema == context::active_schema() || schema.is_none_or(catalog::is_own_temporary);
            if is_own || !context::is_one_layer() {
                Ok(())
            } else {
                Err(Error::OneLayer { what: "setval".to_owned() })
            }
        }
        one_layer::NEXTVAL => check_perms::judge(sequence, Access::Write),
        _ => check_perms::judge(sequence, Access::Read),
    }
}

/// Whether calls of the checked functions are judged: whatever tenant is set, and without one. Nobody gets further by
/// calling them himself than by reading the sequence.
fn is_judged() -> bool {
    hooks::is_judged() && or_raise(hooks::has_registry())
}

fn checked(function: u32, sequence: Oid) {
    if is_judged() {
        let verdict = ensure_sequence(function, sequence);
        or_raise(denial::decide(verdict, denial::Subject::Relation(sequence)));
    }
}

/// `nextval` with its argument judged.
#[pg_extern(sql = false)]
fn _nextval(sequence: Oid) -> i64 {
    checked(one_layer::NEXTVAL, sequence);
    call(one_layer::NEXTVAL, [sequence.into()])
}

/// `currval` with its argument judged.
#[pg_extern(sql = false)]
fn _currval(sequence: Oid) -> i64 {
    checked(one_layer::CURRVAL, sequence);
    call(one_layer::CURRVAL, [sequence.into()])
}

/// `setval` with its argument judged.
#[pg_extern(sql = false)]
fn _setval(sequence: Oid, value: i64) -> i64 {
    checked(one_layer::SETVAL, sequence);
    call(one_layer::SETVAL, [sequence.into(), value.into()])
}

/// `setval` in three arguments with the first judged.
#[pg_extern(sql = false)]
fn _setval3(sequence: Oid, value: i64, is_called: bool) -> i64 {
    checked(one_layer::SETVAL3, sequence);
    call(one_layer::SETVAL3, [sequence.into(), value.into(), is_called.into()])
}

/// `pg_sequence_last_value` with its argument judged: null for what is out of reach, as for what one may not read, so
/// that the view `pg_sequences` works.
#[pg_extern(sql = false)]
fn _sequence_last_value(sequence: Oid) -> Option<i64> {
    if is_judged() && ensure_sequence(one_layer::LAST_VALUE, sequence).is_err() {
        return None;
    }
    // SAFETY: calls a function of PostgreSQL's with the argument that it takes; it may answer NULL.
    unsafe { pgrx::direct_function_call::<i64>(pg_sys::pg_sequence_last_value, &[Some(sequence.into())]) }
}

fn call<const N: usize>(function: u32, arguments: [pg_sys::Datum; N]) -> i64 {
    let arguments: Vec<_> = arguments.into_iter().map(Some).collect();
    let run = match function {
        one_layer::NEXTVAL => pg_sys::nextval_oid,
        one_layer::CURRVAL => pg_sys::currval_oid,
        one_layer::SETVAL => pg_sys::setval_oid,
        _ => pg_sys::setval3_oid,
    };
    // SAFETY: calls a function of PostgreSQL's with the arguments that it takes; none of them answers NULL.
    unsafe { pgrx::direct_function_call::<i64>(run, &arguments) }.unwrap_or_default()
}

/// A utility statement is about to run; gives what [`leave_utility`] puts back.
///
/// # Safety
/// `statement` is a utility statement.
pub unsafe fn enter_utility(statement: *mut pg_sys::Node) -> u32 {
    let outer = TABLE.swap(0, Relaxed);
    // SAFETY: the caller's promise.
    unsafe {
        if context::is_one_layer()
            && matches!(nodes::tag(statement), NodeTag::T_CopyStmt | NodeTag::T_AlterTableStmt)
        {
            note_table(statement);
        }
    }
    outer
}

/// It has ended.
pub fn leave_utility(outer: u32) {
    TABLE.store(outer, Relaxed);
}

#[pg_guard]
unsafe extern "C-unwind" fn note_table(statement: *mut pg_sys::Node) {
    // SAFETY: the caller passes a statement of one of the two kinds; `cmds` is a list of AlterTableCmd nodes.
    unsafe {
        let relation = if nodes::tag(statement) == NodeTag::T_CopyStmt {
            let copy = statement.cast::<pg_sys::CopyStmt>();
            if !(*copy).is_from || !(*copy).whereClause.is_null() {
                return;
            }
            (*copy).relation
        } else {
            let alter = statement.cast::<pg_sys::AlterTableStmt>();
            // USING may be any expression, and is kept nowhere.
            let retypes = |command: &&*mut pg_sys::AlterTableCmd| {
                (***command).subtype == pg_sys::AlterTableType::AT_AlterColumnType
            };
            if nodes::pointers::<pg_sys::AlterTableCmd>((*alter).cmds).iter().find(retypes).is_some() {
                return;
            }
            (*alter).relation
        };
        if let Some(oid) = nodes::relation_of(relation) {
            TABLE.store(oid.to_u32(), Relaxed);
        }
    }
}
