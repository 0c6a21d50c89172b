//! A defect, planted and mended.

use plio_tests::TwoTenants;
use postgres::Client;

/// A finding, without its texts.
pub type Found = (String, String, Option<String>, Option<String>);

/// A defect and what audit() must say of it.
pub struct Case {
    pub check: &'static str,
    pub severity: &'static str,
    /// The tenant that it must be ascribed to.
    pub org: Option<&'static str>,
    /// What the object's name must contain.
    pub object: &'static str,
    /// Prepared before the baseline is taken: harmless.
    pub before: &'static str,
    /// The defect.
    pub plant: &'static str,
    /// What mends it, where the finding's own fix is no SQL.
    pub mend: Option<&'static str>,
    /// What is left to be removed.
    pub after: &'static str,
}

impl Case {
    pub const fn new(
        check: &'static str,
        severity: &'static str,
        org: Option<&'static str>,
        object: &'static str,
        plant: &'static str,
    ) -> Case {
        Case { check, severity, org, object, before: "", plant, mend: None, after: "" }
    }

    pub const fn before(mut self, before: &'static str) -> Case {
        self.before = before;
        self
    }

    pub const fn mend(mut self, mend: &'static str) -> Case {
        self.mend = Some(mend);
        self
    }

    pub const fn after(mut self, after: &'static str) -> Case {
        self.after = after;
        self
    }
}

/// What audit() says, with its fixes.
pub fn audit(client: &mut Client) -> Vec<(Found, String, Option<String>)> {
    let rows = client
        .query("SELECT severity, check_name, org, object, detail, fix FROM plio.audit()", &[])
        .unwrap_or_else(|error| panic!("{error:?}"));
    rows.iter()
        .map(|row| ((row.get(0), row.get(1), row.get(2), row.get(3)), row.get(4), row.get(5)))
        .collect()
}

fn run(client: &mut Client, sql: &str) {
    client.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// What audit() says now and did not say before. What a superuser plants inside a tenant is a foreign owner's, too: said
/// only where that is what is tried.
fn news(
    client: &mut Client,
    case: &Case,
    baseline: &[(Found, String, Option<String>)],
) -> Vec<(Found, String, Option<String>)> {
    let is_new = |one: &(Found, String, Option<String>)| !baseline.contains(one);
    // What health() says of the same defect.
    let comes_beside = ["role_not_owner", "replication_unjudged"];
    let is_asked = |one: &(Found, String, Option<String>)| {
        let check = one.0.1.as_str();
        case.check == check || (check != "foreign_owner" && !comes_beside.contains(&check))
    };
    audit(client).into_iter().filter(is_new).filter(is_asked).collect()
}

/// Plants, finds, mends and finds it gone: each case in turn, on one database. The defects come in behind our back, with
/// enforcement off; they are mended with enforcement on.
pub fn check(fixture: &TwoTenants, cases: &[Case]) {
    let mut admin = fixture.db.superuser();
    for case in cases {
        let (mut vandal, mut mender) = (fixture.db.superuser(), fixture.db.superuser());
        run(&mut admin, &case.before.replace("@app", &fixture.app));
        let baseline = audit(&mut admin);
        run(&mut vandal, "SET plio.enforcement = off");
        run(&mut vandal, &case.plant.replace("@app", &fixture.app));
        let found = news(&mut admin, case, &baseline);
        let [((severity, check, org, object), detail, fix)] = &found[..] else {
            panic!("{}: {}: not exactly one finding: {found:#?}", case.check, case.plant);
        };
        assert_eq!((check.as_str(), severity.as_str()), (case.check, case.severity), "{found:#?}");
        assert_eq!(org.as_deref(), case.org, "{found:#?}");
        assert!(
            object.as_deref().unwrap_or_default().contains(&case.object.replace("@app", &fixture.app)),
            "{found:#?}"
        );
        assert!(!detail.is_empty());
        let mend = case.mend.or(fix.as_deref()).unwrap_or_else(|| panic!("no fix: {found:#?}"));
        run(&mut mender, &mend.replace("@app", &fixture.app));
        let left = news(&mut admin, case, &baseline);
        assert!(left.is_empty(), "{}: after {mend}: {left:#?}", case.check);
        drop(vandal);
        run(&mut mender, "SET plio.enforcement = off");
        run(&mut mender, &case.after.replace("@app", &fixture.app));
        run(&mut mender, "RESET plio.enforcement");
    }
}
