//! What a server sends, in any cuts: read the same, or refused, and never more kept than a message.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may stop, and waits by the machine's clock"
)]

use proptest::prelude::*;
use waag_nats::protocol::{
    Headers, INFO_BYTES_MAX, LINE_BYTES_MAX, MESSAGE_BYTES_MAX, Message, Parser, ProtocolError, Received,
    Unsendable, Writer, is_subject,
};

/// Everything that is read when the bytes come in pieces of these sizes, and how it ended.
fn read(bytes: &[u8], cuts: &[usize]) -> (Vec<Received>, Option<ProtocolError>) {
    let (mut parser, mut all, mut rest) = (Parser::new(), Vec::new(), bytes);
    let mut cuts = cuts.iter().copied().cycle();
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(cuts.next().unwrap_or(1).clamp(1, rest.len()));
        rest = behind;
        parser.feed(piece);
        loop {
            match parser.next() {
                Ok(Some(received)) => all.push(received),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(parser.next(), Err(error), "an error is final");
                    assert_eq!(parser.kept(), 0);
                    return (all, Some(error));
                }
            }
        }
        assert!(parser.kept() <= bytes.len());
    }
    (all, None)
}

fn whole(bytes: &[u8]) -> (Vec<Received>, Option<ProtocolError>) {
    read(bytes, &[bytes.len().max(1)])
}

fn message(subject: &str, reply: Option<&str>, headers: Headers, payload: &[u8]) -> Received {
    Received::Message(Message {
        subject: subject.as_bytes().into(),
        subscription: 7,
        reply: reply.map(|reply| reply.as_bytes().into()),
        headers,
        payload: payload.into(),
    })
}

const CONVERSATION: &[u8] = b"INFO {\"a\":1}\r\nPING\r\npong\r\n+OK\r\n-ERR 'Stale Connection'\r\n\
    MSG a.b 7 5\r\nhe\r\no\r\nmsg a 7 _INBOX.1 0\r\n\r\n\
    HMSG a 7 _INBOX.1 40 42\r\nNATS/1.0 503 No Responders\r\nX: y\r\n z\r\n\r\n{}\r\nHMSG  a\t7 16 16\r\nNATS/1.0 503\r\n\r\n\r\n";

#[test]
fn each_kind_of_message_is_read_in_any_cuts() {
    let told = Headers {
        status: Some(503),
        description: "No Responders".into(),
        fields: vec![("X".to_owned(), "y".to_owned())],
    };
    let none = Headers { status: Some(503), ..Headers::default() };
    let expected = vec![
        Received::Info(b"{\"a\":1}".as_slice().into()),
        Received::Ping,
        Received::Pong,
        Received::Ok,
        Received::Error("Stale Connection".into()),
        message("a.b", None, Headers::default(), b"he\r\no"),
        message("a", Some("_INBOX.1"), Headers::default(), b""),
        message("a", Some("_INBOX.1"), told, b"{}"),
        message("a", None, none, b""),
    ];
    for cut in 1..CONVERSATION.len() {
        assert_eq!(read(CONVERSATION, &[cut]), (expected.clone(), None), "{cut}");
    }
}

#[test]
fn what_is_no_message_is_refused() {
    let cases: [(&[u8], ProtocolError); 13] = [
        (b"HTTP/1.1 400 Bad Request\r\n", ProtocolError::Unknown),
        (b"\r\n", ProtocolError::Unknown),
        (b"PING\n", ProtocolError::Unknown),
        (b"PING x\r\n", ProtocolError::Unknown),
        (b"MSG a 1\r\n", ProtocolError::Malformed),
        (b"MSG a 1 b c 5\r\n", ProtocolError::Malformed),
        (b"MSG a x 5\r\n", ProtocolError::Malformed),
        (b"MSG a 1 -5\r\n", ProtocolError::Malformed),
        (b"MSG a 1 9999999999999999999\r\n", ProtocolError::Malformed),
        (b"HMSG a 1 6 5\r\n", ProtocolError::Malformed),
        (b"HMSG a 1 5\r\n", ProtocolError::Malformed),
        (b"MSG a 1 2\r\nabc\r\n", ProtocolError::End),
        (b"MSG\r\n", ProtocolError::Malformed),
    ];
    for (bytes, error) in cases {
        assert_eq!(whole(bytes), (vec![], Some(error)), "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn lines_and_messages_end_at_their_limits() {
    let line = |word: &str, bytes: usize| format!("{word} {}\r\n", "x".repeat(bytes - word.len() - 2));
    assert_eq!(whole(line("-ERR", LINE_BYTES_MAX).as_bytes()).1, None);
    assert_eq!(whole(line("-ERR", LINE_BYTES_MAX + 1).as_bytes()).1, Some(ProtocolError::Line));
    assert_eq!(whole(line("INFO", INFO_BYTES_MAX).as_bytes()).1, None);
    assert_eq!(whole(line("INFO", INFO_BYTES_MAX + 1).as_bytes()).1, Some(ProtocolError::Line));
    assert_eq!(whole(&[b'x'; LINE_BYTES_MAX + 1]).1, Some(ProtocolError::Line), "without any end too");
    assert_eq!(whole(format!("MSG a 1 {MESSAGE_BYTES_MAX}\r\n").as_bytes()).1, None);
    let above = MESSAGE_BYTES_MAX + 1;
    let told = whole(format!("MSG a 1 {above}\r\n").as_bytes()).1;
    assert_eq!(told, Some(ProtocolError::TooLong(above as u64)));
}

#[test]
fn nothing_that_is_written_can_begin_a_second_message() {
    let mut writer = Writer::new();
    for subject in ["", "a b", "a\r\nPUB b 0", "a..b", ".a", "a.", "a\tb"] {
        assert!(!is_subject(subject.as_bytes()), "{subject:?}");
        assert_eq!(writer.publish(subject.as_bytes(), None, &[], b""), Err(Unsendable));
        assert_eq!(writer.publish(b"a", Some(subject), &[], b""), Err(Unsendable));
        assert_eq!(writer.subscribe(subject, 1), Err(Unsendable));
    }
    for (name, value) in [("", "x"), ("a:b", "x"), ("a b", "x"), ("a", "x\r\ny: z"), ("a", "\n")] {
        assert_eq!(writer.publish(b"a", None, &[(name, value)], b""), Err(Unsendable), "{name:?} {value:?}");
    }
    assert!(writer.is_empty());
    assert_eq!(writer.publish(b"a", Some("b"), &[("X", "y")], b"{}"), Ok(20));
    assert_eq!(writer.take(), b"HPUB a b 18 20\r\nNATS/1.0\r\nX: y\r\n\r\n{}\r\n");
}

proptest! {
    #[test]
    fn any_bytes_in_any_cuts_come_to_the_same_end(
        pieces in prop::collection::vec(
            prop_oneof![
                Just(b"\r\n".to_vec()),
                Just(b"MSG a 7 ".to_vec()),
                Just(b"HMSG a 7 r 12 ".to_vec()),
                Just(b"NATS/1.0\r\n\r\n".to_vec()),
                Just(b"PING\r\n".to_vec()),
                Just(b"INFO ".to_vec()),
                Just(b"-ERR '".to_vec()),
                "[0-9]{1,3}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..20),
            ],
            0..24,
        ),
        cuts in prop::collection::vec(1_usize..40, 1..8),
    ) {
        let bytes = pieces.concat();
        prop_assert_eq!(read(&bytes, &cuts), whole(&bytes));
    }

    #[test]
    fn headers_of_any_bytes_are_read(block in prop::collection::vec(any::<u8>(), 0..200)) {
        let read = Headers::read(&block);
        prop_assert!(read.fields.len() <= block.len());
        let begun = [b"NATS/1.0\r\n".as_slice(), &block].concat();
        prop_assert!(Headers::read(&begun).fields.iter().all(|(name, _)| !name.is_empty()));
    }

    #[test]
    fn what_is_published_comes_back(payload in prop::collection::vec(any::<u8>(), 0..300), value in "[ -~]{0,40}") {
        let mut writer = Writer::new();
        let total = writer.publish(b"a", Some("b"), &[("X", &value)], &payload).unwrap();
        let sent = writer.take();
        let line = sent.windows(2).position(|two| two == b"\r\n").unwrap();
        let of_headers = total - payload.len();
        let received = [format!("HMSG a 7 b {of_headers} {total}").as_bytes(), &sent[line..]].concat();
        let headers = Headers { fields: vec![("X".to_owned(), value.trim().to_owned())], ..Headers::default() };
        prop_assert_eq!(whole(&received), (vec![message("a", Some("b"), headers, &payload)], None));
    }
}
