//! The flow through the stages as a drawing: four boxes, bands as wide as the number of invoices that went from one to
//! the next, arcs above for stages left out, arcs below for returns.
//!
//! Each band and arc is a step that events told, from where to where; the rarest arcs are left to the table, which has
//! the same numbers and is what screen readers are given.

use std::fmt::Write as _;

use waag_invoices::event::STAGES;
use waag_invoices::moves::{Move, Place};

use crate::format::{Html, count, duration, stage};
use crate::model::{Flow, StageTile};

const WIDTH: i64 = 1_000;
const MIDDLE: i64 = 104;
const HEIGHT: i64 = 198;
const BOX_WIDTH: i64 = 132;
const BOX_HEIGHT: i64 = 72;
/// The first box's left edge, and from one to the next.
const FIRST: i64 = 98;
const PITCH: i64 = 224;
/// The widest band and the widest arc, in the drawing's units.
const BAND_MAX: u64 = 40;
const ARC_MAX: u64 = 14;
/// Arcs drawn above, and below.
const ARCS_MAX: usize = 4;
/// How far arcs reach over one box, and over each further one.
const REACH: i64 = 26;
const REACH_MORE: i64 = 15;
/// What an arc's number takes beyond the arc.
const NUMBER_HEIGHT: i64 = 12;

/// The column of a place: 0 is outside, 5 paid; rejected invoices have none.
fn column(place: Place) -> Option<i64> {
    match place {
        Place::Outside => Some(0),
        Place::In(stage) => Some(i64::from(stage.number()) + 1),
        Place::Paid => Some(5),
        Place::Rejected => None,
    }
}

/// The middle of a column.
fn middle(column: i64) -> i64 {
    match column {
        0 => 20,
        5 => WIDTH - 20,
        _ => FIRST + (column - 1) * PITCH + BOX_WIDTH / 2,
    }
}

/// The edges of a column to its left and right.
fn edges(column: i64) -> (i64, i64) {
    match column {
        0 => (0, 0),
        5 => (WIDTH, WIDTH),
        _ => (middle(column) - BOX_WIDTH / 2, middle(column) + BOX_WIDTH / 2),
    }
}

fn width(number: u64, widest: u64, most: u64) -> u64 {
    (number.saturating_mul(most) / widest.max(1)).max(2)
}

/// The band from one column to the next.
fn band(svg: &mut String, from: i64, number: u64, widest: u64) {
    let ((_, start), (end, _)) = (edges(from), edges(from + 1));
    let (width, class) =
        if number == 0 { (1, "flow-none") } else { (width(number, widest, BAND_MAX), "flow-band") };
    let _ = write!(
        svg,
        "<path class=\"{class}\" d=\"M{start} {MIDDLE}H{end}\" stroke-width=\"{width}\"/>\
         <text class=\"flow-count\" x=\"{}\" y=\"{}\">{}</text>",
        (start + end) / 2,
        MIDDLE - i64::try_from(width / 2).unwrap_or(0) - 8,
        count(number)
    );
}

/// Where an arc leaves the boxes, and how far it reaches from there: upwards is less.
fn reach((from, to): (i64, i64)) -> (i64, i64) {
    let side = if to <= from { 1 } else { -1 };
    (MIDDLE + side * BOX_HEIGHT / 2, side * (REACH + REACH_MORE * ((from - to).abs() - 1).max(0)))
}

/// An arc above the boxes, or below them.
fn arc(svg: &mut String, (from, to): (i64, i64), number: u64, widest: u64) {
    let back = to <= from;
    let (edge, reach) = reach((from, to));
    // Arcs leave a box on the side they go to and come in on the side they come from, so that their ends stay apart.
    let out = if from == to { 12 } else { (to - from).signum() * 34 };
    let (start, end) = match (from, to) {
        (0, _) => (4, middle(to) - 34),
        (_, 5) => (middle(from) + 34, WIDTH - 4),
        _ => (middle(from) + out, middle(to) - out),
    };
    // A cubic curve reaches three quarters of the way to its two control points.
    let control = edge + reach * 4 / 3;
    let class = if back { "flow-back" } else { "flow-skip" };
    let _ = write!(
        svg,
        "<path class=\"{class}\" d=\"M{start} {edge}C{start} {control} {end} {control} {end} {edge}\" stroke-width=\"{}\"/>\
         <text class=\"flow-small\" x=\"{}\" y=\"{}\">{}</text>",
        width(number, widest, ARC_MAX),
        (start + end) / 2,
        edge + reach + if back { 5 } else { 4 },
        count(number)
    );
}

/// The whole drawing.
pub(crate) fn draw(flows: &[Flow], tiles: &[StageTile]) -> Html {
    let of = |wanted: &dyn Fn(&Move) -> bool| {
        flows.iter().filter(|flow| wanted(&flow.step)).fold(0u64, |all, flow| all.saturating_add(flow.count))
    };
    let widest = flows.iter().map(|flow| flow.count).max().unwrap_or(0);
    let mut svg = String::new();
    // As high as the furthest arcs and their numbers ask for.
    let (mut top, mut bottom) = (0, HEIGHT);
    for from in 0..5 {
        let here = |step: &Move| column(step.from) == Some(from) && column(step.to) == Some(from + 1);
        band(&mut svg, from, of(&here), widest);
    }
    let mut arcs: Vec<((i64, i64), u64)> = flows
        .iter()
        .filter_map(|flow| Some(((column(flow.step.from)?, column(flow.step.to)?), flow.count)))
        .filter(|((from, to), _)| *to != from + 1)
        .collect();
    arcs.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    for back in [false, true] {
        for (ends, number) in arcs.iter().filter(|((from, to), _)| (to <= from) == back).take(ARCS_MAX) {
            arc(&mut svg, *ends, *number, widest);
            let (edge, reach) = reach(*ends);
            top = top.min(edge + reach - NUMBER_HEIGHT);
            bottom = bottom.max(edge + reach + NUMBER_HEIGHT);
        }
    }
    for here in STAGES {
        let x = FIRST + i64::from(here.number()) * PITCH;
        let latency = tiles.iter().find(|tile| tile.stage == here).and_then(|tile| tile.latency);
        let rejected = of(&|step: &Move| step.from == Place::In(here) && step.to == Place::Rejected);
        let (name_at, time_at) = if rejected > 0 { (-12, 7) } else { (-2, 18) };
        let _ = write!(
            svg,
            "<rect class=\"flow-box\" x=\"{x}\" y=\"{}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"8\"/>\
             <text class=\"flow-name\" x=\"{middle}\" y=\"{}\">{}</text>\
             <text class=\"flow-time\" x=\"{middle}\" y=\"{}\">{}</text>",
            MIDDLE - BOX_HEIGHT / 2,
            MIDDLE + name_at,
            stage(&here),
            MIDDLE + time_at,
            latency.map_or_else(|| "–".to_owned(), |one| duration(one.p50_ns)),
            middle = x + BOX_WIDTH / 2,
        );
        if rejected > 0 {
            let _ = write!(
                svg,
                "<text class=\"flow-rejected\" x=\"{}\" y=\"{}\">{} rejected</text>",
                x + BOX_WIDTH / 2,
                MIDDLE + 25,
                count(rejected)
            );
        }
    }
    let _ = write!(
        svg,
        "<text class=\"flow-end\" x=\"0\" y=\"{y}\">New</text>\
         <text class=\"flow-end flow-right\" x=\"{WIDTH}\" y=\"{y}\">Paid</text></svg>",
        y = MIDDLE + 44
    );
    let head =
        format!("<svg class=\"flow\" viewBox=\"0 {top} {WIDTH} {}\" aria-hidden=\"true\">", bottom - top);
    Html(head + &svg)
}

#[cfg(test)]
mod tests {
    use waag_invoices::event::Stage;

    use super::*;

    fn flow(from: Place, to: Place, count: u64) -> Flow {
        Flow { step: Move { from, to }, count, value: Vec::new(), is_usual: false }
    }

    #[test]
    fn every_arc_and_its_number_are_within_the_drawing() {
        let places = [Place::Outside, Place::Paid].into_iter().chain(STAGES.map(Place::In));
        let places: Vec<Place> = places.collect();
        for from in &places {
            for to in &places {
                let Html(svg) = draw(&[flow(*from, *to, 5)], &[]);
                let said = svg.split_once("viewBox=\"").and_then(|(_, rest)| rest.split_once('"'));
                let numbers: Vec<i64> = said.unwrap().0.split(' ').map(|one| one.parse().unwrap()).collect();
                let [_, top, _, height] = numbers.as_slice() else { panic!("{numbers:?}") };
                for text in svg.split("<text").skip(1) {
                    let y: i64 =
                        text.split_once(" y=\"").unwrap().1.split('"').next().unwrap().parse().unwrap();
                    // A letter of 12 stands on its line and reaches a little below it.
                    assert!(y - 10 >= *top && y + 3 <= top + height, "{from:?} {to:?} {y}: {numbers:?}");
                }
            }
        }
    }

    #[test]
    fn steps_ahead_over_and_back_are_drawn_each_in_its_way() {
        let (first, last) = (Place::In(Stage::Ingestion), Place::In(Stage::Posting));
        let flows = [
            flow(Place::Outside, first, 1_234),
            flow(first, last, 55),
            flow(last, first, 7),
            flow(last, last, 3),
            flow(last, Place::Paid, u64::MAX),
            flow(last, Place::Rejected, 9),
        ];
        let svg = draw(&flows, &[]).0;
        for seen in [">1,234<", ">55<", ">7<", ">3<", ">9 rejected<", ">0<"] {
            assert!(svg.contains(seen), "{seen}: {svg}");
        }
        assert_eq!(svg.matches("flow-skip").count(), 1);
        assert_eq!(svg.matches("flow-back").count(), 2);
        assert_eq!(draw(&[], &[]).0.matches("flow-box").count(), 4, "an empty ledger shows the four stages");
    }
}
