//! The mistakes, in the order in which they are told. Each is made twice: in the database `plain`, where the
//! application sets search_path, and in `plio`, where it calls set_tenant().

use crate::scene::Scene;

mod entering;
mod objects;
mod reaching;
mod roles;
mod sessions;

/// What the application does at the start of a request.
const ENTER: &str = "BEGIN; SELECT plio.set_tenant('banyan')";
/// The same where there is only search_path.
const ENTER_PLAIN: &str = "BEGIN; SET LOCAL search_path = tenant_banyan, public";
/// After an error, on to the next request.
const ENTER_AGAIN: &str = "ROLLBACK; BEGIN; SELECT plio.set_tenant('banyan')";
/// What nearly every scene asks for.
const FIRST: &str = "SELECT id, name FROM plio WHERE id = 1";

/// All of them.
pub fn scenes() -> Vec<Scene> {
    let all =
        [entering::scenes(), reaching::scenes(), sessions::scenes(), objects::scenes(), roles::scenes()];
    all.into_iter().flatten().collect()
}
