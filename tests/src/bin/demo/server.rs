//! The cluster of the demo: built anew, started so that it outlives this program, ended by its own pid.
//!
//! It is a throw-away: fsync is off and everybody who reaches the socket is trusted, but the socket lies in a
//! folder that only the server's user and root may enter. Relies on the harness for the server's user and tree.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use plio_tests::server::Server;

use crate::Outcome;
use crate::layout::Screen;
use crate::place::{PORT, Place};
use crate::progress::Stage;

/// Loading is the work; nothing of it has to survive a crash. Minimal WAL skips it for tables made in the
/// same transaction.
const SETTINGS: &str = "
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 4GB
shared_buffers = 256MB
maintenance_work_mem = 128MB
max_parallel_maintenance_workers = 0
listen_addresses = ''
unix_socket_permissions = 0700
log_min_messages = warning
timezone = 'UTC'
";

/// Removes what an earlier run left and starts a fresh cluster of this major version.
pub fn replace(place: &Place, screen: &Screen, major: &str) -> Outcome<()> {
    let mut stage = Stage::begin(screen, "cluster");
    if stop(place)? {
        stage.note("replaces an earlier demo");
    }
    for (folder, mode) in [(&place.base, 0o711), (&place.run, 0o700)] {
        fs::create_dir(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(mode))?;
    }
    let server = Server::prepare(place.run.clone(), major);
    server.initdb(&format!("{SETTINGS}unix_socket_directories = '{}'\n", place.run.display()));
    server.start(PORT)?;
    let row = place.connect("postgres", "postgres")?.query_one("SHOW server_version", &[])?;
    stage.end(&format!("PostgreSQL {}", row.get::<_, String>(0)));
    Ok(())
}

/// Ends the server and removes the folder; false when there was none.
pub fn stop(place: &Place) -> Outcome<bool> {
    if !place.is_taken()? {
        return Ok(false);
    }
    if let Some(process) = postmaster(place) {
        // SIGINT: end the sessions and stop.
        let pid = process.file_name().ok_or("a process has no number")?;
        if !Command::new("sh").args(["-c", "kill -INT \"$0\""]).arg(pid).status()?.success() {
            return Err("the demo's server cannot be told to stop".into());
        }
        let end = Instant::now() + Duration::from_secs(60);
        while postmaster(place).is_some() {
            if Instant::now() > end {
                return Err("the demo's server does not stop".into());
            }
            sleep(Duration::from_millis(20));
        }
    }
    fs::remove_dir_all(&place.base)?;
    Ok(true)
}

/// Becomes psql, that of the server's own version; returns only when that fails.
pub fn psql(place: &Place, args: &[String]) -> Box<dyn Error + Send + Sync> {
    let taken = place.is_taken();
    let running = if matches!(taken, Ok(true)) { postmaster(place) } else { None };
    let postgres = running.and_then(|process| fs::read_link(process.join("exe")).ok());
    let Some(tree) = postgres.as_deref().and_then(|postgres| postgres.parent()?.parent()) else {
        return taken.err().unwrap_or_else(|| "no demo is running: `make demo` starts one".into());
    };
    let mut command = Command::new(tree.join("bin/psql"));
    command.env("LD_LIBRARY_PATH", tree.join("lib"));
    command.env("PGHOST", &place.run).env("PGPORT", PORT.to_string());
    command.env("PGUSER", "app").env("PGDATABASE", "plio").args(args);
    command.exec().into()
}

/// The folder in /proc of the process that the cluster's own file names, if it is a server with these data:
/// after a crash of the machine the number may be somebody else's.
fn postmaster(place: &Place) -> Option<PathBuf> {
    let data = place.run.join("data").canonicalize().ok()?;
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: u32 = text.lines().next()?.trim().parse().ok()?;
    let process = PathBuf::from(format!("/proc/{pid}"));
    (fs::read_link(process.join("cwd")).ok()? == data).then_some(process)
}
