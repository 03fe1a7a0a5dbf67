//! `waag demo`: prints an address, a key and a line for curl that works, ends in order, and goes on in the same folder.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use waag::demo::traffic::Traffic;
use waag::demo::unfinished;
use waag::store::options::Options;
use waag::store::place::Place;
use waag::store::reader::open_reader;
use waag_model::ids::TenantName;

use crate::common::Folder;
use crate::support::{Answer, PATIENCE, Process, ask, within};

/// A running demonstration and what it printed.
struct Demo {
    process: Process,
    said: String,
}

impl Demo {
    fn start(folder: &Folder) -> Self {
        let arguments = ["demo", "--invoices", "200", "--rate", "50", "--folder", "demo"];
        let ports = ["--listen", "127.0.0.1:0", "--pages", "127.0.0.1:0"];
        let process = Process::start(folder.command(&[&arguments[..], &ports].concat()));
        let mut said = String::new();
        while !said.contains("Ctrl-c") {
            said += &(process.line() + "\n");
        }
        Self { process, said }
    }

    /// How many entries it said there are.
    fn entries(&self) -> u64 {
        self.said.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// What stands behind a word at a line's beginning.
    fn behind(&self, word: &str) -> &str {
        self.said.lines().find_map(|line| line.strip_prefix(word)).unwrap().trim()
    }

    fn pages(&self) -> SocketAddr {
        self.behind("Open").strip_prefix("http://").unwrap().trim_end_matches('/').parse().unwrap()
    }

    /// Does what the printed line does in a shell.
    fn curl(&self) -> Answer {
        let (_, line) = self.said.split_once("Send   curl -s ").unwrap();
        let (url, rest) = line.split_once(' ').unwrap();
        let (to, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        // Between the quotation marks, in turn: an option behind which they stand, what is in them.
        let mut quoted = rest.split('\'');
        let (mut headers, mut body) = (Vec::new(), String::new());
        while let (Some(before), Some(within)) = (quoted.next(), quoted.next()) {
            match before.split_whitespace().next_back() {
                Some("-H") => headers.push(within.split_once(": ").unwrap()),
                Some("-d") => body = within.to_owned(),
                other => panic!("{other:?} in {line}"),
            }
        }
        ask(to.parse().unwrap(), "POST", &format!("/{path}"), &headers, &body).unwrap()
    }

    fn end(mut self) {
        self.process.signal(rustix::process::Signal::TERM);
        assert_eq!(self.process.ended().code(), Some(0));
    }
}

#[test]
fn the_demonstration_does_what_it_says_and_goes_on_in_its_folder() {
    let folder = Folder::new();
    let demo = Demo::start(&folder);
    let first = demo.entries();
    assert!(first >= 600, "{}", demo.said);
    let key = demo.behind("Key").to_owned();
    assert!(demo.said.contains(&format!("x-api-key: {key}")), "{}", demo.said);
    let sent = demo.curl();
    assert_eq!((sent.status, sent.json()["status"].as_str()), (200, Some("recorded")), "{sent:?}");
    let see = demo.behind("See").strip_prefix("http://").unwrap().to_owned();
    let (_, path) = see.split_once('/').unwrap();
    let pages = demo.pages();
    within("the sent invoice on its page", PATIENCE, || {
        let page = ask(pages, "GET", &format!("/{path}"), &[], "").unwrap();
        (page.status == 200 && page.body.contains("Hello BV")).then_some(())
    });
    for path in ["/", "/operations", "/cash"] {
        assert_eq!(ask(pages, "GET", path, &[], "").unwrap().status, 200, "{path}");
    }
    demo.end();
    let demo = Demo::start(&folder);
    assert!(demo.entries() > first, "it goes on: {} after {first}", demo.entries());
    assert_eq!(demo.curl().json()["status"], "before");
    demo.end();
    folder.run(&["--data", "demo/data", "verify"]).exits(0);
    folder.run(&["--data", "demo/data", "views", "check"]).exits(0);
    // A power loss may leave the note of how far the firm was without its text.
    folder.write("demo/traffic", "");
    Demo::start(&folder).end();
}

#[test]
fn a_demonstration_killed_while_it_makes_its_store_goes_on() {
    let folder = Folder::new();
    folder.run(&["--data", "demo/data", "init", "--origin", "waag-demo"]).exits(0);
    // As it is before the log is made: the note of what is to come, the state without a guard, and no data folder.
    std::fs::remove_dir_all(folder.path("demo/data")).unwrap();
    std::fs::remove_file(folder.path("demo/data.state/default/guard")).unwrap();
    let plan = waag::demo::traffic::Plan {
        seed: 7,
        invoices: 200,
        end: waag_model::time::UtcNanos(1_790_000_000_000_000_000),
    };
    unfinished::begin(&folder.path("demo"), &plan).unwrap();
    let demo = Demo::start(&folder);
    assert!(demo.entries() >= 600, "{}", demo.said);
    demo.end();
}

#[test]
fn a_demonstration_killed_while_it_makes_its_history_has_all_of_it_after_the_next_start() {
    let folder = Folder::new();
    let arguments = ["demo", "--invoices", "3000", "--rate", "0", "--folder", "demo"];
    let ports = ["--listen", "127.0.0.1:0", "--pages", "127.0.0.1:0"];
    let command = || folder.command(&[&arguments[..], &ports].concat());
    let mut process = Process::start(command());
    let log = folder.path("demo/data/default/log");
    let has_begun = || {
        // The first frames: a segment is made whole, of zeros, so its length says nothing.
        let place = Place::new(&folder.path("demo/data"), None, TenantName::new("default").unwrap()).unwrap();
        let opened = log.is_dir().then(|| open_reader(&place, &Options::default()).ok()).flatten();
        opened.is_some_and(|store| store.checkpoint.checkpoint().size > 50).then_some(())
    };
    within("a history under way", PATIENCE, has_begun);
    process.kill();
    let plan =
        unfinished::read(&folder.path("demo")).unwrap().expect("it was killed too late to tell anything");
    let mut process = Process::start(command());
    while !process.line().contains("Ctrl-c") {}
    process.signal(rustix::process::Signal::TERM);
    assert_eq!(process.ended().code(), Some(0));
    assert_eq!(unfinished::read(&folder.path("demo")).unwrap(), None);
    let all: BTreeSet<String> = Traffic::new(&plan).map(|sent| sent.event.id.into_owned()).collect();
    let mut ids = BTreeSet::new();
    for line in folder.run(&["--data", "demo/data", "read"]).exits(0).lines() {
        let event = &line["event"];
        if event["type"].as_str().is_some_and(|kind| kind.starts_with("invoice.")) {
            assert!(ids.insert(event["id"].as_str().unwrap().to_owned()), "recorded twice: {event}");
        }
    }
    assert_eq!(ids.len(), all.len());
    assert_eq!(ids, all);
}
