//! What holds: the tenant in force, as the assign hook of `plio.tenant` keeps it in step with the setting's value.
//!
//! Plain data in statics, which the hot path reads without a call; nothing here asks or changes anything else.

use super::{calls, upkeep};
use crate::pg::session;
use crate::tenant::TenantId;
use pgrx::pg_sys::Oid;
use std::cell::Cell;
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Who ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `set_tenant`: locked until the transaction ends, with the tenant's role.
    Transaction,
    /// `SET plio.tenant`: until changed or reset, with the tenant's role, too; checked anew in every transaction.
    Session,
    /// A report's visit: as a transaction's tenant, until the visit's subtransaction is rolled back.
    Visit,
    /// The same in a tenant without a role of its own, whose schema's owner stands in for it: one layer, though the session
    /// has a role.
    VisitAsOwner,
}

impl Scope {
    /// The setting's word for it.
    fn word(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Session => "session",
            Self::Visit => "visit",
            Self::VisitAsOwner => "visit-as-owner",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Transaction, Self::Session, Self::Visit, Self::VisitAsOwner]
            .into_iter()
            .find(|scope| scope.word() == word)
    }
}

/// The state as the setting's value carries it: plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The tenant's schema; 0 when none is active.
    pub schema: u32,
    /// The tenant's role, switched to; 0 when the session's own role stays.
    pub role: u32,
    /// The registry's key.
    pub tenant: TenantId,
    /// The role that was admitted; 0 in what a parallel worker is handed for a transaction's tenant.
    pub entered_as: u32,
    /// Counts the states of this process up, for [`is_spoilt`].
    pub serial: u64,
    /// Who ends it.
    pub scope: Scope,
}

impl State {
    /// No tenant.
    pub const NONE: Self = Self {
        schema: 0,
        role: 0,
        tenant: TenantId(0),
        entered_as: 0,
        serial: u64::MAX,
        scope: Scope::Transaction,
    };

    /// The setting's value for this state and the org it belongs to. A transaction's tenant is checked once, when it is
    /// entered: its value does not say who was admitted, and so it is the same for every role.
    pub fn value(&self, org: &str) -> CString {
        let (scope, entered_as) = match self.scope {
            Scope::Session => (self.scope.word(), self.entered_as),
            _ => (self.scope.word(), 0),
        };
        let value = format!("{org} {} {} {} {entered_as} {scope}", self.schema, self.role, self.tenant.0);
        // An org holds no NUL, so neither does the value.
        CString::new(value).unwrap_or_default()
    }

    /// Reads the setting's value, `<org> <schema> <role> <tenant_id> <entered_as> <scope>`; `None` unless this module wrote it.
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split(' ').skip(1);
        let schema = words.next()?.parse().ok()?;
        let role = words.next()?.parse().ok()?;
        let tenant = TenantId(words.next()?.parse().ok()?);
        let entered_as = words.next()?.parse().ok()?;
        let scope = Scope::parse(words.next()?)?;
        let serial = u64::MAX;
        words.next().is_none().then_some(Self { schema, role, tenant, entered_as, serial, scope })
    }
}

/// The active tenant's schema, for the hot path; 0 when none is active.
static SCHEMA: AtomicU32 = AtomicU32::new(0);
/// The role that the session must have while the tenant is active; 0 when any will do.
static ROLE: AtomicU32 = AtomicU32::new(0);
/// The active tenant has no role of its own.
static HAS_ONE_LAYER: AtomicBool = AtomicBool::new(false);
/// A report visits the active tenant.
static IS_VISIT: AtomicBool = AtomicBool::new(false);
/// A session's tenant was checked against the registry, and locked, in this transaction.
static IS_CONFIRMED: AtomicBool = AtomicBool::new(false);

/// The serial of the state that was made last.
static LAST_SERIAL: AtomicU64 = AtomicU64::new(0);
/// The last state that was there when a change of the tenant was refused. Not undone by a rollback: the application may not
/// have noticed.
static SPOILT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static STATE: Cell<State> = const { Cell::new(State::NONE) };
}

/// Takes over a state; called by the setting's assign hook alone, so it cannot fail.
pub fn assign(state: State) {
    STATE.set(state);
    SCHEMA.store(state.schema, Relaxed);
    ROLE.store(state.role, Relaxed);
    let has_no_role = state.schema != 0 && (state.role == 0 || state.scope == Scope::VisitAsOwner);
    HAS_ONE_LAYER.store(has_no_role, Relaxed);
    IS_VISIT.store(matches!(state.scope, Scope::Visit | Scope::VisitAsOwner), Relaxed);
    IS_CONFIRMED.store(state.scope != Scope::Session, Relaxed);
}

/// A serial for a new state.
pub(super) fn next_serial() -> u64 {
    let serial = LAST_SERIAL.load(Relaxed) + 1;
    LAST_SERIAL.store(serial, Relaxed);
    serial
}

/// A change of the tenant was refused: no session's tenant that there is now will be entered again.
pub(super) fn spoil() {
    SPOILT.store(LAST_SERIAL.load(Relaxed), Relaxed);
    forget_confirmation();
}

/// Whether a session's tenant is in force that the application wanted to change since, in vain.
pub(super) fn is_spoilt() -> bool {
    let state = STATE.get();
    state.scope == Scope::Session && state.serial <= SPOILT.load(Relaxed)
}

/// The role that was admitted to the active tenant.
pub(super) fn entered_as() -> Option<Oid> {
    let state = STATE.get();
    (state.entered_as != 0).then(|| Oid::from(state.entered_as))
}

/// The state itself.
#[inline]
pub(super) fn current() -> State {
    STATE.get()
}

/// Whether the tenant was checked and locked in this transaction.
#[inline]
pub(super) fn is_confirmed() -> bool {
    IS_CONFIRMED.load(Relaxed)
}

/// It was.
#[inline]
pub(super) fn confirm() {
    IS_CONFIRMED.store(true, Relaxed);
}

/// A session's tenant must be checked again.
#[inline]
pub(super) fn forget_confirmation() {
    IS_CONFIRMED.store(STATE.get().scope != Scope::Session, Relaxed);
}

/// The active tenant's schema.
#[inline]
pub fn active_schema() -> Option<Oid> {
    let schema = SCHEMA.load(Relaxed);
    (schema != 0).then(|| Oid::from(schema))
}

/// The role that the session must have now.
#[inline]
pub fn active_role() -> Option<Oid> {
    let role = ROLE.load(Relaxed);
    (role != 0).then(|| Oid::from(role))
}

/// Whether a tenant is active.
#[inline]
pub fn is_active() -> bool {
    SCHEMA.load(Relaxed) != 0
}

/// Whether the session has the active tenant's role, whose change is refused.
#[inline]
pub fn holds_role() -> bool {
    ROLE.load(Relaxed) != 0
}

/// Whether the active tenant has no role of its own: only the access check holds then, and what it does not see is
/// denied by default.
#[inline]
pub fn is_one_layer() -> bool {
    HAS_ONE_LAYER.load(Relaxed)
}

/// Whether somebody else's rights may be in force than those of the active tenant's role: a definer function's owner's, say.
#[inline]
pub fn may_have_other_rights() -> bool {
    let role = ROLE.load(Relaxed);
    role != 0 && session::current_user().to_u32() != role
}

/// Whether a report visits the active tenant. Parallel workers know it, too.
#[inline]
pub fn is_visit() -> bool {
    IS_VISIT.load(Relaxed)
}

/// Whether the active tenant is locked until the transaction ends.
#[inline]
pub fn is_locked() -> bool {
    is_active() && STATE.get().scope != Scope::Session
}

/// Whether a session's tenant must still be checked in this transaction (a parallel worker's leader did), or autovacuum has
/// not been put into its table's.
#[inline]
pub fn needs_confirmation() -> bool {
    (is_active() && !IS_CONFIRMED.load(Relaxed) && !session::is_parallel_worker())
        || upkeep::is_due()
        || calls::is_ended()
}

/// The active tenant, by the registry's key.
#[inline]
pub fn active_tenant() -> Option<TenantId> {
    is_active().then(|| STATE.get().tenant)
}
