//! The cache itself, and the only way into it: [`fill`].
//!
//! A look-up may wait for a lock, and takes in invalidations when it gets the lock, after it has read some of what they
//! invalidate. So what a look-up found is kept only if nothing was invalidated while the look-up ran.

use super::oid_map::OidMap;
use super::places::SchemaKind;
use super::shares::Shares;
use super::{MOST_ENTRIES, Tenant, code};
use crate::pg::session;
use crate::policy::{Actor, Place};
use crate::registry::Installed;
use crate::tenant::TenantId;
use pgrx::pg_sys::{self, Oid};
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// What is known. Everything but `relations`, `inheritors` and `reaching` depends on the registry, schemas, roles and memberships alone.
#[derive(Default)]
pub(super) struct Cache {
    known_at: Generation,
    pub installed: Option<Installed>,
    pub tenants: HashMap<String, Rc<Tenant>>,
    pub schemas: OidMap<Oid, SchemaKind>,
    pub relations: OidMap<Oid, Place>,
    pub inheritors: OidMap<Oid, Rc<[Oid]>>,
    pub connectors: OidMap<Oid, Option<&'static str>>,
    pub actors: OidMap<Oid, Actor>,
    pub entries: OidMap<(Oid, TenantId), bool>,
    pub reaching: OidMap<Oid, bool>,
    pub knows_every_org: OidMap<Oid, bool>,
    pub has_tenants: Option<bool>,
    pub shares: Option<Rc<Shares>>,
    pub admitted: Option<(Oid, Rc<Tenant>)>,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

// Statics, since reading a thread-local costs a call in a library.
/// How often everything was invalidated.
static ALL: AtomicU64 = AtomicU64::new(1);
/// How often relations were.
static RELATIONS: AtomicU64 = AtomicU64::new(1);

/// A few schemas known to be no tenant's, so that the hot path need not ask again. 0 for none.
static NEUTRAL_SCHEMAS: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];

/// A plan was made on the ground that the database has no tenant: once it may have one, plans are made anew.
static HAS_LEFT_OUT: AtomicBool = AtomicBool::new(false);

/// A plan is being made on that ground.
pub fn note_left_out() {
    HAS_LEFT_OUT.store(true, Relaxed);
}

/// A moment between two invalidations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Generation {
    all: u64,
    relations: u64,
}

impl Generation {
    fn now() -> Self {
        Self { all: ALL.load(Relaxed), relations: RELATIONS.load(Relaxed) }
    }
}

/// One more. A backend has one thread: no locked instruction is needed.
fn count_up(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

/// Forgets everything at the next look.
pub fn forget() {
    count_up(&ALL);
    code::forget();
    if HAS_LEFT_OUT.load(Relaxed) {
        HAS_LEFT_OUT.store(false, Relaxed);
        session::reset_plans();
    }
    for slot in &NEUTRAL_SCHEMAS {
        slot.store(0, Relaxed);
    }
}

/// A relation has changed: forgets relations, or everything if it may be one of the registry's.
pub(super) fn on_relation_change(relation: Oid) {
    let is_registry = relation == pg_sys::InvalidOid
        || CACHE.with(|cache| match cache.try_borrow() {
            Ok(cache) => match cache.installed {
                // Its schema's creation will say so.
                Some(Installed::No) => false,
                Some(Installed::Whole(location)) => location.has(relation),
                Some(Installed::Broken) | None => true,
            },
            Err(_) => true,
        });
    if is_registry {
        forget();
    } else {
        count_up(&RELATIONS);
    }
}

/// Reads what is known and still holds. `f` calls nothing of PostgreSQL's.
pub(super) fn read<R>(f: impl FnOnce(&Cache) -> R) -> R {
    with(|cache| f(cache))
}

/// Looks something up, and keeps it by `keep` if nothing was invalidated meanwhile. `keep` calls nothing of PostgreSQL's.
pub(super) fn fill<R>(look_up: impl FnOnce() -> R, keep: impl FnOnce(&mut Cache, &R)) -> R {
    let before = Generation::now();
    let found = look_up();
    if before == Generation::now() {
        with(|cache| keep(cache, &found));
    }
    found
}

fn with<R>(f: impl FnOnce(&mut Cache) -> R) -> R {
    CACHE.with_borrow_mut(|cache| {
        let now = Generation::now();
        if cache.known_at.all != now.all {
            *cache = Cache::default();
        } else if cache.known_at.relations != now.relations {
            cache.relations.clear();
            cache.inheritors.clear();
            cache.reaching.clear();
        }
        cache.known_at = now;
        f(cache)
    })
}

/// Repeats a decision until nothing was invalidated while it was taken, and until that moment: what others have committed
/// by then counts.
pub fn settled<R>(decide: impl Fn() -> R) -> R {
    loop {
        session::accept_invalidations();
        let before = ALL.load(Relaxed);
        let decision = decide();
        session::accept_invalidations();
        if before == ALL.load(Relaxed) {
            return decision;
        }
        session::check_for_interrupts();
    }
}

pub(super) fn insert_bounded<K: Hash + Eq, V, S: BuildHasher>(map: &mut HashMap<K, V, S>, key: K, value: V) {
    if map.len() >= MOST_ENTRIES {
        map.clear();
    }
    map.insert(key, value);
}

/// Whether the schema was found to be no tenant's, and nothing has changed since. No PostgreSQL call, no borrow.
pub fn is_known_neutral(schema: Oid) -> bool {
    schema != pg_sys::InvalidOid && NEUTRAL_SCHEMAS.iter().any(|slot| slot.load(Relaxed) == schema.to_u32())
}

/// Remembers a schema for [`is_known_neutral`], unless `is_tenants` finds that it is a tenant's.
pub(super) fn remember_neutral(schema: Oid, is_tenants: impl FnOnce() -> bool) {
    let before = Generation::now();
    if is_tenants() || is_known_neutral(schema) || before != Generation::now() {
        return;
    }
    let free = NEUTRAL_SCHEMAS.iter().find(|slot| slot.load(Relaxed) == 0);
    free.unwrap_or(&NEUTRAL_SCHEMAS[schema.to_u32() as usize % NEUTRAL_SCHEMAS.len()])
        .store(schema.to_u32(), Relaxed);
}
