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

/// pg_trigger.tgconstraint: the constraint that the trigger is part of.
const CONSTRAINT_OF_TRIGGER: usize = 11;

/// Catalogs of what lives inside a relation: (catalog, its index by oid, the column that names the relation).
const INSIDE_RELATION: [(u32, u32, usize); 4] = [
    (REWRITE, 2692, 3),           // pg_rewrite.ev_class
    (DEFAULT, DEFAULT_BY_OID, 2), // pg_attrdef.adrelid
    (TRIGGER, TRIGGER_BY_OID, 2), // pg_trigger.tgrelid
    (3256, 3257, 3),              // pg_policy.polrelid
];

/// pg_constraint.
pub const CONSTRAINT: u32 = 2606;
/// pg_statistic_ext.
pub const STATISTICS: u32 = 3381;
/// pg_rewrite.
const REWRITE: u32 = 2618;
/// pg_trigger, and its index on the oid.
pub const TRIGGER: u32 = 2620;
const TRIGGER_BY_OID: u32 = 2702;
/// pg_attrdef, its index on the oid, and that on (adrelid, adnum), columns 2 and 3.
pub const DEFAULT: u32 = 2604;
const DEFAULT_BY_OID: u32 = 2657;
const DEFAULT_BY_TABLE: u32 = 2656;
/// pg_publication_rel, and its index on the oid; column 3 is prrelid.
pub const PUBLICATION_TABLE: u32 = 6106;
const PUBLICATION_TABLE_BY_OID: u32 = 6112;

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

/// The table whose column a sequence belongs to (serial, identity, OWNED BY).
pub fn table_of_sequence(sequence: Oid) -> Option<Oid> {
    let references = references_of((pg_sys::RelationRelationId, sequence));
    let of_column = |kind: char| matches!(kind, 'a' | 'i');
    references
        .iter()
        .find(|tie| of_column(tie.kind) && tie.to.0 == pg_sys::RelationRelationId)
        .map(|tie| tie.to.1)
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

fn constraint_of_trigger(trigger: Oid) -> Option<Oid> {
    let mut constraint = None;
    let key = Key::Oids { index: Oid::from(TRIGGER_BY_OID), columns: &[(1, trigger)] };
    scan::for_each_row(Oid::from(TRIGGER), &key, |row| constraint = row.oid(CONSTRAINT_OF_TRIGGER));
    constraint.filter(|constraint| *constraint != pg_sys::InvalidOid)
}

fn published_table(entry: Oid) -> Option<Oid> {
    let mut table = None;
    let key = Key::Oids { index: Oid::from(PUBLICATION_TABLE_BY_OID), columns: &[(1, entry)] };
    scan::for_each_row(Oid::from(PUBLICATION_TABLE), &key, |row| table = row.oid(3));
    table
}

/// The defaults of a table's columns that this transaction made.
pub fn new_defaults_of(table: Oid) -> Vec<Oid> {
    let mut found = Vec::new();
    let key = Key::Oids { index: Oid::from(DEFAULT_BY_TABLE), columns: &[(2, table)] };
    scan::for_each_row(Oid::from(DEFAULT), &key, |row| found.extend(row.oid(1).filter(|_| row.is_own())));
    found
}

/// The relations whose rows hold values of a type (a domain, a composite type): in a column, inside an array or another
/// type, or as the table's own type.
pub fn relations_with_type(of: Oid) -> Vec<Oid> {
    let mut seen: Vec<Address> = vec![(pg_sys::TypeRelationId, of)];
    let mut next = 0;
    while let Some(object) = seen.get(next).copied() {
        let is_type = object.0 == pg_sys::TypeRelationId;
        for tie in dependents_of(object) {
            let is_holder = tie.from.0 == pg_sys::TypeRelationId
                || is_type && tie.from.0 == pg_sys::RelationRelationId && holds_rows(tie.from.1);
            if is_holder && !seen.contains(&tie.from) {
                seen.push(tie.from);
            }
        }
        next += 1;
    }
    let relations = seen.into_iter().filter(|(class, _)| *class == pg_sys::RelationRelationId);
    relations.map(|(_, relation)| relation).collect()
}

/// Whether a relation holds rows, or stands for a type that others' columns are of.
fn holds_rows(relation: Oid) -> bool {
    matches!(catalog::relation_kind(relation), Some('r' | 'p' | 'm' | 'f' | 'c'))
}

/// The tables at the other end of a table's foreign keys: those that it points at, and those that point at it.
pub fn foreign_key_neighbours(table: Oid) -> Vec<Oid> {
    let mut found = Vec::new();
    for tie in dependents_of((pg_sys::RelationRelationId, table)) {
        if tie.from.0.to_u32() == CONSTRAINT {
            let ends = references_of(tie.from).into_iter().map(|tie| tie.to);
            let tables = ends.filter(|(class, object)| {
                *class == pg_sys::RelationRelationId
                    && matches!(catalog::relation_kind(*object), Some('r' | 'p' | 'f'))
            });
            found.extend(tables.map(|(_, relation)| relation).filter(|relation| *relation != table));
        }
    }
    found.sort_unstable_by_key(|relation| relation.to_u32());
    found.dedup();
    found
}

/// Whether objects of that catalog lie in a schema, or are part of what does.
pub fn lies_in_schema(class: Oid) -> bool {
    // SAFETY: asks objectaddress.c's table.
    is_attached_code(class)
        || unsafe {
            pg_sys::is_objectclass_supported(class) && pg_sys::get_object_attnum_namespace(class) > 0
        }
}

/// The schema that an object was recorded in by the command that is just making it, whose row no look-up finds yet.
pub fn recorded_schema_of((class, object): Address) -> Option<Oid> {
    let mut schema = None;
    let key = Key::Oids { index: Oid::from(DEPEND_BY_DEPENDER), columns: &[(1, class), (2, object)] };
    scan::for_each_unfinished_row(Oid::from(DEPEND), &key, |row| match (row.oid(4), row.oid(5)) {
        (Some(pg_sys::NamespaceRelationId), found) => schema = found,
        (Some(to), Some(relation)) if to == pg_sys::RelationRelationId && is_attached_code(class) => {
            schema = schema.or_else(|| catalog::relation_schema(relation));
        }
        _ => {}
    });
    schema
}

/// The schema that an object lies in, or that its relation lies in; `None` for objects that lie in none.
pub fn schema_of((class, object): Address) -> Option<Oid> {
    // Most of what is asked for, without the detour by objectaddress.c's table.
    if class == pg_sys::RelationRelationId {
        return catalog::relation_schema(object);
    }
    if class == pg_sys::ProcedureRelationId {
        return catalog::function_schema(object);
    }
    // The triggers of a foreign key on the table that it points at are the constraint's.
    if class.to_u32() == TRIGGER
        && let Some(constraint) = constraint_of_trigger(object)
    {
        return schema_of((Oid::from(CONSTRAINT), constraint));
    }
    if class.to_u32() == PUBLICATION_TABLE {
        return published_table(object).and_then(catalog::relation_schema);
    }
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
