//! `waag import`: each form of a log, taken once however often it is asked for, and however it was broken off.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use waag::node::feed::{Fed, Feed, Given};
use waag::store::options::Options;
use waag::store::place::Place;
use waag::store::reader::open_reader;
use waag::store::writer::open_writer;
use waag_import::limits::MAPPING_BYTES_MAX;
use waag_model::event::{Data, Event};
use waag_model::ids::{Actor, TenantName};
use waag_model::value::Object;

use crate::common::{Folder, Ran};
use crate::support::{PATIENCE, Process, recorded, report, within};

const BPIC: &str = include_str!("../../../../examples/bpic2019.toml");
const CSV: &str = include_str!("../../../../examples/invoices-csv.toml");
const JSONL: &str = include_str!("../../../../examples/invoices-jsonl.toml");

const XES_LOG: &str = r#"<log>
<trace><string key="concept:name" value="A"/>
<event><string key="concept:name" value="Vendor creates invoice"/><date key="time:timestamp" value="1948-01-26T23:59:00+00:00"/></event>
<event><string key="concept:name" value="Record Invoice Receipt"/><date key="time:timestamp" value="2018-03-01T10:00:00+00:00"/></event>
<event><string key="concept:name" value="Clear Invoice"/><date key="time:timestamp" value="2018-03-05T10:00:00+00:00"/></event>
</trace>
<trace><string key="concept:name" value="B"/>
<event><string key="concept:name" value="Record Invoice Receipt"/><date key="time:timestamp" value="2018-03-02T10:00:00+00:00"/></event>
</trace>
</log>"#;
const CSV_LOG: &str = "Regelnr;Factuur;Actie;Tijdstip;Crediteur;Bedrag;Vervaldatum;Kostenplaats\r\n\
1;F-1;Ontvangen;01-02-2026 09:30;De Waag;1.234,50;31-03-2026;A\r\n\
2;F-1;Betaald;02-02-2026 09:30;De Waag;1.234,50;31-03-2026;A\r\n\
3;F-2;Ontvangen;03-02-2026 09:30;X;12,00;31-03-2026;B\r\n";
const JSONL_LOG: &str = r#"{"uid":"a","invoice":{"number":"7","state":"IN","total":12.50,"currency":"EUR"},"step":"scan","at":1767225600123}
{"uid":"b","invoice":{"number":"7","state":"DONE"},"step":"pay","at":1767225700123}
{"uid":"c","invoice":{"number":"8","state":"IN"},"step":"scan","at":1767225800123}
"#;

/// The third line has the second's id and another word; it is refused.
const JSONL_TWICE: &str = r#"{"uid":"a","invoice":{"number":"7","state":"IN"},"step":"scan","at":1767225600123}
{"uid":"b","invoice":{"number":"7","state":"DONE"},"step":"pay","at":1767225700123}
{"uid":"b","invoice":{"number":"7","state":"IN"},"step":"pay","at":1767225700123}
{"uid":"c","invoice":{"number":"8","state":"IN"},"step":"scan","at":1767225800123}
"#;

fn import(folder: &Folder) -> Ran {
    folder.run(&["import", "--json", "--mapping", "mapping", "log"])
}

/// A folder with a mapping and a log, and no store.
fn with(mapping: &str, log: &str) -> Folder {
    let folder = Folder::new();
    folder.write("mapping", mapping);
    folder.write("log", log);
    folder
}

/// What an import counted: recorded, recorded before, refused, and the events an earlier run had recorded.
fn counts(ran: &Ran) -> [u64; 4] {
    let told = ran.json();
    ["recorded", "before", "refused", "resumed_events"]
        .map(|name| told[name].as_u64().unwrap_or_else(|| panic!("{name}: {told}")))
}

fn place(folder: &Folder) -> Place {
    Place::new(&folder.path("waag-data"), None, TenantName::new("default").unwrap()).unwrap()
}

#[test]
fn each_form_of_a_log_is_taken_once() {
    for (mapping, log, events, odd) in [(BPIC, XES_LOG, 4, 1), (CSV, CSV_LOG, 3, 0), (JSONL, JSONL_LOG, 3, 0)]
    {
        let folder = Folder::new();
        folder.write("mapping", mapping);
        folder.write("log", log);
        let told = import(&folder).exits(0).json();
        assert_eq!(
            (&told["recorded"], &told["before"], &told["refused"]),
            (&events.into(), &0.into(), &0.into())
        );
        let figures = report(&folder);
        let of = |name: &str| figures[name].as_u64().unwrap_or_else(|| panic!("{name}: {figures}"));
        assert_eq!((of("cases"), of("cleared"), of("received_not_cleared")), (2, 1, 1), "{figures}");
        assert_eq!(of("stuck"), 1, "what is open since then is long past its deadline: {figures}");
        assert!(figures["by_stage"].is_object(), "{figures}");
        assert!(of("odd") >= odd, "{figures}");
        let odd_told = told["report"]["odd"].as_object().unwrap();
        assert_eq!(odd_told.is_empty(), odd == 0, "{told}");
        let entries = folder.run(&["read"]).exits(0).lines().len();
        let again = import(&folder).exits(0).json();
        assert_eq!((&again["recorded"], &again["refused"]), (&0.into(), &0.into()), "{again}");
        assert_eq!(folder.run(&["read"]).exits(0).lines().len(), entries, "nothing new");
        assert_eq!(report(&folder)["cases"], 2);
        folder.run(&["verify"]).exits(0);
    }
}

#[test]
fn an_import_killed_half_way_goes_on_and_takes_each_event_once() {
    const EVENTS: u64 = 40_000;
    let folder = Folder::with_store();
    let mut log = String::new();
    for number in 0..EVENTS {
        let invoice = number % 2_000;
        writeln!(log, r#"{{"uid":"u{number}","invoice":{{"number":"{invoice}","state":"IN"}},"step":"match","at":1767225600123}}"#).unwrap();
    }
    folder.write("mapping", JSONL);
    folder.write("log", log);
    let place = place(&folder);
    let end = || open_reader(&place, &Options::default()).map_or(0, |store| store.end().0);
    for kill in 1..=2 {
        let mut process = Process::start(folder.command(&["import", "--mapping", "mapping", "log"]));
        within("a part of the log", PATIENCE, || (end() >= kill * 5_000).then_some(()));
        process.kill();
        let part = end();
        assert!(part < EVENTS, "it was to be broken off: {part}");
    }
    let told = import(&folder).exits(0).json();
    let (recorded_now, before) = (told["recorded"].as_u64().unwrap(), told["before"].as_u64().unwrap());
    assert!(before >= 5_000, "{told}");
    assert_eq!(recorded_now + before + told["resumed_behind"].as_u64().unwrap(), EVENTS, "{told}");
    let counts = recorded(&folder, "urn:example:erp");
    assert_eq!(counts.len() as u64, EVENTS);
    assert!(counts.values().all(|count| *count == 1));
    assert_eq!(report(&folder)["cases"], 2_000);
    assert_eq!(import(&folder).exits(0).json()["recorded"], 0);
}

#[test]
fn what_was_refused_is_told_again_and_another_mapping_begins_anew() {
    let folder = with(JSONL, JSONL_TWICE);
    let first = import(&folder).exits(1);
    assert_eq!(counts(&first), [3, 0, 1, 0], "{first:?}");
    assert!(first.err.contains("record 3 refused: E0922"), "{first:?}");
    for _ in 0..2 {
        let again = import(&folder).exits(1);
        assert_eq!(counts(&again), [0, 1, 1, 2], "{again:?}");
        assert!(again.err.contains("record 3 refused: E0922"), "{again:?}");
    }
    folder.write("mapping", JSONL.replace("urn:example:erp", "urn:example:other"));
    assert_eq!(counts(&import(&folder).exits(1)), [3, 0, 1, 0], "another source is another import");
    folder.write("mapping", JSONL.replace("id = \"uid\"\ninvoice_id", "invoice_id"));
    assert_eq!(counts(&import(&folder).exits(0)), [4, 0, 0, 0], "under ids of the file all four fit");
    assert_eq!(counts(&import(&folder).exits(0)), [0, 0, 0, 4]);
    folder.write("mapping", format!("{JSONL}\n# The same, said anew.\n"));
    assert_eq!(counts(&import(&folder).exits(1)), [0, 3, 1, 0], "found by their ids, and nothing doubles");
    assert!(recorded(&folder, "urn:example:other").values().all(|count| *count == 1));
    folder.run(&["verify"]).exits(0);
}

#[test]
fn a_restored_ledger_knows_nothing_of_imports_into_the_one_that_was_lost() {
    let folder = with(JSONL, JSONL_LOG);
    folder.run(&["init"]).exits(0);
    folder.run(&["backup", "init", "repo", "--key", "key"]).exits(0);
    assert_eq!(counts(&import(&folder).exits(0)), [3, 0, 0, 0]);
    folder.run(&["backup", "repo", "--key", "key"]).exits(0);
    folder.run(&["restore", "repo", "--key", "key", "--to", "new"]).exits(0);
    folder.run(&["promote", "--data", "new"]).exits(0);
    let again = folder.run(&["import", "--json", "--mapping", "mapping", "log", "--data", "new"]);
    assert_eq!(counts(&again.exits(0)), [3, 0, 0, 0], "the new ledger has all of it");
}

#[test]
fn a_record_of_the_files_hash_alone_hides_nothing() {
    let hash = import(&with(JSONL, JSONL_LOG)).exits(0).json()["file_sha256"].as_str().unwrap().to_owned();
    let folder = with(JSONL, JSONL_LOG);
    folder.run(&["init"]).exits(0);
    {
        // As earlier versions kept it.
        let store = open_writer(&place(&folder), &Options::default(), &mut |_, _| {}).unwrap();
        store.keyring.keep_door_record(format!("import/{hash}").as_bytes(), Some(b"3")).unwrap();
    }
    assert_eq!(counts(&import(&folder).exits(0)), [3, 0, 0, 0]);
    assert_eq!(counts(&import(&folder).exits(0)), [0, 0, 0, 3]);
}

#[test]
fn what_cannot_be_read_is_told_each_time() {
    let folder = with(JSONL, &JSONL_LOG.replacen('\n', "\nnot json\n", 1));
    for counted in [[3, 0, 0, 0], [0, 0, 0, 3]] {
        let ran = import(&folder).exits(1);
        assert_eq!(counts(&ran), counted);
        assert_eq!(ran.json()["report"]["left_out"], 1);
    }
    let text = folder.run(&["import", "--mapping", "mapping", "log"]).exits(1).out;
    assert!(text.starts_with("0 recorded, 0 recorded before, 0 refused, 1 left out, in "), "{text}");
    assert!(text.contains("\nresumed behind record 4: an earlier run had recorded its 3 events\n"), "{text}");
}

#[test]
fn events_before_a_fault_are_recorded_and_the_fault_is_told() {
    let source = "urn:test:purchasing";
    let mapping = BPIC
        .lines()
        .map(|line| if line.starts_with("source") { "source = 'urn:test:purchasing'" } else { line });
    let folder = with(&mapping.collect::<Vec<_>>().join("\n"), &XES_LOG.replace("</log>", "<<"));
    for now in [4, 0] {
        let ran = import(&folder).exits(3);
        assert_eq!(ran.json()["error"]["code"], "E1032");
        assert!(ran.err.contains(&format!(": {now} recorded, 0 recorded before, 0 refused")), "{ran:?}");
        assert_eq!(recorded(&folder, source).len(), 4);
    }
    assert!(recorded(&folder, source).values().all(|count| *count == 1));
}

#[test]
fn only_a_regular_file_is_a_log() {
    let folder = with(JSONL, JSONL_LOG);
    for log in ["/dev/stdin", ".", "/dev/null"] {
        let arguments = ["import", "--json", "--mapping", "mapping", log];
        let ran = folder.feed(&arguments, JSONL_LOG.as_bytes()).exits(2);
        assert_eq!(ran.json()["error"]["code"], "E1040", "{log}");
    }
    assert!(!folder.path("waag-data").exists(), "nothing was made for it");
    // A mapping is read once and may come from anywhere.
    let arguments = ["import", "--json", "--mapping", "/dev/stdin", "log"];
    assert_eq!(counts(&folder.feed(&arguments, JSONL.as_bytes()).exits(0)), [3, 0, 0, 0]);
}

#[test]
fn a_mapping_that_may_not_be_is_refused_before_anything_is_made() {
    let full = format!("{JSONL}#{}", "x".repeat(MAPPING_BYTES_MAX - JSONL.len() - 1));
    let latin = [JSONL.as_bytes(), b"# caf\xe9"].concat();
    for (mapping, code) in [
        (JSONL.replace("urn:example:erp", "/waag").into_bytes(), "E0920"),
        // What stands behind the limit is a part of it, whatever it says.
        (format!("{full}x").into_bytes(), "E1023"),
        (format!("{full}é").into_bytes(), "E1023"),
        (latin, "E1020"),
    ] {
        let folder = with("", JSONL_LOG);
        folder.write("mapping", mapping);
        let ran = import(&folder).exits(2);
        assert_eq!(ran.json()["error"]["code"], code);
        assert!(!folder.path("waag-data").exists(), "{code}");
    }
    assert_eq!(counts(&import(&with(&full, JSONL_LOG)).exits(0)), [3, 0, 0, 0], "at the limit");
}

#[test]
fn what_is_fed_never_takes_the_place_of_an_event_of_waags_own() {
    let folder = Folder::with_store();
    let store = open_writer(&place(&folder), &Options::default(), &mut |_, _| {}).unwrap();
    let store = Arc::new(store);
    let mut feed = Feed::new(&store, Actor::new("test").unwrap());
    for (number, source, kind) in
        [(1, "/erp", "invoice.ingestion"), (2, "/waag", "a"), (3, "/erp", "waag.b"), (4, "/erp", "a")]
    {
        let event = Event {
            id: number.to_string().into(),
            source: source.into(),
            kind: kind.into(),
            subject: None,
            attributes: Object::default(),
            data: Data::None,
        };
        feed.push(Given { event, accepted: store.clock.now(), number }).unwrap();
    }
    let fed = feed.finish().unwrap();
    assert_eq!(fed, Fed { recorded: 2, before: 0, refused: 2, recorded_to: 1 });
    let refused: Vec<_> = feed.refusals().into_iter().map(|(number, code, _)| (number, code)).collect();
    assert_eq!(refused, [(2, "E0920"), (3, "E0920")]);
}

#[test]
fn a_logs_words_change_nothing_on_a_terminal() {
    let step = r#""step":"\u001b[2J\u009b1mscan""#;
    let log = JSONL_LOG.replacen(r#""step":"scan""#, step, 1).replacen(r#","at":1767225700123"#, "", 1);
    let folder = with(JSONL, &log);
    let text = folder.run(&["import", "--mapping", "mapping", "log"]).exits(0).out;
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "odd                records  first  what stands there",
            "unmapped_activity        1      1   [2J 1mscan",
            "missing_time             1      2",
        ]
    );
    let folder = with(BPIC, "<a\u{1b}[2J/>");
    let told = folder.run(&["import", "--mapping", "mapping", "log"]).exits(3).err;
    assert!(!told.contains('\u{1b}'), "{told:?}");
}

#[test]
fn the_public_log_of_2019_has_its_known_figures() {
    let Some(data) = std::env::var_os("WAAG_TEST_DATA") else {
        println!("skipped: the log of BPI Challenge 2019, WAAG_TEST_DATA is not set");
        return;
    };
    let log = PathBuf::from(data).join("eventlogs/bpic2019_1t_per_variant.xes.gz");
    let folder = Folder::new();
    folder.write("mapping", BPIC);
    let ran = folder.run(&["import", "--json", "--mapping", "mapping", log.to_str().unwrap()]);
    assert_eq!(ran.exits(0).json()["recorded"], 338_247);
    let told = report(&folder);
    assert_eq!((&told["events"], &told["cases"]), (&338_247.into(), &11_973.into()), "{told}");
    assert_eq!((&told["cleared"], &told["received_not_cleared"]), (&8_317.into(), &1_197.into()), "{told}");
    assert_eq!(told["odd_by_reason"]["impossible_time"], 126, "{told}");
}
