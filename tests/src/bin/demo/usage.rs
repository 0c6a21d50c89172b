//! How it is meant to be used: two scenes with nothing to compare with.

use crate::scene::Expect::{Fine, Rows, Value};
use crate::scene::{Scene, sql};

const ENTER_BANYAN: &str = "BEGIN; SELECT plio.set_tenant('banyan')";
const ENTER_CEDAR: &str = "BEGIN; SELECT plio.set_tenant('cedar')";
const FIRST: &str = "SELECT id, name FROM plio WHERE id = 1";
const HANDED_ROUND: &str = "SELECT uuid, name FROM plio WHERE uuid = 'lnganjcmji'";

/// Both of them.
pub fn scenes() -> Vec<Scene> {
    vec![inside(), same_ids()]
}

fn inside() -> Scene {
    Scene {
        title: "Work inside a tenant",
        why: "One call names the organization; from there on plain SQL, with no schema in it.",
        plain: Vec::new(),
        tenancy: vec![
            sql(ENTER_BANYAN, Fine),
            sql("SELECT plio.current_tenant(), session_user, current_user", Value("banyan")),
            sql(FIRST, Rows("banyan")),
            sql(
                "SELECT p.name, count(DISTINCT u.id) AS viewers, round(avg(s.watch_time)) AS seconds \
                 FROM plio p JOIN session s ON s.plio_id = p.id JOIN users u ON u.id = s.user_id \
                 GROUP BY p.id ORDER BY viewers DESC, p.id LIMIT 3",
                Rows("banyan"),
            ),
            sql("INSERT INTO tag (name) VALUES ('term 2') RETURNING id", Value("8")),
            sql("UPDATE user_meta SET last_seen = now() WHERE user_id = 1", Fine),
            sql("COMMIT", Fine),
            sql("SELECT plio.current_tenant()", Value("(null)")),
        ],
    }
}

fn same_ids() -> Scene {
    Scene {
        title: "The same ids in another tenant",
        why: "Ids start at 1 everywhere, and a lesson that was handed round has one uuid everywhere.",
        plain: Vec::new(),
        tenancy: vec![
            sql(ENTER_BANYAN, Fine),
            sql(FIRST, Rows("banyan")),
            sql(HANDED_ROUND, Rows("banyan")),
            sql("COMMIT", Fine),
            sql(ENTER_CEDAR, Fine),
            sql(FIRST, Rows("cedar")),
            sql(HANDED_ROUND, Rows("cedar")),
            sql("COMMIT", Fine),
        ],
    }
}
