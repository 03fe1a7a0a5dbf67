//! `waag import`: each form of a log, taken once however often it is asked for, and however it was broken off.

use std::fmt::Write as _;
use std::path::PathBuf;

use waag::store::options::Options;
use waag::store::place::Place;
use waag::store::reader::open_reader;
use waag_model::ids::TenantName;

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

fn import(folder: &Folder) -> Ran {
    folder.run(&["import", "--json", "--mapping", "mapping", "log"])
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
    const EVENTS: u64 = 20_000;
    let folder = Folder::with_store();
    let mut log = String::new();
    for number in 0..EVENTS {
        let invoice = number % 2_000;
        writeln!(log, r#"{{"uid":"u{number}","invoice":{{"number":"{invoice}","state":"IN"}},"step":"match","at":1767225600123}}"#).unwrap();
    }
    folder.write("mapping", JSONL);
    folder.write("log", log);
    let place = Place::new(&folder.path("waag-data"), None, TenantName::new("default").unwrap()).unwrap();
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
