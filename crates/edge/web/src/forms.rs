//! Whether a form was filled in on this very page: what keeps a foreign page from commanding, or asking, through a reader's
//! browser (`WEB-1`).
//!
//! A command needs three things together: an `Origin` that is this listener, a cookie that browsers do not send along
//! from foreign sites, and a field that only this process writes into its forms. Cookies are shared by all ports of a
//! host, so another program on this machine may come to know the cookie; it does not know the field, and its pages have
//! another origin. All values are drawn at every start.
//! Not here: who the reader is; nobody signs in yet, and whoever can open these pages can command.
//! Sources: OWASP CSRF Prevention Cheat Sheet; RFC 6265bis §5.6 (SameSite); Fetch, "append a request `Origin` header",
//! by which a page under `no-referrer` would send `null`; Fetch Metadata (`Sec-Fetch-Site`).

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use axum::http::header::{self, HeaderMap, HeaderValue};
use waag_stdx::entropy::{Entropy, NoEntropy};

/// Length of each of the two values, in bytes before they are written in hexadecimal.
const VALUE_BYTES: usize = 32;

/// Bytes of a handle, before they are written in hexadecimal.
const HANDLE_BYTES: usize = 16;

/// The values of this process.
pub(crate) struct Forms {
    cookie: String,
    field: String,
    /// What handles are made with, so that none can be guessed.
    handles: hmac::Key,
    handed_out: AtomicU64,
}

impl Forms {
    pub(crate) fn draw(entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        let drawn = || {
            let mut bytes = [0; VALUE_BYTES];
            entropy.fill(&mut bytes)?;
            Ok(bytes)
        };
        let (cookie, field) = (hexadecimal(&drawn()?), hexadecimal(&drawn()?));
        let handles = hmac::Key::new(hmac::HMAC_SHA256, &drawn()?);
        Ok(Self { cookie, field, handles, handed_out: AtomicU64::new(0) })
    }

    /// A name that nobody can guess, another one each time.
    pub(crate) fn handle(&self) -> String {
        let number = self.handed_out.fetch_add(1, Ordering::Relaxed);
        let tag = hmac::sign(&self.handles, &number.to_be_bytes());
        hexadecimal(tag.as_ref().get(..HANDLE_BYTES).unwrap_or_default())
    }

    /// What forms have in their field `token`.
    pub(crate) fn field(&self) -> &str {
        &self.field
    }

    /// The cookie that a page with forms sets; it ends with the browser.
    pub(crate) fn set_cookie(&self, asked: &HeaderMap) -> Option<HeaderValue> {
        let (name, value) = (cookie_name(asked), &self.cookie);
        HeaderValue::from_str(&format!("{name}={value}; Path=/; SameSite=Strict; HttpOnly")).ok()
    }

    /// Whether the request's headers say that a page of this listener sent it.
    pub(crate) fn came_from_here(&self, headers: &HeaderMap) -> bool {
        let one = |name| {
            let mut values = headers.get_all(name).iter();
            let (Some(value), None) = (values.next(), values.next()) else { return None };
            value.to_str().ok()
        };
        let (Some(origin), Some(host)) = (one(header::ORIGIN), one(header::HOST)) else {
            return false;
        };
        let is_own = origin.strip_prefix("http://").is_some_and(|own| own.eq_ignore_ascii_case(host));
        let site = headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin");
        let name = cookie_name(headers);
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut cookies = lines.flat_map(|line| line.split(';'));
        let bears = cookies.any(|pair| {
            let value = pair.trim().strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('='));
            value.is_some_and(|value| are_equal(value, &self.cookie))
        });
        is_own && site && bears
    }

    /// Whether a form's field `token` is this process's.
    pub(crate) fn is_field(&self, token: &str) -> bool {
        are_equal(token, &self.field)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// In constant time, so that an answer's delay tells nothing of how much was right.
fn are_equal(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// The cookie's name has the port in it, so that the pages of two nodes on one machine do not take it from each other.
fn cookie_name(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let port = host.rsplit_once(':').map_or("80", |(_, port)| port);
    let digits: String = port.chars().filter(char::is_ascii_digit).collect();
    format!("waag_form_{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counted(std::sync::atomic::AtomicU8);

    impl Entropy for Counted {
        fn fill(&self, out: &mut [u8]) -> Result<(), NoEntropy> {
            out.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            Ok(())
        }
    }

    fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_form_is_taken_from_this_origin_with_this_cookie_only() {
        let forms = Forms::draw(&Counted(std::sync::atomic::AtomicU8::new(1))).unwrap();
        let cookie = format!("a=b; waag_form_81={}", "01".repeat(32));
        let host = ("host", "127.0.0.1:81".to_owned());
        let origin = |text: &str| ("origin", text.to_owned());
        let own = origin("http://127.0.0.1:81");
        let bears = ("cookie", cookie.clone());
        assert!(forms.came_from_here(&headers(&[host.clone(), own.clone(), bears.clone()])));
        let same = ("sec-fetch-site", "same-origin".to_owned());
        assert!(forms.came_from_here(&headers(&[host.clone(), own.clone(), bears.clone(), same])));
        for bad in [
            vec![host.clone(), bears.clone()],
            vec![host.clone(), own.clone()],
            vec![host.clone(), origin("null"), bears.clone()],
            vec![host.clone(), origin("http://127.0.0.1:82"), bears.clone()],
            vec![host.clone(), origin("http://evil.example"), bears.clone()],
            vec![host.clone(), origin("https://127.0.0.1:81"), bears.clone()],
            vec![host.clone(), own.clone(), own.clone(), bears.clone()],
            vec![host.clone(), own.clone(), ("cookie", cookie.replace("_81=", "_82="))],
            vec![host.clone(), own.clone(), ("cookie", format!("waag_form_81={}", "02".repeat(32)))],
            vec![host.clone(), own.clone(), bears.clone(), ("sec-fetch-site", "same-site".to_owned())],
        ] {
            assert!(!forms.came_from_here(&headers(&bad)), "{bad:?}");
        }
        assert!(forms.is_field(&"02".repeat(32)), "the field is another value than the cookie");
        for bad in [String::new(), "01".repeat(32), "02".repeat(31)] {
            assert!(!forms.is_field(&bad));
        }
        let (one, other) = (forms.handle(), forms.handle());
        assert!(one != other && one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
