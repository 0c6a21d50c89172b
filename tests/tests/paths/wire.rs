//! PostgreSQL's protocol by hand: several messages before one Sync, and function calls, which no driver here sends.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use plio_tests::Db;

/// A connection whose messages are the test's own.
pub struct Wire(UnixStream);

/// What the server answered up to its next ReadyForQuery: values of rows, `ERROR <SQLSTATE>` for errors, completion tags.
pub type Answers = Vec<String>;

impl Wire {
    /// Connects as `role`, who needs no password.
    pub fn connect(db: &Db, role: &str) -> Wire {
        let socket = db.cluster().socket_dir().join(format!(".s.PGSQL.{}", db.cluster().port()));
        let mut wire = Wire(UnixStream::connect(socket).expect("the server's socket"));
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        for word in ["user", role, "database", db.name(), ""] {
            body.extend(word.bytes().chain([0]));
        }
        let length = (body.len() + 4) as u32;
        wire.0.write_all(&[&length.to_be_bytes()[..], &body].concat()).expect("the startup message");
        wire.answers();
        wire
    }

    fn send(&mut self, kind: u8, body: &[u8]) {
        let length = (body.len() + 4) as u32;
        self.0.write_all(&[&[kind], &length.to_be_bytes()[..], body].concat()).expect("a message");
    }

    /// A simple query.
    pub fn query(&mut self, text: &str) -> Answers {
        self.send(b'Q', &[text.as_bytes(), &[0]].concat());
        self.answers()
    }

    /// Parse, Bind and Execute for each statement, then one Sync.
    pub fn pipeline(&mut self, statements: &[&str]) -> Answers {
        for statement in statements {
            self.send(b'P', &[&[0], statement.as_bytes(), &[0, 0, 0]].concat());
            self.send(b'B', &[0, 0, 0, 0, 0, 0, 0, 0]);
            self.send(b'E', &[0, 0, 0, 0, 0]);
        }
        self.send(b'S', &[]);
        self.answers()
    }

    /// Parse under a name, as drivers do.
    pub fn prepare(&mut self, name: &str, statement: &str) -> Answers {
        self.send(b'P', &[name.as_bytes(), &[0], statement.as_bytes(), &[0, 0, 0]].concat());
        self.send(b'S', &[]);
        self.answers()
    }

    /// Bind and Execute what was prepared under that name, with one argument as text.
    pub fn execute(&mut self, name: &str, argument: &str) -> Answers {
        let length = (argument.len() as u32).to_be_bytes();
        let body = [&[0], name.as_bytes(), &[0, 0, 0, 0, 1], &length, argument.as_bytes(), &[0, 0]].concat();
        self.send(b'B', &body);
        self.send(b'E', &[0, 0, 0, 0, 0]);
        self.send(b'S', &[]);
        self.answers()
    }

    /// Execute of a portal that is there, for so many rows: 0 for all.
    pub fn fetch(&mut self, portal: &str, rows: u32) -> Answers {
        self.send(b'E', &[portal.as_bytes(), &[0], &rows.to_be_bytes()].concat());
        self.send(b'S', &[]);
        self.answers()
    }

    /// FunctionCall: a function by its oid, its arguments as text.
    pub fn call(&mut self, function: u32, arguments: &[&str]) -> Answers {
        let mut body = function.to_be_bytes().to_vec();
        body.extend(0_u16.to_be_bytes());
        body.extend((arguments.len() as u16).to_be_bytes());
        for argument in arguments {
            body.extend((argument.len() as u32).to_be_bytes());
            body.extend(argument.bytes());
        }
        body.extend(0_u16.to_be_bytes());
        self.send(b'F', &body);
        self.answers()
    }

    fn message(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 5];
        self.0.read_exact(&mut head).expect("an answer");
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; length - 4];
        self.0.read_exact(&mut body).expect("an answer's body");
        (head[0], body)
    }

    fn answers(&mut self) -> Answers {
        let mut answers = Vec::new();
        loop {
            let (kind, body) = self.message();
            let text = String::from_utf8_lossy(&body);
            match kind {
                b'Z' => return answers,
                // Fields: a letter, then a text with a NUL; C is the SQLSTATE.
                b'E' => {
                    let code = text.split('\0').find_map(|field| field.strip_prefix('C')).unwrap_or_default();
                    assert!(!text.contains("canary-bravo"), "{text}");
                    answers.push(format!("ERROR {code}"));
                }
                b'D' => answers.push(row(&body)),
                b'V' => answers.push(value(&body).0.unwrap_or_else(|| "NULL".to_owned())),
                b'C' => answers.push(text.trim_end_matches('\0').to_owned()),
                _ => {}
            }
        }
    }
}

/// A value with its length in front, and what follows it.
fn value(bytes: &[u8]) -> (Option<String>, &[u8]) {
    let (length, rest) = bytes.split_at(4);
    match i32::from_be_bytes([length[0], length[1], length[2], length[3]]) {
        -1 => (None, rest),
        length => {
            let (value, rest) = rest.split_at(length as usize);
            (Some(String::from_utf8_lossy(value).into_owned()), rest)
        }
    }
}

fn row(body: &[u8]) -> String {
    let mut rest = &body[2..];
    let mut values = Vec::new();
    while !rest.is_empty() {
        let (found, after) = value(rest);
        values.push(found.unwrap_or_else(|| "NULL".to_owned()));
        rest = after;
    }
    values.join("|")
}
