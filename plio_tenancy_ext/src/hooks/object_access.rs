//! Names, code and protected objects: PostgreSQL's object access hook.
//!
//! Fired for every explicit `schema.name` look-up (`OAT_NAMESPACE_SEARCH`), every function about to be executed
//! (`OAT_FUNCTION_EXECUTE`), and every object created, altered, truncated or dropped (objects.rs). Cannot see creation targets, what a cached plan
//! resolved before, nor anything given by oid: the executor's check and native privileges do. The previous hook
//! comes first; ours can only refuse more.
//!
//! A schema that is merely on the search_path (`ereport_on_violation` false) is not dropped from it: inside a tenant the path
//! names no other tenant's schema (guc/locks.rs), and outside one a silent drop would make names fall through to `public`. The one
//! exception is an administrator's role with the name of a tenant's schema, made where the extension did not see it: by "$user" the
//! tenant's code would run with the administrator's rights.

mod objects;

use crate::cache::code::{self, Trust};
use crate::denial::{self, Subject};
use crate::error::{CodeKind, Error, Result, or_raise};
use crate::hooks::{check_perms, folded, planner, replaced, sequences, settings, visited};
use crate::pg::{FIRST_NORMAL_OID, catalog, raw, session};
use crate::policy::{self, Context, Verdict};
use crate::{cache, context, guc, hooks, lifecycle, one_layer, preload};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static mut PREVIOUS: pg_sys::object_access_hook_type = None;

/// Sets the hook.
pub fn install() {
    // SAFETY: `_PG_init` runs once, in one thread.
    unsafe {
        PREVIOUS = pg_sys::object_access_hook;
        pg_sys::object_access_hook = Some(on_object_access);
    }
}

unsafe extern "C-unwind" fn on_object_access(
    access: pg_sys::ObjectAccessType::Type,
    class: Oid,
    object: Oid,
    sub_object: i32,
    argument: *mut c_void,
) {
    // SAFETY: plain data only in this frame; the arguments are PostgreSQL's and handed on as they came.
    unsafe {
        if let Some(previous) = PREVIOUS {
            previous(access, class, object, sub_object, argument);
        }
        if access == pg_sys::ObjectAccessType::OAT_FUNCTION_EXECUTE {
            planner::note_function(object);
            folded::note_function(object);
            context::random::note_function(object);
            if object.to_u32() >= FIRST_NORMAL_OID {
                context::ready::note_by_language();
            } else if !context::is_active() && !is_known_open(object) {
                note_ready(object);
            }
        }
        if access == pg_sys::ObjectAccessType::OAT_NAMESPACE_SEARCH && is_on_path(argument) {
            if is_to_be_hidden(object) {
                (*argument.cast::<pg_sys::ObjectAccessNamespaceSearch>()).result = false;
            }
        } else if is_interesting(access, object) {
            check(access, object);
        } else if let Some(event) = objects::event(access, argument) {
            check_object(event, class, object, sub_object);
        }
    }
}

/// `pg_notify(text, text)`, where replaced.rs could not put the checked function into its place.
const PG_NOTIFY: Oid = pg_sys::Oid::from_u32(pg_sys::F_PG_NOTIFY);

/// `set_config(text, text, boolean)`, in the same way.
const SET_CONFIG: Oid = pg_sys::Oid::from_u32(pg_sys::F_SET_CONFIG);

/// What the view `pg_prepared_statements` calls.
const PG_PREPARED_STATEMENT: Oid = pg_sys::Oid::from_u32(pg_sys::F_PG_PREPARED_STATEMENT);

/// `pg_listening_channels()`: names of channels.
const PG_LISTENING_CHANNELS: Oid = pg_sys::Oid::from_u32(pg_sys::F_PG_LISTENING_CHANNELS);

/// Fast exit: built-in functions, and schemas whose code was judged already.
unsafe fn is_interesting(access: pg_sys::ObjectAccessType::Type, object: Oid) -> bool {
    use pg_sys::ObjectAccessType as Type;
    match access {
        Type::OAT_FUNCTION_EXECUTE if context::calls::is_ended() => true,
        Type::OAT_FUNCTION_EXECUTE
            if object == SET_CONFIG || object == PG_PREPARED_STATEMENT || object == PG_LISTENING_CHANNELS =>
        {
            context::is_active()
        }
        Type::OAT_FUNCTION_EXECUTE if replaced::is_replaced(object) => true,
        // The protocol's function call starts no executor that would have confirmed a session's tenant.
        Type::OAT_FUNCTION_EXECUTE if context::needs_confirmation() && is_protocols_call() => true,
        Type::OAT_FUNCTION_EXECUTE if object.to_u32() < FIRST_NORMAL_OID => {
            (context::is_active() && !is_known_open(object))
                || (context::is_visit() && visited::is_lasting(object))
        }
        Type::OAT_FUNCTION_EXECUTE => {
            let active = context::active_schema();
            if code::is_known(object, active) && !context::needs_confirmation() {
                return false;
            }
            // Inside a tenant every function that is not the tenant's own is looked at, wherever it lies: it may lead
            // out of the database, or be a stranger's. Without one a stranger's is noted once.
            // SAFETY: any function's oid may be looked up.
            let schema = unsafe { raw::get_func_namespace(object) };
            if active.is_some() {
                active != Some(schema)
            } else {
                is_unjudged(schema) || !planner::has_foreign_code()
            }
        }
        Type::OAT_NAMESPACE_SEARCH => object.to_u32() >= FIRST_NORMAL_OID && is_unjudged(object),
        _ => false,
    }
}

/// Whether the function is called by the protocol itself: neither a statement's portal nor a planner is running.
fn is_protocols_call() -> bool {
    !session::is_in_portal() && !planner::is_running()
}

/// Whether the look-up is of a schema on the search_path, not of one that a statement names.
unsafe fn is_on_path(argument: *mut c_void) -> bool {
    // SAFETY: for OAT_NAMESPACE_SEARCH the argument is an ObjectAccessNamespaceSearch (objectaccess.h).
    unsafe { !(*argument.cast::<pg_sys::ObjectAccessNamespaceSearch>()).ereport_on_violation }
}

/// Whether a schema on the path is left out of it: a tenant's that has the name of the administrator whose path it is.
unsafe fn is_to_be_hidden(schema: Oid) -> bool {
    schema.to_u32() >= FIRST_NORMAL_OID
        && context::active_schema() != Some(schema)
        && !cache::is_known_neutral(schema)
        // SAFETY: the caller is the hook, where PostgreSQL looks names up itself.
        && unsafe { is_administrators_namesake(schema) }
}

#[pg_guard]
unsafe extern "C-unwind" fn is_administrators_namesake(schema: Oid) -> bool {
    if !session::is_in_progress() || !hooks::is_judged() || cache::location().is_none() {
        return false;
    }
    let user = session::current_user();
    cache::schema_kind(schema) == cache::SchemaKind::Tenant
        && catalog::schema_name(schema) == catalog::role_name(user)
        && cache::actor(user) == policy::Actor::Administrator
}

/// Functions of PostgreSQL's own that are on no list of one_layer.rs, a bit each: the rest are asked about once.
static KNOWN_OPEN: [AtomicU64; FIRST_NORMAL_OID as usize / 64] =
    [const { AtomicU64::new(0) }; FIRST_NORMAL_OID as usize / 64];

fn known_open(function: Oid) -> Option<(&'static AtomicU64, u64)> {
    let number = function.to_u32();
    KNOWN_OPEN.get(number as usize / 64).map(|word| (word, 1 << (number % 64)))
}

fn is_known_open(function: Oid) -> bool {
    known_open(function).is_some_and(|(word, bit)| word.load(Relaxed) & bit != 0)
}

/// Judges a function of PostgreSQL's own, inside a tenant.
fn ensure_open(function: Oid) -> Result<()> {
    if !context::is_active() {
        return Ok(());
    }
    denied_name(function).map_or(Ok(()), |name| ensure_own_rights(&name))
}

/// The name of a function that is on a list of one_layer.rs.
fn denied_name(function: Oid) -> Option<String> {
    let name = catalog::function_name(function).unwrap_or_default();
    if one_layer::is_function_denied(&name) {
        return Some(name);
    }
    if let Some((word, bit)) = known_open(function) {
        word.fetch_or(bit, Relaxed);
    }
    None
}

/// A function of PostgreSQL's own is made ready without a tenant.
#[pg_guard]
unsafe extern "C-unwind" fn note_ready(function: Oid) {
    if session::is_in_progress() && cache::location().is_some() && denied_name(function).is_some() {
        context::ready::note();
    }
}

/// Judges a function that is denied where the rights in force are not the tenant's role's.
fn ensure_own_rights(name: &str) -> Result<()> {
    context::ensure_own_rights(name)?;
    context::ready::note();
    if context::holds_role() && !session::is_outside_spi() && !check_perms::is_starting() {
        // plpgsql keeps an expression ready until the transaction ends. Called once more from a definer function it would not be
        // announced: made anew, it is.
        session::reset_plans();
    }
    Ok(())
}

/// Whether the schema's code is still to be judged: neither the active tenant's nor known to be no tenant's.
fn is_unjudged(schema: Oid) -> bool {
    context::needs_confirmation()
        || (context::active_schema() != Some(schema) && !cache::is_known_neutral(schema))
}

/// An object that is created, altered, truncated or dropped.
#[pg_guard]
unsafe extern "C-unwind" fn check_object(event: objects::Event, class: Oid, object: Oid, column: i32) {
    if !session::is_in_progress() {
        return;
    }
    let is_drop = matches!(event, objects::Event::Dropped { .. });
    if cache::location().is_some() {
        objects::note(event, class, object, column);
        if hooks::is_judged() {
            let subject = match event {
                objects::Event::Truncated => Subject::Relation(object),
                _ if class == pg_sys::NamespaceRelationId => Subject::Schema(object),
                _ => Subject::Statement,
            };
            or_raise(denial::decide(objects::ensure_allowed(event, class, object, column), subject));
        } else if is_drop {
            lifecycle::wait_for_transactions(class, object);
        }
    }
    if is_drop && class == pg_sys::ExtensionRelationId {
        or_raise(preload::on_extension_drop(object));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn check(access: pg_sys::ObjectAccessType::Type, object: Oid) {
    use pg_sys::ObjectAccessType as Type;
    if !session::is_in_progress() {
        return;
    }
    if !or_raise(hooks::has_registry()) {
        return;
    }
    let is_judged = hooks::is_judged();
    let subject = match access {
        Type::OAT_FUNCTION_EXECUTE => Subject::Function(object),
        Type::OAT_NAMESPACE_SEARCH => Subject::Schema(object),
        _ => Subject::Statement,
    };
    let verdict = match access {
        Type::OAT_NAMESPACE_SEARCH if is_judged => ensure_code(object),
        Type::OAT_FUNCTION_EXECUTE if is_judged && context::calls::is_ended() => {
            context::calls::ensure_not_ended()
        }
        Type::OAT_FUNCTION_EXECUTE if is_judged && object == PG_NOTIFY => Err(Error::RawNotify),
        Type::OAT_FUNCTION_EXECUTE if is_judged && object == SET_CONFIG => settings::ensure_not_raw(),
        Type::OAT_FUNCTION_EXECUTE if is_judged && replaced::is_replaced(object) => {
            ensure_still_open().and_then(|()| sequences::on_raw_call(object))
        }
        Type::OAT_FUNCTION_EXECUTE if is_judged && object == PG_LISTENING_CHANNELS => {
            context::ensure_own_channels()
        }
        Type::OAT_FUNCTION_EXECUTE if context::is_visit() && visited::is_lasting(object) => {
            Err(Error::NotInReport { what: catalog::function_name(object).unwrap_or_default() })
        }
        Type::OAT_FUNCTION_EXECUTE if is_judged && object == PG_PREPARED_STATEMENT => {
            context::ensure_own_texts()
        }
        Type::OAT_FUNCTION_EXECUTE if is_judged && object.to_u32() < FIRST_NORMAL_OID => {
            ensure_still_open().and_then(|()| ensure_open(object))
        }
        Type::OAT_FUNCTION_EXECUTE if is_judged => ensure_function(object),
        _ => Ok(()),
    };
    or_raise(denial::decide(verdict, subject));
}

/// Judges a function that is about to run: where it lies, whether it leads out of the database, and whose it is.
///
/// # Errors
/// 42501, 55000.
pub fn ensure_function(function: Oid) -> Result<()> {
    let before = code::begin();
    let Some(schema) = catalog::function_schema(function) else { return Ok(()) };
    ensure_code(schema)?;
    let connector = cache::connector_of(function);
    ensure_inside(connector)?;
    let trust = code::trust_in_function(function);
    match trust {
        Trust::Nowhere if context::is_active() => {
            let name = catalog::function_identity(function).unwrap_or_default();
            return Err(Error::UntrustedCode { kind: CodeKind::Function, name });
        }
        // It may run no further inside a tenant, where a plan that is kept would not ask again.
        Trust::Nowhere | Trust::Here => planner::note_foreign_code(),
        Trust::Everywhere => {}
    }
    let is_ones_own = cache::schema_kind(schema) == cache::SchemaKind::Tenant;
    if connector.is_none() && trust != Trust::Nowhere && !is_ones_own {
        let only_in = if trust == Trust::Here { context::active_schema() } else { None };
        code::remember(function, before, only_in);
    }
    Ok(())
}

/// Whether a function leads out of the database.
fn ensure_inside(connector: Option<&str>) -> Result<()> {
    match connector {
        Some(name) if one_layer::DENIED_EXTENSIONS.contains(&name) => {
            if context::is_active() {
                ensure_own_rights(name)
            } else {
                Ok(())
            }
        }
        Some(name) if context::is_active() && !guc::is_connection_allowed(name) => {
            Err(Error::ConnectionRefused { name: name.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Checks a session's tenant. What other tenants left in the session is removed where a plan starts or a utility statement
/// runs: here a plan may be in the making, and the tables that it names must not go meanwhile.
fn ensure_still_open() -> Result<()> {
    if is_protocols_call() {
        hooks::ensure_confirmed()
    } else if context::needs_confirmation() {
        context::ensure_still_open()
    } else {
        Ok(())
    }
}

/// Judges a schema whose names are being looked up, whose function is about to run, or in which something was created,
/// altered or dropped without a tenant.
///
/// # Errors
/// 42501, 55000.
pub fn ensure_code(schema: Oid) -> Result<()> {
    ensure_still_open()?;
    let active = context::active_schema();
    let place = cache::place_of_schema(schema, active);
    let context = if active.is_some() { Context::Tenant } else { Context::NoTenant };
    match policy::decide_code(cache::actor(context::upkeep::actor()), context, place) {
        Verdict::Allow => {
            cache::remember_neutral(schema);
            Ok(())
        }
        Verdict::Deny(why) => Err(Error::Denied { why, relation: None, active: context::active_org() }),
    }
}
