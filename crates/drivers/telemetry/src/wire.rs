//! Protocol Buffers' binary form, written: fields one after the other, messages in messages by their length.
//!
//! Only what OTLP needs. A field with its default value is left out, as proto3 has it, but where it is one of a `oneof`.
//! Source: protobuf.dev, "Encoding".

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;

/// A message as it is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    fn raw(&mut self, mut value: u64) {
        loop {
            let low = u8::try_from(value & 0x7f).unwrap_or(0);
            value >>= 7;
            if value == 0 {
                self.0.push(low);
                return;
            }
            self.0.push(low | 0x80);
        }
    }

    fn tag(&mut self, field: u64, form: u64) {
        self.raw(field << 3 | form);
    }

    /// An integer, enumeration or boolean.
    pub(crate) fn varint(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.varint_always(field, value);
        }
    }

    /// One that is written also where it is zero.
    pub(crate) fn varint_always(&mut self, field: u64, value: u64) {
        self.tag(field, VARINT);
        self.raw(value);
    }

    /// A `fixed64` or `sfixed64`.
    pub(crate) fn fixed64(&mut self, field: u64, value: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A `fixed32`.
    pub(crate) fn fixed32(&mut self, field: u64, value: u32) {
        self.tag(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A `double`.
    pub(crate) fn double(&mut self, field: u64, value: f64) {
        self.fixed64(field, value.to_bits());
    }

    /// Text, bytes, or a message.
    pub(crate) fn bytes(&mut self, field: u64, value: &[u8]) {
        self.tag(field, LENGTH);
        self.raw(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A message within this one.
    pub(crate) fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_encodings_own_page() {
        let mut message = Message::default();
        message.varint(1, 150);
        message.bytes(2, b"testing");
        message.message(3, |inner| inner.varint(1, 150));
        let expected = b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01";
        assert_eq!(message.0, expected);
        let mut message = Message::default();
        message.varint(1, 0);
        message.varint_always(1, 0);
        message.double(2, 1.0);
        message.fixed32(3, 1);
        message.varint(4, u64::MAX);
        let expected =
            [&b"\x08\x00\x11"[..], &1.0_f64.to_le_bytes(), b"\x1d\x01\x00\x00\x00\x20", &[0xff; 9], b"\x01"];
        assert_eq!(message.0, expected.concat());
    }
}
