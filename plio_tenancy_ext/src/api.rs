//! The SQL functions: decode the arguments, call one function of the domain, raise its error.

use crate::error::{Error, Result, or_raise};
use crate::pg;
use crate::pg::jsonb::Jsonb;
use crate::pg::session;
use crate::tenant::Org;
use crate::{access, context, lifecycle, preload, shares};
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

/// Sets the tenant of this transaction.
#[pg_extern(volatile, parallel_unsafe)]
fn set_tenant(org: Option<&str>, fcinfo: pg_sys::FunctionCallInfo) {
    let is_alone =
        !session::is_in_block() && session::is_outside_spi() && !session::is_in_nested_query(fcinfo);
    or_raise(required(org, "set_tenant", "org").and_then(|org| context::enter(org, is_alone)));
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
        lifecycle::drop(&org, required(confirm, "drop_tenant", "confirm")?)
    })());
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

/// For health(): how the library came into this session: `shared`, `session`, `late` or `creating`.
#[pg_extern(stable, parallel_restricted)]
pub(crate) fn _loaded_as() -> &'static str {
    crate::loaded_as()
}
