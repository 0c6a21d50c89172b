//! docs/audit.md is held to the checks: each has a row, with the severities that the tests see, and each is tried.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::case::Case;
use crate::{code, objects, outside, privileges, registry, roles, ties, trust};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The page's rows: check -> severities.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for line in read("docs/audit.md").lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> =
            line.trim_start_matches("| ").trim_end_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "a row has four cells: {line}");
        assert!(cells[..3].iter().all(|cell| !cell.is_empty()), "{line}");
        let severities = cells[1].split(", ").map(str::to_owned).collect();
        let name = cells[0].trim_matches('`').to_owned();
        assert!(found.insert(name, severities).is_none(), "twice: {line}");
    }
    found
}

const SOURCES: [&str; 10] = [
    "29_health_limits",
    "30_views",
    "51_audit_ties",
    "52_audit_code",
    "53_audit_privileges",
    "54_audit_roles",
    "55_audit_outside",
    "56_audit_registry",
    "58_audit_objects",
    "58_audit_trust",
];

/// A fragment without comments and line breaks.
fn source(name: &str) -> String {
    let text = read(&format!("sql/schema/{name}.sql"));
    let lines = text.lines().map(|line| line.split("--").next().unwrap_or_default());
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

/// The words that stand where a check's name stands: right after a finding's severity.
fn in_source() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in SOURCES {
        let source = source(name);
        for before in [
            "SELECT 'critical', '",
            "SELECT 'warning', '",
            "SELECT 'info', '",
            "'info' END, '",
            "'warning' END, '",
        ] {
            let words = source.split(before).skip(1).filter_map(|after| after.split('\'').next());
            found.extend(words.map(str::to_owned));
        }
    }
    found
}

fn tried() -> BTreeMap<String, BTreeSet<String>> {
    let every = [
        code::CASES,
        objects::CASES,
        outside::CASES,
        privileges::CASES,
        registry::CASES,
        roles::CASES,
        ties::CASES,
        trust::CASES,
    ];
    let cases = every.iter().flat_map(|cases: &&[Case]| cases.iter().map(|case| (case.check, case.severity)));
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (check, severity) in
        cases.chain(outside::BY_CONFIGURATION.iter().copied()).chain(roles::BY_VERSION.iter().copied())
    {
        found.entry(check.to_owned()).or_default().insert(severity.to_owned());
    }
    found
}

#[test]
fn every_check_is_documented_and_tried_with_its_severities() {
    let (documented, tried) = (documented(), tried());
    let health = [
        "access/ties.rs",
        "loading/broken.rs",
        "loading/groups.rs",
        "loading/health.rs",
        "loading/walsender.rs",
        "adoption/adopt.rs",
        "adoption/report.rs",
        "access/ties.rs",
        "adoption/path.rs",
        "adoption/roles.rs",
        "adoption/trust.rs",
        "shares.rs",
        "audit/objects.rs",
        "loading/walsender.rs",
        "loading/broken.rs",
        "lifecycle/steps.rs",
        "monitoring/budget.rs",
        "monitoring/denials.rs",
        "monitoring/flush.rs",
        "monitoring/single_user.rs",
        "monitoring/load.rs",
        "monitoring/tenants.rs",
        "upgrade/main.rs",
    ]
    .map(|file| read(&format!("tests/tests/{file}")))
    .concat();
    let elsewhere = |check: &str| {
        // health()'s own, planted with what they are about; the two that say how a session was loaded are in loading/main.rs.
        health.contains(&format!("\"{check}\""))
            || health.contains(&format!("'{check}'"))
            || ["loading", "loaded_late", "preload_overridden", "orphaned_access"].contains(&check)
    };
    for (check, severities) in &documented {
        match tried.get(check) {
            Some(seen) => assert_eq!(seen, severities, "{check}: what the tests see against the page"),
            None => assert!(elsewhere(check), "{check} is documented, but no test plants it"),
        }
    }
    for check in tried.keys() {
        assert!(documented.contains_key(check), "{check} is not in docs/audit.md");
    }
}

#[test]
fn every_check_of_the_sources_is_on_the_page_and_no_other() {
    let documented = documented();
    let found = in_source();
    assert!(found.len() > 40, "only {found:?}");
    for check in found {
        assert!(documented.contains_key(&check), "{check} is not in docs/audit.md");
    }
    let sources = SOURCES.map(source).concat();
    for check in documented.keys() {
        assert!(sources.contains(&format!("'{check}'")), "{check} is documented, but nowhere in the sources");
    }
}
