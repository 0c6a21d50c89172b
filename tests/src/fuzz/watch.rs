//! Who watches what does not end: a statement that runs for long is cancelled, and must have ended two seconds later.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;

use crate::fuzz::attack::{administrator, plain};
use crate::fuzz::cast;
use crate::fuzz::oracle::{Finding, Kind};
use crate::fuzz::world::World;

/// The attackers' statements end after 150 ms by themselves, but for those that fire at COMMIT.
const LONG: &str = "4 s";
/// From the cancel to the end.
const LIMIT: Duration = Duration::from_secs(2);
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// Watches until told to stop.
pub fn watch(world: &World, long: Option<&str>, is_over: &AtomicBool) -> Vec<Finding> {
    let mut admin = administrator(world);
    let mut cancelled: HashMap<(i32, String), Instant> = HashMap::new();
    let mut found = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(BETWEEN_LOOKS);
        let running = match running(&mut admin, world, long.unwrap_or(LONG)) {
            Ok(running) => running,
            Err(_) if admin.is_closed() => {
                world.db.cluster().wait_ready();
                admin = administrator(world);
                continue;
            }
            Err(_) => continue,
        };
        let mut still = HashMap::new();
        for (pid, began, query) in running {
            let key = (pid, began);
            match cancelled.get(&key) {
                None => {
                    let _ = admin.query("SELECT pg_cancel_backend($1)", &[&pid]);
                    still.insert(key, Instant::now());
                }
                Some(since) if since.elapsed() < LIMIT => drop(still.insert(key, *since)),
                Some(_) => {
                    let what = "a statement that was cancelled two seconds ago goes on".to_owned();
                    found.push(Finding { statement: query, ..plain(Kind::Hang, what) });
                    end(&mut admin, world, pid);
                }
            }
        }
        cancelled = still;
    }
    found
}

fn running(
    admin: &mut Client,
    world: &World,
    long: &str,
) -> Result<Vec<(i32, String, String)>, postgres::Error> {
    let query = format!(
        "SELECT pid, query_start::text, left(query, 600) FROM pg_stat_activity
          WHERE usesysid = ANY ({}) AND state = 'active' AND backend_type = 'client backend' AND clock_timestamp() - query_start > interval '{long}'",
        cast::oids(world)
    );
    Ok(admin.query(&query, &[])?.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

/// Terminates a process; kills it where that does not help, which restarts the server.
fn end(admin: &mut Client, world: &World, pid: i32) {
    let ended = admin.query_one("SELECT pg_terminate_backend($1, 5000)", &[&pid]);
    if !ended.is_ok_and(|row| row.get(0)) && std::path::Path::new(&format!("/proc/{pid}")).exists() {
        world.db.cluster().kill_backend(pid);
    }
}
