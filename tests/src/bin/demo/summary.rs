//! The end of the story: the table, the sizes, how to go on.

use std::time::Duration;

use crate::layout::{Paint, Screen};
use crate::load::Sizes;
use crate::place::Place;
use crate::progress::thousands;
use crate::scene::{Outcomes, Played};
use crate::sweep::Strays;

/// Shows the table and returns how many answers were not the expected ones.
pub fn show(screen: &Screen, played: &[Played]) -> usize {
    let mistakes: Vec<_> = played.iter().filter(|scene| scene.is_mistake).collect();
    let rows: Vec<_> = mistakes
        .iter()
        .map(|scene| [scene.title.to_owned(), cell(&scene.plain), cell(&scene.tenancy)])
        .collect();
    let width = |column: usize, head: &str| {
        rows.iter().map(|row| row[column].chars().count()).chain([head.chars().count()]).max().unwrap_or(0)
    };
    let heads = ["mistake", "search_path alone", "plio_tenancy"];
    let [first, second, third] = [0, 1, 2].map(|column| width(column, heads[column]));
    println!("\n  {}", screen.paint(Paint::Title, "What came of it"));
    println!("\n    {:<first$}   {:<second$}   {}", heads[0], heads[1], heads[2]);
    println!("    {}", screen.paint(Paint::Faint, &"─".repeat(first + second + third + 6)));
    for (scene, [mistake, plain, tenancy]) in mistakes.iter().zip(&rows) {
        let plain = screen.paint(paint(&scene.plain), &format!("{plain:<second$}"));
        println!("    {mistake:<first$}   {plain}   {}", screen.paint(paint(&scene.tenancy), tenancy));
    }
    show_differences(screen, played)
}

/// Says what the sweep found and returns how much of it there is.
pub fn show_strays(screen: &Screen, strays: &Strays) -> usize {
    let (rows, count) = (thousands(strays.rows), strays.found.len());
    println!("\n    {rows} rows looked through for another organization's canary: {count} found");
    for stray in &strays.found {
        println!("    {}", screen.paint(Paint::Bad, stray));
    }
    count
}

/// How much there was to it.
pub fn show_sizes(sizes: &Sizes, took: Duration) {
    println!(
        "    {} organizations, {} tables, {} rows, {} MB; {:.1} s in all",
        sizes.organizations,
        thousands(sizes.tables.unsigned_abs()),
        thousands(sizes.rows),
        sizes.bytes / 1_000_000,
        took.as_secs_f64()
    );
}

fn paint(outcomes: &Outcomes) -> Paint {
    let is_bad = !outcomes.harms.is_empty() || !outcomes.differences.is_empty();
    if is_bad { Paint::Bad } else { Paint::Good }
}

/// A side in a few words.
fn cell(outcomes: &Outcomes) -> String {
    if !outcomes.differences.is_empty() {
        return "NOT AS EXPECTED".to_owned();
    }
    if !outcomes.harms.is_empty() {
        return outcomes.harms.join("; ");
    }
    let codes: Vec<_> = outcomes.refusals.iter().map(String::as_str).collect();
    match (outcomes.is_right, codes.is_empty()) {
        (true, true) => "the right rows".to_owned(),
        (true, false) => format!("the right rows, else refused ({})", codes.join(", ")),
        (false, false) => format!("refused ({})", codes.join(", ")),
        (false, true) => "nothing".to_owned(),
    }
}

fn show_differences(screen: &Screen, played: &[Played]) -> usize {
    let mut count = 0;
    for scene in played {
        for difference in scene.plain.differences.iter().chain(&scene.tenancy.differences) {
            if count == 0 {
                println!("\n  {}", screen.paint(Paint::Bad, "Not as expected"));
            }
            println!("    {}: {difference}", scene.title);
            count += 1;
        }
    }
    count
}

/// The lines to type next.
pub fn show_how_to_go_on(place: &Place, screen: &Screen) {
    let base = place.run.display();
    println!("\n    The server stays up. Go on with");
    println!("      {}", screen.paint(Paint::Statement, "make psql"));
    let line = format!("psql -h {base} -U app plio");
    println!(
        "      {}      (also: -U dba, -U postgres; database plain)",
        screen.paint(Paint::Statement, &line)
    );
    let first = "BEGIN; SELECT plio.set_tenant('banyan'); SELECT id, name FROM plio LIMIT 5;";
    println!("      {}", screen.paint(Paint::Statement, first));
    println!("    and end it with {}", screen.paint(Paint::Statement, "make demo-stop"));
}
