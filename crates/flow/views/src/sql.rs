//! A scan as SQL that both engines read alike: conditions and order, with places for the values.
//!
//! Nulls come first and bounds take none (`ROWS-1`, `ROWS-2` of `domain/memory`). A comparison of row values is what the
//! engines' indexes answer best, but it drops rows with nulls in a descending order; there the conditions are written out.
//! Not here: connections, types of columns, quoting of table names (the drivers).

use waag_domain::memory::check_scan;
use waag_domain::project::{Cell, RowsError, Scan, Table};

/// The part of a query behind its table's name, and the values for its places in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<'a> {
    /// ` WHERE …`, or nothing.
    pub conditions: String,
    /// The columns of the order, each once.
    pub order: Vec<usize>,
    /// The values of the places `1` to their number.
    pub values: Vec<&'a Cell>,
}

struct Writer<'a> {
    table: &'static Table,
    mark: char,
    conditions: Vec<String>,
    values: Vec<&'a Cell>,
}

impl<'a> Writer<'a> {
    fn name(&self, column: usize) -> &'static str {
        self.table.columns.get(column).map_or("", |column| column.name)
    }

    fn place(&mut self, cell: &'a Cell) -> String {
        self.values.push(cell);
        format!("{}{}", self.mark, self.values.len())
    }

    fn compared(&mut self, column: usize, operator: &str, cell: &'a Cell) -> String {
        let place = self.place(cell);
        format!("\"{}\" {operator} {place}", self.name(column))
    }

    fn equal(&mut self, column: usize, cell: &'a Cell) -> String {
        if *cell == Cell::Null {
            format!("\"{}\" IS NULL", self.name(column))
        } else {
            self.compared(column, "=", cell)
        }
    }

    fn is_nullable(&self, column: usize, present: Option<usize>) -> bool {
        present != Some(column) && self.table.columns.get(column).is_some_and(|column| column.nullable)
    }

    /// Rows after this one in the order.
    fn beyond(&mut self, after: &[(usize, &'a Cell)], descending: bool, present: Option<usize>) {
        if after.is_empty() {
            // Every column of the order is fixed, and the row before is the one row there is.
            return self.conditions.push("1 = 0".to_owned());
        }
        let cells_have_null = after.iter().any(|(_, cell)| **cell == Cell::Null);
        let rows_have_null = after.iter().any(|(column, _)| self.is_nullable(*column, present));
        if !(cells_have_null || descending && rows_have_null) {
            let names: Vec<String> =
                after.iter().map(|(column, _)| format!("\"{}\"", self.name(*column))).collect();
            let places: Vec<String> = after.iter().map(|(_, cell)| self.place(cell)).collect();
            let operator = if descending { '<' } else { '>' };
            self.conditions.push(format!("({}) {operator} ({})", names.join(", "), places.join(", ")));
            return;
        }
        let mut ways = Vec::new();
        for (at, (column, cell)) in after.iter().enumerate() {
            let name = self.name(*column);
            let step = match (**cell == Cell::Null, descending) {
                (true, true) => continue,
                (true, false) => format!("\"{name}\" IS NOT NULL"),
                (false, false) => self.compared(*column, ">", cell),
                (false, true) => {
                    let less = self.compared(*column, "<", cell);
                    format!("({less} OR \"{name}\" IS NULL)")
                }
            };
            let mut way: Vec<String> =
                after.iter().take(at).map(|(column, cell)| self.equal(*column, cell)).collect();
            way.push(step);
            ways.push(way.join(" AND "));
        }
        let any = if ways.is_empty() { "1 = 0".to_owned() } else { ways.join(" OR ") };
        self.conditions.push(format!("({any})"));
    }
}

/// Writes a scan for an engine whose places begin with `mark` (`?` or `$`).
///
/// # Errors
/// [`RowsError`] where the scan does not fit the table.
pub fn plan<'a>(table: &'static Table, scan: &'a Scan<'a>, mark: char) -> Result<Plan<'a>, RowsError> {
    check_scan(table, scan)?;
    let present = scan.index.and_then(|index| index.present);
    let leading = scan.index.map_or(&[][..], |index| index.columns);
    let columns: Vec<usize> = leading.iter().copied().chain(0..table.key).collect();
    let mut writer = Writer { table, mark, conditions: Vec::new(), values: Vec::new() };
    if let Some(column) = present {
        let name = writer.name(column);
        writer.conditions.push(format!("\"{name}\" IS NOT NULL"));
    }
    for (column, cell) in columns.iter().zip(scan.equal) {
        let equal = writer.equal(*column, cell);
        writer.conditions.push(equal);
    }
    if let Some(column) = columns.get(scan.equal.len()) {
        for (bound, operator) in [(&scan.from, ">="), (&scan.to, "<")] {
            if let Some(cell) = bound {
                let compared = writer.compared(*column, operator, cell);
                writer.conditions.push(compared);
            }
        }
    }
    if let Some(after) = scan.after {
        let (before, rest) = after.split_at_checked(scan.equal.len()).unwrap_or((after, &[]));
        match (before.cmp(scan.equal), scan.descending) {
            (std::cmp::Ordering::Equal, _) => {
                let pairs = columns.iter().copied().skip(scan.equal.len()).zip(rest);
                let mut once: Vec<(usize, &Cell)> = Vec::new();
                for (column, cell) in pairs {
                    if !once.iter().any(|(seen, _)| *seen == column) {
                        once.push((column, cell));
                    }
                }
                writer.beyond(&once, scan.descending, present);
            }
            // The row before lies outside of the range: all of the range comes after it, or none.
            (std::cmp::Ordering::Less, false) | (std::cmp::Ordering::Greater, true) => {}
            (std::cmp::Ordering::Greater, false) | (std::cmp::Ordering::Less, true) => {
                writer.conditions.push("1 = 0".to_owned());
            }
        }
    }
    let mut order: Vec<usize> = Vec::new();
    for column in columns {
        if !order.contains(&column) {
            order.push(column);
        }
    }
    let all = writer.conditions.join(" AND ");
    let conditions = if all.is_empty() { all } else { format!(" WHERE {all}") };
    Ok(Plan { conditions, order, values: writer.values })
}
