//! `POST /v1/events` over a real listener on real drivers: every mode, its receipts, and what is refused.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "helpers of tests")]

mod support;

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use support::{BATCH, Client, ONE, Settings, TestDoor, event, key_of, new_key};
use waag_http::keys::Role;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::hash::Hash;
use waag_ledger::range::{RangeProof, verify_range};

fn hash_of(value: &serde_json::Value) -> Hash {
    let bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
    Hash(bytes.try_into().unwrap())
}

fn leaf(item: &serde_json::Value) -> Hash {
    let text = item["leaf_hash"].as_str().unwrap();
    let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
    Hash(std::array::from_fn(byte))
}

#[test]
fn a_batch_shares_one_checkpoint_that_proves_every_event_of_it() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    let events: Vec<String> = (0..7).map(|n| event(&n.to_string(), n)).collect();
    let got = client.post("/v1/events", BATCH, format!("[{}]", events.join(",")));
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!((got.body["recorded"].as_u64(), got.body["refused"].as_u64()), (Some(7), Some(0)));
    let note = got.body["checkpoint"].as_str().unwrap();
    let checkpoint = SignedCheckpoint::verify(note.as_bytes(), std::slice::from_ref(&door.verifier)).unwrap();
    let proof = &got.body["range_proof"];
    let hashes = |name: &str| proof[name].as_array().unwrap().iter().map(hash_of).collect();
    let range = RangeProof {
        first: proof["first"].as_u64().unwrap(),
        tree_size: proof["tree_size"].as_u64().unwrap(),
        left: hashes("left"),
        right: hashes("right"),
    };
    let mut leaves: Vec<Hash> = got.body["items"].as_array().unwrap().iter().map(leaf).collect();
    verify_range(&range, &leaves, &checkpoint.checkpoint().root).unwrap();
    leaves[3].0[0] ^= 1;
    assert!(verify_range(&range, &leaves, &checkpoint.checkpoint().root).is_err());
    let ledger = client.get("/v1/ledger");
    assert_eq!(ledger.body["entries"].as_u64(), Some(7));
    assert_eq!(ledger.body["projected"].as_u64(), Some(7));
}

#[test]
fn one_event_gets_a_proof_that_an_auditor_can_check_and_a_retry_its_first_place() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    for n in 0..5 {
        let got = client.post("/v1/events", ONE, event(&n.to_string(), n));
        assert_eq!(got.status, 200, "{got:?}");
        assert_eq!(got.body["position"].as_i64(), Some(n));
        let proof = got.body["proof"].as_str().unwrap();
        let proof = waag_ledger::tlog_proof::TlogProof::parse(proof.as_bytes()).unwrap();
        let proven = proof.verify_leaf(leaf(&got.body), std::slice::from_ref(&door.verifier)).unwrap();
        assert_eq!(i64::try_from(proven.index()).unwrap(), n);
    }
    let again = client.post("/v1/events", ONE, event("2", 2));
    assert_eq!((again.status, again.body["status"].as_str()), (200, Some("before")));
    assert_eq!(again.body["position"].as_u64(), Some(2));
    let other = client.post("/v1/events", ONE, event("2", 3));
    assert_eq!((other.status, other.body["code"].as_str()), (409, Some("E0922")));
}

#[test]
fn one_event_is_the_same_in_every_mode() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    let key = client.key.clone();
    let told = |more: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","seq":5,"flag":true{more},"data":{{"a":1}}}}"#
        )
    };
    assert_eq!(client.post("/v1/events", ONE, told("")).status, 200);
    let binary = |client: &mut Client, media: &str, seq: &str| {
        let headers = [
            ("x-api-key", key.as_str()),
            ("content-type", media),
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
            ("ce-seq", seq),
            ("ce-flag", "true"),
        ];
        let got = client.call("POST", "/v1/events", &headers, br#"{"a":1}"#);
        (got.status, got.body["status"].as_str().map(str::to_owned))
    };
    let before = (200, Some("before".to_owned()));
    // JSON of no told type is `application/json` (CloudEvents 3.1), and headers have a number as text.
    let same = client.post("/v1/events", ONE, told(r#","datacontenttype":"application/json""#));
    assert_eq!((same.status, same.body["status"].as_str()), (200, Some("before")), "{same:?}");
    assert_eq!(binary(&mut client, "application/json", "5"), before);
    assert_eq!(binary(&mut client, "application/json", "6").0, 409);
    assert_eq!(binary(&mut client, "application/vnd.a+json", "5").0, 409);
    let other = client.post("/v1/events", ONE, told(r#","more":1"#));
    assert_eq!(other.status, 409, "{other:?}");
    assert_eq!(client.get("/v1/ledger").body["entries"].as_u64(), Some(1));
}

#[test]
fn binary_mode_and_json_lines_record_the_same_events() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    let lines = format!("{}\n\n{}\r\n", event("a", 1), event("b", 2));
    let got = client.post("/v1/events", "application/jsonl", lines);
    assert_eq!((got.status, got.body["recorded"].as_u64()), (200, Some(2)), "{got:?}");
    let key = door.key.clone();
    let headers = [
        ("x-api-key", key.as_str()),
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "a"),
        ("ce-source", "/erp"),
        ("ce-type", "invoice.ingestion"),
        ("ce-subject", "INV-a"),
    ];
    let got = client.call("POST", "/v1/events", &headers, br#"{"amount":1}"#);
    // JSON of no told type is of this one.
    assert_eq!((got.status, got.body["status"].as_str()), (200, Some("before")), "{got:?}");
    let headers = headers.map(|(name, value)| (name, if value == "a" { "c" } else { value }));
    let got = client.call("POST", "/v1/events", &headers, br#"{"amount":1}"#);
    assert_eq!((got.status, got.body["position"].as_u64()), (200, Some(2)), "{got:?}");
}

#[test]
fn another_event_in_headers_under_the_same_idempotency_key_is_not_taken_for_the_first() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    let key = door.key.clone();
    let headers = [
        ("x-api-key", key.as_str()),
        ("idempotency-key", "\"k-1\""),
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/erp"),
        ("ce-type", "invoice.ingestion"),
        ("ce-subject", "INV-1"),
    ];
    let body = br#"{"amount":1}"#;
    let first = client.call("POST", "/v1/events", &headers, body);
    assert_eq!((first.status, first.body["status"].as_str()), (200, Some("recorded")), "{first:?}");
    let again = client.call("POST", "/v1/events", &headers, body);
    assert_eq!((again.status, &again.body), (200, &first.body));
    for (name, value) in [
        ("ce-id", "2"),
        ("ce-source", "/other"),
        ("ce-type", "invoice.posting"),
        ("ce-subject", "INV-2"),
        ("content-type", "text/json"),
    ] {
        let other = headers.map(|(known, old)| (known, if known == name { value } else { old }));
        let got = client.call("POST", "/v1/events", &other, body);
        assert_eq!((got.status, got.body["code"].as_str()), (422, Some("E0943")), "{name}: {got:?}");
    }
    assert_eq!(client.get("/v1/ledger").body["entries"].as_u64(), Some(1));
}

#[test]
fn holders_whose_names_have_slashes_share_no_idempotency_key() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    for (n, (holder, key)) in [("a/b", "\"k\""), ("a", "\"b/k\"")].into_iter().enumerate() {
        let held = key_of(&door.keys, holder, "default", Role::Producer);
        let headers = [("x-api-key", held.as_str()), ("content-type", ONE), ("idempotency-key", key)];
        let got = client.call("POST", "/v1/events", &headers, event(&n.to_string(), 1).as_bytes());
        assert_eq!((got.status, got.body["position"].as_u64()), (200, Some(n as u64)), "{got:?}");
    }
}

#[test]
fn bad_events_stop_no_good_ones_and_each_is_told_its_path() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    let bad = [
        r#"{"specversion":"1.0"}"#.to_owned(),
        r#"{"a":tru}"#.to_owned(),
        event("x", 1).replace("invoice.ingestion", "waag.reveal"),
        event("y", 1).replace("\"data\"", "\"waagtenant\":\"other\",\"data\""),
        event("z", 1).replace(":1}", ":1e999}"),
    ];
    let mut all = vec![event("1", 1)];
    all.extend(bad.clone());
    all.push(event("2", 2));
    let got = client.post("/v1/events", BATCH, format!("[{}]", all.join(",")));
    assert_eq!(got.status, 207, "{got:?}");
    assert_eq!((got.body["recorded"].as_u64(), got.body["refused"].as_u64()), (Some(2), Some(5)));
    let codes: Vec<&str> = got.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item["error"]["code"].as_str())
        .collect();
    assert_eq!(codes, ["E0110", "E0103", "E0920", "E0921", "E0109"]);
    assert_eq!(got.body["items"][5]["error"]["path"].as_str(), Some("/data/amount"));
    let none = client.post("/v1/events", BATCH, format!("[{}]", bad.join(",")));
    assert_eq!((none.status, none.header("content-type")), (422, Some("application/problem+json")));
    assert_eq!(none.body["type"].as_str(), Some("urn:waag:error:E0917"));
    assert_eq!(none.body["errors"][4]["path"].as_str(), Some("/4/data/amount"));
    for (body, code) in
        [("", "E0103"), ("[]", "E0912"), ("{}", "E0103"), ("[{}", "E0103"), ("[{}] x", "E0103")]
    {
        let got = client.post("/v1/events", BATCH, body);
        assert_eq!((got.status, got.body["errors"][0]["code"].as_str()), (400, Some(code)), "{body}");
    }
}

#[test]
fn without_a_valid_key_nothing_is_recorded() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    let call = |client: &mut support::Client, headers: &[(&str, &str)]| {
        let mut all = vec![("content-type", ONE)];
        all.extend_from_slice(headers);
        let got = client.call("POST", "/v1/events", &all, event("1", 1).as_bytes());
        (got.status, got.body["code"].as_str().unwrap_or("").to_owned())
    };
    assert_eq!(call(&mut client, &[]), (401, "E0902".to_owned()));
    assert_eq!(call(&mut client, &[("x-api-key", "waag_x")]), (401, "E0903".to_owned()));
    let reader = new_key(&door.keys, "default", Role::Reader);
    assert_eq!(call(&mut client, &[("x-api-key", &reader)]), (403, "E0904".to_owned()));
    let elsewhere = new_key(&door.keys, "elsewhere", Role::Producer);
    assert_eq!(call(&mut client, &[("x-api-key", &elsewhere)]), (503, "E0915".to_owned()));
    let bearer = format!("Bearer {}", door.key);
    assert_eq!(call(&mut client, &[("authorization", &bearer)]).0, 200);
    assert_eq!(client.get("/v1/ledger").body["entries"].as_u64(), Some(1));
    assert_eq!(client.get("/nowhere").status, 404);
    assert_eq!(client.call("DELETE", "/v1/events", &[], b"").status, 405);
    assert_eq!(client.call("GET", "/healthz", &[], b"").status, 200);
    assert_eq!(client.call("GET", "/readyz", &[], b"").status, 200);
}

#[test]
fn a_body_at_the_limit_passes_and_one_byte_more_does_not() {
    let mut settings = Settings::default();
    settings.door.body_bytes_max = 4_096;
    let door = TestDoor::open(settings);
    let padded = |bytes: usize| {
        let event = event("1", 1);
        format!("{event}{}", " ".repeat(bytes - event.len()))
    };
    let mut client = door.connect();
    assert_eq!(client.post("/v1/events", ONE, padded(4_096)).status, 200);
    let got = client.post("/v1/events", ONE, padded(4_097));
    assert_eq!((got.status, got.body["code"].as_str()), (413, Some("E0905")));
    // Chunks have no length that could be looked at before.
    let mut client = door.connect();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-type: {ONE}\r\ntransfer-encoding: chunked\r\n\r\n",
        door.key
    );
    client.stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..5 {
        drop(client.stream.write_all(format!("400\r\n{}\r\n", " ".repeat(1_024)).as_bytes()));
    }
    assert_eq!(client.read().status, 413);
}

#[test]
fn many_single_events_at_once_are_all_recorded_once() {
    let mut door = TestDoor::open(Settings::default());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let door = &door;
            scope.spawn(move || {
                let mut client = door.connect();
                for n in 0..50 {
                    let got =
                        client.post("/v1/events", BATCH, format!("[{}]", event(&format!("{thread}-{n}"), n)));
                    assert_eq!(got.status, 200, "{got:?}");
                    let proof = got.body["proof"].as_str().unwrap();
                    let proof = waag_ledger::tlog_proof::TlogProof::parse(proof.as_bytes()).unwrap();
                    proof
                        .verify_leaf(leaf(&got.body["items"][0]), std::slice::from_ref(&door.verifier))
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(door.connect().get("/v1/ledger").body["entries"].as_u64(), Some(400));
    door.end();
}
