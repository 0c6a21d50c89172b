//! PostgreSQL's own grammar: the names in a text of SQL statements, and whether it is one SELECT.

use super::{memory_below_current, nodes, owned, raw, session, sqlstate_text};
use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;
use std::collections::BTreeSet;
use std::ffi::{CString, c_void};

/// A longer text is not parsed: the tree takes more than a hundred times its memory.
const LONGEST: usize = 1 << 20;

/// What stands in a text of SQL.
#[derive(Debug, Default)]
pub struct Names {
    /// The schemas of qualified names.
    pub schemas: BTreeSet<String>,
    /// The string constants, which may name something, too.
    pub texts: Vec<String>,
}

/// What comes of parsing a text.
#[derive(Debug)]
pub enum Parsed {
    /// It is SQL, and this is what it names.
    Names(Names),
    /// It is no SQL, or has statements whose parse trees PostgreSQL cannot walk (utility statements).
    NoSql,
    /// It is too long, or more than the grammar takes.
    TooMuch,
}

/// Parses the text and collects its names.
///
/// Raises PostgreSQL's error when the statement is cancelled or memory has run out.
pub fn names_in_sql(text: &str) -> Parsed {
    if text.len() > LONGEST {
        return Parsed::TooMuch;
    }
    let Ok(text) = CString::new(text) else { return Parsed::NoSql };
    let memory = memory_below_current(c"plio_tenancy parse tree");
    // SAFETY: the context was just made; what is current is put back below.
    let before = unsafe { pg_sys::MemoryContextSwitchTo(memory) };
    // Parsing and walking a tree take no lock, open nothing and change nothing but memory, which is freed below: so their
    // errors may be caught without a subtransaction.
    let parsed = PgTryBuilder::new(|| {
        // SAFETY: the text is NUL-terminated.
        let statements =
            unsafe { pg_sys::raw_parser(text.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT) };
        Parsed::Names(collect(statements.cast()))
    })
    .catch_others(refused)
    .execute();
    // SAFETY: as above; nothing in the context is used any more.
    unsafe {
        pg_sys::MemoryContextSwitchTo(before);
        pg_sys::MemoryContextDelete(memory);
    }
    parsed
}

/// What an error of the parser's says. Whatever else it is (a cancellation, no memory) is raised anew.
fn refused(cause: CaughtError) -> Parsed {
    let code = match &cause {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => {
            sqlstate_text(report.sql_error_code())
        }
        CaughtError::RustPanic { .. } => cause.rethrow(),
    };
    match &code[..2] {
        // A limit of the grammar's.
        "54" => Parsed::TooMuch,
        // Syntax and literals; features that are not there; a node that cannot be walked.
        "22" | "42" | "0A" | "XX" => Parsed::NoSql,
        _ => cause.rethrow(),
    }
}

/// Notes what the nodes name, from a list of statements on. Without recursion, however deep the tree is: a sum of some
/// thousand terms is as deep as it has terms.
fn collect(statements: *mut pg_sys::Node) -> Names {
    let mut names = Names::default();
    let mut waiting = vec![statements];
    while let Some(node) = waiting.pop() {
        session::check_for_interrupts();
        // SAFETY: a node of the tree; the context is the list of those that wait.
        unsafe {
            note_node(&mut names, node);
            if nodes::tag(node) == NodeTag::T_RawStmt {
                waiting.push((*node.cast::<pg_sys::RawStmt>()).stmt);
            } else {
                walk(node, (&raw mut waiting).cast());
            }
        }
    }
    names
}

/// The walker: has the node wait for its turn.
#[pg_guard]
unsafe extern "C-unwind" fn wait(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if !node.is_null() {
        // SAFETY: the context is the list of `collect`, which nobody else uses while the walker runs.
        unsafe { (*context.cast::<Vec<*mut pg_sys::Node>>()).push(node) };
    }
    false
}

/// Notes what one node names.
///
/// # Safety
/// A node of a raw parse tree.
unsafe fn note_node(names: &mut Names, node: *mut pg_sys::Node) {
    // SAFETY: each branch casts to the struct that the tag stands for.
    unsafe {
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

/// Has the walker see each node right below this one.
///
/// # Safety
/// A node of a raw parse tree, and the list that the walker expects.
unsafe fn walk(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    // SAFETY: nodeFuncs.c calls the walker with these two; the boundary turns its errors into unwinds, as pgrx's own
    // bindings do.
    unsafe {
        pg_sys::ffi::pg_guard_ffi_boundary(|| raw::raw_expression_tree_walker(node, Some(wait), context))
    }
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
