//! The cover as HTML: one file without script, picture, font or address, so that opening it tells nobody.

use std::fmt::Write as _;

use crate::page::{Block, Column, Fact, Page, Table};

/// Everything about how it looks, for the screen and for paper.
const STYLE: &str = include_str!("cover.css");

/// The page as an HTML document.
#[must_use]
pub fn html(page: &Page) -> String {
    let mut out = String::with_capacity(32_768);
    out.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    // A policy of its own, so that no text of others can load or run anything even if it got through as markup.
    out.push_str(
        "<meta http-equiv=\"content-security-policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    );
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    put(&mut out, "title", "", &page.title);
    out.push_str("\n<style>\n");
    out.push_str(STYLE);
    out.push_str("</style>\n</head>\n<body>\n<main>\n<header>\n");
    put(&mut out, "h1", "", &page.title);
    out.push('\n');
    put(&mut out, "p", " class=\"subtitle\"", &page.subtitle);
    out.push_str("\n</header>\n");
    for block in &page.blocks {
        match block {
            Block::Heading(text) => put(&mut out, "h2", "", text),
            Block::Text(text) => put(&mut out, "p", "", text),
            Block::Note(text) => put(&mut out, "p", " class=\"note\"", text),
            Block::Facts(facts) => put_facts(&mut out, facts),
            Block::Step { number, text, commands } => put_step(&mut out, *number, text, commands),
            Block::Table(table) => put_table(&mut out, table),
        }
        out.push('\n');
    }
    out.push_str("</main>\n<footer>\n");
    put(&mut out, "p", "", &page.foot);
    out.push_str("\n</footer>\n</body>\n</html>\n");
    out
}

fn put(out: &mut String, tag: &str, attributes: &str, text: &str) {
    // Writing to a string does not fail.
    let _ = write!(out, "<{tag}{attributes}>{}</{tag}>", escaped(text));
}

fn put_facts(out: &mut String, facts: &[Fact]) {
    out.push_str("<dl>\n");
    for Fact { name, value, is_code } in facts {
        put(out, "dt", "", name);
        put(out, "dd", if *is_code { " class=\"code\"" } else { "" }, value);
        out.push('\n');
    }
    out.push_str("</dl>");
}

fn put_step(out: &mut String, number: u32, text: &str, commands: &[String]) {
    let _ = write!(out, "<section class=\"step\"><p><b>{number}.</b> {}</p><pre>", marked(text));
    for command in commands {
        let _ = writeln!(out, "{}", escaped(command));
    }
    out.push_str("</pre></section>");
}

fn put_table(out: &mut String, table: &Table) {
    let class = |column: &Column| match (column.is_number, column.is_code) {
        (true, _) => " class=\"number\"",
        (false, true) => " class=\"code\"",
        (false, false) => "",
    };
    out.push_str("<table>\n<thead><tr>");
    for column in &table.columns {
        let kind = if column.is_number { " class=\"number\"" } else { "" };
        put(out, "th", &format!(" scope=\"col\"{kind}"), column.head);
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        out.push_str("<tr>");
        for (column, cell) in table.columns.iter().zip(row) {
            put(out, "td", class(column), cell);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>");
}

/// Text with what stands between backticks as code.
fn marked(text: &str) -> String {
    let mut out = String::new();
    for (at, piece) in text.split('`').enumerate() {
        if at % 2 == 1 {
            put(&mut out, "code", "", piece);
        } else {
            out.push_str(&escaped(piece));
        }
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
