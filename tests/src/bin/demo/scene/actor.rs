//! The connections of one side of a scene, what the server answers on them, and whether that is as expected.

use std::collections::{BTreeMap, BTreeSet};

use postgres::{Client, SimpleQueryMessage, Statement};

use super::{Act, Expect, Login, Step};
use crate::Outcome;
use crate::layout::{Line, Paint};
use crate::place::Place;

/// More rows than this are cut off on the screen; all of them are checked.
const ROWS_SHOWN: usize = 4;

/// In every name, answer and detail of an organization's rows, before its code.
const CANARY: &str = "canary.";

/// What came back.
pub enum Answer {
    Rows { rows: Vec<Vec<String>>, touched: u64 },
    Error { code: String, message: String, detail: Option<String>, hint: Option<String> },
}

/// One connection per login, opened when it is first needed.
pub struct Actors<'a> {
    place: &'a Place,
    database: &'a str,
    clients: BTreeMap<Login, Client>,
    prepared: Option<Statement>,
    backend: Option<String>,
}

impl<'a> Actors<'a> {
    /// Nobody is connected yet.
    pub fn new(place: &'a Place, database: &'a str) -> Self {
        Self { place, database, clients: BTreeMap::new(), prepared: None, backend: None }
    }

    /// Sends a step; an error of the server's is an answer.
    pub fn perform(&mut self, step: &Step) -> Outcome<Answer> {
        let role = match step.login {
            Login::App => "app",
            Login::Superuser => "postgres",
        };
        if !self.clients.contains_key(&step.login) {
            self.clients.insert(step.login, self.place.connect(role, self.database)?);
        }
        let client = self.clients.get_mut(&step.login).ok_or("no connection")?;
        let result = match step.act {
            Act::Sql(text) => {
                client.simple_query(text).map(|messages| (texts(&messages), touched(&messages)))
            }
            Act::Prepare(text) => client.prepare(text).map(|statement| {
                self.prepared = Some(statement);
                (Vec::new(), 0)
            }),
            Act::Execute(id) => {
                let statement = self.prepared.as_ref().ok_or("nothing was prepared")?;
                let rows = client.query(statement, &[&id]);
                rows.map(|rows| (rows.iter().map(|row| vec![row.get::<_, String>(0)]).collect(), 0))
            }
        };
        let answer = result.map(|(rows, touched)| Answer::Rows { rows, touched });
        answer.or_else(|error| match error.as_db_error() {
            Some(said) => Ok(Answer::Error {
                code: said.code().code().to_owned(),
                message: said.message().to_owned(),
                detail: said.detail().map(str::to_owned),
                hint: said.hint().map(str::to_owned),
            }),
            None => Err(error.into()),
        })
    }

    /// Whether the answer is what the step expects; if not, in which way.
    pub fn judge(&mut self, step: &Step, answer: &Answer) -> Result<(), String> {
        let rows = match (answer, step.expect) {
            (Answer::Error { code, .. }, Expect::Refused(expected) | Expect::Oracle(expected, _)) => {
                let is_right = code == expected;
                return if is_right { Ok(()) } else { Err(format!("SQLSTATE {code} instead of {expected}")) };
            }
            (Answer::Error { code, .. }, _) => return Err(format!("error {code} where none should be")),
            (Answer::Rows { .. }, Expect::Refused(expected) | Expect::Oracle(expected, _)) => {
                return Err(format!("no error where {expected} should be"));
            }
            (Answer::Rows { rows, .. }, _) => rows,
        };
        let expected_canaries = match step.expect {
            Expect::Rows(org) | Expect::Leak(org) => BTreeSet::from([org]),
            // What is harmful may show whatever it likes.
            Expect::Harm(_) => return Ok(()),
            _ => BTreeSet::new(),
        };
        let found = canaries(rows);
        if found.iter().map(String::as_str).collect::<BTreeSet<_>>() != expected_canaries {
            return Err(format!("rows of {found:?} instead of {expected_canaries:?}"));
        }
        let first = rows.first().and_then(|row| row.first()).cloned().unwrap_or_default();
        match step.expect {
            Expect::Value(expected) if first != expected => Err(format!("{first:?} instead of {expected:?}")),
            Expect::SameBackend if *self.backend.get_or_insert(first.clone()) != first => {
                Err(format!("backend {first}, and it was another before"))
            }
            _ => Ok(()),
        }
    }

    /// Rolls back now rather than when the server notices that the connection is gone: a lock that is still
    /// held would stop the next scene.
    pub fn leave(self) {
        for (_, mut client) in self.clients {
            // The connection may be gone, and then so is its transaction.
            let _ = client.batch_execute("ROLLBACK");
            let _ = client.close();
        }
    }
}

impl Answer {
    /// As psql would say it, indented.
    pub fn lines(&self) -> Vec<Line> {
        match self {
            Self::Rows { rows, touched } => {
                // set_tenant() and the like return void: a row with nothing in it.
                let seen = rows.iter().filter(|row| row.iter().any(|field| !field.is_empty()));
                let mut lines: Vec<_> =
                    seen.map(|row| (Paint::Answer, format!("   {}", row.join(" | ")))).collect();
                let count = lines.len();
                if count == 0 {
                    let done = if *touched > 1 { format!("done, {touched} rows") } else { "done".to_owned() };
                    lines.push((Paint::Faint, format!("   {done}")));
                }
                if count > ROWS_SHOWN {
                    lines.truncate(ROWS_SHOWN);
                    lines.push((Paint::Faint, format!("   ... ({count} rows)")));
                }
                lines
            }
            Self::Error { code, message, detail, hint } => {
                let extra = [("DETAIL", detail), ("HINT", hint)];
                let extra = extra.into_iter().filter_map(|(name, text)| {
                    text.as_ref().map(|text| (Paint::Answer, format!("   {name}: {text}")))
                });
                std::iter::once((Paint::Answer, format!("   ERROR {code}: {message}"))).chain(extra).collect()
            }
        }
    }
}

fn texts(messages: &[SimpleQueryMessage]) -> Vec<Vec<String>> {
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let field = |text: Option<&str>| text.unwrap_or("(null)").to_owned();
    rows.map(|row| (0..row.len()).map(|i| field(row.get(i))).collect()).collect()
}

/// How many rows the last statement read or wrote.
fn touched(messages: &[SimpleQueryMessage]) -> u64 {
    let counts = messages.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
        _ => None,
    });
    counts.unwrap_or(0)
}

/// The organizations whose canary is anywhere in the rows.
fn canaries(rows: &[Vec<String>]) -> BTreeSet<String> {
    let fields = rows.iter().flatten();
    let after = fields.flat_map(|field| field.split(CANARY).skip(1));
    after.map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect()).collect()
}
