//! Messages of a stream as events: in order, once each by identity, and nothing passed over in silence.
//!
//! Place: before *accept*. A durable pull consumer of the whole stream, one for each bridge, with explicit
//! acknowledgement; what comes goes to [`Take`], and is acknowledged to the broker after that: the ledger has it then.
//! Not here: recording and keeping the cursor (whoever implements [`Take`]), what is handed over (`take`), its form
//! (`incoming`).
//!
//! The cursor is ours, and it decides: what the broker delivers again is acknowledged and not handed over, and what it has
//! delivered to a run of ours that ended is fetched by number, without waiting for it to come again. A cursor that is older
//! than what was handed over costs a second handing over of the same identities, never a loss.
//!
//! After a crash: between handing over and keeping the cursor, the same messages come again, with the same identities;
//! between keeping the cursor and the acknowledgement, the broker delivers them again, and they are dropped.
//!
//! What JetStream acknowledges to its publishers is not on its disk (`sync_interval`, two minutes by default): a server
//! that lost power may have forgotten messages that we have, and number others by the same numbers. So each connection
//! begins with a comparison, and each of the following is told, never passed over:
//! - messages that are gone before we had them ([`Take::missing`], and the source goes on behind them);
//! - a stream that was made anew, went back, or has another message where our last one was ([`Condition::Reset`]);
//! - a stream that is not there ([`Condition::Forgotten`]).
//!
//! - `NATS-6`: messages are handed over in the order of the stream, each number once in a run.
//! - `NATS-7`: every number above the cursor is handed over or told as missing before a later one is.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{sleep, timeout};
use waag_model::time::UtcNanos;
use waag_stdx::entropy::Entropy;

use crate::error::NatsError;
use crate::incoming::{Incoming, Naming, rfc3339};
use crate::jetstream::{
    CONSUMER_NOT_FOUND, ConsumerInfo, Kept, MESSAGE_NOT_FOUND, STREAM_NOT_FOUND, StreamInfo, answer,
    consumer, got, is_missing, is_name, place,
};
use crate::link::{Dialler, Link, Options, broken, complaint, inbox};
use crate::protocol::{Message, Received};
use crate::take::{Condition, Cursor, Gap, Status, Take, TakeError};

/// Most messages that are handed over at a time.
pub const MESSAGES_MAX: usize = 256;
/// Bytes of messages that are asked for at a time; a single one may be larger.
pub const BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// Most messages that the broker may have delivered and not seen acknowledged.
const UNACKNOWLEDGED_MAX: usize = 4 * MESSAGES_MAX;
/// Longest time for an answer of the broker.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a message is waited for, before the stream is looked at again.
const IDLE: Duration = Duration::from_secs(5);
/// The first pause after a failure; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How often a stream that is not there is looked for before it counts as forgotten; a server that starts may not know it yet.
const LOOKS: u32 = 3;
/// The pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// Which stream, and what its events are named by.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// The server.
    pub server: Options,
    /// The stream: letters, digits, `-` and `_`.
    pub stream: String,
    /// The durable consumer's name, this bridge's alone; the same letters.
    pub consumer: String,
    /// What the server or account is called in `nats://<origin>/<stream>`; part of every identity, so it must stay. The
    /// server's own name is not taken, for it is another one after a change of servers.
    pub origin: String,
    /// The type of events made of messages that are none.
    pub kind: String,
}

/// Why one connection's reading ended.
enum Ended {
    Condition(Condition),
    Failed(NatsError),
    NotTaken(TakeError),
}

impl From<NatsError> for Ended {
    fn from(error: NatsError) -> Self {
        match error {
            NatsError::Options(_) => Self::Condition(Condition::Unusable(error)),
            NatsError::Unreachable(_)
            | NatsError::Unanswered(_)
            | NatsError::Refused(_)
            | NatsError::NoStream(_)
            | NatsError::JetStream(_)
            | NatsError::TooLarge(_) => Self::Failed(error),
        }
    }
}

/// A stream that is followed.
pub struct NatsSource {
    dialler: Dialler,
    naming: Arc<Naming>,
    consumer: String,
    inbox: String,
    /// Requests sent ever: an answer that comes late, to an earlier connection's request, has another number.
    asked: AtomicU64,
    status: Mutex<Status>,
}

impl fmt::Debug for NatsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsSource").field("stream", &self.naming.stream).finish_non_exhaustive()
    }
}

impl NatsSource {
    /// A source that follows nothing yet.
    ///
    /// # Errors
    /// [`NatsError::Options`].
    pub fn new(options: &SourceOptions, entropy: &dyn Entropy) -> Result<Self, NatsError> {
        let SourceOptions { server, stream, consumer, origin, kind } = options;
        let is_origin = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_fine = is_name(stream)
            && is_name(consumer)
            && !origin.is_empty()
            && origin.chars().all(is_origin)
            && !kind.is_empty();
        if !is_fine {
            let why = "stream, consumer and origin have letters, digits, `-` and `_` (an origin also `.`), a type any";
            return Err(NatsError::Options(why.to_owned()));
        }
        let naming = Naming { origin: origin.clone(), stream: stream.clone(), kind: kind.clone() };
        Ok(Self {
            dialler: Dialler::new(server)?,
            naming: Arc::new(naming),
            consumer: consumer.clone(),
            inbox: inbox(entropy)?,
            asked: AtomicU64::new(0),
            status: Mutex::default(),
        })
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Follows the stream from the cursor on, through failures of connection and taker, until a condition ends it. May be
    /// given up at any time: a call of the taker that is under way ends by itself.
    pub async fn follow(&self, mut cursor: Cursor, take: Arc<dyn Take>) -> Condition {
        let mut pause = PAUSE_MIN;
        loop {
            let before = cursor.clone();
            self.note(|status| status.cursor = before.clone());
            let ended = match self.dialler.dial().await {
                Ok(link) => self.read(link, &mut cursor, &take).await,
                Err(error) => error.into(),
            };
            let failure = match ended {
                Ended::Condition(condition) => {
                    let failure = Some((condition.code(), condition.to_string()));
                    self.note(|status| (status.is_following, status.failure) = (false, failure));
                    return condition;
                }
                Ended::Failed(error) => (error.code(), error.to_string()),
                Ended::NotTaken(TakeError { code, reason }) => (code, reason),
            };
            self.note(|status| (status.is_following, status.failure) = (false, Some(failure)));
            if cursor != before {
                pause = PAUSE_MIN;
            }
            sleep(pause).await;
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    /// Reads over one connection until it ends.
    async fn read(&self, link: Link, cursor: &mut Cursor, take: &Arc<dyn Take>) -> Ended {
        let mut reader = Reader { source: self, link, is_work_queue: false, cursor, take };
        match reader.run().await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }
}

/// What a request for messages brought.
#[derive(Default)]
struct Pulled {
    /// Messages, with the subjects that acknowledge them.
    messages: Vec<(Kept, Box<[u8]>)>,
    /// The consumer is not what it was: the stream is to be looked at.
    is_shaken: bool,
}

/// Messages that are about to be handed over.
#[derive(Default)]
struct Ready {
    messages: Vec<Kept>,
    bytes: usize,
}

/// One connection's reading.
struct Reader<'a> {
    source: &'a NatsSource,
    link: Link,
    is_work_queue: bool,
    cursor: &'a mut Cursor,
    take: &'a Arc<dyn Take>,
}

impl Reader<'_> {
    async fn run(&mut self) -> Result<Infallible, Ended> {
        self.link.listen(&self.source.inbox).await?;
        self.look().await?;
        self.open().await?;
        self.source.note(|status| (status.is_following, status.failure) = (true, None));
        loop {
            let all = json!({ "batch": MESSAGES_MAX, "no_wait": true, "max_bytes": BYTES_MAX });
            let mut pulled = self.pull(&all, MESSAGES_MAX, ANSWER).await?;
            if pulled.messages.is_empty() && !pulled.is_shaken {
                // Also where there is one, and it is larger than what was asked for.
                let one =
                    json!({ "batch": 1, "expires": u64::try_from(IDLE.as_nanos()).unwrap_or(u64::MAX) });
                pulled = self.pull(&one, 1, IDLE.saturating_add(ANSWER)).await?;
            }
            if pulled.messages.is_empty() {
                self.look().await?;
                if pulled.is_shaken {
                    self.open().await?;
                    sleep(PAUSE_MIN).await;
                }
            }
            self.handle(pulled.messages).await?;
        }
    }

    /// Compares the stream with the cursor.
    async fn look(&mut self) -> Result<(), Ended> {
        let stream = &self.source.naming.stream;
        let info: StreamInfo = {
            let mut looks = 0;
            loop {
                match self.ask(&format!("STREAM.INFO.{stream}"), "").await {
                    Ok(info) => break info,
                    Err(error) if is_missing(&error, STREAM_NOT_FOUND) => {
                        looks += 1;
                        if looks >= LOOKS {
                            return Err(Ended::Condition(Condition::Forgotten(stream.clone())));
                        }
                        sleep(LOOK_AGAIN).await;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let reset = |why: String| Err(Ended::Condition(Condition::Reset(why)));
        let StreamInfo { created, config, state } = info;
        self.is_work_queue = config.is_work_queue();
        if self.cursor.created.is_empty() {
            self.cursor.created = created;
            self.cursor.sequence = state.first_seq.saturating_sub(1);
            return Ok(());
        }
        let (known, sequence) = (self.cursor.created.clone(), self.cursor.sequence);
        if created != known {
            return reset(format!("it was made at `{created}`, and the one we know at `{known}`"));
        }
        if state.last_seq < sequence {
            return reset(format!("its last message is `{}`, and we have had `{sequence}`", state.last_seq));
        }
        if !self.cursor.time.is_empty() {
            match self.get(sequence, false).await {
                Ok(message) if message.time != self.cursor.time => {
                    return reset(format!("it has another message `{sequence}` than the one we have had"));
                }
                Ok(_) => {}
                Err(error) if is_missing(&error, MESSAGE_NOT_FOUND) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let next = sequence.saturating_add(1);
        if state.first_seq > next {
            self.miss(Gap { first: next, last: state.first_seq.saturating_sub(1) }).await?;
        }
        Ok(())
    }

    /// Makes the consumer, or takes it up: what it has delivered to a run of ours that ended is fetched by number.
    async fn open(&mut self) -> Result<(), Ended> {
        let (stream, name) = (&self.source.naming.stream, &self.source.consumer);
        let found: Result<ConsumerInfo, NatsError> =
            self.ask(&format!("CONSUMER.INFO.{stream}.{name}"), "").await;
        match found {
            Ok(info) if info.config.is_ours() => {
                let mut ready = Ready::default();
                self.fill(&mut ready, info.delivered.stream_seq.saturating_add(1)).await?;
                self.hand_over(&mut ready).await
            }
            Ok(_) => {
                let why = format!("the stream has a consumer `{name}` that is none of this bridge");
                Err(NatsError::Options(why).into())
            }
            Err(error) if is_missing(&error, CONSUMER_NOT_FOUND) => {
                let from = (!self.is_work_queue).then(|| self.cursor.sequence.saturating_add(1));
                let config = consumer(stream, name, from, UNACKNOWLEDGED_MAX);
                let made: Result<ConsumerInfo, NatsError> =
                    self.ask(&format!("CONSUMER.CREATE.{stream}.{name}"), &config).await;
                made.map(drop).map_err(Ended::from)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The message of this number, or the next one that is there.
    async fn get(&mut self, sequence: u64, or_next: bool) -> Result<Kept, NatsError> {
        let stream = &self.source.naming.stream;
        let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let mut body = json!({ "seq": sequence });
        if or_next {
            body = json!({ "seq": sequence, "next_by_subj": ">" });
        }
        let message = self.request(&subject, &body.to_string()).await?;
        got(&message, &subject)
    }

    async fn ask<T: DeserializeOwned>(&mut self, call: &str, body: &str) -> Result<T, NatsError> {
        let subject = format!("$JS.API.{call}");
        answer(&self.request(&subject, body).await?, &subject)
    }

    /// Sends a request; gives the subject that its answers come to.
    async fn send(&mut self, subject: &str, body: &str) -> Result<String, NatsError> {
        let number = self.source.asked.fetch_add(1, Ordering::Relaxed);
        let inbox = format!("{}.{number}", self.source.inbox);
        let unsendable = |_| NatsError::Options(format!("`{subject}` cannot be sent"));
        self.link
            .writer
            .publish(subject.as_bytes(), Some(&inbox), &[], body.as_bytes())
            .map_err(unsendable)?;
        self.link.flush().await.map_err(|error| broken(&error))?;
        Ok(inbox)
    }

    async fn request(&mut self, subject: &str, body: &str) -> Result<Message, NatsError> {
        let inbox = self.send(subject, body).await?;
        let late = |_| NatsError::Unanswered(format!("nothing came to `{subject}` in time"));
        timeout(ANSWER, async {
            loop {
                let message = self.message().await?;
                // What else comes belongs to a request that was given up; the broker delivers it again.
                if *message.subject == *inbox.as_bytes() {
                    return Ok(message);
                }
            }
        })
        .await
        .map_err(late)?
    }

    /// The next message.
    async fn message(&mut self) -> Result<Message, NatsError> {
        loop {
            match self.link.attend().await? {
                Some(Received::Message(message)) => return Ok(message),
                Some(Received::Error(why)) => return Err(complaint(&why)),
                Some(Received::Info(_) | Received::Ping | Received::Pong | Received::Ok) | None => {
                    self.link.flush().await.map_err(|error| broken(&error))?;
                }
            }
        }
    }

    /// Asks for messages, and waits until as many are here or the broker says that no more come.
    async fn pull(
        &mut self,
        request: &serde_json::Value,
        most: usize,
        patience: Duration,
    ) -> Result<Pulled, NatsError> {
        let (stream, name) = (&self.source.naming.stream, &self.source.consumer);
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}");
        let inbox = self.send(&subject, &request.to_string()).await?;
        let mut pulled = Pulled::default();
        let pulling = async {
            while pulled.messages.len() < most {
                let message = self.message().await?;
                if *message.subject != *inbox.as_bytes() && message.headers.status.is_some() {
                    continue;
                }
                match message.headers.status {
                    // Still nothing, and the request stands.
                    Some(100) => {}
                    Some(404 | 408) => break,
                    Some(status) => {
                        let words = message.headers.description.to_ascii_lowercase();
                        let is_end = status == 409
                            && (words.contains("maxbytes") || words.contains("batch completed"));
                        pulled.is_shaken = !is_end;
                        break;
                    }
                    None => pulled.messages.extend(delivered(message)),
                }
            }
            Ok(())
        };
        let late = |_| NatsError::Unanswered("the broker did not end a request in time".to_owned());
        timeout(patience, pulling).await.map_err(late)??;
        Ok(pulled)
    }

    /// Hands over what is above the cursor, with what lies between (`NATS-6`, `NATS-7`), and acknowledges all of it.
    async fn handle(&mut self, mut messages: Vec<(Kept, Box<[u8]>)>) -> Result<(), Ended> {
        if messages.is_empty() {
            return Ok(());
        }
        messages.sort_by_key(|(message, _)| message.sequence);
        let (mut ready, mut acknowledgements) = (Ready::default(), Vec::new());
        for (message, acknowledgement) in messages {
            acknowledgements.push(acknowledgement);
            if message.sequence > self.last(&ready) {
                // What the broker passed over was delivered to an earlier run of ours, or is gone.
                self.fill(&mut ready, message.sequence).await?;
                self.push(&mut ready, message).await?;
            }
        }
        self.hand_over(&mut ready).await?;
        for acknowledgement in acknowledgements {
            let unsendable = |_| NatsError::Unanswered("a message cannot be acknowledged".to_owned());
            self.link.writer.publish(&acknowledgement, None, &[], b"+ACK").map_err(unsendable)?;
        }
        self.link.flush().await.map_err(|error| broken(&error).into())
    }

    /// The last number that is in `ready`, or else was handed over.
    fn last(&self, ready: &Ready) -> u64 {
        ready.messages.last().map_or(self.cursor.sequence, |message| message.sequence)
    }

    async fn push(&mut self, ready: &mut Ready, message: Kept) -> Result<(), Ended> {
        ready.bytes = ready.bytes.saturating_add(message.payload.len());
        ready.messages.push(message);
        if ready.messages.len() >= MESSAGES_MAX || ready.bytes >= BYTES_MAX {
            self.hand_over(ready).await?;
        }
        Ok(())
    }

    /// Fetches by number what lies between the last one and `end`, and tells of what is missing there.
    async fn fill(&mut self, ready: &mut Ready, end: u64) -> Result<(), Ended> {
        loop {
            let next = self.last(ready).saturating_add(1);
            if next >= end {
                return Ok(());
            }
            let there = match self.get(next, true).await {
                Ok(there) => Some(there).filter(|there| there.sequence < end),
                Err(error) if is_missing(&error, MESSAGE_NOT_FOUND) => None,
                Err(error) => return Err(error.into()),
            };
            let is = there.as_ref().map_or(end, |there| there.sequence);
            if is > next {
                self.hand_over(ready).await?;
                self.miss(Gap { first: next, last: is.saturating_sub(1) }).await?;
            }
            if let Some(there) = there {
                self.push(ready, there).await?;
            }
        }
    }

    async fn hand_over(&mut self, ready: &mut Ready) -> Result<(), Ended> {
        let Ready { messages, bytes: _ } = std::mem::take(ready);
        let Some(last) = messages.last() else { return Ok(()) };
        let cursor = Cursor { sequence: last.sequence, time: last.time.clone(), ..self.cursor.clone() };
        let (naming, generation) = (&self.source.naming, cursor.generation);
        let incoming = |message| Incoming::new(message, Arc::clone(naming), generation);
        let messages: Vec<Incoming> = messages.into_iter().map(incoming).collect();
        self.taken(cursor, move |take, cursor| take.take(messages, cursor)).await
    }

    async fn miss(&mut self, gap: Gap) -> Result<(), Ended> {
        let cursor = Cursor { sequence: gap.last, time: String::new(), ..self.cursor.clone() };
        self.taken(cursor, move |take, cursor| take.missing(gap, cursor)).await
    }

    /// Calls the taker beside the runtime's own threads; the cursor stands there once it has taken.
    async fn taken(
        &mut self,
        cursor: Cursor,
        call: impl FnOnce(&dyn Take, &Cursor) -> Result<(), TakeError> + Send + 'static,
    ) -> Result<(), Ended> {
        let (take, at) = (Arc::clone(self.take), cursor.clone());
        let called = tokio::task::spawn_blocking(move || call(take.as_ref(), &at)).await;
        let lost = |_| NatsError::Unanswered("what takes the messages has stopped".to_owned());
        called.map_err(lost)?.map_err(Ended::NotTaken)?;
        self.source.note(|status| status.cursor = cursor.clone());
        *self.cursor = cursor;
        Ok(())
    }
}

/// A message that a consumer delivers, with the subject that acknowledges it; none where it is something else.
fn delivered(message: Message) -> Option<(Kept, Box<[u8]>)> {
    let reply = message.reply?;
    let (sequence, nanos) = place(&reply)?;
    let kept = Kept {
        sequence,
        time: rfc3339(UtcNanos(nanos)),
        subject: String::from_utf8_lossy(&message.subject).into_owned(),
        headers: message.headers,
        payload: message.payload,
    };
    Some((kept, reply))
}
