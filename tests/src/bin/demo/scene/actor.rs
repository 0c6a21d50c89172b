//! The connections of one side of a scene, and whether what comes back on them is as expected.

use std::collections::{BTreeMap, BTreeSet};

use postgres::{Client, Error, Statement};

use super::answer::{Answer, Rows};
use super::{Act, Expect, Login, Step};
use crate::Outcome;
use crate::place::Place;

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
        if !self.clients.contains_key(&step.login) {
            let client = self.place.connect(step.login.role(), self.database)?;
            self.clients.insert(step.login, client);
        }
        let client = self.clients.get_mut(&step.login).ok_or("no connection")?;
        match send(client, &mut self.prepared, step.act) {
            Ok(rows) => Ok(Answer::Rows(rows)),
            Err(error) => match error.as_db_error() {
                Some(said) => Ok(Answer::Error(Box::new(said.clone()))),
                None => Err(error.into()),
            },
        }
    }

    /// Whether the answer is what the step expects; if not, in which way.
    pub fn judge(&mut self, step: &Step, answer: &Answer) -> Result<(), String> {
        match (answer, step.expect) {
            (Answer::Error(error), Expect::Refused(expected) | Expect::Oracle(expected, _)) => {
                same("SQLSTATE", error.code().code(), expected)
            }
            (Answer::Error(error), _) => Err(format!("error {}, should be none", error.code().code())),
            (Answer::Rows(_), Expect::Refused(expected) | Expect::Oracle(expected, _)) => {
                Err(format!("no error, should be {expected}"))
            }
            (Answer::Rows(rows), expect) => self.judge_rows(expect, rows),
        }
    }

    fn judge_rows(&mut self, expect: Expect, rows: &Rows) -> Result<(), String> {
        let expected = match expect {
            Expect::Rows(org) | Expect::Leak(org) => BTreeSet::from([org]),
            // What is harmful may show whatever it likes.
            Expect::Harm(_) => return Ok(()),
            _ => BTreeSet::new(),
        };
        let found = rows.canaries();
        if found != expected {
            return Err(format!("rows of {found:?}, should be of {expected:?}"));
        }
        match expect {
            Expect::Value(expected) => same("value", rows.first(), expected),
            Expect::SameBackend => {
                let before = self.backend.get_or_insert_with(|| rows.first().to_owned());
                same("backend", rows.first(), before)
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

fn send(client: &mut Client, prepared: &mut Option<Statement>, act: Act) -> Result<Rows, Error> {
    match act {
        Act::Sql(text) => client.simple_query(text).map(|messages| Rows::of_messages(&messages)),
        Act::Prepare(text) => {
            *prepared = Some(client.prepare(text)?);
            Ok(Rows::default())
        }
        Act::Execute(id) => match prepared {
            Some(statement) => client.query(statement, &[&id]).map(|rows| Rows::of_rows(&rows)),
            // A scene that prepared nothing shows nothing, and so is not as expected.
            None => Ok(Rows::default()),
        },
    }
}

fn same(what: &str, found: &str, expected: &str) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} {found:?}, should be {expected:?}")) }
}
