//! The paths of the invoices' read model: lists, one invoice, and figures.
//!
//! Not here: their schemas (`report_schemas`).

use serde_json::{Map, Value, json};
use waag_invoices::event::{STAGES, Stage};
use waag_invoices::named::{LISTS, List};
use waag_invoices::queries::{DAYS_MAX, HOURS_MAX, MINUTES_MAX};

use super::{JSON, answered, answers, problem};
use crate::reports::asked::{DATES_DEFAULT, DAYS_DEFAULT, LINES_DEFAULT, LINES_MAX, VENDORS_MAX};

fn query(name: &str, schema: Value, description: &str) -> Value {
    json!({"name": name, "in": "query", "required": false, "schema": schema, "description": description})
}

fn limit(most: usize, default: usize, of: &str) -> Value {
    let schema = json!({"type": "integer", "minimum": 1, "maximum": most});
    query("limit", schema, &format!("most {of} of an answer; {default} where it is not named"))
}

fn after() -> Value {
    let schema = json!({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"});
    query("after", schema, "`next` of the answer before, as it was told")
}

fn days() -> Value {
    let schema = json!({"type": "integer", "minimum": 1, "maximum": DAYS_MAX});
    query(
        "days",
        schema,
        &format!(
            "days of UTC, today the last of them where no other is asked for; {DAYS_DEFAULT} where it is not named"
        ),
    )
}

fn until() -> Value {
    let text = "the last day, which rates and times are of; today where it is not named or yet to come, and so it is \
                for what is open, stuck or overdue";
    query("until", json!({"type": "string", "format": "date"}), text)
}

fn code(is_empty_fine: bool) -> Value {
    json!({"type": "string", "pattern": if is_empty_fine { "^(?:[A-Z]{3})?$" } else { "^[A-Z]{3}$" }})
}

fn read(id: &str, summary: &str, description: &str, parameters: Value, schema: &str) -> Value {
    let ok = answered("The answer, and how fresh it is.", JSON, schema);
    json!({
        "operationId": id, "summary": summary, "description": description,
        "parameters": parameters, "responses": answers(ok, &[])
    })
}

fn with(mut operation: Value, place: &str, member: &str, value: Value) -> Value {
    if let Some(found) = operation.pointer_mut(place).and_then(Value::as_object_mut) {
        found.insert(member.to_owned(), value);
    }
    operation
}

fn list() -> Value {
    let parameters = json!([
        query(
            "list",
            json!({"type": "string", "enum": LISTS.map(List::name)}),
            "which list; `open` where it is not named"
        ),
        query(
            "stage",
            json!({"type": "string", "enum": STAGES.map(Stage::name)}),
            "of invoices in this stage only; a closed one is in none"
        ),
        query("region", json!({"type": "string"}), "of this region only; empty for those without one"),
        query("currency", code(true), "in this currency only; empty for those without one"),
        limit(LINES_MAX, LINES_DEFAULT, "lines"),
        after()
    ]);
    let list = read(
        "listInvoices",
        "A list of invoices, page by page",
        "Open invoices come by deadline, the longest overdue first; loops by returns, the most first; possible duplicates and odd events newest first. A narrowed page may have fewer lines than there is room for, or none: the list has ended where no `next` is told.",
        parameters,
        "InvoiceList",
    );
    let next = json!({"next": {"operationId": "listInvoices", "parameters": {
        "list": "$response.body#/list", "after": "$response.body#/next"
    }}});
    with(list, "/responses/200", "links", next)
}

fn one() -> Value {
    let invoice = read(
        "readInvoice",
        "One invoice: how it stands, and its events",
        "What `waag report invoice` prints, the events by page, the oldest first. Each event's `position` is its place in the ledger: `GET /v1/events/{position}` reads it, and `waag prove` proves it.",
        json!([limit(LINES_MAX, LINES_DEFAULT, "events"), after()]),
        "InvoiceLife",
    );
    let links = json!({
        "next": {"operationId": "readInvoice", "parameters": {
            "id": "$response.body#/invoice/state/id", "after": "$response.body#/next"
        }},
        "event": {"operationId": "readEvent", "parameters": {
            "position": "$response.body#/invoice/steps/0/position"
        }}
    });
    let invoice = with(invoice, "/responses/200", "links", links);
    let invoice = with(invoice, "/responses", "404", problem("No event names the invoice."));
    let id = json!({
        "name": "id", "in": "path", "required": true, "example": "INV-1",
        "schema": {"type": "string", "minLength": 1},
        "description": "The invoice's id, percent-encoded: it may have any characters."
    });
    json!({"parameters": [id], "get": invoice})
}

fn series() -> Value {
    let time = || json!({"type": "string", "format": "date-time"});
    let stage = json!({
        "name": "stage", "in": "query", "required": true, "example": "posting",
        "schema": {"type": "string", "enum": STAGES.map(Stage::name)}
    });
    let parameters = json!([
        stage,
        query(
            "grain",
            json!({"type": "string", "enum": ["minute", "hour", "day"]}),
            "how long a bucket is; `day` where it is not named; minutes are not kept by vendor"
        ),
        query("from", time(), "the first bucket is that of this time; 30 buckets where it is not named"),
        query("to", time(), "buckets that begin before this time; now where it is not named"),
        query("vendor", json!({"type": "string", "minLength": 1}), "of this vendor alone")
    ]);
    read(
        "readSeries",
        "How many events a stage had, bucket by bucket",
        &format!(
            "By the events' own times; buckets without events are left out. At most {MINUTES_MAX} minutes, {HOURS_MAX} hours or {DAYS_MAX} days: of a longer span the end. `from` and `to` of the answer are those of the buckets that it is about."
        ),
        parameters,
        "InvoiceSeries",
    )
}

fn cash() -> Value {
    let parameters = json!([
        query("currency", code(false), "this currency alone"),
        query(
            "by",
            json!({"type": "string", "enum": ["day", "week"]}),
            "how due dates are put together: each, or by weeks from Monday; `day` where it is not named"
        ),
        query(
            "from",
            json!({"type": "string", "format": "date"}),
            "the first day, or a day of the first week; today where it is not named"
        ),
        limit(LINES_MAX, DATES_DEFAULT, "days or weeks")
    ]);
    read(
        "readCash",
        "What is outstanding, by due date and currency",
        "Each currency's totals, due dates of the days or weeks asked for that have open invoices, and what is due before and behind them. `to` is where to go on: the next `from`.",
        parameters,
        "InvoiceCash",
    )
}

/// All of them.
pub(super) fn paths() -> Map<String, Value> {
    let get = |operation: Value| json!({"get": operation});
    let figures = read(
        "readFigures",
        "The ten key figures",
        "Each with its definition, and a note where it cannot be computed or something is to be kept in mind. Values are whole numbers: hundredths of a percent or of a day, minor units of a currency.",
        json!([days(), until()]),
        "InvoiceFigures",
    );
    let totals = read(
        "readTotals",
        "How many invoices there are, where they are, and what is stuck",
        "What `waag report invoices` prints.",
        json!([]),
        "InvoiceTotals",
    );
    let times = read(
        "readTimes",
        "How long each stage takes, by region and vendor class",
        "Of visits whose end was recorded on the days asked for, which may be later than it was; percentiles within 1 %.",
        json!([days()]),
        "InvoiceTimes",
    );
    let vendors = read(
        "readVendors",
        "Vendors by what is open",
        "Those with the most open invoices first, a line for each currency.",
        json!([limit(VENDORS_MAX, LINES_DEFAULT, "lines")]),
        "InvoiceVendors",
    );
    let all = [
        ("/v1/invoices", get(list())),
        ("/v1/invoices/{id}", one()),
        ("/v1/figures", get(figures)),
        ("/v1/figures/totals", get(totals)),
        ("/v1/figures/series", get(series())),
        ("/v1/figures/times", get(times)),
        ("/v1/figures/vendors", get(vendors)),
        ("/v1/figures/cash", get(cash())),
    ];
    all.into_iter().map(|(path, item)| (path.to_owned(), item)).collect()
}
