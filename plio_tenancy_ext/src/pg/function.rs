//! SQL functions of the kinds that pgrx does not know: SETOF record, event triggers, handlers. sql/schema/ creates them.

/// Defines a C function that SQL can call: its record, which says which convention it follows, and the guard around the body.
macro_rules! c_function {
    ($(#[$doc:meta])* $function:ident, $record:ident, $body:expr) => {
        #[unsafe(no_mangle)]
        #[doc(hidden)]
        pub extern "C" fn $record() -> &'static pgrx::pg_sys::Pg_finfo_record {
            const V1: pgrx::pg_sys::Pg_finfo_record = pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
            &V1
        }

        $(#[$doc])*
        #[unsafe(no_mangle)]
        #[doc(hidden)]
        #[pgrx::pg_guard]
        pub unsafe extern "C-unwind" fn $function(
            fcinfo: pgrx::pg_sys::FunctionCallInfo,
        ) -> pgrx::pg_sys::Datum {
            const BODY: unsafe fn(pgrx::pg_sys::FunctionCallInfo) -> pgrx::pg_sys::Datum = $body;
            // SAFETY: PostgreSQL calls it with the call's record; the install script declares the function as the body
            // expects it.
            unsafe { BODY(fcinfo) }
        }
    };
}

/// Defines such a function without a guard: its body holds plain data only, and hands the call on to PostgreSQL.
macro_rules! plain_function {
    ($function:ident, $record:ident, $body:expr) => {
        #[unsafe(no_mangle)]
        #[doc(hidden)]
        pub extern "C" fn $record() -> &'static pgrx::pg_sys::Pg_finfo_record {
            const V1: pgrx::pg_sys::Pg_finfo_record = pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
            &V1
        }

        #[unsafe(no_mangle)]
        #[doc(hidden)]
        pub unsafe extern "C-unwind" fn $function(
            fcinfo: pgrx::pg_sys::FunctionCallInfo,
        ) -> pgrx::pg_sys::Datum {
            const BODY: unsafe fn(pgrx::pg_sys::FunctionCallInfo) -> pgrx::pg_sys::Datum = $body;
            // SAFETY: PostgreSQL calls it with the call's record; the install script declares the function as the body
            // expects it.
            unsafe { BODY(fcinfo) }
        }
    };
}

pub(crate) use c_function;
pub(crate) use plain_function;
