//! `plio tenants`: the registry.

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

/// Prints the tenants.
pub fn run(args: &Args, client: &mut Client) -> Result<Verdict> {
    let columns = &["org", "schema_name", "role_name", "status", "created_at", "settings"];
    let mut answer = Answer::new(columns, "no tenants");
    for tenant in Admin::new(client).list()? {
        answer.push(vec![
            tenant.org.as_str().into(),
            tenant.schema_name.into(),
            tenant.role_name.into(),
            tenant.status.as_str().into(),
            tenant.created_at.into(),
            tenant.settings,
        ]);
    }
    answer.print(args.format.format)?;
    Ok(Verdict::Good)
}
