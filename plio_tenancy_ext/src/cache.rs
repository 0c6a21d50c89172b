//! What this backend knows: org -> tenant, schema and relation -> what they are to tenancy, role -> what it may.
//!
//! Filled on demand from the registry and the catalogs, forgotten as a whole when PostgreSQL's invalidation
//! messages say that the registry, a schema, a role or a membership changed. Callbacks only set a flag: they run at
//! moments when nothing may be read, allocated or raised. Nothing is borrowed while PostgreSQL is called, so a
//! callback, a nested look-up or an error can never meet a borrowed cache.

pub mod code;
mod oid_map;
mod places;
mod shares;

use self::oid_map::OidMap;
pub use self::places::{
    CONNECTORS, NOTIFIER, SchemaKind, connector_of, inheritors, place_of_relation, place_of_schema,
    schema_kind,
};
use self::shares::Shares;
pub use self::shares::{Renaming, remember_shares, take_renaming};
use crate::pg::{self, catalog, session};
use crate::policy::{Actor, Place};
use crate::registry::{self, Location};
use crate::tenant::{Org, ShareMode, Status, TenantId};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ffi::CString;
use std::hash::{BuildHasher, Hash};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Beyond so many entries of a kind the cache starts afresh: bounded memory, whatever a backend touches.
const MOST_ENTRIES: usize = 4096;

/// A tenant, resolved: its schema and role are there.
#[derive(Debug)]
pub struct Tenant {
    pub id: TenantId,
    pub org: String,
    pub status: Status,
    /// The schema; `None` when the registry's name leads nowhere.
    pub schema: Option<Oid>,
    /// The tenant's own role and its name; `None` for an adopted tenant.
    pub role: Option<Role>,
    /// The registry names a role that is not there.
    pub has_lost_role: bool,
    /// The search_path inside the tenant.
    pub search_path: CString,
    /// The value of `plio.tenant` for a transaction in the tenant, once it was needed.
    pub state_value: OnceCell<CString>,
}

impl Tenant {
    /// The same tenant with a role that stands in for the one it does not have.
    pub fn with_role(&self, role: Role) -> Self {
        Self {
            id: self.id,
            org: self.org.clone(),
            status: self.status,
            schema: self.schema,
            role: Some(role),
            has_lost_role: self.has_lost_role,
            search_path: self.search_path.clone(),
            state_value: OnceCell::new(),
        }
    }
}

/// A role, by oid and name.
#[derive(Debug)]
pub struct Role {
    pub oid: Oid,
    pub name: CString,
}

#[derive(Default)]
struct Cache {
    location: Option<Option<Location>>,
    tenants: HashMap<String, Rc<Tenant>>,
    schemas: OidMap<Oid, SchemaKind>,
    relations: OidMap<Oid, Place>,
    inheritors: OidMap<Oid, Rc<[Oid]>>,
    connectors: OidMap<Oid, Option<&'static str>>,
    actors: OidMap<Oid, Actor>,
    entries: OidMap<(Oid, TenantId), bool>,
    reaching: OidMap<Oid, bool>,
    shares: Option<Rc<Shares>>,
    admitted: Option<(Oid, Rc<Tenant>)>,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

// Statics, since reading a thread-local costs a call in a library.
static STALE: AtomicBool = AtomicBool::new(true);
static RELATIONS_STALE: AtomicBool = AtomicBool::new(false);

/// A few schemas known to be no tenant's, so that the hot path need not ask again. 0 for none.
static NEUTRAL_SCHEMAS: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];

/// The schema `plio`, as [`location`] found it last; 0 for none.
static REGISTRY: AtomicU32 = AtomicU32::new(0);

/// Whether that is the schema of the registry. No PostgreSQL call, no borrow.
pub fn is_registry(schema: Oid) -> bool {
    REGISTRY.load(Relaxed) == schema.to_u32()
}

/// Registers the callbacks. Must come before the hooks.
pub fn install() {
    use pg_sys::SysCacheIdentifier as Id;
    // SAFETY: the callbacks only set flags; registered once a process (or once in the postmaster, inherited).
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(on_relation_change), pg_sys::Datum::null());
        for id in [Id::NAMESPACEOID, Id::AUTHOID, Id::AUTHMEMROLEMEM] {
            pg_sys::CacheRegisterSyscacheCallback(id as i32, Some(on_catalog_change), pg_sys::Datum::null());
        }
    }
    code::install();
}

unsafe extern "C-unwind" fn on_catalog_change(_argument: pg_sys::Datum, _cache: i32, _hash: u32) {
    forget();
}

unsafe extern "C-unwind" fn on_relation_change(_argument: pg_sys::Datum, relation: Oid) {
    // Where the extension is not installed there is nothing to forget: its schema's creation will say so.
    let is_registry = relation == pg_sys::InvalidOid
        || CACHE.with(|cache| match cache.try_borrow() {
            Ok(cache) => cache.location.flatten().is_some_and(|location| location.has_table(relation)),
            Err(_) => true,
        });
    if is_registry {
        forget();
    } else {
        RELATIONS_STALE.store(true, Relaxed);
    }
}

/// Forgets everything at the next look.
pub fn forget() {
    STALE.store(true, Relaxed);
    code::forget();
    for slot in &NEUTRAL_SCHEMAS {
        slot.store(0, Relaxed);
    }
}

/// Whether the schema was found to be no tenant's, and nothing has changed since. No PostgreSQL call, no borrow.
pub fn is_known_neutral(schema: Oid) -> bool {
    NEUTRAL_SCHEMAS.iter().any(|slot| slot.load(Relaxed) == schema.to_u32())
}

/// Remembers a schema for [`is_known_neutral`], unless it is a tenant's.
pub fn remember_neutral(schema: Oid) {
    if schema_kind(schema) == SchemaKind::Tenant || STALE.load(Relaxed) || is_known_neutral(schema) {
        return;
    }
    let free = NEUTRAL_SCHEMAS.iter().find(|slot| slot.load(Relaxed) == 0);
    free.unwrap_or(&NEUTRAL_SCHEMAS[schema.to_u32() as usize % NEUTRAL_SCHEMAS.len()])
        .store(schema.to_u32(), Relaxed);
}

/// Runs `f` on the cache after throwing away what is stale. `f` calls nothing of PostgreSQL's.
fn with<R>(f: impl FnOnce(&mut Cache) -> R) -> R {
    CACHE.with_borrow_mut(|cache| {
        if take(&STALE) {
            *cache = Cache::default();
            RELATIONS_STALE.store(false, Relaxed);
        } else if take(&RELATIONS_STALE) {
            cache.relations.clear();
            cache.inheritors.clear();
            cache.reaching.clear();
        }
        f(cache)
    })
}

/// Takes a flag down. A backend has one thread: no locked instruction is needed.
fn take(flag: &AtomicBool) -> bool {
    let was_up = flag.load(Relaxed);
    if was_up {
        flag.store(false, Relaxed);
    }
    was_up
}

fn insert_bounded<K: Hash + Eq, V, S: BuildHasher>(map: &mut HashMap<K, V, S>, key: K, value: V) {
    if map.len() >= MOST_ENTRIES {
        map.clear();
    }
    map.insert(key, value);
}

/// Where the registry is; `None` when the extension is not installed in this database.
pub fn location() -> Option<Location> {
    if let Some(known) = with(|cache| cache.location) {
        return known;
    }
    let found = registry::locate();
    REGISTRY.store(found.map_or(0, |location| location.schema.to_u32()), Relaxed);
    with(|cache| cache.location = Some(found));
    found
}

/// The share of a relation or a schema as such, if it is shared.
pub fn share_row(class: Oid, object: Oid) -> Option<registry::ShareRow> {
    shares()?.row_of(class, object)
}

/// The tenant that this user was admitted to last, if it is that org's and nothing has changed since.
pub fn admitted(user: Oid, org: &str) -> Option<Rc<Tenant>> {
    with(|cache| {
        cache
            .admitted
            .as_ref()
            .filter(|(who, tenant)| *who == user && tenant.org == org)
            .map(|(_, t)| Rc::clone(t))
    })
}

/// Remembers a tenant for [`admitted`].
pub fn remember_admitted(user: Oid, tenant: &Rc<Tenant>) {
    with(|cache| cache.admitted = Some((user, Rc::clone(tenant))));
}

/// The tenant of that org.
pub fn tenant(org: &Org) -> Option<Rc<Tenant>> {
    if let Some(known) = with(|cache| cache.tenants.get(org.as_str()).cloned()) {
        return Some(known);
    }
    let row = location()?.tenant_by_org(org.as_str())?;
    let role = row
        .role_name
        .as_deref()
        .and_then(|name| Some(Role { oid: catalog::role_oid(name)?, name: CString::new(name).ok()? }));
    let path = format!("{}{}, pg_temp", pg::quote_identifier(&row.schema_name), shares()?.path_tail);
    let tenant = Rc::new(Tenant {
        id: row.id,
        org: row.org,
        status: row.status,
        schema: catalog::schema_oid(&row.schema_name),
        has_lost_role: row.role_name.is_some() && role.is_none(),
        role,
        search_path: CString::new(path).ok()?,
        state_value: OnceCell::new(),
    });
    let kept = Rc::clone(&tenant);
    with(|cache| insert_bounded(&mut cache.tenants, org.as_str().to_owned(), kept));
    Some(tenant)
}

/// The tenant whose schema that is: its key and org.
pub fn tenant_of_schema(schema: Oid) -> Option<(TenantId, String)> {
    let row = location()?.tenant_by_schema(&catalog::schema_name(schema)?)?;
    Some((row.id, row.org))
}

fn share_of(relation: Oid) -> Option<ShareMode> {
    shares()?.relations.get(&relation).copied()
}

fn shares() -> Option<Rc<Shares>> {
    if let Some(known) = with(|cache| cache.shares.clone()) {
        return Some(known);
    }
    let loaded = Rc::new(shares::load(&location()?));
    let kept = Rc::clone(&loaded);
    with(|cache| cache.shares = Some(kept));
    Some(loaded)
}

/// What a role is: a superuser or a member of plio_admin administers.
pub fn actor(role: Oid) -> Actor {
    if let Some(known) = with(|cache| cache.actors.get(&role).copied()) {
        return known;
    }
    let administers = catalog::is_superuser(role)
        || catalog::role_oid("plio_admin").is_some_and(|admin| catalog::has_privileges_of(role, admin));
    let actor = if administers { Actor::Administrator } else { Actor::Ordinary };
    with(|cache| insert_bounded(&mut cache.actors, role, actor));
    actor
}

/// Whether a role may read a tenant's tables by PostgreSQL's privileges: as the owner of its schema, by a grant to it or to a
/// group of its, or as a reader of everything.
pub fn reaches_tenants(role: Oid) -> bool {
    if let Some(known) = with(|cache| cache.reaching.get(&role).copied()) {
        return known;
    }
    let tenants = location().map(|location| location.every_tenant()).unwrap_or_default();
    let owns_any = || {
        let schemas = tenants.iter().filter_map(|tenant| catalog::schema_oid(&tenant.schema_name));
        let mut owners: Vec<Oid> = schemas.filter_map(catalog::schema_owner).collect();
        owners.sort_unstable_by_key(|owner| owner.to_u32());
        owners.dedup();
        owners.into_iter().any(|owner| catalog::has_privileges_of(role, owner))
    };
    let is_tenants = |relation: &Oid| {
        catalog::relation_schema(*relation).is_some_and(|schema| schema_kind(schema) == SchemaKind::Tenant)
    };
    let is_granted_any = || {
        catalog::with_groups(role).into_iter().any(|role| catalog::relations_of(role).iter().any(is_tenants))
    };
    let reaches = !tenants.is_empty() && (catalog::reads_everything(role) || owns_any() || is_granted_any());
    with(|cache| insert_bounded(&mut cache.reaching, role, reaches));
    reaches
}

/// Whether a role may enter the tenant: an administrator, or a role (or member of one) that was granted access.
///
/// The registry names roles; a grant counts only while that very role stands in the access list of the schema
/// `plio` (grant_access puts it there), so that a new role under an old name inherits nothing.
pub fn may_enter(role: Oid, tenant: &Tenant) -> bool {
    if actor(role) == Actor::Administrator {
        return true;
    }
    if let Some(known) = with(|cache| cache.entries.get(&(role, tenant.id)).copied()) {
        return known;
    }
    let Some(location) = location() else { return false };
    let allowed = location.roles_with_access(&tenant.org).iter().any(|name| {
        catalog::role_oid(name).is_some_and(|granted| {
            catalog::has_privileges_of(role, granted)
                && catalog::is_named_in_schema_acl(location.schema, granted)
        })
    });
    with(|cache| insert_bounded(&mut cache.entries, (role, tenant.id), allowed));
    allowed
}

/// The statement-level trigger on the registry's tables: tells every backend, at commit, to look again.
pub fn on_registry_change(table: Oid) {
    session::invalidate_relation(table);
    forget();
}
