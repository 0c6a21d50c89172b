//! What kind of type a column is of.

use super::catalog;
use pgrx::pg_sys::{self, Oid};

/// A type, as far as it matters to which other its values can be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type {
    /// The type itself.
    pub oid: Oid,
    /// What a domain is over; else the type itself.
    pub base: Oid,
    /// The modifier in force, such as a length; -1 for none.
    pub modifier: i32,
    /// What an array is of.
    pub element: Option<Oid>,
    /// Whether its values are words.
    pub is_enum: bool,
    /// Whether it lies in the schema that was named.
    pub is_own: bool,
}

impl Type {
    /// A column's type and modifier; `schema` is the tenant's.
    pub fn of(oid: Oid, modifier: i32, schema: Option<Oid>) -> Self {
        let mut modifier = modifier;
        // SAFETY: any type may be asked for; what is no domain comes back as it is.
        let base = unsafe { pg_sys::getBaseTypeAndTypmod(oid, &mut modifier) };
        Self {
            oid,
            base,
            modifier,
            element: catalog::element_type(base),
            is_enum: catalog::type_kind(base) == Some('e'),
            is_own: schema.is_some() && catalog::type_schema(oid) == schema,
        }
    }
}

/// The type and modifier of a relation's column of that name; `None` when it has no such column.
pub fn of_column(relation: Oid, name: &str) -> Option<(Oid, i32)> {
    let name = std::ffi::CString::new(name).ok()?;
    let (mut oid, mut modifier, mut collation) = (pg_sys::InvalidOid, -1, pg_sys::InvalidOid);
    // SAFETY: any relation and a NUL-terminated name may be asked for; 0 when there is none, less for system columns. The
    // places are valid.
    unsafe {
        let column = pg_sys::get_attnum(relation, name.as_ptr());
        if column <= 0 {
            return None;
        }
        pg_sys::get_atttypetypmodcoll(relation, column, &mut oid, &mut modifier, &mut collation);
    }
    Some((oid, modifier))
}
