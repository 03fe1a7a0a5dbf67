//! Addresses and their pages, and where they are served (`WEB-1`, `WEB-2`, `WEB-6`).
//!
//! Not here: connections (`server`), the pages of deliveries and of evidence, and what they order (`deliveries`, `evidence`).

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use waag_domain::project::Reads;
use waag_model::ids::Position;
use waag_stdx::clock::Clock;
use waag_stdx::entropy::{Entropy, NoEntropy};

use crate::address::{self, Asked};
use crate::error::WebError;
use crate::figures::Figures;
use crate::format;
use crate::forms::Forms;
use crate::live::{self, Lines};
use crate::model::Found;
use crate::ports::{House, Proof};
use crate::screens::{
    CashScreen, ErrorScreen, FoundScreen, HelpScreen, InvoiceScreen, OperationsScreen, OverviewScreen,
};
use crate::server::{self, Bounds};
use crate::shell::{Shell, Theme};
use crate::{assets, deliveries, door, download, evidence, why};

/// Pages drawn at once, those of errors included; each holds a blocking thread and a snapshot of the read model.
const PAGES_AT_ONCE_MAX: usize = 16;
/// How long a request waits for its turn, in milliseconds.
const TURN_WAIT_MS: u64 = 2_000;
/// Longest form, in bytes as it is sent: a pattern of full length, and what percent-encoding adds.
const FORM_BYTES_MAX: usize = 256 * 1_024;
/// A year, for the cookie of light and dark.
const THEME_AGE_S: u32 = 31_536_000;

/// Makes figures of a snapshot.
type FiguresOf = dyn Fn(Box<dyn Reads + Send>) -> Box<dyn Figures> + Send + Sync;

/// The pages of one house.
pub struct Pages {
    house: Arc<dyn House>,
    clock: Arc<dyn Clock>,
    figures: Arc<FiguresOf>,
    turns: Arc<Semaphore>,
    lines: Lines,
    /// Present where forms are taken.
    forms: Option<Forms>,
    /// Whether forms may order; without it they only ask.
    acts: bool,
    /// What forms of the pages of evidence led to.
    kept: evidence::Kept,
    /// Turns true when the listener closes.
    closing: watch::Sender<bool>,
}

impl Pages {
    /// The pages of a house.
    pub fn new(house: Arc<dyn House>, clock: Arc<dyn Clock>) -> Self {
        Self::with_figures(house, clock, |rows| Box::new(crate::load::Loaded::new(rows)))
    }

    /// Pages over a house, with a given way to read figures.
    pub fn with_figures(
        house: Arc<dyn House>,
        clock: Arc<dyn Clock>,
        figures: impl Fn(Box<dyn Reads + Send>) -> Box<dyn Figures> + Send + Sync + 'static,
    ) -> Self {
        Self {
            house,
            clock,
            figures: Arc::new(figures),
            turns: Arc::new(Semaphore::new(PAGES_AT_ONCE_MAX)),
            lines: Lines::default(),
            forms: None,
            acts: false,
            kept: evidence::Kept::default(),
            closing: watch::Sender::new(false),
        }
    }

    /// The same pages, which take commands too: whoever can open them can order what the router does (`WEB-1`).
    ///
    /// # Errors
    /// [`NoEntropy`]: without randomness nobody could tell this page's forms from foreign ones.
    pub fn commanded(self, entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        Ok(Self { acts: true, ..self.asked(entropy)? })
    }

    /// The same pages, which take forms that ask and order nothing: whose data is held, whether a pack is good (`WEB-1`).
    ///
    /// # Errors
    /// As [`Self::commanded`].
    pub fn asked(mut self, entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        self.forms = Some(Forms::draw(entropy)?);
        Ok(self)
    }

    pub(crate) fn acts(&self) -> bool {
        self.acts
    }

    pub(crate) fn kept(&self) -> &evidence::Kept {
        &self.kept
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn forms(&self) -> Option<&Forms> {
        self.forms.as_ref()
    }

    pub(crate) fn house(&self) -> &dyn House {
        &*self.house
    }

    /// A request's turn to hold a blocking thread, kept until that is free again; none where it did not come in time.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        tokio::time::timeout(Duration::from_millis(TURN_WAIT_MS), turn).await.ok()?.ok()
    }

    /// Tells when the listener closes.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    pub(crate) fn figures(&self) -> Result<Box<dyn Figures>, WebError> {
        Ok((self.figures)(self.house.reads()?))
    }
}

/// All addresses.
pub fn router(pages: Pages) -> Router {
    let pages = Arc::new(pages);
    let addresses = Router::new()
        .route("/", get(overview))
        .route("/operations", get(operations))
        .route("/operations.csv", get(download::operations))
        .route("/invoice", get(invoice))
        .route("/cash", get(cash))
        .route("/help", get(help))
        .route("/theme", get(theme))
        .route("/live", get(live_line))
        .route("/proof/{file}", get(proof))
        .route("/assets/{file}", get(asset))
        .merge(deliveries::addresses())
        .merge(evidence::addresses())
        .fallback(nothing)
        // The router adds which methods the address takes.
        .method_not_allowed_fallback(|| async { door::plain(&WebError::Method) })
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(Arc::clone(&pages));
    // Around the whole: a layer on the addresses themselves would run behind the choice of one by path and method.
    let door = axum::middleware::from_fn_with_state(pages, door::pass);
    Router::new().fallback_service(addresses).layer(door)
}

/// Pages that are served; how that ended.
pub type Served = Pin<Box<dyn Future<Output = Result<(), WebError>> + Send>>;

/// Serves the pages until `stop` is done.
///
/// In a box, so that what serves a connection is compiled here: an `async fn` is compiled by whoever awaits it.
///
/// # Errors
/// [`WebError::NotLoopback`] where others than this machine could reach the listener; [`WebError::Listener`].
pub fn serve(listener: TcpListener, pages: Pages, stop: impl Future<Output = ()> + Send + 'static) -> Served {
    boxed(listener, pages, Box::pin(stop))
}

fn boxed(listener: TcpListener, pages: Pages, stop: Stop) -> Served {
    Box::pin(run(listener, pages, stop))
}

type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn run(listener: TcpListener, pages: Pages, stop: Stop) -> Result<(), WebError> {
    let address = listener.local_addr().map_err(|error| WebError::Listener(error.to_string()))?;
    if !address.ip().is_loopback() {
        return Err(WebError::NotLoopback(address.to_string()));
    }
    let (closing, ending) = (pages.closing.clone(), pages.closing.subscribe());
    let stopped = async move {
        stop.await;
        closing.send_replace(true);
    };
    tokio::join!(stopped, server::run(listener, router(pages), ending, Bounds::default()));
    Ok(())
}

pub(crate) type Pairs = Query<Vec<(String, String)>>;
pub(crate) type Shared = State<Arc<Pages>>;

/// What every page's request brings.
pub(crate) struct Visit {
    theme: Theme,
    here: String,
}

fn visit(headers: &HeaderMap, uri: &Uri) -> Visit {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let theme = cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix("waag_theme="))
        .find_map(Theme::from_word);
    Visit {
        theme: theme.unwrap_or_default(),
        here: uri.path_and_query().map_or("/", |here| here.as_str()).to_owned(),
    }
}

pub(crate) fn shell(pages: &Pages, visit: &Visit, title: &str, place: &'static str, live: bool) -> Shell {
    Shell {
        title: title.to_owned(),
        place,
        theme: visit.theme,
        here: visit.here.clone(),
        now: pages.clock.now(),
        health: pages.house.health(),
        live,
        token: pages.forms.as_ref().filter(|_| pages.acts).map(|forms| forms.field().to_owned()),
        asks: pages.forms.as_ref().map(|forms| forms.field().to_owned()),
    }
}

/// Draws a page on a blocking thread when its turn comes.
pub(crate) async fn drawn<F>(pages: Arc<Pages>, headers: HeaderMap, uri: Uri, draw: F) -> Response
where
    F: FnOnce(&Pages, &Visit) -> Result<String, WebError> + Send + 'static,
{
    let done = done(pages, headers, uri, move |pages, visit| Ok(page(StatusCode::OK, draw(pages, visit)?)));
    done.await.unwrap_or_else(|refusal| refusal)
}

/// Draws a page that has forms; where forms are taken, it brings the cookie that they need.
pub(crate) async fn page_with_forms<F>(
    State(pages): Shared,
    headers: HeaderMap,
    uri: Uri,
    draw: F,
) -> Response
where
    F: FnOnce(&Pages, &Visit) -> Result<String, WebError> + Send + 'static,
{
    let cookie = pages.forms().and_then(|forms| forms.set_cookie(&headers));
    let mut response = drawn(pages, headers, uri, draw).await;
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Does a request's work on a blocking thread when its turn comes; what went wrong comes back as its page.
pub(crate) async fn done<F, T>(
    pages: Arc<Pages>,
    headers: HeaderMap,
    uri: Uri,
    work: F,
) -> Result<T, Response>
where
    F: FnOnce(&Pages, &Visit) -> Result<T, WebError> + Send + 'static,
    T: Send + 'static,
{
    let visit = visit(&headers, &uri);
    // A page that says so would need a turn as well.
    let Some(turn) = pages.turn().await else { return Err(door::plain(&WebError::Busy)) };
    let work = tokio::task::spawn_blocking(move || {
        let done = work(&pages, &visit).map_err(|error| Box::new(failed(&pages, &visit, error)));
        // The work goes on when its client has gone away, and its turn lasts as long.
        drop(turn);
        done
    });
    match work.await {
        Ok(done) => done.map_err(|refusal| *refusal),
        Err(error) => Err(door::plain(&WebError::Drawing(error.to_string()))),
    }
}

/// An error's own page for a request that has no work to be done: it is drawn in its turn as any other page.
async fn refused(pages: Arc<Pages>, headers: HeaderMap, uri: Uri, error: WebError) -> Response {
    match done(pages, headers, uri, move |_, _| Err::<Infallible, _>(error)).await {
        Ok(never) => match never {},
        Err(refusal) => refusal,
    }
}

pub(crate) fn page(status: StatusCode, html: String) -> Response {
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))];
    (status, kind, format::visible(html)).into_response()
}

/// An error's own page; in plain text where even that cannot be drawn. It tells how the node is, which takes its time.
fn failed(pages: &Pages, visit: &Visit, error: WebError) -> Response {
    let status = error.status();
    let shell = shell(pages, visit, error.title(), "", false);
    let text = format!("{}: {error}\n", error.code());
    match (ErrorScreen { shell, error }).render() {
        Ok(html) => page(status, html),
        Err(_) => (status, text).into_response(),
    }
}

async fn overview(State(pages): Shared, headers: HeaderMap, uri: Uri, Query(pairs): Pairs) -> Response {
    drawn(pages, headers, uri, |pages, visit| {
        let asked = address::read(pairs, pages.clock.now().day())?;
        let shell = shell(pages, visit, "Overview", "overview", true);
        let view = pages.figures()?.overview(&asked, shell.now)?;
        Ok(OverviewScreen { shell, asked, view }.render()?)
    })
    .await
}

async fn operations(State(pages): Shared, headers: HeaderMap, uri: Uri, Query(pairs): Pairs) -> Response {
    drawn(pages, headers, uri, |pages, visit| {
        let asked = address::read(pairs, pages.clock.now().day())?;
        let shell = shell(pages, visit, "Operations", "operations", true);
        let mut view = pages.figures()?.operations(&asked, shell.now)?;
        let unread = why::fill(&*pages.house, &*pages.clock, why::READ_WITHIN, &mut view.rows)?;
        Ok(OperationsScreen { shell, asked, view, unread }.render()?)
    })
    .await
}

async fn cash(State(pages): Shared, headers: HeaderMap, uri: Uri, Query(pairs): Pairs) -> Response {
    drawn(pages, headers, uri, |pages, visit| {
        let asked = address::read(pairs, pages.clock.now().day())?;
        let shell = shell(pages, visit, "Cash", "cash", true);
        let view = pages.figures()?.cash(&asked, shell.now)?;
        Ok(CashScreen { shell, asked, view }.render()?)
    })
    .await
}

async fn invoice(State(pages): Shared, headers: HeaderMap, uri: Uri, Query(pairs): Pairs) -> Response {
    drawn(pages, headers, uri, |pages, visit| {
        let asked: Asked = address::read(pairs, pages.clock.now().day())?;
        let id = asked.id.clone().ok_or(WebError::Parameter { name: "id", allowed: "an invoice's id" })?;
        let now = pages.clock.now();
        let figures = pages.figures()?;
        // What is typed into the search may bring spaces that no id has.
        let found = match figures.invoice(&id, asked.before, now)? {
            Found::Beginning(rows) if rows.is_empty() && id.trim() != id => {
                figures.invoice(id.trim(), asked.before, now)?
            }
            found @ (Found::Invoice(_) | Found::Beginning(_)) => found,
        };
        match found {
            Found::Invoice(invoice) => {
                let shell = shell(pages, visit, &format!("Invoice {id}"), "", true);
                let positions: Vec<Position> = invoice.positions.iter().copied().map(Position).collect();
                let history = pages.house.history(&positions)?;
                Ok(InvoiceScreen { shell, asked, invoice: *invoice, history }.render()?)
            }
            Found::Beginning(rows) if rows.is_empty() => Err(WebError::NoInvoice(id)),
            Found::Beginning(mut rows) => {
                let shell = shell(pages, visit, &format!("Invoices that begin with {id}"), "", true);
                why::fill(&*pages.house, &*pages.clock, why::READ_WITHIN, &mut rows)?;
                Ok(FoundScreen { shell, id: id.trim().to_owned(), rows }.render()?)
            }
        }
    })
    .await
}

async fn help(State(pages): Shared, headers: HeaderMap, uri: Uri) -> Response {
    drawn(pages, headers, uri, |pages, visit| {
        Ok(HelpScreen { shell: shell(pages, visit, "Help", "help", false) }.render()?)
    })
    .await
}

async fn nothing(State(pages): Shared, headers: HeaderMap, uri: Uri) -> Response {
    refused(pages, headers, uri, WebError::NoPage).await
}

/// Keeps light or dark in a cookie and goes back; no other state is in a cookie.
async fn theme(State(pages): Shared, headers: HeaderMap, uri: Uri, Query(pairs): Pairs) -> Response {
    let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let back = value("back").filter(|back| address::is_own(back)).unwrap_or("/");
    let Some(theme) = value("to").and_then(Theme::from_word) else {
        let error = WebError::Parameter { name: "to", allowed: "`auto`, `light` or `dark`" };
        return refused(pages, headers, uri, error).await;
    };
    let cookie =
        format!("waag_theme={}; Path=/; Max-Age={THEME_AGE_S}; SameSite=Strict; HttpOnly", theme.word());
    let headers = [(header::SET_COOKIE, cookie), (header::LOCATION, back.to_owned())];
    (StatusCode::SEE_OTHER, headers).into_response()
}

async fn live_line(State(pages): Shared, Query(pairs): Pairs) -> Response {
    let more = match pairs.iter().find(|(name, _)| name == "of").map(|(_, value)| value.as_str()) {
        Some("deliveries") => pages.house.router().map(live::of_deliveries),
        Some("evidence") => pages.house.evidence().map(live::of_evidence),
        _ => None,
    };
    let stamp = live::of_house(Arc::clone(&pages.house), more);
    let (changes, closing) = (pages.house.changes(), pages.closing.subscribe());
    let line = pages.lines.answer(changes, closing, Arc::clone(&pages.clock), stamp);
    // No reader sees this one.
    line.unwrap_or_else(|| door::plain(&WebError::Busy))
}

async fn asset(State(pages): Shared, Path(file): Path<String>, headers: HeaderMap, uri: Uri) -> Response {
    match assets::answer(&file, &headers) {
        Some(answer) => answer,
        None => refused(pages, headers, uri, WebError::NoPage).await,
    }
}

/// The proof of one entry: `N.tlog-proof` the file, `N.entry` the sealed bytes, `N.json` both with the keys.
async fn proof(State(pages): Shared, Path(file): Path<String>, headers: HeaderMap, uri: Uri) -> Response {
    let done = done(pages, headers, uri, move |pages, _| {
        let (number, form) = file.split_once('.').ok_or(WebError::NoPage)?;
        let position: u64 = number.parse().map_err(|_| WebError::NoPage)?;
        if !["tlog-proof", "entry", "json"].contains(&form) {
            return Err(WebError::NoPage);
        }
        let proof = pages.house.proof(Position(position))?.ok_or(WebError::NoEntry(position))?;
        Ok(proof_file(position, form, proof))
    });
    done.await.unwrap_or_else(|refusal| refusal)
}

fn proof_file(position: u64, form: &str, proof: Proof) -> Response {
    let attached = |kind: &'static str, bytes: Vec<u8>| {
        let name = format!("attachment; filename=\"{position}.{form}\"");
        let kind = HeaderValue::from_static(kind);
        let name = HeaderValue::from_str(&name).unwrap_or(HeaderValue::from_static("attachment"));
        ([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], bytes).into_response()
    };
    match form {
        "tlog-proof" => attached("text/plain; charset=utf-8", proof.file.into_bytes()),
        "entry" => attached("application/octet-stream", proof.entry),
        _ => {
            use base64::Engine as _;
            let entry = base64::engine::general_purpose::STANDARD.encode(&proof.entry);
            let json = serde_json::json!({ "entry": entry, "proof": proof.file, "keys": proof.keys });
            ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json.to_string())
                .into_response()
        }
    }
}
