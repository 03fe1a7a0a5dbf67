//! What a node tells collectors: OTLP messages and the OpenMetrics page, read by the libraries of those who define them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::common::Folder;
use crate::operations::at_once;
use crate::support::{BATCH, Node, ONE, PATIENCE, ask, invoice, key, within};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NOT_SAMPLED: &str = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// What somebody else's library reads in these bytes.
fn read(folder: &Folder, kind: &str, body: &[u8]) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let python = root.join(target).join("needs/bin/python");
    assert!(python.is_file(), "{} is not there; `cargo xtask test` brings it", python.display());
    folder.write("message", body);
    let program = root.join("testing/outside/operations.py");
    let mut command = Command::new(python);
    let command = command.env("PYTHONDONTWRITEBYTECODE", "1").arg(program).arg(kind);
    let output = command.arg(folder.path("message")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

type Messages = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A collector that takes everything: path and body of each message.
fn collector() -> (SocketAddr, Messages) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (at, messages) = (listener.local_addr().unwrap(), Messages::default());
    let kept = Arc::clone(&messages);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut bytes, mut piece) = (Vec::new(), [0; 65_536]);
            let (head, body) = loop {
                let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
                let head = end.map(|end| String::from_utf8_lossy(&bytes[..end]).into_owned());
                let length = head.as_ref().and_then(|head| {
                    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())
                });
                if let (Some(end), Some(head), Some(length)) = (end, head, length)
                    && bytes.len() >= end + 4 + length
                {
                    break (head, bytes[end + 4..].to_vec());
                }
                let read = stream.read(&mut piece).unwrap();
                assert!(read > 0, "a message broke off");
                bytes.extend_from_slice(&piece[..read]);
            };
            assert!(head.contains("\r\nauthorization: Bearer t\r\n"), "{head}");
            let path = head.split(' ').nth(1).unwrap().to_owned();
            kept.lock().unwrap().push((path, body));
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        }
    });
    (at, messages)
}

/// The attributes of a span or of a point, by name.
fn attributes(of: &Value) -> serde_json::Map<String, Value> {
    let pairs = of["attributes"].as_array().unwrap().iter().map(|pair| {
        let value = pair["value"].as_object().unwrap().values().next().unwrap().clone();
        (pair["key"].as_str().unwrap().to_owned(), value)
    });
    pairs.collect()
}

#[test]
fn requests_are_spans_of_their_callers_traces_and_figures_follow_needs_opentelemetry_proto() {
    let folder = Folder::with_store();
    let secret = key(&folder, &[]);
    let (at, messages) = collector();
    let endpoint = format!("http://{at}");
    let more = ["--otlp-endpoint", &endpoint, "--otlp-headers", "authorization=Bearer t"];
    let node = Node::serve_with(&folder, &[&more[..], &["--otlp-metrics-ms", "200"]].concat());
    let events = format!("[{},{}]", invoice("a", "ingestion", "a"), "{}");
    for trace in [TRACE, NOT_SAMPLED] {
        let headers = [("x-api-key", secret.as_str()), ("content-type", BATCH), ("traceparent", trace)];
        let answer = ask(node.listen, "POST", "/v1/events", &headers, &events).unwrap();
        assert!(
            answer.head.contains(&format!("\r\ntraceparent: {}", trace.get(..36).unwrap())),
            "{answer:?}"
        );
    }
    assert_eq!(ask(node.listen, "GET", "/healthz", &[], "").unwrap().status, 200);
    let of = |path: &str| {
        let all = messages.lock().unwrap();
        all.iter().filter(|(to, _)| to == path).map(|(_, body)| body.clone()).collect::<Vec<_>>()
    };
    within("figures", PATIENCE, || (of("/v1/metrics").len() >= 2).then_some(()));
    assert!(node.terminate().success());
    // Spans: what waited was sent before the end.
    let mut spans = Vec::new();
    for body in of("/v1/traces") {
        let told = read(&folder, "traces", &body);
        let [resource] = told["resource_spans"].as_array().unwrap().as_slice() else { panic!("{told}") };
        let service = attributes(&resource["resource"]);
        assert_eq!(service["service.name"], "waag", "{told}");
        spans.extend(resource["scope_spans"][0]["spans"].as_array().unwrap().clone());
    }
    let [recorded, health] = spans.as_slice() else { panic!("{spans:?}") };
    // Bytes are base64 there.
    assert_eq!(recorded["trace_id"], "CvdlGRbNQ92ESOshHIAxnA==");
    assert_eq!(recorded["parent_span_id"], "t61rcWkgMzE=");
    assert_eq!(
        (recorded["name"].as_str(), recorded["kind"].as_str()),
        (Some("POST /v1/events"), Some("SPAN_KIND_SERVER"))
    );
    let facts = attributes(recorded);
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/v1/events"),
        ("http.response.status_code", "207"),
        ("waag.events.recorded", "1"),
        ("waag.events.refused", "1"),
        ("client.address", "127.0.0.1"),
        ("waag.tenant", "default"),
    ] {
        assert_eq!(facts[name], value, "{name}: {facts:?}");
    }
    let nanos = |name: &str| recorded[name].as_str().unwrap().parse::<u64>().unwrap();
    assert!(nanos("end_time_unix_nano") > nanos("start_time_unix_nano"));
    assert!(health.get("parent_span_id").is_none() && health["name"] == "GET /healthz", "{health}");
    // Figures: the newest message has what the page has.
    check_figures(&read(&folder, "metrics", of("/v1/metrics").last().unwrap()));
}

fn check_figures(told: &Value) {
    let metrics = told["resource_metrics"][0]["scope_metrics"][0]["metrics"].as_array().unwrap().clone();
    let metric = |name: &str| metrics.iter().find(|metric| metric["name"] == name).unwrap();
    let requests = &metric("waag_http_requests")["sum"];
    assert_eq!(
        (requests["is_monotonic"].as_bool(), requests["aggregation_temporality"].as_str()),
        (Some(true), Some("AGGREGATION_TEMPORALITY_CUMULATIVE"))
    );
    let durations = metric("waag_http_request_duration_seconds");
    assert_eq!(durations["unit"], "s");
    let point = &durations["histogram"]["data_points"][0];
    let counts = point["bucket_counts"].as_array().unwrap();
    assert_eq!(counts.len(), point["explicit_bounds"].as_array().unwrap().len() + 1);
    let sum: u64 = counts.iter().map(|count| count.as_str().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(point["count"], sum.to_string());
    let entries = metric("waag_ledger_entries")["gauge"]["data_points"][0]["as_int"].as_str().unwrap();
    assert!(entries.parse::<u64>().unwrap() >= 2, "{entries}");
    assert_eq!(metric("process_resident_memory_bytes")["unit"], "By");
    assert!(metric("waag_telemetry_spans")["sum"].is_object());
}

#[test]
fn the_metrics_page_is_openmetrics_with_figures_of_every_part_needs_prometheus_client() {
    let folder = Folder::with_store();
    let secret = key(&folder, &[]);
    folder.run(&["plan", "set", "standard", "--read", "1/1"]).exits(0);
    let node = Node::serve(&folder);
    let page = |node: &Node| {
        let answer = ask(node.listen, "GET", "/metrics", &[], "").unwrap();
        assert!(
            answer.head.contains("content-type: application/openmetrics-text; version=1.0.0"),
            "{answer:?}"
        );
        read(&folder, "openmetrics", answer.body.as_bytes())
    };
    // Also before there is anything to tell.
    page(&node);
    for id in ["a", "b", "a"] {
        assert_eq!(node.post(&secret, ONE, &invoice(id, "ingestion", id)).status, 200);
    }
    assert_eq!(node.post(&secret, ONE, "{}").status, 400);
    assert_eq!(node.post("x", ONE, "{}").status, 401);
    let to = node.listen;
    let burst = at_once(|_| ask(to, "GET", "/v1/ledger", &[("x-api-key", &secret)], "").unwrap());
    let limited = burst.iter().filter(|answer| answer.status == 429).count();
    assert!(limited > 0, "{burst:?}");
    let families = within("read models that have everything", PATIENCE, || {
        let families = page(&node);
        let value = |name: &str| families[name]["samples"][0][2].as_f64();
        (value("waag_views_lag") == Some(0.0) && value("waag_views_entries") == value("waag_ledger_entries"))
            .then_some(families)
    });
    let sample = |family: &str, labels: Value| {
        let samples = families[family]["samples"].as_array().unwrap();
        let found = samples.iter().find(|sample| sample[1] == labels);
        found.unwrap_or_else(|| panic!("{family} {labels}: {samples:?}"))[2].as_f64().unwrap()
    };
    let none = serde_json::json!({});
    for (family, labels, expected) in [
        ("waag_events", serde_json::json!({"outcome": "recorded"}), 2.0),
        ("waag_events", serde_json::json!({"outcome": "before"}), 1.0),
        ("waag_http_refused", serde_json::json!({"code": "E0903"}), 1.0),
        ("waag_http_limited", serde_json::json!({"limit": "key_rate"}), limited as f64),
        ("waag_http_limited", serde_json::json!({"limit": "node_rate"}), 0.0),
        ("waag_http_requests", serde_json::json!({"route": "/v1/events", "status": "2xx"}), 3.0),
        ("waag_ledger_unguarded", none.clone(), 0.0),
        ("waag_writer_halted", none.clone(), 0.0),
        ("waag_intake_waiting", none.clone(), 0.0),
        ("waag_access_log_dropped", none.clone(), 0.0),
    ] {
        assert_eq!(sample(family, labels.clone()), expected, "{family} {labels}");
    }
    for family in [
        "waag_ledger_commits",
        "waag_ledger_checkpoint_age_seconds",
        "waag_log_bytes",
        "waag_identity_entries",
        "waag_views_batches",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "waag_disk_free_bytes",
    ] {
        assert!(sample(family, none.clone()) > 0.0, "{family}");
    }
    let buckets = families["waag_http_request_duration_seconds"]["samples"].as_array().unwrap();
    let of_events = buckets.iter().filter(|sample| sample[1]["route"] == "/v1/events");
    assert!(of_events.count() >= 15, "a histogram for each route");
    assert!(node.terminate().success());
}
