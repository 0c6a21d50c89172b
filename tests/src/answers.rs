//! Single answers as text: what most assertions compare.

use postgres::{Client, Error, SimpleQueryMessage};

/// The first column, of type text, of the only row.
#[track_caller]
pub fn first(client: &mut Client, query: &str) -> String {
    client.query_one(query, &[]).unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
}

/// The last row's first column, of whatever type, by the simple protocol: it needs no prepared statement. Empty without a row.
pub fn try_value(client: &mut Client, statements: &str) -> Result<String, Error> {
    let rows = client.simple_query(statements)?.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
        _ => None,
    });
    Ok(rows.last().unwrap_or_default())
}

/// The same of statements that must not fail.
#[track_caller]
pub fn value(client: &mut Client, statements: &str) -> String {
    try_value(client, statements).unwrap_or_else(|error| panic!("{statements}: {error:?}"))
}
