//! The three small text codings of the C2SP formats, each with one spelling per value (`LEDGER-4`).
//!
//! Place: below every parser of this crate. Not here: line structure, which belongs to each format.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Standard base 64 with padding (RFC 4648 §4).
pub(crate) fn base64_encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes canonical standard base 64: padding required, unused bits zero, no other characters.
pub(crate) fn base64_decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Decodes lowercase hexadecimal digits that fill `out` exactly.
pub(crate) fn hex_decode(text: &str, out: &mut [u8]) -> Option<()> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != out.len() {
        return None;
    }
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
    }
    Some(())
}

fn hex_digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

/// Reads an ASCII decimal without sign or leading zeros, at most `max`.
pub(crate) fn decimal(text: &str, max: u64) -> Option<u64> {
    let plain = text.bytes().all(|digit| digit.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if !plain || leading_zero {
        return None;
    }
    text.parse().ok().filter(|value| *value <= max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_takes_one_spelling() {
        assert_eq!(decimal("0", 9), Some(0));
        assert_eq!(decimal("18446744073709551615", u64::MAX), Some(u64::MAX));
        assert_eq!(decimal("10", 10), Some(10));
        assert_eq!(decimal("11", 10), None);
        for bad in ["", "+1", "-1", " 1", "1 ", "00", "01", "1e3", "1_000", "18446744073709551616", "١"] {
            assert_eq!(decimal(bad, u64::MAX), None, "`{bad}`");
        }
    }
}
