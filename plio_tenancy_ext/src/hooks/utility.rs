//! Utility statements: what never reaches the executor.
//!
//! Fired for every utility statement, those inside functions, DO and EXECUTE included. Cannot see `set_config()` and
//! `UPDATE pg_settings` (guc.rs does). What may run is listed in
//! utility/allowed.rs. Ours comes first; then the previous hook or the standard function, as the last thing.
//!
//! `SET plio.tenant` and `RESET plio.tenant` are carried out here: the setting is a superuser's, so that an ordinary
//! role cannot reach it by any other way, and this is the checked way. The previous hook, if there is one (pgaudit, say), is
//! then given a SET that changes nothing, with the text of the real one.

mod allowed;
mod broken;
mod code;
mod locks;
mod renamed;
mod schemas;
mod targets;

use crate::denial::{self, Subject};
use crate::error::{Result, or_raise};
use crate::hooks::{notify, sequences};
use crate::pg::{borrowed, nodes, owned, raw, session};
use crate::registry::Installed;
use crate::{access, cache, context, hooks, lifecycle};
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
        let planned = notify::with_own_channel(planned);
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
    if !hooks::is_judged_process() || !session::is_in_progress() {
        return false;
    }
    // SAFETY: the tag says what the node is.
    let tag = unsafe { nodes::tag(statement) };
    let is_there = match cache::installed() {
        Installed::No => return false,
        Installed::Whole(_) => true,
        Installed::Broken => {
            // SAFETY: as above; a DropStmt's kind is read for that tag alone.
            if !lifecycle::is_managing()
                && !broken::may_run(tag, unsafe { is_drop_extension(tag, statement) })
            {
                or_raise(hooks::has_registry());
            }
            false
        }
    };
    // SAFETY: as above.
    unsafe {
        match tag {
            NodeTag::T_VariableSetStmt => or_raise(on_set(statement.cast())),
            NodeTag::T_DiscardStmt => {
                or_raise(on_discard(statement.cast()));
                false
            }
            _ if !is_there => false,
            _ => {
                if hooks::is_judged() {
                    or_raise(denial::decide(allowed::ensure_allowed(tag, statement), Subject::Statement));
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

unsafe fn is_drop_extension(tag: NodeTag, statement: *const pg_sys::Node) -> bool {
    // SAFETY: the caller passes a statement with that tag.
    tag == NodeTag::T_DropStmt
        && unsafe { (*statement.cast::<pg_sys::DropStmt>()).removeType }
            == pg_sys::ObjectType::OBJECT_EXTENSION
}

/// BEGIN, COMMIT, savepoints and the like: nothing to judge. Two-phase commit is on no list of what may run in a tenant: what
/// is prepared there would be the tenant's role's, which nobody can be, and its locks would stay for ever; what is finished
/// there was done without a tenant.
unsafe fn is_transaction_control(statement: *const pg_sys::Node) -> bool {
    use pg_sys::TransactionStmtKind::*;
    // SAFETY: the caller passes a utility statement; its tag says what it is.
    unsafe {
        nodes::tag(statement) == NodeTag::T_TransactionStmt
            && !matches!(
                (*statement.cast::<pg_sys::TransactionStmt>()).kind,
                TRANS_STMT_PREPARE | TRANS_STMT_COMMIT_PREPARED | TRANS_STMT_ROLLBACK_PREPARED
            )
    }
}

/// SET and RESET: ours are carried out, all others go on (the locked settings refuse by themselves).
unsafe fn on_set(statement: *const pg_sys::VariableSetStmt) -> Result<bool> {
    use pg_sys::VariableSetKind as Kind;
    // SAFETY: the caller passes a VariableSetStmt.
    let (kind, name, is_local) =
        unsafe { ((*statement).kind, borrowed((*statement).name), (*statement).is_local) };
    if kind == Kind::VAR_RESET_ALL {
        if context::is_locked() {
            // PostgreSQL carries it out as far as the locked settings let it; the session's tenant stays.
            context::note_refused_change();
        } else {
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
                None => return Err(context::refused_setting()),
            }
        }
        Kind::VAR_SET_DEFAULT | Kind::VAR_RESET => context::leave_session()?,
        _ => return Err(context::refused_setting()),
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
        context::listening::note_unlisten_all();
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
