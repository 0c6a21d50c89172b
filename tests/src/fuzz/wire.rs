//! PostgreSQL's protocol, as little of it as an attack needs: requests go out in one write, every byte that comes back
//! is kept for the oracle.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// One thing to send; each is answered by one ReadyForQuery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The simple protocol: one message, any number of statements.
    Simple(String),
    /// Parse, Bind, Execute, Sync: the name of the statement may be empty; `None` is NULL.
    Extended(&'static str, String, Vec<Option<String>>),
    /// Bind and Execute of a statement parsed before.
    Bound(&'static str, Vec<Option<String>>),
    /// Execute of a portal that is there: a cursor that SQL declared.
    Held(&'static str),
    /// The protocol's function call: an oid, and arguments as texts.
    Function(u32, Vec<String>),
    /// Several statements before one Sync: a transaction of its own unless one is open.
    Pipeline(Vec<String>),
}

impl Request {
    /// All its statements, for the report and for what may be expected of it.
    pub fn text(&self) -> String {
        match self {
            Self::Simple(sql) => sql.clone(),
            Self::Extended(name, sql, parameters) => format!("/* extended {name} {parameters:?} */ {sql}"),
            Self::Bound(name, parameters) => format!("/* bound {name} {parameters:?} */"),
            Self::Held(portal) => format!("/* execute */ {portal}"),
            Self::Function(oid, arguments) => format!("/* function call */ {oid} {arguments:?}"),
            Self::Pipeline(statements) => format!("/* pipeline */ {}", statements.join("; ")),
        }
    }

    /// Whether nothing may be sent behind it: the server may wait for COPY data, or answer before all has been written.
    pub fn goes_alone(&self) -> bool {
        const LARGE: usize = 10_000;
        match self {
            Self::Simple(sql) => copies_in(sql) || sql.len() > LARGE,
            Self::Extended(_, _, parameters) | Self::Bound(_, parameters) => {
                parameters.iter().flatten().any(|value| value.len() > LARGE)
            }
            Self::Function(..) | Self::Held(_) => false,
            Self::Pipeline(statements) => statements.iter().any(|sql| sql.len() > LARGE),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Simple(sql) => message(out, b'Q', |body| text(body, sql)),
            Self::Extended(name, sql, parameters) => {
                parse(out, name, sql);
                bind_and_execute(out, name, parameters);
                message(out, b'S', |_| ());
            }
            Self::Bound(name, parameters) => {
                bind_and_execute(out, name, parameters);
                message(out, b'S', |_| ());
            }
            Self::Held(portal) => {
                execute(out, portal);
                message(out, b'S', |_| ());
            }
            Self::Function(oid, arguments) => message(out, b'F', |body| {
                body.extend(oid.to_be_bytes());
                body.extend(0u16.to_be_bytes());
                body.extend((arguments.len() as u16).to_be_bytes());
                for argument in arguments {
                    body.extend((argument.len() as i32).to_be_bytes());
                    body.extend(argument.as_bytes());
                }
                body.extend(0u16.to_be_bytes());
            }),
            Self::Pipeline(statements) => {
                for sql in statements {
                    parse(out, "", sql);
                    bind_and_execute(out, "", &[]);
                }
                message(out, b'S', |_| ());
            }
        }
    }
}

/// Whether a statement may ask for rows: COPY FROM STDIN, for which PostgreSQL also takes STDOUT.
pub fn copies_in(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    sql.contains("stdin") || (sql.contains("from") && sql.contains("stdout"))
}

fn parse(out: &mut Vec<u8>, name: &str, sql: &str) {
    message(out, b'P', |body| {
        text(body, name);
        text(body, sql);
        body.extend(0u16.to_be_bytes());
    });
}

fn bind_and_execute(out: &mut Vec<u8>, name: &str, parameters: &[Option<String>]) {
    message(out, b'B', |body| {
        text(body, "");
        text(body, name);
        body.extend(0u16.to_be_bytes());
        body.extend((parameters.len() as u16).to_be_bytes());
        for parameter in parameters {
            match parameter {
                None => body.extend((-1i32).to_be_bytes()),
                Some(value) => {
                    body.extend((value.len() as i32).to_be_bytes());
                    body.extend(value.as_bytes());
                }
            }
        }
        body.extend(0u16.to_be_bytes());
    });
    execute(out, "");
}

fn execute(out: &mut Vec<u8>, portal: &str) {
    message(out, b'E', |body| {
        text(body, portal);
        body.extend(0u32.to_be_bytes());
    });
}

fn message(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let start = out.len();
    out.extend([0; 4]);
    fill(out);
    let length = ((out.len() - start) as u32).to_be_bytes();
    out[start..start + 4].copy_from_slice(&length);
}

/// A text with its NUL; what has one inside would end early on the server's side, too.
fn text(out: &mut Vec<u8>, value: &str) {
    out.extend(value.bytes().filter(|byte| *byte != 0));
    out.push(0);
}

/// An ErrorResponse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// ERROR, FATAL or PANIC.
    pub severity: String,
    /// SQLSTATE.
    pub code: String,
    /// The message.
    pub message: String,
    /// The hint; empty when there is none.
    pub hint: String,
    /// The source file that raised it.
    pub file: String,
}

/// All that the server sent for one request.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The bytes as they came.
    pub bytes: &'a [u8],
    /// The last error, if any.
    pub failure: Option<Failure>,
    /// The tenant in force afterwards, as the server reports it; empty when there is none.
    pub tenant: &'a str,
    /// The transaction's status: `I`, `T` or `E`.
    pub status: u8,
}

/// A connection.
#[derive(Debug)]
pub struct Wire {
    stream: UnixStream,
    /// What came and is not yet consumed starts at `start`.
    buffer: Vec<u8>,
    start: usize,
    tenant: String,
    status: u8,
    process: i32,
}

impl Wire {
    /// Connects over the socket in `folder`; the server trusts the role.
    ///
    /// # Errors
    /// Whatever the socket or the server says.
    pub fn connect(folder: &Path, port: u16, role: &str, database: &str) -> io::Result<Self> {
        Self::connect_as(folder, port, role, database, false)
    }

    /// The same; a connection for replication takes SQL, too.
    ///
    /// # Errors
    /// Whatever the socket or the server says.
    pub fn connect_as(
        folder: &Path,
        port: u16,
        role: &str,
        database: &str,
        replicates: bool,
    ) -> io::Result<Self> {
        let stream = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}")))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        let mut wire =
            Self { stream, buffer: Vec::new(), start: 0, tenant: String::new(), status: b'I', process: 0 };
        let mut startup = vec![0; 4];
        startup.extend(196_608u32.to_be_bytes());
        let replication: &[&str] = if replicates { &["replication", "database"] } else { &[] };
        let words = ["user", role, "database", database, "application_name", "plio-fuzz"];
        for word in words.iter().chain(replication).chain(&[""]) {
            text(&mut startup, word);
        }
        let length = (startup.len() as u32).to_be_bytes();
        startup[..4].copy_from_slice(&length);
        wire.stream.write_all(&startup)?;
        let failure = wire.receive()?.failure;
        match failure {
            Some(failure) => Err(io::Error::other(format!("{failure:?}"))),
            None => Ok(wire),
        }
    }

    /// The tenant in force, as the server reported it last.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The transaction's status: `I`, `T` or `E`.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// The server's process.
    pub fn process(&self) -> i32 {
        self.process
    }

    /// The answer to the next request sent, if it comes within this time; what came so far is kept.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn receive_within(&mut self, limit: Duration) -> io::Result<Option<Answer<'_>>> {
        self.stream.set_read_timeout(Some(limit))?;
        self.buffer.drain(..self.start);
        self.start = 0;
        loop {
            if is_complete(&self.buffer) {
                self.stream.set_read_timeout(Some(Duration::from_secs(60)))?;
                return self.receive().map(Some);
            }
            match self.fill() {
                Ok(()) => {}
                Err(error) if is_late(&error) => return Ok(None),
                Err(error) => return self.fail(error, None).map(Some),
            }
        }
    }

    /// Sends requests in one write.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send(&mut self, requests: &[Request]) -> io::Result<()> {
        let mut out = Vec::with_capacity(4096);
        for request in requests {
            request.encode(&mut out);
        }
        self.stream.write_all(&out)
    }

    /// The answer to the next request sent.
    ///
    /// # Errors
    /// The connection is gone, or nothing came for a minute.
    pub fn receive(&mut self) -> io::Result<Answer<'_>> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let (mut at, mut failure) = (0, None);
        loop {
            while self.buffer.len() < at + 5 {
                if let Err(error) = self.fill() {
                    return self.fail(error, failure);
                }
            }
            let tag = self.buffer[at];
            let length: [u8; 4] = self.buffer[at + 1..at + 5].try_into().map_err(io::Error::other)?;
            let end = at + 1 + u32::from_be_bytes(length) as usize;
            while self.buffer.len() < end {
                if let Err(error) = self.fill() {
                    return self.fail(error, failure);
                }
            }
            let body = &self.buffer[at + 5..end];
            match tag {
                b'E' => failure = Some(failure_of(body)),
                b'S' => {
                    if let Some(value) = body.strip_prefix(b"plio.tenant\0") {
                        self.tenant =
                            String::from_utf8_lossy(value.strip_suffix(b"\0").unwrap_or(value)).into();
                    }
                }
                // COPY FROM STDIN: a line, and the end.
                b'G' => {
                    let mut out = Vec::new();
                    message(&mut out, b'd', |body| body.extend(b"77\tx\n"));
                    message(&mut out, b'c', |_| ());
                    self.stream.write_all(&out)?;
                }
                b'K' => {
                    let process = body.get(..4).and_then(|bytes| bytes.try_into().ok());
                    self.process = process.map_or(0, i32::from_be_bytes);
                }
                _ => {}
            }
            at = end;
            if tag == b'Z' {
                self.status = self.buffer[end - 1];
                break;
            }
        }
        self.start = at;
        Ok(Answer { bytes: &self.buffer[..at], failure, tenant: &self.tenant, status: self.status })
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16384];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.buffer.extend(&chunk[..count]);
                Ok(())
            }
        }
    }

    /// The connection ends: with all that the server still said.
    fn fail(&self, error: io::Error, failure: Option<Failure>) -> io::Result<Answer<'_>> {
        let words = String::from_utf8_lossy(&self.buffer).replace(char::is_control, " ");
        Err(match failure {
            Some(_) => io::Error::new(error.kind(), words),
            None => error,
        })
    }
}

/// Whether a read came to its limit.
pub fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Whether there is a ReadyForQuery among complete messages.
fn is_complete(buffer: &[u8]) -> bool {
    let mut at = 0;
    while let Some(header) = buffer.get(at..at + 5) {
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        if buffer.len() < at + 1 + length {
            return false;
        }
        if header[0] == b'Z' {
            return true;
        }
        at += 1 + length;
    }
    false
}

fn failure_of(body: &[u8]) -> Failure {
    let mut failure = Failure::default();
    for field in body.split(|byte| *byte == 0) {
        let Some((tag, value)) = field.split_first() else { continue };
        let value = || String::from_utf8_lossy(value).into_owned();
        match tag {
            b'V' => failure.severity = value(),
            b'C' => failure.code = value(),
            b'M' => failure.message = value(),
            b'H' => failure.hint = value(),
            b'F' => failure.file = value(),
            _ => {}
        }
    }
    failure
}
