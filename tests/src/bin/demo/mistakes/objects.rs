//! Objects that tie one organization to another for good.

use super::{ENTER, ENTER_PLAIN};
use crate::scene::Expect::{Fine, Harm, Leak, Oracle, Refused, Value};
use crate::scene::{Login, Scene, sql};

pub fn scenes() -> Vec<Scene> {
    vec![view(), foreign_key(), sequence(), tie()]
}

fn view() -> Scene {
    const VIEW: &str = "CREATE VIEW shortcut AS SELECT id, name FROM tenant_cedar.plio";
    Scene {
        title: "A view into another tenant",
        why: "Made once by a migration, read for years by code that names no schema at all.",
        plain: vec![
            sql(ENTER_PLAIN, Fine),
            sql(VIEW, Fine),
            sql("SELECT id, name FROM shortcut WHERE id = 1", Leak("cedar")),
        ],
        tenancy: vec![sql(ENTER, Fine), sql(VIEW, Refused("42501"))],
    }
}

fn foreign_key() -> Scene {
    const KEY: &str = "ALTER TABLE image ADD FOREIGN KEY (width) REFERENCES tenant_cedar.tag (id) NOT VALID";
    Scene {
        title: "A foreign key into another tenant",
        why: "It needs no rows to tell: what it lets in and what it refuses says which ids cedar has.",
        plain: vec![
            sql(ENTER_PLAIN, Fine),
            sql(KEY, Fine),
            sql("INSERT INTO image (url, width) VALUES ('https://example.org/a', 7)", Fine),
            sql(
                "INSERT INTO image (url, width) VALUES ('https://example.org/b', 8)",
                Oracle("23503", "tells which ids cedar has"),
            ),
        ],
        tenancy: vec![sql(ENTER, Fine), sql(KEY, Refused("42501"))],
    }
}

fn sequence() -> Scene {
    const NEXT: &str = "SELECT nextval('tenant_cedar.tag_id_seq')";
    Scene {
        title: "Another tenant's sequence",
        why: "No table is touched: it tells how many rows cedar has, and burns an id of it.",
        plain: vec![sql(ENTER_PLAIN, Fine), sql(NEXT, Harm("tells and moves cedar's ids"))],
        tenancy: vec![sql(ENTER, Fine), sql(NEXT, Refused("42501"))],
    }
}

fn tie() -> Scene {
    const TIE: &str = "CREATE VIEW public.all_plios AS \
                       SELECT name FROM tenant_banyan.plio UNION ALL SELECT name FROM tenant_cedar.plio";
    Scene {
        title: "An administrator ties tenants together",
        why: "With no tenant set, a reporting view is put where everybody looks.",
        plain: vec![
            sql("BEGIN", Fine).by(Login::Superuser),
            sql(TIE, Fine).by(Login::Superuser),
            sql("SELECT count(DISTINCT name) FROM public.all_plios", Harm("one view over both"))
                .by(Login::Superuser),
        ],
        tenancy: vec![
            sql("SELECT coalesce(plio.current_tenant(), 'none'), current_user", Value("none"))
                .by(Login::Superuser),
            sql(TIE, Refused("42501")).by(Login::Superuser),
        ],
    }
}
