//! What is served where: one table for answering, for metrics' labels, and for the OpenAPI document.
//!
//! A handful of fixed paths needs no router; what is not in this table is not served.

use hyper::Method;

use waag_invoices::event::Stage;

/// What a path serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Events,
    Event(u64),
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

impl Route {
    /// Labels of metrics; the last is for everything else.
    pub(crate) const LABELS: [&str; 12] = [
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
        }
    }

    /// The methods it knows, as the header `Allow` lists them.
    pub(crate) fn allow(self) -> &'static str {
        match self {
            Self::Events | Self::Invoices(_) | Self::MappingTrial(_) => "POST",
            Self::Mapping(_) => "GET, PUT, DELETE",
            Self::Event(_)
            | Self::Ledger
            | Self::Health
            | Self::Ready
            | Self::Metrics
            | Self::OpenApi
            | Self::Docs => "GET",
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
