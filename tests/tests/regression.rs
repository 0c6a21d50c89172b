//! PostgreSQL's own regression suite, run with the library preloaded, must say what it says without.
//!
//! The reference is a run on the same server without us, not the suite's expected files: the suite is not always of the
//! embedded minor version, and for 16 there are only the tests. `make regress` runs both configurations; `make test` the
//! stricter one.

use plio_tests::{Cluster, SUPERUSER, neighbour};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Whether a line, its blanks squeezed, may be there because of us.
type IsOurs = fn(&str) -> bool;

/// Where our own objects show up: the test, and which lines may be there besides. Nothing else may differ.
const OURS: [(&str, IsOurs); 4] = [
    // It lists every event trigger.
    ("event_trigger", |line| line.contains("plio_")),
    // It lists every foreign data wrapper and server; ours is for report views.
    ("foreign_data", |line| line.contains("plio")),
    // It looks for unusual functions: definer functions, those with the name and arguments of another, such as version().
    // PostgreSQL's own have lower oids.
    ("opr_sanity", |line| {
        line.split('|').filter_map(|oid| oid.trim().parse().ok()).any(|oid: u32| oid >= 16384)
    }),
    // It lists a serializable transaction's locks. We read the registry in it, once.
    ("tidscan", |line| line == "relation | SIReadLock"),
];

/// A run of the suite: what each test printed.
type Results = BTreeMap<String, String>;

fn run(suite: &Path, conf: &[&str], extension: bool) -> Results {
    let mut lines =
        vec!["max_prepared_transactions = 0", "log_min_messages = fatal", "shared_buffers = 128MB"];
    lines.extend(conf);
    let cluster = Cluster::start(&lines);
    let home = cluster.socket_dir().join("regress");
    copy(suite, &home).expect("a copy of the suite");
    fs::create_dir(home.join("out")).expect("the output folder");
    // The server's user writes here, whoever made it.
    let mut chmod = Command::new("chmod");
    assert!(chmod.args(["-R", "a+rwX"]).arg(&home).status().expect("chmod").success());
    let mut admin = cluster.config(SUPERUSER, "postgres").connect(postgres::NoTls).expect("the superuser");
    admin
        .batch_execute("CREATE DATABASE regression TEMPLATE template0 LOCALE 'C' ENCODING 'UTF8'")
        .expect("the database");
    for setting in ["lc_messages", "lc_monetary", "lc_numeric", "lc_time"] {
        admin
            .batch_execute(&format!("ALTER DATABASE regression SET {setting} = 'C'"))
            .expect("ALTER DATABASE");
    }
    admin
        .batch_execute(
            "ALTER DATABASE regression SET bytea_output = 'hex';
             ALTER DATABASE regression SET timezone_abbreviations = 'Default'",
        )
        .expect("ALTER DATABASE");
    if extension {
        let mut inside =
            cluster.config(SUPERUSER, "regression").connect(postgres::NoTls).expect("the superuser");
        inside.batch_execute("CREATE EXTENSION plio_tenancy").expect("the extension");
    }
    pg_regress(&cluster, &home);
    let results = fs::read_dir(home.join("out/results")).expect("the results");
    results
        .map(|entry| entry.expect("a result").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "out"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = String::from_utf8_lossy(&fs::read(&path).expect("a result")).into_owned();
            // Every cluster has a folder and a port of its own.
            (name, text.replace(&home.display().to_string(), "HOME"))
        })
        .collect()
}

/// Whether its expected files fit is not asked.
fn pg_regress(cluster: &Cluster, home: &Path) {
    let tree = cluster.tree();
    let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let mut command = Command::new(home.join("pg_regress"));
    command
        .args(["--use-existing", "--dbname=regression", "--max-concurrent-tests=20", "--user", SUPERUSER])
        .arg(option("bindir", &tree.join("bin")))
        .arg(option("inputdir", home))
        .arg(option("outputdir", &home.join("out")))
        .arg(option("dlpath", &home.join("lib")))
        .arg(option("schedule", &home.join("parallel_schedule")))
        .arg(option("host", cluster.socket_dir()))
        .arg(format!("--port={}", cluster.port()))
        .env("LD_LIBRARY_PATH", tree.join("lib"))
        .stdin(Stdio::null());
    if Cluster::major() != "15" {
        command.arg(option("expecteddir", home));
    }
    cluster.hand_to_server_user(&mut command);
    let output = command.output().expect("pg_regress");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("tests passed") || said.contains("tests failed"), "pg_regress: {said}");
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn suite() -> Option<PathBuf> {
    neighbour("regression-suite")
}

/// The run without us, once.
fn reference(suite: &Path) -> &'static Results {
    static REFERENCE: OnceLock<Results> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let results = run(suite, &[], false);
        assert_run_to_the_end(suite, &results);
        results
    })
}

/// Two runs that stop at the same line are equal, too: each test that does not quit has to print its last statement.
fn assert_run_to_the_end(suite: &Path, results: &Results) {
    for (name, printed) in results {
        let test = fs::read(suite.join(format!("sql/{name}.sql"))).expect("a test");
        let test = String::from_utf8_lossy(&test);
        let last = test.lines().rfind(|line| !line.trim().is_empty() && !line.starts_with('\\'));
        let last = last.expect("a statement");
        assert!(test.contains("\\quit") || printed.contains(last), "{name} does not get to {last}");
    }
}

#[track_caller]
fn assert_same(reference: &Results, ours: &Results) {
    assert!(reference.len() > 200, "the suite has run: {} tests", reference.len());
    let names = |results: &Results| results.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(reference), names(ours));
    let differing: Vec<String> = reference
        .iter()
        .filter(|(name, text)| !is_same(name, text, &ours[*name]))
        .map(|(name, text)| {
            format!("{name}:\n{}{}", difference(text, &ours[name]), not_ours(name, text, &ours[name]))
        })
        .collect();
    assert!(differing.is_empty(), "{} tests differ\n{}", differing.len(), differing.join("\n"));
}

/// Equal, but for additional lines of ours; those widen columns and change the count below a table.
fn is_same(test: &str, without: &str, with: &str) -> bool {
    let Some((_, is_ours)) = OURS.iter().find(|(name, _)| *name == test) else { return without == with };
    let lines = |text: &str| {
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .map(|line| if line.trim_matches(['-', '+']).is_empty() { String::new() } else { line })
            .filter(|line| !(line.starts_with('(') && (line.ends_with(" rows)") || line.ends_with(" row)"))))
            .collect::<Vec<_>>()
    };
    let (mut expected, with) = (lines(without).into_iter().peekable(), lines(with));
    with.iter().all(|line| expected.next_if_eq(line).is_some() || is_ours(line)) && expected.next().is_none()
}

/// Of a test in which lines of ours are expected: the other lines that only our run has.
fn not_ours(test: &str, without: &str, with: &str) -> String {
    let Some((_, is_ours)) = OURS.iter().find(|(name, _)| *name == test) else { return String::new() };
    let is_new = |line: &&str| !without.contains(line.trim()) && !is_ours(line);
    with.lines().filter(is_new).map(|line| format!("? {line}\n")).collect()
}

/// The first lines that differ.
fn difference(without: &str, with: &str) -> String {
    let (without, with): (Vec<_>, Vec<_>) = (without.lines().collect(), with.lines().collect());
    let start = without.iter().zip(&with).take_while(|(one, other)| one == other).count();
    let shown = |lines: &[&str], mark: &str| {
        lines
            .iter()
            .skip(start.saturating_sub(3))
            .take(14)
            .map(|line| format!("{mark} {line}\n"))
            .collect::<String>()
    };
    format!("at line {}\n{}{}", start + 1, shown(&without, "-"), shown(&with, "+"))
}

const PRELOADED: &str = "shared_preload_libraries = 'plio_tenancy'";

#[test]
fn with_the_extension_in_a_database_without_a_tenant() {
    let Some(suite) = suite() else { return };
    assert_same(reference(&suite), &run(&suite, &[PRELOADED], true));
}

#[test]
#[ignore = "a third run of the suite: make regress"]
fn with_the_library_alone() {
    let Some(suite) = suite() else { return };
    assert_same(reference(&suite), &run(&suite, &[PRELOADED], false));
}
