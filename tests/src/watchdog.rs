//! Ends a server and removes its folder when the test process has ended, however it ended.
//!
//! A shell holds the other end of a pipe: the kernel closes ours even after SIGKILL or an abort. It kills
//! only the process that this data directory names as its postmaster and that has it as its working folder.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
read -r _
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$1/data" ]; then
    kill -QUIT "$pid"
    tries=0
    while [ -d "/proc/$pid" ] && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
fi
rm -rf "$1"
"#;

/// Lives as long as the server is wanted; dropping it ends the server and waits for that.
#[derive(Debug)]
pub struct Watchdog(Child);

impl Watchdog {
    /// Watches over the server in `base`, which need not run yet.
    pub fn over(base: &Path) -> Self {
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "plio-watchdog"])
            .arg(base)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in the terminal reaches the whole group.
            .process_group(0)
            .spawn()
            .expect("a shell");
        Self(child)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Nothing to be done about a failure: the shell has the pipe's end in any case.
        let _ = self.0.wait();
    }
}
