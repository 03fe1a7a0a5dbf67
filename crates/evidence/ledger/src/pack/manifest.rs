//! `manifest.json`: what a pack is, and the length and hash of every other member.
//!
//! Not here: whether what it says is so (`verify`).

use std::fmt::Write as _;

use waag_model::ids::LedgerId;
use waag_model::limits::ACTOR_BYTES_MAX;
use waag_model::time::UtcNanos;

use super::fault::PackFault;
use super::json::{Cursor, write_string};
use super::keys::read_vkey;
use super::{
    FORMAT, MANIFEST_BYTES_MAX, MEMBERS_MAX, REASON_BYTES_MAX, SELECTION_TERMS_MAX, SELECTION_TEXT_BYTES_MAX,
    SIGNERS_MAX, TERM_NAME_BYTES_MAX, TERM_VALUE_BYTES_MAX, name,
};
use crate::checkpoint::ORIGIN_BYTES_MAX;
use crate::hash::Hash;
use crate::note::VerifierKey;

/// The longest name of a member, in bytes.
const MEMBER_NAME_BYTES_MAX: usize = name::DICTIONARIES.len() + 64;

/// What a pack says of itself. Its fields are the operator's words but for those that [`super::verify`] found to be so:
/// root, size, counts, gapless, ledger, members, origin, first and last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Who made the pack: a principal's id.
    pub actor: String,
    /// The checkpoint's root.
    pub root: Hash,
    /// The checkpoint's tree, in leaves.
    pub size: u64,
    /// How many of what.
    pub counts: Counts,
    /// The id of the ledger's own event that records the making; empty where there is none.
    pub event: String,
    /// Whether the positions have no gap.
    pub gapless: bool,
    /// The ledger's id.
    pub ledger: LedgerId,
    /// When the pack was made.
    pub made: UtcNanos,
    /// Every member but the manifest and its note.
    pub members: Vec<ManifestMember>,
    /// The ledger's origin.
    pub origin: String,
    /// The lowest position of an entry.
    pub first: u64,
    /// The highest position of an entry.
    pub last: u64,
    /// Why the pack was made.
    pub reason: String,
    /// What was asked.
    pub selection: Selection,
    /// Who signs the manifest.
    pub signers: Vec<VerifierKey>,
}

/// How many of what a pack holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blobs.
    pub blobs: u64,
    /// Dictionaries.
    pub dictionaries: u64,
    /// Disclosed parts.
    pub disclosed: u64,
    /// Entries.
    pub entries: u64,
    /// Closed parts that are said to be erased.
    pub erased: u64,
    /// Parts of all entries.
    pub parts: u64,
}

/// A member as the manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestMember {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Hash,
}

/// What was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// For programs: what was combined.
    pub terms: Vec<Term>,
    /// For people.
    pub text: String,
}

/// One condition of a selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What it is about, such as `invoice`: 1 to 32 of a-z, 0-9 and `-`.
    pub name: String,
    /// Which, such as the invoice's id.
    pub value: String,
}

impl Manifest {
    /// The manifest in its one spelling; [`Manifest::read`] says whether it is within its limits.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = String::from("{\"actor\":");
        write_string(&mut out, &self.actor);
        let Counts { blobs, dictionaries, disclosed, entries, erased, parts } = self.counts;
        let _ = write!(
            out,
            ",\"checkpoint\":{{\"root\":\"{}\",\"size\":\"{}\"}},\"counts\":{{\"blobs\":{blobs},\
             \"dictionaries\":{dictionaries},\"disclosed\":{disclosed},\"entries\":{entries},\"erased\":{erased},\
             \"parts\":{parts}}},\"event\":",
            self.root, self.size
        );
        write_string(&mut out, &self.event);
        let _ = write!(
            out,
            ",\"format\":\"{FORMAT}\",\"gapless\":{},\"ledger\":\"{}\",\"made\":\"{}\",\"members\":[",
            u8::from(self.gapless),
            self.ledger,
            self.made
        );
        list(&mut out, &self.members, |out, member| {
            let _ = write!(out, "{{\"bytes\":{},\"name\":", member.bytes);
            write_string(out, &member.name);
            let _ = write!(out, ",\"sha256\":\"{}\"}}", member.sha256);
        });
        out.push_str("],\"origin\":");
        write_string(&mut out, &self.origin);
        let _ = write!(
            out,
            ",\"positions\":{{\"first\":\"{}\",\"last\":\"{}\"}},\"reason\":",
            self.first, self.last
        );
        write_string(&mut out, &self.reason);
        out.push_str(",\"selection\":{\"terms\":[");
        list(&mut out, &self.selection.terms, |out, term| {
            out.push_str("{\"name\":");
            write_string(out, &term.name);
            out.push_str(",\"value\":");
            write_string(out, &term.value);
            out.push('}');
        });
        out.push_str("],\"text\":");
        write_string(&mut out, &self.selection.text);
        out.push_str("},\"signers\":[");
        list(&mut out, &self.signers, |out, key| write_string(out, &key.to_string()));
        out.push_str("]}");
        out.into_bytes()
    }

    /// Reads a manifest in its one spelling.
    ///
    /// # Errors
    /// [`PackFault::Limit`], [`PackFault::Json`].
    pub(super) fn read(bytes: &[u8]) -> Result<Self, PackFault> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            let limit = MANIFEST_BYTES_MAX;
            return Err(PackFault::Limit { what: "bytes of a manifest", limit, got: bytes.len() });
        }
        let mut json = Cursor::new(name::MANIFEST, bytes)?;
        json.expect("{\"actor\":")?;
        let actor = filled(&mut json, ACTOR_BYTES_MAX, "an actor of 1 to 255 bytes")?;
        json.expect(",\"checkpoint\":{\"root\":")?;
        let root = Hash(json.hex("64 hexadecimal digits")?);
        json.expect(",\"size\":")?;
        let size = json.decimal("a decimal size")?;
        json.expect("},\"counts\":")?;
        let counts = read_counts(&mut json)?;
        json.expect(",\"event\":")?;
        let event = json.string(REASON_BYTES_MAX, "an event's id of at most 1024 bytes")?;
        json.expect(",\"format\":\"waag evidence pack v1\",\"gapless\":")?;
        let gapless = json.next_is("1");
        if !gapless {
            json.expect("0")?;
        }
        json.expect(",\"ledger\":")?;
        let ledger = LedgerId(json.hex("32 hexadecimal digits")?);
        json.expect(",\"made\":")?;
        let made = json.time("a time")?;
        json.expect(",\"members\":[")?;
        let members = items(&mut json, MEMBERS_MAX, "at most 65534 members", read_member)?;
        json.expect(",\"origin\":")?;
        let origin = filled(&mut json, ORIGIN_BYTES_MAX, "an origin of 1 to 255 bytes")?;
        json.expect(",\"positions\":{\"first\":")?;
        let first = json.decimal("a decimal position")?;
        json.expect(",\"last\":")?;
        let last = json.decimal("a decimal position")?;
        json.expect("},\"reason\":")?;
        let reason = json.string(REASON_BYTES_MAX, "a reason of at most 1024 bytes")?;
        json.expect(",\"selection\":{\"terms\":[")?;
        let terms = items(&mut json, SELECTION_TERMS_MAX, "at most 64 terms", read_term)?;
        json.expect(",\"text\":")?;
        let text = json.string(SELECTION_TEXT_BYTES_MAX, "a text of at most 4096 bytes")?;
        json.expect("},\"signers\":[")?;
        let signers = items(&mut json, SIGNERS_MAX, "1 to 8 signers", read_vkey)?;
        json.expect("}")?;
        json.end()?;
        let selection = Selection { terms, text };
        Ok(Self {
            actor,
            root,
            size,
            counts,
            event,
            gapless,
            ledger,
            made,
            members,
            origin,
            first,
            last,
            reason,
            selection,
            signers,
        })
    }
}

fn list<T>(out: &mut String, items: &[T], mut write: impl FnMut(&mut String, &T)) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(out, item);
    }
}

/// Reads items up to and over the array's end.
fn items<T>(
    json: &mut Cursor<'_>,
    most: usize,
    expected: &'static str,
    read: impl Fn(&mut Cursor<'_>) -> Result<T, PackFault>,
) -> Result<Vec<T>, PackFault> {
    let mut items = Vec::new();
    if json.next_is("]") {
        return Ok(items);
    }
    loop {
        if items.len() == most {
            return Err(json.fault(expected));
        }
        items.push(read(json)?);
        if !json.next_is(",") {
            json.expect("]")?;
            return Ok(items);
        }
    }
}

fn filled(json: &mut Cursor<'_>, bytes_max: usize, expected: &'static str) -> Result<String, PackFault> {
    let wrong = json.fault(expected);
    let string = json.string(bytes_max, expected)?;
    if string.is_empty() { Err(wrong) } else { Ok(string) }
}

fn read_counts(json: &mut Cursor<'_>) -> Result<Counts, PackFault> {
    let expected = "a count";
    json.expect("{\"blobs\":")?;
    let blobs = json.integer(expected)?;
    json.expect(",\"dictionaries\":")?;
    let dictionaries = json.integer(expected)?;
    json.expect(",\"disclosed\":")?;
    let disclosed = json.integer(expected)?;
    json.expect(",\"entries\":")?;
    let entries = json.integer(expected)?;
    json.expect(",\"erased\":")?;
    let erased = json.integer(expected)?;
    json.expect(",\"parts\":")?;
    let parts = json.integer(expected)?;
    json.expect("}")?;
    Ok(Counts { blobs, dictionaries, disclosed, entries, erased, parts })
}

fn read_member(json: &mut Cursor<'_>) -> Result<ManifestMember, PackFault> {
    json.expect("{\"bytes\":")?;
    let bytes = json.integer("a member's length")?;
    json.expect(",\"name\":")?;
    let name = json.string(MEMBER_NAME_BYTES_MAX, "a member's name")?;
    json.expect(",\"sha256\":")?;
    let sha256 = Hash(json.hex("64 hexadecimal digits")?);
    json.expect("}")?;
    Ok(ManifestMember { name, bytes, sha256 })
}

fn read_term(json: &mut Cursor<'_>) -> Result<Term, PackFault> {
    let expected = "a term's name of 1 to 32 of a-z, 0-9 and `-`";
    json.expect("{\"name\":")?;
    let wrong = json.fault(expected);
    let name = filled(json, TERM_NAME_BYTES_MAX, expected)?;
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return Err(wrong);
    }
    json.expect(",\"value\":")?;
    let value = json.string(TERM_VALUE_BYTES_MAX, "a term's value of at most 65536 bytes")?;
    json.expect("}")?;
    Ok(Term { name, value })
}
