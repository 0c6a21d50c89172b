//! Mistakes on the way in: no tenant, a wrong one, one that is not served, one that lacks a table.

use super::{ENTER_PLAIN, FIRST};
use crate::scene::Expect::{Fine, Harm, Leak, Refused, Rows};
use crate::scene::{Scene, sql};

pub fn scenes() -> Vec<Scene> {
    vec![forgotten(), unknown(), suspended(), missing_table()]
}

fn forgotten() -> Scene {
    Scene {
        title: "A forgotten tenant",
        why: "A job outside the middleware does not say whose rows it wants. `public` holds tables of the same \
              names, from the days when personal workspaces lived there.",
        plain: vec![
            sql(FIRST, Leak("public")),
            sql("SELECT id, name FROM tenant_cedar.plio WHERE id = 1", Leak("cedar")),
        ],
        tenancy: vec![
            sql(FIRST, Refused("42501")),
            sql("SELECT id, name FROM tenant_cedar.plio WHERE id = 1", Refused("55000")),
            sql("SELECT plio.require_tenant()", Refused("55000")),
        ],
    }
}

fn unknown() -> Scene {
    Scene {
        title: "An organization that is not there",
        why: "A typing error in the request's header. A schema that does not exist is skipped in silence.",
        plain: vec![
            sql("BEGIN; SET LOCAL search_path = tenant_banian, public", Fine),
            sql(FIRST, Leak("public")),
        ],
        tenancy: vec![
            sql("BEGIN; SELECT plio.set_tenant('banian')", Refused("42704")),
            sql("ROLLBACK; BEGIN; SELECT plio.set_tenant('')", Refused("42602")),
        ],
    }
}

fn suspended() -> Scene {
    Scene {
        title: "A suspended tenant",
        why: "The contract has ended; the rows are still there.",
        plain: vec![
            sql("BEGIN; SET LOCAL search_path = tenant_sundial, public", Fine),
            sql("SELECT id, name FROM plio WHERE id = 1", Harm("served all the same")),
        ],
        tenancy: vec![sql("BEGIN; SELECT plio.set_tenant('sundial')", Refused("55000"))],
    }
}

fn missing_table() -> Scene {
    Scene {
        title: "A table that the tenant lacks",
        why: "A migration stopped half-way: driftwood has no table `program`, and `public` has one.",
        plain: vec![
            sql("BEGIN; SET LOCAL search_path = tenant_driftwood, public", Fine),
            sql("SELECT id, name FROM program", Leak("public")),
            sql(
                "INSERT INTO program (name, created_by) VALUES ('ours', 1) RETURNING tableoid::regclass",
                Harm("written into public"),
            ),
            sql("ROLLBACK", Fine),
            sql(ENTER_PLAIN, Fine),
            sql("SELECT id, name FROM program WHERE id = 1", Rows("banyan")),
        ],
        tenancy: vec![
            sql("BEGIN; SELECT plio.set_tenant('driftwood')", Fine),
            sql("SELECT id, name FROM program", Refused("42501")),
            sql("ROLLBACK; BEGIN; SELECT plio.set_tenant('driftwood')", Fine),
            sql("INSERT INTO program (name, created_by) VALUES ('ours', 1)", Refused("42501")),
            sql("ROLLBACK", Fine),
            sql("BEGIN; SELECT plio.set_tenant('banyan')", Fine),
            sql("SELECT id, name FROM program WHERE id = 1", Rows("banyan")),
        ],
    }
}
