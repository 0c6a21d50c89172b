//! HTML that cannot be broken out of: tags and classes are ours, texts are escaped.

/// A page under construction.
pub struct Html(String);

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --bad: #b3261e; --warn: #9a6700; --good: #1a7f37; --a: #3b6fb6; --b: #8fb3e0; --c: #c9a227 }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
h1 { margin: 0; overflow-wrap: anywhere } h2 { margin: 2.5rem 0 .5rem } header p { margin: .2rem 0 }
table { border-collapse: collapse; width: 100% } th { text-align: left; font-weight: 600; white-space: nowrap }
th, td { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere }
.verdict { font-weight: 600 } .critical { color: var(--bad); font-weight: 600 } .warning, .suspended { color: var(--warn); font-weight: 600 }
.good { color: var(--good) } .missing { font-style: italic } .scroll { overflow-x: auto }
.bar { display: grid; grid-template-columns: 12rem 1fr 11rem; gap: .6rem; align-items: center; margin: .15rem 0 }
.bar span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap } .track { display: flex; height: .9rem }
.t { background: var(--a) } .i { background: var(--b) } .o { background: var(--c) }
.key b { display: inline-block; width: .8rem; height: .8rem; margin: 0 .3rem 0 .8rem } svg { width: 100%; height: 9rem } rect { fill: var(--a) }
text { font: 11px system-ui, sans-serif; fill: currentColor }
";

impl Html {
    /// The head of a page, and the begin of its body.
    pub fn page(title: &str) -> Self {
        let mut html =
            Self(String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"));
        // Nothing is loaded, nothing is run, whatever a name says.
        html.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n");
        html.raw("<meta name=\"viewport\" content=\"width=device-width\">\n");
        html.element("title", title).raw("<style>").raw(STYLE).raw("</style>\n</head>\n<body>\n");
        html
    }

    /// The whole page.
    pub fn end(mut self) -> String {
        self.raw("</body>\n</html>\n");
        self.0
    }

    /// Markup of ours, as it is: never a text of the database's.
    pub fn raw(&mut self, markup: &str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// A text, whatever is in it.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                // What turns the writing direction, and what no page may hold, is shown instead.
                c if c.is_control() => self.0.push('\u{fffd}'),
                '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    self.0.push('\u{fffd}')
                }
                c => self.0.push(c),
            }
        }
        self
    }

    pub fn open(&mut self, tag: &str) -> &mut Self {
        self.raw("<").raw(tag).raw(">\n")
    }

    pub fn close(&mut self, tag: &str) -> &mut Self {
        self.raw("</").raw(tag).raw(">\n")
    }

    /// An element with a text in it.
    pub fn element(&mut self, tag: &str, text: &str) -> &mut Self {
        self.raw("<").raw(tag).raw(">").text(text).raw("</").raw(tag).raw(">\n")
    }

    /// The same with a class, which may be a word of the database's.
    pub fn classed(&mut self, tag: &str, class: &str, text: &str) -> &mut Self {
        self.raw("<")
            .raw(tag)
            .raw(" class=\"")
            .text(class)
            .raw("\">")
            .text(text)
            .raw("</")
            .raw(tag)
            .raw(">\n")
    }

    /// A table; the words of one column are its cells' class.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>], class_column: Option<usize>) -> &mut Self {
        self.raw("<div class=\"scroll\"><table>\n<tr>");
        for name in head {
            self.element("th", name);
        }
        self.raw("</tr>\n");
        for row in rows {
            self.raw("<tr>");
            for (i, cell) in row.iter().enumerate() {
                if class_column == Some(i) {
                    self.classed("td", cell, cell)
                } else {
                    self.element("td", cell)
                };
            }
            self.raw("</tr>\n");
        }
        self.raw("</table></div>\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_out() {
        let hostile = "<script>alert('x')</script>\" onload=\"y\u{202e}\u{1b}&amp;";
        let mut html = Html::page(hostile);
        html.element("p", hostile).classed("p", hostile, hostile).table(
            &["a"],
            &[vec![hostile.to_owned()]],
            Some(0),
        );
        let page = html.end();
        assert!(!page.contains("<script") && !page.contains("onload=\"y"), "{page}");
        assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}'));
        assert!(page.contains(
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; onload=&quot;y\u{fffd}\u{fffd}&amp;amp;"
        ));
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
    }
}
