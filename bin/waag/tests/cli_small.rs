//! Options that would have no effect are refused, and what was made or erased is told, through the real program.

#[expect(dead_code, reason = "shared with other tests")]
mod common;

use common::Folder;

#[test]
fn the_tour_has_no_answer_in_json_and_says_so() {
    let folder = Folder::new();
    let refused = folder.run(&["tour", "--json"]).exits(2).json();
    assert_eq!(refused["error"]["code"], "E0700", "{refused}");
    assert!(!folder.path("waag-tour").exists(), "nothing was made");
    assert!(!folder.run(&["tour", "--help"]).exits(0).out.contains("--json"));
}

#[test]
fn how_to_send_to_a_collector_is_refused_without_one_unless_a_variable_says_it() {
    let folder = Folder::new();
    for option in [
        ["--otlp-headers", "a=b"],
        ["--otlp-certificate", "x.pem"],
        ["--otlp-metrics-ms", "1000"],
        ["--otlp-share", "0.5"],
        ["--otlp-attributes", "a=b"],
        ["--otlp-service", "w"],
        ["--otlp-timeout-ms", "500"],
    ] {
        let refused = folder.run(&[&["serve", "--json"], &option[..]].concat()).exits(2).json();
        assert_eq!(refused["error"]["code"], "E0700", "{option:?}: {refused}");
        assert!(refused["error"]["reason"].as_str().unwrap().contains(option[0]), "{refused}");
        let empty = folder.run(&[&["serve", "--json", "--otlp-endpoint", ""], &option[..]].concat());
        assert_eq!(empty.exits(2).json()["error"]["code"], "E0700", "{option:?}");
    }
    assert!(!folder.path("waag-data").exists(), "nothing was made");
    // An address that is none of this machine's, so that the node ends at once.
    let mut command = folder.command(&["serve", "--json", "--listen", "192.0.2.1:1"]);
    let told = command.env("OTEL_SERVICE_NAME", "other").env("OTEL_RESOURCE_ATTRIBUTES", "a=b").output();
    let told = String::from_utf8(told.unwrap().stdout).unwrap();
    assert!(!told.contains("E0700") && told.contains("\"error\""), "{told}");
}

#[test]
fn keys_are_told_when_a_store_is_made_and_left_out_where_it_is_there() {
    let folder = Folder::new();
    let made = folder.run(&["init", "--json"]).exits(0).json();
    assert_eq!(made["keys"].as_array().unwrap().len(), 1, "{made}");
    let again = folder.run(&["init", "--json"]).exits(0).json();
    assert_eq!((&again["created"], again.get("keys")), (&false.into(), None), "{again}");
}
