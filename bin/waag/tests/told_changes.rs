//! API keys, usage plans, the node's rate and the invoices' rules: what is in force and what the ledger tells are the same,
//! wherever the program is killed.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

#[expect(dead_code, reason = "shared with other tests")]
mod common;
mod kill_support;

use std::collections::{BTreeMap, BTreeSet};

use common::{Folder, event};
use kill_support::{copy_of, killed_at};
use serde_json::{Value, json};
use waag::node::plans::{Asked, PlansError, carry_out, load};
use waag::node::rules::{self, RULES_BYTES_MAX, RulesError};
use waag::store::options::Options;
use waag::store::place::Place;
use waag::store::writer::{OpenedStore, open_writer};
use waag_http::limit::{Plan, Rate};
use waag_invoices::config::Config;
use waag_model::ids::{Actor, TenantName};

/// What is struck: the state's commits, and the frame with the event. Calls are counted for each thread.
const STRIKES: [(&str, &str); 2] = [
    ("fsync", "waag-data.state/default/state.db-wal"),
    ("pwrite64", "waag-data/default/log/00000000000000000000.seg"),
];

/// What is in force, or what the ledger says is: keys with their plans, plans, the node's rate, the rules.
#[derive(Debug, Default, PartialEq)]
struct Stand {
    keys: BTreeMap<String, String>,
    plans: BTreeMap<String, Value>,
    node: Value,
    rules: Value,
}

/// The limits of a plan in an answer or in an event, those that it has.
fn limits(told: &Value) -> Value {
    let named = |name: &&str| told.get(*name).is_some_and(|limit| !limit.is_null());
    let all = ["all", "read", "write", "events_per_day"];
    all.iter().filter(|name| named(name)).map(|name| ((*name).to_owned(), told[*name].clone())).collect()
}

fn in_force(folder: &Folder) -> Stand {
    let lines = |asked: &[&str]| folder.run(&[asked, &["--json"]].concat()).exits(0).lines();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let plans = lines(&["plan", "list"]).into_iter().filter(|plan| plan["name"] != "standard");
    Stand {
        keys: lines(&["key", "list"]).iter().map(|key| (text(&key["id"]), text(&key["plan"]))).collect(),
        plans: plans.map(|plan| (text(&plan["name"]), limits(&plan))).collect(),
        node: limits(&lines(&["plan", "node"])[0]),
        rules: lines(&["rules", "show"])[0]["rules"].clone(),
    }
}

/// What the ledger's events come to, and how many of them there are.
fn told(folder: &Folder) -> (Stand, usize) {
    let mut stand = Stand { node: json!({}), ..Stand::default() };
    let own = folder.run(&["rules", "show", "--json"]).exits(0).json();
    let mut rules = None;
    let (mut count, mut ids) = (0, BTreeSet::new());
    for line in folder.run(&["read", "--json"]).exits(0).lines() {
        let data = &line["event"]["data"];
        let text = |name: &str| data[name].as_str().unwrap().to_owned();
        match line["type"].as_str().unwrap() {
            "waag.apikey.created" => assert!(stand.keys.insert(text("key_id"), text("plan")).is_none()),
            "waag.apikey.withdrawn" => assert!(stand.keys.remove(&text("key_id")).is_some()),
            "waag.plan.assigned" => drop(stand.keys.insert(text("key_id"), text("plan"))),
            "waag.plan.set" => drop(stand.plans.insert(text("plan"), limits(data))),
            "waag.plan.removed" => assert!(stand.plans.remove(&text("plan")).is_some()),
            "waag.plan.node" => stand.node = limits(data),
            "waag.invoice-rules.set" => rules = Some(serde_json::from_str(&text("rules")).unwrap()),
            _ => continue,
        }
        count += 1;
        assert!(ids.insert(line["event"]["id"].to_string()), "{line}");
    }
    // Where the ledger tells of no rules, the program's own are in force.
    assert!(rules.is_some() || own["set"] == false, "{own}");
    stand.rules = rules.unwrap_or_else(|| own["rules"].clone());
    (stand, count)
}

#[test]
fn needs_strace_what_is_in_force_and_what_the_ledger_tells_agree_wherever_a_change_is_killed() {
    let whole = Folder::with_store();
    whole.write("rules", r#"{"learned_days": 7}"#);
    let id = whole.run(&["key", "create", "--json"]).exits(0).json()["id"].as_str().unwrap().to_owned();
    for set in ["gold", "free"] {
        whole.run(&["plan", "set", set, "--write", "1/1"]).exits(0);
    }
    let (before, events) = told(&whole);
    assert_eq!((in_force(&whole), events), (before, 3));
    for asked in [
        &["key", "create", "--plan", "gold"][..],
        &["key", "withdraw", &id],
        &["plan", "set", "gold", "--write", "2/2"],
        &["plan", "assign", "gold", &id],
        &["plan", "remove", "free"],
        &["plan", "node", "--rate", "5/5"],
        &["rules", "set", "rules"],
    ] {
        let (mut broken, mut done) = (0, 0);
        for (calls, file) in STRIKES {
            for nth in 1..20 {
                let folder = copy_of(&whole);
                if !killed_at(&folder, asked, calls, &[file], nth) {
                    break;
                }
                broken += 1;
                folder.feed(&["append"], event(1).as_bytes()).exits(0);
                let (stand, told_now) = told(&folder);
                assert_eq!(in_force(&folder), stand, "{asked:?} {calls} {nth}");
                assert!((events..=events + 1).contains(&told_now), "told twice: {asked:?} {calls} {nth}");
                done += told_now - events;
            }
        }
        assert!(broken >= 4 && (1..broken).contains(&done), "{asked:?}: {done} of {broken}");
    }
}

fn opened(folder: &Folder) -> OpenedStore {
    let place = Place::new(&folder.path("waag-data"), None, TenantName::new("default").unwrap()).unwrap();
    open_writer(&place, &Options::default(), &mut |_, _| {}).unwrap()
}

#[test]
fn what_cannot_be_told_is_not_done() {
    let folder = Folder::with_store();
    let store = opened(&folder);
    let (keys, plans) = (waag::node::api_keys::load(&store).unwrap(), load(&store).unwrap());
    let rate = Rate { per_s: 1, burst: 1 };
    let allows = Plan { all: Some(rate), ..Plan::default() };
    for asked in [
        Asked::Set { by: String::new(), name: "gold".to_owned(), allows },
        Asked::Limit { by: String::new(), rate: Some(rate) },
    ] {
        let refused = carry_out(&store, &keys, &plans, &asked).unwrap_err();
        assert!(matches!(refused, PlansError::Name(_)), "{refused:?}");
    }
    assert_eq!((plans.list().len(), plans.node()), (1, None));
}

#[test]
fn rules_as_long_as_a_record_of_the_state_allows_are_set_and_longer_ones_change_nothing() {
    let folder = Folder::with_store();
    let store = opened(&folder);
    let by = Actor::new("test").unwrap();
    // As long as activities make them; the text is as the program writes it.
    let of = |bytes: usize| {
        let mut config = Config { received_activities: vec!["a".to_owned()], ..Config::default() };
        let left = |config: &Config| bytes - serde_json::to_string(config).unwrap().len();
        while left(&config) >= 107 {
            config.received_activities.push("a".repeat(100));
        }
        let last = left(&config) - r#","""#.len();
        config.received_activities.push("a".repeat(last));
        assert_eq!(left(&config), 0);
        config
    };
    let most = of(RULES_BYTES_MAX);
    rules::set(&store, &by, Some(&most)).unwrap();
    let refused = rules::set(&store, &by, Some(&of(RULES_BYTES_MAX + 1)));
    assert!(matches!(refused, Err(RulesError::TooLong(_))), "{refused:?}");
    assert_eq!(rules::set_ones(&store.keyring).unwrap(), Some(most));
    rules::set(&store, &by, None).unwrap();
    assert_eq!(rules::set_ones(&store.keyring).unwrap(), None);
}
