//! What pages say of choices, counts, files and days, so that no reader takes one thing for another.

use std::sync::Arc;

use axum::http::{Request, StatusCode, header};
use waag_web::Pages;

use crate::lists::{Telling, file, page, received, told};
use crate::pages::{ask, get, text};
use crate::support::sample::SampleFigures;
use crate::support::{Sample, Still};

async fn sample(path: &str) -> String {
    let pages = Pages::with_figures(Sample::new(false), Arc::new(Still), |_| {
        Box::new(SampleFigures { empty: false })
    });
    let response = ask(pages, get(path)).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    text(response).await
}

#[tokio::test]
async fn showing_until_today_keeps_the_period_that_is_shown() {
    let hour = "aria-current=\"true\">1h</a>";
    let day = "aria-current=\"true\">24h</a>";
    let week = "aria-current=\"true\">7d</a>";
    let month = "aria-current=\"true\">30d</a>";
    let shown = |word: &str| format!("<input type=\"hidden\" name=\"shown\" value=\"{word}\">");
    let html = sample("/").await;
    assert!(html.contains(&shown("24h")) && html.contains(day), "{html}");
    for (path, current) in [
        // What the form sends where nothing is changed.
        ("/?shown=24h&until=2026-11-20", day),
        ("/?shown=1h&until=2026-11-20", hour),
        ("/operations?filter=loops&shown=24h&until=2026-11-20", day),
        ("/?range=7d&until=2026-11-20", week),
        // Another day has thirty before it, as ever, and so has today where nobody says what is shown.
        ("/?shown=24h&until=2026-11-19", month),
        ("/?until=2026-11-20", month),
    ] {
        assert!(sample(path).await.contains(current), "{path} lacks {current}");
    }
    assert!(sample("/?range=1h").await.contains(&shown("1h")));
    assert!(!sample("/?range=7d").await.contains("name=\"shown\""));
    let pages = Pages::new(Sample::new(true), Arc::new(Still));
    let refused =
        Request::get("/?shown=2h").header(header::HOST, "localhost").body(axum::body::Body::empty());
    assert_eq!(ask(pages, refused.unwrap()).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn counts_of_all_stand_beside_no_list_that_is_narrowed() {
    assert!(sample("/operations").await.contains("Stuck <span class=\"badge\">182</span>"));
    for path in ["/operations?region=eu-west-1", "/operations?filter=loops&currency=EUR"] {
        let html = sample(path).await;
        assert!(!html.contains("class=\"badge\""), "{path}: {html}");
    }
}

#[tokio::test]
async fn a_choice_of_what_there_is_none_of_is_shown_as_it_was_made() {
    let html = sample("/operations?region=nowhere&currency=%22eur").await;
    for chosen in [
        "<option value=\"nowhere\" selected>nowhere</option>",
        "<option value=\"&quot;eur\" selected>&#34;eur</option>",
    ] {
        assert!(html.contains(chosen), "{chosen}: {html}");
    }
    let html = sample("/operations?region=eu-west-1&currency=EUR").await;
    assert_eq!(html.matches(" selected>").count(), 2, "no option twice");
}

#[tokio::test]
async fn a_printed_list_says_what_it_is() {
    let html = sample("/operations?filter=loops&stage=posting&region=eu-west-1&currency=EUR&range=7d").await;
    let printed =
        "Loops: Came back into a stage they had left. Only stage posting, region eu-west-1, currency EUR.";
    assert!(html.contains(&format!("<p class=\"printed list-head\">{printed}</p>")), "{html}");
    assert!(html.contains("<p class=\"printed\">What happened: last 7 days; what is open: now</p>"));
    assert!(sample("/operations").await.contains("those late longest first.</p>\n"), "nothing narrows it");
}

#[tokio::test]
async fn a_link_to_a_file_says_how_much_of_the_list_it_has_and_begins_where_the_page_does() {
    let house = Telling::new((0..10_060).map(|n| received(&format!("I{n:05}"))).collect());
    let link = |html: &str| {
        let (before, rest) = html.split_once("\" download>").unwrap();
        let address = before.rsplit_once("href=\"").unwrap().1.replace("&#38;", "&");
        (address, rest.split('<').next().unwrap().to_owned())
    };
    let first = page(&house, "/operations?filter=open").await;
    let (_, words) = link(&first);
    assert_eq!(words, "Download as CSV, first 10,000 of 10,060");
    let next = first.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let second = page(&house, &next.replace("&#38;", "&")).await;
    let (address, words) = link(&second);
    assert_eq!(words, "Download as CSV from here on, first 10,000 of 10,010");
    let records = file(&house, &address).await;
    assert!(records[1].starts_with("I00050,"), "{}", records[1]);
    // Whoever does not know how many came before says so much and no more.
    let unseen = page(&house, &next.replace("&#38;", "&").replace("&seen=50", "")).await;
    assert_eq!(link(&unseen).1, "Download as CSV from here on, 10,000 rows at most");
    let few = Telling::new((0..60).map(|n| received(&format!("I{n:05}"))).collect());
    assert_eq!(link(&page(&few, "/operations?filter=open").await).1, "Download as CSV");
}

#[tokio::test]
async fn open_invoices_without_amounts_are_not_nothing() {
    let bare = told("invoice.ingestion", &[("invoice_id", "INV-1"), ("status", "received")]);
    let html = page(&Telling::new(vec![bare]), "/cash").await;
    assert!(html.contains("1 open invoice is in no sum here"), "{html}");
    assert!(
        html.contains("How much is outstanding is not known") && !html.contains("Nothing is outstanding")
    );
    let html = page(&Telling::new(Vec::new()), "/cash").await;
    assert!(html.contains("Nothing is outstanding") && !html.contains("is not known"), "{html}");
}

#[tokio::test]
async fn an_open_invoice_past_its_due_date_says_so_and_what_is_still_to_come_of_it() {
    let due = |id: &'static str, due: &'static str, status: &'static str| {
        let more = [("due_date", due), ("status", status)];
        let (kind, mut members) = received(id);
        members.extend(more.map(|(name, value)| (name, value.to_owned())));
        (kind, members)
    };
    let house = Telling::new(vec![
        due("INV-1", "2026-11-19", "received"),
        due("INV-2", "2026-11-20", "received"),
        due("INV-3", "2026-11-01", "received"),
        told("invoice.posting", &[("invoice_id", "INV-3"), ("status", "paid")]),
        told("invoice.ingestion", &[("invoice_id", "INV-5"), ("status", "rejected")]),
    ]);
    let overdue = "<span class=\"mark bad\"><span aria-hidden=\"true\">■</span> overdue</span>";
    for (id, is_overdue) in [("INV-1", true), ("INV-2", false), ("INV-3", false)] {
        let html = page(&house, &format!("/invoice?id={id}")).await;
        assert_eq!(html.contains(overdue), is_overdue, "{id}: {html}");
    }
    let html = page(&house, "/invoice?id=INV-1").await;
    for seen in ["<dt>Approved</dt><dd>not yet</dd>", "<dt>Closed</dt><dd>not yet</dd>"] {
        assert!(html.contains(seen), "{seen}: {html}");
    }
    let deadline = html.split("class=\"step-at\">stage deadline <time").nth(1);
    assert!(deadline.is_some_and(|rest| rest.contains(">in ")), "{html}");
    let closed = page(&house, "/invoice?id=INV-5").await;
    assert!(
        closed.contains("<dt>Approved</dt><dd>not told</dd>") && !closed.contains("<dd>not yet</dd>"),
        "{closed}"
    );
}
