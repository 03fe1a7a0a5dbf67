//! What is served where: one table for answering, for metrics' labels, and for the OpenAPI document.
//!
//! A handful of fixed paths needs no router; what is not in this table is not served.

use hyper::Method;

use waag_invoices::event::Stage;
use waag_router::spec::is_name;

use crate::percent;
use crate::tlog::Log;

/// What a path serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Events,
    Event(u64),
    Delivery(Delivery),
    Log(Log),
    Report(Report),
    Invoices(Stage),
    Mapping(Stage),
    MappingTrial(Stage),
    Ledger,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Docs,
}

/// What a path about deliveries serves; the name of a subscription stays in the path ([`name_of`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Subscriptions,
    Subscription,
    Pause,
    Resume,
    RotateSecret,
    Pull,
    Answer,
    Letters,
    LettersCount,
    Redrive,
    Discard,
    Replay,
    Jobs,
    Job(u32),
    Cancel(u32),
    PatternTest,
}

/// What a path of the invoices' read model serves; an invoice's id stays in the path ([`invoice_of`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    List,
    Invoice,
    Figures,
    Totals,
    Series,
    Times,
    Vendors,
    Cash,
}

const INVOICES: &str = "/v1/invoices/";

/// The id in the path of an invoice, with its percent-encoding taken off; none where that is none.
pub(crate) fn invoice_of(path: &str) -> Option<String> {
    path.strip_prefix(INVOICES).and_then(percent::of_path)
}

impl Report {
    fn find(path: &str) -> Option<Self> {
        Some(match path {
            "/v1/invoices" => Self::List,
            "/v1/figures" => Self::Figures,
            "/v1/figures/totals" => Self::Totals,
            "/v1/figures/series" => Self::Series,
            "/v1/figures/times" => Self::Times,
            "/v1/figures/vendors" => Self::Vendors,
            "/v1/figures/cash" => Self::Cash,
            other => {
                let id = other.strip_prefix(INVOICES)?;
                (!id.is_empty() && !id.contains('/')).then_some(Self::Invoice)?
            }
        })
    }

    /// Its place in [`Route::LABELS`].
    fn label(self) -> usize {
        match self {
            Self::List => 32,
            Self::Invoice => 33,
            Self::Figures => 34,
            Self::Totals => 35,
            Self::Series => 36,
            Self::Times => 37,
            Self::Vendors => 38,
            Self::Cash => 39,
        }
    }
}

const SUBSCRIPTIONS: &str = "/v1/subscriptions/";
const JOBS: &str = "/v1/delivery-jobs/";

/// The name in the path of a subscription.
pub(crate) fn name_of(path: &str) -> &str {
    path.strip_prefix(SUBSCRIPTIONS).and_then(|rest| rest.split('/').next()).unwrap_or_default()
}

impl Delivery {
    fn find(path: &str) -> Option<Self> {
        match path {
            "/v1/subscriptions" => return Some(Self::Subscriptions),
            "/v1/delivery-jobs" => return Some(Self::Jobs),
            "/v1/patterns/test" => return Some(Self::PatternTest),
            _ => {}
        }
        if let Some(rest) = path.strip_prefix(JOBS) {
            let number = |text: &str| position_of(text).and_then(|number| u32::try_from(number).ok());
            return match rest.strip_suffix("/cancel") {
                Some(text) => number(text).map(Self::Cancel),
                None => number(rest).map(Self::Job),
            };
        }
        let rest = path.strip_prefix(SUBSCRIPTIONS)?;
        let (name, what) = rest.split_once('/').map_or((rest, None), |(name, what)| (name, Some(what)));
        is_name(name).then_some(())?;
        Some(match what {
            None => Self::Subscription,
            Some("pause") => Self::Pause,
            Some("resume") => Self::Resume,
            Some("rotate-secret") => Self::RotateSecret,
            Some("pull") => Self::Pull,
            Some("answer") => Self::Answer,
            Some("dead-letters") => Self::Letters,
            Some("dead-letters/count") => Self::LettersCount,
            Some("redrive") => Self::Redrive,
            Some("discard") => Self::Discard,
            Some("replay") => Self::Replay,
            Some(_) => return None,
        })
    }

    /// Its place in [`Route::LABELS`].
    fn label(self) -> usize {
        match self {
            Self::Subscriptions => 11,
            Self::Subscription => 12,
            Self::Pause => 13,
            Self::Resume => 14,
            Self::RotateSecret => 15,
            Self::Pull => 16,
            Self::Answer => 17,
            Self::Letters => 18,
            Self::LettersCount => 19,
            Self::Redrive => 20,
            Self::Discard => 21,
            Self::Replay => 22,
            Self::Jobs => 23,
            Self::Job(_) => 24,
            Self::Cancel(_) => 25,
            Self::PatternTest => 26,
        }
    }

    fn allow(self) -> &'static str {
        match self {
            Self::Subscriptions => "GET, HEAD, POST",
            Self::Subscription => "GET, HEAD, PUT, DELETE",
            Self::Letters | Self::LettersCount | Self::Jobs | Self::Job(_) => "GET, HEAD",
            Self::Pause
            | Self::Resume
            | Self::RotateSecret
            | Self::Pull
            | Self::Answer
            | Self::Redrive
            | Self::Discard
            | Self::Replay
            | Self::Cancel(_)
            | Self::PatternTest => "POST",
        }
    }
}

impl Route {
    /// Labels of metrics; the last is for everything else.
    pub(crate) const LABELS: [&str; 41] = [
        "/v1/events",
        "/invoices/{stage}",
        "/v1/mappings/{stage}",
        "/v1/mappings/{stage}/try",
        "/v1/ledger",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/v1/events/{position}",
        "/v1/subscriptions",
        "/v1/subscriptions/{name}",
        "/v1/subscriptions/{name}/pause",
        "/v1/subscriptions/{name}/resume",
        "/v1/subscriptions/{name}/rotate-secret",
        "/v1/subscriptions/{name}/pull",
        "/v1/subscriptions/{name}/answer",
        "/v1/subscriptions/{name}/dead-letters",
        "/v1/subscriptions/{name}/dead-letters/count",
        "/v1/subscriptions/{name}/redrive",
        "/v1/subscriptions/{name}/discard",
        "/v1/subscriptions/{name}/replay",
        "/v1/delivery-jobs",
        "/v1/delivery-jobs/{number}",
        "/v1/delivery-jobs/{number}/cancel",
        "/v1/patterns/test",
        "/log/checkpoint",
        "/log/tile/{level}/{index}",
        "/log/tile/entries/{index}",
        "/witness/add-checkpoint",
        "/witness/{log}/checkpoint",
        "/v1/invoices",
        "/v1/invoices/{id}",
        "/v1/figures",
        "/v1/figures/totals",
        "/v1/figures/series",
        "/v1/figures/times",
        "/v1/figures/vendors",
        "/v1/figures/cash",
        "other",
    ];

    pub(crate) fn find(path: &str) -> Option<Self> {
        Some(match path {
            "/v1/events" => Self::Events,
            "/v1/ledger" => Self::Ledger,
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/openapi.json" => Self::OpenApi,
            "/docs" => Self::Docs,
            other => {
                if let Some(delivery) = Delivery::find(other) {
                    return Some(Self::Delivery(delivery));
                }
                if let Some(report) = Report::find(other) {
                    return Some(Self::Report(report));
                }
                if let Some(log) = Log::find(other) {
                    return Some(Self::Log(log));
                }
                if let Some(position) = other.strip_prefix("/v1/events/") {
                    return position_of(position).map(Self::Event);
                }
                if let Some(stage) = other.strip_prefix("/invoices/") {
                    return Stage::of_name(stage).map(Self::Invoices);
                }
                let rest = other.strip_prefix("/v1/mappings/")?;
                return match rest.strip_suffix("/try") {
                    Some(stage) => Stage::of_name(stage).map(Self::MappingTrial),
                    None => Stage::of_name(rest).map(Self::Mapping),
                };
            }
        })
    }

    pub(crate) fn label(self) -> usize {
        match self {
            Self::Events => 0,
            Self::Invoices(_) => 1,
            Self::Mapping(_) => 2,
            Self::MappingTrial(_) => 3,
            Self::Ledger => 4,
            Self::Health => 5,
            Self::Ready => 6,
            Self::Metrics => 7,
            Self::OpenApi => 8,
            Self::Docs => 9,
            Self::Event(_) => 10,
            Self::Delivery(delivery) => delivery.label(),
            Self::Log(log) => log.label(),
            Self::Report(report) => report.label(),
        }
    }

    /// The methods it knows, as the header `Allow` lists them.
    pub(crate) fn allow(self) -> &'static str {
        match self {
            Self::Events | Self::Invoices(_) | Self::MappingTrial(_) => "POST",
            Self::Mapping(_) => "GET, HEAD, PUT, DELETE",
            Self::Delivery(delivery) => delivery.allow(),
            Self::Log(log) => log.allow(),
            Self::Event(_)
            | Self::Report(_)
            | Self::Ledger
            | Self::Health
            | Self::Ready
            | Self::Metrics
            | Self::OpenApi
            | Self::Docs => "GET, HEAD",
        }
    }

    pub(crate) fn knows(self, method: &Method) -> bool {
        self.allow().split(", ").any(|known| known == method.as_str())
    }
}

/// A position in decimal digits, in the one form that a number has.
fn position_of(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_is_the_path_that_is_found_under_it() {
        for (label, path) in Route::LABELS.into_iter().enumerate() {
            let path = path.replace("{stage}", "posting").replace("{position}", "7");
            let path = path.replace("{name}", "a-1").replace("{number}", "7");
            let path = path.replace("{level}", "0").replace("{index}", "x001/000.p/7");
            let path = path.replace("{log}", &"0f".repeat(32)).replace("{id}", "a%2Fb");
            let found = Route::find(&path).map_or(Route::LABELS.len() - 1, Route::label);
            assert_eq!(found, label, "{path}");
        }
        assert_eq!(name_of("/v1/subscriptions/a-1/dead-letters/count"), "a-1");
    }

    #[test]
    fn an_invoices_id_may_have_any_characters() {
        for (path, id) in [
            ("/v1/invoices/INV-1", Some("INV-1")),
            ("/v1/invoices/a%2Fb%20%C3%A9+%25", Some("a/b é+%")),
            ("/v1/invoices/%22%3F%23", Some("\"?#")),
            ("/v1/invoices/%", None),
            ("/v1/invoices/%ff", None),
        ] {
            assert_eq!(invoice_of(path).as_deref(), id, "{path}");
            assert_eq!(Route::find(path), Some(Route::Report(Report::Invoice)), "{path}");
        }
    }

    #[test]
    fn what_is_read_by_get_is_asked_for_by_head() {
        for path in Route::LABELS.iter().take(Route::LABELS.len() - 1) {
            let path = path.replace("{stage}", "posting").replace("{position}", "7");
            let path = path.replace("{name}", "a-1").replace("{number}", "7");
            let path = path.replace("{level}", "0").replace("{index}", "000").replace("{id}", "a%2Fb");
            let path = path.replace("{log}", &"0f".repeat(32));
            let route = Route::find(&path).unwrap();
            assert_eq!(route.knows(&Method::GET), route.knows(&Method::HEAD), "{path}");
        }
    }

    #[test]
    fn what_is_no_name_and_no_number_is_not_served() {
        for path in [
            "/v1/subscriptions/",
            "/v1/subscriptions/A",
            "/v1/subscriptions/%61",
            "/v1/subscriptions/a/",
            "/v1/subscriptions/a/pull/",
            "/v1/subscriptions//pull",
            "/v1/delivery-jobs/",
            "/v1/delivery-jobs/01",
            "/v1/delivery-jobs/4294967296",
            "/v1/delivery-jobs/1/cancel/",
            "/v1/patterns/test/",
            "/v1/invoices/",
            "/v1/invoices/a/",
            "/v1/invoices/a/b",
            "/v1/figures/",
            "/v1/figures/none",
        ] {
            assert_eq!(Route::find(path), None, "{path}");
        }
    }
}
