//! Whose key opens which of the router's paths.

use serde_json::json;
use waag_http::keys::Role;

use crate::support::{self, key_for};
use crate::{PULL, Tried, answer, code, post, pull};

#[test]
fn a_key_for_named_subscriptions_opens_no_other() {
    let tried = Tried::open();
    let mut admin = tried.client(Role::Admin);
    for name in ["billing", "audit"] {
        assert_eq!(post(&mut admin, "/v1/subscriptions", &PULL.replace("billing", name)).status, 201);
    }
    tried.events.add("t", 1, "{}");
    let of = |names: &[&str]| {
        let mut client = tried.door.connect();
        client.key = key_for(&tried.door.keys, names);
        client
    };
    let (mut billing, mut both) = (of(&["billing"]), of(&["later", "audit", "billing"]));
    let leased = pull(&mut billing, 10);
    assert_eq!(leased.len(), 1);
    // Whether there is one of the name is not told, and a name within a name is another.
    for other in ["audit", "nobodys", "billin", "billing2"] {
        for path in ["pull?max=1", "answer"] {
            let got = post(&mut billing, &format!("/v1/subscriptions/{other}/{path}"), "{}");
            assert_eq!(code(&got), (403, "E0986"), "{other} {path}");
        }
    }
    assert_eq!(code(&post(&mut both, "/v1/subscriptions/later/pull?max=1", "")), (404, "E1131"));
    let got = post(&mut both, "/v1/subscriptions/audit/pull?max=1&wait_ms=5000", "");
    let theirs = got.body["events"][0]["lease"].clone();
    assert!(theirs.is_string(), "{got:?}");
    // A lease is its subscription's, whatever the path says.
    let got = answer(&mut billing, json!([{"answer": "acknowledge", "lease": theirs}]));
    assert_eq!(code(&got), (409, "E1134"));
    let got = answer(&mut billing, json!([{"answer": "acknowledge", "lease": leased[0]["lease"]}]));
    assert_eq!(got.status, 200, "{got:?}");
    for path in ["/v1/subscriptions", "/v1/subscriptions/billing", "/v1/ledger"] {
        assert_eq!(code(&billing.get(path)), (403, "E0904"), "{path}");
    }
}

#[test]
fn each_role_may_its_own_and_no_more() {
    let tried = Tried::open();
    let mut admin = tried.client(Role::Admin);
    assert_eq!(post(&mut admin, "/v1/subscriptions", PULL).status, 201);
    let reads = ["", "/billing", "/billing/dead-letters", "/billing/dead-letters/count"];
    let trial = r#"{"pattern":{"a":[1]},"event":{}}"#;
    for (role, lists, pulls, tries) in [
        (Role::Reader, true, false, true),
        (Role::Producer, false, false, true),
        (Role::Subscriber, false, true, false),
        (Role::Admin, true, true, true),
    ] {
        let mut client = tried.client(role);
        let expected = |may: bool| if may { 200 } else { 403 };
        for path in reads {
            let got = client.get(&format!("/v1/subscriptions{path}"));
            assert_eq!(got.status, expected(lists), "{role:?} {path}");
        }
        assert_eq!(client.get("/v1/delivery-jobs").status, expected(lists), "{role:?}");
        assert_eq!(
            post(&mut client, "/v1/subscriptions/billing/pull", "").status,
            expected(pulls),
            "{role:?}"
        );
        assert_eq!(post(&mut client, "/v1/patterns/test", trial).status, expected(tries), "{role:?}");
        if role != Role::Admin {
            for path in
                ["", "/billing/pause", "/billing/resume", "/billing/redrive", "/billing/rotate-secret"]
            {
                assert_eq!(
                    post(&mut client, &format!("/v1/subscriptions{path}"), "{}").status,
                    403,
                    "{role:?} {path}"
                );
            }
        }
    }
    let mut subscriber = tried.client(Role::Subscriber);
    for path in ["/v1/ledger", "/v1/events/0", "/v1/mappings/posting"] {
        assert_eq!(subscriber.get(path).status, 403, "{path}");
    }
    assert_eq!(subscriber.post("/v1/events", support::ONE, support::event("1", 1)).status, 403);
}
