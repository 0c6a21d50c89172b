//! The SQL functions of this module; declared in sql/schema/60_adoption.sql.

use crate::api::{parse_org, required};
use crate::error::{Error, or_raise};
use crate::pg::jsonb::Jsonb;
use pgrx::prelude::*;

#[pg_extern(sql = false)]
fn adopt_tenant(
    org: Option<&str>,
    schema_name: Option<&str>,
    settings: Option<Jsonb>,
    allow_ties: Option<bool>,
) {
    or_raise((|| {
        let null = |argument| Error::NullArgument { function: "adopt_tenant", argument };
        let org = parse_org(org, "adopt_tenant", "org")?;
        let schema = required(schema_name, "adopt_tenant", "schema_name")?;
        let settings = settings.ok_or_else(|| null("settings"))?;
        super::adopt(&org, schema, settings, allow_ties.ok_or_else(|| null("allow_ties"))?)
    })());
}

#[pg_extern(sql = false)]
fn release_tenant(org: Option<&str>, confirm: Option<&str>) {
    or_raise((|| {
        let org = parse_org(org, "release_tenant", "org")?;
        super::release(&org, required(confirm, "release_tenant", "confirm")?)
    })());
}

#[pg_extern(sql = false)]
fn assign_role(org: Option<&str>) -> String {
    or_raise(parse_org(org, "assign_role", "org").and_then(|org| super::assign_role(&org)))
}

/// As 0.1.0 declares it: the library may be newer than the database's objects.
#[pg_extern(sql = false)]
fn unassign_role(org: Option<&str>) {
    or_raise(parse_org(org, "unassign_role", "org").and_then(|org| super::unassign_role(&org, None)));
}

#[pg_extern(sql = false)]
fn unassign_role_to(org: Option<&str>, new_owner: Option<&str>) {
    or_raise((|| {
        let org = parse_org(org, "unassign_role", "org")?;
        let owner = new_owner.map(|_| required(new_owner, "unassign_role", "new_owner")).transpose()?;
        super::unassign_role(&org, owner)
    })());
}

#[pg_extern(sql = false)]
fn schema_ties(
    schema_name: Option<&str>,
) -> TableIterator<'static, (name!(object, String), name!(depends_on, String))> {
    let ties = required(schema_name, "schema_ties", "schema_name").and_then(super::ties);
    TableIterator::new(or_raise(ties))
}
