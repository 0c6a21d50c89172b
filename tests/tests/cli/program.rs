//! The program, built as a user builds it, and how a run of it ended.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use plio_tests::Db;
use serde_json::Value;

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    /// The exit code.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The rows of `--format json`.
    #[track_caller]
    pub fn rows(&self) -> Vec<Value> {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The path of the program: `cargo build --features cli`, once.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--locked", "--message-format=json", "--package", "plio-client"])
            .args(["--features", "cli", "--bin", "plio"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo");
        assert!(built.status.success(), "cargo build of plio");
        let messages = String::from_utf8_lossy(&built.stdout).into_owned();
        let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let path = artifacts.filter(|artifact| artifact["target"]["name"] == "plio");
        let path = path.filter_map(|artifact| artifact["executable"].as_str().map(PathBuf::from)).next_back();
        path.expect("the program's path")
    })
}

/// The program, with nothing of our own environment but what is given.
pub fn plio(environment: &[(&str, &str)], arguments: &[&str]) -> Run {
    let output = Command::new(binary())
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("plio");
    Run {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The program against that database, told by variables as psql is.
pub fn plio_as(db: &Db, role: &str, arguments: &[&str]) -> Run {
    let (host, port) = (db.cluster().socket_dir().display().to_string(), db.cluster().port().to_string());
    let place = [("PGHOST", &*host), ("PGPORT", &*port), ("PGUSER", role), ("PGDATABASE", db.name())];
    plio(&place, arguments)
}
