//! Whom management waits for, in which order, and for how long.
//!
//! Whoever waits in the queue for an exclusive lock holds up everybody who comes after him. So a tenant's lock is tried in
//! short steps, with pauses in which newcomers go on: a long transaction in the tenant delays nobody else, and short ones
//! end within a step. The registry's lock comes last, and a step that does not get it lets the tenant go again: nobody
//! waits for one of the two while he holds the other.

#![forbid(unsafe_code)]

use crate::cache::{self, Tenant};
use crate::error::{Error, Result};
use crate::pg::lock::{self, Subject};
use crate::pg::{catalog, guc, session};
use crate::policy::Actor;
use crate::registry;
use crate::tenant::Org;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use std::ffi::CStr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a management function waits for any lock when lock_timeout sets no limit.
const DEFAULT_WAIT: &CStr = c"5s";

/// How long one step stands in the queue: newcomers wait so long at most.
const STEP: Duration = Duration::from_millis(100);

/// The first pause between two steps, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(80));

/// Limits every wait of the running function, those of PostgreSQL's own commands included.
pub fn limit_waits() {
    guc::limit_waits(DEFAULT_WAIT);
}

/// The limit in force.
fn limit() -> Duration {
    guc::lock_timeout().unwrap_or(Duration::from_secs(5))
}

/// Locks the registry to the end of the transaction.
///
/// # Errors
/// 55000, 55006.
pub fn registry() -> Result<()> {
    let extension = extension()?;
    // Nobody but administrators stands in this queue: no steps.
    let is_locked = lock::attempt(limit(), || {
        lock::registry(extension);
        true
    });
    if !is_locked {
        return Err(Error::RegistryInUse { holders: holders(&[Subject::Registry(extension)]) });
    }
    session::accept_invalidations();
    Ok(())
}

/// What an update of the extension alters: its tables, all or none of them, and the registry.
///
/// # Errors
/// 55006.
pub fn extensions_tables() -> Result<()> {
    registry()?;
    let tables = registry::tables()?;
    in_steps(
        || {
            tables.iter().for_each(|table| lock::table_exclusive(*table));
            true
        },
        || {
            let subjects: Vec<Subject> = tables.iter().map(|table| Subject::Table(*table)).collect();
            Error::ExtensionInUse { holders: holders(&subjects) }
        },
    )
}

/// The tenant, locked exclusively to the end of the transaction, and the registry with it. A tenant whose schema is gone
/// has nothing to lock.
///
/// # Errors
/// 42704, 55006.
pub fn tenant(org: &Org) -> Result<Rc<Tenant>> {
    let unknown = || Error::UnknownTenant { org: org.to_string() };
    session::accept_invalidations();
    let mut tenant = cache::tenant(org).ok_or_else(unknown)?;
    loop {
        match tenant.schema {
            Some(schema) => self::schema(org, schema)?,
            None => registry()?,
        }
        let again = cache::tenant(org).ok_or_else(unknown)?;
        if again.id == tenant.id && again.schema == tenant.schema {
            return Ok(again);
        }
        tenant = again;
    }
}

/// Locks a schema as a tenant's, and the registry with it.
///
/// # Errors
/// 55000, 55006.
pub fn schema(org: &Org, schema: Oid) -> Result<()> {
    let extension = extension()?;
    in_steps(
        || {
            let is_free = lock::tenant_exclusive(schema);
            if is_free {
                lock::registry(extension);
            }
            is_free
        },
        || {
            let subjects = [Subject::Tenant(schema), Subject::Registry(extension)];
            Error::InUse { org: org.to_string(), holders: holders(&subjects) }
        },
    )
}

/// Takes locks in short steps, with pauses, until the limit: `take` says whether it got them all.
///
/// # Errors
/// What `in_use` says.
fn in_steps(take: impl Fn() -> bool, in_use: impl Fn() -> Error) -> Result<()> {
    let end = Instant::now() + limit();
    let mut pause = PAUSES.0;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if lock::attempt(STEP.min(left), &take) {
            session::accept_invalidations();
            return Ok(());
        }
        if Instant::now() + pause >= end {
            return Err(in_use());
        }
        session::pause(pause);
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Waits for the transactions in a tenant whose schema a superuser's own command is about to change.
pub fn wait_for_tenant(schema: Oid) {
    guc::with_limited_waits(DEFAULT_WAIT, || lock::tenant_exclusive(schema));
}

fn extension() -> Result<Oid> {
    catalog::extension_oid(registry::EXTENSION).ok_or(Error::NotInstalled)
}

/// The holders of one lock, each as a process, its role and how long its transaction has been open; at most three.
const HOLDERS: &str = "
    SELECT pg_catalog.textsend(pg_catalog.string_agg(h.holder, ', ')) FROM (
        SELECT CASE WHEN l.pid IS NULL THEN 'a prepared transaction'
                    ELSE pg_catalog.format('process %s (role %s, in a transaction for %s s)', l.pid, a.usename,
                         pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.xact_start))) END AS holder
          FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
         WHERE l.granted AND CASE l.locktype
               WHEN 'object' THEN l.classid = $1 AND l.objid = $2 AND l.objsubid = $3
               WHEN 'relation' THEN $1 = 'pg_catalog.pg_class'::pg_catalog.regclass AND l.relation = $2 END
           AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
           AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
         ORDER BY a.xact_start LIMIT 3) h";

/// Who holds these, for an administrator; nothing of what they do.
fn holders(subjects: &[Subject]) -> Option<String> {
    if cache::actor(session::outer_user()) != Actor::Administrator {
        return None;
    }
    let found = |subject: &Subject| {
        let (class, object) = subject.address();
        let subject = i32::from(lock::OURS);
        let arguments = [class.into(), object.into(), subject.into()];
        // As bytes: the names of roles need not be UTF-8.
        let found = session::as_superuser(|| Spi::get_one_with_args::<Vec<u8>>(HOLDERS, &arguments));
        found.ok().flatten().map(|text| String::from_utf8_lossy(&text).into_owned())
    };
    let mut all: Vec<String> = subjects.iter().filter_map(found).collect();
    all.dedup();
    (!all.is_empty()).then(|| format!("The lock is held by {}.", all.join(", ")))
}
