//! The tenant in force: entering, leaving, the lock.
//!
//! The state is one setting, `plio.tenant`, whose value carries what the hot path needs. PostgreSQL's own stack of
//! settings undoes it at commit, abort, savepoints and function exits and hands it to parallel workers; the assign
//! hook (guc.rs) keeps the copies in state.rs in step. Nothing here is a cache: it is what holds.

#![forbid(unsafe_code)]

mod asking;
pub mod calls;
pub mod changed;
pub mod deferred;
pub mod listening;
pub mod prepared;
pub mod random;
pub mod ready;
pub mod residue;
mod rights;
mod state;
pub mod temporary;
pub mod upkeep;
pub mod visit;

pub use self::asking::role_to_return_to;
use self::asking::{Change, user};
pub use self::rights::ensure_own_rights;
pub use self::state::{
    Scope, State, active_role, active_schema, active_tenant, assign, holds_role, is_active, is_locked,
    is_one_layer, is_visit, may_have_other_rights, needs_confirmation,
};
use crate::cache::{self, Tenant};
use crate::ddl::collected;
use crate::error::{Error, Result};
use crate::hooks::{check_perms, folded, planner, running};
use crate::pg::guc::Lifetime;
use crate::pg::portal::Cursor;
use crate::pg::{autovacuum, deferred as pending, lock, portal, session};
use crate::tenant::{Org, Status};
use crate::{guc as settings, monitor};
use pgrx::pg_sys::Oid;
use std::cell::Cell;
use std::ffi::CString;
use std::rc::Rc;

/// A transaction is about to be committed: what must not outlive its tenant goes.
///
/// # Errors
/// Raises PostgreSQL's 55006.
pub fn on_commit() {
    residue::on_commit();
    temporary::on_commit();
}

/// A transaction has ended: a session's tenant must be confirmed again, and what was made stays or does not.
pub fn on_transaction_end(is_commit: bool) {
    upkeep::leave();
    calls::on_transaction_end();
    temporary::on_transaction_end(is_commit);
    cache::forget_renaming();
    // The state is still that of the transaction's end.
    if is_active() && state::is_confirmed() {
        monitor::count_transaction(state::current().tenant, is_commit);
    }
    state::forget_confirmation();
    check_perms::forget_judged();
    running::on_transaction_end();
    planner::on_transaction_end();
    folded::on_transaction_end();
    collected::forget_all();
    random::on_transaction_end();
    ready::on_transaction_end();
    changed::on_transaction_end();
    residue::on_transaction_end(is_commit);
    listening::on_transaction_end(is_commit);
}

/// A subtransaction has ended. Rolled back, it has lost the lock that it may have taken on a session's tenant.
pub fn on_subtransaction_end(is_commit: bool) {
    running::on_subtransaction_end(is_commit);
    if is_commit {
        return;
    }
    cache::forget_renaming();
    check_perms::forget_judged();
    state::forget_confirmation();
    collected::forget_aborted();
    planner::forget_plans();
    residue::on_subtransaction_abort();
    listening::on_subtransaction_abort();
}

/// Refuses to list the texts of prepared statements while they may be another tenant's.
///
/// # Errors
/// 42501.
pub fn ensure_own_texts() -> Result<()> {
    match active_tenant() {
        Some(tenant) if residue::has_foreign_texts(tenant) => Err(Error::PreparedTexts),
        _ => Ok(()),
    }
}

/// Refuses to list the channels that the session listens on while another tenant's may be among them.
///
/// # Errors
/// 42501.
pub fn ensure_own_channels() -> Result<()> {
    match active_tenant() {
        Some(tenant) if listening::is_foreign(tenant) => Err(Error::ForeignChannels),
        _ => Ok(()),
    }
}

/// The active tenant's org.
pub fn active_org() -> Option<String> {
    is_active().then(settings::shown_tenant)
}

/// `plio.set_tenant`: the tenant of this transaction. `is_alone`: a bare statement in autocommit.
///
/// # Errors
/// As the README's table says; the transaction then has no tenant.
pub fn enter(org: &str, is_alone: bool, is_nested: bool) -> Result<()> {
    let change = Change::begin();
    if !is_locked() {
        calls::ensure_clients_own(is_nested)?;
    }
    enter_transaction(org, is_alone)?;
    change.done();
    Ok(())
}

fn enter_transaction(org: &str, is_alone: bool) -> Result<()> {
    if is_alone {
        return Err(Error::OutsideTransaction);
    }
    if is_locked() {
        return match active_org() {
            Some(active) if active == org => Ok(()),
            active => Err(Error::Locked { active: active.unwrap_or_default() }),
        };
    }
    ensure_may_leave()?;
    ensure_may_set()?;
    let (tenant, schema) = admit(org)?;
    enter_admitted(&tenant, schema)
}

#[inline]
fn enter_admitted(tenant: &Tenant, schema: Oid) -> Result<()> {
    ensure_not_executing(tenant.id)?;
    residue::clear(tenant.id)?;
    session::close_large_objects();
    temporary::note_beneath(tenant.id);
    calls::note_entered();
    if state::current().tenant != tenant.id {
        changed::put_back(Lifetime::Transaction);
    }
    apply(tenant, schema, Scope::Transaction);
    Ok(())
}

/// As [`enter`], for plio.selftest(), in a tenant that it has made itself and granted to nobody.
///
/// # Errors
/// As [`enter`].
pub fn enter_throw_away(org: &Org) -> Result<()> {
    ensure_may_leave()?;
    ensure_may_set()?;
    let (tenant, schema) = lock_open(org, || Error::UnknownTenant { org: org.to_string() }, |_| Ok(()))?;
    enter_admitted(&tenant, schema)
}

/// `SET plio.tenant`: the tenant of this session, until it is changed or reset.
///
/// # Errors
/// As [`enter`].
pub fn enter_session(org: &str, is_nested: bool) -> Result<()> {
    let change = Change::begin();
    if is_locked() {
        return Err(Error::Locked { active: active_org().unwrap_or_default() });
    }
    calls::ensure_clients_own(is_nested)?;
    ensure_may_set()?;
    asking::ensure_role_stays()?;
    let (tenant, schema) = admit(org)?;
    changed::settle();
    let before = state::current();
    if before.tenant != tenant.id {
        ensure_may_leave()?;
        ensure_not_executing(tenant.id)?;
        if is_active() {
            residue::leave();
            changed::put_back(Lifetime::Session);
        }
        residue::clear(tenant.id)?;
        session::close_large_objects();
        listening::leave();
    }
    apply(&tenant, schema, Scope::Session);
    if before.tenant == tenant.id {
        changed::go_on(before.serial);
    }
    change.done();
    Ok(())
}

/// `RESET plio.tenant`, `RESET ALL`, `DISCARD ALL`: the session has no tenant any more.
///
/// # Errors
/// 25001 while a transaction's tenant is in force, and where something of the tenant would go on. PostgreSQL's 55006 when a
/// temporary object is in use.
pub fn leave_session(is_nested: bool) -> Result<()> {
    let change = Change::begin();
    if is_locked() {
        return Err(Error::Locked { active: active_org().unwrap_or_default() });
    }
    calls::ensure_clients_own(is_nested)?;
    if is_active() {
        ensure_may_leave()?;
        if running::is_any() {
            return Err(Error::InQuery);
        }
        residue::leave();
        session::close_large_objects();
        listening::leave();
        changed::put_back(Lifetime::Session);
        settings::leave_session(holds_role());
    }
    change.done();
    Ok(())
}

/// Checks a session's tenant once in every transaction, and holds its lock from then on. What removing the residue asks of the
/// hooks meanwhile is not checked again.
///
/// # Errors
/// The tenant was suspended, dropped or taken away since.
pub fn confirm() -> Result<()> {
    thread_local! {
        static IS_CONFIRMING: Cell<bool> = const { Cell::new(false) };
    }
    struct Over;
    impl Drop for Over {
        fn drop(&mut self) {
            IS_CONFIRMING.set(false);
        }
    }
    if IS_CONFIRMING.replace(true) {
        return Ok(());
    }
    let _over = Over;
    ensure_still_open()?;
    if autovacuum::is_running() {
        return Ok(());
    }
    let tenant = state::current().tenant;
    residue::clear(tenant)?;
    residue::note_session(tenant);
    state::confirm();
    Ok(())
}

/// Checks that a session's tenant may still be entered, and locks it. Autovacuum enters the tenant of its table instead.
///
/// # Errors
/// As [`confirm`].
pub fn ensure_still_open() -> Result<()> {
    calls::ensure_not_ended()?;
    if upkeep::is_due() {
        upkeep::enter();
        return Ok(());
    }
    if state::is_spoilt() {
        return Err(Error::ChangeRefused);
    }
    let org = active_org().ok_or_else(|| Error::Bug("an active tenant without an org".to_owned()))?;
    let (tenant, schema) = admit(&org)?;
    if tenant.id != state::current().tenant || Some(schema) != active_schema() {
        return Err(Error::UnknownTenant { org });
    }
    Ok(())
}

/// What makes a tenant impossible at this point, whatever tenant it is.
fn ensure_may_set() -> Result<()> {
    calls::ensure_not_ended()?;
    if !crate::is_preloaded() {
        return Err(Error::NotPreloaded);
    }
    cache::ensure_location()?;
    // PostgreSQL's maintenance runs other people's code, too: a tenant's function that an administrator's ANALYZE runs enters
    // no tenant.
    if session::is_in_restricted_code() {
        return Err(Error::InDefinerFunction);
    }
    if running::is_any() {
        return Err(Error::InQuery);
    }
    match settings::reverting_at_function_exit() {
        Some(setting) => Err(Error::UnderFunctionSet { setting }),
        None => Ok(()),
    }
}

/// The session's tenant was to end or to change, and that is refused: it is not entered again.
pub fn note_refused_change() {
    state::spoil();
}

/// The refusal of a change of `plio.tenant` by a way that does not lead here: it counts as any refused change.
pub fn refused_setting() -> Error {
    state::spoil();
    Error::TenantSettingRefused
}

/// As [`refused_setting`], where the setting is locked.
pub fn locked_setting() -> Error {
    state::spoil();
    Error::LockedSetting { setting: "plio.tenant" }
}

/// Finds the tenant, locks it for the transaction, and checks that the session's user may enter it.
///
/// The lock waits for whoever suspends, renames or drops the tenant, and takes in what they changed; so what was
/// known before the lock counts only if it still holds under it.
fn admit(org: &str) -> Result<(Rc<Tenant>, Oid)> {
    let user = user();
    if let Some(tenant) = cache::admitted(user, org)
        && let Some(schema) = tenant.schema
    {
        lock::tenant_shared(schema);
        session::accept_invalidations();
        if cache::admitted(user, org).is_some() {
            return Ok((tenant, schema));
        }
    }
    let org = Org::parse(org).map_err(Error::BadOrg)?;
    cache::admit(user, || admit_anew(&org, user))
}

fn admit_anew(org: &Org, user: Oid) -> Result<(Rc<Tenant>, Oid)> {
    // Who may not enter is not told whether there is such a tenant.
    let refusal = |exists: bool| {
        if !exists && cache::knows_every_org(user) {
            Error::UnknownTenant { org: org.to_string() }
        } else {
            Error::NotPermitted { org: org.to_string(), exists }
        }
    };
    let ensure_permitted =
        |tenant: &Tenant| if cache::may_enter(user, tenant) { Ok(()) } else { Err(refusal(true)) };
    lock_open(org, || refusal(false), ensure_permitted)
}

/// The tenant and its schema: locked until the (sub)transaction ends, whole, and open. `ensure_permitted` is asked before
/// the lock and under it, and before anything is said of the tenant's state.
fn lock_open(
    org: &Org,
    unknown: impl Fn() -> Error,
    ensure_permitted: impl Fn(&Tenant) -> Result<()>,
) -> Result<(Rc<Tenant>, Oid)> {
    let lost = |what| Error::Broken { org: org.to_string(), what };
    let permitted = || {
        cache::ensure_location()?;
        let tenant = cache::tenant(org).ok_or_else(&unknown)?;
        ensure_permitted(&tenant)?;
        Ok(tenant)
    };
    // In a transaction that is open already, nothing has taken in yet what was granted or made since.
    let mut tenant = permitted().or_else(|_| cache::settled(permitted))?;
    loop {
        let schema = tenant.schema.ok_or_else(|| lost("schema"))?;
        lock::tenant_shared(schema);
        let again = cache::settled(permitted)?;
        if again.id == tenant.id && again.schema == tenant.schema {
            if again.has_lost_role {
                return Err(lost("role"));
            }
            let org = org.to_string();
            return match again.status {
                Status::Active => Ok((again, schema)),
                Status::Suspended => Err(Error::Suspended { org }),
                Status::Dropping => Err(Error::BeingDropped { org, is_entering: true }),
            };
        }
        tenant = again;
    }
}

/// What goes on with the tenant of before: a cursor of this transaction, or the statement that a trigger belongs to.
fn ensure_may_leave() -> Result<()> {
    if pending::is_in_trigger() {
        return Err(Error::InQuery);
    }
    if portal::has_ready() && portal::has_cursor(|cursor| cursor == Cursor::Open) {
        return Err(Error::OpenCursors);
    }
    Ok(())
}

/// A prepared statement of another tenant's is dropped on entering: it may not be running.
fn ensure_not_executing(entering: crate::tenant::TenantId) -> Result<()> {
    if running::is_executing() && prepared::has_others(entering) { Err(Error::InQuery) } else { Ok(()) }
}

/// The search_path that entering the active tenant set.
pub fn own_path() -> Option<CString> {
    let org = Org::parse(&active_org()?).ok()?;
    Some(cache::tenant(&org)?.search_path.clone())
}

/// Puts the tenant in force.
fn apply(tenant: &Tenant, schema: Oid, scope: Scope) {
    let lifetime = match scope {
        Scope::Session => Lifetime::Session,
        Scope::Transaction | Scope::Visit | Scope::VisitAsOwner => Lifetime::Transaction,
    };
    let role = tenant.role.as_ref();
    let state = State {
        schema: schema.to_u32(),
        role: role.map_or(0, |role| role.oid.to_u32()),
        tenant: tenant.id,
        entered_as: user().to_u32(),
        serial: state::next_serial(),
        scope,
    };
    let value = match scope {
        Scope::Transaction => tenant.state_value.get_or_init(|| state.value(&tenant.org)),
        Scope::Session | Scope::Visit | Scope::VisitAsOwner => &state.value(&tenant.org),
    };
    let role = role.map(|role| (role.oid, role.name.as_c_str()));
    settings::enter(&settings::Entering { path: &tenant.search_path, role, state, value }, lifetime);
}

/// Refuses access when the session's role is no longer the tenant's.
///
/// # Errors
/// 42501: somebody got past the lock on `role`.
pub fn ensure_role() -> Result<()> {
    match active_role() {
        Some(role) if role != session::outer_user() => Err(Error::WrongRole),
        _ => Ok(()),
    }
}

/// Refuses management inside a tenant.
///
/// # Errors
/// 25001.
pub fn ensure_no_tenant(function: &'static str) -> Result<()> {
    if is_active() { Err(Error::ManagementInTenant { function }) } else { Ok(()) }
}
