//! Cells as bytes whose order is the cells' order (`ROWS-1`), so that a place in an index is one text of bytes.
//!
//! Each cell begins with its kind. A number is its eight bytes with the sign turned over, most significant first. A text
//! or bytes end with `00 01`, and a zero within is `00 FF`: one text that begins another comes before it.
//! Not here: which cells make a place (`orders`).

use waag_domain::project::{Cell, Row};

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const TEXT: u8 = 2;
const BYTES: u8 = 3;
/// After every kind of cell.
pub(super) const AFTER_ALL: u8 = 0xff;
/// What every number, text or bytes come after, and no null does.
pub(super) const AFTER_NULL: u8 = INTEGER;

const ZERO: u8 = 0;
const END: u8 = 1;
const ZERO_WITHIN: u8 = 0xff;

/// Cells as one place.
pub(super) fn place(cells: &[Cell]) -> Vec<u8> {
    let mut bytes = Vec::new();
    cells.iter().for_each(|cell| write(cell, &mut bytes));
    bytes
}

/// The first place there could be after these cells'.
pub(super) fn beyond(cells: &[Cell]) -> Vec<u8> {
    let mut bytes = place(cells);
    bytes.push(NULL);
    bytes
}

/// Appends a cell.
pub(super) fn write(cell: &Cell, to: &mut Vec<u8>) {
    match cell {
        Cell::Null => to.push(NULL),
        Cell::Integer(number) => {
            to.push(INTEGER);
            to.extend_from_slice(&(*number ^ i64::MIN).to_be_bytes());
        }
        Cell::Text(text) => write_bytes(TEXT, text.as_bytes(), to),
        Cell::Bytes(bytes) => write_bytes(BYTES, bytes, to),
    }
}

fn write_bytes(kind: u8, bytes: &[u8], to: &mut Vec<u8>) {
    to.push(kind);
    let mut pieces = bytes.split(|byte| *byte == ZERO);
    to.extend_from_slice(pieces.next().unwrap_or_default());
    for piece in pieces {
        to.extend_from_slice(&[ZERO, ZERO_WITHIN]);
        to.extend_from_slice(piece);
    }
    to.extend_from_slice(&[ZERO, END]);
}

/// The cells that were written; none where these bytes are no such cells.
pub(super) fn read(mut bytes: &[u8]) -> Option<Row> {
    let mut cells = Row::new();
    while let Some((kind, rest)) = bytes.split_first() {
        let (cell, rest) = match *kind {
            NULL => (Cell::Null, rest),
            INTEGER => {
                let (number, rest) = rest.split_first_chunk()?;
                (Cell::Integer(i64::from_be_bytes(*number) ^ i64::MIN), rest)
            }
            TEXT => {
                let (text, rest) = read_bytes(rest)?;
                (Cell::Text(std::str::from_utf8(&text).ok()?.into()), rest)
            }
            BYTES => {
                let (found, rest) = read_bytes(rest)?;
                (Cell::Bytes(found.into()), rest)
            }
            _ => return None,
        };
        cells.push(cell);
        bytes = rest;
    }
    Some(cells)
}

fn read_bytes(mut bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut found = Vec::new();
    loop {
        let at = bytes.iter().position(|byte| *byte == ZERO)?;
        let (piece, rest) = bytes.split_at_checked(at)?;
        found.extend_from_slice(piece);
        let (mark, rest) = rest.get(1..)?.split_first()?;
        match *mark {
            END => return Some((found, rest)),
            ZERO_WITHIN => found.push(ZERO),
            _ => return None,
        }
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cells: &[Cell]) -> Vec<u8> {
        let mut bytes = Vec::new();
        cells.iter().for_each(|cell| write(cell, &mut bytes));
        bytes
    }

    #[test]
    fn bytes_have_the_order_of_cells_and_give_them_back() {
        let mut cells = vec![Cell::Null];
        cells.extend([i64::MIN, -256, -1, 0, 1, 255, 256, i64::MAX].map(Cell::Integer));
        let texts =
            ["", "\0", "\0\0", "\0\u{1}", "\u{1}", "a", "a\0", "a\0b", "a\u{1}", "aa", "ab", "b", "é"];
        cells.extend(texts.map(Cell::from));
        let bytes: [&[u8]; 7] = [b"", b"\0", b"\0\0", b"\0\xff", b"a", b"\xff", b"\xff\xff"];
        cells.extend(bytes.map(|bytes| Cell::Bytes(bytes.into())));
        let mut rows: Vec<Row> = Vec::new();
        for a in &cells {
            for b in &cells {
                rows.push(vec![a.clone(), b.clone()]);
            }
        }
        rows.sort();
        let all: Vec<Vec<u8>> = rows.iter().map(|row| written(row)).collect();
        assert!(all.is_sorted_by(|a, b| a < b));
        for (row, bytes) in rows.iter().zip(&all) {
            assert_eq!(read(bytes).as_ref(), Some(row));
        }
    }

    #[test]
    fn other_bytes_are_no_cells() {
        let whole = written(&["a\0b".into(), 7.into(), Cell::Bytes(b"x".as_slice().into())]);
        let mut cut: Vec<usize> = (1..whole.len()).filter(|at| read(&whole[..*at]).is_some()).collect();
        // Between two cells the bytes before are cells.
        cut.retain(|at| whole.get(*at).is_none_or(|kind| ![INTEGER, BYTES].contains(kind)));
        assert_eq!(cut, [] as [usize; 0]);
        for bytes in [&[9][..], &[TEXT, 0, 2], &[TEXT, 0xc3, 0, 1], &[INTEGER, 0]] {
            assert_eq!(read(bytes), None);
        }
    }
}
