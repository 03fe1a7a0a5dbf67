//! Splits Rust source into code, comments and literals, so that a text rule never trips over a string or a comment.
//!
//! A lexer of a page, not a parser: it knows what ends a comment or a literal, and finds functions by counting
//! braces in what is left. Macros are read as the text they are. It never fails: an unfinished literal ends with
//! the file, and the compiler has already said so.

use std::ops::Range;

/// What a piece of source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everything that is neither comment nor literal.
    Code,
    /// `// …` and `/* … */`.
    Comment,
    /// `/// …`, `//! …`, `/** … */` and `/*! … */`.
    DocComment,
    /// Any string literal, quotes, hashes and prefix included.
    Text,
    /// A character or byte literal, quotes included.
    Character,
}

/// A function as found in the source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// Its name, without path.
    pub(crate) name: String,
    /// The byte at which its `fn` stands.
    pub(crate) start: usize,
    /// The line of its `fn`, from 1.
    pub(crate) line: usize,
    /// Lines from `fn` to the closing brace, both counted.
    pub(crate) lines: usize,
    /// Bytes between the braces of its body.
    pub(crate) body: Range<usize>,
}

/// A source text with its pieces.
pub(crate) struct Source<'a> {
    text: &'a str,
    pieces: Vec<(Kind, Range<usize>)>,
    /// The text with every comment and literal replaced by spaces: same length, same lines.
    pub(crate) code: String,
    line_starts: Vec<usize>,
}

impl<'a> Source<'a> {
    /// Reads a source text.
    pub(crate) fn new(text: &'a str) -> Self {
        let pieces = Cursor { bytes: text.as_bytes(), text, at: 0 }.pieces();
        let mut code = String::with_capacity(text.len());
        for (kind, range) in &pieces {
            let piece = text.get(range.clone()).unwrap_or("");
            if *kind == Kind::Code {
                code.push_str(piece);
            } else {
                code.push_str(&blanked(piece));
            }
        }
        let line_starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(offset, _)| offset + 1)).collect();
        Self { text, pieces, code, line_starts }
    }

    /// The line of a byte offset, from 1.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// The pieces of one kind, as offset and text.
    pub(crate) fn pieces_of(&self, wanted: Kind) -> impl Iterator<Item = (usize, &'a str)> {
        let text = self.text;
        self.pieces
            .iter()
            .filter(move |(kind, _)| *kind == wanted)
            .filter_map(move |(_, range)| Some((range.start, text.get(range.clone())?)))
    }

    /// Every function that has a body, nested ones too.
    pub(crate) fn functions(&self) -> Vec<Function> {
        word_offsets(&self.code, "fn").filter_map(|offset| self.function_at(offset)).collect()
    }

    fn function_at(&self, offset: usize) -> Option<Function> {
        let after = self.code.get(offset + 2..)?;
        let name: String = after
            .trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '#'))
            .collect();
        if name.is_empty() || !after.starts_with(char::is_whitespace) {
            return None; // a function type such as `fn(u8) -> u8`
        }
        let body = body_after(&self.code, offset)?;
        let line = self.line_of(offset);
        Some(Function { name, start: offset, line, lines: self.line_of(body.end) - line + 1, body })
    }

    /// The byte ranges of items under `#[cfg(test)]`.
    pub(crate) fn test_ranges(&self) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        for marker in ["#[cfg(test)]", "#[cfg(all(test,"] {
            for (offset, _) in self.code.match_indices(marker) {
                // The attribute's own brackets are balanced, so the first brace outside of brackets is the item's.
                let end = body_after(&self.code, offset).map_or(offset + marker.len(), |body| body.end);
                ranges.push(offset..end);
            }
        }
        ranges
    }

    /// `code` with the items under `#[cfg(test)]` replaced by spaces as well.
    pub(crate) fn code_without_tests(&self) -> String {
        let ranges = self.test_ranges();
        let keep = |offset: usize| !ranges.iter().any(|range| range.contains(&offset));
        self.code.char_indices().map(|(offset, c)| if c == '\n' || keep(offset) { c } else { ' ' }).collect()
    }
}

/// Whether a file holds only tests, by its place: `tests/` folders, `tests.rs` and `*_tests.rs`, benches.
pub(crate) fn is_test_path(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    path.split('/').any(|folder| folder == "tests" || folder == "benches")
        || file == "tests.rs"
        || file.ends_with("_tests.rs")
}

/// The offsets at which `word` stands alone, not as a part of a longer identifier.
pub(crate) fn word_offsets<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(offset, _)| offset).filter(move |offset| {
        let before = code.get(..*offset).and_then(|text| text.chars().next_back());
        let after = code.get(offset + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Whether a character may stand in an identifier.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The bytes inside the first braces after `offset`, unless a `;` ends the item before.
fn body_after(code: &str, offset: usize) -> Option<Range<usize>> {
    let mut enclosing = 0_usize;
    let mut start = None;
    let mut braces = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(offset) {
        match (start, byte) {
            (None, b'(' | b'[') => enclosing += 1,
            (None, b')' | b']') => enclosing = enclosing.saturating_sub(1),
            (None, b';') if enclosing == 0 => return None,
            (None, b'{') if enclosing == 0 => {
                start = Some(at + 1);
                braces = 1;
            }
            (Some(_), b'{') => braces += 1,
            (Some(start), b'}') => {
                braces -= 1;
                if braces == 0 {
                    return Some(start..at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The same length in bytes, with line breaks kept and everything else a space.
fn blanked(piece: &str) -> String {
    piece.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// A position in a text that is being split.
struct Cursor<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
}

impl Cursor<'_> {
    fn pieces(mut self) -> Vec<(Kind, Range<usize>)> {
        let mut pieces = Vec::new();
        let mut code_from = 0;
        while self.at < self.bytes.len() {
            let start = self.at;
            let Some(kind) = self.literal_or_comment() else {
                self.at += 1;
                continue;
            };
            if code_from < start {
                pieces.push((Kind::Code, code_from..start));
            }
            self.at = self.at.min(self.bytes.len());
            pieces.push((kind, start..self.at));
            code_from = self.at;
        }
        if code_from < self.bytes.len() {
            pieces.push((Kind::Code, code_from..self.bytes.len()));
        }
        pieces
    }

    /// The byte `ahead` of the cursor, or zero beyond the end.
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Moves over one literal or comment if one starts here.
    fn literal_or_comment(&mut self) -> Option<Kind> {
        match (self.peek(0), self.peek(1)) {
            (b'/', b'/') => Some(self.line_comment()),
            (b'/', b'*') => Some(self.block_comment()),
            (b'"', _) => {
                self.quoted(b'"');
                Some(Kind::Text)
            }
            (b'r' | b'b' | b'c', _) => self.prefixed_text(),
            (b'\'', _) => self.character(),
            _ => None,
        }
    }

    fn line_comment(&mut self) -> Kind {
        let doc = self.peek(2) == b'!' || (self.peek(2) == b'/' && self.peek(3) != b'/');
        while self.at < self.bytes.len() && self.peek(0) != b'\n' {
            self.at += 1;
        }
        if doc { Kind::DocComment } else { Kind::Comment }
    }

    /// Block comments nest.
    fn block_comment(&mut self) -> Kind {
        let doc = self.peek(2) == b'!' || (self.peek(2) == b'*' && !matches!(self.peek(3), b'*' | b'/'));
        let mut depth = 0_usize;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        break;
                    }
                }
                _ => self.at += 1,
            }
        }
        if doc { Kind::DocComment } else { Kind::Comment }
    }

    /// Moves over a literal with escapes, from its opening quote.
    fn quoted(&mut self, quote: u8) {
        self.at += 1;
        while self.at < self.bytes.len() {
            match self.peek(0) {
                b'\\' => self.at += 2,
                byte => {
                    self.at += 1;
                    if byte == quote {
                        return;
                    }
                }
            }
        }
    }

    /// `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `c"…"`, `cr"…"`; an identifier that ends or starts so is code.
    fn prefixed_text(&mut self) -> Option<Kind> {
        let before = self.text.get(..self.at).and_then(|text| text.chars().next_back());
        if before.is_some_and(is_word) {
            return None;
        }
        let prefix = if matches!(self.peek(0), b'b' | b'c') && self.peek(1) == b'r' { 2 } else { 1 };
        let raw = self.peek(prefix - 1) == b'r';
        let mut hashes = 0;
        while raw && self.peek(prefix + hashes) == b'#' {
            hashes += 1;
        }
        if self.peek(prefix + hashes) != b'"' {
            return None;
        }
        self.at += prefix + hashes;
        if !raw {
            self.quoted(b'"');
            return Some(Kind::Text);
        }
        let closing = format!("\"{}", "#".repeat(hashes));
        let rest = self.text.get(self.at + 1..).unwrap_or("");
        self.at = rest.find(&closing).map_or(self.bytes.len(), |offset| self.at + 1 + offset + closing.len());
        Some(Kind::Text)
    }

    /// A character literal; a lifetime or a loop label is code.
    fn character(&mut self) -> Option<Kind> {
        if self.peek(1) == b'\\' {
            self.quoted(b'\'');
            return Some(Kind::Character);
        }
        let character = self.text.get(self.at + 1..)?.chars().next()?;
        if self.peek(1 + character.len_utf8()) != b'\'' {
            return None;
        }
        self.at += 2 + character.len_utf8();
        Some(Kind::Character)
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Source, is_test_path, word_offsets};

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = concat!(
            "a /* x /* fn y() { */ */ b // fn z() {\n",
            "c \"fn \\\" {\" d r#\"\" fn {\"# e '{' f '\\'' g b'{' h br\"{\" i\n",
        );
        let source = Source::new(text);
        assert_eq!(source.code.len(), text.len());
        assert_eq!(source.code.split_whitespace().collect::<String>(), "abcdefgbhi");
        assert_eq!(source.pieces_of(Kind::Text).count(), 3);
        assert_eq!(source.pieces_of(Kind::Character).count(), 3);
    }

    #[test]
    fn lifetimes_and_raw_identifiers_are_code() {
        let source =
            Source::new("fn r#match<'a>(x: &'a str) -> &'a str { 'outer: loop { break 'outer; } x }");
        assert_eq!(source.pieces_of(Kind::Character).count(), 0);
        assert_eq!(source.functions().len(), 1);
        assert_eq!(source.functions()[0].name, "r#match");
    }

    #[test]
    fn documentation_is_told_from_comments() {
        let source = Source::new("//! a\n/// b\n//// c\n// d\n/** e */ /*** f */ /**/\n");
        assert_eq!(source.pieces_of(Kind::DocComment).count(), 3);
        assert_eq!(source.pieces_of(Kind::Comment).count(), 4);
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_file() {
        for text in ["\"abc", "r#\"abc\"", "/* /* */", "'\\", "fn f() {", "b\"\\"] {
            assert_eq!(Source::new(text).code.len(), text.len(), "{text}");
        }
    }

    #[test]
    fn functions_are_measured_from_fn_to_closing_brace() {
        let text = "fn one() {}\nfn two(\n    f: fn(u8) -> [u8; 3],\n) {\n    let s = \"}\";\n}\n\
                    trait T { fn three(&self); fn four() { fn five() {} } }\n";
        let functions = Source::new(text).functions();
        let found: Vec<_> = functions.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(found, [("one", 1, 1), ("two", 2, 5), ("four", 7, 1), ("five", 7, 1)]);
    }

    #[test]
    fn items_under_cfg_test_are_left_out() {
        let text = "fn real() { a }\n#[cfg(test)]\nmod tests { fn fake() { b } }\nfn after() { c }\n\
                    #[cfg(test)]\nmod elsewhere;\nfn last() { d }\n";
        let code = Source::new(text).code_without_tests();
        for kept in ["real", "after", "last"] {
            assert!(code.contains(kept), "{kept}");
        }
        assert!(!code.contains("fake"));
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(word_offsets("fn fnord _fn fn", "fn").collect::<Vec<_>>(), [0, 13]);
    }

    #[test]
    fn test_files_are_known_by_their_place() {
        for path in ["crates/a/tests/x.rs", "crates/a/src/tests.rs", "crates/a/src/frame_tests.rs"] {
            assert!(is_test_path(path), "{path}");
        }
        for path in ["testing/sim/src/lib.rs", "crates/a/src/attests.rs", "crates/a/src/lib.rs"] {
            assert!(!is_test_path(path), "{path}");
        }
    }
}
