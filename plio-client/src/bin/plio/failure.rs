//! Why there is no answer, as one text for the terminal.

use std::fmt;
use std::io;

use crate::output::visible;

pub type Result<T> = std::result::Result<T, Failure>;

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// What the user, the environment or a file says makes no sense.
    Usage(String),
    /// The server refused, or the connection is lost.
    Server(plio_client::Error),
    /// Nobody takes our output.
    Output(io::Error),
}

impl Failure {
    /// Whether only our reader is gone: `plio audit | head`.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text) => f.write_str(&visible(text)),
            Failure::Output(error) => write!(f, "cannot write the output: {error}"),
            Failure::Server(error) if error.as_db_error().is_some() => {
                // One line each for the message, the detail, the hint and the SQLSTATE.
                let text = format!("{error:#}");
                let lines: Vec<String> = text.lines().map(visible).collect();
                f.write_str(&lines.join("\n"))
            }
            Failure::Server(error) => f.write_str(&visible(&chain(error))),
        }
    }
}

/// An error with its causes, each said once: the driver's own text is only "error connecting to server".
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !texts.iter().any(|said| said.contains(&text)) {
            texts.push(text);
        }
        source = cause.source();
    }
    texts.join(": ")
}

impl From<plio_client::Error> for Failure {
    fn from(error: plio_client::Error) -> Failure {
        Failure::Server(error)
    }
}

impl From<postgres::Error> for Failure {
    fn from(error: postgres::Error) -> Failure {
        Failure::Server(error.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}
