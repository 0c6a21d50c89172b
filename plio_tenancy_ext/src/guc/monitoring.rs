//! The settings of what is kept of denials and transactions.

#![forbid(unsafe_code)]

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

static COUNTED_TENANTS: GucSetting<i32> = GucSetting::<i32>::new(4096);
static DENIALS_LOG_RATE: GucSetting<i32> = GucSetting::<i32>::new(100);
static DENIALS_RING_SIZE: GucSetting<i32> = GucSetting::<i32>::new(1024);

/// For how many tenants there are counters.
pub fn counted_tenants() -> usize {
    usize::try_from(COUNTED_TENANTS.get()).unwrap_or_default()
}

/// How many denials a session writes to the server's log in a second.
pub fn log_rate() -> i32 {
    DENIALS_LOG_RATE.get()
}

/// How many denials the ring holds.
pub fn ring_size() -> usize {
    usize::try_from(DENIALS_RING_SIZE.get()).unwrap_or_default()
}

/// Defines them, in alphabetical order. Sizes of shared memory are fixed when the server starts; where the library was
/// loaded later, a value in the configuration file must not be called unknown, and is without effect.
pub fn install(is_postmaster: bool) {
    let fixed = || if is_postmaster { GucContext::Postmaster } else { GucContext::Sighup };
    GucRegistry::define_int_guc(
        c"plio.counted_tenants",
        c"For how many tenants of the cluster transactions and denials are counted.",
        c"Takes effect when the server starts, with shared_preload_libraries alone. Further ones are counted together.",
        &COUNTED_TENANTS,
        0,
        1 << 20,
        fixed(),
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"plio.denials_log_rate",
        c"How many denials a session may write to the server's log in a second.",
        c"The next line says how many were left out. 0 writes none.",
        &DENIALS_LOG_RATE,
        0,
        i32::MAX,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"plio.denials_ring_size",
        c"How many denials plio.denials keeps for the cluster.",
        c"Takes effect when the server starts, with shared_preload_libraries alone. 0 keeps none.",
        &DENIALS_RING_SIZE,
        0,
        1 << 20,
        fixed(),
        GucFlags::empty(),
    );
}
