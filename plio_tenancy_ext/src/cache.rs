//! What this backend knows: org -> tenant, schema and relation -> what they are to tenancy, role -> what it may.
//!
//! Filled on demand from the registry and the catalogs, forgotten as a whole when PostgreSQL's invalidation
//! messages say that the registry, a schema, a role or a membership changed. Callbacks only count: they run at
//! moments when nothing may be read, allocated or raised. Nothing is borrowed while PostgreSQL is called, so a
//! callback, a nested look-up or an error can never meet a borrowed cache. store.rs keeps what a look-up found out of
//! the cache when something was invalidated while the look-up ran.

pub mod code;
mod oid_map;
mod places;
mod shares;
mod store;

pub use self::places::{
    CONNECTORS, NOTIFIER, SchemaKind, connector_of, inheritors, place_of_relation, place_of_schema,
    schema_kind,
};
use self::shares::Shares;
pub use self::shares::{Renaming, forget_renaming, remember_shares, take_renaming};
use self::store::insert_bounded;
pub use self::store::{forget, is_known_neutral, note_left_out, settled};
use crate::error::{Error, Result};
use crate::pg::{self, catalog, session};
use crate::policy::Actor;
use crate::registry::{self, Installed, Location};
use crate::tenant::{Org, ShareMode, Status, TenantId};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use std::cell::OnceCell;
use std::ffi::CString;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

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
    /// The registry names a role that is not there, or that does not own the schema.
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

/// The schema `plio`, as [`installed`] found it last; 0 for none.
static REGISTRY: AtomicU32 = AtomicU32::new(0);

/// Whether that is the schema of the registry. No PostgreSQL call, no borrow.
pub fn is_registry(schema: Oid) -> bool {
    REGISTRY.load(Relaxed) == schema.to_u32()
}

/// Registers the callbacks. Must come before the hooks.
pub fn install() {
    use pg_sys::SysCacheIdentifier as Id;
    // SAFETY: the callbacks only count; registered once a process (or once in the postmaster, inherited).
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
    store::on_relation_change(relation);
}

/// Remembers a schema for [`is_known_neutral`], unless it is a tenant's.
pub fn remember_neutral(schema: Oid) {
    store::remember_neutral(schema, || schema_kind(schema) == SchemaKind::Tenant);
}

/// Whether the extension is installed in this database, and where its registry is.
pub fn installed() -> Installed {
    if let Some(known) = store::read(|cache| cache.installed) {
        return known;
    }
    // That it is broken is never kept: nothing announces that DROP EXTENSION has ended.
    let keep = |found: &Installed| (*found != Installed::Broken).then_some(*found);
    let found = store::fill(registry::locate, |cache, found| cache.installed = keep(found));
    let schema = if let Installed::Whole(location) = &found { location.schema.to_u32() } else { 0 };
    REGISTRY.store(schema, Relaxed);
    found
}

/// Where the registry is; `None` when it cannot be read. Who judges by it asks [`crate::hooks::has_registry`] before.
pub fn location() -> Option<Location> {
    match installed() {
        Installed::Whole(location) => Some(location),
        Installed::No | Installed::Broken => None,
    }
}

/// Where the registry is, for what cannot be done without.
///
/// # Errors
/// 55000.
pub fn ensure_location() -> Result<Location> {
    match installed() {
        Installed::Whole(location) => Ok(location),
        Installed::No => Err(Error::NotInstalled),
        Installed::Broken => Err(Error::RegistryBroken),
    }
}

/// The share of a relation or a schema as such, if it is shared.
pub fn share_row(class: Oid, object: Oid) -> Option<registry::ShareRow> {
    shares()?.row_of(class, object)
}

/// The tenant that this user was admitted to last, if it is that org's and nothing has changed since.
pub fn admitted(user: Oid, org: &str) -> Option<Rc<Tenant>> {
    store::read(|cache| {
        cache
            .admitted
            .as_ref()
            .filter(|(who, tenant)| *who == user && tenant.org == org)
            .map(|(_, t)| Rc::clone(t))
    })
}

/// Admits the user by `admit`, and remembers the tenant for [`admitted`] if nothing changed meanwhile.
pub fn admit(user: Oid, admit: impl FnOnce() -> Result<(Rc<Tenant>, Oid)>) -> Result<(Rc<Tenant>, Oid)> {
    store::fill(admit, |cache, result| {
        if let Ok((tenant, _)) = result {
            cache.admitted = Some((user, Rc::clone(tenant)));
        }
    })
}

/// The tenant of that org.
pub fn tenant(org: &Org) -> Option<Rc<Tenant>> {
    if let Some(known) = store::read(|cache| cache.tenants.get(org.as_str()).cloned()) {
        return Some(known);
    }
    store::fill(
        || find_tenant(org),
        |cache, found| {
            if let Some(tenant) = found {
                insert_bounded(&mut cache.tenants, org.as_str().to_owned(), Rc::clone(tenant));
            }
        },
    )
}

fn find_tenant(org: &Org) -> Option<Rc<Tenant>> {
    let row = location()?.tenant_by_org(org.as_str())?;
    let schema = catalog::schema_oid(&row.schema_name);
    let role = row.role_name.as_deref().and_then(|name| role_of_owner(name, schema?));
    let path = format!("{}{}, pg_temp", pg::quote_identifier(&row.schema_name), shares()?.path_tail);
    Some(Rc::new(Tenant {
        id: row.id,
        org: row.org,
        status: row.status,
        schema,
        has_lost_role: row.role_name.is_some() && role.is_none(),
        role,
        search_path: CString::new(path).ok()?,
        state_value: OnceCell::new(),
    }))
}

/// The role of that name, if the schema is its own. A name may be another role's by now: from another database roles are
/// renamed unnoticed, and a dump is restored where such a role was before.
fn role_of_owner(name: &str, schema: Oid) -> Option<Role> {
    let oid = catalog::role_oid(name)?;
    (catalog::schema_owner(schema) == Some(oid)).then_some(Role { oid, name: CString::new(name).ok()? })
}

/// The tenant whose schema that is: its key and org.
pub fn tenant_of_schema(schema: Oid) -> Option<(TenantId, String)> {
    let row = location()?.tenant_by_schema(&catalog::schema_name(schema)?)?;
    Some((row.id, row.org))
}

/// Whether the database has a tenant.
pub fn has_tenants() -> bool {
    if let Some(known) = store::read(|cache| cache.has_tenants) {
        return known;
    }
    let look_up = || location().is_some_and(|location| !location.every_tenant().is_empty());
    store::fill(look_up, |cache, found| cache.has_tenants = Some(*found))
}

fn share_of(relation: Oid) -> Option<ShareMode> {
    shares()?.relations.get(&relation).copied()
}

fn shares() -> Option<Rc<Shares>> {
    if let Some(known) = store::read(|cache| cache.shares.clone()) {
        return Some(known);
    }
    store::fill(
        || Some(Rc::new(shares::load(&location()?))),
        |cache, found: &Option<Rc<Shares>>| cache.shares.clone_from(found),
    )
}

/// What a role is: a superuser or a member of plio_admin administers.
pub fn actor(role: Oid) -> Actor {
    if let Some(known) = store::read(|cache| cache.actors.get(&role).copied()) {
        return known;
    }
    let look_up = || {
        let administers = catalog::is_superuser(role) || is_in_group(role, "plio_admin");
        if administers { Actor::Administrator } else { Actor::Ordinary }
    };
    store::fill(look_up, |cache, actor| insert_bounded(&mut cache.actors, role, *actor))
}

fn is_in_group(role: Oid, group: &str) -> bool {
    catalog::role_oid(group).is_some_and(|group| catalog::has_privileges_of(role, group))
}

/// Whether a role may read a tenant's tables by PostgreSQL's privileges: as the owner of its schema, by a grant to it or to a
/// group of its, or as a reader of everything.
pub fn reaches_tenants(role: Oid) -> bool {
    if let Some(known) = store::read(|cache| cache.reaching.get(&role).copied()) {
        return known;
    }
    store::fill(|| look_up_reach(role), |cache, reaches| insert_bounded(&mut cache.reaching, role, *reaches))
}

fn look_up_reach(role: Oid) -> bool {
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
        let groups = catalog::with_groups(role).into_iter();
        groups
            .filter(|group| catalog::has_privileges_of(role, *group))
            .any(|group| catalog::relations_of(group).iter().any(is_tenants))
    };
    let is_open_to_everybody =
        || catalog::is_any_open_to_everybody(|schema| schema_kind(schema) == SchemaKind::Tenant);
    !tenants.is_empty()
        && (catalog::reads_everything(role) || owns_any() || is_granted_any() || is_open_to_everybody())
}

/// Whether a role may enter the tenant: an administrator, or a role (or member of one) that was granted access.
///
/// Access is found by the org, and kept by the tenant's id. Since the caller learned of the tenant, its org may have become
/// another's: then the answer is about that one, and is not kept.
pub fn may_enter(role: Oid, tenant: &Tenant) -> bool {
    if actor(role) == Actor::Administrator {
        return true;
    }
    let key = (role, tenant.id);
    if let Some(known) = store::read(|cache| cache.entries.get(&key).copied()) {
        return known;
    }
    store::fill(
        || location().is_some_and(|location| has_access(role, &location, Some(&tenant.org))),
        |cache, allowed| {
            if cache.tenants.get(&tenant.org).is_some_and(|known| known.id == tenant.id) {
                insert_bounded(&mut cache.entries, key, *allowed);
            }
        },
    )
}

/// Whether a role may know which orgs there are: an administrator, an auditor, or who may enter every tenant.
pub fn knows_every_org(role: Oid) -> bool {
    if let Some(known) = store::read(|cache| cache.knows_every_org.get(&role).copied()) {
        return known;
    }
    let look_up = || {
        actor(role) == Actor::Administrator
            || is_in_group(role, "plio_auditor")
            || location().is_some_and(|location| has_access(role, &location, None))
    };
    store::fill(look_up, |cache, knows| insert_bounded(&mut cache.knows_every_org, role, *knows))
}

/// Whether the registry grants access to that org, or to every tenant, to the role or to one that it is a member of.
///
/// A grant counts while its role stands in the access list of the schema `plio`, too: grant_access puts it there, and
/// PostgreSQL takes it out with DROP OWNED.
fn has_access(role: Oid, location: &Location, org: Option<&str>) -> bool {
    location.access_to(org).iter().filter_map(registry::AccessRow::granted).any(|granted| {
        catalog::has_privileges_of(role, granted) && catalog::is_named_in_schema_acl(location.schema, granted)
    })
}

/// The statement-level trigger on the registry's tables: tells every backend, at commit, to look again.
pub fn on_registry_change(table: Oid) {
    session::invalidate_relation(table);
    forget();
}
