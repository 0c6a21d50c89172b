//! The cluster of the demo: built anew, started so that it outlives this program, ended by its own pid.
//!
//! It is a throw-away: fsync is off and everybody who reaches the socket is trusted, but the socket lies in a
//! folder that only the server's user and root may enter.

use std::error::Error;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

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

/// Removes what an earlier run left and starts a fresh cluster.
pub fn replace(place: &Place, screen: &Screen) -> Outcome<()> {
    let mut stage = Stage::begin(screen, "cluster");
    if stop(place)? {
        stage.note("replaces an earlier demo");
    }
    make_base(place)?;
    let (tree, to_copy) = place.server_tree()?;
    if to_copy {
        stage.note("copies PostgreSQL to where the server's user can read it");
        copy_tree(place, &tree)?;
    }
    let data = place.data();
    let data = data
        .to_str()
        .ok_or("the temporary directory's name is not UTF-8")?;
    finish(
        server_command(place, &tree, "initdb")
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
            ])
            .args(["--locale=C.UTF-8", "-D", data]),
    )?;
    let config = place.data().join("postgresql.conf");
    let socket = format!(
        "unix_socket_directories = '{}'\nport = {PORT}\n",
        place.base.display()
    );
    let text = fs::read_to_string(&config)? + SETTINGS + &socket;
    fs::write(&config, text)?;
    let log = place.base.join("log");
    finish(
        server_command(place, &tree, "pg_ctl")
            .args(["-D", data, "-w", "start", "-l"])
            .arg(log),
    )?;
    let version = version(place)?;
    stage.end(&version);
    Ok(())
}

/// Ends the server and removes the folder; false when there was none.
pub fn stop(place: &Place) -> Outcome<bool> {
    let Ok(found) = fs::symlink_metadata(&place.base) else {
        return Ok(false);
    };
    let owner = place
        .server_user
        .map_or(fs::metadata("/proc/self")?.uid(), |user| user.uid);
    if !found.is_dir() || found.uid() != owner {
        return Err(format!(
            "{} is there and not the demo's: remove it",
            place.base.display()
        )
        .into());
    }
    if is_running(place) {
        let (tree, _) = place.server_tree()?;
        let mut pg_ctl = server_command(place, &tree, "pg_ctl");
        finish(
            pg_ctl
                .arg("-D")
                .arg(place.data())
                .args(["-m", "fast", "-w", "stop"]),
        )?;
    }
    fs::remove_dir_all(&place.base)?;
    Ok(true)
}

/// Becomes psql; returns only when that fails.
pub fn psql(place: &Place, args: &[String]) -> Box<dyn Error + Send + Sync> {
    if !is_running(place) {
        return "no demo is running: `make demo` starts one".into();
    }
    let mut command = Command::new(place.tree.join("bin/psql"));
    command.env("LD_LIBRARY_PATH", place.tree.join("lib"));
    command
        .env("PGHOST", &place.base)
        .env("PGPORT", PORT.to_string());
    command
        .env("PGUSER", "app")
        .env("PGDATABASE", "plio")
        .args(args);
    command.exec().into()
}

/// Whether the pid in the cluster's own file is that of a server whose data are these: after a crash of the
/// machine the number may be somebody else's.
fn is_running(place: &Place) -> bool {
    let Ok(text) = fs::read_to_string(place.data().join("postmaster.pid")) else {
        return false;
    };
    let Some(pid) = text.lines().next() else {
        return false;
    };
    let data = place.data().canonicalize().ok();
    data.is_some() && fs::read_link(format!("/proc/{}/cwd", pid.trim())).ok() == data
}

fn make_base(place: &Place) -> Outcome<()> {
    fs::create_dir(&place.base)?;
    if let Some(user) = place.server_user {
        chown(&place.base, Some(user.uid), Some(user.gid))?;
    }
    fs::set_permissions(&place.base, fs::Permissions::from_mode(0o700))?;
    Ok(())
}

fn copy_tree(place: &Place, target: &Path) -> Outcome<()> {
    finish(
        Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .arg(&place.tree)
            .arg(target),
    )?;
    if let Some(user) = place.server_user {
        finish(
            Command::new("chown")
                .args(["-R", &format!("{}:{}", user.uid, user.gid)])
                .arg(target),
        )?;
    }
    Ok(())
}

/// A program of the tree, to run as the server's user, in a folder which that user may read.
fn server_command(place: &Place, tree: &Path, program: &str) -> Command {
    let mut command = Command::new(tree.join("bin").join(program));
    command
        .env("LD_LIBRARY_PATH", tree.join("lib"))
        .current_dir(&place.base);
    // pgrx would put Rust backtraces into the DETAIL of errors.
    command.env_remove("RUST_BACKTRACE").env_remove("PGDATA");
    if let Some(user) = place.server_user {
        // The standard library drops root's supplementary groups on the way.
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// Runs a program to its end; what it said is the error when it fails. Its output goes to a file, because a
/// server that is left running would keep a pipe open for ever.
fn finish(command: &mut Command) -> Outcome<()> {
    let said = tempfile::tempfile()?;
    let status = command
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(said.try_clone()?)
        .status();
    let name = command.get_program().to_string_lossy().into_owned();
    let status = status.map_err(|error| format!("{name}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let mut text = String::new();
    let mut said = said;
    std::io::Seek::rewind(&mut said)?;
    std::io::Read::read_to_string(&mut said, &mut text)?;
    Err(format!("{name} failed ({status}): {}", text.trim()).into())
}

fn version(place: &Place) -> Outcome<String> {
    let mut client = place.connect("postgres", "postgres")?;
    let row = client.query_one("SHOW server_version", &[])?;
    Ok(format!("PostgreSQL {}", row.get::<_, String>(0)))
}
