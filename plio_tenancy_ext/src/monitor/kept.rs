//! The ring over a stop of the server: written as the postmaster ends, read and removed as it starts, as
//! pg_stat_statements keeps its own. After a crash there is no file, and the ring begins empty.
//!
//! What cannot be written or read is left out with a line in the log: no start or stop fails over it.

use super::entry::Denial;
use super::ring::{ENTRY_WORDS, Kept, Ring};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Below the data directory, where the postmaster's working directory is. PostgreSQL's own folder for the like
/// (`PGSTAT_STAT_PERMANENT_DIRECTORY`, pgstat.h).
const FOLDER: &str = "pg_stat";
const FILE: &str = "plio_denials.stat";
/// Of the form that follows: for each entry four words (id, owner, how often, when last), then its own.
const MAGIC: u64 = u64::from_ne_bytes(*b"PLIODEN2");
/// Of 0.1.0's: one word for the id, then the entry's.
const MAGIC_OF_1: u64 = u64::from_ne_bytes(*b"PLIODEN1");

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
    for Kept { id, owner, times, last_at, entry } in entries {
        for word in [id, owner.into(), times.into(), last_at as u64].into_iter().chain(entry) {
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
    let mut saved = Saved { file: BufReader::new(file), is_of_1: false, last: 0, failure: None };
    saved.is_of_1 = match saved.word()? {
        Some(MAGIC) => false,
        Some(MAGIC_OF_1) => true,
        _ => return Err(invalid("another version's")),
    };
    ring.restore(&mut saved);
    saved.failure.map_or(Ok(()), Err)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The entries of a file, up to its end or to the first that is none.
struct Saved {
    file: BufReader<File>,
    is_of_1: bool,
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

    /// A word that must be there.
    fn next_word(&mut self) -> io::Result<u64> {
        self.word()?.ok_or_else(|| invalid("too short"))
    }

    fn entry(&mut self) -> io::Result<Option<Kept>> {
        let Some(id) = self.word()? else { return Ok(None) };
        let [owner, times, last_at] =
            if self.is_of_1 { [0, 1, 0] } else { [self.next_word()?, self.next_word()?, self.next_word()?] };
        let mut entry = [0; ENTRY_WORDS];
        for word in &mut entry {
            *word = self.next_word()?;
        }
        let (Some(denial), Ok(owner), Ok(times)) =
            (Denial::decode(&entry), u32::try_from(owner), u32::try_from(times))
        else {
            return Err(invalid("not a denial"));
        };
        if id <= self.last || id > u64::MAX / 4 {
            return Err(invalid("not a denial"));
        }
        self.last = id;
        Ok(Some(Kept { id, owner, times: times.max(1), last_at: (last_at as i64).max(denial.at), entry }))
    }
}

impl Iterator for Saved {
    type Item = Kept;

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

    /// The bytes of an entry's record.
    const RECORD: u64 = (4 + ENTRY_WORDS as u64) * 8;

    fn ring(words: &[AtomicU64]) -> Ring<'_> {
        let ring = Ring::over(words).unwrap();
        ring.init(1_000);
        ring
    }

    fn entry(at: i64) -> super::super::ring::Entry {
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
            let place = ring.push(&entry(at), 10, at).unwrap();
            assert!(ring.repeat(place, at + 1));
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
        let there: Vec<_> = ring
            .entries()
            .map(|kept| (kept.id, Denial::decode(&kept.entry).unwrap().at, kept.last_at))
            .collect();
        assert_eq!(there, [(1_001, 1, 2), (1_002, 2, 3)]);
        assert!(ring.entries().all(|kept| (kept.owner, kept.times) == (10, 2)));
        assert_eq!(ring.push(&entry(9), 10, 9).unwrap().id, 1_003);
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
        for (length, there) in [(0, 0), (5, 0), (8, 0), (8 + RECORD, 1), (8 + 2 * RECORD - 1, 1)] {
            let folder = saved(&format!("cut{length}"), 3);
            let file = folder.join(FILE);
            File::options().write(true).open(&file).unwrap().set_len(length).unwrap();
            let words = words(8);
            let ring = ring(&words);
            let is_whole = length >= 8 && (length - 8) % RECORD == 0;
            assert_eq!(restore_from(&folder, ring).is_ok(), is_whole, "{length}");
            assert_eq!(ring.entries().count(), there, "{length}");
            assert!(!file.exists());
            fs::remove_dir(&folder).unwrap();
        }
        let folder = saved("other", 3);
        let file = folder.join(FILE);
        let mut bytes = fs::read(&file).unwrap();
        bytes[8 + RECORD as usize..].fill(0xff);
        fs::write(&file, bytes).unwrap();
        let words = words(8);
        let ring = ring(&words);
        assert!(restore_from(&folder, ring).is_err());
        assert_eq!(ring.entries().count(), 1);
        fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn what_0_1_0_has_saved_is_read() {
        let folder = saved("old", 0);
        let words_of = |id: u64, at: i64| std::iter::once(id).chain(entry(at));
        let all: Vec<u64> =
            std::iter::once(MAGIC_OF_1).chain(words_of(5, 50)).chain(words_of(6, 60)).collect();
        fs::write(folder.join(FILE), all.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>())
            .unwrap();
        let words = words(4);
        let ring = ring(&words);
        restore_from(&folder, ring).unwrap();
        let there: Vec<_> =
            ring.entries().map(|kept| (kept.id, kept.owner, kept.times, kept.last_at)).collect();
        assert_eq!(there, [(5, 0, 1, 50), (6, 0, 1, 60)]);
        fs::remove_dir(&folder).unwrap();
    }
}
