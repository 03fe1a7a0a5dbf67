//! CSV and JSON Lines under mappings as they stand in `examples/`, and the mapping's own faults.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod support;

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use support::{example, import, member, text, time};
use waag_import::limits::{MAPPING_BYTES_MAX, PIECE_BYTES_MAX};
use waag_import::{HashedFile, Import, Mapping, MappingError, Odd};
use waag_model::value::Value;

/// In Windows-1252, where 0xe9 is `é` and 0x80 is `€`.
const TABLE: &[u8] = b"Regelnr;Factuur;Actie;Tijdstip;Crediteur;Bedrag;Vervaldatum;Kostenplaats\r\n\
1;F-1;Ontvangen;01-02-2026 09:30;\"Caf\xe9; \"\"De Waag\"\"\";1.234,50;31-03-2026;A\x80\r\n\
2;F-1;Gekoppeld;30-02-2026 09:30;X;12,345;31-02-2026;\r\n\
\r\n\
3;F-1;Akkoord\r\n\
;;Gezien;05-02-1948 10:00;;;;\r\n\
5;F-1;Betaald;7-2-2026 23:59;X;-1,00;31-03-2026;B";

#[test]
fn a_table_is_read_as_its_mapping_says() {
    let mapping = example("invoices-csv.toml");
    let whole = import(&mapping, TABLE, 0);
    assert!(whole.error.is_none(), "{:?}", whole.error);
    let [first, second, seen, last] = &whole.events[..] else { panic!("{} events", whole.events.len()) };
    assert_eq!((first.record, first.line, first.event.id.as_ref()), (1, 2, "1"));
    assert_eq!(first.event.kind, "invoice.ingestion");
    assert_eq!(time(&first.event), Some("2026-02-01T09:30:00+01:00"));
    for (name, value) in [
        ("vendor", "Café; \"De Waag\""),
        ("cost_centre", "A€"),
        ("currency", "EUR"),
        ("due_date", "2026-03-31"),
        ("region", "eu-west-1"),
        ("status", "received"),
    ] {
        assert_eq!(text(&first.event, name), Some(value), "{name}");
    }
    assert_eq!(member(&first.event, "amount_minor"), Some(&Value::Integer(123_450)));
    assert_eq!((time(&second.event), text(&second.event, "time_text")), (None, Some("30-02-2026 09:30")));
    assert_eq!(text(&second.event, "amount_text"), Some("12,345"), "half a cent is not rounded away");
    assert_eq!(text(&second.event, "due_date_text"), Some("31-02-2026"));
    assert_eq!((seen.record, seen.event.kind.as_ref()), (4, "invoice.other"));
    assert!(seen.event.id.ends_with("-4"), "an id of the file where the log has none: {}", seen.event.id);
    assert_eq!((last.event.id.as_ref(), last.line), ("5", 7));
    let counts: Vec<_> = whole.report.odd.iter().map(|(kind, odd)| (*kind, odd.count)).collect();
    let expected = [
        (Odd::Unreadable, 1),
        (Odd::MissingInvoiceId, 1),
        (Odd::MissingId, 1),
        (Odd::UnmappedActivity, 1),
        (Odd::BadTime, 1),
        (Odd::TimeTooEarly, 1),
        (Odd::BadAmount, 1),
        (Odd::BadDay, 1),
    ];
    assert_eq!(counts, expected);
    let left_out = &whole.report.odd[&Odd::Unreadable].first[0];
    assert_eq!(
        (left_out.record, left_out.line, left_out.what.as_str()),
        (3, 5, "3 columns where 8 are named")
    );
    assert_eq!((whole.report.records, whole.report.events, whole.report.left_out), (5, 4, 1));
    for behind in 0..=5 {
        let rest = import(&mapping, TABLE, behind);
        assert!(rest.events.iter().eq(whole.events.iter().filter(|event| event.record > behind)));
    }
}

#[test]
fn a_table_without_header_has_numbers_for_names() {
    let mapping = "version = 1\nformat = 'csv'\nsource = 's'\n[csv]\nheader = false\n[fields]\n\
                   invoice_id = '2'\nactivity = '1'";
    let whole = import(&Mapping::parse(mapping).unwrap(), b"a,X-1\nb,X-2\n", 0);
    let subjects: Vec<_> = whole.events.iter().map(|event| event.event.subject.as_deref().unwrap()).collect();
    assert_eq!(subjects, ["X-1", "X-2"]);
}

#[test]
fn a_table_whose_header_does_not_fit_is_refused_and_a_quote_without_end_is_bounded() {
    let mapping = example("invoices-csv.toml");
    let code = |bytes: &[u8]| import(&mapping, bytes, 0).error.map(|error| error.code());
    assert_eq!(code(b""), Some("E1038"));
    assert_eq!(code(b"Factuur;Actie\n"), Some("E1038"));
    let twice = [b"Factuur;", TABLE].concat();
    assert_eq!(code(&twice), Some("E1038"));
    let endless = [TABLE, b"\n6;\"", "x".repeat(PIECE_BYTES_MAX + 70_000).as_bytes()].concat();
    assert_eq!(code(&endless), Some("E1035"));
    let utf_8 = "version = 1\nformat = 'csv'\nsource = 's'\n[fields]\ninvoice_id = 'i'\nactivity = 'a'";
    let whole = import(&Mapping::parse(utf_8).unwrap(), b"i,a\n1,Caf\xe9\n", 0);
    assert_eq!(whole.report.count(Odd::BadText), 1);
    assert_eq!(text(&whole.events[0].event, "activity"), Some("Caf\u{fffd}"), "kept as well as can be");
}

const LINES: &str = r#"{"uid":"a","step":"scan","at":1767225600123,"invoice":{"number":7,"total":12.50,"currency":"eur","state":"IN","vendor":{"name":"V"}}}

{"uid":"b","step":"pay","at":"1767225600123","invoice":{"number":"7","total":"1e2","currency":"EUR","state":"ODD"}}
not json
[1]
{"uid":"c","step":"pay","invoice":{"number":"7","total":1,"currency":"euro"},"at":null}
"#;

#[test]
fn json_lines_are_read_by_paths() {
    let whole = import(&example("invoices-jsonl.toml"), LINES.as_bytes(), 0);
    assert!(whole.error.is_none(), "{:?}", whole.error);
    let [first, second, last] = &whole.events[..] else { panic!("{} events", whole.events.len()) };
    assert_eq!((first.event.id.as_ref(), first.event.subject.as_deref()), ("a", Some("7")));
    assert_eq!(time(&first.event), Some("2026-01-01T00:00:00.123Z"));
    assert_eq!(member(&first.event, "amount_minor"), Some(&Value::Integer(1_250)));
    assert_eq!((text(&first.event, "status"), text(&first.event, "vendor")), (Some("received"), Some("V")));
    assert_eq!(text(&second.event, "status"), Some("ODD"), "an unknown word is kept");
    assert_eq!(member(&second.event, "amount_minor"), Some(&Value::Integer(10_000)));
    assert_eq!((last.record, last.line), (5, 6), "blank lines count as lines, not as records");
    assert_eq!(text(&last.event, "currency_text"), Some("EURO"));
    let counts: Vec<_> = whole.report.odd.iter().map(|(kind, odd)| (*kind, odd.count)).collect();
    let expected = [
        (Odd::Unreadable, 2),
        (Odd::UnmappedStatus, 1),
        (Odd::MissingTime, 1),
        (Odd::BadAmount, 1),
        (Odd::BadCurrency, 1),
    ];
    assert_eq!(counts, expected);
    assert_eq!(whole.report.odd[&Odd::Unreadable].first[0].line, 4);
}

#[test]
fn numbers_of_json_lines_keep_their_digits_wherever_they_stand() {
    let mapping = "version = 1\nformat = 'jsonl'\nsource = 's'\n[fields]\ninvoice_id = 'no'\nactivity = 'step'\n\
                   id = 'uid'\ntime = 'at'\namount = 'sum'\naccount = 'account'\nreference = 'ref'\n\
                   [extra]\nshare = 'share'\n[constants]\ncurrency = 'EUR'\n[numbers]\ndecimal = ','\n\
                   thousands = '.'\n[dates]\ntime = 'unix_seconds'\n[activities]\nscan = { stage = 'ingestion' }";
    let line = r#"{"no":7.0,"step":"scan","uid":12.50,"at":1763712000.5,"sum":1.250,"account":44.5,"ref":4400.10,"share":0.25}"#;
    let text_line = line.replace("1.250", "\"1.250\"");
    let huge = line.replace("44.5", "1e400").replace("7.0", "7e-400");
    let whole =
        import(&Mapping::parse(mapping).unwrap(), format!("{line}\n{text_line}\n{huge}").as_bytes(), 0);
    let [first, of_text, huge] = &whole.events[..] else { panic!("{} events", whole.events.len()) };
    assert_eq!((first.event.id.as_ref(), first.event.subject.as_deref()), ("12.50", Some("7.0")));
    assert_eq!(time(&first.event), Some("2025-11-21T08:00:00.5Z"));
    for (name, digits) in [("account", "44.5"), ("reference", "4400.10"), ("share", "0.25")] {
        assert_eq!(text(&first.event, name), Some(digits), "{name}");
    }
    // A number of JSON has its own form; the mapping's is that of the log's texts.
    assert_eq!(member(&first.event, "amount_minor"), Some(&Value::Integer(125)));
    assert_eq!(member(&of_text.event, "amount_minor"), Some(&Value::Integer(125_000)));
    assert_eq!(
        (text(&huge.event, "account"), huge.event.subject.as_deref()),
        (Some("1e400"), Some("7e-400"))
    );
    assert!(whole.report.odd.is_empty(), "{:?}", whole.report.odd);
}

#[test]
fn a_mapping_is_refused_with_its_line() {
    let base = "version = 1\nformat = 'csv'\nsource = 's'\n[fields]\ninvoice_id = 'i'\nactivity = 'a'\n";
    assert!(Mapping::parse(base).is_ok());
    for (added, code, line) in [
        ("oops", "E1020", 7),
        ("colour = 'x'", "E1020", 7),
        ("[activities]\n'A' = { stage = 'payment' }", "E1020", 8),
        ("[activities]\n'A' = { stage = 'posting', note = 1 }", "E1020", 8),
        ("[csv]\ndelimiter = ';;'", "E1021", 8),
        ("[csv]\ndelimiter = '€'", "E1021", 8),
        ("[csv]\nquote = ','", "E1021", 8),
        ("[numbers]\nthousands = '.'", "E1021", 8),
        ("[numbers]\nthousands = '5'", "E1021", 8),
        ("[numbers]\ndecimal = '5'", "E1021", 8),
        ("[numbers]\ndecimal = '٥'", "E1021", 8),
        ("[numbers]\ndecimal = '-'", "E1021", 8),
        ("[numbers]\nthousands = '+'", "E1021", 8),
        ("[numbers]\nthousands = '\u{2212}'", "E1021", 8),
        ("[numbers]\ndecimal = 'e'", "E1021", 8),
        ("[numbers]\nthousands = 'E'", "E1021", 8),
        ("[numbers]\ndecimal = 'x'", "E1021", 8),
        ("[dates]\ntime = '%d.%m'", "E1021", 8),
        ("[constants]\ncurrency = 'euro'", "E1021", 8),
        ("[extra]\ncost = 'c'\nstatus = 's'", "E1021", 9),
        ("[csv]\nheader = false", "E1021", 0),
    ] {
        let error = Mapping::parse(&format!("{base}{added}\n")).unwrap_err();
        let told = match &error {
            MappingError::Form { line, .. } | MappingError::Value { line, .. } => *line,
            MappingError::Missing { .. } | MappingError::TooLarge => 0,
        };
        assert_eq!((error.code(), told), (code, line), "{added}: {error}");
    }
    for (from, to, code) in [
        ("version = 1", "version = 2", "E1021"),
        ("source = 's'", "source = 'a b'", "E1021"),
        ("source = 's'", "source = 's'\nencoding = 'klingon'", "E1021"),
        ("source = 's'", "source = 's'\ntime_zone = 'Europe/Amsterdam'", "E1021"),
        ("source = 's'", "source = 's'\nearliest = '2018'", "E1021"),
        ("invoice_id = 'i'", "", "E1020"),
        ("activity = 'a'", "", "E1022"),
    ] {
        assert_eq!(Mapping::parse(&base.replace(from, to)).unwrap_err().code(), code, "{to}");
    }
    let full = format!("{base}#{}", "x".repeat(MAPPING_BYTES_MAX - base.len() - 1));
    assert!(Mapping::parse(&full).is_ok());
    assert_eq!(Mapping::parse(&format!("{full}x")).unwrap_err().code(), "E1023");
}

/// A file whose last byte is another one when it is read again.
struct Rewritten(Cursor<Vec<u8>>);

impl Read for Rewritten {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for Rewritten {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        *self.0.get_mut().last_mut().unwrap() ^= 1;
        self.0.seek(to)
    }
}

#[test]
fn a_file_that_changes_behind_its_hash_ends_with_that_fault_in_every_form() {
    let many = |head: &str, line: &str| format!("{head}{}", line.repeat(3_000_000 / line.len())).into_bytes();
    let lines = many("", "{\"uid\":\"a\",\"step\":\"scan\",\"invoice\":{\"number\":7}}\n");
    let mut packed = GzEncoder::new(Vec::new(), Compression::none());
    packed.write_all(&lines).unwrap();
    let table = "version = 1\nformat = 'csv'\nsource = 's'\n[fields]\ninvoice_id = 'i'\nactivity = 'a'";
    let event = "<event><string key='concept:name' value='Change Price'/></event>";
    for (mapping, bytes) in [
        (example("invoices-jsonl.toml"), lines),
        (example("invoices-jsonl.toml"), packed.finish().unwrap()),
        (Mapping::parse(table).unwrap(), many("i,a\n", "1,scan\n")),
        (example("bpic2019.toml"), many("<log><trace>", event)),
    ] {
        let file = HashedFile::open(Rewritten(Cursor::new(bytes))).unwrap();
        let (mut events, mut codes) = (0, Vec::new());
        for next in Import::open(&mapping, file.hash(), file).unwrap() {
            match next {
                Ok(_) => events += 1,
                Err(error) => codes.push(error.code()),
            }
        }
        assert_eq!(codes, ["E1039"], "{:?}", mapping.format());
        assert!(events > 1_000, "those before are as they were hashed: {events}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever the bytes: an end, the same end again, and every record counted once.
    #[test]
    fn any_bytes_come_to_an_end(
        which in 0_usize..4,
        cuts in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..12),
    ) {
        let (name, sound): (_, &[u8]) = match which {
            0 => ("invoices-csv.toml", TABLE),
            1 => ("invoices-jsonl.toml", LINES.as_bytes()),
            2 => ("bpic2019.toml", b"<log><trace><string key='concept:name' value='a'/><event><string key='concept:name' value='Change Price'/><date key='time:timestamp' value='2018-01-02T12:53:00+00:00'/></event></trace></log>"),
            _ => ("bpic2019.toml", b"\x1f\x8b\x08\0\0\0\0\0\0\x03garbage garbage garbage"),
        };
        let mut bytes = sound.to_vec();
        for (at, byte) in cuts {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mapping = example(name);
        let (first, again) = (import(&mapping, &bytes, 0), import(&mapping, &bytes, 0));
        prop_assert_eq!(&first.events, &again.events);
        prop_assert_eq!(first.report.records, first.report.events + first.report.left_out);
        prop_assert_eq!(first.events.len() as u64, first.report.events);
    }
}
