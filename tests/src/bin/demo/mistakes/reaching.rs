//! Mistakes inside a tenant: reaching for another's rows, or changing whose rows they are.

use super::{ENTER, ENTER_AGAIN, ENTER_PLAIN, FIRST};
use crate::scene::Expect::{Fine, Harm, Leak, Refused, Value};
use crate::scene::{Scene, sql};

pub fn scenes() -> Vec<Scene> {
    vec![qualified_name(), qualified_write(), changed_path(), set_config(), second_tenant()]
}

fn qualified_name() -> Scene {
    Scene {
        title: "A qualified name",
        why: "A report has the schema's name pasted into its text, and it is the wrong one.",
        plain: vec![
            sql(ENTER_PLAIN, Fine),
            sql(
                "SELECT p.name, count(*) FROM plio p JOIN tenant_cedar.session s ON s.plio_id = p.id \
                 WHERE p.id = 1 GROUP BY p.id",
                Harm("counts cedar's sessions"),
            ),
            sql("SELECT id, name FROM tenant_cedar.plio WHERE id = 1", Leak("cedar")),
        ],
        tenancy: vec![
            sql(ENTER, Fine),
            sql(
                "SELECT p.name, count(*) FROM plio p JOIN tenant_cedar.session s ON s.plio_id = p.id \
                 WHERE p.id = 1 GROUP BY p.id",
                Refused("42501"),
            ),
            sql(ENTER_AGAIN, Fine),
            sql("SELECT id, name FROM tenant_cedar.plio WHERE id = 1", Refused("42501")),
        ],
    }
}

fn qualified_write() -> Scene {
    const COPY: &str = "INSERT INTO tenant_cedar.tag (name) SELECT name || ' (copied)' FROM tag WHERE id = 1";
    Scene {
        title: "A copy into another workspace",
        why: "The target is a schema's name out of a request, with no check that one may write there.",
        plain: vec![sql(ENTER_PLAIN, Fine), sql(COPY, Harm("written into cedar"))],
        tenancy: vec![sql(ENTER, Fine), sql(COPY, Refused("42501"))],
    }
}

fn changed_path() -> Scene {
    Scene {
        title: "A changed search_path",
        why: "Somewhere below, a library sets search_path again, by the book or by injection.",
        plain: vec![
            sql(ENTER_PLAIN, Fine),
            sql("SET search_path = tenant_cedar, public", Fine),
            sql(FIRST, Leak("cedar")),
        ],
        tenancy: vec![
            sql(ENTER, Fine),
            // A path within the tenant's reach may be set; RESET gives the tenant's own.
            sql("SET search_path = tenant_cedar, public", Refused("42501")),
            sql(ENTER_AGAIN, Fine),
            sql("RESET search_path", Fine),
        ],
    }
}

fn set_config() -> Scene {
    const CHANGE: &str = "SELECT set_config('search_path', 'tenant_cedar, public', true)";
    Scene {
        title: "set_config",
        why: "The same from within a query, where no proxy that reads statements would find it.",
        plain: vec![
            sql(ENTER_PLAIN, Fine),
            sql(CHANGE, Value("tenant_cedar, public")),
            sql(FIRST, Leak("cedar")),
        ],
        tenancy: vec![sql(ENTER, Fine), sql(CHANGE, Refused("42501"))],
    }
}

fn second_tenant() -> Scene {
    Scene {
        title: "A second tenant in one transaction",
        why: "A helper serves another organization half-way and does not change back.",
        plain: vec![
            sql(ENTER_PLAIN, Fine),
            sql("SET LOCAL search_path = tenant_cedar, public", Fine),
            sql(
                "INSERT INTO tag (name) VALUES ('meant for banyan') RETURNING tableoid::regclass",
                Harm("banyan's row in cedar"),
            ),
        ],
        tenancy: vec![
            sql(ENTER, Fine),
            sql("SELECT plio.set_tenant('banyan')", Fine),
            sql("SELECT plio.set_tenant('cedar')", Refused("25001")),
        ],
    }
}
