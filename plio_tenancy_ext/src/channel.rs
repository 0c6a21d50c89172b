//! The internal name of a tenant's notification channel: `plio:<tenant_id>:<channel>`. Pure.
//!
//! Channels are the database's. Inside a tenant NOTIFY, LISTEN and UNLISTEN name the tenant's own, by this rule; the client
//! reads and writes the plain name. The key of the registry stands in it, not the org: it is short, it is never used again,
//! and a tenant keeps it when it is renamed.

#![forbid(unsafe_code)]

use crate::tenant::{MAX_IDENTIFIER_BYTES, TenantId};

/// What the names of all tenants' channels begin with.
const PREFIX: &str = "plio:";

/// Whether a name is reserved for tenants' channels: it may not be used without a tenant.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// A tenant's channel, as PostgreSQL is to know it; `None` when that is longer than 63 bytes, PostgreSQL's limit
/// (`Async_Notify`, async.c).
pub fn of_tenant(tenant: TenantId, channel: &str) -> Option<String> {
    let name = format!("{PREFIX}{}:{channel}", tenant.0);
    (name.len() <= MAX_IDENTIFIER_BYTES).then_some(name)
}

/// The tenant and the plain name behind a name that [`of_tenant`] made. In bytes, as it goes to a client, in the client's
/// encoding: in all of PostgreSQL's the beginning is ASCII.
pub fn split(name: &[u8]) -> Option<(TenantId, &[u8])> {
    let rest = name.strip_prefix(PREFIX.as_bytes())?;
    let end = rest.iter().position(|byte| *byte == b':')?;
    let id = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((TenantId(id), &rest[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_split_again() {
        for (id, channel) in [(1, "news"), (i64::MAX, "a:b"), (7, ""), (7, "plio:8:news"), (7, "caf\u{e9}")] {
            let name = of_tenant(TenantId(id), channel).unwrap();
            assert!(is_reserved(&name));
            assert_eq!(split(name.as_bytes()), Some((TenantId(id), channel.as_bytes())));
        }
    }

    #[test]
    fn others_are_not() {
        for name in ["news", "plio", "plio:", "plio:news", "plio:x:news", "Plio:1:news"] {
            assert_eq!(split(name.as_bytes()), None, "{name}");
        }
        assert!(is_reserved("plio:news") && !is_reserved("plionews"));
    }

    #[test]
    fn the_whole_name_has_63_bytes_at_most() {
        assert_eq!(of_tenant(TenantId(1), &"x".repeat(56)).map(|name| name.len()), Some(63));
        assert_eq!(of_tenant(TenantId(1), &"x".repeat(57)), None);
        assert_eq!(of_tenant(TenantId(10), &"x".repeat(56)), None);
    }
}
