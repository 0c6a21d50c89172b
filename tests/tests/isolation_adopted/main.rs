//! The attacks of `isolation`, and some of `paths`, on tenants without a role of their own: schemas that the application's login role owns,
//! adopted. The same files, another world.

#[path = "../isolation/channels.rs"]
mod channels;
#[path = "../isolation/code.rs"]
mod code;
#[path = "../isolation/inheritance.rs"]
mod inheritance;
#[path = "../paths/leftovers.rs"]
mod leftovers;
#[path = "../isolation/names.rs"]
mod names;
#[path = "../paths/open.rs"]
mod open;
#[path = "../isolation/plans.rs"]
mod plans;
#[path = "../paths/prepared.rs"]
mod prepared;
#[path = "../isolation/settings.rs"]
mod settings;
#[path = "../isolation/shared.rs"]
mod shared;
#[path = "../isolation/transactions.rs"]
mod transactions;
#[path = "../paths/triggers.rs"]
mod triggers;
#[path = "../paths/wire.rs"]
#[allow(dead_code, reason = "shared with the tests of paths")]
mod wire;
#[path = "../isolation/world.rs"]
mod world;

#[path = "../common/judge.rs"]
mod judge;

use plio_tests::Layers;

/// What `world()` makes.
const LAYERS: Layers = Layers::One;
