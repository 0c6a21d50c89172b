//! Where the demo lives: one folder in the temporary directory for each checkout and user.
//!
//! It belongs to whom the demo runs as; `run` in it belongs to the server's user, because a server that root
//! starts runs as somebody else. Does not create anything.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use postgres::{Client, Config, NoTls};

use crate::Outcome;

/// The file name of the socket holds it; nothing listens on TCP.
pub const PORT: u16 = 5432;

/// The places that belong to one demo.
pub struct Place {
    /// Everything the demo writes.
    pub base: PathBuf,
    /// The server's part of it; also the socket's directory.
    pub run: PathBuf,
    /// The checkout's tests/demo.
    sql: PathBuf,
}

impl Place {
    /// Works out the names.
    pub fn find() -> Outcome<Self> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut hasher = DefaultHasher::new();
        tests.hash(&mut hasher);
        let base = env::temp_dir().join(format!("plio-demo-{}-{:08x}", own_uid()?, hasher.finish() as u32));
        Ok(Self { run: base.join("run"), base, sql: tests.join("demo") })
    }

    /// Whether the folder is there. An error when something else is there, or somebody else's folder.
    pub fn is_taken(&self) -> Outcome<bool> {
        let Ok(found) = fs::symlink_metadata(&self.base) else { return Ok(false) };
        if found.is_dir() && found.uid() == own_uid()? {
            return Ok(true);
        }
        Err(format!("{} is there and not the demo's: remove it", self.base.display()).into())
    }

    /// The text of a file of tests/demo.
    pub fn read_sql(&self, file: &str) -> Outcome<String> {
        let path = self.sql.join(file);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// A connection over the socket.
    pub fn connect(&self, role: &str, database: &str) -> Outcome<Client> {
        let mut config = Config::new();
        config.host_path(&self.run).port(PORT).user(role).dbname(database).application_name("plio demo");
        Ok(config.connect(NoTls)?)
    }
}

fn own_uid() -> Outcome<u32> {
    Ok(fs::metadata("/proc/self")?.uid())
}
