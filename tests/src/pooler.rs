//! A PgBouncer in front of a cluster.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use postgres::{Client, Config, NoTls};

use crate::cluster::{Cluster, SUPERUSER};
use crate::database::Db;
use crate::neighbours::neighbour;

/// Which PgBouncer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PgBouncer {
    /// Debian 12's 1.18: prepared statements of the protocol do not survive transaction mode.
    Old,
    /// 1.24, with `max_prepared_statements` and `track_extra_parameters`.
    New,
}

/// A running PgBouncer with one server connection for each database and role; it ends when this is dropped.
#[derive(Debug)]
pub struct Pooler {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Pooler {
    /// Starts one before `db`, for the given roles and with more lines of configuration; `None` when this system has
    /// no PgBouncer to fetch.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(which: PgBouncer, db: &Db, roles: &[&str], conf: &[&str]) -> Option<Self> {
        let fetched = neighbour(if which == PgBouncer::Old { "pgbouncer-old" } else { "pgbouncer-new" })?;
        let cluster = db.cluster();
        let folder = cluster.socket_dir().join(cluster.unique("pooler"));
        fs::create_dir(&folder).expect("the pooler's folder");
        copy_programs(&fetched, &folder);
        let users: String =
            roles.iter().chain([&SUPERUSER]).map(|role| format!("\"{role}\" \"\"\n")).collect();
        fs::write(folder.join("users.txt"), users).expect("users.txt");
        for _ in 0..3 {
            let port = free_port();
            let text = configuration(cluster, &folder, port, conf);
            fs::write(folder.join("pgbouncer.ini"), text).expect("pgbouncer.ini");
            let mut child = launch(cluster, &folder);
            if is_up(&mut child, port) {
                return Some(Self { child, port, folder });
            }
        }
        panic!("PgBouncer does not start: {}", read(&folder.join("log")));
    }

    /// Settings of the driver for a connection through the pooler.
    pub fn config(&self, db: &Db, role: &str) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(role).dbname(db.name());
        config
    }

    /// A connection through the pooler.
    ///
    /// # Panics
    /// When it is refused.
    pub fn connect(&self, db: &Db, role: &str) -> Client {
        self.config(db, role)
            .connect(NoTls)
            .unwrap_or_else(|error| panic!("{role} through the pooler: {error:?}\n{}", self.log()))
    }

    /// The port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        read(&self.folder.join("log"))
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // It is our own child: gone is as good as killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// By a process of its own: were the program's file open for writing here, a process that another test starts meanwhile
/// would inherit that descriptor until its exec, and the program could not start ("Text file busy").
fn copy_programs(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-R").arg(from.join(".")).arg(to).status().expect("cp");
    assert!(status.success(), "no copy of PgBouncer: {status}");
}

fn configuration(cluster: &Cluster, folder: &Path, port: u16, conf: &[&str]) -> String {
    format!(
        "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = trust\nauth_file = {}/users.txt\nadmin_users = {SUPERUSER}\n\
         default_pool_size = 1\npool_mode = transaction\n{}\n",
        cluster.socket_dir().display(),
        cluster.port(),
        folder.display(),
        conf.join("\n"),
    )
}

/// As the server's user: PgBouncer, too, refuses to run as root.
fn launch(cluster: &Cluster, folder: &Path) -> Child {
    let log = fs::File::create(folder.join("log")).expect("the pooler's log");
    let mut command = Command::new(folder.join("pgbouncer"));
    command
        .arg(folder.join("pgbouncer.ini"))
        .env("LD_LIBRARY_PATH", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    cluster.hand_to_server_user(&mut command);
    command.spawn().expect("PgBouncer")
}

fn is_up(child: &mut Child, port: u16) -> bool {
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        if child.try_wait().expect("PgBouncer").is_some() {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("the port").port()
}

fn read(path: &Path) -> String {
    fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}
