//! psql, as a user types into it.

use std::io::Write;
use std::process::{ExitStatus, Stdio};

use crate::database::Db;

/// How a run of psql ended.
#[derive(Debug)]
pub struct PsqlOutput {
    /// 0 also after failed statements, unless the script sets ON_ERROR_STOP.
    pub status: ExitStatus,
    /// Rows as `a|b`, without headers.
    pub stdout: String,
    /// Notices and errors, with their SQLSTATE, detail and hint.
    pub stderr: String,
}

/// Runs a script through the embedded psql as `role`, statement by statement, each in autocommit unless the
/// script says BEGIN.
pub fn psql(db: &Db, role: &str, script: &str) -> PsqlOutput {
    let mut child = db
        .cluster()
        .program("psql")
        .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=VERBOSITY=verbose"])
        .args(["--username", role, "--dbname", db.name()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql");
    let mut stdin = child.stdin.take().expect("psql's input");
    let script = script.to_owned();
    // Beside the reading: a long script and a long answer would wait for each other. psql may end early.
    let writer = std::thread::spawn(move || drop(stdin.write_all(script.as_bytes())));
    let output = child.wait_with_output().expect("psql's output");
    writer.join().expect("the script's writer");
    PsqlOutput {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
