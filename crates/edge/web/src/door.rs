//! What every request passes and every answer bears: methods, the Host check, and the headers that fence pages in
//! (`WEB-1`, `WEB-2`, `WEB-3`).
//!
//! DNS rebinding: a foreign page can make its own name resolve to 127.0.0.1 and so read what listens there. The
//! browser still sends the foreign name in `Host`, so any name but loopback's is refused.
//! Sources: CSP Level 3; Fetch (CORP, COOP); RFC 9110 §7.2 (Host) and §15.5.20 (421).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::WebError;
use crate::evidence;
use crate::router::Pages;

/// Nothing but this program's own files may be loaded, and nothing may frame the page.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const FENCES: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Under `no-referrer` a browser names no origin when it sends a form, not even to the page's own site (Fetch).
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=(), payment=()"),
];

/// Checks a request before any page sees it, and fences every answer in, refusals included.
pub(crate) async fn pass(State(pages): State<Arc<Pages>>, request: Request, next: Next) -> Response {
    let refusal = refused(&pages, &request);
    let takes_forms = takes_forms(&pages, request.uri().path());
    let mut response = match refusal {
        // No address takes this one, so whichever is asked tells what it takes, and does nothing.
        Some(WebError::Method) => next.run(with_no_method(request.uri())).await,
        Some(error) => plain(&error),
        None => next.run(request).await,
    };
    let is_refused = response.status() == StatusCode::METHOD_NOT_ALLOWED;
    let headers = response.headers_mut();
    if is_refused {
        let methods = allowed(headers, takes_forms);
        headers.insert(header::ALLOW, methods);
    }
    for (name, value) in FENCES {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Nothing of a request but where it goes.
fn with_no_method(address: &Uri) -> Request {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::OPTIONS;
    *request.uri_mut() = address.clone();
    request
}

/// Whether a form may be sent to this address, if it is one that takes forms at all.
fn takes_forms(pages: &Pages, path: &str) -> bool {
    pages.forms().is_some() && (pages.acts() || evidence::is_question(path))
}

/// The methods that an address takes, as the router tells them, less those that this door does not let through; that
/// may be none (RFC 9110 §10.2.1).
fn allowed(headers: &HeaderMap, takes_forms: bool) -> HeaderValue {
    let told = headers.get(header::ALLOW).and_then(|told| told.to_str().ok()).unwrap_or("");
    let methods = told.split(',').map(str::trim).filter(|method| takes_forms || *method != "POST");
    HeaderValue::from_str(&methods.collect::<Vec<_>>().join(", ")).unwrap_or(HeaderValue::from_static(""))
}

/// Why a request is turned away at the door.
fn refused(pages: &Pages, request: &Request) -> Option<WebError> {
    if !is_loopback_name(request.headers()) {
        return Some(WebError::Host);
    }
    match (request.method(), pages.forms()) {
        (&Method::GET | &Method::HEAD, _) => None,
        (&Method::POST, Some(forms)) if takes_forms(pages, request.uri().path()) => {
            (!forms.came_from_here(request.headers())).then_some(WebError::Forgery)
        }
        _ => Some(WebError::Method),
    }
}

/// Whether the one Host header names this machine's loopback, with any port.
fn is_loopback_name(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let Ok(host) = host.to_str() else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    ["127.0.0.1", "[::1]"].contains(&name) || name.eq_ignore_ascii_case("localhost")
}

/// A refusal in plain text: whoever is turned away here is not shown a page.
pub(crate) fn plain(error: &WebError) -> Response {
    let text = format!("{}: {error}\n{}\n", error.code(), error.advice());
    (error.status(), text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(hosts: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
        }
        headers
    }

    #[test]
    fn only_the_names_of_loopback_are_answered() {
        for good in ["127.0.0.1", "127.0.0.1:8081", "localhost:8081", "LOCALHOST", "[::1]:8081", "[::1]"] {
            assert!(is_loopback_name(&headers(&[good])), "{good}");
        }
        for bad in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "127.0.0.1:80:80",
            "127.0.0.1:",
            "127.0.0.1:x",
            "",
            "10.0.0.1",
        ] {
            assert!(!is_loopback_name(&headers(&[bad])), "{bad}");
        }
        assert!(!is_loopback_name(&headers(&[])), "no Host");
        assert!(!is_loopback_name(&headers(&["localhost", "localhost"])), "two Hosts");
    }
}
