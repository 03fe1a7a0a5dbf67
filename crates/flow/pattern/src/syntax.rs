//! A pattern's JSON text as a tree: numbers keep their digits, members their order, and a repeated name is refused.
//!
//! Recursion is bounded by `PATTERN_DEPTH_MAX`. Events never come here; `capture` reads them without a tree.

use std::collections::BTreeSet;

use crate::json::{Fault, Scalar, Scanner};
use crate::leaf::Literal;
use crate::limits::{PATTERN_BYTES_MAX, PATTERN_DEPTH_MAX};
use crate::refusal::{Limit, PatternError, Reason, quoted};

/// A value of the pattern's text.
#[derive(Clone, Debug)]
pub(crate) enum Node<'a> {
    Object(Vec<(String, Node<'a>)>),
    Array(Vec<Node<'a>>),
    Text(String),
    Number(&'a str),
    Literal(Literal),
}

/// Reads the whole text.
pub(crate) fn read(text: &[u8]) -> Result<Node<'_>, PatternError> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(PatternError::new(Reason::TooMuch(Limit::Bytes)));
    }
    let text = std::str::from_utf8(text).map_err(|error| {
        PatternError::new(Reason::NotJson { offset: error.valid_up_to(), what: "a byte that is not UTF-8" })
    })?;
    let mut scanner = Scanner::new(text);
    let node = value(&mut scanner, 0)?;
    scanner.end().map_err(refusal)?;
    Ok(node)
}

fn refusal(fault: Fault) -> PatternError {
    PatternError::new(match fault.what {
        Some(what) => Reason::NotJson { offset: fault.offset, what },
        None => Reason::TooMuch(Limit::Depth),
    })
}

fn value<'a>(scanner: &mut Scanner<'a>, depth: usize) -> Result<Node<'a>, PatternError> {
    let opening = scanner.peek();
    if matches!(opening, Some(b'{' | b'[')) {
        if depth >= PATTERN_DEPTH_MAX {
            return Err(PatternError::new(Reason::TooMuch(Limit::Depth)));
        }
        scanner.take();
    }
    match opening {
        Some(b'{') => object(scanner, depth + 1).map(Node::Object),
        Some(b'[') => array(scanner, depth + 1).map(Node::Array),
        _ => Ok(match scanner.scalar().map_err(refusal)? {
            Scalar::Text(text) => Node::Text(text.to_text()),
            Scalar::Number(number) => Node::Number(number.raw),
            Scalar::True => Node::Literal(Literal::True),
            Scalar::False => Node::Literal(Literal::False),
            Scalar::Null => Node::Literal(Literal::Null),
        }),
    }
}

fn object<'a>(scanner: &mut Scanner<'a>, depth: usize) -> Result<Vec<(String, Node<'a>)>, PatternError> {
    let (mut members, mut names) = (Vec::new(), BTreeSet::new());
    if scanner.take_if(b'}') {
        return Ok(members);
    }
    loop {
        let name = scanner.name().map_err(refusal)?.to_text();
        if !names.insert(name.clone()) {
            return Err(PatternError::new(Reason::Twice(quoted(&name))));
        }
        let node = value(scanner, depth).map_err(|error| error.below(&name))?;
        members.push((name, node));
        if !goes_on(scanner, b'}')? {
            return Ok(members);
        }
    }
}

fn array<'a>(scanner: &mut Scanner<'a>, depth: usize) -> Result<Vec<Node<'a>>, PatternError> {
    let mut items = Vec::new();
    if scanner.take_if(b']') {
        return Ok(items);
    }
    loop {
        let at = items.len();
        items.push(value(scanner, depth).map_err(|error| error.below(&at.to_string()))?);
        if !goes_on(scanner, b']')? {
            return Ok(items);
        }
    }
}

/// Takes a comma, or the closing bracket.
fn goes_on(scanner: &mut Scanner<'_>, closing: u8) -> Result<bool, PatternError> {
    if scanner.take_if(b',') {
        return Ok(true);
    }
    if scanner.take_if(closing) {
        return Ok(false);
    }
    scanner.fault("a comma or a closing bracket is missing").map_err(refusal)
}
