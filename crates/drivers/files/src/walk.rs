//! The raw walk over every byte of a log's files, for verification: it trusts neither index nor writer and goes on
//! behind damage.
//!
//! Place: beneath `waag verify` and `scrub`. Not here: judging what is found (`waag_log::verify`).
//!
//! Behind a header that is not intact the next frame is looked for at each multiple of `FRAME_ALIGN`: an intact
//! header of this ledger with a higher number. Sealed bytes do not take that form by accident, and where they are
//! made to, the walk has already reported a fault.

use std::ops::ControlFlow;
use std::sync::Arc;

use waag_log::contract::Place;
use waag_log::fault::FrameFault;
use waag_log::frame::{FRAME_ALIGN, FrameHeader};
use waag_log::verify::{Found, RawFault, RawLog};
use waag_log::wire::first_nonzero;
use waag_model::ids::{FrameNumber, LedgerId};
use waag_stdx::files::{File, Files, Open};

use crate::segment::{FOLDER, READ_STEP_BYTES, SPARE_NAME, Window, parse_name};

/// A log's files, unopened.
#[derive(Debug)]
pub struct RawFiles {
    files: Arc<dyn Files>,
    ledger: LedgerId,
}

/// Where a walk stands.
struct Walk<'v, 'c> {
    visit: &'v mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    window: &'c mut Window,
    ledger: LedgerId,
    /// The number after the highest seen.
    next: FrameNumber,
}

impl RawFiles {
    /// The log below `files`; nothing is opened yet.
    #[must_use]
    pub fn new(files: Arc<dyn Files>, ledger: LedgerId) -> Self {
        Self { files, ledger }
    }

    fn walk_all(&self, visit: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut window = Window::default();
        let mut walk = Walk { visit, window: &mut window, ledger: self.ledger, next: FrameNumber(0) };
        let names = match self.files.list(FOLDER) {
            Ok(names) => names,
            Err(error) => {
                return walk.fault(FOLDER, 0, RawFault::File(&format!("cannot be listed: {error}")));
            }
        };
        for name in &names {
            let path = format!("{FOLDER}/{name}");
            let Some(first) = parse_name(name) else { continue };
            if first != walk.next {
                let words = format!("frame `{}` is due, and no segment begins with it", walk.next);
                walk.fault(&path, 0, RawFault::File(&words))?;
            }
            match self.files.open(&path, Open::Read) {
                Ok(file) => walk.segment(&*file, &path)?,
                Err(error) => walk.fault(&path, 0, RawFault::File(&format!("cannot be opened: {error}")))?,
            }
        }
        for name in names.iter().filter(|name| parse_name(name).is_none()) {
            let path = format!("{FOLDER}/{name}");
            match self.files.open(&path, Open::Read) {
                Ok(file) if name == SPARE_NAME => {
                    walk.window.forget();
                    walk.rest(&*file, &path, 0)?;
                }
                // A spare segment can get its name between the listing and here.
                Err(_) if name == SPARE_NAME => {}
                Ok(_) | Err(_) => walk.fault(&path, 0, RawFault::File("not a file of a log"))?,
            }
        }
        ControlFlow::Continue(())
    }
}

impl RawLog for RawFiles {
    fn walk(&self, visit: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>) {
        // How it ended makes no difference: the visitor knows whether it broke off.
        let _ended = self.walk_all(visit);
    }
}

impl Walk<'_, '_> {
    fn fault(&mut self, file: &str, offset: u64, fault: RawFault<'_>) -> ControlFlow<()> {
        (self.visit)(Found::Fault { place: Place { file, offset }, fault })
    }

    fn segment(&mut self, file: &dyn File, path: &str) -> ControlFlow<()> {
        self.window.forget();
        let mut offset = 0;
        loop {
            let bytes = match self.window.header(file, offset, READ_STEP_BYTES) {
                Ok(bytes) => bytes,
                Err(error) => {
                    return self.fault(path, offset, RawFault::File(&format!("cannot be read: {error}")));
                }
            };
            let header =
                FrameHeader::decode(bytes).and_then(|header| match header.fields.ledger == self.ledger {
                    true => Ok(header),
                    false => Err(FrameFault::Ledger { found: header.fields.ledger }),
                });
            match header {
                Ok(header) => {
                    let bytes = match self.window.get(file, offset, header.frame_bytes(), READ_STEP_BYTES) {
                        Ok(bytes) => bytes.get(..header.frame_bytes()).unwrap_or(bytes),
                        Err(error) => {
                            return self.fault(
                                path,
                                offset,
                                RawFault::File(&format!("cannot be read: {error}")),
                            );
                        }
                    };
                    (self.visit)(Found::Frame { place: Place { file: path, offset }, header, bytes })?;
                    if header.fields.number >= self.next {
                        self.next = FrameNumber(header.fields.number.0.saturating_add(1));
                    }
                    offset += header.frame_bytes() as u64;
                }
                Err(FrameFault::NoFrame) => match self.rest(file, path, offset)? {
                    Some(found) => offset = found,
                    None => return ControlFlow::Continue(()),
                },
                Err(fault) => {
                    self.fault(path, offset, RawFault::Header(fault))?;
                    match self.resync(file, path, offset)? {
                        Some(found) => offset = found,
                        None => return ControlFlow::Continue(()),
                    }
                }
            }
        }
    }

    /// Behind zeros where a header belongs: all zero to the end, or a fault and perhaps another frame.
    fn rest(&mut self, file: &dyn File, path: &str, from: u64) -> ControlFlow<(), Option<u64>> {
        let mut offset = from;
        loop {
            let bytes = match self.window.get(file, offset, FRAME_ALIGN, READ_STEP_BYTES) {
                Ok([]) => return ControlFlow::Continue(None),
                Ok(bytes) => bytes,
                Err(error) => {
                    self.fault(path, offset, RawFault::File(&format!("cannot be read: {error}")))?;
                    return ControlFlow::Continue(None);
                }
            };
            if let Some(at) = first_nonzero(bytes) {
                let at = offset + at as u64;
                self.fault(path, at, RawFault::NotZero)?;
                return self.resync(file, path, from);
            }
            offset += bytes.len() as u64;
        }
    }

    /// The next intact header of this ledger with a number not seen yet, behind `from`.
    fn resync(&mut self, file: &dyn File, path: &str, from: u64) -> ControlFlow<(), Option<u64>> {
        let mut offset = from;
        loop {
            offset += FRAME_ALIGN as u64;
            let bytes = match self.window.header(file, offset, READ_STEP_BYTES) {
                Ok([]) => return ControlFlow::Continue(None),
                Ok(bytes) => bytes,
                Err(error) => {
                    self.fault(path, offset, RawFault::File(&format!("cannot be read: {error}")))?;
                    return ControlFlow::Continue(None);
                }
            };
            if let Ok(header) = FrameHeader::decode(bytes)
                && header.fields.ledger == self.ledger
                && header.fields.number >= self.next
            {
                return ControlFlow::Continue(Some(offset));
            }
        }
    }
}
