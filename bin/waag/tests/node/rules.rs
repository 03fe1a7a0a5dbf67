//! The invoices' rules and what `waag report` tells, through the real program.

use crate::common::Folder;

const MAPPING: &str = include_str!("../../../../examples/invoices-csv.toml");
const LOG: &str = "Regelnr;Factuur;Actie;Tijdstip;Crediteur;Bedrag;Vervaldatum;Kostenplaats\r\n\
1;F-1;Ontvangen;01-02-2026 09:30;De Waag;1.234,50;31-03-2026;A\r\n\
2;F-1;Betaald;02-02-2026 09:30;De Waag;1.234,50;31-03-2026;A\r\n\
3;F-2;Ontvangen;03-02-2026 09:30;De Waag;12,00;31-03-2026;B\r\n";

fn imported() -> Folder {
    let folder = Folder::new();
    folder.write("mapping", MAPPING);
    folder.write("log", LOG);
    folder.run(&["import", "--mapping", "mapping", "log"]).exits(0);
    folder
}

#[test]
fn rules_are_kept_in_the_store_recorded_and_make_the_read_models_anew() {
    let folder = imported();
    let stuck = || folder.run(&["report", "invoices", "--json"]).exits(0).json()["stuck"].as_u64().unwrap();
    let views = || folder.run(&["views", "status", "--json"]).exits(0).lines().len();
    let own = folder.run(&["rules", "show", "--json"]).exits(0).json();
    assert_eq!(views(), 1);
    assert_eq!((own["set"].as_bool(), stuck()), (Some(false), 1));
    folder.write("rules", r#"{"service_levels": [{"stage": "posting", "hours": 5}], "learned_days": 7}"#);
    let set = folder.run(&["rules", "set", "rules", "--json"]).exits(0).json();
    assert_eq!(set["rules"]["service_levels"].as_array().map(Vec::len), Some(1), "{set}");
    assert_eq!(set["rules"]["late_hours"], own["rules"]["late_hours"], "what is not named stays");
    assert_eq!(stuck(), 0, "an invoice in ingestion has no deadline any more");
    assert_eq!(folder.run(&["rules", "show", "--json"]).exits(0).json(), set);
    assert_eq!(views(), 2, "those of the program's own rules stay until a node has made others");
    folder.run(&["views", "check"]).exits(0);
    let events = folder.run(&["read", "--json"]).exits(0).lines();
    let told = events.iter().find(|line| line["event"]["type"] == "waag.invoice-rules.set").unwrap();
    assert!(told["event"]["data"]["rules"].as_str().unwrap().contains(r#""learned_days":7"#), "{told}");
    folder.write("rules", r#"{"service_levels": [{"stage": "posting", "hours": 0}]}"#);
    let refused = folder.run(&["rules", "set", "rules"]).exits(2);
    assert!(refused.err.contains("E1002") && refused.err.contains("service_levels[0].hours"), "{refused:?}");
    folder.run(&["rules", "reset"]).exits(0);
    assert_eq!((stuck(), folder.run(&["rules", "show", "--json"]).exits(0).json()), (1, own));
}

#[test]
fn reports_tell_one_invoice_figures_vendors_times_and_series() {
    let folder = imported();
    let life = folder.run(&["report", "invoice", "F-1", "--json"]).exits(0).json();
    assert_eq!(
        (life["state"]["condition"].as_str(), life["steps"][1]["action"].as_str()),
        (Some("paid"), Some("pay"))
    );
    let text = folder.run(&["report", "invoice", "F-1"]).exits(0).out;
    assert!(text.starts_with("F-1 in posting, paid\n"), "{text}");
    assert!(text.contains("2026-02-02T") && text.contains("posting: pay (late)\n"), "{text}");
    let unknown = folder.run(&["report", "invoice", "f-1"]);
    assert!(unknown.code == 1 && unknown.err.contains("E0845"), "{unknown:?}");
    let figures = folder.run(&["report", "figures", "--days", "366", "--json"]).exits(0).lines();
    assert_eq!(figures.len(), 10);
    let text = folder.run(&["report", "figures"]).exits(0).out;
    assert!(text.lines().count() == 10 && text.contains("overdue payables"), "{text}");
    let vendors = folder.run(&["report", "vendors"]).exits(0).out;
    assert!(vendors.contains("12.00 EUR") && vendors.contains("1246.50 EUR  De Waag\n"), "{vendors}");
    let times = folder.run(&["report", "times", "--days", "366", "--json"]).exits(0).lines();
    assert!(times.iter().all(|one| one["stage"].is_string()), "{times:?}");
    let series = |more: &[&str]| {
        folder
            .run(&[&["report", "series", "--json", "--last", "366", "--until", "2026-02-28"], more].concat())
    };
    let days = series(&["--stage", "ingestion", "--vendor", "De Waag"]).exits(0).lines();
    assert_eq!(days.iter().map(|day| day["events"].as_u64().unwrap()).sum::<u64>(), 2, "{days:?}");
    series(&["--stage", "ingestion", "--by", "minute", "--vendor", "De Waag"]).exits(2);
    series(&["--stage", "somewhere"]).exits(2);
}

#[test]
fn lists_and_cash_are_told_to_people_and_what_is_left_out_is_said() {
    let folder = imported();
    let list = |more: &[&str]| folder.run(&[&["report", "list"], more].concat());
    let open = list(&["open"]).exits(0);
    assert!(open.out.contains(":00Z  ") && !open.out.contains(":00.0") && open.err.is_empty(), "{open:?}");
    let all = open.out.lines().count();
    let one = list(&["open", "--most", "1"]).exits(0);
    assert_eq!(one.out.lines().count(), 1, "{one:?}");
    assert_eq!(one.err.contains("there are more than these 1"), all > 1, "{one:?}");
    let refused = list(&["lost"]).exits(2);
    assert!(refused.err.contains("received_not_cleared"), "{refused:?}");
    let cash = folder.run(&["report", "cash"]).exits(0).out;
    assert!(cash.contains("EUR\n  outstanding"), "{cash}");
    let told = folder.run(&["report", "cash", "--by", "week", "--json"]).exits(0).json();
    assert_eq!((&told["by"], told["currencies"][0]["steps"].is_array()), (&"week".into(), true), "{told}");
    let none = folder.run(&["report", "cash", "--currency", "ISK"]).exits(0).out;
    assert_eq!(none, "nothing is outstanding\n");
}
