//! The grammar of JSON (RFC 8259), read strictly and without building anything.
//!
//! Whatever the matcher does not look at is passed over, but it is read: an event is one whole JSON text or an error, no
//! matter which rules there are. Nothing here recurses, and depth is bounded by the caller's limit.
//! Not here: repeated names (last wins for events, refused for patterns), and what values mean.

/// Why a text is not JSON, or not JSON of this depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte at which it was noticed, counted from 0.
    pub(crate) offset: usize,
    /// What was met; `None` for nesting beyond the limit.
    pub(crate) what: Option<&'static str>,
}

/// The content of a string: its bytes between the quotation marks, and whether there are escapes among them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    pub(crate) raw: &'a str,
    /// Where `raw` begins.
    pub(crate) start: usize,
    pub(crate) escaped: bool,
}

/// A value that holds no others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar<'a> {
    Text(Text<'a>),
    Number(Text<'a>),
    True,
    False,
    Null,
}

/// Reads a text from its beginning to its end.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

const OPENED_BY_OBJECT: u128 = 1;

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault { offset: self.at, what: Some(what) })
    }

    pub(crate) fn too_deep<T>(&self) -> Result<T, Fault> {
        Err(Fault { offset: self.at, what: None })
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The next byte that is no white space, not yet taken.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = self.text.as_bytes().get(self.at).copied();
            if !matches!(byte, Some(b' ' | b'\n' | b'\r' | b'\t')) {
                return byte;
            }
            self.at += 1;
        }
    }

    /// Takes the byte that [`Self::peek`] showed.
    #[inline(always)]
    pub(crate) fn take(&mut self) {
        self.at += 1;
    }

    /// Takes the next byte that is no white space if it is this one.
    #[inline(always)]
    pub(crate) fn take_if(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes a member's name and the colon behind it.
    #[inline(always)]
    pub(crate) fn name(&mut self) -> Result<Text<'a>, Fault> {
        if !self.take_if(b'"') {
            return self.fault("a name in quotation marks is missing");
        }
        let name = self.string()?;
        if self.take_if(b':') { Ok(name) } else { self.fault("a colon is missing") }
    }

    /// Takes a value that holds no others, whose first byte [`Self::peek`] showed.
    #[inline(always)]
    pub(crate) fn scalar(&mut self) -> Result<Scalar<'a>, Fault> {
        match self.rest() {
            [b'"', ..] => {
                self.at += 1;
                self.string().map(Scalar::Text)
            }
            [b'-' | b'0'..=b'9', ..] => self.number().map(Scalar::Number),
            [b't', b'r', b'u', b'e', ..] => Ok(self.literal(4, Scalar::True)),
            [b'f', b'a', b'l', b's', b'e', ..] => Ok(self.literal(5, Scalar::False)),
            [b'n', b'u', b'l', b'l', ..] => Ok(self.literal(4, Scalar::Null)),
            _ => self.fault("a value is missing"),
        }
    }

    fn literal(&mut self, length: usize, value: Scalar<'a>) -> Scalar<'a> {
        self.at += length;
        value
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        if self.peek().is_none() { Ok(()) } else { self.fault("something stands behind the value") }
    }

    /// Passes over one value; `depth` arrays and objects are open around it, at most `depth_max` may be.
    pub(crate) fn skip(&mut self, depth: usize, depth_max: usize) -> Result<(), Fault> {
        // What is open within the value: how much, and one bit each that says whether it is an object.
        let (mut open, mut kinds) = (depth, 0_u128);
        loop {
            match self.peek() {
                Some(opening @ (b'{' | b'[')) => {
                    if open >= depth_max {
                        return self.too_deep();
                    }
                    self.take();
                    let (closing, kind) = if opening == b'{' { (b'}', OPENED_BY_OBJECT) } else { (b']', 0) };
                    if !self.take_if(closing) {
                        open += 1;
                        kinds = kinds << 1 | kind;
                        if kind == OPENED_BY_OBJECT {
                            self.name()?;
                        }
                        continue;
                    }
                }
                _ => drop(self.scalar()?),
            }
            // A value has ended: close what ends with it.
            loop {
                if open == depth {
                    return Ok(());
                }
                let in_object = kinds & 1 == OPENED_BY_OBJECT;
                if self.take_if(b',') {
                    if in_object {
                        self.name()?;
                    }
                    break;
                }
                if !self.take_if(if in_object { b'}' } else { b']' }) {
                    return self.fault("a comma or a closing bracket is missing");
                }
                open -= 1;
                kinds >>= 1;
            }
        }
    }

    /// The string whose opening quotation mark has been taken.
    #[inline(always)]
    fn string(&mut self) -> Result<Text<'a>, Fault> {
        let (start, mut escaped) = (self.at, false);
        loop {
            self.at += plain_run(self.rest());
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.fault("a control character stands in a string"),
                None => return self.fault("a string has no end"),
            }
        }
        let raw = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Text { raw, start, escaped })
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.rest() {
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => {
                self.at += 2;
                Ok(())
            }
            [b'\\', b'u', rest @ ..] => {
                let followed = match hex(rest) {
                    Some(0xD800..=0xDBFF) => match rest.get(4..) {
                        Some([b'\\', b'u', low @ ..]) => {
                            matches!(hex(low), Some(0xDC00..=0xDFFF)).then_some(12)
                        }
                        _ => None,
                    },
                    Some(0xDC00..=0xDFFF) | None => None,
                    Some(_) => Some(6),
                };
                let Some(length) = followed else { return self.fault("an escape is no character") };
                self.at += length;
                Ok(())
            }
            _ => self.fault("an escape is unknown"),
        }
    }

    #[inline]
    fn number(&mut self) -> Result<Text<'a>, Fault> {
        let start = self.at;
        self.at += usize::from(self.rest().first() == Some(&b'-'));
        let whole = self.digits()?;
        if whole > 1 && self.text.as_bytes().get(self.at - whole) == Some(&b'0') {
            return self.fault("a number begins with a zero too many");
        }
        if self.rest().first() == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let [b'e' | b'E', rest @ ..] = self.rest() {
            self.at += 1 + usize::from(matches!(rest, [b'+' | b'-', ..]));
            self.digits()?;
        }
        Ok(Text { raw: self.text.get(start..self.at).unwrap_or_default(), start, escaped: false })
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<usize, Fault> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count > 0 { Ok(count) } else { self.fault("a digit is missing") }
    }
}

impl<'a> Text<'a> {
    /// Adds the characters that the string stands for.
    pub(crate) fn write_to(&self, out: &mut String) {
        let mut rest = self.raw;
        while let Some((plain, escape)) = rest.split_once('\\') {
            out.push_str(plain);
            let mut letters = escape.chars();
            match letters.next() {
                Some('b') => out.push('\u{8}'),
                Some('f') => out.push('\u{c}'),
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some('u') => letters = unicode(letters.as_str(), out).chars(),
                Some(other) => out.push(other),
                None => {}
            }
            rest = letters.as_str();
        }
        out.push_str(rest);
    }

    /// The characters that the string stands for.
    pub(crate) fn to_text(self) -> String {
        let mut out = String::new();
        self.write_to(&mut out);
        out
    }
}

/// Adds the character of a checked `\u` escape, of which the four digits come first; answers what stands behind it.
fn unicode<'a>(digits: &'a str, out: &mut String) -> &'a str {
    let high = hex(digits.as_bytes()).unwrap_or(0xFFFD);
    let mut end = 4;
    let mut code = u32::from(high);
    if (0xD800..0xDC00).contains(&high) {
        let low = digits.as_bytes().get(6..).and_then(hex).unwrap_or(0xDC00);
        code = 0x1_0000 + ((u32::from(high) & 0x3FF) << 10 | (u32::from(low) & 0x3FF));
        end = 10;
    }
    out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
    digits.get(end..).unwrap_or_default()
}

/// Four hexadecimal digits.
fn hex(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.first_chunk::<4>()?;
    digits.iter().try_fold(0_u16, |sum, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(sum << 4 | u16::try_from(value).ok()?)
    })
}

/// How many bytes stand before the first quotation mark, backslash or control character; eight at a time.
#[inline(always)]
fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // A byte's high bit is set where the byte was zero; above the first such byte there may be false ones.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let (chunks, tail) = bytes.as_chunks::<8>();
    let mut run = 0;
    for chunk in chunks {
        let word = u64::from_le_bytes(*chunk);
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let stops = controls | zeros(word ^ (ONES * 0x22)) | zeros(word ^ (ONES * 0x5C));
        if stops != 0 {
            return run + (stops.trailing_zeros() / 8) as usize;
        }
        run += 8;
    }
    run + tail.iter().take_while(|byte| **byte >= 0x20 && **byte != b'"' && **byte != b'\\').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(), Fault> {
        let mut scanner = Scanner::new(text);
        scanner.skip(0, 4)?;
        scanner.end()
    }

    #[test]
    fn exactly_json_is_read() {
        for text in [
            "0",
            "-0",
            "1.5e+9",
            "\"\"",
            " [ ] ",
            "{}",
            "[[[[]]]]",
            "{\"a\":[{\"b\":{}},1],\"c\":null}",
            "true",
            "\"\\u00e9\\ud83d\\ude00\\\\\\\"\"",
            "\"häßlich, und länger als acht\"",
            "[1,2 , \n\t\r3]",
            "\"\u{7f}\"",
        ] {
            assert_eq!(read(text), Ok(()), "{text}");
        }
        for text in [
            "",
            " ",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "\"\n\"",
            "\"1234567\u{1}\"",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "[1 2]",
            "[}",
            "{]",
            "nul",
            "truefalse",
            "1 2",
            "\u{feff}1",
            "\"\\u12g4\"",
            "\"\\u12",
            "[",
            "{\"a\":1",
            "{\"a\":1]",
        ] {
            assert!(
                read(text).is_err_and(|fault| fault.what.is_some() && fault.offset <= text.len()),
                "{text}"
            );
        }
        assert!(read("[[[[[]]]]]").is_err_and(|fault| fault.what.is_none() && fault.offset == 4));
        assert!(read("[[[{\"a\":[").is_err_and(|fault| fault.what.is_none()));
    }

    #[test]
    fn escapes_are_their_characters() {
        let mut scanner = Scanner::new(r#""a\"\\\/\b\f\n\r\té\u00E9\ud83d\ude00z\u0000""#);
        let Ok(Scalar::Text(text)) = scanner.scalar() else { panic!("a string") };
        assert_eq!(text.to_text(), "a\"\\/\u{8}\u{c}\n\r\téé😀z\0");
    }

    #[test]
    fn a_run_ends_at_the_first_byte_that_decides() {
        for length in 0..40 {
            for stop in ['"', '\\', '\0', '\u{1f}'] {
                let text = format!(
                    "{}{stop}\"\\\0",
                    "é ~\u{7f}!#[]".chars().cycle().take(length).collect::<String>()
                );
                let plain = text.find(stop).unwrap();
                assert_eq!(plain_run(text.as_bytes()), plain, "{text:?}");
            }
        }
        assert_eq!(plain_run(b"123456789"), 9);
    }
}
