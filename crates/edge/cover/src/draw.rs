//! Marks on a page, drawn with the library that writes PDF.

use krilla::color::rgb;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::num::NormalizedF32;
use krilla::paint::{Fill, FillRule};
use krilla::surface::Surface;

use crate::face::Faces;
use crate::layout::{Mark, Shade};

fn fill(shade: Shade) -> Fill {
    let (red, green, blue) = match shade {
        Shade::Ink => (0x16, 0x20, 0x2c),
        Shade::Grey => (0x46, 0x52, 0x5f),
        Shade::Line => (0xd5, 0xdb, 0xe1),
        Shade::Pale => (0xf2, 0xf4, 0xf6),
        Shade::Warm => (0xfd, 0xf6, 0xe9),
        Shade::Amber => (0x9a, 0x5b, 0x00),
    };
    Fill {
        paint: rgb::Color::new(red, green, blue).into(),
        opacity: NormalizedF32::ONE,
        rule: FillRule::default(),
    }
}

/// Draws one mark.
pub(crate) fn draw(surface: &mut Surface<'_>, faces: &Faces, mark: &Mark) {
    match mark {
        Mark::Text { x, y, style, size, shade, text } => {
            let face = faces.of(*style);
            surface.set_fill(Some(fill(*shade)));
            surface.draw_glyphs(
                Point::from_xy(*x, *y),
                &face.line(text),
                face.font.clone(),
                text,
                *size,
                false,
            );
        }
        Mark::Box { x, y, width, height, shade } => {
            surface.set_fill(Some(fill(*shade)));
            let path = Rect::from_xywh(*x, *y, *width, *height).and_then(|rect| {
                let mut path = PathBuilder::new();
                path.push_rect(rect);
                path.finish()
            });
            // A box without area is nothing to be seen.
            if let Some(path) = path {
                surface.draw_path(&path);
            }
        }
    }
}
