//! Where everything stands on paper: blocks become marks on A4 pages, before anything is written.
//!
//! Sizes are in points (1/72 inch), from the page's upper left corner.

use crate::face::{Faces, Style};
use crate::page::{Block, Column, Fact, Page, Table};

/// A4.
pub(crate) const PAGE: (f32, f32) = (595.28, 841.89);
const LEFT: f32 = 57.0;
const RIGHT: f32 = 538.28;
const TOP: f32 = 60.0;
const BOTTOM: f32 = 777.0;
const FOOT: f32 = 803.0;
const WIDTH: f32 = RIGHT - LEFT;

const TITLE: f32 = 22.0;
const BODY: f32 = 9.5;
const SMALL: f32 = 8.0;
const HEAD: f32 = 12.0;
/// From one baseline to the next, for a size.
const LEADING: f32 = 1.4;
/// Where the values of facts begin.
const VALUE: f32 = 140.0;

/// A shade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shade {
    /// Text.
    Ink,
    /// Less important text.
    Grey,
    /// Thin lines.
    Line,
    /// Behind commands.
    Pale,
    /// Behind what must be seen.
    Warm,
    /// Beside what must be seen.
    Amber,
}

/// One mark on a page.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    /// A line of text, its baseline's beginning at x, y.
    Text { x: f32, y: f32, style: Style, size: f32, shade: Shade, text: String },
    /// A filled rectangle.
    Box { x: f32, y: f32, width: f32, height: f32, shade: Shade },
}

/// Marks, page by page.
pub(crate) struct Layout<'f> {
    faces: &'f Faces,
    pages: Vec<Vec<Mark>>,
    /// How far down the page is used.
    y: f32,
}

/// All pages of a cover.
pub(crate) fn lay_out(faces: &Faces, page: &Page) -> Vec<Vec<Mark>> {
    let mut layout = Layout { faces, pages: vec![Vec::new()], y: TOP };
    layout.title(page);
    for block in &page.blocks {
        match block {
            Block::Heading(text) => layout.heading(text),
            Block::Text(text) => layout.text(text),
            Block::Note(text) => layout.note(text),
            Block::Facts(facts) => facts.iter().enumerate().for_each(|(at, one)| layout.fact(at, one)),
            Block::Step { number, text, commands } => layout.step(*number, text, commands),
            Block::Table(table) => layout.table(table),
        }
        if !matches!(block, Block::Heading(_)) {
            layout.y += 7.0;
        }
    }
    layout.feet(&page.foot);
    layout.pages
}

impl Layout<'_> {
    fn mark(&mut self, mark: Mark) {
        if let Some(page) = self.pages.last_mut() {
            page.push(mark);
        }
    }

    fn put(&mut self, x: f32, y: f32, style: Style, size: f32, shade: Shade, text: &str) {
        let face = self.faces.of(style);
        // What no font here has is shown as the replacement character, so that nothing is left out unseen.
        let text = text.chars().map(|c| face.drawn(c)).collect();
        self.mark(Mark::Text { x, y, style, size, shade, text });
    }

    fn rule(&mut self, y: f32, shade: Shade, height: f32) {
        self.mark(Mark::Box { x: LEFT, y, width: WIDTH, height, shade });
    }

    /// Begins another page where less than this is left; says whether it did.
    fn need(&mut self, height: f32) -> bool {
        let is_full = self.y + height > BOTTOM && self.y > TOP;
        if is_full {
            self.pages.push(Vec::new());
            self.y = TOP;
        }
        is_full
    }

    fn title(&mut self, page: &Page) {
        self.put(LEFT, self.y + TITLE, Style::Semibold, TITLE, Shade::Ink, &page.title);
        self.y += TITLE * LEADING + 4.0;
        for line in self.faces.of(Style::Regular).lines(&page.subtitle, BODY, WIDTH) {
            self.put(LEFT, self.y + BODY, Style::Regular, BODY, Shade::Grey, &line);
            self.y += BODY * LEADING;
        }
        self.y += 6.0;
        self.rule(self.y, Shade::Ink, 1.5);
        self.y += 14.0;
    }

    fn heading(&mut self, text: &str) {
        // Never alone at a page's end.
        self.need(HEAD * LEADING + 46.0);
        self.y += if self.y > TOP { 8.0 } else { 0.0 };
        self.put(LEFT, self.y + HEAD, Style::Semibold, HEAD, Shade::Ink, text);
        self.y += HEAD * LEADING + 4.0;
    }

    fn text(&mut self, text: &str) {
        for line in self.faces.of(Style::Regular).lines(&unmarked(text), BODY, WIDTH) {
            self.need(BODY * LEADING);
            self.put(LEFT, self.y + BODY, Style::Regular, BODY, Shade::Ink, &line);
            self.y += BODY * LEADING;
        }
    }

    fn note(&mut self, text: &str) {
        let (inset, pad) = (12.0, 7.0);
        let lines = self.faces.of(Style::Semibold).lines(text, BODY, WIDTH - 2.0 * inset);
        let height = BODY * LEADING * rows(lines.len()) + 2.0 * pad - 2.0;
        self.need(height);
        let y = self.y;
        self.mark(Mark::Box { x: LEFT, y, width: WIDTH, height, shade: Shade::Warm });
        self.mark(Mark::Box { x: LEFT, y, width: 3.0, height, shade: Shade::Amber });
        self.y += pad;
        for line in lines {
            self.put(LEFT + inset, self.y + BODY, Style::Semibold, BODY, Shade::Ink, &line);
            self.y += BODY * LEADING;
        }
        self.y = y + height;
    }

    fn fact(&mut self, at: usize, fact: &Fact) {
        let (style, size) = if fact.is_code { (Style::Mono, SMALL) } else { (Style::Regular, BODY) };
        let names = self.faces.of(Style::Regular).lines(&fact.name, BODY, VALUE - 10.0);
        let values = self.faces.of(style).lines(&fact.value, size, WIDTH - VALUE);
        let height = BODY * LEADING * rows(names.len().max(values.len())) + 5.0;
        let is_first = self.need(height.min(BOTTOM - TOP)) || at == 0;
        if is_first {
            self.rule(self.y, Shade::Line, 0.5);
        }
        let mut y = self.y + 2.0;
        for line in names {
            self.put(LEFT, y + BODY, Style::Regular, BODY, Shade::Grey, &line);
            y += BODY * LEADING;
        }
        y = self.y + 2.0;
        for line in values {
            // A value longer than a page goes on on the next.
            if y + BODY * LEADING > BOTTOM {
                self.pages.push(Vec::new());
                (self.y, y) = (TOP, TOP);
            }
            self.put(LEFT + VALUE, y + BODY, style, size, Shade::Ink, &line);
            y += BODY * LEADING;
        }
        self.y = (self.y + height).max(y + 3.0).min(BOTTOM);
        self.rule(self.y - 0.5, Shade::Line, 0.5);
    }

    fn step(&mut self, number: u32, text: &str, commands: &[String]) {
        let (indent, pad) = (18.0, 6.0);
        let lines = self.faces.of(Style::Regular).lines(&unmarked(text), BODY, WIDTH - indent);
        let mono = self.faces.of(Style::Mono);
        let wide = WIDTH - indent - 2.0 * pad;
        let typed: Vec<String> =
            commands.iter().flat_map(|command| mono.lines(command, SMALL, wide)).collect();
        let below = SMALL * 1.5 * rows(typed.len()) + 2.0 * pad - 3.0;
        self.need(BODY * LEADING * rows(lines.len()) + below + 4.0);
        self.put(LEFT, self.y + BODY, Style::Semibold, BODY, Shade::Ink, &format!("{number}."));
        for line in lines {
            self.put(LEFT + indent, self.y + BODY, Style::Regular, BODY, Shade::Ink, &line);
            self.y += BODY * LEADING;
        }
        self.y += 3.0;
        let (x, y, width) = (LEFT + indent, self.y, WIDTH - indent);
        self.mark(Mark::Box { x, y, width, height: below, shade: Shade::Pale });
        let mut baseline = y + pad + SMALL - 1.5;
        for line in typed {
            self.put(x + pad, baseline, Style::Mono, SMALL, Shade::Ink, &line);
            baseline += SMALL * 1.5;
        }
        self.y = y + below + 1.0;
    }

    fn table(&mut self, table: &Table) {
        self.need(SMALL * LEADING * 3.0 + 12.0);
        self.head(&table.columns);
        for row in &table.rows {
            self.row(&table.columns, row);
        }
    }

    fn head(&mut self, columns: &[Column]) {
        let y = self.y + SMALL + 2.0;
        for (column, x, width) in places(columns) {
            let text = column.head;
            let x = if column.is_number { x + width - self.width(Style::Semibold, text) } else { x };
            self.put(x, y, Style::Semibold, SMALL, Shade::Ink, text);
        }
        self.y += SMALL * LEADING + 5.0;
        self.rule(self.y - 0.75, Shade::Ink, 0.75);
    }

    fn row(&mut self, columns: &[Column], row: &[String]) {
        let style = |column: &Column| if column.is_code { Style::Mono } else { Style::Regular };
        let cells: Vec<(&Column, f32, f32, Vec<String>)> = places(columns)
            .zip(row)
            .map(|((column, x, width), cell)| {
                (column, x, width, self.faces.of(style(column)).lines(cell, SMALL, width))
            })
            .collect();
        let most = cells.iter().map(|(.., lines)| lines.len()).max().unwrap_or(1);
        let height = SMALL * LEADING * rows(most) + 4.5;
        if self.need(height) {
            self.head(columns);
        }
        for (column, x, width, lines) in cells {
            let mut y = self.y + SMALL + 2.0;
            for line in lines {
                let x = if column.is_number { x + width - self.width(style(column), &line) } else { x };
                self.put(x, y, style(column), SMALL, Shade::Ink, &line);
                y += SMALL * LEADING;
            }
        }
        self.y += height;
        self.rule(self.y - 0.5, Shade::Line, 0.5);
    }

    fn width(&self, style: Style, text: &str) -> f32 {
        self.faces.of(style).width(text, SMALL)
    }

    /// The foot of every page: whose it is, and which of how many.
    fn feet(&mut self, foot: &str) {
        let count = self.pages.len();
        let face = self.faces.of(Style::Regular);
        for (number, page) in (1_usize..).zip(&mut self.pages) {
            let numbers = format!("{number} of {count}");
            let x = RIGHT - face.width(&numbers, SMALL);
            let lines = face.lines(foot, SMALL, x - LEFT - 20.0);
            let mut text = |x: f32, text: &str| {
                let text = text.chars().map(|c| face.drawn(c)).collect();
                let (style, size, shade) = (Style::Regular, SMALL, Shade::Grey);
                page.push(Mark::Text { x, y: FOOT, style, size, shade, text });
            };
            text(x, &numbers);
            text(LEFT, lines.first().map_or("", String::as_str));
            page.push(Mark::Box { x: LEFT, y: FOOT - 14.0, width: WIDTH, height: 0.5, shade: Shade::Line });
        }
    }
}

/// Each column with its left edge and its width.
fn places(columns: &[Column]) -> impl Iterator<Item = (&Column, f32, f32)> {
    let gap = 10.0;
    let mut x = LEFT;
    columns.iter().map(move |column| {
        let (left, wide) = (x, WIDTH * f32::from(column.share) / 100.0);
        x += wide;
        (column, left, wide - gap)
    })
}

/// A number of lines as a factor of heights.
fn rows(count: usize) -> f32 {
    f32::from(u16::try_from(count).unwrap_or(u16::MAX))
}

/// Text without the marks of code, which paper shows in the same face.
fn unmarked(text: &str) -> String {
    text.replace('`', "")
}
