//! From the array of alternatives of one field to its condition: which operators there are and what they take.
//!
//! The language is EventBridge's as event-ruler 2.0 reads it, with its `exactly`, and stricter in three points, each of
//! which there silently matches everything, nothing or something else: an empty list of operands, a number that is not
//! kept exactly, and a repeated name (`syntax`).

use crate::cidr::Cidr;
use crate::condition::{But, Condition, Test};
use crate::fold::folded;
use crate::glob::{Glob, GlobError};
use crate::leaf::Literal;
use crate::limits::{ALTERNATIVES_MAX, NUMBER_EXPONENT_MAX};
use crate::number::{Number, Range};
use crate::refusal::{Limit, PatternError, Reason, quoted};
use crate::syntax::Node;

type Refused<T> = Result<T, PatternError>;

/// Names of members that make an object in a `$or` array no combination of fields, so that the `$or` is a field's name:
/// the operators, and what event-ruler keeps for later ones.
pub(crate) const RESERVED: [&str; 24] = [
    "exactly",
    "equals-ignore-case",
    "prefix",
    "suffix",
    "anything-but",
    "exists",
    "wildcard",
    "numeric",
    "cidr",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
];

/// The condition that an array of alternatives is.
pub(crate) fn condition(items: &[Node<'_>]) -> Refused<Condition> {
    if items.is_empty() {
        return refuse(Reason::Empty("an array without alternatives can match nothing"));
    }
    let mut condition = Condition::default();
    for (at, item) in items.iter().enumerate() {
        alternative(item, &mut condition).map_err(|error| error.below(&at.to_string()))?;
    }
    if condition.len() > ALTERNATIVES_MAX {
        return refuse(Reason::TooMuch(Limit::Alternatives));
    }
    condition.sort();
    Ok(condition)
}

fn alternative(item: &Node<'_>, condition: &mut Condition) -> Refused<()> {
    match item {
        Node::Text(text) => condition.texts.push(text.as_str().into()),
        Node::Number(text) => condition.numbers.push(number(text)?),
        Node::Literal(literal) => condition.others.push(Test::Literal(*literal)),
        Node::Object(members) => {
            let (name, operand) = only(members)?;
            operator(name, operand, condition).map_err(|error| {
                // The place of an unknown operator is the object it stands in.
                if matches!(error.reason, Reason::Operator(_)) { error } else { error.below(name) }
            })?;
        }
        Node::Array(_) => {
            return refuse(Reason::Shape(
                "an alternative is a string, a number, true, false, null or an operator",
            ));
        }
    }
    Ok(())
}

/// The one member of an operator's object.
fn only<'n, 'a>(members: &'n [(String, Node<'a>)]) -> Refused<(&'n str, &'n Node<'a>)> {
    match members {
        [(name, operand)] => Ok((name, operand)),
        [] => refuse(Reason::Empty("an object without an operator")),
        _ => refuse(Reason::Operand("an operator stands alone in its object".to_owned())),
    }
}

fn operator(name: &str, operand: &Node<'_>, condition: &mut Condition) -> Refused<()> {
    let test = match name {
        "exactly" => {
            condition.texts.push(text(operand)?.into());
            return Ok(());
        }
        "exists" if matches!(operand, Node::Literal(Literal::True)) => Test::Exists,
        "exists" if matches!(operand, Node::Literal(Literal::False)) => {
            condition.or_absent = true;
            return Ok(());
        }
        "exists" => return refuse(Reason::Operand("`exists` takes true or false".to_owned())),
        "numeric" => match numeric(operand)? {
            Numeric::Equal(number) => {
                condition.numbers.push(number);
                return Ok(());
            }
            Numeric::Within(range) => Test::Range(range),
        },
        "prefix" => end(operand, Test::Prefix, Test::PrefixFolded)?,
        "suffix" => end(operand, Test::Suffix, Test::SuffixFolded)?,
        "equals-ignore-case" => Test::EqualsFolded(folded(text(operand)?)),
        "wildcard" => Test::Wildcard(glob(text(operand)?)?),
        "cidr" => Test::Cidr(network(text(operand)?)?),
        "anything-but" => Test::AnythingBut(but(operand)?),
        unknown => return refuse(Reason::Operator(quoted(unknown))),
    };
    condition.others.push(test);
    Ok(())
}

fn text<'n>(operand: &'n Node<'_>) -> Refused<&'n str> {
    let Node::Text(text) = operand else {
        return refuse(Reason::Operand("the operand must be a string".to_owned()));
    };
    Ok(text)
}

/// A string, or `{"equals-ignore-case": string}`.
fn end(operand: &Node<'_>, exact: fn(Box<str>) -> Test, without_case: fn(Box<str>) -> Test) -> Refused<Test> {
    let Node::Object(members) = operand else {
        return Ok(exact(text(operand)?.into()));
    };
    match only(members)? {
        ("equals-ignore-case", operand) => {
            Ok(without_case(folded(text(operand).map_err(|error| error.below("equals-ignore-case"))?)))
        }
        (other, _) => refuse(Reason::Operand(format!("`{}` cannot stand here", quoted(other)))),
    }
}

fn glob(text: &str) -> Refused<Glob> {
    Glob::parse(text).map_err(|error| {
        PatternError::new(match error {
            GlobError::Consecutive => {
                Reason::Operand(format!("`{}` has two wildcards side by side", quoted(text)))
            }
            GlobError::Escape => {
                Reason::Operand(format!("`{}` escapes something other than `*` or `\\`", quoted(text)))
            }
            GlobError::TooMany => Reason::TooMuch(Limit::Wildcards),
        })
    })
}

fn network(text: &str) -> Refused<Cidr> {
    Cidr::parse(text)
        .map_err(|why| PatternError::new(Reason::Operand(format!("the network `{}` {why}", quoted(text)))))
}

fn number(text: &str) -> Refused<Number> {
    let number = Number::parse(text);
    if number.is_whole() && number.exponent().abs() <= NUMBER_EXPONENT_MAX {
        return Ok(number);
    }
    refuse(Reason::TooMuch(Limit::Number))
}

enum Numeric {
    Equal(Number),
    Within(Range),
}

/// `["=", n]`, one comparison, or a lower end followed by an upper end.
fn numeric(operand: &Node<'_>) -> Refused<Numeric> {
    let Node::Array(items) = operand else {
        return refuse(Reason::Operand("`numeric` takes an array of comparisons and numbers".to_owned()));
    };
    let comparisons = items
        .chunks(2)
        .map(|pair| match pair {
            [Node::Text(comparison), Node::Number(text)] => Ok((comparison.as_str(), number(text)?)),
            _ => refuse(Reason::Operand("`numeric` takes pairs of a comparison and a number".to_owned())),
        })
        .collect::<Refused<Vec<_>>>()?;
    let range = match comparisons.as_slice() {
        [("=", number)] => return Ok(Numeric::Equal(*number)),
        [(">", low)] => Range { low: (*low, false), high: None },
        [(">=", low)] => Range { low: (*low, true), high: None },
        [(high @ ("<" | "<="), number)] => {
            Range { low: (Number::LOWEST, false), high: Some((*number, *high == "<=")) }
        }
        [(low @ (">" | ">="), from), (high @ ("<" | "<="), to)] if from < to => {
            Range { low: (*from, *low == ">="), high: Some((*to, *high == "<=")) }
        }
        [(">" | ">=", _), ("<" | "<=", _)] => {
            return refuse(Reason::Operand("the lower end must be below the upper end".to_owned()));
        }
        _ => {
            return refuse(Reason::Operand(
                "`numeric` takes `=`, `<`, `<=`, `>` or `>=` and a number, or `>` or `>=` followed by `<` or `<=`"
                    .to_owned(),
            ));
        }
    };
    Ok(Numeric::Within(range))
}

/// A string, a number, a list of one kind, or one of four operators over a string or a list of strings.
fn but(operand: &Node<'_>) -> Refused<But> {
    match operand {
        Node::Text(_) => texts(operand, true).map(But::Texts),
        Node::Number(text) => Ok(But::Numbers([number(text)?].into())),
        Node::Array(items) if matches!(items.first(), Some(Node::Number(_))) => {
            let numbers = items.iter().map(|item| {
                let Node::Number(text) = item else {
                    return refuse(Reason::Operand("a list holds strings only or numbers only".to_owned()));
                };
                number(text)
            });
            let mut numbers = numbers.collect::<Refused<Vec<_>>>()?;
            few(&numbers)?;
            numbers.sort_unstable();
            Ok(But::Numbers(numbers.into()))
        }
        Node::Array(_) => texts(operand, true).map(But::Texts),
        Node::Object(members) => {
            let (name, operand) = only(members)?;
            but_operator(name, operand).map_err(|error| error.below(name))
        }
        Node::Literal(_) => refuse(Reason::Operand(
            "`anything-but` takes strings, numbers, or a prefix, suffix, equals-ignore-case or wildcard"
                .to_owned(),
        )),
    }
}

fn but_operator(name: &str, operand: &Node<'_>) -> Refused<But> {
    Ok(match name {
        "prefix" => But::Prefixes(texts(operand, false)?),
        "suffix" => But::Suffixes(texts(operand, false)?),
        "equals-ignore-case" => But::Folded(texts(operand, true)?.iter().map(|text| folded(text)).collect()),
        "wildcard" => {
            But::Wildcards(texts(operand, true)?.iter().map(|text| glob(text)).collect::<Refused<_>>()?)
        }
        other => {
            return refuse(Reason::Operand(format!("`anything-but` cannot take `{}`", quoted(other))));
        }
    })
}

/// A string or a list of strings, sorted.
fn texts(operand: &Node<'_>, may_be_empty: bool) -> Refused<Box<[Box<str>]>> {
    let items =
        if let Node::Array(items) = operand { items.as_slice() } else { std::slice::from_ref(operand) };
    let mut found = Vec::new();
    for item in items {
        let Node::Text(text) = item else {
            return refuse(Reason::Operand("the operand must be a string or a list of strings".to_owned()));
        };
        if text.is_empty() && !may_be_empty {
            return refuse(Reason::Operand("anything begins and ends with the empty string".to_owned()));
        }
        found.push(text.as_str().into());
    }
    few(&found)?;
    found.sort_unstable();
    Ok(found.into())
}

/// At least one operand, and not too many.
fn few<T>(operands: &[T]) -> Refused<()> {
    match operands.len() {
        0 => refuse(Reason::Empty("a list without operands")),
        1..=ALTERNATIVES_MAX => Ok(()),
        _ => refuse(Reason::TooMuch(Limit::Alternatives)),
    }
}

fn refuse<T>(reason: Reason) -> Refused<T> {
    Err(PatternError::new(reason))
}
