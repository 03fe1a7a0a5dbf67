//! `waag append` through the real program: receipts, refusals, retries, inputs.
mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use common::{Folder, event, events};
use serde_json::Value;
use waag_ledger::hash::Hash;
use waag_ledger::note::VerifierKey;
use waag_ledger::tlog_proof::TlogProof;

/// Deeper than `DEPTH_MAX` of 64 allows.
fn nested(depth: usize) -> String {
    format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
}

fn with_data(data: &str) -> Vec<u8> {
    format!(r#"{{"specversion":"1.0","id":"b","source":"/t","type":"t.x","data":{data}}}"#).into_bytes()
}

#[test]
fn every_bad_input_has_its_code_and_line_and_leaves_nothing_behind() {
    let plain = |text: &str| text.as_bytes().to_vec();
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("not JSON", plain("nonsense"), "E0103", ""),
        ("cut JSON", plain(r#"{"specversion":"1.0","id":"#), "E0103", "/id"),
        ("two values", plain(r#"{} {}"#), "E0103", ""),
        ("not an object", plain("[1]"), "E0105", ""),
        ("not CloudEvents", plain(r#"{"hello":"world"}"#), "E0110", ""),
        (
            "another version",
            plain(r#"{"specversion":"0.3","id":"b","source":"/t","type":"t"}"#),
            "E0111",
            "/specversion",
        ),
        ("no source", plain(r#"{"specversion":"1.0","id":"b","type":"t"}"#), "E0110", ""),
        ("invalid UTF-8", [&with_data("\"")[..], b"\xff\xfe\"}"].concat(), "E0102", ""),
        ("a name twice", with_data(r#"{"a":1,"a":2}"#), "E0106", "/data"),
        ("a name twice, escaped", with_data(r#"{"a":1,"\u0061":2}"#), "E0106", "/data"),
        ("nested too deep", with_data(&nested(65)), "E0107", ""),
        ("too many digits", with_data(&"9".repeat(60)), "E0109", "/data"),
        ("absurd exponent", with_data("1e999999999"), "E0109", "/data"),
        ("too large", with_data(&format!("\"{}\"", "x".repeat(1_048_576))), "E0101", ""),
        ("half a surrogate pair", with_data(r#""\ud800""#), "E0104", "/data"),
        (
            "one of Waag's own",
            plain(r#"{"specversion":"1.0","id":"b","source":"/t","type":"waag.reveal"}"#),
            "E0920",
            "/type",
        ),
        (
            "another tenant",
            plain(r#"{"specversion":"1.0","id":"b","source":"/t","type":"t","waagtenant":"other"}"#),
            "E0921",
            "/waagtenant",
        ),
    ];
    let folder = Folder::with_store();
    for (at, (what, bad, code, path)) in cases.iter().enumerate() {
        // Good events before and after it, a blank line, and the bad one on line 3.
        let good = u64::try_from(at * 2).unwrap();
        let input = [event(good).as_bytes(), b"\n\n", bad, b"\n", event(good + 1).as_bytes()].concat();
        let ran = folder.feed(&["append", "--json"], &input).exits(1);
        let lines = ran.lines();
        assert_eq!(lines.len(), 3, "{what}: {ran:?}");
        assert_eq!(
            (&lines[0]["status"], &lines[2]["status"]),
            (&"recorded".into(), &"recorded".into()),
            "{what}"
        );
        assert_eq!(
            (&lines[0]["position"], &lines[2]["position"]),
            (&good.into(), &(good + 1).into()),
            "{what}"
        );
        let refused = &lines[1];
        assert_eq!((&refused["line"], &refused["status"]), (&3.into(), &"refused".into()), "{what}");
        assert_eq!(refused["error"]["code"], *code, "{what}: {refused}");
        let found = refused["error"]["path"].as_str().unwrap();
        assert!(found.starts_with(path), "{what}: {found}");
        assert!(ran.err.starts_with(&format!("-:3: {code}: ")), "{what}: {}", ran.err);
        // The same with --strict: nothing is recorded.
        let fresh = [event(900_000).as_bytes(), b"\n\n", bad].concat();
        let strict = folder.feed(&["append", "--json", "--strict"], &fresh).exits(1);
        assert_eq!(strict.lines().len(), 1, "{what}");
        assert_eq!(strict.json()["error"]["code"], *code, "{what}");
    }
    let report = folder.run(&["verify", "--json"]).exits(0).json();
    assert_eq!(report["entries"], 2 * cases.len() as u64, "nothing of a refused event is in the ledger");
}

#[test]
fn a_receipt_proves_its_event_and_a_retry_gets_the_same_place() {
    let folder = Folder::with_store();
    folder.write("events", events(0..1_200));
    let first = folder.run(&["append", "--json", "--proof", "--batch", "100", "events"]).exits(0).lines();
    let key: VerifierKey = folder.run(&["checkpoint", "--key"]).exits(0).out.trim().parse().unwrap();
    assert_eq!(first.len(), 1_200);
    let check = |receipt: &Value, status: &str| {
        assert_eq!(receipt["status"], status);
        let proof = TlogProof::parse(receipt["proof"].as_str().unwrap().as_bytes()).unwrap();
        let leaf: Hash = receipt["leaf_hash"].as_str().unwrap().parse().unwrap();
        let proven = proof.verify_leaf(leaf, std::slice::from_ref(&key)).unwrap();
        assert_eq!(proven.index(), receipt["position"].as_u64().unwrap());
        let told = proven.checkpoint();
        assert_eq!(told.note(), receipt["checkpoint"].as_str().unwrap());
        assert_eq!(told.checkpoint().size, receipt["tree_size"].as_u64().unwrap());
        assert_eq!(told.checkpoint().root.to_string(), receipt["root"].as_str().unwrap());
    };
    for (at, receipt) in first.iter().enumerate() {
        assert_eq!(receipt["position"], at as u64, "in the order of the input");
        assert_eq!(receipt["line"], at as u64 + 1);
        check(receipt, "recorded");
    }
    // Again, among new ones, in another order.
    folder.write("again", events(1_150..1_300) + &events(0..3));
    let again = folder.run(&["append", "--json", "--proof", "again"]).exits(0).lines();
    for receipt in again.iter().filter(|receipt| receipt["status"] == "before") {
        check(receipt, "before");
        let before = &first[usize::try_from(receipt["position"].as_u64().unwrap()).unwrap()];
        assert_eq!(receipt["leaf_hash"], before["leaf_hash"]);
    }
    assert_eq!(again.iter().filter(|receipt| receipt["status"] == "before").count(), 53);
    assert_eq!(again[50]["position"], 1_200);
}

#[test]
fn another_event_under_the_same_identity_is_refused_and_the_first_one_named() {
    let folder = Folder::with_store();
    folder.feed(&["append"], events(0..3).as_bytes()).exits(0);
    let other = event(2).replace("\"n\":2", "\"n\":7");
    let ran = folder.feed(&["append", "--json"], format!("{other}\n{}\n", event(3)).as_bytes()).exits(1);
    let lines = ran.lines();
    assert_eq!(lines[0]["error"]["code"], "E0922");
    assert_eq!(lines[0]["position"], 2);
    assert_eq!(lines[1]["position"], 3);
    // Two different ones within one batch.
    let ran = folder.feed(
        &["append", "--json"],
        format!("{}\n{}\n", event(9), event(9).replace('7', "8").replace("\"n\":9", "\"n\":1")).as_bytes(),
    );
    assert_eq!(ran.exits(1).lines()[1]["error"]["code"], "E0922");
    // A number written otherwise is another value: 1.50 is not 1.5.
    let ran = folder.feed(&["append", "--json"], event(0).replace("1.50", "1.5").as_bytes()).exits(1);
    assert_eq!(ran.json()["error"]["code"], "E0922");
}

#[test]
fn a_long_body_becomes_a_blob_and_the_longest_line_is_taken() {
    let folder = Folder::with_store();
    let frame = r#"{"specversion":"1.0","id":"long","source":"/t","type":"t.x","data":""}"#;
    let longest =
        frame.replace(r#""data":"""#, &format!(r#""data":"{}""#, "x".repeat(1_048_576 - frame.len())));
    assert_eq!(longest.len(), 1_048_576);
    let middle = frame
        .replace("long", "middle")
        .replace(r#""data":"""#, &format!(r#""data":"{}""#, "y".repeat(70_000)));
    let ran =
        folder.feed(&["append", "--json"], format!("{longest}\n{middle}\n{longest}x\n").as_bytes()).exits(1);
    assert_eq!(ran.lines()[2]["error"]["code"], "E0101");
    let read = folder.run(&["read"]).exits(0).lines();
    assert_eq!(read[0]["event"]["data"].as_str().unwrap().len(), 1_048_576 - frame.len());
    assert_eq!(read[1]["event"]["data"].as_str().unwrap(), "y".repeat(70_000));
    let report = folder.run(&["verify", "--json", "--deep"]).exits(0).json();
    assert_eq!(report["objects"], 2);
    // Without its blob the entry is whole and the store is not.
    let object =
        folder.files().into_iter().find(|(path, _)| path.to_string_lossy().contains("objects")).unwrap().0;
    std::fs::remove_file(object).unwrap();
    let report = folder.run(&["verify", "--json"]).exits(1).json();
    assert!(report["faults"][0]["reason"].as_str().unwrap().contains("E0622"), "{report}");
}

#[test]
fn who_feeds_slowly_gets_each_receipt_at_once() {
    let folder = Folder::with_store();
    let mut child =
        folder.command(&["append", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for number in 0..5_u64 {
        writeln!(input, "{}", event(number)).unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let receipt: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(receipt["position"], number);
    }
    // Meanwhile nobody else writes, and everybody may read what was acknowledged.
    let second = folder.feed(&["append", "--json"], event(99).as_bytes()).exits(3);
    assert_eq!(second.json()["error"]["code"], "E0806");
    assert!(second.err.contains("error E0806: another process writes this store"), "{}", second.err);
    assert!(second.err.contains("waag explain E0806"));
    assert_eq!(folder.run(&["read"]).exits(0).lines().len(), 5);
    assert_eq!(folder.run(&["verify", "--json"]).exits(0).json()["entries"], 5);
    folder.run(&["prove", "4"]).exits(0);
    drop(input);
    assert!(child.wait().unwrap().success());
    folder.feed(&["append"], event(99).as_bytes()).exits(0);
}

#[test]
fn several_inputs_are_read_in_order_and_refusals_name_theirs() {
    let folder = Folder::with_store();
    folder.write("a", events(0..2) + "bad\n");
    folder.write("b", events(2..4));
    let ran = folder.run(&["append", "--json", "a", "b"]).exits(1);
    let lines = ran.lines();
    let files: Vec<&str> = lines.iter().map(|line| line["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["a", "a", "a", "b", "b"]);
    assert_eq!(lines[2]["line"], 3);
    assert!(ran.err.starts_with("a:3: E0103: "));
    // A file that is not there is said before anything is recorded.
    folder.write("c", events(10..11));
    let missing = folder.run(&["append", "--json", "c", "nowhere"]).exits(3);
    assert_eq!(missing.json()["error"]["code"], "E0701");
    assert_eq!(folder.run(&["verify", "--json"]).json()["entries"], 4);
    // Nothing to record is no error.
    folder.feed(&["append"], b"\n\n").exits(0);
}

#[test]
fn tiny_batches_and_one_under_way_come_to_the_same() {
    let folder = Folder::with_store();
    let ran = folder
        .feed(&["append", "--json", "--batch", "1", "--in-flight", "1"], events(0..40).as_bytes())
        .exits(0);
    let positions: Vec<u64> = ran.lines().iter().map(|line| line["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (0..40).collect::<Vec<_>>());
    let wrong = folder.run(&["append", "--batch", "0"]).exits(2);
    assert!(wrong.err.starts_with("error E0700: "), "{}", wrong.err);
    folder.feed(&["append", "--proof"], b"").exits(2);
    let odd = folder.feed(&["append", "--json", "--segment-bytes", "70000"], b"").exits(2);
    assert_eq!(odd.json()["error"]["code"], "E0466");
}

#[test]
fn invoices_without_their_schema_are_warned_of_and_with_it_counted() {
    let invoice = |number: u64| {
        format!(
            r#"{{"specversion":"1.0","id":"{number}","source":"/erp","type":"invoice.ingestion","subject":"INV-{number}","data":{{"invoice_id":"INV-{number}","amount_minor":125000,"currency":"EUR"}}}}"#
        ) + "\n"
    };
    let folder = Folder::with_store();
    let ran = folder.feed(&["append"], (invoice(1) + &invoice(2)).as_bytes()).exits(0);
    assert_eq!(ran.err.matches("waag schema shipped").count(), 1, "{}", ran.err);
    let shipped = folder.run(&["schema", "shipped", "--json"]).exits(0).lines();
    assert_eq!(shipped.len(), 4);
    assert!(shipped.iter().all(|line| line["registered"] == true && line["version"] == 1));
    let again = folder.run(&["schema", "shipped", "--json"]).exits(0).lines();
    assert!(again.iter().all(|line| line["registered"] == false));
    let ran = folder.feed(&["append"], invoice(3).as_bytes()).exits(0);
    assert!(!ran.err.contains("warning"), "{}", ran.err);
    let report = folder.run(&["report", "invoices", "--json"]).exits(0).json();
    assert_eq!(report["cases"], 1, "{report}");
}
