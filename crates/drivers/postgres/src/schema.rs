//! The catalogue and the tables of a view: `"NAME.VERSION.BUILD.TABLE"`; texts compared bytewise, nulls first.
//!
//! Not here: rows (`rows`).

use waag_domain::project::{Column, Index, Kind, Table};
use waag_views::contract::ViewKey;
use waag_views::error::ViewsError;

use crate::session::{Session, failed, type_of};

/// The version of the catalogue, told in its table's comment.
const MARK: &str = "waag views 1";

/// Makes the schema and its catalogue where they are not there, and refuses others.
pub(crate) fn initialise(session: &mut Session, schema: &str) -> Result<(), ViewsError> {
    let make = format!(
        "CREATE SCHEMA IF NOT EXISTS \"{schema}\"; \
         CREATE TABLE IF NOT EXISTS view(name text COLLATE \"C\" NOT NULL, version bigint NOT NULL, \
         build bigint NOT NULL, ledger bytea NOT NULL, position bigint NOT NULL, committed bigint NOT NULL, \
         serves boolean NOT NULL, layout text NOT NULL, PRIMARY KEY(name, version, build)); \
         CREATE UNIQUE INDEX IF NOT EXISTS view_serves ON view(name) WHERE serves; \
         COMMENT ON TABLE view IS '{MARK}'"
    );
    let sql = "SELECT obj_description(to_regclass('view'))";
    let read = |session: &mut Session| -> Result<(bool, Option<String>), ViewsError> {
        let there = session.client.query_one("SELECT to_regclass('view') IS NOT NULL", &[]);
        let there = there.and_then(|row| row.try_get(0)).map_err(failed("read the catalogue"))?;
        let mark = session.client.query_one(sql, &[]).and_then(|row| row.try_get(0));
        Ok((there, mark.map_err(failed("read the catalogue"))?))
    };
    match read(session)? {
        (true, Some(mark)) if mark == MARK => Ok(()),
        (true, mark) => Err(ViewsError::Foreign(format!(
            "the table `view` is marked `{}`, this program knows `{MARK}`",
            mark.unwrap_or_default()
        ))),
        (false, _) => {
            // Two nodes may begin at once: one waits for the other, and then finds everything there.
            let guarded = format!("BEGIN; SELECT pg_advisory_xact_lock(5711402); {make}; COMMIT");
            session.client.batch_execute(&guarded).map_err(failed("make the catalogue"))
        }
    }
}

/// A table's name in SQL.
pub(crate) fn quoted(view: &ViewKey, table: &Table) -> String {
    format!("\"{view}.{}\"", table.name)
}

/// Columns by their places, as a list in SQL, each name behind `before`.
pub(crate) fn names(table: &Table, before: &str, columns: impl IntoIterator<Item = usize>) -> String {
    let name = |at: usize| table.columns.get(at).map(|column| format!("{before}\"{}\"", column.name));
    columns.into_iter().filter_map(name).collect::<Vec<_>>().join(", ")
}

/// The statements that make a view's tables and indexes.
pub(crate) fn create_tables(view: &ViewKey, tables: &'static [Table]) -> String {
    tables.iter().map(|table| create_table(view, table)).collect()
}

fn create_table(view: &ViewKey, table: &Table) -> String {
    let column = |column: &Column| {
        let collation = if column.kind == Kind::Text { " COLLATE \"C\"" } else { "" };
        let null = if column.nullable { "" } else { " NOT NULL" };
        format!("\"{}\" {}{collation}{null}", column.name, type_of(column.kind))
    };
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    let mut sql = format!(
        "CREATE TABLE {}({}, PRIMARY KEY({}));",
        quoted(view, table),
        columns.join(", "),
        names(table, "", 0..table.key)
    );
    table.indexes.iter().for_each(|index| sql.push_str(&create_index(view, table, index)));
    sql
}

fn create_index(view: &ViewKey, table: &Table, index: &Index) -> String {
    let rest = (0..table.key).filter(|at| !index.columns.contains(at));
    let columns: Vec<String> = index
        .columns
        .iter()
        .copied()
        .chain(rest)
        .map(|at| format!("{} NULLS FIRST", names(table, "", [at])))
        .collect();
    let present = index.present.map(|at| format!(" WHERE {} IS NOT NULL", names(table, "", [at])));
    // Without a name of its own: names are cut at 63 bytes, and PostgreSQL then chooses one that is free.
    format!("CREATE INDEX ON {}({}){};", quoted(view, table), columns.join(", "), present.unwrap_or_default())
}

/// The statements that drop a view's tables.
pub(crate) fn drop_tables(session: &mut Session, view: &ViewKey) -> Result<(), ViewsError> {
    let prefix = format!("{view}.");
    let sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() \
               AND left(tablename::text, length($1)) = $1";
    let attempt = failed("drop a view's tables");
    let found = session.client.query(sql, &[&prefix]).map_err(&attempt)?;
    for row in found {
        let name: String = row.try_get(0).map_err(&attempt)?;
        session.client.batch_execute(&format!("DROP TABLE \"{name}\"")).map_err(&attempt)?;
    }
    Ok(())
}
