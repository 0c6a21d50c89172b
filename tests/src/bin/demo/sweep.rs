//! After the story: does any organization hold a row that carries another's canary?
//!
//! Every name, answer and detail of the demo's rows ends with the code of the organization it was made for,
//! so a row in the wrong place betrays itself. Reads as a superuser with no tenant set.

use crate::Outcome;
use crate::place::Place;

/// Columns with a canary in each of their rows, or in none that a tenant wrote later.
const COLUMNS: [(&str, &str); 6] = [
    ("video", "title"),
    ("plio", "name"),
    ("question", "text"),
    ("tag", "name"),
    ("session_answer", "answer"),
    ("event", "details"),
];

/// What was looked through and what was found.
pub struct Strays {
    pub rows: u64,
    pub found: Vec<String>,
}

/// Looks through every tenant of the database `plio`.
pub fn strays(place: &Place) -> Outcome<Strays> {
    let mut superuser = place.connect("postgres", "plio")?;
    let mut strays = Strays { rows: 0, found: Vec::new() };
    for tenant in superuser.query("SELECT org, schema_name FROM plio.tenants ORDER BY org", &[])? {
        let (org, schema): (String, String) = (tenant.get(0), tenant.get(1));
        let mine = format!("canary.{org}");
        for (table, column) in COLUMNS {
            let text = format!("\"{column}\"::text");
            let row = superuser.query_one(
                &format!(
                    "SELECT count(*), count(*) FILTER (WHERE {text} ~ 'canary\\.'
                            AND replace({text}, $1, '') ~ 'canary\\.' OR {text} ~ ($1 || '[a-z0-9-]'))
                     FROM \"{schema}\".\"{table}\""
                ),
                &[&mine],
            )?;
            let (rows, foreign): (i64, i64) = (row.get(0), row.get(1));
            strays.rows += rows.unsigned_abs();
            if foreign > 0 {
                strays.found.push(format!("{schema}.{table}: {foreign} rows of somebody else's"));
            }
        }
    }
    Ok(strays)
}
