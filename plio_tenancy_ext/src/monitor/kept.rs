//! The ring over a stop of the server: written as the postmaster ends, read and removed as it starts, as
//! pg_stat_statements keeps its own. After a crash there is no file, and the ring begins empty.
//!
//! What cannot be written or read is left out with a line in the log: no start or stop fails over it.

use super::entry::Denial;
use super::ring::{ENTRY_WORDS, Entry, Ring};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Below the data directory, where the postmaster's working directory is. PostgreSQL's own folder for the like
/// (`PGSTAT_STAT_PERMANENT_DIRECTORY`, pgstat.h).
const FOLDER: &str = "pg_stat";
const FILE: &str = "plio_denials.stat";
/// Of the form that follows: one word for the id, then the entry's.
const MAGIC: u64 = u64::from_ne_bytes(*b"PLIODEN1");

/// Writes the ring's entries, if there are any.
///
/// # Errors
/// The file system's.
pub fn save(ring: Ring<'_>) -> io::Result<()> {
    save_in(Path::new(FOLDER), ring)
}

/// Fills a ring that was just made with what was saved, and removes the file: a server that crashes later must not
/// find it again.
///
/// # Errors
/// The file system's, or `InvalidData`; what came before is in the ring.
pub fn restore(ring: Ring<'_>) -> io::Result<()> {
    restore_from(Path::new(FOLDER), ring)
}

fn save_in(folder: &Path, ring: Ring<'_>) -> io::Result<()> {
    let mut entries = ring.entries().peekable();
    if entries.peek().is_none() {
        return Ok(());
    }
    let unfinished = folder.join(format!("{FILE}.tmp"));
    let mut file = BufWriter::new(
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?,
    );
    file.write_all(&MAGIC.to_ne_bytes())?;
    for (id, entry) in entries {
        file.write_all(&id.to_ne_bytes())?;
        for word in entry {
            file.write_all(&word.to_ne_bytes())?;
        }
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&unfinished, folder.join(FILE))?;
    File::open(folder)?.sync_all()
}

fn restore_from(folder: &Path, ring: Ring<'_>) -> io::Result<()> {
    let path = folder.join(FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    fs::remove_file(&path)?;
    let mut saved = Saved { file: BufReader::new(file), last: 0, failure: None };
    if saved.word()? != Some(MAGIC) {
        return Err(invalid("another version's"));
    }
    ring.restore(&mut saved);
    saved.failure.map_or(Ok(()), Err)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The entries of a file, up to its end or to the first that is none.
struct Saved {
    file: BufReader<File>,
    last: u64,
    failure: Option<io::Error>,
}

impl Saved {
    /// The next word; `None` at the end.
    fn word(&mut self) -> io::Result<Option<u64>> {
        let mut bytes = [0; 8];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(u64::from_ne_bytes(bytes))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn entry(&mut self) -> io::Result<Option<(u64, Entry)>> {
        let Some(id) = self.word()? else { return Ok(None) };
        let mut entry = [0; ENTRY_WORDS];
        for word in &mut entry {
            *word = self.word()?.ok_or_else(|| invalid("too short"))?;
        }
        if id <= self.last || id > u64::MAX / 4 || Denial::decode(&entry).is_none() {
            return Err(invalid("not a denial"));
        }
        self.last = id;
        Ok(Some((id, entry)))
    }
}

impl Iterator for Saved {
    type Item = (u64, Entry);

    fn next(&mut self) -> Option<Self::Item> {
        if self.failure.is_some() {
            return None;
        }
        self.entry().unwrap_or_else(|failure| {
            self.failure = Some(failure);
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Kind;
    use super::*;
    use std::sync::atomic::AtomicU64;

    fn words(entries: usize) -> Vec<AtomicU64> {
        (0..Ring::words(entries)).map(|_| AtomicU64::new(0)).collect()
    }

    fn ring(words: &[AtomicU64]) -> Ring<'_> {
        let ring = Ring::over(words).unwrap();
        ring.init(1_000);
        ring
    }

    fn entry(at: i64) -> Entry {
        Denial {
            at,
            pid: 1,
            started: 2,
            database: 3,
            login: "app".to_owned(),
            org: String::new(),
            kind: Kind::Role,
            sqlstate: 4,
            query_id: 5,
            is_enforced: true,
            message: "no".to_owned(),
        }
        .encode()
    }

    /// A folder of this test's own, with a saved ring of so many entries in it.
    fn saved(name: &str, entries: i64) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("plio-kept-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let words = words(8);
        let ring = ring(&words);
        for at in 0..entries {
            ring.push(&entry(at));
        }
        save_in(&folder, ring).unwrap();
        folder
    }

    #[test]
    fn a_ring_is_there_again_once() {
        let folder = saved("again", 3);
        let words = words(2);
        let ring = ring(&words);
        restore_from(&folder, ring).unwrap();
        let there: Vec<_> =
            ring.entries().map(|(id, entry)| (id, Denial::decode(&entry).unwrap().at)).collect();
        assert_eq!(there, [(1_001, 1), (1_002, 2)]);
        assert_eq!(ring.push(&entry(9)), 1_003);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        restore_from(&folder, ring).unwrap();
        fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn an_empty_ring_leaves_no_file() {
        let folder = saved("empty", 0);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn what_is_damaged_ends_it_and_is_removed() {
        for (length, there) in [(0, 0), (5, 0), (8, 0), (8 + 49 * 8, 1), (8 + 2 * 49 * 8 - 1, 1)] {
            let folder = saved(&format!("cut{length}"), 3);
            let file = folder.join(FILE);
            File::options().write(true).open(&file).unwrap().set_len(length).unwrap();
            let words = words(8);
            let ring = ring(&words);
            let is_whole = length >= 8 && (length - 8) % (49 * 8) == 0;
            assert_eq!(restore_from(&folder, ring).is_ok(), is_whole, "{length}");
            assert_eq!(ring.entries().count(), there, "{length}");
            assert!(!file.exists());
            fs::remove_dir(&folder).unwrap();
        }
        let folder = saved("other", 3);
        let file = folder.join(FILE);
        let mut bytes = fs::read(&file).unwrap();
        bytes[8 + 49 * 8..].fill(0xff);
        fs::write(&file, bytes).unwrap();
        let words = words(8);
        let ring = ring(&words);
        assert!(restore_from(&folder, ring).is_err());
        assert_eq!(ring.entries().count(), 1);
        fs::remove_dir(&folder).unwrap();
    }
}
