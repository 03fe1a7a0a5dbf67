//! The router's API: subscriptions, events to be pulled and answers to them, dead letters, jobs, trials of patterns.
//!
//! Who may what: an administrator manages, a reader reads lists, a subscriber pulls and answers and does nothing else, of
//! the subscriptions that its key names where it names any. A producer sees no lists, since they tell of others' events.
//! Every change carries the key's actor.
//! Not here: what is asked and whether it can be (`asked`), what is told (`told`), the router itself (`flow/router`).
//!
//! - `PULL-1`: an event is leased to one pull whose client is there; where it goes away the lease runs out, and the event
//!   comes again.
//! - `PULL-2`: pulls that wait are bounded, and end when the door ends, so that they hold up neither others nor a restart.

pub(crate) mod asked;
mod condition;
mod told;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use waag_pattern::Pattern;
use waag_router::error::{NO_SECRET, RouterError};
use waag_router::router::{Pulls, Router};
use waag_router::shown::{Leased, Overview};

use crate::access::Learned;
use crate::deliveries::asked::{Page, Pull};
use crate::deliveries::condition::Condition;
use crate::door::{Does, Door, Pass};
use crate::fault::{Fault, Kind, Outcome};
use crate::idempotency::{self, Begun};
use crate::keys::Role;
use crate::media;
use crate::problem::Answer;
use crate::routes::{Delivery, name_of};

pub use self::told::RouterFigures;

/// Most questions to the router at a time, since each may read the state; further ones wait.
const CALLS_MAX: usize = 8;
/// Most answers to leases that are handed to the router at a time.
const ANSWERING_MAX: usize = 16;
/// Most pulls that wait at a time: a part of the connections, so that others find one.
pub const PULLS_MAX: usize = 256;

/// The client of a pull, for as long as its connection is there.
struct Client(oneshot::Sender<Result<Vec<Leased>, RouterError>>);

impl Pulls for Client {
    fn is_wanted(&self) -> bool {
        !self.0.is_closed()
    }

    fn hear(self: Box<Self>, events: Result<Vec<Leased>, RouterError>) {
        // Who goes away at this very moment leaves leases that run out (`PULL-1`).
        drop(self.0.send(events));
    }
}

/// An `Idempotency-Key`, and what the request under it is.
type Repeated = (String, [u8; 32]);

/// Turns at the router, and the end of waiting for it.
#[derive(Debug)]
pub(crate) struct Turns {
    calls: Arc<Semaphore>,
    answering: Arc<Semaphore>,
    pulls: Arc<Semaphore>,
    ended: watch::Sender<bool>,
}

impl Default for Turns {
    fn default() -> Self {
        let room = |most| Arc::new(Semaphore::new(most));
        let (ended, _) = watch::channel(false);
        Self { calls: room(CALLS_MAX), answering: room(ANSWERING_MAX), pulls: room(PULLS_MAX), ended }
    }
}

impl Turns {
    /// Ends all waits, those of later pulls too.
    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
    }
}

impl From<RouterError> for Fault {
    fn from(error: RouterError) -> Self {
        let outcome = match &error {
            RouterError::Unknown(_) | RouterError::NoJob(_) | RouterError::NoDeadLetter(_) => {
                Outcome::Unknown
            }
            RouterError::Exists(_)
            | RouterError::TooMany(_)
            | RouterError::Lease(_)
            | RouterError::NotPulled(_)
            | RouterError::JobUnderWay(_) => Outcome::Conflict,
            RouterError::Stale(_) => Outcome::Stale,
            RouterError::Spec(_)
            | RouterError::Pattern(_)
            | RouterError::Transform(_)
            | RouterError::Span(_)
            | RouterError::Target(_)
            | RouterError::NoSecret(_)
            | RouterError::NoReason => Outcome::Refused,
            RouterError::Record(_)
            | RouterError::Stopped(_)
            | RouterError::State(_)
            | RouterError::Keys(..)
            | RouterError::Source(_) => Outcome::Failed,
        };
        let code = error.code();
        // What failed inside is told by its code: the words may be the system's.
        let words = match outcome {
            Outcome::Failed => format!("deliveries failed ({code})"),
            Outcome::Unknown | Outcome::Conflict | Outcome::Stale | Outcome::Refused => error.to_string(),
        };
        let fault = Self::of(Kind::Router(outcome, code, words));
        if let RouterError::Pattern(refused) = &error {
            return fault.at(&format!("/pattern{}", refused.path));
        }
        fault
    }
}

/// The same fault; where it is one of the body's, of what stands below a place of it.
fn below(place: &'static str) -> impl Fn(Fault) -> Fault {
    move |fault| {
        let Kind::Router(Outcome::Refused, code, _) = &fault.kind else { return fault };
        if *code == NO_SECRET {
            // It stands beside the subscription.
            return fault.at("/secret");
        }
        let path = format!("{place}{}", fault.path);
        fault.at(&path)
    }
}

/// Where nothing is asked by a query, there is none; elsewhere it is read with what is asked.
fn check_query<B>(delivery: Delivery, request: &Request<B>) -> Result<(), Fault> {
    let method = request.method();
    let is_asked = match delivery {
        Delivery::Subscriptions | Delivery::Letters | Delivery::LettersCount => *method == Method::GET,
        Delivery::Subscription => *method == Method::DELETE,
        Delivery::Pull => true,
        Delivery::Jobs
        | Delivery::Job(_)
        | Delivery::Pause
        | Delivery::Resume
        | Delivery::RotateSecret
        | Delivery::Answer
        | Delivery::Redrive
        | Delivery::Discard
        | Delivery::Replay
        | Delivery::Cancel(_)
        | Delivery::PatternTest => false,
    };
    if is_asked { Ok(()) } else { asked::no_query(request.uri().query().unwrap_or_default()) }
}

/// A place in line, kept until what it is for is over.
async fn turn(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Fault> {
    Arc::clone(of).acquire_owned().await.map_err(|_| Fault::of(Kind::Stopped))
}

fn router_of(pass: &Pass) -> Result<Arc<Router>, Fault> {
    pass.ledger.router().ok_or_else(|| Fault::of(Kind::NoRouter))
}

impl Door {
    pub(crate) async fn deliveries(
        &self,
        delivery: Delivery,
        request: Request<Incoming>,
        learned: &mut Learned,
    ) -> Result<Answer, Fault> {
        let is_get = request.method() == Method::GET;
        let (role, does) = match delivery {
            Delivery::Pull => (Role::Subscriber, Does::Read),
            Delivery::Answer => (Role::Subscriber, Does::Write),
            Delivery::PatternTest => (Role::Reader, Does::Read),
            Delivery::Subscriptions
            | Delivery::Subscription
            | Delivery::Letters
            | Delivery::LettersCount
            | Delivery::Jobs
            | Delivery::Job(_)
                if is_get =>
            {
                (Role::Reader, Does::Read)
            }
            Delivery::Subscriptions
            | Delivery::Subscription
            | Delivery::Letters
            | Delivery::LettersCount
            | Delivery::Jobs
            | Delivery::Job(_)
            | Delivery::Pause
            | Delivery::Resume
            | Delivery::RotateSecret
            | Delivery::Redrive
            | Delivery::Discard
            | Delivery::Replay
            | Delivery::Cancel(_) => (Role::Admin, Does::Write),
        };
        let pass = self.pass(request.headers(), role, does, learned)?;
        if is_get && pass.key.role == Role::Producer {
            return Err(Fault::of(Kind::Forbidden));
        }
        // Before anybody looks whether there is one of the name.
        if pass.key.role == Role::Subscriber && !pass.key.is_for(name_of(request.uri().path())) {
            return Err(Fault::of(Kind::OtherSubscription));
        }
        check_query(delivery, &request)?;
        if is_get {
            return self.listed(&pass, delivery, &request).await;
        }
        match delivery {
            Delivery::Pull => self.pull(&pass, &request).await,
            Delivery::Answer => self.answered(&pass, request, learned).await,
            Delivery::PatternTest => self.pattern_test(request, learned).await,
            Delivery::Redrive | Delivery::Discard => {
                let is_discard = delivery == Delivery::Discard;
                self.letters_job(&pass, is_discard, request, learned).await
            }
            Delivery::Replay => self.replay(&pass, request, learned).await,
            Delivery::Subscriptions
            | Delivery::Subscription
            | Delivery::Pause
            | Delivery::Resume
            | Delivery::RotateSecret
            | Delivery::Cancel(_)
            | Delivery::Letters
            | Delivery::LettersCount
            | Delivery::Jobs
            | Delivery::Job(_) => self.managed(&pass, delivery, request, learned).await,
        }
    }

    /// Lists and what stands in them.
    async fn listed<B>(
        &self,
        pass: &Pass,
        delivery: Delivery,
        request: &Request<B>,
    ) -> Result<Answer, Fault> {
        let name = name_of(request.uri().path()).to_owned();
        let query = request.uri().query().unwrap_or_default();
        match delivery {
            Delivery::Subscriptions => {
                let page = Page::of_names(query)?;
                self.tell(pass, move |router| Ok(told::overviews(router.overviews()?, &page))).await
            }
            Delivery::Subscription => {
                let detail = self.ask(pass, move |router| router.detail(&name)).await?;
                let mut answer = Answer::json(StatusCode::OK, told::json(&detail));
                answer.headers.extend(condition::header(&detail.overview));
                Ok(answer)
            }
            Delivery::Letters => {
                let (filter, Page { after, most }) = asked::letters(query)?;
                let found = move |router: &Router| router.dead_letters(&name, &filter, after, most);
                self.tell(pass, move |router| Ok(told::json(&found(router)?))).await
            }
            Delivery::LettersCount => {
                let (filter, _) = asked::letters(query)?;
                self.tell(pass, move |router| Ok(told::count(router.count_dead_letters(&name, &filter)?)))
                    .await
            }
            Delivery::Jobs => self.tell(pass, |router| Ok(told::jobs(&router.jobs()?))).await,
            Delivery::Job(number) => {
                self.tell(pass, move |router| Ok(told::json(&router.job(number)?))).await
            }
            Delivery::Pause
            | Delivery::Resume
            | Delivery::RotateSecret
            | Delivery::Pull
            | Delivery::Answer
            | Delivery::Redrive
            | Delivery::Discard
            | Delivery::Replay
            | Delivery::Cancel(_)
            | Delivery::PatternTest => Err(Fault::of(Kind::MethodNotAllowed)),
        }
    }

    /// Changes of subscriptions, and the end of a job.
    async fn managed(
        &self,
        pass: &Pass,
        delivery: Delivery,
        request: Request<Incoming>,
        learned: &mut Learned,
    ) -> Result<Answer, Fault> {
        let (by, name) = (pass.key.actor.clone(), name_of(request.uri().path()).to_owned());
        match delivery {
            Delivery::Subscriptions => {
                let (spec, secret) = asked::subscription(&self.json_body(request, learned).await?)?;
                let place = format!("/v1/subscriptions/{}", spec.name);
                let made = self.ask(pass, move |router| router.create(spec, secret, &by)).await;
                let made = told::json(&made.map_err(below("/subscription"))?);
                Ok(told::located(StatusCode::CREATED, &place, made))
            }
            Delivery::Subscription if request.method() == Method::DELETE => {
                let reason = asked::reason(request.uri().query().unwrap_or_default())?;
                let condition = Condition::of(request.headers())?;
                let expected = move |overview: &Overview| condition.holds(overview);
                self.ask(pass, move |router| router.remove_if(&name, &reason, &by, expected)).await?;
                Ok(Answer::json(StatusCode::OK, b"{\"status\":\"removed\"}".to_vec()))
            }
            Delivery::Subscription => {
                let condition = Condition::of(request.headers())?;
                let change = asked::change(&self.json_body(request, learned).await?, &name)?;
                let expected = move |overview: &Overview| condition.holds(overview);
                let changed = move |router: &Router| router.alter_if(change, &by, expected);
                let told = self.tell(pass, move |router| Ok(told::json(&changed(router)?))).await;
                told.map_err(below("/subscription"))
            }
            Delivery::Pause => {
                let reason = asked::pause(&self.json_body(request, learned).await?)?;
                self.tell(pass, move |router| Ok(told::json(&router.pause(&name, &reason, &by)?))).await
            }
            Delivery::Resume => {
                self.tell(pass, move |router| Ok(told::json(&router.resume(&name, &by)?))).await
            }
            Delivery::RotateSecret => {
                let secret = asked::secret(&self.json_body(request, learned).await?)?;
                let rotated = move |router: &Router| router.rotate_secret(&name, secret, &by);
                self.tell(pass, move |router| Ok(told::json(&rotated(router)?))).await
            }
            Delivery::Cancel(number) => {
                self.tell(pass, move |router| Ok(told::json(&router.cancel(number, &by)?))).await
            }
            Delivery::Letters
            | Delivery::LettersCount
            | Delivery::Redrive
            | Delivery::Discard
            | Delivery::Replay
            | Delivery::Jobs
            | Delivery::Job(_)
            | Delivery::Pull
            | Delivery::Answer
            | Delivery::PatternTest => Err(Fault::of(Kind::MethodNotAllowed)),
        }
    }

    /// What is done to many dead letters, as a job, or counted only.
    async fn letters_job(
        &self,
        pass: &Pass,
        is_discard: bool,
        request: Request<Incoming>,
        learned: &mut Learned,
    ) -> Result<Answer, Fault> {
        let (by, name) = (pass.key.actor.clone(), name_of(request.uri().path()).to_owned());
        let (repeated, body) = self.repeatable(request, learned).await?;
        let asked::LettersJob { filter, rate, reason, dry_run } = asked::letters_job(&body, is_discard)?;
        let job = move |router: &Router| {
            if dry_run {
                let count = router.count_dead_letters(&name, &filter)?;
                return Ok(Answer::json(StatusCode::OK, told::count(count)));
            }
            let job = if is_discard {
                router.discard(&name, filter, &reason, &by)
            } else {
                router.redrive(&name, filter, rate, &reason, &by)
            };
            Ok(told::started(&job?))
        };
        self.job(pass, repeated, job).await
    }

    /// A span of the ledger delivered again, as a job.
    async fn replay(
        &self,
        pass: &Pass,
        request: Request<Incoming>,
        learned: &mut Learned,
    ) -> Result<Answer, Fault> {
        let (by, name) = (pass.key.actor.clone(), name_of(request.uri().path()).to_owned());
        let (repeated, body) = self.repeatable(request, learned).await?;
        let asked = asked::replay(&body)?;
        let replay = move |router: &Router| Ok(told::started(&router.replay(&name, asked, &by)?));
        self.job(pass, repeated, replay).await
    }

    /// A body of JSON, and the request's `Idempotency-Key` with what the request is, where it has one.
    async fn repeatable(
        &self,
        request: Request<Incoming>,
        learned: &mut Learned,
    ) -> Result<(Option<Repeated>, bytes::Bytes), Fault> {
        let key = idempotency::key_of(request.headers())?;
        let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
        let body = self.json_body(request, learned).await?;
        let fingerprint = |key| (key, idempotency::fingerprint(&path, &headers, &body, None));
        Ok((key.map(fingerprint), body))
    }

    /// Begins a job, once under its `Idempotency-Key`. The answer is kept by what begins the job, so that a client that
    /// went away meanwhile and asks again hears of that very job.
    async fn job(
        &self,
        pass: &Pass,
        repeated: Option<Repeated>,
        begin: impl FnOnce(&Router) -> Result<Answer, RouterError> + Send + 'static,
    ) -> Result<Answer, Fault> {
        let mut ending = match repeated.map(|(key, print)| self.begin(pass, &key, print)).transpose()? {
            Some(Begun::Before(answer)) => return Ok(answer),
            Some(Begun::Now(ending)) => Some(ending),
            None => None,
        };
        let begin = move |router: &Router| {
            let answer = begin(router)?;
            if let Some(ending) = &mut ending {
                ending.keep(&answer);
            }
            // Kept or forgotten here, where the job has begun or was refused.
            drop(ending);
            Ok(answer)
        };
        self.ask(pass, begin).await
    }

    async fn pull<B>(&self, pass: &Pass, request: &Request<B>) -> Result<Answer, Fault> {
        let Pull { most, wait } = Pull::of(request.uri().query().unwrap_or_default())?;
        let router = router_of(pass)?;
        let pulls = &self.turns.pulls;
        let _turn = pulls.try_acquire().map_err(|_| Fault::of(Kind::TooManyPulls))?;
        let (sender, pulled) = oneshot::channel();
        let name = name_of(request.uri().path());
        router.pull(name, most, wait, Box::new(Client(sender)));
        let mut ended = self.turns.ended.subscribe();
        let events = tokio::select! {
            biased;
            events = pulled => events.map_err(|_| Fault::of(Kind::Stopped))??,
            _ended = ended.wait_for(|is_ended| *is_ended) => Vec::new(),
        };
        Ok(Answer::json(StatusCode::OK, told::leased(&events)))
    }

    async fn answered(
        &self,
        pass: &Pass,
        request: Request<Incoming>,
        learned: &mut Learned,
    ) -> Result<Answer, Fault> {
        let name = name_of(request.uri().path()).to_owned();
        let body = self.json_body(request, learned).await?;
        let answers = asked::answers(&body)?;
        let leases: Vec<String> = answers.iter().map(|answer| answer.lease().to_owned()).collect();
        let router = router_of(pass)?;
        let turn = turn(&self.turns.answering).await?;
        let mut results = blocking(turn, move || router.answer(&name, answers)).await?;
        if let (1, Some(Err(error))) = (leases.len(), results.first_mut()) {
            return Err(error.clone().into());
        }
        Ok(Answer::json(StatusCode::OK, told::results(&leases, results)))
    }

    async fn pattern_test(&self, request: Request<Incoming>, learned: &mut Learned) -> Result<Answer, Fault> {
        let body = self.json_body(request, learned).await?;
        let turn = turn(&self.turns.calls).await?;
        let matches = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let (pattern, event) = asked::trial(&body)?;
            let refused = |error| Fault::from(RouterError::Pattern(error));
            let pattern = Pattern::parse(pattern.get().as_bytes()).map_err(refused)?;
            pattern.matches(event.get().as_bytes()).map_err(|error| {
                let words = Kind::Router(Outcome::Refused, error.code(), error.to_string());
                Fault::of(words).at("/event")
            })
        });
        let matches = matches.await.map_err(|_| Fault::of(Kind::Stopped))??;
        Ok(Answer::json(StatusCode::OK, format!("{{\"matches\":{matches}}}").into_bytes()))
    }

    /// A question to the router, whose state is a disk: not on the thread that serves connections. It goes on where its
    /// client goes away, and so keeps its turn.
    async fn ask<T: Send + 'static>(
        &self,
        pass: &Pass,
        question: impl FnOnce(&Router) -> Result<T, RouterError> + Send + 'static,
    ) -> Result<T, Fault> {
        let router = router_of(pass)?;
        let turn = turn(&self.turns.calls).await?;
        blocking(turn, move || question(&router)).await
    }

    /// A question whose answer is told as it is.
    async fn tell(
        &self,
        pass: &Pass,
        question: impl FnOnce(&Router) -> Result<Vec<u8>, RouterError> + Send + 'static,
    ) -> Result<Answer, Fault> {
        Ok(Answer::json(StatusCode::OK, self.ask(pass, question).await?))
    }

    async fn json_body(
        &self,
        request: Request<Incoming>,
        learned: &mut Learned,
    ) -> Result<bytes::Bytes, Fault> {
        media::json(request.headers())?;
        let (head, body) = request.into_parts();
        self.body_within(asked::BODY_BYTES_MAX, &head.headers, body, learned).await
    }
}

async fn blocking<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    question: impl FnOnce() -> Result<T, RouterError> + Send + 'static,
) -> Result<T, Fault> {
    let told = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        question()
    });
    Ok(told.await.map_err(|_| Fault::of(Kind::Stopped))??)
}
