//! Functions of PostgreSQL's that are exchanged for checked ones of ours as a query is planned: `pg_notify()` everywhere
//! (notify.rs), and in a tenant without a role those on sequences by oid (sequences.rs).
//!
//! `pg_notify()` is exchanged without a tenant, too: a plan that is kept may run inside one. Bodies of SQL functions that name
//! it are kept from being inlined ([`holds_replaced`]), since what the planner inlines is not seen here; run as functions,
//! they are planned by themselves. What is left (defaults and checks that COPY or ALTER TABLE evaluates, the protocol's
//! function call) announces itself to the object access hook.

use crate::error::or_raise;
use crate::pg::catalog::{self, SqlBody};
use crate::pg::{nodes, raw};
use crate::{cache, context, hooks, one_layer};
use pgrx::pg_sys::{self, NodeTag, Oid};
use pgrx::prelude::*;
use std::ffi::{CStr, c_void};

/// Puts the checked functions into a query that is about to be planned, and that nobody else keeps.
///
/// # Safety
/// `query` is a query which the planner may change.
pub unsafe fn replace(query: *mut pg_sys::Query) {
    let mut are_sequences = context::is_one_layer() && hooks::is_judged();
    // SAFETY: the caller's promise; the walker knows what it is handed.
    unsafe { walk(query.cast(), (&raw mut are_sequences).cast()) };
}

/// The context is a bool: whether the functions on sequences are exchanged, too.
unsafe extern "C-unwind" fn walk(node: *mut pg_sys::Node, are_sequences: *mut c_void) -> bool {
    // SAFETY: PostgreSQL's walkers hand out valid nodes or NULL, and the context that `replace` gave; the tag says what a
    // node is.
    unsafe {
        match nodes::tag(node) {
            NodeTag::T_Invalid => false,
            NodeTag::T_Query => raw::query_tree_walker(node.cast(), Some(walk), are_sequences, 0),
            tag => {
                if tag == NodeTag::T_FuncExpr {
                    let call = node.cast::<pg_sys::FuncExpr>();
                    let function = (*call).funcid.to_u32();
                    if function == pg_sys::F_PG_NOTIFY
                        || (*are_sequences.cast::<bool>()
                            && one_layer::SEQUENCE_FUNCTIONS.contains(&function))
                    {
                        replace_call(call);
                    }
                }
                raw::expression_tree_walker(node, Some(walk), are_sequences)
            }
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn replace_call(call: *mut pg_sys::FuncExpr) {
    // SAFETY: the caller passes a FuncExpr that may be changed.
    unsafe {
        if !or_raise(hooks::has_registry()) {
            return;
        }
        let Some(location) = cache::location() else { return };
        let (name, types) = checked((*call).funcid.to_u32());
        if let Some(checked) = catalog::function_oid(name, types, location.schema) {
            (*call).funcid = checked;
        }
    }
}

/// The checked function's name in our schema, and its arguments' types.
fn checked(function: u32) -> (&'static CStr, &'static [Oid]) {
    use pg_sys::{BOOLOID, INT8OID, REGCLASSOID, TEXTOID};
    match function {
        pg_sys::F_PG_NOTIFY => (c"_notify", &[TEXTOID, TEXTOID]),
        one_layer::NEXTVAL => (c"_nextval", &[REGCLASSOID]),
        one_layer::CURRVAL => (c"_currval", &[REGCLASSOID]),
        one_layer::SETVAL => (c"_setval", &[REGCLASSOID, INT8OID]),
        one_layer::SETVAL3 => (c"_setval", &[REGCLASSOID, INT8OID, BOOLOID]),
        _ => (c"_sequence_last_value", &[REGCLASSOID]),
    }
}

/// Whether the body of a SQL function may name `pg_notify`.
pub fn holds_replaced(function: Oid) -> bool {
    match catalog::sql_body(function) {
        Some(SqlBody::Text(body)) => body.to_ascii_lowercase().contains("notify"),
        Some(SqlBody::Parsed(nodes)) => nodes.contains(&format!(":funcid {} ", pg_sys::F_PG_NOTIFY)),
        None => false,
    }
}
