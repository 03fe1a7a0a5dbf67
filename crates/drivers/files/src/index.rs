//! From a position to the place of its frame, in bounded memory.
//!
//! Place: beneath `read`. Of every segment the first frame and position are kept; of a few segments also a point per
//! [`POINT_BYTES`], as readers and the writer come by. Not here: reading headers.

use std::collections::BTreeMap;

use waag_model::ids::{FrameNumber, Position};

use crate::scan::SegmentStart;

/// The distance of two points in a segment.
pub(crate) const POINT_BYTES: u64 = 1_024 * 1_024;
/// Most segments whose points are kept; with segments of 256 MiB that is 256 KiB of memory.
pub(crate) const POINTED_SEGMENTS_MAX: usize = 64;

/// Where a frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) segment: FrameNumber,
    pub(crate) offset: u64,
    pub(crate) frame: FrameNumber,
    pub(crate) position: Position,
}

/// The index.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// By the position each segment begins at.
    segments: BTreeMap<Position, FrameNumber>,
    /// By segment, in the order of offsets.
    points: BTreeMap<FrameNumber, Vec<Point>>,
}

impl Index {
    pub(crate) fn new(starts: &[SegmentStart]) -> Self {
        let segments = starts.iter().map(|start| (start.position, start.first)).collect();
        Self { segments, points: BTreeMap::new() }
    }

    /// The last known frame that begins at or before `position`.
    pub(crate) fn before(&self, position: Position) -> Option<Point> {
        let (start, segment) = self.segments.range(..=position).next_back()?;
        let first = Point { segment: *segment, offset: 0, frame: *segment, position: *start };
        let points = self.points.get(segment).map_or(&[][..], Vec::as_slice);
        let upto = points.partition_point(|point| point.position <= position);
        Some(upto.checked_sub(1).and_then(|at| points.get(at)).copied().unwrap_or(first))
    }

    /// Learns of a frame.
    pub(crate) fn note(&mut self, point: Point) {
        if point.offset == 0 {
            self.segments.insert(point.position, point.segment);
            return;
        }
        let last = self.points.get(&point.segment).and_then(|points| points.last());
        if point.offset < last.map_or(0, |last| last.offset) + POINT_BYTES {
            return;
        }
        if !self.points.contains_key(&point.segment) && self.points.len() == POINTED_SEGMENTS_MAX {
            // The oldest segment is the one that is read least, now that the log has grown away from it.
            self.points.pop_first();
        }
        self.points.entry(point.segment).or_default().push(point);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(segment: u64, offset: u64, frame: u64, position: u64) -> Point {
        Point {
            segment: FrameNumber(segment),
            offset,
            frame: FrameNumber(frame),
            position: Position(position),
        }
    }

    #[test]
    fn gives_the_nearest_frame_before() {
        let start =
            |first, position| SegmentStart { first: FrameNumber(first), position: Position(position) };
        let mut index = Index::new(&[start(0, 0), start(10, 100)]);
        assert_eq!(index.before(Position(99)), Some(point(0, 0, 0, 0)));
        assert_eq!(index.before(Position(100)), Some(point(10, 0, 10, 100)));
        index.note(point(10, POINT_BYTES - 4_096, 11, 110));
        index.note(point(10, POINT_BYTES, 12, 120));
        index.note(point(10, POINT_BYTES + 4_096, 13, 130));
        assert_eq!(index.before(Position(119)), Some(point(10, 0, 10, 100)));
        assert_eq!(index.before(Position(u64::MAX)), Some(point(10, POINT_BYTES, 12, 120)));
        index.note(point(20, 0, 20, 200));
        assert_eq!(index.before(Position(200)), Some(point(20, 0, 20, 200)));
        assert_eq!(Index::default().before(Position(0)), None);
    }

    #[test]
    fn keeps_points_of_a_bounded_number_of_segments() {
        let mut index = Index::default();
        for n in 0..=POINTED_SEGMENTS_MAX as u64 {
            index.note(point(n, POINT_BYTES, n, n));
        }
        assert_eq!(index.points.len(), POINTED_SEGMENTS_MAX);
        assert!(!index.points.contains_key(&FrameNumber(0)));
    }
}
