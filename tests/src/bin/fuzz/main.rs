//! `make fuzz`: the random attack, as long as one likes. Ends with an error when something was found.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use plio_tests::fuzz::{self, Attack, Guard, Loading, Pairs, Surface, Tenants};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Configuration {
    /// Each tenant has a role of its own.
    OwnRole,
    /// Adopted schemas that belong to the attacker's role.
    Adopted,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Library {
    /// Each session of the database takes it in.
    Session,
    /// The server takes it in when it starts.
    Shared,
}

#[derive(Parser)]
#[command(name = "fuzz", about = "A random attack on three tenants by a role that may enter two of them")]
struct Args {
    /// Repeats a run; by default the clock's.
    #[arg(long)]
    seed: Option<u64>,

    /// How many statements.
    #[arg(long, default_value_t = 1_000_000)]
    statements: usize,

    /// How many connections at once.
    #[arg(long, default_value_t = 2)]
    connections: usize,

    /// How the tenants are made.
    #[arg(long, value_enum, default_value_t = Configuration::OwnRole)]
    tenants: Configuration,

    /// How the library is loaded.
    #[arg(long, value_enum, default_value_t = Library::Session)]
    loading: Library,

    /// The control: nothing is refused, and everything is granted to everybody.
    #[arg(long)]
    unguarded: bool,

    /// Calls plio's own functions instead, as every kind of role, on both kinds of tenants.
    #[arg(long, conflicts_with_all = ["tenants", "unguarded", "connections", "loading"])]
    surface: bool,

    /// Plays pairs of sessions instead, and management beside them, judged by a model: as many steps.
    #[arg(long, conflicts_with_all = ["surface", "connections"])]
    pairs: bool,

    /// With --pairs: nobody renames roles in another database.
    #[arg(long, requires = "pairs")]
    roles_keep_names: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_secs());
    let seed = args.seed.unwrap_or_else(clock);
    let attack = Attack {
        connections: args.connections.max(1),
        tenants: match args.tenants {
            Configuration::OwnRole => Tenants::OwnRole,
            Configuration::Adopted => Tenants::Adopted,
        },
        loading: match args.loading {
            Library::Session => Loading::Session,
            Library::Shared => Loading::Shared,
        },
        guard: if args.unguarded { Guard::Off } else { Guard::On },
        shows_progress: true,
        ..Attack::new(seed, args.statements)
    };
    eprintln!(
        "fuzz: seed {seed}, {} statements, PostgreSQL {}",
        attack.statements,
        plio_tests::Cluster::major()
    );
    let surface = Surface { seed, calls: args.statements, stint: 3000, shows_progress: true };
    let pairs = Pairs {
        loading: attack.loading,
        guard: attack.guard,
        renames_roles: !args.roles_keep_names,
        shows_progress: true,
        ..Pairs::new(seed, args.statements, attack.tenants)
    };
    let summary = if args.surface {
        fuzz::run_surface(&surface)
    } else if args.pairs {
        fuzz::run_pairs(&pairs)
    } else {
        fuzz::run(&attack)
    };
    println!("{summary}");
    if summary.found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
