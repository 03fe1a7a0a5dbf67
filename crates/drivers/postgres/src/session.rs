//! A connection with its prepared statements, and how cells are told to PostgreSQL.
//!
//! PostgreSQL's text takes no NUL, and an event's text may have one: NUL is stored as the bytes 1 1 and the character
//! U+0001 as 1 2, which keeps the bytewise order.
//! Not here: which statements (`rows`, `schema`, `views`).

use std::borrow::Cow;
use std::collections::HashMap;

use postgres::types::{ToSql, Type};
use postgres::{Client, Config, NoTls, Row as SqlRow, Statement};
use waag_domain::project::{Cell, Column, Kind, Row, RowsError};
use waag_views::error::ViewsError;

/// Prepared statements kept by connection; more begin anew.
const STATEMENTS_MAX: usize = 512;

/// What went wrong in PostgreSQL, in the contract's words.
pub(crate) fn failed(attempt: &'static str) -> impl Fn(postgres::Error) -> ViewsError {
    move |error| {
        let said = error.as_db_error().map(|inner| inner.message().to_owned());
        let cause = || std::error::Error::source(&error).map(ToString::to_string);
        let reason = said.or_else(cause).unwrap_or_else(|| error.to_string());
        ViewsError::Failed { attempt, reason }
    }
}

/// The same for rows.
pub(crate) fn rows_failed(attempt: &'static str) -> impl Fn(postgres::Error) -> RowsError {
    move |error| failed(attempt)(error).into()
}

/// A connection.
pub(crate) struct Session {
    pub(crate) client: Client,
    statements: HashMap<String, Statement>,
}

impl Session {
    /// Connects, with the names of this schema in sight and no other.
    pub(crate) fn connect(config: &Config, schema: &str) -> Result<Self, ViewsError> {
        let mut client = config.connect(NoTls).map_err(failed("connect"))?;
        let set = format!("SET search_path TO \"{schema}\"");
        client.batch_execute(&set).map_err(failed("connect"))?;
        Ok(Self { client, statements: HashMap::new() })
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, postgres::Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        let statement = self.client.prepare(sql)?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    pub(crate) fn query(
        &mut self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<SqlRow>, postgres::Error> {
        let statement = self.statement(sql)?;
        self.client.query(&statement, values)
    }

    pub(crate) fn execute(
        &mut self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, postgres::Error> {
        let statement = self.statement(sql)?;
        self.client.execute(&statement, values)
    }
}

/// A text as it is stored.
fn stored(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\u{1}']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\u{1}', "\u{1}\u{2}").replace('\0', "\u{1}\u{1}"))
}

/// A stored text as it was.
fn restored(text: &str) -> String {
    if !text.contains('\u{1}') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1}' => out.push(if characters.next() == Some('\u{1}') { '\0' } else { '\u{1}' }),
            other => out.push(other),
        }
    }
    out
}

/// One value of a query.
pub(crate) fn value(cell: &Cell) -> Box<dyn ToSql + Sync> {
    match cell {
        Cell::Null => Box::new(None::<i64>),
        Cell::Integer(number) => Box::new(*number),
        Cell::Text(text) => Box::new(stored(text).into_owned()),
        Cell::Bytes(bytes) => Box::new(bytes.to_vec()),
    }
}

/// One column of many rows, as an array.
pub(crate) fn array(column: &Column, at: usize, rows: &[&Row]) -> Box<dyn ToSql + Sync> {
    let cells = rows.iter().map(|row| row.get(at));
    match column.kind {
        Kind::Integer => {
            let values: Vec<Option<i64>> = cells.map(|cell| cell?.integer()).collect();
            Box::new(values)
        }
        Kind::Text => {
            let values: Vec<Option<String>> =
                cells.map(|cell| Some(stored(cell?.text()?).into_owned())).collect();
            Box::new(values)
        }
        Kind::Bytes => {
            let values: Vec<Option<Vec<u8>>> = cells.map(|cell| Some(cell?.bytes()?.to_vec())).collect();
            Box::new(values)
        }
    }
}

/// The SQL type of a column's values.
pub(crate) fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer => "bigint",
        Kind::Text => "text",
        Kind::Bytes => "bytea",
    }
}

/// A row's cells, beginning with the column at `first`.
pub(crate) fn cells(row: &SqlRow, first: usize) -> Result<Row, postgres::Error> {
    let columns = row.columns().iter().enumerate().skip(first);
    columns
        .map(|(at, column)| {
            Ok(if *column.type_() == Type::INT8 {
                Cell::from(row.try_get::<_, Option<i64>>(at)?)
            } else if *column.type_() == Type::BYTEA {
                let bytes = row.try_get::<_, Option<&[u8]>>(at)?;
                bytes.map_or(Cell::Null, |bytes| Cell::Bytes(bytes.into()))
            } else {
                let text = row.try_get::<_, Option<&str>>(at)?;
                text.map_or(Cell::Null, |text| Cell::Text(restored(text).into()))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{restored, stored};

    #[test]
    fn texts_with_nul_come_back_and_keep_their_order() {
        let mut texts = [
            "",
            "\0",
            "\0\0",
            "\0a",
            "\u{1}",
            "\u{1}\0",
            "\u{1}\u{1}",
            "\u{2}",
            "a",
            "a\0",
            "a\0b",
            "a\u{1}",
        ];
        texts.sort_unstable();
        let there: Vec<String> = texts.iter().map(|text| stored(text).into_owned()).collect();
        assert!(there.is_sorted() && there.iter().all(|text| !text.contains('\0')));
        let back: Vec<String> = there.iter().map(|text| restored(text)).collect();
        assert_eq!(back, texts);
    }
}
