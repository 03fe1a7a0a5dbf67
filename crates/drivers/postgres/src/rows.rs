//! Rows in SQL: many at a time through arrays, one statement for each table and call.
//!
//! Not here: transactions and cursors (`views`).

use std::cell::RefCell;
use std::collections::BTreeMap;

use postgres::types::ToSql;
use waag_domain::memory::{check_key, check_row};
use waag_domain::project::{Reads, Row, Rows, RowsError, Scan, Table};
use waag_views::contract::ViewKey;
use waag_views::sql::plan;

use crate::schema::{names, quoted};
use crate::session::{Session, array, cells, rows_failed, type_of, value};

/// Rows of one statement.
const STATEMENT_ROWS: usize = 10_000;

/// Rows of one view, on a session that is in a transaction.
pub(crate) struct ViewRows<'s> {
    pub(crate) session: &'s RefCell<Session>,
    pub(crate) view: &'s ViewKey,
}

fn borrowed(values: &[Box<dyn ToSql + Sync>]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value.as_ref()).collect()
}

/// `UNNEST($1::bigint[], …)` over the first columns of a table.
fn unnest(table: &Table, columns: usize) -> String {
    let arrays: Vec<String> = (1..)
        .zip(table.columns.iter().take(columns))
        .map(|(place, column)| format!("${place}::{}[]", type_of(column.kind)))
        .collect();
    format!("UNNEST({})", arrays.join(", "))
}

fn arrays(table: &Table, columns: usize, rows: &[&Row]) -> Vec<Box<dyn ToSql + Sync>> {
    let first = table.columns.iter().take(columns).enumerate();
    first.map(|(at, column)| array(column, at, rows)).collect()
}

/// `t."a" = k.c0 AND …` for the key's columns.
fn joined(table: &Table) -> String {
    let conditions: Vec<String> =
        (0..table.key).map(|at| format!("{} = k.c{at}", names(table, "t.", [at]))).collect();
    conditions.join(" AND ")
}

fn places(table: &Table) -> String {
    (0..table.key).map(|at| format!("c{at}")).collect::<Vec<_>>().join(", ")
}

impl Reads for ViewRows<'_> {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        keys.iter().try_for_each(|key| check_key(table, key))?;
        let sql = format!(
            "SELECT k.place, {} FROM {} WITH ORDINALITY AS k({}, place) JOIN {} AS t ON {}",
            names(table, "t.", 0..table.columns.len()),
            unnest(table, table.key),
            places(table),
            quoted(self.view, table),
            joined(table)
        );
        let mut found = vec![None; keys.len()];
        let attempt = rows_failed("get rows");
        let mut slots = found.as_mut_slice();
        for chunk in keys.chunks(STATEMENT_ROWS) {
            let rows: Vec<&Row> = chunk.iter().collect();
            let values = arrays(table, table.key, &rows);
            let got = self.session.borrow_mut().query(&sql, &borrowed(&values)).map_err(&attempt)?;
            let (mine, rest) = slots.split_at_mut_checked(chunk.len()).unwrap_or_default();
            for row in got {
                let place: i64 = row.try_get(0).map_err(&attempt)?;
                let at = usize::try_from(place).ok().and_then(|place| place.checked_sub(1));
                if let Some(slot) = at.and_then(|at| mine.get_mut(at)) {
                    *slot = Some(cells(&row, 1).map_err(&attempt)?);
                }
            }
            slots = rest;
        }
        Ok(found)
    }

    fn scan(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        let plan = plan(table, scan, '$')?;
        let direction = if scan.descending { "DESC NULLS LAST" } else { "ASC NULLS FIRST" };
        let order: Vec<String> =
            plan.order.iter().map(|at| format!("{} {direction}", names(table, "", [*at]))).collect();
        let sql = format!(
            "SELECT {} FROM {}{} ORDER BY {} LIMIT ${}",
            names(table, "", 0..table.columns.len()),
            quoted(self.view, table),
            plan.conditions,
            order.join(", "),
            plan.values.len().saturating_add(1)
        );
        let mut values: Vec<Box<dyn ToSql + Sync>> = plan.values.iter().map(|cell| value(cell)).collect();
        values.push(Box::new(i64::try_from(scan.limit).unwrap_or(i64::MAX)));
        let attempt = rows_failed("scan rows");
        let found = self.session.borrow_mut().query(&sql, &borrowed(&values)).map_err(&attempt)?;
        found.iter().map(|row| cells(row, 0).map_err(&attempt)).collect()
    }
}

impl Rows for ViewRows<'_> {
    fn put(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), RowsError> {
        rows.iter().try_for_each(|row| check_row(table, row))?;
        // One statement takes a key once; the last row of a key counts.
        let key = |row: &Row| row.iter().take(table.key).cloned().collect::<Row>();
        let last: BTreeMap<Row, &Row> = rows.iter().map(|row| (key(row), row)).collect();
        let once: Vec<&Row> = last.into_values().collect();
        let columns = table.columns.len();
        let set: Vec<String> = (table.key..columns)
            .map(|at| format!("{} = {}", names(table, "", [at]), names(table, "excluded.", [at])))
            .collect();
        let update =
            if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", set.join(", ")) };
        let sql = format!(
            "INSERT INTO {}({}) SELECT * FROM {} ON CONFLICT ({}) DO {update}",
            quoted(self.view, table),
            names(table, "", 0..columns),
            unnest(table, columns),
            names(table, "", 0..table.key)
        );
        for chunk in once.chunks(STATEMENT_ROWS) {
            let values = arrays(table, columns, chunk);
            let put = self.session.borrow_mut().execute(&sql, &borrowed(&values));
            put.map_err(rows_failed("put rows"))?;
        }
        Ok(())
    }

    fn delete(&mut self, table: &'static Table, keys: &[Row]) -> Result<(), RowsError> {
        keys.iter().try_for_each(|key| check_key(table, key))?;
        let sql = format!(
            "DELETE FROM {} AS t USING {} AS k({}) WHERE {}",
            quoted(self.view, table),
            unnest(table, table.key),
            places(table),
            joined(table)
        );
        for chunk in keys.chunks(STATEMENT_ROWS) {
            let rows: Vec<&Row> = chunk.iter().collect();
            let values = arrays(table, table.key, &rows);
            let deleted = self.session.borrow_mut().execute(&sql, &borrowed(&values));
            deleted.map_err(rows_failed("delete rows"))?;
        }
        Ok(())
    }
}
