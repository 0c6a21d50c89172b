//! What tenancy costs: each measurement alternates with the same work in a database without the extension.
//!
//! Absolute numbers say little on a shared machine, so both sides run in one cluster, in short turns, and the
//! verdict is the median of the rounds' ratios. One client, prepared statements, everything in memory.

#![forbid(unsafe_code)]

#[path = "bench/ddl.rs"]
mod ddl;
#[path = "bench/denials.rs"]
mod denials;
#[path = "bench/report_views.rs"]
mod report_views;
#[path = "bench/scale.rs"]
mod scale;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use plio_tests::{Cluster, Db};
use postgres::{Client, NoTls, Statement};

type Outcome<T> = Result<T, Box<dyn Error>>;

const ROWS: i64 = 10_000;
const TABLE: &str = "CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL);
    INSERT INTO users SELECT i, 'name ' || i FROM generate_series(1, 10000) AS i";
const SELECT: &str = "SELECT name FROM users WHERE id = $1";
const ENTER: &str = "SELECT plio.set_tenant('acme')";
const ENTER_BY_SET: &str = "SET LOCAL plio.tenant = 'acme'";
const PATH: &str = "SET LOCAL search_path = tenant_acme";
const PATH_BY_FUNCTION: &str = "SELECT set_config('search_path', 'tenant_acme', true)";
/// What set_tenant() leaves in force, put together from PostgreSQL's own functions; nothing is checked.
const BY_HAND: &str =
    "SELECT set_config('search_path', 'tenant_acme', true), set_config('role', 'by_hand', true),
    set_config('app.tenant', 'acme', true), pg_advisory_xact_lock_shared(1)";
/// The server alone: no round trips that would hide a cost.
const LOOP: &str = "DO $$ DECLARE found text; BEGIN
    FOR i IN 1..2000 LOOP SELECT name INTO found FROM users WHERE id = 1 + i * 7919 % 10000; END LOOP; END $$";
/// Shorter than what disturbs a measurement, longer than what a change of sides costs.
const SLICE: Duration = Duration::from_millis(25);
const LOOP_LENGTH: f64 = 2_000.0;

#[derive(Parser)]
#[command(name = "bench", about = "What tenancy costs, as ratios against plain PostgreSQL")]
struct Args {
    /// Rounds of each measurement; a round is one run of either side.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Seconds of each run.
    #[arg(long, default_value_t = 1)]
    seconds: u64,
    /// Tenants for the statistics, and at most for DDL.
    #[arg(long, default_value_t = 1000)]
    tenants: usize,
    /// Measure what watches all tenants with 5,000 of them, too: some minutes.
    #[arg(long)]
    many: bool,
    /// Measure only what watches all tenants.
    #[arg(long)]
    only_scale: bool,
    /// DDL alone.
    #[arg(long)]
    ddl: bool,
    /// Fail when a ratio is below its target.
    #[arg(long)]
    check: bool,
}

/// The two databases: equal but for the extension.
struct Sides {
    tenancy: Db,
    plain: Db,
    role: String,
}

/// Throughput per second of one round on either side.
type Round = (f64, f64);

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) if !args.check => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Outcome<bool> {
    if args.only_scale {
        return scale::run(args);
    }
    let sides = prepare()?;
    let version: String = sides.plain.superuser().query_one("SHOW server_version", &[])?.get(0);
    warn_when_busy();
    println!("PostgreSQL {version}, 1 client, {} rounds of {} s a side, in turns", args.rounds, args.seconds);
    println!(
        "{:<50} {:>11} {:>11} {:>7} {:>15}  target",
        "per second (medians)", "plio_tenancy", "plain", "ratio", "quartiles"
    );
    let mut good = true;
    if args.ddl {
        return ddl::run(args);
    }
    println!("BEGIN; ...; PK SELECT; COMMIT:");
    for (what, over, target, enter, path) in [
        ("  set_tenant() | SET LOCAL search_path", Over::Socket, Some(0.95), ENTER, PATH),
        ("  the same over TCP", Over::Tcp, None, ENTER, PATH),
        ("  set_tenant() | set_config('search_path')", Over::Socket, None, ENTER, PATH_BY_FUNCTION),
        ("  set_tenant() | path, role, name, lock by hand", Over::Socket, None, ENTER, BY_HAND),
        ("  SET LOCAL plio.tenant | SET LOCAL search_path", Over::Socket, None, ENTER_BY_SET, PATH),
    ] {
        good &= report(what, target, &short_transactions(args, &sides, over, enter, path)?);
    }
    // What nobody can do better: PostgreSQL's own functions in the place of SET, in the database without us.
    let alone = Sides { tenancy: sides.plain.clone(), plain: sides.plain.clone(), role: sides.role.clone() };
    println!("the same in PostgreSQL without us, both sides:");
    for (what, instead) in [
        ("  set_config('search_path') | SET LOCAL", PATH_BY_FUNCTION),
        ("  the four by hand | SET LOCAL", BY_HAND),
    ] {
        report(what, None, &short_transactions(args, &alone, Over::Socket, instead, PATH)?);
    }
    good &= report("PK SELECT inside one transaction", Some(0.98), &selects(args, &sides)?);
    good &= report("PK SELECT in a plpgsql loop, server alone", None, &loops(args, &sides)?);
    good &= denials::run(args)?;
    good &= report_views::run(args)?;
    good &= scale::run(args)?;
    good &= ddl::run(args)?;
    Ok(good)
}

fn prepare() -> Outcome<Sides> {
    // Autovacuum and checkpoints in the middle of a run would hit one side only.
    let cluster =
        Cluster::start(&["autovacuum = off", "checkpoint_timeout = '1h'", "shared_buffers = '256MB'"]);
    let (tenancy, plain) = (cluster.database("tenancy"), cluster.database("plain"));
    let role = tenancy.login_role("app");
    tenancy.extension();
    let mut admin = tenancy.superuser();
    admin.batch_execute("SELECT plio.create_tenant('acme')")?;
    admin.execute("SELECT plio.grant_access($1, 'acme')", &[&role])?;
    admin.batch_execute(&format!("BEGIN; {ENTER}; {TABLE}; COMMIT"))?;
    admin.batch_execute("VACUUM ANALYZE")?;
    let mut admin = plain.superuser();
    admin.batch_execute(&format!(
        "CREATE SCHEMA tenant_acme; BEGIN; {PATH}; {TABLE}; COMMIT;
         CREATE ROLE by_hand; GRANT by_hand TO {role};
         GRANT USAGE ON SCHEMA tenant_acme TO {role}, by_hand; GRANT SELECT ON tenant_acme.users TO {role}, by_hand"
    ))?;
    admin.batch_execute("VACUUM ANALYZE")?;
    let loaded: bool =
        admin.query_one("SELECT current_setting('plio.tenant', true) IS NOT NULL", &[])?.get(0);
    if loaded {
        return Err("the library is loaded in the database that should be without it".into());
    }
    Ok(Sides { tenancy, plain, role })
}

/// What `pgbench -M prepared` does: each statement of the script a prepared one, each a round trip.
fn short_transactions(
    args: &Args,
    sides: &Sides,
    over: Over,
    enter: &str,
    path: &str,
) -> Outcome<Vec<Round>> {
    let (mut tenancy, mut plain) =
        (over.connect(&sides.tenancy, &sides.role)?, over.connect(&sides.plain, &sides.role)?);
    let (in_tenancy, in_plain) = (Script::prepare(&mut tenancy, enter)?, Script::prepare(&mut plain, path)?);
    alternate(args, |id| in_tenancy.run(&mut tenancy, id), |id| in_plain.run(&mut plain, id))
}

/// How the client reaches the server: what a round trip costs decides how much of it the rest is.
#[derive(Clone, Copy)]
enum Over {
    Socket,
    Tcp,
}

impl Over {
    fn connect(self, db: &Db, role: &str) -> Outcome<Client> {
        Ok(match self {
            Self::Socket => db.connect(role),
            Self::Tcp => Client::connect(&db.conninfo(role), NoTls)?,
        })
    }
}

struct Script {
    begin: Statement,
    enter: Statement,
    select: Statement,
    commit: Statement,
}

impl Script {
    fn prepare(client: &mut Client, enter: &str) -> Outcome<Self> {
        // The table's name is looked up while it is prepared.
        client.batch_execute(&format!("BEGIN; {enter}"))?;
        let script = Self {
            begin: client.prepare("BEGIN")?,
            enter: client.prepare(enter)?,
            select: client.prepare(SELECT)?,
            commit: client.prepare("COMMIT")?,
        };
        client.batch_execute("COMMIT")?;
        Ok(script)
    }

    fn run(&self, client: &mut Client, id: i64) -> Outcome<()> {
        client.execute(&self.begin, &[])?;
        client.execute(&self.enter, &[])?;
        client.query_one(&self.select, &[&id])?;
        client.execute(&self.commit, &[])?;
        Ok(())
    }
}

/// One prepared statement, one connection and one transaction a side for all rounds.
fn selects(args: &Args, sides: &Sides) -> Outcome<Vec<Round>> {
    let (mut tenancy, mut plain) = both_inside(sides)?;
    let (in_tenancy, in_plain) = (tenancy.prepare(SELECT)?, plain.prepare(SELECT)?);
    alternate(
        args,
        |id| Ok(tenancy.query_one(&in_tenancy, &[&id]).map(drop)?),
        |id| Ok(plain.query_one(&in_plain, &[&id]).map(drop)?),
    )
}

fn loops(args: &Args, sides: &Sides) -> Outcome<Vec<Round>> {
    let (mut tenancy, mut plain) = both_inside(sides)?;
    let rounds = alternate(args, |_| Ok(tenancy.batch_execute(LOOP)?), |_| Ok(plain.batch_execute(LOOP)?))?;
    Ok(rounds.into_iter().map(|(a, b)| (a * LOOP_LENGTH, b * LOOP_LENGTH)).collect())
}

/// A connection a side, each inside a transaction that never ends.
fn both_inside(sides: &Sides) -> Outcome<(Client, Client)> {
    let (mut tenancy, mut plain) = (sides.tenancy.connect(&sides.role), sides.plain.connect(&sides.role));
    tenancy.batch_execute(&format!("BEGIN; {ENTER}"))?;
    plain.batch_execute(&format!("BEGIN; {PATH}"))?;
    Ok((tenancy, plain))
}

/// One side's work so far.
#[derive(Default)]
struct Meter {
    done: i64,
    /// By the clock that counts.
    spent: Duration,
    /// By the clock on the wall.
    passed: Duration,
}

impl Meter {
    /// Works for one slice.
    fn slice(
        &mut self,
        clock: &impl Fn() -> Duration,
        work: &mut impl FnMut(i64) -> Outcome<()>,
    ) -> Outcome<()> {
        let (began, before) = (Instant::now(), clock());
        while began.elapsed() < SLICE {
            work(1 + self.done * 7919 % ROWS)?;
            self.done += 1;
        }
        self.spent += clock() - before;
        self.passed += began.elapsed();
        Ok(())
    }

    fn per_second(&self) -> f64 {
        self.done as f64 / self.spent.as_secs_f64()
    }
}

/// The rounds, after one that does not count. Within a round the sides take turns in short slices, so that
/// whatever else the machine does hits both alike; each turn begins with the other side.
fn alternate(
    args: &Args,
    tenancy: impl FnMut(i64) -> Outcome<()>,
    plain: impl FnMut(i64) -> Outcome<()>,
) -> Outcome<Vec<Round>> {
    let start = Instant::now();
    let clock = || start.elapsed();
    alternate_by(args, (clock, clock), tenancy, plain)
}

/// The same by other clocks, one a side.
fn alternate_by(
    args: &Args,
    clocks: (impl Fn() -> Duration, impl Fn() -> Duration),
    mut tenancy: impl FnMut(i64) -> Outcome<()>,
    mut plain: impl FnMut(i64) -> Outcome<()>,
) -> Outcome<Vec<Round>> {
    let mut results = Vec::new();
    for _ in 0..=args.rounds {
        let (mut one, mut other) = (Meter::default(), Meter::default());
        while one.passed < Duration::from_secs(args.seconds) {
            one.slice(&clocks.0, &mut tenancy)?;
            other.slice(&clocks.1, &mut plain)?;
            other.slice(&clocks.1, &mut plain)?;
            one.slice(&clocks.0, &mut tenancy)?;
        }
        results.push((one.per_second(), other.per_second()));
    }
    results.remove(0);
    Ok(results)
}

/// Others at work make single rounds useless; the medians hold out longer.
fn warn_when_busy() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    if load > cores as f64 {
        println!("(the machine is busy, load {load:.1} on {cores} cores: look at the quartiles)");
    }
}

/// Prints a line; false when the ratio is below its target.
fn report(what: &str, target: Option<f64>, rounds: &[Round]) -> bool {
    let sorted = |number: fn(&Round) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(number).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let ratios = sorted(|(tenancy, plain)| tenancy / plain);
    let ratio = quantile(&ratios, 0.5);
    let good = target.is_none_or(|target| ratio >= target);
    let verdict = target.map_or_else(
        || "-".to_owned(),
        |target| format!("{target:.2} {}", if good { "met" } else { "MISSED" }),
    );
    println!(
        "{what:<50} {:>11.0} {:>11.0} {ratio:>7.3} {:>7.3} {:>7.3}  {verdict}",
        quantile(&sorted(|round| round.0), 0.5),
        quantile(&sorted(|round| round.1), 0.5),
        quantile(&ratios, 0.25),
        quantile(&ratios, 0.75),
    );
    good
}

/// Of sorted numbers; between two of them, the nearer.
fn quantile(sorted: &[f64], which: f64) -> f64 {
    let index = (which * (sorted.len().saturating_sub(1)) as f64).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}
