//! The flow through the stages as a drawing: four boxes, bands as wide as the number of invoices that came in.
//!
//! A band stands for all entries into the stage behind it, from wherever; the last one for the visits to posting that
//! ended. The same numbers stand in a table on the page; the drawing is hidden from screen readers.

use std::fmt::Write as _;

use crate::format::{Html, count, span};
use crate::model::{Flow, Stage};

const WIDTH: i64 = 1_000;
const HEIGHT: i64 = 150;
const MIDDLE: i64 = 74;
const BOX_WIDTH: i64 = 140;
const BOX_HEIGHT: i64 = 72;
/// The first box's left edge, and from one to the next.
const FIRST: i64 = 86;
const PITCH: i64 = 229;
/// The widest band, in the drawing's units.
const BAND_MAX: u64 = 44;

/// A band with its number above it.
fn band(start: i64, end: i64, number: u64, widest: u64) -> String {
    let width = if number == 0 { 1 } else { (number.saturating_mul(BAND_MAX) / widest.max(1)).max(2) };
    format!(
        "<path class=\"flow-band\" d=\"M{start} {MIDDLE}H{end}\" stroke-width=\"{width}\"/>\
         <text class=\"flow-count\" x=\"{}\" y=\"{}\">{}</text>",
        (start + end) / 2,
        MIDDLE - i64::try_from(width / 2).unwrap_or(0) - 10,
        count(number)
    )
}

/// The whole drawing.
pub(crate) fn draw(flows: &[Flow]) -> Html {
    let widest = flows.iter().map(|flow| flow.entered.max(flow.ended)).max().unwrap_or(0);
    let mut svg = format!("<svg class=\"flow\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" aria-hidden=\"true\">");
    let mut left = 0;
    for stage in Stage::ALL {
        let flow = flows.iter().find(|flow| flow.stage == stage);
        let x = FIRST + stage as i64 * PITCH;
        svg.push_str(&band(left, x, flow.map_or(0, |flow| flow.entered), widest));
        left = x + BOX_WIDTH;
        let _ = write!(
            svg,
            "<rect class=\"flow-box\" x=\"{x}\" y=\"{}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"8\"/>\
             <text class=\"flow-name\" x=\"{middle}\" y=\"{}\">{}</text>\
             <text class=\"flow-time\" x=\"{middle}\" y=\"{}\">{}</text>",
            MIDDLE - BOX_HEIGHT / 2,
            MIDDLE - 2,
            stage.name(),
            MIDDLE + 18,
            span(&flow.and_then(|flow| flow.median_ns)),
            middle = x + BOX_WIDTH / 2,
        );
    }
    let ended = flows.iter().find(|flow| flow.stage == Stage::Posting).map_or(0, |flow| flow.ended);
    svg.push_str(&band(left, WIDTH, ended, widest));
    let _ = write!(
        svg,
        "<text class=\"flow-end\" x=\"0\" y=\"{y}\">In</text>\
         <text class=\"flow-end flow-right\" x=\"{WIDTH}\" y=\"{y}\">Out</text></svg>",
        y = HEIGHT - 14
    );
    Html(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_drawn_with_its_entries() {
        let flow = |stage, entered, ended| Flow {
            stage,
            entered,
            ended,
            median_ns: Some((1_000_000_000, 2_000_000_000)),
        };
        let flows = [flow(Stage::Ingestion, 1_234, 9), flow(Stage::Posting, u64::MAX, 77)];
        let svg = draw(&flows).0;
        for seen in [">1,234<", ">77<", "1 s – 2 s", ">0<"] {
            assert!(svg.contains(seen), "{seen}: {svg}");
        }
        assert_eq!(draw(&[]).0.matches("flow-box").count(), 4, "an empty ledger shows the four stages");
    }
}
