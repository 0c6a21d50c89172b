//! What is shared, resolved to oids; and what it was before a command that renames.

use super::code;
use crate::pg::{self, catalog};
use crate::registry::{Location, ShareRow};
use crate::tenant::ShareMode;
use pgrx::pg_sys::{self, Oid};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// What is shared, by oid.
#[derive(Default)]
pub struct Shares {
    rows: Vec<(Option<Oid>, ShareRow)>,
    pub(super) relations: HashMap<Oid, ShareMode>,
    pub(super) schemas: HashMap<Oid, ShareMode>,
    pub(super) functions: HashSet<Oid>,
    /// The end of every tenant's search_path: the schemas with something shared, each after a comma.
    pub(super) path_tail: String,
}

impl Shares {
    /// The row that stands for an object: a relation, a schema or a function, by its catalog.
    pub(super) fn row_of(&self, class: Oid, object: Oid) -> Option<ShareRow> {
        let class_of = |row: &ShareRow| match row.relation_name {
            _ if row.is_function => pg_sys::ProcedureRelationId,
            Some(_) => pg_sys::RelationRelationId,
            None => pg_sys::NamespaceRelationId,
        };
        let row = self.rows.iter().find(|(of, row)| *of == Some(object) && class_of(row) == class);
        row.map(|(_, row)| row.clone())
    }
}

/// Reads what is shared from the registry.
pub(super) fn load(location: &Location) -> Shares {
    let mut shares = Shares::default();
    let mut on_path = extension_schemas(location);
    for row in location.shares() {
        let schema = catalog::schema_oid(&row.schema_name);
        let object = match (&row.relation_name, schema) {
            (Some(signature), Some(schema)) if row.is_function => {
                catalog::function_by_signature(schema, signature)
            }
            (Some(relation), Some(schema)) => catalog::relation_oid(relation, schema),
            (None, schema) => schema,
            (Some(_), None) => None,
        };
        if let Some(oid) = object {
            on_path.insert(row.schema_name.clone());
            if row.is_function {
                shares.functions.insert(oid);
            } else {
                if row.relation_name.is_some() { &mut shares.relations } else { &mut shares.schemas }
                    .insert(oid, row.mode);
            }
        }
        shares.rows.push((object, row));
    }
    shares.path_tail = on_path.iter().map(|name| format!(", {}", pg::quote_identifier(name))).collect();
    shares
}

/// The schemas that hold a trusted extension's objects, except PostgreSQL's own and ours.
fn extension_schemas(location: &Location) -> BTreeSet<String> {
    code::trusted_extension_schemas()
        .filter(|schema| *schema != location.schema && schema.to_u32() >= FIRST_USER_SCHEMA)
        .filter_map(catalog::schema_name)
        .filter(|name| name != "information_schema")
        .collect()
}

/// `public` (2200) is the only schema made by initdb that applications use; lower oids are PostgreSQL's own.
const FIRST_USER_SCHEMA: u32 = 2200;

thread_local! {
    static BEFORE_RENAME: RefCell<Option<Renaming>> = const { RefCell::new(None) };
}

/// A running command that renames or moves an object.
pub struct Renaming {
    shares: Option<Rc<Shares>>,
    /// It moves the object into another schema.
    pub is_move: bool,
}

impl Renaming {
    /// What was shared before the command: the object, and the row that stood for it.
    pub fn shares_before(&self) -> impl Iterator<Item = (Oid, &ShareRow)> {
        let rows = self.shares.iter().flat_map(|shares| &shares.rows);
        rows.filter_map(|(object, row)| Some(((*object)?, row)))
    }
}

/// A command is about to rename or move an object: once it has, the shares' names lead nowhere.
pub fn remember_shares(is_move: bool) {
    let shares = super::shares();
    BEFORE_RENAME.set(Some(Renaming { shares, is_move }));
}

/// What [`remember_shares`] kept for the command that has just ended.
pub fn take_renaming() -> Option<Renaming> {
    BEFORE_RENAME.take()
}

/// The command failed, or a part of the transaction was rolled back.
pub fn forget_renaming() {
    BEFORE_RENAME.set(None);
}
