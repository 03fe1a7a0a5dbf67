//! The times of drills as bars, in SVG.

use crate::format::Html;
use crate::ports::evidence::upkeep::Drill;

use super::words;

/// Drills that are drawn.
const DRILLS_MAX: usize = 24;
/// The tallest bar, in parts of a hundred.
const BAR_FULL: u64 = 100;

/// A drill's bar.
pub(crate) struct DrillBar {
    /// Its day.
    pub(crate) label: String,
    /// What it says, in words.
    pub(crate) title: String,
    pub(crate) svg: Html,
}

/// A bar for each drill, oldest first; one that failed is a full bar of its own kind.
pub(crate) fn drills(drills: &[Drill], value: fn(&Drill) -> u64) -> Vec<DrillBar> {
    let shown = drills.get(..drills.len().min(DRILLS_MAX)).unwrap_or_default();
    let most = shown.iter().filter(|one| one.ok).map(value).max().unwrap_or(0).max(1);
    let bar = |one: &Drill| {
        let share = value(one).min(most).saturating_mul(BAR_FULL).checked_div(most).unwrap_or(0);
        let (kind, height) = if one.ok { ("bar-due", share.max(2)) } else { ("bar-overdue", BAR_FULL) };
        let day = one.at.day().to_string();
        DrillBar {
            label: day.get(5..).unwrap_or(&day).to_owned(),
            title: if one.ok { words::millis(value(one)) } else { "failed".to_owned() },
            svg: Html(format!(
                "<svg class=\"bar\" viewBox=\"0 0 10 100\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
                 <rect class=\"{kind}\" x=\"1\" width=\"8\" y=\"{}\" height=\"{height}\" rx=\"1\"/></svg>",
                BAR_FULL.saturating_sub(height)
            )),
        }
    };
    shown.iter().rev().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use waag_model::time::UtcNanos;

    use super::*;

    #[test]
    fn bars_stay_within_their_frame_and_failures_stand_out() {
        let drill = |ok, rto_ms| Drill {
            at: UtcNanos(0),
            ok,
            rpo_ms: 0,
            rpo_entries: 0,
            rto_ms,
            size: 0,
            bytes: 0,
            failed: String::new(),
        };
        let list = [drill(true, 10), drill(false, u64::MAX), drill(true, u64::MAX), drill(true, 0)];
        let bars = drills(&list, |one| one.rto_ms);
        assert!(bars[0].svg.0.contains("height=\"2\""), "the oldest stands first, and every drill has a bar");
        assert!(bars[2].svg.0.contains("bar-overdue") && bars[2].title == "failed");
        assert!(bars.iter().all(|bar| !bar.svg.0.contains("y=\"-")));
        assert_eq!(drills(&vec![drill(true, 1); 99], |one| one.rto_ms).len(), DRILLS_MAX);
        assert!(drills(&[], |one| one.rto_ms).is_empty());
    }
}
