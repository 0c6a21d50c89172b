//! Text on a terminal: colours when there is one, wrapping, two columns when they fit.

use std::env;
use std::io::{IsTerminal, stdout};
use std::process::{Command, Stdio};

/// Below this, two columns would be too narrow for a statement.
const WIDTH_FOR_COLUMNS: usize = 120;

/// What a line of text is; on a terminal each has its colour.
#[derive(Clone, Copy, PartialEq)]
pub enum Paint {
    Title,
    Statement,
    Answer,
    Good,
    Bad,
    Faint,
}

/// A line of text and what it is.
pub type Line = (Paint, String);

/// Where the text goes.
pub struct Screen {
    pub is_terminal: bool,
    pub width: usize,
}

impl Screen {
    /// Asks the terminal; a file or a pipe gets 140 columns, or what COLUMNS says.
    pub fn detect() -> Self {
        let is_terminal = stdout().is_terminal();
        let told = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        let width = told.or_else(|| if is_terminal { terminal_width() } else { None }).unwrap_or(140);
        Self { is_terminal: is_terminal && env::var_os("NO_COLOR").is_none(), width: width.clamp(60, 180) }
    }

    /// The text in the colour of its kind.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        if !self.is_terminal {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Title => "1",
            Paint::Statement => "36",
            Paint::Answer => return text.to_owned(),
            Paint::Good => "32",
            Paint::Bad => "1;31",
            Paint::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// One block of lines, wrapped.
    pub fn show(&self, lines: &[Line]) {
        for (paint, text) in wrap_all(lines, self.width - 4) {
            println!("    {}", self.paint(paint, &text));
        }
    }

    /// Two blocks beside each other, or below each other where the screen is narrow.
    pub fn show_beside(&self, left: &[Line], right: &[Line]) {
        if self.width < WIDTH_FOR_COLUMNS {
            self.show(left);
            println!();
            return self.show(right);
        }
        let width = (self.width - 7) / 2;
        let (left, right) = (wrap_all(left, width), wrap_all(right, width));
        let nothing = (Paint::Answer, String::new());
        for i in 0..left.len().max(right.len()) {
            let (paint, text) = left.get(i).unwrap_or(&nothing);
            let padded = format!("{text:<width$}");
            let (other_paint, other) = right.get(i).unwrap_or(&nothing);
            let line = format!("    {} │ {}", self.paint(*paint, &padded), self.paint(*other_paint, other));
            println!("{}", line.trim_end());
        }
    }
}

fn terminal_width() -> Option<usize> {
    let size =
        Command::new("stty").arg("size").stdin(Stdio::inherit()).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(size.stdout).ok()?.split_whitespace().nth(1)?.parse().ok()
}

fn wrap_all(lines: &[Line], width: usize) -> Vec<Line> {
    lines.iter().flat_map(|(paint, text)| wrap(text, width).into_iter().map(|part| (*paint, part))).collect()
}

/// Breaks at blanks; what follows the first line is indented as the text was, and a little more.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let indent = text.chars().take_while(|c| *c == ' ').count() + 2;
    let mut parts = Vec::new();
    let mut line = " ".repeat(indent - 2);
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            parts.push(std::mem::replace(&mut line, " ".repeat(indent)));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    parts.push(line);
    parts
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn text_is_wrapped_under_its_indent() {
        assert_eq!(wrap("   one two three four", 12), ["   one two", "     three", "     four"]);
        assert_eq!(wrap("short", 12), ["short"]);
        assert_eq!(wrap("", 12), [""]);
        assert_eq!(wrap("averyverylongword", 5), ["averyverylongword"]);
    }
}
