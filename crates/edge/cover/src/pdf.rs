//! The cover as PDF/A-2b (ISO 19005-2): A4, fonts embedded as far as they are used, equal bytes for equal facts.

use std::fmt;

use krilla::configure::{Archival, ConfigurationBuilder};
use krilla::metadata::{DateTime, Metadata};
use krilla::page::PageSettings;
use krilla::{Document, SerializeSettings};
use waag_model::time::UtcNanos;

use crate::draw::draw;
use crate::face::Faces;
use crate::layout::{PAGE, lay_out};
use crate::page::Page;

/// Why a cover could not be written as PDF: each is a fault of this program, none of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PdfError {
    /// An embedded font cannot be read.
    Font,
    /// The library refused, with its reason.
    Library(String),
}

impl PdfError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Font | Self::Library(_) => "E0728",
        }
    }
}

impl fmt::Display for PdfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Font => write!(f, "the cover cannot be drawn: an embedded font is damaged"),
            Self::Library(why) => write!(f, "the cover cannot be drawn: {why}"),
        }
    }
}

impl std::error::Error for PdfError {}

/// The page as a PDF document.
///
/// # Errors
/// [`PdfError`].
pub fn pdf(page: &Page) -> Result<Vec<u8>, PdfError> {
    let faces = Faces::read().ok_or(PdfError::Font)?;
    let library = |why: String| PdfError::Library(why);
    let configuration = ConfigurationBuilder::new()
        .with_archival_validator(Archival::A2_B)
        .finish()
        .map_err(|error| library(format!("{error:?}")))?;
    let mut document =
        Document::new_with(SerializeSettings { configuration, ..SerializeSettings::default() });
    document.set_metadata(
        Metadata::new()
            .title(format!("{}: {}", page.title, page.subtitle))
            .creator("Waag".to_owned())
            .producer("Waag".to_owned())
            .language("en".to_owned())
            .creation_date(date(UtcNanos(page.made_ns))),
    );
    for marks in lay_out(&faces, page) {
        let size = PageSettings::from_wh(PAGE.0, PAGE.1);
        let mut sheet = document.start_page_with(size.ok_or_else(|| library("no page".to_owned()))?);
        let mut surface = sheet.surface();
        for mark in &marks {
            draw(&mut surface, &faces, mark);
        }
        surface.finish();
        sheet.finish();
    }
    document.finish().map_err(|error| library(format!("{error:?}")))
}

fn date(at: UtcNanos) -> DateTime {
    let text = at.to_string();
    let part = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<u8>().ok());
    let (year, month, day) = at.day().civil();
    let year = u16::try_from(year).unwrap_or_default();
    let (hour, minute, second) = (part(11, 13), part(14, 16), part(17, 19));
    DateTime::new(year)
        .month(month)
        .day(day)
        .hour(hour.unwrap_or_default())
        .minute(minute.unwrap_or_default())
        .second(second.unwrap_or_default())
        .utc_offset_hour(0)
        .utc_offset_minute(0)
}
