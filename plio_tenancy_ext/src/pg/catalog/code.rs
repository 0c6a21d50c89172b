//! Functions and operators: whose they are, where they lie, and how they are written.

use super::{split_qualified, valid};
use crate::pg::scan::{self, Key};
use crate::pg::{owned, quote_identifier, raw};
use pgrx::pg_sys::{self, Oid};
use std::ffi::CString;

/// Who owns a function or an operator, and the schema that it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    pub owner: Oid,
    pub schema: Oid,
}

/// A function's owner and schema.
pub fn function(oid: Oid) -> Option<Code> {
    use pg_sys::SysCacheIdentifier::PROCOID;
    code(PROCOID as i32, oid, pg_sys::Anum_pg_proc_proowner as i16, pg_sys::Anum_pg_proc_pronamespace as i16)
}

/// An operator's owner and schema.
pub fn operator(oid: Oid) -> Option<Code> {
    use pg_sys::SysCacheIdentifier::OPEROID;
    // pg_operator.h: oprnamespace is column 3, oprowner 4.
    code(OPEROID as i32, oid, 4, 3)
}

/// Whether a function is a trigger's.
pub fn is_trigger(function: Oid) -> bool {
    // SAFETY: the caller names a function that is there.
    unsafe { pg_sys::get_func_rettype(function) == pg_sys::TRIGGEROID }
}

/// How many arguments a function takes, those with a default included. Unguarded: a syscache look-up.
pub fn argument_count(function: Oid) -> i32 {
    // SAFETY: any oid may be asked for; a row of the cache begins with the fixed columns, and is released.
    unsafe {
        let tuple = raw::SearchSysCache1(pg_sys::SysCacheIdentifier::PROCOID as i32, function.into());
        if tuple.is_null() {
            return 0;
        }
        let row = (*tuple).t_data.cast::<u8>().add((*(*tuple).t_data).t_hoff.into());
        let count = (*row.cast::<pg_sys::FormData_pg_proc>()).pronargs;
        raw::ReleaseSysCache(tuple);
        count.into()
    }
}

/// The defaults of a function's arguments, as PostgreSQL keeps them.
pub fn argument_defaults(function: Oid) -> Option<String> {
    with_row(function, |tuple| {
        let mut is_null = true;
        // SAFETY: a row of the cache; the column is a text (pg_node_tree) or null.
        unsafe {
            let defaults = pg_sys::SysCacheGetAttr(
                pg_sys::SysCacheIdentifier::PROCOID as i32,
                tuple,
                pg_sys::Anum_pg_proc_proargdefaults as i16,
                &mut is_null,
            );
            if is_null { None } else { owned(pg_sys::text_to_cstring(defaults.cast_mut_ptr())) }
        }
    })
    .flatten()
}

/// The arguments of a call, with the defaults of those that it leaves out.
///
/// # Safety
/// The arguments are those of a call of that function, which has that result.
pub unsafe fn with_defaults(function: Oid, given: *mut pg_sys::List, result: Oid) -> *mut pg_sys::List {
    // SAFETY: the caller's promise; as the planner does (clauses.c).
    with_row(function, |tuple| unsafe { pg_sys::expand_function_arguments(given, false, result, tuple) })
        .unwrap_or(given)
}

/// Looks at a function's row.
fn with_row<R>(function: Oid, look: impl FnOnce(pg_sys::HeapTuple) -> R) -> Option<R> {
    // SAFETY: any oid may be asked for; the row is released.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::PROCOID as i32, function.into());
        if tuple.is_null() {
            return None;
        }
        let seen = look(tuple);
        pg_sys::ReleaseSysCache(tuple);
        Some(seen)
    }
}

/// `pg_get_sequence_data(regclass)`, which shows a sequence's values in a row; there from 18 on.
#[cfg(feature = "pg18")]
pub const SEQUENCE_DATA: Option<u32> = Some(pg_sys::F_PG_GET_SEQUENCE_DATA);
#[cfg(not(feature = "pg18"))]
pub const SEQUENCE_DATA: Option<u32> = None;

fn code(cache: i32, oid: Oid, owner: i16, schema: i16) -> Option<Code> {
    // SAFETY: any oid may be asked for; both columns are oids and never null; the tuple is released.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(cache, oid.into());
        if tuple.is_null() {
            return None;
        }
        let value = |attribute| {
            let mut is_null = true;
            Oid::from(pg_sys::SysCacheGetAttr(cache, tuple, attribute, &mut is_null).value() as u32)
        };
        let found = Code { owner: value(owner), schema: value(schema) };
        pg_sys::ReleaseSysCache(tuple);
        Some(found)
    }
}

/// A function with its schema and the types of its arguments, as `public.f(integer)`; what pg_event_trigger_dropped_objects()
/// calls its identity.
pub fn function_identity(oid: Oid) -> Option<String> {
    // SAFETY: the function is there; a palloc'd text.
    super::function_schema(oid).and_then(|_| unsafe { owned(pg_sys::format_procedure_qualified(oid)) })
}

/// A function's schema, and the rest of its identity: `f(integer)`.
pub fn function_signature(oid: Oid) -> Option<(String, String)> {
    let schema = super::schema_name(super::function_schema(oid)?)?;
    let identity = function_identity(oid)?;
    let signature = identity.strip_prefix(&quote_identifier(&schema))?.strip_prefix('.')?.to_owned();
    Some((schema, signature))
}

/// The function with that signature in that schema: no type is looked up by name, so no privilege is asked for.
pub fn function_by_signature(schema: Oid, signature: &str) -> Option<Oid> {
    let wanted = format!("{}.{signature}", quote_identifier(&super::schema_name(schema)?));
    functions_named(&name_in(signature)?).into_iter().find(|oid| {
        super::function_schema(*oid) == Some(schema)
            && function_identity(*oid).is_some_and(|identity| identity == wanted)
    })
}

/// The name before the arguments, without its quotes.
fn name_in(signature: &str) -> Option<String> {
    let end = match signature.strip_prefix('"') {
        None => signature.find('(')?,
        Some(quoted) => {
            let mut letters = quoted.char_indices().peekable();
            loop {
                let (at, letter) = letters.next()?;
                if letter == '"' && letters.next_if(|(_, next)| *next == '"').is_none() {
                    break at + 2;
                }
            }
        }
    };
    match split_qualified(&signature[..end]).as_slice() {
        [name] => Some(name.clone()),
        _ => None,
    }
}

/// Every function of that name, in any schema.
fn functions_named(name: &str) -> Vec<Oid> {
    let Ok(name) = CString::new(name) else { return Vec::new() };
    let cache = pg_sys::SysCacheIdentifier::PROCNAMEARGSNSP as i32;
    // SAFETY: the first key of the cache is the name; the list and its members stay while it is held, and a row's first column
    // is its oid, which is never null.
    unsafe {
        let none = pg_sys::Datum::null();
        let list = pg_sys::SearchSysCacheList(cache, 1, name.as_ptr().into(), none, none);
        let members = (*list).members.as_ptr();
        let found = (0..(*list).n_members as usize)
            .map(|index| {
                let tuple = &raw mut (**members.add(index)).tuple;
                let mut is_null = true;
                let oid =
                    pg_sys::SysCacheGetAttr(cache, tuple, pg_sys::Anum_pg_proc_oid as i16, &mut is_null);
                Oid::from(oid.value() as u32)
            })
            .collect();
        pg_sys::ReleaseCatCacheList(list);
        found
    }
}

/// An operator with its schema and the types of its arguments.
pub fn operator_identity(oid: Oid) -> Option<String> {
    // SAFETY: any operator may be asked for; a palloc'd text, digits for one that is gone.
    unsafe { owned(pg_sys::format_operator_qualified(oid)) }
}

/// The extension that an object is a member of, by its oid.
pub fn extension_of(class: Oid, object: Oid) -> Option<Oid> {
    // SAFETY: any class and object may be asked for.
    valid(unsafe { pg_sys::getExtensionOfObject(class, object) })
}

/// An extension's owner.
pub fn extension_owner(extension: Oid) -> Option<Oid> {
    let mut owner = None;
    let index = Oid::from(pg_sys::ExtensionOidIndexId);
    scan::for_each_row(
        pg_sys::ExtensionRelationId,
        &Key::Oids { index, columns: &[(1, extension)] },
        |row| {
            owner = row.oid(EXTOWNER);
        },
    );
    owner
}

/// The owner and the schema of each extension.
pub fn extensions() -> Vec<Code> {
    let mut found = Vec::new();
    scan::for_each_row(pg_sys::ExtensionRelationId, &Key::All, |row| {
        found.extend(row.oid(EXTOWNER).zip(row.oid(4)).map(|(owner, schema)| Code { owner, schema }));
    });
    found
}

/// pg_extension's column extowner; extnamespace is the next one (pg_extension.h).
const EXTOWNER: usize = 3;

#[cfg(test)]
mod tests {
    use super::name_in;

    #[test]
    fn names_in_signatures_end_before_the_arguments() {
        // What is quoted needs PostgreSQL to be taken apart; where it ends does not.
        assert_eq!(name_in("no arguments"), None);
        assert_eq!(name_in("\"not closed(integer)"), None);
    }
}
