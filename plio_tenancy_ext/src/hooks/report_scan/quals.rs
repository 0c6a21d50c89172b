//! What of a query's conditions a report view can use: the tenants that matter, and what each tenant filters by itself.
//!
//! A condition goes to the tenant when it compares columns with values by PostgreSQL's own immutable operators; its values
//! become parameters, computed once by the reporter. It is checked again on what comes back, so a tenant can at most hold
//! its own rows back, as it can in its tables. Collations are a table's own: only equality of texts is asked for there.
//! Everything here runs while a plan is made, on copies of the conditions.

use crate::pg::nodes::{pointers, tag};
use crate::pg::{FIRST_NORMAL_OID, catalog};
use pgrx::pg_sys::{self, Node, NodeTag, Oid};
use pgrx::prelude::*;
use std::ffi::c_void;

/// The organization's column.
pub const ORG: i16 = 1;

/// A query's conditions, sorted by their use.
pub struct Conditions {
    /// What the tenant filters by: conditions on the columns of `r`, with parameters.
    pub remote: Vec<*mut Node>,
    /// The columns in it.
    pub remote_columns: Vec<i16>,
    /// The parameters' expressions, `$1` first.
    pub params: Vec<*mut Node>,
    /// What the organization must equal.
    pub org: Option<*mut Node>,
    /// Conditions on the organization alone.
    pub pruning: Vec<*mut Node>,
}

/// Sorts the conditions on relation `rel` of the query.
///
/// # Safety
/// `clauses` is a list of expressions of a query that is being planned.
pub unsafe fn sort(clauses: *mut pg_sys::List, rel: u32) -> Conditions {
    let mut sorted = Conditions {
        remote: Vec::new(),
        remote_columns: Vec::new(),
        params: Vec::new(),
        org: None,
        pruning: Vec::new(),
    };
    // SAFETY: the caller's promise; copies are changed, never the query's own nodes.
    unsafe {
        for clause in pointers::<Node>(clauses) {
            let copy = pg_sys::copyObjectImpl(clause.cast::<c_void>().cast_const()).cast::<Node>();
            let known = sorted.params.len();
            let mut shipping = Shipping {
                rel,
                params: &mut sorted.params,
                columns: Vec::new(),
                has_collation: false,
                has_equality: false,
            };
            let is_shippable = shipping.condition(copy);
            let Shipping { columns, has_collation, .. } = shipping;
            let is_of_org = !columns.is_empty() && columns.iter().all(|column| *column == ORG);
            if is_shippable && !has_collation && !columns.is_empty() && !columns.contains(&ORG) {
                sorted.remote.push(copy);
                sorted.remote_columns.extend(columns);
                continue;
            }
            sorted.params.truncate(known);
            if is_shippable && is_of_org {
                sorted.org = sorted.org.or(equal_to_org(*clause));
                sorted.pruning.push(*clause);
            }
        }
    }
    sorted
}

/// The value in `org = value`.
unsafe fn equal_to_org(clause: *mut Node) -> Option<*mut Node> {
    // SAFETY: the caller passes an expression; its tag says what it is.
    unsafe {
        if tag(clause) != NodeTag::T_OpExpr {
            return None;
        }
        let operation = &*clause.cast::<pg_sys::OpExpr>();
        let [one, other] = pointers::<Node>(operation.args) else { return None };
        if operation.opfuncid != Oid::from(pg_sys::F_TEXTEQ) || !is_bytewise(operation.inputcollid) {
            return None;
        }
        match (tag(*one), tag(*other)) {
            (NodeTag::T_Var, _) if is_value(*other) => Some(*other),
            (_, NodeTag::T_Var) if is_value(*one) => Some(*one),
            _ => None,
        }
    }
}

/// Whether texts are equal under the collation only if they are the same; then a tenant finds at least those, whatever its own.
fn is_bytewise(collation: Oid) -> bool {
    collation == pg_sys::InvalidOid || catalog::is_deterministic(collation)
}

struct Shipping<'a> {
    rel: u32,
    params: &'a mut Vec<*mut Node>,
    columns: Vec<i16>,
    /// The answer depends on a collation, which may be another one in a tenant.
    has_collation: bool,
    /// Texts are compared for equality: a tenant's collation may find more equal, so what must not be equal cannot be asked.
    has_equality: bool,
}

impl Shipping<'_> {
    /// Whether the tenant can judge the condition; turns its values into parameters and its columns into those of `r`.
    unsafe fn condition(&mut self, node: *mut Node) -> bool {
        // SAFETY: the caller passes an expression; its tag says what it is.
        unsafe {
            match tag(node) {
                NodeTag::T_Var => self.column(node),
                NodeTag::T_BoolExpr => {
                    let expression = &*node.cast::<pg_sys::BoolExpr>();
                    let is_shippable =
                        pointers::<Node>(expression.args).iter().all(|part| self.condition(*part));
                    let is_negation = expression.boolop == pg_sys::BoolExprType::NOT_EXPR;
                    self.has_collation |= is_negation && self.has_equality;
                    is_shippable
                }
                NodeTag::T_NullTest => {
                    let test = &*node.cast::<pg_sys::NullTest>();
                    !test.argisrow && self.column(test.arg.cast())
                }
                NodeTag::T_OpExpr => {
                    let operation = &*node.cast::<pg_sys::OpExpr>();
                    self.operator(operation.opno, operation.opfuncid, operation.inputcollid)
                        && self.operands(operation.args)
                }
                NodeTag::T_ScalarArrayOpExpr => {
                    let operation = &*node.cast::<pg_sys::ScalarArrayOpExpr>();
                    self.operator(operation.opno, operation.opfuncid, operation.inputcollid)
                        && self.operands(operation.args)
                }
                _ => false,
            }
        }
    }

    /// An operator of PostgreSQL's whose answer depends on nothing but its operands, and perhaps a collation.
    fn operator(&mut self, operator: Oid, function: Oid, collation: Oid) -> bool {
        const TEXT_EQUALITY: [u32; 3] = [pg_sys::F_TEXTEQ, pg_sys::F_BPCHAREQ, pg_sys::F_NAMEEQ];
        if collation != pg_sys::InvalidOid {
            let is_equality = TEXT_EQUALITY.contains(&function.to_u32()) && is_bytewise(collation);
            self.has_collation |= !is_equality;
            self.has_equality |= is_equality;
        }
        operator.to_u32() < FIRST_NORMAL_OID
            && function.to_u32() < FIRST_NORMAL_OID
            && catalog::is_immutable(function)
    }

    unsafe fn operands(&mut self, operands: *mut pg_sys::List) -> bool {
        // SAFETY: the caller passes an operator's arguments, of a copy; a cell may be given another expression.
        unsafe {
            let count = if operands.is_null() { 0 } else { (*operands).length as usize };
            for i in 0..count {
                let cell = (*operands).elements.add(i);
                let operand = (*cell).ptr_value.cast::<Node>();
                if is_value(operand) {
                    self.params.push(operand);
                    (*cell).ptr_value = param(self.params.len(), operand).cast();
                } else if !self.column(operand) {
                    return false;
                }
            }
            true
        }
    }

    /// A column of the view, or one that is only called by another type's name.
    unsafe fn column(&mut self, node: *mut Node) -> bool {
        // SAFETY: the caller passes an expression; its tag says what it is.
        unsafe {
            match tag(node) {
                NodeTag::T_RelabelType => self.column((*node.cast::<pg_sys::RelabelType>()).arg.cast()),
                NodeTag::T_Var => {
                    let var = node.cast::<pg_sys::Var>();
                    if (*var).varno as u32 != self.rel || (*var).varlevelsup != 0 || (*var).varattno < ORG {
                        return false;
                    }
                    self.columns.push((*var).varattno);
                    // For the deparser `r` is the first and only relation.
                    (*var).varno = 1;
                    (*var).varnosyn = 1;
                    (*var).varattnosyn = (*var).varattno;
                    true
                }
                _ => false,
            }
        }
    }
}

/// An expression without columns that has one value for the whole statement, known as soon as it starts.
unsafe fn is_value(node: *mut Node) -> bool {
    // SAFETY: the caller passes an expression.
    unsafe {
        !pg_sys::contain_var_clause(node)
            && !pg_sys::contain_volatile_functions(node)
            && !pg_sys::contain_subplans(node)
            && !has_inner_param(node, std::ptr::null_mut())
    }
}

/// A parameter that another part of the plan computes: it has no value yet when the scan begins.
#[pg_guard]
unsafe extern "C-unwind" fn has_inner_param(node: *mut Node, context: *mut c_void) -> bool {
    // SAFETY: the walker passes NULL or an expression.
    unsafe {
        if node.is_null() {
            return false;
        }
        if tag(node) == NodeTag::T_Param {
            return (*node.cast::<pg_sys::Param>()).paramkind != pg_sys::ParamKind::PARAM_EXTERN;
        }
        pg_sys::expression_tree_walker(node, Some(has_inner_param), context)
    }
}

/// `$number`, of the type of that expression.
unsafe fn param(number: usize, expression: *mut Node) -> *mut Node {
    // SAFETY: a zeroed node of the right size with its tag; the caller passes an expression.
    unsafe {
        let param = pg_sys::palloc0(size_of::<pg_sys::Param>()).cast::<pg_sys::Param>();
        (*param).xpr.type_ = NodeTag::T_Param;
        (*param).paramkind = pg_sys::ParamKind::PARAM_EXTERN;
        (*param).paramid = number as i32;
        (*param).paramtype = pg_sys::exprType(expression);
        (*param).paramtypmod = pg_sys::exprTypmod(expression);
        (*param).paramcollid = pg_sys::exprCollation(expression);
        (*param).location = -1;
        param.cast()
    }
}
