//! The README's tables of functions, settings and SQLSTATEs are held to the catalog, the client and the extension.

use plio_tests::Cluster;
use postgres::Client;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The tables below a heading of the README: the cells of each row, without the backticks of the first one.
fn table(heading: &str) -> Vec<Vec<String>> {
    let readme = read("README.md");
    let section = readme
        .split("\n## ")
        .find(|section| section.lines().next() == Some(heading))
        .unwrap_or_else(|| panic!("the README has no section {heading}"));
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
            let mut cells: Vec<String> = cells.collect();
            cells[0] = cells[0].trim_matches('`').to_owned();
            cells
        })
        .collect()
}

fn admin(prefix: &str) -> Client {
    Cluster::shared().database(prefix).extension().superuser()
}

fn column(client: &mut Client, query: &str) -> Vec<String> {
    client
        .query(query, &[])
        .unwrap_or_else(|error| panic!("{error:?}"))
        .iter()
        .map(|row| row.get(0))
        .collect()
}

#[test]
fn every_public_function_is_in_the_readme_with_its_arguments_and_who_may_call_it() {
    let mut client = admin("functions");
    let rows = client
        .query(
            "SELECT format('plio.%s(%s)', proname, array_to_string(proargnames[1:pronargs], ', ')),
                    concat_ws(', ',
                        CASE WHEN has_function_privilege('plio_tenant', oid, 'EXECUTE') THEN 'everybody'
                             WHEN has_function_privilege('plio_admin', oid, 'EXECUTE') THEN 'administrators' END,
                        CASE WHEN has_function_privilege('plio_reporter', oid, 'EXECUTE')
                              AND NOT has_function_privilege('plio_tenant', oid, 'EXECUTE') THEN 'reporters' END,
                        CASE WHEN has_function_privilege('plio_auditor', oid, 'EXECUTE')
                              AND NOT has_function_privilege('plio_tenant', oid, 'EXECUTE') THEN 'auditors' END)
               FROM pg_proc WHERE pronamespace = 'plio'::regnamespace AND proname NOT LIKE '\\_%'",
            &[],
        )
        .unwrap();
    let catalog: BTreeMap<String, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let readme: BTreeMap<String, String> =
        table("Functions").into_iter().map(|cells| (cells[0].clone(), cells[1].clone())).collect();
    assert_eq!(readme, catalog);
}

#[test]
fn every_setting_is_in_the_readme_with_its_default() {
    let mut client = admin("settings");
    let rows = client
        .query("SELECT name, coalesce(boot_val, ''), context FROM pg_settings WHERE name LIKE 'plio.%'", &[])
        .unwrap();
    let catalog: BTreeMap<String, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let readme = table("Settings").into_iter().map(|cells| {
        let default = cells[1].trim_matches('`');
        (cells[0].clone(), if default == "empty" { String::new() } else { default.to_owned() })
    });
    assert_eq!(readme.collect::<BTreeMap<_, _>>(), catalog);
    // An ordinary role sets only what is its own business; none of the others as it sets other settings.
    let is_own = |name: &str| ["plio.allow_partial_reports", "plio.report_visit_timeout"].contains(&name);
    let is_superusers = |context: &str| ["superuser", "sighup"].contains(&context);
    assert!(rows.iter().all(|row| is_superusers(row.get(2)) != is_own(row.get(0))));
}

/// PostgreSQL's own list: condition name to SQLSTATE.
fn errcodes() -> BTreeMap<String, String> {
    let file: PathBuf = Cluster::shared().tree().join("share/errcodes.txt");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("errcodes.txt: {error}"));
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (code, _kind, name) = (words.next()?, words.next()?, words.next()?);
            name.starts_with("ERRCODE_").then(|| (name.to_owned(), code.to_owned()))
        })
        .collect()
}

#[test]
fn the_sqlstates_of_readme_client_and_extension_are_the_same() {
    let readme: Vec<String> = table("SQLSTATEs").into_iter().map(|mut cells| cells.remove(0)).collect();
    let listed: BTreeSet<String> = readme.iter().cloned().collect();
    assert_eq!(listed.len(), readme.len(), "one row for each SQLSTATE");
    let client = plio_client::SQLSTATES.iter().map(|(_, code)| (*code).to_owned());
    assert_eq!(client.collect::<BTreeSet<_>>(), listed, "the client against the README");
    let known = errcodes();
    let source = read("plio_tenancy_ext/src/error/codes.rs");
    let words = source.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let raised: BTreeSet<String> = words
        .filter(|word| word.starts_with("ERRCODE_"))
        .map(|word| {
            known.get(word).unwrap_or_else(|| panic!("{word} is no SQLSTATE of PostgreSQL's")).clone()
        })
        .collect();
    assert_eq!(raised, listed, "the extension against the README");
}

// error.rs is the only place that raises errors, so its list is complete.
#[test]
fn no_other_file_of_the_extension_knows_a_sqlstate() {
    let mut folders = vec![root().join("plio_tenancy_ext/src")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("error.rs")
            {
                seen += 1;
                let source = fs::read_to_string(&path).unwrap();
                for word in ["ErrorReport::new", "ereport!", " error!(", " panic!("] {
                    assert!(!source.contains(word), "{}: {word}", path.display());
                }
            }
        }
    }
    assert!(seen > 10);
}

#[test]
fn everything_public_has_a_comment() {
    let mut client = admin("comments");
    let bare = column(
        &mut client,
        "SELECT 'function ' || oid::regprocedure FROM pg_proc
          WHERE pronamespace = 'plio'::regnamespace AND proname NOT LIKE '\\_%'
            AND obj_description(oid, 'pg_proc') IS NULL
         UNION ALL
         SELECT 'relation ' || oid::regclass FROM pg_class
          WHERE relnamespace = 'plio'::regnamespace AND relkind IN ('r', 'v', 'm', 'p')
            AND obj_description(oid, 'pg_class') IS NULL
         UNION ALL
         SELECT format('column %s.%s', attrelid::regclass, attname)
           FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
          WHERE relnamespace = 'plio'::regnamespace AND relkind IN ('r', 'v', 'm', 'p')
            AND attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL
         UNION ALL
         SELECT 'event trigger ' || evtname FROM pg_event_trigger
          WHERE evtname LIKE 'plio%' AND obj_description(oid, 'pg_event_trigger') IS NULL
         UNION ALL
         SELECT 'schema plio' WHERE obj_description('plio'::regnamespace, 'pg_namespace') IS NULL
         UNION ALL
         SELECT 'setting ' || name FROM pg_settings WHERE name LIKE 'plio.%' AND short_desc = ''",
    );
    assert!(bare.is_empty(), "{bare:#?}");
}

// PUBLIC gets nothing but the functions of the application, selftest(), and the names in the schema.
#[test]
fn public_has_nothing_but_the_applications_functions() {
    let mut client = admin("public");
    let open = column(
        &mut client,
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'plio'::regnamespace
            AND has_function_privilege('plio_tenant', oid, 'EXECUTE')
         UNION ALL
         SELECT relname::text FROM pg_class WHERE relnamespace = 'plio'::regnamespace AND relkind IN ('r', 'v', 'm', 'S')
            AND has_table_privilege('plio_tenant', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
          ORDER BY 1",
    );
    assert_eq!(
        open,
        [
            "_currval",
            "_nextval",
            "_notify",
            "_sequence_in_reach",
            "_sequence_last_value",
            "_set_config",
            "_setval",
            "_setval",
            "current_tenant",
            "require_tenant",
            "selftest",
            "set_tenant",
            "version"
        ]
    );
    // What runs with its owner's rights has a path of its own.
    let loose = column(
        &mut client,
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'plio'::regnamespace AND prosecdef
            AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)",
    );
    assert!(loose.is_empty(), "{loose:?}");
}
