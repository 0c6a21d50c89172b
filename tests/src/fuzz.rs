//! The random attack: statements from a grammar, sent by a login role that may enter two of three tenants.
//!
//! [`World`] makes the database: three tenants with the same tables, the same ids, and canaries (twelve random digits for
//! each, unknown to the statements). [`Attack`] sends statements over the protocol itself ([`wire`]) and looks for
//! canaries in every byte that comes back; at intervals a superuser's connection compares what must not have changed.
//! The grammar is `tests/fuzz/grammar.txt`; names, oids and functions come from the running server's catalogs.
//! [`Surface`] calls every function of plio's own with arguments of all kinds, as every kind of role.
//! Between the scenes rights, locks and closed tenants are looked at ([`probes`]); a second connection is in turn of roles with
//! other rights. [`Pairs`] is the second attacker: sessions and management in random orders, judged by a model.
//! A seed gives the same statements again, up to the oids and the interleaving of two connections.

mod attack;
mod calls;
mod canary;
mod cast;
mod grammar;
mod integrity;
mod mutate;
mod oracle;
pub mod pairs;
mod pools;
pub mod probes;
mod random;
mod scene;
mod session;
mod stories;
mod summary;
mod surface;
mod ties;
mod watch;
pub mod wire;
mod world;

pub use attack::{Attack, run};
pub use canary::{Canaries, Owner};
pub use cast::{Part, TURNS};
pub use integrity::{carried, left_behind, rights};
pub use oracle::{Finding, Kind};
pub use pairs::{Pairs, run as run_pairs};
pub use random::Random;
pub use session::{Session, Stint};
pub use summary::Summary;
pub use surface::{Surface, run as run_surface};
pub use watch::watch;
pub use world::{Guard, Loading, Tenants, World};
