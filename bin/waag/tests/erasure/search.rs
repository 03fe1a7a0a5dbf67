//! Looks for markers in bytes, in every form in which text is commonly written, and in streams compressed within them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem::Finder;

/// How deep streams within streams are unpacked.
const DEPTH: u8 = 3;
/// Most bytes that one stream is unpacked to.
const UNPACKED_MAX: u64 = 32 * 1_024 * 1_024;
/// Zeros in a row from which on bytes are left out: parts of files that nothing was written to.
const ZEROS: usize = 4_096;

/// One way to write a marker.
struct Form {
    marker: usize,
    name: &'static str,
    finder: Finder<'static>,
}

/// What was looked through, and where what was found stands.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) streams: usize,
    /// Marker, form, place.
    pub(crate) places: BTreeSet<(String, &'static str, String)>,
}

/// A search for some markers.
pub(crate) struct Search {
    markers: Vec<String>,
    /// Forms in which small and capital letters are the same, looked for in bytes made small.
    folded: Vec<Form>,
    exact: Vec<Form>,
    dictionaries: Vec<Vec<u8>>,
}

fn small(bytes: &[u8]) -> Vec<u8> {
    bytes.to_ascii_lowercase()
}

fn escaped(text: &str, all: bool) -> String {
    let mut out = String::new();
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() && !all => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out
}

/// A text as it stands within a JSON string, and no more of it escaped than must be.
fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    let inner = quoted.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
    inner.unwrap().to_owned()
}

fn html(text: &str, [and, less, greater, quote]: [&str; 4]) -> String {
    text.replace('&', and).replace('<', less).replace('>', greater).replace('"', quote)
}

fn percent(text: &str, all: bool) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let one = |byte: u8| {
        if !all && plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") }
    };
    text.bytes().map(one).collect()
}

/// What does not depend on the bytes around it, of a text's base 64 that begins at one of three places.
fn base64(engine: &impl base64::Engine, text: &[u8], at: usize) -> Vec<u8> {
    let padded = [&b"xxx"[..at], text].concat();
    let whole = engine.encode(&padded).into_bytes();
    let first = (at * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    whole[first..last].to_vec()
}

impl Search {
    pub(crate) fn new(markers: &[&str], dictionaries: Vec<Vec<u8>>) -> Self {
        let (mut folded, mut exact) = (Vec::new(), Vec::new());
        for (marker, text) in markers.iter().enumerate() {
            let form = |name, bytes: Vec<u8>| Form { marker, name, finder: Finder::new(&bytes).into_owned() };
            // Letters beyond ASCII have their other case only here: folding bytes leaves them as they are.
            for case in BTreeSet::from([(*text).to_owned(), text.to_lowercase(), text.to_uppercase()]) {
                let utf16 =
                    |order: fn(u16) -> [u8; 2]| case.encode_utf16().flat_map(order).collect::<Vec<u8>>();
                for (name, bytes) in [
                    ("text", case.as_bytes().to_vec()),
                    ("UTF-16LE", utf16(u16::to_le_bytes)),
                    ("UTF-16BE", utf16(u16::to_be_bytes)),
                    ("hex", hex::encode(&case).into_bytes()),
                    ("percent, all", percent(&case, true).into_bytes()),
                    ("percent", percent(&case, false).into_bytes()),
                    ("JSON", json(&case).into_bytes()),
                    ("JSON escapes, all", escaped(&case, true).into_bytes()),
                    ("JSON escapes", escaped(&case, false).into_bytes()),
                    ("HTML", html(&case, ["&amp;", "&lt;", "&gt;", "&quot;"]).into_bytes()),
                    ("HTML by number", html(&case, ["&#38;", "&#60;", "&#62;", "&#34;"]).into_bytes()),
                ] {
                    folded.push(form(name, small(&bytes)));
                }
                for at in 0..3 {
                    exact.push(form("base64", base64(&STANDARD_NO_PAD, case.as_bytes(), at)));
                    exact.push(form("base64url", base64(&URL_SAFE_NO_PAD, case.as_bytes(), at)));
                }
            }
        }
        Self { markers: markers.iter().map(|text| (*text).to_owned()).collect(), folded, exact, dictionaries }
    }

    /// How many ways of writing are looked for.
    pub(crate) fn forms(&self) -> usize {
        self.folded.len() + self.exact.len()
    }

    /// Looks through every file below some folders.
    pub(crate) fn folders(&self, folders: &[PathBuf]) -> Found {
        let mut found = Found::default();
        folders.iter().for_each(|folder| self.folder(folder, &mut found));
        found
    }

    fn folder(&self, folder: &Path, found: &mut Found) {
        self.bytes(&folder.display().to_string(), folder.as_os_str().as_encoded_bytes(), found);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                self.folder(&path, found);
            } else if kind.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                found.files += 1;
                self.bytes(&path.display().to_string(), path.as_os_str().as_encoded_bytes(), found);
                self.bytes(&path.display().to_string(), &bytes, found);
            }
        }
    }

    /// Looks through some bytes; what is empty in them is left out.
    pub(crate) fn bytes(&self, place: &str, bytes: &[u8], found: &mut Found) {
        found.bytes += bytes.len() as u64;
        for piece in pieces(bytes) {
            self.piece(place, piece, DEPTH, found);
        }
    }

    fn piece(&self, place: &str, bytes: &[u8], depth: u8, found: &mut Found) {
        let folded = small(bytes);
        for (forms, bytes) in [(&self.folded, folded.as_slice()), (&self.exact, bytes)] {
            for form in forms.iter().filter(|form| form.finder.find(bytes).is_some()) {
                found.places.insert((self.markers[form.marker].clone(), form.name, place.to_owned()));
            }
        }
        if depth == 0 {
            return;
        }
        for (at, unpacked) in self.streams(bytes) {
            found.streams += 1;
            self.piece(&format!("{place}, stream at {at}"), &unpacked, depth - 1, found);
        }
    }

    /// Whatever unpacks from a place that looks like a beginning, as far as it goes.
    fn streams(&self, bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let mut streams = Vec::new();
        let mut each = |magic: &[u8], unpack: &dyn Fn(&[u8]) -> Vec<u8>| {
            for at in memchr::memmem::find_iter(bytes, magic) {
                let unpacked = unpack(&bytes[at..]);
                if unpacked.len() >= 8 {
                    streams.push((at, unpacked));
                }
            }
        };
        each(&[0x1f, 0x8b, 8], &|bytes| read(flate2::read::GzDecoder::new(bytes)));
        for level in [0x01, 0x5e, 0x9c, 0xda] {
            each(&[0x78, level], &|bytes| read(flate2::read::ZlibDecoder::new(bytes)));
        }
        // A member of a ZIP file: raw deflate behind its header.
        each(b"PK\x03\x04", &|bytes| {
            let length = |at: usize| {
                bytes.get(at..at + 2).map_or(0, |two| usize::from(u16::from_le_bytes([two[0], two[1]])))
            };
            let behind = bytes.get(30 + length(26) + length(28)..).unwrap_or_default();
            read(flate2::read::DeflateDecoder::new(behind))
        });
        let zstd = [0x28, 0xb5, 0x2f, 0xfd];
        each(&zstd, &|bytes| zstd::stream::read::Decoder::with_buffer(bytes).map(read).unwrap_or_default());
        for dictionary in &self.dictionaries {
            each(&zstd, &|bytes| {
                zstd::stream::read::Decoder::with_dictionary(bytes, dictionary).map(read).unwrap_or_default()
            });
        }
        streams
    }
}

/// Everything that a stream gives before it ends or breaks.
fn read(stream: impl Read) -> Vec<u8> {
    let mut unpacked = Vec::new();
    drop(stream.take(UNPACKED_MAX).read_to_end(&mut unpacked));
    unpacked
}

/// Bytes without their long runs of zeros.
fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut pieces, mut from) = (Vec::new(), None);
    for (number, page) in bytes.chunks(ZEROS).enumerate() {
        let at = number * ZEROS;
        match (page.iter().all(|byte| *byte == 0), from) {
            (true, Some(start)) => {
                pieces.push(&bytes[start..at]);
                from = None;
            }
            (false, None) => from = Some(at),
            _ => {}
        }
    }
    pieces.extend(from.map(|start| &bytes[start..]));
    pieces
}

/// The markers that were found, each with how often.
pub(crate) fn by_marker(found: &Found) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (marker, ..) in &found.places {
        *counts.entry(marker.clone()).or_insert(0) += 1;
    }
    counts
}

#[test]
fn the_search_finds_each_form_and_nothing_where_there_is_nothing() {
    use serde_json::json;
    use std::io::Write;
    let marker = "Zoë Q7-Marker \"<&>\"";
    let search = Search::new(&[marker], Vec::new());
    let upper = marker.to_uppercase();
    let text = format!("before {marker} after");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(text.as_bytes()).unwrap();
    let zlib = zlib.finish().unwrap();
    let zstd = zstd::bulk::compress(text.as_bytes(), 3).unwrap();
    let twice = zstd::bulk::compress(&[b"xx".as_slice(), &gzip].concat(), 3).unwrap();
    let mut hidden: Vec<(String, Vec<u8>)> = [
        ("text", marker.as_bytes().to_vec()),
        ("capitals", upper.clone().into_bytes()),
        ("UTF-16", marker.to_lowercase().encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("UTF-16BE", upper.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ("hex", hex::encode_upper(marker).into_bytes()),
        ("percent", percent(marker, false).to_uppercase().into_bytes()),
        ("percent, all", percent(marker, true).into_bytes()),
        ("escapes", escaped(marker, false).into_bytes()),
        ("escapes, all", escaped(marker, true).to_uppercase().replace("\\U", "\\u").into_bytes()),
        ("JSON", serde_json::to_string(&json!({"a": [marker]})).unwrap().into_bytes()),
        ("HTML", b"<b>Zo\xc3\xab Q7-Marker &quot;&lt;&amp;&gt;&quot;</b>".to_vec()),
        ("gzip", gzip),
        ("zlib", zlib),
        ("zstd", zstd),
        ("gzip in zstd", twice),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into();
    for at in 0..7 {
        let text = format!("{}{marker} and more", "y".repeat(at));
        hidden.push((format!("base64 {at}"), STANDARD_NO_PAD.encode(&text).into_bytes()));
        hidden.push((format!("base64url {at}"), URL_SAFE_NO_PAD.encode(text.to_lowercase()).into_bytes()));
    }
    for (name, bytes) in hidden {
        let (mut found, mut nothing) = (Found::default(), Found::default());
        let around = [&vec![0; 3 * ZEROS + 5][..], b"around ", &bytes, b" it", &[0; 2 * ZEROS]].concat();
        search.bytes("here", &around, &mut found);
        assert!(!found.places.is_empty(), "{name}");
        let other = Search::new(&["Someone Q8-Else"], Vec::new());
        other.bytes("here", &around, &mut nothing);
        assert!(nothing.places.is_empty(), "{name}: {nothing:?}");
    }
}
