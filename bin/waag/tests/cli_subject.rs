//! Persons through the real program: reported, restricted, erased as far as no law keeps them, and swept in time.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

#[expect(dead_code, reason = "shared with other tests")]
mod common;

use common::Folder;
use serde_json::{Value, json};

const PERSON: &str = "customer:c-zutphen";

fn schema(class: Option<&str>) -> String {
    let mut schema = json!({
        "type": "object",
        "properties": {
            "customer": {
                "x-classification": "personal", "x-data-subject": "id", "x-data-subject-kind": "customer",
                "properties": {"id": {}, "name": {}},
            },
            "amount": {},
        },
    });
    if let Some(class) = class {
        schema["x-retention"] = class.into();
    }
    schema.to_string()
}

fn event(kind: &str, number: u64, customer: &str, name: &str) -> String {
    let event = json!({
        "specversion": "1.0", "id": format!("{kind}{number}"), "source": "/crm", "type": kind,
        "data": {"customer": {"id": customer, "name": name}, "amount": number},
    });
    event.to_string() + "\n"
}

/// A store with three types: kept by law, erasable on request, and of a class that no rule names.
fn store() -> Folder {
    let folder = Folder::with_store();
    for (kind, class) in
        [("invoice.sent", None), ("contact.told", Some("contact")), ("odd.thing", Some("odd"))]
    {
        folder.write("schema.json", schema(class));
        folder.run(&["schema", "add", "--type", kind, "--schema", "schema.json"]).exits(0);
    }
    let mut lines = String::new();
    for number in 0..4 {
        lines.push_str(&event("invoice.sent", number, "c-zutphen", "Annegret Musterfrau"));
        lines.push_str(&event("contact.told", number, "c-zutphen", "Annegret Musterfrau"));
        lines.push_str(&event("contact.told", 100 + number, "c-deventer", "Hans Beispiel"));
    }
    folder.feed(&["append"], lines.as_bytes()).exits(0);
    folder
}

fn subject(folder: &Folder, more: &[&str]) -> common::Ran {
    folder.run(&[&["subject"], more, &["--json"]].concat())
}

fn code(ran: &common::Ran) -> Value {
    ran.json()["error"]["code"].clone()
}

fn last(folder: &Folder) -> Value {
    folder.run(&["read"]).exits(0).lines().pop().unwrap()
}

#[test]
fn what_a_law_keeps_stays_restricted_and_the_rest_is_gone() {
    let folder = store();
    let planned = subject(&folder, &["erase", "--person", PERSON, "--dry-run"]).exits(1);
    assert!(planned.err.contains("no class `odd`"), "{}", planned.err);
    let planned = planned.json();
    assert_eq!((&planned["dry_run"], planned["erased"].as_array().unwrap().len()), (&true.into(), 1));
    assert_eq!(last(&folder)["position"], 14, "nothing was recorded");

    let erase = ["erase", "--person", PERSON, "--reason", "request 2026-118"];
    let named = subject(&folder, &["erase", "--person", PERSON, "--reason", "letter of C-ZUTPHEN"]).exits(2);
    assert_eq!(code(&named), "E0730");
    let done = subject(&folder, &erase).exits(1).json();
    let of = |rows: &Value| {
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| row["class"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (of(&done["erased"]), of(&done["kept"])),
        (vec!["contact".to_owned()], vec!["business".to_owned()])
    );
    assert_eq!((&done["keys"], &done["held"]), (&1.into(), &false.into()));
    assert_eq!(done["complete_at"], done["erased_at"], "there are no backups");
    let until = done["restricted_until"].as_str().unwrap();
    let year: i32 = done["kept"][0]["period"].as_str().unwrap().parse().unwrap();
    assert_eq!(until, format!("{}-12-31", year + 7));
    assert!(done["kept"][0]["law"][0].as_str().unwrap().contains("art. 52(4)"));

    // The rule was recorded first, then what was done by it, and nowhere a person's id.
    let told = folder.run(&["read", "--from", "15"]).exits(0);
    let kinds: Vec<Value> = told.lines().iter().map(|line| line["type"].clone()).collect();
    assert_eq!(kinds, ["waag.retention.set", "waag.subject.erased", "waag.subject.erasure_refused"]);
    assert!(!told.out.contains("zutphen") && !told.out.contains("Musterfrau"));
    let data = &told.lines()[1]["event"]["data"];
    assert_eq!((&data["reason"], &data["person"]), (&"request 2026-118".into(), &done["person"]));
    assert_eq!(data["keys"].as_array().unwrap().len(), 1);

    // Kept, and shown to nobody.
    for refused in [
        folder.run(&["read", "--position", "3", "--reveal", "why not", "--json"]),
        folder.run(&["read", "--everything", "--reveal", "why not", "--json"]),
        folder.run(&["prove", "3", "--disclose", "1", "--json"]),
    ] {
        assert_eq!(code(&refused.exits(2)), "E0557");
    }
    assert_eq!(last(&folder)["type"], "waag.subject.erasure_refused", "no reveal was recorded");
    assert!(folder.run(&["read", "--position", "5", "--reveal", "another"]).exits(0).out.contains("Hans"));
    folder.run(&["prove", "3", "--disclose", "0", "--json"]).exits(0);

    // Asked again: nothing more to destroy, and the refusal is recorded once more.
    let again = subject(&folder, &erase).exits(1).json();
    assert_eq!((&again["keys"], &again["position"]), (&0.into(), &Value::Null));
    let other =
        subject(&folder, &["erase", "--person", "customer:c-deventer", "--reason", "r 2"]).exits(0).json();
    assert_eq!((other["keys"].as_u64(), other["kept"].as_array().unwrap().len()), (Some(1), 0));
    let nobody = subject(&folder, &["erase", "--person", "customer:c-9", "--reason", "r 3"]).exits(1);
    assert!(nobody.err.contains("nothing is held") && nobody.json()["position"].is_null());
    let list = subject(&folder, &["list"]).exits(0).lines();
    assert_eq!(list.iter().filter(|line| line["restriction"]["by_law"] == true).count(), 1, "{list:?}");
    assert_eq!(list.iter().filter(|line| line["erasure"]["pending"] == false).count(), 3, "{list:?}");
    folder.run(&["verify", "--deep"]).exits(0);
}

#[test]
fn a_restriction_by_law_is_not_shortened_by_one_that_is_asked_for_and_both_are_lifted() {
    let folder = store();
    let done = subject(&folder, &["erase", "--person", PERSON, "--reason", "request 1"]).exits(1).json();
    let until = done["restricted_until"].as_str().unwrap();
    let year: i32 = done["kept"][0]["period"].as_str().unwrap().parse().unwrap();
    let sooner = format!("{}-01-01", year + 1);
    subject(&folder, &["restrict", "--person", PERSON, "--reason", "case 31", "--until", &sooner]).exits(0);
    let report = subject(&folder, &["report", "--person", PERSON]).exits(0).lines();
    assert_eq!(report[0]["subject"]["restriction"]["until"].as_str(), Some(until));
    subject(&folder, &["unrestrict", "--person", PERSON, "--reason", "a customer again"]).exits(0);
    assert!(
        folder
            .run(&["read", "--position", "3", "--reveal", "a customer again"])
            .exits(0)
            .out
            .contains("Muster")
    );
}

#[test]
fn a_restriction_holds_until_it_is_lifted_and_storing_goes_on() {
    let folder = store();
    let who = ["--person", PERSON, "--reason", "case 31"];
    assert_eq!(code(&subject(&folder, &[&["unrestrict"], &who[..]].concat()).exits(2)), "E0731");
    for day in ["2020-01-01", "2034-13-01", "tomorrow"] {
        let refused = subject(&folder, &[&["restrict"], &who[..], &["--until", day]].concat()).exits(2);
        assert_eq!(code(&refused), "E0732", "{day}");
    }
    let done =
        subject(&folder, &[&["restrict"], &who[..], &["--until", "2199-12-31"]].concat()).exits(0).json();
    assert_eq!((&done["until"], &done["is_known"]), (&"2199-12-31".into(), &true.into()));
    let record = last(&folder);
    assert_eq!(
        (&record["type"], &record["position"]),
        (&"waag.subject.restricted".into(), &done["position"])
    );
    assert!(!record.to_string().contains("zutphen"));
    folder
        .feed(&["append"], event("contact.told", 50, "c-zutphen", "Annegret Musterfrau").as_bytes())
        .exits(0);
    assert_eq!(code(&folder.run(&["read", "--position", "16", "--reveal", "r", "--json"]).exits(2)), "E0557");
    assert!(folder.run(&["read", "--position", "16"]).exits(0).out.contains("****"), "masked, as ever");
    // The person's own access is not refused.
    let report =
        subject(&folder, &["report", "--person", PERSON, "--reveal", "--reason", "request 7"]).exits(0);
    assert!(
        report.out.contains("Musterfrau")
            && report.lines()[0]["subject"]["restriction"]["reason"] == "case 31"
    );
    subject(&folder, &[&["unrestrict"], &who[..]].concat()).exits(0);
    assert_eq!(last(&folder)["type"], "waag.subject.unrestricted");
    assert!(folder.run(&["read", "--position", "16", "--reveal", "r"]).exits(0).out.contains("Musterfrau"));
}

#[test]
fn a_report_has_everything_and_is_recorded_before_it_is_shown() {
    let folder = store();
    let report = subject(&folder, &["report", "--person", PERSON]).exits(0);
    let lines = report.lines();
    assert_eq!((lines.len(), &lines[9]["end"]["entries"]), (10, &8.into()));
    let held = lines[0]["subject"]["held"].as_array().unwrap();
    assert_eq!(held.len(), 2);
    assert!(!report.out.contains("Musterfrau") && !report.out.contains("zutphen"), "masked");
    let entry = &lines[1]["entry"];
    assert_eq!(
        (&entry["position"], &entry["type"], &entry["class"]),
        (&3.into(), &"invoice.sent".into(), &"business".into())
    );
    assert_eq!(entry["fields"][0]["path"], "/data/customer");
    let record = last(&folder);
    assert_eq!(
        (&record["type"], &record["event"]["data"]["revealed"]),
        (&"waag.subject.reported".into(), &false.into())
    );

    subject(&folder, &["report", "--person", PERSON, "--reveal"]).exits(2);
    let out =
        ["report", "--person", "-", "--reveal", "--reason", "request 2026-117", "--out", "copy", "--json"];
    let copied = folder.feed(&[&["subject"], &out[..]].concat(), PERSON.as_bytes()).exits(0);
    assert_eq!(copied.json()["end"]["entries"], 8);
    let copy = std::fs::read_to_string(folder.path("copy/entries.jsonl")).unwrap();
    assert_eq!((copy.lines().count(), copy.matches("Annegret Musterfrau").count()), (8, 8));
    assert!(!copy.contains("Beispiel"));
    let mode = std::fs::metadata(folder.path("copy/entries.jsonl")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    let told: Value =
        serde_json::from_slice(&std::fs::read(folder.path("copy/report.json")).unwrap()).unwrap();
    assert_eq!(told["held"].as_array().unwrap().len(), 2);
    let again = folder.feed(&[&["subject"], &out[..]].concat(), PERSON.as_bytes()).exits(2);
    assert_eq!(code(&again), "E0733");

    subject(&folder, &["erase", "--person", "customer:c-deventer", "--reason", "r 1"]).exits(0);
    let nothing = subject(&folder, &["report", "--person", "customer:c-deventer"]).exits(0).lines();
    assert_eq!((nothing.len(), &nothing[1]["end"]["entries"]), (2, &0.into()));
    let text = folder.run(&["subject", "report", "--person", PERSON]).exits(0).out;
    assert!(
        text.contains("art. 52(4)") && text.contains("8 entries") && text.contains("/data/customer"),
        "{text}"
    );
}

#[test]
fn a_retention_file_is_refused_with_its_line_or_recorded_and_in_use() {
    let folder = store();
    let shipped = include_str!("../../../policies/retention.toml");
    folder.write("bad.toml", shipped.replace("years = 7\nerasure", "years = seven\nerasure"));
    let refused = subject(&folder, &["retention", "--retention", "bad.toml"]).exits(2);
    assert_eq!(code(&refused), "E0558");
    assert!(refused.err.contains("line "), "{}", refused.err);
    folder.write("mine.toml", shipped.to_owned() + "\n[class.odd]\nholds = \"odd things\"\nyears = 1\nerasure = \"on-request\"\nlaw = [{ country = \"EU\", article = \"Regulation (EU) 2016/679 art. 17(1)\" }]\n");
    let mine = subject(&folder, &["retention", "--retention", "mine.toml"]).exits(0);
    assert!(mine.lines().iter().any(|class| class["class"] == "odd") && !mine.err.contains("no class"));
    let record = last(&folder);
    assert_eq!(record["type"], "waag.retention.set");
    assert!(record["event"]["data"]["text"].as_str().unwrap().contains("odd things"));
    let before = last(&folder)["position"].clone();
    subject(&folder, &["retention", "--retention", "mine.toml"]).exits(0);
    assert_eq!(last(&folder)["position"], before, "the same file is not recorded twice");
    let none = subject(&folder, &["expire"]).exits(0).json();
    assert_eq!((&none["keys"], last(&folder)["position"].clone()), (&0.into(), before));
}

#[test]
fn an_erasure_names_the_exports_that_went_out_with_keys_or_fields() {
    let folder = store();
    folder.run(&["export", "--all", "plain"]).exits(0);
    folder.run(&["export", "--all", "keys", "--keys", "leaving"]).exits(0);
    let named = |ran: Value| {
        assert_eq!(ran["exports"].as_array().unwrap().len(), 1, "{ran}");
        assert_eq!(
            (&ran["exports"][0]["keys"], &ran["exports"][0]["revealed"]),
            (&true.into(), &false.into())
        );
    };
    let report = folder.run(&["subject", "report", "--person", PERSON, "--json"]).exits(0).lines();
    named(report[0]["subject"].clone());
    let done = folder.run(&["subject", "erase", "--person", PERSON, "--reason", "r", "--json"]);
    named(done.lines().swap_remove(0));
}

#[test]
fn after_a_promotion_a_report_reads_all_ledgers_and_the_old_key_has_an_end() {
    let folder = store();
    let pack = ["evidence", "export", "p.zip", "--type", "contact.told", "--reason", "audit 7"];
    folder.run(&pack).exits(0);
    let at = ["repo", "--key", "backup.key"];
    folder.run(&[&["backup", "init"], &at[..]].concat()).exits(0);
    folder.run(&[&["backup"], &at[..]].concat()).exits(0);
    let promoted = ["--to", "new", "--promote", "--json"];
    let promoted = folder.run(&[&["restore"], &at[..], &promoted[..]].concat()).exits(0).lines();
    let promoted = promoted.last().unwrap();
    let (old, new) = (promoted["old_ledger"].as_str().unwrap(), promoted["ledger"].as_str().unwrap());
    let of_new = |more: &[&str]| folder.run(&[more, &["--data", "new"]].concat());
    // The new ledger begins with the old one's schemas, so that what is recorded of a person is sealed as theirs.
    let schemas = |data: &str| {
        let list = folder.run(&["schema", "list", "--json", "--data", data]).exits(0).lines();
        let told = |one: &Value| (one["type"].to_string(), one["schema_sha256"].to_string());
        list.iter().map(told).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!((schemas("new"), schemas("new").len()), (schemas("waag-data"), 3));
    of_new(&["verify"]).exits(0);
    let later = event("contact.told", 70, "c-zutphen", "Annegret Musterfrau");
    folder.feed(&["append", "--data", "new"], later.as_bytes()).exits(0);

    let report = of_new(&["subject", "report", "--person", PERSON, "--json"]).exits(0);
    let lines = report.lines();
    let of = |ledger: &str| lines.iter().filter(|line| line["entry"]["ledger"] == ledger).count();
    assert_eq!((of(old), of(new), &lines[10]["end"]["entries"]), (8, 1, &9.into()), "{}", report.out);
    let read: Vec<&Value> =
        lines[0]["subject"]["ledgers"].as_array().unwrap().iter().map(|one| &one["ledger"]).collect();
    assert_eq!(read, [old, new]);
    assert!(lines[0]["subject"]["ledgers_not_read"].is_null() && !report.err.contains("not read"));
    let text = of_new(&["subject", "report", "--person", PERSON]).exits(0).out;
    assert!(text.contains(&format!("contact  in {old}")) && text.contains("9 entries"), "{text}");
    // One that is asked for by its id is read alone, and the other is named.
    let alone = of_new(&["subject", "report", "--person", PERSON, "--json", "--earlier", old]).exits(0);
    let alone_lines = alone.lines();
    assert_eq!(alone_lines.last().unwrap()["end"]["entries"], 8);
    assert_eq!(alone_lines[0]["subject"]["ledgers_not_read"], json!([new]));
    assert!(alone.err.contains(new), "{}", alone.err);

    // What was handed out before is told with what was asked.
    let packs = of_new(&["evidence", "list", "--json"]).exits(0).json();
    assert_eq!((&packs["reason"], &packs["ledger"]), (&"audit 7".into(), &old.into()), "{packs}");

    // The old key ends where the new ledger began; that of the new one signs.
    let first = |command: &[&str], more: &[&str]| {
        of_new(&[command, &["--json"], more].concat()).exits(0).lines().swap_remove(0)
    };
    let both = |command: &[&str]| (first(command, &["--earlier", old]), first(command, &[]));
    let (ended, signs) = both(&["log", "keys"]);
    assert_eq!((&ended["state"], &signs["state"]), (&"retired".into(), &"active".into()));
    assert!(signs["until"].is_null() && ended["from"].as_str() < ended["until"].as_str(), "{ended}");
    let ended = first(&["keys", "list"], &["--earlier", old]);
    assert!(ended["signing"]["active"] == false && ended["signing"]["until"].is_string(), "{ended}");
    // A pack of the old ledger is made and checks all the same: its form asks for a signer that is active.
    let pack = ["evidence", "export", "q.zip", "--positions", "3-9", "--reason", "audit 8", "--earlier", old];
    of_new(&pack).exits(0);

    // A ledger that cannot be read is named, and the report is not called complete.
    std::fs::rename(folder.path("new/default/before"), folder.path("away")).unwrap();
    let partly = of_new(&["subject", "report", "--person", PERSON, "--json"]).exits(1);
    assert_eq!(partly.lines()[0]["subject"]["ledgers_not_read"], json!([old]));
    assert!(partly.err.contains("was not read"), "{}", partly.err);
    let packs = of_new(&["evidence", "list"]).exits(0).out;
    assert!(packs.contains("recorded in no ledger that is here"), "{packs}");
}

#[test]
fn a_second_restriction_shortens_nothing_and_forgets_no_reason() {
    let folder = store();
    let restrict = |reason: &str, more: &[&str]| {
        let who = ["restrict", "--person", PERSON, "--reason", reason];
        subject(&folder, &[&who[..], more].concat()).exits(0)
    };
    restrict("claim 5", &[]);
    let second = restrict("case 31", &["--until", "2199-12-31"]);
    assert!(second.json()["until"].is_null() && second.err.contains("holds longer"), "{second:?}");
    restrict("case 31", &["--until", "2199-12-31"]);
    let list = subject(&folder, &["list"]).exits(0).json();
    assert_eq!(list["restriction"]["reason"], "claim 5; case 31", "{list}");
    assert!(list["restriction"]["until"].is_null(), "{list}");
    subject(&folder, &["unrestrict", "--person", PERSON, "--reason", "claim 5 is over"]).exits(0);
    restrict("case 31", &["--until", "2199-12-31"]);
    let later = restrict("case 32", &["--until", "2199-12-30"]).json();
    assert_eq!(later["until"], "2199-12-31");
}

#[test]
fn what_somebody_asked_to_be_kept_is_erased_only_with_a_reason_of_its_own() {
    let folder = store();
    let other = "customer:c-deventer";
    subject(&folder, &["restrict", "--person", other, "--reason", "claim 5"]).exits(0);
    let planned = folder.run(&["subject", "erase", "--person", other, "--dry-run"]).exits(0);
    assert!(planned.out.contains("restricted on request") && planned.out.contains("claim 5"), "{planned:?}");
    let before = folder.run(&["checkpoint"]).exits(0).out;
    let erase = ["erase", "--person", other, "--reason", "request 8"];
    assert_eq!(code(&subject(&folder, &erase).exits(2)), "E0735");
    for bad in ["", "of C-DEVENTER"] {
        let refused = subject(&folder, &[&erase[..], &["--despite-restriction", bad]].concat()).exits(2);
        assert_eq!(code(&refused), "E0730");
    }
    assert_eq!(folder.run(&["checkpoint"]).exits(0).out, before, "nothing was recorded");
    folder.run(&["subject", "report", "--person", other]).exits(0);
    let despite = [&erase[..], &["--despite-restriction", "claim 5 is settled"]].concat();
    let done = subject(&folder, &despite).exits(0).json();
    assert_eq!(done["keys"], 1);
    let recorded = folder.run(&["read", "--position", &done["position"].to_string()]).exits(0).json();
    let reason = "request 8; despite the restriction: claim 5 is settled";
    assert_eq!(recorded["event"]["data"]["reason"], reason);
    let list = subject(&folder, &["list"]).exits(0).lines();
    assert!(list.iter().all(|line| line["restriction"].is_null()), "{list:?}");

    // Asked for once more: when it was, and by which tag the list knows it.
    let again = folder.run(&["subject", "erase", "--person", other, "--reason", "request 9"]).exits(0);
    let tag = done["person"].as_str().unwrap();
    assert!(again.err.contains(done["erased_at"].as_str().unwrap()), "{again:?}");
    assert!(again.out.contains(tag) && again.out.starts_with("customer:****"), "{again:?}");
    let nobody = folder.run(&["subject", "erase", "--person", "customer:c-99", "--reason", "r"]).exits(1);
    assert!(nobody.err.contains("was the id right"), "{nobody:?}");
    let report = folder.run(&["subject", "report", "--person", other]).exits(0);
    let recorded = format!("recorded at position {}", done["position"]);
    assert!(report.err.contains(done["erased_at"].as_str().unwrap()), "{report:?}");
    assert!(report.err.contains(&recorded) && !report.err.contains("was the id right"), "{report:?}");
    let nobody = folder.run(&["subject", "report", "--person", "customer:c-99"]).exits(0);
    assert!(nobody.err.contains("was the id right"), "{nobody:?}");
}

#[test]
fn no_reason_that_names_a_person_of_the_entries_is_recorded() {
    let folder = store();
    let before = folder.run(&["checkpoint"]).exits(0).out;
    let long = "x".repeat(1_001);
    for reason in [
        "about c-zutphen",
        "(C-ZUTPHEN)",
        "customer:c-zutphen asked",
        "two\nlines",
        "\u{1b}[31mred",
        &long,
        " ",
    ] {
        let wrong = |ran: common::Ran, wanted: &str| assert_eq!(code(&ran.exits(2)), wanted, "{reason:?}");
        wrong(folder.run(&["read", "--position", "3", "--reveal", reason, "--json"]), "E0730");
        wrong(folder.run(&["read", "--everything", "--reveal", reason, "--json"]), "E0730");
        wrong(folder.run(&["prove", "3", "--disclose", "1", "--reason", reason, "--json"]), "E0730");
        wrong(folder.run(&["keys", "destroy", "--person", PERSON, "--reason", reason, "--json"]), "E0730");
        let pack = ["evidence", "export", "no.zip", "--positions", "0-500", "--json"];
        wrong(folder.run(&[&pack[..], &["--reason", reason]].concat()), "E0724");
        wrong(folder.run(&[&pack[..], &["--reason", "audit 7", "--reveal", reason]].concat()), "E0724");
    }
    assert_eq!(folder.run(&["checkpoint"]).exits(0).out, before, "nothing was recorded");
    assert!(!folder.path("no.zip").exists());
    // Of an entry that is not shown the person is not looked for, nor an id that is a part of another word.
    folder.run(&["read", "--position", "3", "--reveal", "case c-zutphen3"]).exits(0);
    folder.run(&["read", "--position", "3", "--reveal", "case c-deventer"]).exits(0);
}
