//! `plio audit`: what crosses a boundary between tenants. Exit code 1 when something critical does: for a CI job.

use std::path::PathBuf;

use clap::ValueEnum;
use postgres::Client;
use serde_json::Value;

use crate::failure::Result;
use crate::output::{Answer, FormatOption};
use crate::{Verdict, page};

const COLUMNS: &[&str] = &["severity", "check_name", "org", "object", "detail", "fix"];
const QUERY: &str = "SELECT severity, check_name, org, object, detail, fix FROM plio.audit($1)";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show what is at least so bad
    #[arg(long, value_enum, default_value_t)]
    severity: AtLeast,
    #[command(flatten)]
    format: FormatOption,
    /// Write a page to look at instead: tenants, findings, denials, sizes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["severity", "format"])]
    html: Option<PathBuf>,
}

/// The least severity that is shown.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum AtLeast {
    Critical,
    Warning,
    #[default]
    Info,
}

impl AtLeast {
    fn as_str(self) -> &'static str {
        match self {
            AtLeast::Critical => "critical",
            AtLeast::Warning => "warning",
            AtLeast::Info => "info",
        }
    }
}

/// Prints what `plio.audit()` finds.
pub fn run(args: &Args, client: &mut Client) -> Result<Verdict> {
    if let Some(file) = &args.html {
        return page::write(file, client);
    }
    let rows = client.query(QUERY, &[&args.severity.as_str()])?;
    let mut answer = Answer::new(COLUMNS, "no findings");
    let mut verdict = Verdict::Good;
    for row in rows {
        if row.try_get::<_, &str>(0)? == "critical" {
            verdict = Verdict::Bad;
        }
        let cells =
            (0..COLUMNS.len()).map(|column| row.try_get::<_, Option<String>>(column).map(Value::from));
        answer.push(cells.collect::<std::result::Result<_, _>>()?);
    }
    answer.print(args.format.format)?;
    Ok(verdict)
}
