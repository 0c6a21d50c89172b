//! Attacks on the boundary: nothing that an ordinary login role, or a superuser inside a tenant, does reaches another
//! tenant's rows; the same inside the own tenant goes on working.

mod channels;
mod code;
mod inheritance;
mod names;
mod native;
mod plans;
mod roles;
mod settings;
mod shared;
mod transactions;
mod world;

#[path = "../common/judge.rs"]
mod judge;

use plio_tests::Layers;

/// What `world()` makes; the target `isolation_adopted` runs the same attacks on the other kind.
const LAYERS: Layers = Layers::Two;
