//! The command `plio`: asks a database that plio_tenancy protects what a DBA wants to know.
//!
//! One module a subcommand: its arguments (`Args`) and `run`, which prints and gives the verdict. `connect` finds the
//! server as psql does, `output` prints tables and JSON, `failure` says what went wrong. Nothing here decides
//! anything: every rule is the server's.
//!
//! Exit codes: 0 all is well; 1 the answer is bad (a critical finding); 2 there is no answer (usage, connection, the
//! server's error).

#![forbid(unsafe_code)]

mod audit;
mod connect;
mod denials;
mod failure;
mod health;
mod output;
mod page;
mod report;
mod selftest;
mod tenants;

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

use crate::failure::Result;

/// What an answer says about the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad,
}

/// Ask a database that plio_tenancy protects.
#[derive(Debug, Parser)]
// -h is the host, as in psql.
#[command(name = "plio", version, disable_help_flag = true, after_help = connect::HELP)]
struct Cli {
    #[command(flatten)]
    connect: connect::Options,
    /// Show this help
    #[arg(short = '?', long, global = true, action = ArgAction::Help)]
    help: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

// A new subcommand: a module, a line here, a line in `run`.
#[derive(Debug, Subcommand)]
enum Command {
    /// What crosses a boundary between tenants; exit code 1 when something critical does
    Audit(audit::Args),
    /// What was refused lately, and what is refused from now on
    Denials(denials::Args),
    /// Is this database protected? Exit code 1 when it is not
    Health(health::Args),
    /// One query in every tenant; exit code 1 when tenants are missing from the result
    Report(report::Args),
    /// Tries the known bypasses as this login role, through this connection; exit code 1 when one leaks
    Selftest(selftest::Args),
    /// The tenants of this database
    Tenants(tenants::Args),
}

impl Cli {
    fn run(&self) -> Result<Verdict> {
        let mut client = self.connect.open()?;
        match &self.command {
            Command::Audit(args) => audit::run(args, &mut client),
            Command::Denials(args) => denials::run(args, &mut client),
            Command::Health(args) => health::run(args, &mut client),
            Command::Report(args) => report::run(args, &mut client),
            Command::Selftest(args) => selftest::run(args, &mut client),
            Command::Tenants(args) => tenants::run(args, &mut client),
        }
    }
}

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        // Whoever read our output has had enough.
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("plio: error: {failure}");
            ExitCode::from(2)
        }
    }
}
