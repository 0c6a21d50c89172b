//! The extension's pure modules, compiled here a second time: a pgrx crate cannot be linked outside the server. Their own
//! unit tests run, and the naming rules of server and client are held to one table.

#![allow(dead_code, reason = "the modules are the extension's, which uses all of them")]

#[path = "../../plio_tenancy_ext/src/monitor/counters.rs"]
mod counters;
#[path = "../../plio_tenancy_ext/src/monitor/entry.rs"]
mod entry;
#[path = "../../plio_tenancy_ext/src/monitor/kept.rs"]
mod kept;
#[path = "../../plio_tenancy_ext/src/monitor/flush/pending.rs"]
mod pending;
#[path = "../../plio_tenancy_ext/src/policy.rs"]
mod policy;
#[path = "../../plio_tenancy_ext/src/monitor/repeats.rs"]
mod repeats;
#[path = "../../plio_tenancy_ext/src/monitor/ring.rs"]
mod ring;
#[path = "../../plio_tenancy_ext/src/tenant.rs"]
mod tenant;
#[path = "../../plio_tenancy_ext/src/audit/words.rs"]
mod words;

use plio_tests::Cluster;
use proptest::prelude::*;

/// A text, and whether it names an organization.
const TABLE: &[(&str, bool)] = &[
    ("a", true),
    ("0", true),
    ("acme", true),
    ("acme-2_x", true),
    ("9lives", true),
    ("0-_", true),
    ("a--b", true),
    ("select", true),
    ("public", true),
    ("null", true),
    ("", false),
    (" ", false),
    ("-a", false),
    ("_a", false),
    ("Acme", false),
    ("aCme", false),
    ("ac me", false),
    ("acme ", false),
    (" acme", false),
    ("acme\n", false),
    ("acme\t", false),
    ("a.b", false),
    ("a/b", false),
    ("a'b", false),
    ("a\"b", false),
    ("a\\b", false),
    ("a;b", false),
    ("a%b", false),
    ("\u{e9}", false),
    ("a\u{301}", false),
    ("\u{ff41}", false),
    ("\u{663}", false),
    ("\u{430}cme", false),
    ("acme\u{200b}", false),
];

fn is_servers(text: &str) -> bool {
    tenant::Org::parse(text).is_ok()
}

fn is_clients(text: &str) -> bool {
    text.parse::<plio_client::Org>().is_ok()
}

/// The rule written down a third time, as the registry's CHECK has it.
fn is_by_the_book(text: &str) -> bool {
    let mut characters = text.chars();
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    characters.next().is_some_and(is_plain)
        && characters.all(|c| is_plain(c) || c == '_' || c == '-')
        && text.len() <= 63
}

/// Both sides say the same of every line, and of every length around the limit.
#[test]
fn server_and_client_hold_to_one_table() {
    for (text, is_org) in TABLE {
        assert_eq!(is_servers(text), *is_org, "the server on {text:?}");
        assert_eq!(is_clients(text), *is_org, "the client on {text:?}");
    }
    assert!(!is_servers("a\0") && !is_clients("a\0"));
    for length in 1..=66 {
        let text = "x".repeat(length);
        assert_eq!((is_servers(&text), is_clients(&text)), (length <= 63, length <= 63), "{length}");
    }
}

/// The real server says the same: 42602 for what is no name, something else (42501) for what is.
#[test]
fn the_server_answers_by_the_table() {
    let fixture = Cluster::shared().database("names").two_tenants();
    let mut client = fixture.db.connect(&fixture.app);
    let long = "x".repeat(64);
    for (text, is_org) in TABLE.iter().copied().chain([(long.as_str(), false), (&long[1..], true)]) {
        if text == "acme" {
            continue;
        }
        let mut transaction = client.transaction().unwrap();
        let answer = transaction.execute("SELECT plio.set_tenant($1)", &[&text]);
        let error = plio_tests::expect_sqlstate(answer, if is_org { "42501" } else { "42602" });
        assert!(error.hint().is_some(), "{text:?}: {error:?}");
        let checked: bool = transaction_check(&fixture.db, text);
        assert_eq!(checked, is_org, "the registry's CHECK on {text:?}");
    }
}

/// The CHECK of plio.tenants, asked without writing.
fn transaction_check(db: &plio_tests::Db, text: &str) -> bool {
    let mut admin = db.superuser();
    let check: String = admin
        .query_one(
            "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conname = 'tenants_org_check'",
            &[],
        )
        .unwrap()
        .get(0);
    admin
        .query_one(&format!("SELECT {check} FROM (SELECT $1::text COLLATE \"C\" AS org) t"), &[&text])
        .unwrap()
        .get(0)
}

proptest! {
    /// Any text at all: server, client and book agree.
    #[test]
    fn server_and_client_agree_on_any_text(text in ".*") {
        prop_assert_eq!(is_servers(&text), is_by_the_book(&text));
        prop_assert_eq!(is_clients(&text), is_by_the_book(&text));
    }

    /// Any bytes, read as text as far as they are: the same, and nobody panics.
    #[test]
    fn server_and_client_agree_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let text = String::from_utf8_lossy(&bytes);
        prop_assert_eq!(is_servers(&text), is_by_the_book(&text));
        prop_assert_eq!(is_clients(&text), is_by_the_book(&text));
    }

    /// A name with one character changed for any other, line ends and digits of other scripts included.
    #[test]
    fn one_wrong_character_is_enough(name in "[a-z0-9][a-z0-9_\\-]{0,62}", at: prop::sample::Index, other: char) {
        let mut letters: Vec<char> = name.chars().collect();
        let at = at.index(letters.len());
        letters[at] = other;
        let text: String = letters.iter().collect();
        prop_assert_eq!(is_servers(&text), is_by_the_book(&text));
        prop_assert_eq!(is_clients(&text), is_by_the_book(&text));
    }

    /// Texts near the rule: mostly legal characters, lengths around the limit.
    #[test]
    fn server_and_client_agree_near_the_rule(text in "[a-z0-9_A\\- é]{0,3}[a-z0-9_\\-]{0,66}") {
        prop_assert_eq!(is_servers(&text), is_by_the_book(&text));
        prop_assert_eq!(is_clients(&text), is_by_the_book(&text));
    }

    /// A derived schema or role name is a legal identifier that the server itself accepts, and tells two orgs apart.
    #[test]
    fn derived_names_are_legal_and_differ(
        a in "[a-z0-9][a-z0-9_\\-]{0,62}",
        b in "[a-z0-9][a-z0-9_\\-]{0,62}",
        database: u32,
        attempt in 0u32..1000,
    ) {
        let (org, other) = (tenant::Org::parse(&a).unwrap(), tenant::Org::parse(&b).unwrap());
        let schema = org.default_schema_name();
        prop_assert_eq!(tenant::ensure_schema_name(&schema), Ok(()));
        prop_assert!(org.role_name(database, attempt).len() <= tenant::MAX_IDENTIFIER_BYTES);
        prop_assert_ne!(org.role_name(database, attempt), org.role_name(database, attempt + 1));
        if a != b {
            prop_assert_ne!(schema, other.default_schema_name());
        }
    }
}
