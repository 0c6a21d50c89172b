//! Bars and a timeline, of plain markup.

use super::markup::Html;

/// One tenant's size.
pub struct Bar {
    pub label: String,
    /// Bytes of tables, indexes and TOAST.
    pub parts: [i64; 3],
    pub rows: i64,
}

/// A bar for each tenant, the largest as wide as there is room.
pub fn bars(html: &mut Html, all: &[Bar]) {
    let size = |bar: &Bar| bar.parts.iter().map(|part| (*part).max(0)).sum::<i64>();
    let largest = all.iter().map(size).max().unwrap_or(0).max(1) as f64;
    html.raw(
        "<p class=\"key\"><b class=\"t\"></b>tables<b class=\"i\"></b>indexes<b class=\"o\"></b>TOAST</p>\n",
    );
    for bar in all {
        html.raw("<div class=\"bar\">");
        html.element("span", &bar.label).raw("<div class=\"track\">");
        for (class, part) in ["t", "i", "o"].into_iter().zip(bar.parts) {
            let width = 100.0 * part.max(0) as f64 / largest;
            html.raw(&format!("<div class=\"{class}\" style=\"width:{width:.3}%\"></div>"));
        }
        html.raw("</div>")
            .element("span", &format!("{}, {} rows", bytes(size(bar)), bar.rows))
            .raw("</div>\n");
    }
}

/// A size for people.
fn bytes(bytes: i64) -> String {
    let (mut size, mut units) = (bytes as f64, ["kB", "MB", "GB", "TB", "PB"].into_iter());
    let mut unit = "bytes";
    while size >= 1024.0 {
        let Some(next) = units.next() else { break };
        (size, unit) = (size / 1024.0, next);
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{size:.1} {unit}") }
}

/// How many columns a timeline has.
const COLUMNS: usize = 48;

/// When something happened, from the first time until `now`, in seconds; `times` in order.
pub fn timeline(html: &mut Html, times: &[f64], now: f64) {
    let Some(first) = times.first() else { return };
    let counts = histogram(times, *first, now);
    let most = counts.iter().max().copied().unwrap_or(0).max(1);
    html.raw("<svg viewBox=\"0 0 960 130\" preserveAspectRatio=\"none\" role=\"img\">\n");
    for (i, count) in counts.iter().enumerate() {
        let height = 100.0 * *count as f64 / most as f64;
        let (x, y) = (i * 960 / COLUMNS, 110.0 - height);
        html.raw(&format!(
            "<rect x=\"{x}\" y=\"{y:.1}\" width=\"18\" height=\"{height:.1}\"><title>{count}</title></rect>\n"
        ));
    }
    html.raw("</svg>\n");
    html.element("p", &format!("From {} ago until now; the highest column is {most}.", span(now - first)));
}

fn histogram(times: &[f64], first: f64, now: f64) -> [usize; COLUMNS] {
    let mut counts = [0; COLUMNS];
    let length = (now - first).max(1.0);
    for time in times {
        let column = ((time - first) / length * COLUMNS as f64) as usize;
        counts[column.min(COLUMNS - 1)] += 1;
    }
    counts
}

/// A length of time for people.
fn span(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} seconds"),
        s if s < 7200.0 => format!("{:.0} minutes", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} hours", s / 3600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(
            [bytes(0), bytes(1023), bytes(1536), bytes(5 << 30)],
            ["0 bytes", "1023 bytes", "1.5 kB", "5.0 GB"]
        );
        assert_eq!(
            [span(3.0), span(600.0), span(90_000.0), span(1e6)],
            ["3 seconds", "10 minutes", "25 hours", "12 days"]
        );
    }

    #[test]
    fn every_time_is_in_one_column() {
        let counts = histogram(&[0.0, 0.5, 47.9, 48.0, 99.0], 0.0, 48.0);
        assert_eq!((counts[0], counts[47], counts.iter().sum::<usize>()), (2, 3, 5));
        assert_eq!(histogram(&[5.0], 5.0, 5.0)[0], 1);
    }
}
