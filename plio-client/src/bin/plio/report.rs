//! `plio report`: one query in every tenant, the organization in front. The rows go to standard output, which tenants are
//! missing to standard error.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use postgres::Client;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::Verdict;
use crate::failure::{Failure, Result};
use crate::output::{self, visible};

const QUERY: &str = "SELECT org, r.\"row\"::text FROM plio._report_ordered($1, $2, $3) AS r";
const COVERAGE: &str =
    "SELECT org, outcome, sqlstate, message FROM plio.report_coverage() WHERE outcome <> 'counted'";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// One SELECT; it runs inside each tenant, so tables need no schema
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    query: Option<String>,
    /// Read the query from a file
    #[arg(long, short = 'f')]
    file: Option<PathBuf>,
    /// Only these tenants, parted by commas
    #[arg(long, value_delimiter = ',')]
    orgs: Option<Vec<String>>,
    /// Print what there is when tenants are suspended, drifted or failing
    #[arg(long)]
    allow_partial: bool,
    /// How to print the rows
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// Columns for a terminal
    #[default]
    Table,
    /// A list with an object for each row
    Json,
    /// Comma-separated values, as RFC 4180 has them
    Csv,
}

/// Prints the report; the verdict is bad when tenants are missing from it.
pub fn run(args: &Args, client: &mut Client) -> Result<Verdict> {
    let query = match (&args.query, &args.file) {
        (Some(query), _) => query.clone(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", file.display())))?,
        (None, None) => return Err(Failure::Usage("a report needs a query".to_owned())),
    };
    let found = client.query(QUERY, &[&query, &args.orgs, &args.allow_partial])?;
    let mut report = Rows::default();
    for row in found {
        report.push(row.try_get(0)?, row.try_get(1)?)?;
    }
    report.print(args.format)?;
    let mut verdict = Verdict::Good;
    for row in client.query(COVERAGE, &[])? {
        let (org, outcome): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (code, message): (Option<String>, Option<String>) = (row.try_get(2)?, row.try_get(3)?);
        let why = format!("{org} {outcome}: {} ({})", message.unwrap_or_default(), code.unwrap_or_default());
        eprintln!("plio: not in the report: {}", visible(&why));
        verdict = Verdict::Bad;
    }
    Ok(verdict)
}

/// An object's members as they are written: a map would keep one of two that have the same name.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// The rows, and the names of all their columns in the order of their first appearance.
#[derive(Debug, Default)]
struct Rows {
    columns: Vec<String>,
    rows: Vec<(String, serde_json::Map<String, Value>)>,
}

impl Rows {
    /// Takes a row, an object with the query's columns in their order.
    fn push(&mut self, org: String, row: &str) -> Result<()> {
        let Fields(fields) = serde_json::from_str(row)
            .map_err(|error| Failure::Usage(format!("cannot read a row of the report: {error}")))?;
        let mut row = serde_json::Map::new();
        for (column, value) in fields {
            if row.contains_key(&column) {
                let message =
                    format!("two columns of the query have the name \"{column}\": give them others with AS");
                return Err(Failure::Usage(message));
            }
            row.insert(column, value);
        }
        for column in row.keys().filter(|column| !self.columns.contains(column)).cloned().collect::<Vec<_>>()
        {
            self.columns.push(column);
        }
        self.rows.push((org, row));
        Ok(())
    }

    fn print(&self, format: Format) -> io::Result<()> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        match format {
            Format::Table => self.write_table(&mut out)?,
            Format::Json => self.write_json(&mut out)?,
            Format::Csv => self.write_csv(&mut out)?,
        }
        out.flush()
    }

    /// Each row's cells, the organization first.
    fn cells(&self) -> impl Iterator<Item = Vec<String>> {
        self.rows.iter().map(|(org, row)| {
            let cells = self.columns.iter().map(|column| text(row.get(column).unwrap_or(&Value::Null)));
            std::iter::once(org.clone()).chain(cells).collect()
        })
    }

    fn head(&self) -> Vec<String> {
        std::iter::once("org".to_owned()).chain(self.columns.iter().cloned()).collect()
    }

    fn write_table(&self, out: &mut impl Write) -> io::Result<()> {
        let shown = |cells: Vec<String>| cells.iter().map(|cell| visible(cell)).collect::<Vec<_>>();
        let lines: Vec<Vec<String>> = std::iter::once(self.head()).chain(self.cells()).map(shown).collect();
        output::write_table(out, &lines)
    }

    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(b"[")?;
        for (index, (org, row)) in self.rows.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let row = Value::Object(row.clone());
            write!(out, "{comma}\n  {{\"org\": {}, \"row\": {row}}}", Value::from(org.as_str()))?;
        }
        out.write_all(if self.rows.is_empty() { b"]\n" } else { b"\n]\n" })
    }

    fn write_csv(&self, out: &mut impl Write) -> io::Result<()> {
        std::iter::once(self.head()).chain(self.cells()).try_for_each(|cells| {
            let fields: Vec<String> = cells.iter().map(|cell| csv_field(cell)).collect();
            write!(out, "{}\r\n", fields.join(","))
        })
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&Rows, &mut Vec<u8>) -> io::Result<()>) -> String {
        let mut rows = Rows::default();
        rows.push("acme".to_owned(), r#"{"name": "a, \"b\"\u001b", "n": 1}"#).unwrap();
        rows.push("bravo".to_owned(), r#"{"n": null, "other": [1]}"#).unwrap();
        let mut out = Vec::new();
        write(&rows, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn two_columns_of_one_name_are_not_one() {
        let mut rows = Rows::default();
        assert!(rows.push("acme".to_owned(), r#"{"a": 1, "a": 2}"#).is_err());
        assert!(rows.push("acme".to_owned(), "[1]").is_err());
    }

    #[test]
    fn rows_are_written_as_table_json_and_csv() {
        let table = written(|rows, out| rows.write_table(out));
        assert!(table.starts_with("org    name"), "{table}");
        assert!(table.contains("\\u{1b}") && !table.contains('\u{1b}'), "{table}");
        let csv = written(|rows, out| rows.write_csv(out));
        assert_eq!(csv, "org,name,n,other\r\nacme,\"a, \"\"b\"\"\u{1b}\",1,\r\nbravo,,,[1]\r\n");
        let json: Value = serde_json::from_str(&written(|rows, out| rows.write_json(out))).unwrap();
        assert_eq!(json[1], serde_json::json!({ "org": "bravo", "row": { "n": null, "other": [1] } }));
    }
}
