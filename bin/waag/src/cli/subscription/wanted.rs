//! A subscription as flags or a file say it.
//!
//! Both end in the same reader, so that flags are checked like everything else.
//! Not here: what may stand in a subscription (`flow/router`).

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::value::RawValue;
use waag_pattern::Pattern;
use waag_pattern::limits::PATTERN_BYTES_MAX;
use waag_router::spec::{KeySpec, OnFailure, Retry, SPEC_BYTES_MAX, Spec, Start, TargetSpec};

use super::super::deliveries::which::time;
use super::super::failure::Failure;
use super::super::input::Input;

/// What may be said in flags; a file says it all.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Wanted {
    /// Deliver to this URL, by the Standard Webhooks specification
    #[arg(long, value_name = "URL", group = "target")]
    webhook: Option<String>,

    /// Keep events until the subscriber asks for them
    #[arg(long, group = "target")]
    pull: bool,

    /// Deliver to a subject of a NATS server with JetStream
    #[arg(long, num_args = 2, value_names = ["SERVER", "SUBJECT"], group = "target")]
    nats: Option<Vec<String>>,

    /// Which events: a file with a pattern (`waag pattern test` tries it); `-` is standard input
    #[arg(long, value_name = "FILE")]
    pattern: Option<PathBuf>,

    /// What keeps events in order among each other: `subject`, `none`, or a JSON Pointer such as `/data/invoice`
    #[arg(long, value_name = "KEY", value_parser = key)]
    key: Option<KeySpec>,

    /// What follows when an event is given up
    #[arg(long)]
    on_failure: Option<OnFailureName>,

    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Most attempts for one event
    #[arg(long, value_name = "N")]
    attempts: Option<u32>,

    /// How long one attempt, or a lease, may take, in milliseconds
    #[arg(long, value_name = "N")]
    timeout_ms: Option<u64>,

    /// Most keys that are delivered at the same time
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,

    /// Who goes first where there is more to do than time: 9 before 0
    #[arg(long, value_name = "N")]
    priority: Option<u8>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnFailureName {
    /// Later events of its key wait until it is redriven or discarded
    Park,
    /// Its key goes on without it
    Skip,
    /// The whole subscription stops
    Halt,
}

impl From<OnFailureName> for OnFailure {
    fn from(name: OnFailureName) -> Self {
        match name {
            OnFailureName::Park => Self::Park,
            OnFailureName::Skip => Self::Skip,
            OnFailureName::Halt => Self::Halt,
        }
    }
}

fn key(text: &str) -> Result<KeySpec, String> {
    let read = serde_json::from_value(serde_json::Value::from(text));
    read.map_err(|_| "is `subject`, `none` or a JSON Pointer such as `/data/invoice`".to_owned())
}

/// Where a subscription begins: a word, a position, or a time.
pub(super) fn start(text: &str) -> Result<Start, String> {
    match text {
        "now" => return Ok(Start::Now),
        "beginning" => return Ok(Start::Beginning),
        _ => {}
    }
    if let Ok(position) = text.parse() {
        return Ok(Start::Position(position));
    }
    time(text).map(Start::Time).map_err(|why| format!("is `now`, `beginning`, a position, or {why}"))
}

/// Reads a file with a pattern, which is refused here where it is none.
pub(in crate::cli) fn read_pattern(path: &Path) -> Result<Box<RawValue>, Failure> {
    let bytes = Input::of(path).up_to(PATTERN_BYTES_MAX)?;
    Pattern::parse(&bytes)?;
    serde_json::from_slice(&bytes).map_err(|error| Failure::usage(format!("`{}`: {error}", path.display())))
}

/// Reads a file with a whole subscription.
pub(super) fn read_spec(path: &Path) -> Result<Spec, Failure> {
    Ok(Spec::read(&Input::of(path).up_to(SPEC_BYTES_MAX)?)?)
}

/// The same, with its text as it stands in the file.
pub(super) fn read_spec_text(path: &Path) -> Result<(Spec, String), Failure> {
    let bytes = Input::of(path).up_to(SPEC_BYTES_MAX)?;
    let spec = Spec::read(&bytes)?;
    // What was read as JSON is UTF-8.
    Ok((spec, String::from_utf8_lossy(&bytes).into_owned()))
}

impl Wanted {
    /// The subscription of these flags.
    pub(super) fn made(&self, name: &str, start: Option<Start>) -> Result<Spec, Failure> {
        let target = self.target().ok_or_else(|| {
            Failure::usage(
                "where to is not said: --webhook URL, --pull, --nats SERVER SUBJECT, or --file FILE",
            )
        })?;
        // Read rather than built: what is not said gets the defaults of the one reader.
        let named = serde_json::json!({"name": name, "target": target});
        let mut spec: Spec =
            serde_json::from_value(named).map_err(|error| Failure::usage(error.to_string()))?;
        spec.start = start.unwrap_or_default();
        self.changed(spec)
    }

    /// A subscription with what these flags say in it.
    pub(super) fn changed(&self, mut spec: Spec) -> Result<Spec, Failure> {
        if let Some(target) = self.target() {
            spec.target = target;
        }
        if let Some(path) = &self.pattern {
            spec.pattern = Some(read_pattern(path)?);
        }
        let Self { key, on_failure, description, attempts, timeout_ms, concurrency, priority, .. } = self;
        spec.key = key.clone().unwrap_or(spec.key);
        spec.on_failure = on_failure.map_or(spec.on_failure, OnFailure::from);
        spec.description = description.clone().unwrap_or(spec.description);
        spec.retry = Retry { attempts_max: attempts.unwrap_or(spec.retry.attempts_max), ..spec.retry };
        spec.timeout_ms = timeout_ms.unwrap_or(spec.timeout_ms);
        spec.concurrency = concurrency.unwrap_or(spec.concurrency);
        spec.priority = priority.unwrap_or(spec.priority);
        Ok(Spec::read(spec.to_json().as_bytes())?)
    }

    fn target(&self) -> Option<TargetSpec> {
        match (&self.webhook, self.nats.as_deref(), self.pull) {
            (Some(url), _, _) => Some(TargetSpec::Webhook { url: url.clone() }),
            (None, Some([server, subject]), _) => {
                Some(TargetSpec::Nats { server: server.clone(), subject: subject.clone() })
            }
            (None, _, true) => Some(TargetSpec::Pull {}),
            (None, _, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_a_file_say_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (rule, file) = (folder.path().join("rule"), folder.path().join("file"));
        std::fs::write(&rule, "{\"type\":\n[\"t\"]}\n").unwrap();
        let wanted = Wanted {
            nats: Some(vec!["nats://h:4222".to_owned(), "a.b".to_owned()]),
            pattern: Some(rule),
            key: Some(key("/data/n").unwrap()),
            on_failure: Some(OnFailureName::Skip),
            attempts: Some(3),
            timeout_ms: Some(500),
            ..Wanted::default()
        };
        let spec = wanted.made("erp", Some(start("7").unwrap())).unwrap();
        std::fs::write(&file, spec.to_json()).unwrap();
        assert_eq!(read_spec(&file).unwrap(), spec);
        let by_file = r#"{"name":"erp","pattern":{"type":
["t"]},"target":{"kind":"nats","server":"nats://h:4222","subject":"a.b"},"key":"/data/n","timeout_ms":500,
            "retry":{"attempts_max":3},"on_failure":"skip","start":{"position":7}}"#;
        assert_eq!(Spec::read(by_file.as_bytes()).unwrap(), spec);
        // What is not said stays.
        let more = Wanted { pull: true, ..Wanted::default() }.changed(spec).unwrap();
        assert_eq!(
            (more.target, more.key, more.retry.attempts_max),
            (TargetSpec::Pull {}, KeySpec::Pointer("/data/n".to_owned()), 3)
        );
    }

    #[test]
    fn flags_are_refused_with_the_codes_of_what_is_wrong() {
        let code = |wanted: Wanted, name: &str| wanted.made(name, None).unwrap_err().code;
        let pull = || Wanted { pull: true, ..Wanted::default() };
        assert_eq!(code(Wanted::default(), "a"), "E0700");
        assert_eq!(code(pull(), "A"), "E1130");
        assert_eq!(code(Wanted { attempts: Some(0), ..pull() }, "a"), "E1130");
        assert_eq!(code(Wanted { webhook: Some("ftp://x".to_owned()), ..Wanted::default() }, "a"), "E1130");
        let folder = tempfile::tempdir().unwrap();
        let rule = folder.path().join("rule");
        assert_eq!(code(Wanted { pattern: Some(rule.clone()), ..pull() }, "a"), "E0701");
        std::fs::write(&rule, "{\"a\":[{\"nonsense\":1}]}").unwrap();
        assert!(code(Wanted { pattern: Some(rule), ..pull() }, "a").starts_with("E110"));
    }

    #[test]
    fn a_start_is_a_word_a_position_or_a_time() {
        for (text, read) in [
            ("now", Start::Now),
            ("beginning", Start::Beginning),
            ("0", Start::Position(0)),
            ("1970-01-02", Start::Time(waag_model::time::UtcNanos(86_400_000_000_000))),
        ] {
            assert_eq!(start(text), Ok(read));
        }
        for wrong in ["", "later", "-1", "18446744073709551616"] {
            assert!(start(wrong).is_err(), "{wrong}");
        }
        assert!(key("subject").is_ok() && key("none").is_ok() && key("data").is_err() && key("").is_err());
    }
}
