//! Paths: which values of an event are meant.
//!
//! What EventBridge takes (dots, names in brackets, places in arrays, wildcards), and JSON Pointers (RFC 6901). A path is
//! understood whole or refused. Filters, slices, unions, descent and places from the end are refused.
//! Not here: reading the event (`json`).

use super::json::Index;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The member of this name.
    Name(String),
    /// The element at this place.
    Place(usize),
    /// The member of this name, or the element at the place that the name is in digits: a pointer's step.
    Either(String, Option<usize>),
    /// Every member or element.
    Every,
}

/// A path that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

impl Path {
    /// Understands a path; what is wrong with it otherwise. There are at most as many steps as the text has bytes.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        if let Some(pointer) = text.strip_prefix('/') {
            return pointer.split('/').map(pointer_step).collect::<Result<_, _>>().map(Self);
        }
        let mut rest = text.strip_prefix('$').ok_or("it begins with neither `$` nor `/`")?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = match rest.strip_prefix('.') {
                Some(rest) => dotted(rest)?,
                None => match rest.strip_prefix('[') {
                    Some(rest) => bracketed(rest)?,
                    None => return Err("a dot or a bracket is missing"),
                },
            };
            steps.push(step);
            rest = after;
        }
        Ok(Self(steps))
    }

    /// The path to the whole event.
    pub(super) fn whole() -> Self {
        Self(Vec::new())
    }

    /// Whether it may mean several values: then it always stands for the array of them.
    pub(super) fn is_many(&self) -> bool {
        self.0.contains(&Step::Every)
    }

    /// The values that are meant, in the order in which they stand in the event. Looks at no value twice.
    pub(super) fn find(&self, event: &Index<'_>) -> Vec<usize> {
        let mut found = vec![Index::ROOT];
        for step in &self.0 {
            found = match step {
                Step::Name(name) => found.iter().filter_map(|value| event.member(*value, name)).collect(),
                Step::Place(place) => {
                    found.iter().filter_map(|value| event.element(*value, *place)).collect()
                }
                Step::Either(name, place) => found
                    .iter()
                    .filter_map(|value| {
                        let element = || place.and_then(|place| event.element(*value, place));
                        event.member(*value, name).or_else(element)
                    })
                    .collect(),
                Step::Every => found.iter().flat_map(|value| event.children(*value)).collect(),
            };
        }
        found
    }
}

/// A step behind a dot, and what follows it.
fn dotted(rest: &str) -> Result<(Step, &str), &'static str> {
    if let Some(after) = rest.strip_prefix('*') {
        return Ok((Step::Every, after));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/') || !c.is_ascii();
    let end = rest.find(|c| !is_plain(c)).unwrap_or(rest.len());
    let (name, after) = rest.split_at_checked(end).unwrap_or_default();
    if name.is_empty() {
        return Err("a name is missing behind a dot");
    }
    if !after.is_empty() && !after.starts_with(['.', '[']) {
        return Err(
            "a name with other characters than letters, digits, `_`, `-` and `/` stands as `['name']`",
        );
    }
    Ok((Step::Name(name.to_owned()), after))
}

/// A step behind an opening bracket, and what follows its closing one.
fn bracketed(rest: &str) -> Result<(Step, &str), &'static str> {
    const UNKNOWN: &str = "in brackets stand a name in quotation marks, a place such as `0`, or `*`";
    if let Some(after) = rest.strip_prefix("*]") {
        return Ok((Step::Every, after));
    }
    let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
        let (digits, after) = rest.split_once(']').ok_or(UNKNOWN)?;
        return Ok((Step::Place(place(digits).ok_or(UNKNOWN)?), after));
    };
    // The name is read as the JSON string that it would be between quotation marks.
    let mut json = String::from('"');
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some((_, '\'')) if quote == '\'' => json.push('\''),
                Some((_, escaped)) => json.extend(['\\', escaped]),
                None => return Err(UNKNOWN),
            },
            c if c == quote => {
                json.push('"');
                let name = serde_json::from_str(&json).map_err(|_| "a name has an escape that is none")?;
                let after = rest.get(at..).and_then(|end| end.get(1..)).and_then(|end| end.strip_prefix(']'));
                return after.map(|after| (Step::Name(name), after)).ok_or(UNKNOWN);
            }
            '"' => json.push_str("\\\""),
            c => json.push(c),
        }
    }
    Err(UNKNOWN)
}

/// A step of a pointer.
fn pointer_step(token: &str) -> Result<Step, &'static str> {
    // Each `~` is followed by 0 or 1; `~01` stands for `~1`, so that the order matters.
    if token.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        return Err("in a JSON Pointer `~` is followed by `0` or `1`");
    }
    let name = token.replace("~1", "/").replace("~0", "~");
    let place = place(&name);
    Ok(Step::Either(name, place))
}

/// A place in an array: digits without a zero too many.
fn place(digits: &str) -> Option<usize> {
    let is_plain = digits == "0" || !digits.starts_with('0');
    let all_digits =
        !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain && all_digits { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"a":{"b-c":[10,{"x":"é"},[12]],"d.e":1,"f/g":2,"":3,"*":4,"it's":5,"q\"":6,"ä":7},"0":8,
        "~1":9}"#;

    fn found(path: &str) -> Vec<&'static str> {
        let event = Index::read(EVENT.as_bytes(), 8).unwrap();
        let path = Path::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        path.find(&event).into_iter().map(|value| event.text(value)).collect()
    }

    #[test]
    fn paths_find_what_they_say() {
        for (path, value) in [
            ("$.a.b-c[0]", "10"),
            ("$['a'][\"b-c\"][1].x", "\"é\""),
            ("$.a.b-c[2][0]", "12"),
            ("$.a['d.e']", "1"),
            ("$.a.f/g", "2"),
            ("$.a['']", "3"),
            ("$.a['*']", "4"),
            ("$.a['it\\'s']", "5"),
            ("$.a[\"it's\"]", "5"),
            ("$.a['q\"']", "6"),
            ("$.a[\"q\\\"\"]", "6"),
            ("$.a.ä", "7"),
            ("$.a['\\u00e4']", "7"),
            ("$['0']", "8"),
            ("/a/b-c/1/x", "\"é\""),
            ("/a/f~1g", "2"),
            ("/a/", "3"),
            ("/0", "8"),
            ("/~01", "9"),
        ] {
            assert_eq!(found(path), [value], "{path}");
        }
        assert_eq!(found("$"), [EVENT]);
        assert_eq!(found("$.a.b-c[*]"), ["10", r#"{"x":"é"}"#, "[12]"]);
        assert_eq!(found("$.a.*[1].x"), ["\"é\""]);
        for path in [
            "$.A",
            "$.a.b",
            "$.a.b-c[3]",
            "$.a[0]",
            "$[0]",
            "$.a.b-c.0",
            "/a/b-c/-",
            "/a/b-c/01",
            "$.a.d",
            "$.a.*.*.*.*",
        ] {
            assert_eq!(found(path), [""; 0], "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in [
            "",
            "a",
            "$a",
            "$.",
            "$..a",
            "$.a.",
            "$.a b",
            "$.a:b",
            "$[",
            "$[]",
            "$[0",
            "$[-1]",
            "$[01]",
            "$[+1]",
            "$[0:1]",
            "$[0,1]",
            "$[?(@.a)]",
            "$['a]",
            "$['a'",
            "$['a'x]",
            "$['a','b']",
            "$[\"a']",
            "$[a]",
            "$.a[*",
            "$.a*",
            "$.*a",
            "$['\\x']",
            "$['\\",
            "$['\\ud800']",
            "/~",
            "/a~2",
            "/~1~",
            "$[9999999999]",
            "@.a",
            " $.a",
            "$.a ",
            "#/a",
        ] {
            assert!(Path::read(path).is_err(), "{path}");
        }
    }
}
