//! plio_tenancy: tenant isolation inside PostgreSQL.
//!
//! `plio.set_tenant(org)` checks an organization against the registry, locks it for the transaction, sets the
//! search_path and the role; hooks and event triggers refuse whatever lies outside. `hooks.rs` has the table of what
//! is enforced where; `policy.rs` the rules; everything that touches PostgreSQL's C side goes through `pg`.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]
#![allow(
    missing_docs,
    reason = "a server library has no Rust callers; modules and rules are documented where they are"
)]

#[cfg(not(panic = "unwind"))]
compile_error!("PostgreSQL's errors pass through this library as unwinds: build with panic = \"unwind\"");

mod access;
mod adoption;
mod api;
mod audit;
mod cache;
mod channel;
mod context;
mod ddl;
mod denial;
mod error;
mod guc;
mod history;
mod hooks;
mod house;
mod lifecycle;
mod monitor;
mod one_layer;
mod pg;
mod policy;
mod preload;
mod registry;
mod report;
mod report_api;
mod selftest;
mod shares;
mod tenant;

use pgrx::prelude::*;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

::pgrx::pg_module_magic!();

extension_sql_file!("../../sql/schema/10_roles.sql", name = "roles", bootstrap);
extension_sql_file!("../../sql/schema/20_registry.sql", name = "registry", requires = ["roles"]);
extension_sql_file!(
    "../../sql/schema/29_health_limits.sql",
    name = "health_limits",
    requires = ["registry", api::_process_kind, monitor::api::_denials_left_out]
);
extension_sql_file!(
    "../../sql/schema/30_views.sql",
    name = "views",
    requires = [
        "registry",
        "health_limits",
        api::_cluster,
        api::_loaded_as,
        api::version,
        monitor::api::_shared_totals,
        monitor::flush::_flush_state
    ]
);
extension_sql_file!("../../sql/schema/35_calls.sql", name = "calls", requires = ["views"]);
extension_sql_file!(
    "../../sql/schema/40_event_triggers.sql",
    name = "event_triggers",
    requires = ["registry"]
);
extension_sql_file!("../../sql/schema/60_adoption.sql", name = "adoption", requires = ["registry"]);
extension_sql_file!(
    "../../sql/schema/60_monitoring.sql",
    name = "monitoring",
    requires =
        ["views", monitor::api::_kept_denials, monitor::api::_shared_totals, monitor::api::_tenant_counters]
);
extension_sql_file!(
    "../../sql/schema/61_denials_history.sql",
    name = "denials_history",
    requires = ["monitoring", monitor::flush::flush_denials]
);
extension_sql_file!(
    "../../sql/schema/50_audit_base.sql",
    name = "audit_base",
    requires = [
        "views",
        audit::_severity_rank,
        audit::_schemas_in_code,
        audit::_names_in_list,
        audit::_connecting_extensions
    ]
);
extension_sql_file!("../../sql/schema/51_audit_ties.sql", name = "audit_ties", requires = ["audit_base"]);
extension_sql_file!("../../sql/schema/52_audit_code.sql", name = "audit_code", requires = ["audit_base"]);
extension_sql_file!(
    "../../sql/schema/53_audit_privileges.sql",
    name = "audit_privileges",
    requires = ["audit_base"]
);
extension_sql_file!("../../sql/schema/54_audit_roles.sql", name = "audit_roles", requires = ["audit_base"]);
extension_sql_file!(
    "../../sql/schema/55_audit_outside.sql",
    name = "audit_outside",
    requires = ["audit_base"]
);
extension_sql_file!(
    "../../sql/schema/56_audit_registry.sql",
    name = "audit_registry",
    requires = ["audit_base"]
);
extension_sql_file!(
    "../../sql/schema/57_selftest.sql",
    name = "selftest",
    requires = ["registry", selftest::selftest]
);
extension_sql_file!("../../sql/schema/58_audit_trust.sql", name = "audit_trust", requires = ["audit_base"]);
extension_sql_file!(
    "../../sql/schema/58_audit_objects.sql",
    name = "audit_objects",
    requires = ["audit_base"]
);
extension_sql_file!(
    "../../sql/schema/59_audit.sql",
    name = "audit",
    requires = [
        "audit_ties",
        "audit_code",
        "audit_privileges",
        "audit_roles",
        "audit_outside",
        "audit_registry",
        "audit_objects",
        "audit_trust"
    ]
);
extension_sql_file!(
    "../../sql/schema/70_reports.sql",
    name = "reports",
    requires = [
        "roles",
        "registry",
        report_api::report_coverage,
        report_api::create_report_view,
        report_api::drop_report_view
    ]
);
extension_sql_file!(
    "../../sql/schema/90_grants.sql",
    name = "grants",
    requires =
        ["views", "calls", "event_triggers", "adoption", "denials_history", "audit", "selftest", "reports"],
    finalize
);

/// How the library came into this process: see [`loaded_as`].
static LOADED_AS: AtomicU8 = AtomicU8::new(0);

const LOADED_AS_WORDS: [&str; 4] = ["late", "session", "shared", "creating"];

/// `shared` or `session` when it was preloaded, `creating` in the session that ran CREATE EXTENSION, else `late`.
fn loaded_as() -> &'static str {
    LOADED_AS_WORDS[usize::from(LOADED_AS.load(Relaxed)) % LOADED_AS_WORDS.len()]
}

/// Whether nothing of this session ran before the hooks were there.
fn is_preloaded() -> bool {
    loaded_as() != "late"
}

/// Loading: nothing may fail once the first hook is set, but for a connection that asks for a tenant it may not enter:
/// it is refused.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    let how = if pg::session::is_postmaster_loading() {
        "shared"
    } else if pg::session::is_creating_extension() {
        "creating"
    } else if pg::session::is_starting() {
        "session"
    } else {
        "late"
    };
    pg::errors::forbid_backtraces();
    let index = LOADED_AS_WORDS.iter().position(|word| *word == how).unwrap_or(0);
    LOADED_AS.store(index as u8, Relaxed);
    let wanted = if how == "session" { guc::wanted_tenant() } else { None };
    guc::install();
    if how == "shared" {
        monitor::install();
    }
    cache::install();
    pg::session::install(pg::session::Callbacks {
        on_commit: context::on_commit,
        on_end: context::on_transaction_end,
        on_subtransaction_start: hooks::running::on_subtransaction_start,
        on_subtransaction_end: context::on_subtransaction_end,
    });
    hooks::install();
    if let Some(wanted) = wanted {
        pg::session::in_transaction(|| error::or_raise(context::enter_session(&wanted, false)));
    }
}
