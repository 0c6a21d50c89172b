//! The SQL functions: decode the arguments, call one function of the domain, raise its error.

use crate::error::{Error, Result, or_raise};
use crate::pg;
use crate::pg::jsonb::Jsonb;
use crate::pg::{deferred, session};
use crate::tenant::Org;
use crate::{access, context, lifecycle, preload, registry, shares};
use pgrx::prelude::*;

/// An argument that must not be NULL.
///
/// # Errors
/// 22023.
pub fn required<'a>(
    value: Option<&'a str>,
    function: &'static str,
    argument: &'static str,
) -> Result<&'a str> {
    let value = value.ok_or(Error::NullArgument { function, argument })?;
    ensure_utf8(value, function, argument)?;
    Ok(value)
}

/// An argument that is UTF-8: the names of roles and databases need not be.
///
/// # Errors
/// 22023.
pub fn ensure_utf8(value: &str, function: &'static str, argument: &'static str) -> Result<()> {
    if pg::is_utf8(value) {
        return Ok(());
    }
    Err(Error::BadArgument {
        message: format!("argument \"{argument}\" of {function}() is not valid in encoding UTF8"),
        hint: "Rename what has that name, in a database of the encoding in which it was made.",
    })
}

/// An argument that is an org.
///
/// # Errors
/// 22023 (NULL), 42602.
pub fn parse_org(value: Option<&str>, function: &'static str, argument: &'static str) -> Result<Org> {
    Org::parse(required(value, function, argument)?).map_err(Error::BadOrg)
}

#[unsafe(no_mangle)]
#[doc(hidden)]
pub extern "C" fn pg_finfo_set_tenant_wrapper() -> &'static pg_sys::Pg_finfo_record {
    const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}

/// Sets the tenant of this transaction: `plio.set_tenant(text)`, which sql/schema/35_calls.sql declares. Not guarded: the errors
/// of what is deferred are not ours.
#[unsafe(no_mangle)]
#[doc(hidden)]
pub unsafe extern "C-unwind" fn set_tenant_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: plain data only in this frame; the call's record is PostgreSQL's. What is deferred may fire, since that was asked.
    unsafe {
        if context::deferred::can_fire() && (!context::is_active() || fires_deferred(call)) {
            deferred::fire();
        }
        set_tenant(call)
    }
}

/// The argument of `set_tenant`.
///
/// # Safety
/// The call's record is that of a function with one argument of type text.
unsafe fn wanted_org(call: pg_sys::FunctionCallInfo) -> Option<String> {
    // SAFETY: the caller's promise.
    unsafe {
        let argument = (*call).args.as_slice(1).first()?;
        String::from_datum(argument.value, argument.isnull)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn fires_deferred(call: pg_sys::FunctionCallInfo) -> bool {
    // SAFETY: the caller passes the record of a call of set_tenant.
    unsafe { wanted_org(call) }.is_some_and(|org| context::deferred::must_fire_before(&org))
}

#[pg_guard]
unsafe extern "C-unwind" fn set_tenant(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: as above, here and below.
    let is_nested = unsafe { session::is_in_nested_query(call) };
    let is_alone = !session::is_in_block() && session::is_outside_spi() && !is_nested;
    // SAFETY: as above.
    let org = unsafe { wanted_org(call) };
    or_raise(
        required(org.as_deref(), "set_tenant", "org")
            .inspect_err(|_| context::note_refused_change())
            .and_then(|org| context::enter(org, is_alone, is_nested || session::is_in_utility())),
    );
    pg_sys::Datum::null()
}

/// The tenant in force; null when there is none.
#[pg_extern(stable, parallel_safe)]
fn current_tenant() -> Option<String> {
    context::active_org()
}

/// The tenant in force; an error when there is none.
#[pg_extern(stable, parallel_safe)]
fn require_tenant() -> String {
    or_raise(context::active_org().ok_or(Error::NoTenantSet))
}

#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn create_tenant(
    org: Option<&str>,
    schema_name: default!(Option<&str>, "NULL"),
    settings: default!(Option<Jsonb>, "'{}'"),
) -> String {
    or_raise((|| {
        let org = parse_org(org, "create_tenant", "org")?;
        schema_name.map_or(Ok(()), |name| ensure_utf8(name, "create_tenant", "schema_name"))?;
        let settings =
            settings.ok_or(Error::NullArgument { function: "create_tenant", argument: "settings" })?;
        lifecycle::create(&org, schema_name, settings)
    })())
}

#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn suspend_tenant(org: Option<&str>) {
    or_raise(parse_org(org, "suspend_tenant", "org").and_then(|org| lifecycle::suspend(&org)));
}

#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn resume_tenant(org: Option<&str>) {
    or_raise(parse_org(org, "resume_tenant", "org").and_then(|org| lifecycle::resume(&org)));
}

#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn rename_tenant(org: Option<&str>, new_org: Option<&str>) {
    or_raise((|| {
        let old = parse_org(org, "rename_tenant", "org")?;
        lifecycle::rename(&old, &parse_org(new_org, "rename_tenant", "new_org")?)
    })());
}

#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn drop_tenant(org: Option<&str>, confirm: Option<&str>) {
    or_raise((|| {
        let org = parse_org(org, "drop_tenant", "org")?;
        lifecycle::dropping::drop(&org, required(confirm, "drop_tenant", "confirm")?)
    })());
}

/// One step of the procedure `plio.drop_tenant_in_steps`; true while something is left.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn _drop_tenant_step(org: Option<&str>, confirm: Option<&str>) -> bool {
    or_raise((|| {
        let org = parse_org(org, "drop_tenant_in_steps", "org")?;
        lifecycle::dropping::step(&org, required(confirm, "drop_tenant_in_steps", "confirm")?)
    })())
}

#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn grant_access(role: Option<&str>, org: Option<&str>) {
    or_raise((|| {
        let role = required(role, "grant_access", "role")?;
        access::grant(role, Some(&parse_org(org, "grant_access", "org")?))
    })());
}

#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn revoke_access(role: Option<&str>, org: Option<&str>) {
    or_raise((|| {
        let role = required(role, "revoke_access", "role")?;
        access::revoke(role, Some(&parse_org(org, "revoke_access", "org")?))
    })());
}

#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn grant_access_to_every_tenant(role: Option<&str>) {
    or_raise(
        required(role, "grant_access_to_every_tenant", "role").and_then(|role| access::grant(role, None)),
    );
}

#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn revoke_access_to_every_tenant(role: Option<&str>) {
    or_raise(
        required(role, "revoke_access_to_every_tenant", "role").and_then(|role| access::revoke(role, None)),
    );
}

#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn share(object: Option<&str>, mode: Option<&str>) {
    or_raise((|| shares::share(required(object, "share", "object")?, required(mode, "share", "mode")?))());
}

#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn unshare(object: Option<&str>) {
    or_raise(required(object, "unshare", "object").and_then(shares::unshare));
}

/// What plio.repair() did: a word for it, the name that the registry had, the role's name, and the org if it is about one tenant.
#[pg_extern(volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity, reason = "pgrx reads the columns from the type")]
fn repair() -> TableIterator<
    'static,
    (name!(action, String), name!(old_name, String), name!(role_name, String), name!(org, Option<String>)),
> {
    let done = or_raise(access::repair());
    TableIterator::new(
        done.into_iter().map(|one| (one.action.to_owned(), one.old, one.new, one.org)).collect::<Vec<_>>(),
    )
}

/// The cluster, as plio.access names it.
#[pg_extern(stable, parallel_safe)]
pub(crate) fn _cluster() -> i64 {
    session::cluster()
}

/// For the install script: protects every new session of this database.
#[pg_extern(volatile, parallel_unsafe)]
fn _enable_preload() {
    or_raise(preload::enable());
}

/// The library's version, as `major.minor.patch`.
#[pg_extern(stable, parallel_safe)]
pub(crate) fn version() -> &'static str {
    registry::LIBRARY_VERSION
}

/// For health(): whether statements are judged in this process: `client`, `single-user` or `other`.
#[pg_extern(stable, parallel_restricted)]
pub(crate) fn _process_kind() -> &'static str {
    if session::is_client_backend() {
        "client"
    } else if session::is_single_user() {
        "single-user"
    } else {
        "other"
    }
}

/// For health(): how the library came into this session: `shared`, `session`, `late` or `creating`. The health() of a
/// release that did not compare versions shows this word: so it says there that an update is due.
#[pg_extern(stable, parallel_restricted)]
pub(crate) fn _loaded_as() -> String {
    let how = crate::loaded_as();
    match registry::installed_version() {
        Some(installed) if installed == FIRST_VERSION && how != "late" => {
            format!(
                "{how} (the library is {}, its SQL objects are {installed}: run ALTER EXTENSION plio_tenancy UPDATE)",
                registry::LIBRARY_VERSION
            )
        }
        _ => how.to_owned(),
    }
}

/// The only release whose health() does not compare versions.
const FIRST_VERSION: &str = "0.1.0";
