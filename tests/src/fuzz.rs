//! The random attack: statements from a grammar, sent by a login role that may enter two of three tenants.
//!
//! [`World`] makes the database: three tenants with the same tables, the same ids, and canaries (twelve random digits for
//! each, unknown to the statements). [`Attack`] sends statements over the protocol itself ([`wire`]) and looks for
//! canaries in every byte that comes back; at intervals a superuser's connection compares what must not have changed.
//! The grammar is `tests/fuzz/grammar.txt`; names, oids and functions come from the running server's catalogs.
//! [`Surface`] calls every function of plio's own with arguments of all kinds, as every kind of role.
//! A seed gives the same statements again, up to the oids and the interleaving of two connections.

mod attack;
mod calls;
mod canary;
mod grammar;
mod integrity;
mod mutate;
mod oracle;
mod pools;
mod random;
mod scene;
mod session;
mod summary;
mod surface;
pub mod wire;
mod world;

pub use attack::{Attack, run};
pub use canary::{Canaries, Owner};
pub use oracle::{Finding, Kind};
pub use random::Random;
pub use summary::Summary;
pub use surface::{Surface, run as run_surface};
pub use world::{Guard, Tenants, World};
