//! The step from an event to what rules look at: leaves at their paths, and the objects that they stand in.
//!
//! An object is numbered whenever some path goes through it, and knows the one around it; arrays are not, because their
//! elements count as values of the array's own field. So "in the same element of an array" is "in the same object", which
//! is all that `decide` needs (RFC 8259 objects have each name once: where one is repeated, the last value counts, as in
//! `serde_json`, and what the earlier one held is struck out).
//! Not here: any test of a value.

use std::fmt::Write as _;

use serde_json::Value;

use crate::json::{Fault, Scalar, Scanner, Text};
use crate::leaf::{Leaf, Literal};
use crate::limits::EVENT_DEPTH_MAX;
use crate::paths::{PathNode, Paths, ROOT};
use crate::refusal::EventError;

/// A leaf that some condition tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeafAt {
    pub(crate) node: usize,
    /// The object it stands in, possibly in arrays.
    pub(crate) owner: usize,
    kind: Kind,
    start: usize,
    end: usize,
    /// Whether `start..end` is a piece of the copied text rather than of the event.
    copied: bool,
    pub(crate) is_void: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Number,
    Literal(Literal),
}

/// An object that some path goes through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ObjectAt {
    pub(crate) node: usize,
    pub(crate) parent: usize,
    pub(crate) is_void: bool,
}

/// An open object or array.
#[derive(Clone, Copy, Debug)]
struct Frame {
    is_object: bool,
    node: usize,
    /// The object itself, or the one that an array belongs to.
    object: usize,
}

/// Where the value of a name begins and ends among the leaves and objects; good for one event and one object.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    event: u64,
    object: usize,
    leaves: (usize, usize),
    objects: (usize, usize),
}

/// What one event holds of the paths in a tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capture {
    pub(crate) leaves: Vec<LeafAt>,
    pub(crate) objects: Vec<ObjectAt>,
    /// Strings whose escapes were resolved, and all of a parsed event's.
    text: String,
    name: String,
    frames: Vec<Frame>,
    seen: Vec<Seen>,
    event: u64,
}

impl Capture {
    fn begin(&mut self, paths: &Paths) {
        self.leaves.clear();
        self.objects.clear();
        self.text.clear();
        self.frames.clear();
        self.seen.resize(self.seen.len().max(paths.end()), Seen::default());
        self.event += 1;
        self.objects.push(ObjectAt { node: ROOT, parent: ROOT, is_void: false });
    }

    /// The leaf's value; `event` is the text that was read, if one was.
    #[inline]
    pub(crate) fn leaf<'a>(&'a self, at: &LeafAt, event: &'a str) -> Leaf<'a> {
        let source = if at.copied { self.text.as_str() } else { event };
        let piece = source.get(at.start..at.end).unwrap_or_default();
        match at.kind {
            Kind::Text => Leaf::Text(piece),
            Kind::Number => Leaf::Number(piece),
            Kind::Literal(literal) => Leaf::Literal(literal),
        }
    }

    /// Reads an event's text, the whole of it.
    pub(crate) fn read(&mut self, paths: &Paths, event: &str) -> Result<(), EventError> {
        self.begin(paths);
        let mut scanner = Scanner::new(event);
        if scanner.peek() == Some(b'{') {
            scanner.take();
            if !scanner.take_if(b'}') {
                self.read_members(paths, &mut scanner).map_err(error)?;
            }
            return scanner.end().map_err(error);
        }
        scanner.skip(0, EVENT_DEPTH_MAX).and_then(|()| scanner.end()).map_err(error)?;
        Err(EventError::NotAnObject)
    }

    /// From the first member of the outermost object to its end.
    fn read_members(&mut self, paths: &Paths, scanner: &mut Scanner<'_>) -> Result<(), Fault> {
        let mut frame = Frame { is_object: true, node: ROOT, object: 0 };
        loop {
            let node = if frame.is_object {
                let name = scanner.name()?;
                self.child(paths, &frame, &name)
            } else {
                paths.get(frame.node).map(|node| (frame.node, node))
            };
            let opened = match node {
                Some((at, node)) => self.read_value(scanner, &frame, at, node)?,
                None => {
                    scanner.skip(self.frames.len() + 1, EVENT_DEPTH_MAX)?;
                    None
                }
            };
            if let Some(inner) = opened {
                self.frames.push(frame);
                frame = inner;
                continue;
            }
            // A value has ended: close what ends with it.
            while !scanner.take_if(b',') {
                if !scanner.take_if(if frame.is_object { b'}' } else { b']' }) {
                    return scanner.fault("a comma or a closing bracket is missing");
                }
                self.ended(frame.node);
                let Some(outer) = self.frames.pop() else { return Ok(()) };
                frame = outer;
            }
        }
    }

    /// The node of a member, if rules look at it; what an earlier member of that name held is struck out.
    #[inline]
    fn child<'p>(
        &mut self,
        paths: &'p Paths,
        frame: &Frame,
        name: &Text<'_>,
    ) -> Option<(usize, &'p PathNode)> {
        let parent = paths.get(frame.node)?;
        let child = if name.escaped {
            self.name.clear();
            name.write_to(&mut self.name);
            parent.child(&self.name)?
        } else {
            parent.child(name.raw)?
        };
        self.strike_earlier(child, frame.object);
        Some((child, paths.get(child)?))
    }

    fn strike_earlier(&mut self, node: usize, object: usize) {
        let (leaves, objects) = (self.leaves.len(), self.objects.len());
        let Some(seen) = self.seen.get_mut(node) else { return };
        let before = *seen;
        *seen = Seen { event: self.event, object, leaves: (leaves, leaves), objects: (objects, objects) };
        if before.event == self.event && before.object == object {
            let leaves = self.leaves.get_mut(before.leaves.0..before.leaves.1).unwrap_or_default();
            leaves.iter_mut().for_each(|leaf| leaf.is_void = true);
            let objects = self.objects.get_mut(before.objects.0..before.objects.1).unwrap_or_default();
            objects.iter_mut().for_each(|object| object.is_void = true);
        }
    }

    /// The value of a node goes at least as far as what has been captured.
    #[inline]
    fn ended(&mut self, node: usize) {
        if let Some(seen) = self.seen.get_mut(node) {
            seen.leaves.1 = self.leaves.len();
            seen.objects.1 = self.objects.len();
        }
    }

    /// Reads a value at a node, or opens it.
    #[inline]
    fn read_value(
        &mut self,
        scanner: &mut Scanner<'_>,
        frame: &Frame,
        at: usize,
        node: &PathNode,
    ) -> Result<Option<Frame>, Fault> {
        let depth = self.frames.len() + 1;
        match scanner.peek() {
            Some(opening @ (b'{' | b'[')) if opening == b'[' || node.is_passed() => {
                if depth >= EVENT_DEPTH_MAX {
                    return scanner.too_deep();
                }
                scanner.take();
                let is_object = opening == b'{';
                let object = if is_object { self.add_object(at, frame.object) } else { frame.object };
                if !scanner.take_if(if is_object { b'}' } else { b']' }) {
                    return Ok(Some(Frame { is_object, node: at, object }));
                }
            }
            Some(b'{') => scanner.skip(depth, EVENT_DEPTH_MAX)?,
            _ => {
                let scalar = scanner.scalar()?;
                if node.is_tested() {
                    self.add_scalar(at, frame.object, &scalar);
                }
            }
        }
        self.ended(at);
        Ok(None)
    }

    fn add_object(&mut self, node: usize, parent: usize) -> usize {
        self.objects.push(ObjectAt { node, parent, is_void: false });
        self.objects.len() - 1
    }

    #[inline]
    fn add_scalar(&mut self, node: usize, owner: usize, scalar: &Scalar<'_>) {
        let (kind, text) = match scalar {
            Scalar::Text(text) => (Kind::Text, text),
            Scalar::Number(text) => (Kind::Number, text),
            Scalar::True => return self.add(node, owner, Kind::Literal(Literal::True), 0..0, false),
            Scalar::False => return self.add(node, owner, Kind::Literal(Literal::False), 0..0, false),
            Scalar::Null => return self.add(node, owner, Kind::Literal(Literal::Null), 0..0, false),
        };
        if text.escaped {
            let start = self.text.len();
            text.write_to(&mut self.text);
            self.add(node, owner, kind, start..self.text.len(), true);
        } else {
            self.add(node, owner, kind, text.start..text.start + text.raw.len(), false);
        }
    }

    #[inline]
    fn add(&mut self, node: usize, owner: usize, kind: Kind, at: std::ops::Range<usize>, copied: bool) {
        self.leaves.push(LeafAt { node, owner, kind, start: at.start, end: at.end, copied, is_void: false });
    }

    /// Looks at a parsed event.
    pub(crate) fn look(&mut self, paths: &Paths, event: &Value) -> Result<(), EventError> {
        self.begin(paths);
        let Value::Object(members) = event else { return Err(EventError::NotAnObject) };
        let root = Frame { is_object: true, node: ROOT, object: 0 };
        self.look_members(paths, members, &root, 1)
    }

    /// Recursion is bounded by `EVENT_DEPTH_MAX`.
    fn look_members(
        &mut self,
        paths: &Paths,
        members: &serde_json::Map<String, Value>,
        frame: &Frame,
        depth: usize,
    ) -> Result<(), EventError> {
        let Some(parent) = paths.get(frame.node) else { return Ok(()) };
        for (name, value) in members {
            if let Some(child) = parent.child(name)
                && let Some(node) = paths.get(child)
            {
                self.look_value(paths, value, (child, node), frame.object, depth)?;
            }
        }
        Ok(())
    }

    fn look_value(
        &mut self,
        paths: &Paths,
        value: &Value,
        (at, node): (usize, &PathNode),
        owner: usize,
        depth: usize,
    ) -> Result<(), EventError> {
        if depth >= EVENT_DEPTH_MAX && matches!(value, Value::Array(_) | Value::Object(_)) {
            return Err(EventError::TooDeep);
        }
        let start = self.text.len();
        let kind = match value {
            Value::Array(items) => {
                return items
                    .iter()
                    .try_for_each(|item| self.look_value(paths, item, (at, node), owner, depth + 1));
            }
            Value::Object(members) => {
                if !node.is_passed() {
                    return Ok(());
                }
                let object = self.add_object(at, owner);
                return self.look_members(
                    paths,
                    members,
                    &Frame { is_object: true, node: at, object },
                    depth + 1,
                );
            }
            _ if !node.is_tested() => return Ok(()),
            Value::String(text) => {
                self.text.push_str(text);
                Kind::Text
            }
            Value::Number(number) => {
                // Writing to a string cannot fail.
                let _ = write!(self.text, "{number}");
                Kind::Number
            }
            Value::Bool(true) => Kind::Literal(Literal::True),
            Value::Bool(false) => Kind::Literal(Literal::False),
            Value::Null => Kind::Literal(Literal::Null),
        };
        self.add(at, owner, kind, start..self.text.len(), true);
        Ok(())
    }
}

fn error(fault: Fault) -> EventError {
    match fault.what {
        Some(what) => EventError::NotJson { offset: fault.offset, what },
        None => EventError::TooDeep,
    }
}
