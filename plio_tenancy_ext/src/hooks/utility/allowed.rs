//! Which utility statements may run. With a tenant active it is those on this list: what is not on it is refused, new
//! statements of a future PostgreSQL included. Where their objects lie is the event triggers' business (ddl.rs), or, for
//! what these see too late, utility/targets.rs's.

use super::{code, grants, locks, reach, roles, targets};
use crate::error::{Error, Result};
use crate::hooks::check_perms::{ensure_access, ensure_access_to_all};
use crate::hooks::notify;
use crate::house;
use crate::pg::nodes;
use crate::policy::Access;
use crate::{context, hooks};
use pgrx::pg_sys::{self, NodeTag};

/// What may run: with a tenant active only what is listed here; in any case nothing on relations out of reach.
///
/// # Errors
/// 42501, 55000.
///
/// # Safety
/// `statement` is a utility statement with that tag.
pub unsafe fn ensure_allowed(tag: NodeTag, statement: *mut pg_sys::Node) -> Result<()> {
    use NodeTag::*;
    let is_active = context::is_active();
    if tag == T_ClosePortalStmt {
        // It gives no row. After a refused change of the tenant an open cursor would stand in the way of the next one.
        return Ok(());
    }
    hooks::ensure_confirmed()?;
    context::ensure_role()?;
    if context::is_visit()
        && matches!(
            tag,
            T_PrepareStmt
                | T_ExecuteStmt
                | T_DeallocateStmt
                | T_ListenStmt
                | T_UnlistenStmt
                | T_ConstraintsSetStmt
        )
    {
        // They are the reporter's session's, and a rollback would not bring them back.
        // SAFETY: the caller passes a utility statement.
        return Err(Error::StatementRefused { tag: unsafe { nodes::command_name(statement) } });
    }
    // SAFETY: the caller passes a statement with that tag.
    unsafe { targets::ensure_target(tag, statement)? };
    // SAFETY: each branch casts to the struct that its tag stands for.
    unsafe {
        match tag {
            // What runs other statements, or none: those are judged in their turn.
            T_DeclareCursorStmt => {
                let options = (*statement.cast::<pg_sys::DeclareCursorStmt>()).options;
                if context::is_locked() && options & pg_sys::CURSOR_OPT_HOLD as i32 != 0 {
                    return Err(Error::HoldInTransaction);
                }
                Ok(())
            }
            T_ClosePortalStmt | T_FetchStmt | T_PrepareStmt | T_ExecuteStmt | T_DeallocateStmt
            | T_ExplainStmt | T_VariableShowStmt | T_ConstraintsSetStmt | T_DoStmt | T_CallStmt => Ok(()),
            T_ListenStmt | T_NotifyStmt | T_UnlistenStmt => notify::ensure_allowed(statement),
            T_CreateStmt => reach::ensure_create_table(statement.cast()),
            T_CreateTrigStmt => reach::ensure_altered((*statement.cast::<pg_sys::CreateTrigStmt>()).relation),
            T_CreatePolicyStmt => {
                reach::ensure_altered((*statement.cast::<pg_sys::CreatePolicyStmt>()).table)
            }
            T_AlterPolicyStmt => reach::ensure_altered((*statement.cast::<pg_sys::AlterPolicyStmt>()).table),
            T_RuleStmt => reach::ensure_altered((*statement.cast::<pg_sys::RuleStmt>()).relation),
            T_AlterDomainStmt => {
                let domain = targets::type_named((*statement.cast::<pg_sys::AlterDomainStmt>()).typeName);
                reach::ensure_rows_of_type(domain)
            }
            T_AlterEnumStmt => targets::ensure_named(tag, statement),
            // DDL on objects that lie in schemas: the object access hook and the event triggers see where.
            T_CreateTableAsStmt
            | T_ViewStmt
            | T_CreateSeqStmt
            | T_AlterSeqStmt
            | T_AlterFunctionStmt
            | T_AlterStatsStmt
            | T_AlterOperatorStmt
            | T_AlterCollationStmt
            | T_AlterTSConfigurationStmt
            | T_AlterTSDictionaryStmt
            | T_AlterTypeStmt
            | T_CompositeTypeStmt
            | T_CreateDomainStmt
            | T_CreateEnumStmt
            | T_CreateFunctionStmt
            | T_CreateRangeStmt
            | T_CreateStatsStmt
            | T_DefineStmt => Ok(()),
            // CONCURRENTLY commits before the event triggers see anything.
            T_IndexStmt => {
                let index = statement.cast::<pg_sys::IndexStmt>();
                reach::ensure_altered((*index).relation)?;
                code::ensure_seen(index)
            }
            T_AlterTableStmt => {
                // Not every kind is announced: ROW LEVEL SECURITY is not, on 15.
                if let Some(table) =
                    nodes::relation_of((*statement.cast::<pg_sys::AlterTableStmt>()).relation)
                {
                    house::ensure_table_unchanged(table, only_tunes(statement.cast()))?;
                }
                reach::ensure_alter_table(statement.cast())?;
                ensure_keeps_owner(statement.cast(), is_active)
            }
            T_CommentStmt => {
                context::temporary::note_change();
                let kind = (*statement.cast::<pg_sys::CommentStmt>()).objtype;
                ensure_schema_object(kind, statement, is_active)?;
                targets::ensure_named(tag, statement)
            }
            T_DropStmt => {
                ensure_schema_object((*statement.cast::<pg_sys::DropStmt>()).removeType, statement, is_active)
            }
            T_AlterObjectSchemaStmt => {
                let moving = statement.cast::<pg_sys::AlterObjectSchemaStmt>();
                ensure_schema_object((*moving).objectType, statement, is_active)?;
                if is_active { targets::ensure_source(moving) } else { Ok(()) }
            }
            T_RenameStmt => {
                let rename = statement.cast::<pg_sys::RenameStmt>();
                ensure_schema_object((*rename).renameType, statement, is_active)?;
                roles::ensure_allowed(tag, statement)?;
                reach::ensure_altered((*rename).relation)
            }
            T_CopyStmt => {
                let copy = statement.cast::<pg_sys::CopyStmt>();
                let touches_server = !(*copy).filename.is_null() || (*copy).is_program;
                if is_active && touches_server {
                    return Err(Error::ServerFileRefused);
                }
                let access = if (*copy).is_from { Access::Write } else { Access::Read };
                nodes::relation_of((*copy).relation)
                    .map_or(Ok(()), |relation| ensure_access(relation, access))
            }
            T_LockStmt => {
                let relations = (*statement.cast::<pg_sys::LockStmt>()).relations;
                ensure_relations(relations, Access::Read)?;
                locks::ensure_lock(statement.cast())
            }
            T_TruncateStmt => reach::ensure_truncated(statement.cast()),
            T_RefreshMatViewStmt => ensure_target(
                (*statement.cast::<pg_sys::RefreshMatViewStmt>()).relation,
                statement,
                is_active,
            ),
            T_ReindexStmt => {
                ensure_target((*statement.cast::<pg_sys::ReindexStmt>()).relation, statement, is_active)
            }
            T_ClusterStmt => {
                ensure_target((*statement.cast::<pg_sys::ClusterStmt>()).relation, statement, is_active)
            }
            T_VacuumStmt => ensure_vacuum(statement.cast(), is_active),
            T_TransactionStmt if !is_active => locks::ensure_may_prepare(statement.cast()),
            T_GrantStmt if !is_active => grants::ensure_grant(statement.cast()),
            T_AlterDefaultPrivilegesStmt if !is_active => grants::ensure_default_privileges(statement.cast()),
            T_SecLabelStmt | T_AlterObjectDependsStmt if !is_active => targets::ensure_named(tag, statement),
            T_CreateEventTrigStmt if !is_active => code::ensure_event_trigger(statement.cast()),
            T_AlterExtensionContentsStmt if !is_active => code::ensure_keeps_objects(statement.cast()),
            T_CreateRoleStmt | T_AlterRoleStmt | T_AlterRoleSetStmt | T_DropRoleStmt | T_GrantRoleStmt
                if !is_active =>
            {
                roles::ensure_allowed(tag, statement)
            }
            _ if is_active => Err(Error::StatementRefused { tag: nodes::command_name(statement) }),
            _ => Ok(()),
        }
    }
}

/// Whether ALTER TABLE sets storage parameters, and does nothing else.
///
/// # Safety
/// `statement` is an AlterTableStmt.
pub unsafe fn only_tunes(statement: *const pg_sys::AlterTableStmt) -> bool {
    use pg_sys::AlterTableType as Kind;
    // SAFETY: the caller's promise; `cmds` is a list of AlterTableCmd nodes (parsenodes.h).
    let commands = unsafe { nodes::pointers::<pg_sys::AlterTableCmd>((*statement).cmds) };
    // SAFETY: as above.
    let tunes = |command: &*mut pg_sys::AlterTableCmd| unsafe {
        matches!((**command).subtype, Kind::AT_SetRelOptions | Kind::AT_ResetRelOptions)
    };
    !commands.is_empty() && commands.iter().all(tunes)
}

/// ALTER TABLE may do anything but give the table away.
unsafe fn ensure_keeps_owner(statement: *mut pg_sys::AlterTableStmt, is_active: bool) -> Result<()> {
    if !is_active {
        return Ok(());
    }
    // SAFETY: `cmds` is a list of AlterTableCmd nodes (parsenodes.h).
    let commands = unsafe { nodes::pointers::<pg_sys::AlterTableCmd>((*statement).cmds) };
    // SAFETY: as above.
    if commands.iter().any(|command| unsafe { (**command).subtype } == pg_sys::AlterTableType::AT_ChangeOwner)
    {
        return Err(Error::StatementRefused { tag: "ALTER TABLE OWNER TO".to_owned() });
    }
    Ok(())
}

/// With a tenant active: only kinds of objects that lie in a schema. Schemas, databases, roles, extensions, languages,
/// event triggers, publications and the like belong to the database or the cluster.
unsafe fn ensure_schema_object(
    kind: pg_sys::ObjectType::Type,
    statement: *mut pg_sys::Node,
    is_active: bool,
) -> Result<()> {
    if is_active && !targets::lies_in_schema(kind) {
        // SAFETY: the caller passes a utility statement.
        return Err(Error::StatementRefused { tag: unsafe { nodes::command_name(statement) } });
    }
    Ok(())
}

unsafe fn ensure_relations(relations: *mut pg_sys::List, access: Access) -> Result<()> {
    // SAFETY: the caller passes a list of RangeVar nodes.
    for relation in unsafe { nodes::pointers::<pg_sys::RangeVar>(relations) } {
        // SAFETY: as above.
        if let Some(oid) = unsafe { nodes::relation_of(*relation) } {
            // SAFETY: as above.
            if unsafe { (**relation).inh } {
                ensure_access_to_all(oid, access)?
            } else {
                ensure_access(oid, access)?
            }
        }
    }
    Ok(())
}

/// A statement that rebuilds one relation; with a tenant active it must name one of the tenant's own.
unsafe fn ensure_target(
    relation: *const pg_sys::RangeVar,
    statement: *mut pg_sys::Node,
    is_active: bool,
) -> Result<()> {
    // SAFETY: the caller passes NULL or a RangeVar.
    match unsafe { nodes::relation_of(relation) } {
        Some(oid) => {
            ensure_access_to_all(oid, Access::Write)?;
            if is_active { reach::ensure_altered_with_heirs(oid) } else { Ok(()) }
        }
        None if is_active && relation.is_null() => {
            // SAFETY: the caller passes a utility statement.
            Err(Error::StatementRefused { tag: unsafe { nodes::command_name(statement) } })
        }
        None => Ok(()),
    }
}

unsafe fn ensure_vacuum(statement: *mut pg_sys::VacuumStmt, is_active: bool) -> Result<()> {
    // SAFETY: `rels` is a list of VacuumRelation nodes (parsenodes.h).
    let relations = unsafe { nodes::pointers::<pg_sys::VacuumRelation>((*statement).rels) };
    if is_active && relations.is_empty() {
        // SAFETY: the caller passes a VacuumStmt.
        return Err(Error::StatementRefused { tag: unsafe { nodes::command_name(statement.cast()) } });
    }
    for relation in relations {
        // SAFETY: as above.
        unsafe { ensure_target((**relation).relation, statement.cast(), is_active)? };
    }
    Ok(())
}
