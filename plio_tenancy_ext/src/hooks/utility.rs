//! Utility statements: what never reaches the executor.
//!
//! Fired for every utility statement, those inside functions, DO and EXECUTE included. Cannot see `set_config()` and
//! `UPDATE pg_settings` (settings.rs does). What may run is listed in
//! utility/allowed.rs. Ours comes first; then the previous hook or the standard function, as the last thing.
//!
//! `SET plio.tenant` and `RESET plio.tenant` are carried out here: the setting is a superuser's, so that an ordinary
//! role cannot reach it by any other way, and this is the checked way. The previous hook, if there is one (pgaudit, say), is
//! then given a SET that changes nothing, with the text of the real one.

mod allowed;
mod broken;
mod code;
mod grants;
mod locks;
mod reach;
mod roles;
mod schemas;
mod targets;

use crate::context::calls;
use crate::ddl::collected::{self, Kind};
use crate::denial::{self, Subject};
use crate::error::{Result, or_raise};
use crate::hooks::{folded, notify, replaced, running, sequences, settings};
use crate::pg::{borrowed, catalog, deferred, nodes, owned, raw, session};
use crate::registry::{self, Installed};
use crate::{access, cache, context, guc, hooks, lifecycle};
use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;
use std::borrow::Cow;
use std::ffi::{CStr, c_char};

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
    // SAFETY: plain data only in this frame; the arguments are PostgreSQL's and handed on as they came. The statement is not
    // looked at after it has run: a procedure that ends its transaction takes the statement along.
    unsafe {
        folded::forget_relations();
        folded::note_read();
        let statement = (*planned).utilityStmt;
        if context == pg_sys::ProcessUtilityContext::PROCESS_UTILITY_TOPLEVEL {
            calls::on_top_level();
        }
        let is_judged = !is_transaction_control(statement);
        if is_judged && is_leaving(statement) && fires_deferred(statement) {
            deferred::fire();
        }
        if is_judged && before(planned, query, context) {
            if let Some(previous) = PREVIOUS {
                let mut nothing = set_nothing();
                let mut told = *planned;
                told.utilityStmt = (&raw mut nothing).cast();
                previous(&raw mut told, query, true, context, params, environment, destination, completion);
            }
            return;
        }
        let run = PREVIOUS.unwrap_or(raw::standard_ProcessUtility);
        let planned = settings::with_own_lifetime(notify::with_own_channel(planned));
        let planned = replaced::with_checked_arguments(planned, query);
        let after = if is_followed_up(statement) { follow_up(statement) } else { After::Nothing };
        let table = sequences::enter_utility((*planned).utilityStmt);
        let counts = running::enter_utility(statement);
        let place = collected::enter(kind_of(statement));
        let calls = calls::enter(is_call_of_tenants(statement));
        let limited = if is_own_update(statement) { begin_update() } else { 0 };
        run(planned, query, read_only_tree, context, params, environment, destination, completion);
        if limited > 0 {
            raw::AtEOXact_GUC(true, limited);
        }
        calls::leave(calls);
        collected::leave(place);
        running::leave_utility(counts);
        sequences::leave_utility(table);
        match after {
            After::Nothing => {}
            After::Prepare(name) => after_prepare(name),
            After::Deallocate(name) => after_deallocate(name),
            After::NoStatementIsLeft => context::residue::forget_texts(context::active_tenant()),
            After::RenameRole(old, new) => after_role_rename(old, new),
        }
    }
}

/// Whether the statement calls a procedure that lies in the active tenant's schema.
unsafe fn is_call_of_tenants(statement: *const pg_sys::Node) -> bool {
    // SAFETY: the caller passes a utility statement, whose call is analysed; any function's oid may be looked up.
    unsafe {
        if nodes::tag(statement) != NodeTag::T_CallStmt || !context::is_active() {
            return false;
        }
        let call = (*statement.cast::<pg_sys::CallStmt>()).funcexpr;
        !call.is_null() && context::active_schema() == Some(raw::get_func_namespace((*call).funcid))
    }
}

/// Whether the statement is ALTER EXTENSION plio_tenancy UPDATE.
unsafe fn is_own_update(statement: *const pg_sys::Node) -> bool {
    // SAFETY: the caller passes a utility statement; its tag says what it is, and an extension's name is a C string.
    unsafe {
        nodes::tag(statement) == NodeTag::T_AlterExtensionStmt
            && CStr::from_ptr((*statement.cast::<pg_sys::AlterExtensionStmt>()).extname)
                == registry::EXTENSION
    }
}

/// An update waits no longer than management does: first for the extension's tables, then for what else its script locks. Gives
/// the level of settings that is to be closed after it, 0 where the update will be refused anyway.
#[pg_guard]
unsafe extern "C-unwind" fn begin_update() -> i32 {
    if !session::is_in_progress() || !catalog::is_superuser(session::current_user()) {
        return 0;
    }
    or_raise(lifecycle::begin_update())
}

/// What is to be done once the statement has run: plain data, copied from it before.
#[derive(Clone, Copy)]
#[repr(C)]
enum After {
    Nothing,
    /// PREPARE of that name.
    Prepare(*const c_char),
    /// DEALLOCATE of that name.
    Deallocate(*const c_char),
    /// DEALLOCATE ALL or DISCARD ALL.
    NoStatementIsLeft,
    /// ALTER ROLE RENAME: the old and the new name.
    RenameRole(*const c_char, *const c_char),
}

/// Whether something is to be done once the statement has run.
unsafe fn is_followed_up(statement: *const pg_sys::Node) -> bool {
    // SAFETY: the caller passes a utility statement.
    let tag = unsafe { nodes::tag(statement) };
    matches!(
        tag,
        NodeTag::T_RenameStmt | NodeTag::T_PrepareStmt | NodeTag::T_DeallocateStmt | NodeTag::T_DiscardStmt
    )
}

#[pg_guard]
unsafe extern "C-unwind" fn follow_up(statement: *const pg_sys::Node) -> After {
    // SAFETY: each branch casts to the struct that its tag stands for; names are NULL or C strings, and their copies
    // palloc'd.
    unsafe {
        let copy =
            |name: *const c_char| if name.is_null() { name } else { pg_sys::pstrdup(name).cast_const() };
        match nodes::tag(statement) {
            NodeTag::T_PrepareStmt => After::Prepare(copy((*statement.cast::<pg_sys::PrepareStmt>()).name)),
            NodeTag::T_DeallocateStmt => {
                let name = (*statement.cast::<pg_sys::DeallocateStmt>()).name;
                if name.is_null() { After::NoStatementIsLeft } else { After::Deallocate(copy(name)) }
            }
            NodeTag::T_DiscardStmt
                if (*statement.cast::<pg_sys::DiscardStmt>()).target == pg_sys::DiscardMode::DISCARD_ALL =>
            {
                After::NoStatementIsLeft
            }
            NodeTag::T_RenameStmt => {
                let rename = &*statement.cast::<pg_sys::RenameStmt>();
                if rename.renameType == pg_sys::ObjectType::OBJECT_ROLE {
                    After::RenameRole(copy(rename.subname), copy(rename.newname))
                } else {
                    After::Nothing
                }
            }
            _ => After::Nothing,
        }
    }
}

/// Whether the statement may set or leave a session's tenant.
unsafe fn is_leaving(statement: *const pg_sys::Node) -> bool {
    // SAFETY: the caller passes a utility statement.
    matches!(unsafe { nodes::tag(statement) }, NodeTag::T_VariableSetStmt | NodeTag::T_DiscardStmt)
}

/// Whether what is deferred must fire before SET, RESET or DISCARD changes the tenant.
#[pg_guard]
unsafe extern "C-unwind" fn fires_deferred(statement: *const pg_sys::Node) -> bool {
    use pg_sys::VariableSetKind as Kind;
    if !hooks::is_judged_process() || !session::is_in_progress() || cache::location().is_none() {
        return false;
    }
    // SAFETY: the tag says what the node is.
    unsafe {
        if nodes::tag(statement) == NodeTag::T_DiscardStmt {
            let is_all =
                (*statement.cast::<pg_sys::DiscardStmt>()).target == pg_sys::DiscardMode::DISCARD_ALL;
            return is_all && context::deferred::must_fire_before_leaving();
        }
        let set = statement.cast::<pg_sys::VariableSetStmt>();
        if (*set).kind == Kind::VAR_RESET_ALL {
            return context::deferred::must_fire_before_leaving();
        }
        if !is_tenant(borrowed((*set).name).as_deref()) {
            return false;
        }
        match set_value((*set).args).as_deref() {
            Some(org) if (*set).kind == Kind::VAR_SET_VALUE && !org.is_empty() => {
                context::deferred::must_fire_before(org)
            }
            _ => context::deferred::must_fire_before_leaving(),
        }
    }
}

fn is_tenant(setting: Option<&str>) -> bool {
    setting.is_some_and(|name| name.eq_ignore_ascii_case("plio.tenant"))
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
unsafe extern "C-unwind" fn before(
    planned: *mut pg_sys::PlannedStmt,
    query: *const c_char,
    level: pg_sys::ProcessUtilityContext::Type,
) -> bool {
    // SAFETY: the caller passes a planned utility statement.
    let statement = unsafe { (*planned).utilityStmt };
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
            let is_drop = unsafe { is_drop_extension(tag, statement) };
            if !lifecycle::is_managing() && !broken::may_run(tag, is_drop) {
                or_raise(hooks::has_registry());
            }
            false
        }
    };
    // SAFETY: as above.
    unsafe {
        match tag {
            NodeTag::T_VariableSetStmt => {
                let is_nested = level != pg_sys::ProcessUtilityContext::PROCESS_UTILITY_TOPLEVEL;
                or_raise(on_set(statement.cast(), is_nested))
            }
            NodeTag::T_DiscardStmt => {
                or_raise(on_discard(statement.cast()));
                false
            }
            _ if !is_there => false,
            NodeTag::T_DeallocateStmt if hooks::is_judged() => {
                or_raise(denial::decide(allowed::ensure_allowed(tag, statement), Subject::Statement));
                let is_clients = level == pg_sys::ProcessUtilityContext::PROCESS_UTILITY_TOPLEVEL
                    && nodes::is_alone(planned, query);
                or_raise(on_deallocate(statement.cast(), is_clients))
            }
            _ => {
                if hooks::is_judged() {
                    or_raise(denial::decide(allowed::ensure_allowed(tag, statement), Subject::Statement));
                } else {
                    schemas::wait_for_transactions(statement);
                }
                if tag == NodeTag::T_RenameStmt || tag == NodeTag::T_AlterObjectSchemaStmt {
                    cache::remember_shares(tag == NodeTag::T_AlterObjectSchemaStmt);
                }
                false
            }
        }
    }
}

/// What the statement is to house.rs.
unsafe fn kind_of(statement: *const pg_sys::Node) -> Kind {
    use pg_sys::ObjectType::{OBJECT_EXTENSION, OBJECT_SCHEMA};
    // SAFETY: the caller passes a utility statement; its tag says what it is.
    unsafe {
        match nodes::tag(statement) {
            NodeTag::T_DropStmt => {
                let kind = (*statement.cast::<pg_sys::DropStmt>()).removeType;
                if kind == OBJECT_EXTENSION || kind == OBJECT_SCHEMA { Kind::WideDrop } else { Kind::Other }
            }
            NodeTag::T_DropOwnedStmt => Kind::WideDrop,
            NodeTag::T_AlterTableStmt if allowed::only_tunes(statement.cast()) => Kind::Tuning,
            _ => Kind::Other,
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
unsafe fn on_set(statement: *const pg_sys::VariableSetStmt, is_nested: bool) -> Result<bool> {
    use pg_sys::VariableSetKind as Kind;
    // SAFETY: the caller passes a VariableSetStmt.
    let (kind, name, is_local) =
        unsafe { ((*statement).kind, borrowed((*statement).name), (*statement).is_local) };
    if kind == Kind::VAR_RESET_ALL {
        if context::is_locked() {
            // PostgreSQL carries it out as far as the locked settings let it; the session's tenant stays.
            context::note_refused_change();
        } else {
            context::leave_session(is_nested)?;
        }
        settings::on_reset_all()?;
        return Ok(false);
    }
    let Some(name) = name else { return Ok(false) };
    if !is_tenant(Some(&name)) {
        // SAFETY: the caller passes a VariableSetStmt.
        unsafe { settings::note_change(statement) };
        let is_reset = matches!(kind, Kind::VAR_SET_DEFAULT | Kind::VAR_RESET);
        return if is_reset && hooks::is_judged() { settings::on_reset(&name) } else { Ok(false) };
    }
    match kind {
        Kind::VAR_SET_VALUE => {
            // SAFETY: the arguments of SET are a list of constants (gram.y, var_list).
            let value = unsafe { set_value((*statement).args) };
            match value.as_deref() {
                Some("") => context::leave_session(is_nested)?,
                Some(value) => {
                    if is_local {
                        context::enter(
                            value,
                            !session::is_in_block() && session::is_outside_spi(),
                            is_nested,
                        )?;
                    } else {
                        context::enter_session(value, is_nested)?;
                    }
                }
                None => return Err(context::refused_setting()),
            }
        }
        Kind::VAR_SET_DEFAULT | Kind::VAR_RESET => context::leave_session(is_nested)?,
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
    if is_all && !context::is_locked() { context::leave_session(false) } else { Ok(()) }
}

/// DEALLOCATE inside a tenant removes what SQL prepared there, and nothing else; true when it has been carried out. What the
/// client sends as a message of its own is PostgreSQL's: some drivers remove their own statements so.
unsafe fn on_deallocate(statement: *const pg_sys::DeallocateStmt, is_clients: bool) -> Result<bool> {
    let Some(tenant) = context::active_tenant().filter(|_| !is_clients) else { return Ok(false) };
    // SAFETY: the caller passes a DeallocateStmt; the name is NULL or a C string.
    let name = unsafe { (*statement).name };
    if name.is_null() {
        // Where enforcement only reports, the application goes on as before.
        let is_enforced = !guc::is_only_reporting();
        if is_enforced {
            context::prepared::drop_own(tenant);
        }
        return Ok(is_enforced);
    }
    // SAFETY: as above.
    let verdict = context::prepared::ensure_own(unsafe { CStr::from_ptr(name) }, tenant);
    denial::decide(verdict, Subject::Statement).map(|()| false)
}

/// A statement prepared inside a tenant is that tenant's.
unsafe fn after_prepare(name: *const c_char) {
    if let (Some(tenant), false) = (context::active_tenant(), name.is_null()) {
        // SAFETY: the caller passes NULL or a C string.
        context::prepared::note(unsafe { CStr::from_ptr(name) }, tenant);
    }
}

unsafe fn after_deallocate(name: *const c_char) {
    if !name.is_null() {
        // SAFETY: as above.
        context::prepared::forget_name(unsafe { CStr::from_ptr(name) });
    }
}

/// A role was renamed: the names that the registry keeps follow it.
#[pg_guard]
unsafe extern "C-unwind" fn after_role_rename(old: *const c_char, new: *const c_char) {
    if !session::is_in_progress() || cache::location().is_none() {
        return;
    }
    // SAFETY: the names in the statement.
    if let (Some(old), Some(new)) = unsafe { (owned(old), owned(new)) } {
        or_raise(access::on_role_rename(&old, &new));
    }
}
