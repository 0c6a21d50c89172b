//! What is stored with a table or a function and may call functions: expressions, types that bring their own checks, bodies.

use crate::pg::scan::{self, Key};
use crate::pg::{FIRST_NORMAL_OID, owned, raw};
use pgrx::FromDatum;
use pgrx::pg_sys;

/// The expressions that are stored with a table: its defaults, generated columns and checks, as text of nodes.
pub fn stored_expressions(table: pg_sys::Oid) -> Vec<String> {
    let mut found = Vec::new();
    for (catalog, index, column) in EXPRESSIONS {
        let key = Key::Oids { index: pg_sys::Oid::from(index), columns: &[(column, table)] };
        scan::for_each_row(pg_sys::Oid::from(catalog), &key, |row| found.extend(row.last_text()));
    }
    found
}

/// A column's default.
pub struct Default {
    pub column: String,
    /// As text of nodes.
    pub expression: String,
}

/// The defaults of a table's columns, generated ones included.
pub fn defaults(table: pg_sys::Oid) -> Vec<Default> {
    let mut found = Vec::new();
    let (catalog, index, column) = EXPRESSIONS[0];
    let key = Key::Oids { index: pg_sys::Oid::from(index), columns: &[(column, table)] };
    scan::for_each_row(pg_sys::Oid::from(catalog), &key, |row| {
        // pg_attrdef.h: adnum is column 3.
        let number = row.small(3).unwrap_or_default();
        // SAFETY: any column may be asked for; missing_ok: NULL when there is none.
        let name = unsafe { owned(pg_sys::get_attname(table, number, true)) };
        found.extend(name.zip(row.last_text()).map(|(column, expression)| Default { column, expression }));
    });
    found
}

/// pg_attrdef and pg_constraint, their indexes on the table, and the column that names it; the expression (`adbin`,
/// `conbin`) is the last column of both.
const EXPRESSIONS: [(u32, u32, i16); 2] = [(2604, 2656, 2), (2606, 2665, CONSTRAINT_TABLE)];
#[cfg(any(feature = "pg15", feature = "pg16", feature = "pg17"))]
const CONSTRAINT_TABLE: i16 = 8;
#[cfg(feature = "pg18")]
const CONSTRAINT_TABLE: i16 = 9;

/// Whether all columns of a table are of plain types, or arrays of such: no domain, alone or inside another type.
pub fn has_plain_types_only(table: pg_sys::Oid) -> bool {
    let key = Key::Oids { index: pg_sys::Oid::from(ATTRIBUTES_BY_TABLE), columns: &[(1, table)] };
    let mut is_plain = true;
    scan::for_each_row(pg_sys::Oid::from(ATTRIBUTES), &key, |row| {
        is_plain &= row.oid(3).is_none_or(is_plain_type);
    });
    is_plain
}

/// pg_attribute and its index on (attrelid, attnum); column 3 is atttypid, 0 for a dropped column (pg_attribute.h).
const ATTRIBUTES: u32 = 1249;
const ATTRIBUTES_BY_TABLE: u32 = 2659;

fn is_plain_type(oid: pg_sys::Oid) -> bool {
    if oid == pg_sys::InvalidOid {
        return true;
    }
    // SAFETY: any oid may be asked for; InvalidOid, or NUL, when there is none.
    unsafe {
        let element = pg_sys::get_element_type(oid);
        let oid = if element == pg_sys::InvalidOid { oid } else { element };
        matches!(pg_sys::get_typtype(oid) as u8, b'b' | b'e') || oid.to_u32() < FIRST_NORMAL_OID
    }
}

/// Whether a function is written in C. Not guarded, as `pg::raw`: an error jumps over the caller's frames.
///
/// # Safety
/// In a transaction; the calling frames hold plain data only.
pub unsafe fn is_in_c(function: pg_sys::Oid) -> bool {
    // SAFETY: the caller's promise; a row of pg_proc begins with its fixed part, after the tuple's header.
    unsafe {
        let tuple = raw::SearchSysCache1(pg_sys::SysCacheIdentifier::PROCOID as i32, function.into());
        if tuple.is_null() {
            return false;
        }
        let header = (*tuple).t_data;
        let row = header.cast::<u8>().add((*header).t_hoff.into()).cast::<pg_sys::FormData_pg_proc>();
        let language = (*row).prolang;
        raw::ReleaseSysCache(tuple);
        language.to_u32() == C_LANGUAGE
    }
}

/// `ClanguageId`, pg_language.dat.
const C_LANGUAGE: u32 = 13;

/// The body of a function in SQL.
#[derive(Debug)]
pub enum SqlBody {
    /// A text, parsed at each use: what it names leaves no trace in pg_depend.
    Text(String),
    /// Parsed at creation: the text of its nodes.
    Parsed(String),
}

/// The body of a function in SQL; `None` for functions in other languages.
pub fn sql_body(function: pg_sys::Oid) -> Option<SqlBody> {
    let cache = pg_sys::SysCacheIdentifier::PROCOID as i32;
    // SAFETY: the tuple is a pg_proc row, released below; both columns are texts, copied before.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(cache, function.into());
        if tuple.is_null() {
            return None;
        }
        let value = |attribute: u32| {
            let mut is_null = true;
            let value = pg_sys::SysCacheGetAttr(cache, tuple, attribute as i16, &mut is_null);
            (value, is_null)
        };
        let text = |attribute| {
            let (value, is_null) = value(attribute);
            String::from_datum(value, is_null)
        };
        let language = value(pg_sys::Anum_pg_proc_prolang).0;
        let body = if language.value() as u32 == SQL_LANGUAGE {
            let parsed = text(pg_sys::Anum_pg_proc_prosqlbody).map(SqlBody::Parsed);
            parsed.or_else(|| text(pg_sys::Anum_pg_proc_prosrc).map(SqlBody::Text))
        } else {
            None
        };
        pg_sys::ReleaseSysCache(tuple);
        body
    }
}

/// `SQLlanguageId` (pg_language.dat).
const SQL_LANGUAGE: u32 = 14;
