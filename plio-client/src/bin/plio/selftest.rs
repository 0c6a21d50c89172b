//! `plio selftest`: the known bypasses, tried through this very connection as this very login role.
//!
//! The server's `plio.selftest()` knows nothing of what stands between; so the connection is looked at here: whether the
//! statements of a transaction stay together, and whether the next transaction finds itself without a tenant.

use postgres::{Client, Transaction};
use serde_json::Value;

use crate::Verdict;
use crate::failure::Result;
use crate::output::{Answer, FormatOption};

const COLUMNS: &[&str] = &["attack", "verdict", "sqlstate", "detail"];

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show what leaked or could not be tried, nothing else
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    format: FormatOption,
}

/// Prints the rows of `plio.selftest()` and what the connection does to transactions.
pub fn run(args: &Args, client: &mut Client) -> Result<Verdict> {
    let mut rows = connection(client)?;
    for row in client.query("SELECT attack, verdict, sqlstate, detail FROM plio.selftest()", &[])? {
        rows.push([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?]);
    }
    let is_leak = |row: &[Option<String>; 4]| row[1].as_deref() == Some("LEAKED");
    let verdict = if rows.iter().any(is_leak) { Verdict::Bad } else { Verdict::Good };
    let mut answer = Answer::new(COLUMNS, "every attack was refused");
    rows.retain(|row| !args.quiet || row[1].as_deref() != Some("refused"));
    rows.into_iter().for_each(|row| answer.push(row.map(Value::from).to_vec()));
    answer.print(args.format.format)?;
    Ok(verdict)
}

/// Where a statement ran: the server process and the transaction.
#[derive(Debug, PartialEq, Eq)]
struct Seat {
    process: i32,
    transaction: String,
    tenant: Option<String>,
}

impl Seat {
    fn of(transaction: &mut Transaction<'_>) -> Result<Seat> {
        let query = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_current_xact_id()::text, plio.current_tenant()";
        let row = transaction.query_one(query, &[])?;
        Ok(Seat { process: row.try_get(0)?, transaction: row.try_get(1)?, tenant: row.try_get(2)? })
    }
}

fn connection(client: &mut Client) -> Result<Vec<[Option<String>; 4]>> {
    let mut transaction = client.transaction()?;
    let first = [Seat::of(&mut transaction)?, Seat::of(&mut transaction)?];
    transaction.commit()?;
    let mut transaction = client.transaction()?;
    let second = Seat::of(&mut transaction)?;
    transaction.rollback()?;
    Ok(judge(&first, &second))
}

/// Two statements of one transaction, and one of the next.
fn judge(first: &[Seat; 2], second: &Seat) -> Vec<[Option<String>; 4]> {
    let row = |attack: &str, leak: Option<&str>, note: Option<String>| {
        let verdict = if leak.is_some() { "LEAKED" } else { "refused" };
        [Some(attack.to_owned()), Some(verdict.to_owned()), None, leak.map(str::to_owned).or(note)]
    };
    let is_apart = first[0] != first[1];
    let is_one = first[0].transaction == second.transaction;
    let moves = first[0].process != second.process;
    let pooled = moves.then(|| "a pooler gives each transaction another server connection".to_owned());
    vec![
        row(
            "connection: a transaction that is taken apart",
            is_apart.then_some("two statements of one transaction ran in different ones: what stands between breaks transactions"),
            None,
        ),
        row(
            "connection: a transaction that does not end",
            is_one.then_some("the statement after COMMIT ran in the same transaction"),
            pooled,
        ),
        row(
            "connection: a tenant from before",
            second.tenant.is_some().then_some("a transaction begins inside a tenant that it did not set"),
            None,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(process: i32, transaction: &str) -> Seat {
        Seat { process, transaction: transaction.to_owned(), tenant: None }
    }

    fn leaks(first: [Seat; 2], second: Seat) -> usize {
        judge(&first, &second).iter().filter(|row| row[1].as_deref() == Some("LEAKED")).count()
    }

    #[test]
    fn a_direct_connection_and_a_pooler_in_transaction_mode_are_well() {
        assert_eq!(leaks([seat(1, "7"), seat(1, "7")], seat(1, "8")), 0);
        let pooled = judge(&[seat(1, "7"), seat(1, "7")], &seat(2, "8"));
        assert!(pooled.iter().all(|row| row[1].as_deref() == Some("refused")));
        assert!(pooled[1][3].as_deref().unwrap_or_default().contains("pooler"));
    }

    #[test]
    fn what_breaks_transactions_is_found() {
        assert_eq!(leaks([seat(1, "7"), seat(2, "8")], seat(1, "9")), 1);
        assert_eq!(leaks([seat(1, "7"), seat(1, "8")], seat(1, "9")), 1);
        assert_eq!(leaks([seat(1, "7"), seat(1, "7")], seat(1, "7")), 1);
        let tenant = Seat { tenant: Some("acme".to_owned()), ..seat(1, "8") };
        assert_eq!(leaks([seat(1, "7"), seat(1, "7")], tenant), 1);
    }
}
