//! Tables of statements: each runs in a transaction of its own that is rolled back, over the simple and the extended
//! protocol; what deviates is collected, so that one run shows every wrong line.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::Read;

use plio_tests::{Db, is_silent_about, psql};
use postgres::error::DbError;
use postgres::{Client, SimpleQueryMessage};

/// Words of bravo that nobody in acme may ever read in an error.
pub const BRAVOS: &[&str] = &["canary-bravo", "bravo"];

/// What a statement answered: its rows as `a|b`, or the server's error.
pub type Answer = Result<Vec<String>, Box<DbError>>;

/// Puts statements to one connection and remembers every answer that is not the expected one.
pub struct Judge<'a> {
    client: &'a mut Client,
    preamble: String,
    forbidden: Vec<String>,
    faults: Vec<String>,
}

impl<'a> Judge<'a> {
    /// Statements run inside `org`.
    pub fn inside(client: &'a mut Client, org: &str) -> Self {
        Self::after(client, &format!("SELECT plio.set_tenant('{org}')"))
    }

    /// Statements run with no tenant.
    pub fn outside(client: &'a mut Client) -> Self {
        Self::after(client, "")
    }

    /// Statements run after `preamble`, in the same transaction.
    pub fn after(client: &'a mut Client, preamble: &str) -> Self {
        let forbidden = BRAVOS.iter().map(|word| (*word).to_owned()).collect();
        Self { client, preamble: preamble.to_owned(), forbidden, faults: Vec::new() }
    }

    /// Other words that no error may hold.
    pub fn silent_about(mut self, words: &[&str]) -> Self {
        self.forbidden = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// The answers over both protocols; several statements, parted by `;` and a space, run over the simple one only.
    pub fn answers(&mut self, statement: &str) -> Vec<Answer> {
        let protocols: &[bool] = if statement.contains("; ") { &[false] } else { &[false, true] };
        protocols.iter().map(|extended| self.answer(statement, *extended)).collect()
    }

    fn answer(&mut self, statement: &str, extended: bool) -> Answer {
        self.client.batch_execute(&format!("BEGIN; {}", self.preamble)).unwrap_or_else(|error| {
            panic!("{}: {error:?}", self.preamble);
        });
        let answer = run(self.client, statement, extended);
        self.client.batch_execute("ROLLBACK").expect("ROLLBACK");
        if statement.starts_with("PREPARE p ") && answer.is_ok() {
            // Prepared inside a tenant it went with the tenant.
            drop(self.client.batch_execute("DEALLOCATE p"));
        }
        answer
    }

    /// It succeeds.
    pub fn allowed(&mut self, statement: &str) {
        for answer in self.answers(statement) {
            if let Err(error) = answer {
                self.faults.push(format!("should be allowed: {statement}\n    {}", short(&error)));
            }
        }
    }

    /// It succeeds with these rows.
    pub fn gives(&mut self, statement: &str, rows: &[&str]) {
        // The extended protocol's rows are not text: it counts as allowed or not only.
        let answers = self.answers(statement);
        match &answers[0] {
            Ok(found) if found == rows => {}
            other => self.faults.push(format!("should give {rows:?}: {statement}\n    {}", told(other))),
        }
        for answer in &answers[1..] {
            if let Err(error) = answer {
                self.faults.push(format!("should be allowed: {statement}\n    {}", short(error)));
            }
        }
    }

    /// We refuse it: SQLSTATE, style, hint, nothing of the foreign tenant.
    pub fn refused(&mut self, statement: &str, code: &str) {
        let forbidden = self.forbidden.clone();
        self.expect(statement, code, |error| {
            let hint = error.hint().unwrap_or_default();
            let is_ours = hint.ends_with('.') && !error.message().ends_with('.');
            is_ours && is_silent_about(error, &forbidden)
        });
    }

    /// PostgreSQL refuses it by itself: SQLSTATE, and nothing of the foreign tenant's data.
    pub fn denied(&mut self, statement: &str, code: &str) {
        self.expect(statement, code, |error| is_silent_about(error, &["canary-bravo".to_owned()]));
    }

    fn expect(&mut self, statement: &str, code: &str, is_right: impl Fn(&DbError) -> bool) {
        for answer in self.answers(statement) {
            if !answer.as_ref().is_err_and(|error| error.code().code() == code && is_right(error)) {
                self.faults
                    .push(format!("should be refused with {code}: {statement}\n    {}", told(&answer)));
            }
        }
    }
}

impl Drop for Judge<'_> {
    fn drop(&mut self) {
        if !self.faults.is_empty() && !std::thread::panicking() {
            panic!(
                "{} of the answers are wrong ({}):\n{}",
                self.faults.len(),
                self.preamble,
                self.faults.join("\n")
            );
        }
    }
}

/// COPY FROM STDIN inside `org`, rolled back: the SQLSTATE of its refusal. By psql, since the driver loses its place
/// when a COPY FROM is refused.
pub fn copy_from(db: &Db, role: &str, org: &str, target: &str, row: &str) -> Result<(), String> {
    let enter = if org.is_empty() { String::new() } else { format!("SELECT plio.set_tenant('{org}');") };
    let output =
        psql(db, role, &format!("BEGIN;\n{enter}\nCOPY {target} FROM STDIN;\n{row}\n\\.\nROLLBACK;\n"));
    match output.stderr.lines().find_map(|line| line.split("ERROR:  ").nth(1)) {
        None => Ok(()),
        Some(error) => {
            assert!(BRAVOS.iter().all(|word| !output.stderr.contains(word)), "{output:?}");
            Err(error[..5].to_owned())
        }
    }
}

/// Runs one statement; COPY TO STDOUT, too.
fn run(client: &mut Client, statement: &str, extended: bool) -> Answer {
    let answer = if statement.ends_with("TO STDOUT") {
        client.copy_out(statement).and_then(|mut reader| {
            let mut text = String::new();
            reader.read_to_string(&mut text).map_err(into_error)?;
            Ok(text.lines().map(str::to_owned).collect())
        })
    } else if extended {
        client.execute(statement, &[]).map(|_| Vec::new())
    } else {
        client.simple_query(statement).map(rows)
    };
    answer.map_err(|error| {
        Box::new(error.as_db_error().unwrap_or_else(|| panic!("{statement}: {error:?}")).clone())
    })
}

fn into_error(error: std::io::Error) -> postgres::Error {
    let inner = error.into_inner().expect("an error of the driver");
    *inner.downcast::<postgres::Error>().expect("an error of the driver")
}

fn rows(messages: Vec<SimpleQueryMessage>) -> Vec<String> {
    let text = |message: SimpleQueryMessage| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        let fields: Vec<&str> = (0..row.len()).map(|field| row.get(field).unwrap_or("NULL")).collect();
        Some(fields.join("|"))
    };
    messages.into_iter().filter_map(text).collect()
}

fn told(answer: &Answer) -> String {
    match answer {
        Ok(rows) => format!("it answered {rows:?}"),
        Err(error) => short(error),
    }
}

/// An error on one line.
pub fn short(error: &DbError) -> String {
    let mut text = format!("{} {}", error.code().code(), error.message());
    for (name, field) in [("DETAIL", error.detail()), ("HINT", error.hint()), ("WHERE", error.where_())] {
        if let Some(field) = field {
            text.push_str(&format!(" / {name}: {}", field.replace('\n', " ")));
        }
    }
    text
}
