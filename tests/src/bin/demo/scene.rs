//! The story's grammar: a scene is one mistake, told twice, each step a real statement with what must come
//! of it. Playing a scene runs, shows and checks it.

use std::collections::BTreeSet;

use crate::Outcome;
use crate::layout::{Line, Paint, Screen};
use crate::place::Place;

mod actor;
mod answer;

use actor::Actors;

/// Who is connected.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Login {
    App,
    Superuser,
}

impl Login {
    const fn role(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Superuser => "postgres",
        }
    }

    const fn prompt(self) -> &'static str {
        match self {
            Self::App => "app=>",
            Self::Superuser => "postgres=#",
        }
    }
}

/// What is sent.
#[derive(Clone, Copy)]
pub enum Act {
    /// The text, as a simple query.
    Sql(&'static str),
    /// Parse: the driver keeps the statement for later.
    Prepare(&'static str),
    /// Bind and execute what was prepared, with this id.
    Execute(i64),
}

/// What must come of it.
#[derive(Clone, Copy)]
pub enum Expect {
    /// It succeeds, and shows no organization's rows.
    Fine,
    /// Rows of this organization and of no other.
    Rows(&'static str),
    /// The first field of the first row.
    Value(&'static str),
    /// The pid of the backend: all through a scene the same.
    SameBackend,
    /// An error with this SQLSTATE.
    Refused(&'static str),
    /// Rows of this organization, which should not have come.
    Leak(&'static str),
    /// An error with this SQLSTATE that itself tells too much; the text says what.
    Oracle(&'static str, &'static str),
    /// It succeeds and should not have; the text says what it did.
    Harm(&'static str),
}

/// One statement of one side.
#[derive(Clone, Copy)]
pub struct Step {
    pub login: Login,
    pub act: Act,
    pub expect: Expect,
}

/// A statement by `app`.
pub const fn sql(text: &'static str, expect: Expect) -> Step {
    Step { login: Login::App, act: Act::Sql(text), expect }
}

impl Step {
    /// The same by somebody else.
    pub const fn by(self, login: Login) -> Self {
        Self { login, ..self }
    }
}

/// One mistake, or one right use when there is nothing to compare with.
pub struct Scene {
    pub title: &'static str,
    /// How it comes about.
    pub why: &'static str,
    /// In the database `plain`.
    pub plain: Vec<Step>,
    /// In the database `plio`.
    pub tenancy: Vec<Step>,
}

/// What a side came to, for the table at the end.
#[derive(Default)]
pub struct Outcomes {
    pub harms: Vec<String>,
    pub refusals: BTreeSet<String>,
    pub is_right: bool,
    pub differences: Vec<String>,
}

/// A scene that was played.
pub struct Played {
    pub title: &'static str,
    pub is_mistake: bool,
    pub plain: Outcomes,
    pub tenancy: Outcomes,
}

/// Plays the scenes in order; a difference from what is expected is shown and counted, not fatal.
pub fn play(place: &Place, screen: &Screen, scenes: &[Scene]) -> Outcome<Vec<Played>> {
    scenes.iter().map(|scene| play_one(place, screen, scene)).collect()
}

fn play_one(place: &Place, screen: &Screen, scene: &Scene) -> Outcome<Played> {
    println!("\n  {}", screen.paint(Paint::Title, scene.title));
    screen.show(&[(Paint::Faint, scene.why.to_owned())]);
    println!();
    let (tenancy, right) = side(place, "plio", &scene.tenancy)?;
    let is_mistake = !scene.plain.is_empty();
    let mut plain = Outcomes::default();
    if is_mistake {
        let (outcomes, left) = side(place, "plain", &scene.plain)?;
        plain = outcomes;
        screen.show_beside(&headed("search_path alone", left), &headed("plio_tenancy", right));
    } else {
        screen.show(&right);
    }
    Ok(Played { title: scene.title, is_mistake, plain, tenancy })
}

fn headed(title: &str, lines: Vec<Line>) -> Vec<Line> {
    let head = [(Paint::Title, title.to_owned())];
    head.into_iter().chain(lines).collect()
}

/// One side of a scene on connections of its own; whatever it changed is rolled back.
fn side(place: &Place, database: &str, steps: &[Step]) -> Outcome<(Outcomes, Vec<Line>)> {
    let mut actors = Actors::new(place, database);
    let mut outcomes = Outcomes::default();
    let mut lines = Vec::new();
    for step in steps {
        let answer = actors.perform(step)?;
        lines.push((Paint::Statement, statement(step)));
        let verdict = actors.judge(step, &answer);
        lines.extend(answer.lines());
        lines.extend(outcomes.take(step, verdict));
    }
    actors.leave();
    Ok((outcomes, lines))
}

fn statement(step: &Step) -> String {
    let prompt = step.login.prompt();
    match step.act {
        Act::Sql(text) => format!("{prompt} {text}"),
        Act::Prepare(text) => format!("{prompt} prepare: {text}"),
        Act::Execute(id) => format!("{prompt} execute the prepared statement with $1 = {id}"),
    }
}

impl Outcomes {
    /// Books what a step came to and says it when it is worth a line.
    fn take(&mut self, step: &Step, verdict: Result<(), String>) -> Option<Line> {
        if let Err(difference) = verdict {
            let line = format!("   !! NOT AS EXPECTED: {difference}");
            self.differences.push(format!("{}: {difference}", statement(step)));
            return Some((Paint::Bad, line));
        }
        match step.expect {
            Expect::Leak(org) => {
                let harm = format!("rows of {org}");
                let line = format!("   ✗ LEAK: {harm}");
                self.harms.push(harm);
                Some((Paint::Bad, line))
            }
            Expect::Harm(what) | Expect::Oracle(_, what) => {
                self.harms.push(what.to_owned());
                Some((Paint::Bad, format!("   ✗ HARM: {what}")))
            }
            Expect::Rows(org) => {
                self.is_right = true;
                Some((Paint::Good, format!("   ✓ rows of {org}")))
            }
            Expect::Refused(code) => {
                self.refusals.insert(code.to_owned());
                Some((Paint::Good, "   ✓ refused".to_owned()))
            }
            Expect::Fine | Expect::Value(_) | Expect::SameBackend => None,
        }
    }
}
