//! The settings of what is kept of denials and transactions.

use super::locked_by_tenant;
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::prelude::*;
use std::time::Duration;

const MINUTES_OF_A_DAY: i32 = 24 * 60;
const SECONDS_OF_A_DAY: i32 = 24 * 60 * 60;

static COUNTED_TENANTS: GucSetting<i32> = GucSetting::<i32>::new(4096);
static DENIALS_FLUSH_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(0);
static DENIALS_HISTORY_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(90 * MINUTES_OF_A_DAY);
static DENIALS_HISTORY_ROWS: GucSetting<i32> = GucSetting::<i32>::new(1_000_000);
static DENIALS_LOG_RATE: GucSetting<i32> = GucSetting::<i32>::new(100);
static DENIALS_RING_SIZE: GucSetting<i32> = GucSetting::<i32>::new(1024);

/// For how many tenants there are counters.
pub fn counted_tenants() -> usize {
    usize::try_from(COUNTED_TENANTS.get()).unwrap_or_default()
}

/// How often the ring is written to the tables; `None` when it is not.
pub fn flush_interval() -> Option<Duration> {
    u64::try_from(DENIALS_FLUSH_INTERVAL.get()).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

/// For how many minutes a denial stays in the table; `None` for ever.
pub fn history_retention() -> Option<i32> {
    Some(DENIALS_HISTORY_RETENTION.get()).filter(|minutes| *minutes > 0)
}

/// How many rows a database's table may have.
pub fn history_rows() -> i64 {
    match DENIALS_HISTORY_ROWS.get() {
        0 => i64::MAX,
        rows => rows.into(),
    }
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
        c"plio.denials_flush_interval",
        c"How often denials are written to plio.denials_history.",
        c"With shared_preload_libraries alone; also whenever half of the ring is new. 0 never writes them.",
        &DENIALS_FLUSH_INTERVAL,
        0,
        SECONDS_OF_A_DAY,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"plio.denials_history_retention",
        c"For how long a denial stays in plio.denials_history.",
        c"0 keeps it for ever.",
        &DENIALS_HISTORY_RETENTION,
        0,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_MIN,
    );
    GucRegistry::define_int_guc(
        c"plio.denials_history_rows",
        c"How many rows plio.denials_history of a database may have, about.",
        c"Once they are there, no more are written until some are old enough to go. 0 sets no limit.",
        &DENIALS_HISTORY_ROWS,
        0,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::empty(),
    );
    // SAFETY: the hook is guarded.
    unsafe {
        GucRegistry::define_int_guc_with_hooks(
            c"plio.denials_log_rate",
            c"How many denials a session may write to the server's log in a second.",
            c"The next line says how many were left out. 0 writes none.",
            &DENIALS_LOG_RATE,
            0,
            i32::MAX,
            GucContext::Suset,
            GucFlags::empty(),
            Some(check_denials_log_rate),
            None,
            None,
        );
    }
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

locked_by_tenant!(check_denials_log_rate, "plio.denials_log_rate", i32);
