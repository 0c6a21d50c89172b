//! What tenancy costs: each measurement alternates with the same work in a database without the extension.
//!
//! Absolute numbers say little on a shared machine, so both sides run in one cluster, in turns, and the
//! verdict is the median of the rounds' ratios. One client, prepared statements, everything in memory.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use plio_tests::{Cluster, Db};
use postgres::Client;

type Outcome<T> = Result<T, Box<dyn Error>>;

const ROWS: i64 = 10_000;
const TABLE: &str = "CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL);
    INSERT INTO users SELECT i, 'name ' || i FROM generate_series(1, 10000) AS i";
const SELECT: &str = "SELECT name FROM users WHERE id = $1";
const ENTER: &str = "SELECT plio.set_tenant('acme')";
const PATH: &str = "SET LOCAL search_path = tenant_acme";
/// The server alone: no round trips that would hide a cost.
const LOOP: &str = "DO $$ DECLARE found text; BEGIN
    FOR i IN 1..20000 LOOP SELECT name INTO found FROM users WHERE id = 1 + i % 10000; END LOOP; END $$";
const LOOP_LENGTH: f64 = 20_000.0;

#[derive(Parser)]
#[command(name = "bench", about = "What tenancy costs, as ratios against plain PostgreSQL")]
struct Args {
    /// Rounds of each measurement; a round is one run of either side.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Seconds of each run.
    #[arg(long, default_value_t = 1)]
    seconds: u64,
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
    let sides = prepare()?;
    let version: String = sides.plain.superuser().query_one("SHOW server_version", &[])?.get(0);
    println!("PostgreSQL {version}, 1 client, {} rounds of {} s a side, in turns", args.rounds, args.seconds);
    println!(
        "{:<50} {:>11} {:>11} {:>7} {:>15}  target",
        "per second (medians)", "plio_tenancy", "plain", "ratio", "quartiles"
    );
    warn_when_busy();
    let mut good = true;
    good &= report(
        "BEGIN; set_tenant | SET LOCAL; PK SELECT; COMMIT",
        Some(0.95),
        &short_transactions(args, &sides)?,
    );
    good &= report("PK SELECT inside one transaction", Some(0.98), &selects(args, &sides)?);
    good &= report("PK SELECT in a plpgsql loop, server alone", None, &loops(args, &sides)?);
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
         GRANT USAGE ON SCHEMA tenant_acme TO {role}; GRANT SELECT ON tenant_acme.users TO {role}"
    ))?;
    admin.batch_execute("VACUUM ANALYZE")?;
    let loaded: bool =
        admin.query_one("SELECT current_setting('plio.tenant', true) IS NOT NULL", &[])?.get(0);
    if loaded {
        return Err("the library is loaded in the database that should be without it".into());
    }
    Ok(Sides { tenancy, plain, role })
}

/// pgbench -M prepared, a connection for each run.
fn short_transactions(args: &Args, sides: &Sides) -> Outcome<Vec<Round>> {
    let folder = tempfile::tempdir()?;
    let script = |name: &str, enter: &str| -> Outcome<_> {
        let path = folder.path().join(name);
        let mut file = std::fs::File::create(&path)?;
        write!(
            file,
            "\\set id random(1, {ROWS})\nBEGIN;\n{enter};\n{};\nCOMMIT;\n",
            SELECT.replace("$1", ":id")
        )?;
        Ok(path)
    };
    let (enter, path) = (script("enter.sql", ENTER)?, script("path.sql", PATH)?);
    alternate(
        args.rounds,
        || pgbench(args, &sides.tenancy, &sides.role, &enter),
        || pgbench(args, &sides.plain, &sides.role, &path),
    )
}

fn pgbench(args: &Args, db: &Db, role: &str, script: &Path) -> Outcome<f64> {
    let output = db
        .cluster()
        .program("pgbench")
        .args(["--no-vacuum", "--protocol=prepared", "--client=1", "--username", role])
        .args(["--time", &args.seconds.to_string()])
        .arg("--file")
        .arg(script)
        .arg(db.name())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    match tps {
        Some(tps) if output.status.success() => Ok(tps),
        _ => Err(format!("pgbench: {text}{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// One prepared statement, one connection and one transaction a side for all rounds.
fn selects(args: &Args, sides: &Sides) -> Outcome<Vec<Round>> {
    let (mut tenancy, mut plain) = both_inside(sides)?;
    let length = Duration::from_secs(args.seconds);
    let (in_tenancy, in_plain) = (tenancy.prepare(SELECT)?, plain.prepare(SELECT)?);
    alternate(
        args.rounds,
        || per_second(length, |id| Ok(tenancy.query_one(&in_tenancy, &[&id]).map(drop)?)),
        || per_second(length, |id| Ok(plain.query_one(&in_plain, &[&id]).map(drop)?)),
    )
}

fn loops(args: &Args, sides: &Sides) -> Outcome<Vec<Round>> {
    let (mut tenancy, mut plain) = both_inside(sides)?;
    let length = Duration::from_secs(args.seconds);
    let rounds = alternate(
        args.rounds,
        || per_second(length, |_| Ok(tenancy.batch_execute(LOOP)?)),
        || per_second(length, |_| Ok(plain.batch_execute(LOOP)?)),
    )?;
    Ok(rounds.into_iter().map(|(a, b)| (a * LOOP_LENGTH, b * LOOP_LENGTH)).collect())
}

/// A connection a side, each inside a transaction that never ends.
fn both_inside(sides: &Sides) -> Outcome<(Client, Client)> {
    let (mut tenancy, mut plain) = (sides.tenancy.connect(&sides.role), sides.plain.connect(&sides.role));
    tenancy.batch_execute(&format!("BEGIN; {ENTER}"))?;
    plain.batch_execute(&format!("BEGIN; {PATH}"))?;
    Ok((tenancy, plain))
}

fn per_second(length: Duration, mut work: impl FnMut(i64) -> Outcome<()>) -> Outcome<f64> {
    let began = Instant::now();
    let mut done: i64 = 0;
    while began.elapsed() < length {
        work(1 + done * 7919 % ROWS)?;
        done += 1;
    }
    Ok(done as f64 / began.elapsed().as_secs_f64())
}

/// Runs both sides in turns, every other round in the other order, after one round that does not count.
fn alternate(
    rounds: usize,
    mut tenancy: impl FnMut() -> Outcome<f64>,
    mut plain: impl FnMut() -> Outcome<f64>,
) -> Outcome<Vec<Round>> {
    let mut results = Vec::new();
    for round in 0..=rounds {
        let result = if round % 2 == 0 {
            (tenancy()?, plain()?)
        } else {
            let second = plain()?;
            (tenancy()?, second)
        };
        if round > 0 {
            results.push(result);
        }
    }
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
