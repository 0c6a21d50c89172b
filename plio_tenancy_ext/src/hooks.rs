//! The hooks, in the order in which they are set.
//!
//! | hook | sees | cannot see | in the chain |
//! | --- | --- | --- | --- |
//! | `ExecutorStart_hook`, `ExecutorCheckPerms_hook` | every range table, after views and cached plans, workers included | utility statements; partitions that an INSERT routes to | ours first, then the previous hook: a refusal of ours needs no second opinion |
//! | `object_access_hook` | qualified names being resolved, functions about to run, objects being dropped, altered, truncated | creation targets, cached plans (names), anything by oid, trigger functions as they fire (functions.rs) | previous hook first, as sepgsql does |
//! | `needs_fmgr_hook`, `fmgr_hook` | inside a tenant: functions as they are looked up to be called, those of triggers, types and operator classes included; SQL functions that the planner would inline | built-in functions | ours first; the answer is the previous hook's, or yes for a body that must not be inlined |
//! | `post_parse_analyze_hook` | that a query was parsed in a session's tenant not yet checked in this transaction | utility statements | ours first |
//! | `planner_hook` | each query that is planned, in which replaced.rs exchanges functions and judges operators; that a plan is being made | expressions that are evaluated without a plan: checks, arguments of CALL | around the previous hook or the standard planner |
//! | `ExecutorEnd_hook` | that a plan has ended | plans that an error cut off | ours first: it only counts |
//! | `ProcessUtility_hook` | every utility statement, those of functions and DO included | `set_config()` and `UPDATE pg_settings`, whose calls the planner hook exchanges | ours first; then the previous hook or the standard function |
//!
//! All keep to one shape: the outer function holds plain data and has no guard, so an error that is not ours passes
//! through untouched; it calls a guarded check of ours. No hook ever turns a refusal into a permission.

pub mod analyze;
pub mod check_perms;
pub mod folded;
pub mod functions;
pub mod held;
pub mod notify;
pub mod object_access;
pub mod planner;
pub mod replaced;
pub mod report_scan;
pub mod running;
pub mod sequences;
pub mod settings;
pub mod triggers;
pub mod utility;
pub mod visited;

use crate::denial::{self, Subject};
use crate::error::{Error, Result};
use crate::pg::{autovacuum, session};
use crate::registry::Installed;
use crate::{cache, context, guc};

/// Sets every hook. Nothing may fail from the first one on.
pub fn install() {
    check_perms::install();
    object_access::install();
    functions::install();
    analyze::install();
    planner::install();
    running::install();
    utility::install();
}

/// Whether this process and this session are judged at all: a client's backend, its parallel worker, a walsender (which
/// takes SQL, too) or autovacuum, with enforcement not off. Other background processes are not.
pub fn is_judged() -> bool {
    guc::is_judging() && is_judged_process()
}

/// The same, whatever enforcement says.
pub fn is_judged_process() -> bool {
    session::is_client_backend() || autovacuum::is_running()
}

/// Whether there is a registry to judge by: false where the extension is not installed.
///
/// # Errors
/// 55000 where it is installed and its registry cannot be read: then nothing is allowed that would have to be judged.
pub fn has_registry() -> Result<bool> {
    match cache::installed() {
        Installed::Whole(_) => Ok(true),
        Installed::No => Ok(false),
        Installed::Broken if is_judged() => {
            denial::decide(Err(Error::RegistryBroken), Subject::Statement).map(|()| false)
        }
        Installed::Broken => Ok(false),
    }
}

/// Confirms a session's tenant once in a transaction; the hot path's only other duty.
pub fn ensure_confirmed() -> Result<()> {
    if context::needs_confirmation() { context::confirm() } else { Ok(()) }
}
