//! Fonts: which glyph shows a character, how wide it is, and where a line of text breaks.
//!
//! One glyph for each character, without ligatures or kerning: hashes and ids must be read letter by letter.

use krilla::text::{Font, GlyphId, KrillaGlyph};
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider as _};

const REGULAR: &[u8] = include_bytes!("../fonts/sans-regular.ttf");
const SEMIBOLD: &[u8] = include_bytes!("../fonts/sans-semibold.ttf");
const MONO: &[u8] = include_bytes!("../fonts/mono-regular.ttf");

/// Which of the three faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Running text.
    Regular,
    /// Headings and names.
    Semibold,
    /// What is compared letter by letter.
    Mono,
}

/// A font and what is known of its glyphs.
pub(crate) struct Face {
    pub(crate) font: Font,
    glyphs: FontRef<'static>,
    units: f32,
}

/// The three faces.
pub(crate) struct Faces {
    regular: Face,
    semibold: Face,
    mono: Face,
}

impl Faces {
    /// Reads the fonts; none where one of them is none, which only a broken build can bring about.
    pub(crate) fn read() -> Option<Self> {
        Some(Self { regular: Face::read(REGULAR)?, semibold: Face::read(SEMIBOLD)?, mono: Face::read(MONO)? })
    }

    pub(crate) fn of(&self, style: Style) -> &Face {
        match style {
            Style::Regular => &self.regular,
            Style::Semibold => &self.semibold,
            Style::Mono => &self.mono,
        }
    }
}

impl Face {
    fn read(bytes: &'static [u8]) -> Option<Self> {
        let font = Font::new(bytes.into(), 0)?;
        let units = font.units_per_em();
        Some(Self { font, glyphs: FontRef::new(bytes).ok()?, units })
    }

    /// The character that is drawn for one: itself, or where the font has none for it the replacement character, or where
    /// it has not even that a question mark.
    pub(crate) fn drawn(&self, c: char) -> char {
        let known = |c: &char| self.glyphs.charmap().map(*c).is_some();
        [c, char::REPLACEMENT_CHARACTER].into_iter().find(known).unwrap_or('?')
    }

    fn glyph(&self, c: char) -> skrifa::GlyphId {
        self.glyphs.charmap().map(self.drawn(c)).unwrap_or_default()
    }

    /// A character's width at size 1.
    fn width_of(&self, c: char) -> f32 {
        let metrics = self.glyphs.glyph_metrics(Size::unscaled(), LocationRef::default());
        metrics.advance_width(self.glyph(c)).unwrap_or_default() / self.units
    }

    /// A text's width at a size.
    pub(crate) fn width(&self, text: &str, size: f32) -> f32 {
        text.chars().map(|c| self.width_of(c)).sum::<f32>() * size
    }

    /// A line's glyphs.
    pub(crate) fn line(&self, text: &str) -> Vec<KrillaGlyph> {
        let glyph = |(at, c): (usize, char)| {
            let end = at.saturating_add(c.len_utf8());
            let id = GlyphId::new(self.glyph(c).to_u32());
            KrillaGlyph::new(id, self.width_of(c), 0.0, 0.0, 0.0, at..end, None)
        };
        text.char_indices().map(glyph).collect()
    }

    /// A text in lines of at most a width: broken at spaces, and inside a word only where it alone is too wide.
    pub(crate) fn lines(&self, text: &str, size: f32, width: f32) -> Vec<String> {
        let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0.0);
        let space = self.width_of(' ') * size;
        for word in text.split(' ') {
            let wide = self.width(word, size);
            let gap = if line.is_empty() { 0.0 } else { space };
            if !line.is_empty() && used + gap + wide > width {
                lines.push(std::mem::take(&mut line));
                used = 0.0;
            } else if !line.is_empty() {
                line.push(' ');
                used += space;
            }
            for c in word.chars() {
                let one = self.width_of(c) * size;
                if used + one > width && !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                    used = 0.0;
                }
                line.push(c);
                used += one;
            }
        }
        lines.push(line);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_nothing_is_lost() {
        let faces = Faces::read().unwrap();
        let text = format!("a few words and {} then some more", "f".repeat(200));
        for style in [Style::Regular, Style::Semibold, Style::Mono] {
            let face = faces.of(style);
            let lines = face.lines(&text, 10.0, 120.0);
            assert!(lines.len() > 3 && lines.iter().all(|line| face.width(line, 10.0) <= 120.01));
            let without = |text: &str| text.replace(' ', "");
            assert_eq!(without(&lines.concat()), without(&text));
            assert_eq!(face.drawn('é'), 'é');
            let unknown = face.drawn('漢');
            assert!(unknown != '漢' && face.drawn(unknown) == unknown);
        }
    }
}
