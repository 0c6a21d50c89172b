//! A line for each stage while the demo is built: what, how far, how many rows, how long.

use std::io::Write;
use std::sync::Mutex;
use std::time::Instant;

use crate::layout::{Paint, Screen};

/// A stage that is under way. On a terminal its line is redrawn, elsewhere it appears once, at the end.
pub struct Stage<'a> {
    screen: &'a Screen,
    name: &'static str,
    began: Instant,
}

impl<'a> Stage<'a> {
    /// Starts the clock.
    pub fn begin(screen: &'a Screen, name: &'static str) -> Self {
        let stage = Self { screen, name, began: Instant::now() };
        stage.draw("...");
        stage
    }

    /// Something worth saying on a line of its own.
    pub fn note(&mut self, text: &str) {
        self.clear();
        println!("  {:<18} {text}", self.name);
    }

    /// Ends the stage with what came of it.
    pub fn end(self, text: &str) {
        self.clear();
        let seconds = format!("{:6.1} s", self.began.elapsed().as_secs_f64());
        println!("  {:<18} {text:<60} {}", self.name, self.screen.paint(Paint::Faint, &seconds));
    }

    fn draw(&self, text: &str) {
        if self.screen.is_terminal {
            print!("\r\x1b[2K  {:<18} {text}", self.name);
            // A progress line that cannot be shown is no reason to stop.
            let _ = std::io::stdout().flush();
        }
    }

    fn clear(&self) {
        if self.screen.is_terminal {
            print!("\r\x1b[2K");
        }
    }
}

/// A stage made of equal steps that several threads take.
pub struct Bar<'a> {
    stage: Stage<'a>,
    total: usize,
    done: Mutex<(usize, u64)>,
}

impl<'a> Bar<'a> {
    /// Starts with nothing done.
    pub fn begin(screen: &'a Screen, name: &'static str, total: usize) -> Self {
        Self { stage: Stage::begin(screen, name), total, done: Mutex::new((0, 0)) }
    }

    /// One step more, and what it brought.
    pub fn step(&self, rows: u64) {
        let Ok(mut done) = self.done.lock() else {
            return;
        };
        done.0 += 1;
        done.1 += rows;
        let filled = 24 * done.0 / self.total.max(1);
        let bar: String = (0..24).map(|i| if i < filled { '█' } else { '░' }).collect();
        let seconds = self.stage.began.elapsed().as_secs_f64();
        let text = format!("{bar} {}/{}  {} rows  {seconds:.1} s", done.0, self.total, thousands(done.1));
        self.stage.draw(&text);
    }

    /// Ends the stage and tells how many rows came in.
    pub fn end(self, of_what: &str) -> u64 {
        let (steps, rows) = self.done.into_inner().unwrap_or_default();
        self.stage.end(&format!("{steps} {of_what}, {} rows", thousands(rows)));
        rows
    }
}

/// 1234567 as 1,234,567.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_parted() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567].map(thousands).each_ref().map(|text| text.as_str())
        );
    }
}
