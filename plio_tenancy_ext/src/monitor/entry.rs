//! A denial as the ring's words hold it: of fixed size, nothing in it that only one process could read. Pure.

use super::ring::{ENTRY_WORDS, Entry};
use std::fmt::{self, Write};

/// What was refused, as `plio.denials.kind` says it. The numbers are the ring's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    OtherTenant = 1,
    NoTenant,
    NotShared,
    SharedReadOnly,
    Statement,
    ServerFile,
    Connection,
    DdlOutside,
    Tie,
    TenantObject,
    Role,
    Enter,
    Suspended,
    UnknownTenant,
    SecondTenant,
    TenantSetting,
    LockedSetting,
    Management,
    PreparedTexts,
    OneLayer,
}

/// Every kind with its word.
pub const KINDS: [(Kind, &str); 20] = [
    (Kind::OtherTenant, "other_tenant"),
    (Kind::NoTenant, "no_tenant"),
    (Kind::NotShared, "not_shared"),
    (Kind::SharedReadOnly, "shared_read_only"),
    (Kind::Statement, "statement"),
    (Kind::ServerFile, "server_file"),
    (Kind::Connection, "connection"),
    (Kind::DdlOutside, "ddl_outside"),
    (Kind::Tie, "tie"),
    (Kind::TenantObject, "tenant_object"),
    (Kind::Role, "role"),
    (Kind::Enter, "enter"),
    (Kind::Suspended, "suspended"),
    (Kind::UnknownTenant, "unknown_tenant"),
    (Kind::SecondTenant, "second_tenant"),
    (Kind::TenantSetting, "tenant_setting"),
    (Kind::LockedSetting, "locked_setting"),
    (Kind::Management, "management"),
    (Kind::PreparedTexts, "prepared_texts"),
    (Kind::OneLayer, "one_layer"),
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = KINDS.iter().find(|(kind, _)| kind == self).map_or("unknown", |(_, word)| word);
        f.write_str(word)
    }
}

/// A refusal: who, when, what; nothing of anybody's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// When, as a `timestamptz` holds it.
    pub at: i64,
    /// The session's process,
    pub pid: i32,
    /// and when it started, in seconds since 1970.
    pub started: i64,
    /// The database's oid.
    pub database: u32,
    /// The role that logged in.
    pub login: String,
    /// The org in force; empty when none was.
    pub org: String,
    pub kind: Kind,
    /// In PostgreSQL's packed form.
    pub sqlstate: i32,
    /// 0 when there is none.
    pub query_id: i64,
    /// Whether it was refused; false when it would have been.
    pub is_enforced: bool,
    /// Our own message.
    pub message: String,
}

const NAME_BYTES: usize = 64;
const ORG: usize = 5;
const LOGIN: usize = ORG + NAME_BYTES / 8;
const MESSAGE: usize = LOGIN + NAME_BYTES / 8;

impl Denial {
    /// The ring's words. Texts that are too long are cut between characters.
    pub fn encode(&self) -> Entry {
        let mut entry = [0; ENTRY_WORDS];
        let org = put_text(&mut entry[ORG..LOGIN], &self.org);
        let login = put_text(&mut entry[LOGIN..MESSAGE], &self.login);
        let message = put_text(&mut entry[MESSAGE..], &self.message);
        entry[0] = self.at as u64;
        entry[1] = u64::from(self.pid as u32) | u64::from(self.database) << 32;
        entry[2] = self.started as u64;
        entry[3] = self.query_id as u64;
        entry[4] = u64::from(self.sqlstate as u32)
            | u64::from(self.kind as u8) << 32
            | u64::from(self.is_enforced) << 39
            | org << 40
            | login << 48
            | message << 56;
        entry
    }

    /// Reads them again; `None` unless [`Denial::encode`] wrote them.
    pub fn decode(entry: &Entry) -> Option<Self> {
        let byte = |shift: u32| (entry[4] >> shift) as u8;
        let kind = KINDS.iter().find(|(kind, _)| *kind as u8 == byte(32) & 0x7f).map(|(kind, _)| *kind)?;
        Some(Self {
            at: entry[0] as i64,
            pid: entry[1] as u32 as i32,
            started: entry[2] as i64,
            database: (entry[1] >> 32) as u32,
            login: text(&entry[LOGIN..MESSAGE], byte(48))?,
            org: text(&entry[ORG..LOGIN], byte(40))?,
            kind,
            sqlstate: entry[4] as u32 as i32,
            query_id: entry[3] as i64,
            is_enforced: byte(32) & 0x80 != 0,
            message: text(&entry[MESSAGE..], byte(56))?,
        })
    }

    /// The `%c` of log_line_prefix.
    pub fn session_id(&self) -> String {
        format!("{:x}.{:x}", self.started, self.pid)
    }
}

/// Packs a text into words, and gives the number of bytes that found room.
fn put_text(words: &mut [u64], text: &str) -> u64 {
    let mut length = text.len().min(words.len() * 8);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    for (word, bytes) in words.iter_mut().zip(text.as_bytes()[..length].chunks(8)) {
        let mut eight = [0; 8];
        eight[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_ne_bytes(eight);
    }
    length as u64
}

fn text(words: &[u64], length: u8) -> Option<String> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).take(length.into()).collect();
    String::from_utf8(bytes).ok()
}

/// `"text"` in one line: what would end it, or the quotes, is written out as in JSON.
pub fn quoted(text: &str) -> String {
    let mut line = String::with_capacity(text.len() + 2);
    line.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if c.is_control() => drop(write!(line, "\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line.push('"');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial() -> Denial {
        Denial {
            at: -5,
            pid: 4711,
            started: 1_700_000_000,
            database: u32::MAX,
            login: "app".to_owned(),
            org: "o".repeat(63),
            kind: Kind::OtherTenant,
            sqlstate: 16_797_828,
            query_id: i64::MIN,
            is_enforced: true,
            message: "access to another tenant is not allowed".to_owned(),
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        for (index, (kind, word)) in KINDS.into_iter().enumerate() {
            let one = Denial { kind, is_enforced: index % 2 == 0, query_id: index as i64, ..denial() };
            assert_eq!(Denial::decode(&one.encode()), Some(one));
            assert_eq!(kind.to_string(), word);
        }
        assert_eq!(denial().session_id(), "6553f100.1267");
        assert_eq!(Denial::decode(&[0; ENTRY_WORDS]), None);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = Denial { message: "ä".repeat(300), login: format!("x{}", "ä".repeat(40)), ..denial() };
        let read = Denial::decode(&long.encode()).unwrap();
        assert_eq!(read.message, "ä".repeat((ENTRY_WORDS - MESSAGE) * 8 / 2));
        assert_eq!(read.login, format!("x{}", "ä".repeat(31)));
    }

    #[test]
    fn quoted_text_is_one_line() {
        assert_eq!(quoted("a \"b\"\n\\c\u{1}\t"), r#""a \"b\"\n\\c\u0001\t""#);
    }
}
