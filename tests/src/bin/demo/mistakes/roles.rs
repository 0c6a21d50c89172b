//! Those who may do everything: a superuser, and whoever gets the login role back.

use super::{ENTER, ENTER_AGAIN, ENTER_PLAIN};
use crate::scene::Expect::{Fine, Harm, Leak, Refused, Value};
use crate::scene::{Login, Scene, sql};

pub fn scenes() -> Vec<Scene> {
    vec![superuser(), reset_role()]
}

fn superuser() -> Scene {
    const UPDATE: &str = "UPDATE tenant_cedar.plio SET name = 'oops' RETURNING id";
    const READ: &str = "SELECT id, name FROM tenant_cedar.plio WHERE id = 1";
    Scene {
        title: "A superuser",
        why: "The repair is for banyan, the statement out of the history is for cedar; no privilege stops it.",
        plain: vec![
            sql(ENTER_PLAIN, Fine).by(Login::Superuser),
            sql(READ, Leak("cedar")).by(Login::Superuser),
            sql(UPDATE, Harm("cedar overwritten")).by(Login::Superuser),
        ],
        tenancy: vec![
            sql(ENTER, Fine).by(Login::Superuser),
            sql(READ, Refused("42501")).by(Login::Superuser),
            sql(ENTER_AGAIN, Fine).by(Login::Superuser),
            sql(UPDATE, Refused("42501")).by(Login::Superuser),
            sql(ENTER_AGAIN, Fine).by(Login::Superuser),
            sql("DROP TABLE tenant_cedar.event", Refused("42501")).by(Login::Superuser),
        ],
    }
}

fn reset_role() -> Scene {
    const READ: &str = "SELECT id, name FROM tenant_cedar.plio WHERE id = 1";
    Scene {
        title: "RESET ROLE",
        why: "A role for each organization is a good second fence, as long as nobody just steps back over it.",
        plain: vec![
            sql("BEGIN; SET LOCAL search_path = tenant_banyan, public; SET LOCAL ROLE banyan_reader", Fine),
            sql("RESET ROLE", Fine),
            sql(READ, Leak("cedar")),
        ],
        tenancy: vec![
            sql(ENTER, Fine),
            sql("SELECT session_user, current_user", Value("app")),
            sql("RESET ROLE", Refused("25001")),
            sql(ENTER_AGAIN, Fine),
            sql("SET ROLE app", Refused("25001")),
        ],
    }
}
