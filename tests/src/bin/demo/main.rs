//! The demo: forty organizations in one PostgreSQL, with and without plio_tenancy.
//!
//! `start` builds a cluster that stays up, loads data that look like real life and tells a story whose every
//! line is a real statement with the server's real answer. It ends with an error when an answer is not the
//! expected one, so it is a test as well. `psql` opens a shell into the demo, `stop` removes it.

#![forbid(unsafe_code)]

mod layout;
mod load;
mod mistakes;
mod place;
mod progress;
mod scene;
mod server;
mod summary;
mod sweep;
mod usage;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use crate::place::Place;

/// What everything here returns: the demo only ever prints its errors.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
#[command(name = "demo", about = "Forty organizations in one PostgreSQL, with and without plio_tenancy")]
struct Args {
    /// PostgreSQL's major version, one of those below target/pg.
    #[arg(long, env = "PG", default_value = "18", global = true)]
    pg: String,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the demo, tell the story, leave the server running.
    Start,
    /// End the server and remove its files.
    Stop,
    /// A shell into the running demo, as the login role `app` unless told otherwise.
    Psql {
        /// Handed to psql.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("demo: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Outcome<ExitCode> {
    let place = Place::find()?;
    match &args.command {
        Command::Start => start(&place, &args.pg),
        Command::Stop => {
            let stopped = server::stop(&place)?;
            println!("{}", if stopped { "the demo is stopped and removed" } else { "no demo is running" });
            Ok(ExitCode::SUCCESS)
        }
        Command::Psql { args } => Err(server::psql(&place, args)),
    }
}

fn start(place: &Place, major: &str) -> Outcome<ExitCode> {
    let began = Instant::now();
    let screen = layout::Screen::detect();
    server::replace(place, &screen, major)?;
    let sizes = load::everything(place, &screen)?;
    let mut played = scene::play(place, &screen, &usage::scenes())?;
    played.extend(scene::play(place, &screen, &mistakes::scenes())?);
    let strays = sweep::strays(place)?;
    let took = began.elapsed();
    let differences = summary::show(&screen, &played) + summary::show_strays(&screen, &strays);
    summary::show_sizes(&sizes, took);
    summary::show_how_to_go_on(place, &screen);
    Ok(if differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The driver's own text says only "db error": what the server said is among the causes.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
