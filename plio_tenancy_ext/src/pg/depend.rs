//! Dependencies between objects (pg_depend), and the schema that an object of any class lies in.
//!
//! pgrx's bindings lack these catalogs; their oids and column numbers are fixed for every supported version
//! (pg_depend.h, pg_rewrite.h, pg_attrdef.h, pg_trigger.h, pg_policy.h).

use super::catalog;
use super::scan::{self, Key};
use pgrx::pg_sys::{self, Oid};

/// An object's address: its catalog and its oid there.
pub type Address = (Oid, Oid);

/// One row of pg_depend, without the columns.
#[derive(Clone, Copy, Debug)]
pub struct Dependency {
    /// What depends.
    pub from: Address,
    /// What it depends on.
    pub to: Address,
    /// `deptype`.
    pub kind: char,
    /// Whether this transaction recorded it.
    pub is_new: bool,
}

const DEPEND: u32 = 2608;
const DEPEND_BY_DEPENDER: u32 = 2673;
const DEPEND_BY_REFERENCE: u32 = 2674;

/// Catalogs of what lives inside a relation: (catalog, its index by oid, the column that names the relation).
const INSIDE_RELATION: [(u32, u32, usize); 4] = [
    (REWRITE, 2692, 3), // pg_rewrite.ev_class
    (2604, 2657, 2),    // pg_attrdef.adrelid
    (TRIGGER, 2702, 2), // pg_trigger.tgrelid
    (3256, 3257, 3),    // pg_policy.polrelid
];

/// pg_constraint.
pub const CONSTRAINT: u32 = 2606;
/// pg_statistic_ext.
pub const STATISTICS: u32 = 3381;
/// pg_rewrite.
const REWRITE: u32 = 2618;
/// pg_trigger.
pub const TRIGGER: u32 = 2620;

/// Whether what such a catalog lists is code inside a relation: rules, defaults, triggers, policies.
pub fn is_attached_code(class: Oid) -> bool {
    INSIDE_RELATION.iter().any(|(catalog, _, _)| *catalog == class.to_u32())
}

/// What an object depends on.
pub fn references_of(object: Address) -> Vec<Dependency> {
    dependencies(DEPEND_BY_DEPENDER, &[(1, object.0), (2, object.1)])
}

/// What depends on an object.
pub fn dependents_of(object: Address) -> Vec<Dependency> {
    dependencies(DEPEND_BY_REFERENCE, &[(4, object.0), (5, object.1)])
}

fn dependencies(index: u32, columns: &[(i16, Oid)]) -> Vec<Dependency> {
    let mut found = Vec::new();
    let key = Key::Oids { index: Oid::from(index), columns };
    scan::for_each_row(Oid::from(DEPEND), &key, |row| {
        let dependency = (|| {
            Some(Dependency {
                from: (row.oid(1)?, row.oid(2)?),
                to: (row.oid(4)?, row.oid(5)?),
                kind: row.char(7)?,
                is_new: row.is_own(),
            })
        })();
        found.extend(dependency);
    });
    found
}

/// The relations that a view's rules name, the view itself left out.
pub fn below_view(view: Oid) -> Vec<Oid> {
    let rules = dependents_of((pg_sys::RelationRelationId, view));
    let rules = rules.iter().filter(|tie| tie.from.0.to_u32() == REWRITE).map(|tie| tie.from);
    let named = rules.flat_map(references_of).map(|tie| tie.to);
    let is_below = |(class, relation): &Address| *class == pg_sys::RelationRelationId && *relation != view;
    let mut below: Vec<Oid> = named.filter(is_below).map(|(_, relation)| relation).collect();
    below.sort_unstable_by_key(|relation| relation.to_u32());
    below.dedup();
    below
}

/// The table that a TOAST table belongs to, and its schema.
pub fn owner_of_toast(toast: Oid) -> Option<(Oid, Oid)> {
    let references = references_of((pg_sys::RelationRelationId, toast));
    let owner = references.iter().find(|tie| tie.kind == 'i' && tie.to.0 == pg_sys::RelationRelationId)?.to.1;
    Some((owner, catalog::relation_schema(owner)?))
}

/// The relation that a rule, a default, a trigger or a policy belongs to; `None` for all other objects.
pub fn relation_around((class, object): Address) -> Option<Oid> {
    let (catalog, index, column) =
        INSIDE_RELATION.iter().find(|(catalog, _, _)| *catalog == class.to_u32())?;
    let mut relation = None;
    let key = Key::Oids { index: Oid::from(*index), columns: &[(1, object)] };
    scan::for_each_row(Oid::from(*catalog), &key, |row| relation = row.oid(*column));
    relation
}

/// The schema that an object lies in, or that its relation lies in; `None` for objects that lie in none.
pub fn schema_of((class, object): Address) -> Option<Oid> {
    if is_attached_code(class) {
        return catalog::relation_schema(relation_around((class, object))?);
    }
    // SAFETY: the class is one that objectaddress.c knows; the tuple is released before it is gone from the cache.
    unsafe {
        if !pg_sys::is_objectclass_supported(class) {
            return None;
        }
        let attribute = pg_sys::get_object_attnum_namespace(class);
        let cache = pg_sys::get_object_catcache_oid(class);
        if attribute <= 0 || cache < 0 {
            return None;
        }
        let tuple = pg_sys::SearchSysCache1(cache, object.into());
        if tuple.is_null() {
            return None;
        }
        let mut is_null = true;
        let schema = pg_sys::SysCacheGetAttr(cache, tuple, attribute, &mut is_null);
        pg_sys::ReleaseSysCache(tuple);
        (!is_null).then(|| Oid::from(schema.value() as u32))
    }
}
