//! A JSON text and where its values stand in it: strictly RFC 8259, read once, without recursion.
//!
//! Values are kept as places in the text, so that what is taken from it is taken as it was written: digits, escapes, the
//! order of members. Escapes are checked to be characters, so that pieces of strings can be put together in any way.
//! Not here: what is looked for (`path`), and what is made of it (`render`).

use std::ops::Range;

use serde::de::IgnoredAny;

/// Why a text is not JSON, or not of this depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Byte at which it was noticed, counted from 0.
    pub(super) at: usize,
    /// Whether it is nested too deep, and not written wrongly.
    pub(super) is_deep: bool,
}

/// Where a name is.
#[derive(Clone, Copy, Debug)]
enum Name {
    /// As it is written, between its quotation marks; empty in arrays.
    Plain(u32, u32),
    /// The same with escapes, and the number of its characters among the decoded names.
    Escaped(u32, u32, u32),
}

/// One value.
#[derive(Clone, Copy, Debug)]
struct Node {
    name: Name,
    /// The value's text.
    text: (u32, u32),
    /// The number of the first value behind it that is not inside of it.
    after: u32,
    /// The byte with which its text begins.
    first: u8,
}

/// The values of a text, numbered in the order in which they begin; what is inside of a value follows it.
#[derive(Debug)]
pub(super) struct Index<'a> {
    text: &'a str,
    nodes: Vec<Node>,
    names: Vec<String>,
}

impl<'a> Index<'a> {
    /// Reads a text with at most `depth_max` arrays and objects within each other. It must be shorter than 4 GiB.
    pub(super) fn read(bytes: &'a [u8], depth_max: usize) -> Result<Self, Fault> {
        let text =
            std::str::from_utf8(bytes).map_err(|error| Fault { at: error.valid_up_to(), is_deep: false })?;
        let mut reader = Reader { text, at: 0, nodes: Vec::new(), names: Vec::new(), open: Vec::new() };
        reader.read(depth_max)?;
        Ok(Self { text, nodes: reader.nodes, names: reader.names })
    }

    /// The outermost value.
    pub(super) const ROOT: usize = 0;

    fn node(&self, number: usize) -> Node {
        const NONE: Node = Node { name: Name::Plain(0, 0), text: (0, 0), after: u32::MAX, first: 0 };
        self.nodes.get(number).copied().unwrap_or(NONE)
    }

    fn slice(&self, start: u32, end: u32) -> &'a str {
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    /// A value as it is written.
    pub(super) fn text(&self, number: usize) -> &'a str {
        let (start, end) = self.node(number).text;
        self.slice(start, end)
    }

    /// The name of a member as it is written, without its quotation marks.
    pub(super) fn raw_name(&self, number: usize) -> &'a str {
        match self.node(number).name {
            Name::Plain(start, end) | Name::Escaped(start, end, _) => self.slice(start, end),
        }
    }

    /// Whether a member has this name, however it is written.
    pub(super) fn is_called(&self, number: usize, name: &str) -> bool {
        match self.node(number).name {
            Name::Plain(start, end) => self.slice(start, end) == name,
            Name::Escaped(_, _, decoded) => self.names.get(decoded as usize).is_some_and(|text| text == name),
        }
    }

    /// What stands directly in an array or object; nothing for other values.
    pub(super) fn children(&self, number: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.node(number).after as usize;
        let mut next = number + 1;
        std::iter::from_fn(move || {
            let child = next;
            (child < end.min(self.nodes.len())).then(|| {
                next = self.node(child).after as usize;
                child
            })
        })
    }

    pub(super) fn is_object(&self, number: usize) -> bool {
        self.node(number).first == b'{'
    }

    pub(super) fn is_array(&self, number: usize) -> bool {
        self.node(number).first == b'['
    }

    /// The member of this name; of several the last, as in matching.
    pub(super) fn member(&self, number: usize, name: &str) -> Option<usize> {
        if !self.is_object(number) {
            return None;
        }
        self.children(number).filter(|child| self.is_called(*child, name)).last()
    }

    /// The element at this place, counted from 0.
    pub(super) fn element(&self, number: usize, place: usize) -> Option<usize> {
        if self.is_array(number) { self.children(number).nth(place) } else { None }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    nodes: Vec<Node>,
    names: Vec<String>,
    /// The arrays and objects that have begun and not ended.
    open: Vec<usize>,
}

impl Reader<'_> {
    fn wrong<T>(&self) -> Result<T, Fault> {
        Err(Fault { at: self.at, is_deep: false })
    }

    /// The next byte that is no white space, not yet taken.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = self.text.as_bytes().get(self.at).copied();
            if !matches!(byte, Some(b' ' | b'\n' | b'\r' | b'\t')) {
                return byte;
            }
            self.at += 1;
        }
    }

    fn read(&mut self, depth_max: usize) -> Result<(), Fault> {
        let mut name = Name::Plain(0, 0);
        loop {
            let first = self.peek();
            let begin = self.place(self.at)?;
            let number = self.nodes.len();
            self.nodes.push(Node { name, text: (begin, begin), after: 0, first: first.unwrap_or_default() });
            match first {
                Some(opening @ (b'{' | b'[')) => {
                    if self.open.len() >= depth_max {
                        return Err(Fault { at: self.at, is_deep: true });
                    }
                    self.at += 1;
                    self.open.push(number);
                    if self.peek() != Some(closing_of(opening)) {
                        name = self.name_in(opening)?;
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                    self.end_value(number)?;
                }
                _ => {
                    self.word()?;
                    self.end_value(number)?;
                }
            }
            match self.end_values()? {
                Some(next) => name = next,
                None => return Ok(()),
            }
        }
    }

    /// Closes what ends here; the name of the value that follows, or nothing at the end of the text.
    fn end_values(&mut self) -> Result<Option<Name>, Fault> {
        loop {
            let next = self.peek();
            let Some(container) = self.open.last().copied() else {
                return if next.is_none() { Ok(None) } else { self.wrong() };
            };
            let opening = self.nodes.get(container).map_or(0, |node| node.first);
            match next {
                Some(b',') => {
                    self.at += 1;
                    return self.name_in(opening).map(Some);
                }
                Some(byte) if byte == closing_of(opening) => {
                    self.at += 1;
                    self.open.pop();
                    self.end_value(container)?;
                }
                _ => return self.wrong(),
            }
        }
    }

    fn place(&self, at: usize) -> Result<u32, Fault> {
        u32::try_from(at).or_else(|_| self.wrong())
    }

    fn end_value(&mut self, number: usize) -> Result<(), Fault> {
        let (end, after) = (self.place(self.at)?, self.place(self.nodes.len())?);
        if let Some(node) = self.nodes.get_mut(number) {
            node.text.1 = end;
            node.after = after;
        }
        Ok(())
    }

    /// The name of the member that follows, with its colon, in an object; none in an array.
    fn name_in(&mut self, opening: u8) -> Result<Name, Fault> {
        if opening == b'[' {
            return Ok(Name::Plain(0, 0));
        }
        if self.peek() != Some(b'"') {
            return self.wrong();
        }
        let (Range { start, end }, decoded) = self.string()?;
        if self.peek() != Some(b':') {
            return self.wrong();
        }
        self.at += 1;
        let (start, end, number) = (self.place(start)?, self.place(end)?, self.place(self.names.len())?);
        Ok(match decoded {
            None => Name::Plain(start, end),
            Some(decoded) => {
                self.names.push(decoded);
                Name::Escaped(start, end, number)
            }
        })
    }

    /// A string; answers where its characters stand, and what they are where there are escapes among them.
    fn string(&mut self) -> Result<(Range<usize>, Option<String>), Fault> {
        let begin = self.at;
        let mut has_escapes = false;
        self.at += 1;
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    self.at += 2;
                }
                Some(0x20..) => self.at += 1,
                Some(_) | None => return self.wrong(),
            }
        }
        let content = begin + 1..self.at;
        self.at += 1;
        if !has_escapes {
            return Ok((content, None));
        }
        let text = self.text.get(begin..self.at).unwrap_or_default();
        let decoded = serde_json::from_str(text).map_err(|_| Fault { at: begin, is_deep: false })?;
        Ok((content, Some(decoded)))
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<(), Fault> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'+' | b'-' | b'.');
        let length = rest.iter().take_while(is_part).count();
        let word = self.text.get(self.at..self.at + length).unwrap_or_default();
        if serde_json::from_str::<IgnoredAny>(word).is_err() {
            return self.wrong();
        }
        self.at += length;
        Ok(())
    }
}

fn closing_of(opening: u8) -> u8 {
    if opening == b'{' { b'}' } else { b']' }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_json(text: &str) -> bool {
        Index::read(text.as_bytes(), 4).is_ok()
    }

    #[test]
    fn exactly_json_is_read() {
        for text in
            ["0", "-0", "1.5e+9", "\"\"", " [ ] ", "{}", "[[],{}]", "{\"a\":{\"b\":[1,true]}}\n", "null"]
        {
            assert!(is_json(text), "{text}");
        }
        for text in [
            "",
            " ",
            "01",
            "-",
            "1.",
            ".5",
            "+1",
            "nul",
            "nulll",
            "truefalse",
            "\"",
            "\"\u{1}\"",
            "\"\\x\"",
            "\"\\",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1}",
            "{1:2}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "1 2",
            "[] []",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "\"\\u12\"",
            "'a'",
            "NaN",
            "\u{feff}1",
            "]",
            ":",
        ] {
            assert!(!is_json(text), "{text}");
        }
        assert!(Index::read(b"\"\xff\"", 4).is_err_and(|fault| fault.at == 1));
    }

    #[test]
    fn depth_is_counted() {
        assert!(is_json("[[[[1]]]]"));
        let fault = Index::read(b"[[[[[1]]]]]", 4).unwrap_err();
        assert_eq!(fault, Fault { at: 4, is_deep: true });
        assert!(Index::read(b"1", 0).is_ok());
        assert!(Index::read(b"[]", 0).is_err_and(|fault| fault.is_deep));
    }

    #[test]
    fn values_are_found_where_they_stand() {
        let index = Index::read(br#" {"a" : [1.50, {"b":"x\"y"}], "a\u0062": 2, "a": [3] } "#, 4).unwrap();
        let last = index.member(Index::ROOT, "a").unwrap();
        assert_eq!(index.text(last), "[3]");
        assert_eq!(index.text(index.element(last, 0).unwrap()), "3");
        assert_eq!(index.element(last, 1), None);
        assert_eq!(index.text(index.member(Index::ROOT, "ab").unwrap()), "2");
        assert_eq!(index.member(Index::ROOT, "a\\u0062"), None);
        assert_eq!(index.member(last, "a"), None);
        let texts: Vec<_> = index.children(Index::ROOT).map(|child| index.text(child)).collect();
        assert_eq!(texts, [r#"[1.50, {"b":"x\"y"}]"#, "2", "[3]"]);
        assert_eq!(index.children(last + 1).count(), 0);
    }
}
