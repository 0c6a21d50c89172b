//! The boundary: the executor's permission check, for every relation of every range table.
//!
//! Two hooks ask the same question. `ExecutorStart_hook` comes first and gives the better answer: PostgreSQL's own
//! privilege check follows it, and would say only that permission is denied for a table.
//! `ExecutorCheckPerms_hook` is the one that nothing gets around: it is fired by `ExecCheckPermissions` (execMain.c;
//! `ExecCheckRTPerms` on 15) whenever a plan starts, in parallel workers too, and by COPY. Everything is judged whatever its `requiredPerms`: children and partitions arrive with none.
//! Cannot see utility statements that lock or rewrite (utility.rs), nor partitions that an INSERT routes rows to
//! (native privileges). Ours comes before the previous hook: what is refused here need not be asked elsewhere.

use crate::cache;
use crate::context;
use crate::denial::{self, Subject};
use crate::error::{Error, Result, or_raise};
use crate::guc;
use crate::hooks::{self, folded, planner, running, sequences, visited};
use crate::house;
use crate::one_layer;
use crate::pg::nodes::pointers;
use crate::pg::{FIRST_NORMAL_OID, catalog, raw, session};
use crate::policy::{self, Access, Actor, Context, Place, Verdict, Why};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed};

static mut PREVIOUS: pg_sys::ExecutorCheckPerms_hook_type = None;
static mut PREVIOUS_START: pg_sys::ExecutorStart_hook_type = None;

/// Sets the hooks.
pub fn install() {
    // SAFETY: `_PG_init` runs once, in one thread.
    unsafe {
        PREVIOUS_START = pg_sys::ExecutorStart_hook;
        pg_sys::ExecutorStart_hook = Some(on_executor_start);
        PREVIOUS = pg_sys::ExecutorCheckPerms_hook;
        pg_sys::ExecutorCheckPerms_hook = Some(on_check_perms);
    }
}

/// The range table that the first hook has judged a moment ago: the second need not do it again.
///
/// The executor asks the second before it does anything else, so nothing can have changed in between. An error in
/// between ends the (sub)transaction, and that forgets the range table, whose memory may become another's.
static JUDGED: AtomicPtr<pg_sys::List> = AtomicPtr::new(std::ptr::null_mut());

/// The executor makes a plan ready: functions that are announced meanwhile are this plan's, which is started anew each time.
static IS_STARTING: AtomicBool = AtomicBool::new(false);

/// Whether the executor is making a plan ready.
pub fn is_starting() -> bool {
    IS_STARTING.load(Relaxed)
}

fn take_judged(range_table: *mut pg_sys::List) -> bool {
    JUDGED.swap(std::ptr::null_mut(), Relaxed) == range_table && !range_table.is_null()
}

/// A transaction or a subtransaction has ended.
pub fn forget_judged() {
    JUDGED.store(std::ptr::null_mut(), Relaxed);
    IS_STARTING.store(false, Relaxed);
    sequences::forget();
}

unsafe extern "C-unwind" fn on_executor_start(query: *mut pg_sys::QueryDesc, flags: i32) {
    // SAFETY: plain data only in this frame; the arguments are the executor's and handed on as they came.
    unsafe {
        folded::forget_relations();
        let planned = (*query).plannedstmt;
        if !is_own_tenants((*planned).rtable) {
            check((*planned).rtable, raw::permission_infos(planned));
        }
        if context::is_visit() {
            visited::ensure_unchanged((*planned).rtable);
        }
        JUDGED.store((*planned).rtable, Relaxed);
        let start = PREVIOUS_START.unwrap_or(raw::standard_ExecutorStart);
        IS_STARTING.store(true, Relaxed);
        start(query, flags);
        IS_STARTING.store(false, Relaxed);
        running::on_start(planned);
    }
}

#[cfg(not(feature = "pg15"))]
unsafe extern "C-unwind" fn on_check_perms(
    range_table: *mut pg_sys::List,
    permissions: *mut pg_sys::List,
    raise: bool,
) -> bool {
    // SAFETY: plain data only in this frame; the arguments are the executor's and handed on as they came.
    unsafe {
        if !take_judged(range_table) && !is_own_tenants(range_table) {
            check(range_table, permissions);
        }
        PREVIOUS.is_none_or(|previous| previous(range_table, permissions, raise))
    }
}

#[cfg(feature = "pg15")]
unsafe extern "C-unwind" fn on_check_perms(range_table: *mut pg_sys::List, raise: bool) -> bool {
    // SAFETY: plain data only in this frame; the arguments are the executor's and handed on as they came.
    unsafe {
        if !take_judged(range_table) && !is_own_tenants(range_table) {
            check(range_table, std::ptr::null_mut());
        }
        PREVIOUS.is_none_or(|previous| previous(range_table, raise))
    }
}

/// The hot path: true when everything is the active tenant's own, PostgreSQL's, or known to be no tenant's while
/// none is active. Unguarded: a syscache look-up a relation, nothing else.
unsafe fn is_own_tenants(range_table: *mut pg_sys::List) -> bool {
    if context::needs_confirmation() {
        return false;
    }
    let active = context::active_schema();
    // SAFETY: reads a global.
    if context::active_role().is_some_and(|role| unsafe { raw::GetOuterUserId() } != role) {
        return false;
    }
    // SAFETY: a range table is a list of range table entries; any relation's oid may be looked up.
    unsafe {
        for entry in pointers::<pg_sys::RangeTblEntry>(range_table) {
            if !is_relation(*entry) {
                continue;
            }
            if (**entry).relid.to_u32() < FIRST_NORMAL_OID {
                let is_denied =
                    context::is_one_layer() || active.is_none() || context::may_have_other_rights();
                if is_denied && one_layer::denied_catalog((**entry).relid.to_u32()).is_some() {
                    return false;
                }
                continue;
            }
            planner::note_relation();
            if is_routed(*entry) || (**entry).relkind as u8 == pg_sys::RELKIND_FOREIGN_TABLE {
                return false;
            }
            let schema = raw::get_rel_namespace((**entry).relid);
            match active {
                Some(active) if active == schema => {}
                None if cache::is_known_neutral(schema) && !may_write_registry(*entry, schema) => {}
                _ => return false,
            }
        }
    }
    true
}

/// Whether the statement may change rows of the registry.
unsafe fn may_write_registry(entry: *const pg_sys::RangeTblEntry, schema: Oid) -> bool {
    // SAFETY: the caller passes a valid entry.
    cache::is_registry(schema) && unsafe { (*entry).rellockmode >= pg_sys::RowExclusiveLock as i32 }
}

/// Whether the entry stands for a relation: a table, or (from 16 on) a view that became a subquery.
unsafe fn is_relation(entry: *const pg_sys::RangeTblEntry) -> bool {
    use pg_sys::RTEKind::{RTE_RELATION, RTE_SUBQUERY};
    // SAFETY: the caller passes a valid entry; `relid` is InvalidOid or set for both kinds (parsenodes.h).
    let (kind, relid) = unsafe { ((*entry).rtekind, (*entry).relid) };
    (kind == RTE_RELATION || kind == RTE_SUBQUERY) && relid != pg_sys::InvalidOid
}

/// Whether rows may be routed to the relation's partitions, which are no part of the range table then: a partitioned
/// table that is locked as INSERT, UPDATE, DELETE and MERGE lock it.
unsafe fn is_routed(entry: *const pg_sys::RangeTblEntry) -> bool {
    // SAFETY: the caller passes a valid entry.
    unsafe {
        (*entry).relkind as u8 == pg_sys::RELKIND_PARTITIONED_TABLE
            && (*entry).rellockmode >= pg_sys::RowExclusiveLock as i32
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn check(range_table: *mut pg_sys::List, permissions: *mut pg_sys::List) {
    if !hooks::is_judged() {
        return;
    }
    // SAFETY: the executor's range table and permission infos, which belong together.
    or_raise(unsafe { check_range_table(range_table, permissions) });
}

unsafe fn check_range_table(range_table: *mut pg_sys::List, permissions: *mut pg_sys::List) -> Result<()> {
    if !hooks::has_registry()? {
        return Ok(());
    }
    // A lock that is held already takes in no news; what was unshared since must count.
    session::accept_invalidations();
    hooks::ensure_confirmed()?;
    denial::decide(context::ensure_role(), Subject::Statement)?;
    // SAFETY: a range table is a list of range table entries.
    for entry in unsafe { pointers::<pg_sys::RangeTblEntry>(range_table) } {
        // SAFETY: entries of a range table are valid.
        let relation = unsafe { (**entry).relid };
        if let Some(name) = one_layer::denied_catalog(relation.to_u32()) {
            denial::decide(context::ensure_own_rights(name), Subject::Statement)?;
        }
        if !context::is_active() && one_layer::shows_statistics(relation.to_u32()) {
            denial::decide(ensure_no_tenants_statistics(), Subject::Statement)?;
        }
        // SAFETY: as above.
        if unsafe { is_relation(*entry) } && relation.to_u32() >= FIRST_NORMAL_OID {
            // SAFETY: the entry and the permission infos belong together.
            let (access, is_routed) = unsafe { (access_of(*entry, permissions), is_routed(*entry)) };
            if is_routed {
                ensure_access_to_all(relation, access)?;
            } else {
                ensure_access(relation, access)?;
            }
            // SAFETY: as above.
            if access == Access::Write && unsafe { changes_registry(*entry, permissions) } {
                house::ensure_rows_unchanged()?;
            }
        }
    }
    Ok(())
}

/// Whether the statement changes or removes rows of the registry, or may. `plio.tenants.settings` is free for the
/// application, and a restore adds rows.
unsafe fn changes_registry(entry: *const pg_sys::RangeTblEntry, permissions: *mut pg_sys::List) -> bool {
    // SAFETY: the caller passes a valid entry and the permission infos that belong to it.
    unsafe {
        if !catalog::relation_schema((*entry).relid).is_some_and(cache::is_registry) {
            return false;
        }
        let (required, updated) = permissions_of(entry, permissions);
        let removes = required & pg_sys::AclMode::from(pg_sys::ACL_DELETE | pg_sys::ACL_TRUNCATE) != 0;
        let updates = required & pg_sys::AclMode::from(pg_sys::ACL_UPDATE) != 0 && !updated.is_null();
        removes || updates && !is_settings_alone((*entry).relid, updated)
    }
}

/// Whether the columns are `settings` of `plio.tenants`, and no other.
unsafe fn is_settings_alone(relation: Oid, columns: *const pg_sys::Bitmapset) -> bool {
    let is_tenants = cache::location().is_some_and(|location| location.is_tenants(relation));
    // SAFETY: the caller passes a set of columns, which start at the lowest system column's number.
    is_tenants
        && unsafe {
            let settings = SETTINGS_COLUMN - pg_sys::FirstLowInvalidHeapAttributeNumber;
            pg_sys::bms_membership(columns) == pg_sys::BMS_Membership::BMS_SINGLETON
                && pg_sys::bms_is_member(settings, columns)
        }
}

/// `settings` in `plio.tenants` (sql/schema/20_registry.sql).
const SETTINGS_COLUMN: i32 = 6;

/// Without a tenant, statistics hold the values of every table that the role may read: also of tenants'.
fn ensure_no_tenants_statistics() -> Result<()> {
    let actor = context::upkeep::actor();
    if cache::actor(actor) == Actor::Administrator || !cache::reaches_tenants(actor) {
        return Ok(());
    }
    Err(Error::Denied { why: Why::NoTenantSet, relation: None, active: None })
}

/// Judges a relation with all its children and partitions.
///
/// # Errors
/// As [`ensure_access`].
pub fn ensure_access_to_all(relation: Oid, access: Access) -> Result<()> {
    cache::inheritors(relation).iter().try_for_each(|child| ensure_access(*child, access))
}

/// Judges one relation; what is only to be reported is reported here.
///
/// # Errors
/// 42501, or 55000 when it is a tenant's and none is set.
pub fn ensure_access(relation: Oid, access: Access) -> Result<()> {
    denial::decide(judge(relation, access), Subject::Relation(relation))
}

/// The verdict on one relation.
///
/// # Errors
/// As [`ensure_access`].
pub fn judge(relation: Oid, access: Access) -> Result<()> {
    // A relation dropped since it was planned is PostgreSQL's to report.
    let Some(schema) = catalog::relation_schema(relation) else { return Ok(()) };
    let active = context::active_schema();
    let place = cache::place_of_relation(relation, schema, active);
    let context = if active.is_some() { Context::Tenant } else { Context::NoTenant };
    let actor = cache::actor(context::upkeep::actor());
    match policy::decide_relation(actor, context, place, access) {
        Verdict::Allow => {
            if active.is_some() {
                ensure_local(relation)?;
            }
            match place {
                Place::ForeignTenant => context::residue::note_free_access(),
                _ if active.is_none() => cache::remember_neutral(schema),
                _ => {}
            }
            Ok(())
        }
        Verdict::Deny(why) => {
            Err(Error::Denied { why, relation: label(relation, why), active: context::active_org() })
        }
    }
}

/// A foreign table is as good as the server behind it, which knows no tenant.
fn ensure_local(relation: Oid) -> Result<()> {
    if catalog::relation_kind(relation) != Some('f') {
        return Ok(());
    }
    match catalog::server_of(relation) {
        Some(server) if !guc::is_connection_allowed(&server) => {
            Err(Error::ConnectionRefused { name: server })
        }
        _ => Ok(()),
    }
}

/// The relation's name for the message, where it is nobody's secret: never another tenant's.
fn label(relation: Oid, why: Why) -> Option<String> {
    match why {
        Why::OtherTenant | Why::NoTenantSet => None,
        Why::NotShared | Why::SharedReadOnly => {
            catalog::relation_names(relation).map(|(schema, name)| format!("{schema}.{name}"))
        }
    }
}

/// What the statement wants with the relation. FOR UPDATE and a foreign key's FOR KEY SHARE ask for UPDATE without a
/// column: they lock rows and change none.
unsafe fn access_of(entry: *const pg_sys::RangeTblEntry, permissions: *mut pg_sys::List) -> Access {
    // SAFETY: the caller passes a valid entry; its index points into the permission infos, from 1 (16 and later).
    let (required, updated) = unsafe { permissions_of(entry, permissions) };
    let changes = pg_sys::ACL_INSERT | pg_sys::ACL_DELETE | pg_sys::ACL_TRUNCATE;
    let updates = required & pg_sys::AclMode::from(pg_sys::ACL_UPDATE) != 0 && !updated.is_null();
    if required & pg_sys::AclMode::from(changes) != 0 || updates { Access::Write } else { Access::Read }
}

#[cfg(feature = "pg15")]
unsafe fn permissions_of(
    entry: *const pg_sys::RangeTblEntry,
    _permissions: *mut pg_sys::List,
) -> (pg_sys::AclMode, *mut pg_sys::Bitmapset) {
    // SAFETY: the caller passes a valid entry.
    unsafe { ((*entry).requiredPerms, (*entry).updatedCols) }
}

#[cfg(not(feature = "pg15"))]
unsafe fn permissions_of(
    entry: *const pg_sys::RangeTblEntry,
    permissions: *mut pg_sys::List,
) -> (pg_sys::AclMode, *mut pg_sys::Bitmapset) {
    // SAFETY: the caller passes a valid entry and the permission infos that belong to it.
    unsafe {
        let index = (*entry).perminfoindex as usize;
        let infos = pointers::<pg_sys::RTEPermissionInfo>(permissions);
        match index.checked_sub(1).and_then(|index| infos.get(index)) {
            Some(info) => ((**info).requiredPerms, (**info).updatedCols),
            None => (0, std::ptr::null_mut()),
        }
    }
}
