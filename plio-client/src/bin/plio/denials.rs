//! `plio denials`: what was refused lately; with `--follow` also what is refused from now on, until the reader or
//! Ctrl-C ends it.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use postgres::{Client, Row};
use serde_json::Value;

use crate::Verdict;
use crate::failure::{Failure, Result};
use crate::output::{Answer, Format, FormatOption, visible};

const COLUMNS: &[&str] = &[
    "denial_id",
    "at",
    "login_role",
    "pid",
    "session_id",
    "org",
    "kind",
    "enforced",
    "sqlstate",
    "query_id",
    "message",
    "times",
    "last_at",
];
/// With the ids after $1. How often is not said before 0.2.0. Times as the session's time zone writes them, query ids as texts: JSON numbers are too small.
const QUERY: &str = "SELECT denial_id, at::text, login_role, pid, session_id, org, kind, enforced, sqlstate,
        query_id::text, message, coalesce((to_jsonb(d) ->> 'times')::bigint, 1), (to_jsonb(d) ->> 'last_at')::timestamptz::text
   FROM plio.denials d WHERE denial_id > $1 AND ($2::text IS NULL OR org = $2) ORDER BY denial_id";
/// The same of the table, by time: over restarts with another clock, ids are in no order.
const HISTORY: &str = "SELECT denial_id, at::text, login_role, pid, session_id, org, kind, enforced, sqlstate,
        query_id::text, message, coalesce((to_jsonb(d) ->> 'times')::bigint, 1), (to_jsonb(d) ->> 'last_at')::timestamptz::text
   FROM plio.denials_history d WHERE denial_id > $1 AND ($2::text IS NULL OR org = $2) ORDER BY d.at, denial_id";
/// An id is given before the row can be read: so many of the ids before the last one are looked at again.
const OVERLAP: i64 = 256;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Go on printing denials as they come
    #[arg(long)]
    follow: bool,
    /// Print what was written to plio.denials_history instead
    #[arg(long, conflicts_with = "follow")]
    history: bool,
    /// Seconds between two looks with --follow, 0.1 to 60
    #[arg(long, default_value_t = 1.0, value_parser = parse_interval)]
    interval: f64,
    /// Show those of one tenant
    #[arg(long)]
    org: Option<String>,
    #[command(flatten)]
    format: FormatOption,
}

fn parse_interval(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("0.1 to 60 seconds".to_owned()),
    }
}

/// Prints what `plio.denials` has.
pub fn run(args: &Args, client: &mut Client) -> Result<Verdict> {
    if args.follow {
        follow(args, client)?;
        return Ok(Verdict::Good);
    }
    let mut answer = Answer::new(COLUMNS, "no denials (health says whether they are kept)");
    let query = if args.history { HISTORY } else { QUERY };
    for row in client.query(query, &[&0_i64, &args.org])? {
        answer.push(values(&row)?);
    }
    answer.print(args.format.format)?;
    Ok(Verdict::Good)
}

fn values(row: &Row) -> Result<Vec<Value>> {
    let mut values = Vec::with_capacity(COLUMNS.len());
    for (index, column) in COLUMNS.iter().enumerate() {
        values.push(match *column {
            "denial_id" | "times" => row.try_get::<_, i64>(index)?.into(),
            "pid" => row.try_get::<_, i32>(index)?.into(),
            "enforced" => row.try_get::<_, bool>(index)?.into(),
            _ => row.try_get::<_, Option<String>>(index)?.into(),
        });
    }
    Ok(values)
}

/// Prints a line for each denial, those that are there first; one that happens again within a minute is not printed again. Ends when nobody reads on, or with the process.
fn follow(args: &Args, client: &mut Client) -> Result<()> {
    if client
        .query_one("SELECT count(*) FROM plio._shared_totals() WHERE ring_size > 0", &[])?
        .try_get::<_, i64>(0)?
        == 0
    {
        return Err(Failure::Usage(
            "denials are in the server's log alone: plio_tenancy is not in shared_preload_libraries, or plio.denials_ring_size is 0".to_owned(),
        ));
    }
    let mut seen: BTreeSet<i64> = BTreeSet::new();
    loop {
        let after = seen.last().map_or(0, |last| last - OVERLAP);
        for row in client.query(QUERY, &[&after, &args.org])? {
            if seen.insert(row.try_get(0)?) {
                print_line(&values(&row)?, args.format.format)?;
            }
        }
        if let Some(last) = seen.last().copied() {
            seen = seen.split_off(&(last - OVERLAP));
        }
        if is_reader_gone() {
            return Ok(());
        }
        thread::sleep(Duration::from_secs_f64(args.interval));
    }
}

/// One denial: an object, or `key=value` as in the server's log.
fn print_line(values: &[Value], format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let pairs = COLUMNS.iter().zip(values);
    let line = match format {
        Format::Json => {
            let members: Vec<String> =
                pairs.map(|(name, value)| format!("{}: {value}", Value::from(*name))).collect();
            format!("{{{}}}", members.join(", "))
        }
        Format::Table => {
            let shown = pairs.filter(|(_, value)| !value.is_null()).map(|(name, value)| match value {
                Value::String(text) if text.contains([' ', '"', '=']) => {
                    format!("{name}={}", visible(&value.to_string()))
                }
                Value::String(text) => format!("{name}={}", visible(text)),
                other => format!("{name}={other}"),
            });
            shown.collect::<Vec<_>>().join(" ")
        }
    };
    writeln!(out, "{line}")?;
    out.flush()
}

/// Whether nobody reads standard output any more, though nothing is to be written: `plio denials --follow | head -1`
/// must end without a further denial. Writing nothing tells nothing, so this asks the system.
fn is_reader_gone() -> bool {
    let stdout = io::stdout();
    let mut ask = [rustix::event::PollFd::new(&stdout, rustix::event::PollFlags::empty())];
    // A pipe or socket without a reader is in error whatever is asked for.
    let no_wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut ask, Some(&no_wait)).is_ok()
        && ask[0].revents().intersects(rustix::event::PollFlags::ERR | rustix::event::PollFlags::HUP)
}
