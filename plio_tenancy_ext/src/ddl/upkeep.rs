//! Inside a tenant without a role: none of its code where PostgreSQL's upkeep would run it.
//!
//! ANALYZE runs the expressions of indexes and statistics, and the `subtype_diff` of range types, as the table's owner: in
//! autovacuum, or for an administrator, where no tenant is set and the access check does not hold, and that owner has the
//! tables of other tenants, too. So no index or statistics made inside may lean on the tenant's own functions, operators or
//! types (enums apart), and none of these that is leant on may change. What such code calls by name leaves no trace in the
//! catalogs: where there is such an index nevertheless (of the time before, or an administrator's), no code at all may.

use super::collected::Touched;
use crate::error::{Error, Result};
use crate::pg::FIRST_NORMAL_OID;
use crate::pg::catalog::{self, SqlBody};
use crate::pg::depend::{self, Address, CONSTRAINT, Dependency, STATISTICS};
use crate::policy::Place;
use crate::{cache, context};
use pgrx::pg_sys::{self, Oid};
use std::collections::HashSet;

/// # Errors
/// 42501.
pub(super) fn ensure_unused(changed: &[Touched]) -> Result<()> {
    if !context::is_one_layer() {
        return Ok(());
    }
    let changed = &without_parts(changed);
    let is_bad = changed.iter().any(|object| {
        let address = object.address;
        match address.0 {
            pg_sys::RelationRelationId => expressions_of(address.1).into_iter().any(leans_on_own_code),
            pg_sys::TypeRelationId => {
                is_code(address) && (leans_on_own_code(address) && is_range(address.1) || is_run(address))
            }
            pg_sys::ProcedureRelationId | pg_sys::OperatorRelationId => is_run(address),
            class => class.to_u32() == STATISTICS && leans_on_own_code(address),
        }
    });
    let what = if is_bad {
        "code of the tenant's in an index or in statistics"
    } else if changed.iter().any(may_be_called) && has_calls_by_name() {
        "new code where an index or statistics may call it"
    } else {
        return Ok(());
    };
    Err(Error::OneLayer { what: what.to_owned() })
}

/// What the command made or changed as such: without the row type of a table, the rule of a view, a default, the triggers of a
/// foreign key.
fn without_parts(changed: &[Touched]) -> Vec<Touched> {
    let is_touched = |address: Address| changed.iter().any(|object| object.address == address);
    let is_part = |object: &&Touched| {
        let references = || depend::references_of(object.address);
        object.address.0.to_u32() == depend::DEFAULT
            || references().iter().any(|tie| tie.kind == 'i' && is_touched(tie.to))
    };
    changed.iter().filter(|object| !is_part(object)).copied().collect()
}

/// Whether code that reads it, or calls it by name, would run what the tenant put there.
fn may_be_called(object: &Touched) -> bool {
    match object.address.0 {
        pg_sys::ProcedureRelationId | pg_sys::OperatorRelationId => true,
        pg_sys::TypeRelationId => is_code(object.address),
        pg_sys::RelationRelationId => catalog::relation_kind(object.address.1) == Some('v'),
        class => depend::is_attached_code(class),
    }
}

/// Whether an index or statistics run a function of the tenant's whose body is text.
fn has_calls_by_name() -> bool {
    let Some(schema) = context::active_schema() else { return false };
    depend::dependents_of((pg_sys::NamespaceRelationId, schema)).into_iter().any(|tie| {
        let (class, function) = tie.from;
        class == pg_sys::ProcedureRelationId
            && !matches!(catalog::sql_body(function), Some(SqlBody::Parsed(_)))
            && is_run(tie.from)
    })
}

/// A relation, if it is an index; the indexes and statistics of a table.
fn expressions_of(relation: Oid) -> Vec<Address> {
    if is_index((pg_sys::RelationRelationId, relation)) {
        return vec![(pg_sys::RelationRelationId, relation)];
    }
    let parts = depend::dependents_of((pg_sys::RelationRelationId, relation));
    let parts = parts.into_iter().map(|part| part.from);
    // An index of a constraint depends on that alone.
    let within =
        parts.flat_map(|part| depend::dependents_of(part).into_iter().map(|tie| tie.from).chain([part]));
    within.filter(|part| is_expression(*part)).collect()
}

/// Whether it is an index, or statistics.
fn is_expression(object: Address) -> bool {
    object.0.to_u32() == STATISTICS || is_index(object)
}

fn is_index((class, object): Address) -> bool {
    class == pg_sys::RelationRelationId && matches!(catalog::relation_kind(object), Some('i' | 'I'))
}

fn is_range(oid: Oid) -> bool {
    catalog::type_kind(oid) == Some('r')
}

/// Whether this transaction made it lean on code that is the tenant's, or nobody's for long. What another index leans on
/// already is run already, on values that are the tenant's to choose.
fn leans_on_own_code(object: Address) -> bool {
    let is_older = |tie: &Dependency| !tie.is_new && is_expression(tie.from);
    depend::references_of(object).iter().any(|tie| {
        tie.is_new
            && is_code(tie.to)
            && !depend::dependents_of(tie.to).iter().any(is_older)
            && depend::schema_of(tie.to).is_some_and(|schema| {
                !matches!(
                    cache::place_of_schema(schema, context::active_schema()),
                    Place::System
                        | Place::SharedRead
                        | Place::SharedWrite
                        | Place::Registry
                        | Place::Elsewhere
                )
            })
    })
}

/// Whether calling it, or converting to it, may run somebody's function: an enum and its arrays have none.
fn is_code((class, object): Address) -> bool {
    if object.to_u32() < FIRST_NORMAL_OID {
        return false;
    }
    match class {
        pg_sys::ProcedureRelationId | pg_sys::OperatorRelationId => true,
        pg_sys::TypeRelationId => {
            catalog::type_kind(catalog::element_type(object).unwrap_or(object)) != Some('e')
        }
        _ => false,
    }
}

/// Whether an index, statistics or a range type leans on it, by whatever lies between.
fn is_run(object: Address) -> bool {
    let (mut seen, mut left) = (HashSet::from([object]), vec![object]);
    while let Some(object) = left.pop() {
        for tie in depend::dependents_of(object) {
            let from = tie.from;
            let is_type = from.0 == pg_sys::TypeRelationId;
            let is_ranges = is_type && object.0 == pg_sys::ProcedureRelationId && is_range(from.1);
            if is_expression(from) || is_ranges {
                return true;
            }
            let next = match from.0 {
                pg_sys::ProcedureRelationId | pg_sys::OperatorRelationId | pg_sys::TypeRelationId => {
                    Some(from)
                }
                // The check of a domain, which belongs to it.
                class if class.to_u32() == CONSTRAINT => {
                    let owner = depend::references_of(from).into_iter().find(|tie| tie.kind == 'a');
                    owner.map(|tie| tie.to).filter(|to| to.0 == pg_sys::TypeRelationId)
                }
                _ => None,
            };
            left.extend(next.filter(|next| seen.insert(*next)));
        }
    }
    false
}
