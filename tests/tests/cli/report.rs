//! `plio report`, and the page of `plio audit --html`, which a real browser must show.

use plio_tests::{Cluster, SUPERUSER, TwoTenants, neighbour};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::program::plio_as;

fn fixture(name: &str) -> (TwoTenants, String) {
    let tenants = Cluster::shared().database(name).two_tenants();
    let reporter = tenants.db.login_role("reporter");
    tenants.db.superuser().batch_execute(&format!("GRANT plio_reporter TO {reporter}")).unwrap();
    (tenants, reporter)
}

#[test]
fn a_report_is_printed_and_what_is_missing_is_said() {
    let (tenants, reporter) = fixture("cli_report");
    let db = &tenants.db;
    let query = "SELECT id, name FROM users WHERE id = 1";
    let csv = plio_as(db, &reporter, &["report", query, "--format", "csv"]);
    assert_eq!((csv.code, csv.stderr.as_str()), (Some(0), ""));
    assert_eq!(csv.stdout, "org,id,name\r\nacme,1,canary-acme\r\nbravo,1,canary-bravo\r\n");
    let table = plio_as(db, &reporter, &["report", query, "--orgs", "bravo"]);
    assert_eq!(table.stdout, "org    id  name\n-----  --  ------------\nbravo  1   canary-bravo\n");
    // The query's order of columns, which is not jsonb's.
    let turned =
        "SELECT name AS zz, 1234567890123456789.50 AS b, id AS aaa, NULL AS mm FROM users WHERE id = 1";
    let csv = plio_as(db, &reporter, &["report", turned, "--orgs", "acme", "--format", "csv"]);
    assert_eq!(csv.stdout, "org,zz,b,aaa,mm\r\nacme,canary-acme,1234567890123456789.50,1,\r\n");
    let json = plio_as(db, &reporter, &["report", turned, "--orgs", "acme", "--format", "json"]);
    assert!(
        json.stdout.contains(r#"{"zz":"canary-acme","b":1234567890123456789.50,"aaa":1,"mm":null}"#),
        "{json:?}"
    );
    db.superuser().batch_execute("SELECT plio.suspend_tenant('acme')").unwrap();
    let refused = plio_as(db, &reporter, &["report", query]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    assert!(
        refused.stderr.contains("report covers 1 of 2 tenants") && refused.stderr.contains("acme suspended"),
        "{refused:?}"
    );
    let file = db.cluster().data_dir().join("query.sql");
    std::fs::write(&file, format!("-- a comment\n{query};\n")).unwrap();
    let partial = plio_as(
        db,
        &reporter,
        &["report", "--file", &file.to_string_lossy(), "--allow-partial", "--format", "json"],
    );
    assert_eq!(partial.code, Some(1), "{partial:?}");
    assert_eq!(
        partial.rows(),
        [serde_json::json!({ "org": "bravo", "row": { "id": 1, "name": "canary-bravo" } })]
    );
    assert!(partial.stderr.contains("not in the report: acme suspended"), "{partial:?}");
    let carol = plio_as(db, &tenants.carol, &["report", query]);
    assert_eq!(carol.code, Some(2));
    assert!(!carol.stderr.contains("canary"), "{carol:?}");
}

/// A page about hostile names, written by the real program.
fn page(name: &str) -> (PathBuf, String) {
    let (tenants, _) = fixture(name);
    let mut admin = tenants.db.superuser();
    admin
        .batch_execute("SELECT plio.create_tenant('hostile', '<script>document.title=1</script>\"''&'); SELECT plio.create_tenant('closed'); SELECT plio.suspend_tenant('closed')")
        .unwrap();
    admin
        .batch_execute(
            "SET plio.enforcement = off; ALTER EVENT TRIGGER plio_sql_drop DISABLE; RESET plio.enforcement",
        )
        .unwrap();
    let file = tenants.db.cluster().data_dir().parent().unwrap().join(format!("{name}.html"));
    let run = plio_as(&tenants.db, SUPERUSER, &["audit", "--html", &file.to_string_lossy()]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(1), "", ""), "a critical finding");
    let text = std::fs::read_to_string(&file).unwrap();
    (file, text)
}

#[test]
fn the_page_escapes_every_name_and_loads_nothing() {
    let (_, page) = page("cli_page");
    assert!(page.contains("&lt;script&gt;document.title=1&lt;/script&gt;&quot;&#39;&amp;"), "{page}");
    assert!(!page.to_lowercase().contains("<script"), "{page}");
    for word in ["http://", "https://", "src=", "href=", "@import", "url(", "canary"] {
        assert!(!page.contains(word), "{word}");
    }
    for heading in ["Findings", "Denials", "Sizes", "Tenants (4)"] {
        assert!(page.contains(&format!("<h2>{heading}</h2>")), "{heading}");
    }
    assert!(page.contains("plio_sql_drop"), "{page}");
}

#[test]
fn a_real_browser_shows_the_page_and_runs_nothing() {
    let Some(folder) = neighbour("chromium") else { return };
    let (file, _) = page("cli_browser");
    let profile = file.with_extension("profile");
    let output = Command::new(folder.join("chromium"))
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-sync",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-dev-shm-usage",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", file.display()))
        .stdin(Stdio::null())
        .output()
        .expect("chromium");
    let dom = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && dom.contains("</html>"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // The document as the browser has it: the script is a text in a cell, the title is ours, the style is in force.
    assert!(dom.contains("<td>&lt;script&gt;document.title=1&lt;/script&gt;\"'&amp;</td>"), "{dom}");
    assert!(dom.contains("<title>plio_tenancy: cli_browser_"), "{dom}");
    assert!(!dom.contains("<script"), "{dom}");
}
