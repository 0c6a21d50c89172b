//! The rules: may this actor, in this context, reach what lies there? One pure function for each kind of thing.
//!
//! Relies on nothing but its arguments; knows no PostgreSQL. Hooks and event triggers turn what they see into
//! these types, and a refusal into an error (`error.rs`).

/// The session's outer user: the login role, or what it `SET ROLE` to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Anybody.
    Ordinary,
    /// A superuser or a member of `plio_admin`.
    Administrator,
}

/// Whether a tenant is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Work goes on inside a tenant.
    Tenant,
    /// No tenant is set.
    NoTenant,
}

/// Where a relation, a function or a schema lies, as seen from the active tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `pg_catalog`, `information_schema`, toast.
    System,
    /// This session's temporary schema.
    OwnTemporary,
    /// Another session's temporary schema.
    ForeignTemporary,
    /// The active tenant's schema.
    OwnTenant,
    /// A tenant's schema, and not the active tenant's.
    ForeignTenant,
    /// Shared with tenants to read.
    SharedRead,
    /// Shared with tenants to read and write, or an installed extension's.
    SharedWrite,
    /// This extension's registry.
    Registry,
    /// Anything else, `public` included.
    Elsewhere,
}

/// What a statement wants with a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read it, or to lock its rows.
    Read,
    /// To change it.
    Write,
}

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It belongs to another tenant.
    OtherTenant,
    /// It belongs to a tenant, and none is set.
    NoTenantSet,
    /// It is not shared with tenants.
    NotShared,
    /// It is shared with tenants to read only.
    SharedReadOnly,
}

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on; PostgreSQL's own privileges still apply.
    Allow,
    /// Refuse.
    Deny(Why),
}

/// Relations hold data: the table of the design, line by line.
pub fn decide_relation(actor: Actor, context: Context, place: Place, access: Access) -> Verdict {
    use Verdict::{Allow, Deny};
    match (place, context, actor) {
        (Place::System | Place::OwnTemporary | Place::OwnTenant, _, _) => Allow,
        (Place::ForeignTenant, Context::Tenant, _) => Deny(Why::OtherTenant),
        (Place::ForeignTenant, Context::NoTenant, Actor::Ordinary) => Deny(Why::NoTenantSet),
        (Place::ForeignTenant, Context::NoTenant, Actor::Administrator) => Allow,
        (_, Context::NoTenant, _) => Allow,
        (Place::SharedWrite, Context::Tenant, _) => Allow,
        (Place::SharedRead, Context::Tenant, _) => match access {
            Access::Read => Allow,
            Access::Write => Deny(Why::SharedReadOnly),
        },
        (Place::ForeignTemporary | Place::Registry | Place::Elsewhere, Context::Tenant, _) => {
            Deny(Why::NotShared)
        }
    }
}

/// How strongly LOCK TABLE may lock a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MostLock {
    /// As SELECT does.
    AccessShare,
    /// As INSERT, UPDATE and DELETE do.
    RowExclusive,
    /// In any mode.
    Any,
}

/// LOCK TABLE inside a tenant: what is shared is locked as its use locks it, never against the other tenants.
pub fn decide_lock(place: Place) -> MostLock {
    match place {
        Place::OwnTenant | Place::OwnTemporary => MostLock::Any,
        Place::SharedWrite => MostLock::RowExclusive,
        Place::System
        | Place::SharedRead
        | Place::ForeignTemporary
        | Place::ForeignTenant
        | Place::Registry
        | Place::Elsewhere => MostLock::AccessShare,
    }
}

/// Why a report across tenants is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReport {
    /// The outer user is neither an auditor nor a reporter.
    NotReporter,
    /// A tenant is active: what runs inside one sees no other.
    InTenant,
    /// A definer function's caller would see what only its owner may.
    InDefinerFunction,
}

/// May a report across tenants begin? `is_reporter` is said of the session's outer user.
pub fn decide_report(context: Context, is_in_definer: bool, is_reporter: bool) -> Option<NoReport> {
    match (context, is_in_definer, is_reporter) {
        (Context::Tenant, _, _) => Some(NoReport::InTenant),
        (Context::NoTenant, _, false) => Some(NoReport::NotReporter),
        (Context::NoTenant, true, true) => Some(NoReport::InDefinerFunction),
        (Context::NoTenant, false, true) => None,
    }
}

/// Functions, types, operators and names are code: only a tenant's own are closed to others.
pub fn decide_code(actor: Actor, context: Context, place: Place) -> Verdict {
    match (place, context, actor) {
        (Place::ForeignTenant, Context::Tenant, _) => Verdict::Deny(Why::OtherTenant),
        (Place::ForeignTenant, Context::NoTenant, Actor::Ordinary) => Verdict::Deny(Why::NoTenantSet),
        _ => Verdict::Allow,
    }
}

/// Who owns a function or an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeOwner {
    /// A superuser, an administrator, the session's own login role or a role that it is a member of.
    Trusted,
    /// The active tenant.
    Tenant,
    /// Anybody else.
    Stranger,
}

/// May code run inside a tenant, its owner and its place considered? Code of another tenant's is [`decide_code`]'s. A schema
/// that is shared includes its code.
pub fn is_code_trusted(place: Place, owner: CodeOwner) -> bool {
    match (place, owner) {
        (Place::OwnTenant | Place::SharedRead | Place::SharedWrite, _)
        | (_, CodeOwner::Trusted | CodeOwner::Tenant) => true,
        (
            Place::System
            | Place::OwnTemporary
            | Place::ForeignTemporary
            | Place::ForeignTenant
            | Place::Registry
            | Place::Elsewhere,
            CodeOwner::Stranger,
        ) => false,
    }
}

/// DDL with a tenant active may touch only what lies in the tenant's schema or in the session's temporary one.
pub fn decide_ddl_target(place: Place) -> Verdict {
    match place {
        Place::OwnTenant | Place::OwnTemporary => Verdict::Allow,
        Place::ForeignTenant => Verdict::Deny(Why::OtherTenant),
        Place::System
        | Place::ForeignTemporary
        | Place::SharedRead
        | Place::SharedWrite
        | Place::Registry
        | Place::Elsewhere => Verdict::Deny(Why::NotShared),
    }
}

/// Whom an object belongs to, for ties between objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The schema of a tenant, known by its oid.
    Tenant(u32),
    /// No tenant: shared objects, `public`, the application's own schemas.
    NoTenant,
    /// Not judged: PostgreSQL's own schemas, temporary objects, objects without a schema.
    Neutral,
}

/// May an object at `from` depend on an object at `to`? A tenant on itself and on what is no tenant's, never on
/// another tenant; what is no tenant's never on a tenant.
pub fn is_tie_allowed(from: Home, to: Home) -> bool {
    match (from, to) {
        (Home::Neutral, _) | (_, Home::Neutral | Home::NoTenant) => true,
        (Home::NoTenant, Home::Tenant(_)) => false,
        (Home::Tenant(from), Home::Tenant(to)) => from == to,
    }
}

/// May a table at `child` inherit from (or be a partition of) one at `parent`? Rows are read and routed both ways, so
/// both belong to the same tenant, or to none.
pub fn is_inheritance_allowed(child: Home, parent: Home) -> bool {
    is_tie_allowed(child, parent) && is_tie_allowed(parent, child)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_tenants_own_is_locked_against_others() {
        for place in PLACES {
            let is_own = matches!(place, Place::OwnTenant | Place::OwnTemporary);
            assert_eq!(decide_lock(place) == MostLock::Any, is_own, "{place:?}");
        }
        assert_eq!(decide_lock(Place::SharedWrite), MostLock::RowExclusive);
    }

    const PLACES: [Place; 9] = [
        Place::System,
        Place::OwnTemporary,
        Place::ForeignTemporary,
        Place::OwnTenant,
        Place::ForeignTenant,
        Place::SharedRead,
        Place::SharedWrite,
        Place::Registry,
        Place::Elsewhere,
    ];

    #[test]
    fn relations_by_the_design_table() {
        use Access::{Read, Write};
        use Verdict::{Allow, Deny};
        // place, tenant active (read, write), no tenant and ordinary, no tenant and administrator
        let table = [
            (Place::System, Allow, Allow, Allow, Allow),
            (Place::OwnTemporary, Allow, Allow, Allow, Allow),
            (Place::OwnTenant, Allow, Allow, Allow, Allow),
            (Place::ForeignTemporary, Deny(Why::NotShared), Deny(Why::NotShared), Allow, Allow),
            (
                Place::ForeignTenant,
                Deny(Why::OtherTenant),
                Deny(Why::OtherTenant),
                Deny(Why::NoTenantSet),
                Allow,
            ),
            (Place::SharedRead, Allow, Deny(Why::SharedReadOnly), Allow, Allow),
            (Place::SharedWrite, Allow, Allow, Allow, Allow),
            (Place::Registry, Deny(Why::NotShared), Deny(Why::NotShared), Allow, Allow),
            (Place::Elsewhere, Deny(Why::NotShared), Deny(Why::NotShared), Allow, Allow),
        ];
        assert_eq!(table.len(), PLACES.len());
        for (place, read, write, ordinary, administrator) in table {
            for actor in [Actor::Ordinary, Actor::Administrator] {
                assert_eq!(decide_relation(actor, Context::Tenant, place, Read), read, "{place:?}");
                assert_eq!(decide_relation(actor, Context::Tenant, place, Write), write, "{place:?}");
            }
            for access in [Read, Write] {
                assert_eq!(
                    decide_relation(Actor::Ordinary, Context::NoTenant, place, access),
                    ordinary,
                    "{place:?}"
                );
                let verdict = decide_relation(Actor::Administrator, Context::NoTenant, place, access);
                assert_eq!(verdict, administrator, "{place:?}");
            }
        }
    }

    #[test]
    fn an_administrator_is_bound_like_anybody_while_a_tenant_is_active() {
        for place in PLACES {
            for access in [Access::Read, Access::Write] {
                assert_eq!(
                    decide_relation(Actor::Administrator, Context::Tenant, place, access),
                    decide_relation(Actor::Ordinary, Context::Tenant, place, access),
                );
            }
            assert_eq!(
                decide_code(Actor::Administrator, Context::Tenant, place),
                decide_code(Actor::Ordinary, Context::Tenant, place),
            );
        }
    }

    #[test]
    fn reports_by_table() {
        // tenant active, in a definer function, reporter: verdict
        let (inside, outside) = (Context::Tenant, Context::NoTenant);
        let table = [
            (inside, false, false, Some(NoReport::InTenant)),
            (inside, false, true, Some(NoReport::InTenant)),
            (inside, true, false, Some(NoReport::InTenant)),
            (inside, true, true, Some(NoReport::InTenant)),
            (outside, false, false, Some(NoReport::NotReporter)),
            (outside, true, false, Some(NoReport::NotReporter)),
            (outside, true, true, Some(NoReport::InDefinerFunction)),
            (outside, false, true, None),
        ];
        for (context, is_in_definer, is_reporter, verdict) in table {
            assert_eq!(decide_report(context, is_in_definer, is_reporter), verdict);
        }
    }

    #[test]
    fn code_is_refused_only_in_another_tenants_schema() {
        for place in PLACES {
            let denied = matches!(decide_code(Actor::Ordinary, Context::Tenant, place), Verdict::Deny(_));
            assert_eq!(denied, place == Place::ForeignTenant, "{place:?}");
        }
        let verdict = decide_code(Actor::Ordinary, Context::NoTenant, Place::ForeignTenant);
        assert_eq!(verdict, Verdict::Deny(Why::NoTenantSet));
    }

    #[test]
    fn a_strangers_code_runs_only_where_it_was_shared() {
        for place in PLACES {
            assert!(is_code_trusted(place, CodeOwner::Trusted) && is_code_trusted(place, CodeOwner::Tenant));
            let is_open = matches!(place, Place::OwnTenant | Place::SharedRead | Place::SharedWrite);
            assert_eq!(is_code_trusted(place, CodeOwner::Stranger), is_open, "{place:?}");
        }
    }

    #[test]
    fn ddl_stays_in_the_tenant() {
        for place in PLACES {
            let allowed = decide_ddl_target(place) == Verdict::Allow;
            assert_eq!(allowed, matches!(place, Place::OwnTenant | Place::OwnTemporary), "{place:?}");
        }
    }

    #[test]
    fn ties_point_from_a_tenant_outwards_only() {
        let (a, b) = (Home::Tenant(1), Home::Tenant(2));
        assert!(is_tie_allowed(a, a));
        assert!(is_tie_allowed(a, Home::NoTenant));
        assert!(is_tie_allowed(Home::NoTenant, Home::NoTenant));
        assert!(!is_tie_allowed(a, b));
        assert!(!is_tie_allowed(Home::NoTenant, a));
        assert!(is_inheritance_allowed(a, a));
        assert!(!is_inheritance_allowed(a, b));
        assert!(!is_inheritance_allowed(a, Home::NoTenant));
        assert!(!is_inheritance_allowed(Home::NoTenant, a));
        for home in [a, b, Home::NoTenant, Home::Neutral] {
            assert!(is_tie_allowed(Home::Neutral, home));
            assert!(is_tie_allowed(home, Home::Neutral));
        }
    }
}
