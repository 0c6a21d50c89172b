//! Sequences by oid: no relation of a range table, and a login role that owns adopted schemas may use every one of theirs.
//! PostgreSQL's functions also lock whatever the oid names, before they look at its kind and at privileges.
//!
//! Calls are exchanged for the checked functions `plio._nextval(..)` and so on (replaced.rs), which judge their argument when
//! they run, in any tenant and without one. A call that was not exchanged announces itself to the object access hook
//! ([`on_raw_call`]), and is refused, with one exception: the defaults that COPY FROM and ALTER TABLE make ready for themselves.
//! Those are read as text, and as many calls are let through as they hold, if each names a sequence within reach. All of them
//! are made ready before the first row is touched: nothing is left for code that runs meanwhile.

use crate::cache::code;
use crate::error::{Error, Result, or_raise};
use crate::hooks::{self, check_perms, planner};
use crate::pg::catalog::{self, Default};
use crate::pg::function::plain_function;
use crate::pg::{FIRST_NORMAL_OID, borrowed, depend, nodes, raw, session};
use crate::policy::{Access, Actor, Why};
use crate::{cache, context, denial, house, one_layer};
use pgrx::pg_sys::{self, NodeTag, Oid};
use pgrx::prelude::*;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering::Relaxed};

/// The COPY FROM or ALTER TABLE that is running; NULL when none is.
static COMMAND: AtomicPtr<pg_sys::Node> = AtomicPtr::new(std::ptr::null_mut());
/// How deep in subtransactions it was begun.
static LEVEL: AtomicI32 = AtomicI32::new(0);
/// How many calls of its defaults are still to announce themselves; negative before they were counted.
static ALLOWED: AtomicI32 = AtomicI32::new(NOT_COUNTED);
const NOT_COUNTED: i32 = -1;

/// What was running before a utility statement.
#[derive(Clone, Copy)]
pub struct Outer {
    command: *mut pg_sys::Node,
    level: i32,
    allowed: i32,
}

/// A transaction has ended, or a subtransaction was rolled back: a command that was begun in it is gone.
pub fn forget() {
    if LEVEL.load(Relaxed) >= session::nest_level() {
        COMMAND.store(std::ptr::null_mut(), Relaxed);
    }
}

/// A utility statement is about to run; gives what [`leave_utility`] puts back.
///
/// # Safety
/// `statement` is a utility statement that stays until it has run.
pub unsafe fn enter_utility(statement: *mut pg_sys::Node) -> Outer {
    // SAFETY: the caller's promise.
    let is_of_interest =
        matches!(unsafe { nodes::tag(statement) }, NodeTag::T_CopyStmt | NodeTag::T_AlterTableStmt);
    let command = if is_of_interest { statement } else { std::ptr::null_mut() };
    Outer {
        command: COMMAND.swap(command, Relaxed),
        level: LEVEL.swap(session::nest_level(), Relaxed),
        allowed: ALLOWED.swap(NOT_COUNTED, Relaxed),
    }
}

/// It has ended.
pub fn leave_utility(outer: Outer) {
    COMMAND.store(outer.command, Relaxed);
    LEVEL.store(outer.level, Relaxed);
    ALLOWED.store(outer.allowed, Relaxed);
}

/// A function that was not exchanged is about to be made ready.
///
/// # Errors
/// 42501, 55000.
pub fn on_raw_call(function: Oid) -> Result<()> {
    if !context::is_active() && cache::actor(session::outer_user()) == Actor::Administrator {
        return Ok(());
    }
    if !cache::has_tenants() {
        return Ok(());
    }
    if is_of_a_default()? {
        return Ok(());
    }
    // A plan that was made before the extension was there: the next time it is made anew, and the call exchanged.
    planner::forget_all_plans();
    let function = catalog::function_name(function).unwrap_or_default();
    Err(Error::RawSequence { function, is_active: context::is_active() })
}

/// Whether the call stands in a default that the running command makes ready, and names a sequence within reach.
fn is_of_a_default() -> Result<bool> {
    let command = COMMAND.load(Relaxed);
    if command.is_null() {
        return Ok(false);
    }
    let mut allowed = ALLOWED.load(Relaxed);
    if allowed == NOT_COUNTED {
        // SAFETY: the command stays until it has run (utility.rs).
        let defaults = unsafe { defaults_of(command) };
        allowed = 0;
        for default in defaults {
            let calls = one_layer::constant_sequences(&default.expression).unwrap_or_default();
            for (function, sequence) in calls {
                ensure_sequence(function, Oid::from(sequence))?;
                allowed += 1;
            }
        }
    }
    ALLOWED.store((allowed - 1).max(0), Relaxed);
    Ok(allowed > 0)
}

/// The defaults that a command makes ready: of columns that COPY is not given, of columns that ALTER TABLE adds.
unsafe fn defaults_of(command: *mut pg_sys::Node) -> Vec<Default> {
    // SAFETY: the caller passes a statement of one of the two kinds, and the tag says which; the lists are of the nodes that
    // parsenodes.h says.
    unsafe {
        if nodes::tag(command) == NodeTag::T_CopyStmt {
            let copy = command.cast::<pg_sys::CopyStmt>();
            let Some(table) = nodes::relation_of((*copy).relation).filter(|_| (*copy).is_from) else {
                return Vec::new();
            };
            let given = nodes::pointers::<pg_sys::String>((*copy).attlist);
            let given: Vec<_> = given.iter().filter_map(|name| borrowed((**name).sval)).collect();
            // COPY .. (DEFAULT 'x'), from 16 on, makes all of them ready.
            let options = nodes::pointers::<pg_sys::DefElem>((*copy).options);
            let has_marker = options
                .iter()
                .any(|option| borrowed((**option).defname).is_some_and(|name| name == "default"));
            let is_left_out = |default: &Default| {
                has_marker || !given.is_empty() && !given.iter().any(|name| *name == default.column)
            };
            catalog::defaults(table).into_iter().filter(is_left_out).collect()
        } else {
            let alter = command.cast::<pg_sys::AlterTableStmt>();
            let Some(table) = nodes::relation_of((*alter).relation) else { return Vec::new() };
            let commands = nodes::pointers::<pg_sys::AlterTableCmd>((*alter).cmds);
            let added: Vec<_> = commands
                .iter()
                .filter(|command| (***command).subtype == pg_sys::AlterTableType::AT_AddColumn)
                .filter_map(|command| borrowed((*(**command).def.cast::<pg_sys::ColumnDef>()).colname))
                .collect();
            let tables = cache::inheritors(table);
            // The rows of one table are rewritten before the defaults of the next one are made ready.
            if tables.len() > 1 && tables.iter().any(|table| runs_code(*table)) {
                return Vec::new();
            }
            let is_added = |default: &Default| added.iter().any(|name| *name == default.column);
            tables.iter().flat_map(|table| catalog::defaults(*table)).filter(is_added).collect()
        }
    }
}

/// Whether rewriting a table may run code of somebody's.
fn runs_code(table: Oid) -> bool {
    !catalog::has_plain_types_only(table)
        || catalog::stored_expressions(table)
            .iter()
            .any(|expression| one_layer::calls_any_from(expression, FIRST_NORMAL_OID))
}

/// Judges a call: setting a value is for the tenant's own sequences, the rest as the access check says. Where the tenant has a
/// role, what is no tenant's is left to PostgreSQL's privileges: a definer function may count with a sequence that is not
/// shared. But not a stranger's: whoever may create a sequence, and grant it, would hear what a tenant writes to it.
fn ensure_sequence(function: u32, sequence: Oid) -> Result<()> {
    match judge(function, sequence) {
        Err(Error::Denied { why: Why::NotShared | Why::SharedReadOnly, .. })
            if context::holds_role() && (code::is_owner_trusted(sequence) || counts_for_shared(sequence)) =>
        {
            Ok(())
        }
        verdict => verdict,
    }
}

/// Whether a sequence numbers the rows of a table that tenants may write.
fn counts_for_shared(sequence: Oid) -> bool {
    depend::table_of_sequence(sequence).is_some_and(|table| check_perms::judge(table, Access::Write).is_ok())
}

fn judge(function: u32, sequence: Oid) -> Result<()> {
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
        or_raise(ensure_kind(sequence));
    }
}

/// Refuses to set one of the extension's own sequences back.
///
/// # Safety
/// `call` is the record of a call of the checked function of that number, whose arguments are not NULL.
unsafe fn ensure_counts_on(function: u32, sequence: Oid, call: pg_sys::FunctionCallInfo) -> Result<()> {
    // SAFETY: the caller's promise (one_layer.rs): a bigint follows the sequence, and in the longer form a boolean.
    let next = unsafe {
        let argument = |index| (*(*call).args.as_ptr().add(index)).value;
        let value = argument(1).value() as i64;
        match function {
            one_layer::SETVAL => value.saturating_add(1),
            one_layer::SETVAL3 if argument(2).value() & 1 != 0 => value.saturating_add(1),
            one_layer::SETVAL3 => value,
            _ => return Ok(()),
        }
    };
    house::ensure_counts_on(sequence, next)
}

/// Refuses what is no sequence: PostgreSQL's functions would lock it first, and keep the lock to the transaction's end.
fn ensure_kind(oid: Oid) -> Result<()> {
    if catalog::relation_kind(oid) == Some('S') {
        return Ok(());
    }
    let name = catalog::relation_names(oid).map(|(_, name)| name);
    Err(Error::NotASequence { oid: oid.to_u32(), name })
}

/// The hot path: a sequence of the active tenant's, or, without one, in a schema that is known to be no tenant's. Unguarded: two
/// syscache look-ups.
unsafe fn is_known_in_reach(sequence: Oid) -> bool {
    if context::needs_confirmation() {
        return false;
    }
    // SAFETY: any relation's oid may be looked up.
    unsafe {
        let schema = raw::get_rel_namespace(sequence);
        let is_in_reach = match context::active_schema() {
            Some(active) => active == schema,
            None => cache::is_known_neutral(schema) && !cache::is_registry(schema),
        };
        is_in_reach && raw::get_rel_relkind(sequence) as u8 == pg_sys::RELKIND_SEQUENCE
    }
}

/// Defines a function that judges its first argument, and then is PostgreSQL's own.
macro_rules! checked_function {
    ($function:ident, $record:ident, $number:expr, $original:path) => {
        plain_function!($function, $record, |call| {
            // SAFETY: PostgreSQL calls a strict function with its arguments, of which the first is an oid.
            unsafe {
                let sequence = first_argument(call);
                if !is_known_in_reach(sequence) {
                    check($number, sequence, call);
                }
                $original(call)
            }
        });
    };
}

checked_function!(plio_nextval, pg_finfo_plio_nextval, one_layer::NEXTVAL, raw::nextval_oid);
checked_function!(plio_currval, pg_finfo_plio_currval, one_layer::CURRVAL, raw::currval_oid);
checked_function!(plio_setval, pg_finfo_plio_setval, one_layer::SETVAL, raw::setval_oid);
checked_function!(plio_setval3, pg_finfo_plio_setval3, one_layer::SETVAL3, raw::setval3_oid);
// The names that 0.1.0's install script knows: this library works over its SQL objects until the update.
checked_function!(_nextval_wrapper, pg_finfo__nextval_wrapper, one_layer::NEXTVAL, raw::nextval_oid);
checked_function!(_currval_wrapper, pg_finfo__currval_wrapper, one_layer::CURRVAL, raw::currval_oid);
checked_function!(_setval_wrapper, pg_finfo__setval_wrapper, one_layer::SETVAL, raw::setval_oid);
checked_function!(_setval3_wrapper, pg_finfo__setval3_wrapper, one_layer::SETVAL3, raw::setval3_oid);

unsafe fn first_argument(call: pg_sys::FunctionCallInfo) -> Oid {
    // SAFETY: the caller passes the record of a call with one argument at least, which is an oid and not NULL.
    unsafe { Oid::from((*(*call).args.as_ptr()).value.value() as u32) }
}

#[pg_guard]
unsafe extern "C-unwind" fn check(function: u32, sequence: Oid, call: pg_sys::FunctionCallInfo) {
    checked(function, sequence);
    if is_judged() {
        // SAFETY: the record of the call that is being judged; the function is strict.
        or_raise(unsafe { ensure_counts_on(function, sequence, call) });
    }
}

/// `pg_sequence_last_value` with its argument judged: null for what is out of reach, as for what one may not read, so
/// that the view `pg_sequences` works.
#[pg_extern(sql = false)]
fn _sequence_last_value(sequence: Oid) -> Option<i64> {
    if !is_in_reach(sequence) {
        return None;
    }
    catalog::sequence_last_value(sequence)
}

/// The sequence, if its values may be read: the argument of a function that shows them in a row.
#[pg_extern(sql = false)]
fn _sequence_in_reach(sequence: Oid) -> Option<Oid> {
    is_in_reach(sequence).then_some(sequence)
}

fn is_in_reach(sequence: Oid) -> bool {
    if !is_judged() {
        return true;
    }
    let verdict = ensure_sequence(one_layer::LAST_VALUE, sequence);
    verdict.is_ok() && ensure_kind(sequence).is_ok()
}
