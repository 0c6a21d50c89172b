//! Functions of PostgreSQL's that are exchanged for checked ones of ours: `pg_notify()` (notify.rs), `set_config()`
//! (settings.rs) and the functions on sequences by oid (sequences.rs).
//!
//! While a query is planned each call of such a function gets the checked one's oid; so does an operator that stands for one.
//! That is done whatever tenant is set, and without one: a plan that is kept may run anywhere, and the checked function judges
//! where it runs. A call that leaves an argument to its default gets the default first, as the planner would add it later. The
//! arguments of CALL and EXECUTE and ALTER COLUMN .. USING, which no planner sees, are exchanged in a copy of the statement. Bodies of
//! SQL functions that name such a function are kept from being inlined ([`holds_replaced`]), since what the planner inlines is
//! not seen here; run as functions, they are planned by themselves. What is left (defaults and checks that COPY or ALTER TABLE
//! evaluates, checks of domains, functions inside an aggregate, the protocol's function call) announces itself to the object
//! access hook, which refuses it.
//!
//! The same walk judges the operators of strangers (cache/code.rs): an operator may stand for a function of PostgreSQL's, and
//! then only its own name tells whose it is.

use crate::cache::code::{self, Trust};
use crate::denial::{self, Subject};
use crate::error::{CodeKind, Error, Result, or_raise};
use crate::hooks::{self, planner};
use crate::pg::catalog::{self, SqlBody};
use crate::pg::{FIRST_NORMAL_OID, nodes, raw, session};
use crate::{cache, context, one_layer};
use pgrx::pg_sys::{self, NodeTag, Oid};
use pgrx::prelude::*;
use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::AtomicU64;

/// A function of PostgreSQL's, and the checked one of ours.
struct Exchange {
    function: u32,
    /// Its name, as a SQL text would hold it.
    plain: &'static CStr,
    /// The checked function's name in our schema, and its arguments' types.
    checked: &'static CStr,
    types: &'static [Oid],
}

use pg_sys::{BOOLOID, INT8OID, REGCLASSOID, TEXTOID};

const EXCHANGES: [Exchange; 7] = [
    Exchange {
        function: pg_sys::F_PG_NOTIFY,
        plain: c"pg_notify",
        checked: c"_notify",
        types: &[TEXTOID, TEXTOID],
    },
    Exchange {
        function: pg_sys::F_SET_CONFIG,
        plain: c"set_config",
        checked: c"_set_config",
        types: &[TEXTOID, TEXTOID, BOOLOID],
    },
    Exchange { function: one_layer::NEXTVAL, plain: c"nextval", checked: c"_nextval", types: &[REGCLASSOID] },
    Exchange { function: one_layer::CURRVAL, plain: c"currval", checked: c"_currval", types: &[REGCLASSOID] },
    Exchange {
        function: one_layer::SETVAL,
        plain: c"setval",
        checked: c"_setval",
        types: &[REGCLASSOID, INT8OID],
    },
    Exchange {
        function: one_layer::SETVAL3,
        plain: c"setval",
        checked: c"_setval",
        types: &[REGCLASSOID, INT8OID, BOOLOID],
    },
    Exchange {
        function: one_layer::LAST_VALUE,
        plain: c"pg_sequence_last_value",
        checked: c"_sequence_last_value",
        types: &[REGCLASSOID],
    },
];

/// The checked functions' oids, each with the generation in which it was looked up (cache/code.rs).
static CHECKED: [AtomicU64; EXCHANGES.len()] = [const { AtomicU64::new(0) }; EXCHANGES.len()];

/// The functions alone, for the hot path.
const FUNCTIONS: [u32; EXCHANGES.len()] = {
    let mut functions = [0; EXCHANGES.len()];
    let mut index = 0;
    while index < EXCHANGES.len() {
        functions[index] = EXCHANGES[index].function;
        index += 1;
    }
    functions
};

fn exchange_of(function: Oid) -> Option<usize> {
    FUNCTIONS.iter().position(|exchanged| *exchanged == function.to_u32())
}

/// Whether calls of the function are exchanged: one that announces itself was not.
pub fn is_replaced(function: Oid) -> bool {
    FUNCTIONS.contains(&function.to_u32())
}

/// Whether the checked form of that function is there: not before ALTER EXTENSION .. UPDATE.
pub fn has_checked_form(function: u32) -> bool {
    exchange_of(Oid::from(function)).and_then(checked_function).is_some()
}

/// Puts the checked functions into a query that is about to be planned, and that nobody else keeps.
///
/// # Safety
/// `query` is a query which the planner may change.
pub unsafe fn replace(query: *mut pg_sys::Query) {
    // SAFETY: the caller's promise; the walker knows what it is handed.
    unsafe { walk(query.cast(), std::ptr::null_mut()) };
}

unsafe extern "C-unwind" fn walk(node: *mut pg_sys::Node, nothing: *mut c_void) -> bool {
    // SAFETY: PostgreSQL's walkers hand out valid nodes or NULL; the tag says what a node is.
    unsafe {
        match nodes::tag(node) {
            NodeTag::T_Invalid => false,
            NodeTag::T_Query => raw::query_tree_walker(node.cast(), Some(walk), nothing, 0),
            tag => {
                match tag {
                    NodeTag::T_FuncExpr => {
                        exchange(&raw mut (*node.cast::<pg_sys::FuncExpr>()).funcid);
                        add_defaults(node.cast());
                        wrap_sequence(node.cast());
                    }
                    // These three are one struct (primnodes.h).
                    NodeTag::T_OpExpr | NodeTag::T_DistinctExpr | NodeTag::T_NullIfExpr => {
                        let operator = node.cast::<pg_sys::OpExpr>();
                        look_at_operator((*operator).opno);
                        exchange(&raw mut (*operator).opfuncid);
                    }
                    NodeTag::T_ScalarArrayOpExpr => {
                        look_at_operator((*node.cast::<pg_sys::ScalarArrayOpExpr>()).opno);
                    }
                    NodeTag::T_RowCompareExpr => {
                        for operator in nodes::oids((*node.cast::<pg_sys::RowCompareExpr>()).opnos) {
                            look_at_operator(operator.oid_value);
                        }
                    }
                    _ => {}
                }
                raw::expression_tree_walker(node, Some(walk), nothing)
            }
        }
    }
}

/// Gives a call the defaults of the arguments that it leaves out, if they may call a function that is exchanged.
unsafe fn add_defaults(call: *mut pg_sys::FuncExpr) {
    // SAFETY: the caller passes a call, whose arguments are a list or NIL.
    unsafe {
        let given = if (*call).args.is_null() { 0 } else { (*(*call).args).length };
        if (*call).funcid.to_u32() >= FIRST_NORMAL_OID && catalog::argument_count((*call).funcid) > given {
            expand_defaults(call);
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn expand_defaults(call: *mut pg_sys::FuncExpr) {
    // SAFETY: the caller passes a call that may be changed.
    unsafe {
        let function = (*call).funcid;
        let names_any = |defaults: &str| {
            FUNCTIONS.iter().any(|exchanged| defaults.contains(&format!("funcid {exchanged} ")))
        };
        if catalog::argument_defaults(function).is_some_and(|defaults| names_any(&defaults)) {
            (*call).args = catalog::with_defaults(function, (*call).args, (*call).funcresulttype);
        }
    }
}

/// Exchanges a call's function, if it is one of those.
unsafe fn exchange(function: *mut Oid) {
    // SAFETY: the caller passes a call's field.
    unsafe {
        if let Some(index) = exchange_of(*function) {
            replace_call(function, index);
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn replace_call(function: *mut Oid, index: usize) {
    if let Some(checked) = checked_function(index) {
        // SAFETY: the caller passes a field that may be changed.
        unsafe { *function = checked };
    }
}

/// The checked function, if the extension is here. In a database without tenants there is no sequence to guard: plans look as
/// PostgreSQL makes them, and are made anew when the registry changes.
fn checked_function(index: usize) -> Option<Oid> {
    let exchange = &EXCHANGES[index];
    if one_layer::SEQUENCE_FUNCTIONS.contains(&exchange.function) && !cache::has_tenants() {
        cache::note_left_out();
        return None;
    }
    code::keep(&CHECKED[index], || {
        let location = cache::location()?;
        catalog::function_oid(exchange.checked, exchange.types, location.schema)
    })
}

/// Gives a function that shows a sequence's values in a row (from 18 on) an argument that is null where the sequence is out of
/// reach.
unsafe fn wrap_sequence(call: *mut pg_sys::FuncExpr) {
    // SAFETY: the caller passes a call.
    unsafe {
        if Some((*call).funcid.to_u32()) == catalog::SEQUENCE_DATA {
            wrap_argument(call);
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn wrap_argument(call: *mut pg_sys::FuncExpr) {
    let Some(location) = cache::location() else { return };
    let Some(checked) = catalog::function_oid(c"_sequence_in_reach", &[REGCLASSOID], location.schema) else {
        return;
    };
    // SAFETY: the call may be changed; its argument goes on as the new call's, whose result is of the same type.
    unsafe {
        let wrapped = pg_sys::makeFuncExpr(
            checked,
            REGCLASSOID,
            (*call).args,
            pg_sys::InvalidOid,
            pg_sys::InvalidOid,
            pg_sys::CoercionForm::COERCE_EXPLICIT_CALL,
        );
        (*call).args = pg_sys::lappend(std::ptr::null_mut(), wrapped.cast());
    }
}

unsafe fn look_at_operator(operator: Oid) {
    if operator.to_u32() >= FIRST_NORMAL_OID {
        // SAFETY: any oid may be looked at.
        unsafe { judge_operator(operator) };
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn judge_operator(operator: Oid) {
    if session::is_in_progress() && hooks::is_judged() && cache::location().is_some() {
        or_raise(denial::decide(ensure_operator(operator), Subject::Statement));
    }
}

fn ensure_operator(operator: Oid) -> Result<()> {
    match code::trust_in_operator(operator) {
        Trust::Everywhere => return Ok(()),
        Trust::Nowhere if context::is_active() => {
            let name = catalog::operator_identity(operator).unwrap_or_default();
            return Err(Error::UntrustedCode { kind: CodeKind::Operator, name });
        }
        Trust::Nowhere | Trust::Here => planner::note_foreign_code(),
    }
    Ok(())
}

/// Whether the body of a SQL function may name a function that is exchanged.
pub fn holds_replaced(function: Oid) -> bool {
    match catalog::sql_body(function) {
        Some(SqlBody::Text(body)) => {
            let body = body.to_ascii_lowercase();
            // An identifier may be written in escapes: U&"\0070g_notify".
            body.contains("u&\"")
                || EXCHANGES.iter().any(|exchange| body.contains(&*exchange.plain.to_string_lossy()))
        }
        Some(SqlBody::Parsed(nodes)) => EXCHANGES.iter().any(|exchange| {
            let number = exchange.function;
            nodes.contains(&format!("funcid {number} "))
        }),
        None => false,
    }
}

/// The statement as it is to run: a copy in which the arguments of CALL or EXECUTE, or what follows USING in ALTER COLUMN, call
/// the checked functions; or itself.
///
/// # Safety
/// `planned` holds a utility statement; `query` is its text.
pub unsafe fn with_checked_arguments(
    planned: *mut pg_sys::PlannedStmt,
    query: *const c_char,
) -> *mut pg_sys::PlannedStmt {
    // SAFETY: the caller's promise; the tag says what the statement is.
    unsafe {
        let statement = (*planned).utilityStmt;
        let is_interesting = match nodes::tag(statement) {
            NodeTag::T_CallStmt => !(*statement.cast::<pg_sys::CallStmt>()).funcexpr.is_null(),
            NodeTag::T_ExecuteStmt | NodeTag::T_ExplainStmt | NodeTag::T_CreateTableAsStmt => {
                let execute = execute_in(statement);
                !execute.is_null() && names_replaced((*execute).params.cast(), std::ptr::null_mut())
            }
            NodeTag::T_AlterTableStmt => conversions(statement.cast())
                .any(|conversion| names_replaced(conversion, std::ptr::null_mut())),
            _ => false,
        };
        if is_interesting { checked_copy(planned, query) } else { planned }
    }
}

/// What follows USING in the ALTER COLUMN .. TYPE of an ALTER TABLE, as the grammar made it.
unsafe fn conversions(statement: *const pg_sys::AlterTableStmt) -> impl Iterator<Item = *mut pg_sys::Node> {
    // SAFETY: the caller passes an AlterTableStmt that stays; its commands are AlterTableCmd nodes, of which this kind has a
    // ColumnDef.
    unsafe {
        nodes::pointers::<pg_sys::AlterTableCmd>((*statement).cmds)
            .iter()
            .filter(|command| (***command).subtype == pg_sys::AlterTableType::AT_AlterColumnType)
            .map(|command| (*(**command).def.cast::<pg_sys::ColumnDef>()).raw_default)
            .filter(|conversion| !conversion.is_null())
    }
}

/// The EXECUTE that a statement is, or explains, or makes a table of; NULL when there is none.
unsafe fn execute_in(statement: *mut pg_sys::Node) -> *mut pg_sys::ExecuteStmt {
    // SAFETY: the caller passes NULL or a statement; the tag says what it is. What EXPLAIN and CREATE TABLE AS are about was
    // analysed: a query, which holds a utility statement or not.
    unsafe {
        let within = match nodes::tag(statement) {
            NodeTag::T_ExecuteStmt => return statement.cast(),
            NodeTag::T_ExplainStmt => (*statement.cast::<pg_sys::ExplainStmt>()).query,
            NodeTag::T_CreateTableAsStmt => (*statement.cast::<pg_sys::CreateTableAsStmt>()).query,
            NodeTag::T_Query => (*statement.cast::<pg_sys::Query>()).utilityStmt,
            _ => return std::ptr::null_mut(),
        };
        execute_in(within)
    }
}

/// Whether raw expressions hold a call by one of the plain names.
unsafe extern "C-unwind" fn names_replaced(node: *mut pg_sys::Node, nothing: *mut c_void) -> bool {
    // SAFETY: as `walk`, of raw nodes.
    unsafe {
        match nodes::tag(node) {
            NodeTag::T_Invalid => false,
            NodeTag::T_FuncCall if plain_name(node.cast()).is_some() => true,
            _ => raw::raw_expression_tree_walker(node, Some(names_replaced), nothing),
        }
    }
}

/// Whether the last part of a call's name is one of the plain names.
unsafe fn plain_name(call: *const pg_sys::FuncCall) -> Option<()> {
    // SAFETY: the caller passes a call, whose name is a list of String nodes.
    unsafe {
        let name = nodes::pointers::<pg_sys::String>((*call).funcname).last()?;
        let name = CStr::from_ptr((**name).sval);
        EXCHANGES.iter().any(|exchange| exchange.plain == name).then_some(())
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn checked_copy(
    planned: *mut pg_sys::PlannedStmt,
    query: *const c_char,
) -> *mut pg_sys::PlannedStmt {
    if !session::is_in_progress() || cache::location().is_none() {
        return planned;
    }
    // SAFETY: a deep copy of the statement, of which nobody else knows.
    unsafe {
        let copy = pg_sys::copyObjectImpl(planned.cast()).cast::<pg_sys::PlannedStmt>();
        let statement = (*copy).utilityStmt;
        if nodes::tag(statement) == NodeTag::T_CallStmt {
            walk((*statement.cast::<pg_sys::CallStmt>()).funcexpr.cast(), std::ptr::null_mut());
            return copy;
        }
        let state = pg_sys::make_parsestate(std::ptr::null_mut());
        (*state).p_sourcetext = query;
        if nodes::tag(statement) == NodeTag::T_AlterTableStmt {
            let table = (*statement.cast::<pg_sys::AlterTableStmt>()).relation;
            let lock = pg_sys::AccessShareLock as i32;
            let relation = pg_sys::relation_openrv_extended(table, lock, true);
            if !relation.is_null() {
                let none = std::ptr::null_mut();
                let item = pg_sys::addRangeTableEntryForRelation(state, relation, lock, none, false, true);
                pg_sys::addNSItemToQuery(state, item, false, true, true);
                conversions(statement.cast()).for_each(|conversion| {
                    exchange_raw(conversion, state.cast());
                });
                // Not kept: ALTER TABLE will lock more strongly, and two that did would wait for each other.
                pg_sys::relation_close(relation, lock);
            }
        } else {
            exchange_raw((*execute_in(statement)).params.cast(), state.cast());
        }
        pg_sys::free_parsestate(state);
        copy
    }
}

/// Exchanges the names of calls in raw expressions, where PostgreSQL would call one of those functions. The context is a parse
/// state.
unsafe extern "C-unwind" fn exchange_raw(node: *mut pg_sys::Node, state: *mut c_void) -> bool {
    // SAFETY: as `walk`, of raw nodes that may be changed.
    unsafe {
        match nodes::tag(node) {
            NodeTag::T_Invalid => false,
            tag => {
                if tag == NodeTag::T_FuncCall && plain_name(node.cast()).is_some() {
                    exchange_raw_call(node.cast(), state.cast());
                }
                raw::raw_expression_tree_walker(node, Some(exchange_raw), state)
            }
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn exchange_raw_call(call: *mut pg_sys::FuncCall, state: *mut pg_sys::ParseState) {
    // SAFETY: the caller passes a call that may be changed; analysing works on a copy, and raises PostgreSQL's own error where
    // the call is wrong. The names are static, and nobody writes to a parse tree's names.
    unsafe {
        let copy = pg_sys::copyObjectImpl(call.cast_const().cast()).cast();
        let kind = pg_sys::ParseExprKind::EXPR_KIND_EXECUTE_PARAMETER;
        let analysed = pg_sys::transformExpr(state, copy, kind);
        if nodes::tag(analysed) != NodeTag::T_FuncExpr {
            return;
        }
        let Some(index) = exchange_of((*analysed.cast::<pg_sys::FuncExpr>()).funcid) else { return };
        let part = |name: &'static CStr| pg_sys::makeString(name.as_ptr().cast_mut()).cast::<c_void>();
        let schema = pg_sys::lappend(std::ptr::null_mut(), part(c"plio"));
        (*call).funcname = pg_sys::lappend(schema, part(EXCHANGES[index].checked));
    }
}
