//! Other people's library as the receiver: what is sent verifies with the one of the specification's own project.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![expect(unreachable_pub, reason = "shared with other tests")]

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use waag_router::target::{Class, Outcome};
use waag_webhook::secret::Secret;

#[expect(dead_code, reason = "shared with other tests")]
mod support;
use support::{JSON, PATIENCE, deliver, delivery, failed, here, pool, runtime, secret};

const OTHER: &str = "{\"text\":\"Çelik & Söhne 🧾\"}";

/// `testing/outside/webhook_receiver.py`, ended with the test.
struct Outside {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Outside {
    fn start(secret: &Secret) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let python = root.join(target).join("needs/bin/python");
        assert!(python.is_file(), "{} is not there; `cargo xtask test` brings it", python.display());
        let mut child = Command::new(python)
            .arg(root.join("testing/outside/webhook_receiver.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("WAAG_WEBHOOK_SECRET", secret.reveal().as_str())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.next().unwrap().unwrap();
        Self { child, lines, url }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn the_library_of_standard_webhooks_verifies_what_is_sent_needs_standardwebhooks() {
    let runtime = runtime();
    let pool = pool(&runtime);
    let (old, new) = (secret(), secret());
    let id = format!("{}-41", "ab".repeat(16));
    let mut transformed = delivery(PATIENCE);
    transformed.transformed = Some(Arc::from(OTHER.as_bytes()));
    // While a secret is being replaced, receivers that know either verify.
    for known in [&old, &new] {
        let mut outside = Outside::start(known);
        let webhook = pool.webhook(&outside.url, vec![new.clone(), old.clone()], here()).unwrap();
        for (delivery, length) in [(delivery(PATIENCE), JSON.len()), (transformed.clone(), OTHER.len())] {
            let content =
                if delivery.transformed.is_some() { "json" } else { "cloudevents+json; charset=utf-8" };
            assert_eq!(deliver(&webhook, delivery), Outcome::Delivered(Some(204)));
            assert_eq!(outside.line(), format!("verified {id} {length} bytes of application/{content}"));
        }
        let stranger = pool.webhook(&outside.url, vec![secret()], here()).unwrap();
        let failure = failed(deliver(&stranger, delivery(PATIENCE)));
        assert_eq!((failure.class, failure.status), (Class::Transient, Some(401)));
        assert_eq!(failure.response, "No matching signature found");
        assert_eq!(outside.line(), format!("refused {id}: No matching signature found"));
    }
}
