//! What a subscription is: which events, to where, in which order, and what follows from failures.
//!
//! One JSON form, version 1, for the state, the API, the command line and the pages; read strictly (`SPEC-1`: nothing in
//! it is ignored, and what is read is written back equal).
//! Not here: secrets, which lie beside it, wrapped (`registry`); what a pattern means (`flow/pattern`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use waag_model::time::UtcNanos;
use waag_pattern::Pattern;

use crate::error::RouterError;
pub use crate::place::is_brokers_own;
use crate::transform::Transform;

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest description, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 1_024;
/// Longest JSON of a subscription, in bytes.
pub const SPEC_BYTES_MAX: usize = 48 * 1_024;
/// Most deliveries of one subscription under way at a time.
pub const CONCURRENCY_MAX: u32 = 1_024;
/// Most attempts that may be asked for.
pub const ATTEMPTS_MAX: u32 = 1_000;
/// Longest time that may be asked for between the first attempt and the last, in seconds.
pub const AGE_S_MAX: u64 = 30 * 86_400;
/// Longest delay between two attempts, in milliseconds.
pub const DELAY_MS_MAX: u64 = 24 * 3_600_000;
/// Longest time for one attempt, or for a lease, in milliseconds.
pub const TIMEOUT_MS_MAX: u64 = 12 * 3_600_000;
/// The highest priority.
pub const PRIORITY_MAX: u8 = 9;

/// Where a subscription's events go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TargetSpec {
    /// An HTTPS endpoint, by the Standard Webhooks specification.
    Webhook {
        /// Its URL; `http` only where the node allows it.
        url: String,
    },
    /// The subscriber asks for events, and acknowledges them.
    Pull {},
    /// A subject of a NATS server with JetStream.
    Nats {
        /// The server: `nats://host:port` or `tls://host:port`.
        server: String,
        /// The subject, which a stream takes.
        subject: String,
    },
    /// A handler in the same process, by name.
    InProcess {
        /// Its name.
        handler: String,
    },
}

impl TargetSpec {
    /// The name of its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Pull {} => "pull",
            Self::Nats { .. } => "nats",
            Self::InProcess { .. } => "in-process",
        }
    }

    /// Where it goes, in one line.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Webhook { url } => url.clone(),
            Self::Pull {} => "asked for by the subscriber".to_owned(),
            Self::Nats { server, subject } => format!("{server} {subject}"),
            Self::InProcess { handler } => handler.clone(),
        }
    }
}

/// What keeps events in order among each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeySpec {
    /// Events of the same subject; those without one are in no order.
    #[default]
    Subject,
    /// No order.
    None,
    /// Events with the same value at this place (RFC 6901) of their JSON; those without it are in no order.
    Pointer(String),
}

impl Serialize for KeySpec {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Subject => "subject",
            Self::None => "none",
            Self::Pointer(place) => place,
        })
    }
}

impl<'de> Deserialize<'de> for KeySpec {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "subject" => Ok(Self::Subject),
            "none" => Ok(Self::None),
            place if place.starts_with('/') && place.len() <= 1_024 => Ok(Self::Pointer(text)),
            _ => Err(serde::de::Error::custom(
                "a key is `subject`, `none` or a JSON Pointer such as `/data/invoice`",
            )),
        }
    }
}

/// What follows when an event is given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Later events of its key wait until it is redriven or discarded.
    #[default]
    Park,
    /// Its key goes on without it.
    Skip,
    /// The whole subscription stops; its key waits.
    Halt,
}

impl OnFailure {
    /// The name shown to people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Park => "park",
            Self::Skip => "skip",
            Self::Halt => "halt",
        }
    }
}

/// How often, and for how long, an event is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Most attempts; throttled ones are not counted.
    pub attempts_max: u32,
    /// Longest time from the first attempt on, in seconds.
    pub age_s_max: u64,
    /// The delay after the first attempt, in milliseconds; each further one is twice as long.
    pub delay_ms_min: u64,
    /// The longest delay, in milliseconds.
    pub delay_ms_max: u64,
}

impl Default for Retry {
    /// Twenty attempts within three days, from a second to six hours apart.
    fn default() -> Self {
        Self { attempts_max: 20, age_s_max: 3 * 86_400, delay_ms_min: 1_000, delay_ms_max: 6 * 3_600_000 }
    }
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With what is recorded from its creation on.
    #[default]
    Now,
    /// With the ledger's first event.
    Beginning,
    /// With the event at this position.
    Position(u64),
    /// With the first event committed at this time or later.
    Time(UtcNanos),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum StartForm {
    Word(String),
    Position { position: u64 },
    Time { time_ns: i64 },
}

impl Serialize for Start {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Now => StartForm::Word("now".to_owned()),
            Self::Beginning => StartForm::Word("beginning".to_owned()),
            Self::Position(position) => StartForm::Position { position },
            Self::Time(time) => StartForm::Time { time_ns: time.0 },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match StartForm::deserialize(deserializer)? {
            StartForm::Word(word) if word == "now" => Ok(Self::Now),
            StartForm::Word(word) if word == "beginning" => Ok(Self::Beginning),
            StartForm::Word(_) => Err(serde::de::Error::custom(
                "a start is `now`, `beginning`, {\"position\": N} or {\"time_ns\": nanoseconds since 1970}",
            )),
            StartForm::Position { position } => Ok(Self::Position(position)),
            StartForm::Time { time_ns } => Ok(Self::Time(UtcNanos(time_ns))),
        }
    }
}

/// A subscription as it is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name: lower-case letters, digits and hyphens, beginning with a letter.
    pub name: String,
    /// What it is for, in its owner's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Which events; every one that is not Waag's own where there is none. Waag's own (`waag.…`) must be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Box<RawValue>>,
    /// To where.
    pub target: TargetSpec,
    /// What is delivered instead of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<Transform>,
    /// In which order.
    #[serde(default)]
    pub key: KeySpec,
    /// Most keys that are delivered at the same time.
    #[serde(default = "concurrency")]
    pub concurrency: u32,
    /// How long one attempt, or a lease, may take, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// How often it is tried again.
    #[serde(default)]
    pub retry: Retry,
    /// What follows when an event is given up.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Where it begins.
    #[serde(default)]
    pub start: Start,
    /// Who goes first where there is more to do than time: 9 before 0.
    #[serde(default = "priority")]
    pub priority: u8,
}

fn concurrency() -> u32 {
    16
}

fn timeout_ms() -> u64 {
    30_000
}

fn priority() -> u8 {
    5
}

/// A subscription in place of the one of its name.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it is to be.
    pub spec: Spec,
    /// Whether its start was said, which must then be the one that it has: where it began stays.
    pub says_start: bool,
}

impl Change {
    /// Reads and checks a change.
    ///
    /// # Errors
    /// As [`Spec::read`].
    pub fn read(json: &[u8]) -> Result<Self, RouterError> {
        let spec = Spec::read(json)?;
        let members: BTreeMap<String, &RawValue> =
            serde_json::from_slice(json).map_err(|error| RouterError::Spec(error.to_string()))?;
        Ok(Self { spec, says_start: members.contains_key("start") })
    }
}

impl From<Spec> for Change {
    /// The default is taken for not said.
    fn from(spec: Spec) -> Self {
        Self { says_start: spec.start != Start::default(), spec }
    }
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        self.to_json() == other.to_json()
    }
}

impl Spec {
    /// Reads and checks a subscription.
    ///
    /// # Errors
    /// [`RouterError::Spec`], [`RouterError::Pattern`], [`RouterError::Transform`].
    pub fn read(json: &[u8]) -> Result<Self, RouterError> {
        if json.len() > SPEC_BYTES_MAX {
            return Err(RouterError::Spec(format!("it is longer than {SPEC_BYTES_MAX} bytes")));
        }
        let spec: Self =
            serde_json::from_slice(json).map_err(|error| RouterError::Spec(error.to_string()))?;
        spec.check()?;
        spec.check_whole(json)?;
        Ok(spec)
    }

    /// Whether everything that was written is in it (`SPEC-1`): the reader takes an array for an object, and passes over what
    /// it does not need there.
    fn check_whole(&self, json: &[u8]) -> Result<(), RouterError> {
        let wrong = |error: serde_json::Error| RouterError::Spec(error.to_string());
        let given: BTreeMap<String, &RawValue> = serde_json::from_slice(json).map_err(wrong)?;
        let kept = self.to_json();
        let kept: BTreeMap<String, &RawValue> = serde_json::from_str(&kept).map_err(wrong)?;
        // These two are read by readers of their own, which are strict.
        for (name, given) in
            given.iter().filter(|(name, _)| !["pattern", "transform"].contains(&name.as_str()))
        {
            // What is not written has its default.
            let Some(kept) = kept.get(name) else { continue };
            let given: serde_json::Value = serde_json::from_str(given.get()).map_err(wrong)?;
            let kept: serde_json::Value = serde_json::from_str(kept.get()).map_err(wrong)?;
            if !is_within(&given, &kept) {
                return Err(RouterError::Spec(format!(
                    "`{name}` has another form, or more in it than is read"
                )));
            }
        }
        Ok(())
    }

    /// Its JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // A value of texts and numbers only: there is nothing that cannot be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Its pattern, compiled; none for every event.
    ///
    /// # Errors
    /// [`RouterError::Pattern`].
    pub fn compiled(&self) -> Result<Option<Pattern>, RouterError> {
        let text = self.pattern.as_ref().map(|pattern| pattern.get().as_bytes());
        text.map(Pattern::parse).transpose().map_err(RouterError::Pattern)
    }

    /// Whether it names Waag's own events: its `type` has an alternative that begins with `waag.`.
    #[must_use]
    pub fn names_own(&self) -> bool {
        self.pattern.as_ref().is_some_and(|text| names_own_text(text.get()))
    }

    pub(crate) fn check(&self) -> Result<(), RouterError> {
        let wrong = |what: &str| Err(RouterError::Spec(what.to_owned()));
        if !is_name(&self.name) {
            return wrong(
                "`name` has 1 to 64 lower-case letters, digits and hyphens, and begins with a letter",
            );
        }
        if self.description.len() > DESCRIPTION_BYTES_MAX {
            return wrong("`description` has at most 1,024 bytes");
        }
        // It is shown on terminals and in pages, as one line.
        if self.description.chars().any(char::is_control) {
            return wrong("`description` has no control characters");
        }
        if let KeySpec::Pointer(place) = &self.key
            && !is_pointer(place)
        {
            return wrong("`key` is no JSON Pointer (RFC 6901): `~` stands before `0` or `1` alone");
        }
        if !(1..=CONCURRENCY_MAX).contains(&self.concurrency) {
            return wrong("`concurrency` is 1 to 1,024");
        }
        if !(100..=TIMEOUT_MS_MAX).contains(&self.timeout_ms) {
            return wrong("`timeout_ms` is 100 to 43,200,000 (twelve hours)");
        }
        let Retry { attempts_max, age_s_max, delay_ms_min, delay_ms_max } = self.retry;
        if !(1..=ATTEMPTS_MAX).contains(&attempts_max) || age_s_max > AGE_S_MAX {
            return wrong(
                "`retry.attempts_max` is 1 to 1,000, `retry.age_s_max` at most 2,592,000 (thirty days)",
            );
        }
        if delay_ms_min == 0 || delay_ms_min > delay_ms_max || delay_ms_max > DELAY_MS_MAX {
            return wrong(
                "`retry.delay_ms_min` is 1 to `retry.delay_ms_max`, which is at most 86,400,000 (a day)",
            );
        }
        if self.priority > PRIORITY_MAX {
            return wrong("`priority` is 0 to 9");
        }
        self.check_target()?;
        if let Some(transform) = &self.transform {
            transform.check().map_err(RouterError::Transform)?;
        }
        self.compiled().map(drop)
    }

    fn check_target(&self) -> Result<(), RouterError> {
        let fits =
            |text: &str| !text.is_empty() && text.len() <= 2_048 && !text.chars().any(char::is_control);
        let is_fine = match &self.target {
            TargetSpec::Webhook { url } => {
                fits(url) && (url.starts_with("https://") || url.starts_with("http://"))
            }
            TargetSpec::Pull {} => true,
            TargetSpec::Nats { server, subject } => {
                let scheme = ["nats://", "tls://"].iter().any(|scheme| server.starts_with(scheme));
                let is_plain = !subject.chars().any(|c| c.is_whitespace() || c == '*' || c == '>');
                if is_brokers_own(subject) {
                    return Err(RouterError::Spec(
                        "`target.subject` is the broker's own: none begins with `$` or `_INBOX`".to_owned(),
                    ));
                }
                fits(server) && fits(subject) && scheme && is_plain
            }
            TargetSpec::InProcess { handler } => fits(handler),
        };
        if is_fine {
            return Ok(());
        }
        Err(RouterError::Spec(format!(
            "the target of kind `{}` has an address that is none",
            self.target.kind()
        )))
    }
}

/// Whether each `~` of a JSON Pointer escapes something (RFC 6901 §3). What else would be read as a place that no event has,
/// and every event would be in no order.
fn is_pointer(place: &str) -> bool {
    place.split('~').skip(1).all(|behind| behind.starts_with(['0', '1']))
}

/// Whether all that was given was kept; what was not given has its default.
fn is_within(given: &serde_json::Value, kept: &serde_json::Value) -> bool {
    match (given, kept) {
        (serde_json::Value::Object(given), serde_json::Value::Object(kept)) => {
            given.iter().all(|(name, value)| kept.get(name).is_some_and(|kept| is_within(value, kept)))
        }
        _ => given == kept,
    }
}

/// Whether a text may name a subscription.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_part = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    text.len() <= NAME_BYTES_MAX
        && text.bytes().next().is_some_and(|c| c.is_ascii_lowercase())
        && text.bytes().all(is_part)
}

/// The same of a pattern's text: some `type` beside or inside of `$or` has an alternative that begins with `waag.`.
pub(crate) fn names_own_text(pattern: &str) -> bool {
    use serde_json::Value;
    let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(pattern) else { return false };
    let own = |text: &Value| text.as_str().is_some_and(|text| text.starts_with("waag."));
    let alternative = |value: &Value| match value {
        Value::String(_) => own(value),
        Value::Object(operator) => ["prefix", "wildcard", "equals-ignore-case"]
            .iter()
            .any(|name| operator.get(*name).is_some_and(own)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    };
    // Each alternative is read by itself: one number beyond what a reader takes hides no other.
    let list = |name: &str| -> Vec<&RawValue> {
        fields.get(name).and_then(|list| serde_json::from_str(list.get()).ok()).unwrap_or_default()
    };
    let is_own = |value: &&RawValue| serde_json::from_str(value.get()).is_ok_and(|value| alternative(&value));
    list("type").iter().any(is_own) || list("$or").iter().any(|branch| names_own_text(branch.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(member: &str) -> Result<Spec, RouterError> {
        let json = format!(r#"{{"name":"a","target":{{"kind":"pull"}}{member}}}"#);
        Spec::read(json.as_bytes())
    }

    #[test]
    fn what_is_read_is_written_back_equal_and_nothing_is_ignored() {
        let full = r#","description":"d","pattern":{"type":["x"]},"transform":{"path":"$.data"},"key":"/data/k","concurrency":3,
            "timeout_ms":500,"retry":{"attempts_max":2,"age_s_max":60,"delay_ms_min":1,"delay_ms_max":2},"on_failure":"halt",
            "start":{"position":7},"priority":9"#;
        let spec = with(full).unwrap();
        assert_eq!(Spec::read(spec.to_json().as_bytes()).unwrap(), spec);
        let wrong = [
            r#","retry":[]"#,
            r#","start":{"position":5,"x":1}"#,
            r#","start":{"position":5,"time_ns":1}"#,
            r#","start":"later""#,
            r#","key":"data""#,
            r#","key":"/data/~2""#,
            r#","key":"/data/~""#,
            r#","description":"a\u001b[2J""#,
            r#","description":"a\nb""#,
            r#","x":1"#,
            r#","concurrency":0"#,
            r#","priority":10"#,
            r#","concurrency":1025"#,
            r#","timeout_ms":99"#,
            r#","retry":{"attempts_max":0}"#,
            r#","retry":{"delay_ms_min":9,"delay_ms_max":8}"#,
            r#","pattern":{"type":"x"}"#,
        ];
        for member in wrong {
            assert!(with(member).is_err(), "{member}");
        }
        let whole = [
            r#"["a"]"#,
            r#"{"name":"a","target":["pull"]}"#,
            r#"{"name":"A","target":{"kind":"pull"}}"#,
            r#"{"name":"a","target":{"kind":"pull","url":"x"}}"#,
            r#"{"name":"a","target":{"kind":"webhook","url":"ftp://x"}}"#,
            r#"{"name":"a","target":{"kind":"nats","server":"nats://h","subject":"$JS.API.STREAM.PURGE.ORDERS"}}"#,
            r#"{"name":"a","target":{"kind":"nats","server":"nats://h","subject":"$SYS.x"}}"#,
            r#"{"name":"a","target":{"kind":"nats","server":"nats://h","subject":"_INBOX.x"}}"#,
        ];
        for json in whole {
            assert!(Spec::read(json.as_bytes()).is_err(), "{json}");
        }
        assert!(with(r#","key":"/a~0b/~1""#).is_ok());
        let long = with(&format!(r#","description":"{}""#, "d".repeat(DESCRIPTION_BYTES_MAX)));
        assert!(long.is_ok());
        assert!(with(&format!(r#","description":"{}""#, "d".repeat(DESCRIPTION_BYTES_MAX + 1))).is_err());
    }

    #[test]
    fn own_events_are_named_by_their_type_alone_also_beside_numbers_that_no_reader_takes() {
        let names = [
            r#"{"type":["waag.x"]}"#,
            r#"{"type":[1e999,{"prefix":"waag."}]}"#,
            r#"{"$or":[{"a":[1]},{"type":["waag.x"]}]}"#,
        ];
        assert!(names.iter().all(|text| names_own_text(text)));
        let others = [
            r#"{"type":["invoice"]}"#,
            r#"{"type":[{"anything-but":"waag.x"}]}"#,
            r#"{"data":{"type":["waag.x"]}}"#,
            "[]",
        ];
        assert!(others.iter().all(|text| !names_own_text(text)));
    }
}
