//! What `scripts/neighbours.py` fetched to be run beside the extension.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cluster::Cluster;

/// The folder of a neighbour (`pgbouncer-new`, `pgaudit`, `regression-suite`, ...) for the PostgreSQL under test, or
/// `None` where it cannot be had: the reason then goes to the terminal, past the capture of test output.
pub fn neighbour(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's folder");
    let major = Cluster::major();
    let list = root.join(format!("target/neighbours/{major}.txt"));
    let text = fs::read_to_string(&list)
        .unwrap_or_else(|error| panic!("{}: {error}: run `make neighbours PG={major}`", list.display()));
    let lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    for fields in lines {
        match fields[..] {
            [found, "-", reason] if found == name => {
                let told = writeln!(std::io::stderr(), "SKIPPED, no {name} for PostgreSQL {major}: {reason}");
                told.expect("stderr");
                return None;
            }
            [found, path, _] if found == name => return Some(root.join(path)),
            _ => {}
        }
    }
    panic!("{} does not name {name}: run `make neighbours PG={major}`", list.display())
}
