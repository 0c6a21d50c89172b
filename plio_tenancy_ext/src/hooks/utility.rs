//! Utility statements: what never reaches the executor.
//!
//! Fired for every utility statement, those inside functions, DO and EXECUTE included. Cannot see `set_config()` and
//! `UPDATE pg_settings` (guc.rs does). While a tenant is active a list says which statements may run; what is not on
//! it is refused, new statements of a future PostgreSQL included. Where their objects lie is the event triggers'
//! business (ddl.rs). Ours comes first; then the previous hook or the standard function, as the last thing.
//!
//! `SET plio.tenant` and `RESET plio.tenant` are carried out here: the setting is a superuser's, so that an ordinary
//! role cannot reach it by any other way, and this is the checked way. The previous hook, if there is one (pgaudit, say), is
//! then given a SET that changes nothing, with the text of the real one.

mod code;
mod locks;
mod renamed;
mod schemas;
mod targets;

use crate::denial::{self, Subject};
use crate::error::{Error, Result, or_raise};
use crate::hooks::check_perms::{ensure_access, ensure_access_to_all};
use crate::hooks::sequences;
use crate::pg::{borrowed, nodes, owned, raw, session};
use crate::policy::Access;
use crate::{access, cache, context, hooks};
use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;
use std::borrow::Cow;
use std::ffi::c_char;

static mut PREVIOUS: pg_sys::ProcessUtility_hook_type = None;

/// Sets the hook.
pub fn install() {
    // SAFETY: `_PG_init` runs once, in one thread.
    unsafe {
        PREVIOUS = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(on_utility);
    }
}

#[allow(clippy::too_many_arguments, reason = "PostgreSQL's signature")]
unsafe extern "C-unwind" fn on_utility(
    planned: *mut pg_sys::PlannedStmt,
    query: *const c_char,
    read_only_tree: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    params: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    destination: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: plain data only in this frame; the arguments are PostgreSQL's and handed on as they came.
    unsafe {
        if !is_transaction_control((*planned).utilityStmt) && before((*planned).utilityStmt) {
            if let Some(previous) = PREVIOUS {
                let mut nothing = set_nothing();
                let mut told = *planned;
                told.utilityStmt = (&raw mut nothing).cast();
                previous(&raw mut told, query, true, context, params, environment, destination, completion);
            }
            return;
        }
        let run = PREVIOUS.unwrap_or(raw::standard_ProcessUtility);
        let outer = sequences::enter_utility((*planned).utilityStmt);
        run(planned, query, read_only_tree, context, params, environment, destination, completion);
        sequences::leave_utility(outer);
        match nodes::tag((*planned).utilityStmt) {
            NodeTag::T_RenameStmt => after_rename((*planned).utilityStmt.cast()),
            NodeTag::T_PrepareStmt => after_prepare((*planned).utilityStmt.cast()),
            NodeTag::T_DeallocateStmt | NodeTag::T_DiscardStmt
                if forgets_prepared((*planned).utilityStmt) =>
            {
                context::residue::forget_texts(context::active_tenant());
            }
            _ => {}
        }
    }
}

/// SET SESSION CHARACTERISTICS AS, with an empty list: what PostgreSQL carries out without any effect.
fn set_nothing() -> pg_sys::VariableSetStmt {
    // SAFETY: a node of plain data, for which all zero is a value: no name, no arguments.
    let mut statement: pg_sys::VariableSetStmt = unsafe { std::mem::zeroed() };
    statement.type_ = NodeTag::T_VariableSetStmt;
    statement.kind = pg_sys::VariableSetKind::VAR_SET_MULTI;
    // Nobody writes to the names in a parse tree.
    statement.name = c"SESSION CHARACTERISTICS".as_ptr().cast_mut();
    statement
}

/// Judges the statement; true when it has been carried out already.
#[pg_guard]
unsafe extern "C-unwind" fn before(statement: *mut pg_sys::Node) -> bool {
    if !session::is_client_backend() || !session::is_in_progress() {
        return false;
    }
    // SAFETY: the tag says what the node is.
    let tag = unsafe { nodes::tag(statement) };
    if cache::location().is_none() {
        return false;
    }
    // SAFETY: as above.
    unsafe {
        match tag {
            NodeTag::T_VariableSetStmt => or_raise(on_set(statement.cast())),
            NodeTag::T_DiscardStmt => {
                or_raise(on_discard(statement.cast()));
                false
            }
            _ => {
                if hooks::is_judged() {
                    or_raise(denial::decide(ensure_allowed(tag, statement), Subject::Statement));
                } else {
                    schemas::wait_for_transactions(statement);
                }
                if tag == NodeTag::T_RenameStmt || tag == NodeTag::T_AlterObjectSchemaStmt {
                    or_raise(renamed::ensure_no_history(tag, statement));
                    cache::remember_shares(tag == NodeTag::T_AlterObjectSchemaStmt);
                }
                false
            }
        }
    }
}

/// BEGIN, COMMIT, savepoints and the like: nothing to judge. PREPARE TRANSACTION is on no list of what may run in a
/// tenant: it would be the tenant's role's, which nobody can be, and its locks would stay for ever.
unsafe fn is_transaction_control(statement: *const pg_sys::Node) -> bool {
    // SAFETY: the caller passes a utility statement; its tag says what it is.
    unsafe {
        nodes::tag(statement) == NodeTag::T_TransactionStmt
            && (*statement.cast::<pg_sys::TransactionStmt>()).kind
                != pg_sys::TransactionStmtKind::TRANS_STMT_PREPARE
    }
}

/// SET and RESET: ours are carried out, all others go on (the locked settings refuse by themselves).
unsafe fn on_set(statement: *const pg_sys::VariableSetStmt) -> Result<bool> {
    use pg_sys::VariableSetKind as Kind;
    // SAFETY: the caller passes a VariableSetStmt.
    let (kind, name, is_local) =
        unsafe { ((*statement).kind, borrowed((*statement).name), (*statement).is_local) };
    if kind == Kind::VAR_RESET_ALL {
        if !context::is_locked() {
            context::leave_session()?;
        }
        return Ok(false);
    }
    if !name.is_some_and(|name| name.eq_ignore_ascii_case("plio.tenant")) {
        return Ok(false);
    }
    match kind {
        Kind::VAR_SET_VALUE => {
            // SAFETY: the arguments of SET are a list of constants (gram.y, var_list).
            let value = unsafe { set_value((*statement).args) };
            match value.as_deref() {
                Some("") => context::leave_session()?,
                Some(value) => {
                    if is_local {
                        context::enter(value, !session::is_in_block() && session::is_outside_spi())?;
                    } else {
                        context::enter_session(value)?;
                    }
                }
                None => return Err(Error::TenantSettingRefused),
            }
        }
        Kind::VAR_SET_DEFAULT | Kind::VAR_RESET => context::leave_session()?,
        _ => return Err(Error::TenantSettingRefused),
    }
    Ok(true)
}

/// The one text or word in the arguments of a SET; `None` for numbers and lists.
unsafe fn set_value<'a>(arguments: *mut pg_sys::List) -> Option<Cow<'a, str>> {
    // SAFETY: the caller passes the arguments of a VariableSetStmt.
    let [argument] = (unsafe { nodes::pointers::<pg_sys::A_Const>(arguments) }) else { return None };
    // SAFETY: the constant's own tag says which member of the union is set.
    unsafe {
        if nodes::tag((*argument).cast()) != NodeTag::T_A_Const || (**argument).isnull {
            return None;
        }
        let value = &(**argument).val;
        match value.node.type_ {
            NodeTag::T_String => borrowed(value.sval.sval),
            // SET plio.tenant = 42: a legal org that the grammar reads as a number.
            NodeTag::T_Integer => Some(value.ival.ival.to_string().into()),
            _ => None,
        }
    }
}

/// DISCARD ALL leaves the session's tenant first, since it resets the settings that the tenant locks.
unsafe fn on_discard(statement: *const pg_sys::DiscardStmt) -> Result<()> {
    // SAFETY: the caller passes a DiscardStmt.
    let is_all = unsafe { (*statement).target } == pg_sys::DiscardMode::DISCARD_ALL;
    if is_all {
        crate::report::coverage::forget();
    }
    if is_all && !context::is_locked() { context::leave_session() } else { Ok(()) }
}

/// A statement prepared inside a tenant is that tenant's.
unsafe fn after_prepare(statement: *const pg_sys::PrepareStmt) {
    // SAFETY: the caller passes a PrepareStmt.
    if let (Some(tenant), Some(name)) = (context::active_tenant(), owned(unsafe { (*statement).name })) {
        context::residue::note_prepared(name, tenant);
    }
}

/// DEALLOCATE ALL and DISCARD ALL: they leave no prepared statement.
unsafe fn forgets_prepared(statement: *const pg_sys::Node) -> bool {
    // SAFETY: the caller passes a DeallocateStmt or a DiscardStmt, and the tag says which.
    unsafe {
        match nodes::tag(statement) {
            NodeTag::T_DeallocateStmt => (*statement.cast::<pg_sys::DeallocateStmt>()).name.is_null(),
            _ => (*statement.cast::<pg_sys::DiscardStmt>()).target == pg_sys::DiscardMode::DISCARD_ALL,
        }
    }
}

/// What may run: with a tenant active only what is listed here; in any case nothing on relations out of reach.
unsafe fn ensure_allowed(tag: NodeTag, statement: *mut pg_sys::Node) -> Result<()> {
    use NodeTag::*;
    let is_active = context::is_active();
    hooks::ensure_confirmed()?;
    context::ensure_role()?;
    if context::visit::is_running()
        && matches!(tag, T_PrepareStmt | T_ExecuteStmt | T_DeallocateStmt | T_UnlistenStmt)
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
            T_DeclareCursorStmt | T_ClosePortalStmt | T_FetchStmt | T_PrepareStmt | T_ExecuteStmt
            | T_DeallocateStmt | T_ExplainStmt | T_VariableShowStmt | T_ConstraintsSetStmt | T_DoStmt
            | T_CallStmt | T_UnlistenStmt => Ok(()),
            // DDL on objects that lie in schemas: the event triggers see where.
            T_CreateStmt
            | T_CreateTableAsStmt
            | T_ViewStmt
            | T_CreateSeqStmt
            | T_AlterSeqStmt
            | T_AlterDomainStmt
            | T_AlterEnumStmt
            | T_AlterFunctionStmt
            | T_AlterPolicyStmt
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
            | T_CreatePolicyStmt
            | T_CreateRangeStmt
            | T_CreateStatsStmt
            | T_CreateTrigStmt
            | T_DefineStmt
            | T_RuleStmt => Ok(()),
            // CONCURRENTLY commits before the event triggers see anything.
            T_IndexStmt => targets::ensure_altered((*statement.cast::<pg_sys::IndexStmt>()).relation),
            T_AlterTableStmt => {
                targets::ensure_altered((*statement.cast::<pg_sys::AlterTableStmt>()).relation)?;
                ensure_keeps_owner(statement.cast(), is_active)
            }
            T_CommentStmt => {
                ensure_schema_object((*statement.cast::<pg_sys::CommentStmt>()).objtype, statement, is_active)
            }
            T_DropStmt => {
                ensure_schema_object((*statement.cast::<pg_sys::DropStmt>()).removeType, statement, is_active)
            }
            T_AlterObjectSchemaStmt => {
                let moving = statement.cast::<pg_sys::AlterObjectSchemaStmt>();
                ensure_schema_object((*moving).objectType, statement, is_active)?;
                if is_active { targets::ensure_source(moving) } else { Ok(()) }
            }
            T_RenameStmt => ensure_schema_object(
                (*statement.cast::<pg_sys::RenameStmt>()).renameType,
                statement,
                is_active,
            ),
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
                locks::ensure_below_views(relations)
            }
            T_TruncateStmt => {
                ensure_relations((*statement.cast::<pg_sys::TruncateStmt>()).relations, Access::Write)
            }
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
            T_GrantStmt if !is_active => ensure_grant(statement.cast()),
            T_CreateEventTrigStmt if !is_active => code::ensure_event_trigger(statement.cast()),
            T_AlterExtensionContentsStmt if !is_active => code::ensure_keeps_objects(statement.cast()),
            _ if is_active => Err(Error::StatementRefused { tag: nodes::command_name(statement) }),
            _ => Ok(()),
        }
    }
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
    use pg_sys::ObjectType::*;
    let lies_in_schema = matches!(
        kind,
        OBJECT_AGGREGATE
            | OBJECT_ATTRIBUTE
            | OBJECT_COLLATION
            | OBJECT_COLUMN
            | OBJECT_DOMAIN
            | OBJECT_DOMCONSTRAINT
            | OBJECT_FUNCTION
            | OBJECT_INDEX
            | OBJECT_MATVIEW
            | OBJECT_OPERATOR
            | OBJECT_POLICY
            | OBJECT_PROCEDURE
            | OBJECT_ROUTINE
            | OBJECT_RULE
            | OBJECT_SEQUENCE
            | OBJECT_STATISTIC_EXT
            | OBJECT_TABCONSTRAINT
            | OBJECT_TABLE
            | OBJECT_TRIGGER
            | OBJECT_TSCONFIGURATION
            | OBJECT_TSDICTIONARY
            | OBJECT_TYPE
            | OBJECT_VIEW
    );
    if is_active && !lies_in_schema {
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
            if is_active { targets::ensure_own(oid) } else { Ok(()) }
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

/// GRANT and REVOKE without a tenant, whose relations may be found on the path: the event triggers are told of none.
unsafe fn ensure_grant(statement: *const pg_sys::GrantStmt) -> Result<()> {
    use pg_sys::ObjectType::{OBJECT_SEQUENCE, OBJECT_TABLE};
    // SAFETY: the caller passes a GrantStmt; its objects are RangeVar nodes for these kinds (parsenodes.h).
    unsafe {
        let is_named = (*statement).targtype == pg_sys::GrantTargetType::ACL_TARGET_OBJECT;
        if is_named && matches!((*statement).objtype, OBJECT_TABLE | OBJECT_SEQUENCE) {
            ensure_relations((*statement).objects, Access::Write)?;
        }
    }
    Ok(())
}

/// Access is kept by role name: a renamed role keeps it.
#[pg_guard]
unsafe extern "C-unwind" fn after_rename(statement: *const pg_sys::RenameStmt) {
    // SAFETY: the caller passes a RenameStmt.
    let (kind, old, new) =
        unsafe { ((*statement).renameType, owned((*statement).subname), owned((*statement).newname)) };
    if kind != pg_sys::ObjectType::OBJECT_ROLE || !session::is_in_progress() || cache::location().is_none() {
        return;
    }
    if let (Some(old), Some(new)) = (old, new) {
        or_raise(access::on_role_rename(&old, &new));
    }
}
