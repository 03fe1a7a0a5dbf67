//! What a target's address says of whose place it is: to whom a secret belongs, and what a broker keeps for itself.
//!
//! Not here: the form of an address (`spec`), whether it may be connected to (the drivers).

use crate::spec::TargetSpec;

impl TargetSpec {
    /// Whose its secret is: kind, scheme, host and port; none for a kind that has no secret. What belongs to one place is
    /// never told to another.
    #[must_use]
    pub fn secret_place(&self) -> Option<String> {
        let of = |kind: &str, address: &str| {
            let (scheme, rest) = address.split_once("://").unwrap_or_default();
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
            let port = match scheme {
                "https" => ":443",
                "http" => ":80",
                _ => ":4222",
            };
            // A colon within brackets is part of an IPv6 address.
            let has_port =
                authority.rsplit_once(']').map_or(authority.as_str(), |(_, behind)| behind).contains(':');
            let port = if has_port { "" } else { port };
            Some(format!("{kind} {scheme}://{authority}{port}"))
        };
        match self {
            Self::Webhook { url } => of(self.kind(), url),
            Self::Nats { server, .. } => of(self.kind(), server),
            Self::Pull {} | Self::InProcess { .. } => None,
        }
    }
}

/// Whether a subject of NATS is the broker's own: what is published there is a command to it (`$JS.API.…` purges streams,
/// `$SYS.…`), or an answer that somebody else waits for (`_INBOX.…`).
#[must_use]
pub fn is_brokers_own(subject: &str) -> bool {
    subject.starts_with('$') || subject.split('.').next() == Some("_INBOX")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_places_alone() {
        let webhook = |url: &str| TargetSpec::Webhook { url: url.to_owned() }.secret_place();
        let nats = |server: &str| {
            TargetSpec::Nats { server: server.to_owned(), subject: "s".to_owned() }.secret_place()
        };
        assert_eq!(webhook("https://A.example/x?y"), webhook("https://a.example:443/z"));
        assert_eq!(nats("nats://h"), nats("nats://h:4222"));
        assert_eq!(webhook("https://[::1]/x"), webhook("https://[::1]:443"));
        let all = [
            webhook("https://a.example"),
            webhook("http://a.example"),
            webhook("https://a.example:8443"),
            webhook("https://b.example"),
            nats("nats://a.example"),
            nats("tls://a.example"),
            nats("nats://a.example:443"),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().flatten().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(TargetSpec::Pull {}.secret_place(), None);
    }

    #[test]
    fn a_broker_keeps_what_begins_with_a_dollar_and_its_inboxes() {
        for fine in ["orders", "JS.API.x", "a.$b", "_INBOXES.x"] {
            assert!(!is_brokers_own(fine), "{fine}");
        }
        for own in ["$JS.API.STREAM.PURGE.ORDERS", "$SYS.x", "$", "_INBOX", "_INBOX.x"] {
            assert!(is_brokers_own(own), "{own}");
        }
    }
}
