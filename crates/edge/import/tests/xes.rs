//! XES as other systems write it, and as an attacker would.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

#[expect(dead_code, reason = "shared with other tests")]
mod support;

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use support::{import, member, text, time};
use waag_import::limits::{ELEMENT_DEPTH_MAX, PIECE_BYTES_MAX};
use waag_import::{Mapping, Odd};
use waag_model::value::Value;

const MAPPING: &str = r#"
version = 1
format = "xes"
source = "urn:test"
earliest = "2018-01-01"
[fields]
invoice_id = "case:concept:name"
activity = "concept:name"
time = "time:timestamp"
vendor = "case:Vendor"
amount = "net worth"
[constants]
currency = "EUR"
[activities]
"Clear Invoice" = { stage = "posting", status = "cleared" }
"#;

const LOG: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- a log -->
<log xes.version="1.0" xmlns="http://www.xes-standard.org/">
  <extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
  <global scope="event"><string key="concept:name" value="__INVALID__"/></global>
  <classifier name="Activity" keys="concept:name"/>
  <string key="concept:name" value="the log's own name"/>
  <trace>
    <string key="concept:name" value="4507&#x26;1"><string key="nested" value="x"/></string>
    <string key="Vendor" value="Müller &amp; Söhne"/>
    <event>
      <string key="concept:name" value="Clear Invoice"/>
      <date key="time:timestamp" value="2018-05-01T10:00:00.000+02:00"/>
      <float key="net worth" value="298.0"/>
      <list key="l"><values><string key="concept:name" value="inner"/></values></list>
    </event>
    <event/>
  </trace>
  <trace>
    <event><string key="concept:name" value="Dance"/><date key="time:timestamp" value="1948-01-26T22:59:00Z"/></event>
    <string key="concept:name" value="late"/>
    <event><string key="concept:name" value="Clear Invoice"/><date key="time:timestamp" value="soon"/></event>
  </trace>
  <event><string key="concept:name" value="Clear Invoice"/></event>
</log>
"#;

fn mapping() -> Mapping {
    Mapping::parse(MAPPING).unwrap()
}

fn code(bytes: &[u8]) -> Option<&'static str> {
    import(&mapping(), bytes, 0).error.map(|error| error.code())
}

#[test]
fn events_have_their_traces_values_and_what_is_odd_is_marked() {
    let whole = import(&mapping(), LOG.as_bytes(), 0);
    assert!(whole.error.is_none(), "{:?}", whole.error);
    let [first, empty, dance, late, lone] = &whole.events[..] else {
        panic!("{} events", whole.events.len())
    };
    assert_eq!(first.line, 11);
    let first = &first.event;
    assert_eq!((first.kind.as_ref(), first.subject.as_deref()), ("invoice.posting", Some("4507&1")));
    assert_eq!(time(first), Some("2018-05-01T10:00:00.000+02:00"));
    assert_eq!(text(first, "vendor"), Some("Müller & Söhne"));
    assert_eq!(text(first, "activity"), Some("Clear Invoice"), "a nested value is not the event's");
    assert_eq!(member(first, "amount_minor"), Some(&Value::Integer(29_800)));
    assert_eq!(member(first, "import_odd"), None);
    assert_eq!(empty.event.subject.as_deref(), Some("4507&1"));
    assert_eq!(text(&empty.event, "activity"), None, "a global's value is no event's");
    assert_eq!(dance.event.kind, "invoice.other");
    assert_eq!((dance.event.subject.as_deref(), time(&dance.event)), (None, Some("1948-01-26T22:59:00Z")));
    assert_eq!((late.event.subject.as_deref(), time(&late.event)), (Some("late"), None));
    assert_eq!(text(&late.event, "time_text"), Some("soon"));
    assert_eq!((lone.event.subject.as_deref(), lone.record), (None, 5));
    let counts: Vec<_> = whole.report.odd.iter().map(|(kind, odd)| (*kind, odd.count)).collect();
    let expected = [
        (Odd::MissingInvoiceId, 2),
        (Odd::MissingActivity, 1),
        (Odd::UnmappedActivity, 1),
        (Odd::MissingTime, 2),
        (Odd::BadTime, 1),
        (Odd::TimeTooEarly, 1),
        (Odd::LateCaseValue, 1),
    ];
    assert_eq!(counts, expected);
    assert_eq!((whole.report.unmapped["Dance"], whole.report.cases), (1, Some(2)));
    let Some(Value::Array(odd)) = member(&dance.event, "import_odd") else { panic!("not marked") };
    let odd: Vec<_> = odd.iter().filter_map(Value::as_text).collect();
    assert_eq!(odd, ["missing_invoice_id", "unmapped_activity", "time_too_early"]);
}

#[test]
fn a_repeated_import_is_the_same_events_and_a_resumed_one_the_rest_of_them() {
    let whole = import(&mapping(), LOG.as_bytes(), 0);
    for behind in 0..=5 {
        let rest = import(&mapping(), LOG.as_bytes(), behind as u64);
        assert_eq!(rest.events, whole.events[behind..]);
        assert_eq!(rest.report, whole.report);
    }
}

#[test]
fn gzip_and_other_encodings_say_the_same() {
    let expected = import(&mapping(), LOG.as_bytes(), 0);
    let gzip = |parts: &[&[u8]]| {
        let mut all = Vec::new();
        for part in parts {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(part).unwrap();
            all.extend(encoder.finish().unwrap());
        }
        all
    };
    let (head, tail) = LOG.as_bytes().split_at(700);
    let utf_16: Vec<u8> = LOG.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf_16_marked: Vec<u8> =
        [0xfeff].into_iter().chain(LOG.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    // A declaration longer than what libraries look at.
    let latin = LOG.replace("encoding=\"UTF-8\"", &format!("{}encoding = 'ISO-8859-1'", " ".repeat(200)));
    let latin: Vec<u8> = latin.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let marked = [b"\xef\xbb\xbf", LOG.as_bytes()].concat();
    for (name, bytes) in [
        ("gzip", gzip(&[LOG.as_bytes()])),
        ("gzip in two members", gzip(&[head, tail])),
        ("UTF-16", utf_16),
        ("UTF-16 with a mark", utf_16_marked),
        ("ISO-8859-1", latin),
        ("a mark", marked),
    ] {
        let whole = import(&mapping(), &bytes, 0);
        assert!(whole.error.is_none(), "{name}: {:?}", whole.error);
        assert_eq!(whole.report, expected.report, "{name}");
        for (event, expected) in whole.events.iter().zip(&expected.events) {
            assert_eq!((&event.event.data, event.line), (&expected.event.data, expected.line), "{name}");
            assert_ne!(event.event.id, expected.event.id, "{name}: another file");
        }
    }
    let packed = gzip(&[LOG.as_bytes()]);
    assert_eq!(code(&packed[..packed.len() - 9]), Some("E1031"));
    let mut flipped = packed.clone();
    flipped[packed.len() - 6] ^= 1;
    assert_eq!(code(&flipped), Some("E1031"), "the checksum is looked at");
}

#[test]
fn what_is_not_a_sound_log_is_refused() {
    let deep = |depth: usize| {
        let within = format!("{}{}", "<string key='k' value='v'>".repeat(depth), "</string>".repeat(depth));
        format!("<log><trace><event>{within}</event></trace></log>")
    };
    let long = |bytes: usize| format!("<log><trace><event a='{}'/></trace></log>", "x".repeat(bytes));
    let bomb = "<!DOCTYPE log [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><log>&b;</log>";
    for (name, log, code_of) in [
        ("no log", String::new(), Some("E1037")),
        ("another document", "<html/>".to_owned(), Some("E1037")),
        ("text", "hello".to_owned(), Some("E1037")),
        ("two roots", "<log/><log/>".to_owned(), Some("E1037")),
        ("an empty log", "<log/>".to_owned(), None),
        ("entities", bomb.to_owned(), Some("E1033")),
        (
            "an unknown entity",
            "<log><trace><string key='concept:name' value='&x;'/></trace></log>".to_owned(),
            Some("E1032"),
        ),
        ("crossed tags", "<log><trace></log></trace>".to_owned(), Some("E1032")),
        ("cut short", LOG.get(..LOG.len() / 2).unwrap().to_owned(), Some("E1032")),
        ("cut after an event", "<log><trace><event/>".to_owned(), Some("E1032")),
        ("as deep as allowed", deep(ELEMENT_DEPTH_MAX - 3), None),
        ("too deep", deep(ELEMENT_DEPTH_MAX - 2), Some("E1034")),
        ("a long tag", long(PIECE_BYTES_MAX - 70_000), None),
        ("too long a tag", long(PIECE_BYTES_MAX + 70_000), Some("E1035")),
        (
            "an unknown encoding",
            "<?xml version='1.0' encoding='ebcdic-cp-nl'?><log/>".to_owned(),
            Some("E1036"),
        ),
    ] {
        assert_eq!(code(log.as_bytes()), code_of, "{name}");
    }
    let latin = b"<log><trace><string key='concept:name' value='M\xfcller'/></trace></log>";
    assert_eq!(code(latin), Some("E1036"), "bytes that are not UTF-8 are not guessed at");
}

#[test]
fn events_before_a_fault_stand() {
    let log = LOG.replace("<event/>", "<event></evil>");
    let whole = import(&mapping(), log.as_bytes(), 0);
    assert_eq!((whole.events.len(), whole.error.unwrap().code()), (1, "E1032"));
}
