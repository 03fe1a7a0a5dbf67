//! A public log of 338,247 events, counted: nothing dropped, the odd listed, the same on every run.
//!
//! The log is beside the checkout, in the folder named by `WAAG_TEST_DATA`; without it the test says what it skipped.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

#[expect(dead_code, reason = "shared with other tests")]
mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use support::{example, text, time};
use waag_import::{FileHash, Import, Odd, Stage};

fn log() -> Option<Vec<u8>> {
    let Some(data) = std::env::var_os("WAAG_TEST_DATA") else {
        println!("skipped: the log of BPI Challenge 2019, WAAG_TEST_DATA is not set");
        return None;
    };
    Some(std::fs::read(PathBuf::from(data).join("eventlogs/bpic2019_1t_per_variant.xes.gz")).unwrap())
}

#[derive(Default)]
struct Case {
    received: bool,
    cleared: bool,
    vendors_paper: bool,
}

#[test]
fn the_whole_log_is_read_and_counted() {
    let Some(bytes) = log() else { return };
    let mapping = example("bpic2019.toml");
    let hash = FileHash::of(&mut &bytes[..]).unwrap();
    let mut import = Import::open(&mapping, hash, &bytes[..]).unwrap();
    let mut cases: BTreeMap<String, Case> = BTreeMap::new();
    let (mut number, mut years) = (0, BTreeMap::new());
    for event in &mut import {
        let imported = event.unwrap();
        number += 1;
        assert_eq!(imported.record, number);
        let event = imported.event;
        assert_eq!(event.id, format!("{}-{number}", hash.id_prefix()));
        let subject = event.subject.as_deref().unwrap();
        assert_eq!(text(&event, "invoice_id"), Some(subject));
        assert_ne!(event.kind, Stage::Other.kind());
        let case = cases.entry(subject.to_owned()).or_default();
        match text(&event, "activity").unwrap() {
            "Record Invoice Receipt" => assert_eq!(text(&event, "status"), Some("received")),
            "Clear Invoice" => assert_eq!(text(&event, "status"), Some("cleared")),
            "Vendor creates invoice" => case.vendors_paper = true,
            _ => {}
        }
        match text(&event, "status") {
            Some("received") => case.received = true,
            Some("cleared") => case.cleared = true,
            other => assert!(matches!(other, None | Some("blocked" | "released")), "{other:?}"),
        }
        *years.entry(time(&event).unwrap().get(..4).unwrap().to_owned()).or_insert(0) += 1;
    }
    let report = import.report();
    assert_eq!((number, report.events, report.left_out), (338_247, 338_247, 0));
    assert_eq!((cases.len(), report.cases), (11_973, Some(11_973)));
    let open = |of: fn(&Case) -> bool| cases.values().filter(|case| !case.cleared && of(case)).count();
    assert_eq!(cases.len() - open(|_| true), 8_317, "cleared");
    assert_eq!(open(|case| case.received), 1_197, "received and never cleared");
    assert_eq!(open(|case| case.vendors_paper), 1_139, "the other reading of received");
    assert_eq!(open(|case| case.received || case.vendors_paper), 1_200, "the widest reading of received");
    let early = &report.odd[&Odd::TimeTooEarly];
    assert_eq!((early.count, early.first.len()), (126, 126), "impossible dates are listed one by one");
    assert_eq!((report.count(Odd::TimeTooLate), years["1948"], years["2020"]), (2, 2, 2));
    assert_eq!(report.odd.len(), 2, "nothing else is odd: {:?}", report.odd.keys());
    assert_eq!(report.stages.values().sum::<u64>(), 338_247);
}
