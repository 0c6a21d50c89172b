//! What the server answers: rows or an error, how it is shown, whose rows they are.

use std::collections::BTreeSet;
use std::iter::once;

use postgres::error::DbError;
use postgres::{Row, SimpleQueryMessage};

use crate::layout::{Line, Paint};

/// More rows than this are cut off on the screen; all of them are checked.
const ROWS_SHOWN: usize = 4;

/// In every name, answer and detail of an organization's rows, before its code.
const CANARY: &str = "canary.";

/// What came back.
pub enum Answer {
    Rows(Rows),
    Error(Box<DbError>),
}

/// A success.
#[derive(Default)]
pub struct Rows {
    rows: Vec<Vec<String>>,
    /// How many rows the last statement read or wrote.
    touched: u64,
}

impl Rows {
    /// Of a simple query.
    pub fn of_messages(messages: &[SimpleQueryMessage]) -> Self {
        let mut answer = Self::default();
        for message in messages {
            match message {
                SimpleQueryMessage::Row(row) => {
                    let field = |i| row.get(i).unwrap_or("(null)").to_owned();
                    answer.rows.push((0..row.len()).map(field).collect());
                }
                SimpleQueryMessage::CommandComplete(rows) => answer.touched = *rows,
                _ => {}
            }
        }
        answer
    }

    /// Of a prepared statement, which in this story has one column of text.
    pub fn of_rows(rows: &[Row]) -> Self {
        let rows = rows.iter().map(|row| vec![row.get(0)]).collect();
        Self { rows, touched: 0 }
    }

    /// The first field of the first row; empty when there is none.
    pub fn first(&self) -> &str {
        let first = self.rows.first().and_then(|row| row.first());
        first.map_or("", String::as_str)
    }

    /// The organizations whose canary is anywhere in the rows.
    pub fn canaries(&self) -> BTreeSet<&str> {
        let fields = self.rows.iter().flatten();
        let after = fields.flat_map(|field| field.split(CANARY).skip(1));
        let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '-';
        after.map(|rest| rest.split(is_end).next().unwrap_or(rest)).collect()
    }

    fn lines(&self) -> Vec<Line> {
        // set_tenant() and the like return void: a row with nothing in it.
        let is_seen = |row: &&Vec<String>| row.iter().any(|field| !field.is_empty());
        let seen: Vec<_> = self.rows.iter().filter(is_seen).collect();
        if seen.is_empty() {
            let rows = if self.touched > 1 { format!(", {} rows", self.touched) } else { String::new() };
            return vec![(Paint::Faint, format!("   done{rows}"))];
        }
        let shown = seen.iter().take(ROWS_SHOWN);
        let mut lines: Vec<_> = shown.map(|row| (Paint::Answer, format!("   {}", row.join(" | ")))).collect();
        if seen.len() > ROWS_SHOWN {
            lines.push((Paint::Faint, format!("   ... ({} rows)", seen.len())));
        }
        lines
    }
}

impl Answer {
    /// As psql would say it, indented.
    pub fn lines(&self) -> Vec<Line> {
        let error = match self {
            Self::Rows(rows) => return rows.lines(),
            Self::Error(error) => error,
        };
        let extra = [("DETAIL", error.detail()), ("HINT", error.hint())];
        let extra = extra.into_iter().filter_map(|(name, text)| Some(format!("   {name}: {}", text?)));
        let head = format!("   ERROR {}: {}", error.code().code(), error.message());
        once(head).chain(extra).map(|text| (Paint::Answer, text)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(fields: &[&str]) -> Rows {
        Rows {
            rows: fields.iter().map(|field| vec!["1".to_owned(), (*field).to_owned()]).collect(),
            touched: 0,
        }
    }

    #[test]
    fn canaries_are_found_wherever_they_are() {
        let found = rows(&["Film 1 canary.banyan", r#"{"canary": "canary.new-horizons"}"#, "(null)"]);
        assert_eq!(found.canaries(), BTreeSet::from(["banyan", "new-horizons"]));
        assert!(rows(&["no birds"]).canaries().is_empty());
    }
}
