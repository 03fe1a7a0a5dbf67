//! What the head of a request may say: one host, one key, one reason, and no coding that nobody undoes.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

use std::io::Write as _;

mod support;
use support::{Client, ONE, Response, Settings, TestDoor, new_key};
use waag_http::keys::Role;

const BINARY: &str = "content-type: text/plain\r\nce-specversion: 1.0\r\nce-source: /erp\r\nce-type: t\r\n";

/// The answer to a request as it stands here, on a connection of its own.
fn raw(door: &TestDoor, head: &str, body: &[u8]) -> Response {
    let mut client: Client = door.connect();
    client.stream.write_all(&[head.as_bytes(), b"\r\n", body].concat()).unwrap();
    client.read()
}

fn told(got: &Response) -> (u16, Option<&str>) {
    (got.status, got.body["code"].as_str())
}

#[test]
fn a_request_is_for_one_host() {
    let door = TestDoor::open(Settings::default());
    for host in ["host: a\r\n", "host: 127.0.0.1:8080\r\n", "host: [::1]:80\r\n", "host:\r\n"] {
        let got = raw(&door, &format!("GET /healthz HTTP/1.1\r\n{host}"), b"");
        assert_eq!(got.status, 200, "{host}");
    }
    for host in
        ["", "host: a\r\nhost: b\r\n", "host: a b\r\n", "host: a/b\r\n", "host: u@a\r\n", "host: \u{e9}\r\n"]
    {
        let got = raw(&door, &format!("GET /healthz HTTP/1.1\r\n{host}"), b"");
        assert_eq!(told(&got), (400, Some("E0909")), "{host}");
        assert!(got.body["detail"].as_str().unwrap().contains("host"), "{got:?}");
    }
    assert_eq!(raw(&door, "GET /healthz HTTP/1.0\r\n", b"").status, 200, "older than the header");
}

#[test]
fn a_key_and_a_reason_are_told_once() {
    let door = TestDoor::open(Settings::default());
    let (key, admin) = (door.key.clone(), new_key(&door.keys, "default", Role::Admin));
    let mut client = door.connect();
    let bearer = format!("Bearer {key}");
    for headers in [
        [("x-api-key", key.as_str()), ("x-api-key", admin.as_str())],
        [("x-api-key", key.as_str()), ("x-api-key", key.as_str())],
        [("authorization", bearer.as_str()), ("authorization", "Bearer bad")],
    ] {
        let got = client.call("GET", "/v1/ledger", &headers, b"");
        assert_eq!(told(&got), (400, Some("E0909")), "{headers:?}");
    }
    // What a proxy wants for itself goes beside the key.
    let both = [("x-api-key", key.as_str()), ("authorization", "Basic eDp5")];
    assert_eq!(client.call("GET", "/v1/ledger", &both, b"").status, 200);
    let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{}}"#;
    assert_eq!(client.post("/v1/events", ONE, event).status, 200);
    let reasons =
        [("x-api-key", admin.as_str()), ("waag-reveal-reason", "one"), ("waag-reveal-reason", "two")];
    let got = client.call("GET", "/v1/events/0", &reasons, b"");
    assert_eq!(told(&got), (400, Some("E0909")), "{got:?}");
}

#[test]
fn a_body_is_cut_into_chunks_once_and_coded_in_no_other_way() {
    let door = TestDoor::open(Settings::default());
    let send = |id: &str, codings: &[&str]| {
        let lines: String = codings.iter().map(|coding| format!("transfer-encoding: {coding}\r\n")).collect();
        let key = &door.key;
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\nce-id: {id}\r\n{BINARY}{lines}"
        );
        raw(&door, &head, b"2\r\nhi\r\n0\r\n\r\n")
    };
    assert_eq!(send("1", &["chunked"]).status, 200);
    assert_eq!(send("2", &["Chunked"]).status, 200);
    for codings in
        [&["gzip, chunked"][..], &["identity, chunked"], &["chunked, chunked"], &["gzip", "chunked"]]
    {
        let got = send("3", codings);
        assert_eq!(told(&got), (400, Some("E0909")), "{codings:?}");
    }
    assert_eq!(door.connect().get("/v1/ledger").body["entries"].as_u64(), Some(2));
}
