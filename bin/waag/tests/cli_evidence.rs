//! Evidence packs through the real program: made, verified by the auditor's program, recorded; and what stays closed.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

#[expect(dead_code, reason = "shared with other tests")]
mod common;

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;

use common::{Folder, Ran};
use serde_json::{Value, json};
use waag::evidence::Source;
use waag::evidence::asked::{Asked, Selection};
use waag::evidence::make::make;
use waag::evidence::record::{packs, record};
use waag::store::options::Options;
use waag::store::place::Place;
use waag::store::writer::open_writer;
use waag_model::ids::{Actor, TenantName};

const STAGES: [&str; 4] = ["ingestion", "reconciliation", "authorization", "posting"];
const STATES: [&str; 4] = ["received", "matched", "approved", "paid"];
/// Positions of the schemas' registrations, before the first invoice event.
const SCHEMAS: u64 = 4;

fn event(number: u64) -> String {
    let place = usize::try_from(number % 4).unwrap();
    let invoice = number / 4;
    let (person, name) = if number.is_multiple_of(3) {
        ("c-zutphen", "Annegret Musterfrau")
    } else {
        ("c-deventer", "Hans Beispiel")
    };
    let (stage, state) = (STAGES[place], STATES[place]);
    let mut line = String::new();
    writeln!(
        line,
        r#"{{"specversion":"1.0","id":"e{number}","source":"/erp","type":"invoice.{stage}","data":{{"invoice_id":"INV-{invoice}","status":"{state}","amount_minor":{number},"contact":{{"id":"{person}","name":"{name}","mail":"{person}@bank.test"}}}}}}"#
    )
    .unwrap();
    line
}

/// A store with forty events of ten invoices and two persons, and the ledger's key in `ledger.vkey`.
fn store() -> Folder {
    let folder = Folder::with_store();
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/invoice.schema.json");
    let dictionary = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/invoice.dictionary");
    for stage in STAGES {
        let kind = format!("invoice.{stage}");
        folder
            .run(&["schema", "add", "--type", &kind, "--schema", schema, "--dictionary", dictionary])
            .exits(0);
    }
    let events: String = (0..40).map(event).collect();
    folder.feed(&["append", "--as", "erp"], events.as_bytes()).exits(0);
    folder.write("ledger.vkey", folder.run(&["checkpoint", "--key"]).exits(0).out);
    folder
}

/// The auditor's program on a pack, with the ledger's key.
fn verify(folder: &Folder, pack: &str, more: &[&str]) -> Ran {
    let key = format!("@{}", folder.path("ledger.vkey").display());
    let pack = folder.path(pack).display().to_string();
    let arguments = ["waag-verify", "pack", &pack, "--key", &key];
    let arguments = arguments.iter().chain(more).map(|one| (*one).into());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = waag_verify::run(arguments, &mut std::io::empty(), &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: code.into(), out: text(out), err: text(err) }
}

fn export(folder: &Folder, more: &[&str]) -> Ran {
    folder.run(&[&["evidence", "export"], more, &["--json"]].concat())
}

fn bytes(folder: &Folder, name: &str) -> Vec<u8> {
    std::fs::read(folder.path(name)).unwrap()
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The newest event of the ledger, as somebody without a reason sees it.
fn newest(folder: &Folder) -> Value {
    let all = folder.run(&["read"]).exits(0);
    all.lines().pop().unwrap()
}

#[test]
fn an_invoices_pack_is_verified_by_the_auditor_and_opens_nobodys_data() {
    let folder = store();
    let dry = export(&folder, &["x.zip", "--invoice", "INV-7", "--dry-run"]).exits(0).json();
    assert_eq!((&dry["entries"], &dry["types"]["invoice.posting"]), (&4.into(), &1.into()));
    let before = folder.run(&["checkpoint"]).out;
    let made = export(&folder, &["a.zip", "--invoice", "INV-7", "--reason", "audit 2026-4", "--as", "desk"]);
    let made = made.exits(0).json();
    assert_eq!((&made["first"], &made["last"], &made["gapless"]), (&32.into(), &35.into(), &true.into()));
    assert_eq!(made["parts"], json!({"common": 4, "persons": 0, "closed": 4, "erased": 0}));
    assert_ne!(folder.run(&["checkpoint"]).out, before, "it is recorded");
    let mode = std::fs::metadata(folder.path("a.zip")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let beside: Vec<_> = folder.files().into_iter().map(|(path, _)| path.display().to_string()).collect();
    assert!(!beside.iter().any(|path| path.contains(".waag-pack-")), "{beside:?}");

    let proven = verify(&folder, "a.zip", &["--json"]).exits(0).json();
    assert_eq!(proven["ok"], true, "{proven}");
    let shown = verify(&folder, "a.zip", &["--events"]).exits(0).out;
    assert!(shown.contains("INV-7") && shown.contains("approved") && !shown.contains("INV-6"), "{shown}");
    let pack = bytes(&folder, "a.zip");
    for personal in ["Musterfrau", "Beispiel", "c-zutphen", "c-deventer", "bank.test"] {
        assert!(!has(&pack, personal) && !shown.contains(personal), "{personal}");
    }
    assert!(has(&pack, "in the words of whoever exported the pack") && has(&pack, "%PDF-1."));

    let event = newest(&folder);
    let data = &event["event"]["data"];
    assert_eq!((&event["type"], &event["actor"]), (&"waag.evidence.exported".into(), &"desk".into()));
    assert_eq!((&data["digest"], &data["entries"]), (&made["digest"], &4.into()));
    assert_eq!(
        (&data["reason"], &data["reveal"], &data["persons"]),
        (&"audit 2026-4".into(), &Value::Null, &json!([]))
    );
    assert_eq!((&made["position"], &made["event_id"]), (&event["position"], &event["event"]["id"]));
    let listed = folder.run(&["evidence", "list", "--json"]).exits(0).json();
    assert_eq!((&listed["digest"], &listed["position"]), (&made["digest"], &made["position"]));
    assert_eq!(listed["selection"], "all events of invoice INV-7");

    let own = folder.run(&["evidence", "check", "a.zip", "--json"]).exits(0);
    assert!(own.err.contains("waag-verify pack") && own.json()["verified"] == true);
    let mut changed = pack;
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    folder.write("b.zip", &changed);
    let refused = folder.run(&["evidence", "check", "b.zip"]).exits(1);
    assert!(refused.err.contains("not verified") && refused.out.is_empty(), "{refused:?}");
    assert_eq!(verify(&folder, "b.zip", &[]).code, 1);
    let there = folder.run(&["evidence", "export", "a.zip", "--everything", "--reason", "again"]).exits(2);
    assert!(there.err.contains("E0725"), "{there:?}");
}

#[test]
fn a_persons_part_is_opened_with_a_reason_only_and_only_that_persons() {
    let folder = store();
    let select = ["--subject", "contact:c-zutphen", "--reason", "court order 26/1934"];
    export(&folder, &[&["closed.zip"], &select[..]].concat()).exits(0);
    let closed = verify(&folder, "closed.zip", &["--events"]).exits(0).out;
    assert!(!closed.contains("Musterfrau") && closed.contains("INV-0"), "{closed}");
    let opened = export(&folder, &[&["open.zip"], &select[..], &["--reveal", "named in it"]].concat());
    let opened = opened.exits(0).json();
    assert_eq!(opened["parts"], json!({"common": 14, "persons": 14, "closed": 0, "erased": 0}));
    let shown = verify(&folder, "open.zip", &["--events"]).exits(0).out;
    assert!(shown.contains("Annegret Musterfrau") && !shown.contains("Beispiel"), "{shown}");
    let pack = bytes(&folder, "open.zip");
    assert!(!has(&pack, "Musterfrau") && !has(&pack, "c-zutphen"), "what is opened is sealed all the same");
    let event = newest(&folder);
    let data = &event["event"]["data"];
    let tag = data["persons"][0].as_str().unwrap();
    assert!(tag.len() == 32 && data["reveal"] == "named in it", "{event}");
    assert!(!event.to_string().contains("c-zutphen"), "{event}");
    let listed = folder.run(&["evidence", "list", "--json"]).exits(0).lines();
    assert_eq!((&listed[0]["persons"], &listed[1]["persons"]), (&1.into(), &0.into()));

    // Of a selection that is about nobody, everybody's.
    let span = ["span.zip", "--positions", "4-9", "--reason", "audit", "--reveal", "agreed"];
    let span = export(&folder, &span).exits(0).json();
    assert_eq!((&span["parts"]["persons"], &span["gapless"]), (&6.into(), &true.into()));
    let shown = verify(&folder, "span.zip", &["--events"]).exits(0).out;
    assert!(shown.contains("Musterfrau") && shown.contains("Beispiel"));

    // Who erases the person is told which packs hold their data.
    let told = folder.run(&[
        "subject",
        "erase",
        "--person",
        "contact:c-zutphen",
        "--reason",
        "request 3",
        "--dry-run",
    ]);
    let digest: String = opened["digest"].as_str().unwrap().chars().take(12).collect();
    assert!(told.out.contains(&digest), "{told:?}");

    for refused in [&["--reveal", ""][..], &["--reveal", " "], &["--reveal"], &["--despite-restriction", ""]]
    {
        let refused = export(&folder, &[&["no.zip"], &select[..], refused].concat());
        assert_eq!(refused.code, 2, "{refused:?}");
    }
    let named = ["no.zip", "--subject", "contact:c-zutphen", "--reason", "letter of C-ZUTPHEN"];
    assert!(export(&folder, &named).exits(2).out.contains("E0724"));
    assert_eq!(export(&folder, &["no.zip", "--subject", "contact:c-zutphen"]).code, 2, "a reason is needed");
    assert!(!folder.path("no.zip").exists());
}

#[test]
fn restricted_data_is_refused_and_erased_parts_are_told() {
    let folder = store();
    let person = ["--person", "contact:c-zutphen", "--reason", "request 9"];
    folder.run(&[&["subject", "restrict"], &person[..]].concat()).exits(0);
    let size = folder.run(&["checkpoint"]).out;
    let select = ["--subject", "contact:c-zutphen", "--reason", "claim 5"];
    for more in [&[][..], &["--reveal", "claim"]] {
        let refused = export(&folder, &[&["no.zip"], &select[..], more].concat()).exits(1);
        assert!(refused.out.contains("E0722"), "{refused:?}");
    }
    let all = ["no.zip", "--type", "invoice.posting", "--reason", "claim 5", "--reveal", "claim"];
    assert!(export(&folder, &all).exits(1).out.contains("E0722"));
    assert_eq!(folder.run(&["checkpoint"]).out, size, "nothing was recorded");
    assert!(!folder.path("no.zip").exists());
    export(&folder, &["common.zip", "--type", "invoice.posting", "--reason", "claim 5"]).exits(0);
    let despite = ["--reveal", "claim", "--despite-restriction", "legal claim, art. 18(2)"];
    export(&folder, &[&["claim.zip"], &select[..], &despite].concat()).exits(0);
    let shown = verify(&folder, "claim.zip", &["--events"]).exits(0).out;
    assert!(shown.contains("Annegret Musterfrau"));
    let event = newest(&folder);
    assert_eq!(event["event"]["data"]["despite_restriction"], "legal claim, art. 18(2)");

    folder.run(&["keys", "destroy", "--person", "contact:c-deventer", "--reason", "request 10"]).exits(0);
    let erased = ["erased.zip", "--positions", "4-9", "--reason", "audit"];
    let erased = export(&folder, &erased).exits(0).json();
    assert_eq!(erased["parts"], json!({"common": 6, "persons": 0, "closed": 2, "erased": 4}));
    let proven = verify(&folder, "erased.zip", &[]).exits(0).out;
    assert!(proven.contains("erased"), "{proven}");
    let gone = ["no.zip", "--subject", "contact:c-deventer", "--reason", "audit"];
    assert!(export(&folder, &gone).exits(1).out.contains("E0720"));
}

#[test]
fn conditions_are_combined_and_an_empty_selection_is_refused() {
    let folder = store();
    folder.write(
        "rule.json",
        "{\"data\": {\n\t\"status\": [\"paid\"], \"amount_minor\": [{\"numeric\": [\">\", 20]}]}}",
    );
    let count = |more: &[&str]| {
        let counted = export(&folder, &[&["x.zip", "--dry-run"], more].concat());
        counted.json()["entries"].as_u64().unwrap()
    };
    assert_eq!(count(&[]), 40 + SCHEMAS);
    assert_eq!(count(&["--type", "invoice.posting", "--type", "invoice.ingestion"]), 20);
    assert_eq!(count(&["--pattern", "rule.json"]), 5);
    assert_eq!(count(&["--pattern", "rule.json", "--positions", "0-30"]), 1);
    assert_eq!(count(&["--last", "7"]), 7);
    assert_eq!(count(&["--positions", "0-9999", "--type", "invoice.posting"]), 10);
    assert_eq!(count(&["--from", "2020-01-01", "--to", "2020-01-02"]), 0);
    assert_eq!(count(&["--from", "2020-01-01", "--invoice", "INV-3", "--type", "invoice.posting"]), 1);
    assert_eq!(count(&["--subject", "contact:c-zutphen", "--invoice", "INV-0"]), 2);
    assert_eq!(count(&["--invoice", "INV"]), 0);
    let last = ["last.zip", "--pattern", "rule.json", "--last", "2", "--reason", "sample"];
    let made = export(&folder, &last).exits(0).json();
    assert_eq!((&made["entries"], &made["last"], &made["gapless"]), (&2.into(), &43.into(), &false.into()));
    let proven = verify(&folder, "last.zip", &[]).exits(0).out;
    assert!(proven.contains("\"numeric\": [\">\", 20]"), "{proven}");

    for nothing in
        [&["--invoice", "INV-77"][..], &["--subject", "contact:nobody"], &["--positions", "900-901"]]
    {
        let refused = export(&folder, &[&["no.zip"], nothing, &["--reason", "audit"]].concat()).exits(1);
        assert!(refused.out.contains("E0720"), "{refused:?}");
    }
    folder.write("wrong.json", "{\"data\": 5}");
    for wrong in [
        &["--invoice", ""][..],
        &["--positions", "9-3"],
        &["--from", "2026-01-02", "--to", "2026-01-01"],
        &["--last", "0"],
        &["--pattern", "wrong.json"],
        &["--type", ""],
    ] {
        let refused = export(&folder, &[&["no.zip"], wrong, &["--reason", "audit"]].concat());
        assert_eq!(refused.code, 2, "{refused:?}");
    }
    let empty = Folder::with_store();
    assert!(export(&empty, &["no.zip", "--everything", "--reason", "audit"]).exits(1).out.contains("E0720"));
    assert!(!folder.path("no.zip").exists() && !empty.path("no.zip").exists());
    assert!(empty.run(&["evidence", "list"]).exits(0).out.is_empty());
}

#[test]
fn large_bodies_come_along_and_wrong_stored_hashes_do_not_matter() {
    let folder = store();
    let body = "ledger evidence ".repeat(6_000);
    let large = format!(
        r#"{{"specversion":"1.0","id":"big","source":"/t","type":"t.big","data":{{"text":"{body}"}}}}"#
    );
    folder.feed(&["append"], large.as_bytes()).exits(0);
    let made = export(&folder, &["big.zip", "--type", "t.big", "--reason", "audit"]).exits(0).json();
    assert_eq!(made["parts"]["common"], 1);
    let shown = verify(&folder, "big.zip", &["--events"]).exits(0).out;
    assert!(shown.contains(&body));
    // Derived, and therefore allowed to be wrong: the log itself leads to the root.
    let hashes = folder.path("waag-data/default/derived/hashes");
    let mut wrong = std::fs::read(&hashes).unwrap();
    wrong.iter_mut().for_each(|byte| *byte ^= 0x55);
    for damaged in [wrong, Vec::new()] {
        std::fs::write(&hashes, &damaged).unwrap();
        let name = format!("from-log-{}.zip", damaged.len());
        export(&folder, &[&name, "--invoice", "INV-2", "--reason", "audit"]).exits(0);
        verify(&folder, &name, &[]).exits(0);
    }
}

#[test]
fn what_is_erased_or_restricted_while_a_pack_is_made_is_not_handed_out() {
    let folder = store();
    let place = Place::new(&folder.path("waag-data"), None, TenantName::new("default").unwrap()).unwrap();
    let store = open_writer(&place, &Options::default(), &mut |_, _| {}).unwrap();
    let about = |person: &str| Asked {
        selection: Selection { person: Some(person.to_owned()), ..Selection::default() },
        reason: "audit".to_owned(),
        reveal: Some("agreed".to_owned()),
        despite_restriction: None,
        by: Actor::new("desk").unwrap(),
    };
    let made = |person: &str| make(&Source::of_writer(&store), &about(person), &mut |_, _| {}).unwrap();
    let (first, second, third) =
        (made("contact:c-zutphen"), made("contact:c-deventer"), made("contact:c-deventer"));
    store.keyring.destroy_person("contact:c-zutphen", &|_| true).unwrap();
    assert_eq!(record(&store, &first.handed).unwrap_err().code(), "E0727");
    let position = record(&store, &second.handed).unwrap();
    // Asked again, as after a lost answer, nothing changes.
    assert_eq!(record(&store, &second.handed).unwrap(), position);
    let tag = store.keyring.person_tag("contact:c-deventer");
    let restriction = waag_keys::restriction::Restriction {
        since: waag_model::time::UtcNanos(0),
        until: None,
        reason: "request".to_owned(),
        actor: "anna".to_owned(),
        cause: waag_keys::restriction::Cause::Request,
    };
    store.keyring.restrict(tag, &restriction).unwrap();
    assert_eq!(record(&store, &third.handed).unwrap_err().code(), "E0727");
    let known = packs(&store.keyring).unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!((known[0].digest.to_string(), &known[0].persons[..]), (second.handed.digest, &[tag][..]));
}

#[test]
fn what_is_left_of_a_person_is_found_by_their_subject_and_told_as_erased() {
    let folder = Folder::with_store();
    for (kind, class) in [("t.mail", "contact"), ("t.bill", "business")] {
        let schema = format!(
            r#"{{"type":"object","x-retention":"{class}","properties":{{"who":{{"x-data-subject":"id","x-data-subject-kind":"contact","x-classification":"personal","properties":{{"id":{{}},"name":{{}}}}}}}}}}"#
        );
        folder.write("schema.json", schema);
        folder.run(&["schema", "add", "--type", kind, "--schema", "schema.json"]).exits(0);
    }
    let line = |number: u32, kind: &str, who: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{number}","source":"/s","type":"{kind}","subject":"{who}","data":{{"n":{number},"who":{{"id":"{who}","name":"Musterfrau"}}}}}}"#
        ) + "\n"
    };
    let events =
        [line(1, "t.mail", "c-zutphen"), line(2, "t.bill", "c-zutphen"), line(3, "t.mail", "c-kampen")]
            .concat();
    folder.feed(&["append"], events.as_bytes()).exits(0);
    folder.write("ledger.vkey", folder.run(&["checkpoint", "--key"]).exits(0).out);
    let destroy =
        ["keys", "destroy", "--person", "contact:c-zutphen", "--reason", "request 1", "--keep", "business"];
    folder.run(&destroy).exits(0);
    let select = ["--subject", "contact:c-zutphen", "--reason", "claim 8", "--reveal", "claim"];
    let made = export(&folder, &[&["left.zip"], &select[..]].concat()).exits(0).json();
    assert_eq!(made["parts"], json!({"common": 2, "persons": 1, "closed": 0, "erased": 1}));
    let shown = verify(&folder, "left.zip", &["--events"]).exits(0).out;
    assert!(shown.matches("Musterfrau").count() == 1 && !shown.contains("c-kampen"), "{shown}");
}
