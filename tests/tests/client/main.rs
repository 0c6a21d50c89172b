//! The Rust client against a real server: enter, work, leave; what failures and dropped futures leave behind;
//! how many messages it takes.

#![forbid(unsafe_code)]

mod admin;
mod blocking;
mod cancel;
mod enter;
mod names;
mod wire;
mod work;
mod world;
