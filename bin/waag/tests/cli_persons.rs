//! Persons, keys and what may be seen of them, through the real program.
#![expect(clippy::indexing_slicing, reason = "a test fails loudly")]

mod common;

use common::{Folder, event, events};
use serde_json::Value;

const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "customer": {
      "x-classification": "personal", "x-data-subject": "id", "x-data-subject-kind": "customer",
      "properties": {"id": {}, "name": {}, "iban": {"x-classification": "account"}}
    },
    "amount": {}
  }
}"#;

fn invoice(number: u64, person: &str, name: &str) -> String {
    format!(
        concat!(
            r#"{{"specversion":"1.0","id":"i{}","source":"/erp-of-the-masked","type":"invoice.posting","#,
            r#""data":{{"customer":{{"id":"{}","name":"{}","iban":"NL91ABNA0417164300"}},"amount":{}.50}}}}"#
        ),
        number, person, name, number
    ) + "\n"
}

/// A store with a schema and ten invoices of two customers.
fn store() -> Folder {
    let folder = Folder::with_store();
    folder.write("schema.json", SCHEMA);
    let samples: String = (0..100).map(|number| invoice(number, "c-0", "Sample Person")).collect();
    // Samples are synthetic, down to the account.
    let samples = samples
        .replace("NL91ABNA0417164300", "DE02120300000000202051")
        .replace("/erp-of-the-masked", "/sample");
    folder.write("samples", samples);
    let add = [
        "schema",
        "add",
        "--type",
        "invoice.posting",
        "--schema",
        "schema.json",
        "--samples",
        "samples",
        "--json",
    ];
    let added = folder.run(&add).exits(0).json();
    assert_eq!(
        (&added["version"], &added["position"], &added["registered"]),
        (&1.into(), &0.into(), &true.into())
    );
    let list = folder.run(&["schema", "list", "--json"]).exits(0).json();
    assert_eq!(list["dictionary_sha256"], added["dictionary_sha256"]);
    let invoices: String = (0..10)
        .map(|number| {
            if number % 2 == 0 {
                invoice(number, "c-zutphen", "Annegret Musterfrau")
            } else {
                invoice(number, "c-deventer", "Hans Beispiel")
            }
        })
        .collect();
    folder.feed(&["append", "--as", "erp-import"], invoices.as_bytes()).exits(0);
    folder
}

/// Fails where a text stands in any file of the store.
fn nowhere(folder: &Folder, text: &str) {
    for (path, bytes) in folder.files() {
        let is_stores =
            path.starts_with(folder.path("waag-data")) || path.starts_with(folder.path("waag-data.state"));
        let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!is_stores || !found, "`{text}` in {}", path.display());
    }
}

#[test]
fn personal_fields_are_masked_and_a_reveal_is_recorded_before_it_is_shown() {
    let folder = store();
    let shown = folder.run(&["read", "--position", "1"]).exits(0).json();
    let customer = &shown["event"]["data"]["customer"];
    assert_eq!(customer["iban"], "****4300");
    assert_eq!(customer["name"], "****frau");
    assert_eq!(shown["event"]["data"]["amount"].as_f64(), Some(0.5), "what is nobody's is shown");
    assert_eq!(shown["masked"], serde_json::json!(["/data/customer"]));
    assert_eq!((&shown["actor"], &shown["schema"]), (&"erp-import".into(), &1.into()));
    let all = folder.run(&["read", "--count", "20"]).exits(0).out;
    assert!(!all.contains("Musterfrau") && !all.contains("NL91ABNA") && !all.contains("c-zutphen"));
    nowhere(&folder, "Musterfrau");
    nowhere(&folder, "NL91ABNA");
    nowhere(&folder, "c-zutphen");
    nowhere(&folder, "/erp-of-the-masked");
    assert_eq!(folder.run(&["read", "--everything", "--reveal", " "]).exits(2).code, 2);
    let revealed =
        folder.run(&["read", "--from", "1", "--count", "2", "--reveal", "ticket 5", "--as", "anna"]).exits(0);
    assert!(revealed.out.contains("Annegret Musterfrau"));
    let record = folder.run(&["read", "--position", "11"]).exits(0).json();
    assert_eq!((&record["type"], &record["actor"]), (&"waag.reveal".into(), &"anna".into()));
    assert_eq!(record["event"]["data"], serde_json::json!({"reason": "ticket 5", "from": 1, "to": 3}));
    // Where it cannot be recorded, nothing is shown.
    std::fs::remove_file(folder.path("waag-data/default/log/00000000000000000000.seg")).unwrap();
    let refused = folder.run(&["read", "--everything", "--reveal", "ticket 6"]);
    assert!(refused.code == 3 && !refused.out.contains("Musterfrau"));
    let beyond = Folder::with_store();
    assert_eq!(beyond.run(&["read", "--position", "0"]).exits(2).code, 2);
    assert!(beyond.run(&["read"]).exits(0).out.is_empty());
}

#[test]
fn a_destroyed_person_is_gone_and_everything_still_verifies() {
    let folder = store();
    let before = folder.run(&["verify", "--json", "--deep"]).exits(0).json();
    let proof_before = folder.run(&["prove", "3", "--json"]).exits(0).json();
    let destroy = ["keys", "destroy", "--person", "customer:c-zutphen", "--json"];
    let named = folder.run(&[&destroy[..], &["--reason", "about customer:c-zutphen"]].concat()).exits(2);
    assert!(named.err.contains("names the person"));
    let kept = folder
        .run(&[&destroy[..], &["--reason", "request 1", "--keep", "business"]].concat())
        .exits(0)
        .json();
    assert_eq!((&kept["destroyed"], kept["kept"].as_u64().unwrap() > 0), (&0.into(), true));
    assert!(folder.run(&["read", "--from", "1", "--reveal", "check"]).out.contains("Musterfrau"));
    let done = folder.run(&[&destroy[..], &["--reason", "request 2026-118"]].concat()).exits(0).json();
    assert!(done["destroyed"].as_u64().unwrap() > 0, "{done}");
    let shown = folder.run(&["read", "--everything", "--reveal", "check again"]).exits(0);
    assert!(!shown.out.contains("Musterfrau") && shown.out.contains("Hans Beispiel"));
    let erased = &shown.lines()[1];
    assert_eq!(
        (&erased["erased"], &erased["missing"]),
        (&serde_json::json!([1]), &serde_json::json!(["/data/customer"]))
    );
    assert_eq!(erased["event"]["data"].as_object().map(serde_json::Map::len), Some(1), "{erased}");
    assert!(
        shown.out.contains(r#""data":{"amount":0.50}"#),
        "the digits are as they were written: {}",
        shown.out
    );
    // The event says what and why, not who.
    let record = folder.run(&["read", "--position", &done["position"].to_string()]).exits(0).json();
    assert_eq!(record["type"], "waag.keys.destroyed");
    assert_eq!(record["event"]["data"]["reason"], "request 2026-118");
    assert!(!record.to_string().contains("zutphen"));
    // Proofs and roots are what they were.
    let after = folder.run(&["verify", "--json", "--deep"]).exits(0).json();
    assert!(after["entries"].as_u64() > before["entries"].as_u64());
    let proof_after = folder.run(&["prove", "3", "--json"]).exits(0).json();
    assert_eq!(proof_before["leaf_hash"], proof_after["leaf_hash"]);
    assert_eq!(proof_before["entry"], proof_after["entry"]);
    // A retry cannot be compared any more, and says so.
    let retry = folder
        .feed(&["append", "--json"], invoice(2, "c-zutphen", "Annegret Musterfrau").as_bytes())
        .exits(1);
    assert_eq!(retry.json()["error"]["code"], "E0923");
    let disclosed = folder.run(&["prove", "3", "--json", "--disclose", "1"]).exits(1).json();
    assert_eq!((&disclosed["erased"], &disclosed["disclosed"]), (&serde_json::json!([1]), &Value::Null));
    let stones = folder.run(&["keys", "tombstones", "--json"]).exits(0).lines();
    assert_eq!(stones.len() as u64, done["destroyed"].as_u64().unwrap());
    assert!(stones.iter().all(|stone| stone["tombstone"]["reason"] == "erased"));
}

#[test]
fn keys_of_every_level_rotate_and_nothing_becomes_unreadable() {
    let folder = store();
    let everything = || folder.run(&["read", "--count", "11", "--from", "0"]).exits(0).out;
    let before = everything();
    for rotation in [
        &["vault"][..],
        &["tenant"],
        &["data"],
        &["data", "--person", "customer:c-zutphen"],
        &["signing", "--reason", "yearly"],
    ] {
        let done = folder.run(&[&["keys", "rotate", "--json"], rotation].concat()).exits(0).json();
        assert!(done["position"].is_u64(), "{done}");
        folder.feed(&["append"], invoice(100, "c-zutphen", "Annegret Musterfrau").as_bytes()).exits(0);
        assert_eq!(everything(), before, "{rotation:?}");
        folder.run(&["verify", "--deep"]).exits(0);
    }
    assert_eq!(folder.run(&["checkpoint", "--key"]).exits(0).out.lines().count(), 2);
    let both = folder.run(&["checkpoint"]).exits(0).out;
    folder.feed(&["append"], event(7).as_bytes()).exits(0);
    assert_eq!(folder.run(&["checkpoint"]).exits(0).out.matches('—').count(), 2, "{both}");
    folder.run(&["keys", "retire", "0", "--reason", "r"]).exits(0);
    folder.run(&["verify"]).exits(0);
    folder.feed(&["append"], event(8).as_bytes()).exits(0);
    assert_eq!(folder.run(&["checkpoint"]).exits(0).out.matches('—').count(), 1);
    folder.run(&["verify"]).exits(0);
    assert_eq!(
        folder.run(&["keys", "retire", "1", "--reason", "r", "--json"]).exits(2).json()["error"]["code"],
        "E0551"
    );
    assert_eq!(
        folder.run(&["keys", "retire", "9", "--reason", "r", "--json"]).exits(2).json()["error"]["code"],
        "E0550"
    );
}

#[test]
fn a_disclosed_part_opens_and_is_recorded_and_no_other_secret_is_told() {
    let folder = store();
    let part = folder.run(&["prove", "1", "--json", "--disclose", "0", "--reason", "audit"]).exits(0).json();
    let secret = part["disclosed"][0]["secret"].as_str().unwrap();
    assert_eq!((secret.len(), part["disclosed"].as_array().unwrap().len()), (64, 1));
    let record = folder.run(&["read", "--position", "11"]).exits(0).json();
    assert_eq!(record["type"], "waag.disclosed");
    assert_eq!(record["event"]["data"], serde_json::json!({"position": 1, "parts": [0], "reason": "audit"}));
    assert!(!record.to_string().contains(secret));
    // The proof is under a checkpoint that covers the record of the disclosure.
    assert_eq!(part["tree_size"], 12);
    folder.run(&["prove", "1", "--disclose", "0"]).exits(2);
    folder
        .run(&["prove", "1", "--disclose", "1", "--disclose-to", "out", "--out", "p", "--entry-out", "e"])
        .exits(0);
    let mode = std::fs::metadata(folder.path("out/part-1.secret")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(folder.path("out/part-1.secret")).unwrap().trim().len(), 64);
    assert!(folder.path("out/part-1.dictionary").exists(), "the part is compressed, and needs it");
    assert_eq!(
        folder.run(&["prove", "1", "--json", "--disclose", "5"]).exits(2).json()["error"]["code"],
        "E0209"
    );
    assert_eq!(folder.run(&["prove", "999", "--json"]).exits(2).json()["error"]["code"], "E0620");
}

#[test]
fn no_answer_tells_a_key_of_the_vault_or_state() {
    let folder = store();
    let vault = std::fs::read(folder.path("waag-data.state/default/vault.key")).unwrap();
    // The last 32 bytes are a checksum; the key stands before it.
    let key = hex::encode(&vault[vault.len() - 64..vault.len() - 32]);
    let mut told = String::new();
    for arguments in [
        &["read"][..],
        &["verify"],
        &["verify", "--json"],
        &["checkpoint"],
        &["keys", "list"],
        &["keys", "list", "--json"],
        &["keys", "tombstones"],
        &["prove", "1", "--json"],
        &["schema", "list"],
        &["init", "--json"],
    ] {
        let ran = folder.run(arguments).exits(0);
        told.push_str(&ran.out);
        told.push_str(&ran.err);
    }
    assert!(told.len() > 1_000 && !told.contains(&key));
}

#[test]
fn an_event_without_a_schema_is_its_subjects_as_a_whole() {
    let folder = Folder::with_store();
    let line = event(0).replace(r#""type""#, r#""subject":"bob@example.org","type""#);
    folder.feed(&["append"], (line + "\n" + &events(1..3)).as_bytes()).exits(0);
    nowhere(&folder, "bob@example.org");
    let shown = folder.run(&["read"]).exits(0);
    assert!(!shown.out.contains("bob@"));
    assert_eq!(shown.lines()[0]["event"]["subject"], "****.org");
    folder.run(&["keys", "destroy", "--person", "bob@example.org", "--reason", "r"]).exits(0);
    let gone = folder.run(&["read", "--position", "0"]).exits(0).json();
    assert_eq!(gone["event"], serde_json::json!({"specversion": "1.0", "type": "t.x"}));
    folder.run(&["verify", "--deep"]).exits(0);
}
