//! What one request leaves in a pooled connection for the next.

use super::FIRST;
use crate::scene::Act::{Execute, Prepare};
use crate::scene::Expect::{self, Fine, Leak, Refused, Rows, SameBackend, Value};
use crate::scene::{Act, Login, Scene, Step, sql};

const BACKEND: &str = "SELECT pg_backend_pid()";

pub fn scenes() -> Vec<Scene> {
    vec![pooled(), temporary_table(), prepared()]
}

const fn app(act: Act, expect: Expect) -> Step {
    Step { login: Login::App, act, expect }
}

fn pooled() -> Scene {
    Scene {
        title: "A pooled connection",
        why: "Request after request on one backend. The second one is cedar's and forgets to say so.",
        plain: vec![
            sql("SET search_path = tenant_banyan, public", Fine),
            sql(BACKEND, SameBackend),
            sql(FIRST, Rows("banyan")),
            sql(BACKEND, SameBackend),
            sql(FIRST, Leak("banyan")),
        ],
        tenancy: vec![
            sql("BEGIN; SELECT plio.set_tenant('banyan')", Fine),
            sql(BACKEND, SameBackend),
            sql(FIRST, Rows("banyan")),
            sql("COMMIT", Fine),
            sql("SELECT coalesce(plio.current_tenant(), 'none'), current_user", Value("none")),
            sql(FIRST, Refused("42501")),
            sql("BEGIN; SELECT plio.set_tenant('cedar')", Fine),
            sql(BACKEND, SameBackend),
            sql(FIRST, Rows("cedar")),
            sql("COMMIT", Fine),
        ],
    }
}

fn temporary_table() -> Scene {
    const LEAVE: &str = "CREATE TEMPORARY TABLE plio AS SELECT id, name FROM plio";
    Scene {
        title: "A temporary table left behind",
        why: "A report made one for banyan. On the same connection cedar comes next, and sets its path properly.",
        plain: vec![
            sql("BEGIN; SET LOCAL search_path = tenant_banyan, public", Fine),
            sql(LEAVE, Fine),
            sql("COMMIT", Fine),
            sql("BEGIN; SET LOCAL search_path = tenant_cedar, public", Fine),
            sql(FIRST, Leak("banyan")),
        ],
        tenancy: vec![
            sql("BEGIN; SELECT plio.set_tenant('banyan')", Fine),
            sql(LEAVE, Fine),
            sql("COMMIT", Fine),
            sql("BEGIN; SELECT plio.set_tenant('cedar')", Fine),
            sql(FIRST, Rows("cedar")),
        ],
    }
}

fn prepared() -> Scene {
    const BY_NAME: &str = "SELECT name FROM plio WHERE id = $1";
    const PASTED: &str = "SELECT name FROM tenant_banyan.plio WHERE id = $1";
    Scene {
        title: "A prepared statement",
        why: "The driver keeps statements for the next request. This one has banyan's schema pasted into it.",
        plain: vec![
            sql("BEGIN; SET LOCAL search_path = tenant_banyan, public", Fine),
            app(Prepare(PASTED), Fine),
            app(Execute(1), Rows("banyan")),
            sql("COMMIT; BEGIN; SET LOCAL search_path = tenant_cedar, public", Fine),
            app(Execute(1), Leak("banyan")),
        ],
        tenancy: vec![
            sql("BEGIN; SELECT plio.set_tenant('banyan')", Fine),
            app(Prepare(PASTED), Fine),
            app(Execute(1), Rows("banyan")),
            sql("COMMIT; BEGIN; SELECT plio.set_tenant('cedar')", Fine),
            app(Execute(1), Refused("42501")),
            sql("ROLLBACK; BEGIN; SELECT plio.set_tenant('banyan')", Fine),
            app(Prepare(BY_NAME), Fine),
            app(Execute(1), Rows("banyan")),
            sql("COMMIT; BEGIN; SELECT plio.set_tenant('cedar')", Fine),
            app(Execute(1), Rows("cedar")),
        ],
    }
}
