//! Look-ups in the system catalogs: schemas, relations, roles. Every function needs a transaction.

mod code;
mod lists;
mod roles;
mod stored;

pub use self::code::{
    Code, SEQUENCE_DATA, argument_count, argument_defaults, extension_of, extension_owner, extensions,
    function, function_by_signature, function_identity, function_signature, is_trigger, operator,
    operator_identity, with_defaults,
};
pub use self::lists::{split_identifiers, split_libraries, split_qualified};
pub use self::roles::{
    ensure_may_execute, has_admin_option, has_privileges_of, is_any_open_to_everybody, is_member_of,
    is_named_in_schema_acl, is_role_used_elsewhere, is_superuser, is_tenant_role, may_execute, may_set_role,
    reads_everything, relations_of, role_name, role_oid, with_groups,
};
pub use self::stored::{
    C_LANGUAGE, Default, SQL_LANGUAGE, SqlBody, defaults, has_plain_types_only, language_of, sql_body,
    stored_expressions,
};
use super::scan::{self, Key};
use super::{FIRST_NORMAL_OID, owned, raw};
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// A name as a C string; `None` when it holds a NUL and so can name nothing.
fn c_name(name: &str) -> Option<CString> {
    CString::new(name).ok()
}

fn valid(oid: pg_sys::Oid) -> Option<pg_sys::Oid> {
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The schema of that name.
pub fn schema_oid(name: &str) -> Option<pg_sys::Oid> {
    let name = c_name(name)?;
    // SAFETY: a NUL-terminated name; missing_ok is set.
    valid(unsafe { pg_sys::get_namespace_oid(name.as_ptr(), true) })
}

/// A schema's name.
pub fn schema_name(oid: pg_sys::Oid) -> Option<String> {
    // SAFETY: any oid may be asked for; NULL when there is none.
    unsafe { owned(pg_sys::get_namespace_name(oid)) }
}

/// A schema's owner.
pub fn schema_owner(oid: pg_sys::Oid) -> Option<pg_sys::Oid> {
    let mut owner = None;
    let key = Key::Oids { index: pg_sys::Oid::from(NAMESPACE_BY_OID), columns: &[(1, oid)] };
    scan::for_each_row(pg_sys::NamespaceRelationId, &key, |row| owner = row.oid(3));
    owner
}

/// pg_namespace's index on its oid; column 3 is nspowner (pg_namespace.h).
const NAMESPACE_BY_OID: u32 = 2685;

/// The relation of that name in that schema.
pub fn relation_oid(name: &str, schema: pg_sys::Oid) -> Option<pg_sys::Oid> {
    let name = c_name(name)?;
    // SAFETY: a NUL-terminated name; InvalidOid when there is none.
    valid(unsafe { pg_sys::get_relname_relid(name.as_ptr(), schema) })
}

/// A relation's schema and name.
pub fn relation_names(oid: pg_sys::Oid) -> Option<(String, String)> {
    // SAFETY: any oid may be asked for; NULL or InvalidOid when there is none.
    let (name, schema) = unsafe { (pg_sys::get_rel_name(oid), pg_sys::get_rel_namespace(oid)) };
    // SAFETY: as above.
    Some((schema_name(schema)?, unsafe { owned(name) }?))
}

/// A relation's schema.
pub fn relation_schema(oid: pg_sys::Oid) -> Option<pg_sys::Oid> {
    // SAFETY: any oid may be asked for; InvalidOid when there is none.
    valid(unsafe { pg_sys::get_rel_namespace(oid) })
}

/// A relation's kind (`relkind`), as in pg_class.
pub fn relation_kind(oid: pg_sys::Oid) -> Option<char> {
    // SAFETY: any oid may be asked for; NUL when there is none.
    let kind = unsafe { pg_sys::get_rel_relkind(oid) };
    (kind != 0).then_some(char::from(kind as u8))
}

/// Whether the type and the collation of a table's column are PostgreSQL's own. False where that cannot be told.
/// The table is locked.
pub fn is_plain_column(table: pg_sys::Oid, column: i16) -> bool {
    let is_own = |oid: pg_sys::Oid| oid.to_u32() < FIRST_NORMAL_OID;
    // SAFETY: any oid may be asked for; the relation is closed again; the column is one of those that are described.
    unsafe {
        let relation = pg_sys::RelationIdGetRelation(table);
        if relation.is_null() {
            return false;
        }
        let (kind, described) = ((*(*relation).rd_rel).relkind as u8, (*relation).rd_att);
        let is_plain = matches!(kind, pg_sys::RELKIND_RELATION | pg_sys::RELKIND_PARTITIONED_TABLE)
            && (1..=(*described).natts).contains(&i32::from(column))
            && {
                let column = raw::column(described, column as usize - 1);
                is_own((*column).atttypid) && is_own((*column).attcollation)
            };
        pg_sys::RelationClose(relation);
        is_plain
    }
}

/// A type's kind (`typtype`), as in pg_type.
pub fn type_kind(oid: pg_sys::Oid) -> Option<char> {
    // SAFETY: any oid may be asked for; NUL when there is none.
    let kind = unsafe { pg_sys::get_typtype(oid) };
    (kind != 0).then_some(char::from(kind as u8))
}

/// A type's schema.
pub fn type_schema(oid: pg_sys::Oid) -> Option<pg_sys::Oid> {
    const SCHEMA: usize = pg_sys::Anum_pg_type_typnamespace as usize;
    let mut schema = None;
    let key = Key::Oids { index: pg_sys::Oid::from(pg_sys::TypeOidIndexId), columns: &[(1, oid)] };
    scan::for_each_row(pg_sys::TypeRelationId, &key, |row| schema = row.oid(SCHEMA));
    schema
}

/// What an array type is of.
pub fn element_type(oid: pg_sys::Oid) -> Option<pg_sys::Oid> {
    // SAFETY: any oid may be asked for; InvalidOid when it is no array.
    valid(unsafe { pg_sys::get_element_type(oid) })
}

/// A function's schema.
pub fn function_schema(oid: pg_sys::Oid) -> Option<pg_sys::Oid> {
    // SAFETY: any oid may be asked for; InvalidOid when there is none.
    valid(unsafe { pg_sys::get_func_namespace(oid) })
}

/// A type's name, qualified where it must be.
pub fn type_name(oid: pg_sys::Oid) -> String {
    // SAFETY: any oid may be asked for; a palloc'd text.
    unsafe { owned(pg_sys::format_type_be_qualified(oid)) }.unwrap_or_default()
}

/// A type's name with its modifier, qualified; `-` for no type, which a dropped column has.
pub fn type_name_with_modifier(oid: pg_sys::Oid, modifier: i32) -> String {
    let flags = (pg_sys::FORMAT_TYPE_TYPEMOD_GIVEN
        | pg_sys::FORMAT_TYPE_FORCE_QUALIFY
        | pg_sys::FORMAT_TYPE_ALLOW_INVALID) as u16;
    // SAFETY: any oid and modifier may be asked for; a palloc'd text.
    unsafe { owned(pg_sys::format_type_extended(oid, modifier, flags)) }.unwrap_or_default()
}

/// Whether the relation has a column of that name.
pub fn has_column(relation: pg_sys::Oid, name: &CStr) -> bool {
    // SAFETY: any relation and a NUL-terminated name; InvalidAttrNumber when there is none.
    unsafe { pg_sys::get_attnum(relation, name.as_ptr()) > 0 }
}

/// A column's type; `None` when it was dropped.
pub fn column_type(relation: pg_sys::Oid, column: i16) -> Option<pg_sys::Oid> {
    // SAFETY: any relation and column may be asked for; InvalidOid when there is none.
    valid(unsafe { pg_sys::get_atttype(relation, column) })
}

/// Whether what that collation calls equal is the same, byte for byte.
pub fn is_deterministic(collation: pg_sys::Oid) -> bool {
    // SAFETY: the caller names a collation; raises an error when there is none.
    unsafe { pg_sys::get_collation_isdeterministic(collation) }
}

/// Whether a function's result depends on nothing but its arguments.
pub fn is_immutable(function: pg_sys::Oid) -> bool {
    // SAFETY: the caller names a function; raises an error when there is none.
    unsafe { pg_sys::func_volatile(function) as u8 == pg_sys::PROVOLATILE_IMMUTABLE }
}

/// The extension of that name.
pub fn extension_oid(name: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: a NUL-terminated name; missing_ok is set.
    valid(unsafe { pg_sys::get_extension_oid(name.as_ptr(), true) })
}

/// The version of an extension's SQL objects.
pub fn extension_version(extension: pg_sys::Oid) -> Option<String> {
    let mut version = None;
    let key = Key::Oids { index: pg_sys::Oid::from(EXTENSION_BY_OID), columns: &[(1, extension)] };
    scan::for_each_row(pg_sys::ExtensionRelationId, &key, |row| {
        version = row.text(pg_sys::Anum_pg_extension_extversion as usize);
    });
    version
}

/// pg_extension's index on its oid (pg_extension.h).
const EXTENSION_BY_OID: u32 = 3080;

/// A relation's owner, if the relation is a member of that extension.
pub fn relation_owner_in(relation: pg_sys::Oid, extension: pg_sys::Oid) -> Option<pg_sys::Oid> {
    // SAFETY: any class and object may be asked for.
    if unsafe { pg_sys::getExtensionOfObject(pg_sys::RelationRelationId, relation) } != extension {
        return None;
    }
    relation_owner(relation)
}

/// A relation's owner.
pub fn relation_owner(relation: pg_sys::Oid) -> Option<pg_sys::Oid> {
    let mut owner = None;
    let key = Key::Oids { index: pg_sys::Oid::from(pg_sys::ClassOidIndexId), columns: &[(1, relation)] };
    let attribute = pg_sys::Anum_pg_class_relowner as usize;
    scan::for_each_row(pg_sys::RelationRelationId, &key, |row| owner = row.oid(attribute));
    owner
}

/// The extension that a function is a member of.
pub fn extension_of_function(function: pg_sys::Oid) -> Option<String> {
    // SAFETY: any object and any extension may be asked for; NULL when there is none.
    unsafe {
        owned(pg_sys::get_extension_name(pg_sys::getExtensionOfObject(pg_sys::ProcedureRelationId, function)))
    }
}

/// The foreign server of a foreign table.
pub fn server_of(foreign_table: pg_sys::Oid) -> Option<String> {
    // SAFETY: the caller names a foreign table; both results are palloc'd, and raise an error when there is none.
    unsafe {
        let table = pg_sys::GetForeignTable(foreign_table);
        owned((*pg_sys::GetForeignServer((*table).serverid)).servername)
    }
}

/// Whether the schema holds TOAST tables.
pub fn is_toast(schema: pg_sys::Oid) -> bool {
    schema == pg_sys::Oid::from(pg_sys::PG_TOAST_NAMESPACE)
}

/// Whether the schema is this session's temporary one (its toast schema included).
pub fn is_own_temporary(schema: pg_sys::Oid) -> bool {
    // SAFETY: compares oids.
    unsafe { pg_sys::isTempNamespace(schema) || pg_sys::isTempToastNamespace(schema) }
}

/// Whether the schema is another session's temporary one. Reads the schema's name.
pub fn is_foreign_temporary(schema: pg_sys::Oid) -> bool {
    // SAFETY: any oid may be asked for.
    unsafe { pg_sys::isOtherTempNamespace(schema) }
}

/// The sequences that columns of a table own.
pub fn owned_sequence_oids(table: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    // SAFETY: any relation may be asked for.
    unsafe { oids(pg_sys::getOwnedSequences(table)) }
}

/// The sequences that columns of a table own, as (schema, name).
pub fn owned_sequences(table: pg_sys::Oid) -> Vec<(String, String)> {
    owned_sequence_oids(table).into_iter().filter_map(relation_names).collect()
}

/// The tables whose foreign keys point at one of these, these left out.
pub fn referencing(relations: &[pg_sys::Oid]) -> Vec<pg_sys::Oid> {
    // SAFETY: a list of oids, freed with the current memory context; any relations may be asked for.
    unsafe {
        let mut list: *mut pg_sys::List = std::ptr::null_mut();
        for relation in relations {
            list = pg_sys::lappend_oid(list, *relation);
        }
        oids(pg_sys::heap_truncate_find_FKs(list))
    }
}

/// The type of a relation's rows.
pub fn row_type(relation: pg_sys::Oid) -> Option<pg_sys::Oid> {
    // SAFETY: any relation may be asked for; InvalidOid when there is none.
    valid(unsafe { pg_sys::get_rel_type_id(relation) })
}

/// A relation, and all that inherits from it or is a partition of it, however deep.
pub fn inheritors(relation: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    let mut found = vec![relation];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        if !has_heirs(parent) {
            next += 1;
            continue;
        }
        let key = Key::Oids { index: pg_sys::Oid::from(INHERITS_BY_PARENT), columns: &[(2, parent)] };
        scan::for_each_row(pg_sys::Oid::from(INHERITS), &key, |row| {
            found.extend(row.oid(1).filter(|child| !found.contains(child)));
        });
        next += 1;
    }
    found
}

/// Whether a relation has, or once had, heirs or parts.
fn has_heirs(relation: pg_sys::Oid) -> bool {
    let cache = pg_sys::SysCacheIdentifier::RELOID as i32;
    // SAFETY: any oid may be looked up; the tuple is a pg_class row, released before it is gone.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(cache, relation.into());
        if tuple.is_null() {
            return false;
        }
        let data = (*tuple).t_data;
        let row = data.cast::<u8>().add(usize::from((*data).t_hoff)).cast::<pg_sys::FormData_pg_class>();
        let has_heirs = (*row).relhassubclass;
        pg_sys::ReleaseSysCache(tuple);
        has_heirs
    }
}

/// pg_inherits and its index on inhparent, column 2; column 1 is inhrelid (pg_inherits.h).
const INHERITS: u32 = 2611;
const INHERITS_BY_PARENT: u32 = 2187;

/// The oids of a list.
///
/// # Safety
/// `list` is NIL or a list of oids.
unsafe fn oids(list: *mut pg_sys::List) -> Vec<pg_sys::Oid> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: an oid list's cells are a union that holds an oid, `length` of them (pg_list.h).
    unsafe { (0..(*list).length as usize).map(|i| (*(*list).elements.add(i)).oid_value).collect() }
}

/// The function of that name with these argument types in that schema.
pub fn function_oid(name: &CStr, types: &[pg_sys::Oid], schema: pg_sys::Oid) -> Option<pg_sys::Oid> {
    let cache = pg_sys::SysCacheIdentifier::PROCNAMEARGSNSP as i32;
    // SAFETY: the keys are of the types that the cache's index has; pg_proc's oid is column 1.
    valid(unsafe {
        let types = pg_sys::buildoidvector(types.as_ptr(), types.len() as i32);
        let none = pg_sys::Datum::null();
        pg_sys::GetSysCacheOid(cache, 1, name.as_ptr().into(), types.into(), schema.into(), none)
    })
}

/// A function's name.
pub fn function_name(oid: pg_sys::Oid) -> Option<String> {
    // SAFETY: any oid may be asked for; NULL when there is none.
    unsafe { owned(pg_sys::get_func_name(oid)) }
}

/// What a sequence has given out last; `None` where that is nothing yet, or the current user may not know.
pub fn sequence_last_value(sequence: pg_sys::Oid) -> Option<i64> {
    // SAFETY: calls a function of PostgreSQL's with the argument that it takes; it may answer NULL.
    unsafe { pgrx::direct_function_call::<i64>(pg_sys::pg_sequence_last_value, &[Some(sequence.into())]) }
}
