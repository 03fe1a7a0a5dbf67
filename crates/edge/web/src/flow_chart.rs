//! The flow between stages as a drawing: four boxes, bands as wide as the number of invoices that went along them.
//!
//! Forward steps run straight, steps that skip a stage run above, steps back run below. The same numbers stand in a
//! table on the page; the drawing is hidden from screen readers.

use std::fmt::Write as _;

use crate::format::{Html, count, duration};
use crate::model::{Flow, Stage};

const WIDTH: i64 = 1_000;
const HEIGHT: i64 = 236;
const MIDDLE: i64 = 112;
const BOX_WIDTH: i64 = 132;
const BOX_HEIGHT: i64 = 64;
/// Left edges: outside, four stages, done.
const FIRST: i64 = 92;
const PITCH: i64 = 228;
/// The widest band, in the drawing's units.
const BAND_MAX: u64 = 40;

/// A place's column: −1 for outside, 0 to 3 for stages, 4 for done.
fn column(stage: Option<Stage>, outside: i64) -> i64 {
    stage.map_or(outside, |stage| stage as i64)
}

/// The band between two places.
fn band(flow: &Flow, widest: u64) -> String {
    let (from, to) = (column(flow.from, -1), column(flow.to, 4));
    let width = (flow.count * BAND_MAX / widest.max(1)).max(1);
    let start = if from < 0 { 0 } else { FIRST + from * PITCH + BOX_WIDTH };
    let end = if to > 3 { WIDTH } else { FIRST + to * PITCH };
    let mut svg = String::new();
    let label = |svg: &mut String, x: i64, y: i64| {
        let _ = write!(svg, "<text class=\"flow-count\" x=\"{x}\" y=\"{y}\">{}</text>", count(&flow.count));
        if let Some(median) = flow.median_ns {
            let _ = write!(svg, "<text class=\"flow-time\" x=\"{x}\" y=\"{}\">{}</text>", y + 15, duration(median));
        }
    };
    if to == from + 1 {
        let _ = write!(
            svg,
            "<path class=\"flow-band\" d=\"M{start} {MIDDLE}H{end}\" stroke-width=\"{width}\"/>"
        );
        label(&mut svg, (start + end) / 2, MIDDLE - i64::try_from(width / 2).unwrap_or(0) - 24);
    } else {
        let back = to <= from;
        let (x1, x2) = if back {
            (FIRST + from * PITCH + BOX_WIDTH / 2 - 14, FIRST + to * PITCH + BOX_WIDTH / 2 + 14)
        } else {
            (start - 30, end + 30)
        };
        let (edge, bow) = if back {
            (MIDDLE + BOX_HEIGHT / 2, HEIGHT - 6)
        } else {
            (MIDDLE - BOX_HEIGHT / 2, 6)
        };
        let kind = if back { "flow-back" } else { "flow-band" };
        let thin = (width / 2).max(1);
        let _ = write!(
            svg,
            "<path class=\"{kind}\" d=\"M{x1} {edge}C{x1} {bow} {x2} {bow} {x2} {edge}\" stroke-width=\"{thin}\"/>"
        );
        label(&mut svg, (x1 + x2) / 2, if back { HEIGHT - 18 } else { 14 });
    }
    svg
}

/// The whole drawing.
pub(crate) fn draw(flows: &[Flow]) -> Html {
    let widest = flows.iter().map(|flow| flow.count).max().unwrap_or(0);
    let mut svg = format!("<svg class=\"flow\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" aria-hidden=\"true\">");
    // Loops of one stage into itself have no line to run along; the table tells them.
    for flow in flows.iter().filter(|flow| flow.count > 0 && flow.from != flow.to) {
        svg.push_str(&band(flow, widest));
    }
    for stage in Stage::ALL {
        let x = FIRST + stage as i64 * PITCH;
        let _ = write!(
            svg,
            "<rect class=\"flow-box\" x=\"{x}\" y=\"{}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"8\"/>\
             <text class=\"flow-name\" x=\"{}\" y=\"{}\">{}</text>",
            MIDDLE - BOX_HEIGHT / 2,
            x + BOX_WIDTH / 2,
            MIDDLE + 5,
            stage.name()
        );
    }
    let _ = write!(
        svg,
        "<text class=\"flow-end\" x=\"0\" y=\"{y}\">Received</text>\
         <text class=\"flow-end flow-right\" x=\"{WIDTH}\" y=\"{y}\">Done</text>",
        y = MIDDLE + 40
    );
    svg.push_str("</svg>");
    Html(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_that_happened_is_drawn_with_its_count() {
        let flow = |from, to, count| Flow { from, to, count, median_ns: Some(1_000_000_000) };
        let flows = [
            flow(None, Some(Stage::Ingestion), 1_234),
            flow(Some(Stage::Ingestion), Some(Stage::Authorization), 77),
            flow(Some(Stage::Posting), Some(Stage::Reconciliation), 5),
            flow(Some(Stage::Posting), None, 0),
        ];
        let svg = draw(&flows).0;
        for seen in [">1,234<", ">77<", ">5<", "flow-back"] {
            assert!(svg.contains(seen), "{seen}: {svg}");
        }
        assert_eq!(svg.matches("stroke-width").count(), 3, "a step that nobody took has no band");
        assert_eq!(draw(&[]).0.matches("flow-box").count(), 4, "an empty ledger shows the four stages");
    }
}
