//! What `adopted` and `isolation_adopted` leave out, on tenants without a role of their own: `context`, and the rest of `paths`, `ddl`
//! and `races`.

#[path = "../context/main.rs"]
mod context;
#[path = "../paths/definer.rs"]
mod definer;
#[path = "../paths/elsewhere.rs"]
mod elsewhere;
#[path = "../ddl/inside.rs"]
mod inside;
#[path = "../paths/large_objects.rs"]
mod large_objects;
#[path = "../parallel.rs"]
mod parallel;
#[path = "../paths/protocol.rs"]
mod protocol;
#[path = "../races/main.rs"]
mod races;
#[path = "../paths/raw_calls.rs"]
mod raw_calls;
#[path = "../paths/recent.rs"]
mod recent;
#[path = "../paths/sessions.rs"]
mod sessions;
#[path = "../ddl/shares.rs"]
mod shares;
#[path = "../ddl/ties.rs"]
mod ties;
#[path = "../paths/trust.rs"]
mod trust;
#[path = "../paths/unguarded.rs"]
mod unguarded;
#[path = "../paths/untrusted.rs"]
mod untrusted;
#[path = "../paths/wire.rs"]
#[allow(dead_code, reason = "shared with the tests of paths")]
mod wire;

#[path = "../common/judge.rs"]
mod judge;
#[path = "../isolation/world.rs"]
#[allow(dead_code, reason = "shared with the isolation tests")]
mod world;

use plio_tests::Layers;

/// What `world()` makes.
const LAYERS: Layers = Layers::One;
