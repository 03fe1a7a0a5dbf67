//! Covers drawn both ways: the same content, the same bytes for the same facts, and nothing of others that steers.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use waag_cover::{
    Asked, Cover, EventLine, Held, KeyShown, Parts, Standing, TypeCount, WitnessShown, html, page, pdf,
};
use waag_model::time::UtcNanos;

const MADE: i64 = 1_795_289_000_000_000_000;
const STEP_NS: i64 = 977_000_000_000;

fn key(name: &str) -> KeyShown {
    KeyShown { name: name.to_owned(), id: "5c1fa3be".to_owned() }
}

fn cover(events: u64) -> Cover {
    let origin = "ledger.bank.example/payments/7d1f0c36a9b34e0ca1c5a4f7c5f0b2e9";
    let states =
        ["ingestion · received", "reconciliation · matched", "authorization · approved", "posting · paid"];
    let kinds = ["invoice.ingestion", "invoice.reconciliation", "invoice.authorization", "invoice.posting"];
    let line = |at: u64| {
        let place = usize::try_from(at % 4).unwrap();
        EventLine {
            position: 1_204_871 + at * 37,
            accepted: UtcNanos(MADE - STEP_NS * i64::try_from(events - at).unwrap()),
            kind: kinds.get(place).copied().unwrap().to_owned(),
            state: states.get(place).copied().unwrap().to_owned(),
            leaf: format!("{:016x}{:048x}", at.wrapping_mul(0x9e37_79b9_7f4a_7c15), at),
        }
    };
    let type_of = |kind: &&str| TypeCount { kind: (*kind).to_owned(), events: events / 4 };
    Cover {
        asked: Asked {
            by: "audit-desk".to_owned(),
            reason: "Order of the District Court of Utrecht, case 26/1934, production of records".to_owned(),
            made: UtcNanos(MADE),
            selection: vec![
                ("Invoice".to_owned(), "INV-2026-004711".to_owned()),
                ("Accepted from".to_owned(), "2026-01-01T00:00:00Z".to_owned()),
            ],
            reveal: Some("named in the order: the vendor's contact".to_owned()),
            despite_restriction: None,
            event_id: "0f3a9c0d1e2b4a570f3a9c0d1e2b4a57".to_owned(),
        },
        held: Held {
            entries: events,
            positions: (1_204_871, 1_204_871 + (events - 1) * 37),
            accepted: (UtcNanos(MADE - STEP_NS * i64::try_from(events).unwrap()), UtcNanos(MADE - STEP_NS)),
            gapless: false,
            types: kinds.iter().map(type_of).collect(),
            parts: Parts { common: events, persons: 3, closed: 9, erased: 1 },
        },
        standing: Standing {
            origin: origin.to_owned(),
            ledger: "7d1f0c36a9b34e0ca1c5a4f7c5f0b2e9".to_owned(),
            size: 18_402_331,
            root: "a949d2158b4e54ee6152e1e462bc796232cd62d3953b9854b87918af1e588cb3".to_owned(),
            root_base64: "qUnSFYtOVO5hUuHkYrx5YjLNYtOVO5hUuHkYrx5YjLM=".to_owned(),
            signers: vec![key(origin)],
            witnesses: vec![
                WitnessShown { key: key("witness.notary.example"), at: UtcNanos(MADE + 2_000_000_000) },
                WitnessShown {
                    key: key("witness.university.example/w1"),
                    at: UtcNanos(MADE + 3_000_000_000),
                },
            ],
            published: true,
        },
        events: (0..events.min(200)).map(line).collect(),
    }
}

#[test]
fn a_cover_is_drawn_both_ways_and_equal_facts_give_equal_bytes() {
    let page = page(&cover(24));
    let (first, second) = (pdf(&page).unwrap(), pdf(&page).unwrap());
    assert!(first == second && first.starts_with(b"%PDF-1.") && first.len() < 200_000, "{}", first.len());
    let drawn = html(&page);
    assert_eq!(drawn, html(&page));
    for said in [
        "in the words of whoever exported the pack",
        "District Court of Utrecht",
        "waag-verify pack PACK.zip --key @ledger.vkey",
        "another channel",
        "witness.notary.example",
        "1\u{a0}204\u{a0}871",
        "does not prove that the selection is complete",
    ] {
        assert!(drawn.contains(said), "{said}");
    }
    assert!(!drawn.contains("<script") && !drawn.contains("http://") && !drawn.contains("https://"));
    // Looked at by a person with `COVER_OUT=folder cargo nextest run -p waag-cover`.
    if let Some(folder) = std::env::var_os("COVER_OUT").map(std::path::PathBuf::from) {
        std::fs::write(folder.join("cover.pdf"), &first).unwrap();
        std::fs::write(folder.join("cover.html"), &drawn).unwrap();
    }
}

#[test]
fn what_others_wrote_is_shown_and_steers_nothing() {
    let mut hostile = cover(8);
    let text = "<script>alert(1)</script>&\"'\u{202e}gnp.exe\u{7}\u{0}漢字\u{200b}";
    hostile.asked.reason = text.to_owned();
    hostile.asked.by = text.to_owned();
    hostile.standing.origin = text.to_owned();
    hostile.standing.signers = vec![key(text)];
    hostile.held.types = vec![TypeCount { kind: text.repeat(40), events: 1 }];
    for event in &mut hostile.events {
        event.kind = text.to_owned();
        event.state = "x".repeat(100_000);
    }
    let page = page(&hostile);
    let drawn = html(&page);
    assert!(!drawn.contains("<script>alert"));
    assert!(drawn.contains("&lt;script&gt;") && drawn.contains("漢字"));
    assert!(drawn.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}' || c == '\u{200b}')));
    assert!(pdf(&page).is_ok(), "{:?}", pdf(&page));
}

#[test]
fn a_very_long_reason_and_many_events_go_on_over_pages() {
    let mut long = cover(200);
    long.asked.reason = "because ".repeat(3_000);
    long.asked.selection = vec![("Event pattern".to_owned(), "f".repeat(70_000))];
    let bytes = pdf(&page(&long)).unwrap();
    assert!(bytes.len() < 2_000_000, "{}", bytes.len());
    let short = pdf(&page(&cover(1))).unwrap();
    assert!(short.len() < bytes.len());
}

#[test]
fn what_gapless_means_is_said_for_each_case() {
    let said = |gapless, entries| {
        let mut cover = cover(entries);
        cover.held.gapless = gapless;
        html(&page(&cover))
    };
    assert!(said(true, 8).contains("none between them is missing"));
    assert!(said(false, 8).contains("It does not prove that the selection is complete"));
    assert!(said(true, 1).contains("nothing about events at other positions"));
}
