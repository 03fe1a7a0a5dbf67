//! Charts: their data for the browser, small ones as SVG from here.
//!
//! A large chart is an element whose `data-chart` holds its numbers, since no inline script may hold them (`WEB-3`),
//! with the same numbers as a table behind it (`WEB-4`).

use std::fmt::Write as _;

use waag_model::time::UtcNanos;

use crate::format::{self, Html};
use crate::model::Series;

/// The width and height a small chart is drawn in; the style sheet stretches it.
const SPARK: (usize, usize) = (120, 32);
/// The same for a large one that no script draws.
const STILL: (usize, usize) = (600, 200);

/// The numbers of a large chart, as JSON for an attribute.
pub(crate) fn data(series: &Series) -> String {
    let lines: Vec<serde_json::Value> = series
        .lines
        .iter()
        .map(|line| serde_json::json!({ "name": format::visible(line.name.clone()), "values": line.values }))
        .collect();
    serde_json::json!({
        "start": series.start.0.div_euclid(1_000_000_000),
        "step": series.step_s,
        "lines": lines,
    })
    .to_string()
}

/// A small chart of counts, without axes: the shape, the words stand beside it.
pub(crate) fn spark(values: &[u64]) -> Html {
    let (width, height) = SPARK;
    let top = values.iter().copied().max().unwrap_or(0).max(1);
    let mut line = points(values, top, SPARK);
    if values.len() < 2 {
        line = format!("M0 {h}L{width} {h}", h = height - 2);
    }
    Html(format!(
        "<svg class=\"spark\" viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <path class=\"spark-area\" d=\"{line}L{width} {height}L0 {height}Z\"/><path class=\"spark-line\" d=\"{line}\"/></svg>"
    ))
}

/// A line through counts, from the left edge to the right one, with room for its own width above and below.
fn points(values: &[u64], top: u64, (width, height): (usize, usize)) -> String {
    let last = values.len().saturating_sub(1).max(1);
    let room = (height as u128 - 3) * 10;
    let mut line = String::new();
    for (at, value) in values.iter().enumerate() {
        let x = at * width * 10 / last;
        let drawn = u64::try_from(u128::from(*value) * room / u128::from(top)).unwrap_or(0);
        let y = (height as u64 * 10).saturating_sub(15).saturating_sub(drawn);
        let _ =
            write!(line, "{}{}.{} {}.{}", if at == 0 { "M" } else { "L" }, x / 10, x % 10, y / 10, y % 10);
    }
    line
}

/// A large chart as it is before a script draws it, and where none runs: the lines, what each is, and how far they reach.
pub(crate) fn still(series: &Series) -> Html {
    let (width, height) = STILL;
    let most = series.lines.iter().flat_map(|line| &line.values).copied().max().unwrap_or(0);
    let mut drawn = String::new();
    let mut names = String::new();
    for (line, look) in series.lines.iter().zip((1..=6).cycle()) {
        let path = points(&line.values, most.max(1), STILL);
        let _ = write!(drawn, "<path class=\"still-line s{look}\" d=\"{path}\"/>");
        let name = format::escaped(&format::visible(line.name.clone()));
        let _ = write!(names, "<li><i class=\"key s{look}\"></i>{name}</li>");
    }
    let first = format::time(series.start).0;
    let step = series.step_s.saturating_mul(1_000_000_000);
    Html(format!(
        "<div class=\"still\" aria-hidden=\"true\"><p>Begins {first}, one step is {}; the highest is {}</p>\
         <svg viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\">{drawn}</svg><ul>{names}</ul></div>",
        format::duration(step),
        format::count(most)
    ))
}

/// One row of a chart's table: when its step began, and a number a line.
pub(crate) struct Tick {
    pub(crate) at: UtcNanos,
    pub(crate) values: Vec<u64>,
}

/// The chart as a table, newest first.
pub(crate) fn table(series: &Series) -> Vec<Tick> {
    let steps = series.lines.iter().map(|line| line.values.len()).max().unwrap_or(0);
    let tick = |at: usize| Tick {
        at: series.start.later_by(
            i64::try_from(at).unwrap_or(0).saturating_mul(series.step_s).saturating_mul(1_000_000_000),
        ),
        values: series.lines.iter().map(|line| line.values.get(at).copied().unwrap_or(0)).collect(),
    };
    (0..steps).rev().map(tick).collect()
}

/// Whether there is anything to draw.
pub(crate) fn is_empty(series: &Series) -> bool {
    series.lines.iter().all(|line| line.values.iter().all(|value| *value == 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Line;

    #[test]
    fn a_small_chart_stays_within_its_frame() {
        for values in [vec![], vec![7], vec![0, 0], vec![u64::MAX, 0, u64::MAX / 2]] {
            let svg = spark(&values).0;
            assert!(
                svg.starts_with("<svg") && !svg.contains("NaN") && !svg.contains(" -") && !svg.contains("L-"),
                "{svg}"
            );
        }
        assert!(spark(&[0, 10]).0.contains("d=\"M0.0 30.5L120.0 1.5\""), "{}", spark(&[0, 10]).0);
    }

    #[test]
    fn the_table_has_the_numbers_of_the_chart_newest_first() {
        let line = |name: &str, values: &[u64]| Line { name: name.to_owned(), values: values.to_vec() };
        let series = Series {
            start: UtcNanos(60_000_000_000),
            step_s: 60,
            lines: vec![line("a", &[1, 2]), line("b", &[3])],
        };
        let ticks = table(&series);
        assert_eq!(ticks.iter().map(|tick| tick.values.clone()).collect::<Vec<_>>(), [[2, 0], [1, 3]]);
        assert_eq!(ticks[0].at, UtcNanos(120_000_000_000));
        assert_eq!(
            data(&series),
            r#"{"lines":[{"name":"a","values":[1,2]},{"name":"b","values":[3]}],"start":60,"step":60}"#
        );
    }
}
