//! Answers as a table for people or as JSON for programs.
//!
//! Names and texts come from whoever may create objects in the database, so nothing in them reaches the terminal that
//! it would act upon.

use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::Value;

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for a terminal
    #[default]
    Table,
    /// A list with an object for each row
    Json,
}

/// The option that every subcommand with an answer in rows has.
#[derive(Debug, clap::Args)]
pub struct FormatOption {
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Rows with named columns.
#[derive(Debug)]
pub struct Answer {
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
    /// What a table without rows says instead.
    nothing: &'static str,
}

impl Answer {
    pub fn new(columns: &'static [&'static str], nothing: &'static str) -> Answer {
        Answer { columns, rows: Vec::new(), nothing }
    }

    /// Adds a row: a value for each column.
    pub fn push(&mut self, row: Vec<Value>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// Prints it to standard output.
    pub fn print(&self, format: Format) -> io::Result<()> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        match format {
            Format::Table => self.write_table(&mut out)?,
            Format::Json => self.write_json(&mut out)?,
        }
        out.flush()
    }

    fn write_table(&self, out: &mut impl Write) -> io::Result<()> {
        if self.rows.is_empty() {
            return writeln!(out, "{}", self.nothing);
        }
        let head = self.columns.iter().map(|column| (*column).to_owned()).collect();
        let rows = self.rows.iter().map(|row| row.iter().map(cell).collect());
        write_table(out, &std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }

    /// A list, an object a line, the columns in their order.
    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(b"[")?;
        for (index, row) in self.rows.iter().enumerate() {
            out.write_all(if index == 0 { b"\n  {" } else { b",\n  {" })?;
            for (index, (column, value)) in self.columns.iter().zip(row).enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(out, "{comma}{}: {value}", Value::from(*column))?;
            }
            out.write_all(b"}")?;
        }
        out.write_all(if self.rows.is_empty() { b"]\n" } else { b"\n]\n" })
    }
}

/// Aligned columns below their heads, the first line; the last column is as long as it is. Every line has as many cells.
pub fn write_table(out: &mut impl Write, lines: &[Vec<String>]) -> io::Result<()> {
    let width = |cell: &String| cell.chars().count();
    let columns = lines.first().map_or(0, Vec::len);
    let widest = |column| lines.iter().filter_map(|line| line.get(column)).map(width).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(widest).collect();
    for (index, line) in lines.iter().enumerate() {
        let mut text = String::new();
        for (cell, widest) in line.iter().zip(&widths) {
            text.push_str(cell);
            // Not by `format!`, whose widths end at 65,535.
            text.extend(std::iter::repeat_n(' ', widest - width(cell) + 2));
        }
        writeln!(out, "{}", text.trim_end())?;
        if index == 0 {
            let rule = widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>();
            writeln!(out, "{}", rule.join("  "))?;
        }
    }
    Ok(())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => visible(text),
        other => visible(&other.to_string()),
    }
}

/// The text with every control character written out, those that turn the writing direction included.
pub fn visible(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            c if c.is_control() || turns(c) => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        let mut answer = Answer::new(&["org", "detail"], "nothing");
        answer.push(vec!["acme".into(), "two\nlines \u{1b}[2J".into()]);
        answer.push(vec![Value::Null, serde_json::json!({"a": 1})]);
        answer
    }

    fn text(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_is_aligned_and_harmless() {
        assert_eq!(
            text(|out| answer().write_table(out)),
            "org   detail\n----  --------------------\nacme  two\\nlines \\u{1b}[2J\n      {\"a\":1}\n"
        );
        assert_eq!(text(|out| Answer::new(&["org"], "none at all").write_table(out)), "none at all\n");
    }

    #[test]
    fn a_cell_may_be_of_any_length() {
        let long = "x".repeat(70_000);
        let mut answer = Answer::new(&["org", "detail"], "nothing");
        answer.push(vec![long.as_str().into(), "a".into()]);
        answer.push(vec!["acme".into(), "b".into()]);
        let printed = text(|out| answer.write_table(out));
        assert!(printed.contains(&format!("\n{long}  a\n")) && printed.ends_with("  b\n"));
    }

    #[test]
    fn json_is_json_with_the_columns_in_order() {
        let printed = text(|out| answer().write_json(out));
        assert!(printed.contains("{\"org\": \"acme\", \"detail\": "), "{printed}");
        let rows: Vec<Value> = serde_json::from_str(&printed).unwrap();
        assert_eq!(rows[0]["detail"], "two\nlines \u{1b}[2J");
        assert_eq!(rows[1], serde_json::json!({"org": null, "detail": {"a": 1}}));
        assert_eq!(text(|out| Answer::new(&["org"], "").write_json(out)), "[]\n");
    }
}
