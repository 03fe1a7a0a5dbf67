//! Deterministic CBOR (RFC 8949 §4.2.1): one value, one encoding; the reader refuses every other (`ENTRY-1`).
//!
//! Only what the stored form uses: integers, byte and text strings, arrays, maps with text or small integer keys,
//! `false`, `true`, `null`, the simple values 1 to 7 for what a person's part withholds, bignums (tags 2, 3) and decimal fractions (tag 4). No floats, no indefinite
//! lengths, shortest heads only.
//!
//! Not here: what the items mean (`form`, `plain`).

use std::borrow::Cow;

use waag_model::limits::{DEPTH_MAX, NUMBER_EXPONENT_MAX};
use waag_model::value::{Decimal, Object, Value};

use crate::error::EntryError;

/// Major types, already shifted into the head byte.
const UNSIGNED: u8 = 0x00;
const NEGATIVE: u8 = 0x20;
const BYTES: u8 = 0x40;
const TEXT: u8 = 0x60;
const ARRAY: u8 = 0x80;
const MAP: u8 = 0xa0;
const TAG: u8 = 0xc0;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
/// Simple value 0; simple value `i` (1 to 7) stands for a value that is in part `i`.
const SIMPLE: u8 = 0xe0;
const POSITIVE_BIGNUM: u64 = 2;
const NEGATIVE_BIGNUM: u64 = 3;
const DECIMAL_FRACTION: u64 = 4;

/// Most values read from one plaintext: an event's data, its attributes, and one path for each value at the most.
pub const READER_VALUES_MAX: usize = 2 * waag_model::limits::VALUES_MAX + 256;

/// Appends items to a buffer.
pub mod write {
    use super::{
        ARRAY, BYTES, DECIMAL_FRACTION, Decimal, FALSE, MAP, NEGATIVE, NEGATIVE_BIGNUM, NULL,
        POSITIVE_BIGNUM, SIMPLE, TAG, TEXT, TRUE, UNSIGNED, Value,
    };

    /// A head: major type and argument, as short as can be.
    #[inline]
    fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
        if let Ok(byte) = u8::try_from(argument) {
            if byte < 24 {
                out.push(major | byte);
            } else {
                out.extend_from_slice(&[major | 24, byte]);
            }
        } else if let Ok(short) = u16::try_from(argument) {
            let [a, b] = short.to_be_bytes();
            out.extend_from_slice(&[major | 25, a, b]);
        } else if let Ok(word) = u32::try_from(argument) {
            let [a, b, c, d] = word.to_be_bytes();
            out.extend_from_slice(&[major | 26, a, b, c, d]);
        } else {
            out.push(major | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }

    /// An unsigned integer.
    #[inline]
    pub fn uint(out: &mut Vec<u8>, value: u64) {
        head(out, UNSIGNED, value);
    }

    /// A signed integer of 64 bits.
    #[inline]
    pub fn int(out: &mut Vec<u8>, value: i64) {
        match u64::try_from(value) {
            Ok(value) => head(out, UNSIGNED, value),
            // -1 - n is the bitwise complement of n.
            Err(_) => head(out, NEGATIVE, (!value).unsigned_abs()),
        }
    }

    /// An integer of any size up to 128 bits; a bignum only where the head cannot hold it (RFC 8949 §3.4.3).
    pub fn integer(out: &mut Vec<u8>, value: i128) {
        let (major, tag, magnitude) = match u128::try_from(value) {
            Ok(magnitude) => (UNSIGNED, POSITIVE_BIGNUM, magnitude),
            Err(_) => (NEGATIVE, NEGATIVE_BIGNUM, (!value).unsigned_abs()),
        };
        match u64::try_from(magnitude) {
            Ok(small) => head(out, major, small),
            Err(_) => {
                head(out, TAG, tag);
                let digits = magnitude.to_be_bytes();
                let zeros = digits.iter().take_while(|byte| **byte == 0).count();
                bytes(out, digits.get(zeros..).unwrap_or_default());
            }
        }
    }

    /// A decimal fraction, digits kept: tag 4 over [exponent, significand] (RFC 8949 §3.4.4).
    pub fn decimal(out: &mut Vec<u8>, value: Decimal) {
        head(out, TAG, DECIMAL_FRACTION);
        array(out, 2);
        int(out, i64::from(value.exponent));
        integer(out, value.significand);
    }

    /// A byte string.
    #[inline]
    pub fn bytes(out: &mut Vec<u8>, value: &[u8]) {
        head(out, BYTES, value.len() as u64);
        out.extend_from_slice(value);
    }

    /// A text string.
    #[inline]
    pub fn text(out: &mut Vec<u8>, value: &str) {
        head(out, TEXT, value.len() as u64);
        out.extend_from_slice(value.as_bytes());
    }

    /// The head of an array of `len` items, which follow.
    #[inline]
    pub fn array(out: &mut Vec<u8>, len: usize) {
        head(out, ARRAY, len as u64);
    }

    /// The head of a map of `len` pairs, which follow in the order of their encoded keys.
    #[inline]
    pub fn map(out: &mut Vec<u8>, len: usize) {
        head(out, MAP, len as u64);
    }

    /// `null`.
    #[inline]
    pub fn null(out: &mut Vec<u8>) {
        out.push(NULL);
    }

    /// A value of an event's data.
    pub fn value(out: &mut Vec<u8>, value: &Value<'_>) {
        match value {
            Value::Null => out.push(NULL),
            Value::Bool(false) => out.push(FALSE),
            Value::Bool(true) => out.push(TRUE),
            Value::Integer(i) => integer(out, *i),
            Value::Decimal(d) => decimal(out, *d),
            Value::Text(t) => text(out, t),
            Value::Array(items) => {
                array(out, items.len());
                items.iter().for_each(|item| self::value(out, item));
            }
            Value::Object(object) => {
                map(out, object.members().len());
                for (name, member) in object.members() {
                    text(out, name);
                    self::value(out, member);
                }
            }
            Value::Withheld(part) => out.push(SIMPLE | (part & 0x07)),
        }
    }
}

/// Reads items from bytes, strictly.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    values_left: usize,
    no_placeholders: bool,
}

type Read<T> = Result<T, EntryError>;

impl<'a> Reader<'a> {
    /// Reads `bytes` from their beginning.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, values_left: READER_VALUES_MAX, no_placeholders: false }
    }

    /// From here on no value may be a placeholder for what another part holds.
    pub fn refuse_placeholders(&mut self) {
        self.no_placeholders = true;
    }

    /// How many bytes have been read.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Refuses bytes after the last item.
    ///
    /// # Errors
    /// [`EntryError::Form`] where bytes are left.
    pub fn end(&self) -> Read<()> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.expected("the end")) }
    }

    fn expected(&self, expected: &'static str) -> EntryError {
        EntryError::Form { offset: self.at, expected }
    }

    fn peek(&self, expected: &'static str) -> Read<u8> {
        self.bytes.get(self.at).copied().ok_or_else(|| self.expected(expected))
    }

    fn take(&mut self, len: usize, expected: &'static str) -> Read<&'a [u8]> {
        let end = self.at.checked_add(len).ok_or_else(|| self.expected(expected))?;
        let taken = self.bytes.get(self.at..end).ok_or_else(|| self.expected(expected))?;
        self.at = end;
        Ok(taken)
    }

    /// The argument of a head of the given major type; refuses longer forms than needed.
    #[inline]
    fn head(&mut self, major: u8, expected: &'static str) -> Read<u64> {
        let first = self.peek(expected)?;
        if first & 0xe0 != major {
            return Err(self.expected(expected));
        }
        let start = self.at;
        self.at += 1;
        let (argument, least) = match first & 0x1f {
            small @ 0..24 => return Ok(u64::from(small)),
            24 => (self.big_endian(1, expected)?, 24),
            25 => (self.big_endian(2, expected)?, 1 << 8),
            26 => (self.big_endian(4, expected)?, 1 << 16),
            27 => (self.big_endian(8, expected)?, 1 << 32),
            _ => (0, 1),
        };
        if argument < least {
            self.at = start;
            return Err(self.expected(expected));
        }
        Ok(argument)
    }

    fn big_endian(&mut self, len: usize, expected: &'static str) -> Read<u64> {
        Ok(self.take(len, expected)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn length(&mut self, major: u8, expected: &'static str) -> Read<usize> {
        let length = self.head(major, expected)?;
        // An item needs at least one byte, so no honest count is larger than what is left: nothing is reserved for lies.
        let left = self.bytes.len().saturating_sub(self.at);
        usize::try_from(length).ok().filter(|length| *length <= left).ok_or_else(|| self.expected(expected))
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// [`EntryError::Form`], as for every method here.
    pub fn uint(&mut self, expected: &'static str) -> Read<u64> {
        self.head(UNSIGNED, expected)
    }

    /// A signed integer of 64 bits.
    ///
    /// # Errors
    /// [`EntryError::Form`].
    pub fn int(&mut self, expected: &'static str) -> Read<i64> {
        let negative = self.peek(expected)? & 0xe0 == NEGATIVE;
        let magnitude = self.head(if negative { NEGATIVE } else { UNSIGNED }, expected)?;
        let magnitude = i64::try_from(magnitude).map_err(|_| self.expected(expected))?;
        Ok(if negative { !magnitude } else { magnitude })
    }

    /// A byte string.
    ///
    /// # Errors
    /// [`EntryError::Form`].
    pub fn bytes(&mut self, expected: &'static str) -> Read<&'a [u8]> {
        let len = self.length(BYTES, expected)?;
        self.take(len, expected)
    }

    /// A byte string of exactly `N` bytes.
    ///
    /// # Errors
    /// [`EntryError::Form`].
    pub fn fixed<const N: usize>(&mut self, expected: &'static str) -> Read<[u8; N]> {
        let start = self.at;
        let bytes = self.bytes(expected)?;
        <[u8; N]>::try_from(bytes).map_err(|_| EntryError::Form { offset: start, expected })
    }

    /// A text string.
    ///
    /// # Errors
    /// [`EntryError::Form`].
    pub fn text(&mut self, expected: &'static str) -> Read<&'a str> {
        let start = self.at;
        let len = self.length(TEXT, expected)?;
        let bytes = self.take(len, expected)?;
        std::str::from_utf8(bytes).map_err(|_| EntryError::Form { offset: start, expected })
    }

    /// The head of an array; its items follow.
    ///
    /// # Errors
    /// [`EntryError::Form`].
    pub fn array(&mut self, expected: &'static str) -> Read<usize> {
        self.length(ARRAY, expected)
    }

    /// The head of an array of exactly `len` items.
    ///
    /// # Errors
    /// [`EntryError::Form`].
    pub fn array_of(&mut self, len: usize, expected: &'static str) -> Read<()> {
        let start = self.at;
        if self.array(expected)? == len { Ok(()) } else { Err(EntryError::Form { offset: start, expected }) }
    }

    /// The head of a map; its pairs follow.
    ///
    /// # Errors
    /// [`EntryError::Form`].
    pub fn map(&mut self, expected: &'static str) -> Read<usize> {
        self.length(MAP, expected)
    }

    /// Takes `null` where it stands next, and says whether it did.
    pub fn null(&mut self) -> bool {
        let is_null = self.bytes.get(self.at) == Some(&NULL);
        self.at += usize::from(is_null);
        is_null
    }

    /// Whether an item of the byte string's major type stands next.
    #[must_use]
    pub fn bytes_next(&self) -> bool {
        self.bytes.get(self.at).is_some_and(|first| first & 0xe0 == BYTES)
    }

    /// Whether an unsigned integer stands next.
    #[must_use]
    pub fn uint_next(&self) -> bool {
        self.bytes.get(self.at).is_some_and(|first| first & 0xe0 == UNSIGNED)
    }

    /// A value of an event's data.
    ///
    /// # Errors
    /// [`EntryError::Form`]; also where the nesting is deeper than [`DEPTH_MAX`].
    pub fn value(&mut self) -> Read<Value<'a>> {
        // The event itself is one object around its data.
        self.nested(DEPTH_MAX + 1)
    }

    fn nested(&mut self, depth_left: usize) -> Read<Value<'a>> {
        let first = self.peek("a value")?;
        self.values_left = self.values_left.checked_sub(1).ok_or_else(|| self.expected("fewer values"))?;
        match first & 0xe0 {
            UNSIGNED => Ok(Value::Integer(i128::from(self.head(UNSIGNED, "an integer")?))),
            NEGATIVE => Ok(Value::Integer(!i128::from(self.head(NEGATIVE, "an integer")?))),
            TEXT => Ok(Value::Text(Cow::Borrowed(self.text("a text")?))),
            ARRAY => {
                let deeper = depth_left.checked_sub(1).ok_or_else(|| self.expected("less nesting"))?;
                let len = self.array("an array")?;
                (0..len).map(|_| self.nested(deeper)).collect::<Read<_>>().map(Value::Array)
            }
            MAP => {
                let deeper = depth_left.checked_sub(1).ok_or_else(|| self.expected("less nesting"))?;
                self.object(deeper).map(Value::Object)
            }
            TAG => self.tagged(),
            _ => {
                let value = match first {
                    FALSE => Value::Bool(false),
                    TRUE => Value::Bool(true),
                    NULL => Value::Null,
                    0xe1..=0xe7 if !self.no_placeholders => Value::Withheld(first & 0x07),
                    _ => return Err(self.expected("a value")),
                };
                self.at += 1;
                Ok(value)
            }
        }
    }

    fn object(&mut self, depth_left: usize) -> Read<Object<'a>> {
        let len = self.map("a map")?;
        let mut members: Vec<(Cow<'a, str>, Value<'a>)> = Vec::new();
        for _ in 0..len {
            let start = self.at;
            let name = self.text("a member's name")?;
            let in_order = members.last().is_none_or(|(before, _)| {
                waag_model::value::name_order(before, name) == std::cmp::Ordering::Less
            });
            if !in_order {
                return Err(EntryError::Form {
                    offset: start,
                    expected: "a member's name after the one before it",
                });
            }
            members.push((Cow::Borrowed(name), self.nested(depth_left)?));
        }
        Object::from_members(members).map_err(|_| self.expected("each member once"))
    }

    fn tagged(&mut self) -> Read<Value<'a>> {
        let start = self.at;
        let wrong = |expected| EntryError::Form { offset: start, expected };
        match self.head(TAG, "a tag")? {
            tag @ (POSITIVE_BIGNUM | NEGATIVE_BIGNUM) => self.bignum(tag, start).map(Value::Integer),
            DECIMAL_FRACTION => {
                self.array_of(2, "exponent and significand")?;
                let exponent = i32::try_from(self.int("an exponent")?)
                    .ok()
                    .filter(|exponent| exponent.unsigned_abs() <= NUMBER_EXPONENT_MAX.unsigned_abs())
                    .ok_or_else(|| wrong("an exponent within its limit"))?;
                let significand = self.significand(start)?;
                Ok(Value::Decimal(Decimal { significand, exponent }))
            }
            _ => Err(wrong("a bignum or a decimal fraction")),
        }
    }

    /// An integer of up to 128 bits; no recursion, so that tags within tags cannot exhaust the stack.
    fn significand(&mut self, start: usize) -> Read<i128> {
        match self.peek("a significand")? & 0xe0 {
            UNSIGNED => Ok(i128::from(self.head(UNSIGNED, "a significand")?)),
            NEGATIVE => Ok(!i128::from(self.head(NEGATIVE, "a significand")?)),
            _ => {
                let tag = self.head(TAG, "a significand")?;
                self.bignum(tag, start)
            }
        }
    }

    fn bignum(&mut self, tag: u64, start: usize) -> Read<i128> {
        let wrong = |expected| EntryError::Form { offset: start, expected };
        let digits = self.bytes("a bignum")?;
        let shortest = digits.len() > 8 && digits.len() <= 16 && digits.first() != Some(&0);
        if !shortest {
            return Err(wrong("a bignum in its shortest form"));
        }
        let magnitude = digits.iter().fold(0, |value, byte| value << 8 | u128::from(*byte));
        let value = i128::try_from(magnitude).map_err(|_| wrong("a number of at most 128 bits"))?;
        match tag {
            POSITIVE_BIGNUM => Ok(value),
            NEGATIVE_BIGNUM => Ok(!value),
            _ => Err(wrong("a bignum")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: &Value<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        write::value(&mut out, value);
        out
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Examples of RFC 8949, appendix A.
    #[test]
    fn encodes_the_rfc_examples() {
        for (value, expected) in [
            (Value::Integer(0), "00"),
            (Value::Integer(23), "17"),
            (Value::Integer(24), "1818"),
            (Value::Integer(1_000_000), "1a000f4240"),
            (Value::Integer(18_446_744_073_709_551_615), "1bffffffffffffffff"),
            (Value::Integer(18_446_744_073_709_551_616), "c249010000000000000000"),
            (Value::Integer(-18_446_744_073_709_551_616), "3bffffffffffffffff"),
            (Value::Integer(-18_446_744_073_709_551_617), "c349010000000000000000"),
            (Value::Integer(-1), "20"),
            (Value::Integer(-1000), "3903e7"),
            (Value::Decimal(Decimal { significand: 27_315, exponent: -2 }), "c48221196ab3"),
            (Value::Text("IETF".into()), "6449455446"),
            (Value::Bool(true), "f5"),
            (Value::Null, "f6"),
            (Value::Withheld(1), "e1"),
            (Value::Array(vec![Value::Integer(1), Value::Array(vec![Value::Integer(2)])]), "82018102"),
        ] {
            assert_eq!(hex(&encoded(&value)), expected);
            let bytes = encoded(&value);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.value().unwrap(), value);
            reader.end().unwrap();
        }
    }

    #[test]
    fn refuses_every_second_encoding_of_a_value() {
        for (bytes, what) in [
            (&[0x18, 0x17][..], "a head longer than needed"),
            (&[0x19, 0x00, 0xff], "a head longer than needed"),
            (&[0x1b, 0, 0, 0, 0, 0, 0, 0, 1], "a head longer than needed"),
            (&[0x5f, 0xff], "an indefinite length"),
            (&[0x9f, 0xff], "an indefinite length"),
            (&[0xf9, 0x3c, 0x00], "a float"),
            (&[0xf8, 0x20], "an unassigned simple value"),
            (&[0xc2, 0x41, 0x01], "a bignum that fits a head"),
            (&[0xc2, 0x49, 0x00, 1, 0, 0, 0, 0, 0, 0, 0], "a bignum with a leading zero"),
            (&[0xa2, 0x61, b'b', 0x01, 0x61, b'a', 0x02], "names out of order"),
            (&[0xa2, 0x61, b'a', 0x01, 0x61, b'a', 0x02], "a name twice"),
            (&[0x61, 0xff], "no UTF-8"),
            (&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "a count beyond the bytes"),
            (&[0xc4, 0x82, 0x19, 0x01, 0x91, 0x01], "an exponent beyond its limit"),
            (&[0xc4, 0x82, 0x00, 0xc4, 0x82, 0x00, 0x01], "a decimal fraction in a decimal fraction"),
            (&[0xc4, 0x82, 0x3a, 0x7f, 0xff, 0xff, 0xff, 0x01], "the least exponent of all"),
            (&[0xf7], "undefined"),
            (&[0xe0], "simple value 0"),
            (&[0xe8], "simple value 8"),
            (&[0x82, 0x01], "an item short"),
            (&[], "nothing"),
        ] {
            assert!(Reader::new(bytes).value().is_err(), "{what}");
        }
    }

    #[test]
    fn nesting_is_bounded_at_the_limit() {
        let nested = |depth: usize| {
            let mut bytes = vec![0x81; depth];
            bytes.push(0x00);
            bytes
        };
        assert!(Reader::new(&nested(DEPTH_MAX + 1)).value().is_ok());
        assert!(Reader::new(&nested(DEPTH_MAX + 2)).value().is_err());
        assert!(Reader::new(&nested(1_000_000)).value().is_err());
    }

    #[test]
    fn the_number_of_values_is_bounded_at_the_limit() {
        let list = |len: usize| {
            let mut bytes = Vec::new();
            write::array(&mut bytes, len);
            bytes.resize(bytes.len() + len, 0x00);
            bytes
        };
        assert!(Reader::new(&list(READER_VALUES_MAX - 1)).value().is_ok());
        assert!(Reader::new(&list(READER_VALUES_MAX)).value().is_err());
    }

    #[test]
    fn signed_integers_keep_their_ends() {
        for value in [i64::MIN, -1, 0, 1, i64::MAX] {
            let mut out = Vec::new();
            write::int(&mut out, value);
            assert_eq!(Reader::new(&out).int("an integer").unwrap(), value);
        }
        let beyond = [0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0];
        assert!(Reader::new(&beyond).int("an integer").is_err());
    }
}
