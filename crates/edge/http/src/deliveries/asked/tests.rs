//! What is taken of bodies and queries, and what is not.

use super::*;

const PULL: &str = r#"{"name":"a-1","target":{"kind":"pull"}}"#;

fn made(spec: &str) -> Result<Spec, String> {
    let body = format!(r#"{{"subscription":{spec}}}"#);
    subscription(body.as_bytes()).map(|(spec, _)| spec).map_err(|fault| fault.path)
}

#[test]
fn a_subscription_is_read_from_its_text_and_nothing_in_it_is_ignored() {
    assert_eq!(made(PULL).unwrap().name, "a-1");
    let whole = r#"{"name":"a","description":"d","pattern":{"type":["x"], "n":[{"numeric":[">",1e300]}]},
        "target":{"kind":"webhook","url":"https://a.example/"},"key":"/data/id","concurrency":1,"timeout_ms":100,
        "retry":{"attempts_max":1},"on_failure":"skip","start":{"position":5},"priority":0}"#;
    assert!(made(whole).unwrap().pattern.unwrap().get().contains("\"type\":[\"x\"], \"n\""));
    for (spec, path) in [
        (r#"["a-1","",null,{"kind":"pull"}]"#, "/subscription"),
        (r#"{"name":"a","target":{"kind":"pull"},"retry":[]}"#, "/subscription/retry"),
        (r#"{"name":"a","target":["pull"]}"#, "/subscription/target"),
        (r#"{"name":"a","target":{"kind":"pull"},"start":{"position":5,"x":1}}"#, "/subscription/start/x"),
        (
            r#"{"name":"a","target":{"kind":"pull"},"start":{"position":5,"time_ns":1}}"#,
            "/subscription/start/time_ns",
        ),
        (r#"{"name":"a","target":{"kind":"pull"},"start":[5]}"#, "/subscription/start"),
        (r#"{"name":"a","target":{"kind":"pull","url":"x"}}"#, "/subscription"),
        (r#"{"name":"a","target":{"kind":"pull"},"pattern":{"type":"x"}}"#, "/subscription/pattern/type"),
        (r#"{"name":"A","target":{"kind":"pull"}}"#, "/subscription"),
        ("null", "/subscription"),
    ] {
        let refused = made(spec).unwrap_err();
        // Where the reader of subscriptions refuses it by itself, it names the whole.
        assert!(refused == path || refused == "/subscription", "{spec}: {refused}");
    }
    assert_eq!(
        made(r#"{"name":"a","target":{"kind":"pull"},"pattern":{"type":"x"}}"#).unwrap_err(),
        "/subscription/pattern/type"
    );
}

#[test]
fn a_body_is_an_object_of_known_members() {
    let codes = [
        &b"[1]"[..],
        b"",
        b"{}",
        b"null",
        br#"{"subscription":{"name":"a","target":{"kind":"pull"}},"other":1}"#,
        br#"{"subscription":1,"subscription":2}"#,
    ];
    for body in codes {
        assert!(subscription(body).is_err(), "{}", String::from_utf8_lossy(body));
    }
    assert!(pause(br#"["because"]"#).is_err() && pause(br#"{"reason":""}"#).is_err());
    assert_eq!(pause(br#"{"reason":"because"}"#).unwrap(), "because");
    let long = |chars: usize| pause(format!(r#"{{"reason":"{}"}}"#, "é".repeat(chars)).as_bytes());
    assert!(long(REASON_CHARS_MAX).is_ok() && long(REASON_CHARS_MAX + 1).is_err());
    assert!(pause(br#"{"reason":" \u0001\u00a0"}"#).is_err(), "a reason tells something");
}

#[test]
fn a_secret_is_never_quoted() {
    for secret in ["12345678", "[\"12345678\"]", "\"\"", "{\"12345678\":1}", "true"] {
        let body = format!(r#"{{"subscription":{PULL},"secret":{secret}}}"#);
        let fault = subscription(body.as_bytes()).unwrap_err();
        assert_eq!(fault.path, "/secret");
        assert!(!fault.to_string().contains("12345678"), "{fault}");
    }
    let body = format!(r#"{{"subscription":{PULL},"secret":"whsec_x"}}"#);
    assert_eq!(*subscription(body.as_bytes()).unwrap().1.unwrap().0, "whsec_x");
    assert!(secret(b"{}").unwrap().is_none() && secret(br#"{"secret":null}"#).unwrap().is_none());
}

#[test]
fn a_change_keeps_the_name() {
    let body = format!(r#"{{"subscription":{PULL}}}"#);
    assert!(change(body.as_bytes(), "a-1").is_ok());
    assert_eq!(change(body.as_bytes(), "a-2").unwrap_err().path, "/subscription/name");
    let says = |start: &str| {
        let spec = format!(r#"{{"name":"a-1","target":{{"kind":"pull"}}{start}}}"#);
        change(format!(r#"{{"subscription":{spec}}}"#).as_bytes(), "a-1").unwrap().says_start
    };
    assert!(says(r#","start":"now""#) && !says(""));
}

#[test]
fn answers_are_objects_and_within_their_limits() {
    let read = |text: &str| answers(format!(r#"{{"answers":{text}}}"#).as_bytes());
    let good = r#"[{"answer":"acknowledge","lease":"a"},{"answer":"extend","lease":"b"},
        {"answer":"reject","lease":"c","terminal":true,"retry_after_ms":86400000,"reason":"r"}]"#;
    assert_eq!(read(good).unwrap().len(), 3);
    for bad in [
        "[]",
        "{}",
        r#"[["acknowledge","a"]]"#,
        r#"[{"answer":"acknowledge"}]"#,
        r#"[{"answer":"acknowledge","lease":""}]"#,
        r#"[{"answer":"acknowledge","lease":"a","reason":"r"}]"#,
        r#"[{"answer":"reject","lease":"a","retry_after_ms":86400001}]"#,
        r#"[{"answer":"other","lease":"a"}]"#,
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
    let many = |count: usize| format!("[{}]", vec![r#"{"answer":"extend","lease":"a"}"#; count].join(","));
    assert!(read(&many(ANSWERS_MAX)).is_ok() && read(&many(ANSWERS_MAX + 1)).is_err());
}

#[test]
fn a_job_on_dead_letters_names_its_filter() {
    let all = letters_job(br#"{"filter":{}}"#, false).unwrap();
    assert_eq!((all.filter, all.rate, all.dry_run), (Filter::default(), RATE_DEFAULT, false));
    let one =
        letters_job(br#"{"filter":{"from":1,"to":2},"rate":1,"reason":"r","dry_run":true}"#, false).unwrap();
    assert_eq!((one.filter, one.rate, one.reason.as_str(), one.dry_run), (Filter::one(1), 1, "r", true));
    for bad in [
        "{}",
        r#"{"filter":[]}"#,
        r#"{"filter":null}"#,
        r#"{"filter":{"x":1}}"#,
        r#"{"filter":{"code":"1134"}}"#,
        r#"{"filter":{"class":"other"}}"#,
        r#"{"filter":{"key":"00"}}"#,
        r#"{"filter":{"kind":""}}"#,
        r#"{"filter":{},"rate":0}"#,
        r#"{"filter":{},"rate":100001}"#,
    ] {
        assert!(letters_job(bad.as_bytes(), false).is_err(), "{bad}");
    }
    assert!(letters_job(br#"{"filter":{}}"#, true).is_err(), "discarding takes a reason");
    assert!(letters_job(br#"{"filter":{},"reason":"r"}"#, true).is_ok());
    assert!(letters_job(br#"{"filter":{},"reason":"r","rate":5}"#, true).is_err());
}

#[test]
fn a_replay_has_its_limits() {
    assert_eq!(replay(br#"{"from":1,"rate":100000}"#).unwrap().from, Some(1));
    assert!(replay(br#"{"pattern":{"type":["x"]}}"#).unwrap().pattern.is_some());
    assert_eq!(replay(br#"{"rate":null}"#).unwrap().rate, None, "as if it were not there");
    for bad in ["[]", r#"{"rate":100001}"#, r#"{"x":1}"#, r#"{"from":-1}"#] {
        assert!(replay(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn a_query_is_read_strictly_and_others_parameters_are_left_alone() {
    assert_eq!(Pull::of("").unwrap(), Pull { most: PULL_DEFAULT, wait: Duration::ZERO });
    let most = Pull::of("wait_ms=60000&&max=1000").unwrap();
    assert_eq!(most, Pull { most: 1_000, wait: Duration::from_secs(60) });
    for bad in [
        "max=0",
        "max=1001",
        "max=01",
        "max=",
        "max=+1",
        "max=1&max=1",
        "max=1.0",
        "m%61x=x",
        "wait_ms=60001",
        "wait=20000",
        "max=1&other",
        "%ff=1",
    ] {
        assert!(Pull::of(bad).is_err(), "{bad}");
    }
    let unknown = Pull::of("wait=20000").unwrap_err();
    assert_eq!(unknown.kind.code(), "E0919");
    assert!(unknown.to_string().contains("`wait`"), "{unknown}");
    assert!(no_query("").is_ok() && no_query("a=1").is_err());
    let (filter, page) =
        letters("kind=invoice.%20a+b&since_ns=-5&from=3&code=E0001&class=gone&after=9&max=500").unwrap();
    assert_eq!(
        (filter.kind.as_deref(), filter.since_ns, filter.from),
        (Some("invoice. a b"), Some(-5), Some(3))
    );
    assert_eq!(page, Page { after: Some(9), most: 500 });
    for bad in
        ["since_ns=-0", "from=-1", "kind=%ff", "kind=%2", "kind=%+1", "kind=", "max=501", "class=x", "key=zz"]
    {
        assert!(letters(bad).is_err(), "{bad}");
    }
    assert_eq!(reason("reason=no%20longer").unwrap(), "no longer");
    assert!(reason("").is_err() && reason("reason=").is_err());
    assert_eq!(Page::of_names("after=a-1&max=1").unwrap(), Page { after: Some("a-1".to_owned()), most: 1 });
    assert!(Page::of_names("after=A").is_err() && Page::of_names("max=101").is_err());
}
