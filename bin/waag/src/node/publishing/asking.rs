//! Asking the policy's witnesses, each on its own: one question at a time, and what follows from each answer (`PUBLISH-2`).
//!
//! | answer | what follows |
//! |---|---|
//! | a valid cosignature | it is added to the published checkpoint; the next question comes with the next publication |
//! | none, none in time, a status that no rule knows | published without it; asked again after 1 s, doubled up to 60 s, with jitter |
//! | 404, 403, 400 | a misconfiguration, shown; asked again every [`SLOW_MS`] |
//! | 409 with a size up to ours | asked once more with a proof from there |
//! | 409 with a size above the ledger's; 422 | an alarm, kept and shown: the witness saw another history; asked every [`SLOW_MS`] |
//! | 200 without a valid cosignature | refused, shown; asked again as one that is down |
//!
//! A proof is checked before it is sent: a 422 is then no fault of the stored hashes.
//! One thread asks all; questions are small, and waiting costs nothing. Ending drops those under way.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::note::{NoteSignature, VerifierKey};
use waag_ledger::proof::prove_consistency;
use waag_ledger::stored::frontier_at;
use waag_ledger::witness::{WitnessAnswer, add_checkpoint_body, read_answer};
use waag_stdx::entropy::{Entropy, SystemEntropy};
use waag_witness::{Options, Roots, Witness};

use super::{Alarm, AlarmKind, Answer, Due, PublishError, Shared};

/// The first wait after a witness did not answer, in milliseconds; doubled with each failure.
const RETRY_MS: u64 = 1_000;
/// The longest of these waits.
const RETRY_MS_MAX: u64 = 60_000;
/// The wait where a person has to set something right, in milliseconds.
const SLOW_MS: u64 = 600_000;

/// The thread that asks. Dropping it ends it, and the questions under way.
pub(super) struct Asking {
    ending: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Asking {
    /// Starts it where there is anybody to ask.
    pub(super) fn start(
        shared: &Arc<Shared>,
        news: watch::Receiver<()>,
    ) -> Result<Option<Self>, PublishError> {
        let Some(policy) = &shared.options.policy else { return Ok(None) };
        let timeout = Duration::from_millis(shared.options.timeout_ms.max(1));
        let mut asked = Vec::new();
        for (index, witness) in policy.witnesses().iter().enumerate() {
            let Some(url) = &witness.url else {
                shared.not_asked(index, "the policy names no URL");
                continue;
            };
            let mut options = Options::new(Roots::System, timeout).map_err(PublishError::Witness)?;
            options.allow_http = shared.options.allow_http;
            let client = Witness::new(&url.to_string(), &options).map_err(PublishError::Witness)?;
            asked.push((index, client, witness.key.clone()));
        }
        if asked.is_empty() {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(PublishError::Thread)?;
        let (ending, ended) = watch::channel(false);
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new().name("waag-witnesses".to_owned());
        let thread = thread.spawn(move || run(runtime, &shared, asked, &news, ended));
        Ok(Some(Self { ending, thread: Some(thread.map_err(PublishError::Thread)?) }))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.ending.send_replace(true);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(
    runtime: Runtime,
    shared: &Arc<Shared>,
    asked: Vec<(usize, Witness, VerifierKey)>,
    news: &watch::Receiver<()>,
    mut ended: watch::Receiver<bool>,
) {
    runtime.block_on(async {
        let mut following = JoinSet::new();
        for (index, client, key) in asked {
            let asker = Asker { shared: Arc::clone(shared), index, client, key };
            following.spawn(asker.follow(news.clone()));
        }
        // An error means that the sender is gone, which is an end too.
        let _gone = ended.wait_for(|ended| *ended).await;
    });
    // A lookup of a name cannot be cancelled, and is not waited for.
    runtime.shutdown_background();
}

/// One witness, asked.
struct Asker {
    shared: Arc<Shared>,
    index: usize,
    client: Witness,
    key: VerifierKey,
}

/// When to ask again.
enum Next {
    /// When there is something to ask.
    News,
    /// After this long.
    In(Duration),
}

impl Asker {
    async fn follow(mut self, mut news: watch::Receiver<()>) {
        loop {
            // Seen before it is looked for, so that none in between is missed.
            news.borrow_and_update();
            let next = match self.shared.target(self.index, &self.key) {
                Some((old, checkpoint)) => self.ask(old, &checkpoint).await,
                None => Next::News,
            };
            match next {
                Next::In(wait) => tokio::time::sleep(wait).await,
                Next::News => {
                    if news.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Asks for one checkpoint, and once more where the witness knows another size.
    async fn ask(&mut self, old: u64, checkpoint: &SignedCheckpoint) -> Next {
        let first = self.question(old, checkpoint).await;
        let Answer::Conflict(told) = first else { return self.follows(first, old, checkpoint) };
        let size = checkpoint.checkpoint().size;
        let ledger = self.shared.store.status().checkpoint.checkpoint().size;
        if told > ledger {
            self.shared.alarm(self.index, AlarmKind::Larger(told), ledger);
            return self.slow(Answer::Conflict(told));
        }
        if told > size {
            // Somebody else gave it a newer checkpoint of this log; the next publication reaches that.
            self.shared.knows(self.index, told);
            return Next::News;
        }
        if told == old {
            return self.failed(Answer::Conflict(told));
        }
        self.shared.knows(self.index, told);
        let second = self.question(told, checkpoint).await;
        self.follows(second, told, checkpoint)
    }

    async fn question(&mut self, old: u64, checkpoint: &SignedCheckpoint) -> Answer {
        let body = match self.shared.request(old, checkpoint) {
            Ok(body) => body,
            Err(why) => return Answer::NotAsked(why),
        };
        let answer = match self.client.add_checkpoint(body).await {
            Ok(answer) => answer,
            Err(error) => return Answer::Down(format!("{}: {error}", error.code())),
        };
        let keys = std::slice::from_ref(&self.key);
        let note = checkpoint.note();
        match read_answer(answer.status, answer.media.as_deref(), &answer.body, note, keys) {
            WitnessAnswer::Cosigned(lines) => {
                self.shared.cosigned(self.index, checkpoint.checkpoint().size, &lines);
                Answer::Cosigned
            }
            WitnessAnswer::NotCosigned(error) => Answer::NotCosigned(format!("{}: {error}", error.code())),
            WitnessAnswer::UnknownLog => Answer::UnknownLog,
            WitnessAnswer::NotSigned => Answer::NotSigned,
            WitnessAnswer::Conflict { size } => Answer::Conflict(size),
            WitnessAnswer::ProofRefused => Answer::ProofRefused,
            WitnessAnswer::Malformed => Answer::Malformed,
            WitnessAnswer::Other { status } => Answer::Other(status),
        }
    }

    fn follows(&self, answer: Answer, old: u64, checkpoint: &SignedCheckpoint) -> Next {
        if answer == Answer::Cosigned {
            return Next::News;
        }
        if answer == Answer::ProofRefused {
            self.shared.alarm(self.index, AlarmKind::ProofRefused(old), checkpoint.checkpoint().size);
        }
        if answer.is_misconfiguration() { self.slow(answer) } else { self.failed(answer) }
    }

    fn slow(&self, answer: Answer) -> Next {
        self.shared.told(self.index, answer);
        Next::In(jittered(SLOW_MS))
    }

    fn failed(&self, answer: Answer) -> Next {
        let failures = self.shared.told(self.index, answer);
        let doubled = RETRY_MS.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(RETRY_MS_MAX);
        Next::In(jittered(doubled.min(RETRY_MS_MAX)))
    }
}

/// Between half of a wait and all of it.
fn jittered(wait_ms: u64) -> Duration {
    let mut byte = [0; 1];
    // Without randomness the wait is the whole one.
    let part = SystemEntropy::new().fill(&mut byte).map_or(255, |()| u64::from(byte[0]));
    Duration::from_millis(wait_ms / 2 + (wait_ms / 2).saturating_mul(part) / 255)
}

impl Shared {
    /// What a witness is to be asked: the newest published checkpoint where it lacks its line, and the size to prove from.
    fn target(&self, index: usize, key: &VerifierKey) -> Option<(u64, SignedCheckpoint)> {
        let state = self.state();
        let newest = state.recent.back().filter(|held| held.size() > 0)?;
        let known = state.witnesses.get(index)?.size;
        if known > newest.size() || newest.all.signers().contains(key) {
            return None;
        }
        Some((known, newest.log.clone()))
    }

    /// The text of a question; the proof in it holds.
    fn request(&self, old: u64, checkpoint: &SignedCheckpoint) -> Result<String, String> {
        let told = checkpoint.checkpoint();
        if old == 0 || old == told.size {
            return Ok(add_checkpoint_body(old, &[], checkpoint.note()));
        }
        let stored = &*self.store.hashes;
        let wrong = |code: &str, error: &dyn std::error::Error| format!("{code}: {error}");
        let before = frontier_at(stored, old).map_err(|error| wrong(error.code(), &error))?;
        let proof = prove_consistency(stored, old, told.size).map_err(|error| wrong(error.code(), &error))?;
        proof.verify(&before.root(), &told.root).map_err(|error| wrong(error.code(), &error))?;
        Ok(add_checkpoint_body(old, &proof.path, checkpoint.note()))
    }

    /// Notes that a witness is asked by nobody, which is no failure of its own.
    fn not_asked(&self, index: usize, why: &str) {
        if let Some(witness) = self.state().witnesses.get_mut(index) {
            witness.answer = Answer::NotAsked(why.to_owned());
        }
    }

    /// Notes a cosignature.
    fn cosigned(&self, index: usize, size: u64, lines: &[NoteSignature]) {
        self.add(size, lines);
        let now = self.store.clock.now();
        let mut state = self.state();
        state.due = state.due.max(Due::Later);
        if let Some(witness) = state.witnesses.get_mut(index) {
            witness.size = size;
            (witness.cosigned_at, witness.asked_at) = (Some(now), Some(now));
            (witness.failures, witness.failing_since) = (0, None);
            witness.answer = Answer::Cosigned;
        }
    }

    /// Notes a size that a witness says it has cosigned.
    fn knows(&self, index: usize, size: u64) {
        let now = self.store.clock.now();
        let mut state = self.state();
        state.due = state.due.max(Due::Later);
        if let Some(witness) = state.witnesses.get_mut(index) {
            witness.size = size;
            witness.asked_at = Some(now);
            witness.answer = Answer::Conflict(size);
        }
    }

    /// Notes an answer that is no cosignature; how many there were in a row.
    fn told(&self, index: usize, answer: Answer) -> u32 {
        let now = self.store.clock.now();
        let mut state = self.state();
        state.due = state.due.max(Due::Later);
        let Some(witness) = state.witnesses.get_mut(index) else { return 0 };
        witness.asked_at = Some(now);
        witness.failures = witness.failures.saturating_add(1);
        witness.failing_since.get_or_insert(now);
        witness.answer = answer;
        witness.failures
    }

    /// Notes that a witness has seen another history; the first time stays.
    fn alarm(&self, index: usize, kind: AlarmKind, size: u64) {
        let at = self.store.clock.now();
        let mut state = self.state();
        if let Some(witness) = state.witnesses.get_mut(index)
            && witness.alarm.is_none()
        {
            let alarm = Alarm { kind, at, size };
            crate::cli::tell(&format!("warning: {}: `{}`: {alarm}", alarm.code(), witness.name));
            witness.alarm = Some(alarm);
            state.due = Due::Now;
        }
    }
}
