//! Subscriptions and jobs as they lie in the state: JSON, version 1, targets' secrets wrapped.
//!
//! Invariant `REG-1`: a number is given once and never again, also after its subscription is removed, so that no record can
//! be taken for another subscription's.

use serde::{Deserialize, Serialize};
use waag_keys::state::{Expect, SCAN_RECORDS_MAX, State, Table};
use zeroize::Zeroizing;

use crate::error::RouterError;
use crate::ports::{Secret, Secrets};
use crate::shown::{JobShown, Standing};
use crate::spec::Spec;

/// Most subscriptions of a ledger.
pub const SUBSCRIPTIONS_MAX: usize = 5_000;
/// Most jobs that are kept, ended ones included; the oldest ended one gives way.
pub const JOBS_MAX: usize = 1_000;
/// Most secrets of a target that are in force.
pub(crate) const SECRETS_MAX: usize = 2;

/// A subscription's record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// The version of this form.
    pub(crate) v: u8,
    pub(crate) number: u32,
    pub(crate) spec: Spec,
    pub(crate) standing: Standing,
    pub(crate) created_ns: i64,
    pub(crate) created_by: String,
    /// Wrapped, in hexadecimal, the newest first.
    pub(crate) secrets: Vec<String>,
    /// It was removed, and its records are being removed.
    pub(crate) removed: bool,
}

/// A job's record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptJob {
    pub(crate) v: u8,
    pub(crate) subscription: u32,
    pub(crate) shown: JobShown,
    /// For redrive and discard: everything below was looked at and is settled or waits.
    pub(crate) settled_to: u64,
    /// Everything below was looked at.
    pub(crate) looked_to: u64,
}

pub(crate) fn subscription_key(number: u32) -> Vec<u8> {
    let mut key = b"s".to_vec();
    key.extend_from_slice(&number.to_be_bytes());
    key
}

pub(crate) fn job_key(number: u32) -> Vec<u8> {
    let mut key = b"j".to_vec();
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Where the highest number ever given lies.
pub(crate) const NUMBERS_KEY: &[u8] = b"n";

impl Kept {
    pub(crate) fn write(&self) -> Vec<u8> {
        // Texts and numbers: there is nothing that cannot be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Its secrets, opened.
    pub(crate) fn open_secrets(&self, secrets: &dyn Secrets) -> Result<Vec<Secret>, RouterError> {
        let open = |wrapped: &String| {
            let bytes = unhex(wrapped).ok_or(RouterError::Record("a target's secret"))?;
            let plain = secrets.unwrap(&bytes)?;
            let text = std::str::from_utf8(&plain).map_err(|_| RouterError::Record("a target's secret"))?;
            Ok(Secret(Zeroizing::new(text.to_owned())))
        };
        self.secrets.iter().map(open).collect()
    }

    /// Puts a new secret before the others; at most [`SECRETS_MAX`] stay in force.
    pub(crate) fn add_secret(&mut self, secret: &Secret, secrets: &dyn Secrets) -> Result<(), RouterError> {
        let wrapped = secrets.wrap(secret.0.as_bytes())?;
        self.secrets.insert(0, wrapped.iter().map(|byte| format!("{byte:02x}")).collect());
        self.secrets.truncate(SECRETS_MAX);
        Ok(())
    }
}

impl KeptJob {
    pub(crate) fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// What lies in the state at the start.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) subscriptions: Vec<Kept>,
    pub(crate) jobs: Vec<KeptJob>,
    /// The highest numbers ever given: of subscriptions, of jobs.
    pub(crate) numbers: (u32, u32),
}

pub(crate) fn numbers_value(numbers: (u32, u32)) -> Vec<u8> {
    let mut value = vec![1];
    value.extend_from_slice(&numbers.0.to_be_bytes());
    value.extend_from_slice(&numbers.1.to_be_bytes());
    value
}

/// Everything that is registered.
pub(crate) fn load(state: &dyn State) -> Result<Loaded, RouterError> {
    let mut loaded = Loaded::default();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let records = state.scan(Table::Subscription, after.as_deref(), SCAN_RECORDS_MAX)?;
        let Some(last) = records.last() else { return Ok(loaded) };
        after = Some(last.key.clone());
        for record in &records {
            match record.key.first() {
                Some(b's') => {
                    let kept: Kept = serde_json::from_slice(&record.value)
                        .map_err(|_| RouterError::Record("a subscription"))?;
                    if kept.v != 1 {
                        return Err(RouterError::Record("a subscription"));
                    }
                    loaded.subscriptions.push(kept);
                }
                Some(b'j') => {
                    let kept: KeptJob =
                        serde_json::from_slice(&record.value).map_err(|_| RouterError::Record("a job"))?;
                    if kept.v != 1 {
                        return Err(RouterError::Record("a job"));
                    }
                    loaded.jobs.push(kept);
                }
                Some(b'n') => {
                    let value = record.value.as_slice();
                    let numbers = value.split_first().and_then(|(version, rest)| {
                        let (one, rest) = rest.split_first_chunk()?;
                        let two = rest.first_chunk()?;
                        (*version == 1).then(|| (u32::from_be_bytes(*one), u32::from_be_bytes(*two)))
                    });
                    loaded.numbers = numbers.ok_or(RouterError::Record("the router's numbers"))?;
                }
                Some(_) | None => return Err(RouterError::Record("a record of the router")),
            }
        }
    }
}

/// Where the number of this run lies; leases name it, so that one of an earlier run is refused.
const RUN_KEY: &[u8] = b"router";

/// The number of this run: one more than the last.
pub(crate) fn next_run(state: &dyn State) -> Result<u64, RouterError> {
    let before = state.get(Table::Lease, RUN_KEY)?;
    let last =
        before.as_ref().and_then(|record| record.value.first_chunk::<8>()).map(|n| u64::from_be_bytes(*n));
    let run = last.unwrap_or_default().saturating_add(1);
    let expect = before.map_or(Expect::Absent, |record| Expect::Equals(record.sum));
    let value = run.to_be_bytes();
    let change = waag_keys::state::Change { table: Table::Lease, key: RUN_KEY, expect, value: Some(&value) };
    state.commit(&[change])?;
    Ok(run)
}
