//! Which values one type takes over from another exactly. What is not known to be exact is not: a report view counts a tenant
//! whose column needs a rounding, a cut or a time zone as drifted.

#![forbid(unsafe_code)]

use crate::pg::types::Type;
use pgrx::pg_sys::{self, Oid};

/// Exact conversions of PostgreSQL's own types: every value, to one that means the same and can be converted back.
const EXACT: [(Oid, &[Oid]); 13] = [
    (
        pg_sys::INT2OID,
        &[pg_sys::INT4OID, pg_sys::INT8OID, pg_sys::NUMERICOID, pg_sys::FLOAT4OID, pg_sys::FLOAT8OID],
    ),
    (pg_sys::INT4OID, &[pg_sys::INT8OID, pg_sys::NUMERICOID, pg_sys::FLOAT8OID]),
    (pg_sys::INT8OID, &[pg_sys::NUMERICOID]),
    (pg_sys::FLOAT4OID, &[pg_sys::FLOAT8OID]),
    (pg_sys::NAMEOID, &[pg_sys::TEXTOID, pg_sys::VARCHAROID]),
    (pg_sys::TEXTOID, &[pg_sys::VARCHAROID]),
    (pg_sys::VARCHAROID, &[pg_sys::TEXTOID]),
    (pg_sys::DATEOID, &[pg_sys::TIMESTAMPOID]),
    (pg_sys::CIDROID, &[pg_sys::INETOID]),
    (pg_sys::MACADDROID, &[pg_sys::MACADDR8OID]),
    (pg_sys::JSONBOID, &[pg_sys::JSONOID]),
    (pg_sys::OIDOID, &[pg_sys::INT8OID]),
    (pg_sys::BITOID, &[pg_sys::VARBITOID]),
];

/// Types whose text says all of a value, whatever the session's settings are.
const EXACT_AS_TEXT: [Oid; 11] = [
    pg_sys::BOOLOID,
    pg_sys::INT2OID,
    pg_sys::INT4OID,
    pg_sys::INT8OID,
    pg_sys::NUMERICOID,
    pg_sys::UUIDOID,
    pg_sys::JSONOID,
    pg_sys::JSONBOID,
    pg_sys::INETOID,
    pg_sys::CIDROID,
    pg_sys::MACADDROID,
];

/// Whether a column of type `wants` takes over every value of type `has` exactly. `type_of` describes another type.
pub fn is_exact(has: &Type, wants: &Type, type_of: fn(Oid) -> Type) -> bool {
    let is_free = wants.modifier == -1 || (has.base == wants.base && has.modifier == wants.modifier);
    if !is_free {
        return false;
    }
    if has.oid == wants.oid || has.base == wants.base {
        return true;
    }
    if wants.base == pg_sys::TEXTOID || wants.base == pg_sys::VARCHAROID {
        // A type of the tenant's own nobody else can have: text is the only common form.
        if has.is_own || has.is_enum || EXACT_AS_TEXT.contains(&has.base) {
            return true;
        }
    }
    if let (Some(has), Some(wants)) = (has.element, wants.element) {
        return is_exact(&type_of(has), &type_of(wants), type_of);
    }
    EXACT.iter().any(|(from, to)| *from == has.base && to.contains(&wants.base))
}

/// The type for a column that is of several types: `first` or else another of them that takes over all exactly; `first` where
/// there is none, so that the others drift.
pub fn common(first: Oid, all: &[Oid], type_of: fn(Oid) -> Type) -> Oid {
    let mut candidates = std::iter::once(first).chain(all.iter().copied());
    candidates.find(|wants| takes_all(*wants, all, type_of)).unwrap_or(first)
}

/// Whether a column of type `wants` takes over every value of all those types exactly.
pub fn takes_all(wants: Oid, all: &[Oid], type_of: fn(Oid) -> Type) -> bool {
    all.iter().all(|has| is_exact(&type_of(*has), &type_of(wants), type_of))
}
