//! PostgreSQL's own grammar: the names in a text of SQL statements, and whether it is one SELECT.

use super::{nodes, owned};
use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;
use std::collections::BTreeSet;
use std::ffi::{CString, c_void};

/// What stands in a text of SQL.
#[derive(Debug, Default)]
pub struct Names {
    /// The schemas of qualified names.
    pub schemas: BTreeSet<String>,
    /// The string constants, which may name something, too.
    pub texts: Vec<String>,
}

/// Parses the text and collects its names; `None` when it is no SQL, or has statements whose parse trees PostgreSQL
/// cannot walk (utility statements).
pub fn names_in_sql(text: &str) -> Option<Names> {
    let text = CString::new(text).ok()?;
    // Parsing takes no lock and opens nothing, so its errors may be caught without a subtransaction.
    PgTryBuilder::new(|| {
        let mut names = Names::default();
        // SAFETY: the text is NUL-terminated; raw_parser gives a list of RawStmt nodes.
        let statements = unsafe {
            nodes::pointers::<pg_sys::RawStmt>(pg_sys::raw_parser(
                text.as_ptr(),
                pg_sys::RawParseMode::RAW_PARSE_DEFAULT,
            ))
        };
        for statement in statements {
            // SAFETY: a RawStmt's statement is a node; the context is the Names above.
            unsafe { collect((**statement).stmt, (&raw mut names).cast()) };
        }
        Some(names)
    })
    .catch_others(|_| None)
    .execute()
}

/// The walker: notes what the node names, then goes on below it.
#[pg_guard]
unsafe extern "C-unwind" fn collect(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the context is the Names of names_in_sql; each branch casts to the struct that the tag stands for.
    unsafe {
        let names = &mut *context.cast::<Names>();
        match nodes::tag(node) {
            NodeTag::T_RangeVar => {
                names.schemas.extend(owned((*node.cast::<pg_sys::RangeVar>()).schemaname));
            }
            NodeTag::T_FuncCall => note(names, (*node.cast::<pg_sys::FuncCall>()).funcname, 2),
            NodeTag::T_TypeName => note(names, (*node.cast::<pg_sys::TypeName>()).names, 2),
            NodeTag::T_A_Expr => note(names, (*node.cast::<pg_sys::A_Expr>()).name, 2),
            // schema.table.column; with two parts it is a table and a column.
            NodeTag::T_ColumnRef => note(names, (*node.cast::<pg_sys::ColumnRef>()).fields, 3),
            NodeTag::T_A_Const => {
                let constant = &*node.cast::<pg_sys::A_Const>();
                if !constant.isnull && constant.val.node.type_ == NodeTag::T_String {
                    names.texts.extend(owned(constant.val.sval.sval));
                }
            }
            _ => {}
        }
        walk(node, context)
    }
}

/// Notes the first part of a name that has so many parts.
unsafe fn note(names: &mut Names, parts: *mut pg_sys::List, at_least: usize) {
    // SAFETY: the parts of a name are String nodes, a column's last one perhaps A_Star (parsenodes.h).
    unsafe {
        let parts = nodes::pointers::<pg_sys::Node>(parts);
        if let Some(first) = parts.first().filter(|_| parts.len() >= at_least)
            && nodes::tag(*first) == NodeTag::T_String
        {
            names.schemas.extend(owned((*first.cast::<pg_sys::String>()).sval));
        }
    }
}

#[cfg(feature = "pg15")]
unsafe fn walk(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    // Not in pgrx's bindings for 15, whose header declares the walker without its arguments.
    unsafe extern "C-unwind" {
        fn raw_expression_tree_walker(
            node: *mut pg_sys::Node,
            walker: unsafe extern "C-unwind" fn(*mut pg_sys::Node, *mut c_void) -> bool,
            context: *mut c_void,
        ) -> bool;
    }
    // SAFETY: nodeFuncs.c calls the walker with these two; the boundary turns its errors into unwinds, as pgrx's own
    // bindings do.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| raw_expression_tree_walker(node, collect, context)) }
}

#[cfg(not(feature = "pg15"))]
unsafe fn walk(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    // SAFETY: a node of a raw parse tree, and the context that the walker expects.
    unsafe { pg_sys::raw_expression_tree_walker_impl(node, Some(collect), context) }
}

/// The query itself when `text` is one SELECT (VALUES, TABLE, WITH .. SELECT), without a semicolon.
///
/// Raises PostgreSQL's own error when it cannot be parsed.
pub fn one_select(text: &str) -> Option<String> {
    let c_text = CString::new(text).ok()?;
    // SAFETY: raw_parser gives a list of RawStmt; a statement's place lies inside the text.
    unsafe {
        let list = pg_sys::raw_parser(c_text.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
        let [statement] = nodes::pointers::<pg_sys::RawStmt>(list) else { return None };
        let (statement, location, length) =
            ((**statement).stmt, (**statement).stmt_location, (**statement).stmt_len);
        if nodes::tag(statement) != pg_sys::NodeTag::T_SelectStmt {
            return None;
        }
        let select = statement.cast::<pg_sys::SelectStmt>();
        if !(*select).intoClause.is_null() || changes_in_with((*select).withClause) {
            return None;
        }
        let from = usize::try_from(location).unwrap_or(0);
        let to = if length > 0 { from + length as usize } else { text.len() };
        text.get(from..to).map(str::to_owned)
    }
}

/// Whether a WITH clause holds anything but queries; PostgreSQL admits that at the top only.
unsafe fn changes_in_with(with: *mut pg_sys::WithClause) -> bool {
    // SAFETY: NULL, or a clause with a list of CommonTableExpr.
    unsafe {
        !with.is_null()
            && nodes::pointers::<pg_sys::CommonTableExpr>((*with).ctes)
                .iter()
                .any(|cte| nodes::tag((**cte).ctequery) != pg_sys::NodeTag::T_SelectStmt)
    }
}
