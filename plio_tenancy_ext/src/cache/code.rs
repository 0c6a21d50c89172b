//! Whose functions and operators run inside tenants, and what belongs to an extension.
//!
//! Inside a tenant code runs that is the tenant's, that lies in a shared schema or was shared by name, or that belongs to a
//! role which is trusted there: a superuser, an administrator, the login role, a role that it is a member of, the tenant. All
//! other code would do whatever its owner likes, as every tenant that calls it or finds it on its path.
//!
//! What was found trusted is kept in slots that the hot path reads without a call. A slot holds the generation that was valid
//! before the look-up began: a change that comes meanwhile makes it worthless.

use super::{SchemaKind, actor, place_of_schema, schema_kind, shares};
use crate::context;
use crate::pg::catalog::{self, Code};
use crate::pg::{FIRST_NORMAL_OID, raw, session};
use crate::policy::{self, Actor, CodeOwner};
use pgrx::pg_sys::{self, Oid};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Grows with each change of functions, operators, roles, schemas or of the registry.
static GENERATION: AtomicU32 = AtomicU32::new(1);
/// The session's user for whom the slots hold.
static USER: AtomicU32 = AtomicU32::new(0);

/// A function that may run without being looked at: its oid and the generation; the tenant's schema, 0 for everywhere.
struct Slot {
    function: AtomicU64,
    schema: AtomicU32,
}

static SLOTS: [Slot; 256] = [const { Slot { function: AtomicU64::new(0), schema: AtomicU32::new(0) } }; 256];

/// Registers the callbacks. Must come before the hooks.
pub fn install() {
    use pg_sys::SysCacheIdentifier as Id;
    for id in [Id::PROCOID, Id::OPEROID] {
        // SAFETY: the callback only counts.
        unsafe { pg_sys::CacheRegisterSyscacheCallback(id as i32, Some(on_change), pg_sys::Datum::null()) };
    }
}

unsafe extern "C-unwind" fn on_change(_argument: pg_sys::Datum, _cache: i32, _hash: u32) {
    forget();
}

/// Forgets everything.
pub fn forget() {
    GENERATION.fetch_add(1, Relaxed);
}

/// What [`remember`] wants to know of the time before the look-up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Before(u32);

/// A look-up is about to begin.
pub fn begin() -> Before {
    Before(GENERATION.load(Relaxed))
}

fn slot_of(function: Oid) -> &'static Slot {
    &SLOTS[function.to_u32() as usize % SLOTS.len()]
}

fn entry(function: Oid, generation: u32) -> u64 {
    u64::from(function.to_u32()) << 32 | u64::from(generation)
}

/// Whether the function may run in the active tenant (or where there is none), and nothing has changed since that was found.
pub fn is_known(function: Oid, active: Option<Oid>) -> bool {
    let slot = slot_of(function);
    if slot.function.load(Relaxed) != entry(function, GENERATION.load(Relaxed)) {
        return false;
    }
    // SAFETY: reads a global.
    let user = unsafe { raw::GetSessionUserId() }.to_u32();
    let schema = slot.schema.load(Relaxed);
    user == USER.load(Relaxed) && (schema == 0 || active.is_some_and(|active| active.to_u32() == schema))
}

/// Remembers a function for [`is_known`]: in the active tenant, or everywhere.
pub fn remember(function: Oid, before: Before, only_in: Option<Oid>) {
    let user = session::session_user().to_u32();
    if USER.swap(user, Relaxed) != user {
        forget();
        return;
    }
    let slot = slot_of(function);
    slot.function.store(0, Relaxed);
    slot.schema.store(only_in.map_or(0, |schema| schema.to_u32()), Relaxed);
    slot.function.store(entry(function, before.0), Relaxed);
}

/// An oid that a slot holds with its generation; looked up again after a change.
pub fn keep(slot: &AtomicU64, look_up: impl FnOnce() -> Option<Oid>) -> Option<Oid> {
    let generation = GENERATION.load(Relaxed);
    let kept = slot.load(Relaxed);
    if kept != 0 && kept as u32 == generation {
        return Some(Oid::from((kept >> 32) as u32));
    }
    let found = look_up();
    slot.store(found.map_or(0, |oid| entry(oid, generation)), Relaxed);
    found
}

/// Where a function or an operator is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// In every tenant that this session may enter.
    Everywhere,
    /// In the active tenant.
    Here,
    /// Not where we are; without a tenant perhaps in one.
    Nowhere,
}

/// Where a function is trusted.
pub fn trust_in_function(function: Oid) -> Trust {
    let Some(code) = catalog::function(function) else { return Trust::Everywhere };
    let is_shared = || shares().is_some_and(|shares| shares.functions.contains(&function));
    trust(code, pg_sys::ProcedureRelationId, function, is_shared)
}

/// Where an operator is trusted.
pub fn trust_in_operator(operator: Oid) -> Trust {
    let Some(code) = catalog::operator(operator) else { return Trust::Everywhere };
    trust(code, pg_sys::Oid::from(OPERATOR_CLASS), operator, || false)
}

/// pg_operator.
const OPERATOR_CLASS: u32 = 2617;

fn trust(code: Code, class: Oid, object: Oid, is_shared: impl Fn() -> bool) -> Trust {
    let active = context::active_schema();
    let place = place_of_schema(code.schema, active);
    if policy::is_code_trusted(place, owner_of_code(code.owner, None)) || is_shared() {
        return if active == Some(code.schema) { Trust::Here } else { Trust::Everywhere };
    }
    if policy::is_code_trusted(place, owner_of_code(code.owner, active)) {
        return Trust::Here;
    }
    // The role that installed us may not be a superuser any more: what is ours must go on saying so.
    if schema_kind(code.schema) == SchemaKind::Registry && is_ours(class, object) {
        return Trust::Everywhere;
    }
    Trust::Nowhere
}

fn is_ours(class: Oid, object: Oid) -> bool {
    let extension = catalog::extension_of(class, object);
    extension.is_some() && extension == catalog::extension_oid(crate::registry::EXTENSION)
}

/// Who owns code, as seen from the session, and from the tenant if one is given.
fn owner_of_code(owner: Oid, active: Option<Oid>) -> CodeOwner {
    if actor(owner) == Actor::Administrator || is_sessions_own(owner) {
        return CodeOwner::Trusted;
    }
    match active {
        Some(schema)
            if context::active_role() == Some(owner) || catalog::schema_owner(schema) == Some(owner) =>
        {
            CodeOwner::Tenant
        }
        _ => CodeOwner::Stranger,
    }
}

/// Whether the role is the session's user, or a group of the application's that it is a member of. Groups which PostgreSQL or
/// we made, and tenants' roles, have members who are strangers to each other.
fn is_sessions_own(role: Oid) -> bool {
    let user = session::session_user();
    user == role
        || (role.to_u32() >= FIRST_NORMAL_OID
            && catalog::is_member_of(user, role)
            && !catalog::is_tenant_role(role)
            && !catalog::role_name(role).is_some_and(|name| OUR_GROUPS.contains(&name.as_str())))
}

/// The groups that the install script makes.
pub const OUR_GROUPS: [&str; 4] = ["plio_admin", "plio_auditor", "plio_reporter", "plio_tenant"];

/// Whether a relation belongs to an extension, and both to trusted roles: a role that may create in the database can install a
/// trusted extension, and put what it likes into it.
pub fn is_trusted_member(relation: Oid) -> bool {
    let administers = |owner: Option<Oid>| owner.is_some_and(|owner| actor(owner) == Actor::Administrator);
    catalog::extension_of(pg_sys::RelationRelationId, relation)
        .is_some_and(|extension| administers(catalog::extension_owner(extension)))
        && administers(catalog::relation_owner(relation))
}

/// Whether a relation belongs to a role that is trusted in the active tenant.
pub fn is_owner_trusted(relation: Oid) -> bool {
    catalog::relation_owner(relation)
        .is_some_and(|owner| owner_of_code(owner, context::active_schema()) != CodeOwner::Stranger)
}

/// The schemas of the extensions that belong to trusted roles.
pub fn trusted_extension_schemas() -> impl Iterator<Item = Oid> {
    let extensions = catalog::extensions().into_iter();
    extensions
        .filter(|extension| actor(extension.owner) == Actor::Administrator)
        .map(|extension| extension.schema)
}
