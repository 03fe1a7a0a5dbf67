//! One file of events for each type, of which only so many are open at once.
//!
//! A file's name is the type's, made safe for every file system: letters in lower case, digits, `.`, `_` and `-` stay;
//! where anything else is in it, or it is long, or a name that some system keeps for itself, `~` and the beginning of
//! the type's SHA-256 make it unique. The type itself stands in the manifest and in every line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};

use super::error::ExportError;
use super::folder::{Folder, Stream, Summed, again, fresh};
use super::forms::TypeForm;

/// Most files open at once.
const OPEN_MAX: usize = 64;
/// Most types with a file of their own; further ones share one.
pub(super) const TYPES_MAX: usize = 65_536;
/// The file that further types share.
const SHARED: &str = "~further-types";
/// Longest part of a type in a file's name.
const NAME_BYTES_MAX: usize = 120;
/// Names that Windows keeps for itself.
const KEPT: [&str; 4] = ["con", "prn", "aux", "nul"];

enum Lines {
    Open(Stream, u64),
    Closed(Summed),
}

struct Kind {
    kind: Option<String>,
    lines: Lines,
    events: u64,
}

/// All types' files.
pub(super) struct Types {
    root: PathBuf,
    known: BTreeMap<String, Kind>,
    open: usize,
    clock: u64,
    /// The last line's type and its file: neighbours are often of one type.
    last: (String, String),
}

/// The name of a type's files, without their endings.
pub(super) fn file_name(kind: &str) -> String {
    let is_safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    let mut name: String =
        kind.chars().map(|c| if is_safe(c) { c } else { '_' }).take(NAME_BYTES_MAX).collect();
    let stem = name.split('.').next().unwrap_or_default();
    let is_kept = KEPT.contains(&stem)
        || (stem.len() == 4 && (stem.starts_with("com") || stem.starts_with("lpt")))
        || name.starts_with('.')
        || name.ends_with('.');
    if name != kind || is_kept {
        let hash = hex::encode(digest(&SHA256, kind.as_bytes()));
        name = format!("{}~{}", name.trim_start_matches('.'), hash.get(..16).unwrap_or_default());
        if is_kept {
            name.insert(0, '_');
        }
    }
    name
}

impl Types {
    pub(super) fn new(folder: &Folder) -> Self {
        Self {
            root: folder.root().to_owned(),
            known: BTreeMap::new(),
            open: 0,
            clock: 0,
            last: Default::default(),
        }
    }

    /// Adds a line to a type's file.
    pub(super) fn line(&mut self, kind: &str, line: &[u8]) -> Result<(), ExportError> {
        if self.last.0 != kind {
            self.last = (kind.to_owned(), file_name(kind));
        }
        let mut name = self.last.1.clone();
        let mut is_shared = false;
        if !self.known.contains_key(&name) && self.known.len() >= TYPES_MAX {
            name = SHARED.to_owned();
            is_shared = true;
        }
        self.clock = self.clock.saturating_add(1);
        let is_open = matches!(self.known.get(&name), Some(Kind { lines: Lines::Open(..), .. }));
        if !is_open {
            if self.open >= OPEN_MAX {
                self.close_oldest()?;
            }
            self.reopen(&name, (!is_shared).then_some(kind))?;
        }
        let clock = self.clock;
        if let Some(Kind { lines: Lines::Open(stream, used), events, .. }) = self.known.get_mut(&name) {
            stream.write(line)?;
            *used = clock;
            *events = events.saturating_add(1);
        }
        Ok(())
    }

    fn reopen(&mut self, name: &str, kind: Option<&str>) -> Result<(), ExportError> {
        let path = jsonl(name);
        if let Some(known) = self.known.get_mut(name) {
            if let Lines::Closed(sum) = &known.lines {
                known.lines = Lines::Open(again(&self.root, &path, sum.clone())?, self.clock);
            }
        } else {
            let stream = fresh(&self.root, &path)?;
            let lines = Lines::Open(stream, self.clock);
            self.known.insert(name.to_owned(), Kind { kind: kind.map(str::to_owned), lines, events: 0 });
        }
        self.open = self.open.saturating_add(1);
        Ok(())
    }

    fn close_oldest(&mut self) -> Result<(), ExportError> {
        let used = |known: &Kind| match &known.lines {
            Lines::Open(_, used) => Some(*used),
            Lines::Closed(_) => None,
        };
        let oldest = self.known.values_mut().filter(|known| used(known).is_some());
        if let Some(known) = oldest.min_by_key(|known| used(known)) {
            let empty = Lines::Closed(Summed::new());
            if let Lines::Open(stream, _) = std::mem::replace(&mut known.lines, empty) {
                known.lines = Lines::Closed(stream.end()?);
                self.open = self.open.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// Ends all files and names them in the list.
    pub(super) fn finish(self, folder: &mut Folder) -> Result<Vec<TypeForm>, ExportError> {
        let mut forms = Vec::with_capacity(self.known.len());
        for (name, Kind { kind, lines, events }) in self.known {
            let sum = match lines {
                Lines::Open(stream, _) => stream.end()?,
                Lines::Closed(sum) => sum,
            };
            folder.listed(&jsonl(&name), sum)?;
            forms.push(TypeForm { r#type: kind, events, jsonl: jsonl(&name), csv: csv(&name) });
        }
        Ok(forms)
    }
}

fn jsonl(name: &str) -> String {
    format!("events/{name}.jsonl")
}

fn csv(name: &str) -> String {
    format!("events/{name}.csv")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_everywhere_and_never_one_for_two_types() {
        let kinds =
            ["org.example.paid.v1", "Org.example.paid.v1", "a/b", "a_b", "..", ".hidden", "con.x", "con"];
        let mut names: Vec<String> = kinds.iter().map(|kind| file_name(kind)).collect();
        assert_eq!(names[0], kinds[0]);
        for name in &names {
            assert!(!name.starts_with('.') && !name.ends_with('.') && !name.contains('/'), "{name}");
            assert!(!KEPT.contains(&name.split('.').next().unwrap()), "{name}");
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), kinds.len());
        let long = "x".repeat(255);
        assert!(file_name(&long).len() < 150);
        assert_ne!(file_name(&long), file_name(&"x".repeat(254)));
    }

    #[test]
    fn more_types_than_files_may_be_open_lose_no_line() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("out");
        let mut out = Folder::create(&root).unwrap();
        let mut types = Types::new(&out);
        for round in 0..3 {
            for kind in 0..OPEN_MAX + 9 {
                types.line(&format!("t{kind}"), format!("{round}\n").as_bytes()).unwrap();
                assert!(types.open <= OPEN_MAX);
            }
        }
        let forms = types.finish(&mut out).unwrap();
        assert_eq!(forms.len(), OPEN_MAX + 9);
        for form in forms {
            assert_eq!(form.events, 3);
            assert_eq!(std::fs::read_to_string(root.join(form.jsonl)).unwrap(), "0\n1\n2\n");
        }
    }
}
