//! XES, event by event: what an event's and its trace's attributes say, without holding the trace.
//!
//! Extensions, globals and classifiers describe the log and name no event; they are passed over, as are nested
//! attributes. A document type declaration ends the reading, so no entity but XML's own five is ever replaced.
//! Source: IEEE 1849-2016, §4 and §5.

use std::sync::Arc;

use quick_xml::errors::Error as XmlError;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::error::ImportError;
use crate::limits::{ELEMENT_DEPTH_MAX, PIECE_BYTES_MAX};
use crate::record::Record;
use crate::text::Text;

/// What a name in the mapping begins with where it means the trace's attribute, not the event's.
const CASE_PREFIX: &str = "case:";

/// Where in the log the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    Log,
    Trace,
    Event { in_trace: bool },
    After,
}

/// A key of an attribute, and the slot it fills.
struct Wanted {
    key: String,
    slot: usize,
}

/// Reads the events of an XES log.
pub(crate) struct Xes<'r> {
    reader: Reader<Text<'r>>,
    buffer: Vec<u8>,
    of_event: Vec<Wanted>,
    of_case: Vec<Wanted>,
    case: Record,
    place: Place,
    /// Elements open below the last one that means something.
    passed_over: usize,
    /// Whether the trace has had an event.
    begun: bool,
    /// Traces met so far.
    pub(crate) traces: u64,
}

impl<'r> Xes<'r> {
    /// Reads `text`; `names` are the mapping's, by slot.
    pub(crate) fn new(text: Text<'r>, names: &[String]) -> Self {
        let (mut of_event, mut of_case) = (Vec::new(), Vec::new());
        for (slot, name) in names.iter().enumerate() {
            match name.strip_prefix(CASE_PREFIX) {
                Some(key) => of_case.push(Wanted { key: key.to_owned(), slot }),
                None => of_event.push(Wanted { key: name.clone(), slot }),
            }
        }
        Self {
            reader: Reader::from_reader(text),
            buffer: Vec::new(),
            of_event,
            of_case,
            case: Record::new(names.len()),
            place: Place::Before,
            passed_over: 0,
            begun: false,
            traces: 0,
        }
    }

    /// Fills `record` with the next event; false at the end of the log.
    pub(crate) fn next(&mut self, record: &mut Record) -> Result<bool, ImportError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = self.event(&mut buffer, record);
        self.buffer = buffer;
        read
    }

    fn event(&mut self, buffer: &mut Vec<u8>, record: &mut Record) -> Result<bool, ImportError> {
        loop {
            buffer.clear();
            self.reader.get_mut().allow(PIECE_BYTES_MAX);
            let line = self.reader.get_ref().line();
            let event = match self.reader.read_event_into(buffer) {
                Ok(event) => event,
                Err(error) => return Err(fault(error, line)),
            };
            let ended = match event {
                Event::Start(start) => {
                    self.start(&start, record, line)?;
                    false
                }
                Event::Empty(start) => {
                    self.start(&start, record, line)?;
                    self.end()
                }
                Event::End(_) => self.end(),
                Event::DocType(_) => return Err(ImportError::Doctype { line }),
                Event::Eof => return self.finished(line),
                // Text has no meaning in XES; a reference in it is not resolved.
                Event::Text(_)
                | Event::CData(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::GeneralRef(_) => false,
            };
            if ended {
                return Ok(true);
            }
        }
    }

    fn start(&mut self, start: &BytesStart<'_>, record: &mut Record, line: u64) -> Result<(), ImportError> {
        if self.passed_over > 0 {
            return self.pass_over(line);
        }
        let name = start.local_name();
        match (self.place, name.as_ref()) {
            (Place::Before, "log") => self.place = Place::Log,
            (Place::Before | Place::After, name) => {
                return Err(ImportError::NotXes { root: name.chars().take(64).collect() });
            }
            (Place::Log, "trace") => {
                self.traces += 1;
                self.begun = false;
                self.case.clear();
                self.place = Place::Trace;
            }
            (Place::Log | Place::Trace, "event") => {
                let in_trace = self.place == Place::Trace;
                record.clear();
                record.line = line;
                if in_trace {
                    record.take_over(&self.case);
                    self.begun = true;
                }
                self.place = Place::Event { in_trace };
            }
            (Place::Trace, _) => {
                let read = attribute(start, &self.of_case, &mut self.case);
                let used = read.map_err(|error| fault(error, line))?;
                self.case.late_case |= used && self.begun;
                self.pass_over(line)?;
            }
            (Place::Event { .. }, _) => {
                attribute(start, &self.of_event, record).map_err(|error| fault(error, line))?;
                self.pass_over(line)?;
            }
            (Place::Log, _) => self.pass_over(line)?,
        }
        Ok(())
    }

    fn pass_over(&mut self, line: u64) -> Result<(), ImportError> {
        self.passed_over += 1;
        // `log`, `trace` and `event` stand above.
        if self.passed_over + 3 > ELEMENT_DEPTH_MAX { Err(ImportError::TooDeep { line }) } else { Ok(()) }
    }

    /// An element's end; true where it was an event's.
    fn end(&mut self) -> bool {
        if self.passed_over > 0 {
            self.passed_over -= 1;
            return false;
        }
        let (next, is_event) = match self.place {
            Place::Event { in_trace: true } => (Place::Trace, true),
            Place::Event { in_trace: false } => (Place::Log, true),
            Place::Trace => (Place::Log, false),
            Place::Log | Place::Before | Place::After => (Place::After, false),
        };
        self.place = next;
        is_event
    }

    fn finished(&self, line: u64) -> Result<bool, ImportError> {
        match self.place {
            Place::After => Ok(false),
            Place::Before => Err(ImportError::NotXes { root: String::new() }),
            Place::Log | Place::Trace | Place::Event { .. } => {
                let why = "the file ends within the log".to_owned();
                Err(ImportError::Xml { line, why })
            }
        }
    }
}

/// Puts an attribute's value into its slots; whether there was one.
fn attribute(start: &BytesStart<'_>, wanted: &[Wanted], record: &mut Record) -> Result<bool, XmlError> {
    let (mut key, mut value) = (None, None);
    for attribute in start.attributes() {
        let attribute = attribute?;
        match attribute.key.as_ref() {
            "key" => key = Some(attribute.normalized_value(XmlVersion::Explicit1_0)?),
            "value" => value = Some(attribute),
            _ => {}
        }
    }
    let (Some(key), Some(value)) = (key, value) else { return Ok(false) };
    let mut used = false;
    for slot in wanted.iter().filter(|wanted| wanted.key == key).map(|wanted| wanted.slot) {
        record.set(slot, &value.normalized_value(XmlVersion::Explicit1_0)?);
        used = true;
    }
    Ok(used)
}

fn fault(error: XmlError, line: u64) -> ImportError {
    match error {
        XmlError::Io(error) => ImportError::from_io(&Arc::clone(&error)),
        XmlError::Encoding(_) => ImportError::Encoding { line, why: "bytes that are not UTF-8".to_owned() },
        XmlError::Syntax(_)
        | XmlError::IllFormed(_)
        | XmlError::InvalidAttr(_)
        | XmlError::Escape(_)
        | XmlError::Namespace(_) => ImportError::Xml { line, why: error.to_string() },
    }
}
