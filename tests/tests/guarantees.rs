//! docs/guarantees.md is held to the tests: each closed path has one, and each test that the page names is there. Each path
//! says who the attacker is, in the words that the page itself defines.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guarantees.md");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("docs/guarantees.md: {error}"))
}

/// The rows below a heading, each as its cells; the first two lines of a table are its head.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let section = page
        .split("\n## ")
        .find(|section| section.lines().next() == Some(heading))
        .unwrap_or_else(|| panic!("docs/guarantees.md has no section \"{heading}\""));
    let lines = section.lines().filter(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    lines.skip(2).map(cells).collect()
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The words for attackers that the page defines, in its order.
fn attackers(page: &str) -> Vec<String> {
    table(page, "Who attacks").into_iter().filter_map(|row| row.into_iter().next()).collect()
}

/// What is wrong with the words of a cell: none, one that the page does not define, or one that is there twice.
fn faults_of_attackers(known: &[String], cell: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let words: Vec<&str> = cell.split(", ").collect();
    for (place, word) in words.iter().enumerate() {
        if !known.iter().any(|known| known == word) {
            faults.push(format!("\"{word}\" is no attacker"));
        } else if words[..place].contains(word) {
            faults.push(format!("\"{word}\" is there twice"));
        }
    }
    faults
}

/// The names of a test: words of an identifier, parted by `::`.
fn looks_like_a_test(text: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    text.contains("::") && text.split("::").all(is_word)
}

/// The tests in a source: functions right below `#[test]` or `#[tokio::test]`, other attributes and comments between;
/// ignored ones do not count.
fn tests_of(source: &str) -> Vec<String> {
    let (mut found, mut is_test, mut is_ignored) = (Vec::new(), false, false);
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            is_ignored |= line.starts_with("#[ignore");
        } else if !line.starts_with("//") {
            let name = line.trim_start_matches("pub ").trim_start_matches("async ").strip_prefix("fn ");
            if let Some(name) = name.filter(|_| is_test && !is_ignored) {
                found.extend(name.split('(').next().map(str::to_owned));
            }
            (is_test, is_ignored) = (false, false);
        }
    }
    found
}

/// The source of a module of a test target: `tests/<target>.rs`, `tests/<target>/main.rs`, or a file below that folder
/// that the target declares.
fn source_of(target: &str, modules: &[&str]) -> Result<String, String> {
    let folder = tests().join(target);
    let mut path = if folder.join("main.rs").exists() {
        folder.join("main.rs")
    } else {
        tests().join(format!("{target}.rs"))
    };
    let mut source = fs::read_to_string(&path).map_err(|_| format!("there is no test target {target}"))?;
    let mut below = folder;
    for module in modules {
        if !source.lines().any(|line| line == format!("mod {module};")) {
            return Err(format!("{} has no module {module}", path.display()));
        }
        path = below.join(format!("{module}.rs"));
        source = fs::read_to_string(&path).map_err(|_| format!("there is no file {}", path.display()))?;
        below = below.join(module);
    }
    Ok(source)
}

/// Remembers which tests each module has.
#[derive(Default)]
struct Sources(HashMap<String, Result<Vec<String>, String>>);

impl Sources {
    fn find(&mut self, test: &str) -> Result<(), String> {
        let (module, name) = test.rsplit_once("::").ok_or("it is not target::test")?;
        let mut parts = module.split("::");
        let target = parts.next().unwrap_or_default();
        let modules: Vec<&str> = parts.collect();
        let read = || source_of(target, &modules).map(|source| tests_of(&source));
        let tests = self.0.entry(module.to_owned()).or_insert_with(read).as_ref().map_err(String::clone)?;
        if tests.iter().any(|found| found == name) {
            Ok(())
        } else {
            Err(format!("{module} has no test {name}"))
        }
    }
}

#[test]
fn every_closed_path_has_a_test_that_exists() {
    let page = page();
    let (rows, known) = (table(&page, "Closed"), attackers(&page));
    assert!(rows.len() > 50, "only {} rows were read", rows.len());
    let (mut sources, mut faults, mut paths) = (Sources::default(), Vec::new(), Vec::new());
    for row in rows {
        let [path, attackers, layer, tests] = &row[..] else {
            faults.push(format!("{row:?}: a row has four cells"));
            continue;
        };
        faults.extend(faults_of_attackers(&known, attackers).iter().map(|fault| format!("{path}: {fault}")));
        if layer.is_empty() {
            faults.push(format!("{path}: nothing is said to stop it"));
        }
        if in_backticks(tests).next().is_none() {
            faults.push(format!("{path}: it has no test"));
        }
        for test in in_backticks(tests) {
            if let Err(fault) = sources.find(test) {
                faults.push(format!("{path}: `{test}`: {fault}"));
            }
        }
        if paths.contains(path) {
            faults.push(format!("{path}: it is there twice"));
        }
        paths.push(path.clone());
    }
    assert!(faults.is_empty(), "docs/guarantees.md, Closed:\n{}", faults.join("\n"));
}

/// What is open says why, and what to do, and names the test that shows the state, or says why there can be none.
#[test]
fn every_open_path_says_why_and_what_to_do() {
    let page = page();
    let (rows, known) = (table(&page, "Open"), attackers(&page));
    assert!(rows.len() > 10, "only {} rows were read", rows.len());
    let (mut sources, mut faults) = (Sources::default(), Vec::new());
    for row in rows {
        let path = row[0].clone();
        if row.len() != 4 || row.iter().any(String::is_empty) {
            faults.push(format!("{path}: a row has four cells"));
            continue;
        }
        faults.extend(faults_of_attackers(&known, &row[1]).iter().map(|fault| format!("{path}: {fault}")));
        let has_test = row.iter().any(|cell| in_backticks(cell).any(looks_like_a_test));
        if !has_test && !row.iter().any(|cell| cell.contains("No test:")) {
            faults.push(format!("{path}: it has no test, and does not say why"));
        }
        for cell in &row {
            for test in in_backticks(cell).filter(|text| looks_like_a_test(text)) {
                if let Err(fault) = sources.find(test) {
                    faults.push(format!("{path}: `{test}`: {fault}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "docs/guarantees.md, Open:\n{}", faults.join("\n"));
}

/// Each word for an attacker is explained, and used.
#[test]
fn every_attacker_is_explained_and_meets_a_path() {
    let page = page();
    let rows: Vec<Vec<String>> =
        ["Closed", "Open"].iter().flat_map(|heading| table(&page, heading)).collect();
    let words = table(&page, "Who attacks");
    assert!((1..=9).contains(&words.len()), "{words:?}");
    for row in words {
        let [word, who] = &row[..] else { panic!("{row:?}: a word and who it is") };
        assert!(!who.is_empty(), "{word}");
        let is_used =
            rows.iter().any(|row| row.get(1).is_some_and(|cell| cell.split(", ").any(|used| used == word)));
        assert!(is_used, "no path names \"{word}\"");
    }
}

/// A cell names attackers by the words that are known, each once.
#[test]
fn cells_of_attackers_are_read() {
    let known = ["granted", "no grant"].map(str::to_owned);
    assert_eq!(faults_of_attackers(&known, "no grant, granted"), Vec::<String>::new());
    for wrong in ["", "granted,no grant", "somebody", "granted, granted", "granted, "] {
        assert_eq!(faults_of_attackers(&known, wrong).len(), 1, "{wrong}");
    }
}

/// The reading itself: a test is what the test runner would run.
#[test]
fn only_tests_that_run_are_found() {
    let source = "
        fn helper() {}
        // fn test() {}
        #[test]
        /// A comment.
        #[allow(dead_code)]
        fn plain() {}
        #[tokio::test(flavor = \"current_thread\")]
        async fn asynchronous() {}
        #[test]
        #[ignore = \"slow\"]
        fn ignored() {}
        fn after() {}";
    assert_eq!(tests_of(source), ["plain", "asynchronous"]);
    let mut sources = Sources::default();
    assert!(sources.find("guarantees::only_tests_that_run_are_found").is_ok());
    for missing in ["guarantees::nothing", "nothing::at_all", "isolation::nothing::at_all", "alone"] {
        assert!(sources.find(missing).is_err(), "{missing}");
    }
}
