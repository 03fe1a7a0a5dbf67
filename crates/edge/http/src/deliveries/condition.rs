//! `If-Match` and the entity tag of a subscription: a change is made to what was read, or not at all.
//!
//! The tag is of what a subscription is and whether it delivers. It is not of what moves by itself, such as how far it is
//! behind: every event would make another version, and none could ever be changed under a condition. So it answers no
//! `If-None-Match`, and nothing may store an answer that bears it (`no-store`).
//! Not here: comparing and changing in one turn (`flow/router`).
//! Sources: RFC 9110 §8.8.3 (entity tags), §13.1.1 (`If-Match`, compared strongly).

use aws_lc_rs::digest::{SHA256, digest};
use hyper::HeaderMap;
use hyper::header::{ETAG, HeaderName, HeaderValue, IF_MATCH};
use waag_router::shown::{Overview, Standing};

use crate::fault::{Fault, Kind};
use crate::json;

/// Bytes of a hash that a tag tells.
const TAG_BYTES: usize = 16;
/// Most tags that one request may name.
pub(crate) const TAGS_MAX: usize = 64;

/// The tag of a subscription, in its quotes.
fn tag(overview: &Overview) -> Vec<u8> {
    // When it stopped by itself may be told anew each time; that it did, and why, is not.
    let standing = match &overview.standing {
        Standing::Active => ("active", "", "", 0),
        Standing::Paused { by, reason, at_ns } => ("paused", by.as_str(), reason.as_str(), *at_ns),
        Standing::Stopped { code, reason, .. } => ("stopped", code.as_str(), reason.as_str(), 0),
    };
    let told = serde_json::to_vec(&(&overview.spec, overview.created_ns, standing)).unwrap_or_default();
    let mut tag = b"\"".to_vec();
    json::hex(&mut tag, digest(&SHA256, &told).as_ref().get(..TAG_BYTES).unwrap_or_default());
    tag.push(b'"');
    tag
}

/// The header that tells the tag.
pub(crate) fn header(overview: &Overview) -> Option<(HeaderName, HeaderValue)> {
    Some((ETAG, HeaderValue::try_from(tag(overview)).ok()?))
}

/// On what a request is to be carried out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Whatever is there.
    None,
    /// One of these versions, by their tags.
    Tags(Vec<Vec<u8>>),
}

impl Condition {
    /// The condition of a request's `If-Match`; the values of several of them are one list (RFC 9110 §5.3).
    ///
    /// # Errors
    /// [`Kind::Header`].
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Fault> {
        let values: Vec<&[u8]> = headers.get_all(IF_MATCH).iter().map(HeaderValue::as_bytes).collect();
        if values.is_empty() {
            return Ok(Self::None);
        }
        let list = values.join(&b","[..]);
        if list.trim_ascii() == b"*" {
            return Ok(Self::None);
        }
        let tags = tags(&list).filter(|tags| (1..=TAGS_MAX).contains(&tags.len()));
        tags.map(Self::Tags).ok_or_else(|| Fault::of(Kind::Header("if-match")))
    }

    /// Whether a subscription is one of the versions; a weak tag is of none (RFC 9110 §8.8.3.2).
    pub(crate) fn holds(&self, overview: &Overview) -> bool {
        match self {
            Self::None => true,
            Self::Tags(tags) => tags.contains(&tag(overview)),
        }
    }
}

/// The tags of a list, with their quotes; none where it is no list of tags.
fn tags(list: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut tags = Vec::new();
    let mut rest = list.trim_ascii();
    loop {
        let (weak, quoted) = match rest.strip_prefix(b"W/") {
            Some(quoted) => (&b"W/"[..], quoted),
            None => (&b""[..], rest),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let end = inner.iter().position(|byte| *byte == b'"')?;
        let (opaque, behind) = inner.split_at_checked(end)?;
        // `etagc`: what can be seen, and bytes beyond ASCII.
        if !opaque.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)) {
            return None;
        }
        tags.push([weak, b"\"", opaque, b"\""].concat());
        rest = behind.strip_prefix(b"\"")?.trim_ascii_start();
        if rest.is_empty() {
            return Some(tags);
        }
        rest = rest.strip_prefix(b",")?.trim_ascii_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Result<Condition, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IF_MATCH, HeaderValue::try_from(*value).unwrap());
        }
        Condition::of(&headers).map_err(|fault| fault.kind.code())
    }

    #[test]
    fn a_condition_is_a_list_of_tags_in_their_quotes() {
        assert_eq!(of(&[]), Ok(Condition::None));
        assert_eq!(of(&["*"]), Ok(Condition::None));
        let tags =
            |tags: &[&str]| Ok(Condition::Tags(tags.iter().map(|tag| tag.as_bytes().to_vec()).collect()));
        assert_eq!(of(&["\"a\""]), tags(&["\"a\""]));
        assert_eq!(of(&["\"\""]), tags(&["\"\""]));
        assert_eq!(of(&["\"a,b\" ,W/\"c\"", "\"d\""]), tags(&["\"a,b\"", "W/\"c\"", "\"d\""]));
        let bad = ["", "a", "\"", "\"a", "\"a\",", "\"a\" \"b\"", "w/\"a\"", "\"a b\"", "*,\"a\"", ",\"a\""];
        for bad in bad {
            assert_eq!(of(&[bad]), Err("E0909"), "{bad}");
        }
        let many = |count: usize| vec!["\"a\""; count].join(", ");
        assert!(of(&[&many(TAGS_MAX)]).is_ok());
        assert_eq!(of(&[&many(TAGS_MAX + 1)]), Err("E0909"));
    }
}
