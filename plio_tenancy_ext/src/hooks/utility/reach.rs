//! What DDL goes down to, before it runs: heirs and parts of a table, tables at the other end of a foreign key that is
//! checked, tables whose columns are of a domain, what TRUNCATE .. CASCADE reaches.
//!
//! PostgreSQL scans them while the command runs, and its errors quote the values that do not fit: too late for the object
//! access hook and the event triggers.

use super::targets;
use crate::error::Result;
use crate::hooks::check_perms::{ensure_access, ensure_access_to_all};
use crate::hooks::object_access::ensure_code;
use crate::pg::{catalog, depend, nodes, session};
use crate::policy::Access;
use crate::{cache, context, house};
use pgrx::pg_sys::{self, Oid};
use std::collections::HashSet;

/// Judges a relation that the statement alters, builds an index on or rebuilds, with all its heirs and parts.
///
/// # Errors
/// 42501, 55000.
///
/// # Safety
/// `relation` is NULL or a RangeVar.
pub unsafe fn ensure_altered(relation: *const pg_sys::RangeVar) -> Result<()> {
    // SAFETY: the caller's promise.
    let Some(found) = (unsafe { nodes::relation_of(relation) }) else { return Ok(()) };
    // SAFETY: as above.
    if unsafe { (*relation).inh } { ensure_altered_with_heirs(found) } else { ensure_one_altered(found) }
}

/// The same, given by its oid.
///
/// # Errors
/// As [`ensure_altered`].
pub fn ensure_altered_with_heirs(relation: Oid) -> Result<()> {
    cache::inheritors(relation).iter().try_for_each(|heir| ensure_one_altered(*heir))
}

fn ensure_one_altered(relation: Oid) -> Result<()> {
    if context::is_active() {
        targets::ensure_own(relation)
    } else {
        catalog::relation_schema(relation).map_or(Ok(()), ensure_code)
    }
}

/// Judges the relation of an ALTER TABLE with its heirs and parts, and what the commands reach beyond: a table that is
/// attached, and the other ends of foreign keys that are checked.
///
/// # Errors
/// 42501, 55000.
///
/// # Safety
/// `statement` is an AlterTableStmt.
pub unsafe fn ensure_alter_table(statement: *const pg_sys::AlterTableStmt) -> Result<()> {
    use pg_sys::AlterTableType as Kind;
    // SAFETY: the caller's promise; `cmds` is a list of AlterTableCmd nodes.
    let (relation, commands, is_type) = unsafe {
        let is_type = (*statement).objtype == pg_sys::ObjectType::OBJECT_TYPE;
        ((*statement).relation, nodes::pointers::<pg_sys::AlterTableCmd>((*statement).cmds), is_type)
    };
    // SAFETY: as above; the relation is a RangeVar.
    let (table, inherits) = unsafe { (nodes::relation_of(relation), (*relation).inh) };
    let Some(table) = table else { return Ok(()) };
    if inherits {
        ensure_altered_with_heirs(table)?
    } else {
        ensure_one_altered(table)?
    }
    if is_type {
        ensure_rows_of_type(catalog::row_type(table))?;
    }
    for command in commands {
        // SAFETY: as above; the definition is of the kind that goes with the command (parsenodes.h).
        unsafe {
            let definition = (**command).def;
            match (**command).subtype {
                Kind::AT_AttachPartition | Kind::AT_DetachPartition => {
                    ensure_altered((*definition.cast::<pg_sys::PartitionCmd>()).name)?;
                    ensure_neighbours(table)?;
                }
                Kind::AT_ValidateConstraint | Kind::AT_AlterColumnType | Kind::AT_AlterConstraint => {
                    ensure_neighbours(table)?
                }
                Kind::AT_AddConstraint => ensure_referenced(definition)?,
                Kind::AT_AddColumn => ensure_referenced_by_column(definition)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Judges what CREATE TABLE reaches: where it makes a partition, PostgreSQL looks through the default one.
///
/// # Errors
/// 42501, 55000.
///
/// # Safety
/// `statement` is a CreateStmt.
pub unsafe fn ensure_create_table(statement: *const pg_sys::CreateStmt) -> Result<()> {
    // SAFETY: the caller's promise; the parents are RangeVar nodes.
    unsafe {
        for parent in nodes::pointers::<pg_sys::RangeVar>((*statement).inhRelations) {
            // An heir of the registry's would add rows to it.
            let parent = nodes::relation_of(*parent);
            parent.map_or(Ok(()), |parent| house::ensure_unchanged((pg_sys::RelationRelationId, parent)))?;
        }
        if !(*statement).partbound.is_null() {
            for parent in nodes::pointers::<pg_sys::RangeVar>((*statement).inhRelations) {
                nodes::relation_of(*parent).map_or(Ok(()), ensure_altered_with_heirs)?;
            }
        }
        // Found on the path, the table of LIKE is announced to nobody.
        for element in nodes::pointers::<pg_sys::Node>((*statement).tableElts) {
            if nodes::tag(*element) == pg_sys::NodeTag::T_TableLikeClause {
                let like = (*element.cast::<pg_sys::TableLikeClause>()).relation;
                nodes::relation_of(like).map_or(Ok(()), ensure_described)?;
            }
        }
    }
    Ok(())
}

/// Whose definition may be copied: as with a name that is looked up in its schema.
fn ensure_described(relation: Oid) -> Result<()> {
    catalog::relation_schema(relation).map_or(Ok(()), ensure_code)
}

/// A foreign key tells whether a value is in the table that it points at.
unsafe fn ensure_referenced(definition: *mut pg_sys::Node) -> Result<()> {
    // SAFETY: the caller passes NULL or a node; a Constraint's table is NULL or a RangeVar.
    unsafe {
        if nodes::tag(definition) != pg_sys::NodeTag::T_Constraint {
            return Ok(());
        }
        let table = (*definition.cast::<pg_sys::Constraint>()).pktable;
        nodes::relation_of(table).map_or(Ok(()), |table| ensure_access_to_all(table, Access::Read))
    }
}

unsafe fn ensure_referenced_by_column(definition: *mut pg_sys::Node) -> Result<()> {
    // SAFETY: the caller passes NULL or a node; a ColumnDef's constraints are Constraint nodes.
    unsafe {
        if nodes::tag(definition) != pg_sys::NodeTag::T_ColumnDef {
            return Ok(());
        }
        let constraints = (*definition.cast::<pg_sys::ColumnDef>()).constraints;
        nodes::pointers::<pg_sys::Node>(constraints)
            .iter()
            .try_for_each(|constraint| ensure_referenced(*constraint))
    }
}

/// Judges both ends of the foreign keys of a table and its heirs.
fn ensure_neighbours(table: Oid) -> Result<()> {
    for heir in cache::inheritors(table).iter() {
        for neighbour in depend::foreign_key_neighbours(*heir) {
            ensure_access(neighbour, Access::Read)?;
        }
    }
    Ok(())
}

/// Judges the tables whose rows hold values of a type that changes.
///
/// # Errors
/// 42501, 55000.
pub fn ensure_rows_of_type(of: Option<Oid>) -> Result<()> {
    of.map_or(Ok(()), |of| depend::relations_with_type(of).into_iter().try_for_each(ensure_one_altered))
}

/// Judges what TRUNCATE empties, by CASCADE too, and the sequences that it restarts, before anything is locked.
///
/// # Errors
/// 42501, 55000.
///
/// # Safety
/// `statement` is a TruncateStmt.
pub unsafe fn ensure_truncated(statement: *const pg_sys::TruncateStmt) -> Result<()> {
    // SAFETY: the caller's promise; the relations are RangeVar nodes.
    let (named, is_cascade, restarts) = unsafe {
        (
            nodes::pointers::<pg_sys::RangeVar>((*statement).relations),
            (*statement).behavior == pg_sys::DropBehavior::DROP_CASCADE,
            (*statement).restart_seqs,
        )
    };
    let mut reached: Vec<Oid> = Vec::new();
    for relation in named {
        // SAFETY: as above.
        let (Some(found), inherits) = (unsafe { (nodes::relation_of(*relation), (**relation).inh) }) else {
            continue;
        };
        if inherits { reached.extend(cache::inheritors(found).iter()) } else { reached.push(found) }
    }
    let mut seen: HashSet<Oid> = HashSet::new();
    reached.retain(|relation| seen.insert(*relation));
    reached.iter().try_for_each(|relation| ensure_emptied(*relation, restarts))?;
    // Each round gives the tables that point at one of those reached so far (heap.c), no matter how deep.
    let mut next = if is_cascade { catalog::referencing(&reached) } else { Vec::new() };
    while !next.is_empty() {
        session::check_for_interrupts();
        for relation in next {
            for relation in cache::inheritors(relation).iter() {
                if seen.insert(*relation) {
                    ensure_emptied(*relation, restarts)?;
                    reached.push(*relation);
                }
            }
        }
        next = catalog::referencing(&reached);
    }
    Ok(())
}

fn ensure_emptied(relation: Oid, restarts: bool) -> Result<()> {
    ensure_access(relation, Access::Write)?;
    if restarts {
        for sequence in catalog::owned_sequence_oids(relation) {
            ensure_access(sequence, Access::Write)?;
        }
    }
    Ok(())
}
