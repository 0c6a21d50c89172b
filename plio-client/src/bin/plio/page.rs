//! `plio audit --html FILE`: one page to look at, with nothing fetched from anywhere and no script: tenants, findings,
//! denials over time, sizes as bars.
//!
//! Names are whatever somebody managed to call a schema: everything goes through [`markup::Html::text`]. What the
//! database does not have (a view of a newer version, a privilege) is said in its section.

mod charts;
mod markup;

use std::path::Path;

use postgres::Client;

use self::charts::{Bar, bars, timeline};
use self::markup::Html;
use crate::Verdict;
use crate::failure::{Failure, Result};

const FINDINGS: &str = "SELECT severity, check_name, coalesce(org, ''), coalesce(object, ''), coalesce(detail, ''), coalesce(fix, '')
                          FROM plio.audit('info')";
const HEALTH: &str =
    "SELECT severity, finding, '', '', coalesce(detail, ''), coalesce(fix, '') FROM plio.health()";
const TENANTS: &str =
    "SELECT org, status, schema_name, coalesce(role_name, ''), to_char(created_at, 'YYYY-MM-DD')
                         FROM plio.tenants ORDER BY org";
const SIZES: &str = "SELECT org, table_bytes::int8, index_bytes::int8, toast_bytes::int8, live_rows::int8
                       FROM plio.stat_tenants ORDER BY table_bytes + index_bytes + toast_bytes DESC, org LIMIT 40";
/// The ring's and the table's, each once: the newest may be in the ring alone.
const KEPT: &str = "WITH kept AS (
    SELECT at, denial_id, kind, org, login_role, sqlstate, coalesce((to_jsonb(d) ->> 'times')::bigint, 1) AS times FROM plio.denials d
    UNION SELECT at, denial_id, kind, org, login_role, sqlstate, coalesce((to_jsonb(d) ->> 'times')::bigint, 1) FROM plio.denials_history d)";
const TIMES: &str = "SELECT extract(epoch FROM at)::float8, extract(epoch FROM now())::float8, (sum(times) OVER ())::bigint FROM kept ORDER BY at";
const DENIED: &str = "SELECT kind, coalesce(org, 'no tenant'), login_role, sqlstate, sum(times)::text, to_char(max(at), 'YYYY-MM-DD HH24:MI')
                        FROM kept GROUP BY 1, 2, 3, 4 ORDER BY sum(times) DESC, 1, 2, 3 LIMIT 20";

/// Writes the page; the verdict is bad when something critical was found.
pub fn write(file: &Path, client: &mut Client) -> Result<Verdict> {
    let (page, verdict) = page(client)?;
    std::fs::write(file, page)
        .map_err(|error| Failure::Usage(format!("cannot write {}: {error}", file.display())))?;
    Ok(verdict)
}

fn page(client: &mut Client) -> Result<(String, Verdict)> {
    let row = client.query_one("SELECT current_database(), to_char(now(), 'YYYY-MM-DD HH24:MI TZ'), current_setting('server_version')", &[])?;
    let (database, at, version): (String, String, String) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let mut html = Html::page(&format!("plio_tenancy: {database}"));
    html.open("header").element("h1", &format!("Tenants of {database}"));
    html.element("p", &format!("{at}, PostgreSQL {version}"));
    let findings = findings(client)?;
    let critical = findings.rows.iter().filter(|row| row[0] == "critical").count();
    let (class, said) = match critical {
        0 => ("good", "nothing critical was found".to_owned()),
        1 => ("critical", "1 critical finding".to_owned()),
        n => ("critical", format!("{n} critical findings")),
    };
    html.classed("p", &format!("verdict {class}"), &said).close("header");
    section_of_findings(&mut html, &findings);
    section_of_denials(&mut html, client)?;
    section_of_sizes(&mut html, client)?;
    section_of_tenants(&mut html, client)?;
    Ok((html.end(), if critical == 0 { Verdict::Good } else { Verdict::Bad }))
}

/// The rows of a query, all of them texts.
struct Texts {
    rows: Vec<Vec<String>>,
    /// What the section lacks, and why.
    missing: Option<String>,
}

fn texts(client: &mut Client, query: &str) -> Result<Vec<Vec<String>>> {
    let row = |row: postgres::Row| {
        (0..row.len()).map(|i| row.try_get(i)).collect::<std::result::Result<Vec<String>, _>>()
    };
    Ok(client.query(query, &[])?.into_iter().map(row).collect::<std::result::Result<_, _>>()?)
}

/// Whether this version of the extension has it, by the catalog.
fn has(client: &mut Client, relation: &str) -> Result<bool> {
    Ok(client.query_one("SELECT to_regclass($1::text) IS NOT NULL", &[&relation])?.try_get(0)?)
}

fn findings(client: &mut Client) -> Result<Texts> {
    let has_audit = "SELECT EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
                                     WHERE n.nspname = 'plio' AND p.proname = 'audit')";
    if client.query_one(has_audit, &[])?.try_get(0)? {
        return Ok(Texts { rows: texts(client, FINDINGS)?, missing: None });
    }
    let missing = "This database's version of the extension has no plio.audit(): these are the findings of plio.health() alone.";
    Ok(Texts { rows: texts(client, HEALTH)?, missing: Some(missing.to_owned()) })
}

fn section_of_findings(html: &mut Html, findings: &Texts) {
    html.open("section").element("h2", "Findings");
    if let Some(missing) = &findings.missing {
        html.classed("p", "missing", missing);
    }
    if findings.rows.is_empty() {
        html.element("p", "None.");
    } else {
        html.table(
            &["severity", "check", "tenant", "object", "what is wrong", "what mends it"],
            &findings.rows,
            Some(0),
        );
    }
    html.close("section");
}

fn section_of_denials(html: &mut Html, client: &mut Client) -> Result<()> {
    html.open("section").element("h2", "Denials");
    if has(client, "plio.denials")? && has(client, "plio.denials_history")? {
        let rows = client.query(&format!("{KEPT} {TIMES}"), &[])?;
        let times: Vec<f64> = rows.iter().map(|row| row.try_get(0)).collect::<std::result::Result<_, _>>()?;
        match rows.last() {
            Some(last) => {
                html.element("p", &format!("{} are remembered.", last.try_get::<_, i64>(2)?));
                timeline(html, &times, last.try_get(1)?);
                html.table(
                    &["what", "tenant", "login role", "SQLSTATE", "times", "last"],
                    &texts(client, &format!("{KEPT} {DENIED}"))?,
                    None,
                );
            }
            None => {
                html.element(
                    "p",
                    "None is remembered. Without shared_preload_libraries they are in the server's log only.",
                );
            }
        }
    } else {
        html.classed("p", "missing", "This database's version of the extension has no plio.denials.");
    }
    html.close("section");
    Ok(())
}

fn section_of_sizes(html: &mut Html, client: &mut Client) -> Result<()> {
    html.open("section").element("h2", "Sizes");
    if has(client, "plio.stat_tenants")? {
        let mut all = Vec::new();
        for row in client.query(SIZES, &[])? {
            let part = |i| row.try_get::<_, Option<i64>>(i).map(Option::unwrap_or_default);
            let parts = [part(1)?, part(2)?, part(3)?];
            all.push(Bar { label: row.try_get(0)?, parts, rows: part(4)? });
        }
        html.element(
            "p",
            "The 40 largest tenants: tables, indexes, TOAST, as of the last VACUUM or ANALYZE.",
        );
        bars(html, &all);
    } else {
        html.classed("p", "missing", "This database's version of the extension has no plio.stat_tenants.");
    }
    html.close("section");
    Ok(())
}

fn section_of_tenants(html: &mut Html, client: &mut Client) -> Result<()> {
    let tenants = texts(client, TENANTS)?;
    html.open("section").element("h2", &format!("Tenants ({})", tenants.len()));
    html.table(&["organization", "status", "schema", "role", "since"], &tenants, Some(1));
    html.close("section");
    Ok(())
}
