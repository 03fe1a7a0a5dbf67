//! A key history as a file: `keys.json` of a pack, and what a verifier may be given from elsewhere.
//!
//! Not here: what a window means (`history`). In a pack it is the operator's word and makes no key trusted.

use std::fmt::Write as _;

use waag_model::time::UtcNanos;

use super::fault::PackFault;
use super::json::{Cursor, write_string};
use super::{KEYS_BYTES_MAX, KEYS_FORMAT, name};
use crate::checkpoint::ORIGIN_BYTES_MAX;
use crate::history::{KeyHistory, KeyState, KeyWindow};
use crate::note::{VERIFIER_KEY_BYTES_MAX, VerifierKey};

/// The history as `keys.json` holds it.
#[must_use]
pub fn write_key_history(origin: &str, history: &KeyHistory) -> Vec<u8> {
    let mut out = String::from("{\"format\":");
    write_string(&mut out, KEYS_FORMAT);
    out.push_str(",\"keys\":[");
    for (at, window) in history.windows().iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ =
            write!(out, "{comma}{{\"from\":\"{}\",\"state\":\"{}\"", UtcNanos(window.from_ns), window.state);
        if let Some(until) = window.until_ns {
            let _ = write!(out, ",\"until\":\"{}\"", UtcNanos(until));
        }
        out.push_str(",\"vkey\":");
        write_string(&mut out, &window.key.to_string());
        out.push('}');
    }
    out.push_str("],\"origin\":");
    write_string(&mut out, origin);
    out.push('}');
    out.into_bytes()
}

/// Reads what [`write_key_history`] writes: the origin, and the history.
///
/// # Errors
/// [`PackFault::Limit`], [`PackFault::Json`], [`PackFault::Keys`].
pub fn read_key_history(bytes: &[u8]) -> Result<(String, KeyHistory), PackFault> {
    if bytes.len() > KEYS_BYTES_MAX {
        return Err(PackFault::Limit {
            what: "bytes of a key history",
            limit: KEYS_BYTES_MAX,
            got: bytes.len(),
        });
    }
    let mut json = Cursor::new(name::KEYS, bytes)?;
    json.expect("{\"format\":\"waag key history v1\",\"keys\":[")?;
    let mut windows = Vec::new();
    loop {
        windows.push(read_window(&mut json)?);
        if !json.next_is(",") {
            break;
        }
    }
    json.expect("],\"origin\":")?;
    let origin = json.string(ORIGIN_BYTES_MAX, "an origin of at most 255 bytes")?;
    json.expect("}")?;
    json.end()?;
    let foreign = windows.iter().any(|window| !window.key.speaks_for(&origin));
    let history = KeyHistory::new(windows).map_err(PackFault::Keys)?;
    if foreign || write_key_history(&origin, &history) != bytes {
        let expected = "keys of the ledger's own name, ascending by their beginning";
        return Err(PackFault::Json { member: name::KEYS, offset: 0, expected });
    }
    Ok((origin, history))
}

fn read_window(json: &mut Cursor<'_>) -> Result<KeyWindow, PackFault> {
    json.expect("{\"from\":")?;
    let from = json.time("a time")?;
    json.expect(",\"state\":")?;
    let state = [KeyState::Active, KeyState::Retired, KeyState::Revoked]
        .into_iter()
        .find(|state| json.next_is(&format!("\"{state}\"")))
        .ok_or_else(|| json.fault("active, retired or revoked"))?;
    let until = if json.next_is(",\"until\":") { Some(json.time("a time")?) } else { None };
    json.expect(",\"vkey\":")?;
    let key = read_vkey(json)?;
    json.expect("}")?;
    Ok(KeyWindow { key, from_ns: from.0, until_ns: until.map(|until| until.0), state })
}

/// A string that is a vkey in its one spelling, of a type that is known.
pub(super) fn read_vkey(json: &mut Cursor<'_>) -> Result<VerifierKey, PackFault> {
    let wrong = json.fault("a verifier key of a known type");
    let text = json.string(VERIFIER_KEY_BYTES_MAX, "a verifier key")?;
    text.parse::<VerifierKey>().ok().filter(|key| key.to_string() == text).ok_or(wrong)
}
