//! Plio's report (tests/demo/report.sql, docs/reports.md) over the demo's organizations, against a computation of its own
//! in Rust from the raw rows.

use crate::world::{rows, world};
use postgres::Client;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

const ORGS: [&str; 4] = ["acorn", "brook", "driftwood", "willow"];

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The demo's shared tables and people, and some of its organizations.
fn load(admin: &mut Client) {
    admin
        .batch_execute(&format!(
            "SET search_path = public; {} ; {}; RESET search_path",
            file("shared.sql"),
            file("people.sql")
        ))
        .expect("the shared tables");
    for table in ["organization", "users", "role", "organization_user"] {
        admin.execute("SELECT plio.share('public.' || $1, 'read')", &[&table]).unwrap();
    }
    for org in ORGS {
        admin.execute("SELECT plio.create_tenant($1)", &[&org]).unwrap();
        let (plios, sessions) = if org == "willow" { (0, 0) } else { (12, 90) };
        let drift = if org == "driftwood" { file("drift.sql") } else { String::new() };
        admin
            .batch_execute(&format!(
                "BEGIN; SELECT plio.set_tenant('{org}'); {}
                 SET LOCAL demo.org = '{org}'; SET LOCAL demo.canary = 'canary-{org}';
                 SET LOCAL demo.plios = '{plios}'; SET LOCAL demo.sessions = '{sessions}';
                 {}; {drift}; COMMIT",
                file("tenant.sql").split("-- == after the rows ==").next().unwrap(),
                file("rows.sql"),
            ))
            .unwrap_or_else(|error| panic!("{org}: {error:?}"));
    }
    // What the generated rows have nothing of: deleted ones, and retention of all sorts.
    admin
        .batch_execute(
            "BEGIN; SELECT plio.set_tenant('acorn');
             UPDATE session SET deleted_at = now() WHERE id % 13 = 0;
             UPDATE session SET retention = (ARRAY['', 'NaN,NaN', '1', '1,0,0', '0,3', '1,NaN,2'])[1 + id % 6] WHERE id % 2 = 0;
             UPDATE session_answer SET deleted_at = now() WHERE id % 17 = 0;
             UPDATE session_answer SET answer = NULL WHERE id % 11 = 0; COMMIT",
        )
        .unwrap();
}

/// A plio's numbers, as they are printed.
#[derive(Default)]
struct Numbers {
    viewers: HashSet<i64>,
    watched: Vec<f64>,
    stayed: Vec<bool>,
    given: usize,
    wanted: usize,
    graded: usize,
    correct: usize,
}

fn hundredth(part: f64, whole: usize) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.2}", part / whole as f64 + 1e-9) }
}

/// More than the first minute; `None` when the list is none of numbers.
fn stayed(retention: &str) -> Option<bool> {
    let minutes: Option<Vec<u64>> = retention.split(',').map(|minute| minute.parse().ok()).collect();
    minutes.map(|minutes| minutes.iter().skip(1).any(|seen| *seen > 0))
}

fn is_correct(answer: &Value, correct: &Value) -> bool {
    match correct {
        Value::Array(all) => all.contains(answer),
        one => one == answer,
    }
}

/// The report of one organization from its raw rows, a line for each plio.
fn computed(admin: &mut Client, org: &str) -> Vec<String> {
    let mut tenant = admin.transaction().unwrap();
    tenant.execute("SELECT plio.set_tenant($1)", &[&org]).unwrap();
    let mut all = |query: &str| tenant.query(query, &[]).unwrap();
    let plios: HashMap<i64, String> = all("SELECT id, uuid FROM plio WHERE deleted_at IS NULL")
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    // Item -> its plio, whether it is graded, what is right.
    let mut asked: HashMap<i64, (i64, bool, Value)> = HashMap::new();
    for row in all("SELECT item.id, plio_id, question.type, survey, correct_answer FROM item, question
                     WHERE item_id = item.id AND item.deleted_at IS NULL AND question.deleted_at IS NULL")
    {
        let is_graded = row.get::<_, &str>(2) != "subjective" && !row.get::<_, bool>(3);
        let correct: Option<Value> = row.get(4);
        asked.insert(row.get(0), (row.get(1), is_graded, correct.unwrap_or(Value::Null)));
    }
    let (mut report, mut plio_of) = (BTreeMap::<String, Numbers>::new(), HashMap::<i64, i64>::new());
    for row in all("SELECT id, plio_id, user_id, retention, watch_time FROM session WHERE deleted_at IS NULL")
    {
        let (session, plio): (i64, i64) = (row.get(0), row.get(1));
        let Some(uuid) = plios.get(&plio) else { continue };
        plio_of.insert(session, plio);
        let numbers = report.entry(uuid.clone()).or_default();
        numbers.viewers.insert(row.get(2));
        numbers.watched.push(row.get(4));
        numbers.stayed.extend(stayed(row.get(3)));
        numbers.wanted += asked.values().filter(|(of, ..)| *of == plio).count();
    }
    for row in all(
        "SELECT session_id, item_id, answer FROM session_answer WHERE deleted_at IS NULL AND answer IS NOT NULL",
    ) {
        let (session, item, answer): (i64, i64, Value) = (row.get(0), row.get(1), row.get(2));
        let (Some(plio), Some((of, is_graded, correct))) = (plio_of.get(&session), asked.get(&item)) else {
            continue;
        };
        if plio != of {
            continue;
        }
        let numbers = report.get_mut(&plios[plio]).unwrap();
        numbers.given += 1;
        if *is_graded {
            numbers.graded += 1;
            numbers.correct +=
                usize::from(answer.get("choice").is_some_and(|choice| is_correct(choice, correct)));
        }
    }
    let line = |(uuid, numbers): (&String, &Numbers)| {
        let stayed = numbers.stayed.iter().filter(|stayed| **stayed).count();
        [
            org.to_owned(),
            uuid.clone(),
            numbers.viewers.len().to_string(),
            hundredth(numbers.watched.iter().sum(), numbers.watched.len()),
            hundredth(100.0 * stayed as f64, numbers.stayed.len()),
            hundredth(100.0 * numbers.given as f64, numbers.wanted),
            hundredth(100.0 * numbers.correct as f64, numbers.graded),
        ]
        .join("|")
    };
    report.iter().map(line).collect()
}

#[test]
fn the_numbers_are_those_of_the_raw_rows() {
    let world = world("plio");
    let mut admin = world.admin();
    load(&mut admin);
    let orgs = ORGS.join(",");
    let query = format!(
        "SELECT org, uuid, unique_viewers, average_watch_time, one_minute_retention, completion, accuracy
           FROM plio.report($q${}$q$, '{{{orgs}}}')
             AS (org text, uuid text, name text, unique_viewers bigint, average_watch_time numeric,
                 one_minute_retention numeric, completion numeric, accuracy numeric)
          ORDER BY org COLLATE \"C\", uuid COLLATE \"C\"",
        file("report.sql")
    );
    let reported = rows(&mut world.reporter(), &query);
    let computed: Vec<String> = ORGS.iter().flat_map(|org| computed(&mut admin, org)).collect();
    assert_eq!(reported, computed);
    // The rows are of all sorts: every column has a value that is not trivial, in every organization with rows.
    for org in &ORGS[..3] {
        let of_org: Vec<Vec<&str>> =
            reported.iter().filter(|row| row.starts_with(org)).map(|row| row.split('|').collect()).collect();
        assert!(of_org.len() >= 10, "{org}: {}", of_org.len());
        for column in 2..7 {
            let values: HashSet<&str> = of_org.iter().map(|row| row[column]).collect();
            assert!(values.len() > 2, "{org}, column {column}: {values:?}");
        }
    }
    let coverage = "SELECT org, outcome, rows > 0 FROM plio.report_coverage()";
    let mut reporter = world.reporter();
    rows(&mut reporter, &query);
    assert_eq!(
        rows(&mut reporter, coverage),
        ["acorn|counted|t", "brook|counted|t", "driftwood|counted|t", "willow|counted|f"]
    );
}
