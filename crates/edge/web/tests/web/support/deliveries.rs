//! A router of samples: subscriptions in every standing, failures of every class, jobs in every state.

use std::sync::Mutex;

use serde_json::json;
use serde_json::value::RawValue;
use waag_model::ids::Actor;
use waag_router::error::RouterError;
use waag_router::shown::{
    AttemptShown, Detail, FailureShown, Figures, Filter, JobKind, JobShown, JobState, LetterPage,
    LetterShown, Overview, ParkedKey, Standing,
};
use waag_router::spec::Spec;
use waag_web::ports::deliveries::{Deliveries, Order};

use super::NOW;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// The router.
pub(crate) struct SampleDeliveries {
    pub(crate) empty: bool,
    /// A text that stands wherever somebody else's text may stand.
    pub(crate) foreign: Option<&'static str>,
    /// What was ordered, and by whom.
    pub(crate) orders: Mutex<Vec<(Order, String)>>,
    pub(crate) figures: Mutex<Figures>,
    /// A subscription that is no more.
    pub(crate) gone: Mutex<Option<&'static str>>,
}

impl SampleDeliveries {
    pub(crate) fn new(empty: bool) -> Self {
        Self {
            empty,
            foreign: None,
            orders: Mutex::default(),
            figures: Mutex::default(),
            gone: Mutex::default(),
        }
    }

    fn text(&self, usual: &str) -> String {
        self.foreign.unwrap_or(usual).to_owned()
    }

    fn spec(&self, at: usize) -> Spec {
        let name = NAMES[at];
        let target = match at {
            0 => json!({ "kind": "webhook", "url": "https://erp.example/hooks/waag/payments" }),
            1 => json!({ "kind": "nats", "server": "tls://nats.internal:4222", "subject": "ledger.risk" }),
            2 => json!({ "kind": "pull" }),
            3 => {
                json!({ "kind": "webhook", "url": "https://hooks.treasury.example/v2/tenants/eu-west-1/incoming" })
            }
            _ => json!({ "kind": "in-process", "handler": self.text("alarms") }),
        };
        let spec = json!({
            "name": name, "target": target, "key": (["subject", "/data/account", "none"][at % 3]),
            "description": self.text("Approved payments to the ERP system, which books them."),
            "on_failure": (["park", "skip", "halt"][at % 3]), "concurrency": 32,
        });
        let prefix = json!(self.text("invoice."));
        let pattern = format!(
            r#"{{"type":[{{"prefix":{prefix}}}],"data":{{"currency":["EUR","USD"],"amount_minor":[{{"numeric":[">=",1000000]}}]}}}}"#
        );
        let pattern = (at != 2).then(|| RawValue::from_string(pattern).unwrap());
        Spec { pattern, ..serde_json::from_value(spec).unwrap() }
    }

    fn overview(&self, at: usize) -> Overview {
        let standing = match at {
            0 => Standing::Active,
            1 => Standing::Paused {
                by: self.text("j.devries"),
                reason: self.text("the risk engine is being upgraded until Saturday evening"),
                at_ns: NOW.0 - 2 * HOUR,
            },
            3 => Standing::Stopped {
                code: "E1164".to_owned(),
                reason: self.text("the endpoint answered 410 Gone and takes no more deliveries"),
                at_ns: NOW.0 - 31 * 60 * SECOND,
            },
            _ => Standing::Active,
        };
        Overview {
            spec: self.spec(at),
            standing,
            created_ns: NOW.0 - 71 * 24 * HOUR,
            created_by: self.text("j.devries"),
            lag_events: [12, 48_211, 0, 9_120, 3][at],
            unread_events: [12, 48_200, 0, 0, 3][at],
            settled_to: 1_284_299,
            rate: [312.4, 0.0, 4.25, 0.0, 1_204.0][at],
            delivered: 9_312_004,
            failed: [214, 3, 0, 61, 0][at] + self.figures().failed,
            under_way: [17, 0, 2, 0, 1][at],
            waiting_keys: [4, 0, 0, 1, 0][at],
            parked_keys: [3, 0, 0, 1, 0][at],
            dead_letters: [1_204, 0, 0, 1, 0][at],
            oldest_position: (at < 2).then_some(3),
            oldest_ns: (at < 2).then_some(NOW.0 - 7 * HOUR - 200 * SECOND),
            next_attempt_ns: (at == 0).then_some(NOW.0 + 40 * SECOND),
            left_alone_ms: (at == 0).then_some(42_000),
            jobs: if at == 0 { vec![42] } else { Vec::new() },
        }
    }

    fn failure(&self, at: u64) -> FailureShown {
        let (class, code, reason, response) = [
            (
                "transient",
                "E1163",
                "the answer was 503",
                "{\"error\":\"upstream database is in maintenance\"}",
            ),
            (
                "terminal",
                "E1162",
                "the answer was 422",
                "{\"error\":\"unknown cost centre 4711\",\"field\":\"data.cost_centre\"}",
            ),
            ("throttled", "E1165", "the answer was 429", ""),
            ("gone", "E1164", "the answer was 410", "Gone"),
        ][at as usize % 4];
        FailureShown {
            class: class.to_owned(),
            code: code.to_owned(),
            reason: self.text(reason),
            response: if response.is_empty() { String::new() } else { self.text(response) },
        }
    }

    fn letter(&self, at: u64) -> LetterShown {
        LetterShown {
            position: at * 41 + 3,
            kind: self
                .text(["invoice.authorization", "payment.requested", "invoice.posting"][at as usize % 3]),
            key: self.text(&format!(
                "{:032x}",
                (u128::from(at) + 7).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
            )),
            parks: at % 3 != 1,
            attempts: 20 - at as u32 % 5,
            first_ns: NOW.0 - (at as i64 + 75) * HOUR,
            last_ns: NOW.0 - (at as i64 + 1) * HOUR - 12 * SECOND,
            failure: self.failure(at + 1),
            status: Some([422, 429, 410, 503][at as usize % 4]),
            job: (at == 2).then_some(38),
        }
    }

    fn job(&self, number: u32) -> JobShown {
        let kinds = [JobKind::Redrive, JobKind::Replay, JobKind::Discard];
        let kind = kinds[number as usize % 3];
        let runs = number > 40;
        let cancelled = number == 39;
        JobShown {
            number,
            kind,
            subscription: NAMES[0].to_owned(),
            state: match (runs, cancelled) {
                (true, _) => JobState::Running,
                (false, true) => JobState::Cancelled,
                (false, false) => JobState::Done,
            },
            by: self.text("page"),
            reason: self.text("the cost centres were made in the ERP"),
            filter: Filter {
                class: Some("terminal".to_owned()),
                kind: Some(self.text("invoice.")),
                ..Filter::default()
            },
            from: 1_000_000,
            to: 1_284_311,
            pattern: None,
            rate: if kind == JobKind::Replay { 5_000 } else { 1_000 },
            total: 1_204,
            done: if runs {
                811
            } else if cancelled {
                300
            } else {
                1_204
            },
            succeeded: match number {
                41.. => 790,
                40 => 1_180,
                39 => 300,
                _ => 1_204,
            },
            failed: if number == 40 { 24 } else { 0 },
            waits: if runs { 21 } else { 0 },
            started_ns: NOW.0 - i64::from(45 - number) * HOUR / 4,
            ended_ns: (!runs).then_some(NOW.0 - i64::from(44 - number) * HOUR / 4),
        }
    }

    fn letters(&self, name: &str, filter: &Filter) -> Vec<LetterShown> {
        let number = if name == NAMES[0] { 60 } else { 0 };
        let takes = |letter: &LetterShown| {
            filter.from.is_none_or(|from| letter.position >= from)
                && filter.to.is_none_or(|to| letter.position < to)
                && filter.class.as_ref().is_none_or(|class| letter.failure.class == *class)
                && filter.kind.as_ref().is_none_or(|kind| letter.kind.starts_with(kind))
        };
        (0..number).map(|at| self.letter(at)).filter(takes).collect()
    }
}

pub(crate) const NAMES: [&str; 5] = ["erp-payments", "risk-engine", "data-lake", "treasury-mirror", "alarms"];

impl Deliveries for SampleDeliveries {
    fn overviews(&self) -> Result<Vec<Overview>, RouterError> {
        Ok(if self.empty { Vec::new() } else { (0..NAMES.len()).map(|at| self.overview(at)).collect() })
    }

    fn detail(&self, name: &str) -> Result<Detail, RouterError> {
        let is_gone = *self.gone.lock().unwrap() == Some(name);
        let at = NAMES.iter().position(|one| *one == name && !self.empty && !is_gone);
        let at = at.ok_or_else(|| RouterError::Unknown(name.to_owned()))?;
        let attempt = |number: u64| AttemptShown {
            at_ns: NOW.0 - number as i64 * 7 * SECOND - 300_000_000,
            position: 1_284_310 - number,
            number: 1 + number as u32 % 4,
            took_ms: 18 + number * 37 % 900,
            status: Some(if number % 4 == 1 { [503, 422, 429, 410][number as usize / 4 % 4] } else { 204 }),
            failure: (number % 4 == 1).then(|| self.failure(number / 4)),
            replay: (number == 6).then_some(40),
        };
        let parked = |at: u64| ParkedKey { key: self.letter(at).key, position: self.letter(at).position };
        Ok(Detail {
            overview: self.overview(at),
            attempts: (0..20).map(attempt).collect(),
            parked: if at == 0 { vec![parked(0), parked(2), parked(3)] } else { Vec::new() },
            jobs: if at == 0 { self.jobs()? } else { Vec::new() },
        })
    }

    fn dead_letters(
        &self,
        name: &str,
        filter: &Filter,
        after: Option<u64>,
        most: usize,
    ) -> Result<LetterPage, RouterError> {
        self.detail(name)?;
        let mut letters = self.letters(name, filter);
        letters.retain(|letter| after.is_none_or(|after| letter.position > after));
        let more = letters.len() > most;
        letters.truncate(most);
        let next = letters.last().filter(|_| more).map(|last| last.position);
        Ok(LetterPage { letters, next })
    }

    fn count(&self, name: &str, filter: &Filter) -> Result<u64, RouterError> {
        self.detail(name)?;
        let bare = Filter { until_ns: None, ..filter.clone() };
        Ok(if bare == Filter::default() {
            self.overview(NAMES.iter().position(|one| *one == name).unwrap()).dead_letters
        } else {
            self.letters(name, &bare).len() as u64
        })
    }

    fn jobs(&self) -> Result<Vec<JobShown>, RouterError> {
        Ok(if self.empty { Vec::new() } else { (38..=42).rev().map(|number| self.job(number)).collect() })
    }

    fn figures(&self) -> Figures {
        *self.figures.lock().unwrap()
    }

    fn order(&self, order: Order, by: &Actor) -> Result<Option<u32>, RouterError> {
        if let Order::Cancel { job: 99 } = order {
            return Err(RouterError::NoJob(99));
        }
        self.orders.lock().unwrap().push((order, by.as_str().to_owned()));
        Ok(Some(43))
    }
}
