//! Deliveries to a JetStream stream: published, and delivered only once the stream's own acknowledgement is here.
//!
//! Place: *deliver*. One connection for each target, with one task that holds it; [`NatsTarget::deliver`] only queues.
//! Several deliveries are under way on the connection at a time; the order within a key is the router's, which has one of
//! each key under way.
//! Not here: trying again (the router), finding the stream that takes a subject (the server).
//!
//! Doubles: every attempt carries the same `Nats-Msg-Id` (ledger, position, `/`, subscription), so a stream drops what it
//! has already and says so, which is delivered. The subscription is part of it because a stream compares ids over all its
//! subjects: without it, of two subscriptions whose events meet in one stream, the second's would be dropped as doubles of
//! the first's. A replay has its number behind that: a stream remembers ids also of messages that were purged or deleted,
//! and a replay is asked for because something is missing. A stream remembers for its `duplicate_window` (two minutes by
//! default): a repeat after that stands in it twice, with the same id in its headers and the same CloudEvents `source` and
//! `id`.
//!
//! Without a connection: what comes while a connection is being made waits for that one attempt. If the attempt fails,
//! everything that waits fails at once, and so does what comes during the pause before the next ([`PAUSE_MAX`] at most):
//! the reason is seen by the router instead of a time that ran out. What was sent and not answered when a connection breaks
//! fails as well, and may be in the stream; the next attempt finds out by its id.
//!
//! What a stream acknowledges is not on its disk: JetStream syncs every two minutes by default (`sync_interval`), and says
//! so by nothing in its answers. Whoever needs more sets `sync_interval: always` there. The ledger has the event all the
//! same, and a replay of the subscription publishes it again.
//!
//! - `NATS-4`: an outcome is `Delivered` only by a stream's acknowledgement of this very attempt.
//! - `NATS-5`: at most [`WAITING_MAX`] deliveries wait and [`UNDER_WAY_MAX`] are under way.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use waag_router::target::{Delivery, Outcome, Reply, Target};
use waag_stdx::entropy::Entropy;

use crate::error::NatsError;
use crate::incoming::LEDGER_HEADER;
use crate::jetstream::{Stored, answer};
use crate::link::{Dialler, Link, Options, broken, complaint, inbox, plain_subject};
use crate::protocol::{self, Message, Received};

/// Most deliveries that wait to be sent: as many as a subscription may have under way.
pub const WAITING_MAX: usize = 1_024;
/// Most deliveries that were sent and are not answered.
pub const UNDER_WAY_MAX: usize = 1_024;
/// The first pause after an attempt to connect has failed; each further one is twice as long.
pub const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause between two attempts to connect.
pub const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Bytes at which what was gathered is sent.
const GATHERED_BYTES: usize = 262_144;

/// A subject of a NATS server that a stream takes.
#[derive(Debug)]
pub struct NatsTarget {
    queue: mpsc::Sender<Job>,
}

impl NatsTarget {
    /// A target; its task runs on `runtime` until the target is dropped and what was under way is answered. The server is
    /// connected to with the first delivery.
    ///
    /// # Errors
    /// [`NatsError::Options`].
    pub fn new(
        options: &Options,
        subject: &str,
        entropy: &dyn Entropy,
        runtime: &Handle,
    ) -> Result<Self, NatsError> {
        plain_subject(subject)?;
        let (queue, jobs) = mpsc::channel(WAITING_MAX);
        let (dialler, inbox) = (Dialler::new(options)?, inbox(entropy)?);
        let worker = Worker { dialler, subject: subject.to_owned(), inbox, jobs, sent: 0, is_over: false };
        drop(runtime.spawn(worker.run()));
        Ok(Self { queue })
    }
}

impl Target for NatsTarget {
    fn deliver(&self, delivery: Delivery, reply: Reply) {
        let now = Instant::now();
        let until = now.checked_add(delivery.timeout).unwrap_or(now);
        if let Err(refused) = self.queue.try_send(Job { delivery, reply, until }) {
            let why = "too many deliveries wait for it already";
            let why = NatsError::Unanswered(why.to_owned());
            match refused {
                mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job) => {
                    job.fail(&why)
                }
            }
        }
    }
}

#[derive(Debug)]
struct Job {
    delivery: Delivery,
    reply: Reply,
    until: Instant,
}

impl Job {
    fn fail(self, why: &NatsError) {
        self.reply.give(Outcome::Failed(why.failure()));
    }
}

/// The id by which a stream knows that it has a delivery already. No name of a subscription has a slash.
fn message_id(delivery: &Delivery) -> String {
    let id = format!("{}/{}", delivery.message_id(), delivery.subscription);
    match delivery.replay {
        None => id,
        Some(replay) => format!("{id}/{replay}"),
    }
}

/// What was sent and is not answered.
#[derive(Default)]
struct UnderWay {
    replies: HashMap<u64, (Reply, Instant)>,
    ends: BTreeSet<(Instant, u64)>,
}

impl UnderWay {
    fn add(&mut self, number: u64, reply: Reply, until: Instant) {
        self.replies.insert(number, (reply, until));
        self.ends.insert((until, number));
    }

    fn take(&mut self, number: u64) -> Option<Reply> {
        let (reply, until) = self.replies.remove(&number)?;
        self.ends.remove(&(until, number));
        Some(reply)
    }

    fn end(&self) -> Option<Instant> {
        self.ends.first().map(|(until, _)| *until)
    }

    fn expire(&mut self, now: Instant) {
        while let Some((until, number)) = self.ends.first().copied().filter(|(until, _)| *until <= now) {
            self.ends.remove(&(until, number));
            if let Some((reply, _)) = self.replies.remove(&number) {
                let why = NatsError::Unanswered("the time for the delivery ran out".to_owned());
                reply.give(Outcome::Failed(why.failure()));
            }
        }
    }

    fn fail_all(&mut self, why: &NatsError) {
        self.ends.clear();
        for (_, (reply, _)) in self.replies.drain() {
            reply.give(Outcome::Failed(why.failure()));
        }
    }
}

/// The task that holds the connection.
struct Worker {
    dialler: Dialler,
    subject: String,
    inbox: String,
    jobs: mpsc::Receiver<Job>,
    /// Messages sent ever: an answer that comes late, to an earlier connection's message, has another number.
    sent: u64,
    /// The target was dropped.
    is_over: bool,
}

impl Worker {
    async fn run(mut self) {
        let mut pause = PAUSE_MIN;
        while let Some(first) = self.jobs.recv().await {
            let why = match self.dialler.dial().await {
                Err(why) => {
                    first.fail(&why);
                    Some(why)
                }
                Ok(link) => {
                    let mut has_worked = false;
                    let why = self.serve(link, first, &mut has_worked).await;
                    (!has_worked).then_some(why)
                }
            };
            if self.is_over {
                return;
            }
            match why {
                None => pause = PAUSE_MIN,
                Some(why) => {
                    let now = Instant::now();
                    self.refuse(&why, now.checked_add(pause).unwrap_or(now)).await;
                    pause = pause.saturating_mul(2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Fails what comes until then, at once.
    async fn refuse(&mut self, why: &NatsError, until: Instant) {
        while let Ok(Some(job)) = timeout_at(until, self.jobs.recv()).await {
            job.fail(why);
        }
    }

    /// Delivers over a connection until it ends; everything under way is answered then.
    async fn serve(&mut self, mut link: Link, first: Job, has_worked: &mut bool) -> NatsError {
        let mut under_way = UnderWay::default();
        let why = match self.try_serve(&mut link, first, &mut under_way, has_worked).await {
            Ok(()) => NatsError::Unanswered("the target is gone".to_owned()),
            Err(why) => why,
        };
        under_way.fail_all(&why);
        why
    }

    async fn try_serve(
        &mut self,
        link: &mut Link,
        first: Job,
        under_way: &mut UnderWay,
        has_worked: &mut bool,
    ) -> Result<(), NatsError> {
        // Before anything is published: what could not be answered would be stored all the same.
        if let Err(why) = link.listen(&self.inbox).await {
            first.fail(&why);
            return Err(why);
        }
        self.publish(link, first, under_way);
        loop {
            while link.writer.len() < GATHERED_BYTES && under_way.replies.len() < UNDER_WAY_MAX {
                let Ok(job) = self.jobs.try_recv() else { break };
                self.publish(link, job, under_way);
            }
            link.flush().await.map_err(|error| broken(&error))?;
            if self.is_over && under_way.replies.is_empty() {
                return Ok(());
            }
            let end = under_way.end();
            let has_room = !self.is_over && under_way.replies.len() < UNDER_WAY_MAX;
            tokio::select! {
                biased;
                received = link.attend() => match received? {
                    Some(Received::Message(message)) => *has_worked |= self.settle(&message, under_way),
                    Some(Received::Error(why)) => {
                        let error = complaint(&why);
                        under_way.fail_all(&error);
                        // The one complaint after which a server goes on.
                        if !why.starts_with("Permissions Violation for Publish") {
                            return Err(error);
                        }
                    }
                    Some(Received::Info(_) | Received::Ping | Received::Pong | Received::Ok) | None => {}
                },
                job = self.jobs.recv(), if has_room => match job {
                    Some(job) => self.publish(link, job, under_way),
                    None => self.is_over = true,
                },
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => {
                    under_way.expire(Instant::now());
                }
            }
        }
    }

    /// Writes a delivery; it is sent with the next flush.
    fn publish(&mut self, link: &mut Link, job: Job, under_way: &mut UnderWay) {
        if job.until <= Instant::now() {
            let why =
                NatsError::Unanswered("the time for the delivery ran out before it was sent".to_owned());
            return job.fail(&why);
        }
        let Job { delivery, reply, until } = job;
        let (body, is_event) = delivery.body();
        let content_type =
            if is_event { "application/cloudevents+json; charset=utf-8" } else { "application/json" };
        let (id, position) = (message_id(&delivery), delivery.event.position.0.to_string());
        let ledger = delivery.ledger.to_string();
        let replay = delivery.replay.map(|replay| replay.to_string());
        let mut headers = vec![
            ("Nats-Msg-Id", id.as_str()),
            ("content-type", content_type),
            ("waag-subscription", &delivery.subscription),
            ("waag-position", &position),
            (LEDGER_HEADER, &ledger),
        ];
        headers.extend(replay.as_ref().map(|replay| ("waag-replay", replay.as_str())));
        self.sent = self.sent.wrapping_add(1);
        let answer = format!("{}.{}", self.inbox, self.sent);
        let written = match protocol::size(&headers, body) {
            Ok(size) if size > link.max_payload => {
                let why = format!(
                    "it has `{size}` bytes with its headers, the server takes `{}`",
                    link.max_payload
                );
                Err(NatsError::TooLarge(why))
            }
            Ok(_) | Err(protocol::Unsendable) => {
                let sent = link.writer.publish(self.subject.as_bytes(), Some(&answer), &headers, body);
                sent.map_err(|_| NatsError::Options("a header cannot be sent".to_owned()))
            }
        };
        match written {
            Ok(_) => under_way.add(self.sent, reply, until),
            Err(why) => reply.give(Outcome::Failed(why.failure())),
        }
    }

    /// Settles the delivery that an answer is for (`NATS-4`); says whether a stream has acknowledged it.
    fn settle(&self, message: &Message, under_way: &mut UnderWay) -> bool {
        let number = std::str::from_utf8(&message.subject)
            .ok()
            .and_then(|subject| subject.strip_prefix(self.inbox.as_str())?.strip_prefix('.')?.parse().ok());
        let Some(reply) = number.and_then(|number| under_way.take(number)) else { return false };
        let stored = answer::<Stored>(message, &self.subject);
        let is_stored = stored.is_ok();
        reply.give(match stored {
            Ok(_) => Outcome::Delivered(None),
            Err(why) => Outcome::Failed(why.failure()),
        });
        is_stored
    }
}
