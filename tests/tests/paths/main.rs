//! Paths that a sweep cannot find by itself: what a session opened before, what was made with enforcement off, what the
//! protocol does without a statement, what another session holds. A row of docs/guarantees.md names each test.

mod definer;
mod elsewhere;
mod large_objects;
mod leftovers;
mod maintenance;
mod open;
mod prepared;
mod protocol;
mod raw_calls;
mod recent;
mod sessions;
mod triggers;
mod trust;
mod unguarded;
mod untrusted;
mod wire;

#[path = "../common/judge.rs"]
mod judge;
#[path = "../isolation/world.rs"]
#[allow(dead_code, reason = "shared with the isolation tests")]
mod world;

use plio_tests::Layers;

/// What `world()` makes.
const LAYERS: Layers = Layers::Two;
