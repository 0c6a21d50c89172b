//! Where the demo lives: PostgreSQL's tree, the cluster's folder, the server's user.
//!
//! The cluster lies in the temporary directory, one for each checkout and user, because a server that root
//! starts runs as somebody else and may be unable to read the checkout. Does not create anything.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use postgres::{Client, Config, NoTls};

use crate::Outcome;

/// The file name of the socket holds it; nothing listens on TCP.
pub const PORT: u16 = 5432;

/// A user of the operating system.
#[derive(Clone, Copy)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// The places that belong to one demo.
pub struct Place {
    /// PostgreSQL as the client programs find it.
    pub tree: PathBuf,
    /// Everything the demo writes; also the socket's directory.
    pub base: PathBuf,
    /// The checkout's tests/demo.
    pub sql: PathBuf,
    /// Whom the server runs as, when not as the caller.
    pub server_user: Option<User>,
}

impl Place {
    /// Looks for the embedded tree of this major version and works out the rest.
    pub fn find(major: &str, tree: Option<&Path>) -> Outcome<Self> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = tests
            .parent()
            .ok_or("the test package has no folder above it")?;
        let tree = tree.map_or_else(|| root.join("target/pg").join(major), Path::to_path_buf);
        if !tree.join("bin/postgres").exists() {
            return Err(format!("no PostgreSQL in {}: run `make setup`", tree.display()).into());
        }
        let uid = fs::metadata("/proc/self")?.uid();
        let mut hasher = DefaultHasher::new();
        root.hash(&mut hasher);
        let base = env::temp_dir().join(format!("plio-demo-{uid}-{:08x}", hasher.finish() as u32));
        let server_user = if uid == 0 {
            Some(unprivileged_user()?)
        } else {
            None
        };
        Ok(Self {
            tree,
            base,
            sql: tests.join("demo"),
            server_user,
        })
    }

    /// The cluster's data directory.
    pub fn data(&self) -> PathBuf {
        self.base.join("data")
    }

    /// The text of a file of tests/demo.
    pub fn read_sql(&self, file: &str) -> Outcome<String> {
        let path = self.sql.join(file);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// A connection over the socket.
    pub fn connect(&self, role: &str, database: &str) -> Outcome<Client> {
        let mut config = Config::new();
        config
            .host_path(&self.base)
            .port(PORT)
            .user(role)
            .dbname(database)
            .application_name("plio demo");
        Ok(config.connect(NoTls)?)
    }

    /// The tree as the server's user can read it, with a flag that says it has to be copied there first.
    pub fn server_tree(&self) -> Outcome<(PathBuf, bool)> {
        if self.server_user.is_none() || is_open_to_everybody(&self.tree)? {
            return Ok((self.tree.clone(), false));
        }
        Ok((self.base.join("pg"), true))
    }
}

/// PostgreSQL refuses to run as root: take the user made for it, or nobody.
fn unprivileged_user() -> Outcome<User> {
    let passwd = fs::read_to_string("/etc/passwd")?;
    let find = |name: &str| {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then_some(())?;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(User { uid, gid })
        })
    };
    find("postgres").or_else(|| find("nobody")).ok_or_else(|| {
        "root cannot run PostgreSQL, and there is neither a user postgres nor nobody".into()
    })
}

/// Whether every folder on the way may be passed by anybody.
fn is_open_to_everybody(path: &Path) -> Outcome<bool> {
    let path = path.canonicalize()?;
    for folder in path.ancestors() {
        if fs::metadata(folder)?.mode() & 0o001 == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}
