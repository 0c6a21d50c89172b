//! `plio health`: is this database protected?

use plio_client::Severity;
use plio_client::blocking::Admin;
use postgres::Client;

use crate::Verdict;
use crate::failure::Result;
use crate::output::{Answer, FormatOption};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    format: FormatOption,
}

/// Prints what `plio.health()` finds.
pub fn run(args: &Args, client: &mut Client) -> Result<Verdict> {
    let findings = Admin::new(client).health()?;
    let mut answer = Answer::new(&["severity", "finding", "detail", "fix"], "nothing to say");
    let mut verdict = Verdict::Good;
    for finding in findings {
        if finding.severity == Severity::Critical {
            verdict = Verdict::Bad;
        }
        answer.push(vec![
            finding.severity.as_str().into(),
            finding.finding.into(),
            finding.detail.into(),
            finding.fix.into(),
        ]);
    }
    answer.print(args.format.format)?;
    Ok(verdict)
}
